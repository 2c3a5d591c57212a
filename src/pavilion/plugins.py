"""Loading all plugins that the embedded host knows of: bundled ones and those of config folders."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from pavilion import schedulers, sys_vars
from pavilion.config import PavConfig
from pavilion.schedulers.discovery import LoadedPlugin, PluginFinder, RefusedPlugin
from pavilion.schedulers.plugins import activate_plugins, find_core_plugins
from pavilion.schedulers.scheduler import SchedulerPlugin

# Category name, as in 'disable_plugins' -> the base class of its plugins.
CATEGORIES = {"sched": SchedulerPlugin, "sys": sys_vars.SystemPlugin}


@dataclass
class PluginReport:
    """What loading the plugins came to."""

    loaded: list[LoadedPlugin] = field(default_factory=list)
    refused: list[RefusedPlugin] = field(default_factory=list)
    disabled: list[LoadedPlugin] = field(default_factory=list)


def load_plugins(pav_cfg: PavConfig) -> PluginReport:
    """Load and activate bundled plugins and those below ``plugins/`` of each config folder.

    A plugin that cannot be used is reported and stops no other.  No scheduler command is run.
    Calling this again starts anew.
    """
    reset_plugins()
    report = PluginReport()
    folders = [Path(item["path"]) / "plugins" for item in pav_cfg.configs.values()]
    for finder in (find_core_plugins(), PluginFinder(folders, CATEGORIES).find()):
        disabled = [found for found in finder.loaded if _is_disabled(found, pav_cfg)]
        report.disabled += disabled
        finder.loaded = [found for found in finder.loaded if found not in disabled]
        report.loaded += activate_plugins(finder)
        report.refused += finder.refused
    return report


def _is_disabled(found: LoadedPlugin, pav_cfg: PavConfig) -> bool:
    name = getattr(found.plugin, "name", "")
    return f"{found.category}.{name}" in pav_cfg.disable_plugins


def reset_plugins() -> None:
    """Deactivate all plugins."""
    schedulers.registry.reset()
    sys_vars.reset()

