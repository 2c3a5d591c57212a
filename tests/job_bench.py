"""A plugin, and a host whose jobs run a script of each test: what tests of several schedulers share."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from contract.fakes import FakeHost, FakeTest
from pavilion.errors import SchedulerPluginError
from pavilion.jobs import JobInfo
from pavilion.schedulers import SchedulerPlugin
from pavilion.schedulers.lifecycle.identity import load_identity
from pavilion.status_file import TestStatusInfo
from polling import until

PATIENCE = 90.0


class JobBench:
    """The plugin, and the host with its directories.

    :param directory: A new directory of the host; jobs are below it.
    :param pav_root: Where the host's programs are; None for its own place.
    """

    # How to wait: (condition, what for, seconds) -> the condition's value.
    until: Callable[[Callable[[], Any], str, float], Any] = staticmethod(until)

    def __init__(
        self, plugin: SchedulerPlugin, directory: Path, pav_root: Path | None = None
    ) -> None:
        self.plugin: Any = plugin
        self.host = FakeHost(directory)
        self.pav_cfg = self.host.pav_cfg
        if pav_root is not None:
            self.pav_cfg.pav_root = pav_root
            (pav_root / "bin").mkdir(parents=True)
        # Each run of a test's script leaves a line here.
        self.runs = directory / "runs"
        # What a job does in place of running its tests: the script of its first test.
        self.host.pav(
            f'echo "$2" >>{shlex.quote(str(self.runs))}; exec /bin/bash "${{0%/*}}/work-$2" "$@"'
        )
        self._gate = directory / "gate"
        # Work that ends when the bench is left, or by release(): a cancelled job on several nodes
        # takes seconds to go.
        self.long = f"until [ -e {shlex.quote(str(self._gate))} ]; do sleep 0.1; done"

    def release(self) -> None:
        """Let all jobs end that run ``long``."""
        self._gate.touch()

    def test(
        self, schedule: Mapping[str, Any] | None = None, work: str = "true", **more: Any
    ) -> FakeTest:
        """A new test, not started, and the bash script that its job runs."""
        test = self.host.test(schedule, scheduler=self.plugin.name, **more)
        (self.pav_cfg.pav_root / "bin" / f"work-{test.id}").write_text(f"{work}\n")
        return test

    def try_start(self, *tests: FakeTest) -> list[SchedulerPluginError]:
        """Start tests; the errors."""
        errors: list[SchedulerPluginError] = self.plugin.schedule_tests(self.pav_cfg, list(tests))
        return errors

    def start(
        self, schedule: Mapping[str, Any] | None = None, work: str = "true", **more: Any
    ) -> FakeTest:
        """Start a test."""
        test = self.test(schedule, work, **more)
        errors = self.try_start(test)
        assert not errors, [error.pformat() for error in errors]
        return test

    def refused(self, schedule: Mapping[str, Any] | None = None, **more: Any) -> str:
        """The error for a test that cannot be started.  It has ended then."""
        test = self.test(schedule, **more)
        errors = self.try_start(test)
        assert len(errors) == 1 and errors[0].tests == [test], errors
        status = test.status.current()
        assert test.complete and status.state == "SCHED_ERROR"
        assert "\n".join(errors[0].pformat().split()) in "\n".join(status.note.split())
        return errors[0].pformat()

    def status(self, test: FakeTest, plugin: Any = None) -> TestStatusInfo:
        """The state of a test's job, by another plugin object if one is given."""
        found: TestStatusInfo = (plugin or self.plugin).job_status(self.pav_cfg, test)
        return found

    def wait_status(
        self,
        test: FakeTest,
        state: str,
        text: str = "",
        seconds: float = PATIENCE,
        plugin: Any = None,
    ) -> TestStatusInfo:
        """Query until the test's state is this one, and its note has that text."""
        last: list[TestStatusInfo] = []

        def there() -> TestStatusInfo | None:
            last[:] = [self.status(test, plugin)]
            return last[0] if last[0].state == state and text in last[0].note else None

        try:
            found: TestStatusInfo = self.until(there, f"{state} {text}", seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}; it is {last}") from None
        return found

    def ran(self, test: FakeTest) -> int:
        """How often the script of a test ran."""
        lines = self.runs.read_text().splitlines() if self.runs.exists() else []
        return lines.count(str(test.id))

    def wait_begun(self, test: FakeTest) -> None:
        """Wait until the script of a test has begun."""
        self.until(lambda: self.ran(test), f"{test} has begun", PATIENCE)


def info(test: FakeTest) -> JobInfo:
    """What identifies a test's job."""
    assert test.job is not None
    found = load_identity(test.job)
    assert found is not None
    return found
