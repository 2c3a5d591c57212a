"""What the tests of the batch family share: a host, a plugin, its scheduler, and faults for it."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from batch.faults import Faults
from batch.sites import BatchSite, Listed
from batch.waiting import until
from contract.fakes import FakeTest, active
from job_bench import PATIENCE, JobBench, info
from pavilion.jobs import Job, JobInfo
from pavilion.schedulers import SchedulerPluginBatch, validate_config
from pavilion.schedulers.batch import cancelling, client, recent_jobs, submitting
from pavilion.schedulers.lifecycle.identity import IDENTITY_FN
from pavilion.schedulers.lifecycle.job_table import JobTable

# Seconds that an answer about jobs serves in these tests.
TABLE_AGE = 0.2


class Bench(JobBench):
    """A host with a plugin, and the scheduler that it uses.

    :param directory: A new directory of the host; jobs are below it.
    """

    until = staticmethod(until)

    def __init__(
        self, site: BatchSite, plugin: SchedulerPluginBatch, directory: Path, faults: Faults
    ) -> None:
        # Elsewhere: a directory of programs cannot have just any name, as it is in PATH.
        super().__init__(plugin, directory, faults.here.with_name("pav_root"))
        self.site = site
        self.faults = faults
        self._before = site.listed()

    # --- Tests ---

    def test(
        self, schedule: Mapping[str, Any] | None = None, work: str = "true", **more: Any
    ) -> FakeTest:
        """A new test, not started, and the bash script that its job runs."""
        section = {**self.site.small, "share_allocation": "false", **(schedule or {})}
        return super().test(section, work, **more)

    def start_long(self, schedule: Mapping[str, Any] | None = None, **more: Any) -> FakeTest:
        """Start a test that runs until it is released, and see that its script has begun."""
        test = self.start(schedule, self.long, **more)
        self.wait_begun(test)
        return test

    def refused(self, schedule: Mapping[str, Any] | None = None, **more: Any) -> str:
        """The error for a test that cannot be started, on one line.  The test has ended then."""
        return " ".join(super().refused(schedule, **more).split())

    def learn_nodes(self) -> None:
        """Have the plugin query the nodes, which it knows for a while then."""
        self.plugin._get_system_inventory(validate_config({}))

    def status_of(self, record: JobInfo, plugin: SchedulerPluginBatch | None = None) -> str:
        """State and note of a job, by a record of it."""
        status = (plugin or self.plugin)._job_status(self.pav_cfg, record)  # type: ignore[arg-type]
        assert status is not None
        return f"{status.state}: {status.note}"

    def wait_no_jobs(self, *tests: FakeTest) -> None:
        """Wait until the scheduler lists no job of these tests that has not ended."""
        tokens = {info(test)["token"] for test in tests}
        until(
            lambda: not [job for job in self.site.listed() if job.token in tokens and not job[2]],
            "their jobs ended",
            PATIENCE,
        )

    # --- The scheduler's own view ---

    def jobs_of(self, test: FakeTest) -> list[Listed]:
        """The jobs that carry the token of this test's submission, the oldest first."""
        token, _ = self.plugin._read_token(job_of(test))
        assert token.startswith("pav-")
        return self.jobs_with(token)

    def jobs_with(self, token: str) -> list[Listed]:
        found = [job for job in self.site.listed() if job.token == token]
        return sorted(found, key=lambda job: int(job.job_id))

    def ours(self) -> list[Listed]:
        """All jobs that the plugin submitted in this test."""
        return [job for job in self.site.listed() if job.token and job not in self._before]

    def alive(self, job_id: str) -> bool:
        """Whether the scheduler lists a job that has not ended."""
        return any(job.job_id == job_id and not job.has_ended for job in self.site.listed())

    # --- Commands ---

    def timeouts(self, monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
        """Commands are stopped after so many seconds."""
        monkeypatch.setattr(self.plugin._client.submitting, "_timeout", seconds)
        monkeypatch.setattr(self.plugin._client.querying, "_timeout", seconds)


def job_of(test: FakeTest) -> Job:
    """The test's job."""
    assert test.job is not None
    return test.job


def lose_record(test: FakeTest) -> None:
    """As after a crash before the record of the test's job was written."""
    job = job_of(test)
    for name in (job.INFO_FN, IDENTITY_FN):
        (job.path / name).unlink()


def make_hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """What takes minutes at a site takes seconds here."""
    monkeypatch.setattr(client, "JobTable", partial(JobTable, grace=1.0, absence_gap=0.5))
    monkeypatch.setattr(submitting, "LOOK_PAUSES", (0.2, 0.4))
    monkeypatch.setattr(submitting, "CONFIRM_PAUSE", 0.2)
    monkeypatch.setattr(submitting, "FULL_PAUSE", 0.2)
    monkeypatch.setattr(cancelling, "POLL", 0.1)
    monkeypatch.setattr(recent_jobs, "GATHER", 0.05)


def new_plugin(site: BatchSite) -> SchedulerPluginBatch:
    """A plugin, as another process has it."""
    plugin = site.plugin()
    plugin.JOB_TABLE_AGE = TABLE_AGE
    plugin.JOB_END_GRACE = 0.0  # type: ignore[misc]
    return plugin


@contextlib.contextmanager
def bench_at(
    site: BatchSite, monkeypatch: pytest.MonkeyPatch, name: str = "host"
) -> Iterator[Bench]:
    """A bench at a site, with its host in a directory of this name."""
    for key, value in site.variables().items():
        monkeypatch.setenv(key, value)
    directory = Path(tempfile.mkdtemp(prefix="bench-", dir=site.directory))
    directory.chmod(0o755)
    faults = Faults(directory / "faults", site.commands, site.variables()["PATH"])
    monkeypatch.setenv("PATH", faults.path)
    # Jobs may run in the directory that they are submitted from.
    monkeypatch.chdir(directory)
    make_hasty(monkeypatch)
    plugin = new_plugin(site)
    with active(plugin):
        bench = Bench(site, plugin, directory / name, faults)
        yield bench
        faults.clear()
        bench.release()
