"""A plugin's own section of the schedule configuration: a table; keys of it that stand for those that
every scheduler has; the scheduler's options as users write them; and states of nodes to use."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from collections.abc import Set as AbstractSet
from types import MappingProxyType
from typing import Any, NamedTuple

import yaml_config as yc
from pavilion.errors import SchedConfigError
from pavilion.types import NodeInfo

from ..config import Validator
from ..time_limits import clock_limit, short_text
from .words import wrong_key


class OwnKey(NamedTuple):
    """A key of a plugin's own section.

    :param help: What users read about it.
    :param default: Written like a user's value; a list for a key that has several.
    :param stands_for: The common key that it stands for, as in the section of another host.
    :param is_usual: Whether its default counts where neither is set, in place of the common one.
    :param excludes: Another key of the section that cannot be set beside it.
    """

    name: str
    help: str
    default: Any = None
    validator: Validator = None
    stands_for: str = ""
    is_usual: bool = False
    excludes: str = ""


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


def all_nodes(value: Any) -> float | None:
    """A validator for 'true', which is all nodes as a value of ``nodes``, and 'false'.

    :raises SchedConfigError: As :func:`flag`.
    """
    return 1.0 if flag(value) else None


class Options(NamedTuple):
    """Options of the submit command, as a user gave them.

    :param given: Their names: '-q'; and for options with a list of 'name=value', '-l place'.
    :param lines: Those that go into the script as they are.
    :param values: Those that are like common keys: (where, key, value).
    :param taken: The values of those that are used in another way.
    """

    given: AbstractSet[str] = frozenset()
    lines: list[str] = []
    values: list[tuple[str, str, Any]] = []
    taken: list[str] = []


class UserOptions(NamedTuple):
    """Which options of the submit command, each with a name of one letter, a user may give.

    :param key: The key of the list that has them, such as 'mysched.extra'.
    :param named: Options whose value is a list with commas of 'name=value'.
    :param refused: Those that cannot be used, because other keys say what a job is, and its size.
    :param like: Those that are like a common key, and that key.  A time limit has the form H:M:S.
    :param taken: Those that the plugin uses in another way.
    """

    key: str
    named: Collection[str] = ()
    refused: Collection[str] = ()
    like: Mapping[str, str] = MappingProxyType({})
    taken: Collection[str] = ()

    def read(self, config: Mapping[str, Any], prefix: str) -> Options:
        """The options in a schedule section.

        :param prefix: What lines of options begin with; items may begin with it, too.
        :raises SchedConfigError: For an item that is not an option, or one that cannot be used.
        """
        import shlex

        given: set[str] = set()
        found = Options(given, [], [], [])
        section, _, name = self.key.partition(".")
        for item in config[section][name]:
            text = str(item).strip()
            match = re.fullmatch(rf"(?:{re.escape(prefix)}\s+)?(-[A-Za-z])\s*(.*)", text)
            if match is None or not text.isprintable():
                raise wrong_key(self.key, f"{text!r} is not an option, such as '-m n'")
            option, value = match.groups()
            plain = self._unquoted(text, value)
            is_named = option in self.named
            # 'a=1,2,b=3' is a=1,2 and b=3.
            for part in re.split(r",(?=\s*\w+=)", plain) if is_named else [value]:
                line = shlex.quote(part) if is_named and plain != value else part
                given.add(self._add(found, f"{prefix} {option} {line}", option, part, is_named))
        return found

    def _unquoted(self, text: str, value: str) -> str:
        """An option's value without its quotes.

        :raises SchedConfigError: When there are several options, of which only the first would be
            looked at, or a quote is not closed.
        """
        import shlex

        try:
            words = shlex.split(value)
        except ValueError as exc:
            raise wrong_key(self.key, f"{text!r} cannot be read: {exc}") from exc
        if any(re.match("-[A-Za-z]", word) for word in words):
            raise wrong_key(
                self.key, f"{text!r} has several options: each must be an item of its own"
            )
        return " ".join(words)

    def _add(self, found: Options, line: str, option: str, value: str, is_named: bool) -> str:
        name, _, of = value.partition("=")
        what = f"{option} {name.strip()}" if is_named else option
        if what in self.refused:
            problem = f"{what} cannot be used: other keys say what a job is, and its size"
            raise wrong_key(self.key, problem)
        if what in self.like:
            text = of if is_named else value
            common = self.like[what]
            found.values.append(
                (self.key, common, clock_limit(text) if common == "time_limit" else text)
            )
        elif what in self.taken:
            found.taken.append(value)
        else:
            found.lines.append(line.rstrip())
        return what


def settled(
    name: str,
    keys: Iterable[OwnKey],
    config: Mapping[str, Any],
    raw: Mapping[str, Any],
    options: Options,
) -> dict[str, Any]:
    """A validated schedule section in which what its own keys, and options, say is said by the
    common keys that they stand for.

    :param name: The plugin's, and its section's.
    :param raw: The section before it was validated: what is set in it was set by the user.
    :raises SchedConfigError: When two contradict each other.  None of them is ignored.
    """
    result, own, mine = dict(config), config[name], raw.get(name) or {}
    said = {key: f"schedule.{key}" for key, value in raw.items() if value}
    given = list(options.values)
    usual: list[tuple[str, str, Any]] = []
    for key in keys:
        is_set = mine.get(key.name) and own[key.name] not in (None, False)
        if is_set and mine.get(key.excludes) and own[key.excludes]:
            raise wrong_key(
                f"{name}.{key.name}", f"{name}.{key.excludes} is set, too: set one of them"
            )
        if key.stands_for and (is_set or key.is_usual):
            (given if is_set else usual).append(
                (f"{name}.{key.name}", key.stands_for, own[key.name])
            )
    for where, common, value in given:
        before, where = result[common], f"schedule.{where}"
        # 1 is a number of nodes, and 1.0 is all of them.
        if common in said and (type(before), before) != (type(value), value):
            raise SchedConfigError(
                f"{where} and {said[common]} contradict each other: {_shown(common, value)} and "
                f"{_shown(common, before)}. "
                "Set one of them.",
                data={"key": where},
            )
        result[common], said[common] = value, where
    result.update((common, value) for _, common, value in usual if common not in said)
    return result


def _shown(key: str, value: Any) -> str:
    """A value of a common key, for messages."""
    return short_text(value) if key == "time_limit" else repr(value)


def judged(node: NodeInfo, config: Mapping[str, Any], own: Mapping[str, Any]) -> NodeInfo:
    """A node with 'up', 'available', and 'cause', by its 'states' and the lists 'up_states',
    'avail_states' and 'reserved_states' of a section, if this has them and the node has no 'up' yet.

    A node that is reserved is as good as any for jobs that use one of its 'reservations'.  A node
    with 'jobs' is not available, whatever its states.
    """
    if "up" in node or "up_states" not in own:
        return dict(node)
    ours = config["reservation"] in node.get("reservations", ())
    states = set(node["states"]).difference(own["reserved_states"] if ours else ())
    reserved = ours and not states
    up = reserved or (bool(states) and states <= set(own["up_states"]))
    available = up and (reserved or states <= set(own["avail_states"]))
    cause = "" if available else ",".join(node["states"]) or "no state"
    if available and node.get("jobs"):
        available, cause = False, "it has jobs"
    return {**node, "up": up, "available": available, "cause": cause}
