"""A child process: started, fed, read until its end, and stopped when its time is up."""

from __future__ import annotations

import contextlib
import functools
import os
import select
import signal
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import subprocess

# subprocess is imported where it is used: most of what a user runs calls no scheduler.

TERM_WAIT = 1.0
"""Seconds between SIGTERM and SIGKILL, for a process at its time-out."""

KILL_WAIT = 5.0
"""Seconds to wait for a killed process; one that hangs in the kernel is left behind then."""

INTERRUPT_WAIT = 2.0
"""Seconds that a running process gets to finish when who waits for it is interrupted."""

# Seconds between two looks at a process, on a kernel that cannot wait for one as for a pipe.
_TICK = 0.05
_LONGEST_WAIT = 3600.0
# Seconds between two calls of who watches over it.
_WATCH_PAUSE = 0.5
# Seconds to read what a process printed that is found to have ended when its time is up.
_LAST_LOOK = 0.5
_READ_SIZE = 1 << 16
# A pipe that is ready takes at least this many bytes without blocking (POSIX's minimum).
_WRITE_SIZE = 512
# With Python 3.13 or newer: the action of posix_spawn that closes all further files.
_CLOSE_FROM = getattr(os, "POSIX_SPAWN_CLOSEFROM", None)


class _Pipe(NamedTuple):
    """Our end of a pipe, and where to put what is read; None for the one that is written to."""

    close: Callable[[], object]
    buffer: bytearray | None


class ChildProcess:
    """A process that was started, in a session of its own.  That has two reasons: at its
    time-out all that it started is in its process group and can be stopped; and the terminal
    does not send the user's Ctrl-C to it: a submission stopped half-way leaves a job that nobody
    knows of.

    Time-outs are real time, whatever clock who uses this has: real processes do not follow
    another one.

    :param args: The command, which is looked up in PATH, and its arguments.
    :param env: Its environment; that of this process when left out.
    :param stdin: What it gets to read; /dev/null when left out.
    :param cwd: The folder it runs in.
    :param max_output: The bytes that it may print.
    :raises OSError: When it cannot be started.
    :raises ValueError: When an argument or variable holds what no command can be given.
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
        self._reaped = False
        self._input = memoryview(stdin or b"")
        self._room = max_output
        self._stdout = bytearray()
        self._stderr = bytearray()
        self._pipes: dict[int, _Pipe] = {}
        self._popen: subprocess.Popen[bytes] | None = None
        self._watch: Callable[[str], bool] | None = None
        self._watch_at = 0.0
        if not self._spawn(args, env, stdin is not None, cwd):
            self._fork(args, env, stdin is not None, cwd)
        self._began = time.monotonic()
        self._handle = process_handle(self.pid)

    def __del__(self) -> None:
        # After an interrupt at a bad moment.
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
        """As stdout."""
        return self._stderr.decode("utf-8", "backslashreplace")

    @property
    def printed_too_much(self) -> bool:
        """Whether it was stopped because of that."""
        return self._room < 0

    def finish(self, timeout: float, watch: Callable[[str], bool] | None = None) -> float:
        """Wait for its end, or bring it about.

        :param timeout: Seconds since it was started.
        :param watch: Called twice a second with what it printed on stderr so far; False stops it
            as its time-out does.
        :returns: The seconds it took.  ``returncode`` is None when it did not end by itself.
        """
        ended = False
        self._watch = watch
        try:
            try:
                ended = self._pump(self._began + timeout)
            except BaseException:
                # An interrupt.  What is under way may finish, and is read, but not for long; a
                # second interrupt ends it.
                self._pump(min(self._began + timeout, time.monotonic() + INTERRUPT_WAIT))
                raise
            return time.monotonic() - self._began
        finally:
            self._stop()
            self._close()
            if not ended:
                self.returncode = None

    # ------------------------------------------------------------------------------- starting

    def _spawn(
        self,
        args: tuple[str, ...],
        env: Mapping[str, str] | None,
        has_input: bool,
        cwd: str | os.PathLike[str] | None,
    ) -> bool:
        """Start it by posix_spawn, in two thirds of the time that a fork takes.

        :returns: False when that cannot be done as a fork would do it.
        """
        if (
            _CLOSE_FROM is None
            or cwd is not None
            or (
                # The command would be looked up in this process's PATH.
                env is not None and env.get("PATH") != os.environ.get("PATH")
            )
        ):
            return False
        ours: list[tuple[int, bytearray | None]] = []
        theirs: list[int] = []
        try:
            for number in (0, 1, 2)[not has_input :]:
                read, write = os.pipe()
                buffer = (None, self._stdout, self._stderr)[number]
                ours.append((read if number else write, buffer))
                theirs.append(write if number else read)
            actions: list[tuple[Any, ...]] = [
                (os.POSIX_SPAWN_DUP2, end, number)
                for end, number in zip(reversed(theirs), (2, 1, 0))
            ]
            if not has_input:
                actions.append((os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0))
            actions.append((_CLOSE_FROM, 3))
            if min(theirs) > 2:  # else this process lacks one of its own, and copies would collide
                try:
                    self.pid = os.posix_spawnp(
                        args[0],
                        args,
                        env,  # type: ignore[arg-type]
                        file_actions=actions,
                        setsid=True,
                        # Python ignores these, and what it starts would go on to do so.
                        setsigdef=(signal.SIGPIPE, signal.SIGXFSZ),
                    )
                except (OSError, ValueError):
                    # It gives up at folders of PATH, and at variables, that a fork passes over.
                    return False
                self._pipes = {
                    end: _Pipe(functools.partial(os.close, end), buffer) for end, buffer in ours
                }
            return bool(self._pipes)
        finally:
            for end in theirs if self._pipes else [*theirs, *(end for end, _ in ours)]:
                os.close(end)

    def _fork(
        self,
        args: tuple[str, ...],
        env: Mapping[str, str] | None,
        has_input: bool,
        cwd: str | os.PathLike[str] | None,
    ) -> None:
        import subprocess

        popen = self._popen = subprocess.Popen(
            args,
            stdin=subprocess.PIPE if has_input else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            cwd=cwd,
            env=env,
            start_new_session=True,
        )
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
        """Move data until it has ended, it printed too much, or time is up.

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
            # A daemon that it left behind can hold its pipes for ever: there is nothing more to
            # wait for when it is over and the pipes are silent.
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
        """The deadline; now, when who watches over it wants it stopped."""
        if self._watch is None or now < self._watch_at:
            return deadline
        self._watch_at = now + _WATCH_PAUSE
        return deadline if self._watch(self.stderr) else min(deadline, now)

    def _move(self, end: int, buffer: bytearray | None) -> bool:
        """Write or read once.  False when there is no more to come."""
        if buffer is None:
            try:
                self._input = self._input[os.write(end, self._input[:_WRITE_SIZE]) :]
            except BrokenPipeError:
                # It does not want to read all of it, which is its own affair.
                return False
            return bool(self._input)
        data = os.read(end, _READ_SIZE)
        self._room -= len(data)
        if self._room >= 0:
            buffer.extend(data)
        return bool(data)

    def _wait(self, deadline: float) -> bool:
        """Wait for its end, with its output closed.  Whether it came in time."""
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
        """Whether it is over; then its return code is known."""
        if not self._reaped:
            try:
                pid, status = os.waitpid(self.pid, os.WNOHANG)
            except ChildProcessError:
                # This process has its children reaped by the system, which keeps the code.
                pid, status = self.pid, 0
            if not pid:
                return False
            self._reaped = True
            self.returncode = os.waitstatus_to_exitcode(status)
            if self._popen is not None:
                self._popen.returncode = self.returncode
        return True

    # ------------------------------------------------------------------------------- stopping

    def _stop(self) -> None:
        """End its process group, unless it is over."""
        if self._reaped:
            return
        try:
            os.killpg(self.pid, signal.SIGTERM)
            deadline = time.monotonic() + TERM_WAIT
            # It is not reaped before the last signal: until then nobody else gets its number.
            while time.monotonic() < deadline and not self._is_zombie():
                time.sleep(0.01)
            os.killpg(self.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass  # over by now, or a set-uid program that is not ours to stop
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
    """A file that becomes readable when a child ends; None on an old kernel (before 5.3), or for
    a Python that was built on one."""
    try:
        return os.pidfd_open(pid)
    except (AttributeError, OSError):
        return None
