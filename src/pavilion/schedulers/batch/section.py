"""A plugin's own section of the schedule configuration: a table; keys of it that stand for those that
every scheduler has; the scheduler's options as users write them; and states of nodes to use."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import yaml_config as yc
from pavilion.errors import SchedConfigError

from ..config import Validator


class OwnKey(NamedTuple):
    """A key of a plugin's own section.

    :param help: What users read about it.
    :param default: Written like a user's value; a list for a key that has several.
    :param stands_for: The common key that it stands for, which sections of other hosts have.
    """

    name: str
    help: str
    default: Any = None
    validator: Validator = None
    stands_for: str = ""


def elements(
    keys: Iterable[OwnKey],
) -> tuple[list[yc.ConfigElement], dict[str, Any], dict[str, Any]]:
    """What ``_get_config_elems()`` returns for such keys."""
    known = list(keys)
    elems: list[yc.ConfigElement] = [
        yc.ListElem(key.name, sub_elem=yc.StrElem(), help_text=key.help)
        if isinstance(key.default, list)
        else yc.StrElem(key.name, help_text=key.help)
        for key in known
    ]
    validators: dict[str, Any] = {key.name: key.validator for key in known}
    return elems, validators, {key.name: key.default for key in known}


def flag(value: Any) -> bool:
    """A validator for 'true' and 'false'.  :raises SchedConfigError: For anything else."""
    text = str(value).strip().lower()
    if text not in ("true", "false"):
        raise SchedConfigError(f"It must be 'true' or 'false', not {value!r}.")
    return text == "true"


def given_for(
    name: str, keys: Iterable[OwnKey], config: Mapping[str, Any], raw: Mapping[str, Any]
) -> list[tuple[str, str, Any]]:
    """The keys that a user has set of those that stand for common ones: (where, common key, value),
    for :func:`settle`.

    :param name: The section's.
    :param config: The validated schedule section.
    :param raw: As it was before.
    """
    mine = raw.get(name) or {}
    return [
        (f"{name}.{key.name}", key.stands_for, config[name][key.name])
        for key in keys
        if key.stands_for and mine.get(key.name) and config[name][key.name] not in (None, False)
    ]


def settle(
    config: Mapping[str, Any], raw: Mapping[str, Any], given: Iterable[tuple[str, str, Any]]
) -> dict[str, Any]:
    """A validated schedule section in which values that were given elsewhere are those of the common
    keys.

    :param raw: The section before it was validated: what is set in it was set by the user.
    :param given: (where it was given, the common key, its value).
    :raises SchedConfigError: When two say different things.  None of them is ignored.
    """
    settled = dict(config)
    said = {key: f"schedule.{key}" for key, value in raw.items() if value}
    for where, key, value in given:
        before, where = settled[key], f"schedule.{where}"
        # 1 is a number of nodes, and 1.0 is all of them.
        if key in said and (type(before), before) != (type(value), value):
            raise SchedConfigError(
                f"{where} and {said[key]} contradict each other: {value!r} and {before!r}. "
                "Set one of them.",
                data={"key": where},
            )
        settled[key], said[key] = value, where
    return settled


class Options(NamedTuple):
    """Options of the submit command, as a user gave them.

    :param given: Their names: '-q'; and for options with a list of 'name=value', '-l place'.
    :param lines: Those that go into the script as they are.
    :param values: Those that are like common keys: (where, key, value), for :func:`settle`.
    :param taken: The values of those that are used in another way.
    """

    given: set[str]
    lines: list[str]
    values: list[tuple[str, str, Any]]
    taken: list[str]


def user_options(
    key: str,
    items: Iterable[Any],
    prefix: str,
    named: Collection[str] = (),
    refused: Collection[str] = (),
    like: Mapping[str, tuple[str, Callable[[str], Any]]] = MappingProxyType({}),
    taken: Collection[str] = (),
) -> Options:
    """Options of the submit command, each with a name of one letter, from a user's list.

    :param key: The list's, for messages.
    :param prefix: What lines of options begin with; items may begin with it, too.
    :param named: Options whose value is a list with commas of 'name=value'.
    :param refused: Those that cannot be used, because other keys say what a job is, and its size.
    :param like: Those that are like a common key: that key, and what makes its value.
    :param taken: Those that are used in another way.
    :raises SchedConfigError: For an item that is not an option, or one that cannot be used.
    """
    found = Options(set(), [], [], [])
    for item in items:
        text = str(item).strip()
        match = re.fullmatch(rf"(?:{re.escape(prefix)}\s+)?(-[A-Za-z])\s*(.*)", text)
        if match is None or not text.isprintable():
            raise _bad(key, f"{text!r} is not an option, such as '-m n'")
        option, value = match.groups()
        # 'a=1,2,b=3' is a=1,2 and b=3.
        parts = re.split(r",(?=\s*\w+=)", value) if option in named else [value]
        for part in parts:
            name, _, of = part.partition("=")
            what = f"{option} {name.strip()}" if option in named else option
            if what in refused:
                raise _bad(
                    key, f"{what} cannot be used: other keys say what a job is, and its size"
                )
            found.given.add(what)
            if what in like:
                common, convert = like[what]
                found.values.append((key, common, convert(of if option in named else part)))
            elif what in taken:
                found.taken.append(part)
            else:
                found.lines.append(f"{prefix} {option} {part}".rstrip())
    return found


def _bad(key: str, problem: str) -> SchedConfigError:
    key = f"schedule.{key}"
    return SchedConfigError(f"Bad value for {key}: {problem}.", data={"key": key})


def usable(
    states: Collection[str], own: Mapping[str, Any], is_ours: bool = False, has_jobs: bool = False
) -> dict[str, Any]:
    """'up', 'available', and 'cause', of a node in all of these states, by the lists 'up_states',
    'avail_states' and 'reserved_states' of a section.

    :param is_ours: Whether the node belongs to the reservation that the job uses.  Then it may be
        reserved, and available.
    :param has_jobs: Whether it has jobs, which its states do not show.
    """
    ours = set(own["reserved_states"]) if is_ours else set()
    up = bool(states) and set(states) <= ours.union(own["up_states"])
    available = up and set(states) <= ours.union(own["avail_states"])
    cause = "" if available else ",".join(states) or "no state"
    if available and has_jobs:
        available, cause = False, "it has jobs"
    return {"up": up, "available": available, "cause": cause}
