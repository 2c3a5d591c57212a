"""Keeping logs from filling a disk: a log that grows beyond its limit loses its middle.

Programs write to a log directly, into a file that is open for appending, so there is nothing
between them and the file that could hold them up, cost time, or die.  Its size is checked now and
then.  When it exceeds the limit, its beginning and its end are kept: the file is cut in place, and
what the programs write next goes to its new end.
"""

from __future__ import annotations

import fcntl
import os
import re
import stat
import threading
import time

from pavilion.errors import ConfigError, quoted

DEFAULT = "100M"
# With less, there is no room for what a test has to say.
_LEAST = 64 * 1024
_UNITS = {"k": 1024, "m": 1024**2, "g": 1024**3, "t": 1024**4}
_SIZE = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,6})?)\s*([kmgt])(?:i?b)?", re.ASCII)

# Seconds between two looks at a log: from one that grows fast to one that does not.
_PAUSES = (0.02, 1.0)
# The fraction of the limit that is kept of the beginning, and at least of the end.
_HEAD = 0.5
_TAIL = 0.25
_BLOCK = 1024 * 1024
# What was written meanwhile is copied as long as it is more than this, for this many rounds.
_SMALL = 64 * 1024
_ROUNDS = 8


def parse_size(text: str | None) -> int | None:
    """A size such as '100M', '1.5 GiB' or '500k', in bytes; None for 'none'.

    Units are powers of 1024.

    :raises ConfigError: For anything else, and for less than 64k.
    """
    word = (text or DEFAULT).strip().lower()
    if word == "none":
        return None
    match = _SIZE.fullmatch(word)
    size = int(float(match[1]) * _UNITS[match[2]]) if match else 0
    if size < _LEAST:
        raise ConfigError(
            "log_limit must be a size of at least 64k with its unit ('500k', '100M', '2G'), or "
            f"'none'; not {quoted(text)}."
        )
    return size


def size_text(size: int) -> str:
    """A number of bytes for users: '15.2 GiB'."""
    for unit, name in ((1024**4, "TiB"), (1024**3, "GiB"), (1024**2, "MiB"), (1024, "KiB")):
        if size >= unit:
            return f"{size / unit:.1f}".rstrip("0").rstrip(".") + f" {name}"
    return f"{size} bytes"


class LimitedLog:
    """A log that may have a limited number of bytes.

    :param fd: An open file of which the programs have copies.  From now on, all of them append.
    :param limit: Bytes; None for no limit.
    """

    def __init__(self, fd: int, limit: int | None) -> None:
        self._fd = fd
        try:
            regular = stat.S_ISREG(os.fstat(fd).st_mode)
            if limit is not None and regular:
                fcntl.fcntl(fd, fcntl.F_SETFL, fcntl.fcntl(fd, fcntl.F_GETFL) | os.O_APPEND)
        except OSError:
            regular = False
        self._limit = limit if regular else None
        self._seen = 0
        self._looked = time.monotonic()
        # Where the beginning that is kept ends; how much was left out after it so far.
        self._head = 0
        self.left_out = 0
        self._mark_size = 0

    @property
    def note(self) -> str:
        """What was left out; '' when nothing was."""
        if not self.left_out:
            return ""
        return f"{size_text(self.left_out)} in the middle of its log were left out (log_limit)."

    def keep_open(self) -> None:
        """Go on with a copy of the open file, which the caller may close now; see :meth:`close`."""
        self._fd = os.dup(self._fd)

    def close(self) -> None:
        """Close the copy that keep_open() made."""
        os.close(self._fd)

    def look(self) -> float:
        """Cut the log when it is too long.

        :returns: The seconds after which to look again.
        """
        if self._limit is None:
            return _PAUSES[1]
        try:
            now, size = time.monotonic(), os.fstat(self._fd).st_size
            # Before it is cut: a program that wrote fast keeps doing so.
            rate = max(0, size - self._seen) / max(now - self._looked, 1e-3)
            if size > self._limit:
                size = self._cut(size)
        except OSError:
            # The disk may be full, or the file server away.  The programs go on.
            return _PAUSES[1]
        self._seen, self._looked = size, time.monotonic()
        # Half of the time in which it would reach the limit.
        room = (self._limit - size) / rate / 2 if rate else _PAUSES[1]
        return min(max(room, _PAUSES[0]), _PAUSES[1])

    def _cut(self, size: int) -> int:
        """Leave out the middle.  Returns the new size.

        What is kept of the end is copied to where the middle began, which is far from where the
        programs write.  Then comes what they wrote meanwhile, and finally the file is cut there.
        What is written in the moment between the last copy and that end is lost.  Where they write
        as fast as this copies, there is always more to copy; so when that is more than what is kept
        of the end, the copy begins again with the end as it is then.
        """
        assert self._limit is not None
        path = f"/proc/self/fd/{self._fd}"
        tail = int(self._limit * _TAIL)
        # For a file that is open for appending, pwrite appends as well.
        other = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        try:
            if not self._head:
                self._head = _line_end(other, int(self._limit * _HEAD))
            # What was left out before, its mark included; from where is to be copied; up to where the
            # file is as it should be.
            before, start, end = self.left_out - self._mark_size, 0, 0
            for left in reversed(range(_ROUNDS)):
                if not end or size - start > tail:
                    start = _line_end(other, size - tail)
                    self.left_out = before + start - self._head
                    end = self._write_mark(other)
                end = _copy(other, start, size, end)
                start, size = size, os.fstat(other).st_size
                if size - start <= _SMALL or not left:
                    break
            if size - start <= tail:
                end = _copy(other, start, size, end)
            else:
                self.left_out += size - start
            os.ftruncate(other, end)
            return end
        finally:
            os.close(other)

    def _write_mark(self, fd: int) -> int:
        """Write after the beginning how much is left out there.  Returns the end of that."""
        mark = (
            f"\n[pav-sched: the log reached its limit of {size_text(self._limit or 0)} (setting "
            f"log_limit); {size_text(self.left_out)} were left out here]\n\n"
        ).encode()
        # It is a part of what is left out the next time.
        self._mark_size = len(mark)
        os.pwrite(fd, mark, self._head)
        return self._head + len(mark)


class LeftLogs:
    """Logs of scripts that have ended, while processes that they started may go on printing.

    May be used from several threads.

    :param own: A log to look at as well, for as long as this is used.
    """

    def __init__(self, own: LimitedLog) -> None:
        self._own = own
        self._logs: dict[int, LimitedLog] = {}
        self._lock = threading.Lock()

    def add(self, group: int, log: LimitedLog) -> None:
        """Look after the log of a script that has ended, if something of it is left.

        :param group: The script's process group.  What left it is not known here.
        """
        if _is_left(group):
            log.keep_open()
            with self._lock:
                self._logs[group] = log

    @property
    def groups(self) -> list[int]:
        """The process groups of which something is left."""
        with self._lock:
            return [group for group in self._logs if _is_left(group)]

    def look(self) -> float:
        """Cut the logs that are too long.

        :returns: The seconds after which to look again.
        """
        if not self._lock.acquire(blocking=False):
            # Another thread does.
            return _PAUSES[1]
        try:
            pause = self._own.look()
            for group, log in list(self._logs.items()):
                left = _is_left(group)
                pause = min(pause, log.look())
                if not left:
                    self._logs.pop(group).close()
            return pause
        finally:
            self._lock.release()


def _is_left(group: int) -> bool:
    """Whether a process group has processes."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _line_end(fd: int, at: int) -> int:
    """The end of the line that this position is in; the position itself in a long line."""
    found = os.pread(fd, 4096, at).find(b"\n")
    return at if found < 0 else at + found + 1


def _copy(fd: int, start: int, stop: int, to: int) -> int:
    """Copy a part of a file to a place before it.  Returns the end of the copy."""
    while start < stop:
        block = os.pread(fd, min(_BLOCK, stop - start), start)
        if not block:
            break
        os.pwrite(fd, block, to)
        start, to = start + len(block), to + len(block)
    return to
