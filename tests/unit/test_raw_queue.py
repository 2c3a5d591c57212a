"""The queue of raw jobs: order, limit, and what happens when any of its processes dies."""

from __future__ import annotations

import fcntl
import functools
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
import uuid
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

import polling
from pavilion.schedulers.plugins.raw import job_queue as raw_queue
from pavilion.schedulers.plugins.raw import turn
from pavilion.schedulers.plugins.raw.job_queue import (
    QUEUE_DIR_VARIABLE,
    Entry,
    Place,
    RawError,
    enqueue,
    queue_folder,
    read_queue,
)
from pavilion.schedulers.talk import procfs

DEADLINE = 30.0
until = functools.partial(polling.until, seconds=DEADLINE)
SOURCES = Path(raw_queue.__file__).resolve().parents[4]
# Long enough for a waiting process to do something that it should not.
QUIET = 0.4


def waiting_note(place: Place, queue: str) -> str | None:
    return read_queue(queue).note(place.uniq_id)


class QueueUser:
    """Puts jobs into a queue of its own; each job writes 'start NAME' and 'end NAME' to `marks`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.queue = str(folder / "queue")
        self.marks = folder / "marks"
        self.marks.touch()
        self.mark = uuid.uuid4().hex
        self.processes: list[subprocess.Popen[bytes]] = []

    def script(self, name: object, body: str) -> str:
        """A job script that ends when the file `go.NAME` is there, or when its body ends it."""
        path = self.folder / f"job.{name}"
        path.write_text(
            f"#!/bin/sh\necho start {name} >> {self.marks}\n{textwrap.dedent(body)}\n"
            f"echo end {name} >> {self.marks}\n"
        )
        path.chmod(0o755)
        return str(path)

    def hold(self, name: object) -> str:
        go = self.folder / f"go.{name}"
        return f"while ! test -e {go}; do sleep 0.02; done"

    def start(
        self,
        name: object,
        limit: int = 1,
        body: str | None = None,
        env: dict[str, str] | None = None,
    ) -> tuple[Place, subprocess.Popen[bytes]]:
        return self.enqueue(
            [self.script(name, self.hold(name) if body is None else body)], limit, env
        )

    def enqueue(
        self, argv: list[str], limit: int = 1, env: dict[str, str] | None = None
    ) -> tuple[Place, subprocess.Popen[bytes]]:
        with enqueue(limit, uuid.uuid4().hex, self.queue) as place:
            process = self.popen(place.command(argv), env)
            place.hand_over(process.pid)
            return place, process

    def popen(
        self, command: list[str], env: dict[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        with (self.folder / "log").open("ab") as log:
            process = subprocess.Popen(
                command,
                start_new_session=True,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**(os.environ if env is None else env), "TEST_MARK": self.mark},
            )
        self.processes.append(process)
        return process

    def release(self, *names: object) -> None:
        for name in names:
            (self.folder / f"go.{name}").touch()

    def events(self) -> list[str]:
        return self.marks.read_text().splitlines()

    def started(self) -> list[str]:
        return [event.split()[1] for event in self.events() if event.startswith("start")]

    def await_event(self, event: str) -> None:
        until(lambda: event in self.events(), f"{event!r} in {self.events()}")

    def wait_all(self) -> None:
        for process in self.processes:
            process.wait(DEADLINE)

    def log(self) -> str:
        return (self.folder / "log").read_text()

    def clean_up(self) -> None:
        for _ in range(3):
            for entry in Path("/proc").iterdir():
                if entry.name.isdigit() and int(entry.name) != os.getpid():
                    try:
                        if self.mark.encode() in (entry / "environ").read_bytes():
                            os.kill(int(entry.name), signal.SIGKILL)
                    except OSError:
                        pass
        self.wait_all()


@pytest.fixture
def user(tmp_path: Path) -> Iterator[QueueUser]:
    queue_user = QueueUser(tmp_path)
    yield queue_user
    queue_user.clean_up()


def blocks_on_a_lock(pid: int) -> bool:
    return any(
        line.split()[1] == "->" and line.split()[5] == str(pid)
        for line in Path("/proc/locks").read_text().splitlines()
    )


def most_at_once(events: list[str]) -> int:
    running, most = 0, 0
    for event in events:
        running += 1 if event.startswith("start") else -1
        most = max(most, running)
    return most


# --- Order and limit ---


def test_with_a_limit_of_one_jobs_run_one_by_one_in_kickoff_order(user: QueueUser) -> None:
    for name in range(10):
        user.start(name, 1, "sleep 0.02")
    user.wait_all()
    assert user.events() == [f"{what} {name}" for name in range(10) for what in ("start", "end")]


def test_with_a_limit_of_three_three_run_at_once_in_kickoff_order(user: QueueUser) -> None:
    places = [user.start(name, 3)[0] for name in range(7)]
    until(lambda: len(user.started()) == 3, "three jobs run")
    time.sleep(QUIET)
    assert sorted(user.started()) == ["0", "1", "2"]
    user.release(1)
    until(lambda: len(user.started()) == 4, "one more")
    assert user.started()[3] == "3"
    assert [waiting_note(place, user.queue) is None for place in places] == (
        [True] * 4 + [False] * 3
    )
    user.release(*range(7))
    user.wait_all()
    assert most_at_once(user.events()) == 3
    assert sorted(user.started()) == [str(name) for name in range(7)]


PARENT = """
    import subprocess, sys, uuid
    sys.path.insert(0, {sources!r})
    from pavilion.schedulers.plugins.raw.job_queue import enqueue
    sys.stdin.readline()
    jobs = []
    for _ in range(8):
        with enqueue({limit}, uuid.uuid4().hex, {queue!r}) as place:
            command = place.command(['/bin/sh', '-c', {script!r}, 'job', place.number])
            jobs.append(subprocess.Popen(command))
            place.hand_over(jobs[-1].pid)
    sys.exit(any([job.wait() for job in jobs]))
"""


@pytest.mark.parametrize("limit", [1, 3])
def test_several_parents_at_once_keep_the_order_and_the_limit(user: QueueUser, limit: int) -> None:
    script = f"echo start $1 >> {user.marks}; sleep 0.03; echo end $1 >> {user.marks}"
    program = textwrap.dedent(PARENT).format(
        sources=str(SOURCES), limit=limit, queue=user.queue, script=script
    )
    parents = []
    for _ in range(3):
        parent = subprocess.Popen(
            [sys.executable, "-c", program],
            stdin=subprocess.PIPE,
            env={**os.environ, "TEST_MARK": user.mark},
        )
        parents.append(parent)
        user.processes.append(parent)
    for parent in parents:
        assert parent.stdin is not None
        parent.stdin.write(b"go\n")
        parent.stdin.close()
    for parent in parents:
        assert parent.wait(DEADLINE) == 0
    order = [int(name) for name in user.started()]
    places = {number: place for place, number in enumerate(sorted(order))}
    assert len(places) == 24
    assert most_at_once(user.events()) <= limit
    # Only jobs that run at the same time may write their first line in another order.
    assert all(abs(places[number] - place) < limit for place, number in enumerate(order))


def test_each_job_goes_by_its_own_limit(user: QueueUser) -> None:
    user.start("a", 3)
    user.start("b", 3)
    until(lambda: len(user.started()) == 2, "two run")
    user.start("c", 1)
    user.start("d", 9)  # Could run, but comes after c.
    time.sleep(QUIET)
    user.release("a")
    user.await_event("end a")
    time.sleep(QUIET)
    assert len(user.started()) == 2, "c waits until it is alone"
    user.release("b")
    user.await_event("start d")
    user.await_event("start c")
    assert user.events().index("end b") < user.events().index("start c")
    assert user.events().index("end b") < user.events().index("start d")


def test_pid_start_time_session_and_output_stay_the_same(user: QueueUser) -> None:
    user.start("first")
    _, process = user.start("second", body="echo $$ $PWD")
    start_time = procfs.process_start_time(process.pid)
    user.release("first")
    user.wait_all()
    assert user.log() == f"{process.pid} {Path.cwd()}\n"
    _, process = user.start("third")
    user.await_event("start third")
    assert os.getsid(process.pid) == process.pid
    assert start_time is not None
    assert (procfs.process_start_time(process.pid) or 0) > start_time


# --- What the job inherits ---


def test_the_job_gets_the_environment_and_signals_of_an_unlimited_one(user: QueueUser) -> None:
    # In a C locale, Python sets LC_CTYPE in its own environment.
    env = {"PATH": os.environ["PATH"], "ODD": "a=b\nc", "EMPTY": "", "TEST_MARK": user.mark}
    for name in ("direct", "queued"):
        path = user.folder / name
        path.write_text(
            f"#!/bin/sh\nenv -0 > {path}.env\ngrep ^Sig[BIC] /proc/self/status "
            f"> {path}.signals\nulimit -a > {path}.limits\numask > {path}.umask\n"
        )
        path.chmod(0o755)
    direct = user.popen([str(user.folder / "direct")], env=env)
    assert direct.wait(DEADLINE) == 0
    _, queued = user.enqueue([str(user.folder / "queued")], env=env)
    assert queued.wait(DEADLINE) == 0, user.log()
    for kind in ("env", "signals", "limits", "umask"):
        texts = [
            (user.folder / f"{name}.{kind}").read_bytes().split(b"\0")
            for name in ("direct", "queued")
        ]
        plain = [sorted(entry for entry in text if not entry.startswith(b"_=")) for text in texts]
        assert plain[0] == plain[1], kind


def test_nothing_of_the_queue_is_open_in_the_job(user: QueueUser) -> None:
    user.start("first")
    _, process = user.enqueue(["/bin/sleep", "60"])
    user.release("first")
    comm = Path(f"/proc/{process.pid}/comm")
    until(lambda: comm.read_text() == "sleep\n", "the job runs")
    # The loader opens libraries for a moment; a handle of the queue would stay.
    until(
        lambda: sorted(fd.name for fd in Path(f"/proc/{process.pid}/fd").iterdir())
        == ["0", "1", "2"],
        "only the standard handles are open",
    )


def test_fifty_places_leave_no_handle_open_and_no_file(user: QueueUser) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    for name in range(50):
        with enqueue(1, f"job{name}", user.queue) as place:
            assert waiting_note(place, user.queue) is not None
    assert len(list(Path("/proc/self/fd").iterdir())) == before
    assert list((Path(user.queue) / "waiting").iterdir()) == []


# --- Deaths ---


def test_a_waiting_job_that_is_killed_changes_nothing_for_the_others(user: QueueUser) -> None:
    user.start("first")
    user.await_event("start first")
    jobs = [user.start(name) for name in range(6)]
    for name in (0, 2, 3):
        jobs[name][1].kill()
        jobs[name][1].wait(DEADLINE)
    time.sleep(QUIET)
    assert user.started() == ["first"], "those behind the killed ones still wait for their turn"
    user.release("first", *range(6))
    user.wait_all()
    assert user.started() == ["first", "1", "4", "5"]
    assert most_at_once(user.events()) == 1


def test_killing_the_one_before_a_waiter_in_a_chain_keeps_the_order(user: QueueUser) -> None:
    user.start("first")
    user.await_event("start first")
    jobs = [user.start(name) for name in range(5)]
    # Each waits for the one before it, and then dies itself.
    for name in (1, 2, 3):
        place, process = jobs[name]
        until(lambda: blocks_on_a_lock(process.pid), "it waits")  # noqa: B023
        process.kill()
        process.wait(DEADLINE)
        files = Path(user.queue) / "waiting"
        until(lambda: not list(files.glob(f"*.{place.uniq_id}.*")), "the next is awake")  # noqa: B023
    assert user.started() == ["first"]
    user.release("first")
    user.await_event("start 0")
    time.sleep(QUIET)
    assert user.started() == ["first", "0"], "4 waits for 0, though all between are dead"
    user.release(0, 4)
    user.wait_all()
    assert user.started() == ["first", "0", "4"]


def test_a_running_job_that_is_killed_makes_room(user: QueueUser) -> None:
    _, first = user.start("first")
    user.start("second", body="")
    user.await_event("start first")
    first.kill()  # And not reaped: a zombie does not run.
    user.await_event("end second")


def test_a_parent_killed_before_it_starts_its_job_blocks_nobody(user: QueueUser) -> None:
    user.start("first")
    user.await_event("start first")
    program = textwrap.dedent(f"""
        import sys, time
        sys.path.insert(0, {str(SOURCES)!r})
        from pavilion.schedulers.plugins.raw.job_queue import enqueue
        place = enqueue(1, 'ab', {user.queue!r})
        print(flush=True)
        time.sleep(60)
    """)
    parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    parent.stdout.readline()
    user.start("second", body="")
    assert read_queue(user.queue).note("ab") is not None
    user.release("first")
    user.await_event("end first")
    time.sleep(QUIET)
    assert user.started() == ["first"], "the place is held as long as the parent lives"
    parent.kill()
    parent.wait(DEADLINE)
    parent.stdout.close()
    user.await_event("end second")
    assert read_queue(user.queue).note("ab") is None


@pytest.mark.parametrize("told", [True, False])
def test_a_parent_killed_after_it_started_its_job_loses_nothing(
    user: QueueUser, told: bool
) -> None:
    """Whether or not it has given the place to the job's process."""
    user.start("first")
    user.await_event("start first")
    job = user.script("second", "")
    program = textwrap.dedent(f"""
        import os, signal, subprocess, sys
        sys.path.insert(0, {str(SOURCES)!r})
        from pavilion.schedulers.plugins.raw.job_queue import enqueue
        with enqueue(1, 'ab', {user.queue!r}) as place:
            process = subprocess.Popen(place.command([{job!r}]), start_new_session=True)
            if {told}:
                place.hand_over(process.pid)
            os.kill(os.getpid(), signal.SIGKILL)
    """)
    user.popen([sys.executable, "-c", program]).wait(DEADLINE)
    until(lambda: read_queue(user.queue).note("ab") is not None, "it waits")
    user.start("third", body="")
    user.release("first")
    user.await_event("end third")
    assert user.started() == ["first", "second", "third"]


def test_a_job_killed_before_its_process_takes_the_place_blocks_nobody(user: QueueUser) -> None:
    """The place is the job's from the moment that the parent, which lives on, gave it over."""
    with enqueue(1, "ab", user.queue) as place:
        job = user.popen(["/bin/sleep", "60"])  # A process that takes no place by itself.
        place.hand_over(job.pid)
    user.start("next", body="")
    time.sleep(QUIET)
    assert user.started() == []
    job.kill()
    user.await_event("end next")


def test_a_start_that_failed_gives_its_place_up(user: QueueUser) -> None:
    with pytest.raises(FileNotFoundError), enqueue(1, "ab", user.queue):
        subprocess.Popen(["/no/such/program"])
    user.start("next", body="")
    user.wait_all()
    assert user.started() == ["next"]


def test_a_process_forked_by_the_host_does_not_hold_a_place(user: QueueUser) -> None:
    place = enqueue(1, "ab", user.queue)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Newer Pythons warn about fork with threads.
        child = os.fork()
    if child == 0:
        time.sleep(60)
        os._exit(0)
    try:
        with place:
            pass
        user.start("next", body="")
        user.wait_all()
        assert user.started() == ["next"]
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def test_a_file_that_is_renamed_during_a_look_is_found(
    user: QueueUser, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A large directory is read in pieces, and what is renamed meanwhile may be in none of them."""
    with enqueue(1, "first", user.queue) as first, enqueue(1, "ab", user.queue) as second:
        queue = raw_queue.Queue(user.queue)
        listed = sorted(os.listdir(queue.waiting))  # noqa: PTH208
        mine = Entry(listed[1])
        assert (str(mine.number), mine.uniq_id) == (second.number, "ab")
        looks = iter([listed[1:], listed])
        with monkeypatch.context() as patch:
            patch.setattr(os, "listdir", lambda folder: next(looks))
            other = turn.job_before(queue, mine)
        assert other is not None and other.uniq_id == first.uniq_id
        assert turn.job_before(queue, other) is None


@pytest.mark.parametrize("folder", ["waiting", "running"])
@pytest.mark.parametrize("change", ["start_time", "boot_id", "pid"])
def test_files_of_jobs_that_have_ended_are_recognized_and_removed(
    user: QueueUser, change: str, folder: str
) -> None:
    """A pid that was used again, a reboot, and a process that ended."""
    user.start("first", body="")
    user.wait_all()
    good = Entry.make(900, 1, "ab", os.getpid())
    path = Path(user.queue) / folder
    (path / good.name).touch()
    user.start("second", body="")
    time.sleep(QUIET)
    assert user.started() == ["first"], "a file that is right counts"
    fields = {"pid": good.pid, "start_time": good.start_time, "boot_id": good.boot_id}
    fields[change] = 999999999 if change == "pid" else 1
    parts = (f"{900:020d}", "1", "ab", *fields.values())
    (path / good.name).rename(path / ".".join(map(str, parts)))
    user.await_event("end second")
    assert not list(path.glob(f"{900:020d}.*"))


@pytest.mark.parametrize("name", ["7", "new", "1.2.3", "a.b.c.d.e.f", "\udcff.1.a.2.3.x"])
def test_files_that_are_not_of_the_queue_do_not_count(user: QueueUser, name: str) -> None:
    user.start("first", body="")
    user.wait_all()
    for folder in ("waiting", "running"):
        (Path(user.queue) / folder / name).touch()
    user.start("second", body="")
    user.await_event("end second")
    assert read_queue(user.queue).waiting == []
    assert (Path(user.queue) / "running" / name).exists()


def test_the_queue_goes_on_when_its_folder_is_removed(user: QueueUser) -> None:
    user.start("first")
    user.start("second", body="")
    user.await_event("start first")
    Path(user.queue).rename(user.folder / "gone")
    shutil.rmtree(user.folder / "gone")
    user.await_event("end second")  # Its record was lost, and no job is held for ever.
    assert "raw queue" not in user.log()
    user.start("third", body="")
    user.await_event("end third")


def test_a_job_whose_file_a_cleaner_took_counts_all_the_same_once_it_runs(user: QueueUser) -> None:
    user.start("first")
    user.await_event("start first")
    _, second = user.start("second")
    until(lambda: is_up(second.pid), "it waits")
    for path in (Path(user.queue) / "waiting").iterdir():
        path.unlink()
    user.release("first")
    user.await_event("start second")
    user.start("third", body="")
    time.sleep(QUIET)
    assert user.started() == ["first", "second"]
    user.release("second")
    user.await_event("end third")


def test_jobs_that_all_take_themselves_for_the_first_one_start_one_by_one(user: QueueUser) -> None:
    """As when a cleaner took their files: each counts and joins those that run under the lock."""
    user.start("first")
    user.await_event("start first")
    for name in range(3):
        _, process = user.start(name, body="sleep 0.1")
        until(lambda: is_up(process.pid), "it waits")  # noqa: B023
        for path in (Path(user.queue) / "waiting").iterdir():
            path.unlink()
    with (Path(user.queue) / "lock").open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        user.release("first")
        user.await_event("end first")
        time.sleep(QUIET)
        assert user.started() == ["first"]
    user.wait_all()
    assert sorted(user.started()) == ["0", "1", "2", "first"]
    assert most_at_once(user.events()) == 1


def test_a_pid_that_is_now_another_users_on_a_host_that_hides_them(
    user: QueueUser, monkeypatch: pytest.MonkeyPatch
) -> None:
    user.start("first", body="")
    user.wait_all()
    (Path(user.queue) / "running" / Entry.make(900, 1, "ab", os.getpid()).name).touch()

    def refuse(*_: object) -> bool:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(raw_queue, "process_runs", refuse)
    assert read_queue(user.queue).running == []


def test_numbers_rise_when_the_clock_is_set_back_and_the_lock_is_lost(
    user: QueueUser, monkeypatch: pytest.MonkeyPatch
) -> None:
    user.start("first")
    place, _ = user.start("second", body="")
    monkeypatch.setattr(time, "time_ns", lambda: 5)
    (Path(user.queue) / "lock").unlink()
    later, _ = user.start("third", body="")
    assert int(later.number) > int(place.number)
    user.release("first")
    user.wait_all()
    assert user.started() == ["first", "second", "third"]


def test_the_folder_does_not_grow(user: QueueUser) -> None:
    for round_ in range(4):
        user.start(f"hold{round_}")
        killed = [user.start(f"k{round_}.{name}")[1] for name in range(5)]
        for process in killed:
            process.kill()
        user.release(f"hold{round_}")
        user.start(f"last{round_}", body="")
        user.await_event(f"end last{round_}")
    user.wait_all()
    assert read_queue(user.queue).running == []
    left = sorted(path.name for path in Path(user.queue).rglob("*"))
    assert left == ["lock", "running", "waiting"]


# --- Errors of the script ---


def test_a_job_that_cannot_be_executed_says_so_and_makes_room(user: QueueUser) -> None:
    _, process = user.enqueue(["/no/such/script"])
    assert process.wait(DEADLINE) == turn.EXIT_EXEC_FAILED
    assert user.log() == (
        "raw queue: cannot start /no/such/script: No such file or directory (/no/such/script)\n"
    )
    assert list((Path(user.queue) / "running").iterdir()) == []


def test_a_wrong_command_line_is_refused(user: QueueUser) -> None:
    for arguments in (
        [],
        ["x"],
        [user.queue, "1", "x", "true"],
        [user.queue, "nine", "--", "true"],
    ):
        done = subprocess.run(
            [sys.executable, turn.__file__, *arguments],
            check=False,
            capture_output=True,
            text=True,
            timeout=DEADLINE,
        )
        assert done.returncode == turn.EXIT_QUEUE_FAILED
        assert "usage" in done.stderr or "nine" in done.stderr
        assert "Traceback" not in done.stderr


def test_a_waiting_job_ends_quietly_on_term_and_interrupt(user: QueueUser) -> None:
    user.start("first")
    user.await_event("start first")
    for number in (signal.SIGTERM, signal.SIGINT):
        _, process = user.start(number.name)
        until(lambda: is_up(process.pid), "the script is up")  # noqa: B023
        process.send_signal(number)
        assert process.wait(DEADLINE) == -number
    assert user.log() == ""


def is_up(pid: int) -> bool:
    """Whether the script has set its signals: Python ignores SIGPIPE, and it lets SIGINT kill."""
    status = Path(f"/proc/{pid}/status").read_text()
    ignored, handled = (
        int(status.split(f"{key}:")[1].split()[0], 16) for key in ("SigIgn", "SigCgt")
    )
    return bool(ignored & 1 << signal.SIGPIPE - 1) and not handled & 1 << signal.SIGINT - 1


# --- Notes ---


def test_the_note_says_what_a_job_waits_for(user: QueueUser) -> None:
    _, first = user.start("first", 2)
    _, second = user.start("second", 2)
    until(lambda: len(user.started()) == 2, "two run")
    places = [user.start(name, 2)[0] for name in range(3)]
    pids = ", ".join(str(pid) for pid in sorted([first.pid, second.pid]))
    ends = f"limit 2, running pids {pids}"
    notes = [waiting_note(place, user.queue) for place in places]
    assert notes == [
        f"Waiting in the raw queue: first in line, {ends}",
        f"Waiting in the raw queue: 1 job before it, {ends}",
        f"Waiting in the raw queue: 2 jobs before it, {ends}",
    ]
    user.processes[2].kill()
    user.processes[2].wait(DEADLINE)
    assert waiting_note(places[0], user.queue) is None
    assert "1 job before" in str(waiting_note(places[2], user.queue))
    user.release("first", "second", 1, 2)
    user.wait_all()
    assert [waiting_note(place, user.queue) for place in places] == [None] * 3


def test_a_long_list_of_pids_is_cut() -> None:
    entry = Entry("7.20.ab.1.2.x")
    view = raw_queue.QueueView([entry], list(range(100, 120)))
    assert str(view.note("ab")).endswith(
        "limit 20, running pids 100, 101, 102, 103, 104, 105, 106, 107, ... (20 in all)"
    )
    assert view.note("cd") is None
    assert "none running" in str(raw_queue.QueueView([entry], []).note("ab"))


def test_there_is_no_note_where_there_is_no_queue(tmp_path: Path) -> None:
    assert read_queue(str(tmp_path / "queue")).note("ab") is None
    assert not (tmp_path / "queue").exists(), "looking makes nothing"


# --- The folder ---


def test_the_folder_is_of_this_user_and_can_be_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(QUEUE_DIR_VARIABLE, raising=False)
    assert queue_folder() == f"/tmp/pavilion-raw-{os.getuid()}"
    monkeypatch.setenv(QUEUE_DIR_VARIABLE, str(tmp_path / "own"))
    with enqueue(1, "ab") as place:
        assert place.folder == str(tmp_path / "own")
    assert (tmp_path / "own").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(
    ("problem", "message"),
    [
        ("link", "is not a directory"),
        ("file", "is not a directory"),
        ("open", "written by others"),
        ("foreign", "another user"),
        ("parent", "Cannot make"),
    ],
)
def test_an_unsafe_folder_is_refused_with_advice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, problem: str, message: str
) -> None:
    folder = tmp_path / "queue"
    if problem == "link":
        (tmp_path / "real").mkdir()
        folder.symlink_to(tmp_path / "real")
    elif problem == "file":
        folder.touch()
    elif problem == "open":
        folder.mkdir()
        folder.chmod(0o770)
    elif problem == "foreign":
        folder.mkdir()
        monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    else:
        folder = tmp_path / "missing" / "queue"
    with pytest.raises(RawError, match=message) as caught_error:
        enqueue(1, "ab", str(folder))
    assert QUEUE_DIR_VARIABLE in str(caught_error.value)
    assert str(folder) in str(caught_error.value)
    if problem != "parent":
        with pytest.raises(RawError, match=message):
            read_queue(str(folder))


@pytest.mark.parametrize(
    ("limit", "uniq_id"), [(0, "ab"), (-1, "ab"), (1, ""), (1, "a\nb"), (1, "../x"), (1, "ä")]
)
def test_wrong_arguments_are_refused(user: QueueUser, limit: int, uniq_id: str) -> None:
    with pytest.raises(RawError):
        enqueue(limit, uniq_id, user.queue)


def test_a_command_needs_arguments_and_an_interpreter(
    user: QueueUser, monkeypatch: pytest.MonkeyPatch
) -> None:
    with enqueue(1, "ab", user.queue) as place:
        with pytest.raises(RawError, match="no command"):
            place.command([])
        monkeypatch.setattr(sys, "executable", "")
        with pytest.raises(RawError, match="interpreter"):
            place.command(["/bin/true"])


def test_a_lock_that_a_stopped_process_holds_is_an_error_in_time(
    user: QueueUser, monkeypatch: pytest.MonkeyPatch
) -> None:
    enqueue(1, "ab", user.queue)
    monkeypatch.setattr(raw_queue, "LOCK_SECONDS", 0.1)
    with (Path(user.queue) / "lock").open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(RawError, match="stopped"):
            enqueue(1, "ab", user.queue)


def test_a_full_disk_is_an_error_and_leaves_the_queue_whole(
    user: QueueUser, monkeypatch: pytest.MonkeyPatch
) -> None:
    enqueue(1, "first", user.queue).__exit__(None, None, None)
    real = os.open
    before = len(list(Path("/proc/self/fd").iterdir()))

    def full(path: str, flags: int, mode: int = 0o777) -> int:
        if "waiting" in path and flags & os.O_CREAT:
            raise OSError(28, "No space left on device")
        return real(path, flags, mode)

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", full)
        with pytest.raises(RawError, match="No space left"):
            enqueue(1, "ab", user.queue)
    assert len(list(Path("/proc/self/fd").iterdir())) == before
    user.start("next", body="")
    user.wait_all()
    assert user.started() == ["next"]


def test_the_script_imports_little() -> None:
    # Each waiting job pays for these in time and memory.
    def imported(*arguments: str) -> set[str]:
        done = subprocess.run(
            [sys.executable, "-I", "-S", "-X", "importtime", *arguments],
            check=False,
            capture_output=True,
            text=True,
            timeout=DEADLINE,
        )
        return {
            line.rpartition("|")[2].strip()
            for line in done.stderr.splitlines()
            if line.startswith("import time")
        }

    least = imported("-c", "import errno, fcntl, os, signal, stat, sys, time, __future__")
    script = imported(turn.__file__)
    assert "fcntl" in script
    ours = {name for name in script if name.startswith("pavilion.schedulers.")}
    assert ours == {
        "pavilion.schedulers.talk.busy_files",
        "pavilion.schedulers.talk.locks",
        "pavilion.schedulers.talk.procfs",
        "pavilion.schedulers.plugins.raw.job_queue",
    }
    assert script <= least | ours
