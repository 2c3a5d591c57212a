"""Checks of what an author wrote, before it is used: a mistake would otherwise show only after a job
was submitted, and far from its cause."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pavilion.errors import SchedulerPluginError

from ..config import CONFIG_VALIDATORS, KEYS
from ..near_matches import did_you_mean
from .dialect import Dialect, Environment
from .directives import Directive
from .failures import failures
from .words import JobState

if TYPE_CHECKING:
    from .plugin import SchedulerPluginBatch
    from .words import Submission

# Attributes that are numbers: the minimum, and whether it must be a whole number.
_NUMBERS: Mapping[str, tuple[float, bool]] = {
    "CANCEL_BATCH": (1, True),
    "SUBMIT_AT_ONCE": (1, True),
    "QUERY_TIMEOUT": (0.001, False),
    "SUBMIT_TIMEOUT": (0.001, False),
    "JOB_TABLE_AGE": (0, False),
    "CANCEL_WAIT": (0, False),
}


def check_tables(plugin: SchedulerPluginBatch) -> None:
    """Check the tables of a plugin.

    :raises SchedulerPluginError: Naming the plugin, the table, what is wrong, and what is allowed.
    """
    for table in ("COMMANDS", "USED_KEYS"):
        if not _are_strings(getattr(plugin, table)):
            raise _bad(plugin, table, f"a list of strings, not {getattr(plugin, table)!r}")
    if not isinstance(plugin.ENVIRONMENT, Environment):
        raise _bad(plugin, "ENVIRONMENT", f"an Environment, not {plugin.ENVIRONMENT!r}")
    for part in ("drop", "keep"):
        names = getattr(plugin.ENVIRONMENT, part)
        if not _are_strings(names) or "" in names:
            raise _bad(plugin, f"{part} of ENVIRONMENT", f"a list of names, not {names!r}")
    _check_states(plugin)
    try:
        failures(plugin.FAILURES)
    except TypeError as exc:
        raise _error(plugin, str(exc)) from exc
    try:
        re.compile(plugin.JOB_ID)
    except (TypeError, re.error) as exc:
        what = f"a regular expression, not {plugin.JOB_ID!r} ({exc})"
        raise _bad(plugin, "JOB_ID", what) from exc
    for name, (least, whole) in _NUMBERS.items():
        value = getattr(plugin, name)
        fits = isinstance(value, int if whole else (int, float)) and not isinstance(value, bool)
        if not fits or not value >= least:
            kind = "a whole number" if whole else "a number of seconds"
            raise _bad(plugin, name, f"{kind}, at least {least}, not {value!r}")
    _check_directives(plugin)


def _check_states(plugin: SchedulerPluginBatch) -> None:
    if not isinstance(plugin.STATES, Mapping):
        raise _bad(plugin, "STATES", f"a dictionary, not {plugin.STATES!r}")
    for word, state in plugin.STATES.items():
        if not isinstance(state, JobState):
            allowed = ", ".join(str(each) for each in JobState)
            raise _bad(plugin, f"STATES[{word!r}]", f"one of {allowed}, not {state!r}")


def _check_directives(plugin: SchedulerPluginBatch) -> None:
    if isinstance(plugin.DIRECTIVES, Directive) or not isinstance(plugin.DIRECTIVES, Sequence):
        raise _bad(
            plugin, "DIRECTIVES", f"a list of Directives, not {type(plugin.DIRECTIVES).__name__}"
        )
    prefix = plugin.DIRECTIVE_PREFIX
    if plugin.DIRECTIVES and not str(prefix).startswith("#"):
        # A shell would run the lines.
        raise _bad(
            plugin,
            "DIRECTIVE_PREFIX",
            f"a string that begins with '#' ('#MYSCHED'), not {prefix!r}",
        )
    for directive in plugin.DIRECTIVES:
        if not isinstance(directive, Directive):
            raise _error(plugin, f"DIRECTIVES has {directive!r}, which is not a Directive.")
        where = f"the keys of the Directive {directive.option!r}"
        if not _are_strings(directive.keys):
            raise _bad(plugin, where, f"a tuple of strings, not {directive.keys!r}")
        for key in directive.keys:
            _check_key(plugin, where, key)
    for key in plugin.USED_KEYS:
        _check_key(plugin, "USED_KEYS", key)


def _check_key(plugin: SchedulerPluginBatch, where: str, key: str) -> None:
    """A key that does not exist is never set: its option would never be written, and the key that was
    meant would have no effect."""
    first, _, rest = key.partition(".")
    # The plugin's own keys are known while it is active.
    own: Any = CONFIG_VALIDATORS.get(plugin.name)
    if first == plugin.name and (own is None or not rest or rest.partition(".")[0] in own):
        return
    known = [each.name for each in KEYS]
    if first in known:
        return
    known += [f"{plugin.name}.{name}" for name in own or ()]
    raise _error(
        plugin,
        f"{where[0].upper()}{where[1:]} name {key!r}, which is not a key of the schedule section."
        f"{did_you_mean(key, known)}",
    )


def submit_arguments(plugin: SchedulerPluginBatch, submission: Submission) -> list[str]:
    """The command that submits a script: what submit_command() returns.

    :raises SchedulerPluginError: When that is not a command, or the token is not in it.  Then no
        command was run.
    """
    from .client import user_name

    # A job that could not be looked for later must not be submitted.
    _arguments(plugin, "jobs_command()", plugin.jobs_command(user_name(str(os.getuid()))))
    place = "submit_command()"
    command = _arguments(plugin, place, plugin.submit_command(submission))
    if not any(submission.token in arg for arg in command):
        raise _error(
            plugin,
            f"{place} does not put submission.token into the job, so the job could not be found or "
            f"cancelled: {command!r}.",
        )
    return command


def _arguments(plugin: SchedulerPluginBatch, place: str, argv: Any) -> list[str]:
    """What a method returned as a command."""
    if not isinstance(argv, (list, tuple)) or not argv:
        raise _error(plugin, f"{place} must return a list of arguments, not {argv!r}.")
    for arg in argv:
        if not isinstance(arg, (str, os.PathLike)):
            raise _error(plugin, f"{place} returned {arg!r} in its list; it must be a string.")
    return [str(os.fspath(arg)) for arg in argv]


def _are_strings(value: Any) -> bool:
    return (
        not isinstance(value, str)
        and isinstance(value, (Sequence, frozenset, set))
        and all(isinstance(item, str) for item in value)
    )


def _bad(plugin: Dialect, what: str, must_be: str) -> SchedulerPluginError:
    return _error(plugin, f"{what} must be {must_be}.")


def _error(plugin: Dialect, problem: str) -> SchedulerPluginError:
    where = f" in {plugin.path}" if hasattr(plugin, "path") else ""
    return SchedulerPluginError(
        f"The scheduler plugin {plugin.title!r} ({type(plugin).__name__}{where}) cannot be used: "
        f"{problem}"
    )
