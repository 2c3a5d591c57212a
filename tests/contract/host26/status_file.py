"""States of tests, and the file that they are in."""

from __future__ import annotations

import time


class _States:
    """Each state's value is its own name."""

    _NAMES = (
        "ABORTED",
        "BUILDING",
        "BUILD_COPIED",
        "BUILD_CREATED",
        "BUILD_DEFERRED",
        "BUILD_DONE",
        "BUILD_ERROR",
        "BUILD_FAILED",
        "BUILD_REUSED",
        "BUILD_SKIPPED",
        "BUILD_SUCCESS",
        "BUILD_TIMEOUT",
        "BUILD_WAIT",
        "CANCELLED",
        "COMPLETE",
        "CREATED",
        "CREATION_ERROR",
        "ENV_FAILED",
        "FINALIZED",
        "INFO",
        "INVALID",
        "PREPPING_RUN",
        "RESULTS",
        "RESULTS_ERROR",
        "RUNNING",
        "RUN_DONE",
        "RUN_ERROR",
        "RUN_READY",
        "RUN_TIMEOUT",
        "RUN_USER",
        "SCHEDULED",
        "SCHED_CANCELLED",
        "SCHED_ERROR",
        "SCHED_RUNNING",
        "SCHED_STARTUP",
        "SCHED_WARNING",
        "SKIPPED",
        "STATUS_CREATED",
        "STATUS_ERROR",
        "UNKNOWN",
        "WARNING",
    )
    _FATAL = frozenset(
        [
            "ABORTED",
            "BUILD_ERROR",
            "BUILD_FAILED",
            "BUILD_TIMEOUT",
            "CANCELLED",
            "CREATION_ERROR",
            "ENV_FAILED",
            "RESULTS_ERROR",
            "RUN_ERROR",
            "RUN_TIMEOUT",
            "SCHED_CANCELLED",
            "SCHED_ERROR",
        ]
    )

    def __init__(self):
        self._help = {name: f"The state {name}." for name in self._NAMES}
        for name in self._NAMES:
            setattr(self, name, name)

    def validate(self, key):
        """Whether there is such a state."""
        return key in self._help

    def get(self, key):
        return getattr(self, key)

    def help(self, state):
        """What a state means."""
        return self._help.get(state, f"Help missing for state '{state}'")

    def list(self):
        """All states."""
        return self._help.keys()

    def is_fatal(self, state):
        """Whether a test does not go on from this state."""
        return state in self._FATAL


STATES = _States()


class TestStatusInfo:
    """One state of a test."""

    __test__ = False
    NOTE_MAX = 4052

    def __init__(self, state, note, when=None):
        self.state = state
        self.note = note.replace("\\n", "\n")
        self.when = time.time() if when is None else when

    def status_line(self):
        """The line of a status file."""
        state, note = self.state, self.note
        if not STATES.validate(state):
            state, note = STATES.INVALID, f"({state}) {note}"
        note = note.replace("\n", "\\n").encode()[: self.NOTE_MAX].decode("utf-8", "ignore")
        return f"{self.when:0.6f} {state} {note}\n".encode()

    def as_dict(self):
        return {"state": self.state, "note": self.note, "time": self.when}


class TestStatusFile:
    """The states that a test went through, a line each.  A file that cannot be used is a state as
    well, and no exception."""

    __test__ = False

    def __init__(self, path):
        self.path = path
        if not path.is_file():
            self.set(STATES.STATUS_CREATED, "Created status file.")

    def _lines(self):
        infos = []
        for line in self.path.read_bytes().splitlines():
            parts = line.decode("utf-8").split(" ", 2)
            infos.append(TestStatusInfo(parts[1], parts[2].strip(), float(parts[0])))
        return infos

    def history(self):
        try:
            return self._lines()
        except OSError as err:
            return [self._unusable(err)]

    def current(self):
        try:
            infos = self._lines()
        except OSError as err:
            return self._unusable(err)
        return infos[-1] if infos else TestStatusInfo(STATES.INVALID, "Status file was empty.")

    def set(self, state, note):
        info = TestStatusInfo(state, note)
        try:
            with self.path.open("ab") as file:
                file.write(info.status_line())
        except OSError as err:
            return self._unusable(err)
        return info

    def __eq__(self, other):
        return isinstance(self, type(other)) and self.path == other.path

    def _unusable(self, err):
        return TestStatusInfo(STATES.STATUS_ERROR, f"Status file '{self.path}': {err.args[0]}")
