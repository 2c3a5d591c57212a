"""``sacct``: the fates of jobs that the controller has forgotten, on the fake as on a real one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from clusters import FakeForTests, Slurm, wait_until
from machines import description, fake
from real_slurm import RealSlurm, why_no_accounting

from open_directory import open_directory


@pytest.fixture(scope="session")
def slurm_cluster(request: pytest.FixtureRequest) -> Iterator[FakeForTests | RealSlurm]:
    """One with accounting, whose controller forgets soon."""
    if request.param == "fake":
        with fake(description(accounting=True), min_job_age=1, requeue_seconds=300) as cluster:
            yield cluster
        return
    reason = why_no_accounting()
    if reason:
        pytest.skip(f"needs a real slurmdbd, and that cannot be started here: {reason}")
    with (
        open_directory("test-sacct-") as path,
        RealSlurm(path, min_job_age=2, accounting=True) as real,
    ):
        yield real


class Jobs(NamedTuple):
    """Jobs of all fates, by name, which the controller has forgotten."""

    slurm: Slurm
    ids: dict[str, str]

    def rows(self, *options: str) -> list[str]:
        return self.slurm.ok("sacct", "-n", "-P", *options).splitlines()


@pytest.fixture(scope="session")
def jobs(slurm_cluster: FakeForTests | RealSlurm) -> Jobs:
    place = slurm_cluster.folder / "work"
    place.mkdir()
    place.chmod(0o777)
    slurm = Slurm(slurm_cluster, place)
    return Jobs(slurm, _run_jobs(slurm, place))


def _run_jobs(slurm: Slurm, place: Path) -> dict[str, str]:
    ids = {
        name: slurm.submit(body, "-J", name, *options.split())
        for name, body, options in (
            ("good", "true", "--comment hello"),
            ("three", "exit 3", "-N2 -w node02,node03 -t 7"),
            ("high", "exit 137", "-C odd"),
            ("killed", "kill -9 $$", ""),
            ("nodir", "true", "-o /nosuch/x"),
            ("held", "true", "-H"),
            ("later", "true", "--begin=now+1hour -t 5"),
        )
    }
    for name, options in (
        ("stopped", "-n2 -w node01"),
        ("lost", "-w node06 --no-requeue"),
        ("again", "-w node04"),
    ):
        ids[name] = slurm.start("sleep 300", "-J", name, *options.split())
    ids["foreign"] = slurm.start("sleep 300", "-J", "foreign", user="nobody")
    slurm.ok("scancel", ids["stopped"], ids["held"], ids["later"])
    slurm.ok("scancel", ids["foreign"], user="nobody")
    slurm.ok("scontrol", "update", "nodename=node06", "state=down", "reason=x")
    slurm.ok("scontrol", "requeue", ids["again"])
    wait_until(lambda: slurm.field(ids["again"], "%r") == "BeginTime", "requeued")
    slurm.run("scontrol", "update", "nodename=node06", "state=resume")  # or it returned by itself
    for name, job_id in ids.items():
        if name != "again":
            wait_until(
                lambda job_id=job_id: slurm.run("scontrol", "show", "job", job_id).returncode == 1,
                f"{name} is forgotten",
            )
    # What slurmdbd learns last.
    for name, state in (("foreign", "|CANCELLED by"), ("again", "|PENDING")):
        wait_until(
            lambda name=name, state=state: state
            in slurm.ok("sacct", "-n", "-P", "-X", "-j", ids[name], "-o", "jobid,state"),
            f"{name} is recorded",
        )
    return ids


# Name -> what is said of the allocation, and of its batch step: state and exit code.
FATES: dict[str, tuple[str, str]] = {
    "good": (
        "COMPLETED|0:0|NODE|1||1|1|1|good|root|0|root|main|None|billing=1,cpu=1,node=1|||"
        "60|01:00:00",
        "COMPLETED|0:0",
    ),
    "three": (
        "FAILED|3:0|node[02-03]|2||2|2|2|three|root|0|root|main|None|billing=2,cpu=2,node=2"
        "|||7|00:07:00",
        "FAILED|3:0",
    ),
    "high": (
        "FAILED|9:0|NODE|1||1|1|1|high|root|0|root|main|None|billing=1,cpu=1,node=1||odd|"
        "60|01:00:00",
        "FAILED|9:0",
    ),
    "killed": (
        "FAILED|0:9|NODE|1||1|1|1|killed|root|0|root|main|None|billing=1,cpu=1,node=1|||"
        "60|01:00:00",
        "CANCELLED|0:9",
    ),
    "nodir": (
        "FAILED|0:53|NODE|1||1|1|1|nodir|root|0|root|main|None|billing=1,cpu=1,node=1|||"
        "60|01:00:00",
        "CANCELLED|0:53",
    ),
    "stopped": (
        "CANCELLED by 0|0:0|NODE|1||2|2|1|stopped|root|0|root|main|None|"
        "billing=2,cpu=2,node=1|||60|01:00:00",
        "CANCELLED|0:15",
    ),
    "lost": (
        "NODE_FAIL|0:0|NODE|1||1|1|1|lost|root|0|root|main|None|billing=1,cpu=1,node=1|||"
        "60|01:00:00",
        "CANCELLED|",
    ),
    "again": (
        "PENDING|0:0|None assigned|1||1|1|1|again|root|0|root|main|BeginTime||||"
        "Partition_Limit|Partition_Limit",
        "",
    ),  # its first run: test_the_runs...
    "held": (
        "CANCELLED by 0|0:0|None assigned|1||1|1|1|held|root|0|root|main|JobHeldUser||||"
        "Partition_Limit|Partition_Limit",
        "",
    ),
    "later": (
        "CANCELLED by 0|0:0|None assigned|1||1|1|1|later|root|0|root|main|BeginTime||||5|00:05:00",
        "",
    ),
    "foreign": (
        "CANCELLED by 65534|0:0|NODE|1||1|1|1|foreign|nobody|65534|nogroup|main|None|"
        "billing=1,cpu=1,node=1|||60|01:00:00",
        "CANCELLED|0:15",
    ),
}


@pytest.mark.parametrize("name", FATES)
def test_fates(jobs: Jobs, name: str) -> None:
    job_id = jobs.ids[name]
    whole, step = FATES[name]
    fields = (
        "State,ExitCode,NodeList,NNodes,NTasks,AllocCPUS,ReqCPUS,ReqNodes,JobName,User,UID,"
        "Group,Partition,Reason,AllocTRES,Reservation,Constraints,TimelimitRaw,Timelimit"
    )
    rows = jobs.rows("-j", job_id, "-o", f"JobID,{fields}")
    # What the requeued one waits for is recorded, or not yet known when it is.
    shown = rows[0].replace("|main|None||||", "|main|BeginTime||||")
    assert re.sub(r"\|node\d\d\|", "|NODE|", shown) == f"{job_id}|{whole}"
    assert len(rows) == 1 + bool(step)
    if step:
        first = jobs.rows(
            "-j",
            f"{job_id}.batch",
            "-o",
            "jobid,jobname,nnodes,ntasks,partition,user,timelimit,state,exitcode",
        )
        assert first == [f"{job_id}.batch|batch|1|1||||{step}"]
    assert jobs.rows("-X", "-j", job_id, "-o", "jobid,cluster,comment,derivedexitcode") == [
        f"{job_id}|t||0:0"
    ]


def test_times(jobs: Jobs) -> None:
    names = ("Submit", "Eligible", "Start", "End", "ElapsedRaw", "Elapsed", "CPUTimeRAW")
    form = ",".join(names)

    def of(name: str) -> dict[str, str]:
        (row,) = jobs.rows("-X", "-j", jobs.ids[name], "-o", form)
        return dict(zip(names, row.split("|")))

    good = of("good")
    assert good["Submit"] <= good["Eligible"] <= good["Start"] <= good["End"]
    stopped = of("stopped")
    assert int(stopped["CPUTimeRAW"]) == 2 * int(stopped["ElapsedRaw"])
    assert re.fullmatch(r"00:00:\d\d", stopped["Elapsed"])
    held = of("held")
    assert held["Eligible"] == "Unknown"
    assert held["Start"] in ("None", held["End"])  # a real one says either, of jobs alike
    assert held["End"] >= held["Submit"]
    assert held["ElapsedRaw"] == "0"


def test_a_job_that_runs_and_one_that_waits(jobs: Jobs) -> None:
    slurm = jobs.slurm
    running = slurm.submit("sleep 300", "-w", "node05")
    waiting = slurm.submit("true", "-N", "9")
    slurm.wait_state(running, "RUNNING")
    form = "jobid,state,exitcode,end,alloccpus"
    rows = wait_until(
        lambda: len(rows := jobs.rows("-X", "-j", f"{running},{waiting}", "-o", form)) == 2
        and rows,
        "recorded",
    )
    wait_until(
        lambda: jobs.rows("-X", "-j", running, "-o", form) == [f"{running}|RUNNING|0:0|Unknown|1"],
        "it runs",
    )
    assert f"{waiting}|PENDING|0:0|Unknown|9" in rows
    held = slurm.submit("true", "-H")
    assert jobs.rows("-X", "-j", held, "-o", form) == []  # only when it may start, or ends
    slurm.ok("scancel", running, waiting, held)


def test_the_default_list(jobs: Jobs) -> None:
    text = jobs.slurm.ok("sacct", "-j", f"{jobs.ids['good']},{jobs.ids['stopped']}")
    good, stopped = (f"{jobs.ids[name]:<12} " for name in ("good", "stopped"))
    batch = f"{jobs.ids['good'] + '.batch':<12} "
    lines = text.splitlines()
    assert lines[:5] == [
        "JobID           JobName  Partition    Account  AllocCPUS      State ExitCode ",
        "------------ ---------- ---------- ---------- ---------- ---------- -------- ",
        good + "      good       main       root          1  COMPLETED      0:0 ",
        batch + "     batch                  root          1  COMPLETED      0:0 ",
        stopped + "   stopped       main       root          2 CANCELLED+      0:0 ",
    ]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (
            ["-b"],
            "JobID             State ExitCode \n------------ ---------- -------- \n"
            "ID            COMPLETED      0:0 \n",
        ),
        (["-n", "-o", "jobname%3,state%-12,exitcode"], "go+ COMPLETED         0:0 \n"),
        (["-p", "-o", "jobname,state"], "JobName|State|\ngood|COMPLETED|\n"),
        (["-P", "-o", "jobname,state"], "JobName|State\ngood|COMPLETED\n"),
        (["-n", "-p", "--delimiter=;", "-o", "jobname,state"], "good;COMPLETED;\n"),
    ],
)
def test_formats(jobs: Jobs, options: list[str], text: str) -> None:
    printed = jobs.slurm.ok("sacct", "-X", "-j", jobs.ids["good"], *options)
    assert printed.replace(f"{jobs.ids['good']:<12}", "ID          ") == text


def names(jobs: Jobs, *options: str) -> set[str]:
    return set(jobs.rows("-X", "-o", "jobname", *options))


def test_what_is_chosen(jobs: Jobs) -> None:
    everything = names(jobs, "-S", "now-3600seconds")
    # Those that could never have started are known by their ids only, or their state.
    assert everything >= set(FATES) - {"held", "later"}
    assert not everything & {"held", "later"}
    ids = ",".join(jobs.ids.values())
    assert names(jobs, "-j", ids) == set(FATES)
    assert names(jobs, "-j", ids, "-S", "now-3600seconds") == set(FATES)
    assert "good" not in names(jobs, "-j", ids, "-S", "now-1seconds")
    state = ["-S", "now-3600seconds", "-E", "now"]
    assert names(jobs, *state, "-s", "F") == {"three", "high", "killed", "nodir"}
    assert names(jobs, *state, "-s", "cancelled") >= {"stopped", "held", "later", "foreign"}
    assert names(jobs, "-s", "F") == set()  # that are so now
    assert names(jobs, "-S", "now-3600seconds", "-u", "nobody") == {"foreign"}
    assert "foreign" not in names(jobs, "-S", "now-3600seconds", "-u", "0")
    assert names(jobs, "-S", "now-3600seconds", "--name", "good,three") == {"good", "three"}
    assert names(jobs, "-S", "now-3600seconds", "-N", "node03") == {"three"}
    assert names(jobs, "-S", "now-3600seconds", "-r", "alt") == set()
    assert names(jobs, "-j", jobs.ids["good"], "-M", "zz") == set()
    assert names(jobs, "-j", "99999") == set()


def test_common_users_see_their_own_jobs_unless_they_ask(jobs: Jobs) -> None:
    def seen(*options: str) -> set[str]:
        text = jobs.slurm.ok(
            "sacct",
            "-n",
            "-P",
            "-X",
            "-S",
            "now-3600seconds",
            "-o",
            "jobname",
            *options,
            user="nobody",
        )
        return set(text.split())

    assert seen() == {"foreign"}
    assert seen("-a") >= {"foreign", "good"}
    assert seen("-j", jobs.ids["good"]) == {"good"}


def test_the_runs_of_a_requeued_job(jobs: Jobs) -> None:
    slurm = jobs.slurm
    job_id = slurm.start("sleep 300", "-w", "node05")
    slurm.ok("scontrol", "requeue", job_id)
    wait_until(lambda: slurm.field(job_id, "%r") == "BeginTime", "requeued")
    wait_until(
        lambda: jobs.rows("-D", "-j", job_id, "-o", "state,exitcode,timelimit")
        == ["REQUEUED|0:0|Partition_Limit", "CANCELLED|0:15|", "PENDING|0:0|Partition_Limit"],
        "waits",
    )
    # It may not start yet, and is not among those of a time.
    assert "again" in names(jobs, "-S", "now-3600seconds", "-s", "RQ", "-E", "now")
    slurm.ok("scancel", job_id)
    states = ["REQUEUED", "CANCELLED by 0"]
    query = ["-X", "-j", job_id, "-o", "state"]
    wait_until(lambda: jobs.rows("--duplicates", *query) == states, "both runs")
    assert jobs.rows(*query) == states[1:]


def test_arrays(jobs: Jobs) -> None:
    slurm = jobs.slurm
    array = slurm.submit("exit $SLURM_ARRAY_TASK_ID", "-a", "0-2%2", "-J", "tasks")
    held = slurm.submit("true", "-a", "1-4", "-H", "-J", "tasks")
    slurm.ok("scancel", held)

    def shown(*options: str) -> list[str]:
        return jobs.rows(*options, "-o", "jobid,state,exitcode")

    whole = [f"{array}_0|COMPLETED|0:0", f"{array}_1|FAILED|1:0", f"{array}_2|FAILED|2:0"]
    wait_until(lambda: shown("-X", "-j", array) == whole, "all tasks have ended")
    assert shown("-j", f"{array}_1") == [f"{array}_1|FAILED|1:0", f"{array}_1.batch|FAILED|1:0"]
    assert shown("-j", f"{array}_2.batch") == [f"{array}_2.batch|FAILED|2:0"]
    (raw,) = jobs.rows("-X", "-j", f"{array}_0", "-o", "jobidraw")
    assert raw != array
    assert shown("-X", "-j", raw) == whole[:1]
    wait_until(lambda: shown("-X", "-j", held) == [f"{held}_[1-4]|CANCELLED by 0|0:0"], "ended")
    assert names(jobs, "-j", array) == {"tasks"}


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["-j", "1_[2-3]"], "sacct: fatal: Bad job array element specified: 1\n"),
        (["-o", "nosuch"], 'sacct: error: Invalid field requested: "nosuch"\n'),
        (["-s", "xx"], "sacct: fatal: unrecognized job state value 'xx'\n"),
        (["-u", "nosuch"], "sacct: error: Invalid user id: nosuch\n"),
        (["-u", "99999"], "sacct: error: Invalid user id: 99999\n"),
        (["-j", "abc"], "sacct: fatal: Bad job/step specified: abc\n"),
        (["-S", "x"], "Invalid time specification (pos=0): x\n"),
        (["foo"], "sacct: error: Unknown arguments:\nsacct: error:  foo\n"),
        (["--foo"], "sacct: unrecognized option '--foo'\n"),
    ],
)
def test_wrong_calls(jobs: Jobs, words: list[str], text: str) -> None:
    result: Any = jobs.slurm.run("sacct", *words)
    assert (result.returncode, result.stdout, result.stderr) == (1, "", text)


def test_a_time_that_is_over_before_it_begins(jobs: Jobs) -> None:
    result = jobs.slurm.run("sacct", "-S", "now+1hour")
    assert result.returncode == 1
    assert re.fullmatch(
        r"sacct: error: Start time \(\S+\) requested is after end time "
        r"\(\S+\)\.\n",
        result.stderr,
    )


def test_without_a_controller(jobs: Jobs) -> None:
    with jobs.slurm.down():
        assert names(jobs, "-j", jobs.ids["good"]) == {"good"}
