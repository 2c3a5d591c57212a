"""Changes of jobs: hold and release, requeue, and what can be updated when."""

from __future__ import annotations

import pytest
from clusters import Slurm, wait_until

pytestmark = pytest.mark.usefixtures("early")

FINISHED = "Job has already finished"


def running(slurm: Slurm, *options: str) -> str:
    return slurm.start("sleep 300", "-t", "10", *options)


def times(slurm: Slurm, job_id: str) -> tuple[str, str]:
    shown = slurm.show(job_id)
    return shown["StartTime"], shown["EligibleTime"]


def test_hold_and_release_keep_the_begin_time(slurm: Slurm) -> None:
    job_id = slurm.submit("true", "-b", "now+1hour")
    before = times(slurm, job_id)
    assert "Unknown" not in before
    slurm.ok("scontrol", "hold", job_id)
    assert slurm.field(job_id, "%r|%Q") == "JobHeldAdmin|0"
    assert times(slurm, job_id) == before
    slurm.ok("scontrol", "release", job_id)
    wait_until(lambda: slurm.field(job_id, "%r") == "BeginTime", "it waits for its time")
    assert times(slurm, job_id) == before
    slurm.ok("scontrol", "update", f"jobid={job_id}", "starttime=now")
    slurm.wait_state(job_id, "COMPLETED")


def test_a_running_job_may_be_held(slurm: Slurm) -> None:
    job_id = running(slurm)
    slurm.ok("scontrol", "hold", job_id)
    assert slurm.field(job_id, "%T|%r|%Q") == "RUNNING|JobHeldAdmin|0"
    slurm.ok("scontrol", "release", job_id)
    assert slurm.field(job_id, "%T|%r") == "RUNNING|None"
    assert slurm.field(job_id, "%Q") != "0"


def test_requeued_and_held(slurm: Slurm) -> None:
    job_id, _ = slurm.finish("true")
    slurm.ok("scontrol", "requeuehold", job_id)
    assert slurm.field(job_id, "%T|%r|%R|%Q") == (
        "PENDING|job requeued in held state|(job requeued in held state)|0"
    )
    assert slurm.show(job_id)["Reason"] == "job_requeued_in_held_state"
    again = slurm.run("scontrol", "requeuehold", job_id)
    assert (again.returncode, again.stderr) == (1, f"Job is pending execution for job {job_id}\n")
    slurm.ok("scontrol", "release", job_id)
    # It waits for the time that a requeued job waits, still.
    wait_until(lambda: slurm.field(job_id, "%r") in ("None", "BeginTime"), "it is released")
    assert slurm.state(job_id) == "PENDING"
    other = running(slurm)
    slurm.ok("scontrol", "requeuehold", other)
    slurm.wait_state(other, "PENDING")
    assert slurm.field(other, "%r") == "job requeued in held state"


def test_a_node_that_goes_down_ends_its_jobs_with_sigterm(slurm: Slurm) -> None:
    slurm.wait_idle("node06")
    job_id = running(slurm, "--no-requeue", "-w", "node06")
    slurm.ok("scontrol", "update", "nodename=node06", "state=down", "reason=x")
    slurm.wait_state(job_id, "NODE_FAIL")
    wait_until(lambda: slurm.show(job_id)["ExitCode"] == "0:15", "the exit code")
    assert slurm.ok("squeue", "-h", "-t", "all", "-j", job_id, "-O", "exit_code:|") == "15|\n"


@pytest.mark.parametrize(
    ("change", "form", "value"),
    [
        ("partition=alt", "%P", "alt"),
        ("nodelist=node02", "%n", "node02"),
        ("reqnodelist=node[01-02]", "%n", "node[01-02]"),
        ("excnodelist=node02", "%x", "node02"),
        ("numnodes=2", "%D", "2"),
        ("features=odd", "%f", "odd"),
        ("account=x", "%a", "(null)"),
        ("timelimit=+5", "%l", "15:00"),
        ("timelimit=-5", "%l", "5:00"),
        ("jobname=foo", "%j", "foo"),
        ("nice=3", "%y", "3"),
        ("requeue=0", "%T", "PENDING"),
        ("qos=x", "%q", "(null)"),
        ("workdir=/tmp", "%Z", "/tmp"),
        ("comment=", "%k", ""),
        ("priority=0", "%r", "JobHeldAdmin"),
    ],
)
def test_what_can_be_changed_of_a_job_that_waits(
    slurm: Slurm, change: str, form: str, value: str
) -> None:
    job_id = slurm.submit("true", "-H", "-t", "10")
    slurm.ok("scontrol", "update", f"jobid={job_id}", change)
    assert slurm.field(job_id, form) == value


def test_files_follow_the_changes_of_a_job_that_waits(slurm: Slurm) -> None:
    job_id = slurm.submit("true", "-H")
    slurm.ok("scontrol", "update", f"jobid={job_id}", "workdir=/tmp")
    shown = slurm.show(job_id)
    assert (shown["StdOut"], shown["StdErr"]) == (f"/tmp/slurm-{job_id}.out",) * 2
    slurm.ok("scontrol", "update", f"jobid={job_id}", f"stdout={slurm.folder}/new.txt")
    assert slurm.show(job_id)["StdErr"] == f"{slurm.folder}/new.txt"
    slurm.ok("scontrol", "release", job_id)
    slurm.wait_state(job_id, "COMPLETED")
    assert (slurm.folder / "new.txt").exists()


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ("partition=nosuch", "Invalid partition name specified for job {}\n"),
        ("features=nosuch", "Invalid feature specification for job {}\n"),
        ("reservation=nosuch", "Requested reservation is invalid for job {}\n"),
        ("excnodelist=nosuch", "Invalid node name specified for job {}\n"),
        ("priority=5", "Job is in held state, pending scheduler release for job {}\n"),
        ("priority=x", "scontrol: error: Invalid Priority value: x\n"),
        ("timelimit=bad", "scontrol: error: Invalid TimeLimit value\n"),
        ("hold=1", "Update of this parameter is not supported: hold=1\nRequest aborted\n"),
        ("jobstate=x", "Update of this parameter is not supported: jobstate=x\nRequest aborted\n"),
    ],
)
def test_what_cannot_be_changed_of_a_job_that_waits(slurm: Slurm, change: str, text: str) -> None:
    job_id = slurm.submit("true", "-H")
    result = slurm.run("scontrol", "update", f"jobid={job_id}", change)
    assert (result.returncode, result.stderr) == (1, text.format(job_id))


@pytest.mark.parametrize(
    "change",
    [
        "partition=alt",
        "features=odd",
        "dependency=singleton",
        "account=x",
        "starttime=now+1hour",
        "excnodelist=node02",
        "workdir=/tmp",
        "stdout=/tmp/x",
        "wckey=x",
    ],
)
def test_what_cannot_be_changed_of_a_job_that_runs(slurm: Slurm, change: str) -> None:
    job_id = running(slurm)
    result = slurm.run("scontrol", "update", f"jobid={job_id}", change)
    assert (result.returncode, result.stderr) == (
        1,
        f"Job is no longer pending execution for job {job_id}\n",
    )
    slurm.ok("scancel", job_id)


def test_what_can_be_changed_of_a_job_that_runs(slurm: Slurm) -> None:
    job_id = running(slurm)
    for change in ("comment=c", "name=n", "timelimit=+5", "requeue=0", "partition=main"):
        slurm.ok("scontrol", "update", f"jobid={job_id}", change)
    assert slurm.field(job_id, "%k|%j|%l|%P") == "c|n|15:00|main"
    assert slurm.show(job_id)["Requeue"] == "0"
    result = slurm.run("scontrol", "update", f"jobid={job_id}", "numnodes=2")
    assert (result.returncode, result.stderr) == (
        1,
        f"Requested operation not supported on this system for job {job_id}\n",
    )


def test_jobs_that_are_over_stay_as_they_are(slurm: Slurm) -> None:
    job_id, _ = slurm.finish("true")
    for change in ("comment=x", "timelimit=5", "name=x", "partition=alt", "requeue=0"):
        result = slurm.run("scontrol", "update", f"jobid={job_id}", change)
        assert (result.returncode, result.stderr) == (1, f"{FINISHED} for job {job_id}\n")
    for word in ("hold", "release"):
        result = slurm.run("scontrol", word, job_id)
        assert (result.returncode, result.stderr) == (
            1,
            f"{FINISHED} for job {job_id}\nslurm_suspend error: {FINISHED}\n",
        )


def test_words_of_the_commands_that_change_jobs(slurm: Slurm) -> None:
    for word in ("hold", "release", "requeue", "requeuehold"):
        result = slurm.run("scontrol", word)
        assert (result.returncode, result.stderr) == (1, f"too few arguments for keyword:{word}\n")
    job_id = slurm.submit("true", "-H")
    for words, code, text in (
        (["update"], 1, "too few arguments for update keyword\n"),
        (["update", f"jobid={job_id}"], 1, "No changes specified\n"),
        (["update", f"job={job_id}", "comment=z"], 0, ""),
        (
            ["update", f"jobid={job_id},99999", "comment=y"],
            1,
            "Invalid job id specified for job 99999\n",
        ),
        (["update", "jobid=abc", "comment=x"], 1, "Invalid job id specified for job abc\n"),
        (
            ["hold", "abc"],
            1,
            "Invalid job id specified for job abc\nslurm_suspend error: Invalid job id specified\n",
        ),
        (
            ["release", "99998,99999"],
            1,
            "Invalid job id specified for job 99998\n"
            "Invalid job id specified for job 99999\n"
            "slurm_suspend error: Invalid job id specified\n",
        ),
        (
            ["requeue", "99998,99999"],
            1,
            "Invalid job id specified for job 99998\nInvalid job id specified for job 99999\n",
        ),
    ):
        result = slurm.run("scontrol", *words)
        assert (result.returncode, result.stderr) == (code, text), words
    assert slurm.field(job_id, "%k") == "y"


def test_changes_of_partitions_and_of_all_nodes(slurm: Slurm) -> None:
    slurm.ok("scontrol", "update", "partition=alt", "state=drain")
    try:
        assert " State=DRAIN " in slurm.ok("scontrol", "-o", "show", "partition", "alt")
        wrong = slurm.run("scontrol", "update", "partitionname=alt", "state=foo")
        assert (wrong.returncode, wrong.stderr) == (
            1,
            "scontrol: error: Invalid input: state=foo\n"
            "scontrol: error: Acceptable State values are UP, DOWN, DRAIN and INACTIVE\n"
            "slurm_update error: No error\n",
        )
    finally:
        slurm.ok("scontrol", "update", "partitionname=alt", "state=up")
    slurm.ok("scontrol", "update", "nodename=ALL", "state=drain", "reason=x")
    assert all("DRAIN" in slurm.node_state(name) for name in slurm.node_names)
    slurm.ok("scontrol", "update", "nodename=ALL", "state=undrain")
    assert not any("DRAIN" in slurm.node_state(name) for name in slurm.node_names)
    for entity in ("job", "node", "partition"):
        result = slurm.run("scontrol", "show", entity, "1", "2")
        assert (result.returncode, result.stderr) == (1, "too many arguments for keyword:show\n")


def test_dependencies_are_shown(slurm: Slurm) -> None:
    first, second = slurm.submit("sleep 300"), slurm.submit("sleep 300", "-H")
    slurm.wait_state(first, "RUNNING")
    for wish, shown in (
        (f"afterok:{first}", f"afterok:{first}(unfulfilled)"),
        (f"AfterAny:{first}", f"afterany:{first}(unfulfilled)"),
        ("singleton", "singleton(unfulfilled)"),
        (
            f"afterok:{first}:{second}:{first}",
            f"afterok:{first}(unfulfilled),afterok:{second}(unfulfilled)",
        ),
        (
            f"afterok:{first},afterany:{second}",
            f"afterok:{first}(unfulfilled),afterany:{second}(unfulfilled)",
        ),
        (
            f"afterok:{first}?afterany:{second}",
            f"afterok:{first}(unfulfilled)?afterany:{second}(unfulfilled)",
        ),
    ):
        job_id = slurm.submit("true", "-d", wish)
        named = slurm.ok("squeue", "-h", "-j", job_id, "-O", "dependency:|")
        assert (slurm.field(job_id, "%E"), named) == (shown, f"{shown}|\n")
        assert slurm.show(job_id)["Dependency"] == shown
        slurm.ok("scancel", job_id)
    plain = slurm.submit("true", "-H")
    assert (slurm.field(plain, "%E"), slurm.show(plain)["Dependency"]) == ("(null)", "(null)")
    slurm.ok("scontrol", "update", f"jobid={plain}", f"dependency=afterok:{second}")
    assert slurm.field(plain, "%E") == f"afterok:{second}(unfulfilled)"


def test_dependencies_that_fail_or_hold_nobody_up(slurm: Slurm) -> None:
    first = slurm.submit("sleep 1; exit 1")
    never = slurm.submit("true", "-d", f"afterok:{first}")
    one_of_two = slurm.submit("true", "-d", f"afterok:{first}?afternotok:{first}")
    wait_until(
        lambda: slurm.field(never, "%r|%E")
        == (f"DependencyNeverSatisfied|afterok:{first}(failed)"),
        "it will never run",
    )
    assert slurm.show(never)["Dependency"] == f"afterok:{first}(failed)"
    slurm.wait_state(one_of_two, "COMPLETED")
    unknown = slurm.submit("true", "-d", "afterok:99999")
    slurm.wait_state(unknown, "COMPLETED")


@pytest.mark.parametrize("wish", ["foo", "after", "afterok:x", "afterok:1x", "afterok:0"])
def test_dependencies_that_are_refused(slurm: Slurm, wish: str) -> None:
    result = slurm.run("sbatch", "-d", wish, "--wrap", "true")
    assert (result.returncode, result.stderr) == (
        1,
        "sbatch: error: Batch job submission failed: Job dependency problem\n",
    )
