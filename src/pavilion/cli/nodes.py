"""``pav-sched nodes``: the results of series, by node."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from pavilion.node_results import (
    NOT_REACHED,
    VERDICTS,
    NodeGroup,
    NodeResult,
    grouped,
)
from pavilion.problems import name_list
from pavilion.schedulers.placement import hostlists
from pavilion.series_nodes import SeriesNodes, series_nodes

from . import base
from .base import Command, Session
from .output import Column, one_line, plural, print_json, print_table, show_error
from .selection import Selection, add_ids, select, with_states

# How many tests of a node, and nodes that its failures are put down to, are named.
NAMED_TESTS = 3
NAMED_NODES = 3
_COUNTS = ("passed", "failed", "errors", "unfinished")


def _arguments(parser: argparse.ArgumentParser) -> None:
    add_ids(parser)
    parser.add_argument(
        "--all", action="store_true", help="a line for each node, including those that passed"
    )


def _nodes(session: Session) -> int:
    selection = select(session, session.args.ids)
    found = collect(session, selection)
    if session.args.json:
        print_json(_record(found))
    elif found.tests:
        _print(found, session.args.all)
    code = selection.report()
    return code or (base.OK if found.results.all_good else base.FAILED)


def collect(session: Session, selection: Selection) -> SeriesNodes:
    """The results by node of the tests that were chosen.  What cannot be read of their series is
    reported as an error, and the rest is used."""
    found = series_nodes(session.pav_cfg, with_states(session, selection.tests))
    for problem in found.problems:
        show_error(problem)
    return found


def _print(found: SeriesNodes, every: bool) -> None:
    results = found.results
    groups = [NodeGroup([node]) for node in results.nodes] if every else grouped(results)
    columns = [
        Column("NODES", cut=True),
        Column("COUNT", right=True),
        Column("RESULT"),
        *(Column(count.upper(), right=True) for count in _COUNTS),
        Column("TESTS", cut=True),
        Column("WHY", wrap=True),
    ]
    if groups:
        print_table(columns, [_row(group) for group in groups])
    if results.elsewhere:
        print(
            one_line(
                f"{plural(len(results.elsewhere), 'test')} on unknown nodes: "
                f"{name_list([test.label for test in results.elsewhere])}."
            )
        )
    print(f"{results.summary}. Series {', '.join(found.series)}.")


def _row(group: NodeGroup) -> list[str]:
    node = group.first
    return [
        node_list(group.names),
        str(len(group.nodes)),
        node.verdict,
        *("-".join(map(str, sorted(set(group.span(count))))) for count in _COUNTS),
        _tests(group),
        why(node),
    ]


def _tests(group: NodeGroup) -> str:
    """The failing tests, the last first; otherwise the last test."""
    node = group.first
    if not group.alike or node.verdict == NOT_REACHED:
        return ""
    named = node.last_tests(NAMED_TESTS if node.failures else 1)
    more = node.failures - len(named)
    return ", ".join(test.label for test in named) + (f" and {more} more" if more > 0 else "")


def why(node: NodeResult) -> str:
    """Why a node was not reached, or what its failures are put down to."""
    if node.only_with:
        return f"only with {name_list(node.only_with, NAMED_NODES)}"
    return f"left out: {node.why}" if node.left_out else node.why


def node_list(names: Sequence[str]) -> str:
    """Nodes as a host list; names that no host list can hold are listed as they are."""
    return hostlists.fold_short(names, limit=10**9, count=False)


def _record(found: SeriesNodes) -> dict[str, Any]:
    results = found.results
    return {
        "series": found.series,
        "nodes": [
            {
                "node": node.name,
                "result": node.verdict,
                "passed": node.passed,
                "failed": node.failed,
                "errors": node.errors,
                "unfinished": node.unfinished,
                "failing_tests": [test.id for test in node.failing()],
                "only_with": node.only_with,
                "left_out": node.left_out,
                "why": node.why,
            }
            for node in results.nodes
        ],
        "tests": [
            {
                "id": test.id,
                "name": test.name,
                "job_id": test.job,
                "outcome": test.outcome,
                "why": test.why,
                "node_list": node_list(test.nodes),
            }
            for test in found.tests
        ],
        "unknown_nodes": [test.id for test in results.elsewhere],
        "summary": {
            "nodes": len(results.nodes),
            **{verdict.replace(" ", "_"): results.count(verdict) for verdict in VERDICTS},
            "left_out": results.left_out,
        },
    }


COMMANDS = [
    Command(
        name="nodes",
        summary="show results by node: which nodes are suspect, passed, or were not reached",
        description=(
            "Show what came of tests on each node: of the latest series, or of the given series and\n"
            "tests together. Suspect nodes come first: those that were in failing tests and in no\n"
            "passing one. Nodes with equal results share a line; --all gives each its own.\n\n"
            "The exit code is 0 when every node that was meant was reached and passed, otherwise 1."
        ),
        examples=["nodes", "nodes s3 s4", "nodes s3 --all", "nodes s3 --json"],
        run=_nodes,
        arguments=_arguments,
        json=True,
    )
]
