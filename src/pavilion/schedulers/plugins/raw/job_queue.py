"""A limit of simultaneous raw jobs per host and user, in kickoff order.

Only jobs that set a limit take part.  A job with limit n starts when fewer than n jobs that take
part are running, and every job that was queued before it has started or ended.

A job is an empty file in a directory of this host (see `queue_folder`), and its name says it all::

    waiting/NUMBER.LIMIT.ID.PID.START_TIME.BOOT_ID
    running/(the same)

The plugin makes the file, with a number that is higher than those before it, and starts the job's
process: `turn.py`, which waits until no lower number is waiting and fewer than LIMIT are running,
moves the file to `running`, and becomes the kickoff script through exec.  Its pid and start time
therefore stay the same from the first moment, and a job is in the queue for as long as that process
lives; nobody has to remove it.  Until that process exists, the file names the one that makes it.

Numbers are given out, and jobs moved to `running`, while the file `lock` is locked (flock).  A process
that waits also locks its own file, until it starts or ends in whatever way, and the job behind it
blocks on that lock.  So only the first job in line polls.  These locks just wake the next one up: pid,
start time and boot decide.
"""

# turn.py imports this module as well: its start-up is paid by every job that waits, and its memory for
# as long as it waits. json, pathlib, contextlib and typing would double both.
# ruff: noqa: PTH100, PTH102, PTH104, PTH108, PTH118, PTH208

from __future__ import annotations

import os
import stat
import sys
import time

from ...talk.locks import try_lock, unlock
from ...talk.procfs import process_runs, process_start_time, read_boot_id

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from types import TracebackType

QUEUE_DIR_VARIABLE = "PAV_RAW_QUEUE_DIR"
POLL_SECONDS = 0.05
# How long `enqueue` waits for the lock. It is held for milliseconds; only a stopped
# process can hold it longer.
LOCK_SECONDS = 30.0
SHOWN_PIDS = 8


class RawError(Exception):
    """A raw job could not be queued, started, identified or ended. The text is for the user."""


def queue_folder() -> str:
    """The directory of this user's queue on this host."""
    return os.environ.get(QUEUE_DIR_VARIABLE) or f"/tmp/pavilion-raw-{os.getuid()}"


class Entry:
    """A job in the queue, as its file's name describes it.

    :raises ValueError: When the name is not one of the queue's.
    """

    __slots__ = ("boot_id", "limit", "name", "number", "pid", "start_time", "uniq_id")

    def __init__(self, name: str) -> None:
        number, limit, self.uniq_id, pid, start_time, self.boot_id = name.split(".")
        self.name = name
        self.number = int(number)
        self.limit = int(limit)
        self.pid = int(pid)
        self.start_time = int(start_time)

    @classmethod
    def make(cls, number: int, limit: int, uniq_id: str, pid: int) -> Entry:
        """The entry of a job whose process, or future parent process, has this pid.

        :raises RawError: When there is no such process.
        """
        start_time = process_start_time(pid)
        if start_time is None:
            raise RawError(f"There is no process {pid} in /proc.")
        # Of one length, so that names sort by number.
        return cls(f"{number:020d}.{limit}.{uniq_id}.{pid}.{start_time}.{read_boot_id()}")

    def of(self, pid: int) -> Entry:
        """The entry of the same job with another process."""
        return self.make(self.number, self.limit, self.uniq_id, pid)


class Queue:
    """The queue's directory and the operations on its files.

    :raises OSError: When /proc cannot be read.
    """

    def __init__(self, folder: str | None = None) -> None:
        self.folder = os.path.abspath(folder or queue_folder())
        self.waiting = os.path.join(self.folder, "waiting")
        self.running = os.path.join(self.folder, "running")
        self.lock = os.path.join(self.folder, "lock")
        self._boot_id = read_boot_id()

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
        raise RawError(f"The directory of the raw queue, {self.folder}, {problem}. {_ADVICE}")

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
                f"Cannot make the directory of the raw queue, {self.folder}: {err.strerror}. "
                f"{_ADVICE}"
            ) from err

    def last_number(self) -> int:
        """The highest number that waits; 0 when none does."""
        last = max(os.listdir(self.waiting), default="").partition(".")[0]
        return int(last) if last.isdigit() else 0

    def jobs(self, folder: str, before: Entry | None = None) -> Iterator[Entry]:
        """The living jobs in `waiting` or `running`, in the order of their numbers; with `before`,
        only those before that one, the last of them first.  The files of jobs that have ended are
        removed.

        :raises RawError: When the directory is not safe to use.
        """
        names: Iterable[str]
        try:
            self.check()
            names = sorted(os.listdir(folder))
        except FileNotFoundError:
            return
        if before is not None:
            names = [name for name in reversed(names) if name < before.name]
        for name in names:
            try:
                entry = Entry(name)
            except ValueError:
                continue  # Not ours.
            if self._lives(entry):
                yield entry
            else:
                discard(os.path.join(folder, name))

    def _lives(self, entry: Entry) -> bool:
        try:
            return entry.boot_id == self._boot_id and process_runs(entry.pid, entry.start_time)
        except PermissionError:
            return False  # Its pid is another user's now, on a host that hides them.

    def put(self, old: str | None, new: str) -> int:
        """Rename a file, or make it if there is none, or somebody removed it; return its handle.

        :raises OSError: When that fails.
        :raises RawError: When the directory cannot be used.
        """
        while True:
            try:
                if old is not None:
                    os.rename(old, new)
                return os.open(new, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            except FileNotFoundError:
                self.prepare()
                old = None


_ADVICE = (
    f"Remove it, or set {QUEUE_DIR_VARIABLE} to a directory of your own on a disk of this host."
)


def _make_folder(path: str) -> None:
    try:
        os.mkdir(path, 0o700)
    except FileExistsError:
        pass


def discard(path: str) -> None:
    """Remove a file, if it is there."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass


# --- For the plugin: into the queue ---


class Place:
    """A place in the queue that this process keeps for a job.

    Start `command(argv)`, then call `hand_over`.  A context in which no job was started ends with
    the place being given up.
    """

    def __init__(self, queue: Queue, entry: Entry) -> None:
        self._entry = entry
        self._queue = queue
        self.folder = queue.folder
        self.number = str(entry.number)
        self.uniq_id = entry.uniq_id

    def command(self, argv: Sequence[str]) -> list[str]:
        """The command that waits for its turn and then becomes `argv`.

        argv[0] is a path, as for exec: no search through PATH.

        :raises RawError: When argv is empty, or this process does not know its Python interpreter.
        """
        if not sys.executable:
            raise RawError("The raw queue needs a Python interpreter, and sys.executable is empty.")
        if not argv:
            raise RawError("The raw queue was given no command to start.")
        script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "turn.py")  # noqa: PTH120
        return [sys.executable, "-I", "-S", script, self.folder, self._entry.name, "--", *argv]

    def hand_over(self, pid: int) -> None:
        """Give the place to the job's process, in case it ends before it has taken it itself."""
        path = os.path.join(self._queue.waiting, self._entry.name)
        try:
            os.rename(path, os.path.join(self._queue.waiting, self._entry.of(pid).name))
        except (OSError, ValueError, RawError):
            pass  # It has the place already, or it has ended. An error now would lose it.

    def __enter__(self) -> Place:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # Not the place of a job that was started: its process makes the file again.
        discard(os.path.join(self._queue.waiting, self._entry.name))


def enqueue(limit: int, uniq_id: str, folder: str | None = None) -> Place:
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
    queue = Queue(folder)
    queue.prepare()
    try:
        lock = queue.put(None, queue.lock)
        try:
            _acquire(lock, queue.folder)
            # By the clock: numbers rise even when the queue was empty in between.
            number = max(time.time_ns(), queue.last_number() + 1)
            entry = Entry.make(number, limit, uniq_id, os.getpid())
            os.close(queue.put(None, os.path.join(queue.waiting, entry.name)))
            unlock(lock)
        finally:
            os.close(lock)
    except OSError as err:
        raise RawError(f"Cannot write to the raw queue, {queue.folder}: {err.strerror}.") from err
    return Place(queue, entry)


def _acquire(lock: int, folder: str) -> None:
    deadline = time.monotonic() + LOCK_SECONDS
    while not try_lock(lock):
        if time.monotonic() >= deadline:
            raise RawError(
                f"The raw queue is locked by another process for more than {LOCK_SECONDS:g} "
                f"seconds ({folder}). Is a process of yours stopped (state T)? Continue or end it."
            )
        time.sleep(0.005)


# --- For the plugin: a look at the queue ---


class QueueView:
    """The queue at one moment: who waits, in order, and which pids run."""

    def __init__(self, waiting: list[Entry], running: list[int]) -> None:
        self.waiting = waiting
        self.running = running
        self._place = {entry.uniq_id: place for place, entry in enumerate(waiting)}

    def note(self, uniq_id: str) -> str | None:
        """What a job waits for; None when it does not, or no longer, wait."""
        place = self._place.get(uniq_id)
        if place is None:
            return None
        before = {0: "first in line", 1: "1 job before it"}.get(place, f"{place} jobs before it")
        pids = ", ".join(str(pid) for pid in self.running[:SHOWN_PIDS])
        if len(self.running) > SHOWN_PIDS:
            pids += f", ... ({len(self.running)} in all)"
        running = f"running pids {pids}" if pids else "none running"
        return f"Waiting in the raw queue: {before}, limit {self.waiting[place].limit}, {running}"


def read_queue(folder: str | None = None) -> QueueView:
    """Look at the queue once, for the notes of many jobs. A missing queue is an empty one.

    :raises RawError: When the directory is not safe to use or cannot be read.
    """
    try:
        queue = Queue(folder)
        running = sorted(entry.pid for entry in queue.jobs(queue.running))
        return QueueView(list(queue.jobs(queue.waiting)), running)
    except OSError as err:
        where = folder or queue_folder()
        raise RawError(f"Cannot read the raw queue, {where}: {err.strerror}.") from err
