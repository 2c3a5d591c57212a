"""What Slurm's commands print, as data. Pure functions on text, no I/O.

An answer to a ``-O`` query is only believed when its header line is there and its last row ends
as it must; else :class:`UnreadableAnswer` says that it cannot be told. A row with a wrong number
of fields is refused and reported, and the others stand. Lines around and between rows that
belong to none (banners of a site) are passed over.

Text that was cut exactly at the end of a row cannot be told from a whole one; whoever concludes
from a job's absence asks twice (see job_table).
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from ... import hostlists
from ...job_cache import JobRecord
from .queries import FIELD_END, JOB_FIELDS, NODE_FIELDS, RECORDED_FIELDS, ROW_END
from .states import Phase, Usability, node_state_names, parse_job_state

MIB = 1024 ** 2
# What Slurm writes for 'nothing'.
_NOTHING = frozenset(["", "(null)", "N/A", "NONE", "none", "n/a", "None"])


class UnreadableAnswer(ValueError):
    """An answer is cut off or is none: nothing can be concluded from it."""


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
            problem = f"{len(row)} fields where {width} were asked for"
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
    """A text for a message: on one line, control characters visible, not too long."""
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

    :raises UnreadableAnswer: when the answer is no whole one.
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
    rf"^(?:[^{FIELD_END}]*{FIELD_END}){{4}}([^{FIELD_END}]*)\*{FIELD_END}", re.MULTILINE)


def default_partition(text: str) -> str:
    """The partition of jobs that name none, from the answer to ``queries.inventory``; '' when
    there is none."""
    match = _DEFAULT_PARTITION.search(text)
    return match[1] if match else ""


_PARTITION = re.compile(r"^PartitionName=(\S+) .*? Default=YES ", re.MULTILINE)


def default_of_partitions(text: str) -> str:
    """The same from the answer to ``queries.partitions``."""
    match = _PARTITION.search(text)
    return match[1] if match else ""


class _Group(NamedTuple):
    """What a node has in common with others; see Node."""

    state: str
    cpus: int
    mem: int
    features: tuple[str, ...]
    partitions: tuple[str, ...]
    reason: str


def _group(state: str, cpus: str, mem: str, features: str, partition: str,
           reason: str) -> _Group:
    """The fields that the nodes of a row have in common.  :raises ValueError:"""
    # In groups, sinfo writes '4+' for four or more.
    return _Group(state, int(cpus.rstrip("+")), int(mem.rstrip("+")) * MIB, _list(features),
                  _list(partition.rstrip("*")), "" if reason in _NOTHING else reason)


def _add_partition(groups: dict[str, _Group], names: Iterable[str],
                   partitions: tuple[str, ...]) -> None:
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


# The keys in their order, up to the last one that is needed. Everything a user can write comes
# later ('Reason', 'Comment', 'Extra'), and OS comes before RealMemory. Lazy matches between keys
# would find a key inside of free text only where the true one is missing.
_SCONTROL_NODE = re.compile(
    r"NodeName=(?P<name>\S+) .*?\bCPUTot=(?P<cpus>\d+) "
    r"(?:.*? AvailableFeatures=(?P<features>\S+))?"
    r".*? RealMemory=(?P<mem>\d+) .*? State=(?P<state>\S+) "
    r".*? MCS_label=\S+ (?:Partitions=(?P<partitions>\S+))?")
# Then who set it and when, and what else users wrote.
_SCONTROL_REASON = re.compile(
    r" Reason=(.*?)(?: \[[^\[\]\s]+@[^\[\]\s]+\].*| (?:Comment|Extra)=.*)?$")


def parse_scontrol_nodes(text: str) -> tuple[list[Node], list[RefusedRow]]:
    """Read the answer to ``queries.inventory_in_full``, nodes in no partition included.

    :raises UnreadableAnswer: for text without nodes, or one that is cut off.
    """
    if text and not text.endswith("\n"):
        raise UnreadableAnswer("The output of scontrol is cut off: its last line is "
                               f"{_shown(_last_line(text))}.")
    nodes: list[Node] = []
    refused: list[RefusedRow] = []
    for line in text.splitlines():
        if not line.startswith("NodeName="):
            continue
        match = _SCONTROL_NODE.match(line)
        if not match:
            refused.append(RefusedRow(_shown(line), "keys are missing or in another order"))
            continue
        reason = _SCONTROL_REASON.search(line, match.end())
        nodes.append(Node(match["name"], match["state"], int(match["cpus"]),
                          int(match["mem"]) * MIB, _list(match["features"] or ""),
                          _list(match["partitions"] or ""), reason.group(1) if reason else ""))
    if not nodes:
        raise UnreadableAnswer(f"scontrol listed no nodes: {_shown(text.strip())}.")
    return nodes, refused


def node_info(node: Node, usability: Usability,
              reservations: Sequence[str] = ()) -> dict[str, Any]:
    """A NodeInfo dictionary. 'states' are base and flags by their names here, and 'why' says why
    the node is not up or not available, else ''."""
    name, state, cpus, mem, features, partitions, reason = node
    up, available, why = usability
    if reason and why:
        why = f"{why}: {reason}"
    return {"name": name, "up": up, "available": available, "cpus": cpus, "mem": mem,
            "partitions": list(partitions), "reservations": list(reservations),
            "features": list(features), "states": list(node_state_names(state)), "why": why}


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
    def is_maintenance(self) -> bool:
        """Whether nodes in maintenance can be used through it."""
        return "MAINT" in self.flags

    @property
    def is_active(self) -> bool:
        """Whether it holds right now."""
        return self.state == "ACTIVE"


# Keys in their order; comments, which users write, come last. Newer releases have others between.
_RESERVATION = re.compile(
    r"ReservationName=(?P<name>.*?) StartTime=(?P<start>\S+) EndTime=(?P<end>\S+) "
    r".*?\bNodes=(?P<nodes>\S*) NodeCnt=.*? Flags=(?P<flags>\S*) .*? State=(?P<state>\S+)")


def parse_reservations(text: str) -> tuple[list[Reservation], list[RefusedRow]]:
    """Read the answer to ``queries.reservations``.

    :raises UnreadableAnswer: for text that is cut off, or says nothing about reservations.
    """
    if not text.endswith("\n"):
        raise UnreadableAnswer("The list of reservations is cut off: its last line is "
                               f"{_shown(_last_line(text))}.")
    found: list[Reservation] = []
    refused: list[RefusedRow] = []
    for line in text.splitlines():
        if not line.startswith("ReservationName="):
            continue
        match = _RESERVATION.match(line)
        try:
            if not match:
                raise ValueError("keys are missing or in another order")
            nodes = tuple(hostlists.expand(match["nodes"]))
        except ValueError as exc:
            refused.append(RefusedRow(_shown(line), str(exc)))
            continue
        found.append(Reservation(match["name"], nodes, frozenset(_list(match["flags"])),
                                 match["state"], match["start"], match["end"]))
    if not found and not refused and "No reservations" not in text:
        raise UnreadableAnswer(f"scontrol listed no reservations: {_shown(text.strip())}.")
    return found, refused


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


def reservation_problem(name: str, reservations: Sequence[Reservation]) -> str | None:
    """Say why a job cannot run in a reservation of that name now; None when it can."""
    for reservation in reservations:
        if reservation.name == name:
            if reservation.is_active:
                return None
            return (f"Reservation '{name}' is not active: it holds from {reservation.start} to "
                    f"{reservation.end}.")
    known = sorted(reservation.name for reservation in reservations)
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.7)
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
    is one record, under the id that sbatch gave; data['tasks'] then tells how many tasks are in
    which state.

    :return: (jobs by id, rows that were refused). A refused row with an id says that this job is
        there; one without may be any job's.
    :raises UnreadableAnswer: when the answer is no whole one.
    """
    keys = tuple(JOB_FIELDS)
    rows, refused = parse_table(text, len(keys), "squeue")
    groups: dict[str, list[dict[str, str]]] = {}
    for row in rows:
        data = _job_data(keys, row)
        if data["id"].isdigit():
            groups.setdefault(_group_id(data), []).append(data)
        else:
            refused.append(RefusedRow(_shown(FIELD_END.join(row)), "no job id"))
    return {job_id: _join(job_id, group) for job_id, group in groups.items()}, refused


def parse_recorded(text: str) -> tuple[dict[str, dict[str, str]], list[RefusedRow]]:
    """Read the answer to ``queries.recorded``: the recorded options by job id.

    :raises UnreadableAnswer: when the answer is no whole one.
    """
    keys = tuple(RECORDED_FIELDS)
    rows, refused = parse_table(text, len(keys), "squeue")
    found: dict[str, dict[str, str]] = {}
    for row in rows:
        data = _job_data(keys, row)
        # The first component of a heterogeneous job has its options.
        found.setdefault(_group_id(data), data)
    return found, refused


def _job_data(keys: Sequence[str], row: Sequence[str]) -> dict[str, str]:
    data = {key: "" if value in _NOTHING else value for key, value in zip(keys, row)}
    data["id"] = _last_line(data["id"])
    return data


def _group_id(data: Mapping[str, str]) -> str:
    """The id that sbatch gave: that of the first component, of the array, or the job's own."""
    for key in ("het", "array"):
        if data[key].isdigit() and data[key] != "0":
            return data[key]
    return data["id"]


# Whatever still runs or waits keeps the whole job going; of those that are over, the worst counts.
_PHASE_ORDER = [Phase.ACTIVE, Phase.WAITING, Phase.FAILED, Phase.CANCELLED, Phase.DONE]


def _join(job_id: str, parts: list[dict[str, str]]) -> JobRecord:
    states = [parse_job_state(part["state"]) for part in parts]
    if len(parts) == 1:
        return JobRecord(job_id, states[0].name, parts[0])
    first = min(range(len(parts)), key=lambda i: (_PHASE_ORDER.index(states[i].phase), i))
    counts: dict[str, int] = {}
    for state in states:
        counts[state.name] = counts.get(state.name, 0) + 1
    summary = ", ".join(f"{count} {name}" for name, count in sorted(counts.items()))
    return JobRecord(job_id, states[first].name, {**parts[first], "tasks": summary})


def with_token(jobs: Mapping[str, JobRecord], token: str) -> list[JobRecord]:
    """The jobs whose comment is the token, or whose name ends with it, the oldest first."""
    found = [job for job in jobs.values()
             if job.data.get("comment") == token or job.data.get("name", "").endswith(token)]
    return sorted(found, key=lambda job: int(job.job_id))


# --- Submissions, and node lists of users ---

_PARSABLE = re.compile(r"([0-9]+)(?:;([A-Za-z0-9_.-]+))?")
_PLAIN = re.compile(r"Submitted batch job ([0-9]+)(?: on cluster ([A-Za-z0-9_.-]+))?\s*")


class Submitted(NamedTuple):
    """What sbatch says of a new job. ``cluster`` is '' where it names none."""

    job_id: str
    cluster: str


def parse_submitted(text: str) -> Submitted | None:
    """Read sbatch's output: 'ID', 'ID;cluster' or 'Submitted batch job ID', among banners.

    None when there is none, or more than one: then nobody knows, and the job has to be looked up
    by its token.
    """
    found: set[Submitted] = set()
    for line in text.splitlines():
        match = _PLAIN.fullmatch(line.strip()) or _PARSABLE.fullmatch(line.strip())
        if match:
            found.add(Submitted(match[1], match[2] or ""))
    return found.pop() if len(found) == 1 else None


_CLUSTER_NAME = re.compile(r"^ClusterName\s*=\s*(\S+)$", re.MULTILINE)


def cluster_name(text: str) -> str:
    """The cluster's name in the output of ``scontrol show config``; '' when it is not there."""
    match = _CLUSTER_NAME.search(text)
    return match[1] if match else ""


def parse_node_list(text: str | None) -> list[str]:
    """The names in a node list. None and '' give []; duplicates and order are kept.

    :raises ValueError: for text that is no node list. A name with a dot is none here.
    """
    names = hostlists.expand(text)
    if text is not None and "." in text:
        raise hostlists.HostListError("a dot in a node name", text, text.index("."))
    return names
