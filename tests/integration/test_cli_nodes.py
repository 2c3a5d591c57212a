"""``pav-sched nodes``, maps of series, and what 'plan' and 'run' say of nodes that are left out."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from cli_tools import Cli, Done
from grid import QuickCli, add_grid

# Node 7 is bad; node 5 is down, and node 13 is left out by the plugin.
SUITE = """
    _base:
      scheduler: grid
      run: {cmds: ['case ",$GRID_ALLOC," in *,n07,*) exit 3;; esac']}
    each:
      inherits_from: _base
      schedule: {nodes: all, chunking: {size: 1}}
      permute_on: chunk_ids
      chunk: '{{chunk_ids}}'
    fours:
      inherits_from: _base
      schedule: {nodes: all, chunking: {size: 4, extra: discard}}
      permute_on: chunk_ids
      chunk: '{{chunk_ids}}'
    whole:
      inherits_from: _base
      schedule: {nodes: all}
    narrow:
      inherits_from: _base
      schedule: {nodes: all, across_nodes: 'n[01-06,99]', exclude_nodes: n02}
    pick:
      inherits_from: _base
      schedule: {nodes: 2}
    third:
      inherits_from: _base
      schedule: {nodes: all, chunking: {size: 4}}
      chunk: 2
    refused:
      inherits_from: _base
      schedule: {nodes: all, min_nodes: 15}
    local:
      run: {cmds: ["true"]}
    """
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Iterator[QuickCli]:
    """Series s1 ran each node on its own, s2 in fours; for tests that only read."""
    made = add_grid(QuickCli(tmp_path_factory.mktemp("ran")), SUITE)
    for test in ("each", "fours"):
        done = made.process("run", f"suite.{test}")
        assert done.code == 1, done.out + done.err
    yield made
    made.kill_all()


@pytest.fixture
def grid(tmp_path: Path) -> Iterator[QuickCli]:
    made = add_grid(QuickCli(tmp_path), SUITE)
    yield made
    made.kill_all()


def rows(done: Done) -> dict[str, list[str]]:
    """Nodes -> the other columns."""
    return {row[0]: row[1:] for row in done.rows}


def job_id(cli: Cli, test_id: str) -> str:
    return str(cli.job_info(test_id)["id"])


def marks_of(text: str) -> dict[str, str]:
    return dict(re.findall(r"(?<!\S)(n\d+) (\S)(?!\S)", text))


def test_one_bad_node(ran: QuickCli) -> None:
    done = ran("nodes", "s1")
    assert (done.code, done.err) == (1, "")
    job = job_id(ran, "s1.6")
    assert list(rows(done).items()) == [
        ("n07", ["1", "suspect", "0", "1", "0", "0", f"s1.6 (job {job})", ""]),
        ("n05", ["1", "not reached", "0", "0", "0", "0", "", "left out: not up"]),
        ("n13", ["1", "not reached", "0", "0", "0", "0", "", "left out: smells <&> funny"]),
        ("n[01-04,06,08-12,14-16]", ["13", "passed", "1", "0", "0", "0", "", ""]),
    ]
    assert done.out.splitlines()[-1] == (
        "16 nodes: 1 suspect, 13 passed, 2 not reached (2 left out). Series s1."
    )


def test_several_series_together(ran: QuickCli) -> None:
    """The partners of the bad node passed on their own, so they are not suspect."""
    done = ran("nodes", "s1", "s2")
    assert done.code == 1
    found = rows(done)
    assert next(iter(found)) == "n07"
    assert found["n07"][1:6] == ["suspect", "0", "2", "0", "0"]
    partners = [name for name, row in found.items() if row[1] == "mixed"]
    assert len(partners) == 3
    assert all(found[name][-1] == "only with n07" for name in partners)
    assert done.out.splitlines()[-1] == (
        "16 nodes: 1 suspect, 3 mixed, 10 passed, 2 not reached (2 left out). Series s1, s2."
    )
    # The latest one alone cannot tell the four apart; the two that fill no chunk are not reached.
    done = ran("nodes")
    assert done.out.splitlines()[-1] == (
        "16 nodes: 4 suspect, 8 passed, 4 not reached (4 left out). Series s2."
    )
    assert "left out: does not fill a chunk, and chunking.extra is 'discard'" in done.out


def test_a_line_for_each_node(ran: QuickCli) -> None:
    done = ran("nodes", "s1", "--all")
    assert len(done.rows) == 16
    assert rows(done)["n16"][-2] == f"s1.14 (job {job_id(ran, 's1.14')})"


def test_json(ran: QuickCli) -> None:
    done = ran("nodes", "s1", "s2.1", "--json")
    assert (done.code, done.err) == (1, "")
    found = done.json
    assert found["series"] == ["s1", "s2"]
    assert found["summary"] == {
        "nodes": 16,
        "suspect": 1,
        "mixed": 0,
        "not_reached": 2,
        "passed": 13,
        "left_out": 2,
    }
    nodes = {node["node"]: node for node in found["nodes"]}
    assert list(nodes)[:3] == ["n07", "n05", "n13"]
    assert nodes["n07"] == {
        "node": "n07",
        "result": "suspect",
        "passed": 0,
        "failed": 1,
        "errors": 0,
        "unfinished": 0,
        "failing_tests": ["s1.6"],
        "only_with": [],
        "left_out": False,
        "why": "",
    }
    assert (nodes["n05"]["left_out"], nodes["n05"]["why"]) == (True, "not up")
    assert nodes["n01"]["passed"] == 2
    tests = {test["id"]: test for test in found["tests"]}
    assert len(tests) == 15
    assert tests["s1.6"] == {
        "id": "s1.6",
        "name": "suite.each.chunk5",
        "job_id": job_id(ran, "s1.6"),
        "outcome": "failed",
        "why": "",
        "node_list": "n07",
    }
    assert found["unknown_nodes"] == []


def test_some_tests_of_a_series(ran: QuickCli) -> None:
    """What the others were to reach is not their business."""
    done = ran("nodes", "s1.1", "s1.2")
    assert done.code == 0
    assert list(rows(done)) == ["n[01-02]"]
    assert done.out.splitlines()[-1] == ("2 nodes: 0 suspect, 2 passed, 0 not reached. Series s1.")


def test_ids_that_are_not_there(ran: QuickCli, grid: QuickCli) -> None:
    done = ran("nodes", "s1", "s9")
    assert done.code == 2
    assert "There is no series s9" in done.err
    assert "n07" in rows(done)
    done = grid("nodes")
    assert (done.code, done.out) == (2, "")
    assert "There is no series yet" in done.err


def test_the_reason_is_that_of_the_time_of_the_run(ran: QuickCli) -> None:
    """By now, another node is down, or nobody can be asked."""
    for env in ({"GRID_DOWN": "1"}, {"GRID_FAILS": "1"}):
        assert rows(ran("nodes", "s1", env=env))["n05"][-1] == "left out: not up"


def test_tests_that_never_ran(grid: QuickCli) -> None:
    """A refused test leaves its nodes unreached, and says why."""
    done = grid.process("run", "suite.refused")
    assert done.code == 1
    done = grid("nodes", "--json")
    assert done.code == 1
    nodes = {node["node"]: node for node in done.json["nodes"]}
    assert set(nodes) == {f"n{number:02}" for number in range(1, 17)}
    assert {node["result"] for node in nodes.values()} == {"not reached"}
    assert nodes["n01"]["why"].startswith("s1.1: Insufficient nodes. Requested at least 15")
    assert nodes["n05"]["why"] == "not up"
    assert list(rows(grid("nodes"))) == ["n[01-04,06-12,14-16]", "n05", "n13"]


def test_cancelled_and_lost_tests(grid: QuickCli) -> None:
    """A test that was cancelled says nothing of its node; one that was lost while it ran does."""
    grid.suite(
        """
        _base:
          scheduler: grid
          schedule: {nodes: all, chunking: {size: 1}, across_nodes: 'n[01-03]'}
        lost:
          inherits_from: _base
          chunk: 0
          run: {cmds: [touch up, sleep 60]}
        stopped:
          inherits_from: _base
          chunk: 1
          run: {cmds: [sleep 60]}
        good:
          inherits_from: _base
          chunk: 2
          run: {cmds: ['true']}
        """
    )
    assert grid.process("run", "suite", "--detach").code == 0
    grid.wait_for_file(grid.test_path("s1.1") / "work" / "up")
    assert grid.process("wait", "s1.3").code == 0
    found = rows(grid("nodes", "s1"))
    assert found["n01"][1:6] == ["not reached", "0", "0", "0", "1"]
    assert "not finished yet (RUNNING)" in found["n01"][-1]
    assert grid.process("cancel", "s1.2").code in (0, 1)
    # What a scheduler's end of the job would make of it.
    lost = grid.test_path("s1.1")
    with (lost / "status").open("a") as file:
        file.write("1700000000.000000 SCHED_ERROR The node failed.\n")
    (lost / "RUN_COMPLETE").touch()
    found = rows(grid("nodes", "s1"))
    assert found["n01"][1:6] == ["suspect", "0", "0", "1", "0"]
    assert found["n02"][1:6] == ["not reached", "0", "0", "0", "1"]
    assert re.match(r"s1\.2 \(job \d+\): cancelled", found["n02"][-1])
    assert found["n03"][1] == "passed"


def test_all_good(grid: QuickCli) -> None:
    """What a suite leaves out by itself is not missing; a node that is down is."""
    assert grid.process("run", "suite.narrow", "suite.local").code == 0
    found = rows(grid("nodes"))
    assert found["n02"][-1] == "left out: in exclude_nodes"
    assert found["n99"][-1] == "left out: not in the inventory"
    assert "n13" not in found
    assert grid("nodes").code == 1
    narrow = ("-c", "schedule.across_nodes=n[01-04]")
    assert grid.process("run", "suite.narrow", *narrow).code == 0
    done = grid("nodes")
    assert (done.code, list(rows(done))) == (0, ["n02", "n[01,03-04]"])


def test_tests_that_mean_no_certain_nodes(grid: QuickCli) -> None:
    """Then only nodes count that were used, and nothing is left out."""
    for test, nodes in (("pick", "n[01-02]"), ("third", "n[10-12,14]")):
        done = grid.process("run", f"suite.{test}", "--json")
        assert done.code == 0
        assert done.json["left_out"] == []
        done = grid("nodes")
        assert (done.code, list(rows(done))) == (0, [nodes])


def test_a_damaged_record(grid: QuickCli) -> None:
    assert grid.process("run", "suite.whole").code == 1
    file = grid.work / "series" / "s1" / "nodes.json"
    kept = json.loads(file.read_text())
    assert [plan["nodes"] for plan in kept["plans"]] == ["n[01-04,06-12,14-16]"]
    for text in ("{", "[]", '{"plans": [{}]}', '{"plans": [{"scheduler": 1}]}'):
        file.write_text(text)
        done = grid("nodes", "s1")
        assert "Which nodes series s1 was meant for cannot be read" in done.err
        assert str(file) in done.err
        # All that is known is where the test ran.
        assert list(rows(done)) == ["n[01-14]"]
    # As in a series of an earlier version.
    file.unlink()
    assert grid("nodes", "s1").err == ""


# ------------------------------------------------------------------------------ plan and run

EACH = "2 of 16 nodes are left out of suite.each.*: n[05,13] (not up: 1, smells <&> funny: 1); '"


def test_plan_says_what_is_left_out(grid: QuickCli) -> None:
    done = grid("plan", "suite.each")
    line = done.out.splitlines()[-2]
    assert line.startswith(EACH)
    assert line.endswith("show nodes grid --test suite.each' shows each.")
    # Once for all that mean the same nodes, and each that means others.
    done = grid("plan", "suite.each", "suite.whole", "suite.fours", "suite.narrow", "suite.pick")
    lines = [line for line in done.out.splitlines() if " left out of " in line]
    assert [line.partition(" (")[0] for line in lines] == [
        "2 of 16 nodes are left out of suite.*: n[05,13]",
        "4 of 16 nodes are left out of suite.fours.*: n[05,13,15-16]",
        "3 of 7 nodes are left out of suite.narrow: n[02,05,99]",
    ]
    found = grid("plan", "suite.each", "suite.whole", "--json").json["left_out"]
    assert [(item["nodes"], item["left_out"], len(item["tests"])) for item in found] == [
        (16, 2, 15)
    ]
    assert found[0]["reasons"] == [
        {"reason": "not up", "cause": "not up", "nodes": ["n05"], "node_list": "n05"},
        {
            "reason": "smells <&> funny",
            "cause": "smells <&> funny",
            "nodes": ["n13"],
            "node_list": "n13",
        },
    ]
    for test in ("pick", "third", "local"):
        done = grid("plan", f"suite.{test}")
        assert " left out of " not in done.out
        assert grid("plan", f"suite.{test}", "--json").json["left_out"] == []


def test_nothing_is_left_out(grid: QuickCli) -> None:
    done = grid("plan", "suite.each", "-c", "schedule.exclude_nodes=", env={"GRID_NODES": "9"})
    assert "1 of 9 nodes is left out of suite.each.*: n5 (not up: 1); " in done.out
    done = grid("plan", "suite.each", env={"GRID_NODES": "9", "GRID_DOWN": ""})
    assert "left out" not in done.out
    done = grid("plan", "suite.each", env={"GRID_NODES": "9", "GRID_DOWN": ""})
    assert done.code == 0


def test_run_says_what_is_left_out(grid: QuickCli) -> None:
    done = grid.process("run", "suite.each")
    line = next(line for line in done.err.splitlines() if " left out of " in line)
    assert line.startswith(EACH)
    assert line.endswith("nodes s1' shows each.")
    done = grid.process("run", "suite.each", "--detach", "--json")
    assert [item["left_out"] for item in done.json["left_out"]] == [2]
    assert done.err.count(" left out of ") == 1


def test_a_file_is_named_as_a_file(grid: QuickCli, tmp_path: Path) -> None:
    file = tmp_path / "own.yaml"
    file.write_text((grid.config / "suites" / "suite.yaml").read_text())
    (grid.config / "suites" / "suite.yaml").unlink()
    done = grid("plan", f"{file}.whole")
    assert f"--test {file}.whole' shows each." in done.out


# -------------------------------------------------------------------------------------- maps


def test_map_by_result(ran: QuickCli) -> None:
    done = ran.process("map", "s1", "s2", "--by", "result")
    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()
    assert lines[0] == "Results by node: series s1, s2 (16 nodes)"
    marks = marks_of(done.out)
    assert len(marks) == 16
    assert (marks["n07"], marks["n01"], marks["n05"], marks["n13"]) == ("F", "+", "x", "x")
    assert list(marks.values()).count("M") == 3
    assert "  F  suspect: n07" in lines
    assert any(line.startswith("  M  mixed: n[") for line in lines)
    assert "  x  left out: n[05,13]" in lines
    # It is what a series is drawn by.
    assert ran("map", "s1").out == ran("map", "s1", "--by", "result").out


def test_map_by_result_of_nodes_that_were_not_reached(grid: QuickCli) -> None:
    assert grid.process("run", "suite.refused").code == 1
    done = grid("map", "s1")
    assert marks_of(done.out)["n01"] == "?"
    assert "  ?  not reached: n[01-04,06-12,14-16]" in done.out
    assert grid("map", "s1", "--by", "job").code == 0


def test_map_by_result_as_svg(ran: QuickCli, tmp_path: Path) -> None:
    file = tmp_path / "results.svg"
    assert ran("map", "s1", "s2", "--by", "result", "--svg", file).code == 0
    root = ElementTree.parse(file).getroot()
    titles = {
        (group.findtext(f"{SVG}title") or "").partition(":")[0]: group
        for group in root.iter(f"{SVG}g")
    }
    assert len(titles) == 16
    told = titles["n07"].findtext(f"{SVG}title") or ""
    assert told.startswith("n07: suspect; 2 failed; failed: suite.fours.")
    assert f"suite.each.chunk5 s1.6 (job {job_id(ran, 's1.6')})" in told
    assert "smells <&> funny" in (titles["n13"].findtext(f"{SVG}title") or "")
    colors = {name: group.find(f"{SVG}rect").get("fill") for name, group in titles.items()}  # type: ignore[union-attr]
    assert len({colors[name] for name in ("n07", "n01", "n05")}) == 3
    texts = [element.text or "" for element in root.iter(f"{SVG}text")]
    assert texts[0] == "Results by node: series s1, s2 (16 nodes)"
    assert "suspect: n07" in texts


def test_map_of_a_series_by_job_and_by_chunk(ran: QuickCli) -> None:
    done = ran("map", "s2", "--by", "job")
    assert done.code == 0
    assert f"job {job_id(ran, 's2.1')}: n[01-04]; suite.fours.chunk0 (s2.1)" in done.out
    assert "left out; 'pav-sched nodes s2' says why" in done.out
    done = ran("map", "s1", "s2", "--by", "chunk")
    first, second, _ = done.out.split("\n\n")
    assert first.startswith("Chunks of suite.each.*: series s1 (16 nodes)")
    assert second.startswith("Chunks of suite.fours.*: series s2 (16 nodes)")
    assert marks_of(second)["n04"] == "0" and marks_of(second)["n06"] == "1"


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (["s1", "suite"], "Series (s1) and suites (suite) cannot be on the same map"),
        (["suite", "--by", "result"], "'--by result' draws series that were run"),
        (["s1", "--by", "state"], "'--by state' draws the machine as it is now"),
        (["s1", "--seed", "7"], "--seed cannot change series that were run"),
        (["s1", "-c", "chunk=1"], "-c cannot change series that were run"),
        (["s9"], "There is no series s9"),
        (["s0"], "There is no file and no suite 's0'"),
    ],
)
def test_maps_that_cannot_be(ran: QuickCli, args: list[Any], text: str) -> None:
    done = ran("map", *args)
    assert (done.code, done.out) == (2, "")
    assert text in done.err


def test_a_series_without_chunks(grid: QuickCli) -> None:
    assert grid.process("run", "suite.pick").code == 0
    done = grid("map", "s1", "--by", "chunk")
    assert (done.code, done.out) == (2, "")
    assert "do not use all nodes of their chunks" in done.err


def test_a_suite_that_is_called_as_a_series(grid: QuickCli) -> None:
    """A name that may mean both is refused; the path of the suite means the suite."""
    assert grid.process("run", "suite.pick").code == 0
    file = grid.suite(SUITE, "s1")
    for name in ("s1", "s1.third"):
        done = grid("map", name)
        assert done.code == 2
        assert f"'{name}' is both a series and a suite" in done.err
    assert grid("map", f"{file}.third").out.startswith("grid: chunks of s1.third ")
