"""When a job is over: what that means for a test of it.

A scheduler knows about jobs only.  Whether a test ended well is in the test's own record, and
the two reach us by different ways and at different times.  So before a test is ended from
outside, its own evidence is asked, and some time must have passed without any.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from pavilion.errors import PavilionError
from pavilion.jobs import Job
from pavilion.status_file import STATES, TestStatusInfo

from .safe_files import UnsafeFileError, check_mine, quotable_tail, read_bytes

if TYPE_CHECKING:
    from pavilion.test_run import TestRun

# States that say nothing about the test itself having started.  The last two are what hosts make of
# a status file that cannot be used, with the present time: a test must not seem alive by that.
NOT_STARTED = frozenset(
    [
        STATES.CREATED,
        STATES.SCHEDULED,
        STATES.SCHED_STARTUP,
        STATES.SCHED_RUNNING,
        STATES.SCHED_WARNING,
        STATES.UNKNOWN,
        "INVALID",
        "STATUS_ERROR",
    ]
)
# States that a test does not leave.  Hosts have some of them only; these are their names.
ENDED = frozenset(["CANCELLED", "COMPLETE", STATES.SCHED_CANCELLED, STATES.SCHED_ERROR])
# Hosts ask from several threads, and a test ends once.
_ENDING = threading.Lock()
# The last lines of tests, by their directories, while the mark that belongs to it cannot be made.
_lines: dict[str, TestStatusInfo] = {}
# What a test writes before its last state, and what may stand there.  Hosts agree in that.
RESULTS_FN = "results.json"
RESULTS = ("PASS", "FAIL", "ERROR")
# How much of a log is put into a note.
TAIL_LINES = 5
TAIL_BYTES = 1500


def end_test(test: TestRun, job: Job, status: TestStatusInfo, grace: float) -> TestStatusInfo:
    """End a test whose job is over, unless its own record says more.

    A test of another user is left to that user: nothing is written, or copied from its logs.

    :param status: What the scheduler says: SCHED_ERROR or SCHED_CANCELLED.
    :param grace: Seconds without a sign of the test before SCHED_ERROR is believed.
    :returns: The state of the test as it is now.
    """
    with _ENDING:
        return _end_test(test, job, status, grace)


def end_by_itself(test: TestRun) -> TestStatusInfo | None:
    """End a test that has its own end already, by its state or its result, but not the mark that
    nothing more is to come.

    :returns: Its final state; None for a test that has no end of its own.
    """
    with _ENDING:
        own = test.status.current()
        if own.state in ENDED:
            return _completed(test, own)
        result = _own_result(test)
        return end(test, STATES.COMPLETE, result) if result else None


def _end_test(test: TestRun, job: Job, status: TestStatusInfo, grace: float) -> TestStatusInfo:
    if test.complete:
        return test.status.current()
    own = test.status.current()
    others = _is_others(test)
    if own.state in ENDED and others:
        return own
    if own.state in ENDED:
        # It has its end already; all that is missing is the mark that nothing more is to come.
        # A host's cancel, for one, leaves that to whoever sees that the job is gone.
        return _completed(test, own)
    if own.state not in NOT_STARTED and own.when > status.when:
        return own
    if status.state != STATES.SCHED_CANCELLED:
        quiet = _quiet_for(
            [
                test.path,
                test.path / "status",
                test.path / RESULTS_FN,
                job.path,
                job.kickoff_log,
                job.sched_log,
            ]
        )
        if quiet < grace:
            return TestStatusInfo(
                STATES.SCHED_STARTUP if own.state in NOT_STARTED else own.state,
                f"The job is over ({status.note}); waiting {grace:g} seconds for the test's own "
                "record.",
            )
    result = _own_result(test)
    if result:
        # It was stopped between two writes, or its last ones cannot be seen here.
        status = TestStatusInfo(STATES.COMPLETE, result)
    if others:
        return (
            own
            if _is_fatal(own.state)
            else TestStatusInfo(
                status.state, f"{status.note} (Not recorded: this test belongs to another user.)"
            )
        )
    if result:
        return end(test, status.state, status.note)
    if _is_fatal(own.state):
        # What it says itself is worth more than that its job is over.
        return _completed(test, own)
    note = status.note
    if own.state not in NOT_STARTED:
        note += f" The test was in state {own.state} then."
    note += log_tails(job)
    if test.complete:
        # It wrote its record while the logs were read.
        return test.status.current()
    return end(test, status.state, note)


def _is_fatal(state: str) -> bool:
    """Whether a test's own state says that it failed for good; hosts have their own list."""
    is_fatal = getattr(STATES, "is_fatal", None)
    return is_fatal is not None and bool(is_fatal(state))


def end(test: TestRun, state: str, note: str) -> TestStatusInfo:
    """Give a test its final state.

    Never raises: where the disk is full, what can be written is.  What cannot is tried again by
    each call; a line is written once.

    :returns: The final state.  Its note says so when it could not be recorded.
    """
    key = str(test.path)
    ended = _lines.get(key)
    problem = ""
    if ended is None:
        ended = TestStatusInfo(state, note)
        try:
            ended = _lines[key] = test.status.set(state, note)
        except Exception as exc:
            # What a host raises here is its own affair.
            problem = _describe(exc)
    problem = _complete(test) or problem
    return _with_problem(ended, problem)


def _completed(test: TestRun, own: TestStatusInfo) -> TestStatusInfo:
    """The final state that a test has by itself, with the mark that nothing more is to come."""
    return _with_problem(own, _complete(test))


def _complete(test: TestRun) -> str:
    """Mark a test as over; gives '', or why that was not possible."""
    try:
        # An empty file fits on disks that no line fits on.
        test.set_run_complete()
    except Exception as exc:
        return _describe(exc)
    _lines.pop(str(test.path), None)
    return ""


def _with_problem(status: TestStatusInfo, problem: str) -> TestStatusInfo:
    if not problem:
        return status
    note = f"{status.note}\n(This could not be recorded: {problem.rstrip('.')}.)"
    return TestStatusInfo(status.state, note, status.when)


def _is_others(test: TestRun) -> bool:
    """Whether a test belongs to another user.  One whose directory is gone does not."""
    try:
        check_mine(test.path)
    except UnsafeFileError:
        return True
    except OSError:
        return False
    return False


def _describe(exc: BaseException) -> str:
    return str(exc) if isinstance(exc, PavilionError) else f"{type(exc).__name__}: {exc}"


def _own_result(test: TestRun) -> str:
    """The result that a test wrote, as the note of its last state; '' when there is none."""
    try:
        found = json.loads(read_bytes(test.path / RESULTS_FN))
    except (OSError, ValueError, RecursionError):
        return ""
    if not isinstance(found, dict) or found.get("result") not in RESULTS:
        return ""
    note = found.get("note")
    return f"{found['result']}: {note}" if note and isinstance(note, str) else str(found["result"])


def log_tails(job: Job) -> str:
    """The last lines of the job's logs, as the end of a note; says so when there are none.

    Of a log that may be somebody else's file it says so: others may read the note.
    """
    parts: list[str] = []
    for name, path in (("kickoff log", job.kickoff_log), ("scheduler log", job.sched_log)):
        try:
            text = _tail(path)
        except UnsafeFileError as exc:
            parts.append(f"The {name} {path} is not quoted: {exc.strerror}.")
            continue
        if text:
            parts.append(f"The {name} {path} ends with:\n{text}")
    if not parts:
        return f" Its logs in {job.path} are empty."
    return "\n" + "\n".join(parts)


def _tail(path: Path) -> str:
    try:
        text = quotable_tail(path, TAIL_BYTES).decode("utf-8", "replace")
    except UnsafeFileError:
        raise
    except OSError:
        return ""
    return "\n".join(text.rstrip().splitlines()[-TAIL_LINES:])


def _quiet_for(paths: Iterable[Path]) -> float:
    """Seconds since the newest change of any of the paths."""
    newest: float | None = None
    for path in paths:
        try:
            changed = path.stat().st_mtime
        except OSError:
            continue
        newest = changed if newest is None else max(newest, changed)
    # A file server's clock may be ahead of ours; then this waits for that long as well.
    return float("inf") if newest is None else time.time() - newest
