"""What came of tests: as a table, as JSON, as a line, as an exit code."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pavilion.problems import name_list
from pavilion.schedulers.lifecycle.ending import NOT_STARTED
from pavilion.status_file import STATES, TestStatusInfo
from pavilion.test_run import ERROR, FAIL, PASS, TestRun
from pavilion.waiting import LastWord

from . import base, failures
from .output import Column, plural, print_table

CANCELLED = (STATES.CANCELLED, STATES.SCHED_CANCELLED)
# The states of tests whose jobs have not started, as far as is known.
WAITING = NOT_STARTED - {STATES.SCHED_STARTUP, STATES.SCHED_RUNNING}
# What tables say about where a test runs or ran, if there is room.
PLACE_COLUMNS = [Column("JOB", optional=True), Column("NODES", cut=True, optional=True)]
_RESULT_KEYS = ("return_value", "started", "finished", "duration", "host")


def test_record(test: TestRun, status: TestStatusInfo | None = None) -> dict[str, Any]:
    """What is known about a test, for JSON.  Times are seconds since the epoch, durations seconds.

    :param status: Its state, if that has already been determined.
    """
    recorded = test.complete
    status = status or test.status.current()
    complete = recorded or is_unrecorded_end(status)
    results = test.results if complete else {}
    job = test.job
    where = test.where(results)
    record: dict[str, Any] = {
        "id": test.id,
        "series": test.series,
        "name": test.name,
        "repeats": test.repeats,
        "scheduler": test.scheduler,
        "complete": complete,
        "recorded": recorded,
        "result": result_of(test, status),
        "state": status.state,
        "note": status.note,
        "when": status.when,
        "path": str(test.path),
        "job": None if job is None else str(job.path),
        "job_id": where.job_id,
        "nodes": where.nodes,
        "permutation": test.permutation,
        "chunk": where.chunk,
        "chunk_nodes": where.chunk_nodes,
    }
    record.update((key, results.get(key)) for key in _RESULT_KEYS)
    record.update(failures.last_line(test, record, bool(results)))
    return record


def is_unrecorded_end(status: TestStatusInfo) -> bool:
    """Whether a test has ended in this state, which could not be recorded."""
    return isinstance(status, LastWord) and status.is_end


def result_of(test: TestRun, status: TestStatusInfo) -> str | None:
    """A test's result; None while it has not ended."""
    if test.complete:
        return test.result
    return str(test.results.get("result", ERROR)) if is_unrecorded_end(status) else None


def summary(records: Sequence[dict[str, Any]]) -> dict[str, int]:
    """How many tests passed, failed, and so on.  Cancelled ones are errors, too."""
    results = [record["result"] for record in records]
    passed, failed = results.count(PASS), results.count(FAIL)
    unfinished = results.count(None)
    return {
        "tests": len(results),
        "passed": passed,
        "failed": failed,
        "errors": len(results) - passed - failed - unfinished,
        "cancelled": sum(failures.is_cancelled(record) for record in records),
        "unfinished": unfinished,
    }


def summary_line(records: Sequence[dict[str, Any]]) -> str:
    """Like '12 tests: 10 passed, 2 failed, 0 errors. Series s3.'."""
    counts = summary(records)
    text = (
        f"{plural(counts['tests'], 'test')}: {counts['passed']} passed, "
        f"{counts['failed']} failed, {plural(counts['errors'], 'error')}"
    )
    if counts["cancelled"]:
        text += f" ({counts['cancelled']} cancelled)"
    waiting = sum(record["result"] is None and record["state"] in WAITING for record in records)
    for number, word in ((counts["unfinished"] - waiting, "running"), (waiting, "waiting")):
        if number:
            text += f", {number} {word}"
    names = list(dict.fromkeys(record["series"] for record in records))
    return f"{text}. Series {name_list(names)}." if names else f"{text}."


def exit_code(records: Sequence[dict[str, Any]]) -> int:
    """0 when all tests passed, 3 when some have not ended, otherwise 1: also when the end of a test
    could not be recorded."""
    counts = summary(records)
    if counts["unfinished"]:
        return base.TIMED_OUT
    recorded = all(record["recorded"] for record in records)
    return base.OK if counts["passed"] == counts["tests"] and recorded else base.FAILED


def print_results(records: Sequence[dict[str, Any]], command_line: failures.CommandLine) -> None:
    """Print the table of results and the line below it.

    :param command_line: Makes the command lines for the user's next steps.
    """
    columns = [
        Column("ID"),
        Column("NAME", cut=True),
        Column("SCHEDULER"),
        Column("RESULT"),
        Column("TIME", right=True),
        *PLACE_COLUMNS,
        Column("NOTE", wrap=True),
    ]
    print_table(columns, [_row(record, command_line) for record in records])
    print(summary_line(records))


def _row(record: dict[str, Any], command_line: failures.CommandLine) -> list[str]:
    result, duration = record["result"], record["duration"]
    return [
        record["id"],
        record["name"],
        record["scheduler"],
        result or record["state"],
        "" if duration is None else f"{duration:.1f}s",
        *failures.job_and_nodes(record),
        "" if result == PASS else failures.note_of(record, command_line),
    ]
