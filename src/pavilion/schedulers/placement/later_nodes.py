"""What variables say about nodes, queried when the first of them is read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Callable, NamedTuple

from pavilion.types import NodeInfo


class NodeView(NamedTuple):
    """What a plugin knows about the nodes for a set of variables."""

    nodes: Mapping[str, NodeInfo]
    chunks: Sequence[Sequence[str]]
    # The index of the node list in the plugin, for the variable 'node_list_id'.
    list_id: int | None
    # What is wrong with the nodes, for the variable 'errors'.
    errors: list[str]


class LaterNodes(Mapping[str, NodeInfo]):
    """Nodes that are queried only when they are accessed.

    :param work_out: Queries the scheduler; called once.  If it raises an exception, every access
        raises that again.
    :param needed: Whether the test depends on its nodes, whatever variables it uses.
    """

    def __init__(self, work_out: Callable[[], NodeView], needed: bool = True) -> None:
        self._work_out = work_out
        self.needed = needed
        self._view: NodeView | None = None
        self.failure: Exception | None = None

    @property
    def view(self) -> NodeView:
        """The nodes, with their chunks, list id and errors.  Raises what ``work_out`` raised."""
        if self.failure is not None:
            raise self.failure
        if self._view is None:
            try:
                self._view = self._work_out()
            except Exception as exc:
                self.failure = exc
                raise
        return self._view

    def __getitem__(self, name: str) -> NodeInfo:
        return self.view.nodes[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.view.nodes)

    def __len__(self) -> int:
        return len(self.view.nodes)
