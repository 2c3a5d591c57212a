"""A private real Grid Engine for the tests of the batch family."""

from __future__ import annotations

import os
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from batch.sites import BatchSite, Can, Listed, Said, Stuck
from batch.waiting import until
from pavilion.schedulers import SchedulerPluginBatch

if TYPE_CHECKING:
    from real_gridengine import RealGridEngine


class GridEngineSite(BatchSite):
    """Grid Engine: jobs leave its list as soon as they end, and only its accounting has them."""

    kind = "real-gridengine"
    can = frozenset(
        (
            *(Can.LIST_NODES, Can.FORGET, Can.TELL_HISTORY, Can.GET_STUCK, Can.HOLD, Can.STOP),
            *(Can.FREEZE, Can.LIMIT, Can.DENY, Can.OBEY_VARIABLES),
        )
    )
    submit, jobs, cancel, nodes, ping = "qsub", "qstat", "qdel", "qhost", "qconf"
    history = "qacct"
    full = Said("Unable to run job: job rejected: only 1 jobs are allowed per user.", 25)
    denied = Said(
        'somebody - you do not have the necessary privileges to delete the job "ID"', 1, True
    )
    refusal = Said('Unable to run job: unknown resource "nosuch".\nExiting.')
    refused_why = 'unknown resource "nosuch"'
    samples = {
        **{"time_limit": "17m", "partition": "small.q", "account": "science"},
        **{"include_nodes": "localhost", "reservation": "77"},
    }
    unusable_paths = (r"\$(HOME|USER|JOB_ID|JOB_NAME|HOSTNAME|TASK_ID)",)

    @staticmethod
    def why_not() -> str:
        try:
            from real_gridengine import why_not_available
        except ImportError:
            return "the tests of the gridengine plugin are not here"
        return why_not_available()

    def __enter__(self) -> BatchSite:
        from real_gridengine import RealGridEngine

        self.cluster: RealGridEngine = RealGridEngine(self.directory, slots=40)
        self.cluster.__enter__()
        self._variables = {**self.cluster.variables(), "PATH": os.environ["PATH"]}
        return self

    def __exit__(self, *_: object) -> None:
        self.cluster.__exit__(None, None, None)

    def variables(self) -> dict[str, str]:
        return self._variables

    def plugin(self) -> SchedulerPluginBatch:
        from pavilion.schedulers.plugins.gridengine import GridEngine

        return GridEngine()

    def listed(self) -> list[Listed]:
        rows = ET.fromstring(self.ok("qstat", "-xml", "-r", "-s", "prs", "-u", "*"))
        return [
            Listed(
                row.findtext("JB_job_number", ""),
                next(iter(re.findall("pav-[0-9a-f]{16}$", row.findtext("full_job_name", ""))), ""),
                False,
            )
            for row in rows.iter("job_list")
        ]

    @contextmanager
    def refusing(self) -> Iterator[Mapping[str, Any]]:
        yield {"gridengine": {"resources": ["nosuch=1"]}}

    def foreign(self) -> str:
        options = ("-terse", "-h", "-b", "y", "-o", "/dev/null", "-j", "y")
        return self.ok("qsub", *options, "/bin/sleep", "1000").strip()

    def cancel_outside(self, *job_ids: str) -> None:
        self.ok("qdel", *job_ids)

    def waiting(self) -> Mapping[str, Any]:
        # A queue of two slots, both in use.
        options = ("-b", "y", "-o", "/dev/null", "-j", "y", "-q", "small.q")
        if not any(name == "small.q" for name in re.findall("small.q", self.ok("qstat"))):
            for _ in range(2):
                self.ok("qsub", *options, "/bin/sleep", "1000")
        return {"partition": "small.q"}

    def forget_ended(self) -> None:
        """It has forgotten them."""

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
        with self.cluster.setting("max_u_jobs", str(jobs)):
            yield

    @contextmanager
    def stuck(self) -> Iterator[Stuck]:
        prolog = self.directory / "prolog"
        prolog.write_text("#!/bin/bash\nexit 100\n")
        prolog.chmod(0o755)
        with self.cluster.queue_setting("all.q", "prolog", str(prolog)):
            yield Stuck({"partition": "all.q"}, ["is stuck", "until somebody intervenes", "100"])

    def clean(self) -> None:
        # rc 1 when there is none.
        self.run("qdel", "-f", "-u", "*")
        until(lambda: self.listed() == [], "all jobs are gone")
