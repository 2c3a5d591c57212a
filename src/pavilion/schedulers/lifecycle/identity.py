"""What identifies a job to its scheduler: the host's record of it, and a file next to that.

A plugin's ``_kickoff()`` returns a JobInfo, which is passed to ``_job_status()`` and ``cancel()``.
Hosts show *all* values of their record as the job's id, so it only contains what identifies a job to
users (``JOB_INFO_KEYS`` of the plugin).  The rest is in a file in the job's directory.  Records from
before that file existed contain everything, and are read as they are.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pavilion.errors import PavilionError, SchedulerPluginError
from pavilion.jobs import Job, JobError, JobInfo

from ..talk import safe_files

if TYPE_CHECKING:
    from ..scheduler import SchedulerPlugin

IDENTITY_FN = "identity.json"
MAX_SIZE = 64 * 1024
# What identifies a job whose id is not known (yet): the mark that its plugin left in it.
_MARK = re.compile(r"pav-[0-9a-f]{16}\Z")
# No id of a scheduler is longer.
_LONGEST_ID = 200

# The errors that reading a host's record may raise; a host's JobError may not be a PavilionError.
RecordErrors = (JobError, PavilionError, OSError, ValueError)


def checked_info(plugin: SchedulerPlugin, info: Any) -> JobInfo:
    """Check that ``_kickoff()`` returned a JobInfo: a dictionary of strings.  Numbers are converted
    to strings: otherwise, an id could be a number before it is stored and a string afterwards, and
    a lookup would not find the job.

    :raises SchedulerPluginError: When it is something else; names plugin and value.
    """
    problem = ""
    if not isinstance(info, Mapping) or not info:
        problem = f"not {info!r}"
    else:
        for key, value in info.items():
            if not isinstance(key, str) or not isinstance(value, (str, int, float)):
                problem = f"but {key!r} is {value!r}"
    if problem:
        raise SchedulerPluginError(
            f"_kickoff() of scheduler plugin {plugin.name!r} ({plugin.path}) must return a JobInfo "
            f"(a dictionary of strings that identifies the job), {problem}. The job may have been "
            "started, but it cannot be found again."
        )
    return JobInfo({key: str(value) for key, value in info.items()})


def save_identity(plugin: SchedulerPlugin, job: Job, info: JobInfo) -> None:
    """Store what identifies a job.  It may raise any exception of the host's Job class."""
    shown = plugin.JOB_INFO_KEYS
    beside = {} if shown is None else {key: info[key] for key in info if key not in shown}
    if beside:
        # This is written first, so that a record that exists is always complete.
        path = job.path / IDENTITY_FN
        safe_files.write_atomic(path, json.dumps(beside).encode())
    job.info = JobInfo({key: info[key] for key in info if key not in beside})


def load_identity(job: Job) -> JobInfo | None:
    """The stored identity of a job; None when it has no record (yet).

    :raises JobError, PavilionError, OSError, ValueError: When the record cannot be read or is
        damaged; see :func:`is_missing` and :func:`is_damaged`.
    """
    info: Mapping[str, Any] | None = job.info
    if not info:
        return None
    if not isinstance(info, Mapping):
        raise ValueError(f"the record of job {job.name} must be a dictionary, not {info!r}")
    return JobInfo({**_beside(job.path / IDENTITY_FN), **info})


def _beside(path: Path) -> dict[str, str]:
    """The content of the file next to the record; {} when it is damaged, because the record alone
    identifies the job, too, as do records of other programs, which have no such file."""
    try:
        found = json.loads(safe_files.read_bytes(path, MAX_SIZE))
    except (OSError, ValueError, RecursionError):
        return {}
    if not isinstance(found, dict):
        return {}
    return {key: value for key, value in found.items() if isinstance(value, str)}


def job_id_of(info: Any) -> str | None:
    """The id that users know a job by, from its record: its 'id', otherwise the first value.

    :returns: None when the id is not known (yet), or the record makes no sense.
    """
    if not isinstance(info, Mapping) or not info:
        return None
    found = info.get("id", next(iter(info.values())))
    if isinstance(found, bool) or not isinstance(found, (str, int)):
        return None
    text = str(found) if isinstance(found, str) or abs(found) < 10**18 else ""
    usable = 0 < len(text) <= _LONGEST_ID and text.isprintable() and not _MARK.match(text)
    return text if usable else None


def known_id(job: Job) -> str | None:
    """The id that users know a job by; None before the scheduler accepted it, or where its record
    cannot be read."""
    try:
        return job_id_of(job.info)
    except RecordErrors:
        return None


def is_missing(exc: BaseException) -> bool:
    """Whether an error of :func:`load_identity` means that there is no record, as in some hosts for
    a job that was not submitted yet."""
    return isinstance(_cause(exc), FileNotFoundError)


def is_damaged(exc: BaseException) -> bool:
    """Whether an error of :func:`load_identity` means that the record is not valid, as after a crash
    of the machine.  Trying again does not help."""
    return isinstance(_cause(exc), ValueError)


def _cause(exc: BaseException) -> BaseException:
    """The error that caused a host's own error, which has it as 'prior_error' or as an argument."""
    prior = getattr(exc, "prior_error", None)
    if isinstance(prior, BaseException):
        return prior
    for arg in exc.args:
        if isinstance(arg, BaseException):
            return arg
    return exc
