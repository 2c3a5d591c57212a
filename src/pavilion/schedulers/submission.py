"""Handing jobs to a scheduler: every test is started once, or gets a final state that says why."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Callable

from pavilion.errors import PavilionError, SchedConfigError, SchedulerPluginError
from pavilion.jobs import Job, JobInfo
from pavilion.status_file import STATES
from pavilion.types import NodeList, NodeRange

from .ending import end
from .identity import checked_info, save_identity
from .job_states import blame, misplaced_prior

if TYPE_CHECKING:
    from pavilion.config import PavConfig
    from pavilion.test_run import TestRun

    from .scheduler import SchedulerPlugin


# What a test's last state is called when a user cancelled it; hosts differ.
_CANCELLED = ("CANCELLED", STATES.SCHED_CANCELLED)


class PlannedJob:
    """A job that is to be started.

    :param tests: Those that it runs, in order.
    :param config: The validated schedule section to use, with the longest time limit of its
        tests.
    :param nodes: The nodes to run on; or
    :param node_range: (min, max), when the scheduler picks them.
    :param chunk: The number of the chunk that its nodes are of.
    :param prepare: Called with the new job before it is kicked off.
    """

    def __init__(self, tests: list[TestRun], config: dict[str, Any], *,
                 nodes: NodeList | None = None, node_range: NodeRange | None = None,
                 chunk: int | None = None, prepare: Callable[[Job], None] | None = None) -> None:
        self.tests = tests
        self.config = config
        self.nodes = nodes
        self.node_range = node_range
        self.chunk = chunk
        self.prepare = prepare

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


def start_jobs(plugin: SchedulerPlugin, pav_cfg: PavConfig, jobs: Sequence[PlannedJob],
               at_once: int) -> list[SchedulerPluginError]:
    """Hand jobs to their scheduler, in order.

    :param at_once: How many may be under way at the same time.
    :returns: An error for each job that could not be started.
    """
    def start(planned: PlannedJob) -> SchedulerPluginError | None:
        return _start_job(plugin, pav_cfg, planned)

    if at_once <= 1 or len(jobs) <= 1:
        results = [start(planned) for planned in jobs]
    else:
        results = _in_threads(start, jobs, min(at_once, len(jobs)))
    return [error for error in results if error is not None]


def _in_threads(start: Callable[[PlannedJob], SchedulerPluginError | None],
                jobs: Sequence[PlannedJob], at_once: int) -> list[SchedulerPluginError | None]:
    """The results of starting jobs, some at the same time.

    An interrupt ends it at once.  A pool of concurrent.futures would wait for what its threads
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
    finally:
        stopped.set()
    if crashes:
        raise crashes[0]
    return results


def _start_job(plugin: SchedulerPlugin, pav_cfg: PavConfig, planned: PlannedJob
               ) -> SchedulerPluginError | None:
    # Some may have been cancelled while others were handed over.
    tests = [test for test in planned.tests if not test.complete]
    if not tests:
        return None
    try:
        job = Job.new(pav_cfg, list(tests), plugin.KICKOFF_FN)
        job_name = plugin._job_name(tests)
        script = plugin._compose_kickoff_script(
            pav_cfg, tests, planned.config, job_name, log_path=job.kickoff_log,
            nodes=planned.nodes, node_range=planned.node_range)
        script.write(job.kickoff_path)
        if planned.prepare is not None:
            planned.prepare(job)
        for test in tests:
            # Before the job can start: what the test itself writes must come later.
            test.job = job
            test.status.set(STATES.SCHEDULED,
                            f"Handed to the {plugin.name} scheduler as job {job.name}.")
        info = plugin._kickoff(pav_cfg, job, planned.config, job_name, nodes=planned.nodes,
                               node_range=planned.node_range)
    except (Exception, SystemExit) as exc:
        return refuse(plugin, tests, exc)
    return _save_identity(plugin, tests, job, info) or _end_unwanted(plugin, tests, info)


def _end_unwanted(plugin: SchedulerPlugin, tests: Sequence[TestRun], info: JobInfo
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
    return SchedulerPluginError("The tests were cancelled while they were handed to the "
                                f"{plugin.name} scheduler, but their job may go on: {message}",
                                tests=list(tests))


def _save_identity(plugin: SchedulerPlugin, tests: Sequence[TestRun], job: Job, info: JobInfo
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
        outcome = "It was cancelled." if cancelled is None else (
            f"Cancelling it failed ({cancelled}), so it may still run.")
        return refuse(plugin, tests, SchedulerPluginError(
            f"The job {info!r} was started, but its identity could not be stored. {outcome}",
            prior_error=exc))
    return None


def section_refused(exc: BaseException, tests: Sequence[TestRun]) -> SchedulerPluginError:
    """The error that a schedule section is wrong, as hosts catch it."""
    if isinstance(exc, NotImplementedError):
        return SchedulerPluginError(str(exc), tests=list(tests))
    return SchedulerPluginError("Bad schedule section", tests=list(tests), prior_error=exc,
                                data=getattr(exc, "data", None))


def refuse(plugin: SchedulerPlugin, tests: Sequence[TestRun], exc: BaseException
           ) -> SchedulerPluginError:
    """Give tests that could not be started a final state.

    :returns: The error to report, with these tests.
    """
    error = as_plugin_error(plugin, tests, exc)
    error.__cause__ = exc
    for test in tests:
        end(test, STATES.SCHED_ERROR, error.pformat())
    return error


def as_plugin_error(plugin: SchedulerPlugin, tests: Sequence[TestRun], exc: BaseException
                    ) -> SchedulerPluginError:
    """An exception as the error that says which tests it concerns."""
    if isinstance(exc, SchedulerPluginError):
        return SchedulerPluginError(exc.msg, tests=list(tests), data=exc.data,
                                    prior_error=exc.prior_error or misplaced_prior(exc))
    if isinstance(exc, SchedConfigError):
        # It says what is wrong with the tests, and first of all: some show one line only.
        return SchedulerPluginError(exc.msg, tests=list(tests), data=exc.data,
                                    prior_error=exc.prior_error)
    more = ", ..." if len(tests) > 4 else ""
    names = ", ".join(str(test.name) for test in tests[:4]) + more
    if isinstance(exc, (PavilionError, OSError)):
        return SchedulerPluginError(f"Tests could not be started ({names})", tests=list(tests),
                                    prior_error=exc)
    return SchedulerPluginError(
        f"The scheduler plugin {plugin.name!r} ({plugin.path}) failed with "
        f"{type(exc).__name__} while it started {names}", tests=list(tests), prior_error=exc)
