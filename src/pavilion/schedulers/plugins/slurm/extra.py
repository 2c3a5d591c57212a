"""What the options in ``schedule.slurm.sbatch_extra`` request, as the schedule section says it.

A user's own option takes precedence over the key that stands for the same thing.  The section that
a job is planned by, and that its variables come from, says so (:func:`settled`), and the header
leaves its own line out (``Directive.yields_to``).  Options with which a test could not run as one
job are refused before anything is submitted.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pavilion.errors import SchedConfigError

from ...config import parse_node_range
from ...time_limits import UNLIMITED, from_seconds
from .options import Option, StrayWordError, options_of, read_options

KEY = "schedule.slurm.sbatch_extra"

# Options that cannot be used -> why, and what to do.
REFUSED: dict[str, str] = {
    "array": "a test is one job, and only one part of an array would run it. Use permute_on for "
    "several runs of a test",
    "test-only": "it creates no job. 'pav-sched plan' shows what would be submitted",
    "wait": "sbatch would not return before the job ends",
    "wrap": "the job's script is the kickoff script",
    "external": "such a job has no script",
    "help": "it submits nothing",
    "usage": "it submits nothing",
    "version": "it submits nothing",
    "nodefile": "name the nodes in schedule.include_nodes",
}
# Those that say which, or how many, nodes a job gets.
PLACING = frozenset(
    ["partition", "reservation", "constraint", "nodelist", "exclude", "clusters", "nodes"]
)
# Those that say how many tasks there are, in a way that Slurm works out.
COUNTED_BY_SLURM = frozenset(["ntasks-per-socket", "ntasks-per-core", "ntasks-per-gpu"])


def checked_options(items: Sequence[Any]) -> list[Option]:
    """The options in a user's list, in order.

    :raises SchedConfigError: For options that cannot be used, and words that are not options.
    """
    for item in items:
        try:
            options = read_options(str(item))
        except StrayWordError as exc:
            word = str(exc)
            if word == ":" or "hetjob" in str(item).split() or "packjob" in str(item).split():
                raise _refused(
                    item, "heterogeneous jobs are not supported: a test is one job of one kind"
                ) from exc
            raise _refused(
                item,
                f"{word!r} is not an option, nor the value of one. Each item has "
                "one or more complete options, such as '--mem 4G', without "
                "'#SBATCH'",
            ) from exc
        except ValueError:
            # Its quotes; the header's own check says so.
            continue
        for option in options:
            if option.name in REFUSED:
                raise _refused(item, f"--{option.name} cannot be used: {REFUSED[option.name]}")
    return options_of(items)


def settled(config: dict[str, Any]) -> dict[str, Any]:
    """A schedule section in which the user's own options have their say.

    :param config: A validated section.  It is not changed.
    :raises SchedConfigError: For options that cannot be used, or that contradict each other.
    """
    items = config["slurm"]["sbatch_extra"]
    if not items:
        _check_tasks(config)
        return config
    result = dict(config)
    given = {option.name: option.value for option in checked_options(items)}
    for name, settle in _SETTLE.items():
        value = given.get(name)
        if value:
            settle(result, value.strip())
    _settle_counts(result, given, config["tasks"])
    _check_tasks(result)
    return result


def given_names(config: Mapping[str, Any]) -> frozenset[str]:
    """The names of the options that the user gave."""
    items = (config.get("slurm") or {}).get("sbatch_extra") or ()
    return frozenset(option.name for option in options_of(items))


def value_of(items: Sequence[Any], name: str) -> str | None:
    """The value of an option in a user's list: the last one, as sbatch takes it."""
    return next(
        (option.value for option in reversed(options_of(items)) if option.name == name), None
    )


# --- Each option, and the keys that it stands for ---


def _text(key: str) -> Callable[[dict[str, Any], str], None]:
    return lambda config, value: config.__setitem__(key, value)


_COUNT = re.compile(r"([0-9]{1,9})([kKmM]?)", re.ASCII)
_FACTORS = {"": 1, "k": 1024, "m": 1024**2}


def _count(text: str) -> int | None:
    """A number as sbatch takes it ('2', '1k'); None for anything else, which sbatch refuses."""
    match = _COUNT.fullmatch(text)
    return int(match[1]) * _FACTORS[match[2].lower()] or None if match else None


def _nodes(config: dict[str, Any], value: str) -> None:
    least, dash, most = value.partition("-")
    low, high = _count(least), _count(most if dash else least)
    if low and high:
        config["nodes"], config["min_nodes"] = high, low


def _tasks(config: dict[str, Any], value: str) -> None:
    config["tasks"] = _count(value) or config["tasks"]


def _tasks_per_node(config: dict[str, Any], value: str) -> None:
    number = _count(value)
    if number:
        config["tasks_per_node"], config["min_tasks_per_node"] = number, None


def _names(key: str, option: str) -> Callable[[dict[str, Any], str], None]:
    def settle(config: dict[str, Any], value: str) -> None:
        if "/" in value:
            raise _refused(f"--{option}={value}", f"a file cannot be used: {REFUSED['nodefile']}")
        config[key] = parse_node_range(value)

    return settle


# minutes, minutes:seconds, hours:minutes:seconds, days-hours[:minutes[:seconds]]
_TIME = re.compile(
    r"(?:([0-9]+)-([0-9]+)(?::([0-9]+)(?::([0-9]+))?)?"
    r"|(?:([0-9]+):)?([0-9]+):([0-9]+)|([0-9]+))",
    re.ASCII,
)


def slurm_seconds(text: str) -> int | None:
    """The seconds of a time limit as sbatch takes it ('30', '0:30', '1-12'), in whole minutes as
    Slurm keeps it; None for '0' and 'UNLIMITED', and for what is not a limit."""
    match = _TIME.fullmatch(text)
    if match is None or len(text) > 40:
        return None
    days, day_hours, day_minutes, day_seconds, hours, minutes, seconds, alone = (
        int(part or 0) for part in match.groups()
    )
    total = (
        ((days * 24 + day_hours + hours) * 60 + day_minutes + minutes + alone) * 60
        + day_seconds
        + seconds
    )
    return -(-total // 60) * 60 or None


def _time(config: dict[str, Any], value: str) -> None:
    seconds = slurm_seconds(value)
    if seconds:
        config["time_limit"] = from_seconds(seconds)
    elif value.lower() in ("0", "-1", "unlimited", "infinite"):
        config["time_limit"] = UNLIMITED


_TERM = re.compile(r"\(?([\w.:@+-]+(?:\|[\w.:@+-]+)*)\)?", re.ASCII)


def _features(config: dict[str, Any], value: str) -> None:
    terms = [_TERM.fullmatch(term.strip()) for term in value.replace(",", "&").split("&")]
    simple = all(terms) and (
        len(terms) == 1
        or all(
            term is not None and ("|" not in term[1] or term[0].startswith("(")) for term in terms
        )
    )
    # What more such an expression may hold (counts, brackets) is left to Slurm: then any node
    # may do.
    config["slurm"] = {
        **config["slurm"],
        "features": [term[1] for term in terms if term is not None] if simple else [],
    }


_SETTLE: dict[str, Callable[[dict[str, Any], str], None]] = {
    "partition": _text("partition"),
    "qos": _text("qos"),
    "account": _text("account"),
    "reservation": _text("reservation"),
    "core-spec": _text("core_spec"),
    "time": _time,
    "nodes": _nodes,
    "ntasks": _tasks,
    "ntasks-per-node": _tasks_per_node,
    "nodelist": _names("include_nodes", "nodelist"),
    "exclude": _names("exclude_nodes", "exclude"),
    "constraint": _features,
}


def _settle_counts(
    config: dict[str, Any], given: Mapping[str, str | None], tasks_before: int | None
) -> None:
    """How many nodes there are, where the user named them.

    :param tasks_before: ``schedule.tasks``.
    """
    names = config["include_nodes"]
    if config["nodes"] is None and given.get("ntasks") and names and not tasks_before:
        # Tasks were not requested in the section, so it stands for these nodes and no more.
        config["nodes"] = config["min_nodes"] = len(names)
    if "nodelist" not in given or not names:
        return
    if config["nodes"] is None and config["tasks"] is None:
        config["nodes"] = config["min_nodes"] = len(names)
    elif isinstance(config["nodes"], int) and config["nodes"] < len(names):
        where = f"--nodes={given['nodes']}" if "nodes" in given else "schedule.nodes"
        raise _refused(
            f"--nodelist={given['nodelist']}",
            f"it names {len(names)} nodes, and {where} requests {config['nodes']}",
        )


def _check_tasks(config: Mapping[str, Any]) -> None:
    least = config["nodes"] if config["min_nodes"] is None else config["min_nodes"]
    if isinstance(least, int):
        refuse_fewer_tasks(config["tasks"], least)


def refuse_fewer_tasks(tasks: int | None, nodes: int) -> None:
    """Releases up to 25.11 take nodes off a job that has fewer tasks; later ones refuse it.

    :raises SchedConfigError: For fewer tasks than nodes.
    """
    if tasks and tasks < nodes:
        raise SchedConfigError(
            f"schedule.tasks is {tasks}, which is less than the number of nodes, {nodes}: Slurm "
            "gives each node of a job at least one task. Request fewer nodes (schedule.nodes, or "
            "schedule.min_nodes), or more tasks.",
            data={"key": "schedule.tasks"},
        )


def _refused(item: Any, problem: str) -> SchedConfigError:
    return SchedConfigError(f"Bad value {str(item)!r} in {KEY}: {problem}.", data={"key": KEY})
