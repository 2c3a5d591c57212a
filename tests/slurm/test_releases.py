"""What 22.05.8, 25.11 and 26.05 print in the same conditions, read by the same parsers."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator

import pytest
from captures import RELEASES, answer, answers, captured
from recorded import parse_recorded

from pavilion.schedulers.lifecycle.job_table import JobRecord
from pavilion.schedulers.placement.inventory import check_node
from pavilion.schedulers.plugins.slurm.errors import classify, hint
from pavilion.schedulers.plugins.slurm.notes import job_note, parse_exit_code
from pavilion.schedulers.plugins.slurm.parsing import (
    MIB,
    Node,
    Submitted,
    UnreadableAnswer,
    cluster_name,
    default_of_partitions,
    default_partition,
    node_info,
    parse_jobs,
    parse_nodes,
    parse_reservations,
    parse_scontrol_nodes,
    parse_submitted,
    reservations_by_node,
)
from pavilion.schedulers.plugins.slurm.states import NodeRules, parse_node_state, reset_warnings
from pavilion.schedulers.talk.commands import Failure

RULES = NodeRules(["IDLE", "ALLOCATED", "MIXED"], ["IDLE"], ["RESERVED"])
# 2026-11-26T20:00:00 here.
CAPTURED_AT = time.mktime((2026, 11, 26, 20, 0, 0, 0, 0, -1))
every_release = pytest.mark.parametrize("release", RELEASES)


@pytest.fixture(autouse=True)
def _all_words_are_known(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    reset_warnings()
    with caplog.at_level(logging.WARNING):
        yield
    assert [record.getMessage() for record in caplog.records] == []


def nodes_of(release: str, name: str = "nodes") -> dict[str, Node]:
    nodes, refused = parse_nodes(captured(name, release))
    assert refused == []
    by_name = {node.name: node for node in nodes}
    assert len(by_name) == len(nodes)
    return by_name


def jobs_of(release: str) -> dict[str, JobRecord]:
    jobs, refused = parse_jobs(captured("jobs", release))
    assert refused == []
    return {job.data["name"]: job for job in jobs.values()}


# --- Nodes ---


@every_release
def test_nodes(release: str) -> None:
    nodes = nodes_of(release)
    assert sorted(nodes) == [f"node0{i}" for i in range(1, 9)]
    assert nodes["node02"] == Node(
        "node02", "idle+drain", 4, 2000 * MIB, ("a", "fast"), ("main",), "x State=IDLE foo"
    )
    assert nodes["node01"].reason == "disk\nState=IDLE | two lines"
    assert nodes["node05"] == Node("node05", "idle", 8, 4000 * MIB, ("b",), ("main", "alt"), "")
    # One that is in a hidden partition as well.
    assert nodes["node07"].partitions == ("alt", "secret")
    assert nodes["node07"].state == "idle+completing+maintenance+reserved"


@pytest.mark.parametrize(
    ("release", "suffix"),
    [*[(release, "") for release in RELEASES], ("22.05.8", "_mixed"), ("25.11", "_power_reboot")],
)
def test_both_queries_say_the_same(release: str, suffix: str) -> None:
    short = nodes_of(release, f"nodes{suffix}")
    full, refused = parse_scontrol_nodes(captured(f"nodes_scontrol{suffix}", release))
    assert refused == []
    # sinfo has no nodes that are in no partition: no job can get them.
    alone = [node for node in full if node.name not in short]
    assert [node.name for node in alone if node.partitions] == []
    assert len(alone) == (0 if suffix == "_power_reboot" else 1)
    for node in full:
        if node.name in short:
            same = short[node.name]
            assert node[2:5] == same[2:5]
            assert set(node.partitions) == set(same.partitions)
            assert node.reason == same.reason
            # The second query was sent some milliseconds later, and a node then noticed lost.
            flags = parse_node_state(node.state).flags - {"NOT_RESPONDING"}
            assert flags == parse_node_state(same.state).flags - {"NOT_RESPONDING"}


@every_release
def test_why_nodes_cannot_be_used(release: str) -> None:
    nodes = nodes_of(release)
    held = reservations_by_node(parse_reservations(captured("reservations", release))[0])
    infos = {
        name: node_info(node, RULES.judge(node.state), held.get(name, ()))
        for name, node in nodes.items()
    }
    for info in infos.values():
        check_node("slurm", None, info)
    assert {name: info["why"] for name, info in infos.items()} == {
        "node01": "drained by an administrator (DRAIN): disk\nState=IDLE | two lines",
        "node02": "drained by an administrator (DRAIN): x State=IDLE foo",
        "node03": "",
        # 25.11: 'Not responding : Not responding'.
        "node04": "not responding (NOT_RESPONDING): Not responding",
        "node05": "",
        "node06": "reserved (RESERVED)",
        "node07": "in maintenance (MAINTENANCE)",
        "node08": "in maintenance (MAINTENANCE)",
    }
    assert infos["node06"]["reservations"] == ["plain", "later"]


def test_reboots_failing_nodes_and_a_reason_that_stayed() -> None:
    nodes = nodes_of("25.11", "nodes_power_reboot")
    whys = {name: node_info(node, RULES.judge(node.state))["why"] for name, node in nodes.items()}
    assert whys["node03"] == "rebooting (REBOOT_ISSUED): kernel : reboot issued"
    assert whys["node04"] == "drained by an administrator (DRAIN): Reboot ASAP"
    assert whys["node05"] == "expected to fail soon (FAIL): soon"
    # Drained for 'x' once, and resumed.
    assert nodes["node02"].reason == "x" and whys["node02"] == ""


@every_release
def test_nodes_of_a_controller_that_has_just_started(release: str) -> None:
    nodes = nodes_of(release, "nodes_after_restart")
    assert not any(RULES.judge(node.state).up for node in nodes.values())
    assert all(
        RULES.judge(node.state).available for node in nodes_of(release, "nodes_idle").values()
    )


@every_release
def test_the_default_partition(release: str) -> None:
    assert default_partition(captured("nodes_idle", release)) == "main"
    assert default_of_partitions(captured("partitions", release)) == "main"


# --- Reservations ---


@every_release
def test_reservations(release: str) -> None:
    found, refused = parse_reservations(captured("reservations", release))
    assert refused == []
    maint, plain, later = found
    assert (maint.name, maint.nodes) == ("mnt", ("node07", "node08"))
    assert maint.is_maintenance and maint.is_active
    assert not plain.is_maintenance and plain.nodes == ("node06",)
    assert "DAILY" in later.flags and not later.is_active
    assert parse_reservations(captured("reservations_none", release)) == ([], [])


# --- Jobs ---


@every_release
def test_jobs(release: str) -> None:
    jobs = jobs_of(release)
    assert {name: job.state for name, job in jobs.items()} == {
        "timeout": "TIMEOUT",
        "nodefail": "NODE_FAIL",
        "requeued": "RUNNING",
        "susp": "SUSPENDED",
        "new\nline": "COMPLETED",
        "arr": "COMPLETED",
        "held": "PENDING",
        "never": "PENDING",
        "toolong": "PENDING",
        "later": "PENDING",
        "fails": "FAILED",
        "killed": "FAILED",
        "cancelled": "CANCELLED",
        "dep": "PENDING",
        "nofolder": "PENDING",
        "het one": "PENDING",
        "full": "PENDING",
        "drained": "PENDING",
        "r": "COMPLETING",
    }
    assert jobs["new\nline"].data["comment"] == "a=b\nJobState=FAKE"
    assert jobs["requeued"].data["restarts"] == "1"
    assert jobs["never"].data["start"] == "" and jobs["never"].data["nodes"] == ""
    # An array and a heterogeneous job are one each, under the name of the first part, although
    # squeue lists its last part first from 25.11 on.
    assert (jobs["arr"].job_id, jobs["arr"].data["tasks"]) == ("6", "5 COMPLETED")
    assert (jobs["het one"].job_id, jobs["het one"].data["tasks"]) == ("17", "2 PENDING")
    assert parse_jobs(captured("jobs_none", release)) == ({}, [])


@every_release
def test_exit_codes(release: str) -> None:
    """squeue writes 768 up to 22.05, and '3:0' from 23.02 on."""
    jobs = jobs_of(release)
    codes = {
        name: parse_exit_code(jobs[name].data["exit_code"])
        for name in ("fails", "killed", "timeout", "cancelled", "r")
    }
    assert codes == {
        "fails": (3, 0),
        "killed": (0, 9),
        "timeout": (0, 15),
        "cancelled": (0, 0),
        "r": (0, 0),
    }


@every_release
def test_notes_of_jobs_that_are_over(release: str) -> None:
    jobs = jobs_of(release)

    def note(name: str) -> str:
        text = job_note("1", jobs[name].data)
        before, _, rest = text.partition(" at 2026-")
        return before + rest[len("11-26T00:00:00") :]

    assert note("timeout") == (
        "Job 1 was stopped at its time limit of 1:00 (TIMEOUT) on node01. "
        "Killed by signal 15 (SIGTERM)."
    )
    # '9' in 22.05.8 and '0:1' in the others, but nobody saw a process of it get a signal.
    assert note("nodefail") == (
        "Job 1 was lost: one of its nodes failed (NODE_FAIL, NodeDown) on node04."
    )
    assert note("fails") == "Job 1 failed (FAILED) on node03. Exit code 3."
    assert note("cancelled") == "Job 1 was cancelled (CANCELLED)."
    # 22.05.8 calls that a JobLaunchFailure.
    reason = ", JobLaunchFailure" if release == "22.05.8" else ""
    assert note("killed") == (
        f"Job 1 failed (FAILED{reason}) on node03. Killed by signal 9 (SIGKILL)."
    )


@every_release
def test_notes_of_jobs_that_wait(release: str) -> None:
    jobs = jobs_of(release)

    def waits(name: str) -> str:
        note = job_note("1", jobs[name].data, CAPTURED_AT)
        return note.removeprefix("Job 1 is waiting").partition(":")[0]

    assert {name: waits(name) for name in ("held", "never", "toolong", "later", "dep")} == {
        "held": " and needs an administrator",
        "never": " but can never run as it is",
        "toolong": " but can never run as it is",
        "later": "",
        "dep": " but can never run as it is",
    }
    # Nodes that are down are named. From 24.11 on, drained ones are not.
    name, node = ("drained", "node02") if release == "22.05.8" else ("full", "node04")
    assert waits(name) == " and needs an administrator"
    assert f"drained or not responding: {node} (" in job_note("1", jobs[name].data)
    # Nobody's help is needed for a job that has a start.
    assert waits("nofolder") == "" and "Expected start: 2026-" in job_note(
        "1", jobs["nofolder"].data, CAPTURED_AT
    )
    assert not any("not known here" in job_note("1", job.data) for job in jobs.values())


@every_release
def test_recorded_options(release: str) -> None:
    found, refused = parse_recorded(captured("recorded", release))
    assert refused == []
    assert found["17"]["num_nodes"] == "1" and found["17"]["include_nodes"] == "node08"
    assert found["7"]["time_limit"] == "1:00:00" and found["7"]["reservation"] == ""


# --- The controller, and submissions ---


@every_release
def test_the_clusters_name(release: str) -> None:
    assert cluster_name(captured("config", release)) == "t"


@every_release
def test_submitted(release: str) -> None:
    assert parse_submitted(answer("sbatch_plain", release).stdout) == Submitted("25", "")
    assert parse_submitted(answer("sbatch_parsable", release).stdout) == Submitted("26", "")


# --- Errors ---

PERMANENT, DENIED, UNKNOWN = Failure.PERMANENT, Failure.DENIED, Failure.UNKNOWN_JOB
KINDS: dict[str, Failure | None] = {
    "requeue_norequeue": PERMANENT,
    # Whoever runs sacct knows that text; see accounting.
    "sacct": Failure.TRANSIENT,
    "sbatch_bad_account": None,
    "sbatch_bad_config": None,
    "sbatch_bad_feature": PERMANENT,
    "sbatch_bad_few": None,
    "sbatch_bad_nodes": PERMANENT,
    "sbatch_bad_partition": PERMANENT,
    "sbatch_bad_qos": None,
    "sbatch_bad_reservation": PERMANENT,
    "sbatch_bad_resv_denied": None,
    "sbatch_bad_time": PERMANENT,
    "sbatch_parsable": None,
    "sbatch_plain": None,
    "sbatch_script_directive": PERMANENT,
    "sbatch_script_dos": PERMANENT,
    "sbatch_script_empty": PERMANENT,
    "sbatch_script_noshebang": PERMANENT,
    "sbatch_script_option": PERMANENT,
    "sbatch_script_quote": PERMANENT,
    "scancel_other_user": DENIED,
    "scancel_over": None,
    "scancel_unknown": None,
    "scancel_verbose_over": UNKNOWN,
    "scontrol_unknown_job": UNKNOWN,
    "sinfo_unknown_field": PERMANENT,
    "squeue_two_unknown_jobs": None,
    "squeue_unknown_job": UNKNOWN,
    # A user id without a name: from 25.11 on, its jobs.
    "squeue_unknown_user": None,
}
KINDS_OF_22_05 = {
    "sbatch_bad_few": PERMANENT,
    "sbatch_bad_resv_denied": DENIED,
    "squeue_unknown_user": PERMANENT,
}


@every_release
def test_every_answer_of_every_command(release: str) -> None:
    expected = {**KINDS, **(KINDS_OF_22_05 if release == "22.05.8" else {})}
    found = {name: answer(name, release) for name in answers(release)}
    kinds = {
        name: classify(
            one.returncode, one.stdout, one.stderr, one.command.replace("runuser", "scancel")
        )
        for name, one in found.items()
    }
    trouble = {name for name in found if name.startswith(("down_", "frozen_"))}
    assert len(trouble) == 30
    assert {name: kinds[name] for name in trouble} == dict.fromkeys(trouble, Failure.TRANSIENT)
    assert {name: kind for name, kind in kinds.items() if name not in trouble} == expected


@every_release
def test_hints(release: str) -> None:
    assert "schedule.partition" in hint(answer("sbatch_bad_partition", release).stderr)
    assert "schedule.slurm.features" in hint(answer("sbatch_bad_feature", release).stderr)
    assert "sbatch_extra" in hint(answer("sbatch_script_quote", release).stderr)


@every_release
def test_an_answer_without_a_field_is_none(release: str) -> None:
    with pytest.raises(UnreadableAnswer, match="does not begin with its header"):
        parse_nodes(answer("sinfo_unknown_field", release).stdout)
