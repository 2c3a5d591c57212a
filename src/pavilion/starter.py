"""Who hands the tests of a series to their schedulers, and whether that process still does.

The process that starts a series is recorded in ``series.json``.  On its own host it is found among
the processes.  Other hosts go by a sign of life: while tests are handed over, the file ``starting``
in the series' directory is touched every few seconds, and it is removed at the end.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from pathlib import Path
from typing import NamedTuple

from pavilion.files import make_mark, read_json
from pavilion.schedulers.talk.procfs import process_start_time, read_boot_id

STARTING_FN = "starting"
# Seconds between two signs of life.
BEAT = 10.0
# Seconds without one after which a process of another host counts as gone.  Shared file systems
# may show a file's time a minute late.
BEAT_GRACE = 120.0
# The same for a series of an earlier version, whose starter gives no signs but its files.
OLD_GRACE = 300.0


class Starter(NamedTuple):
    """The process that made a series and hands its tests to their schedulers."""

    host: str
    boot_id: str
    pid: int
    start_time: int
    # Whether it gives signs of life.
    beats: bool = False

    @classmethod
    def this_process(cls) -> Starter:
        """:raises OSError: Without /proc."""
        pid = os.getpid()
        return cls(os.uname().nodename, read_boot_id(), pid, process_start_time(pid) or 0, True)

    @classmethod
    def load(cls, series_path: Path) -> Starter | None:
        """The starter of a series; None when it is not recorded."""
        try:
            found = cls(**read_json(series_path / "series.json")["starter"])
        except (OSError, ValueError, KeyError, TypeError):
            return None
        numbers = isinstance(found.pid, int) and isinstance(found.start_time, int)
        # The record may be another user's.
        return found if numbers and isinstance(found.host, str) else None

    def gone(self, series_path: Path, *files: Path) -> bool:
        """Whether it is gone, or done with handing over.

        :param files: What else it writes to: the signs of life of one that gives no others.
        """
        beat = series_path / STARTING_FN
        if self.beats and not os.path.lexists(beat):
            # Before it removed that file, all tests had a job or an end.
            return True
        try:
            if self.is_here and process_start_time(self.pid) == self.start_time:
                return False
            if self.is_here:
                return True
        except OSError:
            return False
        grace = BEAT_GRACE if self.beats else OLD_GRACE
        signs = [beat] if self.beats else [series_path / "series.json", *files]
        # The file server's clock may differ; it is only looked at when something depends on it.
        return _age(signs, time.time()) >= grace and _age(signs, _clock_of(series_path)) >= grace

    @property
    def is_here(self) -> bool:
        """Whether it is a process of this host, and of this boot.  :raises OSError: As above."""
        return self.host == os.uname().nodename and self.boot_id == read_boot_id()

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"


class SignsOfLife:
    """A context in which this process shows that it hands over the tests of a series."""

    def __init__(self, series_path: Path) -> None:
        self._path = series_path / STARTING_FN
        self._over = threading.Event()

    def __enter__(self) -> SignsOfLife:
        with contextlib.suppress(OSError):
            make_mark(self._path)
        threading.Thread(target=self._beat, name="signs of life", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        with contextlib.suppress(OSError):
            self._path.unlink()

    def _beat(self) -> None:
        while not self._over.wait(BEAT):
            # If it cannot be touched now, that may work next time.
            with contextlib.suppress(OSError):
                os.utime(self._path)


def _age(paths: list[Path], now: float) -> float:
    """Seconds since the newest change of these files; infinite when there are none."""
    times = []
    for path in paths:
        with contextlib.suppress(OSError):
            times.append(path.lstat().st_mtime)
    return now - max(times) if times else float("inf")


def _clock_of(folder: Path) -> float:
    """The time that files in a directory get now; this host's own where none can be made."""
    path = folder / f".clock.{os.getpid()}.{os.urandom(4).hex()}"
    try:
        make_mark(path)
        try:
            return path.lstat().st_mtime
        finally:
            path.unlink()
    except OSError:
        return time.time()
