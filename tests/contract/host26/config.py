"""The settings."""

from __future__ import annotations


class PavConfig:
    """Settings can be had as attributes and as items."""

    __slots__ = ("configs", "disable_plugins", "env_setup", "pav_cfg_file", "pav_root",
                 "working_dir")

    def __init__(self, pav_root, pav_cfg_file, working_dir, env_setup, configs):
        self.pav_root = pav_root
        self.pav_cfg_file = pav_cfg_file
        self.working_dir = working_dir
        self.env_setup = env_setup
        self.configs = configs
        self.disable_plugins = []

    def __getitem__(self, key):
        if key not in self.__slots__:
            raise KeyError(key)
        return getattr(self, key)
