"""What Slurm's commands print, as data. Pure functions on text, no I/O.

An answer to a ``-O`` query is only believed when its header line is there and its last row ends
as it must; otherwise :class:`UnreadableAnswer` is raised. A row with a wrong number
of fields is refused and reported, and the others stand. Lines around and between rows that
belong to none (banners of a site) are passed over.

Text that was cut exactly at the end of a row looks complete; whoever concludes something from a
job's absence queries twice (see job_table).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from ...lifecycle.job_cache import JobRecord
from ...near_matches import near_matches
from ...placement import hostlists
from ...placement.inventory import CAUSE
from .queries import (
    FIELD_END,
    JOB_FIELDS,
    NODE_FIELDS,
    REASON_FIELDS,
    ROW_END,
    SCRIPT_FIELDS,
)
from .states import Phase, Usability, has_reason, node_state_names, parse_job_state

MIB = 1024**2
# What Slurm writes for 'nothing'.
_NOTHING = frozenset(["", "(null)", "N/A", "NONE", "none", "n/a", "None"])


class UnreadableAnswer(ValueError):
    """An answer is cut off, or is not an answer: nothing can be concluded from it."""


class RefusedRow(NamedTuple):
    """A row that cannot be read. ``job_id`` is '' where even that is not sure."""

    text: str
    problem: str
    job_id: str = ""


# --- Tables: the answers to -O ---


def parse_table(text: str, width: int, what: str) -> tuple[list[list[str]], list[RefusedRow]]:
    """Split the answer to a -O query into rows of ``width`` fields.

    :param what: The command, for messages.
    :return: (rows without the header, rows that were refused)
    :raises UnreadableAnswer: for text without a header line, or one that is cut off.
    """
    rows: list[list[str]] = []
    refused: list[RefusedRow] = []
    *records, rest = text.split(f"{ROW_END}\n")
    if FIELD_END in rest or ROW_END in rest or (rest and not rest.endswith("\n")):
        raise UnreadableAnswer(f"The output of {what} is cut off: its last line is {_shown(rest)}.")
    last = width - 1
    for record in records:
        row = record.split(FIELD_END, last)
        if len(row) == width:
            rows.append(row)
        else:
            problem = f"{len(row)} fields instead of {width}"
            refused.append(RefusedRow(_shown(record), problem))
    if not rows or not _is_header(rows[0]):
        shown = f": {_shown(text.strip())}" if text.strip() else ""
        raise UnreadableAnswer(f"The output of {what} does not begin with its header line{shown}.")
    if refused:
        refused = [_with_id(row) for row in refused]
    return rows[1:], refused


def _is_header(row: Sequence[str]) -> bool:
    """Whether these are the names of fields: capital letters, below whatever a site prints."""
    names = [row[0].rpartition("\n")[2], *row[1:]]
    return all(re.fullmatch(r"[A-Z][A-Z0-9_:()/ -]*", name) for name in names)


def _with_id(row: RefusedRow) -> RefusedRow:
    job_id = re.match(r"'([0-9]+)\\x1f", row.text)
    return row._replace(job_id=job_id.group(1)) if job_id else row


def _shown(text: str, limit: int = 100) -> str:
    """A string for a message: on one line, control characters visible, not too long."""
    return repr(text if len(text) <= limit else text[:limit] + "...")


def _last_line(text: str) -> str:
    """A row's first field without the lines that a site printed before it."""
    return text.rpartition("\n")[2] if "\n" in text else text


# --- Nodes ---


class Node(NamedTuple):
    """A node as Slurm describes it. ``mem`` is in bytes; ``state`` as Slurm writes it."""

    name: str
    state: str
    cpus: int
    mem: int
    features: tuple[str, ...]
    partitions: tuple[str, ...]
    reason: str


def parse_nodes(text: str) -> tuple[list[Node], list[RefusedRow]]:
    """Read the answer to ``queries.inventory``: each node once, with all its partitions.

    :raises UnreadableAnswer: when the answer is incomplete.
    """
    rows, refused = parse_table(text, len(NODE_FIELDS), "sinfo")
    groups: dict[str, _Group] = {}
    # Where each node has a row of its own, most of them are alike.
    alike: dict[tuple[str, ...], _Group] = {}
    # Partitions often hold the same nodes.
    expanded: dict[str, list[str]] = {}
    for row in rows:
        folded, common = row[5], (_last_line(row[0]), *row[1:5], row[6])
        try:
            group = alike.get(common)
            if group is None:
                group = alike[common] = _group(*common)
            names = expanded.get(folded)
            if names is None:
                names = expanded[folded] = hostlists.expand(folded)
        except ValueError as exc:
            refused.append(RefusedRow(_shown(FIELD_END.join(row)), str(exc)))
            continue
        known = groups.keys() & names
        if known:
            _add_partition(groups, known, group.partitions)
            names = [name for name in names if name not in known]
        groups.update(dict.fromkeys(names, group))
    return [Node(name, *group) for name, group in groups.items()], refused


_DEFAULT_PARTITION = re.compile(
    rf"^(?:[^{FIELD_END}]*{FIELD_END}){{4}}([^{FIELD_END}]*)\*{FIELD_END}", re.MULTILINE
)


def default_partition(text: str) -> str:
    """The partition of jobs that name none, from the answer to ``queries.inventory``; '' when
    there is none."""
    match = _DEFAULT_PARTITION.search(text)
    return match[1] if match else ""


class Partition(NamedTuple):
    """A partition: how many nodes it has (None where Slurm does not say), and whether jobs without
    a partition go there."""

    nodes: int | None
    is_default: bool


_PARTITION_NAME = re.compile(r"^PartitionName=(\S+)")


def parse_partitions(text: str) -> dict[str, Partition]:
    """Read the answer to ``queries.partitions``, in whatever order a release has its keys."""
    found: dict[str, Partition] = {}
    for line in text.splitlines():
        name = _PARTITION_NAME.match(line)
        if name:
            total = re.search(r" TotalNodes=([0-9]+)\b", line)
            found[name[1]] = Partition(
                int(total[1]) if total else None, "Default=YES" in line.split()
            )
    return found


def default_of_partitions(text: str) -> str:
    """The partition of jobs that name none, from the same answer; '' when there is none."""
    return next((name for name, each in parse_partitions(text).items() if each.is_default), "")


class _Group(NamedTuple):
    """What a node has in common with others; see Node."""

    state: str
    cpus: int
    mem: int
    features: tuple[str, ...]
    partitions: tuple[str, ...]
    reason: str


def _group(state: str, cpus: str, mem: str, features: str, partition: str, reason: str) -> _Group:
    """The fields that the nodes of a row have in common.

    :raises ValueError: When a number is none.
    """
    # In groups, sinfo writes '4+' for four or more.
    return _Group(
        state,
        _number(cpus.rstrip("+")),
        _number(mem.rstrip("+")) * MIB,
        _list(features),
        _list(partition.rstrip("*")),
        "" if reason in _NOTHING else reason,
    )


def _number(text: str) -> int:
    """A whole number in an answer.

    :raises ValueError: For anything else: int() takes '1_0', and isdigit() a superscript.
    """
    if not _is_number(text):
        raise ValueError(f"{_shown(text, 20)} is not a whole number")
    return int(text)


def _is_number(text: str) -> bool:
    # More digits than Slurm's own counters have.
    return text.isascii() and text.isdigit() and len(text) <= 20


def _add_partition(
    groups: dict[str, _Group], names: Iterable[str], partitions: tuple[str, ...]
) -> None:
    """Add partitions to nodes that were in a row before."""
    joined: dict[_Group, _Group] = {}
    for name in names:
        group = groups[name]
        if group not in joined:
            both = tuple(dict.fromkeys(group.partitions + partitions))
            joined[group] = group._replace(partitions=both)
        groups[name] = joined[group]


def _list(text: str) -> tuple[str, ...]:
    if text in _NOTHING:
        return ()
    return tuple(part for part in text.split(",") if part)


class _Keys(NamedTuple):
    """The values of keys in a line, by the names of their groups; the place of the first key's
    end, and of the last one's."""

    values: dict[str, str | None]
    ends: list[int]


def _find_keys(keys: Sequence[re.Pattern[str]], line: str) -> _Keys | None:
    """Search for keys, one behind the other; None when one is not there.

    Two neighbours may share the blank between them.
    """
    values: dict[str, str | None] = {}
    ends = [0]
    for key in keys:
        match = key.search(line, max(0, ends[-1] - 1))
        if not match or (len(ends) == 1 and match.start()):
            return None
        values.update(match.groupdict())
        ends.append(match.end())
    return _Keys(values, ends[1:])


def parse_scontrol_nodes(text: str) -> tuple[list[Node], list[RefusedRow]]:
    """Read the answer to ``queries.inventory_in_full``, nodes in no partition included.

    :raises UnreadableAnswer: for text without nodes, or one that is cut off.
    """
    if text and not text.endswith("\n"):
        raise UnreadableAnswer(
            f"The output of scontrol is cut off: its last line is {_shown(_last_line(text))}."
        )
    nodes: list[Node] = []
    refused: list[RefusedRow] = []
    for line in text.splitlines():
        if not line.startswith("NodeName="):
            continue
        try:
            nodes.append(_scontrol_node(line))
        except ValueError as exc:
            refused.append(RefusedRow(_shown(line), str(exc)))
    if not nodes:
        raise UnreadableAnswer(f"scontrol listed no nodes: {_shown(text.strip())}.")
    return nodes, refused


def _scontrol_node(line: str) -> Node:
    """A line of scontrol's about a node, of any release.

    Which attributes there are, and their order, differs from one release to the other (CPUErr and
    Features up to 15.08, MCS_label from 16.05, Partitions from 17.11, NextState before it).
    Everything that users write comes after all that a program is meant to read.

    :raises ValueError: When it has no name, or no one state.
    """
    head, reason = _head(line)
    found = _NODE_KEYS.findall(head)
    # Of those that are there several times, the first.
    values: dict[str, str] = dict(reversed(found))
    name, state = values.get("NodeName", ""), values.get("State", "")
    if not name or not state:
        raise ValueError("NodeName= or State= is missing")
    if any(key == "State" and value != state for key, value in found):
        raise ValueError("State= is there more than once")
    cpus, mem = (
        _number(value) if value not in _NOTHING else 0
        for value in (values.get("CPUTot", ""), values.get("RealMemory", ""))
    )
    features = values.get("AvailableFeatures", values.get("Features", ""))
    return Node(
        name, state, cpus, mem * MIB, _list(features), _list(values.get("Partitions", "")), reason
    )


_NODE_KEYS = re.compile(
    r"(?:^| )(NodeName|State|CPUTot|RealMemory|(?:Available)?Features|"
    r"Partitions)=(\S*)"
)
# The kernel's name of itself, with blanks, and what follows it in all releases.
_OS = " OS="
_AFTER_OS = re.compile(r" RealMemory=[0-9]+ AllocMem=")
_WRITTEN = re.compile(r" (Reason|Comment|Extra)=")
# Who set the reason, and when. Its further lines come behind that, indented; then other keys.
_REASON_BY = re.compile(r" \[[^\[\]\s]+@(?:[0-9]{4}-[^\[\]\s]+\]|[^\[\]]+\]$)")
_REASON_END = re.compile(
    r" \[[^\[\]\s@]+@[^\[\]\s]+\]| (?:Comment|Extra|Instance(?:Id|Type)|"
    "ReservationName|TLSCert[A-Za-z]+|Topology|Parameters)="
)
_REASON_INDENT = " " * 8


def _head(line: str) -> tuple[str, str]:
    """The part of a node's line that nobody can write into, and the reason.

    :raises ValueError: When it cannot be determined where that part ends.
    """
    written = _WRITTEN.search(line)
    start = line.find(_OS, 0, written.start() if written else len(line))
    after = _AFTER_OS.search(line, start) if start >= 0 else None
    if after:
        system = line[start : after.start()]
        if " State=" in system and _WRITTEN.search(system):
            raise ValueError("what users wrote cannot be distinguished from the rest")
        again = _AFTER_OS.search(line, after.end())
        line = line[:start] + line[after.start() :]
        written = _WRITTEN.search(line)
        if again and written and " BootTime=" not in line[: written.start()]:
            # What looks like the rest of the line is in the name of the system.
            raise ValueError("the name of the system cannot be distinguished from the rest")
    if written is None:
        return line, ""
    if written[1] != "Reason":
        return line[: written.start()], ""
    return line[: written.start()], _reason(line[written.end() :])


def _reason(text: str) -> str:
    """A reason, at the start of the rest of a node's line."""
    by = _REASON_BY.search(text)
    end = by or _REASON_END.search(text)
    lines = [text[: end.start()] if end else text]
    rest = text[end.end() :] if end else ""
    if by and rest.startswith(_REASON_INDENT):
        next_key = _REASON_END.search(rest)
        rest = rest[: next_key.start()] if next_key else rest
        lines += rest.split(_REASON_INDENT)[1:]
    return "" if lines[0] in _NOTHING else "\n".join(lines)


def node_info(node: Node, usability: Usability, reservations: Sequence[str] = ()) -> dict[str, Any]:
    """A NodeInfo dictionary. 'states' are base and flags by their names here. 'why' says why the
    node is not up or not available, otherwise ''; 'cause' (where there is one) says so in few
    words, without what an administrator wrote."""
    name, state, cpus, mem, features, partitions, reason = node
    up, available, why = usability
    if reason and why and has_reason(state):
        why = f"{why}: {_each_once(reason)}"
    info: dict[str, Any] = {
        "name": name,
        "up": up,
        "available": available,
        "cpus": cpus,
        "mem": mem,
        "partitions": list(partitions),
        "reservations": list(reservations),
        "features": list(features),
        "states": list(node_state_names(state)),
        "why": why,
    }
    if why:
        info[CAUSE] = usability.cause
    return info


def _each_once(reason: str) -> str:
    """A reason without its repeats: Slurm appends the controller's own to what is there, again and
    again ('Not responding : Not responding', 25.11)."""
    return " : ".join(dict.fromkeys(reason.split(" : "))) if " : " in reason else reason


# --- Reservations ---


class Reservation(NamedTuple):
    """A reservation. Times as Slurm writes them; ``flags`` such as MAINT."""

    name: str
    nodes: tuple[str, ...]
    flags: frozenset[str]
    state: str
    start: str
    end: str

    @property
    def partition(self) -> str:
        """Where jobs in it go that name no partition; '' for the default one."""
        return ""

    @property
    def is_flexible(self) -> bool:
        """Whether jobs in it may use other nodes, too, and begin before it does."""
        return "FLEX" in self.flags

    @property
    def is_maintenance(self) -> bool:
        """Whether nodes in maintenance can be used through it."""
        return "MAINT" in self.flags

    @property
    def is_active(self) -> bool:
        """Whether it holds right now."""
        return self.state == "ACTIVE"


class ReservationOfPartition(Reservation):
    """One whose jobs go to a partition of its own."""

    of_partition = ""

    @property
    def partition(self) -> str:
        """Where jobs in it go that name no partition."""
        return self.of_partition


# Keys in their order; comments, which users write, come last. Newer releases have others between.
_RESERVATION_NAME = "ReservationName="
_RESERVATION_KEYS = [
    re.compile(key)
    for key in (
        "ReservationName=",
        r" StartTime=(?P<start>\S+) EndTime=(?P<end>\S+) ",
        r"\bNodes=(?P<nodes>\S*) NodeCnt=",
        r" Flags=(?P<flags>\S*) ",
        r" State=(?P<state>\S+)",
    )
]


_RESERVATION_PARTITION = re.compile(r" PartitionName=(?!\(null\))(\S+) Flags=")


def parse_reservations(text: str) -> tuple[list[Reservation], list[RefusedRow]]:
    """Read the answer to ``queries.reservations``.

    :raises UnreadableAnswer: for text that is cut off, or says nothing about reservations.
    """
    if not text.endswith("\n"):
        raise UnreadableAnswer(
            f"The list of reservations is cut off: its last line is {_shown(_last_line(text))}."
        )
    found: list[Reservation] = []
    refused: list[RefusedRow] = []
    for line in text.splitlines():
        if not line.startswith("ReservationName="):
            continue
        try:
            found.append(_reservation(line))
        except ValueError as exc:
            refused.append(RefusedRow(_shown(line), str(exc)))
    if not found and not refused and "No reservations" not in text:
        raise UnreadableAnswer(f"scontrol listed no reservations: {_shown(text.strip())}.")
    return found, refused


def _reservation(line: str) -> Reservation:
    """A line of scontrol's about a reservation.  :raises ValueError: When it cannot be read."""
    keys = _find_keys(_RESERVATION_KEYS, line)
    if keys is None:
        raise ValueError("keys are missing or in another order")
    values = {key: value or "" for key, value in keys.values.items()}
    name = line[len(_RESERVATION_NAME) :].partition(" StartTime=")[0]
    partition = _RESERVATION_PARTITION.search(line)
    found = ReservationOfPartition(
        name,
        tuple(hostlists.expand(values["nodes"])),
        frozenset(_list(values["flags"])),
        values["state"],
        values["start"],
        values["end"],
    )
    found.of_partition = partition[1] if partition else ""
    return found


def reservations_by_node(reservations: Iterable[Reservation]) -> dict[str, tuple[str, ...]]:
    """The names of the reservations that hold each node."""
    held: dict[str, tuple[str, ...]] = {}
    # Few combinations of reservations hold many nodes.
    longer: dict[tuple[tuple[str, ...], str], tuple[str, ...]] = {}
    for reservation in reservations:
        name = reservation.name
        for node in dict.fromkeys(reservation.nodes):
            before = held.get(node, ())
            both = longer.get((before, name))
            if both is None:
                both = longer[before, name] = (*before, name)
            held[node] = both
    return held


def near_names(name: str, known: Iterable[str], cutoff: float = 0.6) -> list[str]:
    """Names that may have been meant, the nearest first; upper and lower case are the same."""
    lower: dict[str, str] = {each.lower(): each for each in known}
    return [lower[near] for near in near_matches(name.lower(), lower, 3, cutoff)]


def reservation_problem(name: str, reservations: Sequence[Reservation]) -> str | None:
    """Say why a job cannot run in a reservation of that name now; None when it can."""
    for reservation in reservations:
        if reservation.name == name:
            if reservation.is_active:
                return None
            return (
                f"Reservation '{name}' is not active: it holds from {reservation.start} to "
                f"{reservation.end}."
            )
    known = sorted(reservation.name for reservation in reservations)
    near = near_names(name, known, 0.7)
    if near:
        hint = f"Did you mean {' or '.join(map(repr, near))}?"
    else:
        hint = f"There are: {', '.join(known)}." if known else "There are none."
    return f"There is no reservation '{name}' (any more). {hint}"


# --- Jobs ---


def parse_jobs(text: str) -> tuple[dict[str, JobRecord], list[RefusedRow]]:
    """Read the answer to ``queries.jobs``: each job's id, Slurm's long word for its state, and the
    fields of JOB_FIELDS as text.

    In ``data``, what Slurm writes for 'nothing' is ''. Of an array or a heterogeneous job there
    is one record, under the id that sbatch gave; data['tasks'] then says how many tasks are in
    which state.

    :return: (jobs by id, rows that were refused). A refused row with an id says that this job is
        there; one without may be any job's.
    :raises UnreadableAnswer: when the answer is incomplete.
    """
    keys = tuple(JOB_FIELDS)
    rows, refused = parse_table(text, len(keys), "squeue")
    groups: dict[str, list[dict[str, str]]] = {}
    for row in rows:
        data = _job_data(keys, row)
        if _is_number(data["id"]):
            groups.setdefault(_group_id(data), []).append(data)
        else:
            refused.append(RefusedRow(_shown(FIELD_END.join(row)), "no job id"))
    return {job_id: _join(job_id, group) for job_id, group in groups.items()}, refused


def parse_drained(text: str) -> dict[str, str]:
    """Read the answer to ``queries.node_reasons``: the drained nodes, and why they are.

    :raises UnreadableAnswer: when the answer is incomplete.
    """
    rows, _ = parse_table(text, len(REASON_FIELDS), "sinfo")
    drained: dict[str, str] = {}
    for state, nodes, reason in rows:
        if "DRAIN" in node_state_names(state):
            for name in hostlists.expand(nodes):
                drained[name] = "" if reason in _NOTHING else _each_once(reason)
    return drained


def parse_scripts(text: str) -> dict[str, str]:
    """Read the answer to ``queries.scripts``: the path of each job's script, with its arguments,
    by job id; '' for a job without one.

    :raises UnreadableAnswer: when the answer is incomplete.
    """
    rows, _ = parse_table(text, len(SCRIPT_FIELDS), "squeue")
    return {_last_line(row[0]): "" if row[1] in _NOTHING else row[1] for row in rows}


def _job_data(keys: Sequence[str], row: Sequence[str]) -> dict[str, str]:
    data = {key: "" if value in _NOTHING else value for key, value in zip(keys, row)}
    data["id"] = _last_line(data["id"])
    return data


def _group_id(data: Mapping[str, str]) -> str:
    """The id that sbatch gave: that of the first component, of the array, or the job's own."""
    for key in ("het", "array"):
        if _is_number(data[key]) and data[key] != "0":
            return data[key]
    return data["id"]


# Whatever still runs or waits keeps the whole job going; of those that have ended, the worst counts.
_PHASE_ORDER = [Phase.ACTIVE, Phase.WAITING, Phase.FAILED, Phase.CANCELLED, Phase.DONE]


def _by_id(data: Mapping[str, str]) -> int:
    return int(data["id"]) if _is_number(data["id"]) else 0


def _join(job_id: str, parts: list[dict[str, str]]) -> JobRecord:
    # squeue lists them in any order (25.11: the last component of a heterogeneous job first).
    parts = sorted(parts, key=_by_id)
    states = [parse_job_state(part["state"]) for part in parts]
    if len(parts) == 1:
        return JobRecord(job_id, states[0].name, parts[0])
    first = min(range(len(parts)), key=lambda i: (_PHASE_ORDER.index(states[i].phase), i))
    counts: dict[str, int] = {}
    for state in states:
        counts[state.name] = counts.get(state.name, 0) + 1
    summary = ", ".join(f"{count} {name}" for name, count in sorted(counts.items()))
    # The first component says whose job it is, whichever one goes on.
    whose = {key: parts[0][key] for key in ("name", "comment")}
    return JobRecord(job_id, states[first].name, {**parts[first], **whose, "tasks": summary})


_TOKEN = re.compile(r"pav-[0-9a-f]{16}\Z")


def token_of(job: JobRecord) -> str:
    """The token of the submission that a job came from: its comment, or the end of its name; ''
    for a job that was submitted by somebody else, or whose comment a site replaced."""
    match = _TOKEN.match(job.data.get("comment", "")) or _TOKEN.search(job.data.get("name", ""))
    return match[0] if match else ""


# --- Submissions, and node lists of users ---

_PARSABLE = re.compile(r"([0-9]+)(?:;([A-Za-z0-9_.-]+))?")
_PLAIN = re.compile(r"Submitted batch job ([0-9]+)(?: on cluster ([A-Za-z0-9_.-]+))?\s*")


class Submitted(NamedTuple):
    """What sbatch says of a new job. ``cluster`` is '' where it names none."""

    job_id: str
    cluster: str


def parse_submitted(text: str) -> Submitted | None:
    """Read sbatch's output: 'ID', 'ID;cluster' or 'Submitted batch job ID', among banners.

    None when there is none, or more than one, or the output was cut off (its last line has no
    end, so '12' may have become '1'): then the id is unknown, and the job has to be looked up by
    its token.
    """
    if not text.endswith("\n"):
        return None
    found: set[Submitted] = set()
    for line in text.splitlines():
        match = _PLAIN.fullmatch(line.strip()) or _PARSABLE.fullmatch(line.strip())
        if match:
            found.add(Submitted(match[1], match[2] or ""))
    return found.pop() if len(found) == 1 else None


_CLUSTER_NAME = re.compile(r"^ClusterName\s*=\s*(\S+)$", re.MULTILINE)


def listed_setting(text: str, name: str) -> list[str]:
    """The words of a setting that is a list, in lower case, in the output of ``scontrol show
    config``; [] when it is not there."""
    match = re.search(rf"^{name}\s*=\s*(\S+)", text, re.MULTILINE)
    return match[1].lower().split(",") if match else []


def cluster_name(text: str) -> str:
    """The cluster's name in the output of ``scontrol show config``; '' when it is not there."""
    match = _CLUSTER_NAME.search(text)
    return match[1] if match else ""


def parse_node_list(text: str | None) -> list[str]:
    """The names in a node list. None and '' give []; duplicates and order are kept.

    :raises ValueError: for text that is not a node list. A name with a dot is none here.
    """
    names = hostlists.expand(text)
    if text is not None and "." in text:
        raise hostlists.HostListError("a dot in a node name", text, text.index("."))
    return names
