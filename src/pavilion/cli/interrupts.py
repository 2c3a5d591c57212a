"""Ctrl-C while tests are handed to their schedulers.

A job that is being handed over must not be dropped half-way: it might run, and nobody could find
it again.  So the first interrupt cancels the tests that have no job yet, which makes handing over
skip them, and lets the jobs in hand be handed over to the end.
"""

from __future__ import annotations

import signal
from collections.abc import Sequence
from types import FrameType, TracebackType
from typing import Any

from pavilion.errors import PavilionError
from pavilion.status_file import STATES
from pavilion.test_run import TestRun

from .output import tell

# What ends us, besides Ctrl-C: a batch system, a closed terminal.
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
REASON = "Interrupted before it was handed to its scheduler."


class KickoffGuard:
    """A context in which tests are handed over.

    A second Ctrl-C is obeyed at once, as KeyboardInterrupt.

    :param tests: What is being handed over.
    :ivar number: The signal that interrupted it; None without.
    :ivar cancelled: The tests that were not handed over because of that.
    """

    def __init__(self, tests: Sequence[TestRun]) -> None:
        self._tests = tests
        self._before: dict[int, Any] = {}
        self.number: int | None = None
        self.cancelled: list[TestRun] = []

    def __enter__(self) -> KickoffGuard:
        for number in SIGNALS:
            # What a caller made us ignore (nohup, a background job) stays ignored.
            if signal.getsignal(number) != signal.SIG_IGN:
                self._before[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 traceback: TracebackType | None) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if self.number is not None:
            # The second interrupt may have come while the first one was dealt with.
            self._cancel_rest()
        for test in self.cancelled:
            # It may have been on its way into a job, whose 'SCHEDULED' then came later.
            if test.status.current().state != STATES.CANCELLED:
                test.status.set(STATES.CANCELLED, REASON)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self.number is not None:
            if number == signal.SIGINT:
                raise KeyboardInterrupt
            return
        self.number = number
        self._cancel_rest()
        tell("\nInterrupted. What is being handed to a scheduler just now is handed over to the "
             "end. Press Ctrl-C again to give up on it.")

    def _cancel_rest(self) -> None:
        for test in self._tests:
            try:
                if test.job is None and test.cancel(REASON):
                    self.cancelled.append(test)
            except PavilionError as exc:
                tell(exc.pformat())
