"""What is known about nodes: what reading and storing it costs, and what the plugin keeps of it.

- The final variables of a job of four nodes which the scheduler picked, on machines of several
  sizes, in the embedded host and in one that stores node data as Pavilion 2.6 does (a pickle).
  Compared, in the same run, with reading everything that the host stored.
- Storing it, with the sizes of the files.
- What 100 tests with 100 different filters keep, on 10,000 nodes.

Times are CPU times of this process.  Nothing is asserted.
"""

from __future__ import annotations

import gc
import os
import pickle
import shutil
import statistics
import tempfile
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import bench_advanced
from bench_advanced import read_vars, schedule, seconds

from pavilion.jobs import Job

SIZES = (1_000, 10_000, 100_000)


class Big(bench_advanced.Big):
    """A machine of any size; the job got four of its nodes."""

    def _get_alloc_nodes(self, job: Job) -> list[str]:
        half = self.nodes // 2
        return [f"node{number:06d}" for number in (7, half, half + 1, self.nodes - 1)]


class PickleJob(Job):
    """A job that stores its node data as in Pavilion 2.6."""

    NODE_INFO_FN = "node_info.pkl"

    def save_node_data(self, nodes: Any) -> None:
        """Store them all."""
        (self.path / self.NODE_INFO_FN).write_bytes(pickle.dumps(nodes))

    def load_sched_data(self) -> Any:
        """All that was stored."""
        # Written above.
        return pickle.loads((self.path / self.NODE_INFO_FN).read_bytes())  # noqa: S301


def final_vars(plugin: Big, folder: Path) -> None:
    """The final variables of a job of each host, on machines of several sizes."""
    config = plugin._validated(schedule(nodes="4")["schedule"])
    for size in SIZES:
        plugin.nodes = size
        plugin.refresh()
        found = plugin.filtered_nodes(config)
        for label, kind in (("embedded host", Job), ("pickle", PickleJob)):
            path = folder / f"{kind.__name__}{size}"
            path.mkdir()
            job = kind(path)
            store = _stored_by(found.nodes)
            stored = seconds(lambda store=store, job=job: store(job))
            test: Any = SimpleNamespace(id="s1.1", job=job, config={"schedule": config})
            runs = [
                seconds(lambda test=test: plugin.get_final_vars(test)["test_min_cpus"])
                for _ in range(21)
            ]
            files = sum(file.stat().st_size for file in path.iterdir())
            print(
                f"{size:7,} nodes, {label:14} final variables: first {runs[0] * 1000:7.2f} ms, "
                f"median {statistics.median(runs) * 1000:7.2f} ms; reading everything "
                f"{min(seconds(job.load_sched_data) for _ in range(3)) * 1000:7.1f} ms; stored in "
                f"{stored * 1000:6.1f} ms, {files:,} bytes"
            )


def _stored_by(nodes: Any) -> Callable[[Job], Any]:
    try:
        from pavilion.schedulers.lifecycle.node_data import NodeData
    except ImportError:
        # An earlier version.
        from pavilion.schedulers.advanced import _NodeData as NodeData  # type: ignore
    save: Callable[[Job], Any] = NodeData(nodes).saver(None)
    return save


FILTERS: dict[str, Callable[[int], dict[str, Any]]] = {
    "all but 51 nodes": lambda i: {"exclude_nodes": [f"node[{i:06d}-{i + 50:06d}]"]},
    "all but 51, in chunks of 16": lambda i: {
        "exclude_nodes": [f"node[{i:06d}-{i + 50:06d}]"],
        "chunking": {"size": "16"},
    },
    "5,000 nodes in a row": lambda i: {"across_nodes": [f"node[{i:06d}-{i + 4999:06d}]"]},
    "every second node, random chunks": lambda i: {
        "across_nodes": [f"node{number:06d}" for number in range(i, 10_000, 2)],
        "chunking": {"size": "16", "node_selection": "random"},
    },
}


def memory(plugin: Big) -> None:
    """What the plugin keeps for 100 tests with 100 different filters."""
    plugin.nodes = 10_000
    for label, keys in FILTERS.items():
        plugin.refresh()
        read_vars(plugin, schedule())
        configs = [schedule(**keys(number)) for number in range(100)]
        gc.collect()
        tracemalloc.start()
        for config in configs:
            variables = plugin.get_initial_vars(config["schedule"])
            variables["min_cpus"], variables["chunk_ids"]
        # Those of a test have its section, which is not the plugin's.
        del variables
        gc.collect()
        now, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        plugin.refresh()
        read_vars(plugin, schedule())
        took = seconds(lambda configs=configs: [read_vars(plugin, config) for config in configs])
        again = seconds(lambda configs=configs: [read_vars(plugin, config) for config in configs])
        print(
            f"100 filters, {label:33} kept {now / 2**20:5.1f} MiB, peak {peak / 2**20:5.1f} MiB; "
            f"variables {took:.3f} s, again {again:.3f} s"
        )


def main() -> None:
    """Measure and print."""
    plugin = Big()
    plugin.activate()
    place = "/dev/shm" if os.path.isdir("/dev/shm") else None  # noqa: PTH112
    folder = Path(tempfile.mkdtemp(dir=place))
    try:
        final_vars(plugin, folder)
    finally:
        shutil.rmtree(folder)
    memory(plugin)


if __name__ == "__main__":
    main()
