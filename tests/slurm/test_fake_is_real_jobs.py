"""The life of a job: start, end, time limit, requeue, the reasons why it waits."""

from __future__ import annotations

import pytest
from clusters import Slurm, wait_until

pytestmark = pytest.mark.usefixtures("early")


@pytest.mark.parametrize(
    ("body", "state", "reason", "code", "signal"),
    [
        ("true", "COMPLETED", "None", 0, 0),
        ("exit 3", "FAILED", "NonZeroExitCode", 3, 0),
        ("kill -9 $$", "FAILED", "killed by SIGKILL", 0, 9),
        ("kill -TERM $$", "FAILED", "killed by SIGTERM", 0, 15),
        ("no-such-command", "FAILED", "NonZeroExitCode", 127, 0),
    ],
)
def test_how_a_script_ends(
    slurm: Slurm, body: str, state: str, reason: str, code: int, signal: int
) -> None:
    job_id, shown = slurm.finish(body)
    if signal:
        reason = slurm.words[reason]
    assert (shown["JobState"], shown["Reason"], shown["ExitCode"]) == (
        state,
        reason,
        f"{code}:{signal}",
    )
    named = slurm.ok("squeue", "-h", "-t", "all", "-j", job_id, "-O", "exit_code:|")
    assert named == slurm.words["exit code of squeue"](code, signal) + "|\n"
    last = slurm.field(job_id, "%R")
    assert last == (f"({reason})" if state == "FAILED" else shown["NodeList"])
    assert (shown["Restarts"], shown["BatchHost"]) == ("0", shown["NodeList"])


def test_output_that_can_not_be_written(slurm: Slurm) -> None:
    # Newer releases make missing directories; below a file there is none to be made.
    (slurm.folder / "file").touch()
    _, shown = slurm.finish("true", "-o", f"{slurm.folder}/file/x.out")
    assert (shown["JobState"], shown["Reason"], shown["ExitCode"]) == (
        "FAILED",
        slurm.words["no output"].replace(" ", "_"),
        "0:53",
    )


def test_a_shell_that_is_not_there(slurm: Slurm) -> None:
    (slurm.folder / "t.sh").write_text("#!/no/such/shell\ntrue\n")
    job_id = slurm.ok("sbatch", "--parsable", "t.sh").strip()
    slurm.wait_state(job_id, "FAILED")
    assert slurm.show(job_id)["ExitCode"] == "2:0"


def test_a_work_folder_that_is_gone(slurm: Slurm) -> None:
    """The job runs in /tmp and completes."""
    folder = slurm.folder / "gone"
    folder.mkdir()
    output = slurm.folder / "out"
    job_id = slurm.submit("pwd", "-H", "-o", str(output), cwd=folder)
    folder.rmdir()
    slurm.ok("scontrol", "release", job_id)
    slurm.wait_state(job_id, "COMPLETED")
    assert output.read_text().splitlines()[-1] == "/tmp"


def test_a_running_job_is_requeued_with_the_same_id(slurm: Slurm) -> None:
    job_id = slurm.submit("sleep 300")
    slurm.wait_state(job_id, "RUNNING")
    assert slurm.run("scontrol", "requeue", job_id).returncode == 0
    slurm.wait_state(job_id, "PENDING")
    shown = slurm.show(job_id)
    assert (shown["Reason"], shown["Restarts"], shown["NodeList"]) == ("BeginTime", "1", "")
    again = slurm.run("scontrol", "requeue", job_id)
    assert (again.returncode, again.stderr) == (1, f"Job is pending execution for job {job_id}\n")
    unknown = slurm.run("scontrol", "requeue", "99999")
    assert (unknown.returncode, unknown.stderr) == (1, "Invalid job id specified for job 99999\n")


def test_no_requeue_is_heeded(slurm: Slurm) -> None:
    job_id = slurm.submit("sleep 300", "--no-requeue")
    slurm.wait_state(job_id, "RUNNING")
    result = slurm.run("scontrol", "requeue", job_id)
    assert (result.returncode, result.stderr) == (
        1,
        f"Requested operation is presently disabled for job {job_id}\n",
    )
    assert slurm.state(job_id) == "RUNNING"


def test_a_node_that_goes_down_takes_its_jobs_along(slurm: Slurm) -> None:
    jobs = [slurm.submit("sleep 300", "-w", "node06", *more) for more in ([], ["--no-requeue"])]
    for job_id in jobs:
        slurm.wait_state(job_id, "RUNNING")
    slurm.ok("scontrol", "update", "nodename=node06", "state=down", "reason=broken")
    slurm.wait_state(jobs[0], "PENDING")
    wait_until(lambda: slurm.field(jobs[0], "%r") == "BeginTime", "it waits")
    assert slurm.show(jobs[0])["Restarts"] == "1"
    slurm.wait_state(jobs[1], "NODE_FAIL")
    assert slurm.field(jobs[1], "%r|%R|%N") == "NodeDown|node06|node06"


def test_a_failing_prolog_holds_the_job_and_drains_the_node(slurm: Slurm) -> None:
    slurm.wait_idle("node02")
    slurm.fail_prolog(True)
    try:
        job_id = slurm.submit("true", "-w", "node02")
        wait_until(lambda: "held" in slurm.field(job_id, "%r"), "the job is held")
    finally:
        slurm.fail_prolog(False)
    assert slurm.field(job_id, "%T|%r|%R|%Q") == (
        "PENDING|launch failed requeued held|(launch failed requeued held)|0"
    )
    shown = slurm.show(job_id)
    assert (shown["Reason"], shown["Restarts"]) == ("launch_failed_requeued_held", "1")
    assert slurm.node_state("node02") == "IDLE+DRAIN"
    assert slurm.ok("sinfo", "-h", "-R", "-o", "%E|%u|%N") == "Prolog error|root|node02\n"


def test_a_failing_prolog_cancels_a_job_that_is_not_to_be_requeued(slurm: Slurm) -> None:
    """As our header asks for it."""
    slurm.wait_idle("node03")
    slurm.fail_prolog(True)
    try:
        job_id = slurm.submit(
            "true", "-w", "node03", "--no-requeue", f"--output={slurm.folder}/no-requeue.log"
        )
        slurm.wait_state(job_id, "CANCELLED")
    finally:
        slurm.fail_prolog(False)
    assert slurm.field(job_id, "%T|%r|%N") == "CANCELLED|None|node03"
    shown = slurm.show(job_id)
    assert (shown["Reason"], shown["Restarts"], shown["ExitCode"]) == ("None", "0", "0:0")
    wait_until(lambda: slurm.node_state("node03") == "IDLE+DRAIN", "the node is drained")
    log = slurm.folder / "no-requeue.log"
    assert (log.read_text() if log.exists() else "") == slurm.words["log of a failing prolog"]


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["-N", "9"], "PartitionNodeLimit"),
        (["-t", "300"], "PartitionTimeLimit"),
        (["-b", "now+1hour"], "BeginTime"),
        (["-H"], "JobHeldUser"),
    ],
)
def test_reasons_of_jobs_that_wait(slurm: Slurm, options: list[str], reason: str) -> None:
    job_id = slurm.submit("true", *options)
    wait_until(lambda: slurm.field(job_id, "%r") == reason, reason)
    assert slurm.field(job_id, "%T|%R|%N") == f"PENDING|({reason})|"
    assert slurm.show(job_id)["Reason"] == reason


def test_holding_and_releasing(slurm: Slurm) -> None:
    job_id = slurm.submit("true", "-b", "now+1hour")
    slurm.ok("scontrol", "hold", job_id)
    assert slurm.field(job_id, "%r|%Q") == "JobHeldAdmin|0"
    unknown = slurm.run("scontrol", "hold", "99999")
    assert (unknown.returncode, unknown.stderr) == slurm.words.of(
        1, "Invalid job id specified for job 99999\nslurm_suspend error: Invalid job id specified\n"
    )
    held = slurm.submit("true", "-H")
    slurm.ok("scontrol", "release", held)
    assert slurm.wait_state(held, "COMPLETED") == "COMPLETED"


def test_what_can_be_changed_of_a_job(slurm: Slurm) -> None:
    job_id = slurm.submit("true", "-H")
    slurm.ok(
        "scontrol",
        "update",
        f"jobid={job_id}",
        "comment=a=b JobState=FAKE",
        "name=evil JobState=X",
        "timelimit=10",
    )
    assert slurm.field(job_id, "%j|%k|%l") == "evil JobState=X|a=b JobState=FAKE|10:00"
    text = slurm.ok("scontrol", "-o", "show", "job", job_id)
    assert text.startswith(f"JobId={job_id} JobName=evil JobState=X UserId=")
    assert text.count("JobState=") == 3  # the second of them is true
    refused = slurm.run("scontrol", "update", f"jobid={job_id}", "foo=3")
    assert (refused.returncode, refused.stderr) == (
        1,
        "Update of this parameter is not supported: foo=3\nRequest aborted\n",
    )


def test_dependencies(slurm: Slurm) -> None:
    first = slurm.submit("exit 1")
    good = slurm.submit("true", "-d", f"afterok:{first}")
    after = slurm.submit("true", "-d", f"afterany:{first}")
    assert slurm.wait_state(after, "COMPLETED") == "COMPLETED"
    wait_until(lambda: slurm.field(good, "%r") == "DependencyNeverSatisfied", "never")


def test_nodes_are_shared_unless_they_are_wanted_alone(slurm: Slurm) -> None:
    slurm.wait_idle("node07", "node08")
    options = ["-p", "secret", "-w", "node07"]
    jobs = [slurm.submit("sleep 300", *options) for _ in range(2)]
    for job_id in jobs:
        slurm.wait_state(job_id, "RUNNING")
    assert slurm.node_state("node07") == "MIXED"
    text = slurm.ok("scontrol", "-o", "show", "node", "node07")
    assert " CPUAlloc=2 " in text
    assert " AllocTRES=cpu=2 " in text
    alone = slurm.submit("sleep 300", "--exclusive", *options)
    wait_until(lambda: slurm.field(alone, "%r") == "Resources", "it waits")
    other = slurm.submit("sleep 300", "--exclusive", "-p", "secret", "-w", "node08")
    slurm.wait_state(other, "RUNNING")
    assert slurm.node_state("node08") == "ALLOCATED"
    assert slurm.field(other, "%C|%h") == "4|NO"


@pytest.mark.parametrize(
    ("options", "nodes", "cpus"),
    [
        (["-N2", "-n4"], 2, [3, 1]),
        (["-n5"], 2, [4, 1]),
        (["-N2", "-c2", "-n4"], 2, [4, 4]),
        (["-N2", "--ntasks-per-node=2"], 2, [2, 2]),
        (["-N1-3", "-n2"], None, None),
    ],
)
def test_how_cpus_are_shared_out(
    slurm: Slurm, options: list[str], nodes: int | None, cpus: list[int] | None
) -> None:
    slurm.wait_idle("node05", "node06", "node07", "node08")
    job_id = slurm.submit("echo $SLURM_JOB_CPUS_PER_NODE; sleep 300", "-p", "alt", *options)
    slurm.wait_state(job_id, "RUNNING")
    if nodes is None or cpus is None:
        assert 1 <= int(slurm.field(job_id, "%D")) <= 3
        return
    assert slurm.field(job_id, "%D|%C") == f"{nodes}|{sum(cpus)}"
    output = slurm.folder / f"slurm-{job_id}.out"
    text = f"{cpus[0]}(x2)\n" if cpus[0] == cpus[1] else f"{cpus[0]},{cpus[1]}\n"
    wait_until(lambda: output.exists() and output.read_text() == text, text)
