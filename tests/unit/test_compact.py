"""What filters leave, in a byte per node: views that are like the lists and dictionaries."""

from __future__ import annotations

import gc
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pavilion.schedulers.placement.compact import (
    ChunkView,
    Inventory,
    NodeMapping,
    ReasonView,
    compact,
    compact_chunks,
    key_of,
)
from pavilion.schedulers.placement.inventory import (
    NOT_UP,
    Reasons,
    filter_nodes,
    include_problem,
    insufficient_message,
)

NAMES = [f"n{number}" for number in range(1, 13)]
NODES = Inventory({name: {"name": name, "up": True, "available": True} for name in NAMES})


def split(codes: list[int]) -> tuple[list[str], dict[str, list[str]]]:
    """Usable names and reasons, from the number of a reason for each node."""
    reasons: dict[str, list[str]] = {}
    for name, code in zip(NAMES, codes):
        if code:
            reasons.setdefault(f"reason {code}", []).append(name)
    return [name for name, code in zip(NAMES, codes) if not code], reasons


@given(st.lists(st.integers(0, 11), min_size=len(NAMES), max_size=len(NAMES)))
def test_views_are_like_lists_and_dictionaries(codes: list[int]) -> None:
    names, reasons = split(codes)
    found = compact(NODES, names, reasons)
    wanted = {name: NODES[name] for name in names}
    assert found.names == names and names == found.names
    assert len(found.names) == len(names)
    assert list(reversed(found.names)) == names[::-1]
    assert [found.names[number] for number in range(len(names))] == names
    assert (found.names[:2], found.names[-1:]) == (names[:2], names[-1:])
    assert repr(found.names) == repr(names)
    # What a plugin may do with a list.
    assert found.names + ["x"] == [*names, "x"]  # noqa: RUF005
    assert ["x"] + found.names == ["x", *names]  # noqa: RUF005
    assert found.nodes == wanted and wanted == found.nodes
    assert list(found.nodes) == list(found.nodes.keys()) == names
    assert list(found.nodes.items()) == list(wanted.items())
    assert list(found.nodes.values()) == list(wanted.values())
    assert dict(found.nodes) == wanted
    assert found.reasons == reasons
    assert list(found.reasons) == list(reasons)
    assert [(key, list(value)) for key, value in found.reasons.items()] == list(reasons.items())
    assert list(map(list, found.reasons.values())) == list(reasons.values())
    assert repr(found.reasons) == repr(reasons)
    for name in [*NAMES, "x"]:
        assert (name in found.names) == (name in found.nodes) == (name in names)
        assert found.nodes.get(name) == wanted.get(name)


def test_it_says_what_is_not_there() -> None:
    found = compact(NODES, NAMES[1:], {"down": NAMES[:1]})
    with pytest.raises(KeyError, match="n1"):
        found.nodes["n1"]
    with pytest.raises(KeyError, match="up"):
        found.reasons["up"]
    with pytest.raises(IndexError):
        found.names[11]


def test_more_reasons_than_a_byte_can_have() -> None:
    nodes = Inventory({f"n{number}": {"name": f"n{number}"} for number in range(1000)})
    reasons = {f"because of {name}": [name] for name in list(nodes)[:900]}
    found = compact(nodes, list(nodes)[900:], reasons)
    assert isinstance(found.reasons, ReasonView)
    assert found.reasons == reasons
    assert found.reasons["because of n500"] == ["n500"]
    assert list(found.nodes) == list(nodes)[900:]


def test_nodes_that_do_not_exist_are_kept() -> None:
    names, reasons = filter_nodes(NODES, {"include_nodes": ["n3", "x9", "x10"]}, ordered=True)
    found = compact(NODES, names, reasons)
    assert isinstance(found.nodes, NodeMapping)
    assert include_problem(found.reasons) == include_problem(reasons)
    assert "x[9-10] (not in the inventory)" in str(include_problem(found.reasons))


def test_messages_have_the_causes_and_the_advice() -> None:
    nodes = Inventory(
        {name: {**info, "up": name > "n3", "cause": "drained"} for name, info in NODES.items()}
    )
    names, reasons = filter_nodes(nodes, {}, ordered=True, advice={"drained": "undrain them"})
    found = compact(nodes, names, reasons)
    message = insufficient_message(20, len(names), reasons)
    assert "drained: 6" in message and "Undrain them." in message
    assert insufficient_message(20, len(names), found.reasons) == message
    assert list(found.reasons) == [NOT_UP]


@pytest.mark.parametrize(
    ("names", "reasons"),
    [
        (NAMES[2:], {"a": NAMES[:2], "b": NAMES[:1]}),
        (NAMES[2:], {"a": NAMES[:1]}),
        (NAMES[:1:-1], {"a": NAMES[:2]}),
        (NAMES, {"a": NAMES[:1]}),
        ([*NAMES[2:], NAMES[2]], {"a": NAMES[:1]}),
    ],
)
def test_what_a_plugin_filters_in_another_way_is_kept_as_it_is(
    names: list[str], reasons: dict[str, list[str]]
) -> None:
    found = compact(NODES, names, reasons)
    assert (list(found.names), dict(found.reasons)) == (names, reasons)
    assert list(found.nodes) == list(dict.fromkeys(names))


def test_chunks() -> None:
    found = compact(NODES, NAMES, Reasons())
    chunks = [["n1", "n3", "n5"], ["n2", "n4", "n12"], ["n1", "n7", "n8"]]
    view = compact_chunks(found.nodes, found.names, [list(chunk) for chunk in chunks])
    assert isinstance(view, ChunkView)
    assert view == chunks and chunks == view
    assert len(view) == 3
    assert view[-1] == chunks[-1] and view[1:] == chunks[1:]
    assert [chunk[0] for chunk in view] == ["n1", "n2", "n1"]
    assert (view[0][-1], view[0][1:], "n5" in view[0], "n2" in view[0]) == (
        "n5",
        ["n3", "n5"],
        True,
        False,
    )
    assert repr(view) == repr(chunks)
    with pytest.raises(IndexError):
        view[3]
    assert compact_chunks(found.nodes, found.names, [list(NAMES)]) == [NAMES]
    uneven = [["n1"], ["n2", "n3"]]
    assert compact_chunks(found.nodes, found.names, uneven) is uneven
    assert compact_chunks(found.nodes, found.names, []) == []


def test_keys_of_lists() -> None:
    lists: list[Any] = [[], ["a"], ["a", "b"], ["b", "a"], ["a\nb"], ["ab"], ["a", "", "b"]]
    assert len({key_of(names) for names in lists}) == len(lists)
    assert key_of(["a", "b"]) == key_of(("a", "b"))


def test_a_hundred_filters_keep_little() -> None:
    count = 5000
    nodes = Inventory(
        {f"n{i:04d}": {"name": f"n{i:04d}", "up": True, "available": True} for i in range(count)}
    )
    kept = []

    def add(number: int) -> None:
        names, reasons = filter_nodes(
            nodes, {"exclude_nodes": [f"n{i:04d}" for i in range(number, count, 2)]}, ordered=True
        )
        found = compact(nodes, names, reasons)
        chunks = [names[start : start + 16] for start in range(0, len(names) - 15, 16)]
        kept.append((found, compact_chunks(found.nodes, found.names, chunks)))

    add(0)
    gc.collect()
    tracemalloc.start()
    for number in range(1, 11):
        add(number)
    gc.collect()
    grown = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    # A byte for each node, two for each in a chunk, and a few objects.
    assert grown < 10 * (3 * count + 5000)
