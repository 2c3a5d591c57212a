"""The steps by which a test of a suite becomes test runs, and their checks.

:mod:`pavilion.resolve` takes them one after the other until one fails; then
:mod:`pavilion.diagnosis` takes those that are left, to report all mistakes at once.
"""

from __future__ import annotations

import getpass
import time
from collections.abc import Mapping, Sequence
from typing import Any

from pavilion import schedulers, sys_vars
from pavilion.errors import ConfigError, PavilionError, SchedulerPluginError, quoted
from pavilion.schedulers.finding.registry import require_plugin
from pavilion.schedulers.lifecycle.blaming import blaming
from pavilion.scriptcomposer import ScriptHeader
from pavilion.suites import SuiteTest
from pavilion.variables import VariableSetManager

# More than any number in a test needs.
_MAX_DIGITS = 9
# Keys that are used here and are not part of a test run.
USED_UP = (
    "variables",
    "permute_on",
    "subtitle",
    "inherits_from",
    "summary",
    "doc",
    "scheduler",
    "schedule",
)


def base_manager(test: SuiteTest) -> VariableSetManager:
    """The variables of a test that are known without its scheduler."""
    base = VariableSetManager()
    base.add_set("var", test.config["variables"] or {})
    base.add_set("pav", pav_vars(test))
    base.add_set("sys", sys_vars.get_vars(True))
    return base


def pav_vars(test: SuiteTest) -> dict[str, Any]:
    """The set 'pav'."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        # A container may run as a user id without a name.
        user = "unknown"
    return {
        "user": user,
        "timestamp": str(int(time.time())),
        "suite": test.suite,
        "suite_dir": str(test.file.parent),
    }


def split_permutations(
    manager: VariableSetManager, names: Sequence[str]
) -> tuple[list[str], list[str]]:
    """The names that are known without the scheduler, and the others."""
    early: list[str] = []
    late: list[str] = []
    for name in names:
        try:
            manager.is_deferred(name)
        except PavilionError:
            late.append(name)
        else:
            early.append(name)
    return early, late


def find_scheduler(name: str) -> schedulers.SchedulerPlugin:
    """The scheduler of a test.  :raises SchedulerPluginError: When it cannot be used here."""
    plugin = require_plugin(name)
    if not plugin.available():
        raise SchedulerPluginError(
            f"The scheduler {name!r} is not available on this host. {plugin.unavailable_reason}"
        )
    return plugin


def initial_vars(
    plugin: schedulers.SchedulerPlugin, schedule: Mapping[str, Any]
) -> schedulers.SchedulerVariables:
    """What a scheduler says about a test.  :raises PavilionError: When it cannot."""
    with blaming(plugin, "get_initial_vars"):
        return plugin.get_initial_vars(schedule)


def check_chunk(text: str) -> str:
    """The number of a chunk, or 'any'.  :raises ConfigError: for anything else."""
    if text != "any" and not _is_number(text):
        raise ConfigError(
            f"chunk must be 'any' or the number of a chunk (0, 1, ...), not {quoted(text)}."
        )
    return text


def check_concurrent(text: str) -> str:
    """A number of tests at the same time.  :raises ConfigError: for anything else."""
    if not (_is_number(text) and int(text) > 0):
        raise ConfigError(
            "concurrent must be a whole number of at least 1, and of "
            f"{_MAX_DIGITS} digits at most, not {quoted(text)}."
        )
    return text


def _is_number(text: str) -> bool:
    """Whether it is a whole number.  Python accepts other digits, and may refuse 4,000 of them."""
    return text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS


def check_shebang(text: str) -> None:
    """The first line of a script.  :raises ConfigError: When it cannot be one."""
    try:
        ScriptHeader(text)
    except ValueError as exc:
        raise ConfigError("run.shebang cannot be used", prior_error=exc) from exc
