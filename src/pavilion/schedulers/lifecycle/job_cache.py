"""The file through which processes share what a scheduler said about its jobs.

It is JSON, is replaced in one step, and is protected by a lock on a file next to it.  It is used only
when everything about it is valid, because it may be in a directory that others can write to.
"""

from __future__ import annotations

import json
import math
import os
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from ..talk import locks, safe_files

MAX_FILE_SIZE = 64 * 1024 * 1024
CLOCK_SKEW = 1.0
"""Seconds that the times in a cache file may be in the future: the clocks of hosts that share a
directory differ a little."""
LOCK_POLL = 0.05
FORMAT = 2


class JobRecord(NamedTuple):
    """What the scheduler says about a job."""

    job_id: str
    state: str
    """The scheduler's own name for the state, normalised by the plugin."""
    data: dict[str, str]
    """Whatever else the plugin needs."""


class Seen(NamedTuple):
    """A record, and when the query that returned it was started."""

    record: JobRecord
    when: float


class Absence(NamedTuple):
    """Successive good answers that did not list a job: the times of the first and the last of these
    queries, and their number."""

    first: float
    last: float
    times: int


class AskFailure(NamedTuple):
    """Failed queries in a row: their number, and the time and the reason of the last failure."""

    times: int
    when: float
    note: str


class Snapshot(NamedTuple):
    """Everything that processes share.  Times are in seconds since the epoch."""

    asked: float | None
    listed: dict[str, JobRecord]
    past: dict[str, Seen]
    absent: dict[str, Absence]
    new: dict[str, float]
    failure: AskFailure | None
    took: float = 0.0
    """The duration of the query for the current answer, in seconds."""


class CacheFile:
    """A file through which processes share what they know, and a lock for queries.

    The file is only a cache, so problems with it are never errors: if anything is wrong with it, it
    is not used, and :attr:`problem` says why.  It is replaced atomically, so a reader sees either
    the old or the new content.
    """

    def __init__(self, path: Path, source: str) -> None:
        self._path = path
        self._source = source
        self._signature: tuple[int, ...] | None = None
        self.problem = ""

    def read(self, now: float) -> Snapshot | None:
        """Its content; None when it is unchanged since it was last read or written here, does not
        exist, cannot be trusted or is not valid."""
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
            self._note(f"is not used because it is damaged: {type(exc).__name__}: {exc}")
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
        """Replace its content.  Never raises; see :attr:`problem`."""
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
        # The name is unique to the writer, because a process that could not get the lock in time
        # writes as well.
        new = self._path.with_name(f".{self._path.name}.{os.getpid()}-{threading.get_ident()}")
        try:
            data = json.dumps(content, separators=(",", ":")).encode()
            new.unlink(missing_ok=True)  # Left by a process that was killed.
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
        """Yields a function that tries to get the lock and returns whether it did.  The lock is
        released at the end.

        Where locks are not possible, every try succeeds: an unnecessary query is the lesser evil.
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
                return locks.try_lock(fd)
            except OSError as exc:
                self._note(f"cannot be locked ({path}: {exc.strerror})")
                return True

        try:
            yield try_lock
        finally:
            try:
                locks.unlock(fd)
            except OSError:
                pass
            os.close(fd)

    def _note(self, reason: str) -> None:
        self.problem = f"The cache file {self._path} {reason}."


def _signature(info: os.stat_result) -> tuple[int, ...]:
    return (info.st_dev, info.st_ino, info.st_mtime_ns, info.st_size)


def _check_owner(info: os.stat_result, folder: os.stat_result) -> None:
    """Raise a ValueError when the content of a file cannot be trusted."""
    if info.st_size >= MAX_FILE_SIZE:
        raise ValueError(f"it has {info.st_size} bytes; the maximum is {MAX_FILE_SIZE - 1}")
    if info.st_mode & stat.S_IWOTH:
        raise ValueError("everyone may write to it")
    # Others can only write to a directory of this user if this user has permitted it.
    ours = folder.st_uid == os.geteuid() and not folder.st_mode & stat.S_IWOTH
    if info.st_uid not in (os.geteuid(), 0) and not ours:
        raise ValueError(f"it belongs to another user (uid {info.st_uid})")


def _parse(content: dict[str, Any], source: str, now: float) -> Snapshot:
    """The content of a cache file, checked.

    :raises ValueError, TypeError, KeyError, OverflowError: When it cannot be used here.
    """
    if content["format"] != FORMAT:
        raise ValueError(f"its format is {content['format']!r}, not {FORMAT}")
    if content["source"] != source:
        raise ValueError(f"it is about {content['source']!r}, not {source!r}")

    def stamp(value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise ValueError(f"{value!r} is not a time")
        if not math.isfinite(value) or value > now + CLOCK_SKEW:
            raise ValueError(f"the time {value!r} is in the future; it is {now!r} now")
        return min(float(value), now)

    def record(job_id: Any, state: Any, data: Any) -> JobRecord:
        texts = [job_id, state, *_table(data).values()]
        if not all(isinstance(text, str) for text in texts):
            raise ValueError(f"the record of job {job_id} does not consist of strings")
        return JobRecord(job_id, state, data)

    def seconds(value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < 3600:
            raise ValueError(f"{value!r} is not a number of seconds")
        return float(value)

    def number(value: Any) -> int:
        if not isinstance(value, int) or value < 1:
            raise ValueError(f"{value!r} is not a count")
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
        raise ValueError(f"it contains {type(value).__name__} instead of an object")
    return value
