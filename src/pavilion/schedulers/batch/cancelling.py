"""Cancelling jobs: with one command, and then a check that they are gone."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from enum import Enum
from typing import NamedTuple

from ..lifecycle.job_table import JobTable, Lookup, Presence
from ..talk.commands import CommandResult, Failure
from .client import BatchClient
from .dialect import Dialect
from .words import JobState

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
    client: BatchClient,
    table: JobTable,
    jobs: Mapping[str, str],
    wait: float,
    cluster: str = "",
    sleep: Callable[[float], object] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> dict[str, CancelOutcome]:
    """Cancel jobs, and wait until the job table shows it.

    A cancel command may say nothing about jobs that are unknown or have ended, so the table is
    queried before and after.

    :param jobs: What the table has a job under -> its id.
    :param wait: Seconds to wait for the jobs to go.
    :param cluster: Theirs, when it is not that of this host.
    :returns: What came of each, under the same keys.
    """
    before = table.lookup_many(jobs)
    results = client.cancel(list(dict.fromkeys(jobs.values())), cluster)
    by_id = _failures(client, results, set(jobs.values()))
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
            outcome = _seen(client.dialect, before[key], after[key])
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
        outcomes[key] = _not_seen_to_go(client.title, after[key], jobs[key], wait)
    return {key: outcomes[key] for key in jobs}


def _failures(
    client: BatchClient, results: Sequence[CommandResult], ids: Collection[str]
) -> dict[str, CancelOutcome]:
    """The jobs that the commands could not cancel, by id."""
    found: dict[str, CancelOutcome] = {}
    for result in results:
        named = client.cancel_failures(result)
        for job_id, kind in named.items():
            if job_id in ids and kind is not Failure.UNKNOWN_JOB:
                found[job_id] = _failure(client, kind, job_id, result)
        kind_of_all = client.dialect.classify(result)
        if kind_of_all in (None, Failure.UNKNOWN_JOB):
            continue
        # It took all ids, as arguments or in lists.
        words = ",".join(result.argv[1:]).split(",")
        for job_id in [] if named else [word for word in words if word in ids]:
            found.setdefault(job_id, _failure(client, kind_of_all, job_id, result))
    return found


def _failure(
    client: BatchClient, kind: Failure | None, job_id: str, result: CommandResult
) -> CancelOutcome:
    said = client.dialect.summary(result) or result.describe()
    if kind is Failure.DENIED:
        return CancelOutcome(Cancelled.DENIED, f"You may not cancel job {job_id}: {said}.")
    if kind is Failure.TRANSIENT:
        return CancelOutcome(
            Cancelled.UNREACHABLE,
            f"{client.title} did not answer, so job {job_id} may still be running: {said}. Try "
            "again later.",
        )
    return CancelOutcome(Cancelled.STILL_THERE, f"Job {job_id} could not be cancelled: {said}.")


def _seen(dialect: Dialect, before: Lookup, after: Lookup) -> CancelOutcome | None:
    """What the table shows of a job after the command; None while it has to go yet."""
    if after.presence is Presence.FOUND and after.record is not None:
        if dialect.is_over(after.record):
            was_over = before.record is not None and dialect.is_over(before.record)
            return CancelOutcome(Cancelled.ALREADY_OVER if was_over else Cancelled.CANCELLED, None)
        if dialect.state_of(after.record) is JobState.ENDING:
            # Its processes are being ended.
            return CancelOutcome(Cancelled.CANCELLED, None)
        return None
    if after.answered:
        # A good answer without the job: the scheduler forgot it, or never had it.
        known = before.presence is Presence.FOUND
        return CancelOutcome(Cancelled.CANCELLED if known else Cancelled.NOT_FOUND, None)
    return None


def _not_seen_to_go(title: str, after: Lookup, job_id: str, wait: float) -> CancelOutcome:
    if after.presence is Presence.FOUND and after.answered:
        return CancelOutcome(
            Cancelled.STILL_THERE,
            f"{title} accepted the request to cancel job {job_id}, but still shows it "
            f"{wait:g} seconds later. {_shown(after)}".rstrip(),
        )
    return CancelOutcome(
        Cancelled.UNREACHABLE,
        f"{title} accepted the request to cancel job {job_id}, but whether the job "
        f"has ended is not known: {after.note}".rstrip(),
    )


def _shown(lookup: Lookup) -> str:
    if lookup.record is not None and lookup.presence is Presence.FOUND:
        return f"Its state is {lookup.record.state}."
    return lookup.note
