"""The one door to a scheduler: every scheduler command is run here.

A :class:`CommandRunner` takes argv lists and never a shell, cleans the environment, stops a
command at its time-out together with everything it started, decodes whatever it prints, and
counts its calls.  What a command does is never an exception: it is a :class:`CommandResult`.
What a failure means is the plugin's knowledge: it gives a function that turns a result into a
:class:`Failure`, and only transient failures are tried again.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import subprocess

# subprocess, random and shlex are imported where they are used.  This module is imported with
# every plugin, and most of what a user runs never calls a scheduler.

MAX_OUTPUT = 512 * 1024 * 1024
"""The bytes that a command may print on stdout and stderr together."""

TERM_WAIT = 1.0
"""Seconds between SIGTERM and SIGKILL, for a command at its time-out."""

KILL_WAIT = 5.0
"""Seconds to wait for a killed command; one that hangs in the kernel is left behind then."""

INTERRUPT_WAIT = 2.0
"""Seconds that a running command gets to finish when its caller is interrupted."""

_TICK = 0.05
_READ_SIZE = 1 << 16
# A pipe that is ready takes at least this many bytes without blocking (POSIX's minimum).
_WRITE_SIZE = 512


class Failure(Enum):
    """What the failure of a scheduler command means."""

    UNKNOWN_JOB = "unknown job"
    """The scheduler answered, and knows no such job."""
    TRANSIENT = "transient"
    """It could not be asked, or could not answer, just now."""
    PERMANENT = "permanent"
    """It refused, and will refuse the same command again."""
    QUEUE_FULL = "queue full"
    """It takes no more jobs for now: hold the job and try later."""
    DENIED = "denied"
    """The user may not do that."""


class CommandResult(NamedTuple):
    """What came of a command."""

    argv: tuple[str, ...]
    """The command and its arguments."""
    returncode: int | None
    """The exit code, or -N after signal N.  None when it was not started, or was stopped here:
    at its time-out, or because it printed too much."""
    stdout: str
    """What it printed.  Bytes that are not UTF-8 appear as ``\\xNN``.  Empty when it printed
    too much; incomplete when it timed out."""
    stderr: str
    """As stdout; the reason when it was not started or printed too much."""
    duration: float
    """Seconds, of the last try."""
    timed_out: bool
    """Whether it was stopped at its time-out."""
    tries: int = 1
    """How often it was run, this time included."""

    @property
    def ok(self) -> bool:
        """Whether it ran to its end, with exit code 0."""
        return self.returncode == 0

    def describe(self) -> str:
        """One readable line: the command, what came of it, and why (shortened)."""
        import shlex
        command = _shorten(" ".join(shlex.quote(arg) for arg in self.argv), 300)
        text = f"'{command}' {self._outcome()}"
        if self.tries > 1:
            text += f", tried {self.tries} times"
        said = _shorten(self.stderr, 600) or ("" if self.ok else _shorten(self.stdout, 300))
        if said:
            return f"{text}: {said}"
        return text if self.ok else f"{text}, and printed nothing"

    def _outcome(self) -> str:
        if self.timed_out:
            return f"gave no answer within {self.duration:.3g} s and was stopped"
        if self.returncode is None:
            return "could not be run"
        if self.returncode < 0:
            return f"was killed by signal {-self.returncode}"
        return "succeeded" if self.ok else f"failed with exit code {self.returncode}"


class CommandRunner:
    """Runs the commands of one scheduler.  May be used from several threads at once.

    :param drop: Prefixes of environment variables that commands must not see, such as
        'SBATCH_'.  They change a scheduler's answers, and tests run inside allocations.
    :param keep: Names of variables to keep in spite of that, such as 'SLURM_CONF'.
    :param set: Variables to set, such as ``{'LC_ALL': 'C'}``.
    :param timeout: Seconds that a command may take, when a call says nothing else.
    :param clock: Gives seconds; for the time that all tries together may take.
    :param sleep: Waits for some seconds between tries.
    :param rng: Gives a number from 0 up to 1, to spread tries of many processes.
    :param environ: The environment to start from.  Default: os.environ, at each call.
    :param max_output: The bytes that a command may print.
    """

    def __init__(self, *, drop: Iterable[str] = (), keep: Iterable[str] = (),
                 set: Mapping[str, str] | None = None,  # the name that reads best in a call
                 timeout: float = 60.0, clock: Callable[[], float] = time.monotonic,
                 sleep: Callable[[float], object] = time.sleep,
                 rng: Callable[[], float] | None = None,
                 environ: Mapping[str, str] | None = None,
                 max_output: int = MAX_OUTPUT) -> None:
        # The prefix '' would drop everything, and one string would be taken letter by letter.
        self._drop = _names("drop", drop)
        self._keep = frozenset(_names("keep", keep))
        self._set = dict(set or {})
        self._timeout = _positive("timeout", timeout)
        self._clock = clock
        self._sleep = sleep
        self._rng = rng
        self._environ = environ
        self._max_output = max_output
        self._lock = threading.Lock()
        self._calls: dict[str, int] = {}

    @property
    def calls(self) -> dict[str, int]:
        """How often each command was run, by its name without folder.  A copy."""
        with self._lock:
            return dict(self._calls)

    def count(self, command: str | None = None) -> int:
        """How often a command was run, or all of them together.  Each try counts."""
        calls = self.calls
        return sum(calls.values()) if command is None else calls.get(command, 0)

    def environment(self) -> dict[str, str]:
        """The environment that a command would get now."""
        environ = os.environ if self._environ is None else self._environ
        cleaned = {}
        # Another thread may change os.environ meanwhile: its names are copied at once, and
        # each is then looked up with care.
        for name in list(environ):
            value = environ.get(name)
            if value is not None and (name in self._keep or not name.startswith(self._drop)):
                cleaned[name] = value
        cleaned.update(self._set)
        return cleaned

    def run(self, argv: Sequence[str | os.PathLike[str]], timeout: float | None = None,
            stdin: str | None = None, cwd: str | os.PathLike[str] | None = None,
            output: Path | None = None) -> CommandResult:
        """Run a command, once.  Whatever it does is in the result.

        :param argv: The command and its arguments, as a list.
        :param timeout: Seconds; then the command and all it started are stopped.
        :param stdin: Text for it to read.  Default: nothing, it reads /dev/null.
        :param cwd: The folder to run it in.
        :param output: A log that gets the command and all that it prints.  When the log
            cannot be written beforehand, the command is not run.
        :raises TypeError: When argv is a string, or holds something other than text.
        :raises ValueError: When argv is empty, or the time-out is not positive.
        """
        args = _checked_argv(argv)
        limit = self._timeout if timeout is None else _positive("timeout", timeout)
        log = None
        if output is not None:
            try:
                log = _CommandLog(output, args)
            except OSError as exc:
                return _not_started(args, f"its log {output} cannot be written: {exc.strerror}")
        try:
            data = (stdin or "").encode("utf-8", "surrogateescape")
            process = self._start(args, stdin is not None, cwd)
        except (OSError, ValueError) as exc:
            # ValueError: an argument or variable holds a character that no command can be given.
            result = _not_started(args, _why_not_started(args[0], exc))
        else:
            running = _Running(process, data, self._max_output)
            try:
                result = running.finish(args, limit)
            except BaseException:
                # Even then: the log of a submission may be the only trace of the job's id.
                if log is not None:
                    log.add(running.stdout_text(), running.stderr_text())
                raise
        if log is not None:
            problem = log.add(result.stdout, result.stderr)
            result = result._replace(stderr=result.stderr + problem)
        return result

    def run_retrying(self, argv: Sequence[str | os.PathLike[str]],
                     classify: Callable[[CommandResult], Failure | None], attempts: int = 4, *,
                     first_delay: float = 1.0, max_delay: float = 30.0, total: float = 120.0,
                     timeout: float | None = None, stdin: str | None = None,
                     cwd: str | os.PathLike[str] | None = None,
                     output: Path | None = None) -> CommandResult:
        """Run a command, again after transient failures.  For commands that may be repeated:
        whether a failed submission may be, only the scheduler's own list of jobs can tell.

        The pause doubles with each try, and is spread by half of itself either way, so that
        many processes do not come back together.

        :param classify: Gives None for a success, and else what the failure means.
        :param attempts: How often to run it at most.
        :param first_delay: The middle of the first pause, in seconds.
        :param max_delay: The longest pause before it is spread, in seconds.
        :param total: Seconds for all tries and pauses.  No try starts after that, and the last
            one gets no more than what is left.
        :return: The last result; its ``tries`` says how many there were.
        :raises TypeError, ValueError: As :meth:`run`.
        """
        if attempts < 1:
            raise ValueError(f"attempts is {attempts}; it must be 1 or more.")
        limit = self._timeout if timeout is None else timeout
        left = _positive("total", total)
        end = self._clock() + total
        tries = 0
        while True:
            tries += 1
            result = self.run(argv, min(limit, left), stdin, cwd, output)._replace(tries=tries)
            if classify(result) is not Failure.TRANSIENT or tries == attempts:
                return result
            delay = min(first_delay * 2.0 ** (tries - 1), max_delay) * (0.5 + self._random())
            # Do not wait for a try that may not start any more.
            if end - self._clock() <= delay:
                return result
            self._sleep(delay)
            left = end - self._clock()
            if left <= 0:
                return result

    def _random(self) -> float:
        if self._rng is None:
            import random
            self._rng = random.random
        return self._rng()

    def _start(self, args: tuple[str, ...], has_input: bool,
               cwd: str | os.PathLike[str] | None) -> subprocess.Popen[bytes]:
        import subprocess
        with self._lock:
            name = os.path.basename(args[0])  # noqa: PTH119 (as text: it need not be a path)
            self._calls[name] = self._calls.get(name, 0) + 1
        # A session of its own, for two reasons.  At a time-out, all that the command started is
        # in its process group and can be stopped.  And the terminal does not send the user's
        # Ctrl-C to it: a submission stopped half-way leaves a job that nobody knows of.
        return subprocess.Popen(
            args, stdin=subprocess.PIPE if has_input else subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0, cwd=cwd,
            env=self.environment(), start_new_session=True)


class _Running:
    """A started command: feeds it, reads it, and stops it if need be.

    Time-outs are real time here, whatever clock the runner has: real processes do not
    follow another one.
    """

    def __init__(self, process: subprocess.Popen[bytes], stdin: bytes, max_output: int) -> None:
        self._process = process
        self._input = memoryview(stdin)
        self._room = max_output
        self._max_output = max_output
        self._stdout = bytearray()
        self._stderr = bytearray()
        self._began = time.monotonic()

    def stdout_text(self) -> str:
        return self._stdout.decode("utf-8", "backslashreplace")

    def stderr_text(self) -> str:
        return self._stderr.decode("utf-8", "backslashreplace")

    def finish(self, args: tuple[str, ...], timeout: float) -> CommandResult:
        """Wait for the command's end, or bring it about."""
        try:
            try:
                ended = self._pump(self._began + timeout)
            except BaseException:
                # An interrupt of the caller.  What is under way may finish, and is read, but not
                # for long; a second interrupt ends it.
                self._pump(min(self._began + timeout, time.monotonic() + INTERRUPT_WAIT))
                raise
            duration = time.monotonic() - self._began
        finally:
            self._stop()
            self._close()
        if self._room < 0:
            note = (f"{args[0]} printed more than {self._max_output} bytes and was stopped. "
                    "Nothing of its output is used.")
            return CommandResult(args, None, "", note, duration, False)
        code = self._process.returncode if ended else None
        return CommandResult(args, code, self.stdout_text(), self.stderr_text(), duration,
                             not ended)

    def _pump(self, deadline: float) -> bool:
        """Move data until the command has ended, it printed too much, or time is up.

        :return: Whether it has ended by itself.
        """
        import selectors
        process = self._process
        # For three files at most, this needs fewer system calls than epoll.
        with selectors.PollSelector() as selector:
            for stream, buffer in ((process.stdout, self._stdout), (process.stderr, self._stderr)):
                if stream is not None and not stream.closed:
                    selector.register(stream, selectors.EVENT_READ, buffer)
            if process.stdin is not None and not process.stdin.closed:
                selector.register(process.stdin, selectors.EVENT_WRITE)
            while selector.get_map():
                left = deadline - time.monotonic()
                # A daemon that the command left behind can hold its pipes for ever: there is
                # nothing more to wait for when the command is over and the pipes are silent.
                over = process.poll() is not None
                if left <= 0:
                    return over
                events = selector.select(0 if over else min(left, _TICK))
                if over and not any(key.data is not None for key, _ in events):
                    return True
                for key, _ in events:
                    self._move(selector, key)
                if self._room < 0:
                    return False
        return self._wait(deadline - time.monotonic())

    def _move(self, selector: Any, key: Any) -> None:
        if key.data is None:
            try:
                sent = os.write(key.fd, self._input[:_WRITE_SIZE])
                self._input = self._input[sent:]
            except BrokenPipeError:
                # It does not want to read all of it, which is its own affair.
                self._input = self._input[:0]
            done = not self._input
        else:
            data = os.read(key.fd, _READ_SIZE)
            self._room -= len(data)
            if self._room >= 0:
                key.data.extend(data)
            done = not data
        if done:
            selector.unregister(key.fileobj)
            key.fileobj.close()

    def _wait(self, timeout: float) -> bool:
        """Wait for the end of a command that has closed its output."""
        import subprocess
        process = self._process
        deadline = time.monotonic() + timeout
        if process.poll() is None:
            _wait_for_end(process.pid, timeout)
        try:
            process.wait(max(deadline - time.monotonic(), 0))
        except subprocess.TimeoutExpired:
            return False
        return True

    def _stop(self) -> None:
        """End the command's process group, unless the command is over."""
        process = self._process
        if process.returncode is not None:
            return
        try:
            os.killpg(process.pid, signal.SIGTERM)
            deadline = time.monotonic() + TERM_WAIT
            # It is not reaped before the last signal: until then nobody else gets its number.
            while time.monotonic() < deadline and not self._is_zombie():
                time.sleep(0.01)
            os.killpg(process.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass  # over by now, or a set-uid program that is not ours to stop
        self._wait(KILL_WAIT)

    def _is_zombie(self) -> bool:
        flags = os.WEXITED | os.WNOHANG | os.WNOWAIT
        try:
            return os.waitid(os.P_PID, self._process.pid, flags) is not None
        except ChildProcessError:
            return True  # this process has its children reaped by the system

    def _close(self) -> None:
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            if stream is not None:
                stream.close()


def _wait_for_end(pid: int, timeout: float) -> None:
    """Wait for the end of a child for so many seconds at most; where that cannot be done, not.

    Popen.wait with a time-out looks again and again, with pauses as long as a short command.
    """
    import select
    try:
        handle = os.pidfd_open(pid)
    except (AttributeError, OSError):
        # An old kernel, or a Python that was built on one.
        return
    try:
        poll = select.poll()
        poll.register(handle, select.POLLIN)
        poll.poll(max(timeout, 0) * 1000)
    finally:
        os.close(handle)


class _CommandLog:
    """A log of commands and what they printed, such as a job's scheduler log."""

    def __init__(self, path: Path, args: tuple[str, ...]) -> None:
        import shlex
        self._path = path
        self._append("$ " + " ".join(shlex.quote(arg) for arg in args) + "\n")

    def add(self, stdout: str, stderr: str) -> str:
        """Add what a command printed.

        :return: '', or a line about why that was not possible.
        """
        try:
            self._append("".join(text if text.endswith("\n") else f"{text}\n"
                                 for text in (stdout, stderr) if text))
        except OSError as exc:
            return f"\n(This could not be added to {self._path}: {exc.strerror}.)\n"
        return ""

    def _append(self, text: str) -> None:
        with self._path.open("a", encoding="utf-8", errors="backslashreplace") as log:
            log.write(text)


def _checked_argv(argv: Sequence[str | os.PathLike[str]]) -> tuple[str, ...]:
    if isinstance(argv, (str, bytes)) or not isinstance(argv, Sequence):
        raise TypeError(f"A command must be a list of arguments and not {argv!r}: there is no "
                        "shell to take text apart.")
    args = tuple(os.fspath(arg) for arg in argv)
    for arg in args:
        if not isinstance(arg, str):
            raise TypeError(f"The argument {arg!r} of the command {args!r} is not text.")
    if not args or not args[0]:
        raise ValueError(f"There is no command in {args!r}.")
    return args


def _names(parameter: str, names: Iterable[str]) -> tuple[str, ...]:
    if isinstance(names, str):
        raise TypeError(f"{parameter} must be a list of names and not the text {names!r}.")
    result = tuple(names)
    if "" in result:
        raise ValueError(f"{parameter} holds an empty name: {result!r}.")
    return result


def _positive(parameter: str, seconds: float) -> float:
    if not seconds > 0:
        raise ValueError(f"{parameter} is {seconds!r}; it must be a positive number of seconds.")
    return seconds


def _not_started(args: tuple[str, ...], why: str) -> CommandResult:
    return CommandResult(args, None, "", f"{args[0]} was not run: {why}", 0.0, False)


def _why_not_started(command: str, exc: Exception) -> str:
    if not isinstance(exc, OSError):
        return f"it cannot be given these arguments or variables: {exc}"
    if not isinstance(exc, FileNotFoundError):
        return exc.strerror or str(exc)
    if exc.filename is not None and os.fspath(exc.filename) != command:
        return f"there is no folder {os.fspath(exc.filename)!r}"
    if "/" not in command:
        return "there is no such command in PATH"
    # The kernel says 'no such file' of a script whose interpreter is missing as well.
    return "its interpreter is missing" if Path(command).exists() else "there is no such file"


def _shorten(text: str, limit: int) -> str:
    """Text on one line, without control characters, its middle left out when it is too long."""
    lines = [" ".join("".join(c if c.isprintable() else " " for c in line).split())
             for line in text[:limit * 20].splitlines() + text[limit * 20:][-limit:].splitlines()]
    line = " / ".join(line for line in lines if line)
    if len(line) <= limit:
        return line
    return f"{line[:limit * 2 // 3]} ... {line[-(limit // 3):]}"
