"""What a scheduler says about a job, asked no more often than needed."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable
from enum import Enum
from typing import TYPE_CHECKING, Any, cast

from pavilion.errors import PavilionError
from pavilion.jobs import Job, JobInfo
from pavilion.status_file import STATES, TestStatusInfo

from .accepted import learn_id
from .identity import RecordErrors, is_damaged, is_missing, load_identity

if TYPE_CHECKING:
    from pavilion.config import PavConfig

    from .scheduler import SchedulerPlugin


# What a plugin may say of a job.  SCHED_STARTUP is what SCHED_RUNNING is called today, and
# SCHED_WARNING means that the scheduler could not be queried.
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
    """SCHEDULED, for a job that its scheduler does not list (yet), which is too little to call it
    gone.  It says nothing against a test that runs."""

    __test__ = False


LONGEST_BACK_OFF = 60.0
"""Seconds after which a scheduler that could not be queried is tried again at the latest."""


A_COMMAND_TAKES = 0.05
"""Seconds.  A plugin that cannot tell after less than that has hardly queried a scheduler."""


class Trouble(Enum):
    """What kept a plugin from telling about a job."""

    NONE = "none"
    OF_JOB = "it says that it cannot tell"
    OF_SCHEDULER = "it raised an error"


class Polling:
    """How the queries of one plugin went: how long their answers serve, and whether they fail.

    Used with the plugin's status lock held.  Times are monotonic seconds.
    """

    def __init__(self) -> None:
        self._serves: dict[str, float] = {}
        self._succeeded = -math.inf
        self._failed: dict[str, float] = {}
        self._times = 0
        self._note = ""
        # Until when nobody queries, and for which job alone (None: for any).
        self._blocked: dict[str | None, float] = {}

    def serves(self, job_name: str) -> bool:
        """Whether the answer about a job is to be used for its age's sake: an answer serves for
        at least as long as it took to get."""
        return time.monotonic() < self._serves.get(job_name, -math.inf)

    def why_not_now(self, job_name: str) -> str | None:
        """Why the scheduler is not queried about a job just now; None when it is."""
        now = time.monotonic()
        until = max(self._blocked.get(None, now), self._blocked.get(job_name, now))
        if until <= now:
            return None
        return (
            f"The scheduler could not be queried just now, and is again in "
            f"{math.ceil(until - now)} s. {self._note}"
        )

    def answered(self, jobs: Iterable[str], seconds: float) -> None:
        """Note an answer about some jobs, which serves for some seconds."""
        now = time.monotonic()
        self._succeeded, self._times = now, 0
        self._blocked.pop(None, None)
        for name in jobs:
            self._serves[name] = now + seconds
            self._failed.pop(name, None)
            self._blocked.pop(name, None)

    def failed(self, job_name: str, note: str, pause: float) -> None:
        """Note a query that failed.

        It is remembered for all jobs, because a thousand of them must not wait for a thousand
        time-outs; unless others were answered since this one failed: then the trouble is its own.

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

    Never raises: a scheduler that cannot be queried is SCHED_WARNING.
    """
    # One query at a time.  Its answer may serve those who wait for this lock meanwhile.
    with plugin._status_lock:
        known = _known_status(plugin, job)
        return known or _new_status(plugin, pav_cfg, job)


def _known_status(plugin: SchedulerPlugin, job: Job) -> TestStatusInfo | None:
    """What is known of a job, as far as it is fresh."""
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
    # A plugin without a time-out of its own keeps answers, and their age, by itself.
    paces = plugin.JOB_STATUS_TIMEOUT > 0
    why_not = plugin._polling.why_not_now(job.name) if paces else None
    if why_not is not None:
        return TestStatusInfo(STATES.SCHED_WARNING, why_not)
    before = dict(plugin._job_statuses)
    began = time.monotonic()
    status, failed = _ask(plugin, pav_cfg, job)
    took = time.monotonic() - began
    # The time of the answer, however long it took: those who waited are served by it.
    now = time.time()
    plugin._job_statuses[job.name] = (now, status)
    if not paces:
        return status
    serves = max(plugin.JOB_STATUS_TIMEOUT, took)
    if failed is Trouble.OF_JOB and took < A_COMMAND_TAKES:
        # Nobody was queried: the plugin has its own reasons, and they are about this job.
        failed = Trouble.NONE
    if failed is not Trouble.NONE:
        # No answer is kept: what is remembered is that there is none.
        del plugin._job_statuses[job.name]
        plugin._polling.failed(job.name, status.note, serves)
        return status
    # All that the plugin learned in this call is fresh together.
    learned = [
        name for name, entry in plugin._job_statuses.items() if before.get(name) is not entry
    ]
    plugin._polling.answered(learned, serves)
    return status


def _ask(plugin: SchedulerPlugin, pav_cfg: PavConfig, job: Job) -> tuple[TestStatusInfo, Trouble]:
    """What is known of a job now, and what kept the plugin from telling."""
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
    """The state of a job of this identity: the last answer while it is fresh, otherwise a new
    one.  Never raises; SCHED_WARNING when it cannot be found out."""
    with plugin._status_lock:
        known = _known_status(plugin, job)
        if known is None:
            known, _ = _ask_about(plugin, pav_cfg, job, info)
            plugin._job_statuses[job.name] = (time.time(), known)
        return known


def find_identity(plugin: SchedulerPlugin, job: Job) -> JobInfo | None:
    """What identifies a job to its scheduler, even where its record was lost or never written.

    :returns: None when it was never handed over, as far as anybody can tell.
    :raises JobError, PavilionError, OSError, ValueError: When it cannot be found out.
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
    except (Exception, SystemExit) as exc:
        note = (
            f"The scheduler could not be queried about job {job.name}: "
            f"{blame(plugin, '_job_status', exc)}"
        )
        return TestStatusInfo(STATES.SCHED_WARNING, note, when), Trouble.OF_SCHEDULER
    if status is None:
        return TestStatusInfo(
            STATES.SCHED_WARNING,
            f"The {plugin.name} scheduler cannot tell the state of job {job.name}.",
            when,
        ), Trouble.OF_JOB
    status = _checked_status(plugin, job, status)
    learn_id(plugin, job, info)
    return status, (Trouble.OF_JOB if status.state == STATES.SCHED_WARNING else Trouble.NONE)


def _checked_status(plugin: SchedulerPlugin, job: Job, status: Any) -> TestStatusInfo:
    """What a plugin said of a job, if it is one of the states of jobs; otherwise SCHED_WARNING
    that names plugin and state."""
    problem = ""
    if not isinstance(status, TestStatusInfo):
        problem = (
            f"gave {status!r} as the state of job {job.name}; it must give a TestStatusInfo or None"
        )
    elif not isinstance(status.state, str) or not isinstance(status.note, str):
        problem = (
            f"gave the state {status.state!r} with the note {status.note!r} for job "
            f"{job.name}; both must be strings"
        )
    elif status.state not in STATES_OF_JOBS:
        problem = (
            f"gave the state {status.state!r} for job {job.name}; allowed are SCHEDULED, "
            "SCHED_RUNNING, SCHED_CANCELLED, SCHED_ERROR and SCHED_WARNING"
        )
    if not problem:
        return cast(TestStatusInfo, status)
    return TestStatusInfo(
        STATES.SCHED_WARNING, f"The scheduler plugin {plugin.name!r} ({plugin.path}) {problem}."
    )


def _without_identity(
    plugin: SchedulerPlugin, pav_cfg: PavConfig, job: Job, damage: str
) -> tuple[TestStatusInfo, Trouble]:
    """The state of a job that has a folder and no more: on its way, or forgotten on it.

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
    except (Exception, SystemExit) as exc:
        note = (
            f"What became of job {job.name} cannot be found out: "
            f"{blame(plugin, '_recover_identity', exc)}"
        )
        return TestStatusInfo(STATES.SCHED_WARNING, note), Trouble.OF_SCHEDULER
    if recovered:
        return _ask_about(plugin, pav_cfg, job, recovered)
    if damage:
        return TestStatusInfo(
            STATES.SCHED_ERROR,
            f"What became of job {job.name} cannot be found out any more: {damage}.",
        ), Trouble.NONE
    note = (
        f"Job {job.name} was never handed to the {plugin.name} scheduler: whoever did so was "
        "stopped half-way."
    )
    return TestStatusInfo(STATES.SCHED_ERROR, note), Trouble.NONE


def on_its_way(plugin: SchedulerPlugin, job: Job) -> str:
    """The note of a job that has no identity yet."""
    return f"Job {job.name} is being handed to the {plugin.name} scheduler."


def blame(plugin: SchedulerPlugin, method: str, exc: BaseException) -> str:
    """What a plugin's method raised, as text for a note: a foreseen error's own words, else which
    method of what plugin it was."""
    if isinstance(exc, PavilionError):
        return describe(exc)
    if isinstance(exc, NotImplementedError) and str(exc):
        # Such as the base class raises.
        return str(exc)
    return (
        f"{method}() of scheduler plugin {plugin.name!r} ({plugin.path}) failed with "
        f"{describe(exc)}"
    )


def describe(exc: BaseException) -> str:
    """An exception's text for a note."""
    if not isinstance(exc, PavilionError):
        return f"{type(exc).__name__}: {exc}"
    misplaced = misplaced_prior(exc)
    return str(exc) if misplaced is None else f"{exc}: {describe(misplaced)}"


def misplaced_prior(exc: PavilionError) -> BaseException | None:
    """The prior error of one that was raised as the guide for authors says, with the prior error
    in the second position, in a host where that is the place of the tests."""
    tests = getattr(exc, "tests", None)
    return tests if exc.prior_error is None and isinstance(tests, BaseException) else None
