"""The fake of each release prints what that release printed.

Compared with captured output: two clusters of the same nodes were brought into the same state by
the same steps, one of 22.05.8 and one of 25.11.8 (see ``tests/data/slurm/README.md``). Here the
fake goes through those steps. What differs by nature (times, ids, ports, loads) is put aside.
"""

from __future__ import annotations

import difflib
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from captures import DATA
from clusters import FakeForTests, wait_until
from machines import fake

from open_directory import open_directory
from pavilion.schedulers.plugins.slurm import queries
from pavilion.testkit.description import parse

FOLDERS = {"22.05": DATA / "22.05.8", "25.11": DATA / "25.11"}
NODES = [
    {"names": "lone", "cpus": 2, "memory": 1000},
    {"names": "node[01-04]", "cpus": 4, "memory": 2000, "features": ["a", "fast"]},
    {"names": "node[05-08]", "cpus": 8, "memory": 4000, "features": ["b"]},
]
PARTITIONS = [
    {"name": "main", "nodes": "node[01-06]", "default": True, "max_time": 60},
    {"name": "alt", "nodes": "node[05-08]"},
    {"name": "secret", "nodes": "node[07-08]", "hidden": True},
]
# Name -> script and options. Those of arrays, hetjobs and suspended jobs are left out.
JOBS = {
    "timeout": ("sleep 300", "-t 1 -w node01"),
    "nodefail": ("sleep 300", "-w node04 --no-requeue"),
    "held": ("true", "-H"),
    "never": ("true", "-N 9"),
    "toolong": ("true", "-t 300"),
    "later": ("true", "--begin=now+1hour"),
    "fails": ("exit 3", "-w node03"),
    "killed": ("kill -9 $$", "-w node03"),
    "cancelled": ("true", "-H"),
    "drained": ("true", "-w node02"),
}


class Captured(NamedTuple):
    """A cluster of the fake in the state that was captured, and the files of its release."""

    slurm: FakeForTests
    work: Path
    data: Path
    release: str

    def read(self, name: str) -> str:
        text = (self.data / f"{name}.txt").read_text(encoding="utf-8")
        return text.replace("\x1e\n", "\x1e")

    def ask(self, *argv: str) -> str:
        return self.slurm.ok(*argv, env=queries.QUERY_SET).replace("\x1e\n", "\x1e")

    def submit(self, name: str, body: str, options: str) -> str:
        words = ["sbatch", "--parsable", "-J", name, *shlex.split(options)]
        return self.slurm.ok(*words, cwd=self.work, input=f"#!/bin/sh\n{body}\n").strip()

    def state(self, job_id: str) -> str:
        return self.slurm.jobs()[job_id]["state"]


@pytest.fixture(scope="module", params=sorted(FOLDERS))
def captured(request: pytest.FixtureRequest) -> Iterator[Captured]:
    release = request.param
    made = parse({"name": "t", "release": release, "nodes": NODES, "partitions": PARTITIONS})
    with open_directory("test-release-") as path, fake(made, minute=2) as slurm:
        work = path / "work"
        work.mkdir()
        one = Captured(slurm, work, FOLDERS[release], release)
        bring_about(one)
        yield one


def bring_about(one: Captured) -> None:
    slurm = one.slurm
    ids = {name: one.submit(name, *JOBS[name]) for name in list(JOBS)[:-1]}
    wait_until(lambda: one.state(ids["nodefail"]) == "RUNNING", "nodefail")
    # Slurm finds the node gone, and says so twice in the newer release.
    gone = "Not responding" + (" : Not responding" if one.release == "25.11" else "")
    slurm.set_node_state("node04", "DOWN+NOT_RESPONDING", gone)
    slurm.ok("scancel", ids["cancelled"])
    slurm.drain("node02", "x State=IDLE foo")
    slurm.reserve("mnt", ["node07", "node08"], flags=["maint"])
    slurm.reserve("plain", ["node06"])
    slurm.reserve("later", ["node05", "node06"], start="now+2days", flags=["daily"])
    slurm.set_node_state("node08", "IDLE+PLANNED")
    ids["drained"] = one.submit("drained", *JOBS["drained"])
    ids["r"] = one.submit(
        "r",
        "trap '' TERM; sleep 300 & wait; wait",
        "--comment tok -p alt -w node07 --reservation=mnt",
    )
    for name, state in (
        ("timeout", "TIMEOUT"),
        ("nodefail", "NODE_FAIL"),
        ("fails", "FAILED"),
        ("killed", "FAILED"),
        ("r", "RUNNING"),
    ):
        wait_until(lambda name=name, state=state: one.state(ids[name]) == state, name)
    wait_until(lambda: slurm.jobs()[ids["drained"]]["reason"] != "None", "a reason")
    busy = one.submit("requeued", "sleep 300", "-w node01")
    wait_until(lambda: one.state(busy) == "RUNNING", "requeued")
    slurm.drain("node01", "disk\nState=IDLE | two lines")
    slurm.set_setting("kill_wait", 300)
    slurm.ok("scancel", ids["r"])
    wait_until(lambda: one.state(ids["r"]) == "COMPLETING", "completing")


PUT_ASIDE = (
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", "TIME"),
    (r"CPULoad=[\d.]+", "CPULoad=LOAD"),
    (r"FreeMem=\d+", "FreeMem=N"),
    (r"Port=\d+", "Port=PORT"),
    (r"NodeHostName=\S+", "NodeHostName=HOST"),
    (r" OS=Linux .*  RealMemory", " OS  RealMemory"),
    (r"JobId=\d+", "JobId=ID"),
    (r"Priority=42949\d{5}", "Priority=HIGH"),
    (r"AllocNode:Sid=\S+", "AllocNode"),
    (r"RunTime=\S+", "RunTime"),
    (r"Scheduler=\S+", "Scheduler"),
    (r"slurm-\d+\.out", "slurm-ID.out"),
    # Either is seen of jobs that are alike: without a limit, by which scheduler started them.
    (r"365-00:00:00", "UNLIMITED"),
    (r"NumNodes=(\d+)-\1\b", r"NumNodes=\1"),
    (r"SchedNodeList=\S+ ", ""),
    (r"(Slurmctld\(primary\) at) \S+", r"\1 host"),
    (r"as of TIME", "as of"),
    (r"for job \d+", "for job ID"),
    (r"job id \d+", "job id ID"),
)


def normal(text: str) -> str:
    for pattern, replacement in PUT_ASIDE:
        text = re.sub(pattern, replacement, text)
    return text


def assert_same(printed: str, expected: str, separator: str = "\n") -> None:
    ours, theirs = normal(printed).split(separator), normal(expected).split(separator)
    difference = "\n".join(
        difflib.unified_diff(theirs, ours, "captured", "printed", n=0, lineterm="")
    )
    assert not difference, difference


def test_nodes(captured: Captured) -> None:
    assert_same(captured.ask(*queries.inventory()), captured.read("nodes"), "\x1e")


def test_nodes_in_full(captured: Captured) -> None:
    assert_same(captured.ask(*queries.inventory_in_full()), captured.read("nodes_scontrol"))


def test_the_default_list_of_nodes(captured: Captured) -> None:
    assert_same(captured.ask("sinfo", "-a"), captured.read("sinfo_default"))


def test_partitions(captured: Captured) -> None:
    assert_same(captured.ask(*queries.partitions()), captured.read("partitions"))


def test_reservations(captured: Captured) -> None:
    assert_same(captured.ask(*queries.reservations()), captured.read("reservations"))


def by_name(text: str, position: int) -> dict[str, list[str]]:
    """The rows of ``squeue -O``, without ids, by name of job."""
    rows = [row.split("\x1f") for row in text.split("\x1e")[1:] if row.strip()]
    return {row[position]: row[2:] for row in rows}


def test_jobs(captured: Captured) -> None:
    name = list(queries.JOB_FIELDS).index("name")
    printed = captured.ask(*queries.jobs(0))
    theirs = by_name(captured.read("jobs"), name)
    ours = by_name(printed, name)
    assert printed.split("\x1e")[0] == captured.read("jobs").split("\x1e")[0]
    assert set(ours) == {*JOBS, "r", "requeued"}
    for job in sorted(set(ours) - {"requeued", "nodefail", "r"}):
        assert normal("|".join(ours[job])) == normal("|".join(theirs[job])), job
    # Its restart was left out here; what ended the other depended on how the node was lost.
    for job, fields in {"requeued": ("restarts",), "nodefail": ("exit_code",), "r": ()}.items():
        for number, field in enumerate(list(queries.JOB_FIELDS)[2:]):
            if field not in fields:
                assert normal(ours[job][number]) == normal(theirs[job][number]), (job, field)


JOB_TEXTS = [*JOBS, "r", "requeued"]


@pytest.mark.parametrize("name", JOB_TEXTS)
def test_jobs_in_full(captured: Captured, name: str) -> None:
    def line(text: str) -> str:
        found = [each for each in text.splitlines() if f" JobName={name} " in each]
        assert len(found) == 1
        # The captured job was requeued, and the submit line knows where the job came from.
        each = re.sub(r"Restarts=1", "Restarts=0", found[0])
        return each.replace(str(captured.work), "/cluster/work").replace(" ", "\n")

    printed = line(captured.ask("scontrol", "-a", "-o", "show", "job"))
    expected = line(captured.read("jobs_scontrol"))
    if name == "nodefail":  # the first cluster's job was ended by the signal that killed its node
        printed, expected = (
            re.sub(r"ExitCode=0:(9|15)\n", "ExitCode=0:N\n", text) for text in (printed, expected)
        )
    assert_same(printed, expected)


# -- single commands: the file holds words, return code and both outputs --------------------------

ANSWERS = [
    "sbatch_bad_partition",
    "sbatch_bad_feature",
    "sbatch_bad_reservation",
    "sbatch_bad_nodes",
    "sbatch_bad_time",
    "sbatch_bad_few",
    "scancel_unknown",
    "squeue_unknown_user",
    "squeue_unknown_job",
    "squeue_two_unknown_jobs",
    "scontrol_unknown_job",
    "sacct",
]
FAULTS = [
    "down_hold",
    "down_requeue",
    "down_scancel",
    "down_sinfo",
    "down_squeue_job",
    "down_sdiag",
    "down_ping",
    "down_scontrol_config",
    "frozen_hold",
    "frozen_scontrol_config",
]


def check_answer(one: Captured, name: str, also: str = "") -> None:
    text = (one.data / f"{name}.txt").read_text(encoding="utf-8")
    match = re.fullmatch(r"\$ (.*?)\nrc (\d+)\n--- stdout\n(.*)--- stderr\n(.*)", text, re.DOTALL)
    assert match is not None
    script = one.work / "ok.sh"
    script.write_text("#!/bin/sh\ntrue\n")
    words = match[1].replace("/cluster/ok.sh", str(script)).split(" ")
    result = one.slurm.run(*words, env=queries.QUERY_SET, cwd=one.work)
    assert result.returncode == int(match[2])
    number = r"^\d+$" if words[0] == "sbatch" else r"^$"  # the id of the new job
    assert_same(
        re.sub(number, "ID", result.stdout, flags=re.MULTILINE),
        re.sub(number, "ID", match[3], flags=re.MULTILINE),
    )
    assert normal(result.stderr) == normal(match[4])


@pytest.mark.parametrize("name", ANSWERS)
def test_answers(captured: Captured, name: str) -> None:
    check_answer(captured, name)


@pytest.mark.parametrize("name", FAULTS)
def test_answers_without_a_controller(captured: Captured, name: str) -> None:
    captured.slurm.set_fault(name.split("_")[0])
    try:
        check_answer(captured, name)
    finally:
        captured.slurm.clear_fault()


def test_the_version(captured: Captured) -> None:
    assert captured.ask("sinfo", "--version") == captured.read("version")


# -- behaviour; the captured clusters' sites told of it -------------------------------------------


def test_a_reservation_of_others(captured: Captured) -> None:
    captured.slurm.reserve("his", ["node05"], users="daemon", start="now+5hours")
    check_answer(captured, "sbatch_bad_resv_denied")
    text = captured.slurm.ok("squeue", "-h", "-o", "%i", "-R", "his").split()
    if text:
        captured.slurm.ok("scancel", *text)
    captured.slurm.unreserve("his")


def test_the_missing_directory_of_the_output(captured: Captured) -> None:
    """Made from 25.05 on; until then the job failed without having run."""
    path = captured.work / "no" / "such" / "o.txt"
    job_id = captured.submit("dir", "echo here", f"-w node03 -o {path}")
    wait_until(lambda: captured.state(job_id) in ("COMPLETED", "FAILED"), "ended")
    job = captured.slurm.jobs()[job_id]
    if captured.release == "25.11":
        assert job["state"] == "COMPLETED"
        assert path.read_text() == "here\n"
    else:
        assert (job["state"], job["exit_signal"]) == ("FAILED", 53)
        assert not path.parent.exists()


@pytest.mark.parametrize(
    ("given", "old", "new"),
    [("a\\\\b.out", "a\\b.out", "ab.out"), ("a\\b.out", "ab.out", "ab.out")],
)
def test_backslashes_in_the_path_of_the_output(
    captured: Captured, given: str, old: str, new: str
) -> None:
    job_id = captured.slurm.ok(
        "sbatch", "--parsable", "-w", "node03", "-o", given, "--wrap", "true", cwd=captured.work
    ).strip()
    wait_until(lambda: captured.state(job_id) == "COMPLETED", "ended")
    expected = captured.work / (new if captured.release == "25.11" else old)
    assert expected.exists()
    expected.unlink()


def test_host_lists_with_text_behind_the_bracket(captured: Captured) -> None:
    result = captured.slurm.run("scontrol", "show", "hostnames", "n[08-09]-ib")
    assert result.returncode == 0
    assert result.stdout == ("n08-ib\nn09-ib\n" if captured.release == "25.11" else "")


def test_the_reason_of_a_node_that_was_resumed(captured: Captured) -> None:
    captured.slurm.ok("scontrol", "update", "nodename=node03", "state=drain", "reason=odd")
    captured.slurm.ok("scontrol", "update", "nodename=node03", "state=resume")
    text = captured.slurm.ok("scontrol", "-o", "show", "node", "node03")
    assert " State=IDLE " in text
    assert (" Reason=odd [" in text) == (captured.release == "25.11")


def test_the_exit_code_of_a_cancelled_job(captured: Captured) -> None:
    job_id = captured.submit("gone", "sleep 300", "-w node03")
    wait_until(lambda: captured.state(job_id) == "RUNNING", "running")
    captured.slurm.set_setting("kill_wait", 2)
    captured.slurm.ok("scancel", job_id)
    wait_until(lambda: captured.state(job_id) == "CANCELLED", "cancelled")
    shown = captured.slurm.ok("squeue", "-h", "-t", "all", "-j", job_id, "-O", "exit_code:")
    assert shown.strip() in {"22.05": ("15", "36608"), "25.11": ("0:0",)}[captured.release]
