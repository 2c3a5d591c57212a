"""The states of a test run, and the file that keeps their history.

A status file has one line per state change: the time (seconds since the epoch), the state and a
note, separated by blanks.  It is only ever appended to, with one write per line, so several
processes may write to it at once.
"""

from __future__ import annotations

import builtins
import time
from pathlib import Path

from pavilion.errors import TestRunError
from pavilion.files import append_line, read_tail

# The end of the year 9999: later times have no date, and neither has 'inf' or 'nan'.
_TIME_MAX = 253_402_300_800.0


class TestStatesStruct:
    """The states a test run goes through.  Each attribute's value is its own name."""

    __test__ = False

    # An attribute per state; the text says what the state means.
    _HELP: dict[str, str] = {
        "UNKNOWN": "No state is recorded, or the record cannot be read.",
        "INVALID": "The record holds a state that is not known here.",
        "CREATED": "The test run exists on disk; nothing was scheduled yet.",
        "CREATION_ERROR": "The test run could not be set up.",
        "SCHEDULED": "The test was handed to the scheduler and is waiting for its turn.",
        "SCHED_ERROR": "The scheduler refused, lost or killed the job, or could not be queried.",
        "SCHED_CANCELLED": "The job was cancelled.",
        "SCHED_STARTUP": "The job is running; the test itself has not started yet.",
        "SCHED_RUNNING": "The old name of SCHED_STARTUP.",
        "SCHED_WARNING": "The scheduler could not be queried just now; it is queried again later.",
        "PREPPING_RUN": "On the allocation: preparing the final variables and the run script.",
        "RUNNING": "The test's run script is running.",
        "ENV_FAILED": "The environment of the test could not be set up.",
        "RUN_ERROR": "The run script could not be started.",
        "RUN_TIMEOUT": "The run script ran longer than its timeout and was stopped.",
        "RUN_DONE": "The run script has ended.",
        "CANCELLED": "The test was cancelled by a user.",
        "ABORTED": "The test ended for a reason outside of it.",
        "RESULTS": "The results are being determined.",
        "RESULTS_ERROR": "The results could not be determined.",
        "COMPLETE": "The test has ended; its result is in the results file.",
    }

    def __init__(self) -> None:
        for name in self._HELP:
            setattr(self, name, name)

    def __getattr__(self, name: str) -> str:
        # Only reached for names that were not set above.
        raise AttributeError(f"There is no test state {name!r}. States: {', '.join(self._HELP)}")

    def list(self) -> builtins.list[str]:
        """All state names, in the order a test goes through them."""
        return [*self._HELP]

    def help(self, state: str) -> str:
        """What a state means.  :raises KeyError: for an unknown state."""
        return self._HELP[state]

    def validate(self, state: str) -> str:
        """The state itself when it is known, otherwise 'INVALID'."""
        return state if state in self._HELP else "INVALID"


STATES = TestStatesStruct()


class TestStatusInfo:
    """One state of a test (or of its job).

    :param state: One of STATES.
    :param note: A sentence for the user.
    :param when: Seconds since the epoch; now when left out.
    """

    __test__ = False

    def __init__(self, state: str, note: str, when: float | None = None) -> None:
        self.state = state
        self.note = note
        self.when = time.time() if when is None else float(when)

    def __repr__(self) -> str:
        return f"TestStatusInfo({self.state!r}, {self.note!r}, when={self.when!r})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, TestStatusInfo):
            return NotImplemented
        return (self.state, self.note, self.when) == (other.state, other.note, other.when)

    __hash__ = None  # type: ignore[assignment]

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        return {"state": self.state, "note": self.note, "when": self.when}


class StatusFile:
    """The history of one test run's states.

    :param path: The file; made by the first :meth:`set`.
    """

    # One write of up to this many bytes to a file opened for appending is not torn apart by
    # others on local file systems and on those clusters use.
    LINE_MAX = 4096
    # The most bytes that are read of a history.
    HISTORY_MAX = 16 * 1024 * 1024

    def __init__(self, path: Path) -> None:
        self.path = path

    def set(self, state: str, note: str) -> TestStatusInfo:
        """Append a state.

        :param state: One of STATES; an unknown one is recorded as INVALID, with its name in
            the note.
        :param note: Free text; cut where the line would exceed LINE_MAX bytes.
        :raises TestRunError: When the file cannot be written (disk full, directory gone).
        """
        if STATES.validate(state) != state:
            state, note = "INVALID", f"Unknown state {state!r}: {note}"
        # As exact as the file, so that what is returned equals what is read.
        info = TestStatusInfo(state, note, when=round(time.time(), 6))
        line = f"{info.when:.6f} {state} {_escape(note)}".encode("utf-8", "backslashreplace")
        if len(line) >= self.LINE_MAX:
            line = _cut(line, self.LINE_MAX - 4) + b"..."
        try:
            append_line(self.path, line)
        except OSError as exc:
            raise TestRunError(
                f"Cannot write state {state} to the status file {self.path}", prior_error=exc
            ) from exc
        return info

    def current(self) -> TestStatusInfo:
        """The newest state.  'UNKNOWN' when there is none that can be read."""
        try:
            # The last line is almost always within this; a torn one may follow it.
            tail = read_tail(self.path, 3 * self.LINE_MAX)
        except OSError as exc:
            return TestStatusInfo("UNKNOWN", f"Cannot read {self.path}: {exc.strerror}", when=0)
        for line in reversed(_whole_lines(tail)):
            info = _parse(line)
            if info is not None:
                return info
        return TestStatusInfo("UNKNOWN", f"No state is recorded in {self.path}.", when=0)

    def history(self) -> list[TestStatusInfo]:
        """All states, oldest first.  Lines that cannot be read are left out, and so is the start
        of a file that is longer than any test makes it."""
        try:
            data = read_tail(self.path, self.HISTORY_MAX)
        except OSError:
            return []
        return [info for info in map(_parse, _whole_lines(data)) if info is not None]


def _whole_lines(data: bytes) -> list[bytes]:
    """Complete lines: what follows the last newline is still being written, or torn."""
    return data.split(b"\n")[:-1]


def _parse(line: bytes) -> TestStatusInfo | None:
    parts = line.decode("utf-8", "replace").split(" ", 2)
    if len(parts) < 2:
        return None
    try:
        when = float(parts[0])
    except ValueError:
        return None
    if not 0 <= when < _TIME_MAX:
        return None
    state = parts[1]
    if STATES.validate(state) != state:
        return None
    return TestStatusInfo(state, _unescape(parts[2] if len(parts) > 2 else ""), when=when)


def _escape(note: str) -> str:
    return note.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")


def _unescape(note: str) -> str:
    if "\\" not in note:
        return note
    out: list[str] = []
    chars = iter(note)
    for char in chars:
        if char != "\\":
            out.append(char)
            continue
        follower = next(chars, "")
        out.append({"n": "\n", "r": "\r", "\\": "\\"}.get(follower, "\\" + follower))
    return "".join(out)


def _cut(line: bytes, size: int) -> bytes:
    """At most this many bytes, without half a character or half an escape at the end."""
    text = line[:size].decode("utf-8", "ignore")
    backslashes = len(text) - len(text.rstrip("\\"))
    return text[:-1].encode() if backslashes % 2 else text.encode()
