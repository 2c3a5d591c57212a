"""Jobs as local processes: start them, and wait for those that have ended."""

from __future__ import annotations

import errno
import os
import socket
import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from ...talk import safe_files
from ...talk.busy_files import BUSY_WAIT, when_not_busy
from ...talk.procfs import process_start_time, read_boot_id
from .job_queue import RawError
from .processes import JOB_VARIABLE, ProcessIdentity

# The first and the longest pause between two looks at children, in seconds.
REAP_PAUSES = (0.05, 0.5)
KEPT_RETURN_CODES = 10_000


class JobProcess(subprocess.Popen[bytes]):
    """A started job. It outlives this process by design, so none is warned about at exit."""

    def __del__(self, *args: object, **kwargs: object) -> None:
        """Do nothing. The `Reaper` waits for jobs; Popen would warn that this one still runs."""


def start_job(
    argv: Sequence[str], log_path: Path, uniq_id: str
) -> tuple[ProcessIdentity, JobProcess]:
    """Start a job in a session of its own; its output is appended to a log.

    Give the returned process to a `Reaper`, or wait for it: otherwise it stays a zombie until this
    process ends.

    :param argv: The command; argv[0] is looked up in PATH when it contains no '/'.
    :param log_path: The file for standard output and error; its directory must exist.
    :param uniq_id: The job's id, for the environment of its processes.
    :raises RawError: When the job cannot be started.
    """
    try:
        boot_id = read_boot_id()
    except OSError as err:
        raise RawError(f"Cannot start the job: /proc is needed to identify it: {err}") from err
    with _open_log(log_path) as log_file:
        try:
            process = when_not_busy(
                lambda: JobProcess(
                    argv,
                    stdin=subprocess.DEVNULL,
                    stdout=log_file,
                    stderr=subprocess.STDOUT,
                    env={**os.environ, JOB_VARIABLE: uniq_id},
                    start_new_session=True,
                )
            )
        except (OSError, ValueError, subprocess.SubprocessError) as err:
            raise RawError(_start_failure(argv[0], err)) from err
    return ProcessIdentity(
        process.pid, uniq_id, socket.gethostname(), boot_id, _start_time_of_child(process.pid)
    ), process


def _open_log(path: Path) -> BinaryIO:
    try:
        fd, _ = safe_files.open_to_append(path)
        # The job gets it as it is.
        os.set_blocking(fd, True)
        return os.fdopen(fd, "ab")
    except OSError as err:
        if not path.parent.is_dir():
            raise RawError(
                f"Cannot start the job: the directory for its log, {path.parent}, does not exist."
            ) from err
        raise RawError(
            f"Cannot start the job: cannot write its log {path}: {err.strerror}."
        ) from err


def _start_time_of_child(pid: int) -> int | None:
    # Nobody has waited for it yet, so /proc has it even when it ended at once. Unless the host
    # program ignores SIGCHLD; the record then goes without, and proves itself by the job's id.
    try:
        return process_start_time(pid)
    except (OSError, ValueError):
        return None  # The job runs: an error now would lose it.


def _start_failure(program: str, err: Exception) -> str:
    """Say in words why a process could not be started."""
    reason = f"Cannot start the job: {program}: "
    if not isinstance(err, OSError):
        return f"{reason}{err}"
    if err.errno == errno.ENOENT and Path(program).is_file():
        return f"{reason}the file is there, but the interpreter in its first line is not."
    if err.errno == errno.EACCES and Path(program).is_file():
        return f"{reason}the file is not executable (chmod +x), or its disk forbids it (noexec)."
    if err.errno == errno.ENOEXEC:
        return f"{reason}neither a program nor a script with an interpreter in its first line (#!)."
    if err.errno == errno.ETXTBSY:
        return f"{reason}a process has had it open for writing for {BUSY_WAIT:g} seconds."
    if err.errno in (errno.EAGAIN, errno.ENOMEM):
        return (
            f"{reason}{err.strerror}. The limit of processes of this user (ulimit -u) or of "
            f"memory is reached."
        )
    return f"{reason}{err.strerror}."


class Reaper:
    """Waits for the jobs that this process started, so that none stays a zombie.

    A daemon thread does it, which lives only while jobs run. Ending this process ends no job. After
    a fork of the host program the child knows of no jobs: they are its parent's to wait for.
    """

    def __init__(self) -> None:
        self._start_over()

    def _start_over(self) -> None:
        self._owner = os.getpid()
        self._changed = threading.Condition()
        self._running: dict[int, subprocess.Popen[bytes]] = {}
        self._codes: dict[int, int] = {}
        self._thread: threading.Thread | None = None

    def _held(self) -> threading.Condition:
        """The lock.  In a forked child a new one: a thread of the parent may have held the old."""
        if self._owner != os.getpid():
            self._start_over()
        return self._changed

    def add(self, process: subprocess.Popen[bytes]) -> None:
        """Take over the waiting for a process that this process started."""
        with self._held():
            self._codes.pop(process.pid, None)
            self._running[process.pid] = process
            if self._thread is None:
                thread = threading.Thread(target=self._reap, name="raw-job-reaper", daemon=True)
                try:
                    thread.start()
                    self._thread = thread
                except RuntimeError:
                    pass  # No more threads here; `returncode` and the next `add` reap as well.
            self._changed.notify_all()

    def returncode(self, pid: int) -> int | None:
        """How a job ended: its exit code, or minus the signal. None: runs, or not known here.

        0 also when other code of the host program waited for it first.
        """
        with self._held():
            self._poll()
            return self._codes.get(pid)

    def _poll(self) -> bool:
        """Reap what has ended.  Whether something had.  The lock must be held."""
        ended = {
            pid: code
            for pid, process in self._running.items()
            if (code := process.poll()) is not None
        }
        for pid, code in ended.items():
            del self._running[pid]
            self._codes[pid] = code
        while len(self._codes) > KEPT_RETURN_CODES:
            del self._codes[next(iter(self._codes))]
        return bool(ended)

    def _reap(self) -> None:
        pause, longest = REAP_PAUSES
        with self._changed:
            while True:
                ended = self._poll()
                if not self._running:
                    self._thread = None
                    return
                pause = REAP_PAUSES[0] if ended else min(pause * 2, longest)
                # A new job is likely to end soon when its command is wrong: look at it early.
                if self._changed.wait(pause):
                    pause = REAP_PAUSES[0]
