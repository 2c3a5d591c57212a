"""``pav-sched show config``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from pavilion.config import PYTHON_VARIABLE, PavConfigLoader
from yaml_config.source import key_place

from . import base
from .base import Command, Session, absolute
from .output import Column, print_json, print_table

# (setting, value, where it comes from)
Setting = tuple[str, Any, str]


def _show(session: Session) -> int:
    settings = effective_settings(session)
    if session.args.json:
        print_json(
            {
                "settings": [
                    {"name": name, "value": value, "source": source}
                    for name, value, source in settings
                ]
            }
        )
        return base.OK
    rows = []
    for name, value, source in settings:
        values = value if isinstance(value, list) else [value]
        rows += [[name, "" if item is None else item, source] for item in values or [None]]
    print_table([Column("SETTING"), Column("VALUE", wrap=True), Column("FROM", wrap=True)], rows)
    return base.OK


def effective_settings(session: Session) -> list[Setting]:
    """Each setting with its value and where that comes from.

    :raises ConfigError: When the settings cannot be used.
    """
    cfg = session.pav_cfg
    given = {} if cfg.pav_cfg_file is None else PavConfigLoader().load_raw(cfg.pav_cfg_file)

    def source(key: str) -> str:
        if given.get(key) is None:
            return "default"
        place = key_place(given, key)
        return str(cfg.pav_cfg_file) + (f":{place.line}" if place else "")

    settings: list[Setting] = [
        (
            "config_file",
            None if cfg.pav_cfg_file is None else str(cfg.pav_cfg_file),
            _file_source(session),
        ),
        (
            "working_dir",
            str(cfg.working_dir),
            "--working-dir" if session.args.working_dir else source("working_dir"),
        ),
    ]
    sources = _folder_sources(session, source("config_dirs"))
    for item in cfg.configs.values():
        settings.append(
            ("config_dirs", str(item["path"]), sources.get(item["path"], source("config_dirs")))
        )
    own = [line for line in cfg.env_setup if line.startswith(f"export {PYTHON_VARIABLE}=")]
    rest = [line for line in cfg.env_setup if line not in own]
    settings += [("env_setup", line, "this program") for line in own]
    settings.append(("env_setup", rest, source("env_setup")))
    settings.append(("log_limit", cfg.log_limit, source("log_limit")))
    settings.append(("disable_plugins", list(cfg.disable_plugins), source("disable_plugins")))
    settings.append(("trusted_group", cfg.trusted_group, source("trusted_group")))
    settings.append(("pav_root", str(cfg.pav_root), "this program"))
    return settings


def _file_source(session: Session) -> str:
    path = session.pav_cfg.pav_cfg_file
    if path is None:
        return "there is none"
    if session.args.config_file is not None:
        return "--config-file"
    if os.environ.get("PAV_CONFIG_FILE"):
        return "$PAV_CONFIG_FILE"
    folder = os.environ.get("PAV_CONFIG_DIR")
    if folder and path.parent == absolute(folder):
        return "$PAV_CONFIG_DIR"
    return "the home directory"


def _folder_sources(session: Session, listed: str) -> dict[Path, str]:
    """Where each config directory comes from: the first that names it."""
    path = session.pav_cfg.pav_cfg_file
    sources: dict[Path, str] = {}
    for folder in session.args.config_dir:
        sources.setdefault(absolute(folder), "--config-dir")
    if os.environ.get("PAV_CONFIG_DIR"):
        sources.setdefault(absolute(os.environ["PAV_CONFIG_DIR"]), "$PAV_CONFIG_DIR")
    last = list(session.pav_cfg.configs.values())[-1]["path"]
    sources.setdefault(
        last,
        "default" if path is None or path.parent != last else "the directory of the config file",
    )
    return sources


COMMANDS = [
    Command(
        name="config",
        summary="the settings, and where each comes from",
        description="Show the settings in effect, and where each comes from.",
        examples=["show config", "--config-file site.yaml show config --json"],
        run=_show,
        json=True,
    )
]
