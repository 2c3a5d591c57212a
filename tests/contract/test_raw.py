"""The raw scheduler through the plugin API, with real processes (the contract; issue 2, item 7)."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fakes import FakeHost, FakeTest

from pavilion.jobs import JobInfo
from pavilion.schedulers import Raw
from pavilion.schedulers.finding import registry
from pavilion.schedulers.lifecycle.identity import load_identity
from pavilion.schedulers.plugins.raw import processes as raw_processes
from pavilion.schedulers.talk.procfs import read_stat
from pavilion.status_file import STATES
from polling import until

OWN = {"share_allocation": "false"}


class QuickRaw(Raw):
    """Raw, with less patience."""

    JOB_STATUS_TIMEOUT = 0.0
    JOB_END_GRACE = 0.3
    TERM_WAIT = 0.3


@pytest.fixture
def host(tmp_path: Path) -> FakeHost:
    return FakeHost(tmp_path)


@pytest.fixture
def plugin(host: FakeHost) -> Iterator[QuickRaw]:
    raw = QuickRaw()
    raw.activate()
    yield raw
    for path in (host.pav_cfg.working_dir / "jobs").iterdir():
        if (path / "info.json").exists():
            assert raw.cancel(JobInfo(json.loads((path / "info.json").read_text()))) is None
    registry.reset()


def start(plugin: Raw, host: FakeHost, *sections: dict[str, Any]) -> list[FakeTest]:
    tests = [host.test(section, scheduler="raw") for section in sections]
    assert plugin.schedule_tests(host.pav_cfg, tests) == []
    return tests


def info_of(test: FakeTest) -> dict[str, str]:
    assert test.job is not None
    found = load_identity(test.job)
    assert found is not None
    return dict(found)


def state_of(plugin: Raw, host: FakeHost, test: FakeTest) -> str:
    return plugin.job_status(host.pav_cfg, test).state


def runs(pid: int | str) -> bool:
    found = read_stat(int(pid))
    return found is not None and found.alive


# ------------------------------------------------------------------------------------ the lifecycle


def test_a_job_runs_its_test_and_says_so(plugin: QuickRaw, host: FakeHost) -> None:
    gate = host.folder / "gate"
    os.mkfifo(gate)
    host.pav(f'echo "ran $*" > {host.folder}/ran; read line < {gate}')
    test = start(plugin, host, {})[0]
    until(lambda: (host.folder / "ran").exists(), "the test's start")
    status = plugin.job_status(host.pav_cfg, test)
    assert status.state == STATES.SCHED_STARTUP
    assert info_of(test)["pid"] in status.note
    assert not test.complete

    # What the runner does at the end.
    test.status.set(STATES.COMPLETE, "PASS")
    test.set_run_complete()
    gate.write_text("go on\n")
    until(lambda: not runs(info_of(test)["pid"]), "the job's end")
    assert plugin.job_status(host.pav_cfg, test).note == "PASS"
    assert (host.folder / "ran").read_text() == "ran _run s1.1\n"
    assert test.fake_ended == 1


def test_what_a_job_is_known_by(plugin: QuickRaw, host: FakeHost) -> None:
    host.pav("sleep 60")
    info = info_of(start(plugin, host, {})[0])
    assert {"pid", "uniq_id", "host"} <= set(info)
    assert all(isinstance(value, str) for value in info.values())
    assert info["host"] == socket.gethostname()
    pid = int(info["pid"])
    # A session of its own, so that nothing that ends ours ends it.
    assert os.getsid(pid) == os.getpgid(pid) == pid
    assert plugin.cancel(JobInfo(info)) is None


def test_two_jobs_are_never_known_by_the_same(plugin: QuickRaw, host: FakeHost) -> None:
    host.pav("true")
    tests = start(plugin, host, OWN, OWN, OWN)
    assert len({info_of(test)["uniq_id"] for test in tests}) == 3


def test_what_happens_before_the_kickoff_log_is_in_the_sched_log(
    plugin: QuickRaw, host: FakeHost
) -> None:
    # An interpreter that writes before the script can say where to.
    test = host.test({}, scheduler="raw")
    test.shebang = "#!/bin/cat"
    assert plugin.schedule_tests(host.pav_cfg, [test]) == []
    job = test.job
    assert job is not None
    until(lambda: state_of(plugin, host, test) == STATES.SCHED_ERROR, "the error")
    assert job.sched_log.read_text() == job.kickoff_path.read_text()
    assert "pav _run s1.1" in test.status.current().note
    assert not job.kickoff_log.exists()


def test_a_script_that_cannot_be_started_is_an_error_of_its_tests(
    plugin: QuickRaw, host: FakeHost
) -> None:
    test = host.test({}, scheduler="raw")
    test.shebang = "#!/no/such/interpreter"
    errors = plugin.schedule_tests(host.pav_cfg, [test])
    assert [error.tests for error in errors] == [[test]]
    assert "interpreter" in errors[0].pformat()
    assert test.complete


@pytest.mark.parametrize("limited", [False, True])
def test_a_job_that_dies_before_its_test_starts_is_an_error_after_a_while(
    plugin: QuickRaw, host: FakeHost, limited: bool
) -> None:
    host.pav("for i in 1 2 3 4 5 6 7; do echo line $i; done; exit 7")
    plugin.JOB_END_GRACE = 1.0  # type: ignore[misc]
    test = start(plugin, host, {"raw": {"concurrent": "1" if limited else None}})[0]
    until(lambda: not runs(info_of(test)["pid"]), "the job's end")
    first = plugin.job_status(host.pav_cfg, test)
    # Its record may still be on its way.
    assert first.state == STATES.SCHED_STARTUP
    assert "waiting 1 seconds" in first.note
    assert not test.complete
    until(lambda: state_of(plugin, host, test) == STATES.SCHED_ERROR, "the error")
    note = test.status.current().note
    assert "Its exit code was 7" in note
    assert "line 3\nline 4\nline 5\nline 6\nline 7" in note
    assert "line 2" not in note
    assert test.complete
    assert test.fake_states == [STATES.SCHEDULED, STATES.SCHED_ERROR]


def test_a_job_that_is_killed_says_by_what(plugin: QuickRaw, host: FakeHost) -> None:
    host.pav("sleep 60")
    test = start(plugin, host, {})[0]
    os.killpg(int(info_of(test)["pid"]), signal.SIGKILL)
    until(lambda: state_of(plugin, host, test) == STATES.SCHED_ERROR, "the error")
    assert "killed by signal 9" in test.status.current().note


def test_a_lost_job_ends_all_of_its_tests(plugin: QuickRaw, host: FakeHost) -> None:
    host.pav("exit 1")
    tests = start(plugin, host, {}, {}, {})
    assert len({info_of(test)["pid"] for test in tests}) == 1
    for test in tests:
        until(lambda test=test: state_of(plugin, host, test) == STATES.SCHED_ERROR, "the error")
    assert all(test.complete for test in tests)


# ------------------------------------------------------------------------------ what a job leaves


def child_of(pid: int) -> int:
    """The only child of a process."""
    pids = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    assert len(pids) == 1
    return int(pids[0])


def kill_guarded(pid: int) -> None:
    """Kill a job's first process and the other one that would end what it leaves."""
    os.kill(pid, signal.SIGSTOP)
    os.kill(child_of(pid), signal.SIGKILL)
    os.kill(pid, signal.SIGKILL)


def test_a_job_is_not_over_while_processes_of_it_go_on(plugin: QuickRaw, host: FakeHost) -> None:
    host.pav(f"(setsid sh -c 'echo $$ > {host.folder}/left; exec sleep 60' &)\nexec sleep 60")
    test = start(plugin, host, {})[0]
    info = info_of(test)
    left = until(
        lambda: (host.folder / "left").exists() and (host.folder / "left").read_text().strip(),
        "the test's start",
    )
    kill_guarded(int(info["pid"]))
    until(lambda: not runs(info["pid"]), "the end of the first process")
    status = until(
        lambda: (found := plugin.job_status(host.pav_cfg, test)).note.count("signal 9") and found,
        "how it ended",
    )
    assert status.state == STATES.SCHED_STARTUP
    assert f"The process {info['pid']} has ended. It was killed by signal 9. These of its " in (
        status.note
    )
    assert left in status.note.split("still running: ")[1].rstrip(".").replace(".", ",").split(", ")
    assert not test.complete
    # Any process may cancel it.
    assert Raw().cancel(JobInfo(info)) is None
    assert not runs(left)
    until(lambda: state_of(plugin, host, test) == STATES.SCHED_ERROR, "the error")
    assert "has ended" in test.status.current().note


def test_processes_that_took_the_jobs_id_off_are_found_by_its_session(
    plugin: QuickRaw, host: FakeHost
) -> None:
    # No guard: this is the job's first process, and its session.
    test = host.test({}, scheduler="raw")
    test.shebang = f"#!{host.folder}/shell"
    shell = host.folder / "shell"
    shell.write_text(
        f"#!/bin/bash\nenv -i /bin/sleep 60 &\necho $! > {host.folder}/left\n"
        "/bin/sleep 60 & kill -9 $$\n"
    )
    shell.chmod(0o755)
    assert plugin.schedule_tests(host.pav_cfg, [test]) == []
    until(lambda: not runs(info_of(test)["pid"]), "the end of the first process")
    left = (host.folder / "left").read_text().strip()
    assert left in plugin.job_status(host.pav_cfg, test).note
    assert plugin.cancel(JobInfo(info_of(test))) is None
    assert not runs(left)


def test_one_look_at_all_processes_serves_all_jobs_of_a_poll(
    plugin: QuickRaw, host: FakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = []

    class Counted(raw_processes.Snapshot):
        def __init__(self) -> None:
            looks.append(time.monotonic())
            super().__init__()

    monkeypatch.setattr(raw_processes, "Snapshot", Counted)
    plugin.JOB_STATUS_TIMEOUT = 3600.0  # type: ignore[misc]
    plugin.JOB_END_GRACE = 3600.0  # type: ignore[misc]
    gate = host.folder / "gate"
    os.mkfifo(gate)
    host.pav(f"test $2 != s1.5 || read line < {gate}")
    tests = start(plugin, host, *[OWN] * 5)
    until(lambda: not any(runs(info_of(test)["pid"]) for test in tests[:4]), "four ends")
    assert plugin.job_status(host.pav_cfg, tests[4]).state == STATES.SCHED_STARTUP
    assert looks == []
    notes = [plugin.job_status(host.pav_cfg, test).note for test in tests]
    assert [note.count("The raw job has ended") for note in notes] == [1, 1, 1, 1, 0]
    assert len(looks) == 1
    # One that ended since is not judged by an older look.
    gate.write_text("go on\n")
    until(lambda: not runs(info_of(tests[4])["pid"]), "its end")
    plugin._job_statuses.clear()
    notes = [plugin.job_status(host.pav_cfg, test).note for test in tests]
    assert [note.count("The raw job has ended") for note in notes] == [1, 1, 1, 1, 1]
    assert len(looks) == 2


# --------------------------------------------------------------------------------------- cancelling


def test_cancel_ends_all_processes_of_a_job(plugin: QuickRaw, host: FakeHost) -> None:
    # One ignores TERM, and one has left the session.
    host.pav(
        f'(trap "" TERM; echo $BASHPID > {host.folder}/deaf; while :; do sleep 0.1; done) &\n'
        f"setsid sh -c 'echo $$ > {host.folder}/gone; exec sleep 60' &\nwait"
    )
    test = start(plugin, host, {})[0]
    pids = [
        until(
            lambda name=name: (host.folder / name).exists()
            and (host.folder / name).read_text().strip(),
            name,
        )
        for name in ("deaf", "gone")
    ]
    assert all(runs(pid) for pid in pids)
    assert plugin.cancel(JobInfo(info_of(test))) is None
    assert not any(runs(pid) for pid in [*pids, info_of(test)["pid"]])
    # Once more is a success too.
    assert plugin.cancel(JobInfo(info_of(test))) is None


def test_cancelling_what_is_over_is_a_success(plugin: QuickRaw, host: FakeHost) -> None:
    host.pav("true")
    test = start(plugin, host, {})[0]
    until(lambda: not runs(info_of(test)["pid"]), "the job's end")
    assert plugin.cancel(JobInfo(info_of(test))) is None


def test_a_job_of_another_host_can_be_neither_seen_nor_cancelled(
    plugin: QuickRaw, host: FakeHost
) -> None:
    host.pav("sleep 60")
    test = start(plugin, host, {})[0]
    assert test.job is not None
    real = info_of(test)
    test.job.info = JobInfo(real, host="elsewhere.example.org")
    status = plugin.job_status(host.pav_cfg, test)
    assert status.state == STATES.SCHED_WARNING
    assert "elsewhere.example.org" in status.note
    assert "Cannot tell" in status.note
    message = plugin.cancel(test.job.info)
    assert message is not None
    assert "elsewhere.example.org" in message
    assert runs(real["pid"])
    assert not test.complete
    test.job.info = JobInfo(real)


@pytest.fixture
def bystander() -> Iterator[subprocess.Popen[bytes]]:
    """Someone else's process, with a session of its own."""
    process = subprocess.Popen(["sleep", "60"], start_new_session=True)
    yield process
    process.kill()
    process.wait()


@pytest.mark.parametrize(
    ("forge", "note"),
    [
        ({"start_time": "1"}, "another process has its pid"),
        ({"boot_id": "another boot"}, "was rebooted"),
        ({"start_time": "", "boot_id": ""}, "Cannot tell"),
    ],
)
def test_a_process_that_is_not_the_jobs_is_never_signalled(
    plugin: QuickRaw,
    host: FakeHost,
    bystander: subprocess.Popen[bytes],
    forge: dict[str, str],
    note: str,
) -> None:
    host.pav("true")
    test = start(plugin, host, {})[0]
    assert test.job is not None
    until(lambda: not runs(info_of(test)["pid"]), "the job's end")
    # The pid is used again, by someone else.
    real = test.job.info
    test.job.info = JobInfo(real, pid=str(bystander.pid), **forge)
    plugin.cancel(test.job.info)
    assert bystander.poll() is None
    assert runs(bystander.pid)
    assert note in plugin.job_status(host.pav_cfg, test).note
    test.job.info = real


@pytest.mark.parametrize(
    "info",
    [
        {"pid": "0"},
        {"pid": "-1"},
        {"pid": "1"},
        {"pid": "x"},
        {"pid": ""},
        {"uniq_id": ""},
        {"host": ""},
    ],
)
def test_a_damaged_record_is_a_warning_and_a_message(
    plugin: QuickRaw, host: FakeHost, info: dict[str, str]
) -> None:
    host.pav("true")
    test = start(plugin, host, {})[0]
    assert test.job is not None
    real = test.job.info
    test.job.info = JobInfo(real, **info)
    status = plugin.job_status(host.pav_cfg, test)
    assert status.state == STATES.SCHED_WARNING
    assert "damaged" in status.note
    assert "damaged" in str(plugin.cancel(test.job.info))
    assert not test.complete
    test.job.info = real


def test_records_of_pavilion_2_6_are_understood(plugin: QuickRaw, host: FakeHost) -> None:
    host.pav("sleep 60")
    test = start(plugin, host, {})[0]
    assert test.job is not None
    old = {key: info_of(test)[key] for key in ("pid", "uniq_id", "host")}
    test.job.info = JobInfo(old)
    until(lambda: state_of(plugin, host, test) == STATES.SCHED_STARTUP, "the old job's state")
    assert plugin.cancel(JobInfo(old)) is None
    assert not runs(old["pid"])


# ------------------------------------------------------------------------------------- the limit

LOGGED = 'echo "start $2" >> {log}; sleep {pause}; echo "end $2" >> {log}'


def logged(host: FakeHost, pause: float) -> Path:
    log = host.folder / "log"
    host.pav(LOGGED.format(log=log, pause=pause))
    return log


def lines(log: Path) -> list[list[str]]:
    return [line.split() for line in log.read_text().splitlines()] if log.exists() else []


def test_a_waiting_job_says_what_it_waits_for(plugin: QuickRaw, host: FakeHost) -> None:
    host.pav(f'echo "start $2" >> {host.folder}/log; sleep 60')
    one = dict(OWN, raw={"concurrent": "1"})
    tests = start(plugin, host, one, one, one)
    until(lambda: lines(host.folder / "log"), "the first job's start")
    until(lambda: state_of(plugin, host, tests[0]) == STATES.SCHED_STARTUP, "its state")
    for test, place in ((tests[1], "first in line"), (tests[2], "1 job before it")):
        status = plugin.job_status(host.pav_cfg, test)
        assert status.state == STATES.SCHEDULED
        assert place in status.note
        assert "limit 1" in status.note
        assert info_of(tests[0])["pid"] in status.note
    # One that waits can be cancelled, and the others go on.
    assert plugin.cancel(JobInfo(info_of(tests[1]))) is None
    assert plugin.cancel(JobInfo(info_of(tests[0]))) is None
    until(lambda: ["start", "s1.3"] in lines(host.folder / "log"), "the third job's start")
    assert ["start", "s1.2"] not in lines(host.folder / "log")
    assert plugin.cancel(JobInfo(info_of(tests[2]))) is None


def test_tests_with_other_limits_do_not_share_a_job(plugin: QuickRaw, host: FakeHost) -> None:
    host.pav("true")
    tests = start(plugin, host, {"raw": {"concurrent": "1"}}, {}, {"raw": {"concurrent": "1"}}, {})
    assert tests[0].job is not None
    names = [test.job.name for test in tests]  # type: ignore[union-attr]
    assert names[0] == names[2]
    assert names[1] == names[3]
    assert names[0] != names[1]


class LentScript(QuickRaw):
    """A process has each kickoff script open for writing when it is started, and for a while."""

    def _kickoff(self, pav_cfg: Any, job: Any, *args: Any, **kwargs: Any) -> JobInfo:
        script = os.fspath(job.kickoff_path)
        with subprocess.Popen(
            ["sh", "-c", 'exec 3>>"$1"; echo open; sleep 0.3', "sh", script], stdout=subprocess.PIPE
        ) as process:
            assert process.stdout is not None and process.stdout.readline() == b"open\n"
            return super()._kickoff(pav_cfg, job, *args, **kwargs)


@pytest.mark.parametrize("limit", [{}, {"raw": {"concurrent": "1"}}])
def test_a_script_that_another_thread_of_the_host_has_lent_to_a_new_process(
    plugin: QuickRaw, host: FakeHost, limit: dict[str, Any]
) -> None:
    """A fork while the script is written keeps it 'busy' (ETXTBSY) until that process goes on."""
    host.pav(f"echo ran >> {host.folder}/log")
    lent = LentScript()
    start(lent, host, limit)
    until(lambda: (host.folder / "log").exists(), "the test's start")


def test_without_a_limit_jobs_run_at_the_same_time(plugin: QuickRaw, host: FakeHost) -> None:
    host.pav(f'echo "start $2" >> {host.folder}/log; sleep 60')
    tests = start(plugin, host, OWN, OWN, OWN, dict(OWN, raw={"concurrent": "1"}))
    until(lambda: len(lines(host.folder / "log")) == 4, "all starts")
    for test in tests:
        assert plugin.cancel(JobInfo(info_of(test))) is None


KICK_OFF = """
import json, sys
sys.path.insert(0, {here!r})
from pathlib import Path
from fakes import FakeHost, FakePavConfig, FakeTest
from pavilion.schedulers import Raw
from pavilion.schedulers.lifecycle.identity import load_identity
root, first = Path({folder!r}), int(sys.argv[1])
cfg = FakePavConfig(root / "pav_root", root / "working_dir")
raw = Raw()
raw.activate()
print("ready", flush=True)
sys.stdin.readline()
for number in range(first, first + {count}):
    path = root / "tests" / str(number)
    path.mkdir(parents=True)
    test = FakeTest(path, number, {{"share_allocation": "false", "raw": {{"concurrent": "1"}}}})
    errors = raw.schedule_tests(cfg, [test])
    assert not errors, errors[0].pformat()
    print(json.dumps([str(test.id), load_identity(test.job)]), flush=True)
"""


def test_one_after_the_other_in_kickoff_order_over_two_processes(
    plugin: QuickRaw, host: FakeHost
) -> None:
    log = logged(host, 0.05)
    count = 5
    code = KICK_OFF.format(here=str(Path(__file__).parent), folder=str(host.folder), count=count)
    starters = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(first)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for first in (1, 101)
    ]
    kicked_off: list[tuple[int, str]] = []
    for starter in starters:
        assert starter.stdout is not None
        assert starter.stdout.readline() == "ready\n"
    for starter in starters:
        assert starter.stdin is not None
        starter.stdin.write("go\n")
        starter.stdin.flush()
    for starter in starters:
        # The jobs go on when whoever started them is gone.
        out, _ = starter.communicate(timeout=300)
        assert starter.returncode == 0
        for line in out.splitlines():
            test_id, info = json.loads(line)
            kicked_off.append((int(info["ticket"]), test_id))
    until(lambda: len(lines(log)) == 4 * count, "the end of all jobs", 60)
    order = [test_id for _, test_id in sorted(kicked_off)]
    assert lines(log) == [[word, test_id] for test_id in order for word in ("start", "end")]


# ---------------------------------------------------------------------------- nothing is left over


def children(state: str | None = None) -> list[int]:
    """The pids of our children; of those in one state."""
    found = []
    for path in Path("/proc").iterdir():
        if path.name.isdigit():
            stat = read_stat(int(path.name))
            if stat is not None and stat.ppid == os.getpid() and state in (None, stat.state):
                found.append(stat.pid)
    return found


def test_fifty_jobs_leave_no_zombies_and_no_open_files(plugin: QuickRaw, host: FakeHost) -> None:
    host.pav("true")
    start(plugin, host, OWN)
    before = sorted(os.listdir("/proc/self/fd"))  # noqa: PTH208
    family = set(children())
    tests = start(
        plugin,
        host,
        *[dict(OWN, raw={"concurrent": "8" if number % 5 == 0 else None}) for number in range(50)],
    )
    assert sorted(os.listdir("/proc/self/fd")) == before  # noqa: PTH208
    assert len({info_of(test)["pid"] for test in tests}) == 50
    # Nobody asks about them, and they are waited for all the same.
    until(lambda: not set(children()) - family, "the end of all jobs, zombies included", 60)
    assert children("Z") == []
    assert sorted(os.listdir("/proc/self/fd")) == before  # noqa: PTH208
    until(
        lambda: not [thread for thread in threading.enumerate() if thread.name == "raw-job-reaper"],
        "the end of the waiting thread",
    )


def test_status_of_many_jobs_is_quick(plugin: QuickRaw, host: FakeHost) -> None:
    host.pav("true")
    tests = start(plugin, host, *[OWN] * 10)
    began = time.monotonic()
    for test in tests:
        until(lambda test=test: state_of(plugin, host, test) == STATES.SCHED_ERROR, "its end")
    assert time.monotonic() - began < 15
    assert all(test.complete for test in tests)


# -------------------------------------------------------------------------------------- the rest


def test_what_raw_is(plugin: QuickRaw) -> None:
    assert (plugin.name, plugin.priority, plugin.IS_CONCURRENT) == ("raw", 0, True)
    assert plugin.available() is True
    assert plugin.unavailable_reason is None


@pytest.mark.parametrize("value", ["0", "-1", "many", "1.5"])
def test_a_limit_is_a_number(plugin: QuickRaw, value: str) -> None:
    with pytest.raises(Exception, match=r"schedule\.raw\.concurrent"):
        plugin.get_initial_vars({"raw": {"concurrent": value}})


def test_variables_on_the_allocation(plugin: QuickRaw, host: FakeHost) -> None:
    final = plugin.get_final_vars(host.test({"tasks_per_node": "all"}))
    assert final["test_node_list"] == [socket.gethostname().split(".")[0]]
    assert final["test_nodes"] == "1"
    cpus = len(os.sched_getaffinity(0))
    assert final["test_min_cpus"] == final["tasks_per_node"] == final["tasks_total"] == str(cpus)
    # Whole GiB here, as in Pavilion 2.6.
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert final["test_min_mem"] == str(total // 1024**3)
    assert final["test_cmd"] == ""
    assert final["errors"] == []
