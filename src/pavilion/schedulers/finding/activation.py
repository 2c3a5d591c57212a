"""Activation: a scheduler's name and its section of the schedule configuration, all or nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pavilion.errors import SchedConfigError, SchedulerPluginError

from ..config import add_section, remove_section
from .plugin_parts import check_parts
from .plugin_section import section_error
from .registry import _SCHEDULER_PLUGINS, LOCK
from .yapsy_compat import IPlugin

if TYPE_CHECKING:
    from ..scheduler import SchedulerPlugin


def activate(plugin: SchedulerPlugin) -> None:
    """Make a scheduler known.

    :raises SchedulerPluginError: When another plugin with the same name and priority is active, or
        when the plugin's attributes or its config section are wrong.
    """
    check_parts(plugin)
    with LOCK:
        if _SCHEDULER_PLUGINS.get(plugin.name) is plugin:
            return
        section, validators, defaults = plugin.get_conf()
        other = _SCHEDULER_PLUGINS.get(plugin.name)
        if not _make_room(plugin, other):
            return
        if section is not None:
            try:
                add_section(section, validators, defaults)
            except SchedConfigError as exc:
                if other is not None:
                    other.activate()
                raise section_error(plugin, "", exc) from exc
            plugin._has_section = True
        _SCHEDULER_PLUGINS[plugin.name] = plugin
        IPlugin.activate(plugin)


def _make_room(plugin: SchedulerPlugin, other: SchedulerPlugin | None) -> bool:
    """Decide which plugin gets the name.  False when another plugin keeps it."""
    if other is None:
        return True
    # Another object of the same class is not a conflict: the newer object is used.
    if other.priority == plugin.priority and type(other) is not type(plugin):
        raise SchedulerPluginError(
            f"Two scheduler plugins are called {plugin.name!r} and have the same priority "
            f"({plugin.priority}): {other.path} and {plugin.path}. Rename one of them, or give "
            "the one that is to be used a higher priority."
        )
    if other.priority > plugin.priority:
        return False
    other.deactivate()
    return True


def deactivate(plugin: SchedulerPlugin) -> None:
    """Remove a scheduler's name and config section again.  Never raises."""
    with LOCK:
        if _SCHEDULER_PLUGINS.get(plugin.name) is plugin:
            del _SCHEDULER_PLUGINS[plugin.name]
            if plugin._has_section:
                plugin._has_section = False
                remove_section(plugin.name)
        IPlugin.deactivate(plugin)
