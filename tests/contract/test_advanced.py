"""The inventory of advanced schedulers: when it is asked for, what is in it, who is left out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dummy_plugin import Dummy, FakeMachine, TestMaker, active, make_pav_cfg
from pavilion import schedulers
from pavilion.cli.main import main
from pavilion.errors import SchedConfigError, SchedulerPluginError
from pavilion.schedulers import validate_config
from pavilion.schedulers.finding import registry
from pavilion.suites import load_suite
from pavilion.types import NodeInfo


@pytest.fixture
def plugin() -> Iterator[Dummy]:
    with active(Dummy()) as dummy:
        yield dummy


def nodes_of(plugin: Dummy, **schedule: Any) -> list[str]:
    """The usable nodes of a test."""
    return list(plugin.get_initial_vars(schedule)["node_list"])


# ------------------------------------------------------------------------------------- laziness


def test_nothing_is_asked_while_plugins_are_activated_listed_and_configs_validated(
    plugin: Dummy, tmp_path: Path
) -> None:
    suite = tmp_path / "suite.yaml"
    suite.write_text(
        "one:\n  scheduler: dummy\n  schedule:\n    nodes: all\n"
        "    dummy: {features: gpu}\n  run: {cmds: ['true']}\n"
    )

    assert "dummy" in schedulers.list_plugins()
    schedulers.get_plugin("dummy").get_conf()
    validate_config(load_suite(suite)["one"].config["schedule"])
    with pytest.raises(SchedConfigError):
        validate_config({"nodes": "none at all"})

    assert plugin.calls == {}


def test_show_commands_ask_for_no_nodes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "plugins"
    folder.mkdir()
    source = Path(__file__).parent.parent / "dummy_plugin.py"
    (folder / "dummy_plugin.py").write_text(
        source.read_text().replace(
            '        self._count("_get_raw_node_data")\n',
            '        raise SystemExit("asked for nodes")\n',
        )
    )
    (folder / "dummy.yapsy-plugin").write_text("[Core]\nName = dummy\nModule = dummy_plugin\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    try:
        for words in (
            ["plugins"],
            ["sched"],
            ["sched", "--config", "dummy"],
            ["sched", "--vars", "dummy"],
        ):
            assert main(["--config-dir", str(tmp_path), "show", *words]) == 0
            # Something of the dummy's own: its name, a key, a variable.
            out = capsys.readouterr().out
            assert "dummy" in out or "features" in out
    finally:
        registry.reset()


def test_the_scheduler_is_asked_once_for_any_number_of_configs(plugin: Dummy) -> None:
    for partition in ("main", "other", None):
        for nodes in ("1", "50%", "all"):
            found = plugin.get_initial_vars({"partition": partition, "nodes": nodes})
            assert plugin.calls["_get_raw_node_data"] <= 1
            assert found["nodes"].isdigit()

    assert plugin.calls["_get_raw_node_data"] == 1
    # Nothing in these configs concerns what a node is like.
    assert plugin.calls["_transform_raw_node_data"] == 16


def test_the_scheduler_is_asked_again_after_refresh(plugin: Dummy) -> None:
    assert len(nodes_of(plugin)) == 16
    plugin.machine.change("node[01-04]", states=["DOWN"])
    assert len(nodes_of(plugin)) == 16

    plugin.refresh()

    assert nodes_of(plugin)[0] == "node05"
    assert plugin.calls["_get_raw_node_data"] == 2


class AsksPerPartition(Dummy):
    """A scheduler whose command takes a partition."""

    def _get_raw_node_data(self, sched_config: dict[str, Any]) -> tuple[list[Any], Any]:
        partition = sched_config.get("partition")
        nodes, extra = super()._get_raw_node_data(sched_config)
        return [node for node in nodes if partition in (None, *node["partitions"])], extra


def test_the_scheduler_is_asked_again_for_a_config_that_differs_in_what_it_is_asked_with() -> None:
    machine = FakeMachine(4)
    machine.change("node04", partitions=["gpu"])
    with active(AsksPerPartition(machine)) as plugin:
        assert nodes_of(plugin, partition="gpu") == ["node04"]
        assert nodes_of(plugin, partition="main") == ["node01", "node02", "node03"]
        assert nodes_of(plugin, partition="gpu", nodes="1") == ["node04"]
        assert nodes_of(plugin, account="me") == ["node01", "node02", "node03", "node04"]
        assert plugin.calls["_get_raw_node_data"] == 3


def test_a_scheduler_that_failed_once_is_asked_again(plugin: Dummy) -> None:
    plugin.machine.unreachable = "The controller is being restarted."
    for _ in range(100):
        with pytest.raises(SchedulerPluginError, match="being restarted"):
            nodes_of(plugin)
    assert plugin.calls["_get_raw_node_data"] == 1, "a hundred tests wait for one time-out"

    plugin.machine.unreachable = None
    plugin.INVENTORY_RETRY = 0.0

    assert len(nodes_of(plugin)) == 16


def test_a_time_out_serves_longer(plugin: Dummy, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    ask = plugin._get_raw_node_data

    def slow(config: dict[str, Any]) -> Any:
        nonlocal now
        now += 120.0
        return ask(config)

    monkeypatch.setattr("pavilion.schedulers.machine.time", SimpleNamespace(monotonic=lambda: now))
    monkeypatch.setattr(plugin, "_get_raw_node_data", slow)
    plugin.machine.unreachable = "No answer."
    for _ in range(3):
        with pytest.raises(SchedulerPluginError):
            nodes_of(plugin)
        # Another command of the scheduler's times out.
        now += 100.0
    assert plugin.calls["_get_raw_node_data"] == 1
    now += 100.0
    plugin.machine.unreachable = None
    assert len(nodes_of(plugin)) == 16


def test_nobody_asks_for_nodes_that_nobody_looks_at(plugin: Dummy) -> None:
    plugin.machine.unreachable = "The controller is down."
    found = plugin.get_initial_vars({"partition": "main", "account": "science"})
    assert found["partition"] == "main"
    assert found["account"] == "science"
    assert plugin.calls["_get_raw_node_data"] == 0
    for key in ("nodes", "node_list", "chunk_ids", "min_cpus", "errors", "node_list_id"):
        with pytest.raises(SchedulerPluginError, match="controller is down"):
            found[key]


# ------------------------------------------------------------------- evaluated per configuration


def test_reservation_and_states_of_one_test_do_not_leak_into_anothers(plugin: Dummy) -> None:
    plugin.machine.change("node[01-02]", states=["RESERVED", "IDLE"], reservations=["maint"])
    plugin.machine.change("node03", states=["DRAIN"])
    configs: list[tuple[dict[str, Any], int]] = [
        ({"reservation": "maint"}, 2),
        ({}, 13),
        ({"dummy": {"up_states": ["IDLE", "DRAIN"]}}, 14),
        ({"reservation": "any"}, 2),
        ({"dummy": {"up_states": "DRAIN"}}, 1),
    ]

    for round_ in (configs, reversed(configs)):
        for config, count in round_:
            assert len(nodes_of(plugin, **config)) == count, config
    assert plugin.calls["_get_raw_node_data"] == 1


_READS: dict[str, Any] = {
    "item": lambda config: config["account"],
    "get": lambda config: config.get("account"),
    "in": lambda config: "account" in config and config.get("account"),
    "items": lambda config: dict(config.items())["account"],
    "values": lambda config: list(config.values()),
    "iteration": lambda config: [dict.get(config, key) for key in config],
    "dict": lambda config: dict(config)["account"],
    "unpacking": lambda config: {**config}["account"],
    "copy": lambda config: config.copy()["account"],
    "json": lambda config: json.dumps(config, default=str),
    "union": lambda config: (config | {"x": 1})["account"],
    "comparison": lambda config: config == validate_config({"account": "special"}),
    "setdefault": lambda config: config.setdefault("account", ""),
    "pop of a copy": lambda config: config.copy().pop("account"),
    "text": lambda config: str(config),
}


@pytest.mark.parametrize("how", _READS)
def test_whatever_way_a_plugin_reads_its_config_the_result_is_for_that_config(how: str) -> None:
    class Reader(Dummy):
        def _transform_raw_node_data(
            self, sched_config: dict[str, Any], node_data: Any, extra: Any
        ) -> NodeInfo:
            info = super()._transform_raw_node_data(sched_config, node_data, extra)
            seen = _READS[how](sched_config)
            return dict(info, up=seen if isinstance(seen, bool) else "special" in str(seen))

    with active(Reader()) as plugin:
        for account, count in (("other", 0), ("special", 16), ("other", 0)):
            assert len(nodes_of(plugin, account=account)) == count


# -------------------------------------------------------------- what a plugin may say of a node


class Says(Dummy):
    """Describes one node in another way than the others."""

    def __init__(self, info: Any) -> None:
        super().__init__(FakeMachine(3))
        self.info = info

    def _transform_raw_node_data(
        self, sched_config: dict[str, Any], node_data: Any, extra: Any
    ) -> NodeInfo:
        info = super()._transform_raw_node_data(sched_config, node_data, extra)
        return self.info if info["name"] == "node02" else info  # type: ignore[no-any-return]


GOOD = {"name": "node02", "up": True, "available": True}


@pytest.mark.parametrize(
    ("info", "named"),
    [
        ({"up": True, "available": True}, ["dummy", "'name'", "node02"]),
        ({**GOOD, "name": ""}, ["dummy", "'name'"]),
        ({**GOOD, "name": 2}, ["dummy", "'name'", "int"]),
        ({"name": "node02", "available": True}, ["dummy", "'node02'", "'up'", "missing"]),
        ({"name": "node02", "up": True}, ["dummy", "'node02'", "'available'", "missing"]),
        ({**GOOD, "up": "no"}, ["dummy", "'node02'", "'up'", "bool", "'no'"]),
        ({**GOOD, "up": 1}, ["dummy", "'node02'", "'up'", "bool"]),
        ({**GOOD, "cpus": "4"}, ["dummy", "'node02'", "'cpus'", "int"]),
        ({**GOOD, "mem": 1.5}, ["dummy", "'node02'", "'mem'", "int"]),
        ({**GOOD, "cpus": True}, ["dummy", "'node02'", "'cpus'", "int"]),
        ({**GOOD, "partitions": "main"}, ["dummy", "'node02'", "'partitions'", "list"]),
        ({**GOOD, "features": ["a", 1]}, ["dummy", "'node02'", "'features'", "list of str"]),
        (None, ["dummy", "dict", "NoneType", "node02"]),
    ],
)
def test_a_wrong_description_of_a_node_is_an_error_that_names_plugin_node_and_key(
    info: Any, named: list[str]
) -> None:
    with active(Says(info)) as plugin, pytest.raises(SchedulerPluginError) as caught:
        nodes_of(plugin)
    for text in named:
        assert text in str(caught.value)


def test_optional_keys_may_be_left_out() -> None:
    with active(Says(GOOD)) as plugin:
        plugin._filter_custom = lambda *args: None  # type: ignore[method-assign,assignment]
        # Who says nothing about partitions and reservations is not filtered by them.
        assert nodes_of(plugin, partition="main", reservation="maint") == ["node02"]
        assert plugin.get_initial_vars({})["min_cpus"] == "8"


def test_an_unforeseen_failure_of_the_plugin_names_it_and_its_file(plugin: Dummy) -> None:
    del plugin.machine.nodes["node07"]["states"]
    with pytest.raises(SchedulerPluginError) as caught:
        nodes_of(plugin)
    assert "'dummy'" in str(caught.value)
    assert "dummy_plugin.py" in str(caught.value)
    assert "KeyError" in str(caught.value)


def test_an_inventory_error_is_an_error_of_the_tests_and_starts_nothing(
    plugin: Dummy, tmp_path: Path
) -> None:
    pav_cfg = make_pav_cfg(tmp_path)
    test = TestMaker(pav_cfg)()
    plugin.machine.unreachable = "No route to host."

    errors = plugin.schedule_tests(pav_cfg, [test])

    assert [error.tests for error in errors] == [[test]]
    assert "No route to host." in test.status.current().note
    assert test.complete
    assert plugin.kickoffs == []


# -------------------------------------------------------------------------------------- filters


def filtered(plugin: Dummy, **schedule: Any) -> tuple[list[str], dict[str, list[str]]]:
    return plugin._filter_nodes(validate_config(schedule))


def test_lists_that_a_suite_leaves_out_have_the_plugins_defaults(
    plugin: Dummy, tmp_path: Path
) -> None:
    suite = tmp_path / "suite.yaml"
    suite.write_text("one:\n  scheduler: dummy\n  run: {cmds: ['true']}\n")
    schedule = load_suite(suite)["one"].config["schedule"]
    assert plugin.get_initial_vars(schedule)["nodes"] == "16"
    assert validate_config(schedule)["dummy"]["up_states"] == ["IDLE", "ALLOCATED", "RESERVED"]


@pytest.mark.parametrize(
    ("schedule", "out", "reason"),
    [
        ({}, ["node01"], "not up"),
        ({"node_state": "available"}, ["node02"], "not available"),
        ({"partition": "main"}, ["node03"], 'partition is not "main"'),
        ({"reservation": "maint"}, ["node05"], 'not in reservation "maint"'),
        ({"reservation": "any"}, ["node05"], "not in any reservation"),
        ({"across_nodes": "node[01-05]"}, ["node06", "node08"], "not in across_nodes"),
        ({"exclude_nodes": ["node06", "node[07-08]"]}, ["node06", "node08"], "in exclude_nodes"),
        ({"dummy": {"features": "gpu"}}, ["node05"], "has no feature 'gpu'"),
    ],
)
def test_each_filter_gives_its_reason(
    schedule: dict[str, Any], out: list[str], reason: str
) -> None:
    machine = FakeMachine(8)
    machine.change("node01", states=["DOWN"])
    machine.change("node02", states=["ALLOCATED"])
    machine.change("node03", partitions=["gpu"])
    machine.change("node04", reservations=["maint"], features=["gpu"])
    with active(Dummy(machine)) as plugin:
        names, reasons = filtered(plugin, **schedule)

        assert set(out) <= set(reasons[reason])
        assert not set(out) & set(names)
        left_out = [name for group in reasons.values() for name in group]
        assert sorted(names + left_out) == sorted(machine.nodes), "each node is in one place"


def test_a_blank_reservation_does_not_filter(plugin: Dummy) -> None:
    plugin.machine.change("node01", reservations=["maint"])
    assert len(filtered(plugin)[0]) == 16


def test_too_few_nodes_are_counted_by_reason_with_folded_names(plugin: Dummy) -> None:
    plugin.machine.change("node[01-10]", states=["DOWN"])
    plugin.machine.change("node[11-13]", partitions=["gpu"])

    errors = plugin.get_initial_vars({"nodes": "9", "partition": "main"})["errors"]

    assert len(errors) == 1
    assert "Insufficient nodes. Requested at least 9, but only 3 of 16 remain." in errors[0]
    assert "not up: 10 (node[01-10])" in errors[0]
    assert 'partition is not "main": 3 (node[11-13])' in errors[0]


def test_too_few_nodes_for_a_test_in_chunks_are_counted_by_reason_too(plugin: Dummy) -> None:
    plugin.machine.change("node[01-10]", states=["DOWN"])

    # One chunk of all nodes, which are too few.
    errors = plugin.get_initial_vars({"nodes": "8", "chunking": {"size": "8"}})["errors"]

    assert len(errors) == 1
    assert "8" in errors[0]
    assert "not up: 10 (node[01-10])" in errors[0]


@given(
    st.sets(st.integers(1, 30)),
    st.sets(st.integers(1, 30)),
    st.sets(st.integers(1, 40)),
    st.booleans(),
)
def test_every_node_is_used_or_left_out_for_one_reason(
    down: set[int], busy: set[int], excluded: set[int], available: bool
) -> None:
    machine = FakeMachine(30)
    for number in busy:
        machine.change(f"node{number:02d}", states=["ALLOCATED"])
    for number in down:
        machine.change(f"node{number:02d}", states=["DOWN"])
    with active(Dummy(machine)) as plugin:
        names, reasons = filtered(
            plugin,
            node_state="available" if available else "up",
            exclude_nodes=[f"node{number:02d}" for number in sorted(excluded)],
        )

    left_out = [name for group in reasons.values() for name in group]
    assert sorted(names + left_out) == list(machine.nodes)
    out = down | excluded | (busy if available else set())
    assert names == [f"node{number:02d}" for number in range(1, 31) if number not in out]


# ----------------------------------------------------------------- what Pavilion's core reads


def test_show_nodes_of_pavilions_core(plugin: Dummy) -> None:
    """Core assigns what _get_system_inventory gives to _nodes, and calls _filter_nodes."""
    plugin.machine.change("node02", states=["DOWN"])
    config = validate_config({"partition": "main"})

    plugin._nodes = plugin._get_system_inventory(config)
    names, reasons = plugin._filter_nodes(config)

    assert list(plugin._nodes) == [f"node{number:02d}" for number in range(1, 17)]
    assert plugin._nodes["node03"]["cpus"] == 8
    assert len(names) == 15
    assert reasons == {"not up": ["node02"]}


def test_nodes_that_core_assigned_are_what_is_filtered(plugin: Dummy) -> None:
    plugin._nodes = {
        "x2": {"name": "x2", "up": True, "available": True, "features": []},
        "x1": {"name": "x1", "up": False, "available": False, "features": []},
    }
    assert plugin._filter_nodes(validate_config({})) == (["x2"], {"not up": ["x1"]})
    assert plugin.calls["_get_raw_node_data"] == 0


def test_nodes_that_core_assigned_do_not_get_into_the_tests_of_other_configs(plugin: Dummy) -> None:
    plugin.machine.change("node[01-02]", states=["RESERVED", "IDLE"], reservations=["maint"])

    plugin._nodes = plugin._get_system_inventory(validate_config({"reservation": "maint"}))

    assert len(nodes_of(plugin)) == 14


def test_node_lists_are_found_by_node_list_id(plugin: Dummy) -> None:
    plugin.machine.change("node[05-16]", partitions=["gpu"])
    for schedule, count in (({"partition": "gpu"}, 12), ({"partition": "main"}, 4), ({}, 16)):
        found = plugin.get_initial_vars(schedule)
        nodes = plugin._node_lists[int(found["node_list_id"])]
        assert nodes == found["node_list"]
        assert len(nodes) == count
    assert plugin.get_initial_vars({"partition": "gpu"})["node_list_id"] == "0"


def test_names_are_in_natural_order() -> None:
    machine = FakeMachine(0)
    for name in ("n10", "n9", "login", "n1-2", "n1-10"):
        machine.add(name)
    with active(Dummy(machine)) as plugin:
        assert nodes_of(plugin) == ["login", "n1-2", "n1-10", "n9", "n10"]


# ------------------------------------------------------------------- what existing plugins rely on


def test_plugins_make_what_they_keep_in_refresh() -> None:
    class Keeps(Dummy):
        def refresh(self) -> None:
            super().refresh()
            self.kept: dict[str, str] = {}

    assert Keeps(FakeMachine(2)).kept == {}


def test_nodes_of_the_last_inventory_are_there_in_a_kickoff(plugin: Dummy) -> None:
    """All of them, those that are down included; what core assigns comes first."""
    assert plugin._nodes is None
    plugin.machine.change("node01", states=["DOWN"])
    plugin.get_initial_vars({"nodes": "2"})["node_list"]
    assert plugin._nodes is not None
    assert len(plugin._nodes) == 16 and plugin._nodes["node01"]["up"] is False
    # That is no assignment: other configurations are filtered anew.
    assert len(plugin._filter_nodes(validate_config({"exclude_nodes": "node02"}))[0]) == 14
    plugin._nodes = {"a": {"name": "a", "up": True, "available": True}}
    assert list(plugin._nodes) == ["a"]
    plugin.refresh()
    assert plugin._nodes is None
