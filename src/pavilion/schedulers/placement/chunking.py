"""Cutting the usable nodes of a machine into chunks of equal size.

Cost: linear in the nodes for the built-in selections (each chunk is sorted by position in the
list). A plugin's own selection function is called once per chunk, with the nodes that are left, so
its cost is nodes times chunks.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Callable

from pavilion.types import NodeList

from .. import node_selection
from ..near_matches import did_you_mean
from . import hostlists

if TYPE_CHECKING:
    import random

BACKFILL = "backfill"
DISCARD = "discard"

SelectionFunction = Callable[[NodeList, int], NodeList]

BUILT_IN: Mapping[str, SelectionFunction] = {
    "contiguous": node_selection.contiguous,
    "random": node_selection.random,
    "distributed": node_selection.distributed,
    "rand_dist": node_selection.rand_dist,
}


class ChunkError(ValueError):
    """The requested chunks cannot be made from these nodes."""


def chunk_size(value: int | float | None, node_count: int) -> int:
    """Return the number of nodes in a chunk; 0 means no chunking.

    :param value: The normalised 'chunking.size': an int is a number of nodes, a float a fraction
        of `node_count` from 0 to 1, rounded up. 0 and None mean no chunking. A number above
        `node_count` gives one chunk of all nodes, as in Pavilion.
    :raises ChunkError: for a size that is negative or not a number.
    """
    if value is None or value == 0:
        return 0
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ChunkError(f"The chunk size must be a number or a fraction, not {value!r}.")
    if isinstance(value, float):
        if not 0 <= value <= 1:
            raise ChunkError(
                f"The chunk size must be from 0% to 100% of all nodes, not {value * 100:.6g}%."
            )
        # 7% of 100 is 7.000000000000001 in floating point, and must not become 8.
        return max(1, math.ceil(round(value * node_count, 6))) if node_count else 0
    if value < 0:
        raise ChunkError(f"The chunk size must not be negative; it is {value}.")
    return min(value, node_count)


def make_chunks(
    nodes: Sequence[str],
    size: int,
    selection: str = "contiguous",
    extra: str = BACKFILL,
    include: Sequence[str] = (),
    rng: random.Random | None = None,
    functions: Mapping[str, SelectionFunction] | None = None,
) -> list[NodeList]:
    """Cut nodes into chunks of exactly `size` nodes, each in the order of `nodes`.

    :param nodes: The usable nodes, in natural order.
    :param size: Nodes per chunk, see `chunk_size`. 0 gives one chunk with all nodes.
    :param selection: How nodes are grouped into chunks: a key of `functions`.
    :param extra: What to do with nodes that are left over at the end. 'discard': they are not used.
        'backfill': they form one more chunk, filled up with nodes taken evenly from the others.
    :param include: Nodes that are in every chunk and count towards its size.
    :param rng: The source of random numbers; pass a seeded one to make the result repeatable.
    :param functions: The selections by name (a plugin's NODE_SELECTION). Default: the built-in ones.
    :raises ChunkError: when the size does not fit the nodes or `include`, an option has an unknown
        value, or a plugin's function selects wrong nodes.
    """
    names = list(dict.fromkeys(nodes))
    if not size:
        return [names]
    functions = BUILT_IN if functions is None else functions
    _check_choice("chunking.node_selection", selection, list(functions))
    _check_choice("chunking.extra", extra, [BACKFILL, DISCARD])
    included = set(include)
    _check_size(size, len(names))
    _check_include(size, included, names)
    if size == len(names):
        return [names]

    # From here on, a node is represented by its position in the list: this makes sorting cheap.
    always = [index for index, name in enumerate(names) if name in included] if included else []
    pool = sorted(set(range(len(names))).difference(always)) if always else list(range(len(names)))
    rng = rng or node_selection.new_rng()
    share = size - len(always)

    function = functions[selection]
    if BUILT_IN.get(selection) is function:
        order = _deal(pool, share, selection, rng)
        chunks = [order[start : start + share] for start in range(0, len(order), share)]
    else:
        chunks = _select_repeatedly(names, pool, share, selection, function)
    if len(chunks[-1]) < share:
        rest = chunks.pop()
        if extra == BACKFILL:
            chunks.append(rest + _spread_sample(chunks, share - len(rest), rng))
    return [[names[index] for index in sorted(always + chunk)] for chunk in chunks]


def _deal(pool: list[int], share: int, selection: str, rng: random.Random) -> list[int]:
    """Put the nodes in the order in which the chunks take them; those left over come last."""
    if selection == "contiguous":
        return pool
    if selection == "random":
        return rng.sample(pool, len(pool))

    # Every chunk takes one node from each of `share` equal stretches. A stretch has at least as
    # many nodes as there are chunks.
    parts = [pool[start:end] for start, end in node_selection.stretches(len(pool), share)]
    if selection == "rand_dist":
        parts = [rng.sample(part, len(part)) for part in parts]
    count = len(pool) // share
    order = [part[number] for number in range(count) for part in parts]
    order.extend(index for part in parts for index in part[count:])
    return order


def _select_repeatedly(
    names: NodeList, pool: list[int], share: int, selection: str, function: SelectionFunction
) -> list[list[int]]:
    """Make chunks with a plugin's own function; the last one may be too small."""
    left = {names[index]: index for index in pool}
    chunks: list[list[int]] = []
    while len(left) >= share:
        chosen = list(function(list(left), share))
        wrong = sorted({name for name in chosen if name not in left})
        if len(set(chosen)) != share or len(chosen) != share or wrong:
            detail = f", of which these were not offered: {hostlists.fold_short(wrong)}"
            raise ChunkError(
                f"The node selection '{selection}' must select {share} distinct nodes from those "
                f"it is given. It selected {len(chosen)} ({len(set(chosen))} distinct)"
                f"{detail if wrong else ''}."
            )
        chunks.append([left.pop(name) for name in chosen])
    if left:
        chunks.append(list(left.values()))
    return chunks


def _spread_sample(chunks: list[list[int]], count: int, rng: random.Random) -> list[int]:
    """Pick `count` nodes from the chunks, as evenly as possible."""
    each, more = divmod(count, len(chunks))
    picked: list[int] = []
    for turn, chunk in enumerate(rng.sample(chunks, len(chunks))):
        take = each + (1 if turn < more else 0)
        if not take:
            break
        picked.extend(rng.sample(chunk, take))
    return picked


def _check_size(size: int, node_count: int) -> None:
    if size < 0:
        raise ChunkError(f"The chunk size must not be negative; it is {size}.")
    if size > node_count:
        raise ChunkError(
            f"Chunks of {size} nodes cannot be made: only {node_count} nodes are usable."
        )


def _check_include(size: int, included: set[str], names: list[str]) -> None:
    if len(included) >= size and (len(included) > size or size < len(names)):
        raise ChunkError(
            f"Chunks of {size} nodes have no room for other nodes: include_nodes names "
            f"{len(included)} ({hostlists.fold_short(included)}). Make the chunks larger."
        )
    missing = included.difference(names) if included else None
    if missing:
        raise ChunkError(
            f"include_nodes names nodes that are not usable: {hostlists.fold_short(missing)}."
        )


def _check_choice(key: str, value: str, choices: list[str]) -> None:
    if value in choices:
        return
    hint = did_you_mean(value, choices)
    raise ChunkError(f"Unknown {key} '{value}'.{hint} Allowed: {', '.join(choices)}.")
