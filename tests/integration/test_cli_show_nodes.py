"""``pav-sched show nodes``: the nodes of a scheduler, and why some are left out."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from grid import QuickCli, add_grid, untouched

SUITE = """
    _base:
      scheduler: grid
      run: {cmds: ["true"]}
    across:
      inherits_from: _base
      schedule: {nodes: 2, across_nodes: 'n[01-08]', exclude_nodes: n02, partition: even}
    free:
      inherits_from: _base
      schedule: {nodes: all, node_state: available}
    misspelt:
      inherits_from: _base
      schedule: {nodes: 2, include_nodes: 'n[08,99]'}
    by_partition:
      inherits_from: _base
      variables: {part: [odd, even]}
      permute_on: part
      schedule: {partition: '{{part}}'}
    local:
      run: {cmds: ["true"]}
    """


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[QuickCli]:
    made = add_grid(QuickCli(tmp_path_factory.mktemp("shown")), SUITE)
    yield made
    made.kill_all()


def test_all_nodes(shown: QuickCli) -> None:
    done = shown.process("show", "nodes", "grid")
    assert (done.code, done.err) == (0, "")
    assert done.out.splitlines()[0].split("\t") == [
        "NODE",
        "USABLE",
        "STATE",
        "CPUS",
        "PARTITIONS",
        "RESERVATIONS",
        "LEFT OUT BECAUSE",
    ]
    rows = {row[0]: row[1:] for row in done.rows}
    assert list(rows) == [f"n{number:02}" for number in range(1, 17)]
    assert rows["n01"] == ["yes", "available (IDLE)", "8", "all,odd", "", ""]
    assert rows["n05"] == ["no", "not up (DOWN)", "8", "all,odd", "", "not up"]
    assert rows["n14"] == ["yes", "up (BUSY)", "8", "all,even", "", ""]
    assert rows["n13"][-1] == "smells <&> funny"
    assert done.out.splitlines()[-1] == "14 of 16 nodes can be used."
    assert untouched(shown)


def test_as_a_test_sees_them(shown: QuickCli) -> None:
    done = shown("show", "nodes", "grid", "--test", "suite.across")
    assert done.code == 0
    reasons = {row[0]: row[-1] for row in done.rows}
    # The first reason that holds, in the order of the filters.
    assert [reasons[name] for name in ("n01", "n02", "n04", "n05", "n10", "n13")] == [
        'partition is not "even"',
        "in exclude_nodes",
        "",
        "not up",
        "not in across_nodes",
        'partition is not "even"',
    ]
    assert done.out.splitlines()[-1] == "3 of 16 nodes can be used."


def test_filtered(shown: QuickCli) -> None:
    done = shown("show", "nodes", "grid", "--test", "suite.across", "--filtered")
    assert [row[:2] for row in done.rows] == [[name, "yes"] for name in ("n04", "n06", "n08")]
    assert done.out.splitlines()[-1] == "3 of 16 nodes can be used."
    names = [
        row[0] for row in shown("show", "nodes", "grid", "--test", "suite.free", "--filtered").rows
    ]
    assert len(names) == 12
    assert not {"n05", "n07", "n13", "n14"} & set(names)


def test_json(shown: QuickCli) -> None:
    done = shown("show", "nodes", "grid", "--test", "suite.across", "--json")
    assert (done.code, done.err) == (0, "")
    data = done.json
    assert (data["scheduler"], data["usable"], len(data["nodes"])) == ("grid", 3, 16)
    nodes = {node["name"]: node for node in data["nodes"]}
    assert nodes["n04"] == {
        "name": "n04",
        "usable": True,
        "reason": None,
        "up": True,
        "available": True,
        "cpus": 8,
        "mem": 2**34,
        "partitions": ["all", "even"],
        "states": ["IDLE"],
    }
    assert (nodes["n02"]["usable"], nodes["n02"]["reason"]) == (False, "in exclude_nodes")
    data = shown("show", "nodes", "grid", "--test", "suite.across", "--json", "--filtered").json
    assert [node["name"] for node in data["nodes"]] == ["n04", "n06", "n08"]


def test_nodes_that_do_not_exist(shown: QuickCli) -> None:
    for option in ([], ["--json"]):
        done = shown("show", "nodes", "grid", "--test", "suite.misspelt", *option)
        assert done.code == 0
        assert done.err == "n99: in include_nodes, but not in the inventory.\n"


def test_permutations_that_differ(shown: QuickCli) -> None:
    done = shown("show", "nodes", "grid", "--test", "suite.by_partition", "--filtered")
    assert done.code == 0
    assert {row[4] for row in done.rows} == {"all,odd"}
    assert "These are the nodes of suite.by_partition.odd; not of suite.by_partition.even." in (
        done.err
    )


def test_filters_of_a_test_of_another_scheduler(shown: QuickCli) -> None:
    """Which nodes would there be, if it ran there?"""
    done = shown("show", "nodes", "grid", "--test", "suite.local", "--filtered")
    assert (done.code, len(done.rows)) == (0, 14)


@pytest.mark.parametrize(
    ("args", "says"),
    [
        ([], "SCHEDULER"),
        (["gird"], "'grid'"),
        (["raw"], "The scheduler 'raw' cannot list its nodes."),
        (["grid", "--test", "suite"], "'suite' stands for 5 tests; name one of them"),
        (["grid", "--test", "suite.acros"], "Did you mean 'across'?"),
        (["raw", "--test", "suite.across"], "cannot list its nodes"),
    ],
)
def test_usage_errors(shown: QuickCli, args: list[str], says: str) -> None:
    done = shown("show", "nodes", *args)
    assert (done.code, done.out) == (2, "")
    assert says in done.err
    assert untouched(shown)


def test_scheduler_out_of_reach(shown: QuickCli) -> None:
    done = shown("show", "nodes", "grid", env={"GRID_FAILS": "1"})
    assert (done.code, done.out) == (2, "")
    assert done.err == "pav-sched: error: The grid is out of reach.\n"


def test_plugin_that_tells_nonsense(shown: QuickCli) -> None:
    """The error names plugin, node and key."""
    done = shown("show", "nodes", "grid", env={"GRID_NODES": "three"})
    assert done.code == 2
    assert "grid.py" in done.err
    assert "Traceback" not in done.err
