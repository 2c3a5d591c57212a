"""Chunks: their sizes, their nodes, and what cannot be."""

from __future__ import annotations

import math
import random
from collections import Counter
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pavilion.schedulers.placement.chunking import BUILT_IN, ChunkError, chunk_size, make_chunks

NODES = [f"node{number:02}" for number in range(1, 21)]


def backwards(node_list: list[str], chunk_size: int) -> list[str]:
    """A plugin's selection: the last nodes."""
    return node_list[::-1][:chunk_size]


FUNCTIONS = {**BUILT_IN, "backwards": backwards}
SELECTIONS = sorted(FUNCTIONS)


@pytest.mark.parametrize(
    ("value", "count", "size"),
    [
        (None, 10, 0),
        (0, 10, 0),
        (0.0, 10, 0),
        (4, 10, 4),
        (10, 10, 10),
        (1.0, 10, 10),
        (0.25, 10, 3),
        (0.001, 10, 1),
        (0.07, 100, 7),
        (0.29, 100, 29),
        (0.5, 0, 0),
    ],
)
def test_chunk_size(value: float | None, count: int, size: int) -> None:
    assert chunk_size(value, count) == size


@given(st.integers(1, 100), st.integers(1, 100_000))
def test_percents_are_rounded_up_exactly(percent: int, count: int) -> None:
    assert chunk_size(percent / 100, count) == math.ceil(Fraction(percent, 100) * count)


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (-1, "not be negative; it is -1"),
        (1.5, "0% to 100% of all nodes, not 150%"),
        (-0.5, "0% to 100%"),
        (float("nan"), "0% to 100%"),
        ("4", "a number or a fraction, not '4'"),
        (True, "not True"),
    ],
)
def test_bad_chunk_sizes(value, problem: str) -> None:
    with pytest.raises(ChunkError, match=problem) as caught:
        chunk_size(value, 10)
    assert isinstance(caught.value, ValueError)


@given(
    count=st.integers(1, 60),
    data=st.data(),
    selection=st.sampled_from(SELECTIONS),
    extra=st.sampled_from(["backfill", "discard"]),
    seed=st.integers(0, 5),
)
def test_laws(count: int, data: st.DataObject, selection: str, extra: str, seed: int) -> None:
    nodes = [f"n{number}" for number in range(count)]
    size = data.draw(st.integers(1, count), "size")
    include = data.draw(st.lists(st.sampled_from(nodes), max_size=size - 1), "include")

    def make() -> list[list[str]]:
        return make_chunks(nodes, size, selection, extra, include, random.Random(seed), FUNCTIONS)

    chunks = make()
    assert make() == chunks
    full, rest = divmod(count - len(set(include)), size - len(set(include)))
    backfill = extra == "backfill" and rest > 0
    assert len(chunks) == full + backfill
    place = {node: number for number, node in enumerate(nodes)}
    for chunk in chunks:
        assert len(chunk) == len(set(chunk)) == size
        assert set(include) <= set(chunk) <= set(nodes)
        assert chunk == sorted(chunk, key=place.__getitem__)
    # Apart from include_nodes and the backfill chunk, no node is in two chunks.
    dealt = [node for chunk in chunks[:full] for node in chunk if node not in include]
    assert len(dealt) == len(set(dealt))
    if extra == "backfill":
        assert {node for chunk in chunks for node in chunk} == set(nodes)


@pytest.mark.parametrize("selection", SELECTIONS)
def test_no_chunking_is_one_chunk(selection: str) -> None:
    assert make_chunks(NODES, 0, selection, functions=FUNCTIONS) == [NODES]
    assert make_chunks([], 0) == [[]]


def test_contiguous() -> None:
    assert make_chunks(NODES, 8, extra="discard") == [NODES[:8], NODES[8:16]]


def test_distributed() -> None:
    assert make_chunks(NODES, 5, "distributed") == [NODES[start::4] for start in range(4)]


def test_rand_dist_takes_one_of_each_stretch() -> None:
    chunks = make_chunks(NODES, 5, "rand_dist", rng=random.Random(1))
    assert chunks != [NODES[start::4] for start in range(4)]
    for chunk in chunks:
        assert [NODES.index(node) // 4 for node in chunk] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("selection", ["random", "rand_dist"])
def test_other_seeds_give_other_chunks(selection: str) -> None:
    results = {str(make_chunks(NODES, 5, selection, rng=random.Random(n))) for n in range(20)}
    assert len(results) > 15


def test_backfill_comes_from_all_over() -> None:
    nodes = [f"n{number}" for number in range(101)]
    used: Counter[str] = Counter()
    for seed in range(60):
        *others, last = make_chunks(nodes, 10, rng=random.Random(seed))
        assert last[-1] == "n100"
        # Nine nodes are filled in: one each of nine of the ten others.
        per_chunk = [len(set(chunk).intersection(last)) for chunk in others]
        assert sorted(per_chunk) == [0] + [1] * 9
        used.update(last[:-1])
    assert len(used) > 90


def test_a_plugin_may_replace_a_built_in_selection() -> None:
    functions = {**BUILT_IN, "contiguous": backwards}
    assert make_chunks(NODES[:4], 2, functions=functions) == [NODES[2:4], NODES[:2]]


@pytest.mark.parametrize(
    "selects", [[], ["node01"], ["node01", "node01"], ["node01", "other"], ["node01"] * 2 + ["x"]]
)
def test_wrong_plugin_selections_are_named(selects: list[str]) -> None:
    with pytest.raises(ChunkError, match="node selection 'mine' must select 2 distinct nodes"):
        make_chunks(NODES, 2, "mine", functions={"mine": lambda node_list, size: selects})


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"size": 21}, "Chunks of 21 nodes cannot be made: only 20 nodes are usable"),
        ({"size": -2}, "not be negative"),
        (
            {"size": 2, "include": ["node01", "node02"]},
            r"Chunks of 2 nodes .* include_nodes names 2 \(node\[01-02\]\)",
        ),
        ({"size": 4, "include": ["node01", "gone7"]}, "not usable: gone7"),
        ({"size": 4, "selection": "contigous"}, "Did you mean 'contiguous'.*rand_dist"),
        ({"size": 4, "extra": "keep"}, "Unknown chunking.extra 'keep'.*backfill, discard"),
    ],
)
def test_what_cannot_be(options: dict, problem: str) -> None:
    with pytest.raises(ChunkError, match=problem):
        make_chunks(NODES, **options)


def test_included_nodes_given_twice_count_once() -> None:
    assert make_chunks(NODES[:3], 2, include=["node01", "node01"]) == [
        ["node01", "node02"],
        ["node01", "node03"],
    ]
