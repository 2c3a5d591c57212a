"""Loading all plugins of the embedded host: bundled ones, those that were installed with pip, and
those of config directories."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from pavilion import sys_vars
from pavilion.config import PavConfig
from pavilion.schedulers.finding import registry
from pavilion.schedulers.finding.discovery import LoadedPlugin, PluginFinder, RefusedPlugin
from pavilion.schedulers.finding.trusted_code import TrustedCode
from pavilion.schedulers.plugins import (
    activate_plugins,
    find_core_plugins,
    find_installed_plugins,
)
from pavilion.schedulers.scheduler import SchedulerPlugin

# Category name, as in 'disable_plugins' -> the base class of its plugins.
CATEGORIES = {"sched": SchedulerPlugin, "sys": sys_vars.SystemPlugin}
# Pavilion has more categories.  Their plugins are recognized by the module of their base class,
# and do not concern this host: a site's config directory is full of them.
FOREIGN = {
    "commands": "command",
    "expression_functions": "function",
    "module_wrapper": "module",
    "result_logging": "result_logger",
    "result_parsers": "result",
}


class ForeignPlugin(NamedTuple):
    """A plugin that Pavilion uses and this host does not."""

    file: Path
    category: str


@dataclass
class PluginReport:
    """What came of loading the plugins."""

    loaded: list[LoadedPlugin] = field(default_factory=list)
    refused: list[RefusedPlugin] = field(default_factory=list)
    disabled: list[LoadedPlugin] = field(default_factory=list)
    foreign: list[ForeignPlugin] = field(default_factory=list)
    # What disable_plugins names, in categories that this host has, and does not exist.
    not_found: list[str] = field(default_factory=list)


def load_plugins(pav_cfg: PavConfig) -> PluginReport:
    """Load and activate bundled plugins, those that were installed with pip, and those below
    ``plugins/`` of each config directory.

    A plugin that cannot be used is reported and stops no other.  No scheduler command is run.
    Calling this again starts over.
    """
    reset_plugins()
    report = PluginReport()
    roots = [Path(item["path"]) for item in pav_cfg.configs.values()]
    group = getattr(pav_cfg, "trusted_group", None)
    finder_of_site = PluginFinder(
        [root / "plugins" for root in roots],
        CATEGORIES,
        guard=TrustedCode(roots, group).problem,
        origin=lambda file: "config directory",
    )
    installed = find_installed_plugins(CATEGORIES, roots, group)
    for finder in (find_core_plugins(), installed, finder_of_site.find()):
        disabled = [found for found in finder.loaded if _is_disabled(found, pav_cfg)]
        report.disabled += disabled
        finder.loaded = [found for found in finder.loaded if found not in disabled]
        report.loaded += activate_plugins(finder)
        for refused in finder.refused:
            category = _foreign_category(refused)
            if category is None:
                report.refused.append(refused)
            else:
                report.foreign.append(ForeignPlugin(refused.file, category))
    known = {_full_name(found) for found in report.disabled}
    report.not_found = [
        name
        for name in pav_cfg.disable_plugins
        if name.partition(".")[0] in CATEGORIES and name not in known
    ]
    return report


def _foreign_category(refused: RefusedPlugin) -> str | None:
    """The category of Pavilion that a plugin belongs to, if that is not one of ours."""
    if not isinstance(refused.error, ImportError) or refused.module is None:
        return None
    import ast

    try:
        tree = ast.parse(refused.module.read_bytes())
    except (OSError, ValueError, SyntaxError):
        return None
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            top, _, rest = name.partition(".")
            if top == "pavilion" and rest.partition(".")[0] in FOREIGN:
                return FOREIGN[rest.partition(".")[0]]
    return None


def _is_disabled(found: LoadedPlugin, pav_cfg: PavConfig) -> bool:
    return _full_name(found) in pav_cfg.disable_plugins


def _full_name(found: LoadedPlugin) -> str:
    return f"{found.category}.{getattr(found.plugin, 'name', '')}"


def reset_plugins() -> None:
    """Deactivate all plugins."""
    registry.reset()
    sys_vars.reset()
