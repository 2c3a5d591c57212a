"""States of tests."""

from __future__ import annotations

import time


class _States:
    """Each state's value is its own name."""

    _NAMES = ("UNKNOWN", "INVALID", "CREATED", "SCHEDULED", "SCHED_ERROR", "SCHED_CANCELLED",
              "SCHED_STARTUP", "SCHED_RUNNING", "SCHED_WARNING", "RUNNING", "CANCELLED",
              "COMPLETE")

    def __init__(self):
        for name in self._NAMES:
            setattr(self, name, name)

    def help(self, state):
        """What a state means."""
        return f"The state {getattr(self, state)}."

    def list(self):
        """All states."""
        return list(self._NAMES)


STATES = _States()


class TestStatusInfo:
    """One state of a test."""

    __test__ = False
    __slots__ = ("note", "state", "when")

    def __init__(self, state, note, when=None):
        if state not in STATES.list() or not isinstance(note, str):
            raise TypeError(f"no state and note: {state!r}, {note!r}")
        self.state = state
        self.note = note
        self.when = time.time() if when is None else when
