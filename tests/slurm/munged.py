"""The munged that the private Slurms of a machine share.

One is started when none answers, and ended by the last that uses it, whichever process started
it.  One that was there before is left alone.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

START_SECONDS = 40.0
STOP_SECONDS = 10.0
# Of root's: a lock that is held while one is started or ended, another that each user of it shares
# for as long as it needs one, and the id of the process that was started here.
_DIRECTORY = Path("/run/test-munged")
# Where munged writes its own.
_PID_FILE = Path("/run/munge/munged.pid")


class MungedError(Exception):
    """munged could not be started."""


class Munged:
    """A running munged, for as long as this is in use.

    :param daemon: The path of the program.
    """

    def __init__(self, daemon: str, directory: Path = _DIRECTORY) -> None:
        self._daemon = daemon
        self._directory = directory
        self._use: IO[bytes] | None = None

    def acquire(self) -> None:
        """See that one answers.  :raises MungedError: When it cannot be started."""
        self._directory.mkdir(mode=0o700, exist_ok=True)
        with self._alone():
            if not self.answers():
                self._start()
            self._use = self._open("users")
            fcntl.flock(self._use, fcntl.LOCK_SH)

    def release(self) -> None:
        """Do without it; one that was started for tests is ended when nobody else uses it."""
        if self._use is None:
            return
        with self._alone():
            try:
                fcntl.flock(self._use, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                pass  # others use it
            else:
                self._end()
            self._use.close()
            self._use = None

    def answers(self) -> bool:
        """Whether a munged answers."""
        return (
            subprocess.run(
                ["munge", "-n"], stdout=subprocess.DEVNULL, check=False, stderr=subprocess.DEVNULL
            ).returncode
            == 0
        )

    def _open(self, name: str) -> IO[bytes]:
        return (self._directory / name).open("ab")

    @contextmanager
    def _alone(self) -> Iterator[None]:
        with self._open("lock") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _start(self) -> None:
        for name in ("/run/munge", "/var/log/munge", "/var/lib/munge"):
            Path(name).mkdir(parents=True, exist_ok=True)
            shutil.chown(name, "munge", "munge")
        # It goes into the background by itself, once it can be used.
        started = subprocess.run(
            [self._daemon],
            user="munge",
            group="munge",
            extra_groups=[],
            capture_output=True,
            text=True,
            check=False,
        )
        if started.returncode != 0:
            raise MungedError(f"munged did not start: {started.stderr[-500:]}")
        shutil.copyfile(_PID_FILE, self._directory / "pid")
        deadline = time.monotonic() + START_SECONDS
        while not self.answers():
            if time.monotonic() > deadline:
                self._end()
                raise MungedError("munged does not answer")
            time.sleep(0.1)

    def _end(self) -> None:
        """End the one that was started here, or by another process like this."""
        note = self._directory / "pid"
        try:
            pid = int(note.read_text())
        except (OSError, ValueError):
            return
        if _is_munged(pid):
            os.kill(pid, signal.SIGTERM)
            deadline = time.monotonic() + STOP_SECONDS
            while _is_munged(pid) and time.monotonic() < deadline:
                time.sleep(0.05)
        note.unlink()


def _is_munged(pid: int) -> bool:
    """Whether a process is there, is a munged, and has not ended."""
    try:
        # 'pid (name) state ...'
        name, _, rest = Path(f"/proc/{pid}/stat").read_text().partition("(")[2].rpartition(")")
    except OSError:
        return False
    return name == "munged" and rest.split()[0] != "Z"
