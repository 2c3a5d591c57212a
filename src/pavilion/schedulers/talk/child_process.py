"""A child process: it is started, given its input, read until it ends, and stopped at its
timeout."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

# subprocess is imported where it is used: most of what a user runs calls no scheduler.

TERM_WAIT = 1.0
"""Seconds between SIGTERM and SIGKILL, for a process at its timeout."""

KILL_WAIT = 5.0
"""Seconds to wait for a killed process; after that, one that hangs in the kernel is left behind."""

INTERRUPT_WAIT = 2.0
"""Seconds that a running process gets to finish after an interrupt of the code that waits for it."""

# Seconds between checks of a process, on a kernel that cannot wait for a process as for a pipe.
_TICK = 0.05
_LONGEST_WAIT = 3600.0
# Seconds between two calls of the function that watches it.
_WATCH_PAUSE = 0.5
# Seconds to read the remaining output of a process that has ended by its timeout.
_LAST_LOOK = 0.5
_READ_SIZE = 1 << 16
# A pipe that is ready takes at least this many bytes without blocking (POSIX's minimum).
_WRITE_SIZE = 512


class _Pipe(NamedTuple):
    """Our end of a pipe, and the buffer for what is read; None for the pipe that we write to."""

    close: Callable[[], object]
    buffer: bytearray | None


class ChildProcess:
    """A process that was started in a session of its own, for two reasons.  Everything that it
    starts is in its process group, and can be stopped at its timeout.  And the terminal does not
    send the user's Ctrl-C to it: a submission that is stopped halfway leaves an unrecorded job.

    Timeouts are in real time, whatever clock the caller uses, because processes run in real time.

    :param args: The command, which is looked up in PATH, and its arguments.
    :param env: Its environment.  None: that of this process.
    :param stdin: Its input.  None: it reads /dev/null.
    :param cwd: The directory in which it runs.  None: that of this process.
    :param max_output: The number of bytes that it may print.
    :raises OSError: When it cannot be started.
    :raises ValueError: When an argument or variable contains something that cannot be passed to a
        command.
    """

    def __init__(
        self,
        args: tuple[str, ...],
        env: Mapping[str, str] | None,
        stdin: bytes | None,
        cwd: str | os.PathLike[str] | None,
        max_output: int,
    ) -> None:
        self.returncode: int | None = None
        self.pid = 0
        self._handle: int | None = None
        self._input = memoryview(stdin or b"")
        self._room = max_output
        self._stdout = bytearray()
        self._stderr = bytearray()
        self._pipes: dict[int, _Pipe] = {}
        self._watch: Callable[[str], bool] | None = None
        self._watch_at = 0.0
        self._start(args, env, stdin is not None, cwd)
        self._began = time.monotonic()
        self._handle = process_handle(self.pid)

    def __del__(self) -> None:
        # Only has an effect after an interrupt at a bad moment.
        with contextlib.suppress(Exception):
            self._close()
            if self.pid:
                self._reap()

    @property
    def stdout(self) -> str:
        """What it has printed so far.  Bytes that are not UTF-8 appear as ``\\xNN``."""
        return self._stdout.decode("utf-8", "backslashreplace")

    @property
    def stderr(self) -> str:
        """Like stdout."""
        return self._stderr.decode("utf-8", "backslashreplace")

    @property
    def printed_too_much(self) -> bool:
        """Whether it was stopped because it printed more than ``max_output``."""
        return self._room < 0

    def finish(self, timeout: float, watch: Callable[[str], bool] | None = None) -> float:
        """Wait until it ends, or stop it at its timeout.

        :param timeout: Seconds since it was started.
        :param watch: Called twice a second with what it has printed on stderr so far.  If it returns
            False, the process is stopped, as at its timeout.
        :returns: Its duration in seconds.  ``returncode`` is None when it did not end by itself.
        """
        ended = False
        self._watch = watch
        try:
            try:
                ended = self._pump(self._began + timeout)
            except BaseException:
                # An interrupt.  The process gets a short time to finish, in which its output is
                # read; a second interrupt ends this.
                self._pump(min(self._began + timeout, time.monotonic() + INTERRUPT_WAIT))
                raise
            return time.monotonic() - self._began
        finally:
            self._stop()
            self._close()
            if not ended:
                self.returncode = None

    # ------------------------------------------------------------------------------- starting

    def _start(
        self,
        args: tuple[str, ...],
        env: Mapping[str, str] | None,
        has_input: bool,
        cwd: str | os.PathLike[str] | None,
    ) -> None:
        import subprocess

        popen = subprocess.Popen(
            args,
            stdin=subprocess.PIPE if has_input else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            cwd=cwd,
            env=env,
            start_new_session=True,
        )
        self._popen = popen
        self.pid = popen.pid
        for stream, buffer in (
            (popen.stdin, None),
            (popen.stdout, self._stdout),
            (popen.stderr, self._stderr),
        ):
            if stream is not None:
                self._pipes[stream.fileno()] = _Pipe(stream.close, buffer)

    # -------------------------------------------------------------------------------- running

    def _pump(self, deadline: float) -> bool:
        """Transfer data until the process has ended, has printed too much, or is out of time.

        :returns: Whether it has ended by itself.
        """
        poll = select.poll()
        for end, pipe in self._pipes.items():
            poll.register(end, select.POLLOUT if pipe.buffer is None else select.POLLIN)
        if self._handle is not None:
            poll.register(self._handle, select.POLLIN)
        over = False
        last_look = None
        while self._pipes:
            now = time.monotonic()
            deadline = self._watched(now, deadline)
            left = deadline - now
            # A daemon that it left behind can keep its pipes open forever.  So the wait also ends
            # when the process has ended and the pipes are silent.
            over = over or (self._handle is None and self._reap())
            if left <= 0:
                over = self._reap()
                last_look = last_look or now + _LAST_LOOK
                if not over or now >= last_look:
                    return over
            ready = [end for end, _ in poll.poll(0 if over else self._pause(left) * 1000)]
            if over and not any(self._is_output(end) for end in ready):
                break
            for end in ready:
                if end == self._handle:
                    over = True
                    poll.unregister(end)
                elif not self._move(end, self._pipes[end].buffer):
                    poll.unregister(end)
                    self._pipes.pop(end).close()
            if self.printed_too_much:
                return False
        return self._wait(deadline)

    def _is_output(self, end: int) -> bool:
        return end in self._pipes and self._pipes[end].buffer is not None

    def _pause(self, left: float) -> float:
        """Seconds to wait for something to happen."""
        longest = _TICK if self._handle is None else _LONGEST_WAIT
        return min(left, longest if self._watch is None else min(longest, _WATCH_PAUSE))

    def _watched(self, now: float, deadline: float) -> float:
        """The deadline, or now if the watching function wants the process to be stopped."""
        if self._watch is None or now < self._watch_at:
            return deadline
        self._watch_at = now + _WATCH_PAUSE
        return deadline if self._watch(self.stderr) else min(deadline, now)

    def _move(self, end: int, buffer: bytearray | None) -> bool:
        """Write or read once.  False when there is nothing left to write or read."""
        if buffer is None:
            try:
                self._input = self._input[os.write(end, self._input[:_WRITE_SIZE]) :]
            except BrokenPipeError:
                # The process does not read all of its input, which is not an error.
                return False
            return bool(self._input)
        data = os.read(end, _READ_SIZE)
        self._room -= len(data)
        if self._room >= 0:
            buffer.extend(data)
        return bool(data)

    def _wait(self, deadline: float) -> bool:
        """Wait until it ends, after its output was closed.  False when it is out of time."""
        poll = select.poll()
        if self._handle is not None:
            poll.register(self._handle, select.POLLIN)
        pause = 0.0005
        while not self._reap():
            now = time.monotonic()
            deadline = self._watched(now, deadline)
            left = deadline - now
            if left <= 0:
                return False
            if self._handle is not None:
                poll.poll(self._pause(left) * 1000)
            else:
                time.sleep(min(left, pause))
                pause = min(pause * 2, _TICK)
        return True

    def _reap(self) -> bool:
        """Whether it has ended; then its return code is set."""
        # 0 if the system reaps the children of this process, so that its exit code is not available.
        self.returncode = self._popen.poll()
        return self.returncode is not None

    # ------------------------------------------------------------------------------- stopping

    def _stop(self) -> None:
        """End its process group, unless it has ended."""
        if self._popen.returncode is not None:
            return
        try:
            os.killpg(self.pid, signal.SIGTERM)
            deadline = time.monotonic() + TERM_WAIT
            # It is not reaped before the last signal, so its pid is not reused until then.
            while time.monotonic() < deadline and not self._is_zombie():
                time.sleep(0.01)
            os.killpg(self.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass  # It has ended by now, or is a set-uid program that we may not stop.
        self._wait(time.monotonic() + KILL_WAIT)

    def _is_zombie(self) -> bool:
        flags = os.WEXITED | os.WNOHANG | os.WNOWAIT
        try:
            return os.waitid(os.P_PID, self.pid, flags) is not None
        except ChildProcessError:
            return True

    def _close(self) -> None:
        while self._pipes:
            self._pipes.popitem()[1].close()
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None


def process_handle(pid: int) -> int | None:
    """A file descriptor that becomes readable when a child ends; None on a kernel before 5.3, or
    for a Python that was built on one."""
    try:
        return os.pidfd_open(pid)
    except (AttributeError, OSError):
        return None
