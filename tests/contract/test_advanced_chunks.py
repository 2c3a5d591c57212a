"""Chunks of the machine, as the tests of an advanced scheduler see them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dummy_plugin import Dummy, FakeMachine, TestMaker, active, make_pav_cfg
from pavilion.config import PavConfig
from pavilion.schedulers.config import NODE_SELECT_OPTIONS

RANDOM_SELECTIONS = ("random", "rand_dist")


@pytest.fixture
def plugin() -> Iterator[Dummy]:
    with active(Dummy()) as dummy:
        yield dummy


@pytest.fixture
def pav_cfg(tmp_path: Path) -> PavConfig:
    return make_pav_cfg(tmp_path)


@pytest.fixture
def make_test(pav_cfg: PavConfig) -> TestMaker:
    return TestMaker(pav_cfg)


def chunks_of(plugin: Dummy, **schedule: Any) -> list[list[str]]:
    return [list(chunk) for chunk in plugin.get_initial_vars(schedule)._chunks]


# ----------------------------------------------------------------------------------- variables


@pytest.mark.parametrize(
    ("size", "count", "each"),
    [
        ("4", 4, "4"),
        ("25%", 4, "4"),
        ("10%", 8, "2"),
        ("all", 1, "16"),
        ("16", 1, "16"),
        ("0", 1, "16"),
        ("none", 1, "16"),
        (None, 1, "16"),
        ("5", 4, "5"),
        ("20", 1, "16"),
    ],
)
def test_sizes_are_numbers_percents_or_none(
    plugin: Dummy, size: str | None, count: int, each: str
) -> None:
    found = plugin.get_initial_vars({"chunking": {"size": size}})
    assert found["chunk_ids"] == [str(number) for number in range(count)]
    assert found["chunk_size"] == each
    assert [len(chunk) for chunk in found._chunks] == [int(each)] * count
    assert found["errors"] == []


def test_contiguous_chunks_are_stretches_of_the_node_list(plugin: Dummy) -> None:
    assert chunks_of(plugin, chunking={"size": "6", "extra": "discard"}) == [
        [f"node{number:02d}" for number in range(1, 7)],
        [f"node{number:02d}" for number in range(7, 13)],
    ]


def test_percents_are_of_the_usable_nodes(plugin: Dummy) -> None:
    plugin.machine.change("node[01-08]", states=["DOWN"])
    assert plugin.get_initial_vars({"chunking": {"size": "50%"}})["chunk_size"] == "4"


def test_without_usable_nodes_there_is_an_error_and_no_chunk_id(plugin: Dummy) -> None:
    plugin.machine.change("node[01-16]", states=["DOWN"])
    for size in ("0", "4", "50%"):
        found = plugin.get_initial_vars({"chunking": {"size": size}})
        assert found["chunk_ids"] == []
        assert found["chunk_size"] == ""
        assert "not up: 16 (node[01-16])" in found["errors"][0]


def test_requested_nodes_are_within_a_chunk(plugin: Dummy) -> None:
    for nodes, min_nodes, expected in (
        ("all", None, "4"),
        ("50%", None, "2"),
        ("3", "1", "1-3"),
        ("all", "50%", "2-4"),
    ):
        found = plugin.get_initial_vars(
            {"nodes": nodes, "min_nodes": min_nodes, "chunking": {"size": "4"}}
        )
        assert found["requested_nodes"] == expected


@given(
    count=st.integers(1, 40),
    size=st.integers(1, 12),
    selection=st.sampled_from(NODE_SELECT_OPTIONS),
    extra=st.sampled_from(["backfill", "discard"]),
    include=st.sets(st.integers(1, 40), max_size=4),
)
def test_every_chunk_has_the_asked_size_and_include_nodes_or_there_is_an_error(
    count: int, size: int, selection: str, extra: str, include: set[int]
) -> None:
    machine = FakeMachine(count)
    names = list(machine.nodes)
    wanted = [names[number - 1] for number in sorted(include) if number <= count]
    with active(Dummy(machine)) as plugin:
        found = plugin.get_initial_vars(
            {
                "include_nodes": wanted,
                "chunking": {"size": str(size), "node_selection": selection, "extra": extra},
            }
        )

    # A chunk that is larger than the machine is all of it.
    size = min(size, count)
    if len(wanted) > size or (len(wanted) == size and size < count):
        assert found["errors"]
        assert found._chunks == []
        return
    assert found["errors"] == []
    chunks = found._chunks
    if size == count:
        assert chunks == [names]
        return
    others: Counter[str] = Counter()
    for chunk in chunks:
        assert len(chunk) == len(set(chunk)) == size
        assert set(wanted) <= set(chunk) <= set(names)
        assert list(chunk) == sorted(chunk)
        others.update(set(chunk).difference(wanted))
    free, share = count - len(wanted), size - len(wanted)
    rest = free % share
    assert len(chunks) == free // share + (1 if rest and extra == "backfill" else 0)
    if extra == "backfill":
        # The last chunk takes what is left over, and nodes that are in another chunk already.
        assert len(others) == free
        assert max(others.values(), default=1) <= 2
    else:
        assert max(others.values(), default=1) == 1


@pytest.mark.parametrize(
    ("schedule", "told"),
    [
        ({"chunking": {"size": "2"}, "include_nodes": "node[01-02]"}, ["2", "include_nodes"]),
        ({"chunking": {"size": "4"}, "include_nodes": "node17"}, ["include_nodes", "node17"]),
        (
            {"chunking": {"size": "4"}, "include_nodes": "node01", "exclude_nodes": "node01"},
            ["include_nodes", "node01", "in exclude_nodes"],
        ),
    ],
)
def test_combinations_that_cannot_be_say_so(
    plugin: Dummy,
    pav_cfg: PavConfig,
    make_test: TestMaker,
    schedule: dict[str, Any],
    told: list[str],
) -> None:
    found = plugin.get_initial_vars(schedule)
    bad, good = make_test(**schedule), make_test()

    errors = plugin.schedule_tests(pav_cfg, [bad, good])

    assert [error.tests for error in errors] == [[bad]]
    assert good.job is not None
    for text in told:
        assert text in found["errors"][0]
        assert text in errors[0].pformat()


def test_too_many_nodes_for_a_chunk_are_in_errors_before_the_test_is_scheduled(
    plugin: Dummy,
) -> None:
    found = plugin.get_initial_vars({"nodes": "6", "chunking": {"size": "4"}})
    assert len(found["errors"]) == 1
    assert "6" in found["errors"][0]
    assert "4 nodes" in found["errors"][0]


# ---------------------------------------------------------------------------------------- seeds


def _drawn(seed: int, configs: list[dict[str, Any]]) -> list[list[list[str]]]:
    with active(Dummy(FakeMachine(40))) as plugin:
        plugin.seed = seed
        return [chunks_of(plugin, **config) for config in configs]


@pytest.mark.parametrize("selection", RANDOM_SELECTIONS)
def test_equal_seeds_give_equal_chunks_and_others_give_others(selection: str) -> None:
    config = {"chunking": {"size": "7", "node_selection": selection}}
    first = _drawn(1, [config])
    assert first == _drawn(1, [config])
    assert any(_drawn(seed, [config]) != first for seed in range(2, 6))


def test_the_seed_decides_backfill_too() -> None:
    config = {"chunking": {"size": "7"}}
    assert _drawn(1, [config]) == _drawn(1, [config])
    assert any(_drawn(seed, [config]) != _drawn(1, [config]) for seed in range(2, 8))


@pytest.mark.parametrize("selection", RANDOM_SELECTIONS)
def test_chunks_do_not_depend_on_the_tests_that_came_before(selection: str) -> None:
    chunking = {"size": "5", "node_selection": selection}
    configs: list[dict[str, Any]] = [
        {"chunking": chunking},
        {"chunking": chunking, "exclude_nodes": "node[01-03]"},
        {"chunking": chunking, "across_nodes": "node[01-20]"},
    ]
    forward, backward = _drawn(3, configs), _drawn(3, configs[::-1])
    assert forward == backward[::-1]


def test_chunks_stay_as_they_are_until_refresh_and_beyond(plugin: Dummy) -> None:
    config = {"chunking": {"size": "4", "node_selection": "random"}}
    first = chunks_of(plugin, **config)
    assert chunks_of(plugin, **config, account="other") == first
    plugin.refresh()
    assert chunks_of(plugin, **config) == first


def test_each_plugin_object_has_a_seed_of_its_own() -> None:
    assert len({Dummy().seed for _ in range(4)}) > 1


# ----------------------------------------------------------------------- which chunk a test gets


def nodes_of(plugin: Dummy, test: Any) -> list[str]:
    found = plugin.kickoff_of(test).nodes
    assert found is not None
    return found


def test_a_test_gets_the_chunk_that_it_names(
    plugin: Dummy, pav_cfg: PavConfig, make_test: TestMaker
) -> None:
    chunking = {"size": "4"}
    tests = [make_test(chunk=chunk, chunking=chunking, nodes="all") for chunk in "310"]

    assert plugin.schedule_tests(pav_cfg, tests) == []

    chunks = chunks_of(plugin, chunking=chunking)
    assert [nodes_of(plugin, test) for test in tests] == [chunks[3], chunks[1], chunks[0]]


def test_any_is_the_chunk_used_least_the_lowest_number_first(
    plugin: Dummy, pav_cfg: PavConfig, make_test: TestMaker
) -> None:
    alike: dict[str, Any] = {"chunking": {"size": "4"}, "nodes": "all", "share_allocation": "false"}
    named = make_test(chunk="1", **alike)
    tests = [named, *make_test.many(7, **alike)]

    assert plugin.schedule_tests(pav_cfg, tests) == []

    chunks = chunks_of(plugin, chunking=alike["chunking"])
    assert [chunks.index(nodes_of(plugin, test)) for test in tests] == [1, 0, 2, 3, 0, 1, 2, 3]


def test_a_later_call_goes_on_with_the_chunks_used_least(
    plugin: Dummy, pav_cfg: PavConfig, make_test: TestMaker
) -> None:
    chunks = chunks_of(plugin, chunking={"size": "4"})
    used = []
    for _ in range(5):
        test = make_test(chunking={"size": "4"}, nodes="all")
        plugin.schedule_tests(pav_cfg, [test])
        used.append(chunks.index(nodes_of(plugin, test)))
    assert used == [0, 1, 2, 3, 0]


@pytest.mark.parametrize(
    ("chunk", "size", "told"),
    [
        ("4", "4", ["Chunk 4", "0 to 3"]),
        ("99", "4", ["Chunk 99", "0 to 3"]),
        ("-1", "4", ["Chunk -1", "0 to 3"]),
        ("two", "4", ["'two'"]),
        ("1", "0", ["Chunk 1", "chunking is off"]),
    ],
)
def test_a_chunk_that_is_not_there_is_an_error_of_that_test_alone(
    plugin: Dummy, pav_cfg: PavConfig, make_test: TestMaker, chunk: str, size: str, told: list[str]
) -> None:
    bad = make_test(chunk=chunk, chunking={"size": size})
    good = make_test.many(2, chunking={"size": size})

    errors = plugin.schedule_tests(pav_cfg, [good[0], bad, good[1]])

    assert [error.tests for error in errors] == [[bad]]
    assert bad.complete
    assert bad.job is None
    for text in told:
        assert text in bad.status.current().note
    assert all(test.status.current().state == "SCHEDULED" for test in good)
