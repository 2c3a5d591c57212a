"""Scheduler commands per poll: for few and many jobs, and a fast, a slow and a failing scheduler.

A poll queries the state of each job once, as 'status' does.  Two plugins are measured: slurm,
whose job table counts, and one of the base family that learns of all jobs with each query, as the
guide for authors says.  The slow scheduler needs longer for an answer than an answer is good for.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import slurm_samples as samples

from pavilion.config import load_config
from pavilion.errors import SchedulerPluginError
from pavilion.jobs import JobInfo
from pavilion.schedulers import SchedulerPluginBasic, Slurm
from pavilion.schedulers.lifecycle.job_states import current_status
from pavilion.schedulers.plugins.slurm.client import SlurmClient
from pavilion.schedulers.talk.commands import CommandResult
from pavilion.status_file import STATES, TestStatusInfo

COUNTS = (1, 100, 10_000)
# Seconds that an answer is good for, and what the slow scheduler needs for one.
AGE, SLOW = 5.0, 6.0


class Scheduler:
    """Answers queries, or does not, and counts them."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.queries = 0

    def query(self) -> None:
        self.queries += 1
        if self.kind != "fast":
            time.sleep(SLOW)
        if self.kind == "failing":
            raise SchedulerPluginError("No answer.")


class Bulk(SchedulerPluginBasic):
    """Learns of all jobs with each query."""

    JOB_STATUS_TIMEOUT = AGE

    def __init__(self, scheduler: Scheduler, names: list[str]) -> None:
        super().__init__("bulk", "Learns of all jobs at once.")
        self._scheduler, self._names = scheduler, names

    def _job_status(self, pav_cfg: Any, job_info: Any) -> TestStatusInfo:
        asked = time.time()
        self._scheduler.query()
        status = TestStatusInfo(STATES.SCHEDULED, "Waits.", asked)
        self._job_statuses.update(dict.fromkeys(self._names, (asked, status)))
        return status


class Runner:
    """Stands for the commands of a Slurm."""

    def __init__(self, scheduler: Scheduler, text: str) -> None:
        self._scheduler, self._text = scheduler, text

    def run(self, argv: list[str], **kwargs: Any) -> CommandResult:
        try:
            self._scheduler.query()
        except SchedulerPluginError:
            return CommandResult(
                tuple(argv),
                1,
                "",
                "squeue: error: Unable to contact slurm controller (connect failure)",
                SLOW,
                False,
            )
        return CommandResult(tuple(argv), 0, self._text, "", 0.0, False)


class OneJob:
    """As much of a job as a state needs."""

    def __init__(self, folder: Path, name: str) -> None:
        self.name, self.path = name, folder
        self.info = JobInfo({"id": name})


def poll_bulk(scheduler: Scheduler, folder: Path, count: int) -> Callable[[], set[str]]:
    names = [str(number) for number in range(1, count + 1)]
    plugin = Bulk(scheduler, names)
    jobs: list[Any] = [OneJob(folder, name) for name in names]
    return lambda: {current_status(plugin, None, job).state for job in jobs}  # type: ignore[arg-type]


def poll_slurm(scheduler: Scheduler, folder: Path, count: int) -> Callable[[], set[str]]:
    pav_cfg = load_config(working_dir=folder)
    pav_cfg.make_working_dir()
    plugin = Slurm()
    plugin.JOB_TABLE_AGE = AGE
    client = SlurmClient()
    client.querying = Runner(scheduler, samples.squeue(count))  # type: ignore[assignment]
    plugin._client_made = client
    infos = [
        JobInfo({"id": str(number), "user": "0", "token": samples.token(number)})
        for number in range(1, count + 1)
    ]

    def poll() -> set[str]:
        found = [plugin._job_status(pav_cfg, info) for info in infos]
        return {status.state for status in found if status is not None}

    return poll


def main() -> None:
    for name, make in (("slurm", poll_slurm), ("base family", poll_bulk)):
        for kind in ("fast", "slow", "failing"):
            for count in COUNTS:
                with tempfile.TemporaryDirectory() as folder:
                    scheduler = Scheduler(kind)
                    poll = make(scheduler, Path(folder), count)
                    start = time.perf_counter()
                    states = poll()
                    took = time.perf_counter() - start
                    warned = states == {STATES.SCHED_WARNING}
                    assert warned == (kind == "failing"), states
                    print(
                        f"{name:12} {kind:8} {count:7,} jobs: {scheduler.queries:3} "
                        f"{'query' if scheduler.queries == 1 else 'queries'} in a poll of "
                        f"{took:.2f} s",
                        flush=True,
                    )


if __name__ == "__main__":
    main()
