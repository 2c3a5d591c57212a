"""The #SBATCH lines of a kickoff script: a table from options to directives.

sbatch reads each line like a shell would, but runs nothing: quotes group, a backslash escapes, and
'#' begins a comment (22.05.8). So text goes in double quotes, where '; $( ) `' and '#' are plain
characters, and what could end the quotes or the line is refused.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from pavilion.errors import SchedulerPluginError

from ...kickoff import KickoffScriptHeader
from ...placement import hostlists
from ...time_limits import clock_text
from .extra import COUNTED_BY_SLURM, given_names, refuse_fewer_tasks
from .options import Option, read_options

PREFIX = "#SBATCH"
# Slurm refuses names, comments and the like over 1024 characters.
VALUE_LIMIT = 1024
# Longer names only fill the screen.
NAME_LIMIT = 200

_QUOTING = frozenset("\"'\\")
# As text: this module is imported with every plugin, and not always needed.
_NAME_UNSAFE = r"[^A-Za-z0-9_.,:;+@=-]"
_TOKEN = r"[A-Za-z0-9_.:-]+"
_FEATURE = r"[^\s&|()\[\]*,\"'\\]+"


class Request(NamedTuple):
    """What is requested: one job, as plain values.

    ``config`` is a validated schedule section; ``node_max`` None means no upper limit;
    ``tasks_per_node`` counts where the section has no number of tasks; ``token`` is '' or a
    unique text that the job is found by again.
    """

    job_name: str
    config: Mapping[str, Any]
    node_min: int
    node_max: int | None
    include_nodes: tuple[str, ...] = ()
    exclude_nodes: tuple[str, ...] = ()
    tasks_per_node: int = 1
    token: str = ""


class Directive(NamedTuple):
    """An option of sbatch, the keys of the schedule section it comes from, and how to get it.

    ``value`` gives the option's value as it is written in the line, or None to leave it out.  The line
    is left out, too, where the user gave one of the options ``yields_to`` in sbatch_extra.
    """

    option: str
    keys: tuple[str, ...]
    value: Callable[[Request], str | None]
    yields_to: tuple[str, ...] = ()


# --- Values ---


def quoted(key: str, value: Any) -> str | None:
    """A value in double quotes; None for one that is not given or blank.

    :raises SchedulerPluginError: for characters that no such value has, naming key and value.
    """
    if value is None or not str(value).strip():
        return None
    text = str(value).strip()
    if not text.isprintable() or not _QUOTING.isdisjoint(text):
        bad = next(char for char in text if char in _QUOTING or not char.isprintable())
        raise _refuse(
            key,
            value,
            f"it contains {_char(bad)}, which cannot be passed to Slurm. "
            "Quotes, backslashes, line ends and control characters are not allowed",
        )
    if len(text.encode("utf-8", "surrogatepass")) > VALUE_LIMIT:
        raise _refuse(key, value, f"it is longer than {VALUE_LIMIT} bytes")
    return f'"{text}"'


def safe_job_name(name: str, token: str = "") -> str:
    """A job name that is safe to show, to search for, and to use in file names.

    White space becomes '__', any other odd character '_'. Long names are cut. The token, which
    makes a name unique, comes last and is kept whole.

    :raises SchedulerPluginError: for a token that is not made of letters, digits and '_.:-'.
    """
    if token and not re.fullmatch(_TOKEN, token):
        raise _refuse("token", token, "letters, digits and '_.:-' are allowed")
    safe = re.sub(_NAME_UNSAFE, "_", "__".join(str(name).split()))
    if safe.startswith("-"):
        safe = f"_{safe[1:]}"
    suffix = f"-{token}" if token else ""
    return (safe[: NAME_LIMIT - len(suffix)] or "pav") + suffix


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
                raise _refuse(
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
            raise _refuse(
                key, option, f"it contains {_char(bad)}. Write each option as an item of its own"
            )
        if not text.startswith("-"):
            hint = " (without '#SBATCH')" if text.startswith("#") else ""
            raise _refuse(key, option, f"an option must start with '-'{hint}")
        try:
            words = shlex.split(text)
        except ValueError as exc:
            raise _refuse(key, option, f"its quotes do not match ({exc})") from exc
        if "" in words:
            # sbatch drops an empty value and takes the next word in its place.
            raise _refuse(key, option, "it has an empty value")
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
        lambda request: quoted("job name", safe_job_name(request.job_name, request.token)),
        ("job-name",),
    ),
    Directive("--comment", (), lambda request: quoted("token", request.token), ("comment",)),
    # A kickoff script must not run twice: its tests would.
    Directive("--no-requeue", (), lambda request: "", ("requeue", "no-requeue")),
    Directive(
        "--core-spec",
        ("core_spec",),
        lambda request: _core_spec(request.config),
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
        lambda request: _host_list("include_nodes", request.include_nodes),
    ),
    Directive(
        "-x",
        ("exclude_nodes",),
        lambda request: _host_list("exclude_nodes", request.exclude_nodes),
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
EXTRA_KEY = "slurm.sbatch_extra"

# The other keys of the schedule section, and who uses them. Together with those of DIRECTIVES and
# EXTRA_KEY this is all of them; a test sees to that.
LAUNCH_KEYS = frozenset(["slurm.srun_extra", "slurm.mpi_cmd", "wrapper", "mpirun_opts"])
PLACEMENT_KEYS = frozenset(
    [
        "node_state",
        "share_allocation",
        "cluster_info",
        "flex_scheduled",
        "slurm.up_states",
        "slurm.avail_states",
        "slurm.reserved_states",
    ]
)


def render(request: Request) -> list[str]:
    """The #SBATCH lines for a job.

    :raises SchedulerPluginError: for a value that Slurm must not get, naming its key.
    """
    if request.node_max is not None and len(request.include_nodes) > request.node_max:
        raise SchedulerPluginError(
            f"A job of at most {request.node_max} nodes cannot have all "
            f"{len(request.include_nodes)} of include_nodes "
            f"({hostlists.fold_short(request.include_nodes, count=False)})."
        )
    lines = []
    given = given_names(request.config)
    for directive in DIRECTIVES:
        value = None if given.intersection(directive.yields_to) else directive.value(request)
        if value is not None:
            lines.append(f"{PREFIX} {directive.option} {value}".rstrip())
    extra = (request.config.get("slurm") or {}).get("sbatch_extra") or ()
    lines += [f"{PREFIX} {option}" for option in extra_lines(extra, request.include_nodes)]
    return lines


def _core_spec(config: Mapping[str, Any]) -> str | None:
    value = config.get("core_spec")
    if value is None or not str(value).strip():
        return None
    text = str(value).strip()
    if not re.fullmatch(r"[0-9]+", text):
        raise _refuse("core_spec", value, "it must be a number of cores")
    return text


def _reservation(config: Mapping[str, Any]) -> str | None:
    # 'any' is a filter on nodes; there is no reservation of that name to request.
    return (
        None
        if config.get("reservation") == "any"
        else _comma_list("reservation", config.get("reservation"))
    )


def _host_list(key: str, names: Iterable[str]) -> str | None:
    try:
        return hostlists.fold(names) or None
    except ValueError as exc:
        raise SchedulerPluginError(f"Bad node names in schedule.{key}", prior_error=exc) from exc


def _refuse(key: str, value: Any, problem: str) -> SchedulerPluginError:
    where = key if key in ("token", "job name") else f"schedule.{key}"
    return SchedulerPluginError(f"Bad value {value!r} for {where}: {problem}.", data={"key": key})


def _char(char: str) -> str:
    names = {"\n": "a line end", "\r": "a line end", "\t": "a tab", "\0": "a NUL character"}
    return names.get(char, repr(char))


class SbatchHeader(KickoffScriptHeader):
    """The header of a kickoff script for sbatch.

    ``token``: set it to find the job again by its name and comment; '' (the default) for none.
    """

    token: str = ""

    def _kickoff_lines(self) -> list[str]:
        """The #SBATCH lines.  :raises SchedulerPluginError: see :func:`render`."""
        return render(self.request())

    def request(self) -> Request:
        """This job's request.

        :raises SchedulerPluginError: when the number of tasks per node cannot be worked out.
        :raises SchedConfigError: when there are fewer tasks than nodes.
        """
        refuse_fewer_tasks(self._config.get("tasks"), self._node_min)
        return Request(
            job_name=self._job_name,
            config=self._config,
            node_min=self._node_min,
            node_max=self._node_max,
            include_nodes=tuple(self._include_nodes),
            exclude_nodes=tuple(self._exclude_nodes),
            tasks_per_node=self._tasks_per_node(),
            token=self.token,
        )

    def _tasks_per_node(self) -> int:
        configured = self._config.get("tasks_per_node")
        if self._config.get("tasks") or isinstance(configured, int):
            return int(configured or 1)
        if self._sched_vars is None:
            return 1
        try:
            return int(self._sched_vars.tasks_per_node())
        except (TypeError, ValueError) as exc:
            raise SchedulerPluginError(
                f"The number of tasks per node is not known for tasks_per_node {configured!r}",
                prior_error=exc,
            ) from exc
