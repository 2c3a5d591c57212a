"""Submitting a job once: tokens, adoption, retries.

sbatch may fail although the job exists: the controller took it, and the answer got lost.  So each
submission carries a token, which is written to the job's log first.  After an unclear failure
Slurm's own list of jobs decides: a job with that token is ours, and only a good answer without it
allows another try.  When not even that can be found out, the job is recorded by its token alone,
and whoever asks for its state later looks for it.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from pavilion.errors import SchedulerPluginError

from ...commands import CommandResult, Failure
from ...job_table import QueryFailed
from . import queries
from .client import SlurmClient, failed
from .errors import classify_result
from .header import safe_job_name
from .parsing import parse_submitted, with_token

LOG_FN = "sbatch.log"
# The log begins with the command, which has the token before anything that a user wrote.
_SUBMITTED = re.compile(r"\$ sbatch --parsable '?--(?:comment=|job-name=[^\s']*-)"
                        r"(pav-[0-9a-f]{16})'?\s")
_TOKEN_WITHIN = 1024

ATTEMPTS = 3
# Seconds to wait before the job list is asked again, after it could not be.
LOOK_PAUSES = (1.0, 2.0, 4.0, 8.0, 16.0)
# Seconds until it is asked once more, after it lacked the job.  A controller that comes back
# answers what had piled up in any order, so the list may overtake the job.
CONFIRM_PAUSE = 2.0
# Seconds between tries while a limit of submitted jobs is reached, and for how long at all.
FULL_PAUSE = 30.0
FULL_PATIENCE = 600.0

_CLUSTERS_OPTION = re.compile(r"\s*(?:-M\s*=?|--clusters?(?:\s*=\s*|\s+))(\S.*)")


class Submission(NamedTuple):
    """A job that was handed over.  ``job_id`` is '' when only its token is known."""

    job_id: str
    cluster: str
    token: str


class Submitter:
    """Submits jobs.

    :param sleep: Waits for some seconds.
    :param clock: Gives seconds, for the patience with a full queue.
    """

    def __init__(self, client: SlurmClient, sleep: Callable[[float], object] = time.sleep,
                 clock: Callable[[], float] = time.monotonic) -> None:
        self._client = client
        self._sleep = sleep
        self._clock = clock

    def submit(self, folder: Path, script: Path, output: Path, job_name: str,
               extra: Sequence[str] = ()) -> Submission:
        """Submit a script.

        :param folder: The job's folder.
        :param output: What the job prints goes there.
        :param job_name: Its name in the script.
        :param extra: The options in the script that a user wrote.
        :raises SchedulerPluginError: When Slurm refused it.  Then there is no such job.
        """
        # Where the job may be.
        clusters = named_clusters(extra)
        token = f"pav-{os.urandom(8).hex()}"
        argv = queries.submit(script, output, _token_options(token, job_name, extra))
        full_until = self._clock() + FULL_PATIENCE
        attempts = 0
        while True:
            with self._client.submit_slots:
                result = self._client.submitting.run(argv, output=folder / LOG_FN)
            kind = classify_result(result)
            submitted = parse_submitted(result.stdout) if kind is None else None
            if submitted is not None:
                first = Submission(submitted.job_id, submitted.cluster, token)
                return first if attempts == 0 else self._only_one(first, clusters)
            if kind is Failure.QUEUE_FULL:
                if self._clock() >= full_until:
                    raise _refused(script, result, " after waiting for room in the queue for "
                                   f"{FULL_PATIENCE / 60:.0f} minutes")
                self._sleep(FULL_PAUSE)
                continue
            if kind not in (None, Failure.TRANSIENT) or _not_started(result):
                raise _refused(script, result)
            attempts += 1
            found = self._look_for(token, clusters)
            if found is None:
                return Submission("", clusters[0], token)
            if found:
                return self._adopt(found)
            if attempts >= ATTEMPTS:
                raise _refused(script, result, f" in {attempts} tries")

    def _look_for(self, token: str, clusters: Sequence[str]) -> list[Submission] | None:
        """The jobs with a token; [] when two answers lacked it, None when there were none."""
        lacking = 0
        for pause in (*LOOK_PAUSES, None):
            try:
                found = self._with_token(token, clusters)
            except QueryFailed:
                lacking = 0
            else:
                lacking += 1
                if found or lacking == 2:
                    return found
            if pause is not None:
                self._sleep(CONFIRM_PAUSE if lacking else pause)
        return None

    def _with_token(self, token: str, clusters: Sequence[str]) -> list[Submission]:
        """The jobs with a token, the oldest of each cluster first."""
        return [Submission(job.job_id, cluster, token) for cluster in clusters
                for job in with_token(self._client.jobs(str(os.getuid()), cluster), token)]

    def _only_one(self, made: Submission, clusters: Sequence[str]) -> Submission:
        """After a repeated submission: keep the older job should there be two after all."""
        try:
            found = self._with_token(made.token, clusters)
        except QueryFailed:
            return made
        return self._adopt(found) if len(found) > 1 else made

    def _adopt(self, jobs: list[Submission]) -> Submission:
        """Take the oldest job with our token, and cancel what there is besides."""
        first, *others = jobs
        for job in others:
            self._client.cancel([job.job_id], job.cluster)
        return first


def named_clusters(options: Sequence[str]) -> Sequence[str]:
    """The clusters that a user's options send a job to; [''] for the one of this host."""
    for option in reversed(options):
        match = _CLUSTERS_OPTION.match(option)
        if match:
            return [name.strip() for name in match[1].strip(" '\"").split(",") if name.strip()]
    return [""]


def read_token(folder: Path) -> tuple[str, float]:
    """The token of a job's submission, and when (seconds since the epoch) it was handed over.

    :returns: ('', 0.0) when it was not.
    """
    path = folder / LOG_FN
    try:
        with path.open(encoding="utf-8", errors="replace") as log:
            submitted = _SUBMITTED.match(log.read(_TOKEN_WITHIN))
        return (submitted[1], path.stat().st_mtime) if submitted else ("", 0.0)
    except OSError:
        return "", 0.0


def _token_options(token: str, job_name: str, extra: Sequence[str]) -> list[str]:
    """The options that put the token into the job: its comment, unless that is the user's."""
    if any("--comment" in option for option in extra):
        return [f"--job-name={safe_job_name(job_name, token)}"]
    return [f"--comment={token}"]


def _not_started(result: CommandResult) -> bool:
    return result.returncode is None and not result.timed_out


def _refused(script: Path, result: CommandResult, after: str = "") -> SchedulerPluginError:
    return failed(f"Slurm did not accept the job{after}", result, f" ({script})")
