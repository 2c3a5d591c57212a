"""A limit of simultaneous raw jobs per host and user, in kickoff order.

The plugin imports this module to put a job into the queue. The job's own process then runs this
file as a script, waits for its turn, and becomes the kickoff script through exec. Pid, start time
and session therefore stay the same from the first moment: a waiting job is cancelled by killing it.

Only jobs that set a limit take part. A job with limit n starts when fewer than n jobs that take
part are running, and every job queued before it has started or ended.

The queue is a directory of this host (see `queue_folder`)::

    lock            held (flock) for each short change; holds the last number given out
    waiting/NUMBER  a ticket. It is locked (flock) for as long as its job waits
    running/NUMBER  the same file, renamed when the job starts; now with pid and start time

A waiting job blocks on the lock of the ticket just before its own. The kernel lets that lock go
when that job starts, or when it dies in whatever way. A ticket that is unlocked but still in
`waiting` belongs to a dead job: its successor takes over what that job was waiting for, and
removes it. So only the first job in line polls, and the work per job does not grow with the queue.

Nothing here trusts a file alone: what counts is the lock, or the pid with its start time and boot.
"""

# The script's start-up is paid by every job that waits, and its memory for as long as it waits.
# json, pathlib, contextlib, argparse and typing together would double both.
# ruff: noqa: PTH100, PTH102, PTH104, PTH108, PTH116, PTH118, PTH123, PTH208

from __future__ import annotations

import errno
import fcntl
import os
import stat
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

if TYPE_CHECKING or __name__ != "__main__":
    from ...talk.procfs import process_start_time, read_boot_id, read_stat
else:
    # As a script it has no package, whose import would take longer than all of the script.
    sys.path.append(os.path.normpath(os.path.join(__file__, "../../../talk")))
    from procfs import process_start_time, read_boot_id, read_stat

QUEUE_DIR_VARIABLE = "PAV_RAW_QUEUE_DIR"
POLL_SECONDS = 0.05
# How long `enqueue` waits for the queue's lock. It is held for milliseconds; only a stopped
# process can hold it longer.
LOCK_SECONDS = 30.0
SWEEP_EVERY = 64
SHOWN_PIDS = 8
EXIT_QUEUE_FAILED = 125
EXIT_EXEC_FAILED = 126


class RawError(Exception):
    """A raw job could not be queued, started, identified or ended. The text is for the user."""


# --- The directory ---


def queue_folder() -> str:
    """The directory of this user's queue on this host."""
    return os.environ.get(QUEUE_DIR_VARIABLE) or f"/tmp/pavilion-raw-{os.getuid()}"


def _parse(text: bytes) -> dict[str, str]:
    """Ticket text, 'key value' per line, to a dictionary."""
    pairs = (line.partition(" ") for line in text.decode("utf-8", "replace").splitlines())
    return {key: value for key, _, value in pairs}


def _number(text: str | None) -> int:
    """A number of the queue's files; 0 when the text is none."""
    return int(text) if text is not None and text.isascii() and text.isdigit() else 0


def _before_line(number: int) -> bytes:
    # Always of one length, and always first: it is overwritten in place.
    return f"before {number:020d}\n".encode("ascii")


def _read_all(fd: int) -> bytes:
    return os.pread(fd, 4096, 0)


def _is_file(path: str, fd: int) -> bool:
    """Whether the path still leads to this open file."""
    try:
        return os.path.samestat(os.stat(path, follow_symlinks=False), os.fstat(fd))
    except FileNotFoundError:
        return False


class _Lock:
    """The queue's lock, as a context manager; `fd` is the lock file while it is held."""

    def __init__(self, path: str, seconds: float | None) -> None:
        self.path = path
        self.seconds = seconds
        self.fd = -1

    def __enter__(self) -> _Lock:
        while True:
            self.fd = os.open(
                self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600
            )
            try:
                self._acquire()
                # Somebody may have removed the directory while we waited; that lock is worth nothing.
                if _is_file(self.path, self.fd):
                    return self
            except BaseException:
                os.close(self.fd)
                raise
            os.close(self.fd)

    def _acquire(self) -> None:
        if self.seconds is None:
            fcntl.flock(self.fd, fcntl.LOCK_EX)
            return
        deadline = time.monotonic() + self.seconds
        while True:
            try:
                fcntl.flock(self.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    raise RawError(
                        f"The raw queue is locked by another process for more than "
                        f"{self.seconds:g} seconds ({self.path}). Is a process of yours stopped "
                        f"(state T)? Continue or end it."
                    ) from None
                time.sleep(0.005)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # Explicitly, because a process forked in this moment may hold a copy of the handle.
        fcntl.flock(self.fd, fcntl.LOCK_UN)
        os.close(self.fd)


class _Queue:
    """The queue's directory and the operations on its files."""

    def __init__(self, folder: str | None = None) -> None:
        self.folder = os.path.abspath(folder or queue_folder())
        self.waiting = os.path.join(self.folder, "waiting")
        self.running = os.path.join(self.folder, "running")

    def lock(self, seconds: float | None = None) -> _Lock:
        """The lock for changes; a limit of seconds raises RawError when it passes."""
        return _Lock(os.path.join(self.folder, "lock"), seconds)

    def ticket_path(self, number: int) -> str:
        return os.path.join(self.waiting, str(number))

    def check(self) -> None:
        """Check that nobody else can write to the directory.

        :raises FileNotFoundError: When it does not exist.
        :raises RawError: When it is not safe to use.
        """
        found = os.lstat(self.folder)
        if not stat.S_ISDIR(found.st_mode):
            problem = "is not a directory"
        elif found.st_uid != os.geteuid():
            problem = f"belongs to another user (uid {found.st_uid})"
        elif found.st_mode & 0o022:
            problem = f"can be written by others (mode {stat.S_IMODE(found.st_mode):o})"
        else:
            return
        raise RawError(
            f"The directory of the raw queue, {self.folder}, {problem}. Remove it, or set "
            f"{QUEUE_DIR_VARIABLE} to a directory of your own on a disk of this host."
        )

    def prepare(self) -> None:
        """Make the directory where it is missing, and check it.

        :raises RawError: When it cannot be made or is not safe to use.
        """
        try:
            _make_folder(self.folder)
            self.check()
            _make_folder(self.waiting)
            _make_folder(self.running)
        except OSError as err:
            raise RawError(
                f"Cannot make the directory of the raw queue, {self.folder}: {err.strerror}. Set "
                f"{QUEUE_DIR_VARIABLE} to a directory of your own on a disk of this host."
            ) from err

    def last_number(self, lock: _Lock) -> int:
        """The last number given out. The lock must be held."""
        known = _number(os.pread(lock.fd, 64, 0).decode("ascii", "replace").strip())
        if known:
            return known
        # A new queue, or a cleaner of old files took the lock file.
        names = os.listdir(self.waiting) + os.listdir(self.running)
        return max((_number(name) for name in names), default=0)

    def running_pids(self) -> list[int]:
        """The pids of the running jobs; records of jobs that have ended are removed."""
        try:
            names = os.listdir(self.running)
        except FileNotFoundError:
            return []
        boot_id = read_boot_id()
        pids = []
        for name in names:
            path = os.path.join(self.running, name)
            try:
                with open(path, "rb") as record_file:
                    record = _parse(record_file.read(4096))
                pid = _number(record.get("pid"))
                found = read_stat(pid) if pid and record.get("boot_id") == boot_id else None
                if (
                    found is not None
                    and found.alive
                    and str(found.start_time) == record.get("start_time")
                ):
                    pids.append(pid)
                else:
                    os.unlink(path)
            except FileNotFoundError:
                pass  # Another process removed it first.
        return sorted(pids)

    def sweep(self, number: int) -> None:
        """Remove tickets of dead jobs from before the given number."""
        for name in os.listdir(self.waiting):
            if 0 < _number(name) < number and not _is_locked(os.path.join(self.waiting, name)):
                _unlink(os.path.join(self.waiting, name))


def _make_folder(path: str) -> None:
    try:
        os.mkdir(path, 0o700)
    except FileExistsError:
        pass


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass


def _is_locked(path: str) -> bool:
    """Whether somebody holds the lock of a ticket, which means that its job waits."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return False
    try:
        # Shared, as successors do it: two that look at once do not see each other as the owner.
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return False
    except BlockingIOError:
        return True
    finally:
        os.close(fd)


# --- For the plugin: into the queue ---

_open_tickets: set[int] = set()


def _close_inherited_tickets() -> None:
    """In a process that the host program forked: its copies would keep tickets locked."""
    for fd in list(_open_tickets):
        os.close(fd)
    _open_tickets.clear()


class Ticket:
    """A place in the queue, held by this process until the job's process has it.

    Start `command(argv)` with `pass_fds`, then `close()`. As a context manager it closes itself.
    Closing it without a started process gives the place up.
    """

    def __init__(self, number: int, limit: int, uniq_id: str, folder: str, fd: int) -> None:
        self.number = str(number)
        self.limit = limit
        self.uniq_id = uniq_id
        self.folder = folder
        self._fd = fd
        # In a forked child the handle is closed, and its number may soon mean something else.
        self._owner = os.getpid()
        _open_tickets.add(fd)

    @property
    def is_open(self) -> bool:
        """Whether this process still holds the place itself."""
        return self._fd in _open_tickets and self._owner == os.getpid()

    @property
    def pass_fds(self) -> tuple[int, ...]:
        """The handles that the job's process must inherit.

        :raises RawError: When the ticket is closed.
        """
        if not self.is_open:
            raise RawError(f"Ticket {self.number} of the raw queue is closed already.")
        return (self._fd,)

    def command(self, argv: Sequence[str]) -> list[str]:
        """The command that waits for its turn and then becomes `argv`.

        argv[0] is a path, as for exec: no search through PATH.

        :raises RawError: When argv is empty, the ticket is closed, or this process does not know
            its Python interpreter.
        """
        if not sys.executable:
            raise RawError("The raw queue needs a Python interpreter, and sys.executable is empty.")
        if not argv:
            raise RawError("The raw queue was given no command to start.")
        return [
            sys.executable,
            "-I",
            "-S",
            os.path.abspath(__file__),
            "wait",
            self.folder,
            self.number,
            str(self.limit),
            str(self.pass_fds[0]),
            "--",
            *argv,
        ]

    def close(self) -> None:
        """Close this process's handle, once the job's process is started. May be repeated."""
        if self.is_open:
            _open_tickets.discard(self._fd)
            os.close(self._fd)
        self._fd = -1

    def abandon(self) -> None:
        """Give the place up after a failed start, and close. Does nothing when closed."""
        if self.is_open:
            # The file stays: the next job in line learns from it whom to wait for.
            fcntl.flock(self._fd, fcntl.LOCK_UN)
        self.close()

    def __enter__(self) -> Ticket:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # Not abandon(): the error may have come after the job's process was started.
        self.close()

    def __del__(self) -> None:
        self.close()


def enqueue(limit: int, uniq_id: str, folder: str | None = None) -> Ticket:
    """Take the next place in the queue.

    :param limit: How many jobs that take part may run at once for this job to start; at least 1.
    :param uniq_id: The id of the job, letters and digits.
    :param folder: The queue's directory; by default `queue_folder()`.
    :raises RawError: When the arguments are wrong or the queue's directory cannot be used.
    """
    if limit < 1:
        raise RawError(f"The limit of simultaneous raw jobs is {limit}; it must be at least 1.")
    if not (uniq_id.isascii() and uniq_id.isalnum()):
        raise RawError(f"The job id {uniq_id!r} may hold only letters and digits.")
    queue = _Queue(folder)
    queue.prepare()
    try:
        with queue.lock(LOCK_SECONDS) as lock:
            number = queue.last_number(lock) + 1
            fd = _new_ticket(queue, number, f"limit {limit}\nuniq_id {uniq_id}\n")
            ticket = Ticket(number, limit, uniq_id, queue.folder, fd)
            try:
                # After the ticket: were we killed in between, the next one takes this number again.
                os.pwrite(lock.fd, f"{number:020d}\n".encode("ascii"), 0)
            except OSError:
                ticket.abandon()
                raise
    except OSError as err:
        raise RawError(f"Cannot write to the raw queue, {queue.folder}: {err.strerror}.") from err
    return ticket


def _new_ticket(queue: _Queue, number: int, text: str) -> int:
    """Make a ticket file, which nobody sees before it is whole and locked; return its handle."""
    path = os.path.join(queue.waiting, "new")
    _unlink(path)
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        _write(fd, _before_line(number - 1) + text.encode("ascii"), 0)
        os.rename(path, queue.ticket_path(number))
        if fd > 2:
            return fd
        # The host program runs with closed standard handles; the job will get its own.
        return fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 3)
    except BaseException:
        os.close(fd)
        raise


def _write(fd: int, data: bytes, offset: int) -> None:
    if os.pwrite(fd, data, offset) != len(data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


# --- For the plugin: a look at the queue ---


class QueueView:
    """The queue at one moment: who waits, in order, and which pids run."""

    def __init__(self, waiting: list[dict[str, str]], running: list[int]) -> None:
        self.waiting = waiting
        self.running = running
        self._place = {
            entry[key]: place
            for place, entry in enumerate(waiting)
            for key in ("number", "uniq_id")
            if key in entry
        }

    def note(self, job: str) -> str | None:
        """What a job waits for, by ticket number or uniq_id; None when it does not wait."""
        place = self._place.get(job)
        if place is None:
            return None
        before = {0: "first in line", 1: "1 job before it"}.get(place, f"{place} jobs before it")
        pids = ", ".join(str(pid) for pid in self.running[:SHOWN_PIDS])
        if len(self.running) > SHOWN_PIDS:
            pids += f", ... ({len(self.running)} in all)"
        running = f"running pids {pids}" if pids else "none running"
        return (
            f"Waiting in the raw queue: {before}, limit {self.waiting[place].get('limit')}, "
            f"{running}"
        )


def read_queue(folder: str | None = None) -> QueueView:
    """Look at the queue once, for the notes of many jobs. A missing queue is an empty one.

    :raises RawError: When the directory is not safe to use or cannot be read.
    """
    queue = _Queue(folder)
    waiting = []
    try:
        queue.check()
        for name in sorted(os.listdir(queue.waiting), key=_number):
            path = os.path.join(queue.waiting, name)
            if _number(name) and _is_locked(path):
                with open(path, "rb") as ticket_file:
                    waiting.append({**_parse(ticket_file.read(4096)), "number": name})
        return QueueView(waiting, queue.running_pids())
    except FileNotFoundError:
        return QueueView(waiting, [])
    except OSError as err:
        raise RawError(f"Cannot read the raw queue, {queue.folder}: {err.strerror}.") from err


def waiting_note(job: str, folder: str | None = None) -> str | None:
    """What a job waits for, by ticket number or uniq_id; None when it does not (or no longer) wait.

    :raises RawError: As `read_queue`, which serves many jobs with one look.
    """
    return read_queue(folder).note(job)


# --- The script: wait, then become the job ---


def _await_predecessors(queue: _Queue, number: int, fd: int) -> None:
    """Block until every job queued before this ticket has started or ended."""
    before = _number(_parse(_read_all(fd)).get("before"))
    while 0 < before < number:
        path = queue.ticket_path(before)
        try:
            other = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            return  # It has started, and so have all before it.
        try:
            fcntl.flock(other, fcntl.LOCK_SH)
            if not _is_file(path, other):
                return  # It started while we waited.
            # It died in the queue. Take over its place before removing the only trace of it.
            before = min(_number(_parse(_read_all(other)).get("before")), before - 1)
            _write(fd, _before_line(before), 0)
            _unlink(path)
        finally:
            os.close(other)


def _start_if_allowed(queue: _Queue, number: int, limit: int, fd: int) -> str | None:
    """Record this process as running, if the limit allows it; return the record's path."""
    queue.prepare()
    try:
        with queue.lock():
            if len(queue.running_pids()) >= limit:
                return None
            path = _record_as_running(queue, number, fd)
            if number % SWEEP_EVERY == 0:
                queue.sweep(number)
            return path
    except FileNotFoundError:
        return None  # Somebody removes the directory at this moment.


def _record_as_running(queue: _Queue, number: int, fd: int) -> str:
    """Turn the ticket into the record of a running job; return its path. The lock must be held."""
    text = _read_all(fd)
    record = (
        f"pid {os.getpid()}\nstart_time {process_start_time(os.getpid())}\n"
        f"boot_id {read_boot_id()}\n"
    ).encode("ascii")
    if _is_file(queue.ticket_path(number), fd):
        path = os.path.join(queue.running, str(number))
        _write(fd, record, len(text))
        os.rename(queue.ticket_path(number), path)
        return path
    # Somebody removed our ticket, and its number may be in use again.
    path = os.path.join(queue.running, f"{number}-{os.getpid()}")
    with open(path, "wb") as record_file:
        record_file.write(text + record)
    return path


def _original_environment() -> dict[bytes, bytes]:
    """The environment as this process got it: Python itself sets LC_CTYPE in a C locale."""
    with open("/proc/self/environ", "rb") as environ_file:
        pairs = (entry.partition(b"=") for entry in environ_file.read().split(b"\0"))
        return {key: value for key, equals, value in pairs if key and equals}


def _become(argv: Sequence[str], record_path: str) -> None:
    """Replace this process by the job.

    :raises OSError: When that fails; the job is then no longer recorded as running.
    """
    import signal

    environment = _original_environment()
    # Python ignores these, and what is ignored stays so through exec.
    for name in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(name, signal.SIG_DFL)
    try:
        os.execve(argv[0], list(argv), environment)
    except OSError:
        _unlink(record_path)
        raise


def wait_and_become(folder: str, number: int, limit: int, fd: int, argv: Sequence[str]) -> None:
    """Wait for the turn of a ticket, then replace this process by argv. Returns only by raising.

    :raises RawError: When the queue's directory cannot be used.
    :raises OSError: When the queue cannot be read or written, or argv not be executed.
    """
    # exec closes it, which frees the next job in line; and no job inherits it.
    os.set_inheritable(fd, False)
    queue = _Queue(folder)
    _await_predecessors(queue, number, fd)
    while (record_path := _start_if_allowed(queue, number, limit, fd)) is None:
        time.sleep(POLL_SECONDS)
    fcntl.flock(fd, fcntl.LOCK_UN)
    _become(argv, record_path)


def main(arguments: Sequence[str]) -> int:
    """Run the script: wait DIRECTORY NUMBER LIMIT FD -- COMMAND [ARGUMENT ...]."""
    import signal

    # A job that waits has nothing to clean up, and no traceback to show.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    if len(arguments) < 7 or arguments[0] != "wait" or arguments[5] != "--":
        sys.stderr.write("usage: job_queue.py wait DIRECTORY NUMBER LIMIT FD -- COMMAND ...\n")
        return EXIT_QUEUE_FAILED
    folder, number, limit, fd = arguments[1:5]
    argv = arguments[6:]
    try:
        wait_and_become(folder, int(number), int(limit), int(fd), argv)
    except (RawError, ValueError) as err:
        sys.stderr.write(f"raw queue: {err}\n")
    except OSError as err:
        where = err.filename or folder
        sys.stderr.write(f"raw queue: cannot start {argv[0]}: {err.strerror} ({where})\n")
        if err.filename == argv[0]:
            return EXIT_EXEC_FAILED
    return EXIT_QUEUE_FAILED


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
else:
    os.register_at_fork(after_in_child=_close_inherited_tickets)
