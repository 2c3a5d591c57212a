"""The conversation with a scheduler: commands, and what their failures mean.

Every command runs through a :class:`CommandRunner`, with an environment that cannot change what
is queried, and with a timeout.  Queries are repeated after transient failures; nothing else is.
"""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from pavilion.errors import SchedulerPluginError

from ..lifecycle.job_table import JobRecord, JobTable, QueryFailed
from ..talk.commands import CommandResult, CommandRunner, Failure
from .dialect import Dialect, by_identity, with_token
from .recent_jobs import RecentJobs
from .record import DEFAULT_INSTANCE, file_word
from .words import UnreadableAnswer

# How many seconds a process waits for the answer to another one's query.
LOCK_WAIT = 20.0
# How many commands a query may take.
MOST_COMMANDS = 5


class BatchClient:
    """Talks to a scheduler in a dialect.  May be used from several threads.

    :param sleep: Waits for some seconds.
    """

    def __init__(self, dialect: Dialect, sleep: Callable[[float], object] = time.sleep) -> None:
        self.dialect = dialect
        self._sleep = sleep
        environment = dialect.ENVIRONMENT
        self.querying = CommandRunner(
            drop=environment.drop,
            keep=environment.keep,
            set=environment.query,
            timeout=dialect.QUERY_TIMEOUT,
        )
        # Jobs inherit the environment of the submit command, so nothing is set for it.
        self.submitting = CommandRunner(
            drop=environment.drop, keep=environment.keep, timeout=dialect.SUBMIT_TIMEOUT
        )
        # Held while one of them runs.
        self.submit_slots = threading.BoundedSemaphore(dialect.SUBMIT_AT_ONCE)
        # What submitters with unclear answers share.
        self.recent = RecentJobs(lambda cluster: self.jobs(str(os.getuid()), cluster), sleep)

    @property
    def title(self) -> str:
        """The scheduler's name in messages."""
        return self.dialect.title

    def missing_commands(self) -> list[str]:
        """Which of the commands that are needed cannot be found."""
        return [command for command in self.dialect.COMMANDS if shutil.which(command) is None]

    def problem(self) -> str | None:
        """Why the scheduler cannot be used; None when it answers."""
        command = self.dialect.ping_command()
        if command is None:
            return None
        result = self.querying.run(command)
        if self.dialect.classify(result) is None:
            return None
        return f"{self.title} does not answer. {result.describe()}"

    def querying_at(self, cluster: str) -> CommandRunner:
        """What runs queries of a cluster.

        :param cluster: '' for that of this host; an instance, where a scheduler has several.
        """
        if not self.dialect.INSTANCE or not cluster:
            return self.querying
        value = None if cluster == DEFAULT_INSTANCE else cluster
        return self.querying.with_variable(self.dialect.INSTANCE, value)

    def instance(self) -> str:
        """The instance that commands use here; '' where there is only one."""
        name = self.dialect.INSTANCE
        return name and (os.environ.get(name) or DEFAULT_INSTANCE)

    def ask(self, argv: Sequence[str]) -> str:
        """Run a query, again after transient failures.

        :returns: What it printed.
        :raises SchedulerPluginError: With the command and what it said.
        """
        what = f"{self.title} could not be queried"
        try:
            result = self._follow(
                self.querying.run_retrying(argv, self.dialect.classify, attempts=3)
            )
        except UnreadableAnswer as exc:
            raise SchedulerPluginError(what, prior_error=exc) from exc
        if self.dialect.classify(result) is None:
            return result.stdout
        raise self.failed(what, result)

    def query(
        self, argv: Sequence[str], timeout: float | None = None, cluster: str = ""
    ) -> CommandResult:
        """Run a query, and the commands that its answers lead to (``Dialect.next_command``); no
        retries.

        :param cluster: As for :meth:`querying_at`.
        :returns: The result of the last one.
        :raises UnreadableAnswer: For an answer of one of them that is not whole.
        """
        return self._follow(self.querying_at(cluster).run(argv, timeout), timeout, cluster)

    def _follow(
        self, result: CommandResult, timeout: float | None = None, cluster: str = ""
    ) -> CommandResult:
        for _ in range(MOST_COMMANDS):
            argv = self.dialect.read("next_command", result)
            if argv is None:
                return result
            result = self.querying_at(cluster).run(argv, timeout)
        raise UnreadableAnswer(f"it takes more than {MOST_COMMANDS} commands: {result.describe()}")

    def jobs(self, user: str | None, cluster: str = "") -> Mapping[str, JobRecord]:
        """All jobs of a user (of everybody, for None) by token, or by id where they have none.  No
        retries: the table queries again.

        :param user: A uid.
        :param cluster: Another cluster than that of this host.
        :raises QueryFailed: When the scheduler cannot be queried, or its answer is incomplete.
        """
        dialect = self.dialect
        argv = dialect.jobs_command(user_name(user))
        try:
            result = self.query(argv, cluster=cluster)
        except UnreadableAnswer as exc:
            raise QueryFailed(f"The answer of '{' '.join(argv)}' cannot be used: {exc}") from exc
        if dialect.classify(result) is not None:
            where = f" ({dialect.INSTANCE}={cluster})" if dialect.INSTANCE and cluster else ""
            raise QueryFailed(result.describe() + where)
        try:
            records = dialect.read_jobs("parse_jobs", result.stdout)
        except UnreadableAnswer as exc:
            raise QueryFailed(f"The answer of '{result.command}' cannot be used: {exc}") from exc
        return by_identity(records, dialect.token_of, dialect.is_over)

    def with_token(self, token: str, cluster: str, moment: float) -> list[str]:
        """The ids of the jobs with a token, the oldest first, from a query that began at that
        moment of ``recent``'s clock or later.

        :raises QueryFailed: When it failed.
        """
        return with_token(self.recent.since(moment, cluster), token)

    def job_table(
        self, user: str | None, cache_file: Path | None, max_age: float, cluster: str = ""
    ) -> JobTable:
        """A table of a user's jobs on a cluster."""
        words = (self.title.lower(), self.dialect.source(), str(user), file_word(cluster))
        return JobTable(
            lambda: self.jobs(user, cluster),
            is_over=self.dialect.is_over,
            cache_file=cache_file,
            max_age=max_age,
            source=" ".join(words).rstrip(),
            lock_wait=LOCK_WAIT,
        )

    def cancel(self, job_ids: Sequence[str], cluster: str = "") -> list[CommandResult]:
        """Have the scheduler cancel jobs; the results of the commands that took.

        :param cluster: Another cluster than that of this host.
        :raises ValueError: For a string that is not a job id.
        """
        for job_id in job_ids:
            if not self.dialect.is_job_id(job_id):
                raise ValueError(f"Not the id of a {self.title} job: {job_id!r}.")
        results: list[CommandResult] = []
        for start in range(0, len(job_ids), self.dialect.CANCEL_BATCH):
            batch = list(job_ids[start : start + self.dialect.CANCEL_BATCH])
            argv = self.dialect.cancel_command(batch)
            if results and results[-1].timed_out:
                # It answers nobody: the others are not tried, and each would take that long.
                results.append(results[-1]._replace(argv=tuple(argv)))
            else:
                results.append(self.querying_at(cluster).run(argv))
        return results

    def cancel_failures(self, result: CommandResult) -> dict[str, Failure]:
        """The jobs that a cancel command could not cancel, by id, where it names them."""
        try:
            named = self.dialect.read("parse_cancel", result)
        except UnreadableAnswer:
            named = None
        # Otherwise, whether the jobs are gone is looked up.
        return dict(named) if isinstance(named, Mapping) else {}

    def failed(self, what: str, result: CommandResult, where: str = "") -> SchedulerPluginError:
        """A command's failure as an error: what was tried, what the scheduler said, what to look
        at."""
        said = self.dialect.summary(result)
        advice = self.dialect.hint(result)
        text = what + where
        if said:
            text += f": {said if said.endswith('...') else said.rstrip('.')}"
        if not said or self.dialect.classify(result) in (Failure.TRANSIENT, None):
            text += f" [{result.describe()}]"
        return SchedulerPluginError(f"{text}.{f' Hint: {advice}.' if advice else ''}")


def user_name(user: str | None) -> str | None:
    """The name of a uid; None, everybody, for one without a name on this host, as in containers:
    schedulers know users by name."""
    import pwd

    try:
        return None if user is None else pwd.getpwuid(int(user)).pw_name
    except (KeyError, ValueError, OverflowError):
        return None
