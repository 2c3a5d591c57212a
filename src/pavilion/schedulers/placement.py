"""Where a job was placed: its nodes and its chunk, in a file of the job's directory.

What was picked is stored before the job is handed over, so that it is known whatever becomes of it.
Of a job whose nodes the scheduler picks, those are added that the scheduler reported.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from pavilion.jobs import Job, JobInfo
from pavilion.types import NodeList

from . import hostlists, safe_files

PLACEMENT_FN = "placement.json"


class Placement(NamedTuple):
    """The nodes of a job, its chunk, and the nodes of that.

    Lists are in natural order, and empty where nothing is known; ``chunk`` is None without chunks.
    """

    nodes: NodeList
    chunk: int | None = None
    chunk_nodes: NodeList = []


NOWHERE = Placement([])


class Seen(NamedTuple):
    """What a scheduler last said of a job.

    ``identity`` is the job's record with what it lacked, such as the id of a job of which only the
    mark was known; None where it lacks nothing.  ``nodes`` are those that the job has, or had.
    """

    identity: JobInfo | None = None
    nodes: Sequence[str] = ()


def save_placement(job: Job, placement: Placement) -> None:
    """Store where a job is placed; nothing where nothing is known.

    :raises OSError: When it cannot be written.
    """
    if placement != NOWHERE:
        safe_files.write_atomic(
            job.path / PLACEMENT_FN,
            json.dumps(placement._asdict(), separators=(",", ":")).encode(),
        )


def load_placement(job: Job) -> Placement:
    """What was stored.  Never raises: what is missing, damaged or of another form is not known."""
    try:
        found = json.loads(safe_files.read_bytes(job.path / PLACEMENT_FN))
    except (OSError, ValueError, RecursionError):
        return NOWHERE
    if not isinstance(found, Mapping):
        return NOWHERE
    return Placement(
        node_names(found.get("nodes")),
        chunk_number(found.get("chunk")),
        node_names(found.get("chunk_nodes")),
    )


def add_nodes(job: Job, nodes: Iterable[str]) -> None:
    """Store the nodes that a scheduler reported for a job, unless some are known already.

    :raises OSError: When it cannot be written.
    """
    known = load_placement(job)
    names = hostlists.natural_sorted(set(nodes))
    if names and not known.nodes:
        save_placement(job, known._replace(nodes=names))


def node_names(found: Any) -> NodeList:
    """A list of names of nodes from a record, in natural order; [] for anything else."""
    if not isinstance(found, Sequence) or isinstance(found, (str, bytes)):
        return []
    if not all(isinstance(name, str) and name for name in found):
        return []
    return hostlists.natural_sorted(set(found))


def chunk_number(found: Any) -> int | None:
    """The number of a chunk from a record; None for anything else."""
    is_number = isinstance(found, int) and not isinstance(found, bool)
    return found if is_number and 0 <= found < 10**9 else None
