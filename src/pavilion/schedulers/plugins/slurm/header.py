"""The #SBATCH lines of a kickoff script: a table from options to directives.

sbatch reads each line like a shell would, but runs nothing: quotes group, a backslash escapes, and
'#' begins a comment (22.05.8). So text goes in double quotes, where '; $( ) `' and '#' are plain
characters, and what could end the quotes or the line is refused.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ...batch import directives
from ...batch.directives import (
    NAME_LIMIT,
    BatchHeader,
    Directive,
    Request,
    host_list,
    number,
    refuse,
    safe_job_name,
    shown_character,
)
from ...placement import hostlists
from ...time_limits import clock_text
from .extra import COUNTED_BY_SLURM, given_names, refuse_fewer_tasks
from .options import Option, read_options

__all__ = ["DIRECTIVES", "NAME_LIMIT", "Request", "SbatchHeader", "render", "safe_job_name"]

PREFIX = "#SBATCH"
_FEATURE = r"[^\s&|()\[\]*,\"'\\]+"


# --- Values ---


def quoted(key: str, value: Any) -> str | None:
    """A value in double quotes; see pavilion.schedulers.batch.directives."""
    return directives.quoted(key, value, "Slurm")


def constraint(features: Iterable[str]) -> str | None:
    """The value of --constraint: nodes must have one of the alternatives of each feature.

    ['a|b', 'c'] is '(a|b)&c'. Without parentheses, Slurm reads from left to right.

    :raises SchedulerPluginError: for a feature that is more than names and '|'.
    """
    terms = []
    for feature in features:
        names = [name.strip() for name in str(feature).split("|")]
        for name in names:
            if not re.fullmatch(_FEATURE, name):
                raise refuse(
                    "slurm.features",
                    feature,
                    "each item must be a feature's name, or "
                    "several with '|' between them, any of which will do",
                )
        terms.append("|".join(dict.fromkeys(names)))
    terms = list(dict.fromkeys(terms))
    if len(terms) > 1:
        terms = [f"({term})" if "|" in term else term for term in terms]
    return quoted("slurm.features", "&".join(terms))


def extra_lines(options: Iterable[str], nodes: Iterable[str] = ()) -> list[str]:
    """The lines for options that users wrote themselves, such as '--mem=4G'.

    :param nodes: The nodes that the job's own line requests.  A list of nodes (--nodelist) is left
        out when they are among these: where nodes were chosen for a job, there are more of them.
    :raises SchedulerPluginError: for text that is not one line of options: it must start with
        '-', its quotes must be closed, and it must not hold control characters.
    """
    lines = []
    for option in options:
        text = str(option).strip()
        if not text:
            continue
        key = "slurm.sbatch_extra"
        bad = next((char for char in text if not char.isprintable()), None)
        if bad is not None:
            raise refuse(
                key,
                option,
                f"it contains {shown_character(bad)}. Write each option as an item of its own",
            )
        if not text.startswith("-"):
            hint = " (without '#SBATCH')" if text.startswith("#") else ""
            raise refuse(key, option, f"an option must start with '-'{hint}")
        try:
            words = shlex.split(text)
        except ValueError as exc:
            raise refuse(key, option, f"its quotes do not match ({exc})") from exc
        if "" in words:
            # sbatch drops an empty value and takes the next word in its place.
            raise refuse(key, option, "it has an empty value")
        lines.append(_without_nodelist(text, frozenset(nodes)))
    return [line for line in lines if line]


def _without_nodelist(text: str, nodes: frozenset[str]) -> str:
    try:
        options = read_options(text)
        others = [
            option
            for option in options
            if option.name != "nodelist" or not nodes.issuperset(hostlists.expand(option.value))
        ]
    except ValueError:
        # sbatch says what is wrong with it.
        return text
    return text if len(others) == len(options) else " ".join(map(Option.words, others))


def _nodes(request: Request) -> str | None:
    least, most = request.node_min, request.node_max
    if most is None:
        if least <= 1:
            # Slurm then takes as many as the tasks need.
            return None
        most = max(least, request.config.get("tasks") or least)
    return str(least) if most == least else f"{least}-{most}"


def _tasks(request: Request) -> str | None:
    tasks = request.config.get("tasks")
    # With fewer tasks than nodes, sbatch would take nodes off the job.  Users get an error, see
    # SbatchHeader.request.
    return str(max(tasks, request.node_min)) if tasks else None


def _tasks_per_node(request: Request) -> str | None:
    return None if request.config.get("tasks") else str(request.tasks_per_node)


def _text(key: str) -> Callable[[Request], str | None]:
    return lambda request: quoted(key, request.config.get(key))


def _comma_list(key: str, value: Any) -> str | None:
    """Names with commas between them; sbatch takes a blank there for a part of the name."""
    return quoted(key, value and ",".join(name.strip() for name in str(value).split(",")))


# The header, in this order.
DIRECTIVES: tuple[Directive, ...] = (
    Directive(
        "--job-name",
        (),
        lambda request: quoted("job name", safe_job_name(request.job_name)),
        ("job-name",),
    ),
    # A kickoff script must not run twice: its tests would.
    Directive("--no-requeue", (), lambda request: "", ("requeue", "no-requeue")),
    Directive(
        "--core-spec",
        ("core_spec",),
        lambda request: number("core_spec", request.config.get("core_spec"), " of cores"),
        ("core-spec", "thread-spec"),
    ),
    Directive(
        "-p",
        ("partition",),
        lambda request: _comma_list("partition", request.config.get("partition")),
        ("partition",),
    ),
    Directive(
        "--reservation",
        ("reservation",),
        lambda request: _reservation(request.config),
        ("reservation",),
    ),
    Directive(
        "--qos", ("qos",), lambda request: _comma_list("qos", request.config.get("qos")), ("qos",)
    ),
    Directive("--account", ("account",), _text("account"), ("account",)),
    Directive(
        "--constraint",
        ("slurm.features",),
        lambda request: constraint((request.config.get("slurm") or {}).get("features") or ()),
        ("constraint",),
    ),
    Directive(
        "-t", ("time_limit",), lambda request: clock_text(request.config["time_limit"]), ("time",)
    ),
    # A list of the user's own is in the nodes that were chosen, see extra_lines().
    Directive(
        "-w",
        ("include_nodes", "across_nodes", "chunking"),
        lambda request: host_list("include_nodes", request.include_nodes),
    ),
    Directive(
        "-x",
        ("exclude_nodes",),
        lambda request: host_list("exclude_nodes", request.exclude_nodes),
        ("exclude",),
    ),
    Directive("--nodes", ("nodes", "min_nodes"), _nodes, ("nodes",)),
    Directive("--ntasks", ("tasks",), _tasks, ("ntasks",)),
    Directive(
        "--ntasks-per-node",
        ("tasks_per_node", "min_tasks_per_node"),
        _tasks_per_node,
        ("ntasks", "ntasks-per-node", *sorted(COUNTED_BY_SLURM)),
    ),
)


def render(request: Request) -> list[str]:
    """The #SBATCH lines for a job.

    :raises SchedulerPluginError: for a value that Slurm must not get, naming its key.
    """
    lines = directives.render(PREFIX, DIRECTIVES, request, given_names(request.config))
    extra = (request.config.get("slurm") or {}).get("sbatch_extra") or ()
    lines += [f"{PREFIX} {option}" for option in extra_lines(extra, request.include_nodes)]
    return lines


def _reservation(config: Mapping[str, Any]) -> str | None:
    # 'any' is a filter on nodes; there is no reservation of that name to request.
    return (
        None
        if config.get("reservation") == "any"
        else _comma_list("reservation", config.get("reservation"))
    )


class SbatchHeader(BatchHeader):
    """The header of a kickoff script for sbatch."""

    def _kickoff_lines(self) -> list[str]:
        """The #SBATCH lines.  :raises SchedulerPluginError: see :func:`render`."""
        return render(self.request())

    def request(self) -> Request:
        """This job's request.

        :raises SchedulerPluginError: when the number of tasks per node cannot be worked out.
        :raises SchedConfigError: when there are fewer tasks than nodes.
        """
        refuse_fewer_tasks(self._config.get("tasks"), self._node_min)
        return super().request()
