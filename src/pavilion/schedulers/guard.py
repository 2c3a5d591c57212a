"""Ends all that a job started when the job ends: ``guard.py COMMAND [ARGUMENT ...]``.

Kickoff scripts become this program through exec; the command is ``pav _run ...``.  It may be
anyone's ``pav``: what protects here does not depend on how that treats signals, or whether it gives
its tests sessions of their own.  Three processes work together::

    leader    what the scheduler started, sends signals to, and waits for
    keeper    its child, in a session of its own: no signal to the leader's group reaches it
    command   the keeper's child, in a process group of its own

Leader and keeper adopt orphans (PR_SET_CHILD_SUBREAPER).  So whatever the command starts stays
below them, whichever session it makes, parent it loses, and variable it removes.

- The command ends, by itself or killed: the keeper ends all that is left, and the leader ends last,
  with the command's exit code (128 + N for signal N).
- The leader is told to stop (TERM, INT, HUP): that is passed on to the command, with its group.
- The leader is killed: the scheduler counts the job as over, so the keeper kills everything at
  once.
- The keeper is killed: the leader does what the keeper would have done.

Raw jobs that were started from within are jobs of their own, and left alone.
"""

# It runs as a script, in each job and without the package; what it imports is paid each time.
# ruff: noqa: PTH123

from __future__ import annotations

import os
import select
import signal
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

# In the environment of all processes of a raw job; see plugins.raw_processes.
RAW_JOB_VARIABLE = "PAV_RAW_JOB"
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
# How long, in seconds, a command that was told to stop may take; more than 'pav _run' gives tests.
STOP_PATIENCE = 10.0
# The leader's patience with the keeper, which ends what the command leaves meanwhile.
KEEPER_PATIENCE = 20.0
# How long processes that are left have to end by themselves, and then to be gone.
TERM_WAIT = 5.0
KILL_WAIT = 5.0
# Pauses between two looks at them.
PAUSES = (0.01, 0.2)
EXIT_USAGE, EXIT_NOT_EXECUTABLE, EXIT_NOT_FOUND = 2, 126, 127
_PR_SET_CHILD_SUBREAPER = 36


# --- What /proc says ---


class Process:
    """A living process, as far as it matters here."""

    __slots__ = ("pid", "ppid", "session", "start_time")

    def __init__(self, pid: int, ppid: int, session: int, start_time: int) -> None:
        self.pid = pid
        self.ppid = ppid
        self.session = session
        self.start_time = start_time

    @property
    def key(self) -> tuple[int, int]:
        """What no other process of this boot has."""
        return self.pid, self.start_time

    def signal(self, number: signal.Signals) -> bool:
        """Send it a signal, unless its pid is another's by now.  False when that is not allowed."""
        try:
            now = _read_process(self.pid)
            if now is not None and now.key == self.key:
                os.kill(self.pid, number)
                if number != signal.SIGKILL:
                    # One that is stopped acts on it only then.
                    os.kill(self.pid, signal.SIGCONT)
        except ProcessLookupError:
            pass
        except PermissionError:
            return False
        return True


def _read_process(pid: int) -> Process | None:
    """A process by its pid; None when there is none, or it only waits to be reaped."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as stat_file:
            text = stat_file.read()
    except OSError:
        return None
    # The command stands in parentheses, and may itself hold blanks and ')'.
    fields = text[text.rindex(b")") + 1 :].split()
    # 'Z' with several threads: the main thread has ended, and others go on.
    if fields[0] in (b"X", b"x") or (fields[0] == b"Z" and int(fields[17]) <= 1):
        return None
    return Process(pid, int(fields[1]), int(fields[3]), int(fields[19]))


def all_processes() -> dict[int, Process]:
    """All living processes that /proc shows, by pid."""
    found = {}
    for name in os.listdir("/proc"):  # noqa: PTH208
        if name.isdigit():
            process = _read_process(int(name))
            if process is not None:
                found[process.pid] = process
    return found


def read_environment(pid: int) -> dict[bytes, bytes]:
    """The environment that a process was started with; empty when it cannot be read."""
    try:
        with open(f"/proc/{pid}/environ", "rb") as environ_file:
            entries = environ_file.read().split(b"\0")
    except OSError:
        return {}
    return {
        key: value for key, equals, value in (entry.partition(b"=") for entry in entries) if equals
    }


def is_guard(pid: int) -> bool:
    """Whether a process is a guard, of this or another installation."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as cmdline_file:
            words = cmdline_file.read().split(b"\0")
    except OSError:
        return False
    return any(word.endswith(b"/schedulers/guard.py") for word in words[1:4])


def with_descendants(processes: Mapping[int, Process], roots: Iterable[int]) -> list[Process]:
    """These processes and all below them, parents first; without other raw jobs."""
    children: dict[int, list[int]] = {}
    for process in processes.values():
        children.setdefault(process.ppid, []).append(process.pid)
    own = os.environb.get(RAW_JOB_VARIABLE.encode())
    found: dict[int, Process] = {}
    ahead = list(roots)
    while ahead:
        pid = ahead.pop()
        if pid in found or pid not in processes:
            continue
        job = read_environment(pid).get(RAW_JOB_VARIABLE.encode())
        if job is None or job == own:
            found[pid] = processes[pid]
            ahead += children.get(pid, ())
    return sorted(found.values(), key=lambda process: (process.start_time, process.pid))


def _below_this_process() -> list[Process]:
    processes, here = all_processes(), os.getpid()
    return with_descendants(
        processes, [process.pid for process in processes.values() if process.ppid == here]
    )


# --- Ending ---


def end_all(
    find: Callable[[], Sequence[Process]],
    term_wait: float,
    kill_wait: float,
    hurry: Callable[[float], bool],
) -> list[Process]:
    """End processes: TERM, and after a while KILL; also those that appear meanwhile.

    :param find: Which they are now.
    :param term_wait: Seconds that they have to end by themselves.
    :param kill_wait: Seconds to wait for the killed ones to be gone.
    :param hurry: Waits for so many seconds; True when there is no time left for TERM.
    :returns: Those that are still there; such as may not be signalled are not waited for.
    """
    denied: set[tuple[int, int]] = set()
    number = signal.SIGTERM if term_wait > 0 else signal.SIGKILL
    deadline = time.monotonic() + (term_wait or kill_wait)
    sent: set[tuple[int, int]] = set()
    pause = PAUSES[0]
    while True:
        left = find()
        for process in left:
            if process.key not in sent:
                sent.add(process.key)
                if not process.signal(number):
                    denied.add(process.key)
        if all(process.key in denied for process in left):
            return list(left)
        now = time.monotonic()
        in_a_hurry = hurry(min(pause, max(0.0, deadline - now)))
        pause = min(pause * 2, PAUSES[1])
        if number == signal.SIGTERM and (in_a_hurry or time.monotonic() >= deadline):
            number, deadline = signal.SIGKILL, time.monotonic() + kill_wait
            sent, pause = set(), PAUSES[0]
        elif time.monotonic() >= deadline:
            return list(left)


# --- Leader and keeper ---


class _Watcher:
    """The leader or the keeper: waits for its child, and ends what the child leaves.

    All stop signals and SIGCHLD must be blocked; they are received from here on.

    :param child: The process to wait for.
    :param pass_on: How it is told to stop.
    :param patience: Seconds that it has then.
    :param lifeline: A handle that becomes readable when the leader is gone.
    """

    def __init__(
        self, child: int, pass_on: Callable[[int], None], patience: float, lifeline: int | None
    ) -> None:
        self.child = child
        self.pass_on = pass_on
        self.patience = patience
        self.lifeline = lifeline
        self.code: int | None = None
        self.kill_at: float | None = None
        self.is_leader_gone = False
        self._wake, wake_end = os.pipe()
        os.set_blocking(self._wake, False)
        os.set_blocking(wake_end, False)
        signal.set_wakeup_fd(wake_end, warn_on_full_buffer=False)
        for number in (*STOP_SIGNALS, signal.SIGCHLD):
            # What is ignored on purpose, as by nohup, stays so.
            if number == signal.SIGCHLD or signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, lambda *_: None)
        self._poll = select.poll()
        self._poll.register(self._wake, select.POLLIN)
        if lifeline is not None:
            self._poll.register(lifeline, select.POLLIN)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, (*STOP_SIGNALS, signal.SIGCHLD))

    def work(self) -> int:
        """Wait for the child and end what it leaves; its exit code."""
        while self._reap() and self.code is None and not self.is_leader_gone:
            left = None if self.kill_at is None else self.kill_at - time.monotonic()
            if left is not None and left <= 0:
                break
            self._wait(left)
        # With the leader gone the scheduler says that the job is over; and when the patience has
        # run out, all had their time.
        gently = self.code is not None
        self._end_rest(TERM_WAIT if gently else 0.0, report=gently and self.kill_at is None)
        return 128 + signal.SIGKILL if self.code is None else self.code

    def _wait(self, seconds: float | None) -> bool:
        """Wait for a signal, the leader's end, or so long.  True when the leader is gone."""
        ready = [end for end, _ in self._poll.poll(None if seconds is None else seconds * 1000)]
        if self._wake in ready:
            for number in os.read(self._wake, 512):
                if number != signal.SIGCHLD:
                    self.kill_at = self.kill_at or time.monotonic() + self.patience
                    if self.code is None:
                        self.pass_on(number)
        if self.lifeline is not None and self.lifeline in ready:
            self._poll.unregister(self.lifeline)
            self.is_leader_gone = True
        return self.is_leader_gone

    def _reap(self) -> bool:
        """Reap what has ended, orphans too.  False when no child is left."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return False
            if pid == 0:
                return True
            if pid == self.child:
                code = os.waitstatus_to_exitcode(status)
                self.code = code if code >= 0 else 128 - code

    def _end_rest(self, term_wait: float, report: bool) -> None:
        if not self._reap():
            return  # All that it started would be a child of ours, or below one.
        found = _below_this_process()
        if report and found:
            pids = ", ".join(str(process.pid) for process in found)
            _say(f"ending what the tests left running: {pids}.")

        def find() -> list[Process]:
            self._reap()
            return _below_this_process()

        left = end_all(find, term_wait, KILL_WAIT, self._wait)
        if left:
            pids = ", ".join(str(process.pid) for process in left)
            _say(f"these processes could not be ended: {pids}.")


def _say(text: str) -> None:
    try:
        os.write(2, f"pav guard: {text}\n".encode())
    except OSError:
        pass  # The log's disk is full, or nobody reads.


def _adopt_orphans() -> None:
    try:
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    except (ImportError, OSError, AttributeError):
        pass  # A Python without ctypes: what loses its parent cannot be found then.


def _become(argv: Sequence[str]) -> None:
    """Become the command; never returns."""
    # Python ignores these, and what is ignored stays so through exec.
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, (*STOP_SIGNALS, signal.SIGCHLD))
    try:
        os.execvp(argv[0], list(argv))
    except OSError as exc:
        _say(f"cannot start {argv[0]}: {exc.strerror}.")
        os._exit(EXIT_NOT_FOUND if isinstance(exc, FileNotFoundError) else EXIT_NOT_EXECUTABLE)


def _keep(argv: Sequence[str], lifeline: int) -> int:
    """The keeper's work; the command's exit code."""
    os.setsid()
    try:
        child = os.fork()
    except OSError:
        _become(argv)  # The limit of processes is reached; the leader is a guard still.
        raise
    if child == 0:
        os.close(lifeline)
        os.setpgid(0, 0)
        _become(argv)
    try:
        os.setpgid(child, child)  # Both do it: whoever comes first.
    except OSError:
        pass

    def pass_on(number: int) -> None:
        for send, target in ((os.killpg, child), (os.kill, child)):
            try:
                send(target, number)
                return
            except (ProcessLookupError, PermissionError):
                continue

    return _Watcher(child, pass_on, STOP_PATIENCE, lifeline).work()


def _lead(keeper: int) -> int:
    def pass_on(number: int) -> None:
        try:
            os.kill(keeper, number)
        except ProcessLookupError:
            pass

    return _Watcher(keeper, pass_on, KEEPER_PATIENCE, None).work()


def main(argv: Sequence[str]) -> int:
    """Run a command; its exit code."""
    if not argv:
        sys.stderr.write("usage: guard.py COMMAND [ARGUMENT ...]\n")
        return EXIT_USAGE
    # Ignored ones would be reaped by the system, and their ends not told.
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    # Until each process is ready for them.
    signal.pthread_sigmask(signal.SIG_BLOCK, (*STOP_SIGNALS, signal.SIGCHLD))
    _adopt_orphans()
    lifeline, leaders_end = os.pipe()
    try:
        keeper = os.fork()
    except OSError as exc:
        # The limit of processes is reached.  Better a job without a guard than none.
        _say(f"cannot start: {exc.strerror}.")
        _become(argv)
        raise
    if keeper:
        os.close(lifeline)
        return _lead(keeper)
    # The keeper.
    try:
        os.close(leaders_end)
        # A fork does not inherit it.
        _adopt_orphans()
        code = _keep(argv, lifeline)
    except BaseException as exc:
        _say(f"failed unexpectedly: {exc!r}.")
        code = 1
    os._exit(code)


if __name__ == "__main__":
    os._exit(main(sys.argv[1:]))
