"""Slurm for the tests of the batch family: the fake one, and a private real one."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from clusters import FakeForTests, wait_until
from real_slurm import RealSlurm, why_not_available

from batch.sites import BatchSite, Can, Listed, Said, Stuck
from pavilion.schedulers import SchedulerPluginBatch, Slurm

# Seconds that jobs are listed after their end.
MIN_JOB_AGE = 300
_ENDED = {"COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL"}


class FakeSlurmSite(BatchSite):
    """The fake Slurm: 8 nodes of 4 processors."""

    kind = "fake-slurm"
    can = frozenset(Can) - {Can.TELL_HISTORY, Can.LIMIT}
    submit, jobs, cancel, nodes, ping = "sbatch", "squeue", "scancel", "sinfo", "scontrol"
    full = Said(
        "sbatch: error: Batch job submission failed: Slurm temporarily unable to accept job"
    )
    denied = Said("scancel: error: Kill job error on job id ID: Access/permission denied", 210)
    refusal = Said("sbatch: error: Batch job submission failed: Invalid feature specification")
    refused_why = "Invalid feature specification"
    samples = {
        **{"nodes": "2", "min_nodes": "1", "tasks": "3", "time_limit": "17m", "partition": "alt"},
        **{"exclude_nodes": "node02", "include_nodes": "node03", "core_spec": "1"},
        **{"account": "science", "qos": "normal", "reservation": "maintenance"},
        **{"across_nodes": "node03,node04", "chunking": {"size": "2"}, "tasks_per_node": "3"},
        "min_tasks_per_node": "3",
    }
    cluster: FakeForTests | RealSlurm

    def __enter__(self) -> BatchSite:
        self.cluster = FakeForTests(
            self.directory,
            min_job_age=MIN_JOB_AGE,
            message_timeout=0.5,
            connect_seconds=0.1,
            kill_wait=2,
            minute=2,
            retry_seconds=0.02,
        )
        return self._started()

    def _started(self) -> BatchSite:
        self.cluster.__enter__()
        self._variables = {
            name: value
            for name, value in self.cluster.env().items()
            if os.environ.get(name) != value or name == "PATH"
        }
        self.cluster.reserve("maintenance", ["node06"])
        return self

    def __exit__(self, *_: object) -> None:
        self.cluster.__exit__(None, None, None)

    def variables(self) -> dict[str, str]:
        return self._variables

    def plugin(self) -> SchedulerPluginBatch:
        return Slurm()

    def listed(self) -> list[Listed]:
        rows = self.ok("squeue", "-a", "-h", "-t", "all", "-o", "%i|%T|%k").splitlines()
        found = [row.split("|") for row in rows]
        return [Listed(job_id, token, state in _ENDED) for job_id, state, token in found]

    @contextmanager
    def refusing(self) -> Iterator[Mapping[str, Any]]:
        yield {"slurm": {"sbatch_extra": ["--constraint=nosuch"]}}

    def foreign(self) -> str:
        script = self.directory / "foreign.sh"
        script.write_text("#!/bin/bash\nsleep 1000\n")
        options = ("--parsable", "--hold", "--output=/dev/null", "--partition=alt")
        return self.ok("sbatch", *options, str(script)).strip()

    def waiting(self) -> Mapping[str, Any]:
        return {"slurm": {"sbatch_extra": ["--hold"]}}

    def forget_ended(self) -> None:
        # It hides jobs that are old enough, and removes them a little later.
        self.cluster.set_setting("min_job_age", 1)
        wait_until(lambda: not any(job.has_ended for job in self.listed()), "forgotten")

    @contextmanager
    def down(self) -> Iterator[None]:
        with self.cluster.down():
            yield
        self._wait_for_answer()

    @contextmanager
    def frozen(self) -> Iterator[None]:
        with self.cluster.frozen():
            yield
        self._wait_for_answer()

    def _wait_for_answer(self) -> None:
        wait_until(lambda: self.run("squeue").returncode == 0, "it answers")

    @contextmanager
    def stuck(self) -> Iterator[Stuck]:
        yield Stuck(self.waiting(), ["needs an administrator", "it is held"])

    def clean(self) -> None:
        if self.cluster.setting("min_job_age") != MIN_JOB_AGE:
            self.cluster.set_setting("min_job_age", MIN_JOB_AGE)
        ids = [job.job_id for job in self.listed() if not job.has_ended]
        if ids:
            self.run("scancel", *ids)
            wait_until(lambda: all(job.has_ended for job in self.listed()), "all jobs ended")


class RealSlurmSite(FakeSlurmSite):
    """A private real Slurm."""

    kind = "real-slurm"
    # Of a real one without an accounting daemon there are no accounts, and no limits.

    @staticmethod
    def why_not() -> str:
        return why_not_available()

    def __enter__(self) -> BatchSite:
        self.cluster = RealSlurm(self.directory, min_job_age=MIN_JOB_AGE, message_timeout=5)
        return self._started()
