"""Wait for the turn of a job in the raw queue, then become the job; see `job_queue`.

``turn.py DIRECTORY NAME -- COMMAND [ARGUMENT ...]``: NAME is the entry that the plugin made.
"""

# ruff: noqa: PTH100, PTH118, PTH120, PTH123

from __future__ import annotations

import fcntl
import os
import signal
import sys
import time

if __name__ == "__main__":
    # Empty stand-ins for the packages around this script: to import the real ones would take longer
    # than all else.
    _FOLDER = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    for _part in ("", ".talk", ".plugins", ".plugins.raw"):
        _package = type(sys)(f"pavilion.schedulers{_part}")
        _package.__path__ = [_FOLDER + _part.replace(".", "/")]
        sys.modules[_package.__name__] = _package
    sys.modules["pavilion"] = type(sys)("pavilion")

from pavilion.schedulers.plugins.raw.job_queue import (
    POLL_SECONDS,
    Entry,
    Queue,
    RawError,
    discard,
)
from pavilion.schedulers.talk.busy_files import when_not_busy

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

EXIT_QUEUE_FAILED = 125
EXIT_EXEC_FAILED = 126


def wait_for_turn(queue: Queue, name: str) -> str:
    """Wait until a job may run; then it counts as running.

    :returns: The path of its file.
    :raises RawError: When the queue's directory cannot be used.
    :raises OSError: When the queue cannot be read or written.
    """
    mine = Entry(name).of(os.getpid())
    path = os.path.join(queue.waiting, mine.name)
    # Held until this process becomes the job, or ends.
    fcntl.flock(queue.put(os.path.join(queue.waiting, name), path), fcntl.LOCK_EX)
    seen = ""
    while (other := job_before(queue, mine)) is not None:
        if other.name == seen:
            time.sleep(POLL_SECONDS)  # It has not locked its file yet, or is ending.
        seen = other.name
        _await_change(os.path.join(queue.waiting, other.name))
    while (running := _start_if_allowed(queue, mine)) is None:
        time.sleep(POLL_SECONDS)
    return running


def _start_if_allowed(queue: Queue, mine: Entry) -> str | None:
    """Move the file of a job to those that run, if the limit allows it; return its path there."""
    lock = queue.put(None, queue.lock)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if sum(1 for _ in queue.jobs(queue.running)) >= mine.limit:
            return None
        running = os.path.join(queue.running, mine.name)
        os.close(queue.put(os.path.join(queue.waiting, mine.name), running))
        return running
    finally:
        os.close(lock)


def job_before(queue: Queue, mine: Entry) -> Entry | None:
    """The last of the jobs that must start before this one; None when it is first in line."""
    # A look can miss a file that is renamed meanwhile, when a process takes a place. That happens
    # once to a job that waits, so two looks find it.
    for _ in range(2):
        for other in queue.jobs(queue.waiting, before=mine):
            return other
    return None


def _await_change(path: str) -> None:
    """Wait while the process of another job has its file locked."""
    try:
        other = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return
    try:
        fcntl.flock(other, fcntl.LOCK_SH)
    finally:
        os.close(other)


def become(argv: Sequence[str], running: str) -> None:
    """Replace this process by the job.

    :param running: The path of its file.
    :raises OSError: When that fails; the job then no longer counts as running.
    """
    # As this process got it: Python itself sets LC_CTYPE in a C locale.
    with open("/proc/self/environ", "rb") as environ_file:
        pairs = (entry.partition(b"=") for entry in environ_file.read().split(b"\0"))
        environment = {key: value for key, equals, value in pairs if key and equals}
    # Python ignores these, and what is ignored stays so through exec.
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
    try:
        when_not_busy(lambda: os.execve(argv[0], list(argv), environment))
    finally:
        discard(running)


def main(arguments: Sequence[str]) -> int:
    """Run the script; returns only when it fails."""
    # A job that waits has nothing to clean up, and no traceback to show.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    if len(arguments) < 4 or arguments[2] != "--":
        sys.stderr.write("usage: turn.py DIRECTORY NAME -- COMMAND [ARGUMENT ...]\n")
        return EXIT_QUEUE_FAILED
    folder, name, _, *argv = arguments
    try:
        become(argv, wait_for_turn(Queue(folder), name))
    except RawError as err:
        sys.stderr.write(f"raw queue: {err}\n")
    except ValueError:
        sys.stderr.write(f"raw queue: {name!r} is not the name of an entry\n")
    except OSError as err:
        where = err.filename or folder
        sys.stderr.write(f"raw queue: cannot start {argv[0]}: {err.strerror} ({where})\n")
        if err.filename == argv[0]:
            return EXIT_EXEC_FAILED
    return EXIT_QUEUE_FAILED


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
