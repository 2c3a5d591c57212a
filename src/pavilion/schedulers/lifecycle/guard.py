"""Ends everything that a job started when the job ends: ``guard.py COMMAND [ARGUMENT ...]``.

Kickoff scripts become this program through exec; the command is ``pav _run ...``.  It works with any
``pav``: it does not depend on how that handles signals, or whether it starts its tests in separate
sessions.  Three processes work together::

    leader    the process that the scheduler started, sends signals to, and waits for
    keeper    its child, in a session of its own: no signal to the leader's group reaches it
    command   the keeper's child, in a process group of its own

Leader and keeper adopt orphans (PR_SET_CHILD_SUBREAPER).  So whatever the command starts remains
their descendant, even if it creates a session, loses its parent, or removes variables.

- If the command ends, by itself or killed, the keeper ends everything that is left.  The leader ends
  last, with the command's exit code (128 + N for signal N).
- If the leader receives a signal to stop (TERM, INT, HUP), it is passed on to the command and its
  group.
- If the leader is killed, the job has ended for the scheduler, so the keeper kills everything at
  once.
- If the keeper is killed, the leader does what the keeper would have done.

Raw jobs that were started inside the job are independent jobs, and are left alone.
"""

# It runs as a script, in each job and without the package, so each import costs time in each job.
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

# In the environment of all processes of a raw job; see plugins.raw.processes.
RAW_JOB_VARIABLE = "PAV_RAW_JOB"
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
# Seconds that a command may take to stop after a signal; more than 'pav _run' gives its tests.
STOP_PATIENCE = 10.0
# Seconds that the leader waits for the keeper, which meanwhile ends what the command left behind.
KEEPER_PATIENCE = 20.0
# Seconds that remaining processes get to end after TERM, and then to disappear after KILL.
TERM_WAIT = 5.0
KILL_WAIT = 5.0
# The first and the longest pause between two checks of these processes, in seconds.
PAUSES = (0.01, 0.2)
EXIT_USAGE, EXIT_NOT_EXECUTABLE, EXIT_NOT_FOUND = 2, 126, 127
_PR_SET_CHILD_SUBREAPER = 36


# --- What /proc says ---


class Process:
    """A living process, with the attributes that matter here."""

    __slots__ = ("pid", "ppid", "session", "start_time")

    def __init__(self, pid: int, ppid: int, session: int, start_time: int) -> None:
        self.pid = pid
        self.ppid = ppid
        self.session = session
        self.start_time = start_time

    @property
    def key(self) -> tuple[int, int]:
        """Unique among the processes since the host was booted."""
        return self.pid, self.start_time

    def signal(self, number: signal.Signals) -> bool:
        """Send it a signal, unless its pid now belongs to another process.  False when the signal is
        not permitted."""
        try:
            now = _read_process(self.pid)
            if now is not None and now.key == self.key:
                os.kill(self.pid, number)
                if number != signal.SIGKILL:
                    # A stopped process handles the signal only after this.
                    os.kill(self.pid, signal.SIGCONT)
        except ProcessLookupError:
            pass
        except PermissionError:
            return False
        return True


def _read_process(pid: int) -> Process | None:
    """The process with a pid; None when there is none, or it is only waiting to be reaped."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as stat_file:
            text = stat_file.read()
    except OSError:
        return None
    # The command is in parentheses, and may itself contain blanks and ')'.
    fields = text[text.rindex(b")") + 1 :].split()
    # 'Z' with several threads: the main thread has ended, but others are still running.
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
    """The environment with which a process was started; empty when it cannot be read."""
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
    return any(word.endswith(b"/lifecycle/guard.py") for word in words[1:4])


def with_descendants(processes: Mapping[int, Process], roots: Iterable[int]) -> list[Process]:
    """These processes and all their descendants, parents first; without other raw jobs."""
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
    """End processes with TERM, and after a while with KILL; also those that appear meanwhile.

    :param find: Returns the processes that exist now.
    :param term_wait: Seconds that they get to end after TERM.
    :param kill_wait: Seconds to wait until they are gone after KILL.
    :param hurry: Waits for the given number of seconds; True when there is no time left for TERM.
    :returns: The processes that are still there.  Those that may not be signalled are not waited
        for.
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
    """The leader or the keeper: waits for its child, and ends what the child leaves behind.

    All stop signals and SIGCHLD must be blocked; they are received from here on.

    :param child: The process to wait for.
    :param pass_on: Passes a signal to stop on to it.
    :param patience: Seconds that it gets to end after that.
    :param lifeline: A file descriptor that becomes readable when the leader is gone; None in the
        leader.
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
            # A signal that is ignored on purpose, as with nohup, remains ignored.
            if number == signal.SIGCHLD or signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, lambda *_: None)
        self._poll = select.poll()
        self._poll.register(self._wake, select.POLLIN)
        if lifeline is not None:
            self._poll.register(lifeline, select.POLLIN)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, (*STOP_SIGNALS, signal.SIGCHLD))

    def work(self) -> int:
        """Wait for the child and end what it leaves behind.  Returns its exit code."""
        while self._reap() and self.code is None and not self.is_leader_gone:
            left = None if self.kill_at is None else self.kill_at - time.monotonic()
            if left is not None and left <= 0:
                break
            self._wait(left)
        # Without the leader, the job has ended for the scheduler; and when the patience has run
        # out, all processes have had time to end.
        gently = self.code is not None
        self._end_rest(TERM_WAIT if gently else 0.0, report=gently and self.kill_at is None)
        return 128 + signal.SIGKILL if self.code is None else self.code

    def _wait(self, seconds: float | None) -> bool:
        """Wait for a signal, for the leader's end, or for a number of seconds (None: without limit).
        True when the leader is gone."""
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
        """Reap children that have ended, including orphans.  False when no child is left."""
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
            return  # Anything that it started would be a descendant of this process.
        found = _below_this_process()
        if report and found:
            pids = ", ".join(str(process.pid) for process in found)
            _say(f"ending processes that the tests left running: {pids}.")

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
        pass  # The log's disk is full, or nobody reads the output.


def _adopt_orphans() -> None:
    try:
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    except (ImportError, OSError, AttributeError):
        pass  # Without ctypes, processes that lose their parent cannot be found.


def _become(argv: Sequence[str]) -> None:
    """Become the command; never returns."""
    # Python ignores these signals, and exec keeps that.
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, (*STOP_SIGNALS, signal.SIGCHLD))
    try:
        os.execvp(argv[0], list(argv))
    except OSError as exc:
        _say(f"cannot start {argv[0]}: {exc.strerror}.")
        os._exit(EXIT_NOT_FOUND if isinstance(exc, FileNotFoundError) else EXIT_NOT_EXECUTABLE)


def _keep(argv: Sequence[str], lifeline: int) -> int:
    """Do the keeper's work.  Returns the command's exit code."""
    os.setsid()
    try:
        child = os.fork()
    except OSError:
        _become(argv)  # The limit of processes is reached; the leader still guards the job.
        raise
    if child == 0:
        os.close(lifeline)
        os.setpgid(0, 0)
        _become(argv)
    try:
        os.setpgid(child, child)  # Parent and child both do this, so it is done in time.
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
    """Run a command and return its exit code."""
    if not argv:
        sys.stderr.write("usage: guard.py COMMAND [ARGUMENT ...]\n")
        return EXIT_USAGE
    # If SIGCHLD was ignored, the system would reap the children, and their exit codes would be lost.
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    # Blocked until each process is ready for them.
    signal.pthread_sigmask(signal.SIG_BLOCK, (*STOP_SIGNALS, signal.SIGCHLD))
    _adopt_orphans()
    lifeline, leaders_end = os.pipe()
    try:
        keeper = os.fork()
    except OSError as exc:
        # The limit of processes is reached.  A job without a guard is better than no job.
        _say(f"cannot start: {exc.strerror}.")
        _become(argv)
        raise
    if keeper:
        os.close(lifeline)
        return _lead(keeper)
    # The keeper.
    try:
        os.close(leaders_end)
        # This is not inherited through a fork.
        _adopt_orphans()
        code = _keep(argv, lifeline)
    except BaseException as exc:
        _say(f"failed unexpectedly: {exc!r}.")
        code = 1
    os._exit(code)


if __name__ == "__main__":
    os._exit(main(sys.argv[1:]))
