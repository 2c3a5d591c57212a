"""Times of the pure parts of the advanced schedulers: host lists, filters, chunks, plans.

Prints, for each piece of work: the CPU time at its reference size (best of five runs), the growth
exponent from 10,000 to 100,000 nodes (1.0 is linear, 2.0 quadratic), and the peak of memory
allocated at 100,000 nodes.
Nothing is asserted: times depend on the machine.

Run it with: python benchmarks/bench_pure.py
"""

from __future__ import annotations

import gc
import math
import random
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

from pavilion.schedulers.placement import chunking, hostlists, inventory, planning

SMALL, LARGE = 10_000, 100_000
REPEATS = 5

Work = Callable[[], Any]


def node_names(count: int) -> list[str]:
    return [f"node{number:06}" for number in range(count)]


def machine(count: int) -> dict[str, dict[str, Any]]:
    return {
        name: {
            "name": name,
            "up": number % 50 > 0,
            "available": number % 3 > 0,
            "cpus": 64,
            "mem": 2**38,
            "partitions": ["all", "gpu"] if number % 4 else ["all"],
            "reservations": ["night"] if number % 10 == 0 else [],
            "states": ["IDLE"],
        }
        for number, name in enumerate(node_names(count))
    }


# Each of these prepares its input for a number of nodes, and returns the work to be timed.


def fold(count: int) -> Work:
    names = node_names(count)
    random.Random(1).shuffle(names)
    return lambda: hostlists.fold(names)


def expand_ranges(count: int) -> Work:
    text = ",".join(f"rack{rack}n[000-099]" for rack in range(count // 100))
    return lambda: hostlists.expand(text)


def expand_plain(count: int) -> Work:
    text = ",".join(node_names(count))
    return lambda: hostlists.expand(text)


def order_unpadded(count: int) -> Work:
    names = [f"node{number}" for number in range(count)]
    random.Random(1).shuffle(names)
    return lambda: hostlists.natural_sorted(names)


def filter_plain(count: int) -> Work:
    nodes = machine(count)
    config = {"node_state": "available", "partition": "gpu"}
    return lambda: inventory.filter_nodes(nodes, config)


def filter_excluded(count: int) -> Work:
    nodes = machine(count)
    config = {"node_state": "up", "exclude_nodes": hostlists.expand(f"node[000000-{count // 10}]")}
    return lambda: inventory.filter_nodes(nodes, config)


def filter_across(count: int) -> Work:
    nodes = machine(count)
    config = {"node_state": "up", "across_nodes": hostlists.expand(f"node[000000-{count // 2}]")}
    return lambda: inventory.filter_nodes(nodes, config)


def filter_many(count: int) -> Work:
    nodes = inventory.in_order(machine(count))
    names = list(nodes)
    configs = [
        {"node_state": "up", "partition": "gpu", "exclude_nodes": names[start : start + 50]}
        for start in range(100)
    ]
    return lambda: [inventory.filter_nodes(nodes, config, ordered=True) for config in configs]


def check_nodes(count: int) -> Work:
    nodes = machine(count)
    return lambda: [inventory.check_node("bench", name, info) for name, info in nodes.items()]


def chunks(selection: str) -> Callable[[int], Work]:
    def prepare(count: int) -> Work:
        names = node_names(count)
        include = names[5:7]
        rng = random.Random(1)
        return lambda: chunking.make_chunks(names, 16, selection, include=include, rng=rng)

    return prepare


def test_requests(count: int, tests: int, **options: Any) -> list[planning.TestRequest]:
    size = options.pop("size", 0)
    parts = chunking.make_chunks(node_names(count), size)
    return [
        planning.TestRequest(
            key=number,
            name="test",
            config={},
            chunks_id="all",
            chunks=parts,
            chunked=bool(size),
            **options,
        )
        for number in range(tests)
    ]


def plan_own(count: int) -> Work:
    requests = test_requests(count, count // 10, share=False, min_nodes=4, max_nodes=4)
    return lambda: planning.plan(requests)


def plan_own_whole(count: int) -> Work:
    requests = test_requests(count, count // 10, share=False, min_nodes=1)
    return lambda: planning.plan(requests)


def plan_shared(count: int) -> Work:
    requests = test_requests(count, count // 10, size=16, min_nodes=4, max_nodes=16)
    return lambda: planning.plan(requests)


# Name, preparation, nodes at the reference size, the most seconds it may take there (or None).
WORKS: list[tuple[str, Callable[[int], Work], int, float | None]] = [
    ("fold, shuffled names", fold, 50_000, None),
    ("expand, ranges", expand_ranges, 50_000, None),
    ("expand, plain list", expand_plain, 50_000, None),
    ("natural order, unpadded, shuffled", order_unpadded, 50_000, None),
    ("check_node of each", check_nodes, 50_000, None),
    ("filter: state and partition", filter_plain, 50_000, 0.05),
    ("filter: 10% excluded", filter_excluded, 50_000, 0.05),
    ("filter: across half", filter_across, 50_000, 0.05),
    ("100 different filters", filter_many, 10_000, 0.5),
    ("chunks of 16, contiguous", chunks("contiguous"), 50_000, 0.15),
    ("chunks of 16, random", chunks("random"), 50_000, 0.15),
    ("chunks of 16, distributed", chunks("distributed"), 50_000, 0.15),
    ("chunks of 16, rand_dist", chunks("rand_dist"), 50_000, 0.15),
    ("chunks of 16, rand_dist", chunks("rand_dist"), 200_000, None),
    ("plan: own jobs, 1 test per 10 nodes", plan_own, 10_000, 0.2),
    ("plan: own jobs on all nodes", plan_own_whole, 10_000, None),
    ("plan: shared, chunks of 16", plan_shared, 10_000, 0.5),
]


def seconds(work: Work) -> float:
    """The best of some runs."""
    best = math.inf
    for _ in range(REPEATS):
        gc.collect()
        start = time.process_time()
        work()
        best = min(best, time.process_time() - start)
    return best


def peak_bytes(work: Work) -> int:
    """The most memory that a run has allocated at a time, its result included."""
    gc.collect()
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def main() -> None:
    print(f"{'work':38} {'nodes':>8} {'time':>10} {'at most':>9} {'growth':>7} {'peak':>9}")
    for name, prepare, count, limit in WORKS:
        taken = seconds(prepare(count))
        large = prepare(LARGE)
        growth = math.log10(seconds(large) / seconds(prepare(SMALL)))
        peak = peak_bytes(large) / 2**20
        shown_limit = "" if limit is None else f"{limit * 1000:.0f} ms"
        print(
            f"{name:38} {count:8,} {taken * 1000:7.1f} ms {shown_limit:>9} {growth:7.2f} "
            f"{peak:6.1f} MB",
            flush=True,
        )


if __name__ == "__main__":
    main()
