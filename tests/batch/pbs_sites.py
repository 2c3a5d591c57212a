"""The fake PBS for the tests of the batch family."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from batch.sites import BatchSite, Can, Listed, Said, Stuck
from batch.waiting import until
from pavilion.schedulers import Pbs, SchedulerPluginBatch
from pavilion.testkit import FakePbs

_ACTIVE = ("PENDING", "RUNNING", "SUSPENDED")


class FakePbsSite(BatchSite):
    """The fake PBS, with a history of jobs: 8 hosts of 40 processors."""

    kind = "fake-pbs"
    # With a history, jobs that ended are in the list itself.
    can = frozenset(Can) - {Can.TELL_HISTORY}
    submit, jobs, cancel, nodes, ping = "qsub", "qstat", "qdel", "pbsnodes", "qstat"
    others = ("qselect",)
    full = Said("qsub: Maximum number of jobs already in complex", 38)
    denied = Said("qdel: Unauthorized Request  ID.server1", 159)
    refusal = Said("qsub: Unknown resource: nosuch", 187)
    refused_why = "Unknown resource"
    samples = {
        **{"nodes": "2", "tasks": "3", "time_limit": "17m", "partition": "stopped"},
        **{"account": "science", "reservation": "R77", "include_nodes": "node03"},
        **{"across_nodes": "node03,node04", "chunking": {"size": "2"}, "tasks_per_node": "3"},
        "min_tasks_per_node": "3",
    }
    # It takes ASCII characters only.
    unusable_paths = (r"[^\x00-\x7f]",)
    # Otherwise, jobs have a minute.
    small = {"time_limit": "30m"}

    def __enter__(self) -> BatchSite:
        self.cluster = FakePbs(self.directory, cpus=40, kill_wait=2)
        self.cluster.__enter__()
        path = self.cluster.env()["PATH"]
        self._variables = {"PATH": path, **self.cluster.variables()}
        return self

    def __exit__(self, *_: object) -> None:
        self.cluster.__exit__(None, None, None)

    def variables(self) -> dict[str, str]:
        return self._variables

    def plugin(self) -> SchedulerPluginBatch:
        return Pbs()

    def listed(self) -> list[Listed]:
        """From its store: quicker than a command, and not hindered by any fault."""
        return [
            Listed(
                job_id,
                str(job["variables"].get("PAV_TOKEN", "")),
                job["state"] not in _ACTIVE and not job["completing"],
            )
            for job_id, job in self.cluster.jobs().items()
        ]

    @contextmanager
    def refusing(self) -> Iterator[Mapping[str, Any]]:
        yield {"pbs": {"qsub_extra": ["-l nosuch=1"]}}

    def foreign(self) -> str:
        script = self.directory / "foreign.sh"
        script.write_text("#!/bin/bash\nsleep 1000\n")
        return self.ok("qsub", "-j", "oe", "-o", "/dev/null", str(script)).partition(".")[0]

    def cancel_outside(self, *job_ids: str) -> None:
        for job_id in job_ids:
            self.ok("qdel", job_id)

    def waiting(self) -> Mapping[str, Any]:
        return {"partition": "stopped"}

    def forget_ended(self) -> None:
        self.cluster.forget_ended()

    @contextmanager
    def down(self) -> Iterator[None]:
        self.cluster.set_fault("down")
        try:
            yield
        finally:
            self.cluster.clear_fault("down")

    @contextmanager
    def frozen(self) -> Iterator[None]:
        self.cluster.set_fault("frozen")
        try:
            yield
        finally:
            self.cluster.clear_fault("frozen")

    @contextmanager
    def limited(self, jobs: int) -> Iterator[None]:
        self.cluster.set_setting("max_job_count", jobs)
        try:
            yield
        finally:
            self.cluster.set_setting("max_job_count", 10000)

    @contextmanager
    def stuck(self) -> Iterator[Stuck]:
        yield Stuck({"pbs": {"qsub_extra": ["-h"]}}, ["is stuck (held)", "by its user"])

    def clean(self) -> None:
        for job in self.listed():
            if not job.has_ended:
                self.run("qdel", job.job_id)
        until(lambda: all(job.has_ended for job in self.listed()), "all jobs ended")


class PbsWithoutHistorySite(FakePbsSite):
    """The fake PBS as servers are at first: without a history of jobs."""

    kind = "fake-pbs-without-history"
    can = FakePbsSite.can - {Can.LIST_ENDED, Can.TELL_CANCELLED}

    def __enter__(self) -> BatchSite:
        super().__enter__()
        self.cluster.set_history(False)
        return self

    def listed(self) -> list[Listed]:
        return [job for job in super().listed() if not job.has_ended]

    def clean(self) -> None:
        super().clean()
        self.cluster.forget_ended()
