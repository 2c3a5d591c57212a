"""The activated scheduler plugins of this process."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from pavilion.errors import SchedulerPluginError

from ..near_matches import did_you_mean

if TYPE_CHECKING:
    from ..scheduler import SchedulerPlugin

# All activated schedulers by name.
_SCHEDULER_PLUGINS: dict[str, SchedulerPlugin] = {}
# Activation changes this table and those of the schedule section together: all or nothing.
LOCK = threading.RLock()


def get_plugin(name: str) -> SchedulerPlugin | None:
    """The scheduler of this name; None when there is none.  Every caller in a host checks for None.

    Never raises.
    """
    return _SCHEDULER_PLUGINS.get(name)


def require_plugin(name: str) -> SchedulerPlugin:
    """The scheduler of this name.

    :raises SchedulerPluginError: When there is none; with a near match and the known names.
    """
    plugin = get_plugin(name)
    if plugin is None:
        hint = did_you_mean(name, _SCHEDULER_PLUGINS)
        known = ", ".join(list_plugins()) or "none; no scheduler plugin was loaded"
        raise SchedulerPluginError(f"There is no scheduler {name!r}.{hint} Known: {known}.")
    return plugin


def list_plugins() -> list[str]:
    """The names of all schedulers, sorted.  Never raises."""
    return sorted(_SCHEDULER_PLUGINS)


def reset() -> None:
    """Deactivate every plugin."""
    for plugin in list(_SCHEDULER_PLUGINS.values()):
        plugin.deactivate()
