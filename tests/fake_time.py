"""Time for tests of what waits: it passes when somebody sleeps."""

from __future__ import annotations


class FakeTime:
    """A clock that sleeping moves, and whatever else a test does."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
