"""The file through which processes share what a scheduler said about its jobs.

It is JSON, replaced in one step, guarded by a lock on a file beside it, and believed only when
everything about it is as it should be: the data may lie in a folder that others write to.
"""

from __future__ import annotations

import fcntl
import json
import math
import os
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from . import safe_files

MAX_FILE_SIZE = 64 * 1024 * 1024
CLOCK_SKEW = 1.0
"""Seconds that a cache file may lie in the future: hosts that share a folder differ a little."""
LOCK_POLL = 0.05
FORMAT = 2


class JobRecord(NamedTuple):
    """What the scheduler says about a job."""

    job_id: str
    state: str
    """The scheduler's own word, normalised by the plugin."""
    data: dict[str, str]
    """Whatever else the plugin wants to know."""


class Seen(NamedTuple):
    """What the scheduler said about a job last, and when (seconds since the epoch)."""

    record: JobRecord
    when: float


class Absence(NamedTuple):
    """Successive good answers without a job."""

    first: float
    last: float
    times: int


class AskFailure(NamedTuple):
    """Failed queries in a row; the end and the reason of the last one."""

    times: int
    when: float
    note: str


class Snapshot(NamedTuple):
    """All that processes share.  Times are seconds since the epoch."""

    asked: float | None
    listed: dict[str, JobRecord]
    past: dict[str, Seen]
    absent: dict[str, Absence]
    new: dict[str, float]
    failure: AskFailure | None
    took: float = 0.0
    """Seconds that the current answer took to get."""


class CacheFile:
    """A file through which processes share what they know, and a lock for who asks.

    It is data only, and never worth an error: whatever is wrong with it, it is not used, and
    :attr:`problem` says why.  It is replaced atomically, so a reader sees all of it or none.
    """

    def __init__(self, path: Path, source: str) -> None:
        self._path = path
        self._source = source
        self._signature: tuple[int, ...] | None = None
        self.problem = ""

    def read(self, now: float) -> Snapshot | None:
        """Its content; None when it is unchanged since it was last read or written here, is not
        there, cannot be trusted or makes no sense."""
        try:
            content = self._load()
            if content is None:
                return None
            shared = _parse(content, self._source, now)
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as exc:
            self._note(f"is not used: {exc}")
            return None
        except (TypeError, KeyError, OverflowError, RecursionError) as exc:
            self._note(f"is not used, it is damaged: {type(exc).__name__}: {exc}")
            return None
        self.problem = ""
        return shared

    def _load(self) -> dict[str, Any] | None:
        fd, info = safe_files.open_regular(self._path)
        with os.fdopen(fd, "rb") as file:
            signature = _signature(info)
            if signature == self._signature:
                return None
            self._signature = signature
            _check_owner(info, self._path.parent.stat())
            return _table(json.loads(file.read(MAX_FILE_SIZE)))

    def write(self, shared: Snapshot) -> None:
        """Replace it."""
        content = {
            "format": FORMAT,
            "source": self._source,
            "asked": shared.asked,
            "listed": {i: list(record) for i, record in shared.listed.items()},
            "past": {i: [*seen.record, seen.when] for i, seen in shared.past.items()},
            "absent": shared.absent,
            "new": shared.new,
            "failure": shared.failure,
            "took": shared.took,
        }
        # No two writers have the same name for it: a process that waited in vain for the lock
        # writes as well.
        new = self._path.with_name(f".{self._path.name}.{os.getpid()}-{threading.get_ident()}")
        try:
            data = json.dumps(content, separators=(",", ":")).encode()
            new.unlink(missing_ok=True)  # left by a process that was killed
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
            with os.fdopen(os.open(new, flags, 0o644), "wb") as file:
                file.write(data)
                file.flush()
                signature = _signature(os.fstat(file.fileno()))
            new.replace(self._path)
            self._signature = signature
        except (OSError, TypeError, ValueError) as exc:
            self._note(f"cannot be written: {exc}")
            try:
                new.unlink()
            except OSError:
                pass

    @contextmanager
    def lock(self) -> Iterator[Callable[[], bool]]:
        """Gives a function that tries to get the lock; it is let go at the end.

        Where there can be no lock, every try succeeds: a query too many is the lesser evil.
        """
        path = self._path.with_name(f"{self._path.name}.lock")
        try:
            fd, _ = safe_files.open_regular(path, os.O_RDWR | os.O_CREAT)
        except OSError as exc:
            self._note(f"cannot be locked ({path}: {exc.strerror})")
            yield lambda: True
            return

        def try_lock() -> bool:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            except OSError as exc:
                self._note(f"cannot be locked ({path}: {exc.strerror})")
            return True

        try:
            yield try_lock
        finally:
            try:
                # Closing is not enough when a child that was forked meanwhile has it open too.
                fcntl.flock(fd, fcntl.LOCK_UN)
            except OSError:
                pass
            os.close(fd)

    def _note(self, reason: str) -> None:
        self.problem = f"The cache file {self._path} {reason}."


def _signature(info: os.stat_result) -> tuple[int, ...]:
    return (info.st_dev, info.st_ino, info.st_mtime_ns, info.st_size)


def _check_owner(info: os.stat_result, folder: os.stat_result) -> None:
    """Raise a ValueError when what is in a file is not to be believed."""
    if info.st_size >= MAX_FILE_SIZE:
        raise ValueError(f"it has {info.st_size} bytes, which is too much")
    if info.st_mode & stat.S_IWOTH:
        raise ValueError("everyone may write it")
    # Whoever may write in a folder of this user was let in by this user.
    ours = folder.st_uid == os.geteuid() and not folder.st_mode & stat.S_IWOTH
    if info.st_uid not in (os.geteuid(), 0) and not ours:
        raise ValueError(f"it was written by another user (number {info.st_uid})")


def _parse(content: dict[str, Any], source: str, now: float) -> Snapshot:
    """The content of a cache file, checked.

    :raises ValueError, TypeError, KeyError, OverflowError: When it is of no use here.
    """
    if content["format"] != FORMAT:
        raise ValueError(f"it has format {content['format']!r} and not {FORMAT}")
    if content["source"] != source:
        raise ValueError(f"it is about {content['source']!r} and not {source!r}")

    def stamp(value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise ValueError(f"{value!r} is no time")
        if not math.isfinite(value) or value > now + CLOCK_SKEW:
            raise ValueError(f"the time {value!r} lies in the future, it is {now!r}")
        return min(float(value), now)

    def record(job_id: Any, state: Any, data: Any) -> JobRecord:
        texts = [job_id, state, *_table(data).values()]
        if not all(isinstance(text, str) for text in texts):
            raise ValueError(f"the record of job {job_id} is not text")
        return JobRecord(job_id, state, data)

    def seconds(value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < 3600:
            raise ValueError(f"{value!r} is not a number of seconds")
        return float(value)

    def number(value: Any) -> int:
        if not isinstance(value, int) or value < 1:
            raise ValueError(f"{value!r} is no count")
        return int(value)

    asked = None if content["asked"] is None else stamp(content["asked"])
    failure = None
    if content["failure"] is not None:
        count, when, note = content["failure"]
        failure = AskFailure(number(count), stamp(when), str(note))
    return Snapshot(
        asked,
        {i: record(*row) for i, row in _table(content["listed"]).items()},
        {i: Seen(record(*row), stamp(when)) for i, (*row, when) in _table(content["past"]).items()},
        {
            i: Absence(stamp(first), stamp(last), number(count))
            for i, (first, last, count) in _table(content["absent"]).items()
        },
        {i: stamp(when) for i, when in _table(content["new"]).items()},
        failure,
        seconds(content["took"]),
    )


def _table(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{type(value).__name__} where a table must be")
    return value
