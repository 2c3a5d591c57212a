"""The variables of advanced schedulers: before a test is scheduled, and on its allocation."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from dummy_plugin import GIB, NODES_VARIABLE, Dummy, TestMaker, active, make_pav_cfg
from pavilion.config import PavConfig
from pavilion.deferred import DeferredVariable
from pavilion.errors import SchedulerPluginError
from pavilion.schedulers import SchedulerVariables
from pavilion.test_run import TestRun

DEFERRED = {
    "srun_args",
    "tasks_total",
    "test_min_cpus",
    "test_min_mem",
    "test_node_list",
    "test_nodes",
}
OTHERS = {
    "account",
    "chunk_ids",
    "chunk_size",
    "concurrent_default",
    "errors",
    "min_cpus",
    "min_mem",
    "node_list",
    "node_list_id",
    "nodes",
    "partition",
    "qos",
    "requested_nodes",
    "reservation",
    "tasks_per_node",
    "test_cmd",
}


@pytest.fixture
def plugin() -> Iterator[Dummy]:
    with active(Dummy()) as dummy:
        # A small node, and one that is larger in one way only.
        dummy.machine.change("node16", cpus=4, mem=64 * GIB)
        dummy.machine.change("node15", cpus=32, mem=8 * GIB)
        yield dummy


@pytest.fixture
def pav_cfg(tmp_path: Path) -> PavConfig:
    return make_pav_cfg(tmp_path)


@pytest.fixture
def make_test(pav_cfg: PavConfig) -> TestMaker:
    return TestMaker(pav_cfg)


# --------------------------------------------------------------------------- before the allocation


def test_the_base_class_has_exactly_these_variables() -> None:
    assert set(SchedulerVariables({})) == DEFERRED | OTHERS


def test_deferred_ones_are_not_known_yet_and_the_others_are(plugin: Dummy) -> None:
    found = plugin.get_initial_vars({})
    for key in found:
        assert isinstance(found[key], DeferredVariable) == (key in DEFERRED), key
        assert found.info(key)["deferred"] == (key in DEFERRED)


def test_variables_before_the_allocation(plugin: Dummy) -> None:
    found = plugin.get_initial_vars(
        {
            "nodes": "50%",
            "min_nodes": "2",
            "partition": "main",
            "account": "me",
            "qos": "high",
            "wrapper": "gdb -batch",
            "exclude_nodes": "node[02-03]",
        }
    )
    assert {key: found[key] for key in OTHERS} == {
        "account": "me",
        "partition": "main",
        "qos": "high",
        "reservation": "",
        "chunk_ids": ["0"],
        "chunk_size": "14",
        "concurrent_default": "1",
        "errors": [],
        "min_cpus": "4",
        "min_mem": str(8 * GIB),
        "nodes": "14",
        "node_list_id": "0",
        "node_list": ["node01", *(f"node{number:02d}" for number in range(4, 17))],
        "requested_nodes": "2-7",
        "tasks_per_node": "1",
        "test_cmd": "dummyrun gdb -batch",
    }


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ({}, "1"),
        ({"tasks_per_node": "3"}, "3"),
        ({"tasks_per_node": "all"}, "4"),
        ({"tasks_per_node": "min"}, "1"),
        ({"tasks_per_node": "50%"}, "2"),
        ({"tasks_per_node": "10%"}, "1"),
        ({"tasks_per_node": "10%", "min_tasks_per_node": "3"}, "3"),
        # The small node is left out.
        ({"tasks_per_node": "all", "exclude_nodes": "node16"}, "8"),
    ],
)
def test_tasks_per_node(plugin: Dummy, schedule: dict[str, Any], expected: str) -> None:
    assert plugin.get_initial_vars(schedule)["tasks_per_node"] == expected


def test_a_plugins_own_variable_sees_the_usable_nodes(plugin: Dummy) -> None:
    plugin.machine.change("node[01-02]", features=["gpu", "ib"])
    assert plugin.get_initial_vars({})["features"] == []
    assert plugin.get_initial_vars({"across_nodes": "node[01-02]"})["features"] == ["gpu", "ib"]


def test_too_few_nodes_are_an_entry_in_errors_and_the_rest_is_known(plugin: Dummy) -> None:
    found = plugin.get_initial_vars({"nodes": "17"})
    assert found["errors"] == [
        "Insufficient nodes. Requested at least 17, but only 16 of 16 remain."
    ]
    assert found["nodes"] == "16"


def test_include_nodes_that_are_not_usable_are_an_entry_in_errors(plugin: Dummy) -> None:
    plugin.machine.change("node02", states=["DOWN"])
    errors = plugin.get_initial_vars({"include_nodes": "node[02-03]", "nodes": "3"})["errors"]
    assert len(errors) == 1
    assert "node02 (not up)" in errors[0]


# ----------------------------------------------------------------------------- on the allocation


def final(
    plugin: Dummy, test: TestRun, monkeypatch: pytest.MonkeyPatch, nodes: list[str]
) -> SchedulerVariables:
    monkeypatch.setenv(NODES_VARIABLE, ",".join(nodes))
    return plugin.get_final_vars(test)


def test_values_on_the_node_come_from_the_actual_allocation(
    plugin: Dummy, pav_cfg: PavConfig, make_test: TestMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    test = make_test(nodes="4", min_nodes="1", tasks_per_node="all", account="me")
    plugin.schedule_tests(pav_cfg, [test])

    found = final(plugin, test, monkeypatch, ["node16", "node09"])

    assert {key: found[key] for key in DEFERRED} == {
        "test_node_list": ["node09", "node16"],
        "test_nodes": "2",
        "test_min_cpus": "4",
        "test_min_mem": str(16 * GIB),
        "tasks_total": "8",
        "srun_args": '--account="me" --nodes="2"',
    }


@pytest.mark.parametrize(
    ("schedule", "tasks_total"),
    [
        ({"nodes": "2"}, "2"),
        ({"nodes": "2", "tasks": "5"}, "5"),
        ({"tasks": "7"}, "7"),
        ({"nodes": "2", "tasks_per_node": "50%"}, "8"),
        ({"nodes": "2", "tasks_per_node": "3"}, "6"),
    ],
)
def test_the_number_of_tasks_on_the_allocation(
    plugin: Dummy,
    pav_cfg: PavConfig,
    make_test: TestMaker,
    monkeypatch: pytest.MonkeyPatch,
    schedule: dict[str, Any],
    tasks_total: str,
) -> None:
    test = make_test(**schedule)
    plugin.schedule_tests(pav_cfg, [test])
    assert final(plugin, test, monkeypatch, ["node01", "node02"])["tasks_total"] == tasks_total


def test_variables_of_a_test_on_a_chunk(
    plugin: Dummy, pav_cfg: PavConfig, make_test: TestMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    test = make_test(nodes="all", chunk="3", chunking={"size": "4"}, tasks_per_node="all")
    plugin.schedule_tests(pav_cfg, [test])
    nodes = plugin.kickoff_of(test).nodes
    assert nodes == ["node13", "node14", "node15", "node16"]

    found = final(plugin, test, monkeypatch, nodes)

    assert found["test_nodes"] == "4"
    assert found["tasks_total"] == "16"
    assert found["test_min_mem"] == str(8 * GIB)


def test_nodes_without_stored_data_are_known_by_name(
    plugin: Dummy, pav_cfg: PavConfig, make_test: TestMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    test = make_test(nodes="2", across_nodes="node[15-16]", cluster_info={"cpus": "3"})
    plugin.schedule_tests(pav_cfg, [test])

    mixed = final(plugin, test, monkeypatch, ["node15", "spare1"])
    assert mixed["test_node_list"] == ["node15", "spare1"]
    assert mixed["test_min_cpus"] == "32"

    unknown = final(plugin, test, monkeypatch, ["spare1"])
    assert unknown["test_nodes"] == "1"
    assert unknown["test_min_cpus"] == "3"
    assert unknown["errors"] == []


def test_final_variables_ask_the_scheduler_for_nothing(
    plugin: Dummy, pav_cfg: PavConfig, make_test: TestMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    test = make_test()
    plugin.schedule_tests(pav_cfg, [test])
    plugin.refresh()
    plugin.machine.unreachable = "Nobody can ask from here."
    before = plugin.calls["_get_raw_node_data"]
    assert final(plugin, test, monkeypatch, ["node01"])["test_nodes"] == "1"
    assert plugin.calls["_get_raw_node_data"] == before


def test_an_allocation_without_its_nodes_is_an_error_that_names_plugin_and_test(
    plugin: Dummy, pav_cfg: PavConfig, make_test: TestMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    test, no_job = make_test(), make_test()
    plugin.schedule_tests(pav_cfg, [test])
    monkeypatch.delenv(NODES_VARIABLE, raising=False)
    for bad in (test, no_job):
        with pytest.raises(SchedulerPluginError) as caught:
            plugin.get_final_vars(bad)
        assert caught.value.tests == [bad]
        assert bad.id in str(caught.value)


# ------------------------------------------------------------- plugins that override what is there


class Careful(Dummy):
    """Looks for trouble of its own, as plugins for real machines do."""

    def __init__(self) -> None:
        super().__init__()
        self.notices = ["The machine is being upgraded."]

    def get_initial_vars(self, raw_sched_config: Mapping[str, Any]) -> SchedulerVariables:
        found = super().get_initial_vars(raw_sched_config)
        found.add_errors(self.notices)
        return found

    def refresh(self) -> None:
        super().refresh()
        self.notices = []


def test_plugins_may_add_errors_and_override_refresh() -> None:
    with active(Careful()) as plugin:
        errors = plugin.get_initial_vars({"nodes": "20"})["errors"]
        assert len(errors) == 2
        assert errors[1] == "The machine is being upgraded."
        assert plugin.get_initial_vars({})["errors"] == ["The machine is being upgraded."]

        plugin.refresh()

        assert plugin.get_initial_vars({})["errors"] == []
        assert plugin.calls["_get_raw_node_data"] == 2


# -------------------------------------------------------------------------- status, on the way


def test_a_job_that_runs_as_a_process_is_followed_to_its_end(
    pav_cfg: PavConfig, make_test: TestMaker
) -> None:
    """The kickoff script as it is, but for what it runs: loading Pavilion is for other tests."""
    with active(Dummy()) as plugin:
        plugin.run_scripts = True
        plugin.on_kickoff = lambda kickoff: kickoff.job.kickoff_path.write_text(
            f'#!/bin/sh\necho "$DUMMY_NODES" > {kickoff.job.path}/seen\n'
        )
        test = make_test(nodes="2", across_nodes="node[03-04]")
        assert plugin.schedule_tests(pav_cfg, [test]) == []

        deadline = time.monotonic() + 20
        while not test.complete and time.monotonic() < deadline:
            status = plugin.job_status(pav_cfg, test)
            time.sleep(0.02)

        assert status.state == "SCHED_ERROR"
        assert "Exit code 0" in status.note
        assert test.job is not None
        assert (test.job.path / "seen").read_text() == "node03,node04\n"
