"""Cancelling jobs: with one command, and then a check that they are gone."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from enum import Enum
from typing import NamedTuple

from ...lifecycle.job_table import JobTable, Lookup, Presence
from ...talk.commands import CommandResult, Failure
from .client import SlurmClient
from .errors import cancel_errors, classify_result, summary
from .states import parse_job_state

POLL = 1.0


class Cancelled(Enum):
    """What came of cancelling a job."""

    CANCELLED = "cancelled"
    ALREADY_OVER = "already ended"
    NOT_FOUND = "not found"
    DENIED = "denied"
    UNREACHABLE = "unreachable"
    STILL_THERE = "still there"


class CancelOutcome(NamedTuple):
    """What came of cancelling a job; ``message`` is None when it no longer runs."""

    what: Cancelled
    message: str | None


def cancel_jobs(
    client: SlurmClient,
    table: JobTable,
    jobs: Mapping[str, str],
    wait: float,
    cluster: str = "",
    sleep: Callable[[float], object] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> dict[str, CancelOutcome]:
    """Cancel jobs, and wait until the job table shows it.

    scancel says nothing about jobs that are unknown or have ended, so the table is queried before
    and after.

    :param jobs: What the table has a job under -> its id.
    :param wait: Seconds to wait for the jobs to go.
    :param cluster: Theirs, when it is not that of this host.
    :returns: What came of each, under the same keys.
    """
    before = table.lookup_many(jobs)
    results = client.cancel(list(dict.fromkeys(jobs.values())), cluster)
    by_id = _failures(results, set(jobs.values()))
    failures = {key: by_id[job_id] for key, job_id in jobs.items() if job_id in by_id}
    outcomes = {
        key: outcome
        for key, outcome in failures.items()
        if outcome.what is not Cancelled.UNREACHABLE
    }
    # An unclear answer says nothing: those are looked at as well, once.
    left = [key for key in jobs if key not in outcomes]
    deadline = clock() + wait
    while left:
        table.expire()
        after = table.lookup_many(left)
        for key in list(left):
            outcome = _seen(before[key], after[key], jobs[key])
            if outcome is not None:
                outcomes[key] = outcome
                left.remove(key)
            elif key in failures:
                outcomes[key] = failures[key]
                left.remove(key)
        if not left or clock() >= deadline:
            break
        sleep(POLL)
    for key in left:
        outcomes[key] = _not_seen_to_go(after[key], jobs[key], wait)
    return {key: outcomes[key] for key in jobs}


def _failures(results: Sequence[CommandResult], ids: Collection[str]) -> dict[str, CancelOutcome]:
    """The jobs that scancel could not cancel, by id."""
    found: dict[str, CancelOutcome] = {}
    for result in results:
        named = cancel_errors(result.stderr)
        for job_id, kind in named.items():
            if job_id in ids and kind is not Failure.UNKNOWN_JOB:
                found[job_id] = _failure(kind, job_id, result)
        kind_of_all = classify_result(result)
        if kind_of_all in (None, Failure.UNKNOWN_JOB):
            continue
        for argument in result.argv[1:]:
            if argument in ids and not named:
                found.setdefault(argument, _failure(kind_of_all, argument, result))
    return found


def _failure(kind: Failure | None, job_id: str, result: CommandResult) -> CancelOutcome:
    said = summary(result.stderr) or result.describe()
    if kind is Failure.DENIED:
        return CancelOutcome(Cancelled.DENIED, f"You may not cancel job {job_id}: {said}.")
    if kind is Failure.TRANSIENT:
        return CancelOutcome(
            Cancelled.UNREACHABLE,
            f"Slurm did not answer, so job {job_id} may still be running: {said}. Try again later.",
        )
    return CancelOutcome(Cancelled.STILL_THERE, f"Job {job_id} could not be cancelled: {said}.")


def _seen(before: Lookup, after: Lookup, job_id: str) -> CancelOutcome | None:
    """What the table shows of a job after scancel; None while it has to go yet."""
    if after.presence is Presence.FOUND and after.record is not None:
        state = parse_job_state(after.record.state)
        if state.is_over:
            was_over = before.record is not None and parse_job_state(before.record.state).is_over
            return CancelOutcome(Cancelled.ALREADY_OVER if was_over else Cancelled.CANCELLED, None)
        if state.name == "COMPLETING":
            # Its processes are being ended.
            return CancelOutcome(Cancelled.CANCELLED, None)
        return None
    if after.answered:
        # A good answer without the job: Slurm forgot it, or never had it.
        known = before.presence is Presence.FOUND
        return CancelOutcome(Cancelled.CANCELLED if known else Cancelled.NOT_FOUND, None)
    return None


def _not_seen_to_go(after: Lookup, job_id: str, wait: float) -> CancelOutcome:
    if after.presence is Presence.FOUND and after.answered:
        return CancelOutcome(
            Cancelled.STILL_THERE,
            f"Slurm accepted the request to cancel job {job_id}, but still shows it "
            f"{wait:g} seconds later. {_shown(after)}".rstrip(),
        )
    return CancelOutcome(
        Cancelled.UNREACHABLE,
        f"Slurm accepted the request to cancel job {job_id}, but whether the job "
        f"has ended is not known: {after.note}".rstrip(),
    )


def _shown(lookup: Lookup) -> str:
    if lookup.record is not None and lookup.presence is Presence.FOUND:
        return f"Its state is {lookup.record.state}."
    return lookup.note
