"""The built-in node selections: how many, which, in which order."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pavilion.schedulers import node_selection

FUNCTIONS = [
    node_selection.contiguous,
    node_selection.random,
    node_selection.distributed,
    node_selection.rand_dist,
]
NODES = [f"node{number:02}" for number in range(20)]


@pytest.mark.parametrize("function", FUNCTIONS)
@given(data=st.data(), count=st.integers(0, 50), seed=st.integers(0, 9))
def test_laws(function, data: st.DataObject, count: int, seed: int) -> None:
    nodes = [f"n{number}" for number in range(count)]
    random.Random(seed).shuffle(nodes)
    size = data.draw(st.integers(0, count))
    chosen = function(nodes, size)
    assert len(set(chosen)) == len(chosen) == size
    assert chosen == [node for node in nodes if node in chosen]
    again = [function(nodes, size, rng=random.Random(seed)) for _ in range(2)]
    assert again[0] == again[1]


@pytest.mark.parametrize("function", FUNCTIONS)
def test_too_few_nodes(function) -> None:
    with pytest.raises(ValueError, match="chunk of 21 nodes was requested, but there are only 20"):
        function(NODES, 21)
    with pytest.raises(ValueError, match="but there are only 1"):
        function(["n1", "n1"], 2)
    with pytest.raises(ValueError, match="-1 nodes"):
        function(NODES, -1)


def test_contiguous_takes_the_first() -> None:
    assert node_selection.contiguous(NODES, 3) == NODES[:3]


def test_distributed_is_evenly_spaced() -> None:
    assert node_selection.distributed(NODES, 5) == NODES[::4]
    assert node_selection.distributed(NODES, 20) == NODES


def test_random_differs_and_reaches_every_node() -> None:
    rng = random.Random(3)
    draws = [tuple(node_selection.random(NODES, 4, rng=rng)) for _ in range(200)]
    assert len(set(draws)) > 100
    assert {node for draw in draws for node in draw} == set(NODES)


def test_rand_dist_takes_one_of_each_stretch() -> None:
    rng = random.Random(3)
    draws = [node_selection.rand_dist(NODES, 5, rng=rng) for _ in range(200)]
    for draw in draws:
        assert [NODES.index(node) // 4 for node in draw] == [0, 1, 2, 3, 4]
    assert {node for draw in draws for node in draw} == set(NODES)
