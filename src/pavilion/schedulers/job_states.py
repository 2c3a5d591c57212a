"""What a scheduler says about a job, asked no more often than needed."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from pavilion.errors import PavilionError
from pavilion.jobs import Job, JobInfo
from pavilion.status_file import STATES, TestStatusInfo

from .identity import RecordErrors, is_damaged, is_missing, load_identity

if TYPE_CHECKING:
    from pavilion.config import PavConfig

    from .scheduler import SchedulerPlugin


def current_status(plugin: SchedulerPlugin, pav_cfg: PavConfig, job: Job) -> TestStatusInfo:
    """The state of a job: the last answer while it is fresh, else a new one.

    Never raises: a scheduler that cannot be asked is SCHED_WARNING.
    """
    # One question at a time.  Its answer may serve those who wait for this lock meanwhile.
    with plugin._status_lock:
        asked, status = plugin._job_statuses.get(job.name, (0.0, None))
        if status is None or not 0 <= time.time() - asked < plugin.JOB_STATUS_TIMEOUT:
            status = _ask(plugin, pav_cfg, job)
            # The time of the answer, however long it took: those who waited are served by it.
            plugin._job_statuses[job.name] = (time.time(), status)
        return status


def _ask(plugin: SchedulerPlugin, pav_cfg: PavConfig, job: Job) -> TestStatusInfo:
    when = time.time()
    try:
        info = load_identity(job)
    except RecordErrors as exc:
        if is_missing(exc):
            return _without_identity(plugin, pav_cfg, job, "")
        if not is_damaged(exc):
            return TestStatusInfo(STATES.SCHED_WARNING,
                                  f"The record of job {job.name} cannot be read: {exc}", when)
        return _without_identity(plugin, pav_cfg, job, f"its record is damaged ({exc})")
    if not info:
        return _without_identity(plugin, pav_cfg, job, "")
    return _ask_about(plugin, pav_cfg, job, info)


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


def _ask_about(plugin: SchedulerPlugin, pav_cfg: PavConfig, job: Job, info: JobInfo
               ) -> TestStatusInfo:
    when = time.time()
    try:
        status = plugin._job_status(pav_cfg, info)
    except (Exception, SystemExit) as exc:
        return TestStatusInfo(STATES.SCHED_WARNING, "The scheduler could not be asked about job "
                              f"{job.name}: {blame(plugin, '_job_status', exc)}", when)
    if status is None:
        return TestStatusInfo(STATES.SCHED_WARNING, f"The {plugin.name} scheduler cannot tell "
                              f"the state of job {job.name}.", when)
    if not isinstance(status, TestStatusInfo):
        return TestStatusInfo(STATES.SCHED_WARNING, f"The scheduler plugin {plugin.name!r} "
                              f"({plugin.path}) gave {status!r} as the state of job {job.name}; "
                              "it must give a TestStatusInfo or None.", when)
    if not isinstance(status.state, str) or not isinstance(status.note, str):
        return TestStatusInfo(STATES.SCHED_WARNING, f"The scheduler plugin {plugin.name!r} "
                              f"({plugin.path}) gave the state {status.state!r} with the note "
                              f"{status.note!r} for job {job.name}; both must be text.", when)
    return status


def _without_identity(plugin: SchedulerPlugin, pav_cfg: PavConfig, job: Job, damage: str
                      ) -> TestStatusInfo:
    """The state of a job that has a folder and no more: on its way, or forgotten on it.

    :param damage: What is wrong with its record; '' when there is none.
    """
    try:
        age = time.time() - job.path.stat().st_mtime
    except OSError as exc:
        return TestStatusInfo(STATES.SCHED_WARNING,
                              f"The folder of job {job.name} cannot be read: {exc}")
    if age < plugin.KICKOFF_GRACE:
        return TestStatusInfo(STATES.SCHEDULED, f"Job {job.name} is being handed to the "
                              f"{plugin.name} scheduler.")
    try:
        recovered = plugin._recover_identity(job)
    except (Exception, SystemExit) as exc:
        return TestStatusInfo(STATES.SCHED_WARNING, f"What became of job {job.name} cannot be "
                              f"found out: {blame(plugin, '_recover_identity', exc)}")
    if recovered:
        return _ask_about(plugin, pav_cfg, job, recovered)
    if damage:
        return TestStatusInfo(STATES.SCHED_ERROR, f"What became of job {job.name} cannot be found "
                              f"out any more: {damage}.")
    return TestStatusInfo(STATES.SCHED_ERROR, f"Job {job.name} was never handed to the "
                          f"{plugin.name} scheduler: whoever did so was stopped half-way.")


def blame(plugin: SchedulerPlugin, method: str, exc: BaseException) -> str:
    """What a plugin's method raised, as text for a note: a foreseen error's own words, else which
    method of what plugin it was."""
    if isinstance(exc, PavilionError):
        return describe(exc)
    if isinstance(exc, NotImplementedError) and str(exc):
        # Such as the base class raises.
        return str(exc)
    return (f"{method}() of scheduler plugin {plugin.name!r} ({plugin.path}) failed with "
            f"{describe(exc)}")


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
