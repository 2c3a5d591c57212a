"""Schedulers that do not list their nodes, and names that a scheduler does not have."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from contract.fakes import active
from dummy_plugin import Dummy, TestMaker, make_pav_cfg
from pavilion.errors import SchedConfigError
from pavilion.schedulers.placement.inventory import NodesUnknownError
from pavilion.schedulers.time_limits import TimeLimit


class Hiding(Dummy):
    """Does not list its nodes, and has two partitions."""

    LEFT_OUT_ADVICE = {"asleep": "dummy.wake takes nodes that are asleep"}
    hidden = True
    missing = 0
    asked = 0

    def _get_raw_node_data(self, sched_config: dict[str, Any]) -> tuple[list[Any], Any]:
        self.asked += 1
        if self.hidden:
            raise NodesUnknownError("The site hides its nodes")
        return super()._get_raw_node_data(sched_config)

    def _transform_raw_node_data(
        self, sched_config: dict[str, Any], node_data: Any, extra: Any
    ) -> dict[str, Any]:
        node = super()._transform_raw_node_data(sched_config, node_data, extra)
        return node if node["up"] else {**node, "cause": "asleep"}

    def _missing_nodes(self, sched_config: dict[str, Any]) -> int:
        return self.missing

    def _section_problem(self, sched_config: dict[str, Any]) -> SchedConfigError | None:
        if sched_config["partition"] in (None, "main", "other"):
            return None
        if sched_config["partition"] == "crash":
            raise RuntimeError("the plugin's own mistake")
        return SchedConfigError(
            "There is no partition of that name.", data={"key": "schedule.partition"}
        )


@pytest.fixture
def plugin() -> Any:
    with active(Hiding()) as made:
        yield made


class Site:
    """Makes tests, and starts them."""

    def __init__(self, folder: Path, plugin: Hiding) -> None:
        self.pav_cfg = make_pav_cfg(folder)
        self.plugin = plugin
        self.test = TestMaker(self.pav_cfg)

    def start(self, *tests: Any) -> list[Any]:
        """Start tests; the errors."""
        return self.plugin.schedule_tests(self.pav_cfg, list(tests))


@pytest.fixture
def site(tmp_path: Path, plugin: Hiding) -> Site:
    return Site(tmp_path, plugin)


def start(site: Site, schedule: dict[str, Any]) -> tuple[Any, list[Any]]:
    test = site.test(**schedule)
    return test, site.start(test)


@pytest.mark.parametrize(
    ("schedule", "node_range"),
    [
        ({}, (1, 1)),
        ({"nodes": "40"}, (40, 40)),
        ({"nodes": "4", "min_nodes": "2"}, (2, 4)),
        ({"tasks": "9"}, (1, None)),
        ({"include_nodes": "node03", "nodes": "2"}, (2, 2)),
    ],
)
def test_a_test_whose_nodes_the_scheduler_picks_is_handed_over(
    plugin: Hiding, site: Site, schedule: dict[str, Any], node_range: Any
) -> None:
    test, errors = start(site, schedule)
    assert errors == []
    assert plugin.kickoffs[-1].node_range == node_range
    assert plugin.kickoffs[-1].nodes is None
    assert not test.complete


@pytest.mark.parametrize(
    ("schedule", "keys"),
    [
        ({"nodes": "all"}, ["schedule.nodes"]),
        ({"min_nodes": "10%"}, ["schedule.min_nodes"]),
        ({"chunking": {"size": "2"}}, ["schedule.chunking.size"]),
        ({"across_nodes": "node[01-04]"}, ["schedule.across_nodes"]),
        ({"tasks_per_node": "50%"}, ["schedule.tasks_per_node"]),
        ({"node_state": "available", "nodes": "all"}, ["schedule.node_state", "schedule.nodes"]),
    ],
)
def test_a_test_that_depends_on_nodes_ends_with_the_keys(
    plugin: Hiding, site: Site, schedule: dict[str, Any], keys: list[str]
) -> None:
    test, errors = start(site, schedule)
    assert [error.tests for error in errors] == [[test]]
    note = test.status.current().note
    assert "The site hides its nodes. The test depends on the nodes, because of" in note
    assert all(key in note for key in keys)
    assert test.complete


def test_a_thousand_tests_ask_once(plugin: Hiding, site: Site) -> None:
    tests = [site.test() for _ in range(100)]
    assert site.start(*tests) == []
    assert plugin.asked == 1
    # They share as they would otherwise.
    assert len(plugin.kickoffs) == 1


def test_too_few_that_are_listed(plugin: Hiding, site: Site) -> None:
    plugin.hidden = False
    _, errors = start(site, {"nodes": "20"})
    assert "Requested at least 20, but only 16 of 16 remain" in errors[0].pformat()
    plugin.missing = 6
    _, errors = start(site, {"nodes": "20"})
    assert errors == []
    assert plugin.kickoffs[-1].node_range == (20, 20)
    # More than there are altogether.
    _, errors = start(site, {"nodes": "23"})
    assert "Requested at least 23, but only 16 of 16 remain" in errors[0].pformat()
    _, errors = start(site, {"nodes": "2", "across_nodes": "nosuch[1-2]"})
    assert "The scheduler has 6 more nodes for such a job, which are not listed here" in (
        errors[0].pformat()
    )


def test_causes_are_counted_and_the_advice_is_given(plugin: Hiding, site: Site) -> None:
    plugin.hidden = False
    plugin.machine.change("node[01-06]", states=["DOWN"])
    _, errors = start(site, {"nodes": "12"})
    text = errors[0].pformat()
    assert "not up: 6 (node[01-06]): asleep: 6." in text
    assert text.rstrip().endswith("Dummy.wake takes nodes that are asleep.")
    _, errors = start(site, {"nodes": "1", "include_nodes": "node02"})
    assert "node02 (not up: asleep)" in errors[0].pformat()


def test_a_name_that_does_not_exist_ends_its_tests_only(plugin: Hiding, site: Site) -> None:
    wrong, right = site.test(partition="mian"), site.test(partition="other")
    errors = site.start(wrong, right)
    assert [error.tests for error in errors] == [[wrong]]
    assert "There is no partition of that name." in wrong.status.current().note
    problem = plugin.section_problem({"partition": "mian"})
    assert problem is not None and problem.data == {"key": "schedule.partition"}
    assert plugin.section_problem({}) is None
    assert plugin.section_problem({"partition": "crash"}) is None
    assert "nodes" in str(plugin.section_problem({"nodes": "few"}))


def test_variables_do_without_nodes(plugin: Hiding) -> None:
    values = plugin.get_initial_vars({"nodes": "2", "partition": "main"})
    assert values["partition"] == "main"
    with pytest.raises(NodesUnknownError, match="hides"):
        values["node_list"]


def test_limits_under_an_hour_reach_jobs(plugin: Hiding, site: Site) -> None:
    tests = [site.test(time_limit=limit) for limit in ("30m", "45m", "0.5")]
    assert site.start(*tests) == []
    assert plugin.kickoffs[-1].config["time_limit"] == TimeLimit(2700)
    # What a plugin that knows hours only makes of it.
    assert f"{plugin.kickoffs[-1].config['time_limit']}" == "1"
