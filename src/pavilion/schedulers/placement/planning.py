"""Placement: which tests go into which job, and which nodes that job gets.

`plan` is a pure function. It uses no scheduler, no clock and no file: the result depends only on its
arguments, and the plan can be shown before anything is started. It works in three steps:

1. The chunk and the number of nodes of each test are determined. A test for which this is impossible
   gets an error, which does not affect other tests.
2. The tests are grouped: those in a group may share an allocation.
3. Each group becomes one or more jobs, and these get their nodes.

Cost: linear in the tests, in the nodes of the chunks in use (each chunk is put in natural order
once), and in the node names of the result. Choosing a chunk takes time logarithmic in the number of
chunks.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Callable, NamedTuple

from pavilion.types import NodeList, NodeRange

from . import hostlists
from .inventory import include_problem, insufficient_message

ANY_CHUNK = "any"
SHARE_MAX = "max"

OWN = "own"
SHARED = "shared"


@dataclass(frozen=True, eq=False)
class TestRequest:
    """What one test requests."""

    # Not a test case, in spite of its name: this is for pytest.
    __test__ = False

    key: Hashable
    """Identifies the test; unique among the requests of a plan."""
    name: str
    config: Mapping[str, Any]
    """Its normalised 'schedule' section."""
    chunks_id: Hashable
    """Identifies `chunks`. Requests with the same id have the same chunks and include_nodes."""
    chunks: Sequence[Sequence[str]]
    """The usable nodes, in chunks; one chunk without chunking; empty when they are not known."""
    min_nodes: int
    max_nodes: int | None = None
    """None: no maximum. (It may exceed the number of nodes; an error occurs only if there are fewer
    than `min_nodes`.)"""
    chunk: str | int = ANY_CHUNK
    """'any', or the number of a chunk."""
    chunked: bool = False
    flexible: bool = False
    """The scheduler may choose the nodes (config key 'flex_scheduled')."""
    share: bool | str = True
    """share_allocation: True, False or 'max'."""
    share_key: Hashable = ()
    """Tests with different keys never share a job."""
    time_limit: int = 1
    """Hours, or a TimeLimit."""
    include: Sequence[str] | None = None
    """Nodes that it must get; None: those of include_nodes in its section."""
    of_chunk: int | None = None
    """The number of the chunk that its nodes are from; only without `chunked`."""
    left_out: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Why nodes were left out (`inventory.filter_nodes`), for messages."""


@dataclass
class PlannedJob:
    """One job to start. Exactly one of `nodes` and `node_range` is set."""

    tests: list[Any]
    """Its tests, in the order of the requests: `plan` puts their keys here, and a plugin's
    plan_tests() the tests themselves."""
    config: dict[str, Any]
    """The 'schedule' section of its first test, with the largest time limit of its tests. Nothing
    else that may differ between them concerns the allocation."""
    nodes: NodeList | None = None
    """In natural order. Do not change it: jobs that get a whole chunk share one list."""
    node_range: NodeRange | None = None
    """(min, max); max is None when there is no maximum."""
    chunk: int | None = None
    """The number of its chunk, from 0; None without chunking."""
    chunk_nodes: Sequence[str] = ()
    """All nodes of that chunk."""
    prepare: Callable[[Any], None] | None = None
    """Called with the new job (of pavilion.jobs) before it is kicked off."""

    @property
    def mode(self) -> str:
        """'own': one test; 'shared': several tests in one allocation."""
        return OWN if len(self.tests) == 1 else SHARED

    @property
    def time_limit(self) -> int:
        """The largest time limit of its tests: hours, or a TimeLimit."""
        limit: int = self.config["time_limit"]
        return limit


class PlanError(NamedTuple):
    """Why tests cannot be placed."""

    tests: list[Hashable]
    message: str


@dataclass(frozen=True)
class Plan:
    """Every test is in exactly one job, or in exactly one error."""

    jobs: list[PlannedJob]
    errors: list[PlanError]


class ChunkUsage:
    """What earlier plans have used. Pass it to the next plan, which continues from there."""

    def __init__(self) -> None:
        # For each chunks_id: the number of tests in each chunk, and a heap of (number, chunk). The
        # numbers only grow, so an entry of the heap is either correct or too small; in the latter
        # case it is corrected when it gets to the top.
        self._counts: dict[Hashable, list[int]] = {}
        self._heaps: dict[Hashable, list[tuple[int, int]]] = {}
        # The position in each pool of nodes at which the next job starts.
        self._cursors: dict[Hashable, int] = {}

    def least_used(self, chunks_id: Hashable, count: int) -> int:
        """Return the number of the least used chunk, out of `count`; the lowest one among equals."""
        counts = self._counts_of(chunks_id, count)
        heap = self._heaps[chunks_id]
        while heap[0][0] != counts[heap[0][1]]:
            heapq.heapreplace(heap, (counts[heap[0][1]], heap[0][1]))
        return heap[0][1]

    def add(self, chunks_id: Hashable, count: int, chunk: int) -> None:
        """Count one test in a chunk."""
        self._counts_of(chunks_id, count)[chunk] += 1

    def cursor(self, pool_id: Hashable, size: int, rng: random.Random | None) -> int:
        """The position in a pool of nodes at which the next job starts."""
        if pool_id not in self._cursors:
            self._cursors[pool_id] = rng.randrange(size) if rng is not None and size else 0
        return self._cursors[pool_id]

    def move_cursor(self, pool_id: Hashable, place: int) -> None:
        """Set the position at which the next job starts."""
        self._cursors[pool_id] = place

    def _counts_of(self, chunks_id: Hashable, count: int) -> list[int]:
        counts = self._counts.get(chunks_id)
        if counts is None or len(counts) != count:
            counts = self._counts[chunks_id] = [0] * count
            self._heaps[chunks_id] = [(0, number) for number in range(count)]
        return counts


def plan(
    requests: Sequence[TestRequest],
    usage: ChunkUsage | None = None,
    rng: random.Random | None = None,
) -> Plan:
    """Place tests into jobs.

    - A test without `share` gets its own job. So does a test that is alone in its group.
    - Tests that share are grouped by share key, `share`, min and max nodes, and chunk.
      A group becomes one job if it is chunked, its `share` is 'max', or it has no maximum.
      Otherwise it becomes floor(usable nodes / max nodes) jobs, at least one. The tests are dealt to
      these jobs in turn, so that the whole machine is used.
    - A job gets the maximum number of nodes of its tests, limited by the size of the chunk. Flexible
      tests without chunks get a range of numbers instead, and the scheduler chooses.
    - The jobs of a chunk get disjoint nodes, in order, as long as there are unused ones, then those
      used least. The nodes of include_nodes are in each job, and count towards its size.

    :param usage: What earlier plans used; this plan's use is added to it.
    :param rng: Chooses the node in each chunk at which to start. Default: the first node.
    :return: Every test in exactly one job, or in exactly one error. Errors with the same message
        are combined.
    :raises ValueError: when two requests have the same key.
    """
    usage = ChunkUsage() if usage is None else usage
    pools = _Pools(usage, rng)
    groups: dict[Hashable, list[_Settled]] = {}
    errors: dict[str, list[Hashable]] = {}
    seen = set()
    for number, request in enumerate(requests):
        if request.key in seen:
            raise ValueError(f"The test {request.key!r} is twice in the list of tests.")
        seen.add(request.key)
        try:
            settled = _settle(request, usage, pools)
        except _CannotPlace as error:
            errors.setdefault(str(error), []).append(request.key)
            continue
        groups.setdefault(_group_key(settled, number), []).append(settled)

    jobs = []
    for group in groups.values():
        count = min(_job_count(group[0]), len(group))
        for number in range(count):
            jobs.append(_make_job(group[number::count], pools))
    return Plan(jobs, [PlanError(keys, message) for message, keys in errors.items()])


# --- Step 1: each test by itself ---


class _CannotPlace(Exception):
    """A test that cannot be placed; the message says why."""


class _Settled(NamedTuple):
    """A request whose chunk and node counts have been determined and checked."""

    request: TestRequest
    # The number of its chunk, 0 without chunking.
    chunk: int
    # The nodes it may use; None when they are not known.
    pool: _Pool | None
    include: frozenset[str]
    least: int
    most: int | None


def _settle(request: TestRequest, usage: ChunkUsage, pools: _Pools) -> _Settled:
    """Determine the chunk and node counts of one test."""
    chunk = _choose_chunk(request, usage)
    named = request.config.get("include_nodes") if request.include is None else request.include
    include = frozenset(named or ())
    pool = pools.get(request, chunk, include) if request.chunks else None
    if pool is None and not request.flexible:
        raise _CannotPlace(insufficient_message(request.min_nodes, 0, request.left_out))
    least, most = _node_counts(request, include)
    if pool is not None:
        _check_pool(request, chunk, pool, include, least)
    # Counted only now, so that a test with an error does not affect the ones after it.
    usage.add(request.chunks_id, max(1, len(request.chunks)), chunk)
    return _Settled(request, chunk, pool, include, least, most)


def _choose_chunk(request: TestRequest, usage: ChunkUsage) -> int:
    count = max(1, len(request.chunks))
    if request.chunked and not request.chunks:
        raise _CannotPlace(insufficient_message(request.min_nodes, 0, request.left_out))
    if request.chunk == ANY_CHUNK:
        return usage.least_used(request.chunks_id, count)
    try:
        number = int(request.chunk)
    except (TypeError, ValueError, OverflowError):
        raise _CannotPlace(
            f"The chunk must be '{ANY_CHUNK}' or a number, not {request.chunk!r}."
        ) from None
    if 0 <= number < count:
        return number
    if not request.chunked:
        raise _CannotPlace(
            f"Chunk {number} was requested, but chunking is off (chunking.size is 0)."
        )
    raise _CannotPlace(
        f"Chunk {number} was requested, but there are {count} chunks, numbered 0 to {count - 1}."
    )


def _node_counts(request: TestRequest, include: frozenset[str]) -> NodeRange:
    """The least and the greatest number of nodes of a test, with room for include_nodes."""
    least, most = max(1, request.min_nodes), request.max_nodes
    if most is not None and most < least:
        raise _CannotPlace(f"min_nodes ({least}) is more than nodes ({most}).")
    if most is not None and most < len(include):
        raise _CannotPlace(
            f"include_nodes names {len(include)} nodes ({hostlists.fold_short(include)}), but "
            f"'nodes' requests no more than {most}."
        )
    return max(least, len(include)), most


def _check_pool(
    request: TestRequest, chunk: int, pool: _Pool, include: frozenset[str], least: int
) -> None:
    """Check that a chunk has what a test needs."""
    missing = include.difference(pool.names) if len(pool.include) < len(include) else None
    if missing:
        where = f"in chunk {chunk}" if request.chunked else "usable"
        raise _CannotPlace(
            include_problem(request.left_out)
            or f"include_nodes names nodes that are not {where}: {hostlists.fold_short(missing)}."
        )
    if len(pool.names) < least:
        if request.chunked:
            raise _CannotPlace(
                f"Insufficient nodes. Requested at least {least}, but the chunks have only "
                f"{len(pool.names)} nodes."
            )
        raise _CannotPlace(insufficient_message(least, len(pool.names), request.left_out))


# --- Step 2: groups ---


def _group_key(settled: _Settled, number: int) -> Hashable:
    """Tests with equal keys may share; `number` is unique to the test."""
    request = settled.request
    if not request.share:
        return number
    return (
        request.share,
        request.share_key,
        request.min_nodes,
        request.max_nodes,
        request.chunks_id,
        settled.chunk,
        settled.include,
        request.chunked,
        request.flexible,
    )


def _job_count(settled: _Settled) -> int:
    """The number of jobs to which the tests of a group are dealt, according to one of them."""
    request, most = settled.request, settled.most
    if request.chunked or request.share == SHARE_MAX or most is None or settled.pool is None:
        return 1
    return max(1, len(settled.pool.names) // most)


# --- Step 3: jobs and their nodes ---


def _make_job(members: list[_Settled], pools: _Pools) -> PlannedJob:
    """Make one job of tests that share it."""
    first = members[0]
    longest = max(member.request.time_limit for member in members)
    nodes, node_range = None, None
    if first.pool is None or (first.request.flexible and not first.request.chunked):
        most = first.most
        if most is not None and first.pool is not None:
            # Some schedulers refuse requests for more nodes than there are.
            most = max(first.least, min(most, len(first.pool.names)))
        node_range = (first.least, most)
    else:
        usable = len(first.pool.names)
        size = usable if first.most is None else min(first.most, usable)
        nodes = pools.take(first.pool, size)
    request = first.request
    chunk = first.chunk if request.chunked else request.of_chunk
    # Where the chunk is that of an earlier run, its nodes are the only ones in `chunks`.
    chunk_nodes = () if chunk is None else request.chunks[first.chunk]
    return PlannedJob(
        tests=[member.request.key for member in members],
        config={**request.config, "time_limit": longest},
        nodes=nodes,
        node_range=node_range,
        chunk=chunk,
        chunk_nodes=chunk_nodes,
    )


class _Pool(NamedTuple):
    """The nodes of one chunk."""

    pool_id: Hashable
    # All nodes, in natural order.
    names: NodeList
    # The nodes that are in every job, and the others.
    include: NodeList
    others: NodeList
    # The index of each node in `names`; empty without include nodes, as it is not needed then.
    place: dict[str, int]


class _Pools:
    """The pools of one plan, each created when it is first needed."""

    def __init__(self, usage: ChunkUsage, rng: random.Random | None) -> None:
        self._usage = usage
        self._rng = rng
        self._pools: dict[Hashable, _Pool] = {}

    def get(self, request: TestRequest, chunk: int, include: frozenset[str]) -> _Pool:
        """The pool of a chunk of this request."""
        pool_id = (request.chunks_id, chunk, include)
        pool = self._pools.get(pool_id)
        if pool is None:
            names = hostlists.natural_sorted(set(request.chunks[chunk]))
            place = {name: number for number, name in enumerate(names)} if include else {}
            pool = self._pools[pool_id] = _Pool(
                pool_id,
                names,
                include=[name for name in names if name in include],
                others=[name for name in names if name not in include] if include else names,
                place=place,
            )
        return pool

    def take(self, pool: _Pool, size: int) -> NodeList:
        """Take `size` nodes from a pool: those of include_nodes, and the least used of the others.

        The others are taken in round-robin order. Each round uses every node once, so the next ones
        in order are always the least used.
        """
        others, count = pool.others, size - len(pool.include)
        if size >= len(pool.names):
            # All nodes are used, so the cursor does not move.
            return pool.names
        start = self._usage.cursor(pool.pool_id, len(others), self._rng) % len(others)
        end = start + count
        # The cursor marks where the next job starts; after the last node comes the first.
        self._usage.move_cursor(pool.pool_id, end % len(others))
        taken = others[start:end]
        if end > len(others):
            taken = others[: end - len(others)] + taken
        if pool.include:
            taken = sorted(pool.include + taken, key=pool.place.__getitem__)
        return taken
