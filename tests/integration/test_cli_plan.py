"""``pav-sched plan``: what 'run' would start, and nothing of it started."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cli_tools import Cli
from grid import BROKEN, SUITE, QuickCli, add_grid, kickoff_script, nodes_by_test, untouched


@pytest.fixture(scope="module")
def planned(tmp_path_factory: pytest.TempPathFactory) -> Iterator[QuickCli]:
    """The suite, for tests that only look at it."""
    made = add_grid(QuickCli(tmp_path_factory.mktemp("planned")))
    yield made
    made.kill_all()


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[QuickCli]:
    """The suite as series s1, run with seed 7."""
    made = add_grid(QuickCli(tmp_path_factory.mktemp("run")))
    done = made.process("run", "suite", "--seed", 7)
    assert done.code == 0, done.out + done.err
    yield made
    made.kill_all()


def jobs_of(cli: Cli, *args: Any) -> list[dict[str, Any]]:
    done = cli("plan", *args, "--json")
    assert done.code == 0, done.err
    jobs: list[dict[str, Any]] = done.json["jobs"]
    return jobs


@pytest.fixture
def quick(tmp_path: Path) -> Iterator[QuickCli]:
    made = QuickCli(tmp_path)
    yield made
    made.kill_all()


def test_table(planned: QuickCli) -> None:
    done = planned.process("plan", "suite")
    assert done.code == 0
    assert done.err == ""
    lines = done.out.splitlines()
    assert lines[0].split("\t") == [
        "JOB",
        "SCHEDULER",
        "MODE",
        "CHUNK",
        "SIZE",
        "NODES",
        "LIMIT",
        "TESTS",
        "NAMES",
    ]
    rows = {row[-1]: row[:-1] for row in done.rows}
    # Chunks of four of the 14 usable nodes.
    assert [rows[f"suite.chunked.chunk{number}"][1:5] for number in range(4)] == [
        ["grid", "own", str(number), "4"] for number in range(4)
    ]
    # Two nodes of four each: two jobs, to which three tests are dealt.
    assert rows["suite.shared.a, suite.shared.c"][1:] == [
        "grid",
        "shared",
        "",
        "2",
        "n[01-02]",
        "1h",
        "2",
    ]
    assert rows["suite.shared.b"][1:] == ["grid", "own", "", "2", "n[03-04]", "1h", "1"]
    assert rows["suite.own"][1:] == ["grid", "own", "", "3", "any", "5h", "1"]
    assert rows["suite.local"][1:] == ["raw", "own", "", "1", "any", "1h", "1"]
    assert [row[0] for row in done.rows] == [str(number) for number in range(1, 9)]
    assert lines[-1].startswith("9 tests in 8 jobs. Seed ")
    assert lines[-1].endswith(" Nothing was started.")
    assert untouched(planned)


def test_json(planned: QuickCli) -> None:
    done = planned("plan", "suite", "--seed", 3, "--json")
    assert (done.code, done.err) == (0, "")
    assert set(done.json) == {"seed", "jobs", "errors", "left_out"}
    assert done.json["seed"] == 3
    assert done.json["errors"] == []
    jobs = {", ".join(job["tests"]): job for job in done.json["jobs"]}
    assert [job["job"] for job in jobs.values()] == list(range(1, 9))
    shared = dict(jobs["suite.shared.a, suite.shared.c"])
    assert shared == {
        "job": shared["job"],
        "scheduler": "grid",
        "name": "pav_suite.shared.a,suite.shared.c",
        "mode": "shared",
        "chunk": None,
        "nodes": ["n01", "n02"],
        "node_list": "n[01-02]",
        "node_range": None,
        "time_limit": 1,
        "tests": ["suite.shared.a", "suite.shared.c"],
    }
    own = jobs["suite.own"]
    assert (own["nodes"], own["node_list"], own["node_range"]) == (None, None, [3, 3])
    assert jobs["suite.local"]["scheduler"] == "raw"
    chunks = [jobs[f"suite.chunked.chunk{number}"] for number in range(4)]
    assert [job["chunk"] for job in chunks] == [0, 1, 2, 3]
    assert all(len(job["nodes"]) == 4 for job in chunks)
    assert untouched(planned)


def test_run_does_what_the_plan_says(run: QuickCli) -> None:
    """Same seed: the same nodes for every test, as seen by the tests themselves."""
    expected = {}
    for job in jobs_of(run, "suite", "--seed", 7):
        for name in job["tests"]:
            expected[name] = job["nodes"]
    assert expected.pop("suite.local") is None
    # The scheduler picks these; ours takes the first.
    assert expected["suite.own"] is None
    expected["suite.own"] = ["n01", "n02", "n03"]
    seen = nodes_by_test(run)
    assert seen.pop("suite.local") == []
    assert seen == expected


def test_jobs_are_shared_as_planned(run: QuickCli) -> None:
    paths: dict[str, list[str]] = {}
    for test in run("status", "s1", "--json").json["tests"]:
        paths.setdefault(test["job"], []).append(test["name"])
    assert sorted(paths.values()) == sorted(
        job["tests"] for job in jobs_of(run, "suite", "--seed", 7)
    )


def test_script_is_that_of_the_run(run: QuickCli) -> None:
    """But for what has no name before it is made."""
    test_id = next(
        test["id"]
        for test in run("status", "s1", "--json").json["tests"]
        if test["name"] == "suite.shared.b"
    )
    number = next(
        job["job"]
        for job in jobs_of(run, "suite", "--seed", 7)
        if job["tests"] == ["suite.shared.b"]
    )
    done = run("plan", "suite", "--seed", 7, "--script", number)
    assert (done.code, done.err) == (0, "")
    job = (run.test_path(test_id) / "job").resolve().name
    real = kickoff_script(run, test_id)
    assert "#GRID nodes n03,n04" in real
    assert real == (
        done.out.replace("/jobs/?/", f"/jobs/{job}/").replace("/s?/", "/s1/").replace("s?.", "s1.")
    )


def test_scripts_of_several_jobs(planned: QuickCli) -> None:
    done = planned("plan", "suite.shared", "--script", 2, "--script", 1)
    assert [line for line in done.out.splitlines() if line.startswith("#GRID name")] == [
        "#GRID name pav_suite.shared.b",
        "#GRID name pav_suite.shared.a,suite.shared.c",
    ]
    data = planned("plan", "suite.shared", "--script", 2, "--json").json
    assert "script" not in data["jobs"][0]
    assert "#GRID name pav_suite.shared.b" in data["jobs"][1]["script"]
    assert data["jobs"][1]["script"][0] == "#!/bin/bash"


def test_script_of_no_job(planned: QuickCli) -> None:
    for number in ("0", "3"):
        done = planned("plan", "suite.shared", "--script", number)
        assert (done.code, done.out) == (2, "")
        assert f"There is no job {number} in this plan; it has 2 jobs." in done.err


def test_seeds(planned: QuickCli) -> None:
    """Equal seeds draw equal chunks, others do not; what is not drawn stays."""
    first, again, *others = (
        [job["nodes"] for job in jobs_of(planned, "suite", "--seed", seed)] for seed in (1, 1, 2, 3)
    )
    assert first == again
    # Four nodes of 14 in four chunks: three seeds that agree by chance are out of the question.
    assert all(other[:4] != first[:4] for other in others)
    assert all(other[4:] == first[4:] for other in others)


def test_seed_is_said_and_repeats_the_plan(planned: QuickCli) -> None:
    done = planned("plan", "suite.chunked", "--json")
    again = planned("plan", "suite.chunked", "--seed", done.json["seed"], "--json")
    assert again.json == done.json


@pytest.mark.parametrize("seed", ["-1", "x", "4294967296", "1.5", ""])
def test_bad_seed(planned: QuickCli, seed: str) -> None:
    done = planned("plan", "suite", f"--seed={seed}")
    assert (done.code, done.out) == (2, "")
    assert "whole number between 0 and 4294967295" in done.err


def test_overrides(planned: QuickCli) -> None:
    jobs = jobs_of(planned, "suite.shared", "-c", "schedule.nodes=4", "-c", "schedule.time_limit=9")
    assert [(job["nodes"], job["time_limit"]) for job in jobs] == [
        (["n01", "n02", "n03", "n04"], 9)
    ]
    assert [job["scheduler"] for job in jobs_of(planned, "suite.own", "--scheduler", "raw")] == [
        "raw"
    ]


def test_single_tests_that_cannot_be_placed(quick: QuickCli) -> None:
    add_grid(quick, BROKEN)
    done = quick("plan", "suite")
    assert done.code == 1
    assert [row[-1] for row in done.rows] == ["suite.good"]
    assert "1 test in 1 job, 3 tests in none." in done.out
    errors = done.err.split("pav-sched: error: ")[1:]
    assert len(errors) == 3
    told = {error.partition(": ")[0]: error for error in errors}
    assert told["suite.no_such_chunk"] == (
        "suite.no_such_chunk: Chunk 99 was requested, but there are 4 chunks, numbered 0 to 3.\n"
    )
    assert "Requested at least 17, but only 14 of 16 remain." in told["suite.too_many"]
    assert "not up: 1 (n05); smells <&> funny: 1 (n13)" in told["suite.too_many"]
    assert told["suite.too_large"].startswith("suite.too_large: Chunks of 2 nodes have no room")
    data = quick("plan", "suite", "--json").json
    assert [job["tests"] for job in data["jobs"]] == [["suite.good"]]
    assert sorted(error["tests"][0] for error in data["errors"]) == [
        "suite.no_such_chunk",
        "suite.too_large",
        "suite.too_many",
    ]
    assert untouched(quick)
    # 'run' agrees.
    done = quick.process("run", "suite", "--json")
    assert done.code == 1
    assert {test["name"]: test["result"] for test in done.json["tests"]} == {
        "suite.good": "PASS",
        "suite.no_such_chunk": "ERROR",
        "suite.too_many": "ERROR",
        "suite.too_large": "ERROR",
    }


def test_scheduler_out_of_reach(quick: QuickCli) -> None:
    """Only tests that need its nodes are concerned."""
    add_grid(quick, SUITE)
    done = quick("plan", "suite.shared", "suite.local", "--json", env={"GRID_FAILS": "1"})
    assert done.code == 1
    assert [job["tests"] for job in done.json["jobs"]] == [["suite.local"]]
    assert {error["error"] for error in done.json["errors"]} == {"The grid is out of reach."}
    done = quick.process("run", "suite.shared", "suite.local", "--json", env={"GRID_FAILS": "1"})
    assert done.code == 1
    assert [test["result"] for test in done.json["tests"]] == ["ERROR"] * 3 + ["PASS"]
    # Permutations over chunks cannot even be counted.
    done = quick("plan", "suite", env={"GRID_FAILS": "1"})
    assert (done.code, done.out) == (2, "")
    assert "suite.yaml" in done.err
    assert "The grid is out of reach." in done.err


@pytest.mark.parametrize(
    ("args", "says"),
    [
        ([], "TARGET"),
        (["none_such"], "There is no file and no suite 'none_such'"),
        (["suite.none_such"], "There is no test 'none_such'"),
        (["suite", "--scheduler", "grd"], "'grid'"),
        (["suite", "-c", "schedule.nods=4"], "nodes"),
        (["suite", "-c", "schedule.nodes=0"], "schedule.nodes"),
        (["suite", "--script", "one"], "--script"),
        (["suite", "--detach"], "--detach"),
    ],
)
def test_usage_errors(planned: QuickCli, args: list[str], says: str) -> None:
    done = planned("plan", *args)
    assert (done.code, done.out) == (2, "")
    assert says in done.err
    assert "Traceback" not in done.err
    assert untouched(planned)
