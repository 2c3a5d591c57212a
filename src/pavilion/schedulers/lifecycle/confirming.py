"""Cancelling with confirmation, for plugins that do not confirm it themselves.

A scheduler's cancel command usually only says that it accepted the request.  Whether the job has
ended is shown by the scheduler's list of jobs afterwards.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from pavilion.jobs import Job, JobInfo
from pavilion.status_file import STATES, TestStatusInfo

from .job_states import Polling, query_job

if TYPE_CHECKING:
    from pavilion.config import PavConfig

    from ..scheduler import SchedulerPlugin

POLL = 1.0
OVER = frozenset([STATES.SCHED_ERROR, STATES.SCHED_CANCELLED])
ALIVE = frozenset([STATES.SCHEDULED, STATES.SCHED_RUNNING, STATES.SCHED_STARTUP])


def cancel_confirmed(
    plugin: SchedulerPlugin,
    pav_cfg: PavConfig,
    jobs: Sequence[tuple[Job, JobInfo]],
    sleep: Callable[[float], object] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> list[str | None]:
    """Cancel jobs, and wait until their scheduler shows that they have ended, for up to the
    plugin's CONFIRM_CANCEL seconds.

    :param jobs: Each job with what identifies it to its scheduler.
    :returns: For each job None when it has ended, otherwise a message that says what is known.
    """
    messages = plugin.cancel_jobs([info for _, info in jobs])
    if plugin.CONFIRM_CANCEL <= 0:
        return messages
    left = [number for number, message in enumerate(messages) if message is None]
    deadline = clock() + plugin.CONFIRM_CANCEL
    seen: dict[int, TestStatusInfo] = {}
    while left:
        # Forget the old answers, so that one new query can answer for all of them.
        with plugin._status_lock:
            for number in left:
                plugin._job_statuses.pop(jobs[number][0].name, None)
            plugin._polling = Polling()
        for number in left:
            seen[number] = query_job(plugin, pav_cfg, *jobs[number])
        left = [number for number in left if seen[number].state not in OVER]
        if not left or clock() >= deadline:
            break
        sleep(POLL)
    for number in left:
        messages[number] = _not_seen_to_go(plugin, jobs[number][1], seen[number])
    return messages


def _not_seen_to_go(plugin: SchedulerPlugin, info: JobInfo, status: TestStatusInfo) -> str:
    name = info.get("id") or info.get("pid") or "its job"
    if status.state in ALIVE:
        return (
            f"The {plugin.name} scheduler accepted the request to cancel {name}, but "
            f"{plugin.CONFIRM_CANCEL:g} seconds later still shows it: {status.note}"
        )
    return (
        f"The {plugin.name} scheduler accepted the request to cancel {name}, but whether it has "
        f"ended could not be confirmed: {status.note}"
    )
