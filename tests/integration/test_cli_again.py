"""Running tests again: those that failed, one of them, one permutation, those whose names fit."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cli_tools import SLEEPER, Cli, Done, give_away, needs_root
from grid import QuickCli, add_grid

# Chunks 1 and 3 fail.  Two tests share a chunk's job; the scheduler picks the nodes of 'own'.
SUITE = """
    _base:
      scheduler: grid
      run: {cmds: ["echo '{{sched.test_node_list.*}}'", "test ! -e ../../../../bad/{{pav.suite}}"]}
    every_node:
      inherits_from: _base
      schedule: {nodes: all, chunking: {size: 3, node_selection: random, extra: discard}}
      permute_on: chunk_ids
      chunk: '{{chunk_ids}}'
      run: {cmds+: ["test $(( {{chunk_ids}} % 2 )) = 0"]}
    spread:
      inherits_from: _base
      variables: {letter: [a, b]}
      permute_on: letter
      schedule: {nodes: 2, across_nodes: 'n[01-04]', share_allocation: false}
      run: {cmds+: ["exit 1"]}
    own:
      inherits_from: _base
      schedule: {nodes: 2}
      run: {cmds+: ["exit 1"]}
    good:
      inherits_from: _base
    """


@pytest.fixture
def cli(tmp_path: Path) -> Iterator[QuickCli]:
    made = add_grid(QuickCli(tmp_path), SUITE)
    # All nodes are up, at first.
    made.env["GRID_DOWN"] = ""
    yield made
    made.kill_all()


def run(cli: QuickCli, *args: Any, code: int = 1, env: dict[str, str] | None = None) -> Done:
    done = cli.process("run", *args, env=env)
    assert done.code == code, done.out + done.err
    return done


def record(cli: Cli, test_id: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((cli.test_path(test_id) / "test.json").read_text())
    return found


def runs_of(cli: Cli, series: str) -> dict[str, dict[str, Any]]:
    """The records of a series' tests, by name."""
    done = cli("status", series, "--json")
    return {test["name"]: record(cli, test["id"]) for test in done.json["tests"]}


def names_of(cli: Cli, series: str) -> list[str]:
    return list(runs_of(cli, series))


def nodes_of(cli: Cli, test_id: str) -> list[str]:
    """The nodes that a test saw itself."""
    return (cli.test_path(test_id) / "run.log").read_text().split()


def chunk_name(cli: Cli, series: str, number: int) -> str:
    """The name of the permutation of a chunk."""
    for name, found in runs_of(cli, series).items():
        if found["permutation"].get("chunk_ids") == str(number):
            return name
    raise AssertionError(f"no chunk {number}")


def test_the_failures_of_a_series_run_again(cli: QuickCli) -> None:
    run(cli, "suite", "--seed", 7)
    first = {test["name"]: test for test in cli("status", "--json").json["tests"]}
    failed = [name for name, test in first.items() if test["result"] == "FAIL"]
    assert len(failed) == 5
    done = run(cli, "s1", "--failed")
    assert [row[1] for row in done.rows] == failed
    again = cli("status", "s2", "--json").json["tests"]
    assert [test["repeats"] for test in again] == [first[name]["id"] for name in failed]
    assert all(record(cli, test["id"])["repeats"] == test["repeats"] for test in again)
    # Of the first series, too, there is no more than that.
    assert json.loads((cli.work / "series" / "s2" / "series.json").read_text())["seed"] == 7
    assert f"repeats {again[0]['repeats']}" in cli("status", "s2.1", "-v").out


def test_failed_alone_means_the_latest_series(cli: QuickCli) -> None:
    run(cli, "suite.spread", "suite.good")
    run(cli, "suite.own", "suite.good")
    assert [row[1] for row in run(cli, "--failed").rows] == ["suite.own"]
    assert cli("show", "series").rows[0][8] == "s2 --failed"


def test_nothing_failed(cli: QuickCli) -> None:
    run(cli, "suite.good", code=0)
    done = run(cli, "--failed", code=0)
    assert "Nothing failed: 1 test passed." in done.err
    assert not (cli.work / "series" / "s2").exists()
    assert run(cli, "s1", "--failed", "--json", code=0).json["tests"] == []
    assert cli("plan", "s1", "--failed").code == 0


def test_cancelled_tests_failed_and_running_ones_did_not(cli: QuickCli) -> None:
    cli.suite(SLEEPER, "sleeper")
    cli("run", "sleeper", "--detach")
    cli.wait_for_file(cli.test_path("s1.2") / "work" / "started")
    assert cli("cancel", "s1.1").code == 0
    done = cli("plan", "s1", "--failed")
    assert [row[-1] for row in done.rows] == ["sleeper.first"]
    assert "1 test has not ended and is left out." in done.err
    failed = cli("status", "s1", "--failed")
    assert [row[1] for row in failed.rows] == ["sleeper.first"]
    assert "2 tests: 0 passed, 0 failed, 1 error (1 cancelled), 1 running. Series s1." in failed.out
    assert [test["name"] for test in cli("status", "--failed", "--json").json["tests"]] == [
        "sleeper.first"
    ]
    (cli.test_path("s1.2") / "go").touch()


def test_a_chunk_runs_on_the_same_nodes_when_others_are_down(cli: QuickCli) -> None:
    """Other nodes make other chunks, whatever the seed is."""
    run(cli, "suite.every_node", "--seed", 7)
    name = chunk_name(cli, "s1", 1)
    then = runs_of(cli, "s1")[name]["nodes"]
    spare = next(f"{number}" for number in range(1, 17) if f"n{number:02}" not in then)
    changed = {"GRID_DOWN": spare}
    plain = cli("plan", f"{name}", "--seed", 7, "--json", env=changed).json["jobs"][0]
    assert plain["nodes"] != then
    planned = cli("plan", "s1.2", "--json", env=changed).json["jobs"]
    assert [(job["nodes"], job["chunk"]) for job in planned] == [(then, 1)]
    run(cli, "s1.2", env=changed)
    assert nodes_of(cli, "s2.1") == then
    found = record(cli, "s2.1")
    assert (found["nodes"], found["chunk"], found["chunk_nodes"]) == (then, 1, then)


def test_a_chunk_that_there_is_not_any_more_runs_again(cli: QuickCli) -> None:
    """With half of the machine down, there are fewer chunks than its number."""
    run(cli, "suite.every_node", "--seed", 7)
    number = max(int(test["permutation"]["chunk_ids"]) for test in runs_of(cli, "s1").values())
    name = chunk_name(cli, "s1", number)
    then = runs_of(cli, "s1")[name]["nodes"]
    down = [f"{each}" for each in range(1, 17) if f"n{each:02}" not in then][:8]
    done = run(cli, f"s1.{number + 1}", code=number % 2, env={"GRID_DOWN": ",".join(down)})
    assert [row[1] for row in done.rows] == [name]
    assert nodes_of(cli, "s2.1") == then


def test_a_test_whose_nodes_are_down_is_refused_and_the_others_run(cli: QuickCli) -> None:
    run(cli, "suite.every_node", "--seed", 7)
    then = runs_of(cli, "s1")[chunk_name(cli, "s1", 1)]["nodes"]
    down = {"GRID_DOWN": then[0].lstrip("n0")}
    done = run(cli, "s1", "--failed", env=down)
    assert f"not all of them can be used now: {then[0]} (not up)" in done.err
    assert "same nodes as test s1.2" in done.err
    assert "--any-nodes" in done.err
    assert [row[3] for row in done.rows] == ["ERROR", "FAIL"]
    # What was refused keeps the nodes: up again, they are used.
    planned = cli("plan", "s2.1", "--json").json["jobs"]
    assert [job["nodes"] for job in planned] == [then]
    anywhere = cli("plan", "s1.2", "--any-nodes", "--json", env=down).json["jobs"]
    assert then[0] not in anywhere[0]["nodes"]
    assert anywhere[0]["chunk"] == 1
    # What became of these nodes is known: nothing, because of the one that is down.
    shown = {node["node"]: node for node in cli("nodes", "s2", "--json").json["nodes"]}
    assert {shown[name]["result"] for name in then} == {"not reached"}
    assert "not all of them can be used now" in shown[then[0]]["why"]


def test_nodes_that_were_dealt_out_are_kept(cli: QuickCli) -> None:
    """Alone, the second one would be on the nodes of the first."""
    run(cli, "suite.spread")
    second = record(cli, "s1.2")["nodes"]
    assert second != record(cli, "s1.1")["nodes"]
    run(cli, "s1.2")
    assert nodes_of(cli, "s2.1") == second


def test_nodes_that_the_scheduler_picked_are_any_unless_asked_for(cli: QuickCli) -> None:
    run(cli, "suite.own")
    assert cli("plan", "s1.1", "--json").json["jobs"][0]["node_range"] == [2, 2]
    planned = cli("plan", "s1.1", "--same-nodes", "--json").json["jobs"][0]
    assert planned["nodes"] == record(cli, "s1.1")["nodes"]
    cli.suite("test: {run: {cmds: ['false']}}", "local")
    run(cli, "local")
    assert "cannot be given nodes" in cli("plan", "s2.1", "--same-nodes").err


def test_overrides_of_then_and_of_now(cli: QuickCli) -> None:
    run(cli, "suite.every_node", "--seed", 7, "-c", "schedule.time_limit=2", "-c", "run.timeout=50")
    then = record(cli, "s1.2")["nodes"]
    job = cli("plan", "s1.2", "-c", "schedule.nodes=2", "--json").json["jobs"][0]
    assert (job["nodes"], job["time_limit"]) == (then[:2], 2)
    run(cli, "s1.2", "-c", "run.timeout=60")
    found = record(cli, "s2.1")
    assert found["config"]["schedule"]["time_limit"] == "2"
    assert found["config"]["run"]["timeout"] == "60"
    assert found["source"]["overrides"] == [
        "schedule.time_limit=2",
        "run.timeout=50",
        "run.timeout=60",
    ]
    # A node less is still the same chunk; more nodes than it had are not.
    job = cli("plan", "s1.2", "-c", f"schedule.exclude_nodes={then[1]}", "--json").json["jobs"][0]
    assert job["nodes"] == [then[0], then[2]]
    run(cli, "suite.spread")
    done = cli("plan", "s3.2", "-c", "schedule.nodes=3")
    assert done.code == 1
    assert "It needs at least 3 nodes, and test s3.2 ran on 2" in done.err
    # Who chooses the nodes does not mean those of then.
    job = cli("plan", "s1.2", "-c", "schedule.chunking.size=4", "--json").json["jobs"][0]
    assert (len(job["nodes"]), job["chunk"]) == (4, 1)


def test_a_changed_suite_is_used_as_it_is(cli: QuickCli) -> None:
    run(cli, "suite.own", "suite.spread")
    file = cli.suite(SUITE.replace("exit 1", "exit 0"))
    done = run(cli, "s1", code=0)
    assert f"The suite file {file} has changed since s1.1, s1.2, s1.3 ran" in done.err
    assert "has changed" not in run(cli, "s2", code=0).err


def test_what_cannot_be_found_again(cli: QuickCli) -> None:
    run(cli, "suite.own", "suite.spread", "suite.good")
    file = cli.suite(SUITE.replace("own:", "owned:").replace("[a, b]", "[a, c]"))
    done = run(cli, "s1", code=2)
    assert f"s1.1: There is no test 'own' in {file} any more. Did you mean 'owned'?" in done.err
    assert "s1.3: There is no permutation 'suite.spread.b'" in done.err
    assert "s1.2" not in done.err
    assert not (cli.work / "series" / "s2").exists()
    file.unlink()
    assert f"Its suite file {file} does not exist any more" in run(cli, "s1.4", code=2).err
    # All that is wrong with the suite is reported, as with any other run.
    cli.suite(SUITE.replace("nodes: 2}", "nods: 2}"))
    assert "suite.yaml:" in run(cli, "s1.1", code=2).err


def test_one_permutation_by_its_name(cli: QuickCli) -> None:
    run(cli, "suite.every_node", "--seed", 7)
    name = chunk_name(cli, "s1", 2)
    assert [row[1] for row in run(cli, name, code=0).rows] == [name]
    path = cli.config / "suites" / "suite.yaml"
    target = f"{path}{name.partition('suite')[2]}"
    assert [job["tests"] for job in cli("plan", target, "--json").json["jobs"]] == [[name]]
    done = cli("plan", f"{name}9")
    assert done.code == 2
    assert f"There is no test '{name}9'. Did you mean '{name}'?" in done.err


@pytest.mark.parametrize(
    ("target", "names"),
    [
        ("suite.spread.*", ["suite.spread.a", "suite.spread.b"]),
        ("*.[ab]", ["other.a", "suite.spread.a", "suite.spread.b"]),
        ("suite.*o?d", ["suite.good"]),
        ("g*", []),
        ("other.*", ["other.a"]),
        ("*.a", ["other.a", "suite.spread.a"]),
    ],
)
def test_patterns(cli: QuickCli, target: str, names: list[str]) -> None:
    cli.suite("a: {run: {cmds: ['true']}}\n_b: {run: {cmds: ['true']}}", "other")
    done = cli("plan", target, "--json")
    if not names:
        assert done.code == 2
        assert f"No test matches '{target}'" in done.err
        return
    assert sorted(name for job in done.json["jobs"] for name in job["tests"]) == names
    path = cli.config / "suites" / "suite.yaml"
    done = cli("plan", f"{path}.spread.[a]", "--json")
    assert [job["tests"] for job in done.json["jobs"]] == [["suite.spread.a"]]


def test_a_pattern_that_fits_nothing_has_a_near_match(cli: QuickCli) -> None:
    assert "Did you mean 'suite.spread" in cli("plan", "suite.spraed*").err


def test_a_suite_that_no_name_can_fit_is_not_looked_into(cli: QuickCli) -> None:
    cli.suite("a: [", "broken")
    assert cli("plan", "suite.good*").code == 0
    assert cli("plan", "*.good").code == 2


def test_ids_of_tests_by_name_and_range(cli: QuickCli) -> None:
    run(cli, "suite.own", "suite.spread", "suite.good")
    run(cli, "suite.good", code=0)

    def ids(*args: str) -> list[str]:
        return [row[0] for row in cli("status", *args).rows]

    assert ids("s1.suite.spread.*", "s1.1") == ["s1.2", "s1.3", "s1.1"]
    assert ids("s1.suite.own") == ["s1.1"]
    assert ids("s1.2-3") == ["s1.2", "s1.3"]
    assert ids("s1-s2") == ids("s1-7") == ["s1.1", "s1.2", "s1.3", "s1.4", "s2.1"]
    assert cli.process("log", "s1.suite.good").code == 0
    assert "stands for 2 tests, s1.2 to s1.3" in cli("log", "s1.*.[ab]").err
    assert "Did you mean 's1.suite.own'?" in cli("status", "s1.suite.onw").err
    assert "series s1 has 4 tests, s1.1 to s1.4" in cli("status", "s1.9").err
    assert "There are 2, s1 to s2; the nearest is s2." in cli("status", "s4").err
    assert "no series from s7 to s9" in cli("wait", "s7-s9").err


def test_options_about_earlier_series_need_one(cli: QuickCli) -> None:
    run(cli, "suite.good", code=0)
    for args in (["suite", "--failed"], ["s1", "suite", "--failed"], ["suite", "--any-nodes"]):
        done = cli("run", *args)
        assert done.code == 2, args
        assert args[-1] in done.err
    assert cli("run", "s1", "--any-nodes", "--same-nodes").code == 2
    # Both at once are fine otherwise.
    done = run(cli, "s1", "suite.good", code=0)
    assert [row[1] for row in done.rows] == ["suite.good", "suite.good"]


def test_a_suite_and_a_series_of_one_name(cli: QuickCli) -> None:
    cli.suite("a: {run: {cmds: ['true']}}", "s1")
    assert cli("run", "s1").code == 0
    done = cli("run", "s1")
    assert done.code == 2
    assert "'s1' is both a series and a suite" in done.err
    assert cli("plan", cli.config / "suites" / "s1.yaml").code == 0


def test_the_same_failure_of_two_series_runs_once(cli: QuickCli) -> None:
    run(cli, "suite.spread")
    run(cli, "s1", "--failed")
    assert [row[1] for row in run(cli, "s1", "s2", "--failed").rows] == [
        "suite.spread.a",
        "suite.spread.b",
    ]


@needs_root
def test_where_only_others_have_series_that_is_said(cli: QuickCli) -> None:
    """Not that there is none."""
    run(cli, "suite.good", code=0)
    give_away(cli.work / "series" / "s1")
    for words in (["status"], ["nodes"], ["run", "--failed"]):
        said = cli(*words).err
        assert f"You have no series in {cli.work / 'series'}; " in said
        assert "show series' lists those of others." in said
    assert [row[0] for row in cli("show", "series").rows] == ["s1"]


@needs_root
def test_a_series_of_another_user_names_no_suite_to_run(cli: QuickCli) -> None:
    run(cli, "suite.good", code=0)
    give_away(cli.work / "series" / "s1")
    done = cli("run", "s1")
    assert done.code == 2
    assert "belongs to another user" in done.err
    assert not (cli.work / "series" / "s2").exists()


@pytest.mark.parametrize(
    "source", [None, "x", {}, {"file": 1, "digest": "", "test": "a"}, {"file": "/x", "more": 1}]
)
def test_a_damaged_source_is_an_error(cli: QuickCli, source: Any) -> None:
    run(cli, "suite.good", code=0)
    file = cli.test_path("s1.1") / "test.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "source": source}))
    done = cli("run", "s1")
    assert done.code == 2
    assert "does not say which suite file" in done.err
