"""The fake Slurm's faults, its log of calls, and how it begins and ends."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pavilion.testkit import BadFault, FakeSlurm, FakeSlurmError
from pavilion.testkit.fakes.slurm.context import Context


def wait_until(condition: Callable[[], object], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


@pytest.fixture
def slurm(tmp_path: Path) -> Iterator[FakeSlurm]:
    with FakeSlurm(
        tmp_path / "cluster",
        nodes=4,
        message_timeout=0.3,
        connect_seconds=0.05,
        retry_seconds=0.01,
        kill_wait=1,
        minute=0.5,
    ) as cluster:
        yield cluster


def submit(slurm: FakeSlurm, command: str = "true", *options: str) -> str:
    return slurm.ok("sbatch", "--parsable", "-o", "/dev/null", *options, "--wrap", command).strip()


def test_a_frozen_controller_answers_when_it_is_thawed_in_time(slurm: FakeSlurm) -> None:
    slurm.set_fault("frozen")
    assert slurm.run("squeue").returncode == 1
    thaw = threading.Timer(0.1, slurm.clear_fault)
    thaw.start()
    result = slurm.run("squeue", "-h")
    thaw.join()
    assert result.returncode in (0, 1)
    assert slurm.run("squeue", "-h").returncode == 0


def test_slow_commands(slurm: FakeSlurm) -> None:
    slurm.set_fault("slow", seconds=0.5, commands=["squeue"])
    start = time.monotonic()
    assert slurm.run("squeue").returncode == 0
    assert time.monotonic() - start >= 0.5


def test_errors_on_chosen_calls_only(slurm: FakeSlurm) -> None:
    slurm.set_fault("transient", commands=["squeue"], at=[2, 3])
    # A listing asks the controller twice: for jobs, and for partitions.
    codes = [slurm.run("squeue").returncode for _ in range(4)]
    assert codes == [1, 1, 0, 0]
    slurm.set_fault("transient", commands=["sbatch"], at=[1], text="Oops")
    result = slurm.run("sbatch", "--wrap", "true")
    assert (result.returncode, result.stderr) == (
        1,
        "sbatch: error: Batch job submission failed: Oops\n",
    )
    assert slurm.jobs() == {}
    assert slurm.run("sbatch", "--wrap", "true", "-o", "/dev/null").returncode == 0


def test_garbage_and_truncated_output(slurm: FakeSlurm) -> None:
    submit(slurm, "true", "-H")
    whole = slurm.ok("squeue")
    slurm.set_fault("truncated", commands=["squeue"], keep=0.9)
    assert slurm.ok("squeue") == whole[: int(len(whole) * 0.9)]
    slurm.clear_fault()
    slurm.set_fault("garbage")
    result = subprocess.run(
        [str(slurm.bin / "squeue")], env=slurm.env(), capture_output=True, check=True
    )
    with pytest.raises(UnicodeDecodeError):
        result.stdout.decode("utf-8")


def test_a_job_that_is_accepted_though_sbatch_fails(slurm: FakeSlurm) -> None:
    slurm.set_fault("accepted_but_error", times=1)
    result = slurm.run("sbatch", "-J", "token", "-o", "/dev/null", "--wrap", "true")
    assert (result.returncode, result.stdout) == (1, "")
    assert "Socket timed out" in result.stderr
    assert [job["name"] for job in slurm.jobs().values()] == ["token"]
    assert submit(slurm) == "2"


def test_banners_and_names_of_clusters(slurm: FakeSlurm) -> None:
    slurm.set_fault("banner", text="Hello")
    assert slurm.ok("sbatch", "--parsable", "-H", "--wrap", "true") == "Hello\n1\nHello\n"
    slurm.clear_fault("banner")
    slurm.set_fault("cluster", name="big")
    assert submit(slurm, "true", "-H") == "2;big"
    assert slurm.ok("sbatch", "-H", "--wrap", "true") == ("Submitted batch job 3 on cluster big\n")


def test_a_rate_limit_holds_a_users_calls_back(slurm: FakeSlurm) -> None:
    slurm.set_fault("rate_limit", bucket=2, per_second=0.0, patience=0.1)
    assert slurm.run("sdiag").returncode == 0
    assert slurm.run("sdiag").returncode == 0
    result = slurm.run("sdiag")
    assert (result.returncode, result.stderr) == (
        255,
        "slurm_get_statistics: Rate limit exceeded, please retry later\n",
    )
    assert slurm.run("sdiag", user="nobody").returncode == 0
    slurm.set_fault("rate_limit", bucket=2, per_second=10.0, patience=5.0)
    assert slurm.run("sdiag").returncode == 0


def test_a_full_queue(slurm: FakeSlurm) -> None:
    slurm.set_fault("queue_full")
    result = slurm.run("sbatch", "--wrap", "true")
    assert (result.returncode, result.stderr) == (
        1,
        "sbatch: error: Slurm temporarily unable to accept job, sleeping and retrying\n"
        "sbatch: error: Batch job submission failed: Resource temporarily unavailable\n",
    )
    clear = threading.Timer(0.3, slurm.clear_fault)
    clear.start()
    result = slurm.run("sbatch", "-o", "/dev/null", "--wrap", "true")
    clear.join()
    assert result.returncode == 0


def test_jobs_that_are_not_known(slurm: FakeSlurm) -> None:
    hidden, shown = submit(slurm, "true", "-H"), submit(slurm, "true", "-H")
    slurm.set_fault("unknown_job", ids=[hidden])
    assert slurm.ok("squeue", "-h", "-o", "%i") == f"{shown}\n"
    assert slurm.run("scontrol", "show", "job", hidden).returncode == 1
    slurm.set_fault("unknown_job", younger_than=0.2)
    wait_until(lambda: slurm.ok("squeue", "-h", "-o", "%i") == f"{hidden}\n{shown}\n")


@pytest.mark.parametrize(
    ("version", "state", "node_words", "job_words"),
    [
        ("20.11", "IDLE*+DRAIN", ["CapWatts="], ["TRES=", "Power="]),
        ("22.05", "IDLE+DRAIN+NOT_RESPONDING", ["CPUEfctv=", "CapWatts="], ["TRES=", "Power="]),
        ("23.11", "IDLE+DRAIN+NOT_RESPONDING", ["CPUEfctv="], ["ReqTRES=", "AllocTRES="]),
        ("25.11", "IDLE+DRAIN+NOT_RESPONDING", ["ResumeAfterTime="], ["SubmitLine="]),
    ],
)
def test_words_of_other_releases(
    slurm: FakeSlurm, version: str, state: str, node_words: list[str], job_words: list[str]
) -> None:
    slurm.set_fault("release", version=version)
    slurm.set_node_state("node01", "IDLE+DRAIN+NOT_RESPONDING", "x")
    job_id = submit(slurm, "true", "-H")
    node = slurm.ok("scontrol", "-o", "show", "node", "node01")
    job = slurm.ok("scontrol", "-o", "show", "job", job_id)
    assert f" State={state} " in node
    assert all(f" {word}" in node for word in node_words)
    assert all(f" {word}" in job for word in job_words)
    assert ("Power=" in job) == (version < "24.05")
    assert version in slurm.ok("squeue", "--version")


def test_any_state_of_nodes_and_jobs(slurm: FakeSlurm) -> None:
    slurm.set_node_state("node01", "DOWN+CLOUD+POWERED_DOWN")
    slurm.set_node_state("node02", "IDLE+BRAND_NEW")
    assert slurm.node_state("node01") == "DOWN+CLOUD+POWERED_DOWN"
    lines = slurm.ok("sinfo", "-h", "-N", "-o", "%N %T", "-n", "node01,node02", "-p", "main")
    assert lines == "node01 down~\nnode02 idle\n"
    job_id = submit(slurm, "true", "-H")
    slurm.change_job(job_id, state_shown="BRAND_NEW")
    assert slurm.ok("squeue", "-h", "-t", "all", "-o", "%T %t") == "BRAND_NEW BRAND_NEW\n"


def test_wrong_faults_are_refused(slurm: FakeSlurm) -> None:
    with pytest.raises(BadFault, match="there is no fault 'slo'"):
        slurm.set_fault("slo")
    with pytest.raises(BadFault, match="no setting 'second'"):
        slurm.set_fault("slow", second=1)
    with pytest.raises(BadFault, match="'seconds' is like 1"):
        slurm.set_fault("slow", seconds="long")
    with pytest.raises(FakeSlurmError, match="no such setting: minutes"):
        FakeSlurm(slurm.folder, minutes=1)


@pytest.mark.parametrize(
    "words",
    [
        ["squeue", "-o", "%!"],
        ["squeue", "-O", "nosuch"],
        ["squeue", "--steps"],
        ["sinfo", "-o", "%i"],
        ["sinfo", "-O", "cluster"],
        ["sbatch", "--mem-per-gpu=1", "--wrap", "x"],
        ["sbatch", "--signal=USR1", "--wrap", "x"],
        ["scontrol", "show", "licenses"],
        ["scontrol", "reconfigure"],
        ["scancel", "--signal=USR1", "1"],
        ["srun", "--pty", "sh"],
    ],
)
def test_what_the_fake_does_not_know_is_a_loud_error(slurm: FakeSlurm, words: list[str]) -> None:
    result = slurm.run(*words)
    assert result.returncode == 2
    assert result.stderr.startswith("fake Slurm: ")
    assert result.stdout == ""


def test_every_call_is_logged(slurm: FakeSlurm) -> None:
    slurm.run("squeue", "-h", "-o", "%i|%j", env={"SQUEUE_STATES": "CD", "OTHER": "x"})
    slurm.run("scancel", "77", user="nobody")
    first, second = slurm.calls()
    assert (first.command, first.args) == ("squeue", ("-h", "-o", "%i|%j"))
    assert first.env["SQUEUE_STATES"] == "CD"
    assert "OTHER" not in first.env
    assert (second.user, second.args) == ("nobody", ("77",))
    assert abs(second.time - time.time()) < 60
    assert slurm.calls("squeue") == [first]
    assert slurm.rpcs() == {
        "REQUEST_JOB_INFO": 1,
        "REQUEST_PARTITION_INFO": 1,
        "REQUEST_KILL_JOB": 1,
    }


def _processes_of(folder: Path) -> list[str]:
    """Command lines of processes that belong to a cluster."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().decode(errors="replace").replace("\0", " ")
        except OSError:
            continue
        if str(folder) in line and int(path.parent.name) != os.getpid():
            found.append(line)
    return found


def test_nothing_is_left_when_a_cluster_ends(tmp_path: Path) -> None:
    folder = tmp_path / "cluster"
    with FakeSlurm(folder, nodes=4) as slurm:
        job_id = submit(slurm, "trap '' TERM; sleep 60")
        wait_until(lambda: slurm.jobs()[job_id]["state"] == "RUNNING")
        wait_until(lambda: any("script" in line for line in _processes_of(folder)))
        assert any("controller" in line for line in _processes_of(folder))
        environment = slurm.env()
    wait_until(lambda: not _processes_of(folder))
    late = subprocess.run(
        [str(slurm.bin / "squeue")], env=environment, capture_output=True, text=True, check=False
    )
    assert (late.returncode, late.stderr) == (
        2,
        f"fake Slurm: there is no cluster in {folder} any more\n",
    )
    assert [call.command for call in slurm.calls()] == ["sbatch"]


def test_nothing_is_left_when_the_folder_goes_away(tmp_path: Path) -> None:
    import shutil

    folder = tmp_path / "cluster"
    slurm = FakeSlurm(folder, nodes=4)
    slurm.start()
    submit(slurm, "sleep 60")
    wait_until(lambda: any("script" in line for line in _processes_of(folder)))
    shutil.rmtree(folder)
    wait_until(lambda: not _processes_of(folder))


def test_the_controller_ends_when_there_is_nothing_to_do_and_comes_back(slurm: FakeSlurm) -> None:
    job_id = submit(slurm)
    wait_until(lambda: slurm.jobs()[job_id]["state"] == "COMPLETED")
    wait_until(lambda: not any("controller" in line for line in _processes_of(slurm.folder)))
    again = submit(slurm)
    wait_until(lambda: slurm.jobs()[again]["state"] == "COMPLETED")


def test_a_controller_that_ends_before_a_change_is_made_is_started_again(slurm: FakeSlurm) -> None:
    """It did not see the change, so nobody else would do what there is to do."""

    def runs() -> bool:
        return any("controller" in line for line in _processes_of(slurm.folder))

    class Slow(Context):
        def ask(self, rpc: str, *, changes: bool = False) -> None:
            super().ask(rpc, changes=changes)
            wait_until(lambda: not runs())

    context = Slow(str(slurm.folder), "sbatch", [], slurm.env())
    with context.change("REQUEST_SUBMIT_BATCH_JOB"):
        pass
    context.store.close()
    wait_until(runs)


def test_many_submissions_at_once(slurm: FakeSlurm) -> None:
    processes = [
        subprocess.Popen(
            [str(slurm.bin / "sbatch"), "--parsable", "-o", "/dev/null", "--wrap", "true"],
            env=slurm.env(),
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(20)
    ]
    ids = [process.communicate()[0].strip() for process in processes]
    assert sorted(map(int, ids)) == list(range(1, 21))
    wait_until(lambda: {job["state"] for job in slurm.jobs().values()} == {"COMPLETED"})


def test_time_limits_have_a_scale_and_stubborn_scripts_are_killed(slurm: FakeSlurm) -> None:
    job_id = submit(slurm, "trap '' TERM; while :; do sleep 0.1; done", "-t", "1")
    wait_until(lambda: slurm.jobs()[job_id]["state"] == "TIMEOUT")
    assert slurm.jobs()[job_id]["exit_signal"] == 9


CLUSTER = """\
name: small
nodes:
  - {names: 'x[1-2]', cpus: 2, memory: 500, features: [gpu]}
  - {names: 'y1', state: IDLE+DRAIN, reason: 'bad disk'}
partitions:
  - {name: only, nodes: 'x[1-2],y1', default: true, max_time: 30, default_time: 5}
reservations:
  - {name: tests, nodes: y1, flags: [maint]}
"""


def test_the_command_line(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text(CLUSTER)
    script = (
        "sinfo -h -N -o '%N %P %T %c %m %f %E'; scontrol -o show res | cut -c1-21; "
        "srun hostname >/dev/null; exit 5"
    )
    result = subprocess.run(
        [
            sys.executable,
            "-m",
            "pavilion.testkit",
            "fake-slurm",
            "--cluster",
            str(tmp_path / "c.yaml"),
            "--",
            "sh",
            "-c",
            script,
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (result.returncode, result.stderr) == (5, "")
    assert result.stdout.splitlines() == [
        "x1 only* idle 2 500 gpu none",
        "x2 only* idle 2 500 gpu none",
        "y1 only* drained$ 4 2000 (null) bad disk",
        "ReservationName=tests",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nodes: [{name: x1}]", "nodes, entry 1: there is no key 'name' (did you mean 'names'?)"),
        ("nodes: [{names: x1, cpus: many}]", "nodes, entry 1: cpus is like 4, not 'many'"),
        ("nodes: []", "nodes: there must be at least one"),
        (
            "nodes: [{names: x1}]\npartitions: [{name: p, nodes: x2}]",
            "partitions, entry 1: no such node: x2",
        ),
        ("nodes: [{names: 'x[1-'}]\nsettings: {min_job_age: soon}", "min_job_age is a number"),
        ("[1]", "keys and values are expected"),
    ],
)
def test_bad_descriptions_are_told(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(text)
    result = subprocess.run(
        [
            sys.executable,
            "-m",
            "pavilion.testkit",
            "fake-slurm",
            "--cluster",
            str(path),
            "--",
            "true",
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 2
    assert result.stderr.startswith(f"testkit: {path}: ")
    assert message in result.stderr


def test_faults_from_the_command_line(slurm: FakeSlurm) -> None:
    def fault(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [
                sys.executable,
                "-m",
                "pavilion.testkit",
                "fault",
                str(slurm.folder),
                *words,
            ],
            capture_output=True,
            text=True,
            check=False,
        )

    assert fault("slow", "seconds=0.3", "commands=squeue").returncode == 0
    start = time.monotonic()
    slurm.run("squeue")
    assert time.monotonic() - start >= 0.3
    assert fault("down").returncode == 0
    assert slurm.run("squeue").returncode == 1
    assert fault("down", "--off").returncode == 0
    assert slurm.run("squeue").returncode == 0
    assert fault("none").returncode == 0
    wrong = fault("doown")
    assert (wrong.returncode, "there is no fault 'doown'" in wrong.stderr) == (2, True)
