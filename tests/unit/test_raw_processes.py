"""Raw jobs as local processes: identity, look, members, end, start, reap; with real ones."""

from __future__ import annotations

import gc
import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
import time
import uuid
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pavilion.schedulers.plugins.raw import processes as raw_processes
from pavilion.schedulers.plugins.raw import starting
from pavilion.schedulers.plugins.raw.job_queue import RawError
from pavilion.schedulers.plugins.raw.processes import (
    JOB_VARIABLE,
    Liveness,
    ProcessIdentity,
    Snapshot,
    end_job,
    look,
    survivors,
)
from pavilion.schedulers.plugins.raw.starting import JobProcess, Reaper, start_job
from pavilion.schedulers.talk import procfs
from polling import until

DEADLINE = 20.0
# Tests put others in its place, and cleaning up needs the real one.
REAL_KILL = os.kill
SOURCES = Path(raw_processes.__file__).resolve().parents[4]


def runs(pid: int) -> bool:
    found = procfs.read_stat(pid)
    return found is not None and found.alive


def members(identity: ProcessIdentity) -> list[int]:
    """The processes of a job, in a look that was taken now."""
    return survivors(identity, Snapshot())


def read_pid(path: Path) -> int:
    until(lambda: path.exists() and path.read_text().endswith("\n"), f"a pid in {path.name}")
    return int(path.read_text())


class Jobs:
    """Starts jobs, and at the end kills all their processes without the code under test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.mark = f"TEST_MARK={uuid.uuid4().hex}"
        self.processes: list[subprocess.Popen[bytes]] = []

    def start(self, script: str) -> tuple[ProcessIdentity, JobProcess]:
        """Start a shell script as a job; $READY names a file that the script makes when it is up.

        A script that mentions READY has made that file when this returns.
        """
        name = uuid.uuid4().hex
        path = self.folder / name
        path.write_text("#!/bin/sh\n" + textwrap.dedent(script))
        path.chmod(0o755)
        ready = self.folder / f"{name}.ready"
        key, value = self.mark.split("=")
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv(key, value)
            patch.setenv("READY", str(ready))
            identity, process = start_job([str(path)], self.folder / "log", uuid.uuid4().hex)
        self.processes.append(process)
        if "READY" in script:
            until(ready.exists, "the job is up")
        return identity, process

    def clean_up(self) -> None:
        sessions = {process.pid for process in self.processes}
        for _ in range(3):
            for entry in Path("/proc").iterdir():
                if not entry.name.isdigit() or int(entry.name) == os.getpid():
                    continue
                try:
                    found = procfs.read_stat(int(entry.name))
                    marked = self.mark.encode() in (entry / "environ").read_bytes()
                    if found and found.alive and (marked or found.session in sessions):
                        REAL_KILL(found.pid, signal.SIGKILL)
                except (OSError, ValueError):
                    pass
        for process in self.processes:
            process.wait(DEADLINE)


@pytest.fixture
def jobs(tmp_path: Path) -> Iterator[Jobs]:
    started = Jobs(tmp_path)
    yield started
    started.clean_up()


# --- Identity ---


def test_a_job_record_is_text_and_comes_back_whole() -> None:
    identity = ProcessIdentity(4711, "ab12", "n1.example.org", "b00t-1d", 99)
    assert identity.to_info() == {
        "pid": "4711",
        "uniq_id": "ab12",
        "host": "n1.example.org",
        "boot_id": "b00t-1d",
        "start_time": "99",
    }
    assert ProcessIdentity.from_info({**identity.to_info(), "queue": "3"}) == identity


@given(
    pid=st.integers(2, 2**22),
    uniq_id=st.text("0123456789abcdef", min_size=1),
    host=st.text("abcdefgh-.", min_size=1),
    boot_id=st.none() | st.text("0123456789abcdef-", min_size=1),
    start_time=st.none() | st.integers(0, 2**63),
)
def test_any_record_round_trips(
    pid: int, uniq_id: str, host: str, boot_id: str | None, start_time: int | None
) -> None:
    identity = ProcessIdentity(pid, uniq_id, host, boot_id, start_time)
    info = identity.to_info()
    assert all(isinstance(value, str) for value in info.values())
    assert ProcessIdentity.from_info(info) == identity


def test_records_of_older_versions_are_read() -> None:
    assert ProcessIdentity.from_info(
        {"pid": 4711, "uniq_id": "ab", "host": "n1"}
    ) == ProcessIdentity(4711, "ab", "n1", None, None)


@pytest.mark.parametrize(
    "change",
    [
        {"pid": "many"},
        {"pid": "1"},
        {"pid": 0},
        {"pid": "-5"},
        {"pid": None},
        {"pid": ""},
        {"pid": True},
        {"pid": 4.5},
        {"pid": "٣٤"},
        {"uniq_id": None},
        {"uniq_id": ""},
        {"host": None},
        {"host": []},
        {"start_time": "yesterday"},
    ],
)
def test_nonsense_in_a_record_is_an_error_that_names_it(change: dict[str, object]) -> None:
    info = {"pid": "4711", "uniq_id": "ab", "host": "n1", "start_time": "1", **change}
    with pytest.raises(RawError, match=next(iter(change))):
        ProcessIdentity.from_info(info)


def test_a_command_name_with_blanks_and_parentheses_does_not_confuse(jobs: Jobs) -> None:
    program = jobs.folder / "a) R (1 2"
    shutil.copy(shutil.which("sleep") or "/bin/sleep", program)
    identity, process = start_job([str(program), "60"], jobs.folder / "log", "ab")
    jobs.processes.append(process)
    found = procfs.read_stat(process.pid)
    assert found is not None
    assert (found.ppid, found.pgrp, found.session) == (os.getpid(), process.pid, process.pid)
    assert look(identity).liveness is Liveness.RUNNING


@given(
    comm=st.binary(max_size=15),
    state=st.sampled_from("RSDZTt"),
    numbers=st.lists(st.integers(0, 2**40), min_size=19, max_size=49),
)
def test_any_command_name_is_parsed(comm: bytes, state: str, numbers: list[int]) -> None:
    rest = " ".join(map(str, numbers)).encode()
    found = procfs.ProcessStat(7, b"7 (" + comm + b") " + state.encode() + b" " + rest + b"\n")
    assert (found.state, found.ppid, found.pgrp, found.session) == (state, *numbers[:3])
    assert (found.threads, found.start_time) == (numbers[16], numbers[18])


# --- Look ---


def test_a_running_job_is_seen_running_and_then_over(jobs: Jobs) -> None:
    identity, process = jobs.start("exec sleep 60")
    assert look(identity).liveness is Liveness.RUNNING
    process.kill()
    process.wait(DEADLINE)
    seen = look(identity)
    assert seen.liveness is Liveness.OVER
    assert str(identity.pid) in seen.note


def test_a_job_that_nobody_waited_for_is_over(jobs: Jobs) -> None:
    identity, _ = jobs.start("exit 3")
    until(lambda: look(identity).liveness is Liveness.OVER, "the zombie counts as over")
    found = procfs.read_stat(identity.pid)
    assert found is not None
    assert found.state == "Z"


def test_a_job_whose_main_thread_has_ended_runs_on(jobs: Jobs) -> None:
    # pthread_exit in the main thread: /proc shows 'Z' for the process, with threads.
    script = (
        "import ctypes, threading, time; "
        "threading.Thread(target=time.sleep, args=(60,)).start(); "
        "ctypes.CDLL(None).pthread_exit(None)"
    )
    identity, process = start_job([sys.executable, "-c", script], jobs.folder / "log", "ab")
    jobs.processes.append(process)
    until(
        lambda: (found := procfs.read_stat(process.pid)) and found.state == "Z",
        "the main thread has ended",
    )
    assert look(identity).liveness is Liveness.RUNNING
    assert end_job(identity) is None


FORGERIES = [
    ({"start_time": 1}, Liveness.OVER, "another process has its pid"),
    ({"boot_id": "before"}, Liveness.OVER, "rebooted"),
    ({"host": "elsewhere"}, Liveness.CANNOT_TELL, "elsewhere"),
    ({"start_time": None, "boot_id": None}, Liveness.OVER, "another job"),
    ({"start_time": None}, Liveness.OVER, "another job"),
    ({"boot_id": None}, Liveness.OVER, "another job"),
]


@pytest.mark.parametrize(("change", "liveness", "note"), FORGERIES)
def test_a_process_that_is_not_the_recorded_one_is_never_signalled(
    jobs: Jobs, change: dict[str, object], liveness: Liveness, note: str
) -> None:
    mark = jobs.folder / "signalled"
    identity, process = jobs.start(f"""
        trap 'touch {mark}' TERM INT HUP CONT
        : > $READY
        while :; do sleep 0.02; done
    """)
    forged = replace(identity, uniq_id="f" * 32, **change)  # type: ignore[arg-type]
    assert look(forged).liveness is liveness
    assert note in look(forged).note
    assert forged.host != identity.host or members(forged) == []
    message = end_job(forged, term_wait=0.1, kill_wait=0.1)
    assert message == (None if liveness is Liveness.OVER else look(forged).note)
    # The shell answers a signal of ours: so nothing was pending, and no other one came before.
    os.kill(process.pid, signal.SIGUSR1)
    process.wait(DEADLINE)
    assert process.returncode == -signal.SIGUSR1
    assert not mark.exists()


def test_an_old_record_is_proven_by_the_id_in_the_environment(jobs: Jobs) -> None:
    identity, _ = jobs.start("sleep 60 & : > $READY; wait")
    old = ProcessIdentity(identity.pid, identity.uniq_id, identity.host)
    assert look(old).liveness is Liveness.RUNNING
    assert members(old) == members(identity)
    assert end_job(old) is None
    assert look(old).liveness is Liveness.OVER
    assert end_job(old) is None


@pytest.mark.parametrize("ends", [True, False])
def test_a_process_that_ends_or_starts_another_program_carries_no_id_for_a_moment(
    jobs: Jobs, monkeypatch: pytest.MonkeyPatch, ends: bool
) -> None:
    identity, _ = jobs.start("sleep 60 & : > $READY; wait")
    record = replace(identity, boot_id=None, start_time=None)
    marker = raw_processes._marker

    def at_that_moment(pid: int) -> str | None:
        monkeypatch.setattr(raw_processes, "_marker", marker)
        if ends:
            os.killpg(pid, signal.SIGKILL)
            until(lambda: not runs(pid), "its end")
        return None

    monkeypatch.setattr(raw_processes, "_marker", at_that_moment)
    assert look(record).liveness is (Liveness.OVER if ends else Liveness.RUNNING)


def test_an_old_record_without_proof_cannot_be_told_nor_ended(jobs: Jobs) -> None:
    env = {key: value for key, value in os.environ.items() if key != JOB_VARIABLE}
    stranger = subprocess.Popen(["sleep", "60"], env=env, start_new_session=True)
    jobs.processes.append(stranger)
    record = ProcessIdentity(stranger.pid, "ab", os.uname().nodename)
    assert look(record).liveness is Liveness.CANNOT_TELL
    assert JOB_VARIABLE in look(record).note
    assert JOB_VARIABLE in (end_job(record) or "")
    assert members(record) == []
    assert stranger.poll() is None


def test_short_and_full_host_names_are_the_same_host(
    jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    identity, _ = jobs.start("exec sleep 60")
    for recorded, here, same in [
        ("n1", "N1.site.org", True),
        ("n1.site.org", "n1", True),
        ("n1.site.org", "n1.other.org", False),
        ("n1", "n2", False),
    ]:
        monkeypatch.setattr("socket.gethostname", lambda here=here: here)
        seen = look(replace(identity, host=recorded)).liveness
        assert seen is (Liveness.RUNNING if same else Liveness.CANNOT_TELL)


def test_what_proc_does_not_show_is_not_taken_for_over(
    jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    identity, _ = jobs.start("exec sleep 60")
    real = raw_processes.read_stat
    monkeypatch.setattr(
        raw_processes, "read_stat", lambda pid: None if pid == identity.pid else real(pid)
    )
    assert look(identity).liveness is Liveness.CANNOT_TELL  # As with hidepid.
    monkeypatch.setattr(raw_processes, "read_stat", lambda pid: None)
    assert look(identity).liveness is Liveness.CANNOT_TELL  # No /proc at all.

    def fail() -> str:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(raw_processes, "read_boot_id", fail)
    assert "Permission denied" in look(identity).note
    assert "Permission denied" in (end_job(identity) or "")


# --- Members ---


DAEMON = """
    import os, sys, time
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            open(sys.argv[1], 'w').write(f'{os.getpid()}\\n')
            time.sleep(60)
        os._exit(0)
    os.wait()
"""


def daemon_command(jobs: Jobs, pid_file: Path) -> str:
    path = jobs.folder / "daemon.py"
    path.write_text(textwrap.dedent(DAEMON))
    return f"{sys.executable} {path} {pid_file}"


def test_members_are_the_session_and_those_who_left_it(jobs: Jobs) -> None:
    left, cleaned = jobs.folder / "left", jobs.folder / "cleaned"
    identity, _ = jobs.start(f"""
        {daemon_command(jobs, left)}
        env -i sh -c 'echo $$ > {cleaned}; exec sleep 60' &
        : > $READY
        wait
    """)
    other, _ = jobs.start("exec sleep 60")
    expected = sorted([identity.pid, read_pid(left), read_pid(cleaned)])
    until(lambda: members(identity) == expected, "exactly the processes of the job")
    assert members(other) == [other.pid]


def test_once_the_first_process_is_gone_the_number_alone_proves_nothing(jobs: Jobs) -> None:
    cleaned, kept = jobs.folder / "cleaned", jobs.folder / "kept"
    identity, process = jobs.start(f"""
        env -i sh -c 'echo $$ > {cleaned}; exec sleep 60' &
        sh -c 'echo $$ > {kept}; exec sleep 60' &
        : > $READY
    """)
    both = sorted([read_pid(cleaned), read_pid(kept)])
    process.wait(DEADLINE)
    # One process with the job's id proves that the session is the job's ...
    assert members(identity) == both
    os.kill(read_pid(kept), signal.SIGKILL)
    until(lambda: not runs(read_pid(kept)), "killed")
    # ... without one it might be a daemon's that got the same number later.
    assert members(identity) == []
    assert end_job(identity) is None
    assert runs(read_pid(cleaned))


# --- End ---


def test_a_job_that_ends_on_term_can_clean_up(jobs: Jobs) -> None:
    mark = jobs.folder / "cleaned-up"
    identity, process = jobs.start(f"""
        trap 'touch {mark}; exit 7' TERM
        : > $READY
        while :; do sleep 0.02; done
    """)
    assert end_job(identity) is None
    assert process.wait(DEADLINE) == 7
    assert mark.exists()


def test_ending_a_job_twice_is_a_success(jobs: Jobs) -> None:
    identity, process = jobs.start("exec sleep 60")
    assert end_job(identity) is None
    assert end_job(identity) is None  # Still a zombie.
    process.wait(DEADLINE)
    assert end_job(identity) is None


def test_a_job_that_ignores_term_is_killed(jobs: Jobs) -> None:
    identity, process = jobs.start("trap '' TERM; sleep 60 & : > $READY; sleep 60")
    began = time.monotonic()
    assert end_job(identity, term_wait=0.2) is None
    assert 0.2 <= time.monotonic() - began < 5
    assert process.wait(DEADLINE) == -signal.SIGKILL
    assert members(identity) == []


def test_a_stopped_job_ends_without_being_killed(jobs: Jobs) -> None:
    identity, process = jobs.start("trap 'exit 7' TERM; sleep 60 & : > $READY; wait")
    os.killpg(identity.pid, signal.SIGSTOP)
    until(lambda: (found := procfs.read_stat(identity.pid)) and found.state == "T", "stopped")
    assert end_job(identity) is None
    assert process.wait(DEADLINE) == 7


def test_a_daemon_of_the_job_is_ended_too(jobs: Jobs) -> None:
    left = jobs.folder / "left"
    identity, _ = jobs.start(f"{daemon_command(jobs, left)}\n: > $READY\nsleep 60")
    assert runs(read_pid(left))
    assert end_job(identity) is None
    assert not runs(read_pid(left))


def test_what_a_dead_first_process_left_behind_is_ended(jobs: Jobs) -> None:
    left = jobs.folder / "left"
    identity, process = jobs.start(f"{daemon_command(jobs, left)}\nsleep 60 & : > $READY")
    process.wait(DEADLINE)
    assert look(identity).liveness is Liveness.OVER
    assert end_job(identity) is None
    assert not runs(read_pid(left))


def test_a_first_process_that_is_a_zombie_does_not_hide_its_children(jobs: Jobs) -> None:
    child = jobs.folder / "child"
    identity, _ = jobs.start(f"env -i sh -c 'echo $$ > {child}; exec sleep 60' & : > $READY")
    until(lambda: not runs(identity.pid), "the first process is a zombie")
    assert members(identity) == [read_pid(child)]
    assert end_job(identity) is None
    assert not runs(read_pid(child))


def test_a_cleaned_child_that_outlives_the_first_process_is_killed(jobs: Jobs) -> None:
    child = jobs.folder / "child"
    identity, process = jobs.start(f"""
        env -i sh -c 'trap "" TERM; echo $$ > {child}; while :; do sleep 0.02; done' &
        : > $READY
        wait
    """)
    read_pid(child)
    # The first process must be gone, not a zombie, while the child goes on.
    waiter = threading.Thread(target=process.wait)
    waiter.start()
    assert end_job(identity, term_wait=0.3) is None
    waiter.join(DEADLINE)
    assert not runs(read_pid(child))


def test_a_process_started_in_answer_to_term_is_ended(jobs: Jobs) -> None:
    child = jobs.folder / "child"
    identity, _ = jobs.start(f"""
        trap "sh -c 'echo \\$\\$ > {child}; exec sleep 60' & exit 0" TERM
        : > $READY
        while :; do sleep 0.02; done
    """)
    assert end_job(identity) is None
    assert members(identity) == []
    if child.exists():
        assert not runs(read_pid(child))


def test_processes_that_may_not_be_signalled_are_reported(
    jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    identity, _ = jobs.start("exec sleep 60")

    def deny(pid: int, signum: int) -> None:
        if signum != 0:
            raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "kill", deny)
    monkeypatch.setattr(os, "killpg", deny)
    slept: list[float] = []
    monkeypatch.setattr(raw_processes, "time", SimpleNamespace(sleep=slept.append, monotonic=float))
    assert end_job(identity) == (
        f"You may not signal these processes of the job: {identity.pid}. Are they another user's?"
    )
    assert sum(slept) < 3, "waiting would not help"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become another user")
def test_another_users_job_is_denied(jobs: Jobs) -> None:
    identity, _ = jobs.start("exec sleep 60")
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Newer Pythons warn about fork with threads.
        child = os.fork()
    if child == 0:
        try:
            os.setuid(65534)
            os.write(writing, str(end_job(identity)).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as answer:
        assert "You may not signal" in answer.read()
    os.waitpid(child, 0)
    assert runs(identity.pid)


def test_processes_that_survive_are_listed_on_a_clock_that_tests_move(
    jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    identity, _ = jobs.start("exec sleep 60")
    monkeypatch.setattr(os, "kill", lambda pid, signum: None)  # As for one in state D.
    monkeypatch.setattr(os, "killpg", lambda pid, signum: None)
    now = [0.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds

    clock = SimpleNamespace(sleep=sleep, monotonic=lambda: now[0])
    monkeypatch.setattr(raw_processes, "time", clock)
    assert end_job(identity, term_wait=2, kill_wait=3) == (
        f"These processes of the job did not end even after SIGKILL: {identity.pid}."
    )
    assert now[0] == pytest.approx(5.0)


@pytest.mark.parametrize("alone", [False, True])
def test_a_cancel_from_inside_the_job_spares_itself_and_ends_the_rest(
    jobs: Jobs, alone: bool
) -> None:
    record, answer, other = (jobs.folder / name for name in ("record", "answer", "other"))
    cancel = jobs.folder / "cancel.py"
    cancel.write_text(
        textwrap.dedent(f"""
        import json, sys
        sys.path.insert(0, {str(SOURCES)!r})
        from pavilion.schedulers.plugins.raw.processes import ProcessIdentity, end_job
        identity = ProcessIdentity.from_info(json.load(open({str(record)!r})))
        open({str(answer)!r}, 'w').write(str(end_job(identity)))
    """)
    )
    identity, process = jobs.start(f"""
        {"" if alone else f"sh -c 'echo $$ > {other}; exec sleep 60' &"}
        while ! test -e {record}; do sleep 0.02; done
        {sys.executable} {cancel}
        exit 9
    """)
    if not alone:
        read_pid(other)
    temporary = record.with_suffix(".new")
    temporary.write_text(json.dumps(identity.to_info()))
    temporary.rename(record)
    assert process.wait(DEADLINE) == 9, (jobs.folder / "log").read_text()
    assert answer.read_text().startswith("This command runs inside the job; its own process")
    assert str(identity.pid) in answer.read_text()
    assert alone or not runs(read_pid(other))


# --- Start ---


def test_a_job_has_its_own_session_no_input_and_its_log_is_appended(jobs: Jobs) -> None:
    (jobs.folder / "log").write_text("before\n")
    identity, process = jobs.start(f"cat; pwd; echo ${JOB_VARIABLE}; echo problem >&2")
    assert process.wait(DEADLINE) == 0
    text = (jobs.folder / "log").read_text()
    assert text == f"before\n{Path.cwd()}\n{identity.uniq_id}\nproblem\n"
    given, process = start_job(["sleep", "60"], jobs.folder / "log", "abc")
    jobs.processes.append(process)
    assert given.uniq_id == "abc"
    assert os.getsid(process.pid) == os.getpgid(process.pid) == process.pid
    assert given.boot_id == procfs.read_boot_id()
    assert given.start_time == procfs.process_start_time(process.pid)


def test_a_job_inherits_no_ignored_sigpipe_and_no_handles(jobs: Jobs) -> None:
    reading, writing = os.pipe()
    os.set_inheritable(writing, True)
    try:
        # Not a shell: that would open the script itself.
        _, process = start_job(["sleep", "60"], jobs.folder / "log", "ab")
        jobs.processes.append(process)
        # The loader opens libraries for a moment; a handle of ours would stay.
        until(
            lambda: sorted(fd.name for fd in Path(f"/proc/{process.pid}/fd").iterdir())
            == ["0", "1", "2"],
            "only the standard handles are open",
        )
        status = Path(f"/proc/{process.pid}/status").read_text()
        ignored = int(status.split("SigIgn:")[1].split()[0], 16)
        assert not ignored & (1 << (signal.SIGPIPE - 1))
    finally:
        os.close(reading)
        os.close(writing)


def make(path: Path, text: str, mode: int) -> str:
    path.write_text(text)
    path.chmod(mode)
    return str(path)


@pytest.mark.parametrize(
    ("problem", "message"),
    [
        ("no log folder", "nowhere, does not exist"),
        ("log is a folder", "cannot write its log"),
        ("no such command", "No such file"),
        ("not executable", "not executable"),
        ("no interpreter", "interpreter in its first line is not"),
        ("no script", "#!"),
        ("nul", "null byte"),
    ],
)
def test_a_job_that_cannot_be_started_says_why(tmp_path: Path, problem: str, message: str) -> None:
    log, argv = tmp_path / "log", ["sleep", "0"]
    if problem == "no log folder":
        log = tmp_path / "nowhere" / "log"
    elif problem == "log is a folder":
        log = tmp_path
    elif problem == "no such command":
        argv = [str(tmp_path / "missing")]
    elif problem == "not executable":
        argv = [make(tmp_path / "plain", "#!/bin/sh\n", 0o644)]
    elif problem == "no interpreter":
        argv = [make(tmp_path / "odd", "#!/no/such/shell\n", 0o755)]
    elif problem == "no script":
        argv = [make(tmp_path / "odd", "echo hello\n", 0o755)]
    else:
        argv = ["sleep", "0\0"]
    with pytest.raises(RawError, match=message):
        start_job(argv, log, "ab")


def test_a_full_process_table_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object, **kwargs: object) -> None:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(starting, "JobProcess", fail)
    with pytest.raises(RawError, match="ulimit -u"):
        start_job(["sleep", "0"], tmp_path / "log", "ab")


def test_fifty_starts_leave_no_handle_open(tmp_path: Path) -> None:
    reaper = Reaper()

    def open_fds() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    before = open_fds()
    started = []
    for _ in range(50):
        identity, process = start_job(["true"], tmp_path / "log", "ab")
        reaper.add(process)
        started.append(identity.pid)
    with pytest.raises(RawError):
        start_job([str(tmp_path / "missing")], tmp_path / "log", "ab")
    assert open_fds() == before
    until(lambda: all(reaper.returncode(pid) == 0 for pid in started), "all reaped")


# --- Reap ---


def test_a_job_is_reaped_though_nobody_asks(jobs: Jobs) -> None:
    reaper = Reaper()
    pids = []
    for script in ("exit 3", "kill -KILL $$", "exit 0"):
        identity, process = jobs.start(script)
        reaper.add(process)
        pids.append(identity.pid)
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids), "no zombie is left")
    assert [reaper.returncode(pid) for pid in pids] == [3, -signal.SIGKILL, 0]
    until(
        lambda: not any(thread.name == "raw-job-reaper" for thread in threading.enumerate()),
        "the thread ends with the last job",
    )
    identity, process = jobs.start("exit 4")
    reaper.add(process)  # And there is a new one for the next.
    until(lambda: not Path(f"/proc/{identity.pid}").exists(), "no zombie is left")
    assert reaper.returncode(identity.pid) == 4


def test_the_code_of_a_running_or_unknown_job_is_not_known(jobs: Jobs) -> None:
    reaper = Reaper()
    identity, process = jobs.start("exec sleep 60")
    reaper.add(process)
    assert reaper.returncode(identity.pid) is None
    assert reaper.returncode(os.getpid()) is None
    process.kill()
    until(lambda: reaper.returncode(identity.pid) == -signal.SIGKILL, "the code is known")


def test_without_threads_a_job_is_reaped_on_demand(
    jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", fail)
    reaper = Reaper()
    identity, process = jobs.start("exit 3")
    reaper.add(process)
    until(lambda: reaper.returncode(identity.pid) == 3, "reaped when asked")


def run_python(script: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a program that uses the package, with all warnings shown."""
    path = folder / "program.py"
    path.write_text(
        "import os, sys, time, threading\n"
        f"sys.path.insert(0, {str(SOURCES)!r})\n"
        "from pathlib import Path\n"
        "from pavilion.schedulers.plugins.raw.starting import *\n" + textwrap.dedent(script)
    )
    return subprocess.run(
        [sys.executable, "-W", "always", str(path)],
        cwd=folder,
        text=True,
        capture_output=True,
        timeout=DEADLINE,
        check=False,
    )


@pytest.mark.parametrize("reaped", [True, False])
def test_jobs_outlive_their_parent_without_a_warning(jobs: Jobs, reaped: bool) -> None:
    done = run_python(
        f"""
        reaper = Reaper()
        identity, process = start_job(['sleep', '60'], Path('log'), 'ab')
        if {reaped}:
            reaper.add(process)
        print(identity.pid)
    """,
        jobs.folder,
    )
    pid = int(done.stdout)
    try:
        assert (done.returncode, done.stderr) == (0, "")
        assert runs(pid)
    finally:
        os.kill(pid, signal.SIGKILL)


def test_a_dropped_job_gives_no_warning(jobs: Jobs) -> None:
    _, process = start_job(["sleep", "60"], jobs.folder / "log", "ab")
    pid = process.pid
    del process
    gc.collect()  # Warnings are errors in these tests.
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def test_a_forked_child_does_not_wait_for_its_parents_jobs(tmp_path: Path) -> None:
    done = run_python(
        """
        import warnings
        reaper = Reaper()
        identity, process = start_job(['sh', '-c', 'sleep 0.5; exit 3'], Path('log'), 'ab')
        reaper.add(process)
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')  # Newer Pythons warn about fork with threads.
            child = os.fork()
        if child == 0:
            known = reaper.returncode(identity.pid)
            own, process = start_job(['sh', '-c', 'exit 5'], Path('log'), 'ab')
            reaper.add(process)
            deadline = time.monotonic() + 10
            while Path(f'/proc/{own.pid}').exists() and time.monotonic() < deadline:
                time.sleep(0.01)
            os._exit(0 if (known, reaper.returncode(own.pid)) == (None, 5) else 1)
        print(os.waitpid(child, 0)[1])
        while (code := reaper.returncode(identity.pid)) is None:
            time.sleep(0.01)
        print(code)
    """,
        tmp_path,
    )
    assert (done.stdout.split(), done.stderr) == (["0", "3"], "")


def test_many_threads_may_start_and_ask(tmp_path: Path) -> None:
    reaper = Reaper()
    codes: dict[int, int | None] = {}

    def work(code: int) -> None:
        identity, process = start_job(["sh", "-c", f"exit {code}"], tmp_path / "log", "ab")
        reaper.add(process)
        deadline = time.monotonic() + DEADLINE
        while (seen := reaper.returncode(identity.pid)) is None and time.monotonic() < deadline:
            time.sleep(0.005)
        codes[code] = seen

    threads = [threading.Thread(target=work, args=(code,)) for code in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE)
    assert codes == {code: code for code in range(20)}
