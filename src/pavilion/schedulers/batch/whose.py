"""Which of the scheduler's jobs is ours: by its token, never by its id alone.

Ids are given out again: after a scheduler lost its last seconds of state, after a restore, and
after a wrap.  So a job is its id *and* its token.  Some sites replace what holds the token; then the
path of the kickoff script, which is in the job's own directory, proves as much, where the
scheduler shows it.  Records without a token are those of other programs.  Where the job that has
their id carries a token of ours, the directory of its script must hold the same record.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from pavilion.jobs import Job

from ..lifecycle.identity import RecordErrors, load_identity
from ..lifecycle.job_table import JobRecord, JobTable, Lookup, Presence
from .dialect import TWINS, Dialect
from .record import BatchRecord, JobRecordError, read_record

# Seconds after a submission in which a scheduler may not list a job yet.
NOT_YET = 30.0


class FoundJob(NamedTuple):
    """What was found of a job.

    :param key: What the job table has it under.
    :param name: What to call it in messages.
    :param lookup: What the table knows.
    :param twins: The ids of further jobs with its token, which are to be cancelled.
    :param other: Another job that has its id by now; None when there is none.
    :param certain: Whether it is known to be this job.  Where not, it may be shown, and is never
        cancelled.
    """

    key: str
    name: str
    lookup: Lookup
    twins: tuple[str, ...] = ()
    other: JobRecord | None = None
    certain: bool = True

    @property
    def is_there(self) -> bool:
        """Whether the scheduler lists it."""
        return self.lookup.presence is Presence.FOUND


def find_job(
    dialect: Dialect,
    table: JobTable,
    record: BatchRecord,
    script_of: Callable[[str], str | None],
) -> FoundJob:
    """What a table knows of the job that a record is about.  May query the scheduler.

    :param script_of: Gives the path of the script that a job of this id came from; None when the
        scheduler does not say.
    """
    found = table.lookup(record.key)
    if found.presence is Presence.FOUND and found.record is not None:
        twins = tuple(found.record.data.get(TWINS, "").split())
        return FoundJob(record.key, f"job {found.record.job_id}", found, twins)
    result = FoundJob(record.key, record.name, found)
    # Without an answer, who has the id now is not known either.
    if not record.job_id or not found.answered:
        return result
    if not record.token:
        return _without_token(dialect, table, record, result, script_of)
    other = table.with_id(record.job_id)
    if other is None:
        return result
    if not dialect.token_of(other) and record.script:
        # The site put something else in the place of the token.
        script = script_of(record.job_id)
        if script in (None, record.script):
            # Where the scheduler does not say which script it is, nothing speaks against the job:
            # it is shown, and not cancelled.
            return FoundJob(
                record.job_id, record.name, table.lookup(record.job_id), certain=script is not None
            )
    note = f"{found.note} {dialect.title}'s job {record.job_id} is a different job by now."
    return result._replace(lookup=found._replace(note=note), other=other)


def _without_token(
    dialect: Dialect,
    table: JobTable,
    record: BatchRecord,
    result: FoundJob,
    script_of: Callable[[str], str | None],
) -> FoundJob:
    """A job of which only the id is known, and that is not in the table under its id: the one
    that has this id carries a token."""
    job = table.with_id(record.job_id)
    if job is None:
        return result
    token = dialect.token_of(job)
    script = script_of(record.job_id) or ""
    claimed = _is_claimed(dialect, script, record.job_id, token)
    if claimed is not False:
        return FoundJob(token, record.name, table.lookup(token), certain=claimed is True)
    note = (
        f"{dialect.title}'s job {record.job_id} is a different job, or cannot be distinguished "
        f"from one: {script or 'its script'} is not known to belong to this record."
    )
    return result._replace(lookup=result.lookup._replace(note=note), other=job)


def _is_claimed(dialect: Dialect, script: str, job_id: str, token: str) -> bool | None:
    """Whether the directory of a job's script holds the record of this id and token; None when it
    holds none, or is gone."""
    if not script.startswith("/"):
        return None
    try:
        info = load_identity(Job(Path(script).parent))
        if info is None:
            return None
        claimed = read_record(info, dialect.is_job_id, dialect.title)
    except (*RecordErrors, JobRecordError, TypeError):
        return None
    # Records of other programs have no token; the path of their job's script proves as much.
    return claimed.job_id == job_id and claimed.token in ("", token)


def why_not_to_cancel(title: str, record: BatchRecord, found: FoundJob) -> str | None:
    """The message for a job that is not listed; None when there is nothing (more) to cancel.

    :param title: The scheduler.
    """
    lookup = found.lookup
    if not found.certain and record.token:
        return (
            f"Nothing was cancelled: {title}'s {record.name} shows no token of ours, and {title} "
            "does not say which script it came from."
        )
    if not found.certain:
        return (
            f"Nothing was cancelled: whether {title}'s {record.name} is the job of this record "
            "cannot be determined. The directory of its script is gone, or contains no record."
        )
    if not lookup.answered:
        return (
            f"{title} did not answer, so {record.name} may still be running: {lookup.note} "
            "Try again later."
        )
    if found.other is not None and not record.token:
        return f"Nothing was cancelled. {lookup.note}"
    if lookup.presence is Presence.ABSENT or found.other is not None:
        # Gone; whose its id is now does not matter.
        return None
    if not record.job_id:
        return (
            f"It is not known whether {title} has this job: nothing was found with the token "
            f"{record.token}. Try again later. {lookup.note}".rstrip()
        )
    if lookup.record is None and time.time() - record.when < NOT_YET:
        return f"{title} does not list {record.name} yet. Try again in a moment."
    return None


def sys_name() -> str:
    """The name of the system that this is, for records of jobs."""
    from pavilion import sys_vars

    return str(sys_vars.get_vars(True)["sys_name"])


def elsewhere(job_info: Mapping[str, object]) -> str | None:
    """Why a job cannot be queried here; None when it can."""
    name, here = job_info.get("sys_name"), sys_name()
    if name is None or str(name) == here:
        return None
    return (
        f"Job {job_info.get('id')} was started on the system {name!r}, and this is {here!r}: "
        "nothing can be done about it here."
    )
