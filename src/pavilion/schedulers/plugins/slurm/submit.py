"""Submitting a job once: tokens, adoption, retries.

sbatch may fail although the job exists: the controller took it, and the answer got lost.  So each
submission carries a token, which is written to the job's log first.  After an unclear failure
Slurm's own list of jobs decides: a job with that token is ours, and only a good answer without it
allows another try.  When not even that can be found out, the job is recorded by its token alone,
and whoever queries its state later looks for it.

All of that is reported to the job's Handover, which may give it up.  A submission that is given up
leaves no job, or one that is recorded by its token.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from pavilion.errors import SchedulerPluginError

from ...lifecycle.handover import Handover, HandoverStopped
from ...lifecycle.job_table import QueryFailed
from ...placement.inventory import name_list
from ...talk import safe_files
from ...talk.commands import CommandResult, Failure
from . import queries
from .client import SlurmClient, failed
from .errors import classify_result, summary
from .extra import value_of
from .header import safe_job_name
from .output import output_options
from .parsing import parse_submitted, with_token

LOG_FN = "sbatch.log"
# The log begins with the command, which has the token before anything that a user wrote.
_SUBMITTED = re.compile(
    r"\$ sbatch --parsable '?--(?:comment=|job-name=[^\s']*-)"
    r"(pav-[0-9a-f]{16})'?\s"
)
_TOKEN_WITHIN = 1024

ATTEMPTS = 3
# Seconds to wait before the job list is queried again, after that failed.
LOOK_PAUSES = (1.0, 2.0, 4.0, 8.0, 16.0)
# Seconds until it is queried once more, after it lacked the job.  A controller that comes back
# answers what had piled up in any order, so the list may overtake the job.
CONFIRM_PAUSE = 2.0
# Seconds between tries while a limit of submitted jobs is reached, and for how long at all.
FULL_PAUSE = 30.0
FULL_PATIENCE = 600.0

# Seconds after which a silent sbatch is reported, and which it gets when handing over is to end.
SLOW = 5.0
STOP_PATIENCE = 2.0
# Seconds between two looks whether to give up, while other submissions are under way.
TURN_POLL = 1.0

FULL = (
    "Slurm accepts no more jobs at the moment: its queue is full, or a limit on submitted jobs "
    "is reached. The submission is retried for 10 minutes."
)
SILENT = "sbatch was started and has not answered yet."
TURN = "Waits for its turn: other jobs are being submitted."
UNCLEAR = (
    "What sbatch printed does not show whether Slurm accepted the job, so Slurm's list of jobs "
    "is searched for it."
)
# What sbatch prints at once, before it tries again for two minutes.
_RETRYING = re.compile(r"(?:sleeping and|disabled,) retrying", re.IGNORECASE)


class Submission(NamedTuple):
    """A job that was handed over.  ``job_id`` is '' when only its token is known."""

    job_id: str
    cluster: str
    token: str


class Submitter:
    """Submits jobs.

    :param way: The way of the job: takes what it waits for, and says when to give up.
    :param sleep: Waits for some seconds, whatever the way says.
    :param clock: Gives seconds, for the patience with a full queue.
    """

    def __init__(
        self,
        client: SlurmClient,
        way: Handover | None = None,
        sleep: Callable[[float], object] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._way = Handover() if way is None else way
        self._sleep = sleep
        self._clock = clock

    def submit(
        self, folder: Path, script: Path, output: Path, job_name: str, extra: Sequence[str] = ()
    ) -> Submission:
        """Submit a script.

        :param folder: The job's directory.
        :param output: What the job prints goes there.
        :param job_name: Its name in the script.
        :param extra: The options in the script that a user wrote.
        :raises HandoverStopped: When it was given up.  Then there is no such job.
        :raises SchedulerPluginError: When Slurm refused it, or could not write its log.  Then
            there is no such job.
        """
        # Where the job may be.
        clusters = named_clusters(extra)
        token = f"pav-{os.urandom(8).hex()}"
        argv = queries.submit(
            script, [*_token_options(token, job_name, extra), *output_options(output, extra)]
        )
        full_until = self._clock() + FULL_PATIENCE
        attempts = 0
        while True:
            result = self._run(argv, folder / LOG_FN)
            kind = classify_result(result)
            submitted = parse_submitted(result.stdout) if kind is None else None
            if submitted is not None:
                first = Submission(submitted.job_id, submitted.cluster, token)
                return first if attempts == 0 else self._only_one(first, clusters)
            if kind is Failure.QUEUE_FULL:
                self._wait_for_room(script, result, full_until)
                continue
            if kind not in (None, Failure.TRANSIENT) or _not_started(result):
                raise _refused(script, result)
            attempts += 1
            self._way.report(UNCLEAR)
            found = self._look_for(token, clusters)
            if found is None:
                return Submission("", clusters[0], token)
            if found:
                return self._adopt(found)
            if self._way.stopped:
                raise _given_up(result)
            if attempts >= ATTEMPTS:
                raise _refused(script, result, f" in {attempts} tries")

    def _run(self, argv: list[str], log: Path) -> CommandResult:
        """Run sbatch, when it is this job's turn.

        :raises HandoverStopped: When it is to be given up before.
        """
        came = self._clock()
        while not self._client.submit_slots.acquire(timeout=TURN_POLL):
            if self._clock() - came >= SLOW:
                self._way.report(TURN)
            if self._way.stopped:
                raise HandoverStopped(
                    "The job was not submitted: other jobs were still ahead of it when submitting "
                    "was to end."
                )
        try:
            return self._client.submitting.run(argv, output=log, watch=self._watch())
        finally:
            self._client.submit_slots.release()

    def _watch(self) -> Callable[[str], bool]:
        """What watches over a running sbatch: reports what it waits for, and says when to stop it."""
        began = self._clock()
        stop_at: list[float] = []

        def goes_on(stderr: str) -> bool:
            retrying = _RETRYING.search(stderr) is not None
            if retrying:
                self._way.report(FULL)
            elif self._clock() - began >= SLOW:
                self._way.report(SILENT)
            if not self._way.stopped:
                return True
            # It may be done any moment, unless it just sleeps.
            stop_at.append(self._clock() + STOP_PATIENCE)
            return not retrying and self._clock() < stop_at[0]

        return goes_on

    def _wait_for_room(self, script: Path, result: CommandResult, until: float) -> None:
        """:raises SchedulerPluginError: When there is no room in the end, or it is given up."""
        if self._clock() >= until:
            raise _refused(
                script,
                result,
                f" after waiting for room in the queue for {FULL_PATIENCE / 60:.0f} minutes",
            )
        self._way.report(FULL)
        if not self._way.pause(FULL_PAUSE):
            raise _given_up(result)

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
            if pause is None or self._way.pause(CONFIRM_PAUSE if lacking else pause):
                continue
            if not lacking:
                break
            # The second answer is worth its while even now: it says that there is no job.
            self._sleep(CONFIRM_PAUSE)
            try:
                return self._with_token(token, clusters)
            except QueryFailed:
                break
        return None

    def _with_token(self, token: str, clusters: Sequence[str]) -> list[Submission]:
        """The jobs with a token, the oldest of each cluster first."""
        recent = self._client.recent
        now = recent.now()
        return [
            Submission(job.job_id, cluster, token)
            for cluster in clusters
            for job in with_token(recent.since(now, cluster), token)
        ]

    def _only_one(self, made: Submission, clusters: Sequence[str]) -> Submission:
        """After a repeated submission: keep the older job should there be two after all."""
        try:
            found = self._with_token(made.token, clusters)
        except QueryFailed:
            return made
        return self._adopt(found) if len(found) > 1 else made

    def _adopt(self, jobs: list[Submission]) -> Submission:
        """Take the oldest job with our token, and cancel the others."""
        first, *others = jobs
        for job in others:
            self._client.cancel([job.job_id], job.cluster)
        return first


def named_clusters(options: Sequence[str]) -> Sequence[str]:
    """The clusters that a user's options send a job to; [''] for that of this host."""
    return name_list(value_of(options, "clusters")) or [""]


def read_token(folder: Path) -> tuple[str, float]:
    """The token of a job's submission, and when (seconds since the epoch) it was handed over.

    :returns: ('', 0.0) when it was not.
    """
    path = folder / LOG_FN
    try:
        start, info = safe_files.read_start(path, _TOKEN_WITHIN)
    except OSError:
        return "", 0.0
    submitted = _SUBMITTED.match(start.decode("utf-8", "replace"))
    return (submitted[1], info.st_mtime) if submitted else ("", 0.0)


def _token_options(token: str, job_name: str, extra: Sequence[str]) -> list[str]:
    """The options that put the token into the job: its comment, unless that is the user's."""
    if value_of(extra, "comment") is not None:
        return [f"--job-name={safe_job_name(job_name, token)}"]
    return [f"--comment={token}"]


def _not_started(result: CommandResult) -> bool:
    return result.returncode is None and not result.timed_out


def _refused(script: Path, result: CommandResult, after: str = "") -> SchedulerPluginError:
    return failed(f"Slurm did not accept the job{after}", result, f" ({script})")


def _given_up(result: CommandResult) -> HandoverStopped:
    said = summary(result.stderr)
    return HandoverStopped(
        "The job was not submitted: this was given up while Slurm did not accept "
        f"it{f' ({said})' if said else ''}."
    )
