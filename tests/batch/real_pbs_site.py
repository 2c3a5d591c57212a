"""A private real OpenPBS for the tests of the batch family."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from batch.sites import BatchSite, Can, Listed, Said, Stuck
from batch.waiting import until
from pavilion.schedulers import SchedulerPluginBatch

if TYPE_CHECKING:
    from real_pbs import RealPbs

_TOKEN = re.compile(r"\bPAV_TOKEN=(pav-[0-9a-f]{16})\b")


class RealPbsSite(BatchSite):
    """OpenPBS with three nodes, whose server lists jobs that ended."""

    kind = "real-pbs"
    can = frozenset(
        (
            *(Can.LIST_NODES, Can.HAVE_SEVERAL_NODES, Can.LIST_ENDED, Can.FORGET),
            *(Can.TELL_CANCELLED, Can.GET_STUCK, Can.HOLD, Can.STOP, Can.FREEZE, Can.LIMIT),
            *(Can.DENY, Can.OBEY_VARIABLES),
        )
    )
    submit, jobs, cancel, nodes, ping = "qsub", "qstat", "qdel", "pbsnodes", "qstat"
    others = ("qselect",)
    full = Said("qsub: Maximum number of jobs already in complex", 38)
    denied = Said("qdel: Unauthorized Request  ID", 159)
    refusal = Said("qsub: Unknown resource: nosuch", 187)
    refused_why = "Unknown queue"
    samples = {
        **{"nodes": "2", "min_nodes": "1", "tasks": "3", "time_limit": "17m"},
        **{"partition": "workq", "account": "science", "reservation": "R77"},
        **{"exclude_nodes": "n2", "include_nodes": "n3", "across_nodes": "n1,n2"},
        **{"chunking": {"size": "2"}, "tasks_per_node": "3", "min_tasks_per_node": "3"},
    }

    @staticmethod
    def why_not() -> str:
        try:
            from real_pbs import why_not_available
        except ImportError:
            return "the tests of the pbs plugin are not here"
        return why_not_available()

    def __enter__(self) -> BatchSite:
        from real_pbs import RealPbs

        self.cluster: RealPbs = RealPbs(self.directory, slots=40)
        self.cluster.__enter__()
        self._variables = self.cluster.variables()
        return self

    def __exit__(self, *_: object) -> None:
        self.cluster.__exit__(None, None, None)

    def variables(self) -> dict[str, str]:
        return self._variables

    def plugin(self) -> SchedulerPluginBatch:
        from pavilion.schedulers.plugins.pbs import Pbs

        return Pbs()

    def listed(self) -> list[Listed]:
        return [
            Listed(
                job_id.partition(".")[0],
                next(iter(_TOKEN.findall(job.get("Variable_List", ""))), ""),
                job["job_state"] in ("F", "M", "X"),
            )
            for job_id, job in self.cluster.jobs().items()
        ]

    @contextmanager
    def refusing(self) -> Iterator[Mapping[str, Any]]:
        yield {"partition": "nosuch"}

    def foreign(self) -> str:
        return self.cluster.submit("sleep 1000").partition(".")[0]

    def cancel_outside(self, *job_ids: str) -> None:
        for job_id in job_ids:
            self.ok("qdel", job_id)

    def waiting(self) -> Mapping[str, Any]:
        return {"partition": "stopped"}

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
    def limited(self, jobs: int) -> Iterator[None]:
        with self.cluster.setting("max_queued", f"[o:PBS_ALL={jobs}]"):
            yield

    @contextmanager
    def stuck(self) -> Iterator[Stuck]:
        yield Stuck({"pbs": {"qsub_extra": ["-h"]}}, ["is stuck (held)", "by its user", "until somebody intervenes"])

    def clean(self) -> None:
        self.cluster.clean()
        until(lambda: all(job.has_ended for job in self.listed()), "all jobs are gone")
