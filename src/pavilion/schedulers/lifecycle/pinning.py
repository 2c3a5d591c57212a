"""Tests that run on given nodes: on those of an earlier run, whatever the chunks are now.

A host requests it with the key ``pinned`` of a test's config, next to ``schedule``; see
:func:`pin`.  Tests without the key are not concerned.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pavilion.errors import SchedConfigError
from pavilion.types import NodeList, Nodes

from ..config import calc_node_range
from ..placement import hostlists, planning
from ..placement.inventory import CAUSE, NOT_THERE

if TYPE_CHECKING:
    from ..advanced import SchedulerPluginAdvanced
    from ..placement.usable import FilteredNodes

PINNED = "pinned"
# Nodes that a message names one by one, each with its reason.
_NAMED = 8


def pin(nodes: Sequence[str], of: str, whole: bool = True) -> dict[str, Any]:
    """The value of ``pinned`` for a test that is to run on these nodes.

    :param of: The test that ran on them, for messages.
    :param whole: Whether the test must have all of them.  Otherwise its ``schedule.nodes`` says
        how many of them it needs.
    """
    return {"nodes": hostlists.fold(nodes), "of": of, "whole": whole}


def is_pinned(config: Mapping[str, Any]) -> bool:
    """Whether a test is to run on given nodes.

    :param config: The config of the test.
    """
    return bool(config.get(PINNED))


def pinned_nodes(config: Mapping[str, Any], sched_config: Mapping[str, Any]) -> NodeList:
    """The nodes that a test is pinned to, without those that it excludes.

    :param config: The config of the test.
    :param sched_config: Its validated schedule section.
    """
    excluded = frozenset(sched_config["exclude_nodes"])
    names: list[str] = hostlists.expand(config[PINNED]["nodes"])
    return [name for name in names if name not in excluded]


def chunk_of(config: Mapping[str, Any]) -> int | None:
    """The number of the chunk that a pinned test ran on; None where it is not known."""
    number = str(config.get("chunk") or "")
    return int(number) if is_pinned(config) and number.isdigit() else None


def request(
    plugin: SchedulerPluginAdvanced,
    number: Hashable,
    name: str,
    config: Mapping[str, Any],
    sched_config: dict[str, Any],
) -> tuple[planning.TestRequest, FilteredNodes]:
    """What a pinned test asks of the planner, and the nodes that it may use.

    :param number: What identifies the test in the plan.
    :param name: The name of the test.
    :param config: The config of the test.
    :param sched_config: Its validated schedule section.
    :raises SchedConfigError: When it cannot have its nodes; naming those, with the reasons.
    :raises SchedulerPluginError: When the scheduler cannot be queried for its nodes.
    """
    pinned = config[PINNED]
    nodes = pinned_nodes(config, sched_config)
    filtered = plugin.filtered_nodes(sched_config)
    problem = _problem(
        pinned,
        nodes,
        filtered,
        lambda: plugin._get_system_inventory(sched_config),
    )
    if problem is not None:
        raise SchedConfigError(problem)
    least, most = len(nodes), len(nodes)
    if not pinned["whole"]:
        least, found = calc_node_range(sched_config, len(nodes))
        most = len(nodes) if found is None else found
        if least > len(nodes):
            raise SchedConfigError(
                f"It needs at least {least} nodes, and test {pinned['of']} ran on {len(nodes)}: "
                f"{hostlists.fold_short(nodes)}."
            )
    chosen = filtered._replace(
        nodes={node: filtered.nodes[node] for node in nodes}, names=list(nodes)
    )
    problem = plugin._placement_problem(dict(sched_config, nodes=least, min_nodes=least), chosen)
    if problem is not None:
        raise SchedConfigError(problem)
    return planning.TestRequest(
        key=number,
        name=name,
        config=sched_config,
        chunks_id=(PINNED, tuple(nodes)),
        chunks=[nodes],
        of_chunk=chunk_of(config),
        min_nodes=least,
        max_nodes=most,
        share=sched_config["share_allocation"],
        share_key=plugin.gen_job_share_key(sched_config, least, most),
        time_limit=sched_config["time_limit"],
        left_out=filtered.reasons,
    ), chosen


def _problem(
    pinned: Mapping[str, Any], nodes: NodeList, filtered: FilteredNodes, inventory: Any
) -> str | None:
    """Why a test cannot have the nodes that it is pinned to; None when it can."""
    if not nodes:
        return (
            f"Test {pinned['of']} ran on {pinned['nodes']}, and schedule.exclude_nodes leaves none "
            "of these nodes."
        )
    lost = [node for node in nodes if node not in filtered.nodes]
    if not lost:
        return None
    wanted = frozenset(lost)
    reasons = {
        node: reason
        for reason, names in filtered.reasons.items()
        for node in names
        if node in wanted
    }
    by_reason: dict[str, list[str]] = {}
    known: Nodes = inventory()
    for node in lost:
        by_reason.setdefault(_why(node, reasons, known), []).append(node)
    shown = "; ".join(
        f"{hostlists.fold_short(names, count=len(names) > _NAMED)} ({reason})"
        for reason, names in by_reason.items()
    )
    return (
        f"It is to run on the same nodes as test {pinned['of']}, {pinned['nodes']}, and not all of "
        f"them can be used now: {shown}."
    )


def _why(node: str, reasons: Mapping[str, str], known: Nodes) -> str:
    """Why a node cannot be used: 'not up: drained'."""
    if node not in known:
        return NOT_THERE
    reason = reasons.get(node, NOT_THERE)
    cause = known[node].get(CAUSE)
    return f"{reason}: {cause}" if cause else reason
