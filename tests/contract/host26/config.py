"""The settings."""

from __future__ import annotations

from pathlib import Path


class PavConfig:
    """Settings can be had as attributes and as items."""

    __slots__ = (
        "configs",
        "disable_plugins",
        "env_setup",
        "pav_cfg_file",
        "pav_root",
        "working_dir",
    )

    def __init__(self, set_attrs=None):
        self.configs = {}
        self.disable_plugins = []
        self.env_setup = []
        self.pav_cfg_file = Path("dummy_path")
        self.pav_root = Path(__file__).resolve().parents[2]
        self.working_dir = self.pav_root.parent / "working_dir"
        for key, value in (set_attrs or {}).items():
            self[key] = value

    def __getitem__(self, key):
        if not isinstance(key, str) or not hasattr(self, key) or callable(getattr(self, key)):
            raise KeyError(f"{type(self).__name__} does not contain key {key}.")
        return getattr(self, key)

    def __setitem__(self, key, value):
        if not isinstance(key, str) or not hasattr(self, key) or callable(getattr(self, key)):
            raise KeyError(f"Cannot set key '{key}' - unknown attribute.")
        setattr(self, key, value)

    def __eq__(self, other):
        if not isinstance(other, PavConfig):
            raise ValueError(f"A {type(self)} cannot be compared with a {type(other)}.")
        return all(self[key] == other[key] for key in self.__slots__)

    def get(self, key, default=None):
        try:
            return self[key]
        except KeyError:
            return default
