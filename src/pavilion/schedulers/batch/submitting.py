"""Submitting a job once: tokens, adoption, retries.

A submit command may fail although the job exists: the scheduler took it, and the answer got lost.
So each submission carries a token, which is written to the job's log first.  After an unclear
failure the scheduler's own list of jobs decides: a job with that token is ours, and only a good
answer without it allows another try.  When not even that can be found out, the job is recorded by
its token alone, and whoever queries its state later looks for it.

All of that is reported to the job's Handover, which may give it up.  A submission that is given up
leaves no job, or one that is recorded by its token.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path, PurePath

from pavilion.errors import SchedulerPluginError
from pavilion.jobs import Job

from ..lifecycle.blaming import CAUGHT
from ..lifecycle.handover import Handover, HandoverStopped
from ..lifecycle.job_table import QueryFailed
from ..talk import safe_files
from ..talk.commands import CommandResult, Failure
from .client import BatchClient
from .failures import was_started
from .words import TOKEN, Submission, Submitted, UnreadableAnswer

LOG_FN = "submit.log"
# The log begins with the token, before anything that a user wrote.
_FIRST_LINE, _SECOND_LINE = "token: ", "instance: "
_TOKEN_WITHIN = 1024

ATTEMPTS = 3
# Seconds to wait before the job list is queried again, after that failed.
LOOK_PAUSES = (1.0, 2.0, 4.0, 8.0, 16.0)
# Seconds until it is queried once more, after it lacked the job.  A scheduler that comes back
# answers what had piled up in any order, so the list may overtake the job.
CONFIRM_PAUSE = 2.0
# Seconds between tries while a limit of submitted jobs is reached, and for how long at all.
FULL_PAUSE = 30.0
FULL_PATIENCE = 600.0

# Seconds after which a silent command is reported, and which it gets when handing over is to end.
SLOW = 5.0
STOP_PATIENCE = 2.0
# Seconds between two looks whether to give up, while other submissions are under way.
TURN_POLL = 1.0

TURN = "Waits for its turn: other jobs are being submitted."


def new_token() -> str:
    """A token that no other job has."""
    return f"pav-{os.urandom(8).hex()}"


class Submitter:
    """Submits jobs.

    :param way: The way of the job: takes what it waits for, and says when to give up.
    :param sleep: Waits for some seconds, whatever the way says.
    :param clock: Gives seconds, for the patience with a full queue.
    """

    def __init__(
        self,
        client: BatchClient,
        way: Handover | None = None,
        sleep: Callable[[float], object] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._way = Handover() if way is None else way
        self._sleep = sleep
        self._clock = clock

    def hand_over(
        self,
        argv: Sequence[str],
        submission: Submission,
        log: Path,
        clusters: Sequence[str] = ("",),
    ) -> Submitted:
        """Submit a script.

        :param argv: The command.
        :param log: The file for the commands and what they print.
        :param clusters: Where the job may be; '' is the cluster of this host.
        :raises HandoverStopped: When it was given up.  Then there is no such job.
        :raises SchedulerPluginError: When the scheduler refused it, or its log could not be
            written.  Then there is no such job.
        """
        token, script = submission.token, submission.script
        full_until = self._clock() + FULL_PATIENCE
        attempts = 0
        while True:
            result = self._run(argv, log)
            kind, problem = self._kind(result)
            made = None
            if kind is None:
                made, problem = self._made(result, token)
            if made is not None:
                return made if attempts == 0 else self._only_one(made, clusters)
            if kind is Failure.QUEUE_FULL:
                self._wait_for_room(script, result, full_until)
                continue
            if kind not in (None, Failure.TRANSIENT) or not was_started(result):
                raise self._refused(script, result)
            attempts += 1
            self._way.report(unclear_note(self._client.title, argv, problem))
            found = self._look_for(token, clusters)
            # A command that succeeded has submitted the job, whether or not it can be found.
            if found is None or (not found and (kind is None or _has_begun(script))):
                return Submitted("", clusters[0], token)
            if found:
                return self._adopt(found)
            if self._way.stopped:
                raise self._given_up(result)
            if attempts >= ATTEMPTS:
                raise self._refused(script, result, f" in {attempts} tries")

    def _kind(self, result: CommandResult) -> tuple[Failure | None, str]:
        """What kind of failure a result is, and why that is not known, or ''.

        Nothing that an author wrote may hide a job that was accepted: what classify() does not say
        is unclear, or follows from the exit code.
        """
        dialect = self._client.dialect
        what = f"{type(dialect).__name__}.classify()"
        try:
            kind = dialect.classify(result)
        except CAUGHT as exc:
            problem = f"{what} failed with {type(exc).__name__}: {exc}"
        else:
            if kind is None or isinstance(kind, Failure):
                return kind, ""
            problem = f"{what} must return a Failure or None, not {kind!r}"
        return None if result.ok else Failure.TRANSIENT, problem

    def _made(self, result: CommandResult, token: str) -> tuple[Submitted | None, str]:
        """The job that the answer of a command that succeeded is about; when that is unclear, None
        and what is wrong with the answer, or '' when that is not known."""
        dialect = self._client.dialect
        try:
            answer = dialect.read("parse_submission", result)
        except UnreadableAnswer as exc:
            return None, str(exc)
        if not answer:
            return None, ""
        made = Submitted(answer) if isinstance(answer, str) else answer
        if not isinstance(made, Submitted):
            what = f"{type(dialect).__name__}.parse_submission()"
            return None, f"{what} must return a string, a Submitted or None, not {answer!r}"
        if not dialect.is_job_id(made.job_id):
            return None, f"the job id {made.job_id!r} does not match JOB_ID, {dialect.JOB_ID!r}"
        if result.stdout.endswith(made.job_id):
            # Without the end of its line, '12' may be what is left of '123'.
            return None, ""
        return made._replace(token=token), ""

    def _run(self, argv: Sequence[str], log: Path) -> CommandResult:
        """Run the command, when it is this job's turn.

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
            return self._client.submitting.run(argv, output=log, watch=self._watch(argv))
        finally:
            self._client.submit_slots.release()

    def _watch(self, argv: Sequence[str]) -> Callable[[str], bool]:
        """What watches over a running command: reports what it waits for, and says when to stop
        it."""
        began = self._clock()
        stop_at: list[float] = []

        def goes_on(stderr: str) -> bool:
            retrying = self._client.dialect.keeps_trying(stderr)
            if retrying:
                self._way.report(full_note(self._client.title))
            elif self._clock() - began >= SLOW:
                self._way.report(silent_note(argv))
            if not self._way.stopped:
                return True
            # It may be done any moment, unless it just sleeps.
            stop_at.append(self._clock() + STOP_PATIENCE)
            return not retrying and self._clock() < stop_at[0]

        return goes_on

    def _wait_for_room(self, script: Path, result: CommandResult, until: float) -> None:
        """:raises SchedulerPluginError: When there is no room in the end, or it is given up."""
        if self._clock() >= until:
            raise self._refused(
                script,
                result,
                f" after waiting for room in the queue for {FULL_PATIENCE / 60:.0f} minutes",
            )
        self._way.report(full_note(self._client.title))
        if not self._way.pause(FULL_PAUSE):
            raise self._given_up(result)

    def _look_for(self, token: str, clusters: Sequence[str]) -> list[Submitted] | None:
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

    def _with_token(self, token: str, clusters: Sequence[str]) -> list[Submitted]:
        """The jobs with a token, the oldest of each cluster first."""
        now = self._client.recent.now()
        return [
            Submitted(job_id, cluster, token)
            for cluster in clusters
            for job_id in self._client.with_token(token, cluster, now)
        ]

    def _only_one(self, made: Submitted, clusters: Sequence[str]) -> Submitted:
        """After a repeated submission: keep the older job should there be two after all."""
        try:
            found = self._with_token(made.token, clusters)
        except QueryFailed:
            return made
        return self._adopt(found) if len(found) > 1 else made

    def _adopt(self, jobs: list[Submitted]) -> Submitted:
        """Take the oldest job with our token, and cancel the others."""
        first, *others = jobs
        for job in others:
            self._client.cancel([job.job_id], job.cluster)
        return first

    # --- Messages ---

    def _refused(
        self, script: Path, result: CommandResult, after: str = ""
    ) -> SchedulerPluginError:
        return self._client.failed(
            f"{self._client.title} did not accept the job{after}", result, f" ({script})"
        )

    def _given_up(self, result: CommandResult) -> HandoverStopped:
        said = self._client.dialect.summary(result)
        return HandoverStopped(
            f"The job was not submitted: this was given up while {self._client.title} did not "
            f"accept it{f' ({said})' if said else ''}."
        )


def full_note(title: str) -> str:
    """That a scheduler's queue is full."""
    return (
        f"{title} accepts no more jobs at the moment: its queue is full, or a limit on submitted "
        "jobs is reached. The submission is retried for 10 minutes."
    )


def silent_note(argv: Sequence[str]) -> str:
    """That the submit command is slow."""
    return f"{PurePath(argv[0]).name} was started and has not answered yet."


def unclear_note(title: str, argv: Sequence[str], problem: str = "") -> str:
    """That a job is looked for.

    :param problem: What is wrong with the answer, if that is known.
    """
    why = f" ({problem})" if problem else ""
    return (
        f"What {PurePath(argv[0]).name} printed does not show whether {title} accepted the job"
        f"{why}, so {title}'s list of jobs is searched for it."
    )


def _has_begun(script: Path) -> bool:
    """Whether a kickoff script has been run.  Some schedulers forget a job as soon as it ends, so a
    list that lacks it does not mean that there was none."""
    try:
        # The directory is read, because a network file system may remember what was not there.
        return any(path.name == Job.KICKOFF_LOG_FN for path in script.parent.iterdir())
    except OSError:
        return False


# --- The log of a job's submissions ---


def begin_log(path: Path, token: str, instance: str = "") -> None:
    """Begin the log of a job's submission with its token, by which the job is found whatever
    happens next.

    :param instance: The instance of the scheduler, where there are several.
    :raises SchedulerPluginError: When it cannot be written.
    """
    try:
        log, _ = safe_files.open_to_append(path)
        try:
            second = f"{_SECOND_LINE}{instance}\n" if instance else ""
            safe_files.write_all(log, os.fsencode(f"{_FIRST_LINE}{token}\n{second}"))
        finally:
            os.close(log)
    except OSError as exc:
        raise SchedulerPluginError(
            f"The job was not submitted: its log {path} cannot be written: {exc.strerror}."
        ) from exc


def read_token(path: Path) -> tuple[str, float]:
    """The token in the log of a job's submission, and when (seconds since the epoch) the job was
    handed over.

    :returns: ('', 0.0) when it was not.
    """
    try:
        start, info = safe_files.read_start(path, _TOKEN_WITHIN)
    except OSError:
        return "", 0.0
    line = start.decode("utf-8", "replace").partition("\n")[0]
    token = line[len(_FIRST_LINE) :]
    if not line.startswith(_FIRST_LINE) or not TOKEN.fullmatch(token):
        return "", 0.0
    return token, info.st_mtime


def read_instance(path: Path) -> str:
    """The instance in the log of a job's submission; '' where it has none."""
    try:
        start, _ = safe_files.read_start(path, _TOKEN_WITHIN)
    except OSError:
        return ""
    second = os.fsdecode(start).split("\n")[1:2]
    found = second[0] if second else ""
    return found[len(_SECOND_LINE) :] if found.startswith(_SECOND_LINE) else ""
