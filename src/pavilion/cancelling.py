"""Cancelling tests, and the jobs that have no other tests left."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from pavilion.config import PavConfig
from pavilion.errors import JobError, PavilionError
from pavilion.files import is_mine
from pavilion.jobs import Job, JobInfo
from pavilion.schedulers.finding.registry import require_plugin
from pavilion.schedulers.lifecycle.confirming import OVER, cancel_confirmed
from pavilion.schedulers.lifecycle.ending import end_by_itself
from pavilion.schedulers.lifecycle.identity import RecordErrors, load_identity
from pavilion.schedulers.lifecycle.job_states import find_identity, query_job
from pavilion.schedulers.scheduler import SchedulerPlugin
from pavilion.starter import BEAT_GRACE, Starter
from pavilion.status_file import STATES, TestStatusInfo
from pavilion.test_run import TestRun
from pavilion.waiting import starter_at_work


class CancelOutcome(NamedTuple):
    """What came of cancelling a test."""

    test: TestRun
    # In a few words for the user.
    text: str
    # Whether it, or its job, may still run although it should not.
    failed: bool = False


class _JobOutcome(NamedTuple):
    """What came of a job: what to add to the outcome of its tests."""

    text: str = ""
    failed: bool = False
    # Whether its scheduler was told to cancel it, and did.
    cancelled: bool = False


def cancel_tests(pav_cfg: PavConfig, tests: Sequence[TestRun], reason: str) -> list[CancelOutcome]:
    """Cancel tests, and the jobs that have no other tests left.

    May be repeated: a job that could not be cancelled the last time is tried again.  Jobs are
    cancelled even where that cannot be recorded, as on a full disk.
    """
    outcomes: dict[str, CancelOutcome] = {}
    jobs: dict[str, list[TestRun]] = {}
    for test in tests:
        if not test.complete and not is_mine(test.path):
            outcomes[test.id] = CancelOutcome(
                test, "not cancelled: it belongs to another user, who alone can cancel it", True
            )
            continue
        try:
            # A test that has ended stays as it is, even where the mark of its end is missing.
            ended = None if test.complete else end_by_itself(test)
            done = ended is None and test.cancel(reason)
            was_before = not done and test.status.current().state == STATES.CANCELLED
            text = (
                "cancelled"
                if done
                else "already cancelled"
                if was_before
                else (f"had already ended ({_result(test, ended)})")
            )
            outcomes[test.id] = CancelOutcome(test, text)
        except PavilionError as exc:
            done = was_before = True
            outcomes[test.id] = CancelOutcome(test, f"not cancelled: {exc.pformat()}", True)
        try:
            job = test.job
        except PavilionError as exc:
            outcomes[test.id] = CancelOutcome(
                test,
                f"{outcomes[test.id].text}, but its job may still be running: {exc.pformat()}",
                True,
            )
            continue
        if job is not None and (done or was_before or _may_be_left(test, job)):
            jobs.setdefault(job.name, []).append(test)
    for name, job_outcome in _cancel_jobs(pav_cfg, jobs).items():
        for test in jobs[name]:
            _, text, failed = outcomes[test.id]
            if failed and job_outcome.cancelled:
                text += "; but its job was cancelled"
            outcomes[test.id] = CancelOutcome(
                test, text + job_outcome.text, failed or job_outcome.failed
            )
    return list(outcomes.values())


def _cancel_jobs(
    pav_cfg: PavConfig, jobs: Mapping[str, Sequence[TestRun]]
) -> dict[str, _JobOutcome]:
    """Cancel jobs, except those that other tests still need; one call for each scheduler.

    :param jobs: Job name -> its tests that are to be cancelled.
    """
    results: dict[str, _JobOutcome] = {}
    by_scheduler: dict[str, list[tuple[str, Job, JobInfo]]] = {}
    for name, tests in jobs.items():
        try:
            job = tests[0].job
            assert job is not None
            _check_job(job, tests)
            others = _others(pav_cfg, job, tests)
            # In this order: one that is on its way in between has its record then.
            starter = starter_at_work(tests[0])
            on_its_way = starter is not None and not (job.path / job.INFO_FN).exists()
            info = (
                None
                if others or on_its_way
                else find_identity(require_plugin(tests[0].scheduler), job)
            )
        except PavilionError as exc:
            results[name] = _may_go_on(exc.pformat())
            continue
        if others:
            names = ", ".join(others[:4]) + (", ..." if len(others) > 4 else "")
            results[name] = _JobOutcome(f"; its job is kept for {names}")
        elif on_its_way:
            # Whoever hands it over cancels it, see schedulers.submission.
            results[name] = _on_its_way(starter)
        elif info is None:
            results[name] = _without_identity(tests[0].scheduler, job)
        else:
            by_scheduler.setdefault(tests[0].scheduler, []).append((name, job, info))
    for scheduler, members in by_scheduler.items():
        # Those that were handed over last come first, as they are more likely to wait: where one
        # that runs is cancelled before, it makes room for one that waits, which starts for nothing.
        members.sort(key=lambda member: _handed_over(member[1]), reverse=True)
        try:
            messages = cancel_confirmed(
                require_plugin(scheduler),
                pav_cfg,
                [(job, JobInfo(info)) for _, job, info in members],
            )
        except Exception as exc:
            text = (
                exc.pformat()
                if isinstance(exc, PavilionError)
                else (f"{type(exc).__name__}: {exc}")
            )
            messages = [text] * len(members)
        for (name, job, info), message in zip(members, messages):
            if message is None:
                results[name] = _JobOutcome(cancelled=True)
            elif (
                all(
                    test.complete and test.status.current().state == STATES.SCHED_ERROR
                    for test in jobs[name]
                )
                and query_job(require_plugin(scheduler), pav_cfg, job, info).state in OVER
            ):
                # It had ended before, which is most likely what the message says.
                results[name] = _JobOutcome(f"; of its job: {message}")
            else:
                results[name] = _may_go_on(message)
    return results


def _may_be_left(test: TestRun, job: Job) -> bool:
    """Whether a scheduler may still have the job of a test that ended because of it: one that is
    stuck and still queued, such as Grid Engine's Eqw."""
    try:
        return test.status.current().state == STATES.SCHED_ERROR and bool(load_identity(job))
    except RecordErrors:
        return False


def _handed_over(job: Job) -> float:
    """When a job was handed over (Unix time); 0 where its record is missing."""
    try:
        return (job.path / job.INFO_FN).stat().st_mtime
    except OSError:
        return 0.0


def _was_written(job: Job) -> bool:
    """Whether a job got its kickoff script, without which it cannot have been handed over."""
    try:
        return job.kickoff_path.stat().st_size > 0
    except OSError:
        return False


def _without_identity(scheduler: str, job: Job) -> _JobOutcome:
    """What to say about a job that has no record: as far as its plugin can find out, it was never
    handed over."""
    plugin = require_plugin(scheduler)
    can_look = type(plugin)._recover_identity is not SchedulerPlugin._recover_identity
    if can_look or not _was_written(job):
        return _JobOutcome()
    return _may_go_on(
        f"whether it was handed to the {scheduler} scheduler cannot be determined: there "
        f"is no record of it, and the plugin has no _recover_identity() to look "
        "for it"
    )


def _check_job(job: Job, tests: Sequence[TestRun]) -> None:
    """Check that a job belongs to this user, and is the job of these tests.

    Where others may write to the directory of a test, they may make its link to a job lead to any
    job.

    :raises JobError: When it is not.
    """
    if not is_mine(job.path):
        raise JobError(
            f"the job {job.path} is missing or belongs to another user, who alone can cancel it."
        )
    known = {test_id for _, test_id in job.get_test_id_pairs()}
    strangers = [test.id for test in tests if test.id not in known]
    if strangers:
        raise JobError(f"the job {job.path} does not list {strangers[0]} as one of its tests.")


def _others(pav_cfg: PavConfig, job: Job, tests: Sequence[TestRun]) -> list[str]:
    """The tests of a job that are not to be cancelled, and have not ended."""
    ours = {test.id for test in tests}
    return [
        test_id
        for _, test_id in job.get_test_id_pairs()
        if test_id not in ours and not TestRun.load(pav_cfg, test_id).complete
    ]


def _result(test: TestRun, ended: TestStatusInfo | None) -> str:
    """The result of a test that has ended, or a note that its end cannot be recorded."""
    return (
        str(test.result)
        if test.complete or ended is None
        else (f"{ended.state}, which could not be recorded")
    )


def _on_its_way(starter: Starter | None) -> _JobOutcome:
    text = "; its job is just being handed to the scheduler, and is cancelled when that is done"
    if starter is not None and not starter.is_here:
        # A process on another host counts as alive for a while.
        text += f". If that was stopped ({starter}), cancel again in {BEAT_GRACE / 60:.0f} minutes"
    return _JobOutcome(text)


def _may_go_on(why: str) -> _JobOutcome:
    return _JobOutcome(f", but its job may still be running: {why}", True)
