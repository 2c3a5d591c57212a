"""What an advanced scheduler costs: inventory, variables, filters, kickoff; on a fake machine.

Prints the time for each piece of work, and how it grows from 10,000 to 100,000 nodes (1.0 is
linear).  Times are of this process alone (CPU), so that other work on the machine counts less.
Nothing is asserted.
"""

from __future__ import annotations

import math
import shutil
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pavilion.config import PavConfig, load_config
from pavilion.jobs import Job, JobInfo
from pavilion.resolve import resolve_test
from pavilion.schedulers import SchedulerPluginAdvanced
from pavilion.series import Series
from pavilion.suites import SuiteTest, TestElem

# A disk, and memory where some is available as a directory.
PLACES = (Path(tempfile.gettempdir()), Path("/dev/shm"))
SELECTIONS = ("contiguous", "random", "distributed", "rand_dist")


class Big(SchedulerPluginAdvanced):
    """A machine of any size, whose kickoff does nothing."""

    nodes = 10_000

    def __init__(self) -> None:
        super().__init__("big", "A fake machine.")

    def _available(self) -> bool:
        return True

    def _get_raw_node_data(self, sched_config: dict[str, Any]) -> tuple[list[Any], Any]:
        return list(range(self.nodes)), None

    def _transform_raw_node_data(
        self, sched_config: dict[str, Any], node_data: Any, extra: Any
    ) -> dict[str, Any]:
        return {
            "name": f"node{node_data:06d}",
            "up": True,
            "available": True,
            "cpus": 64,
            "mem": 2**37,
            "partitions": ["main"],
            "reservations": [],
            "states": ["IDLE"],
            "features": ["a"],
        }

    def _kickoff(self, pav_cfg: PavConfig, job: Job, *args: Any, **kwargs: Any) -> JobInfo:
        return JobInfo(id="1")


def schedule(**keys: Any) -> dict[str, Any]:
    """A test's config with this schedule section."""
    config: dict[str, Any] = TestElem().validate(
        {"scheduler": "big", "run": {"cmds": ["true"]}, "schedule": keys}
    )
    return config


def seconds(work: Callable[[], Any]) -> float:
    """CPU seconds of one run of the work."""
    start = time.process_time()
    work()
    return time.process_time() - start


def read_vars(plugin: Big, config: dict[str, Any]) -> None:
    """The variables of a test, and one of them read: nodes are queried only then."""
    plugin.get_initial_vars(config["schedule"])["min_cpus"]


def first_vars(plugin: Big, nodes: int, selection: str) -> float:
    """The first variables of a test with chunks of 16, the inventory known."""
    plugin.nodes = nodes
    plugin.refresh()
    read_vars(plugin, schedule())
    config = schedule(chunking={"size": "16", "node_selection": selection})["schedule"]
    return seconds(lambda: plugin.get_initial_vars(config)["chunk_ids"])


def inventory(plugin: Big, nodes: int) -> float:
    """Description, check and order of all nodes."""
    plugin.nodes = nodes
    plugin.refresh()
    return seconds(lambda: read_vars(plugin, schedule()))


def filters(plugin: Big, nodes: int) -> float:
    """The variables of 100 tests with 100 different filters."""
    plugin.nodes = nodes
    plugin.refresh()
    read_vars(plugin, schedule())
    configs = [schedule(exclude_nodes=[f"node[{i:06d}-{i + 50:06d}]"]) for i in range(100)]
    return seconds(lambda: [read_vars(plugin, config) for config in configs])


def show(label: str, work: Callable[[int], float], at: int) -> None:
    """Print the time at a size, and the growth."""
    best = min(work(at) for _ in range(3))
    small, large = (min(work(size) for _ in range(3)) for size in (10_000, 100_000))
    print(f"{label:58} {best:7.3f} s   growth {math.log10(large / small):4.2f}")


def kick_off(plugin: Big, pav_cfg: PavConfig, label: str, **keys: Any) -> None:
    """A thousand tests, from plan to saved identity."""
    plugin.nodes = 10_000
    plugin.refresh()
    test = SuiteTest("bench", "test", Path("bench.yaml"), schedule(**keys))
    series = Series.create(pav_cfg, [resolve_test(test)[0] for _ in range(1000)])
    took = seconds(series.kick_off)
    jobs = {run.job.path for run in series.tests if run.job is not None}
    stored = {
        (path / "node_info.json").stat().st_ino: (path / "node_info.json").stat().st_size
        for path in jobs
    }
    print(
        f"{label:58} {took:7.3f} s   {len(jobs)} jobs, node data stored "
        f"{len(stored)} time(s), {sum(stored.values()):,} bytes"
    )


def main() -> None:
    """Measure and print."""
    plugin = Big()
    plugin.activate()
    print(f"{'CPU time':58} {'':7}     10,000 to 100,000 nodes")
    show("inventory of 50,000 nodes", lambda size: inventory(plugin, size), 50_000)
    for selection in SELECTIONS:
        show(
            f"first variables, 50,000 nodes, chunks of 16, {selection}",
            lambda size, selection=selection: first_vars(plugin, size, selection),
            50_000,
        )
    show("100 tests with 100 filters, 10,000 nodes", lambda size: filters(plugin, size), 10_000)
    for place in PLACES:
        in_a_folder(plugin, place)
    plugin.nodes = 100_000
    plugin.refresh()
    tracemalloc.start()
    read_vars(plugin, schedule(chunking={"size": "16"}))
    print(
        f"{'memory of 100,000 nodes with chunks of 16, peak':58} "
        f"{tracemalloc.get_traced_memory()[1] / 2**20:7.0f} MiB"
    )


def in_a_folder(plugin: Big, place: Path) -> None:
    """Kick off a thousand tests, with jobs and tests kept under some directory."""
    if not place.is_dir():
        return
    folder = Path(tempfile.mkdtemp(dir=place))
    print(f"in {place}:")
    try:
        pav_cfg = load_config(working_dir=folder)
        pav_cfg.make_working_dir()
        kick_off(
            plugin,
            pav_cfg,
            "schedule_tests, 1,000 own jobs, 10,000 nodes",
            share_allocation="false",
            nodes="4",
        )
        kick_off(
            plugin,
            pav_cfg,
            "schedule_tests, 1,000 tests in shared jobs of 16",
            chunking={"size": "16"},
            nodes="4",
        )
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
