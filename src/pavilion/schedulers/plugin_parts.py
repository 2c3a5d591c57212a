"""What a plugin is put together from, checked before it is used: mistakes here would show much
later, and far from their cause."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pavilion.errors import SchedulerPluginError

from .kickoff import KickoffScriptHeader
from .vars import SchedulerVariables

if TYPE_CHECKING:
    from .scheduler import SchedulerPlugin

_CLASSES = {"VAR_CLASS": SchedulerVariables, "KICKOFF_SCRIPT_HEADER_CLASS": KickoffScriptHeader}


def check_parts(plugin: SchedulerPlugin) -> None:
    """Check that a plugin was initialized, and that its classes can be used.

    :raises SchedulerPluginError: Naming what is wrong.
    """
    if not hasattr(plugin, "_job_statuses"):
        raise SchedulerPluginError(f"__init__() of its class {type(plugin).__name__} does not call "
                                   "super().__init__(name, description).")
    if not plugin.name or not isinstance(plugin.name, str):
        raise SchedulerPluginError(f"The name of the scheduler plugin in {plugin.path} must be a "
                                   f"text, not {plugin.name!r}.")
    for attribute, base in _CLASSES.items():
        value = getattr(plugin, attribute)
        if not (isinstance(value, type) and issubclass(value, base)):
            raise SchedulerPluginError(
                f"{attribute} of scheduler plugin {plugin.name!r} ({plugin.path}) must be a class "
                f"that is derived from {base.__name__}, not {value!r}.")
