"""A private real Flux instance for the tests of the batch family."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from batch.sites import BatchSite, Can, Listed, Said, Stuck
from batch.waiting import until
from pavilion.schedulers import SchedulerPluginBatch
from pavilion.schedulers.batch import find_token

if TYPE_CHECKING:
    from real_flux import RealFlux


class RealFluxSite(BatchSite):
    """Flux: all of its commands are those of one program, and it knows no accounts, no
    reservations and no limits without flux-accounting."""

    kind = "real-flux"
    can = frozenset(Can) - {Can.TELL_HISTORY, Can.LIMIT, Can.SAY_WHICH_SCRIPT}
    submit, jobs, cancel = "flux batch", "flux jobs", "flux cancel"
    nodes, ping = "flux resource", "flux uptime"
    others = ("flux queue", "flux kvs")
    # As flux-accounting has it.
    full = Said("flux-batch: ERROR: association has reached the max number of active jobs")
    # To a user who is not the owner of the instance.
    denied = Said("flux-cancel: ERROR: ID: guests can only raise exceptions on their own jobs")
    refusal = Said("flux-batch: ERROR: Invalid queue 'nosuch' specified")
    refused_why = "host constraint contains invalid hosts: host 'nosuch' not found"
    samples = {
        **{"nodes": "2", "min_nodes": "1", "tasks": "3", "time_limit": "17m", "partition": "batch"},
        **{"exclude_nodes": "node2", "include_nodes": "node3", "account": "science"},
        **{"across_nodes": "node2,node3", "chunking": {"size": "2"}},
    }
    unusable_paths = (r"\{\{",)
    # Some of the processors of a node, which it shares.
    small = {"tasks": "1"}
    # Of the private instance.
    options: Mapping[str, Any] = {}

    @staticmethod
    def why_not() -> str:
        try:
            from real_flux import why_not_available
        except ImportError:
            return "the tests of the flux plugin are not here"
        return why_not_available()

    def __enter__(self) -> BatchSite:
        from real_flux import RealFlux

        self.cluster: RealFlux = RealFlux(self.directory, **self.options)
        self.cluster.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self.cluster.__exit__(None, None, None)

    def variables(self) -> dict[str, str]:
        return self.cluster.variables()

    def plugin(self) -> SchedulerPluginBatch:
        from pavilion.schedulers.plugins.flux import Flux

        return Flux()

    def listed(self) -> list[Listed]:
        return [
            Listed(job_id, find_token(name), state == "INACTIVE")
            for job_id, state, name in self.cluster.jobs()
        ]

    @contextmanager
    def refusing(self) -> Iterator[Mapping[str, Any]]:
        yield {"flux": {"fluxbatch_extra": ["--requires=host:nosuch"]}}

    def foreign(self) -> str:
        return self.cluster.submit("--urgency=0")

    def waiting(self) -> Mapping[str, Any]:
        return {"flux": {"fluxbatch_extra": ["--urgency=0"]}}

    def forget_ended(self) -> None:
        self.cluster.forget_ended()

    @contextmanager
    def down(self) -> Iterator[None]:
        with self.cluster.down():
            yield

    @contextmanager
    def frozen(self) -> Iterator[None]:
        with self.cluster.frozen():
            yield

    @contextmanager
    def stuck(self) -> Iterator[Stuck]:
        yield Stuck(self.waiting(), ["is stuck", "held: its urgency is 0"])

    def clean(self) -> None:
        self.cluster.clean()
        until(lambda: all(job.has_ended for job in self.listed()), "all jobs ended")
