"""Handing jobs to a scheduler: every test is started once, or gets a final state that says why."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Callable

from pavilion.errors import SchedulerPluginError
from pavilion.jobs import Job, JobInfo
from pavilion.status_file import STATES

from .accepted import learn_id, note_accepted
from .blaming import CAUGHT, as_plugin_error, blame
from .ending import ENDED, end
from .handover import Handover, HandoverStopped, calling
from .identity import checked_info, job_id_of, known_id, save_identity
from .job_states import query_job
from .whereabouts import Placement, save_placement

if TYPE_CHECKING:
    from pavilion.config import PavConfig
    from pavilion.test_run import TestRun

    from ..placement.planning import PlannedJob
    from ..scheduler import SchedulerPlugin


# What a test's last state is called when a user cancelled it; hosts differ.
_CANCELLED = ("CANCELLED", STATES.SCHED_CANCELLED)
# Seconds that jobs on their way to a scheduler get to settle after an interrupt.
STOP_PATIENCE = 5.0


def start_jobs(
    plugin: SchedulerPlugin,
    pav_cfg: PavConfig,
    jobs: Sequence[PlannedJob],
    at_once: int,
    stop: threading.Event | None = None,
) -> list[SchedulerPluginError]:
    """Hand jobs to their scheduler, in order.

    :param at_once: How many may be submitted at the same time.
    :param stop: Stops the submission when it is set: jobs that wait for something are abandoned, and
        no further jobs are submitted.
    :returns: An error for each job that could not be started.
    :raises KeyboardInterrupt: Also one from the plugin.  Then every test has a final state, or a job
        that can be found.
    """
    stop = threading.Event() if stop is None else stop

    def start(planned: PlannedJob) -> SchedulerPluginError | None:
        return _start_job(plugin, pav_cfg, planned, stop)

    try:
        if at_once <= 1 or len(jobs) <= 1:
            results = [start(planned) for planned in jobs]
        else:
            results = _in_threads(start, jobs, min(at_once, len(jobs)), stop)
    except KeyboardInterrupt:
        for planned in jobs:
            _end_unstarted(planned.tests)
        raise
    return [error for error in results if error is not None]


def _in_threads(
    start: Callable[[PlannedJob], SchedulerPluginError | None],
    jobs: Sequence[PlannedJob],
    at_once: int,
    stop: threading.Event,
) -> list[SchedulerPluginError | None]:
    """The results of starting jobs, several at the same time.

    An interrupt ends this soon.  A pool of concurrent.futures would wait for its threads, here and
    when the program ends, and these may be waiting for a scheduler that does not answer.
    """
    results: list[SchedulerPluginError | None] = [None] * len(jobs)
    crashes: list[BaseException] = []
    left = iter(range(len(jobs)))
    taking, stopped = threading.Lock(), threading.Event()

    def work() -> None:
        while not stopped.is_set():
            with taking:
                number = next(left, None)
            if number is None:
                return
            try:
                results[number] = start(jobs[number])
            except BaseException as exc:
                crashes.append(exc)
                stopped.set()

    threads = [threading.Thread(target=work, daemon=True) for _ in range(at_once)]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    except BaseException:
        stopped.set()
        stop.set()
        give_up = time.monotonic() + STOP_PATIENCE
        for thread in threads:
            thread.join(max(0.0, give_up - time.monotonic()))
        raise
    finally:
        stopped.set()
    if crashes:
        raise crashes[0]
    return results


def _start_job(
    plugin: SchedulerPlugin, pav_cfg: PavConfig, planned: PlannedJob, stop: threading.Event
) -> SchedulerPluginError | None:
    # Some tests may have been cancelled while other jobs were submitted.
    tests = [test for test in planned.tests if not test.complete]
    if not tests:
        return None
    job = None
    try:
        if stop.is_set():
            raise HandoverStopped(
                f"The submission to the {plugin.name} scheduler was stopped before this job's turn."
            )
        job = Job.new(pav_cfg, list(tests), plugin.KICKOFF_FN)
        job_name = plugin._job_name(tests)
        script = plugin._compose_kickoff_script(
            pav_cfg,
            tests,
            planned.config,
            job_name,
            log_path=job.kickoff_log,
            nodes=planned.nodes,
            node_range=planned.node_range,
        )
        script.write(job.kickoff_path)
        if planned.prepare is not None:
            planned.prepare(job)
        placed = Placement(list(planned.nodes or ()), planned.chunk, list(planned.chunk_nodes))
        save_placement(job, placed)
        for test in tests:
            # This is done before the job can start, so that the test itself writes later.
            test.job = job
            test.status.set(STATES.SCHEDULED, being_handed_over(plugin, job))
        info = _kick_off(plugin, pav_cfg, planned, job, job_name, Handover(tests, stop, job.path))
    except CAUGHT as exc:
        if job is None or not _is_there_after_all(plugin, pav_cfg, job, exc):
            return refuse(plugin, tests, exc)
        note_accepted(plugin, tests, known_id(job))
        return None
    except KeyboardInterrupt:
        _interrupted(plugin, tests, job)
        raise
    problem = _save_identity(plugin, tests, job, info)
    if problem is not None:
        return problem
    # Now that it can be found, whatever happens.
    note_accepted(plugin, tests, job_id_of(info))
    return _end_unwanted(plugin, tests, info)


def _is_there_after_all(
    plugin: SchedulerPlugin, pav_cfg: PavConfig, job: Job, exc: BaseException
) -> bool:
    """Whether a job exists although its submission failed; if so, its identity is stored.

    A command that timed out may have succeeded.  If nothing is known about the job yet, it is assumed
    to exist: later queries of its state will show whether it does.
    """
    final = isinstance(exc, SchedulerPluginError) and plugin.KICKOFF_ERRORS_ARE_FINAL
    if final or isinstance(exc, HandoverStopped):
        return False
    try:
        info = plugin._recover_identity(job)
        if not info:
            return False
        info = checked_info(plugin, info)
        if query_job(plugin, pav_cfg, job, info).state in ENDED:
            return False
        save_identity(plugin, job, info)
        learn_id(plugin, job, info)
    except CAUGHT:
        return False
    return True


def being_handed_over(plugin: SchedulerPlugin, job: Job) -> str:
    """The note of tests whose job is about to be handed over."""
    return f"Being handed to the {plugin.name} scheduler. The job's directory is {job.name}."


def _kick_off(
    plugin: SchedulerPlugin,
    pav_cfg: PavConfig,
    planned: PlannedJob,
    job: Job,
    job_name: str,
    handover: Handover,
) -> JobInfo:
    plugin._handovers[job.name] = handover
    try:
        with calling(plugin.name, "_kickoff", handover):
            return plugin._kickoff(
                pav_cfg,
                job,
                planned.config,
                job_name,
                nodes=planned.nodes,
                node_range=planned.node_range,
            )
    finally:
        plugin._handovers.pop(job.name, None)


def _interrupted(plugin: SchedulerPlugin, tests: Sequence[TestRun], job: Job | None) -> None:
    """Handle an interrupt during a submission: a job that has left a mark is recorded, so that it
    can be found from now on; the tests of any other job get a final state."""
    try:
        info = None if job is None else plugin._recover_identity(job)
        if job is not None and info:
            save_identity(plugin, job, checked_info(plugin, info))
            return
    except CAUGHT:
        pass
    note = (
        f"Interrupted while it was handed to the {plugin.name} scheduler. If its job was started "
        "anyway, the job does not run the test."
    )
    for test in tests:
        if not test.complete:
            end(test, STATES.SCHED_ERROR, note)


def _end_unstarted(tests: Sequence[TestRun]) -> None:
    """Handle an interrupt: end those tests of a job that were not submitted."""
    for test in tests:
        if not test.complete and test.job is None:
            end(
                test,
                STATES.SCHED_CANCELLED,
                "Not handed to its scheduler, because of an interrupt.",
            )


def _end_unwanted(
    plugin: SchedulerPlugin, tests: Sequence[TestRun], info: JobInfo
) -> SchedulerPluginError | None:
    """Cancel a job if all of its tests were cancelled while it was submitted.

    A command that cancels tests looks for the job's identity afterwards.  This is called after the
    identity was stored, so one of the two finds the job.
    """
    try:
        if not all(test.complete and test.status.current().state in _CANCELLED for test in tests):
            return None
        message = plugin.cancel(info)
    except CAUGHT as exc:
        message = blame(plugin, "cancel", exc)
    if message is None:
        return None
    return SchedulerPluginError(
        "The tests were cancelled while they were handed to the "
        f"{plugin.name} scheduler, but their job may still be running: {message}",
        tests=list(tests),
    )


def _save_identity(
    plugin: SchedulerPlugin, tests: Sequence[TestRun], job: Job, info: JobInfo
) -> SchedulerPluginError | None:
    """Store what identifies a job; if that fails, cancel the job, because it could not be found
    again."""
    try:
        save_identity(plugin, job, checked_info(plugin, info))
    except CAUGHT as exc:
        if not isinstance(info, Mapping) or not info:
            return refuse(plugin, tests, exc)
        try:
            cancelled = plugin.cancel(info)
        except CAUGHT as cancel_exc:
            cancelled = blame(plugin, "cancel", cancel_exc)
        outcome = (
            "It was cancelled."
            if cancelled is None
            else (f"Cancelling it failed ({cancelled}), so it may still run.")
        )
        return refuse(
            plugin,
            tests,
            SchedulerPluginError(
                f"The job {info!r} was started, but its identity could not be stored. {outcome}",
                prior_error=exc,
            ),
        )
    return None


def refuse(
    plugin: SchedulerPlugin, tests: Sequence[TestRun], exc: BaseException
) -> SchedulerPluginError:
    """Give a final state to tests that could not be started.

    :returns: The error to report, with these tests.
    """
    error = as_plugin_error(plugin, tests, exc)
    error.__cause__ = exc
    state = STATES.SCHED_CANCELLED if isinstance(exc, HandoverStopped) else STATES.SCHED_ERROR
    for test in tests:
        # A test that was cancelled meanwhile already has a final state.
        if not test.complete:
            end(test, state, error.pformat())
    return error
