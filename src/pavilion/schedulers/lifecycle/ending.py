"""What the end of a job means for its tests.

A scheduler only knows about jobs.  Whether a test ended normally is in the test's own record, and
the two pieces of information arrive in different ways and at different times.  So before a test is
ended from outside, its own record is checked, and some time must have passed without a sign of life.
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

from ..talk.safe_files import UnsafeFileError, check_mine, quotable_tail, read_bytes

if TYPE_CHECKING:
    from pavilion.test_run import TestRun

# States that do not mean that the test itself has started.  Hosts report the last two for a status
# file that cannot be used, with the current time: this must not make a test seem alive.
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
# Final states of a test.  Some of them do not exist in every host, so their names are used.
ENDED = frozenset(["CANCELLED", "COMPLETE", STATES.SCHED_CANCELLED, STATES.SCHED_ERROR])
# Hosts call this from several threads, but a test ends only once.
_ENDING = threading.Lock()
# Directory of a test -> the final line of its status, while the mark that completes it cannot be
# made.
_lines: dict[str, TestStatusInfo] = {}
# The file that a test writes before its final state, and its possible results, in every host.
RESULTS_FN = "results.json"
RESULTS = ("PASS", "FAIL", "ERROR")
# How much of a log is quoted in a note.
TAIL_LINES = 5
TAIL_BYTES = 1500


def end_test(test: TestRun, job: Job, status: TestStatusInfo, grace: float) -> TestStatusInfo:
    """End a test whose job has ended, unless its own record takes precedence.

    A test of another user is left to that user: nothing is written, and nothing is copied from its
    logs.

    :param status: The state of the job: SCHED_ERROR or SCHED_CANCELLED.
    :param grace: Seconds without a sign of life from the test before SCHED_ERROR ends it.
    :returns: The current state of the test.
    """
    with _ENDING:
        return _end_test(test, job, status, grace)


def end_by_itself(test: TestRun) -> TestStatusInfo | None:
    """Complete a test that has recorded its own end, as its state or its result, but lacks the mark
    that nothing more will follow.

    :returns: Its final state; None for a test that has not recorded its own end.
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
        # The test has already ended; only the mark that nothing more will follow is missing.
        # A host's cancel command, for example, leaves that until the job is seen to be gone.
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
                f"The job has ended ({status.note}); waiting {grace:g} seconds for the test's own "
                "record.",
            )
    result = _own_result(test)
    if result:
        # It was stopped between two writes, or its last writes are not visible here.
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
        # Its own record says more than that its job has ended.
        return _completed(test, own)
    note = status.note
    if own.state not in NOT_STARTED:
        note += f" The test was in state {own.state} at that time."
    note += log_tails(job)
    if test.complete:
        # It wrote its record while the logs were read.
        return test.status.current()
    return end(test, status.state, note)


def _is_fatal(state: str) -> bool:
    """Whether a test's own state means that it failed for good; hosts have their own list."""
    is_fatal = getattr(STATES, "is_fatal", None)
    return is_fatal is not None and bool(is_fatal(state))


def end(test: TestRun, state: str, note: str) -> TestStatusInfo:
    """Give a test its final state.

    Never raises: if the disk is full, as much as possible is written.  Each call tries again to
    write the rest; a line is written only once.

    :returns: The final state.  If it could not be recorded, its note says so.
    """
    key = str(test.path)
    ended = _lines.get(key)
    problem = ""
    if ended is None:
        ended = TestStatusInfo(state, note)
        try:
            ended = _lines[key] = test.status.set(state, note)
        except Exception as exc:
            # A host may raise any exception here.
            problem = _describe(exc)
    problem = _complete(test) or problem
    return _with_problem(ended, problem)


def _completed(test: TestRun, own: TestStatusInfo) -> TestStatusInfo:
    """Mark a test as complete that has a final state of its own; returns that state."""
    return _with_problem(own, _complete(test))


def _complete(test: TestRun) -> str:
    """Mark a test as complete; returns '', or why that was not possible."""
    try:
        # An empty file can be created even on a disk without room for a line.
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
    """Whether a test belongs to another user.  If its directory is gone, it does not."""
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
    """The result that a test wrote, as the note for its final state; '' when there is none."""
    try:
        found = json.loads(read_bytes(test.path / RESULTS_FN))
    except (OSError, ValueError, RecursionError):
        return ""
    if not isinstance(found, dict) or found.get("result") not in RESULTS:
        return ""
    note = found.get("note")
    return f"{found['result']}: {note}" if note and isinstance(note, str) else str(found["result"])


def log_tails(job: Job) -> str:
    """The last lines of the job's logs, to be added to a note; says so when there are none.

    A log that may be somebody else's file is not quoted, because others may read the note.
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
    """Seconds since the last change of any of the paths; infinite when none of them exists."""
    newest: float | None = None
    for path in paths:
        try:
            changed = path.stat().st_mtime
        except OSError:
            continue
        newest = changed if newest is None else max(newest, changed)
    # If a file server's clock is ahead of ours, the wait is longer by the difference.
    return float("inf") if newest is None else time.time() - newest
