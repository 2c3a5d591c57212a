"""The record of a job: what its JobInfo says.

``id`` and ``sys_name`` are what hosts show.  The id is the scheduler's, 'ID' or 'ID;CLUSTER', or the
token of a submission whose id is not known yet.  Beside these are ``token``, ``user`` (a uid),
``when`` (seconds since the epoch), ``script`` (the kickoff script's path) and ``name`` (the name
that the job got; not in records of earlier versions).
Records of earlier versions have ``cluster`` as a key of its own and an empty id where only the
token is known; those of other programs have ``id`` and perhaps ``sys_name``, and no more.

Where a scheduler has several instances, each with jobs of its own, ``instance`` says which one a
job belongs to: the value of the variable that named it at the submission, or DEFAULT_INSTANCE.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

from pavilion.errors import SchedulerPluginError
from pavilion.jobs import JobInfo

from .words import TOKEN, digest

DEFAULT_INSTANCE = "default"
"""The instance that a scheduler's commands use where no variable names one."""

_CLUSTER = re.compile(r"[A-Za-z0-9_.-]+")


class JobRecordError(SchedulerPluginError):
    """The record of a job makes no sense."""


class BatchRecord(NamedTuple):
    """Who a job is.  ``job_id`` is '' when only its token is known, ``token`` is '' in records
    that have none, ``user`` is None when it is not known whose job it is, ``instance`` is '' when it
    is not known, or there is only one."""

    job_id: str
    cluster: str
    token: str
    user: str | None
    when: float
    script: str = ""
    job_name: str = ""
    instance: str = ""

    @property
    def key(self) -> str:
        """What the job table has it under."""
        return self.token or self.job_id

    @property
    def name(self) -> str:
        """What to call it in messages."""
        return f"job {self.job_id}" if self.job_id else f"a job with the token {self.token}"


def file_word(cluster: str) -> str:
    """A cluster's name for names of files; a digest of one that is an address."""
    if not cluster or _CLUSTER.fullmatch(cluster):
        return cluster
    return digest(cluster)


def make_record(
    sys_name: str,
    job_id: str,
    cluster: str,
    token: str,
    script: str,
    when: float | None = None,
    job_name: str = "",
    instance: str = "",
) -> JobInfo:
    """The JobInfo of a job of this user."""
    shown = ";".join(filter(None, (job_id, cluster))) if job_id else token
    info = {
        "id": shown,
        "sys_name": sys_name,
        "token": token,
        "user": str(os.getuid()),
        "when": str(time.time() if when is None else when),
        "script": script,
    }
    if job_name:
        info["name"] = job_name
    if cluster and not job_id:
        info["cluster"] = cluster
    if instance:
        info["instance"] = instance
    return JobInfo(info)


def read_record(
    info: Mapping[str, object], is_job_id: Callable[[str], bool], title: str
) -> BatchRecord:
    """What a JobInfo says.

    :param is_job_id: Whether a string is the id of a job of this scheduler.
    :param title: The scheduler, for messages.
    :raises JobRecordError: When it makes no sense.
    """
    text = {key: str(value) for key, value in info.items() if value is not None}
    shown, _, cluster = text.get("id", "").partition(";")
    token = text.get("token", "")
    if TOKEN.fullmatch(shown):
        token, shown = token or shown, ""
    cluster = cluster or text.get("cluster", "")
    try:
        when = float(text.get("when") or 0)
    except ValueError:
        when = -1.0
    if (
        not (is_job_id(shown) or (not shown and token))
        or not when >= 0
        or (cluster and not _CLUSTER.fullmatch(cluster))
    ):
        raise JobRecordError(f"The record of a {title} job is damaged: {dict(info)!r}.")
    return BatchRecord(
        shown,
        cluster,
        token,
        text.get("user"),
        when,
        text.get("script", ""),
        text.get("name", ""),
        text.get("instance", ""),
    )
