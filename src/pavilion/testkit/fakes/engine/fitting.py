"""Where a job of several nodes fits, for schedulers that place by nodes and CPUs."""

from __future__ import annotations

from collections.abc import Iterable

from .machine import Node


def fit(
    nodes: Iterable[Node], count: int, cpus: int, *, whole: bool = False
) -> dict[str, int] | None:
    """The first ``count`` of the nodes that may be used now, with the CPUs that each gives.

    :param cpus: How many CPUs each must have free.
    :param whole: Whether the job gets all of a node, which no other job may be on.
    :return: CPUs by name of node; None while too few nodes have room.
    """
    chosen: dict[str, int] = {}
    for node in nodes:
        if len(chosen) == count:
            break
        if node.usable and node.free >= cpus and not (whole and node.allocated):
            chosen[node.name] = node.cpus if whole else cpus
    return chosen if len(chosen) == count else None
