"""The inventory: what a plugin must tell of a node, and which nodes a test may use."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pavilion.schedulers.placement import hostlists, inventory
from pavilion.schedulers.placement.inventory import (
    InventoryError,
    check_node,
    filter_nodes,
    include_problem,
    insufficient_message,
)


def node(name: str, **info: Any) -> dict[str, Any]:
    return {"name": name, "up": True, "available": True, **info}


def machine(*infos: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {info["name"]: info for info in infos}


NODES = machine(
    node("n10", partitions=["cpu"], reservations=[]),
    node("n2", partitions=["gpu"], reservations=["night"]),
    node("n1", partitions=["gpu", "cpu"], reservations=["night", "maint"], available=False),
    node("n3", up=False, available=False, partitions=["gpu"]),
)


class TestCheckNode:
    """A plugin's mistakes are named."""

    def test_good_nodes_pass(self) -> None:
        check_node("mine", {}, node("n1"))
        check_node(
            "mine",
            {},
            node(
                "n1",
                cpus=4,
                mem=2**40,
                partitions=["a"],
                reservations=(),
                features=[],
                states=["UP"],
                extra=object(),
            ),
        )

    @pytest.mark.parametrize(
        ("change", "key", "problem"),
        [
            ({"name": None}, "name", "must be a str, not NoneType"),
            ({"name": ""}, "name", "is empty"),
            ({"up": "no"}, "up", "must be a bool, not str: 'no'"),
            ({"available": 1}, "available", "must be a bool, not int: 1"),
            ({"cpus": "4"}, "cpus", "must be an int, not str: '4'"),
            ({"mem": True}, "mem", "must be an int, not bool"),
            ({"partitions": "gpu"}, "partitions", "must be a list of str, not str: 'gpu'"),
            ({"states": ["UP", 3]}, "states", "must be a list of str, but contains int: 3"),
            ({"features": None}, "features", "must be a list of str, not NoneType"),
        ],
    )
    def test_wrong_types(self, change: dict[str, Any], key: str, problem: str) -> None:
        with pytest.raises(InventoryError) as caught:
            check_node("mine", "raw line", {**node("n7"), **change})
        message = str(caught.value)
        assert "Scheduler plugin 'mine'" in message
        assert f"the key '{key}' {problem}" in message
        # Without a name, the raw data tells which node it is.
        assert ("'raw line'" if key == "name" else "node 'n7'") in message

    @pytest.mark.parametrize("key", ["name", "up", "available"])
    def test_missing_keys(self, key: str) -> None:
        info = node("n7")
        del info[key]
        with pytest.raises(InventoryError, match=f"the key '{key}' is missing"):
            check_node("mine", "raw", info)

    def test_not_a_dict(self) -> None:
        with pytest.raises(
            InventoryError, match="return a dict; it returned NoneType for 'xxx"
        ) as caught:
            check_node("mine", "x" * 5000, None)
        assert len(str(caught.value)) < 300


class TestFilters:
    """Which nodes stay, and why the others do not."""

    @pytest.mark.parametrize(
        ("config", "names", "reasons"),
        [
            ({}, ["n1", "n2", "n10"], {"not up": ["n3"]}),
            ({"node_state": "up"}, ["n1", "n2", "n10"], {"not up": ["n3"]}),
            (
                {"node_state": "available"},
                ["n2", "n10"],
                {"not up": ["n3"], "not available": ["n1"]},
            ),
            (
                {"partition": "gpu"},
                ["n1", "n2"],
                {"not up": ["n3"], 'partition is not "gpu"': ["n10"]},
            ),
            (
                {"reservation": "maint"},
                ["n1"],
                {"not up": ["n3"], 'not in reservation "maint"': ["n2", "n10"]},
            ),
            (
                {"reservation": "any"},
                ["n1", "n2"],
                {"not up": ["n3"], "not in any reservation": ["n10"]},
            ),
            ({"reservation": None, "partition": ""}, ["n1", "n2", "n10"], {"not up": ["n3"]}),
            (
                {"across_nodes": ["n2", "n3", "n99"]},
                ["n2"],
                {"not up": ["n3"], "not in across_nodes": ["n1", "n10"]},
            ),
            (
                {"exclude_nodes": ["n10", "n3", "n99"]},
                ["n1", "n2"],
                {"not up": ["n3"], "in exclude_nodes": ["n10"]},
            ),
        ],
    )
    def test_each_filter(
        self, config: dict[str, Any], names: list[str], reasons: dict[str, list[str]]
    ) -> None:
        assert filter_nodes(NODES, config) == (names, reasons)

    def test_custom_filter_sees_what_is_left(self) -> None:
        asked = []

        def custom(name: str, info: dict[str, Any]) -> str | None:
            asked.append(name)
            assert info is NODES[name]
            return "no feature 'x'" if name == "n2" else None

        names, reasons = filter_nodes(NODES, {"exclude_nodes": ["n10"]}, custom)
        assert names == ["n1"]
        assert asked == ["n1", "n2"]
        assert reasons["no feature 'x'"] == ["n2"]

    def test_groups_that_the_scheduler_does_not_tell_do_not_filter(self) -> None:
        nodes = machine(node("n1"))
        for config in ({"partition": "gpu"}, {"reservation": "any"}, {"reservation": "r"}):
            assert filter_nodes(nodes, config) == (["n1"], {})

    def test_included_nodes_need_not_be_free_nor_in_across_nodes(self) -> None:
        config = {"node_state": "available", "across_nodes": ["n10"], "include_nodes": ["n1"]}
        names, reasons = filter_nodes(NODES, config)
        assert names == ["n1", "n10"]
        assert include_problem(reasons) is None

    def test_included_nodes_that_cannot_be_used_are_named(self) -> None:
        config = {
            "partition": "gpu",
            "exclude_nodes": ["n2"],
            "include_nodes": ["n1", "n2", "n3", "n10", "n99", "n98"],
        }
        names, reasons = filter_nodes(NODES, config)
        assert names == ["n1"]
        assert reasons == {
            "in include_nodes, but not in the inventory": ["n98", "n99"],
            "in include_nodes, but not up": ["n3"],
            'in include_nodes, but partition is not "gpu"': ["n10"],
            "in include_nodes, but in exclude_nodes": ["n2"],
        }
        assert include_problem(reasons) == (
            "include_nodes names nodes that cannot be used: n[98-99] (not in the inventory); "
            'n3 (not up); n10 (partition is not "gpu"); n2 (in exclude_nodes).'
        )

    def test_an_ordered_inventory_is_taken_as_it_is(self) -> None:
        ordered = inventory.in_order(NODES)
        assert list(ordered) == ["n1", "n2", "n3", "n10"]
        assert filter_nodes(ordered, {}, ordered=True) == filter_nodes(NODES, {})


GROUPS = st.lists(st.sampled_from(["a", "b", "c"]), unique=True)
INFOS = st.builds(
    lambda up, available, partitions, reservations: {
        "up": up,
        "available": up and available,
        **({} if partitions is None else {"partitions": partitions}),
        **({} if reservations is None else {"reservations": reservations}),
    },
    st.booleans(),
    st.booleans(),
    st.none() | GROUPS,
    st.none() | GROUPS,
)
ODD_NAMES = st.sampled_from([f"n{number}" for number in range(15)] + ["n01", "", "a b", "x-", "é"])
INVENTORIES = st.dictionaries(ODD_NAMES, INFOS, max_size=15).map(
    lambda nodes: {name: {"name": name, **info} for name, info in nodes.items()}
)
CONFIGS = st.fixed_dictionaries(
    {
        "node_state": st.sampled_from(["up", "available"]),
        "partition": st.sampled_from([None, "", "a", "z"]),
        "reservation": st.sampled_from([None, "any", "b", "z"]),
        "across_nodes": st.lists(ODD_NAMES, max_size=10),
        "exclude_nodes": st.lists(ODD_NAMES, max_size=4),
        "include_nodes": st.lists(ODD_NAMES, max_size=4),
    }
)


def first_reason(info: dict[str, Any], config: dict[str, Any]) -> str | None:
    """The filters, one node at a time."""
    name = info["name"]
    required = name in config["include_nodes"]
    partition, reservation = config["partition"], config["reservation"]
    if not info["up"]:
        return "not up"
    if config["node_state"] == "available" and not info["available"] and not required:
        return "not available"
    if partition and "partitions" in info and partition not in info["partitions"]:
        return f'partition is not "{partition}"'
    if reservation and "reservations" in info:
        if reservation == "any":
            if not info["reservations"]:
                return "not in any reservation"
        elif reservation not in info["reservations"]:
            return f'not in reservation "{reservation}"'
    if config["across_nodes"] and name not in config["across_nodes"] and not required:
        return "not in across_nodes"
    if name in config["exclude_nodes"]:
        return "in exclude_nodes"
    return "odd length" if len(name) % 2 else None


@given(INVENTORIES, CONFIGS)
def test_every_node_stays_or_has_its_first_reason(
    nodes: dict[str, dict[str, Any]], config: dict[str, Any]
) -> None:
    names, reasons = filter_nodes(
        nodes, config, lambda name, info: "odd length" if len(name) % 2 else None
    )
    assert names == hostlists.natural_sorted(
        name for name, info in nodes.items() if first_reason(info, config) is None
    )
    found = {}
    for reason, left_out in reasons.items():
        assert left_out == hostlists.natural_sorted(set(left_out))
        for name in left_out:
            assert name not in found
            found[name] = reason
    for name in set(nodes).difference(names):
        prefix = "in include_nodes, but " if name in config["include_nodes"] else ""
        assert found.pop(name) == prefix + str(first_reason(nodes[name], config))
    unknown = set(config["include_nodes"]).difference(nodes)
    assert found == dict.fromkeys(unknown, "in include_nodes, but not in the inventory")
    assert (include_problem(reasons) is None) == set(config["include_nodes"]).issubset(names)


def test_insufficient_message() -> None:
    down = [f"node{number:03}" for number in range(1, 101)]
    others = [f"node{number:03}" for number in range(101, 126)]
    reasons = {"not up": down, 'partition is not "gpu"': others}
    assert insufficient_message(16, 3, reasons) == (
        "Insufficient nodes. Requested at least 16, but only 3 of 128 remain. Left out: not up: 100 "
        '(node[001-100]); partition is not "gpu": 25 (node[101-125]).'
    )
    assert insufficient_message(2, 1, {}) == (
        "Insufficient nodes. Requested at least 2, but only 1 of 1 remains."
    )


def test_insufficient_message_shows_only_first_names_of_many() -> None:
    names = [f"n{number}" for number in range(0, 2000, 2)]
    message = insufficient_message(
        1, 0, {"not up": names, "in include_nodes, but not in the inventory": ["x1"]}
    )
    assert "0 of 1000 remain" in message
    assert "not up: 1000 (n[0,2,4," in message
    assert len(message) < 300
