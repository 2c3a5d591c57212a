"""The example batch system for the tests of the batch family."""

from __future__ import annotations

import contextlib
import fcntl
import functools
import importlib.util
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from batch.sites import BatchSite, Can, Listed, Said, Stuck
from batch.waiting import until
from pavilion.schedulers import SchedulerPluginBatch

_EXAMPLES = Path(__file__).parents[2] / "examples"
_ENDED = {"DONE", "FAILED", "CANCELLED", "TIMEOUT"}


@functools.cache
def _module() -> Any:
    """The example's module, which is in no package."""
    spec = importlib.util.spec_from_file_location(
        "minibatch_example", _EXAMPLES / "plugins" / "minibatch.py"
    )
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class MinibatchSite(BatchSite):
    """The example batch system: it has no daemon, knows no users, and never forgets by itself."""

    kind = "minibatch"
    can = frozenset(
        (
            *(Can.LIST_NODES, Can.HAVE_SEVERAL_NODES, Can.LIST_ENDED, Can.FORGET, Can.HOLD),
            *(Can.TELL_CANCELLED, Can.STOP, Can.FREEZE, Can.GET_STUCK, Can.OBEY_VARIABLES),
        )
    )
    submit, jobs, cancel, nodes, ping = "mb-submit", "mb-jobs", "mb-cancel", "mb-nodes", ""
    others = ("mb-run",)
    full = Said("mb-submit: error: the queue is full: 10000 jobs wait or run.", 4)
    refusal = Said("mb-submit: error: there is no node 'mb0'.", 2)
    refused_why = "node 'mb3' cannot be used: it is down"
    samples = {
        **{"nodes": "2", "min_nodes": "1", "time_limit": "3h", "partition": "big"},
        **{"exclude_nodes": "mb2", "include_nodes": "mb3", "reservation": "maint"},
        **{"account": "science", "across_nodes": "mb3,mb4", "chunking": {"size": "2"}},
    }

    @property
    def _spool(self) -> Path:
        return self.directory / "spool"

    def __enter__(self) -> BatchSite:
        self._spool.mkdir(mode=0o700)
        (self._spool / "jobs").mkdir(mode=0o700)
        # More nodes than the example has: a node has one job at a time.
        nodes = json.loads((_EXAMPLES / "minibatch" / "nodes.json").read_text())
        nodes += [
            {"name": f"mb{number}", "partitions": ["main"], "cpus": 4, "mem_mb": 8192}
            for number in range(9, 31)
        ]
        self._nodes = json.dumps(nodes)
        (self._spool / "nodes.json").write_text(self._nodes)
        path = f"{_EXAMPLES / 'minibatch' / 'bin'}{os.pathsep}{os.environ['PATH']}"
        self._variables = {"PATH": path, "MINIBATCH_SPOOL": str(self._spool)}
        return self

    def __exit__(self, *_: object) -> None:
        self.clean()

    def variables(self) -> dict[str, str]:
        return self._variables

    def plugin(self) -> SchedulerPluginBatch:
        return _module().MiniBatch()  # type: ignore[no-any-return]

    def listed(self) -> list[Listed]:
        """From its spool directory: quicker than a command, and not hindered by any fault."""
        found = []
        for file in (self._spool / "jobs").glob("*/job.json"):
            with contextlib.suppress(FileNotFoundError):
                job = json.loads(file.read_text())
                found.append(Listed(job["id"], job["tag"], job["state"] in _ENDED))
        return sorted(found, key=lambda job: int(job.job_id))

    @contextmanager
    def refusing(self) -> Iterator[Mapping[str, Any]]:
        """A node goes down that the plugin has seen up."""
        table = self._spool / "nodes.json"
        nodes = [{**node, "state": "DOWN"} for node in json.loads(self._nodes)]
        table.write_text(json.dumps(nodes))
        try:
            yield {"include_nodes": "mb3", "nodes": "1"}
        finally:
            table.write_text(self._nodes)

    def foreign(self) -> str:
        script = self.directory / "foreign.sh"
        script.write_text("#!/bin/bash\nexec sleep 1000\n")
        script.chmod(0o755)
        return self.ok("mb-submit", "--log", "/dev/null", str(script)).split()[1]

    def cancel_outside(self, *job_ids: str) -> None:
        self.ok("mb-cancel", *job_ids)

    def waiting(self) -> Mapping[str, Any]:
        """On a node that another job has."""
        script = self.directory / "waiting.sh"
        script.write_text("#!/bin/bash\n#MB --nodelist mb6\nexec sleep 1000\n")
        script.chmod(0o755)
        self.ok("mb-submit", "--log", "/dev/null", str(script))
        return {"include_nodes": "mb6", "nodes": "1"}

    @contextmanager
    def stuck(self) -> Iterator[Stuck]:
        """A job whose script cannot be started when its turn comes."""
        schedule = self.waiting()
        occupying = self.listed()[-1].job_id

        def spoil(script: Path) -> None:
            script.chmod(0o600)
            self.cancel_outside(occupying)

        yield Stuck(schedule, ["is stuck (HELD)", "its script could not be started"], spoil)

    def forget_ended(self) -> None:
        def forgotten() -> bool:
            for job in self.listed():
                if job.has_ended:
                    shutil.rmtree(self._spool / "jobs" / job.job_id)
            return not any(job.has_ended for job in self.listed())

        until(forgotten, "all jobs that ended are forgotten")

    @contextmanager
    def down(self) -> Iterator[None]:
        """All commands fail, as none can read the table of nodes."""
        table = self._spool / "nodes.json"
        table.write_text("{")
        try:
            yield
        finally:
            table.write_text(self._nodes)

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """All commands wait for the lock."""
        with (self._spool / "lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def clean(self) -> None:
        def ended() -> bool:
            left = [job.job_id for job in self.listed() if not job.has_ended]
            if left:
                self.run("mb-cancel", *left)
            return not left

        until(ended, "all jobs ended")
