"""``squeue --json`` and ``sinfo --json``: the fake's say nothing that a real one's do not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from captures import DATA
from clusters import Slurm, wait_until
from machines import description, fake

from open_directory import open_directory

# What the fake knows nothing of, and does not say.
NOT_SAID = {"flags", "job_resources", "step_id", "last_backfill", "last_update"}
# Times, ids, places: of the right kind, and no more.
BY_NATURE = {
    "job_id",
    "priority",
    "accrue_time",
    "eligible_time",
    "start_time",
    "end_time",
    "submit_time",
    "last_sched_evaluation",
    "current_working_directory",
    "stdout_expanded",
    "allocating_node",
    "boot_time",
    "slurmd_start_time",
    "last_busy",
    "cpu_load",
    "free_memory",
    "hostname",
    "port",
    "operating_system",
    "reason_changed_at",
    "command",
    "submit_line",
}
ALL = ["squeue", "--json", "-a", "-t", "all"]


def document(slurm: Any, *argv: str, **more: Any) -> Any:
    return json.loads(slurm.ok(*argv, **more))


def check_row(printed: dict[str, Any], expected: dict[str, Any]) -> None:
    """All that is printed is as expected, times and places by their type."""
    for key, value in printed.items():
        assert key in expected, f"'{key}' is not a field"
        if key in NOT_SAID:  # a real one does
            continue
        if key in BY_NATURE:
            assert type(value) is type(expected[key]), key
        else:
            assert value == expected[key], key
    missing = set(expected) - set(printed) - NOT_SAID - BY_NATURE
    assert not missing, missing


def test_all_jobs_are_given(slurm: Slurm) -> None:
    job_id = slurm.submit("exit 3", "-J", "three", "--comment", 'a/b "c"', "-t", "5", "-C", "a")
    held = slurm.submit("true", "-H")
    slurm.wait_state(job_id, "FAILED")
    answer = document(slurm, "squeue", "--json", "-j", held)  # not just this one
    rows = {str(row["job_id"]): row for row in answer["jobs"]}
    assert set(rows) >= {job_id, held}
    row = rows[job_id]
    wanted = {
        "job_state": "FAILED",
        "exit_code": 768,
        "state_reason": "NonZeroExitCode",
        "name": "three",
        "comment": 'a/b "c"',
        "time_limit": 5,
        "features": "a",
        "cpus": 1,
        "user_name": "root",
        "nice": None,
        "requeue": True,
        "batch_flag": True,
    }
    assert {key: row[key] for key in wanted} == wanted
    assert rows[held]["start_time"] == rows[held]["eligible_time"] == 0
    assert '"a\\/b \\"c\\""' in slurm.ok(*ALL)
    assert answer["errors"] == []
    assert answer["meta"]["Slurm"]["release"] == "22.05.8"


def test_jobs_of_several_kinds_have_the_fields_of_a_real_one(slurm: Slurm) -> None:
    """The captured rows stand for a real one here, and a real one for them."""
    captured = json.loads((DATA / "22.05.8" / "squeue_json_one.json").read_text())
    samples = {row["name"]: row for row in captured["jobs"]}
    ids = {
        "fails": slurm.submit("exit 3", "-J", "fails", "-w", "node03"),
        "held": slurm.submit("true", "-J", "held", "-H"),
        "later": slurm.submit("true", "-J", "later", "--begin=now+1hour"),
        "never": slurm.submit("true", "-J", "never", "-N", "9"),
        "cancelled": slurm.submit("true", "-J", "cancelled", "-H"),
    }
    slurm.wait_state(ids["fails"], "FAILED")
    slurm.ok("scancel", ids["cancelled"])
    wait_until(lambda: slurm.field(ids["never"], "%r") == "PartitionNodeLimit", "a reason")
    rows = {str(row["job_id"]): row for row in document(slurm, *ALL)["jobs"]}
    for name, job_id in ids.items():
        check_row(rows[job_id], samples[name])


def test_a_completing_job(slurm: Slurm) -> None:
    job_id = slurm.submit("trap '' TERM; sleep 300 & wait; wait")
    slurm.wait_state(job_id, "RUNNING")
    slurm.ok("scancel", job_id)
    slurm.wait_state(job_id, "COMPLETING", "CANCELLED")
    rows = {str(row["job_id"]): row for row in document(slurm, *ALL)["jobs"]}
    assert rows[job_id]["job_state"] in ("COMPLETING", "CANCELLED")


def test_arrays(slurm: Slurm) -> None:
    """Each record by itself, as the controller keeps them."""
    array = int(slurm.submit("sleep 300", "-a", "2-4%1", "-w", "node05"))
    held = int(slurm.submit("true", "-a", "1-9:2", "-H"))
    wait_until(lambda: len(slurm.ok("squeue", "-h", "-j", str(array)).split("\n")) == 3, "a task")
    rows = [row for row in document(slurm, *ALL)["jobs"] if row["array_job_id"] in (array, held)]
    (task,) = (row for row in rows if row["job_state"] == "RUNNING")
    assert len(rows) == 3
    assert task["job_id"] not in (array, held)
    for row, expected in (
        (task, (array, 2, 1, "")),
        (next(row for row in rows if row["job_id"] == array), (array, None, 1, "3-4%1")),
        (next(row for row in rows if row["job_id"] == held), (held, None, 0, "1,3,5,7,9")),
    ):
        assert (
            tuple(row[f"array_{key}"] for key in ("job_id", "task_id", "max_tasks", "task_string"))
            == expected
        )
    slurm.ok("scancel", str(array), str(held))


def test_jobs_of_several_partitions(slurm: Slurm) -> None:
    job_id = int(slurm.submit("true", "-H", "-p", "main,alt"))
    (row,) = (row for row in document(slurm, *ALL)["jobs"] if row["job_id"] == job_id)
    assert (row["partition"], row["tres_req_str"]) == (
        "main,alt",
        "cpu=1,mem=2000M,node=1,billing=1",
    )


def test_what_a_job_asked_for_is_not_what_it_has(slurm: Slurm) -> None:
    slurm.wait_idle(*slurm.node_names[:6])
    ids = [
        int(slurm.submit("sleep 300", *options.split()))
        for options in ("-n9", "--exclusive", "-N2 -n3")
    ]
    for job_id in ids:
        slurm.wait_state(str(job_id), "RUNNING")
    found = {
        row["job_id"]: (row["tres_req_str"], row["tres_alloc_str"], row["node_count"])
        for row in document(slurm, *ALL)["jobs"]
    }
    assert [found[job_id] for job_id in ids] == [
        ("cpu=9,mem=2000M,node=1,billing=9", "cpu=9,node=3,billing=9", 3),
        ("cpu=1,mem=2000M,node=1,billing=1", "cpu=4,node=1,billing=4", 1),
        ("cpu=3,mem=4000M,node=2,billing=3", "cpu=3,node=2,billing=3", 2),
    ]
    slurm.ok("scancel", *map(str, ids))


@pytest.mark.parametrize(
    ("options", "shown", "full"),
    [
        ("-n9", "9 3", "3"),
        ("-n9 -c3", "27 9", "9"),
        ("-n3 -N2", "3 2", "2-2"),
        ("-n5 -N1-4", "5 2", "2-4"),
        ("-n8 --ntasks-per-node=2", "8 4", "4"),
    ],
)
def test_the_nodes_that_waiting_tasks_need(
    slurm: Slurm, options: str, shown: str, full: str
) -> None:
    job_id = slurm.submit("true", "-H", *options.split())
    assert slurm.field(job_id, "%C %D") == shown
    assert slurm.show(job_id)["NumNodes"] == full


def test_nodes(slurm: Slurm) -> None:
    slurm.wait_idle("node02", "node03")
    slurm.drain("node02", "odd\nreason")
    # All of them, hidden or not, whatever is asked for.
    answer = document(slurm, "sinfo", "--json", "-n", "node01")
    rows = {row["name"]: row for row in answer["nodes"]}
    assert list(rows) == slurm.node_names
    captured = json.loads((DATA / "22.05.8" / "sinfo_json.json").read_text())["nodes"]
    expected = {**captured[3], "name": "node03", "features": "a,odd", "active_features": "a,odd"}
    check_row(rows["node03"], expected)
    assert {
        key: rows["node02"][key]
        for key in ("state", "state_flags", "reason", "partitions", "reason_set_by_user")
    } == {
        "state": "idle",
        "state_flags": ["DRAIN"],
        "reason": "odd\nreason",
        "partitions": ["main"],
        "reason_set_by_user": "root",
    }
    assert rows["node08"]["partitions"] == ["alt", "secret"]


# -- 25.11, of which there is no real one here ----------------------------------------------------


@pytest.fixture
def modern() -> Iterator[Slurm]:
    with open_directory("test-json-") as path, fake(description(release="25.11")) as cluster:
        yield Slurm(cluster, path)


def check_below(printed: Any, expected: Any, where: str = "") -> None:
    """All keys of the printed one are in the captured one, with values of the same type."""
    assert type(printed) is type(expected), where
    if isinstance(printed, dict):
        for key, value in printed.items():
            assert key in expected, f"{where}: '{key}'"
            check_below(value, expected[key], f"{where}.{key}")


def test_a_job_in_the_layout_of_25_11(modern: Slurm) -> None:
    captured = json.loads((DATA / "25.11" / "squeue_json_one.json").read_text())
    held = modern.ok("sbatch", "--parsable", "-J", "held", "-H", input="#!/bin/sh\ntrue\n")
    other = modern.submit("exit 3", "-J", "other")
    answer = document(modern, "squeue", "--json", "-j", held.strip())
    (row,) = answer["jobs"]
    # The real one had been looked at by the scheduler.
    check_row({**row, "max_nodes": captured["jobs"][0]["max_nodes"]}, captured["jobs"][0])
    check_below(answer["meta"], captured["meta"])
    assert answer["meta"]["slurm"] == captured["meta"]["slurm"]
    modern.wait_state(other, "FAILED")
    (row,) = document(modern, "squeue", "--json", "-t", "all", "-j", other)["jobs"]
    assert row["job_state"] == ["FAILED"]
    assert row["exit_code"]["return_code"] == {"set": True, "infinite": False, "number": 3}


def test_nodes_in_the_layout_of_25_11(modern: Slurm) -> None:
    modern.drain("node02", "why")
    captured = json.loads((DATA / "25.11" / "sinfo_json.json").read_text())
    answer = document(modern, "sinfo", "--json", "-n", "node02")
    for entry in answer["sinfo"]:
        check_below(entry, captured["sinfo"][0])
    drained, *empty = answer["sinfo"]
    assert (drained["node"], drained["nodes"]["nodes"], drained["partition"]["name"]) == (
        {"state": ["IDLE", "DRAIN"]},
        ["node02"],
        "main",
    )
    assert [each["node"]["state"] for each in empty] == [["UNKNOWN"], ["UNKNOWN"]]
    assert drained["reason"]["description"] == "why"


def test_releases_whose_layout_is_not_known_are_refused(modern: Slurm) -> None:
    modern.set_fault("release", version="24.05")
    result = modern.run("squeue", "--json")
    assert (result.returncode, result.stdout) == (2, "")
    assert "--json of Slurm 24.05" in result.stderr
