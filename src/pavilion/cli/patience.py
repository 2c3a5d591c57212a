"""Plugins that take their time: what they are doing is reported, and nobody waits forever."""

from __future__ import annotations

import threading
import time
from typing import Callable, TypeVar

from pavilion.schedulers.lifecycle.handover import calls_at_work

from .output import tell

T = TypeVar("T")

# Seconds after which a method of a plugin is named.
SLOW = 5.0
# Seconds between two looks at what they are doing.
LOOK_PAUSE = 0.25


class Deadline:
    """The time that --timeout leaves.

    :param timeout: Seconds from now; None for no limit.
    """

    def __init__(self, timeout: float | None) -> None:
        self._end = None if timeout is None else time.monotonic() + timeout

    @property
    def left(self) -> float | None:
        """Seconds that are left; 0 when the time is up, None without a limit."""
        return None if self._end is None else max(0.0, self._end - time.monotonic())

    @property
    def over(self) -> bool:
        """Whether nothing is left."""
        return self.left == 0


class OutOfTimeError(Exception):
    """The time of --timeout was up before something was done."""


class SlowCalls:
    """The methods of plugins that take long, each reported once."""

    def __init__(self) -> None:
        self._told: set[tuple[str, str]] = set()

    def news(self) -> list[str]:
        """'Still waiting for gridengine: _job_status', for each slow one that was not reported."""
        slow = [
            (call.scheduler, call.method)
            for call in calls_at_work()
            if time.monotonic() - call.began >= SLOW
            # Those that say what they are waiting for are reported anyway.
            and (call.handover is None or not call.handover.text)
        ]
        new = [call for call in dict.fromkeys(slow) if call not in self._told]
        self._told.update(new)
        # One that returned, and hangs again, is reported again.
        self._told.intersection_update(slow)
        return [f"Still waiting for {scheduler}: {method}." for scheduler, method in new]


def patiently(work: Callable[[], T], deadline: Deadline | None = None) -> T:
    """Do something that calls plugins; report those of their methods that take long.

    It is done in a thread.  When this is interrupted, or time is up, it is left alone.

    :raises OutOfTimeError: When the time is up first.
    :raises BaseException: What the work raises.
    """
    results: list[T] = []
    errors: list[BaseException] = []
    done = threading.Event()

    def run() -> None:
        try:
            results.append(work())
        except BaseException as exc:
            errors.append(exc)
        finally:
            done.set()

    threading.Thread(target=run, name="work", daemon=True).start()
    slow = SlowCalls()
    while not done.wait(LOOK_PAUSE):
        for line in slow.news():
            tell(line)
        if deadline is not None and deadline.over:
            raise OutOfTimeError
    if errors:
        raise errors[0]
    return results[0]
