"""Checks of a plugin's attributes, made before the plugin is used: a mistake in them would
otherwise show much later, and far from its cause."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from pavilion.errors import SchedulerPluginError

from ..kickoff import KickoffScriptHeader
from ..vars import SchedulerVariables

if TYPE_CHECKING:
    from ..scheduler import SchedulerPlugin

# Class attributes that are numbers: the minimum, and whether it must be a whole number.
_NUMBERS: dict[str, tuple[float, bool]] = {
    "priority": (-math.inf, True),
    "JOB_STATUS_TIMEOUT": (0, False),
    "JOB_END_GRACE": (0, False),
    "CONFIRM_CANCEL": (0, False),
    "KICKOFF_GRACE": (0, False),
    "KICKOFFS_AT_ONCE": (1, True),
    "INVENTORY_RETRY": (0, False),
}
# Class attributes that are lists of strings.
_LISTS = ("JOB_SHARE_KEY_ATTRS", "JOB_INFO_KEYS")
_CLASSES = {"VAR_CLASS": SchedulerVariables, "KICKOFF_SCRIPT_HEADER_CLASS": KickoffScriptHeader}


def check_parts(plugin: SchedulerPlugin) -> None:
    """Check that a plugin was initialized, and that its attributes can be used.

    :raises SchedulerPluginError: Naming what is wrong, and what is allowed.
    """
    if not hasattr(plugin, "_job_statuses"):
        raise SchedulerPluginError(
            f"__init__() of its class {type(plugin).__name__} does not call "
            "super().__init__(name, description)."
        )
    if not plugin.name or not isinstance(plugin.name, str):
        raise SchedulerPluginError(
            f"The name of the scheduler plugin in {plugin.path} must be a non-empty string, not "
            f"{plugin.name!r}."
        )
    for attribute, base in _CLASSES.items():
        value = getattr(plugin, attribute)
        if not (isinstance(value, type) and issubclass(value, base)):
            raise SchedulerPluginError(
                f"{attribute} of scheduler plugin {plugin.name!r} ({plugin.path}) must be a class "
                f"that is derived from {base.__name__}, not {value!r}."
            )
    for attribute, (least, whole) in _NUMBERS.items():
        value = getattr(plugin, attribute, least)
        number = isinstance(value, int if whole else (int, float)) and not isinstance(value, bool)
        if not number or not value >= least:
            kind = "a whole number" if whole else "a number of seconds"
            at_least = "" if math.isinf(least) else f", at least {least}"
            raise _unusable(plugin, attribute, f"{kind}{at_least}")
    for attribute in _LISTS:
        value = getattr(plugin, attribute)
        if value is not None and not (
            isinstance(value, (list, tuple)) and all(isinstance(item, str) for item in value)
        ):
            raise _unusable(plugin, attribute, "a list of strings")


def _unusable(plugin: SchedulerPlugin, attribute: str, must_be: str) -> SchedulerPluginError:
    return SchedulerPluginError(
        f"{attribute} of scheduler plugin {plugin.name!r} ({plugin.path}) must be {must_be}, not "
        f"{getattr(plugin, attribute)!r}."
    )
