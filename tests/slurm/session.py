"""What a user sees who starts a test on a cluster: run by test_sites.py, as another user.

usage: session.py DIRECTORY SCHEDULE RECORD.  A test with this schedule section is started and
looked at until it has ended.  RECORD is that of somebody else's job, or {}; it is looked at, too.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

from contract.fakes import FakeHost, active
from pavilion.jobs import JobInfo
from pavilion.schedulers import Slurm, validate_config
from pavilion.schedulers.lifecycle.identity import load_identity
from pavilion.schedulers.lifecycle.job_table import JobTable
from pavilion.schedulers.plugins.slurm import client

PATIENCE = 120.0

# Looks at somebody else's job: more than it takes to call one of one's own gone.
LOOKS = 6


def quick_table(
    self: client.SlurmClient,
    user: str | None,
    cache_file: Path | None,
    max_age: float,
    cluster: str = "",
) -> JobTable:
    """A table that soon believes that a job is gone."""
    return JobTable(
        lambda: self.jobs(user, cluster),
        is_over=self.dialect.is_over,
        cache_file=cache_file,
        max_age=max_age,
        absence_gap=0.5,
    )


def main(place: Path, schedule: dict[str, Any], other: dict[str, str]) -> dict[str, Any]:
    host = FakeHost(place)
    host.pav(f'until [ -e "{place}/gate" ]; do sleep 0.1; done')
    client.SlurmClient.job_table = quick_table  # type: ignore[method-assign]
    plugin = Slurm()
    plugin.JOB_TABLE_AGE = 0.2  # type: ignore[misc]
    plugin.JOB_END_GRACE = 0.0
    with active(plugin):
        test: Any = host.test(schedule, scheduler="slurm")
        errors = plugin.schedule_tests(host.pav_cfg, [test])  # type: ignore[arg-type]
        assert not errors, errors[0].pformat()
        own: list[tuple[str, str]] = []
        others: list[tuple[str, str]] = []
        deadline = time.monotonic() + PATIENCE

        def look() -> str:
            status = plugin.job_status(host.pav_cfg, test)  # type: ignore[arg-type]
            own.append((status.state, status.note))
            time.sleep(0.1)
            return status.state

        while look() != "SCHED_STARTUP" and time.monotonic() < deadline:
            pass
        for _ in range(LOOKS if other else 0):
            status = plugin._job_status(host.pav_cfg, JobInfo(other))  # type: ignore[arg-type]
            assert status is not None
            others.append((status.state, status.note))
            time.sleep(0.5)
        nodes = plugin._filter_nodes(validate_config(schedule))[0]
        (place / "gate").touch()
        while not test.complete and time.monotonic() < deadline:
            look()
        identity = load_identity(test.job)
    assert identity is not None
    return {"id": identity["id"], "own": own, "others": others, "nodes": sorted(nodes)}


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), json.loads(sys.argv[2]), json.loads(sys.argv[3]))))
