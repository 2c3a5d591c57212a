"""Placing tests into jobs, with errors for those that cannot be placed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Callable

from pavilion.errors import SchedulerPluginError

from .blaming import CAUGHT, as_plugin_error

if TYPE_CHECKING:
    from pavilion.test_run import TestRun

    from ..placement.planning import ChunkUsage, PlannedJob, TestRequest
    from ..scheduler import SchedulerPlugin


class TestPlan:
    """Every test is in exactly one job, or in exactly one error."""

    __test__ = False

    def __init__(self) -> None:
        self.jobs: list[PlannedJob] = []
        self.errors: list[SchedulerPluginError] = []


def place_tests(
    plugin: SchedulerPlugin,
    tests: Sequence[TestRun],
    request: Callable[[int, TestRun], TestRequest],
    usage: ChunkUsage | None = None,
    prepare: Callable[[PlannedJob], Callable[[Any], None] | None] = lambda job: None,
) -> TestPlan:
    """Place tests into jobs.  See pavilion.schedulers.placement.planning for the rules.

    :param request: Returns what a test requests; its key has to be the number of the test, which is
        the first argument.  Any exception from it becomes an error of the test.
    :param usage: What earlier plans used; this plan's use is added to it.
    :param prepare: Returns what is to be called with a job before it is kicked off; called with the
        planned job, whose tests are still the keys.
    """
    # Imported here, because they are only needed to start tests, and dataclasses loads much.
    from dataclasses import replace

    from ..placement import planning

    result = TestPlan()
    requests: list[TestRequest] = []
    for number, test in enumerate(tests):
        try:
            requests.append(request(number, test))
        except CAUGHT as exc:
            result.errors.append(as_plugin_error(plugin, [test], exc))
    placed = planning.plan(requests, usage=usage)
    for job in placed.jobs:
        result.jobs.append(
            replace(
                job,
                tests=[tests[number] for number in job.tests],
                nodes=None if job.nodes is None else list(job.nodes),
                prepare=prepare(job),
            )
        )
    for keys, message in placed.errors:
        concerned: Any = keys
        result.errors.append(
            SchedulerPluginError(message, tests=[tests[number] for number in concerned])
        )
    return result
