"""Ctrl-C, and what else ends us, while tests are handed to their schedulers.

A job that is being handed over must not be dropped half-way: it might run, and nobody could find
it again.  So the first interrupt cancels the tests that have no job yet, gives up the jobs that
wait for something, and lets those in hand be handed over to the end, for some seconds.
"""

from __future__ import annotations

import signal
from types import FrameType, TracebackType
from typing import Any

from .output import tell

# What ends us, besides Ctrl-C: a batch system, a closed terminal.
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class KickoffGuard:
    """A context in which tests are handed over, and interrupts are taken note of.

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
            "\nInterrupted. What is being handed to a scheduler just now gets some seconds to be "
            "handed over. Press Ctrl-C again to give up on it."
        )
