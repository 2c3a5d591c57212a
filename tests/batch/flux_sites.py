"""Flux for the tests of the batch family: the fake one."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from batch.sites import BatchSite, Can, Listed, Said, Stuck
from batch.waiting import until
from pavilion.schedulers import Flux, SchedulerPluginBatch, find_token
from pavilion.testkit import FakeFlux


class FakeFluxSite(BatchSite):
    """The fake Flux: 8 nodes of 4 cores, the last 2 of which are in a queue of their own."""

    kind = "fake-flux"
    can = frozenset(
        (
            *(Can.LIST_NODES, Can.HAVE_SEVERAL_NODES, Can.LIST_ENDED, Can.FORGET),
            *(Can.TELL_CANCELLED, Can.GET_STUCK, Can.HOLD, Can.STOP, Can.FREEZE),
            *(Can.DENY, Can.OBEY_VARIABLES),
        )
    )
    submit, jobs, cancel, nodes = "flux batch", "flux jobs", "flux cancel", "flux resource"
    ping = "flux uptime"
    others = ("flux queue", "flux kvs")
    full = Said("flux-batch: ERROR: user has max number of jobs submitted")
    # 'ID' in Flux's own spelling would be another string; it prints any that it was given.
    denied = Said("flux-cancel: ERROR: ID: guests can only raise exceptions on their own jobs")
    refusal = Said(
        "flux-batch: ERROR: unsatisfiable request: need 1 exclusive node(s), only 0 eligible"
    )
    refused_why = "unsatisfiable request"
    samples = {
        **{"nodes": "2", "min_nodes": "2", "tasks": "3", "time_limit": "7m", "partition": "debug"},
        **{"exclude_nodes": "node2", "include_nodes": "node3", "account": "science"},
        **{"across_nodes": "node3,node4", "chunking": {"size": "2"}},
    }
    small = {"tasks": "1"}
    cluster: FakeFlux

    def __enter__(self) -> BatchSite:
        self.cluster = FakeFlux(self.directory / "flux", nodes=8, kill_wait=2, minute=2)
        self.cluster.start()
        self._variables = {**self.cluster.variables(), "PATH": self.cluster.env()["PATH"]}
        return self

    def __exit__(self, *_: object) -> None:
        self.cluster.stop()

    def variables(self) -> dict[str, str]:
        return self._variables

    def plugin(self) -> SchedulerPluginBatch:
        return Flux()

    def listed(self) -> list[Listed]:
        answer = json.loads(self.ok("flux", "jobs", "-a", "-A", "-c", "0", "--json"))
        return [
            Listed(str(job["id"]), find_token(job["name"]), job["state"] == "INACTIVE")
            for job in answer["jobs"]
        ]

    @contextmanager
    def refusing(self) -> Iterator[Mapping[str, Any]]:
        yield {"flux": {"fluxbatch_extra": ["--requires=nosuch"]}}

    def foreign(self) -> str:
        script = self.directory / "foreign.sh"
        script.write_text("#!/bin/bash\nsleep 1000\n")
        options = ("-N1", "-q", "debug", "--urgency=0", "--output=/dev/null")
        spelled = self.ok("flux", "batch", *options, str(script)).strip()
        return self.ok("flux", "job", "id", "--to=dec", spelled).strip()

    def waiting(self) -> Mapping[str, Any]:
        return {"flux": {"fluxbatch_extra": ["--begin-time=+1h"]}}

    def forget_ended(self) -> None:
        self.cluster.set_setting("min_job_age", 0.5)
        until(lambda: not any(job.has_ended for job in self.listed()), "forgotten")

    @contextmanager
    def down(self) -> Iterator[None]:
        self.cluster.set_fault("down")
        yield
        self.cluster.clear_fault("down")

    @contextmanager
    def frozen(self) -> Iterator[None]:
        self.cluster.set_fault("frozen")
        yield
        self.cluster.clear_fault("frozen")

    @contextmanager
    def stuck(self) -> Iterator[Stuck]:
        yield Stuck({"flux": {"fluxbatch_extra": ["--urgency=0"]}}, ["is stuck", "urgency is 0"])

    def clean(self) -> None:
        self.cluster.set_setting("min_job_age", 0)
        ids = [job.job_id for job in self.listed() if not job.has_ended]
        if ids:
            self.run("flux", "cancel", *ids)
            until(lambda: all(job.has_ended for job in self.listed()), "all jobs ended")
