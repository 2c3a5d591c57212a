"""Ctrl-C, and other signals that end us, while tests are handed to their schedulers.

A job that is being handed over must not be dropped half-way: it might run, and nobody could find
it again.  So the first interrupt cancels the tests that have no job yet, gives up the jobs that
wait for something, and gives those that are being handed over some seconds to get there.
"""

from __future__ import annotations

import signal
from types import FrameType, TracebackType
from typing import Any

from .output import tell

# What ends us, in addition to Ctrl-C: a batch system, a closed terminal.
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class KickoffGuard:
    """A context in which tests are handed over, and interrupts are noted.

    A second Ctrl-C is obeyed at once, as KeyboardInterrupt.

    :ivar number: The signal that interrupted it; None without.
    """

    def __init__(self) -> None:
        self._before: dict[int, Any] = {}
        self.number: int | None = None

    def __enter__(self) -> KickoffGuard:
        for number in SIGNALS:
            # What a caller made us ignore (nohup, a background job) stays ignored.
            if signal.getsignal(number) != signal.SIG_IGN:
                self._before[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self.number is not None:
            if number == signal.SIGINT:
                raise KeyboardInterrupt
            return
        self.number = number
        tell(
            "\nInterrupted. Jobs that are being handed to a scheduler just now get some seconds "
            "to get there. Press Ctrl-C again to give up on them."
        )
