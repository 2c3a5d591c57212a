"""``pav-sched status``."""

from __future__ import annotations

import argparse
from typing import Any

from pavilion.series import latest_series
from pavilion.status_file import TestStatusInfo
from pavilion.test_run import TestRun
from pavilion.waiting import current_status

from . import failures
from .base import Command, Session
from .output import (
    Column,
    age,
    clock,
    first_line,
    one_line,
    print_json,
    print_table,
    printable,
    tell,
)
from .patience import patiently
from .results import PLACE_COLUMNS, test_record
from .selection import Selection, add_ids, select


def _arguments(parser: argparse.ArgumentParser) -> None:
    add_ids(parser)
    parser.add_argument(
        "-v",
        "--verbose",
        action="store_true",
        help="all states of each test, with their whole notes",
    )


def _status(session: Session) -> int:
    if not session.args.ids and latest_series(session.pav_cfg) is None:
        tell(f"There is no series yet in {session.pav_cfg.working_dir / 'series'}.")
        selection = Selection()
    else:
        selection = select(session, session.args.ids)
    found = _ask(session, selection.tests)
    if session.args.json:
        print_json(
            {"tests": [_record(test, status, session.args.verbose) for test, status in found]}
        )
    elif session.args.verbose:
        for test, status in found:
            _print_history(test, status)
    elif found:
        _print_table(session, found)
    return selection.report()


def _ask(session: Session, tests: list[TestRun]) -> list[tuple[TestRun, TestStatusInfo]]:
    """The states of tests; their schedulers are asked about those that are not over."""
    if not all(test.complete for test in tests):
        _ = session.plugins
    return patiently(lambda: [(test, current_status(session.pav_cfg, test)) for test in tests])


def _record(test: TestRun, status: TestStatusInfo, verbose: bool) -> dict[str, Any]:
    record = test_record(test, status)
    if verbose:
        record["history"] = [info.as_dict() for info in test.status.history()]
    return record


def _print_table(session: Session, found: list[tuple[TestRun, TestStatusInfo]]) -> None:
    columns = [
        Column("ID"),
        Column("NAME", cut=True),
        Column("STATE"),
        Column("RESULT"),
        Column("AGE", right=True),
        *PLACE_COLUMNS,
        Column("NOTE", cut=True),
    ]
    records = [test_record(test, status) for test, status in found]
    print_table(
        columns,
        [
            [
                record["id"],
                record["name"],
                record["state"],
                record["result"] or "",
                age(record["when"]),
                *failures.job_and_nodes(record),
                first_line(record["note"])
                if record["log"] is None
                else failures.note_of(record, session.command_line),
            ]
            for record in records
        ],
    )


def _print_history(test: TestRun, status: TestStatusInfo) -> None:
    """A paragraph per test: its states, oldest first, and what its scheduler says now."""
    history = test.status.history()
    if status not in history:
        history.append(status)
    record = test_record(test, status)
    print(one_line(f"{test.id} {test.name} ({test.scheduler}) {record['result'] or ''}"))
    for line in failures.about(record):
        print(f"  {line}")
    for info in history:
        lines = printable(info.note).splitlines() or [""]
        print(f"  {clock(info.when)}  {info.state:<15} {lines[0]}")
        for line in lines[1:]:
            print(f"  {'':<36} {line}")


COMMANDS = [
    Command(
        name="status",
        summary="show the states of tests",
        description=(
            "Show the states of tests: those of the latest series, or of the given ids.\n\n"
            "Schedulers are asked about tests that are not over. On a terminal, notes are\n"
            "cut to its width; -v shows them whole."
        ),
        examples=["status", "status s3 s4.1", "status s3.2 --verbose", "status --json"],
        run=_status,
        arguments=_arguments,
        json=True,
    )
]
