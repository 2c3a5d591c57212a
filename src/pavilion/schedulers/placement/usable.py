"""The nodes that tests with some configuration may use, in chunks, and why there are too few."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, NamedTuple

from pavilion.types import NodeInfo

from . import inventory


class FilteredNodes(NamedTuple):
    """The nodes that tests of one kind of configuration may use."""

    list_id: int
    nodes: Mapping[str, NodeInfo]
    names: Sequence[str]
    reasons: Mapping[str, Sequence[str]]


class Chunks(NamedTuple):
    """The chunks of one kind of configuration, or why there are none."""

    chunks_id: Hashable
    chunks: Sequence[Sequence[str]]
    chunked: bool
    error: str | None = None

    @property
    def usable(self) -> int:
        """The number of nodes that a test may get."""
        return len(self.chunks[0]) if self.chunks else 0


# For a test whose nodes the scheduler picks, where they are not known.
UNKNOWN_NODES = FilteredNodes(-1, {}, [], {})
UNKNOWN_CHUNKS = Chunks("not known", [], False)


def too_few(least: int, filtered: FilteredNodes, chunks: Chunks) -> str | None:
    """Why a test gets fewer nodes than it requests; None when it gets enough.

    :param least: The least number of nodes that it requests.
    """
    if chunks.usable >= least:
        return None
    if chunks.usable < len(filtered.names):
        return (
            f"Insufficient nodes. Requested at least {least}, but the chunks have only "
            f"{chunks.usable} nodes."
        )
    return inventory.insufficient_message(least, len(filtered.names), filtered.reasons)


def chunk_problem(filtered: FilteredNodes, size: Any, error: str) -> str:
    """Why there are no chunks, and why the missing nodes were left out.

    :param size: The configured size of a chunk.
    :param error: What went wrong when they were made.
    """
    problem = inventory.include_problem(filtered.reasons) or error
    if isinstance(size, int) and size > len(filtered.names):
        problem += " " + inventory.insufficient_message(size, len(filtered.names), filtered.reasons)
    return problem


def needs_nodes(problem: str, needs: Sequence[str]) -> str:
    """Why a test cannot be placed while its machine's nodes are not known.

    :param problem: Why they are not.
    :param needs: The keys because of which the test depends on them.
    """
    return (
        f"{problem.rstrip('. ')}. The test depends on the nodes, because of "
        f"{' and '.join(needs)}. Without these, and with a plain number of nodes, the "
        "scheduler would pick the nodes."
    )
