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

from ..placement import hostlists
from ..talk import safe_files

PLACEMENT_FN = "placement.json"
# Longer lists of nodes are stored as host lists.  A thousand tests that run on ten thousand nodes
# would otherwise store ten million names, and every command would read them.
LISTED = 64
# The most nodes of a test or a job.
_MOST_NODES = 200_000
# And how many names more than characters all host lists may have that a process reads from records:
# a few characters stand for very many names, and they may be another user's.
_MOST_NAMES = 5_000_000


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
            json.dumps(stored(placement._asdict()), separators=(",", ":")).encode(),
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


def stored(place: Mapping[str, Any]) -> dict[str, Any]:
    """What a record has of a place: its lists of nodes as host lists, if they are long."""
    return {
        key: _folded(value) if isinstance(value, list) and len(value) > LISTED else value
        for key, value in place.items()
    }


def _folded(names: NodeList) -> str | NodeList:
    try:
        return hostlists.fold(names)
    except hostlists.HostListError:
        # A host list cannot contain each name.
        return names


def node_names(found: Any) -> NodeList:
    """The names of nodes from a record, which has a list of them or a host list: in natural order;
    [] for anything else.  The same host list gives the same list, which is not to be changed."""
    if isinstance(found, str):
        return _expanded.names(found)
    if not isinstance(found, Sequence) or isinstance(found, bytes) or len(found) > _MOST_NODES:
        return []
    if not all(isinstance(name, str) and name for name in found):
        return []
    return hostlists.natural_sorted(set(found))


class _Expanded:
    """The host lists that were read, each expanded once: thousands of tests may have the same."""

    def __init__(self) -> None:
        self._known: dict[str, NodeList] = {}
        self._room = _MOST_NAMES

    def names(self, text: str) -> NodeList:
        """The names, in natural order; [] for what is not a host list, or is too long."""
        if text not in self._known:
            try:
                found = hostlists.expand(text, limit=min(self._room + len(text), _MOST_NODES))
            except hostlists.HostListError:
                found = []
            self._room -= max(0, len(found) - len(text))
            # Those that are not long are never stored in this form.
            self._known[text] = hostlists.natural_sorted(set(found)) if len(found) > LISTED else []
        return self._known[text]


_expanded = _Expanded()


def chunk_number(found: Any) -> int | None:
    """The number of a chunk from a record; None for anything else."""
    is_number = isinstance(found, int) and not isinstance(found, bool)
    return found if is_number and 0 <= found < 10**9 else None
