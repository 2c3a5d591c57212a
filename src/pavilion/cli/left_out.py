"""The nodes that tests mean and cannot have, a line for each selection: for 'plan' and 'run'."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pavilion.handing_over import Kickoff
from pavilion.node_plan import NodePlan, distinct
from pavilion.preview import Preview, PreviewTest
from pavilion.suites import list_suites

from .base import Session
from .output import one_line, tell


def of_plan(session: Session, plan: Preview) -> tuple[list[str], list[dict[str, Any]]]:
    """The lines and the JSON for tests that are not started."""
    tests = {test.id: test for job in plan.jobs for test in job.tests}
    tests.update((test.id, test) for error in plan.errors for test in error.tests)
    found = distinct(plan.node_plans)
    lines = []
    for selection in found:
        target = _target(session, tests[selection.tests[0]])
        command = session.command_line("show", "nodes", selection.scheduler, "--test", target)
        lines.append(_line(selection, command))
    return [line for line in lines if line], _records(found)


def of_run(session: Session, kickoff: Kickoff) -> dict[str, Any]:
    """Report what is left out of a series.  Returns what to add to its JSON."""
    found = distinct(kickoff.node_plans)
    for selection in found:
        line = _line(selection, session.command_line("nodes", kickoff.series))
        if line:
            tell(line)
    return {"left_out": _records(found)}


def _line(selection: NodePlan, command: str) -> str:
    text = selection.sentence()
    return one_line(f"{text}; '{command}' shows each.") if text else ""


def _records(found: Sequence[NodePlan]) -> list[dict[str, Any]]:
    return [selection.record() for selection in found if selection.left_out]


def _target(session: Session, test: PreviewTest) -> str:
    """How a test is named on the command line."""
    source = test.resolved.source
    known = list_suites(session.pav_cfg).get(source.suite) == source.file
    return f"{source.suite if known else source.file}.{source.name}"
