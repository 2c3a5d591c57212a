"""The built-in ways to select the nodes of one chunk from a list of nodes.

Each function takes (node_list, chunk_size) and returns `chunk_size` distinct nodes of the list, in
the order of the list. The keyword argument `rng` makes the random ones repeatable. Plugins add
their own functions through `NODE_SELECTION`, with the same two positional arguments.

Cost: linear in the list. To cut a whole machine into chunks, use `chunking.make_chunks`, which does
not call these functions once per chunk.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    # `random` is the name of a selection here, as test authors write it.
    import random as std_random


def new_rng(seed: str | None = None) -> std_random.Random:
    """A source of random numbers; equal seeds give equal numbers, on every Python and host."""
    # Imported here: the import takes a while, and is rarely needed.
    import random

    return random.Random(seed)


def contiguous(
    node_list: Iterable[str], chunk_size: int, *, rng: std_random.Random | None = None
) -> list[str]:
    """Select the first nodes of the list.

    :raises ValueError: when there are fewer than `chunk_size` distinct nodes.
    """
    return _distinct(node_list, chunk_size)[:chunk_size]


def random(
    node_list: Iterable[str], chunk_size: int, *, rng: std_random.Random | None = None
) -> list[str]:
    """Select nodes at random.

    :raises ValueError: when there are fewer than `chunk_size` distinct nodes.
    """
    names = _distinct(node_list, chunk_size)
    places = (rng or new_rng()).sample(range(len(names)), chunk_size)
    return [names[place] for place in sorted(places)]


def distributed(
    node_list: Iterable[str], chunk_size: int, *, rng: std_random.Random | None = None
) -> list[str]:
    """Select nodes evenly spaced over the list.

    :raises ValueError: when there are fewer than `chunk_size` distinct nodes.
    """
    names = _distinct(node_list, chunk_size)
    return [names[start] for start, _ in stretches(len(names), chunk_size)]


def rand_dist(
    node_list: Iterable[str], chunk_size: int, *, rng: std_random.Random | None = None
) -> list[str]:
    """Select one node at random from each of `chunk_size` equal stretches of the list.

    :raises ValueError: when there are fewer than `chunk_size` distinct nodes.
    """
    names = _distinct(node_list, chunk_size)
    rng = rng or new_rng()
    return [names[rng.randrange(start, end)] for start, end in stretches(len(names), chunk_size)]


def stretches(count: int, parts: int) -> list[tuple[int, int]]:
    """Cut `count` places into `parts` stretches (start, end) whose lengths differ by at most 1."""
    return [(part * count // parts, (part + 1) * count // parts) for part in range(parts)]


def _distinct(node_list: Iterable[str], chunk_size: int) -> list[str]:
    """The nodes without duplicates, in order; checks that there are enough."""
    names = list(dict.fromkeys(node_list))
    if chunk_size < 0:
        raise ValueError(f"A chunk cannot have {chunk_size} nodes.")
    if chunk_size > len(names):
        raise ValueError(
            f"A chunk of {chunk_size} nodes was requested, but there are only {len(names)} nodes."
        )
    return names
