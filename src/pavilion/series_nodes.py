"""The results by node of test runs: what their records say, and what their series were meant for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pavilion.again import nodes_of
from pavilion.config import PavConfig
from pavilion.errors import TestRunError
from pavilion.files import is_mine
from pavilion.node_plan import NodePlan, load_plans
from pavilion.node_results import (
    ERROR,
    FAILED,
    PASSED,
    UNFINISHED,
    Absence,
    NodeResults,
    TestOutcome,
    node_results,
)
from pavilion.schedulers.lifecycle import pinning
from pavilion.schedulers.lifecycle.ending import ENDED, NOT_STARTED
from pavilion.status_file import STATES, TestStatusInfo
from pavilion.test_run import FAIL, PASS, TestRun
from pavilion.waiting import LastWord

_CANCELLED = (STATES.CANCELLED, STATES.SCHED_CANCELLED)


@dataclass
class SeriesNodes:
    """The nodes of some series, and their tests.

    - ``plans``: the nodes that the series were meant for, of plans all of whose tests were given
    - ``problems``: what is wrong with records of what the series were meant for
    """

    series: list[str]
    tests: list[TestOutcome]
    results: NodeResults
    plans: list[NodePlan]
    problems: list[TestRunError]


def series_nodes(
    pav_cfg: PavConfig, found: Sequence[tuple[TestRun, TestStatusInfo]]
) -> SeriesNodes:
    """Work out the results by node of tests, of one or several series.

    Nodes that a series meant and did not reach are among them: of tests that mean every node of
    something, if all tests of that kind are given.

    :param found: The tests, with their states.
    """
    series = list(dict.fromkeys(test.series for test, _ in found))
    plans: list[NodePlan] = []
    problems: list[TestRunError] = []
    for name in series:
        try:
            plans += load_plans(pav_cfg.working_dir / "series" / name)
        except (OSError, ValueError) as exc:
            problems.append(
                TestRunError(
                    f"Which nodes series {name} was meant for cannot be read, so nodes that it did "
                    "not reach may be missing here",
                    prior_error=exc,
                )
            )
    plan_of = {test_id: plan for plan in plans for test_id in plan.tests}
    # Tests on the same nodes share one tuple of them.
    same: dict[tuple[str, ...], tuple[str, ...]] = {}
    outcomes = [_outcome(test, status, plan_of.get(test.id), same) for test, status in found]
    given = {test.id for test, _ in found}
    whole = [plan for plan in plans if given.issuperset(plan.tests)]
    return SeriesNodes(
        series,
        outcomes,
        node_results(outcomes, (name for plan in whole for name in plan.nodes), _absences(whole)),
        whole,
        problems,
    )


def _absences(plans: Iterable[NodePlan]) -> Mapping[str, Absence]:
    found: dict[str, Absence] = {}
    for plan in plans:
        for item in plan.left_out:
            absence = Absence(item.why, item.missing)
            for name in item.nodes:
                # That a node is missing counts more than that other tests did not request it.
                if name not in found or (item.missing and not found[name].missing):
                    found[name] = absence
    return found


def _outcome(
    test: TestRun,
    status: TestStatusInfo,
    plan: NodePlan | None,
    same: dict[tuple[str, ...], tuple[str, ...]],
) -> TestOutcome:
    # Read once: it is long if a test had thousands of nodes.
    results = test.results
    outcome, why = _end(test, status, results)
    where = test.where(results)
    planned = [] if plan is None else _planned(where.chunk, plan)
    nodes = tuple(where.nodes or planned or _pinned(test))
    nodes = same.setdefault(nodes, nodes)
    return TestOutcome(test.id, test.name, where.job_id, nodes, outcome, why)


def _end(test: TestRun, status: TestStatusInfo, results: Mapping[str, Any]) -> tuple[str, str]:
    """What came of a test; and why it did not finish."""
    if not test.complete and not (isinstance(status, LastWord) and status.is_end):
        return UNFINISHED, f"not finished yet ({status.state})"
    result = results.get("result")
    if result == PASS:
        return PASSED, ""
    if result == FAIL:
        return FAILED, ""
    note = " ".join(status.note.strip().partition("\n")[0].split())
    if status.state in _CANCELLED:
        return UNFINISHED, f"cancelled: {note}" if note else "cancelled"
    # Its script, or what comes just before it, ran on the nodes.
    if any(
        info.state not in NOT_STARTED and info.state not in ENDED for info in test.status.history()
    ):
        return ERROR, ""
    return UNFINISHED, note or status.state


def _pinned(test: TestRun) -> Sequence[str]:
    """The nodes that a test was to run on again, and could not.  A record of another user's is a few
    characters, and may name very many."""
    return nodes_of(test) if pinning.is_pinned(test.config) and is_mine(test.path) else []


def _planned(chunk: int | None, plan: NodePlan) -> Sequence[str]:
    """The nodes of a test that never got any, as far as they were decided."""
    if not plan.chunks:
        return plan.nodes
    return plan.chunks[chunk] if chunk is not None and chunk < len(plan.chunks) else []
