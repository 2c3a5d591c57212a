"""The only access to a scheduler: every scheduler command is run here.

A :class:`CommandRunner` takes argv lists and never uses a shell, cleans the environment, stops a
command at its timeout together with everything that it started, decodes whatever it prints, and
counts its calls.  Whatever a command does is reported as a :class:`CommandResult`, never as an
exception.  Only the plugin knows what a failure means: it provides a function that turns a result
into a :class:`Failure`, and only transient failures are tried again.
"""

from __future__ import annotations

import copy
import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from .child_process import ChildProcess

# random, shlex and the modules that start processes are imported where they are used.  This module
# is imported with every plugin, and most of what a user runs never calls a scheduler.

MAX_OUTPUT = 512 * 1024 * 1024
"""The number of bytes that a command may print, on stdout and stderr together."""


class Failure(Enum):
    """What the failure of a scheduler command means."""

    UNKNOWN_JOB = "unknown job"
    """The scheduler answered that there is no such job."""
    TRANSIENT = "transient"
    """It could not be queried, or could not answer, at the moment."""
    PERMANENT = "permanent"
    """It refused the command, and would refuse it again."""
    QUEUE_FULL = "queue full"
    """It accepts no more jobs for now: hold the job and try later."""
    DENIED = "denied"
    """The user is not permitted to do this."""


class CommandResult(NamedTuple):
    """The result of a command."""

    argv: tuple[str, ...]
    """The command and its arguments."""
    returncode: int | None
    """The exit code, or -N after signal N.  None when it was not started, or was stopped here:
    at its timeout, or because it printed too much."""
    stdout: str = ""
    """What it printed.  Bytes that are not UTF-8 appear as ``\\xNN``.  Empty when it printed
    too much; incomplete when it timed out."""
    stderr: str = ""
    """Like stdout; the reason when it was not started or printed too much."""
    duration: float = 0.0
    """The duration of the last try, in seconds."""
    timed_out: bool = False
    """Whether it was stopped at its timeout."""
    tries: int = 1
    """How often it was run, including the last time."""

    @property
    def ok(self) -> bool:
        """Whether it ended by itself with exit code 0."""
        return self.returncode == 0

    @property
    def command(self) -> str:
        """The command as a shell would take it, cut where it is long."""
        import shlex

        return _shorten(" ".join(shlex.quote(arg) for arg in self.argv), 300)

    def describe(self) -> str:
        """One readable line: the command, how it ended, and why (shortened)."""
        text = f"'{self.command}' {self._outcome()}"
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

    :param drop: Prefixes of environment variables that commands must not see.  They change a
        scheduler's answers, and are set inside allocations, where tests run.
    :param keep: Names of variables to keep even if they have such a prefix: where the scheduler is.
    :param set: Variables to set, such as ``{'LC_ALL': 'C'}``.
    :param timeout: The default timeout of a command, in seconds.
    :param clock: Returns the time in seconds; used to limit the duration of all tries together.
    :param sleep: Waits between tries, for a number of seconds.
    :param rng: Returns a random number from 0 to 1, used to spread the tries of many processes.
    :param environ: The environment to start from.  Default: os.environ at the time of each call.
    :param max_output: The number of bytes that a command may print.
    :raises TypeError: When drop or keep is a string instead of a list of names.
    :raises ValueError: When they contain an empty name, or the timeout is not positive.
    """

    def __init__(
        self,
        *,
        drop: Iterable[str] = (),
        keep: Iterable[str] = (),
        set: Mapping[str, str] | None = None,  # the name that reads best in a call
        timeout: float = 60.0,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
        rng: Callable[[], float] | None = None,
        environ: Mapping[str, str] | None = None,
        max_output: int = MAX_OUTPUT,
    ) -> None:
        # The prefix '' would drop everything, and a string would be taken as a list of letters.
        self._drop = _names("drop", drop)
        self._keep = frozenset(_names("keep", keep))
        self._drop_raw = tuple(map(os.fsencode, self._drop))
        self._keep_raw = frozenset(map(os.fsencode, self._keep))
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
        """How often each command was run, by its name without the directory.  A copy."""
        with self._lock:
            return dict(self._calls)

    def count(self, command: str | None = None) -> int:
        """How often a command was run; None counts all commands.  Each try counts."""
        calls = self.calls
        return sum(calls.values()) if command is None else calls.get(command, 0)

    def environment(self) -> dict[str, str]:
        """The environment that a command would get if it was started now."""
        environ = os.environ if self._environ is None else self._environ
        cleaned = {}
        # Another thread may change os.environ meanwhile.  So its names are copied in one step, and
        # a name may be missing when it is looked up.
        for name in list(environ):
            value = environ.get(name)
            if value is not None and (name in self._keep or not name.startswith(self._drop)):
                cleaned[name] = value
        cleaned.update(self._set)
        return cleaned

    def with_variable(self, name: str, value: str | None) -> CommandRunner:
        """A runner of the same commands, for which one variable has another value; None: it has
        none.  The calls of both are counted together."""
        other = copy.copy(self)
        other._set = {key: text for key, text in self._set.items() if key != name}
        if value is None:
            other._keep = self._keep - {name}
            other._keep_raw = frozenset(map(os.fsencode, other._keep))
            other._drop = (*self._drop, name)
            other._drop_raw = tuple(map(os.fsencode, other._drop))
        else:
            other._set[name] = value
        return other

    def _own_environment(self) -> dict[str, str] | None:
        """The environment for a command; None when it equals that of this process, which the
        command then inherits.  With a hundred variables, this takes a quarter of the time."""
        if (
            self._environ is None
            and not self._set
            and not any(
                name.startswith(self._drop_raw) and name not in self._keep_raw
                for name in list(os.environb)
            )
        ):
            return None
        return self.environment()

    def run(
        self,
        argv: Sequence[str | os.PathLike[str]],
        timeout: float | None = None,
        stdin: str | None = None,
        cwd: str | os.PathLike[str] | None = None,
        output: Path | None = None,
        watch: Callable[[str], bool] | None = None,
    ) -> CommandResult:
        """Run a command once.  Whatever it does is in the result.

        :param argv: The command and its arguments, as a list.
        :param timeout: Seconds after which the command and everything that it started are stopped.
        :param stdin: Its input.  Default: none, it reads /dev/null.
        :param cwd: The directory in which to run it.
        :param output: A log file, to which the command and everything that it prints is added.  If
            the log cannot be written beforehand, the command is not run.
        :param watch: Called twice a second with what the command has printed on stderr so far.  If
            it returns False, the command is stopped, as at its timeout.
        :raises TypeError: When argv is a string, or an argument is not a string.
        :raises ValueError: When argv is empty, or the timeout is not positive.
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
            process = self._start(args, stdin, cwd)
        except (OSError, ValueError) as exc:
            # ValueError: an argument or variable contains a character that cannot be passed to a
            # command.
            result = _not_started(args, _why_not_started(args[0], exc))
        else:
            try:
                result = self._finish(process, args, limit, watch)
            except BaseException:
                # Even on an interrupt: the log of a submission may be the only trace of a job's id.
                if log is not None:
                    log.add(process.stdout, process.stderr)
                raise
        if log is not None:
            problem = log.add(result.stdout, result.stderr)
            result = result._replace(stderr=result.stderr + problem)
        return result

    def run_retrying(
        self,
        argv: Sequence[str | os.PathLike[str]],
        classify: Callable[[CommandResult], Failure | None],
        attempts: int = 4,
        *,
        first_delay: float = 1.0,
        max_delay: float = 30.0,
        total: float = 120.0,
        timeout: float | None = None,
        stdin: str | None = None,
        cwd: str | os.PathLike[str] | None = None,
        output: Path | None = None,
    ) -> CommandResult:
        """Run a command, and run it again after transient failures.  This is for commands that can
        safely be repeated.  A failed submission cannot: check the scheduler's list of jobs first.

        The pause doubles with each try.  It is varied at random by up to half of its length, so
        that many processes do not try again at the same time.

        :param classify: Returns None for a success, otherwise what the failure means.
        :param attempts: The maximum number of tries.
        :param first_delay: The mean length of the first pause, in seconds.
        :param max_delay: The longest pause before it is varied, in seconds.
        :param total: Seconds for all tries and pauses together.  No try starts later, and the
            timeout of the last one is limited to the time that is left.
        :return: The last result; its ``tries`` is the number of tries.
        :raises TypeError, ValueError: As for :meth:`run`.
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
            # Do not wait if there would be no time left for another try.
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

    def _start(
        self, args: tuple[str, ...], stdin: str | None, cwd: str | os.PathLike[str] | None
    ) -> ChildProcess:
        from .child_process import ChildProcess

        with self._lock:
            name = os.path.basename(args[0])  # noqa: PTH119 (as text: it need not be a path)
            self._calls[name] = self._calls.get(name, 0) + 1
        data = None if stdin is None else stdin.encode("utf-8", "surrogateescape")
        return ChildProcess(args, self._own_environment(), data, cwd, self._max_output)

    def _finish(
        self,
        process: ChildProcess,
        args: tuple[str, ...],
        timeout: float,
        watch: Callable[[str], bool] | None,
    ) -> CommandResult:
        duration = process.finish(timeout, watch)
        if process.printed_too_much:
            note = (
                f"{args[0]} printed more than {self._max_output} bytes and was stopped. "
                "Its output is not used."
            )
            return CommandResult(args, None, "", note, duration, False)
        return CommandResult(
            args,
            process.returncode,
            process.stdout,
            process.stderr,
            duration,
            process.returncode is None,
        )


class _CommandLog:
    """A log of commands and what they printed, such as a job's scheduler log."""

    def __init__(self, path: Path, args: tuple[str, ...]) -> None:
        import shlex

        self._path = path
        self._append("$ " + " ".join(shlex.quote(arg) for arg in args) + "\n")

    def add(self, stdout: str, stderr: str) -> str:
        """Add what a command printed.

        :return: '', or a line that says why that was not possible.
        """
        try:
            self._append(
                "".join(
                    text if text.endswith("\n") else f"{text}\n"
                    for text in (stdout, stderr)
                    if text
                )
            )
        except OSError as exc:
            return f"\n(This could not be added to {self._path}: {exc.strerror}.)\n"
        return ""

    def _append(self, text: str) -> None:
        from . import safe_files

        log, _ = safe_files.open_to_append(self._path)
        try:
            safe_files.write_all(log, text.encode("utf-8", "backslashreplace"))
        finally:
            os.close(log)


def _checked_argv(argv: Sequence[str | os.PathLike[str]]) -> tuple[str, ...]:
    if isinstance(argv, (str, bytes)) or not isinstance(argv, Sequence):
        raise TypeError(
            f"A command must be a list of arguments, not {argv!r}: there is no shell to split "
            "a string."
        )
    for arg in argv:
        if not isinstance(arg, (str, os.PathLike)):
            raise TypeError(f"The argument {arg!r} of the command {argv!r} is not a string.")
    args = tuple(os.fspath(arg) for arg in argv)
    if not args or not args[0]:
        raise ValueError(f"There is no command in {args!r}.")
    return args


def _names(parameter: str, names: Iterable[str]) -> tuple[str, ...]:
    if isinstance(names, str):
        raise TypeError(f"{parameter} must be a list of names, not the string {names!r}.")
    result = tuple(names)
    if "" in result:
        raise ValueError(f"{parameter} contains an empty name: {result!r}.")
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
        return f"there is no directory {os.fspath(exc.filename)!r}"
    if "/" not in command:
        return "there is no such command in PATH"
    # The kernel also reports 'no such file' for a script whose interpreter is missing.
    return "its interpreter is missing" if Path(command).exists() else "there is no such file"


def _shorten(text: str, limit: int) -> str:
    """Text on one line, without control characters; if it is too long, its middle is left out."""
    lines = [
        " ".join("".join(c if c.isprintable() else " " for c in line).split())
        for line in text[: limit * 20].splitlines() + text[limit * 20 :][-limit:].splitlines()
    ]
    line = " / ".join(line for line in lines if line)
    if len(line) <= limit:
        return line
    return f"{line[: limit * 2 // 3]} ... {line[-(limit // 3) :]}"
