"""What the tests of the gridengine plugin share: a host, the plugin, and a Grid Engine to use it on."""

from __future__ import annotations

import shlex
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from real_gridengine import RealGridEngine

from contract.fakes import FakeHost, FakeTest, active
from pavilion.errors import SchedulerPluginError
from pavilion.jobs import JobInfo
from pavilion.schedulers.lifecycle.identity import load_identity
from pavilion.schedulers.plugins.gridengine import GridEngine
from pavilion.status_file import TestStatusInfo
from polling import until

PATIENCE = 90.0


class Site:
    """The plugin, a host with its directories, and the Grid Engine that they use."""

    def __init__(self, cluster: RealGridEngine, plugin: GridEngine, directory: Path) -> None:
        self.cluster = cluster
        self.plugin = plugin
        self.host = FakeHost(directory)
        self.pav_cfg = self.host.pav_cfg
        # Each run of a test's script leaves a line here.
        self.runs = directory / "runs"
        # What a job does in place of running its tests: the script of its first test.
        self.host.pav(
            f'echo "$2" >>{shlex.quote(str(self.runs))}; exec /bin/bash "${{0%/*}}/work-$2" "$@"'
        )
        self._gate = directory / "gate"
        # Work that ends when the site is left.
        self.long = f"until [ -e {shlex.quote(str(self._gate))} ]; do sleep 0.1; done"

    def release(self) -> None:
        """Let all jobs end that run ``long``."""
        self._gate.touch()

    def test(
        self, schedule: Mapping[str, Any] | None = None, work: str = "true", **more: Any
    ) -> FakeTest:
        """A new test, not started, and the bash script that its job runs."""
        test = self.host.test(schedule, scheduler="gridengine", **more)
        (self.pav_cfg.pav_root / "bin" / f"work-{test.id}").write_text(f"{work}\n")
        return test

    def try_start(self, *tests: FakeTest) -> list[SchedulerPluginError]:
        """Start tests; the errors."""
        return self.plugin.schedule_tests(self.pav_cfg, list(tests))  # type: ignore[arg-type]

    def start(
        self, schedule: Mapping[str, Any] | None = None, work: str = "true", **more: Any
    ) -> FakeTest:
        """Start a test."""
        test = self.test(schedule, work, **more)
        errors = self.try_start(test)
        assert not errors, [error.pformat() for error in errors]
        return test

    def refused(self, schedule: Mapping[str, Any], **more: Any) -> str:
        """The error for a test that cannot be started.  It has ended then."""
        test = self.test(schedule, **more)
        errors = self.try_start(test)
        assert len(errors) == 1 and errors[0].tests == [test]
        assert test.complete and test.status.current().state == "SCHED_ERROR"
        return errors[0].pformat()

    def status(self, test: FakeTest) -> TestStatusInfo:
        return self.plugin.job_status(self.pav_cfg, test)  # type: ignore[arg-type]

    def wait_status(self, test: FakeTest, state: str, text: str = "") -> TestStatusInfo:
        """Query until the test's state is this one, and its note has that text."""
        last: list[TestStatusInfo] = []

        def there() -> TestStatusInfo | None:
            last[:] = [self.status(test)]
            return last[0] if last[0].state == state and text in last[0].note else None

        try:
            found: TestStatusInfo = until(there, f"{state} {text}", PATIENCE)
        except AssertionError as error:
            raise AssertionError(f"{error}; it is {last}") from None
        return found

    def wait_begun(self, test: FakeTest) -> None:
        """Wait until the script of a test has begun."""
        until(lambda: self.ran(test), f"{test} has begun", PATIENCE)

    def ran(self, test: FakeTest) -> int:
        """How often the script of a test ran."""
        lines = self.runs.read_text().splitlines() if self.runs.exists() else []
        return lines.count(str(test.id))

    def jobs(self) -> list[str]:
        """The ids of all jobs that Grid Engine lists."""
        rows = self.cluster.run("qstat", "-u", "*").stdout.splitlines()[2:]
        return [row.split()[0] for row in rows]


def info(test: FakeTest) -> JobInfo:
    """What identifies the test's job."""
    assert test.job is not None
    found = load_identity(test.job)
    assert found is not None
    return found


def header(test: FakeTest) -> list[str]:
    """The options in the test's kickoff script."""
    assert test.job is not None
    lines = test.job.kickoff_path.read_text().splitlines()
    return [line[3:] for line in lines if line.startswith("#$ ")]


@contextmanager
def site_of(cluster: RealGridEngine, name: str = "") -> Iterator[Site]:
    """A site on a Grid Engine, whose commands are those that this process finds.

    :param name: Of another working directory.
    """
    directory = Path(tempfile.mkdtemp(prefix="host-", dir=cluster.folder))
    directory.chmod(0o755)
    plugin = GridEngine()
    # Some of what takes minutes at a site takes seconds here.
    plugin.JOB_TABLE_AGE = 0.3
    plugin.JOB_END_GRACE = 0.0
    with active(plugin):
        site = Site(cluster, plugin, directory / "site")
        if name:
            site.pav_cfg.working_dir = directory / name
            (directory / name / "jobs").mkdir(parents=True)
        yield site
        site.release()
