"""Cancelling tests, and the jobs that have nothing else to do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from pavilion.config import PavConfig
from pavilion.errors import PavilionError
from pavilion.jobs import Job, JobInfo
from pavilion.schedulers.job_states import find_identity
from pavilion.schedulers.registry import require_plugin
from pavilion.series import is_being_started
from pavilion.status_file import STATES
from pavilion.test_run import TestRun


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
    # Whether its scheduler was told to cancel it, and it goes.
    cancelled: bool = False


def cancel_tests(pav_cfg: PavConfig, tests: Sequence[TestRun], reason: str
                 ) -> list[CancelOutcome]:
    """Cancel tests, and the jobs that have no other tests left.

    May be repeated: a job that could not be cancelled the last time is tried again.  Jobs are
    cancelled even where that cannot be written down, as on a full disk.
    """
    outcomes: dict[str, CancelOutcome] = {}
    jobs: dict[str, list[TestRun]] = {}
    for test in tests:
        try:
            done = test.cancel(reason)
            was_before = not done and test.status.current().state == STATES.CANCELLED
            text = "cancelled" if done else "already cancelled" if was_before else (
                f"already over ({test.result})")
            outcomes[test.id] = CancelOutcome(test, text)
        except PavilionError as exc:
            done = was_before = True
            outcomes[test.id] = CancelOutcome(test, f"not cancelled: {exc.pformat()}", True)
        try:
            job = test.job
        except PavilionError as exc:
            outcomes[test.id] = CancelOutcome(
                test, f"{outcomes[test.id].text}, but its job may go on: {exc.pformat()}", True)
            continue
        if job is not None and (done or was_before):
            jobs.setdefault(job.name, []).append(test)
    for name, job_outcome in _cancel_jobs(pav_cfg, jobs).items():
        for test in jobs[name]:
            _, text, failed = outcomes[test.id]
            if failed and job_outcome.cancelled:
                text += "; but its job was cancelled"
            outcomes[test.id] = CancelOutcome(test, text + job_outcome.text,
                                              failed or job_outcome.failed)
    return list(outcomes.values())


def _cancel_jobs(pav_cfg: PavConfig, jobs: Mapping[str, Sequence[TestRun]]
                 ) -> dict[str, _JobOutcome]:
    """Cancel jobs, but for those some of whose tests go on; one call for each scheduler.

    :param jobs: Job name -> its tests that are to be cancelled.
    """
    results: dict[str, _JobOutcome] = {}
    by_scheduler: dict[str, list[tuple[str, JobInfo]]] = {}
    for name, tests in jobs.items():
        try:
            job = tests[0].job
            assert job is not None
            others = _others(pav_cfg, job, tests)
            # In this order: one that is on its way in between has its record then.
            on_its_way = is_being_started(tests[0]) and not (job.path / job.INFO_FN).exists()
            info = None if others or on_its_way else find_identity(
                require_plugin(tests[0].scheduler), job)
        except PavilionError as exc:
            results[name] = _may_go_on(exc.pformat())
            continue
        if others:
            names = ", ".join(others[:4]) + (", ..." if len(others) > 4 else "")
            results[name] = _JobOutcome(f"; its job goes on for {names}")
        elif on_its_way:
            # Whoever does that sees to it, see schedulers.submission.
            results[name] = _JobOutcome("; its job is being handed to the scheduler just now, and "
                                        "is cancelled when that is done")
        elif info is None:
            # It was never handed over.
            results[name] = _JobOutcome()
        else:
            by_scheduler.setdefault(tests[0].scheduler, []).append((name, info))
    for scheduler, members in by_scheduler.items():
        try:
            messages = require_plugin(scheduler).cancel_jobs(
                [JobInfo(info) for _, info in members])
        except Exception as exc:
            text = exc.pformat() if isinstance(exc, PavilionError) else (
                f"{type(exc).__name__}: {exc}")
            messages = [text] * len(members)
        for (name, _), message in zip(members, messages):
            results[name] = (_JobOutcome(cancelled=True) if message is None
                             else _may_go_on(message))
    return results


def _others(pav_cfg: PavConfig, job: Job, tests: Sequence[TestRun]) -> list[str]:
    """The tests of a job that are not to be cancelled, and are not over."""
    ours = {test.id for test in tests}
    return [test_id for _, test_id in job.get_test_id_pairs()
            if test_id not in ours and not TestRun.load(pav_cfg, test_id).complete]


def _may_go_on(why: str) -> _JobOutcome:
    return _JobOutcome(f", but its job may go on: {why}", True)
