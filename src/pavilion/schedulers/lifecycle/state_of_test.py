"""The state of a test, as its scheduler sees it; it may end the test."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pavilion.status_file import STATES, TestStatusInfo

from .accepted import learn_nodes, note_later
from .ending import end_test
from .handover import calling
from .job_states import current_status, on_its_way
from .submission import being_handed_over

if TYPE_CHECKING:
    from pavilion.config import PavConfig
    from pavilion.test_run import TestRun

    from ..scheduler import SchedulerPlugin


def status_of_test(plugin: SchedulerPlugin, pav_cfg: PavConfig, test: TestRun) -> TestStatusInfo:
    """The state of a test's job; see SchedulerPlugin.job_status.  Never raises."""
    job = test.job
    if job is None:
        return TestStatusInfo(
            STATES.SCHED_ERROR, f"Test {test.id} has no job: it was not kicked off."
        )
    if test.complete:
        # What the scheduler says no longer matters.
        return test.status.current()
    with calling(plugin.name, "_job_status"):
        status = current_status(plugin, pav_cfg, job)
    if status.state == STATES.SCHED_RUNNING:
        status = TestStatusInfo(STATES.SCHED_STARTUP, status.note, status.when)
    if status.state in (STATES.SCHED_ERROR, STATES.SCHED_CANCELLED):
        learn_nodes(plugin, job)
        return end_test(test, job, status, plugin.JOB_END_GRACE)
    if status.note == on_its_way(plugin, job):
        own = test.status.current()
        if own.state == STATES.SCHEDULED and own.note != being_handed_over(plugin, job):
            # What the job waits for, see report().
            return own
    elif status.state in (STATES.SCHEDULED, STATES.SCHED_STARTUP):
        note_later(plugin, job, test)
    return status
