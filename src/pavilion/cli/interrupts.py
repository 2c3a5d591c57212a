"""Ctrl-C while tests are handed to their schedulers.

A job that is being handed over must not be dropped half-way: it might run, and nobody could find
it again.  So an interrupt waits until no test is in between.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any

from pavilion.errors import PavilionError
from pavilion.test_run import TestRun

from .output import tell

# What ends us, besides Ctrl-C: a batch system or a closed terminal.
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# Seconds between two looks at a job that is being handed over.
LOOK_PAUSE = 0.02


class Interrupted(KeyboardInterrupt):
    """Raised at a moment when no job is being handed over.

    :ivar number: The signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


@contextmanager
def interruptible_between_jobs(tests: Sequence[TestRun]) -> Iterator[None]:
    """Turn signals into Interrupted, between jobs only.  A second Ctrl-C is obeyed at once.

    :param tests: What is being handed over.
    """
    pending: dict[str, int] = {}

    def on_signal(number: int, frame: FrameType | None) -> None:
        if number != signal.SIGALRM:
            if number == signal.SIGINT and "number" in pending:
                raise Interrupted(number)
            pending.setdefault("number", number)
        if "number" not in pending:
            return
        if not _in_between(tests):
            raise Interrupted(pending["number"])
        if "told" not in pending:
            pending["told"] = 1
            tell("Interrupted. A job is being handed to its scheduler; waiting for that. Press "
                 "Ctrl-C again to give up on it.")
        signal.setitimer(signal.ITIMER_REAL, LOOK_PAUSE)

    # What a caller made us ignore (nohup, a background job) stays ignored.
    caught = [number for number in SIGNALS if signal.getsignal(number) != signal.SIG_IGN]
    before: dict[int, Any] = {number: signal.signal(number, on_signal)
                              for number in (*caught, signal.SIGALRM)}
    try:
        yield
        if "number" in pending:
            raise Interrupted(pending["number"])
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before.items():
            signal.signal(number, handler)


def _in_between(tests: Sequence[TestRun]) -> bool:
    """Whether a test has a job that nobody could find again yet."""
    seen = set()
    for test in tests:
        job = test.job
        if job is None or job.name in seen:
            continue
        seen.add(job.name)
        try:
            if not job.info and not test.complete:
                return True
        except PavilionError:
            # A record that cannot be read will not get better by waiting.
            continue
    return False
