"""``pav-sched status``."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from typing import Any

from pavilion.series import latest_series
from pavilion.status_file import TestStatusInfo
from pavilion.test_run import PASS, TestRun

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
from .results import PLACE_COLUMNS, summary, summary_line, test_record
from .selection import Selection, add_ids, no_series, select, with_states


def _arguments(parser: argparse.ArgumentParser) -> None:
    add_ids(parser)
    parser.add_argument(
        "-v",
        "--verbose",
        action="store_true",
        help="all states of each test, with complete notes",
    )
    parser.add_argument(
        "--failed",
        action="store_true",
        help=(
            "only tests that ended without passing: they failed, had an error, were cancelled or "
            "never got a result"
        ),
    )


def _status(session: Session) -> int:
    if not session.args.ids and latest_series(session.pav_cfg) is None:
        tell(no_series(session))
        selection = Selection()
    else:
        selection = select(session, session.args.ids)
    states = with_states(session, selection.tests)
    every = [(test, status, test_record(test, status)) for test, status in states]
    found = [item for item in every if not session.args.failed or _is_failure(item[2])]
    # For all tests: those that are not shown count, too.
    records = [record for _, _, record in every]
    if session.args.json:
        tests = [_record(test, record, session.args.verbose) for test, _, record in found]
        print_json({"tests": tests, "summary": summary(records)})
        return selection.report()
    if session.args.verbose:
        for test, status, record in found:
            _print_history(test, status, record)
    elif every:
        if found:
            _print_table(session, [record for _, _, record in found])
        print(summary_line(records))
    return selection.report()


def _is_failure(record: Mapping[str, Any]) -> bool:
    return record["result"] not in (None, PASS)


def _record(test: TestRun, record: dict[str, Any], verbose: bool) -> dict[str, Any]:
    if verbose:
        return {**record, "history": [info.as_dict() for info in test.status.history()]}
    return record


def _print_table(session: Session, records: Sequence[dict[str, Any]]) -> None:
    columns = [
        Column("ID"),
        Column("NAME", cut=True),
        Column("STATE"),
        Column("RESULT"),
        Column("AGE", right=True),
        *PLACE_COLUMNS,
        Column("NOTE", cut=True),
    ]
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


def _print_history(test: TestRun, status: TestStatusInfo, record: dict[str, Any]) -> None:
    """A paragraph per test: its states, oldest first, and what its scheduler says now."""
    history = test.status.history()
    if status not in history:
        history.append(status)
    again = f"; repeats {test.repeats}" if test.repeats else ""
    print(one_line(f"{test.id} {test.name} ({test.scheduler}{again}) {record['result'] or ''}"))
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
            "Schedulers are queried about tests that have not ended. On a terminal, notes are\n"
            "cut to its width; -v shows complete notes."
        ),
        examples=[
            "status",
            "status s3 s4.1",
            "status --failed                    only the failures of the latest series",
            "status 's3.*.chunk1'               tests of a series whose names match",
            "status s3.2 --verbose",
            "status s1-s4 --failed --json",
        ],
        run=_status,
        arguments=_arguments,
        json=True,
    )
]
