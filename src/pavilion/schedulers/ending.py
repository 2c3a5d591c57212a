"""When a job is over: what that means for a test of it.

A scheduler knows about jobs only.  Whether a test ended well is in the test's own record, and
the two reach us by different ways and at different times.  So before a test is ended from
outside, its own evidence is asked, and some time must have passed without any.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from pavilion.jobs import Job
from pavilion.status_file import STATES, TestStatusInfo

if TYPE_CHECKING:
    from pavilion.test_run import TestRun

# States that say nothing about the test itself having started.
NOT_STARTED = frozenset([STATES.CREATED, STATES.SCHEDULED, STATES.SCHED_STARTUP,
                         STATES.SCHED_RUNNING, STATES.SCHED_WARNING, STATES.UNKNOWN])
# States that a test does not leave.  Hosts have some of them only; these are their names.
ENDED = frozenset(["CANCELLED", "COMPLETE", STATES.SCHED_CANCELLED, STATES.SCHED_ERROR])
# Hosts ask from several threads, and a test ends once.
_ENDING = threading.Lock()
# How much of a log is put into a note.
TAIL_LINES = 5
TAIL_BYTES = 1500


def end_test(test: TestRun, job: Job, status: TestStatusInfo, grace: float) -> TestStatusInfo:
    """End a test whose job is over, unless its own record says more.

    :param status: What the scheduler says: SCHED_ERROR or SCHED_CANCELLED.
    :param grace: Seconds without a sign of the test before SCHED_ERROR is believed.
    :returns: The state of the test as it is now.
    """
    with _ENDING:
        return _end_test(test, job, status, grace)


def _end_test(test: TestRun, job: Job, status: TestStatusInfo, grace: float) -> TestStatusInfo:
    if test.complete:
        return test.status.current()
    own = test.status.current()
    if own.state in ENDED:
        # It has its end already; all that is missing is the mark that nothing more is to come.
        # A host's cancel, for one, leaves that to whoever sees that the job is gone.
        _complete(test)
        return own
    if own.state not in NOT_STARTED and own.when > status.when:
        return own
    if status.state != STATES.SCHED_CANCELLED:
        quiet = _quiet_for([test.path, test.path / "status", job.path, job.kickoff_log,
                            job.sched_log])
        if quiet < grace:
            return TestStatusInfo(
                STATES.SCHED_STARTUP if own.state in NOT_STARTED else own.state,
                f"The job is over ({status.note}); waiting {grace:g} seconds for the test's own "
                "record.")
    if _is_fatal(own.state):
        # What it says itself is worth more than that its job is over.
        _complete(test)
        return own
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

    Never raises: where the disk is full, what can be written is.
    """
    ended = TestStatusInfo(state, note)
    try:
        ended = test.status.set(state, note)
    except Exception:
        # What a host raises here is its own affair.
        pass
    _complete(test)
    return ended


def _complete(test: TestRun) -> None:
    try:
        # An empty file fits on disks that no line fits on.
        test.set_run_complete()
    except Exception:
        pass


def log_tails(job: Job) -> str:
    """The last lines of the job's logs, as the end of a note; says so when there are none."""
    parts: list[str] = []
    for name, path in (("kickoff log", job.kickoff_log), ("scheduler log", job.sched_log)):
        text = _tail(path)
        if text:
            parts.append(f"The {name} {path} ends with:\n{text}")
    if not parts:
        return f" Its logs in {job.path} are empty."
    return "\n" + "\n".join(parts)


def _tail(path: Path) -> str:
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - TAIL_BYTES))
            text = file.read().decode("utf-8", "replace")
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
