"""What the slurm plugin costs: inventory, job states, headers, submissions.

Slurm's commands are small scripts here that print prepared text; submitting is measured on a real
Slurm as well, where one can be started.  Times are of this process alone (CPU) where nothing else
is said, so the scripts' own time is not in them.  Nothing is asserted.
"""

from __future__ import annotations

import math
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import slurm_samples as samples

from pavilion.config import PavConfig, load_config
from pavilion.jobs import JobInfo
from pavilion.resolve import resolve_test
from pavilion.schedulers import Slurm, validate_config
from pavilion.schedulers.plugins.slurm import parsing
from pavilion.schedulers.plugins.slurm.client import SlurmClient
from pavilion.schedulers.plugins.slurm.header import SbatchHeader
from pavilion.schedulers.plugins.slurm.submit import Submitter
from pavilion.series import Series
from pavilion.suites import SuiteTest, TestElem

# What starts a private Slurm.
REAL_SLURM = Path(__file__).resolve().parents[1] / "tests" / "slurm"
NODES = 50_000
JOBS = 1000
HEADERS = 1000
SUBMISSIONS = 200
ROUNDS = 8


def show(label: str, value: float, unit: str, note: str = "") -> None:
    print(f"{label:56} {value:9.3f} {unit:4} {note}".rstrip(), flush=True)


def seconds(work: Callable[[], Any], clock: Callable[[], float] = time.process_time) -> float:
    start = clock()
    work()
    return clock() - start


@contextmanager
def commands(folder: Path, answers: dict[str, str]) -> Iterator[Path]:
    """Commands that print these answers come first in PATH; gives the file of their calls."""
    calls = samples.write_commands(folder, answers)
    before = os.environ["PATH"]
    os.environ["PATH"] = f"{folder}{os.pathsep}{before}"
    try:
        yield calls
    finally:
        os.environ["PATH"] = before


# ------------------------------------------------------------------------------------ inventory


def inventory(folder: Path, plugin: Slurm, nodes: int, held: int) -> Callable[[], Any]:
    """From the commands to the description of each node, checked and in order."""
    for name, text in (
        ("sinfo", samples.sinfo(nodes)),
        ("scontrol", samples.reservations(nodes, held)),
    ):
        (folder / f"{name}.txt").write_text(text, encoding="utf-8")
    config = validate_config({})

    def work() -> None:
        plugin.refresh()
        assert len(plugin._get_system_inventory(config)) == nodes

    return work


def bench_inventory(folder: Path, plugin: Slurm) -> None:
    with commands(folder, {"sinfo": "", "scontrol": ""}):
        for held, limit, reference in ((0, 0.4, 3.6), (4, 0.5, 13.7)):
            best = {}
            for size in (10_000, NODES, 100_000):
                work = inventory(folder, plugin, size, held)
                best[size] = min(seconds(work) for _ in range(3))
            growth = math.log10(best[100_000] / best[10_000])
            show(
                f"inventory of {NODES:,} nodes, {held} reservations",
                best[NODES],
                "s",
                f"at most {limit} (reference {reference}); growth 10,000 to 100,000: {growth:.2f}",
            )
            work = inventory(folder, plugin, NODES, held)
            tracemalloc.start()
            work()
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            plugin.refresh()
            show(
                "  its memory, peak",
                peak / 2**20,
                "MiB",
                f"{(folder / 'sinfo.txt').stat().st_size / 2**20:.1f} MiB of text from sinfo",
            )


# ----------------------------------------------------------------------------------- job states


def ask(plugin: Slurm, pav_cfg: PavConfig, times: int, pause: float) -> None:
    """Query the state of each job, several times in a row."""
    infos = [
        JobInfo({"id": str(number), "user": str(os.getuid()), "token": samples.token(number)})
        for number in range(1, JOBS + 1)
    ]
    for time_number in range(times):
        if time_number:
            time.sleep(pause)
        for info in infos:
            status = plugin._job_status(pav_cfg, info)
            assert status is not None and status.state != "SCHED_WARNING", status


def count(calls: Path) -> int:
    """How many commands were run since it was last asked."""
    number = len(calls.read_text(encoding="ascii").splitlines())
    calls.write_text("", encoding="ascii")
    return number


def bench_status(folder: Path) -> None:
    text = samples.squeue(JOBS)
    with commands(folder / "bin", {"squeue": text}) as calls:
        for label, age, pause, limit in (
            ("within the cache age", 5.0, 0.0, 1),
            ("beyond it", 0.2, 1.0, 3),
        ):
            pav_cfg = new_host(folder / f"age{age:g}")
            plugin = Slurm()
            plugin.JOB_TABLE_AGE = age
            took = seconds(
                lambda plugin=plugin, pav_cfg=pav_cfg, pause=pause: ask(plugin, pav_cfg, 3, pause)
            )
            show(
                f"states of {JOBS:,} jobs three times, {label}",
                count(calls),
                "commands",
                f"at most {limit} (reference 3,000); {took / JOBS / 3 * 1e6:.0f} us a state",
            )
        other = folder / "two"
        new_host(other)
        for _ in range(2):
            subprocess.run([sys.executable, __file__, "--ask", other], check=True)
        show(
            "the same in two processes, one after the other", count(calls), "commands", "at most 1"
        )
        together = [
            subprocess.Popen([sys.executable, __file__, "--ask", folder / "age5" / "new"])
            for _ in range(2)
        ]
        assert not any(process.wait() for process in together)
        show("the same in two processes at the same time", count(calls), "commands", "at most 1")
    best = min(seconds(lambda: parsing.parse_jobs(text)) for _ in range(10))
    show(f"{JOBS:,} jobs parsed", best * 1000, "ms", "at most 20")


def new_host(folder: Path) -> PavConfig:
    pav_cfg = load_config(working_dir=folder)
    pav_cfg.make_working_dir()
    return pav_cfg


# -------------------------------------------------------------------------------------- headers


def headers(plugin: Slurm, node_lists: Sequence[list[str] | None]) -> float:
    """CPU seconds for the header lines of jobs on these nodes."""
    config = validate_config(
        {
            "nodes": "1",
            "partition": "standard",
            "account": "science",
            "qos": "normal",
            "time_limit": "4",
            "slurm": {"features": ["cpu|gpu"], "sbatch_extra": ["--mem=0"]},
        }
    )

    def work() -> None:
        for names in node_lists:
            size = len(names) if names else 1
            SbatchHeader(
                "pav_suite.test",
                config,
                plugin.VAR_CLASS(config),
                nodes=names,
                node_range=None if names else (size, size),
            ).get_lines()

    return min(seconds(work) for _ in range(3))


def bench_headers(plugin: Slurm) -> None:
    rng = random.Random(1)
    every = samples.node_names(10_000)
    for label, lists in (
        (
            "in a row",
            [
                every[start : start + 1000]
                for start in (rng.randrange(9000) for _ in range(HEADERS))
            ],
        ),
        ("at random", [rng.sample(every, 1000) for _ in range(HEADERS)]),
    ):
        ours = headers(plugin, lists)
        show(f"{HEADERS:,} headers with 1,000 nodes {label}", ours, "s")
    alone = headers(plugin, [None] * HEADERS)
    show("a header without nodes", alone / HEADERS * 1000, "ms", "at most 0.1")


# ----------------------------------------------------------------------------------- submitting


def submit_with_plugin(plugin: Slurm, pav_cfg: PavConfig) -> tuple[float, list[Path]]:
    """Hand over a series; wall seconds, and the kickoff scripts."""
    config = TestElem().validate(
        {
            "scheduler": "slurm",
            "run": {"cmds": ["true"]},
            # They are not meant to run: that would take the machine's time.
            "schedule": {"share_allocation": "false", "slurm": {"sbatch_extra": ["--hold"]}},
        }
    )
    resolved = resolve_test(SuiteTest("bench", "test", Path("bench.yaml"), config))
    series = Series.create(pav_cfg, resolved * SUBMISSIONS)
    start = time.perf_counter()
    errors = series.kick_off()
    took = time.perf_counter() - start
    assert not errors, errors[0].pformat()
    return took, [test.job.kickoff_path for test in series.tests if test.job is not None]


def submit_alone(scripts: Sequence[Path], at_once: int) -> float:
    """Wall seconds for the submissions alone: token, sbatch, its answer, the log."""
    submitter = Submitter(SlurmClient())

    def submit(script: Path) -> None:
        assert submitter.submit(script.parent, script, script.with_suffix(".out"), "bench").job_id

    with ThreadPoolExecutor(at_once) as pool:
        start = time.perf_counter()
        list(pool.map(submit, scripts))
        return time.perf_counter() - start


def submit_bare(scripts: Sequence[Path], at_once: int) -> float:
    """Wall seconds for sbatch calls and nothing else."""

    def submit(script: Path) -> None:
        subprocess.run(
            ["sbatch", "--parsable", f"--output={script}.out", str(script)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=True,
        )

    with ThreadPoolExecutor(at_once) as pool:
        start = time.perf_counter()
        list(pool.map(submit, scripts))
        return time.perf_counter() - start


def bench_submitting(folder: Path, plugin: Slurm) -> None:
    sys.path.append(str(REAL_SLURM))
    from real_slurm import RealSlurm, why_not_available

    reason = why_not_available()
    if reason:
        print(f"NOT MEASURED: submitting; a real Slurm cannot be started here: {reason}")
        return
    folder.mkdir()
    with RealSlurm(folder, nodes=4) as cluster:
        os.environ["SLURM_CONF"] = str(cluster.conf)
        pav_cfg = new_host(folder / "work")
        ours, alone, bare, cpu = [], [], [], []
        for _ in range(ROUNDS):
            start = time.process_time()
            took, scripts = submit_with_plugin(plugin, pav_cfg)
            middle = time.process_time()
            ours.append(took)
            bare.append(submit_bare(scripts, Slurm.SUBMIT_AT_ONCE))
            cpu.append((middle - start, time.process_time() - middle))
            alone.append(submit_alone(scripts, Slurm.SUBMIT_AT_ONCE))
            cluster.ok("scancel", "--user=root")
        del os.environ["SLURM_CONF"]
    show(
        f"{SUBMISSIONS} bare sbatch calls, {Slurm.SUBMIT_AT_ONCE} at once",
        min(bare),
        "s",
        f"this process's CPU time: {min(other for _, other in cpu):.2f} s",
    )
    show(
        "  submitted by the library, in the same way",
        min(alone),
        "s",
        f"{_ratios(alone, bare)} (at most 1.1)",
    )
    show(
        "  and their directories, scripts and records made before",
        min(ours),
        "s",
        f"{_ratios(ours, bare)}; CPU time: {min(mine for mine, _ in cpu):.2f} s",
    )


def bench_waiting(folder: Path, plugin: Slurm) -> None:
    """The same where sbatch mostly waits: a script in its place sleeps for 30 ms."""
    with commands(
        folder / "bin", {"sinfo": samples.sinfo(4), "scontrol": samples.reservations(4, 0)}
    ):
        sbatch = folder / "bin" / "sbatch"
        sbatch.write_text("#!/bin/sh\nsleep 0.03\necho 17\n", encoding="ascii")
        sbatch.chmod(0o755)
        pav_cfg = new_host(folder / "work")
        plugin.refresh()
        ours, bare = [], []
        for _ in range(ROUNDS):
            took, scripts = submit_with_plugin(plugin, pav_cfg)
            ours.append(took)
            bare.append(submit_bare(scripts, Slurm.SUBMIT_AT_ONCE))
    show("  all that, where sbatch waits 30 ms (made up)", min(ours), "s", _ratios(ours, bare))


def _ratios(mine: Sequence[float], other: Sequence[float]) -> str:
    return (
        f"ratio of the best {min(mine) / min(other):.2f}, of the medians "
        f"{statistics.median(mine) / statistics.median(other):.2f}"
    )


def main() -> None:
    """Measure and print."""
    if sys.argv[1:2] == ["--ask"]:
        ask(Slurm(), new_host(Path(sys.argv[2])), 3, 0.0)
        return
    plugin = Slurm()
    plugin.activate()
    folder = Path(tempfile.mkdtemp(prefix="bench-slurm-"))
    try:
        bench_inventory(folder / "inventory", plugin)
        bench_status(folder / "status")
        bench_headers(plugin)
        bench_submitting(folder / "submitting", plugin)
        bench_waiting(folder / "waiting", plugin)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
