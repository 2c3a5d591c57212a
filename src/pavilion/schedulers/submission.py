"""Handing jobs to a scheduler: every test is started once, or gets a final state that says why."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Callable

from pavilion.errors import PavilionError, SchedConfigError, SchedulerPluginError
from pavilion.jobs import Job, JobInfo
from pavilion.status_file import STATES
from pavilion.types import NodeList, NodeRange

from .accepted import learn_id, note_accepted
from .ending import ENDED, end
from .handover import Handover, HandoverStopped, calling
from .identity import checked_info, job_id_of, known_id, save_identity
from .job_states import blame, misplaced_prior, query_job
from .placement import Placement, save_placement

if TYPE_CHECKING:
    from pavilion.config import PavConfig
    from pavilion.test_run import TestRun

    from .scheduler import SchedulerPlugin


# What a test's last state is called when a user cancelled it; hosts differ.
_CANCELLED = ("CANCELLED", STATES.SCHED_CANCELLED)
# Seconds that jobs on their way to a scheduler get to settle after an interrupt.
STOP_PATIENCE = 5.0


class PlannedJob:
    """A job that is to be started.

    :param tests: Those that it runs, in order.
    :param config: The validated schedule section to use, with the longest time limit of its
        tests.
    :param nodes: The nodes to run on; or
    :param node_range: (min, max), when the scheduler picks them.
    :param chunk: The number of the chunk that its nodes are of.
    :param chunk_nodes: All nodes of that chunk.
    :param prepare: Called with the new job before it is kicked off.
    """

    def __init__(
        self,
        tests: list[TestRun],
        config: dict[str, Any],
        *,
        nodes: NodeList | None = None,
        node_range: NodeRange | None = None,
        chunk: int | None = None,
        chunk_nodes: Sequence[str] = (),
        prepare: Callable[[Job], None] | None = None,
    ) -> None:
        self.tests = tests
        self.config = config
        self.nodes = nodes
        self.node_range = node_range
        self.chunk = chunk
        self.chunk_nodes = chunk_nodes
        self.prepare = prepare

    @property
    def placement(self) -> Placement:
        """Its nodes and its chunk, as far as they were picked."""
        return Placement(list(self.nodes or ()), self.chunk, list(self.chunk_nodes))

    @property
    def mode(self) -> str:
        """'own' (one test) or 'shared' (several in one allocation)."""
        return "own" if len(self.tests) == 1 else "shared"


class TestPlan:
    """Every test is in exactly one job, or in exactly one error."""

    __test__ = False

    def __init__(self) -> None:
        self.jobs: list[PlannedJob] = []
        self.errors: list[SchedulerPluginError] = []


def start_jobs(
    plugin: SchedulerPlugin,
    pav_cfg: PavConfig,
    jobs: Sequence[PlannedJob],
    at_once: int,
    stop: threading.Event | None = None,
) -> list[SchedulerPluginError]:
    """Hand jobs to their scheduler, in order.

    :param at_once: How many may be under way at the same time.
    :param stop: Ends it when it is set: jobs that wait for something are given up, and those that
        were not begun are not begun.
    :returns: An error for each job that could not be started.
    :raises KeyboardInterrupt: From the plugin as well.  All tests have a final state then, or a
        job that can be found.
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
    """The results of starting jobs, some at the same time.

    An interrupt ends it soon.  A pool of concurrent.futures would wait for what its threads
    are doing, here and when the program ends, and that may be a scheduler that does not answer.
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
    # Some may have been cancelled while others were handed over.
    tests = [test for test in planned.tests if not test.complete]
    if not tests:
        return None
    job = None
    try:
        if stop.is_set():
            raise HandoverStopped(
                f"Handing jobs to the {plugin.name} scheduler was ended before it came to this one."
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
        save_placement(job, planned.placement)
        for test in tests:
            # Before the job can start: what the test itself writes must come later.
            test.job = job
            test.status.set(STATES.SCHEDULED, being_handed_over(plugin, job))
        info = _kick_off(plugin, pav_cfg, planned, job, job_name, Handover(tests, stop, job.path))
    except (Exception, SystemExit) as exc:
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
    """Whether a job exists although handing it over failed; then its identity is stored.

    A command that times out may have done its work.  One about whose job nothing can be said now
    counts as there: whoever asks for its state later finds out.
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
    except (Exception, SystemExit):
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
    """After an interrupt half-way: a job that left a mark can be found by it, from now on; tests
    of any other get a final state."""
    try:
        info = None if job is None else plugin._recover_identity(job)
        if job is not None and info:
            save_identity(plugin, job, checked_info(plugin, info))
            return
    except (Exception, SystemExit):
        pass
    note = (
        f"Interrupted while it was handed to the {plugin.name} scheduler. Should that have "
        "started its job, the job does not run the test."
    )
    for test in tests:
        if not test.complete:
            end(test, STATES.SCHED_ERROR, note)


def _end_unstarted(tests: Sequence[TestRun]) -> None:
    """After an interrupt: end those of a job's tests that it did not come to."""
    for test in tests:
        if not test.complete and test.job is None:
            end(
                test,
                STATES.SCHED_CANCELLED,
                "Not handed to its scheduler: that was interrupted before.",
            )


def _end_unwanted(
    plugin: SchedulerPlugin, tests: Sequence[TestRun], info: JobInfo
) -> SchedulerPluginError | None:
    """Cancel a job all of whose tests were cancelled while it was handed over.

    Who cancels tests looks for the job's identity afterwards, and this is called when it was
    stored, so one of the two finds the job.
    """
    try:
        if not all(test.complete and test.status.current().state in _CANCELLED for test in tests):
            return None
        message = plugin.cancel(info)
    except (Exception, SystemExit) as exc:
        message = blame(plugin, "cancel", exc)
    if message is None:
        return None
    return SchedulerPluginError(
        "The tests were cancelled while they were handed to the "
        f"{plugin.name} scheduler, but their job may go on: {message}",
        tests=list(tests),
    )


def _save_identity(
    plugin: SchedulerPlugin, tests: Sequence[TestRun], job: Job, info: JobInfo
) -> SchedulerPluginError | None:
    """Store what identifies a job; a job that nobody could find again is cancelled."""
    try:
        save_identity(plugin, job, checked_info(plugin, info))
    except (Exception, SystemExit) as exc:
        if not isinstance(info, Mapping) or not info:
            return refuse(plugin, tests, exc)
        try:
            cancelled = plugin.cancel(info)
        except (Exception, SystemExit) as cancel_exc:
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


def section_refused(exc: BaseException, tests: Sequence[TestRun]) -> SchedulerPluginError:
    """The error that a schedule section is wrong, as hosts catch it."""
    if isinstance(exc, NotImplementedError):
        return SchedulerPluginError(str(exc), tests=list(tests))
    return SchedulerPluginError("Bad schedule section", tests=list(tests), prior_error=exc)


def refuse(
    plugin: SchedulerPlugin, tests: Sequence[TestRun], exc: BaseException
) -> SchedulerPluginError:
    """Give tests that could not be started a final state.

    :returns: The error to report, with these tests.
    """
    error = as_plugin_error(plugin, tests, exc)
    error.__cause__ = exc
    state = STATES.SCHED_CANCELLED if isinstance(exc, HandoverStopped) else STATES.SCHED_ERROR
    for test in tests:
        # One that was cancelled meanwhile has its end.
        if not test.complete:
            end(test, state, error.pformat())
    return error


def as_plugin_error(
    plugin: SchedulerPlugin, tests: Sequence[TestRun], exc: BaseException
) -> SchedulerPluginError:
    """An exception as the error that says which tests it concerns."""
    if isinstance(exc, SchedulerPluginError):
        return SchedulerPluginError(
            exc.msg,
            tests=list(tests),
            data=exc.data,
            prior_error=exc.prior_error or misplaced_prior(exc),
        )
    if isinstance(exc, SchedConfigError):
        # It says what is wrong with the tests, and first of all: some show one line only.
        return SchedulerPluginError(
            exc.msg, tests=list(tests), data=exc.data, prior_error=exc.prior_error
        )
    more = ", ..." if len(tests) > 4 else ""
    names = ", ".join(str(test.name) for test in tests[:4]) + more
    if isinstance(exc, (PavilionError, OSError)):
        return SchedulerPluginError(
            f"Tests could not be started ({names})", tests=list(tests), prior_error=exc
        )
    return SchedulerPluginError(
        f"The scheduler plugin {plugin.name!r} ({plugin.path}) failed with "
        f"{type(exc).__name__} while it started {names}",
        tests=list(tests),
        prior_error=exc,
    )
