"""The state of a job according to its scheduler, which is queried no more often than necessary."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable
from enum import Enum
from typing import TYPE_CHECKING, Any, cast

from pavilion.jobs import Job, JobInfo
from pavilion.status_file import STATES, TestStatusInfo

from .accepted import learn_id
from .blaming import CAUGHT, blame
from .identity import RecordErrors, is_damaged, is_missing, load_identity

if TYPE_CHECKING:
    from pavilion.config import PavConfig

    from ..scheduler import SchedulerPlugin


# The states that a plugin may report for a job.  SCHED_STARTUP is the current name of SCHED_RUNNING,
# and SCHED_WARNING means that the scheduler could not be queried.
STATES_OF_JOBS = frozenset(
    [
        STATES.SCHEDULED,
        STATES.SCHED_RUNNING,
        STATES.SCHED_STARTUP,
        STATES.SCHED_ERROR,
        STATES.SCHED_CANCELLED,
        STATES.SCHED_WARNING,
    ]
)


class NotListed(TestStatusInfo):
    """SCHEDULED, for a job that its scheduler does not list (yet), but that cannot be assumed to be
    gone.  It does not contradict that a test is running."""

    __test__ = False


LONGEST_BACK_OFF = 60.0
"""The longest pause, in seconds, before a scheduler that could not be queried is tried again."""


A_COMMAND_TAKES = 0.05
"""Seconds.  A plugin that returns None in less time has probably not queried a scheduler."""


class Trouble(Enum):
    """Why a plugin could not determine the state of a job."""

    NONE = "none"
    OF_JOB = "it says that it cannot tell"
    OF_SCHEDULER = "it raised an error"


class Polling:
    """A record of the queries of one plugin: how long their answers can be used, and whether they
    fail.

    It must be used with the plugin's status lock held.  Times are seconds of the monotonic clock.
    """

    def __init__(self) -> None:
        self._serves: dict[str, float] = {}
        self._succeeded = -math.inf
        self._failed: dict[str, float] = {}
        self._times = 0
        self._note = ""
        # Until when no queries are made for a job; under None: for all jobs.
        self._blocked: dict[str | None, float] = {}

    def serves(self, job_name: str) -> bool:
        """Whether the answer about a job can still be used, because an answer is used for at least
        as long as it took to get."""
        return time.monotonic() < self._serves.get(job_name, -math.inf)

    def why_not_now(self, job_name: str) -> str | None:
        """Why the scheduler must not be queried about a job at the moment; None when it may be."""
        now = time.monotonic()
        until = max(self._blocked.get(None, now), self._blocked.get(job_name, now))
        if until <= now:
            return None
        return (
            f"After a failed query, the scheduler is not queried again for "
            f"{math.ceil(until - now)} s. {self._note}"
        )

    def answered(self, jobs: Iterable[str], seconds: float) -> None:
        """Record an answer about some jobs.

        :param jobs: The names of the jobs.
        :param seconds: How long the answer can be used.
        """
        now = time.monotonic()
        self._succeeded, self._times = now, 0
        self._blocked.pop(None, None)
        for name in jobs:
            self._serves[name] = now + seconds
            self._failed.pop(name, None)
            self._blocked.pop(name, None)

    def failed(self, job_name: str, note: str, pause: float) -> None:
        """Record a query that failed.

        The failure counts for all jobs, because a thousand of them must not wait for a thousand
        timeouts.  If queries about others have succeeded since this job's previous failure, it only
        counts for this job.

        :param pause: Seconds to wait after the first of successive failures.
        """
        now = time.monotonic()
        own = self._failed.get(job_name, math.inf) < self._succeeded
        self._failed[job_name] = now
        if not own:
            self._times += 1
        self._note = note
        seconds = pause if own else min(pause * 2.0 ** min(self._times - 1, 10), LONGEST_BACK_OFF)
        self._blocked[job_name if own else None] = now + seconds


def current_status(plugin: SchedulerPlugin, pav_cfg: PavConfig, job: Job) -> TestStatusInfo:
    """The state of a job: the last answer while it is fresh, otherwise a new one.

    Never raises: if the scheduler cannot be queried, the state is SCHED_WARNING.
    """
    # One query at a time.  Its answer may also be used by threads that wait for this lock.
    with plugin._status_lock:
        known = _known_status(plugin, job)
        return known or _new_status(plugin, pav_cfg, job)


def _known_status(plugin: SchedulerPlugin, job: Job) -> TestStatusInfo | None:
    """The last answer about a job; None when there is none that is fresh."""
    entry: Any = plugin._job_statuses.get(job.name)
    if entry is None:
        return None
    try:
        asked, status = entry
        fresh = 0 <= time.time() - asked < plugin.JOB_STATUS_TIMEOUT or plugin._polling.serves(
            job.name
        )
    except (TypeError, ValueError):
        return TestStatusInfo(
            STATES.SCHED_WARNING,
            f"The scheduler plugin {plugin.name!r} "
            f"({plugin.path}) put {entry!r} into _job_statuses for job "
            f"{job.name}; it must be (seconds since the epoch, TestStatusInfo).",
        )
    return _checked_status(plugin, job, status) if fresh else None


def _new_status(plugin: SchedulerPlugin, pav_cfg: PavConfig, job: Job) -> TestStatusInfo:
    # With a JOB_STATUS_TIMEOUT of 0, the plugin manages the age of its answers itself.
    paces = plugin.JOB_STATUS_TIMEOUT > 0
    why_not = plugin._polling.why_not_now(job.name) if paces else None
    if why_not is not None:
        return TestStatusInfo(STATES.SCHED_WARNING, why_not)
    # Only where it is needed: a copy for each job makes a poll quadratic.
    before = dict(plugin._job_statuses) if paces else {}
    began = time.monotonic()
    status, failed = _ask(plugin, pav_cfg, job)
    took = time.monotonic() - began
    # The time of the answer, not of the query, so that threads that waited can use it.
    now = time.time()
    plugin._job_statuses[job.name] = (now, status)
    if not paces:
        return status
    serves = max(plugin.JOB_STATUS_TIMEOUT, took)
    if failed is Trouble.OF_JOB and took < A_COMMAND_TAKES:
        # Nothing was queried: the plugin has its own reasons, which concern this job.
        failed = Trouble.NONE
    if failed is not Trouble.NONE:
        # The failure is recorded instead of an answer.
        del plugin._job_statuses[job.name]
        plugin._polling.failed(job.name, status.note, serves)
        return status
    # All answers that the plugin got during this call are equally fresh.
    learned = [
        name for name, entry in plugin._job_statuses.items() if before.get(name) is not entry
    ]
    plugin._polling.answered(learned, serves)
    return status


def _ask(plugin: SchedulerPlugin, pav_cfg: PavConfig, job: Job) -> tuple[TestStatusInfo, Trouble]:
    """Query the state of a job; returns it, and why it could not be determined."""
    when = time.time()
    try:
        info = load_identity(job)
    except RecordErrors as exc:
        if is_missing(exc):
            return _without_identity(plugin, pav_cfg, job, "")
        if not is_damaged(exc):
            return TestStatusInfo(
                STATES.SCHED_WARNING, f"The record of job {job.name} cannot be read: {exc}", when
            ), Trouble.NONE
        return _without_identity(plugin, pav_cfg, job, f"its record is damaged ({exc})")
    if not info:
        return _without_identity(plugin, pav_cfg, job, "")
    return _ask_about(plugin, pav_cfg, job, info)


def query_job(
    plugin: SchedulerPlugin, pav_cfg: PavConfig, job: Job, info: JobInfo
) -> TestStatusInfo:
    """The state of a job with this identity: the last answer while it is fresh, otherwise a new
    one.  Never raises; the state is SCHED_WARNING when it cannot be determined."""
    with plugin._status_lock:
        known = _known_status(plugin, job)
        if known is None:
            known, _ = _ask_about(plugin, pav_cfg, job, info)
            plugin._job_statuses[job.name] = (time.time(), known)
        return known


def find_identity(plugin: SchedulerPlugin, job: Job) -> JobInfo | None:
    """What identifies a job to its scheduler, even if its record was lost or never written.

    :returns: None when it was never submitted, as far as can be determined.
    :raises JobError, PavilionError, OSError, ValueError: When this cannot be determined.
    """
    try:
        info = load_identity(job)
    except RecordErrors as exc:
        recovered = plugin._recover_identity(job)
        if recovered is None and not is_missing(exc):
            raise
        return recovered
    return info or plugin._recover_identity(job)


def _ask_about(
    plugin: SchedulerPlugin, pav_cfg: PavConfig, job: Job, info: JobInfo
) -> tuple[TestStatusInfo, Trouble]:
    when = time.time()
    try:
        status: Any = plugin._job_status(pav_cfg, info)
    except CAUGHT as exc:
        note = (
            f"The scheduler could not be queried about job {job.name}: "
            f"{blame(plugin, '_job_status', exc)}"
        )
        return TestStatusInfo(STATES.SCHED_WARNING, note, when), Trouble.OF_SCHEDULER
    if status is None:
        return TestStatusInfo(
            STATES.SCHED_WARNING,
            f"The {plugin.name} scheduler could not determine the state of job {job.name}.",
            when,
        ), Trouble.OF_JOB
    status = _checked_status(plugin, job, status)
    learn_id(plugin, job, info)
    return status, (Trouble.OF_JOB if status.state == STATES.SCHED_WARNING else Trouble.NONE)


def _checked_status(plugin: SchedulerPlugin, job: Job, status: Any) -> TestStatusInfo:
    """The state that a plugin reported for a job, if it is valid; otherwise SCHED_WARNING, with a
    note that names plugin and state."""
    problem = ""
    if not isinstance(status, TestStatusInfo):
        problem = (
            f"returned {status!r} as the state of job {job.name}; it must return a "
            "TestStatusInfo or None"
        )
    elif not isinstance(status.state, str) or not isinstance(status.note, str):
        problem = (
            f"returned the state {status.state!r} with the note {status.note!r} for job "
            f"{job.name}; both must be strings"
        )
    elif status.state not in STATES_OF_JOBS:
        problem = (
            f"returned the state {status.state!r} for job {job.name}; it must be SCHEDULED, "
            "SCHED_RUNNING, SCHED_CANCELLED, SCHED_ERROR or SCHED_WARNING"
        )
    if not problem:
        return cast(TestStatusInfo, status)
    return TestStatusInfo(
        STATES.SCHED_WARNING, f"The scheduler plugin {plugin.name!r} ({plugin.path}) {problem}."
    )


def _without_identity(
    plugin: SchedulerPlugin, pav_cfg: PavConfig, job: Job, damage: str
) -> tuple[TestStatusInfo, Trouble]:
    """The state of a job that has a directory, but no usable record: it is either on its way to the
    scheduler, or its submission was never finished.

    :param damage: What is wrong with its record; '' when there is none.
    """
    try:
        age = time.time() - job.path.stat().st_mtime
    except OSError as exc:
        note = f"The directory of job {job.name} cannot be read: {exc}"
        return TestStatusInfo(STATES.SCHED_WARNING, note), Trouble.NONE
    if age < plugin.KICKOFF_GRACE:
        return TestStatusInfo(STATES.SCHEDULED, on_its_way(plugin, job)), Trouble.NONE
    try:
        recovered = plugin._recover_identity(job)
    except CAUGHT as exc:
        note = (
            f"It cannot be determined whether job {job.name} was submitted: "
            f"{blame(plugin, '_recover_identity', exc)}"
        )
        return TestStatusInfo(STATES.SCHED_WARNING, note), Trouble.OF_SCHEDULER
    if recovered:
        return _ask_about(plugin, pav_cfg, job, recovered)
    if damage:
        return TestStatusInfo(
            STATES.SCHED_ERROR,
            f"The state of job {job.name} can no longer be determined: {damage}.",
        ), Trouble.NONE
    note = (
        f"Job {job.name} was never handed to the {plugin.name} scheduler: the process that was to "
        "do that was stopped before."
    )
    return TestStatusInfo(STATES.SCHED_ERROR, note), Trouble.NONE


def on_its_way(plugin: SchedulerPlugin, job: Job) -> str:
    """The note of a job that has no identity yet."""
    return f"Job {job.name} is being handed to the {plugin.name} scheduler."
