"""How a scheduler is talked to: tables, and pairs of pure functions.

A :class:`Dialect` knows which command to run and what its answer means, and nothing else: it runs
no commands, opens no files, and reads no clock.  So every part of it can be tested with captured
text.  :class:`~pavilion.schedulers.batch.plugin.SchedulerPluginBatch` derives from it, and an
author writes its methods as methods of the plugin.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from pavilion.types import NodeInfo

from ..lifecycle.job_cache import JobRecord
from ..talk.commands import CommandResult, Failure
from .directives import Directive
from .failures import Failures, Sign, failures
from .section import Options, OwnKey, UserOptions
from .words import (
    BatchJob,
    JobState,
    QueueInfo,
    Submission,
    Submitted,
    UnreadableAnswer,
    digest,
    find_token,
)

# What the parts of a dialect say that have no default, for messages.
_WHAT = {
    "COMMANDS": "which commands the scheduler has",
    "STATES": "what the scheduler's words for the states of jobs mean",
    "submit_command": "how a script is submitted",
    "parse_submission": "what the submit command prints for a new job",
    "jobs_command": "how jobs are listed",
    "parse_jobs": "what the list of jobs means",
    "cancel_command": "how jobs are cancelled",
    "parse_nodes": "what the list of nodes means",
    "parse_history": "what the answer about jobs that ended means",
    "parse_queues": "what the list of queues means",
    "parse_details": "what the answer about one job means",
}
# The keys of JobRecord.data that are the family's own.
TOKEN_KEY, REASON_KEY, EXIT_KEY, NODES_KEY = "token", "reason", "exit_code", "nodes"
# Those of BatchJob.data from which it is seen why a job waits: its queue, and how many nodes it needs.
QUEUE_KEY, COUNT_KEY = "queue", "node_count"
# The path of the script that a job came from, where the list of jobs shows it.
SCRIPT_KEY = "script"


class Environment(NamedTuple):
    """The environment of a scheduler's commands.

    :param drop: Prefixes of variables that commands must not see, because they change what is
        queried or submitted ('MYSCHED_'); inside an allocation, many are set.
    :param keep: Names of variables to keep even if they have such a prefix: where the scheduler is,
        and who we are.
    :param query: Variables to set for queries.  Not for submissions: jobs inherit these.
    """

    drop: Sequence[str] = ()
    keep: Sequence[str] = ()
    query: Mapping[str, str] = {"LC_ALL": "C"}


class Dialect:
    """What a plugin of the batch family says about its scheduler."""

    # The scheduler's name in messages, as its makers write it.  '' is the plugin's own name.
    TITLE: str = ""
    # The commands without which the plugin cannot work.
    COMMANDS: Sequence[str] = ()
    ENVIRONMENT: Environment = Environment()
    # The variable, one of those that ENVIRONMENT keeps, that names one of several instances of the
    # scheduler, each with jobs of its own.  A job's record keeps its value, and commands about the
    # job get that one, wherever they are run.  '' where there is only one.
    INSTANCE: str = ""
    # What begins a line of options in a script, and the lines.
    DIRECTIVE_PREFIX: str = ""
    DIRECTIVES: Sequence[Directive] = ()
    # Which schedule keys are used beside those of DIRECTIVES, such as those that submit_command()
    # reads.  A key that is set and not used is an error.
    USED_KEYS: Sequence[str] = ()
    # The keys of the plugin's own section, where a table says all about them; and which options of
    # the submit command users may give in one of them.
    OWN_KEYS: Sequence[OwnKey] = ()
    USER_OPTIONS: UserOptions | None = None
    # Whether the scheduler may run a script a second time, whatever the options say.  Then the script
    # ends at once.
    MAY_RUN_AGAIN: bool = False
    # The variable of a job's environment that has its token, if one has.  The script unsets it, so
    # that jobs that a test submits do not inherit it.
    TOKEN_VARIABLE: str = ""
    # What failures mean: strings in their messages, regular expressions, (command, exit code).
    FAILURES: Mapping[Failure, Iterable[Sign]] = {}
    # The scheduler's words for the states of jobs.  A word that is not there counts as ACTIVE.
    STATES: Mapping[str, JobState] = {}
    # What these words, and what the scheduler gives as reasons, mean for a user.
    WORDS: Mapping[str, str] = {}
    # The keys that name a job's queue; the first that is set counts.
    QUEUE_KEYS: Sequence[str] = ("partition",)
    # What a job's id looks like: it is checked before it becomes part of a command.
    JOB_ID: str = r"[0-9]+"
    # How many ids one cancel command takes.
    CANCEL_BATCH: int = 500
    # Seconds after which a command is stopped.  Some schedulers' submit commands wait for room in
    # the queue by themselves.
    QUERY_TIMEOUT: float = 60.0
    SUBMIT_TIMEOUT: float = 180.0
    # How many submit commands run at the same time.
    SUBMIT_AT_ONCE: int = 4

    # A command, beside ping_command(), that shows somebody what is wrong with the scheduler.
    START_WITH: Sequence[str] | None = None

    # FAILURES, compiled when they are first needed.
    _failures: Failures | None = None

    def check_whole(self) -> None:
        """:raises NotImplementedError: When a part without a default is missing; it names the first
        in the order in which they are used."""
        for name in (
            "COMMANDS",
            "submit_command",
            "parse_submission",
            "jobs_command",
            "parse_jobs",
        ):
            self._check_part(name)
        if type(self).state_of is Dialect.state_of:
            self._check_part("STATES")
        self._check_part("cancel_command")
        for command, parser in (
            ("nodes_command", "parse_nodes"),
            ("history_command", "parse_history"),
            ("details_command", "parse_details"),
            ("queues_command", "parse_queues"),
        ):
            if getattr(type(self), command) is not getattr(Dialect, command):
                self._check_part(parser)

    def _check_part(self, name: str) -> None:
        own = getattr(type(self), name)
        if not own or own is getattr(Dialect, name):
            raise self._lacks(name)

    # --------------------------------------------------------- pairs: the command, and its answer

    def ping_command(self) -> list[str] | None:
        """The command that fails when the scheduler cannot be used; None: it is not tried."""
        return None

    def version_command(self) -> list[str] | None:
        """The command that prints the scheduler's version in its first line, for 'doctor'; None:
        that is not shown."""
        return None

    def submit_command(self, submission: Submission) -> list[str]:
        """The command that submits a script.  It must put the token into the job."""
        raise self._lacks("submit_command")

    def parse_submission(self, result: CommandResult) -> Submitted | str | None:
        """The id of the job that was just submitted, from a command that succeeded.

        :returns: None when the answer does not show it for certain.  Then the list of jobs is
            searched for the token; also where the answer ends with the id and has no line end,
            because it may have been cut off.
        """
        raise self._lacks("parse_submission")

    def jobs_command(self, user: str | None) -> list[str]:
        """The command that lists all jobs of a user.

        :param user: A user's name; None for the jobs of everybody.
        """
        raise self._lacks("jobs_command")

    def parse_jobs(self, text: str) -> Iterable[BatchJob]:
        """The jobs in such a list.

        :raises UnreadableAnswer: For a list that is not whole.  An empty one must be distinguished
            from one that was cut off: otherwise jobs get lost.  Any other exception means the same.
        """
        raise self._lacks("parse_jobs")

    def next_command(self, result: CommandResult) -> list[str] | None:
        """A further command that a query needs: the answer of the last one named what to query, say,
        or came in a format that turned out to be broken.

        :param result: Of any query: for jobs, nodes, or details.  It may have failed.
        :returns: None when that result is the answer, and is to be read.
        :raises UnreadableAnswer: For an answer that is not whole.
        """
        return None

    def cancel_command(self, job_ids: Sequence[str]) -> list[str]:
        """The command that cancels jobs, of up to CANCEL_BATCH ids."""
        raise self._lacks("cancel_command")

    def parse_cancel(self, result: CommandResult) -> dict[str, Failure]:
        """The jobs that could not be cancelled, and why, where the answer names them.  Whether the
        others are gone is looked up."""
        return {}

    def nodes_command(self) -> list[str] | None:
        """The command that lists all nodes; None where the scheduler has no such command."""
        return None

    def parse_nodes(self, text: str) -> Iterable[NodeInfo]:
        """The nodes in such a list; see ``_transform_raw_node_data`` for the keys.

        :raises UnreadableAnswer: For a list that is not whole.
        """
        raise self._lacks("parse_nodes")

    def history_command(self, job_ids: Sequence[str]) -> list[str] | None:
        """The command that shows how jobs ended which are no longer listed; None where the
        scheduler does not know, or for more ids than one command takes."""
        return None

    def parse_history(self, text: str) -> Iterable[BatchJob]:
        """The jobs in its answer.

        :raises UnreadableAnswer: For an answer that is not whole.
        """
        raise self._lacks("parse_history")

    def details_command(self, job_id: str) -> list[str] | None:
        """The command that shows why a job is stuck or waits, where the list of jobs does not
        show it; None where it does, or where nothing does."""
        return None

    def parse_details(self, text: str) -> str:
        """The reason, in the scheduler's own words; '' for none."""
        raise self._lacks("parse_details")

    def queues_command(self) -> list[str] | None:
        """The command that lists all queues; None where there are none, or partitions are checked
        otherwise.  With it, a queue that does not exist is an error, nodes outside of the default
        queue are not usable for jobs that name none, and jobs that wait in a queue that is stopped,
        or has too few usable nodes, say so: BatchJob.data has 'queue' and 'node_count' then."""
        return None

    def parse_queues(self, text: str) -> Iterable[QueueInfo]:
        """The queues in its answer.

        :raises UnreadableAnswer: For a list that is not whole.
        """
        raise self._lacks("parse_queues")

    def _lacks(self, name: str) -> NotImplementedError:
        where = f" in {self.path}" if hasattr(self, "path") else ""
        verb = "set" if name.isupper() else "define"
        return NotImplementedError(
            f"The scheduler plugin {self.title!r} ({type(self).__name__}{where}) does not {verb} "
            f"{name}{'' if name.isupper() else '()'}, which says {_WHAT[name]}."
        )

    def read(self, method: str, answer: Any) -> Any:
        """What a parser makes of an answer; a list, where it gives several things.

        :param method: The parser's name.
        :raises UnreadableAnswer: When it fails, in whatever way: nothing may be concluded from an
            answer that it does not understand.
        """
        try:
            found = getattr(self, method)(answer)
            # Generators fail while they are read.
            return list(found) if isinstance(found, Iterator) else found
        except (UnreadableAnswer, NotImplementedError):
            raise
        except (Exception, SystemExit) as exc:
            raise UnreadableAnswer(
                f"{type(self).__name__}.{method}() failed with {type(exc).__name__}: {exc}"
            ) from exc

    def read_jobs(self, method: str, text: str) -> list[JobRecord]:
        """The jobs that parse_jobs() or parse_history() finds in an answer.

        :raises UnreadableAnswer: As :meth:`read`, and for jobs of ours with an id that does not
            look like one.
        """
        try:
            records = [self.record(job) for job in self.read(method, text)]
        except (AttributeError, TypeError) as exc:
            raise UnreadableAnswer(
                f"{type(self).__name__}.{method}() must return BatchJobs: {exc}"
            ) from exc
        for record in records:
            if self.token_of(record) and not self.is_job_id(record.job_id):
                raise UnreadableAnswer(
                    f"the job id {record.job_id!r} does not match JOB_ID, {self.JOB_ID!r}"
                )
        return records

    # ------------------------------------------------------------------ what answers mean at large

    @property
    def title(self) -> str:
        """The scheduler's name in messages."""
        return self.TITLE or str(getattr(self, "name", "")) or type(self).__name__

    def classify(self, result: CommandResult) -> Failure | None:
        """What kind of failure a result is; None for none.  By FAILURES."""
        if self._failures is None:
            self._failures = failures(self.FAILURES)
        return self._failures.kind(result)

    def summary(self, result: CommandResult) -> str:
        """What a failed command said, for users, on one line; '' for nothing."""
        lines = dict.fromkeys(
            " ".join(line.split()) for line in (result.stderr or result.stdout).splitlines()
        )
        text = "; ".join(line for line in lines if line)
        return text if len(text) <= 300 else text[:300] + "..."

    def hint(self, result: CommandResult) -> str:
        """What to look at after a failure; '' where there is nothing to say."""
        return ""

    def user_options(self, config: Mapping[str, Any]) -> Options:
        """The options of the submit command that the user gave in a schedule section.

        :raises SchedConfigError: For what is not an option, or one that cannot be used.
        """
        given = self.USER_OPTIONS
        return Options() if given is None else given.read(config, self.DIRECTIVE_PREFIX)

    def keeps_trying(self, stderr: str) -> bool:
        """Whether a submission that runs has said that the queue is full, and that it tries again
        by itself."""
        return False

    def is_job_id(self, text: str) -> bool:
        """Whether a string is a job's id."""
        return re.fullmatch(self.JOB_ID, text) is not None

    def source(self) -> str:
        """What the answers of this scheduler are about beside user and cluster: which
        configuration, say.  Answers of another source are not used.  By default, that is a digest of
        the variables that ENVIRONMENT keeps, which say where the scheduler is.  Not their values:
        some say who we are, and what this returns is in a file that others can read.  Without
        INSTANCE: the jobs of each instance are in a file of their own."""
        values = [
            (name, os.environ.get(name)) for name in self.ENVIRONMENT.keep if name != self.INSTANCE
        ]
        return digest(repr(values))

    # --------------------------------------------------------------------------------------- jobs

    def record(self, job: BatchJob) -> JobRecord:
        """A job, as the job table stores it."""
        data = {str(key): str(value) for key, value in job.data.items()}
        nodes = [job.nodes] if isinstance(job.nodes, str) else job.nodes
        for key, value in (
            # An author may give the whole name or comment.
            (TOKEN_KEY, find_token(str(job.token or ""))),
            (REASON_KEY, job.reason),
            (EXIT_KEY, job.exit_code),
            (NODES_KEY, " ".join(nodes)),
        ):
            if value not in ("", None):
                data[key] = str(value)
        return JobRecord(str(job.job_id), str(job.state), data)

    def token_of(self, job: JobRecord) -> str:
        """The token of the submission that a job came from; '' where it shows none."""
        return job.data.get(TOKEN_KEY, "")

    def nodes_of(self, job: JobRecord) -> list[str]:
        """The nodes that a job has or had."""
        return job.data.get(NODES_KEY, "").split()

    def state_of(self, job: JobRecord) -> JobState:
        """What a job's state means.  A word that is not known counts as ACTIVE: such a job is
        there, and nothing is concluded from it."""
        return self.STATES.get(job.state, JobState.ACTIVE)

    def is_over(self, job: JobRecord) -> bool:
        """Whether a job has ended for good."""
        return self.state_of(job).is_over


def job_order(job_id: str) -> tuple[int, str]:
    """Sorts the ids of jobs by their age."""
    digits = re.match(r"[0-9]{1,20}", job_id)
    return (int(digits[0]) if digits else 0, job_id)


TWINS = "twins"
"""The key of the ids, separated by blanks, of other jobs that go on with the same token."""


def by_identity(
    jobs: Iterable[JobRecord],
    token_of: Callable[[JobRecord], str],
    is_over: Callable[[JobRecord], bool],
) -> dict[str, JobRecord]:
    """Jobs under what identifies them: their token, or their id where they have none.

    Ids are given out again: after a scheduler lost its state, was restored, or its counter
    wrapped.  A token never is.  Should an unclear submission have been repeated, the oldest job
    stands for it, and its data['twins'] names the others that have not ended.

    Neither a job that is listed several times is its own twin, nor one of another script, which got
    the token with the environment of the test that submitted it.
    """
    found: dict[str, JobRecord] = {}
    for job in sorted(jobs, key=lambda job: job_order(job.job_id)):
        token = token_of(job)
        first = found.setdefault(token or job.job_id, job)
        if first is job or first.job_id == job.job_id:
            continue
        if first.data.get(SCRIPT_KEY) != job.data.get(SCRIPT_KEY):
            found.setdefault(job.job_id, job)
        elif not is_over(job):
            twins = " ".join(filter(None, (first.data.get(TWINS), job.job_id)))
            found[token] = first._replace(data={**first.data, TWINS: twins})
    return found


def with_token(jobs: Mapping[str, JobRecord], token: str) -> list[str]:
    """The ids of the jobs with a token, the oldest first.

    :param jobs: As :func:`by_identity` returns them.
    """
    job = jobs.get(token)
    if job is None:
        return []
    return sorted([job.job_id, *job.data.get(TWINS, "").split()], key=job_order)


def named_reason(words: Mapping[str, str], reason: Any) -> str:
    """A scheduler's reason with its meaning: 'Resources: not enough free nodes'."""
    text = " ".join(str(reason or "").split())
    meaning = words.get(text, "")
    return f"{text}: {meaning}" if text and meaning else text
