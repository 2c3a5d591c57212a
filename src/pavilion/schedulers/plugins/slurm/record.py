"""The record of a Slurm job: what its JobInfo says.

``id`` and ``sys_name`` are what hosts show.  The id is as ``sbatch --parsable`` prints it, 'ID' or
'ID;CLUSTER', or the token of a submission whose id is not known yet.  Beside these are ``token``,
``user`` (a uid), ``when`` (seconds since the epoch), ``script`` (the kickoff script's path) and
``name`` (the name that the job got; not in records of earlier versions).
Records of earlier versions have ``cluster`` as a key of its own and an empty id where only the
token is known; those of other programs have ``id`` and perhaps ``sys_name``, and no more.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping
from typing import NamedTuple

from pavilion.errors import SchedulerPluginError
from pavilion.jobs import JobInfo

from .queries import is_cluster_name, is_job_id

_TOKEN = re.compile(r"pav-[0-9a-f]{16}\Z")


class JobRecordError(SchedulerPluginError):
    """The record of a job makes no sense."""


class SlurmRecord(NamedTuple):
    """Who a job is.  ``job_id`` is '' when only its token is known, ``token`` is '' in records
    that have none, ``user`` is None when it is not known whose job it is."""

    job_id: str
    cluster: str
    token: str
    user: str | None
    when: float
    script: str = ""
    job_name: str = ""

    @property
    def key(self) -> str:
        """What the job table has it under."""
        return self.token or self.job_id

    @property
    def name(self) -> str:
        """What to call it in messages."""
        return f"job {self.job_id}" if self.job_id else f"a job with the token {self.token}"


def make_record(
    sys_name: str,
    job_id: str,
    cluster: str,
    token: str,
    script: str,
    when: float | None = None,
    job_name: str = "",
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
    return JobInfo(info)


def read_record(info: Mapping[str, object]) -> SlurmRecord:
    """What a JobInfo says.

    :raises JobRecordError: When it makes no sense.
    """
    text = {key: str(value) for key, value in info.items() if value is not None}
    shown, _, cluster = text.get("id", "").partition(";")
    token = text.get("token", "")
    if _TOKEN.match(shown):
        token, shown = token or shown, ""
    cluster = cluster or text.get("cluster", "")
    try:
        when = float(text.get("when") or 0)
    except ValueError:
        when = -1.0
    if (
        not (is_job_id(shown) or (not shown and token))
        or when < 0
        or (cluster and not is_cluster_name(cluster))
    ):
        raise JobRecordError(f"The record of a Slurm job is damaged: {dict(info)!r}.")
    return SlurmRecord(
        shown, cluster, token, text.get("user"), when, text.get("script", ""), text.get("name", "")
    )
