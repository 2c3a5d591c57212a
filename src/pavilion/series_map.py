"""Maps of series: the nodes of their tests by result, by job or by chunk."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pavilion.errors import ConfigError
from pavilion.machine_map import COLORS, OUT_MARK, Cell, Group, MachineMap
from pavilion.node_plan import NodePlan
from pavilion.node_results import (
    ALL_PASSED,
    MIXED,
    NOT_REACHED,
    SUSPECT,
    NodeResult,
    TestOutcome,
)
from pavilion.problems import name_list
from pavilion.schedulers.placement import hostlists
from pavilion.series_nodes import SeriesNodes

SERIES_KINDS = ("result", "job", "chunk")

LEFT_OUT = "left out"
# Result -> mark and colour.  The colours differ in lightness as well, so that they can be told
# apart by the colour-blind, and on paper.
RESULTS = {
    SUSPECT: ("F", (0xB2, 0x3A, 0x00)),
    MIXED: ("M", (0xF5, 0xB8, 0x1C)),
    NOT_REACHED: ("?", (0xEF, 0xEF, 0xEF)),
    LEFT_OUT: (OUT_MARK, (0x50, 0x50, 0x50)),
    ALL_PASSED: ("+", (0x6F, 0xB7, 0xE6)),
}
# This many tests of a node are named when somebody points at it.
NAMED_TESTS = 6


def draw_series(found: SeriesNodes, kind: str) -> list[MachineMap]:
    """The pictures of some series: one, or with chunks one for each way to cut up the nodes.

    :param kind: One of SERIES_KINDS.
    :raises ConfigError: When there is nothing of that kind to draw.
    """
    if not found.results.nodes:
        raise ConfigError(
            f"There is nothing to draw: no test of {', '.join(found.series)} has any nodes, and "
            "none of them means every node."
        )
    if kind == "result":
        maps = [_by_result(found)]
    elif kind == "job":
        maps = [_by_job(found)]
    else:
        maps = [_by_chunk(found, plan) for plan in found.plans if plan.chunks]
        if not maps:
            raise ConfigError(
                f"There is nothing to draw: the tests of {', '.join(found.series)} do not use all "
                "nodes of their chunks. '--by result' and '--by job' draw their nodes."
            )
    for drawn in maps:
        drawn.fill_in()
        drawn.remark_shared(f"{kind}s")
        if found.results.elsewhere:
            names = name_list([test.label for test in found.results.elsewhere])
            drawn.remarks.append(f"Not drawn, because their nodes are not known: {names}.")
    return maps


def _empty(found: SeriesNodes, title: str, chosen: Iterable[str] | None = None) -> MachineMap:
    """A picture without groups, in the natural order of the nodes.

    :param chosen: The nodes to draw; all by default.
    """
    nodes = {node.name: node for node in found.results.nodes}
    names = hostlists.natural_sorted(nodes if chosen is None else chosen)
    return MachineMap(
        title,
        "",
        [
            Cell(
                name,
                not (name in nodes and nodes[name].left_out),
                name,
                detail=_detail(nodes, name),
            )
            for name in names
        ],
        says_why=f"nodes {' '.join(found.series)}",
    )


def _detail(nodes: dict[str, NodeResult], name: str) -> str:
    """What came of the tests of a node, in a line."""
    node = nodes.get(name)
    if node is None:
        return ""
    if node.verdict == NOT_REACHED:
        return node.why
    counts = [(node.passed, "passed"), (node.failures, "failed"), (node.unfinished, "unfinished")]
    text = ", ".join(f"{count} {word}" for count, word in counts if count)
    named = [f"{test.name} {test.label}" for test in node.last_tests(NAMED_TESTS)]
    total = node.failures or node.passed + node.unfinished
    more = f" and {total - len(named)} more" if total > len(named) else ""
    return f"{text}; {'failed: ' if node.failures else ''}{', '.join(named)}{more}"


def _by_result(found: SeriesNodes) -> MachineMap:
    drawn = _empty(found, f"Results by node: series {', '.join(found.series)}")
    by_result: dict[str, list[str]] = {}
    for node in found.results.nodes:
        by_result.setdefault(LEFT_OUT if node.left_out else node.verdict, []).append(node.name)
    for result, (mark, color) in RESULTS.items():
        names = by_result.get(result)
        if names:
            drawn.groups.append(Group(result, names, color, mark=mark))
    drawn.remarks.append(f"{found.results.summary}.")
    return drawn


def _by_job(found: SeriesNodes) -> MachineMap:
    drawn = _empty(found, f"Jobs of series {', '.join(found.series)}")
    jobs: dict[str, list[TestOutcome]] = {}
    without = 0
    for test in found.tests:
        if test.job is None:
            without += 1
        elif test.nodes:
            jobs.setdefault(test.job, []).append(test)
    for number, (job, tests) in enumerate(jobs.items()):
        drawn.groups.append(
            Group(
                f"job {job}",
                _nodes_of(tests),
                COLORS[number % len(COLORS)],
                name_list([f"{test.name} ({test.id})" for test in tests]),
            )
        )
    if without:
        drawn.remarks.append(
            f"{without} {'test has' if without == 1 else 'tests have'} no known job."
        )
    return drawn


def _nodes_of(tests: Sequence[TestOutcome]) -> list[str]:
    # Tests on the same nodes share one tuple of them.
    distinct = {id(test.nodes): test.nodes for test in tests}
    return list(dict.fromkeys(name for nodes in distinct.values() for name in nodes))


def _by_chunk(found: SeriesNodes, plan: NodePlan) -> MachineMap:
    chosen = {name for chunk in plan.chunks for name in chunk}
    chosen.update(name for item in plan.left_out for name in item.nodes)
    drawn = _empty(found, f"Chunks of {plan.title}: series {_series_of(plan)}", chosen)
    drawn.groups = [
        Group(f"chunk {number}", list(nodes), COLORS[number % len(COLORS)])
        for number, nodes in enumerate(plan.chunks)
    ]
    return drawn


def _series_of(plan: NodePlan) -> str:
    return ", ".join(dict.fromkeys(test.partition(".")[0] for test in plan.tests))
