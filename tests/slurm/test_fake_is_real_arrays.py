"""Job arrays: ids, rows, variables, and what is done to single tasks."""

from __future__ import annotations

import re

import pytest
from clusters import Slurm, wait_until

pytestmark = pytest.mark.usefixtures("early")

REFUSED = "sbatch: error: Batch job submission failed: "


def held(slurm: Slurm, tasks: str, *options: str) -> str:
    return slurm.submit("true", "-H", f"--array={tasks}", *options)


def rows(slurm: Slurm, job_id: str, form: str = "%i|%T", *options: str) -> list[str]:
    text = slurm.ok("squeue", "-h", "-t", "all", "-j", job_id, "-o", form, *options)
    return sorted(str(text).splitlines())


def running(slurm: Slurm, tasks: str, count: int, name: str = "arr") -> str:
    """Submit an array and wait until so many of its tasks run."""
    job_id = slurm.submit("sleep 300", f"--array={tasks}", "-J", name)
    wait_until(
        lambda: slurm.ok("squeue", "-h", "-t", "R", "-j", job_id).count("\n") == count,
        f"{count} tasks run",
    )
    return job_id


@pytest.mark.parametrize(
    ("tasks", "shown", "throttle"),
    [
        ("0-3", "0-3", ""),
        ("1,3,5", "1,3,5", ""),
        ("0-10:3%2", "0,3,6,9%2", "2"),
        ("5", "5", ""),
        ("0-3%0", "0-3", ""),
        ("0-3%9", "0-3%9", "9"),
        ("0-1000", "0-1000", ""),
        ("1,1", "1", ""),
        ("0-3,7", "0-3,7", ""),
        ("1,2-4", "1-4", ""),
        ("[0-3]", "0-3", ""),
        ("0-10:2", "0,2,4,6,8,10", ""),
        ("0-12:2", "0-12:2", ""),
        ("0-99:2", "0-98:2", ""),
        ("0-3%x", "0-3", ""),
        ("%2", "0%2", "2"),
    ],
)
def test_how_an_array_that_waits_is_shown(
    slurm: Slurm, tasks: str, shown: str, throttle: str
) -> None:
    job_id = held(slurm, tasks)
    assert rows(slurm, job_id, "%i|%A|%F|%K|%T|%r") == [
        f"{job_id}_[{shown}]|{job_id}|{job_id}|{shown}|PENDING|JobHeldUser"
    ]
    text = slurm.ok("scontrol", "-o", "show", "job", job_id)
    more = f"ArrayTaskThrottle={throttle} " if throttle else ""
    assert text.startswith(
        f"JobId={job_id} ArrayJobId={job_id} ArrayTaskId={shown} {more}JobName=job.sh UserId="
    )
    named = slurm.ok(
        "squeue", "-h", "-j", job_id, "-O", "jobid:|,arrayjobid:|,arraytaskid:|,jobarrayid:|"
    )
    assert named == f"{job_id}|{job_id}|{shown}|{job_id}_[{shown}]|\n"


@pytest.mark.parametrize("tasks", ["0-1001", "1001", "x", "3-1", "-1", "1,x"])
def test_arrays_that_are_refused(slurm: Slurm, tasks: str) -> None:
    result = slurm.run("sbatch", "-H", f"--array={tasks}", "--wrap", "true")
    assert (result.returncode, result.stdout, result.stderr) == (
        1,
        "",
        f"{REFUSED}Invalid job array specification\n",
    )


def test_an_empty_specification_is_no_array(slurm: Slurm) -> None:
    job_id = held(slurm, "")
    assert rows(slurm, job_id, "%i|%K") == [f"{job_id}|N/A"]
    assert slurm.ok("scontrol", "-o", "show", "job", job_id).startswith(f"JobId={job_id} JobName=")


def test_a_long_list_of_tasks_is_cut(slurm: Slurm) -> None:
    pieces = ",".join(f"{low}-{low + 3}" for low in range(0, 120, 10))
    job_id = held(slurm, pieces)
    assert rows(slurm, job_id, "%K|%i") == [f"{pieces[:60]}...|" + f"{job_id}_[{pieces}"[:31]]
    short = slurm.ok("squeue", "-h", "-j", job_id, "-o", "%i", env={"SLURM_BITSTR_LEN": "10"})
    assert short == f"{job_id}_[{pieces[:6]}...]\n"
    whole = slurm.ok("squeue", "-h", "-j", job_id, "-o", "%i", env={"SLURM_BITSTR_LEN": "0"})
    assert whole == f"{job_id}_[{pieces}]\n"


def test_one_row_for_each_task(slurm: Slurm) -> None:
    job_id = held(slurm, "0-2")
    assert rows(slurm, job_id, "%i|%A|%K", "-r") == [
        f"{job_id}_{task}|{job_id}|{task}" for task in range(3)
    ]
    assert rows(slurm, f"{job_id}_1", "%i|%K") == [f"{job_id}_1|1"]
    assert rows(slurm, f"{job_id}_9") == []
    result = slurm.run("scontrol", "show", "job", f"{job_id}_9")
    assert (result.returncode, result.stdout) == (1, f"Job {job_id}_9 not found\n")
    shown = slurm.ok("scontrol", "-o", "show", "job", f"{job_id}_2")
    assert shown.startswith(f"JobId={job_id} ArrayJobId={job_id} ArrayTaskId=2 JobName=")
    assert shown.count("\n") == 1
    refused = slurm.run("scontrol", "show", "job", f"{job_id}_[1-2]")
    assert (refused.returncode, refused.stderr) == (
        1,
        "scontrol_print_job error: Invalid job id specified\n",
    )


def test_the_variables_and_the_files_of_the_tasks(slurm: Slurm) -> None:
    job_id = slurm.submit(
        "env | grep ^SLURM_ARRAY | sort; echo $SLURM_JOB_ID",
        "--array=1-10:3",
        "-o",
        "%x-%A_%a-%j.out",
        "-J",
        "arr",
    )
    wait_until(lambda: rows(slurm, job_id, "%T") == ["COMPLETED"] * 4, "all are over")
    ids = dict(row.split("|") for row in rows(slurm, job_id, "%K|%A"))
    assert sorted(ids) == ["1", "10", "4", "7"]
    assert ids["10"] == job_id  # the last one takes the array's record over
    assert len(set(ids.values())) == 4
    for task, own in ids.items():
        file = f"arr-{job_id}_{task}-{own}.out"
        assert (slurm.folder / file).read_text().splitlines() == [
            f"SLURM_ARRAY_JOB_ID={job_id}",
            "SLURM_ARRAY_TASK_COUNT=4",
            f"SLURM_ARRAY_TASK_ID={task}",
            "SLURM_ARRAY_TASK_MAX=10",
            "SLURM_ARRAY_TASK_MIN=1",
            "SLURM_ARRAY_TASK_STEP=3",
            own,
        ]
        shown = slurm.show(f"{job_id}_{task}")
        assert (shown["JobId"], shown["ArrayJobId"], shown["StdOut"]) == (
            own,
            job_id,
            f"{slurm.folder}/{file}",
        )
        assert own == job_id or rows(slurm, own, "%i") == [f"{job_id}_{task}"]
    text = slurm.ok("scontrol", "show", "job", job_id)
    assert re.findall(r"^JobId=(\d+) ", text, re.MULTILINE) == [
        job_id,
        *sorted(set(ids.values()) - {job_id}, key=int, reverse=True),
    ]


def test_the_usual_names_of_output_files(slurm: Slurm) -> None:
    job_id = slurm.submit("echo $SLURM_ARRAY_TASK_STEP", "--array=2,7")
    wait_until(lambda: rows(slurm, job_id, "%T") == ["COMPLETED"] * 2, "both are over")
    for task in (2, 7):
        assert (slurm.folder / f"slurm-{job_id}_{task}.out").read_text() == "1\n"
    waits = held(slurm, "2,7")
    assert slurm.show(waits)["StdOut"] == f"{slurm.folder}/slurm-{waits}_4294967294.out"
    assert slurm.show(f"{waits}_7")["StdOut"] == f"{slurm.folder}/slurm-{waits}_7.out"
    listed = slurm.ok("squeue", "-h", "-j", waits, "-O", "stdout:|")
    assert listed == f"{slurm.folder}/slurm-{waits}.out|\n"


def test_a_script_and_the_environment_may_ask_for_an_array(slurm: Slurm) -> None:
    script = slurm.folder / "a.sh"
    script.write_text("#!/bin/bash\n#SBATCH --array=1-2\n#SBATCH -a 4,6\ntrue\n")
    job_id = slurm.ok("sbatch", "--parsable", "-H", str(script)).strip()
    assert rows(slurm, job_id, "%i") == [f"{job_id}_[4,6]"]
    other = slurm.ok(
        "sbatch", "--parsable", "-H", str(script), env={"SBATCH_ARRAY_INX": "8-9"}
    ).strip()
    assert rows(slurm, other, "%i") == [f"{other}_[8-9]"]


def test_no_more_tasks_run_than_may(slurm: Slurm) -> None:
    job_id = running(slurm, "0-3%2", 2)
    wait_until(
        lambda: f"{job_id}_[2-3%2]|PENDING|JobArrayTaskLimit" in rows(slurm, job_id, "%i|%T|%r"),
        "the others wait",
    )
    assert rows(slurm, job_id) == [
        f"{job_id}_0|RUNNING",
        f"{job_id}_1|RUNNING",
        f"{job_id}_[2-3%2]|PENDING",
    ]
    slurm.ok("scontrol", "update", f"jobid={job_id}", "arraytaskthrottle=3")
    wait_until(lambda: f"{job_id}_2|RUNNING" in rows(slurm, job_id), "one more runs")


def test_the_exit_code_of_an_array_is_the_worst(slurm: Slurm) -> None:
    result = slurm.run("sbatch", "--wait", "--array=0-2", "--wrap", "exit $SLURM_ARRAY_TASK_ID")
    assert result.returncode == 2
    job_id = result.stdout.split()[-1]
    assert rows(slurm, job_id, "%i|%T|%r") == [
        f"{job_id}_0|COMPLETED|None",
        f"{job_id}_1|FAILED|NonZeroExitCode",
        f"{job_id}_2|FAILED|NonZeroExitCode",
    ]


def test_single_tasks_are_cancelled(slurm: Slurm) -> None:
    job_id = running(slurm, "0-4%1", 1)
    slurm.ok("scancel", f"{job_id}_3")
    assert f"{job_id}_[1-2,4%1]|PENDING" in rows(slurm, job_id)
    slurm.ok("scancel", f"{job_id}_[1-2,4]")
    assert f"{job_id}|CANCELLED" in rows(slurm, job_id)
    assert slurm.show(job_id)["ArrayTaskId"] == "0"  # the last that is shown
    slurm.ok("scancel", f"{job_id}_0")
    wait_until(
        lambda: rows(slurm, job_id, "%i|%K|%T")
        == [f"{job_id}_0|0|CANCELLED", f"{job_id}|N/A|CANCELLED"],
        "all are cancelled",
    )
    over = slurm.run("scancel", "-v", f"{job_id}_0")
    assert (over.returncode, over.stderr) == (
        0,
        f"scancel: Terminating job {job_id}_0\nscancel: error: Kill job error on job id "
        f"{job_id}_0: Job/step already completing or completed\n",
    )
    unknown = slurm.run("scancel", "-v", f"{job_id}_7")
    assert (unknown.returncode, unknown.stderr) == (
        0,
        f"scancel: Terminating job {job_id}_7\nscancel: error: Kill job error on job id "
        f"{job_id}_7: Invalid job id specified\n",
    )


def test_a_whole_array_is_cancelled(slurm: Slurm) -> None:
    job_id = running(slurm, "0-5%2", 2)
    slurm.ok("scancel", job_id)
    wait_until(
        lambda: rows(slurm, job_id)
        == [f"{job_id}_0|CANCELLED", f"{job_id}_1|CANCELLED", f"{job_id}_[2-5%2]|CANCELLED"],
        "all are cancelled",
    )
    assert slurm.run("scancel", job_id).returncode == 0
    waits = held(slurm, "0-2")
    slurm.ok("scancel", waits)
    assert rows(slurm, waits) == [f"{waits}_[0-2]|CANCELLED"]
    assert rows(slurm, waits, "%i|%T", "-r") == [f"{waits}_{task}|CANCELLED" for task in range(3)]


def test_tasks_are_cancelled_by_state_and_name(slurm: Slurm) -> None:
    job_id = running(slurm, "0-2%1", 1, "cancelled")
    slurm.ok("scancel", "-t", "PENDING", "-n", "cancelled")
    assert rows(slurm, job_id) == [f"{job_id}_0|RUNNING", f"{job_id}|CANCELLED"]
    slurm.ok("scancel", "-n", "cancelled")
    wait_until(lambda: f"{job_id}_0|CANCELLED" in rows(slurm, job_id), "it is cancelled")


@pytest.mark.parametrize("word", ["1_2x", "1_[", "1_[x]", "0", "0_1"])
def test_words_that_are_no_tasks(slurm: Slurm, word: str) -> None:
    result = slurm.run("scancel", word)
    assert result.returncode == 1
    assert result.stderr.endswith(f"scancel: error: Invalid job id {word}\n")


def test_holding_and_releasing_tasks(slurm: Slurm) -> None:
    job_id = slurm.submit("exit $SLURM_ARRAY_TASK_ID", "-H", "--array=0-3")
    slurm.ok("scontrol", "release", f"{job_id}_1")
    wait_until(lambda: f"{job_id}_1|FAILED" in rows(slurm, job_id), "it has run")
    assert f"{job_id}_[0,2-3]|PENDING" in rows(slurm, job_id)
    slurm.ok("scontrol", "hold", f"{job_id}_2")
    row = next(row for row in rows(slurm, job_id, "%i|%r") if "[" in row)
    assert row == f"{job_id}_[0,2-3]|JobHeldUser,JobHeldAdmin"
    slurm.ok("scontrol", "release", f"{job_id}_[2-3]")
    wait_until(
        lambda: {f"{job_id}_2|FAILED", f"{job_id}_3|FAILED"} <= set(rows(slurm, job_id)),
        "they have run",
    )
    result = slurm.run("scontrol", "release", job_id)
    assert (result.returncode, result.stderr) == (
        1,
        f"{job_id}_0: No error\n{job_id}_1-3: Job has already finished\n",
    )
    wait_until(lambda: f"{job_id}_0|COMPLETED" in rows(slurm, job_id), "it has run")


@pytest.mark.parametrize("words", [["hold"], ["release"], ["requeue"], ["update"]])
def test_tasks_that_there_are_not(slurm: Slurm, words: list[str]) -> None:
    job_id = held(slurm, "0-2")
    for name in (f"{job_id}_7", "99999_1"):
        rest = [f"jobid={name}", "comment=x"] if words == ["update"] else [name]
        result = slurm.run("scontrol", *words, *rest)
        assert (result.returncode, result.stderr) == (1, f"{name}: Invalid job id specified\n")


def test_tasks_are_changed(slurm: Slurm) -> None:
    job_id = held(slurm, "1-3")
    slurm.ok("scontrol", "update", f"jobid={job_id}", "comment=all")
    slurm.ok("scontrol", "update", f"jobid={job_id}_[1,3]", "timelimit=3")
    assert rows(slurm, job_id, "%i|%l|%k", "-r") == [
        f"{job_id}_1|3:00|all",
        f"{job_id}_2|1:00:00|all",
        f"{job_id}_3|3:00|all",
    ]
    # With a record for each of the tasks there is none of the array any more.
    assert rows(slurm, job_id, "%i|%l") == [
        f"{job_id}_1|3:00",
        f"{job_id}_2|1:00:00",
        f"{job_id}_3|3:00",
    ]
    other = held(slurm, "1-4")
    slurm.ok("scontrol", "update", f"jobid={other}_2", "comment=x")
    assert rows(slurm, other, "%i|%k") == [f"{other}_[1-4]|(null)"]


def test_tasks_are_requeued(slurm: Slurm) -> None:
    job_id = running(slurm, "0-1", 2)
    slurm.ok("scontrol", "requeue", f"{job_id}_0")
    wait_until(
        lambda: rows(slurm, job_id, "%i|%T|%r")
        == [f"{job_id}_0|PENDING|BeginTime", f"{job_id}_1|RUNNING|None"],
        "it waits again",
    )
    assert slurm.show(f"{job_id}_0")["Restarts"] == "1"
    result = slurm.run("scontrol", "requeue", job_id)
    assert (result.returncode, result.stderr) == (
        1,
        f"{job_id}_0: Job is pending execution\n{job_id}_1: No error\n",
    )


def test_jobs_that_depend_on_an_array(slurm: Slurm) -> None:
    job_id = held(slurm, "0-1")
    for wish, shown in (
        (f"afterok:{job_id}", f"afterok:{job_id}_*(unfulfilled)"),
        (f"afterany:{job_id}_1", f"afterany:{job_id}_1(unfulfilled)"),
        (
            f"afterok:{job_id}_[0-1]",
            f"afterok:{job_id}_0(unfulfilled),afterok:{job_id}_1(unfulfilled)",
        ),
    ):
        assert slurm.field(slurm.submit("true", "-d", wish), "%E") == shown
    after = slurm.submit("true", "-d", f"afterok:{job_id}")
    one = slurm.submit("true", "-d", f"afterok:{job_id}_1")
    slurm.ok("scontrol", "release", f"{job_id}_1")
    slurm.wait_state(one, "COMPLETED")
    assert slurm.field(after, "%T|%r") == "PENDING|Dependency"
    slurm.ok("scontrol", "release", job_id + "_0")
    slurm.wait_state(after, "COMPLETED")
