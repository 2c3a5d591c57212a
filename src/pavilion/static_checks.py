"""What is wrong with a test, or doubtful, judging by its config alone: numbers of nodes that
contradict each other, and chunks that would silently be other ones than were meant."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pavilion import schedulers
from pavilion.errors import ConfigError, SchedConfigError
from pavilion.near import did_you_mean
from pavilion.schedulers.config import validate_config
from pavilion.schedulers.lifecycle.pinning import is_pinned
from pavilion.schedulers.placement.inventory import frozen
from pavilion.unknown_nodes import unknown_nodes
from pavilion.variables import VariableSetManager
from pavilion.variables.resolver import CHUNK_IDS

if TYPE_CHECKING:
    from pavilion.resolve import ResolvedTest

_ALL_CHUNKS = "chunk_ids"
# Variables that bash itself sets.
_READ_ONLY = frozenset(("BASHOPTS", "BASH_VERSINFO", "EUID", "PPID", "SHELLOPTS", "UID"))
# What schedule.share_allocation may be.
SHARE_OPTIONS = ("true", "false", "max")


def check_single_chunk(manager: VariableSetManager, text: str) -> None:
    """Refuse a ``chunk`` that is the first of several without saying so.

    :param text: The value of the key, variables not filled in.
    :raises ConfigError: Naming the variable, and what to do.
    """
    for reference, variable in manager.silent_firsts(text):
        name = variable.partition(".")[2]
        meaning = (
            "one chunk only, the first"
            if variable == ".".join(CHUNK_IDS)
            else "the first item of a list"
        )
        raise ConfigError(
            f"{{{{{reference}}}}} is {meaning}. Add 'permute_on: {name}' to make a test run for each "
            f"of them, or name the one that is meant: '{{{{{reference}.0}}}}' is the first."
        )


def env_problems(run: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The names in ``run.env`` that the shell would refuse to set, without stopping the script.

    :param run: The section ``run`` of a test.
    :returns: Names, and what is wrong with them.
    """
    if "bash" not in (run["shebang"] or ""):
        return
    for name in run["env"] or {}:
        if name in _READ_ONLY:
            yield name, f"bash does not let a script set {name}. Choose another name."


def section_problems(
    plugin: schedulers.SchedulerPlugin, section: Mapping[str, Any], chunk: str | None = None
) -> Iterator[SchedConfigError]:
    """What is wrong with a schedule section whose values are of the right types.

    :param section: As it was written, with variables filled in.
    :param chunk: The test's ``chunk``; None where it is not known.
    :returns: Errors whose data names the key.
    """
    config = validate_config(section)
    share = str(section.get("share_allocation") or "true").strip().lower()
    if share not in SHARE_OPTIONS:
        # The schedulers, like Pavilion, take whatever is not 'false' as true.
        hint = did_you_mean(share, SHARE_OPTIONS)
        yield _problem(
            "share_allocation",
            f"Bad value {section['share_allocation']!r}.{hint} Allowed: {', '.join(SHARE_OPTIONS)}",
        )
    cores = str(config["core_spec"] or "0").strip()
    if not (cores.isascii() and cores.isdigit()):
        yield _problem("core_spec", f"core_spec must be a whole number of cores, not {cores!r}")
    yield from _size_problems(plugin, config, chunk)


def _size_problems(
    plugin: schedulers.SchedulerPlugin, config: Mapping[str, Any], chunk: str | None
) -> Iterator[SchedConfigError]:
    """The numbers of nodes in a validated section that contradict each other."""
    nodes, least = config["nodes"], config["min_nodes"]
    if type(nodes) is type(least) and least is not None and least > nodes:
        yield _problem(
            "min_nodes", f"min_nodes ({_count(least)}) is more than nodes ({_count(nodes)})"
        )
        return
    included = len(config["include_nodes"])
    if isinstance(nodes, int) and included > nodes:
        yield _problem(
            "include_nodes", f"include_nodes names {included} nodes, but nodes is only {nodes}"
        )
    if not isinstance(plugin, schedulers.SchedulerPluginAdvanced):
        return
    size = config["chunking"]["size"]
    for key, count in (("min_nodes", least), ("nodes", nodes if least is None else None)):
        if size and isinstance(size, int) and isinstance(count, int) and count > size:
            yield _problem(
                key,
                f"{key} ({count}) is more than chunking.size ({size}): a test gets nodes of one "
                "chunk",
            )
    if not size and chunk is not None and chunk.isdigit() and int(chunk) > 0:
        yield SchedConfigError(
            f"there is no chunk {int(chunk)}, because schedule.chunking.size is 0, which means that "
            "the nodes are not cut into chunks.",
            data={"key": "chunk"},
        )


def _problem(key: str, text: str) -> SchedConfigError:
    return SchedConfigError(f"{text}.", data={"key": f"schedule.{key}"})


def _count(count: int | float) -> str:
    return str(count) if isinstance(count, int) else f"{count * 100:g}%"


def doubts(resolved: Sequence[ResolvedTest]) -> dict[str, list[str]]:
    """Requests that are allowed, but may not be what the author of the test meant.

    :returns: What to say -> the names of the tests, each test of a suite once.
    """
    found: dict[str, dict[str, None]] = {}
    looked_at: set[int] = set()
    unknown: dict[Any, list[str]] = {}
    for test in resolved:
        # The permutations of a test have the same doubts.
        if id(test.source) not in looked_at:
            looked_at.add(id(test.source))
            name = f"{test.source.suite}.{test.source.name}"
            for text in (*_doubts_of(test), *_unknown_nodes(test, unknown)):
                found.setdefault(text, {})[name] = None
    return {text: list(names) for text, names in found.items()}


def _unknown_nodes(test: ResolvedTest, known: dict[Any, list[str]]) -> list[str]:
    """What is doubtful about the nodes that a test names.

    :param known: What was found so far: many tests have the same section.
    """
    if is_pinned(test.config):
        # It has the nodes of an earlier run, whatever it names.
        return []
    name, section = test.config["scheduler"], test.config["schedule"]
    key = (name, frozen(section))
    if key not in known:
        known[key] = list(unknown_nodes(schedulers.get_plugin(name), section))
    return known[key]


def _doubts_of(test: ResolvedTest) -> Iterator[str]:
    config = test.source.config
    names = [name.rpartition(".")[2] for name in config["permute_on"]]
    schedule = test.config["schedule"]
    chunking = schedule.get("chunking") or {}
    chunked = str(chunking.get("size") or "0").strip() not in ("0", "none")
    if _ALL_CHUNKS in names:
        if not chunked:
            yield (
                "'permute_on: chunk_ids' makes one test run only, because schedule.chunking.size "
                "is 0: the nodes are not cut into chunks"
            )
        elif test.config["chunk"] == "any":
            yield (
                "'permute_on: chunk_ids' without \"chunk: '{{chunk_ids}}'\": each test run gets the "
                "chunk that is used least, whatever the number in its name"
            )
        return
    if _uses_first_chunk(test):
        yield (
            "{{chunk_ids}} is 0, whichever chunk the test runs on; 'permute_on: chunk_ids' and "
            "\"chunk: '{{chunk_ids}}'\" make a test run for each chunk"
        )
    if chunked and test.config["chunk"] == "any" and _is_all(schedule.get("nodes")):
        # The scheduler is queried for its nodes here, as it is when the test is placed.
        count = len(_chunk_ids(test))
        if count > 1:
            yield (
                f"'nodes: all' is one of the {count} chunks, the one that is used least; "
                "'permute_on: chunk_ids' and \"chunk: '{{chunk_ids}}'\" make a test run for each "
                "chunk"
            )


def _is_all(nodes: Any) -> bool:
    return str(nodes).strip().lower() in ("all", "100%")


def _chunk_ids(test: ResolvedTest) -> Sequence[str]:
    try:
        return list(test.sched_vars["chunk_ids"])
    except (schedulers.SchedulerPluginError, SchedConfigError):
        # Its scheduler does not answer.  That becomes an error of the test when it is placed.
        return []


def _uses_first_chunk(test: ResolvedTest) -> bool:
    run = test.source.config["run"]
    texts = [*run["cmds"], *(value for value in (run["env"] or {}).values() if value)]
    variable = ".".join(CHUNK_IDS)
    return any(
        variable == found
        for text in texts
        if "{{" in text
        for _, found in test.var_man.silent_firsts(text)
    )
