"""A job on its way to its scheduler: what it waits for, and how it is told to give up.

Between the start of a job and its id there may be minutes: a queue that is full, an answer that got
lost.  A plugin's ``_kickoff()`` tells of that by ``self.report(job, text)`` and waits by
``self.pause(job, seconds)``.  Hosts show the text, and end the waiting by ``stop_kickoffs()``.  A
host that knows nothing of this sees the text as the state of the job's tests, and ends the waiting
by cancelling them, as any user can.  A plugin that does not use it works as ever.

Which methods of plugins are at work, and for how long, is known here as well (:func:`calling`): a
method that hangs can be named.
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

# Seconds between two looks whether somebody cancelled the tests of a job that is waited with.
CANCEL_POLL = 2.0
# Seconds between two signs of life: without one a job on its way counts as lost after a while.
SIGN_PAUSE = 30.0


class HandoverStopped(SchedulerPluginError):
    """A job was not handed over, because that was to end.  There is no such job."""


class Handover:
    """A job on its way to its scheduler.

    :param tests: Those of the job.
    :param stop: Set when handing over is to end.
    :param folder: The job's directory, whose time is kept new.
    :ivar text: What it waits for; '' while it waits for nothing in particular.
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
        """Tell what the job waits for.  Written to the status of its tests once per change.

        Never raises: where that cannot be written, this process still shows it.
        """
        if text == self.text:
            return
        self.text = text
        for test in self.tests:
            try:
                # What comes after it has the job's id, or the test has started.
                if not test.complete and test.status.current().state == STATES.SCHEDULED:
                    test.status.set(STATES.SCHEDULED, text)
            except Exception:
                # What a host raises here is its own affair.
                continue

    @property
    def stopped(self) -> bool:
        """Whether to give up: told so, or all tests of the job were cancelled meanwhile."""
        self._give_sign()
        return self._stop.is_set() or self._all_cancelled()

    def pause(self, seconds: float) -> bool:
        """Wait, for no longer than there is something to wait for.

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
    """A method of a plugin that is at work."""

    number: int
    scheduler: str
    method: str
    began: float
    """On the monotonic clock, in seconds."""
    handover: Handover | None = None


# Thread -> its calls, the innermost last.  Lists of other threads are only read.
_calls: dict[int, list[Call]] = {}
_numbers = itertools.count()


@contextmanager
def calling(scheduler: str, method: str, handover: Handover | None = None) -> Iterator[None]:
    """Mark a method of a scheduler's plugin as being at work, for as long as the block lasts."""
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
    """The innermost call of each thread that is in a plugin, the oldest first."""
    innermost = [calls[-1:] for calls in list(_calls.values())]
    return sorted(call for calls in innermost for call in calls)
