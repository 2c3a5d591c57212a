"""A job on its way to its scheduler: what it waits for, and how the submission is stopped.

It may take minutes until a job has an id, because of a full queue, or an answer that got lost.  A
plugin's ``_kickoff()`` reports that with ``self.report(job, text)`` and waits with
``self.pause(job, seconds)``.  Hosts show the text, and end the wait with ``stop_kickoffs()``.  In a
host that does not know about this, the text is shown in the status of the job's tests, and the wait
ends when a user cancels them.  A plugin that does not use these methods works as before.

This module also records which methods of plugins are running, and since when (:func:`calling`), so
that a method that hangs can be named.
"""

from __future__ import annotations

import itertools
import os
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from pavilion.errors import SchedulerPluginError
from pavilion.status_file import STATES

if TYPE_CHECKING:
    from pavilion.test_run import TestRun

# Seconds between two checks whether somebody has cancelled the tests of a waiting job.
CANCEL_POLL = 2.0
# Seconds between two signs of life: without them, a job on its way counts as lost after a while.
SIGN_PAUSE = 30.0


class HandoverStopped(SchedulerPluginError):
    """The submission of a job was stopped, and it is certain that there is no such job."""


class Handover:
    """A job on its way to its scheduler.

    :param tests: The tests of the job.
    :param stop: Set when the submission is to be stopped.
    :param folder: The job's directory, whose modification time is updated as a sign of life.
    :ivar text: What the job waits for; '' when it waits for nothing in particular.
    """

    def __init__(
        self,
        tests: Sequence[TestRun] = (),
        stop: threading.Event | None = None,
        folder: Path | None = None,
    ) -> None:
        self.tests = list(tests)
        self.text = ""
        self._stop = threading.Event() if stop is None else stop
        self._folder = folder
        self._looked = self._signed = time.monotonic()
        self._cancelled = False

    def report(self, text: str) -> None:
        """Report what the job waits for.  It is written to the status of its tests whenever it
        changes.

        Never raises: if it cannot be written, this process still shows it.
        """
        if text == self.text:
            return
        self.text = text
        for test in self.tests:
            try:
                # Do not overwrite a later state: the job may have an id, or the test have started.
                if not test.complete and test.status.current().state == STATES.SCHEDULED:
                    test.status.set(STATES.SCHEDULED, text)
            except Exception:
                # A host may raise any exception here.
                continue

    @property
    def stopped(self) -> bool:
        """Whether to give up: a stop was requested, or all tests of the job were cancelled."""
        self._give_sign()
        return self._stop.is_set() or self._all_cancelled()

    def pause(self, seconds: float) -> bool:
        """Wait, but return early when it is time to give up.

        :returns: False when it is time to give up.
        """
        deadline = time.monotonic() + seconds
        while not self.stopped:
            left = deadline - time.monotonic()
            if left <= 0:
                return True
            self._stop.wait(min(left, CANCEL_POLL))
        return False

    def _give_sign(self) -> None:
        now = time.monotonic()
        if self._folder is not None and now - self._signed >= SIGN_PAUSE:
            self._signed = now
            with suppress(OSError):
                os.utime(self._folder)

    def _all_cancelled(self) -> bool:
        now = time.monotonic()
        if not self._cancelled and self.tests and now - self._looked >= CANCEL_POLL:
            self._looked = now
            self._cancelled = all(test.complete for test in self.tests)
        return self._cancelled


class Call(NamedTuple):
    """A method of a plugin that is running."""

    number: int
    scheduler: str
    method: str
    began: float
    """Seconds of the monotonic clock."""
    handover: Handover | None = None


# Thread -> its calls, the innermost last.  A thread only changes its own list.
_calls: dict[int, list[Call]] = {}
_numbers = itertools.count()


@contextmanager
def calling(scheduler: str, method: str, handover: Handover | None = None) -> Iterator[None]:
    """Record a method of a scheduler's plugin as running, for the duration of the block."""
    thread = threading.get_ident()
    calls = _calls.setdefault(thread, [])
    calls.append(Call(next(_numbers), scheduler, method, time.monotonic(), handover))
    try:
        yield
    finally:
        calls.pop()
        if not calls:
            _calls.pop(thread, None)


def calls_at_work() -> list[Call]:
    """The innermost call of each thread that is inside a plugin, the oldest first."""
    innermost = [calls[-1:] for calls in list(_calls.values())]
    return sorted(call for calls in innermost for call in calls)
