"""Handing the tests of a series to their schedulers, where it can be watched and ended early.

It is done in a thread of its own, so that even while a scheduler hangs, this can be reported and
the handing over be given up.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

from pavilion.config import PavConfig
from pavilion.errors import PavilionError, SchedulerPluginError, TestRunError
from pavilion.node_plan import NODES_FN, NodePlan, node_plans, save_plans
from pavilion.resolve import group_by_scheduler
from pavilion.schedulers.finding.registry import require_plugin
from pavilion.schedulers.lifecycle.ending import end
from pavilion.schedulers.scheduler import SchedulerPlugin
from pavilion.starter import SignsOfLife
from pavilion.status_file import STATES
from pavilion.test_run import TestRun


class Kickoff:
    """Hands tests to their schedulers.

    :param path: The directory of their series.
    :ivar errors: What went wrong.  The tests concerned have a final state.
    :ivar failure: The error that ended it early; None without one, and after :meth:`stop`.
    :ivar cancelled: The tests that were not handed over because it was stopped.
    :ivar problems: What went wrong when these were ended, and with other records.
    :ivar node_plans: Which nodes the tests mean, as far as they mean every node.  It grows while
        tests are handed over.
    """

    def __init__(self, pav_cfg: PavConfig, path: Path, tests: Sequence[TestRun]) -> None:
        self._pav_cfg = pav_cfg
        self._path = path
        self._tests = list(tests)
        self._plugins: list[SchedulerPlugin] = []
        self._stopped = threading.Event()
        self._over = threading.Event()
        self.errors: list[SchedulerPluginError] = []
        self.failure: BaseException | None = None
        self.cancelled: list[TestRun] = []
        self.problems: list[PavilionError] = []
        self.node_plans: list[NodePlan] = []

    def start(self) -> Kickoff:
        """Begin, in a thread that does not outlive the program."""
        threading.Thread(target=self.run, name="kickoff", daemon=True).start()
        return self

    def run(self) -> None:
        """Hand all tests over, in this thread.  Whatever happens is kept, not raised."""
        try:
            with SignsOfLife(self._path):
                try:
                    self._hand_over()
                finally:
                    # Before the signs of life end: nobody else will do it.
                    self._end_unstarted()
        except BaseException as exc:
            self.failure = exc
        finally:
            self._over.set()

    def _hand_over(self) -> None:
        for name, tests in group_by_scheduler(self._tests).items():
            if self._stopped.is_set():
                return
            plugin = require_plugin(name)
            self._plugins.append(plugin)
            # Before there is any job: if this is killed half-way, the plans are there for those who
            # read the results.  They need the data that placing needs: nothing more is queried.
            self._plan_nodes(tests)
            if self._stopped.is_set():
                return
            self.errors += plugin.schedule_tests(self._pav_cfg, tests)

    def _plan_nodes(self, tests: Sequence[TestRun]) -> None:
        """Work out which nodes these tests mean, and keep it with the series."""
        found = node_plans(tests)
        if not found:
            return
        self.node_plans += found
        try:
            save_plans(self._path, self.node_plans)
        except OSError as exc:
            self.problems.append(
                TestRunError(
                    f"Which nodes the tests are meant for cannot be recorded in "
                    f"{self._path / NODES_FN}",
                    prior_error=exc,
                )
            )

    def _end_unstarted(self) -> None:
        for test in self._tests:
            if test.job is None and not test.complete and not self._stopped.is_set():
                end(
                    test,
                    STATES.SCHED_ERROR,
                    "The test was not handed to its scheduler: "
                    "handing over ended before its turn came.",
                )

    def wait(self, timeout: float) -> bool:
        """Wait for its end, for this many seconds at most.  Returns whether it has ended."""
        return self._over.wait(timeout)

    def stop(self, reason: str) -> None:
        """End it soon: no more jobs are begun, and those that wait for something are given up.

        What a scheduler has in hand is continued.  May be called repeatedly; that also ends the
        tests that were just being put into a job.

        :param reason: The note of the tests that are not handed over because of that.
        """
        self._stopped.set()
        for plugin in list(self._plugins):
            plugin.stop_kickoffs()
        for test in self._tests:
            try:
                if test.job is None and test.cancel(reason):
                    self.cancelled.append(test)
            except PavilionError as exc:
                if str(exc) not in map(str, self.problems):
                    self.problems.append(exc)

    def settle(self, reason: str) -> None:
        """After :meth:`stop`: let the last word on a test that was cancelled be that."""
        self.stop(reason)
        for test in self.cancelled:
            # It may have been about to join a job, whose 'SCHEDULED' then came later.
            if test.status.current().state != STATES.CANCELLED:
                try:
                    test.status.set(STATES.CANCELLED, reason)
                except PavilionError as exc:
                    self.problems.append(exc)

    @property
    def series(self) -> str:
        """The id of the series."""
        return self._path.name

    @property
    def stopped(self) -> bool:
        """Whether it was stopped."""
        return self._stopped.is_set()

    def reasons(self) -> dict[str, list[str]]:
        """What jobs wait for before they are handed over -> the ids of their tests."""
        found: dict[str, list[str]] = {}
        for plugin in list(self._plugins):
            for way in plugin.handovers():
                if way.text:
                    found.setdefault(way.text, []).extend(str(test.id) for test in way.tests)
        return found
