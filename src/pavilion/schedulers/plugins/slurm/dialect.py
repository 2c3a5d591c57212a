"""How Slurm is talked to, for the batch family.  Commands are in ``queries``, answers in
``parsing``, ``states`` and ``errors``, which are imported when Slurm is first queried."""

from __future__ import annotations

import os
import re

from ...batch.dialect import Dialect, Environment
from ...batch.words import JobState, Submitted
from ...lifecycle.job_cache import JobRecord
from ...talk.commands import CommandResult, Failure
from . import queries

# What sbatch prints at once, before it tries again for two minutes.
_RETRYING = r"(?:sleeping and|disabled,) retrying"


class SlurmDialect(Dialect):
    """What the plugin says about Slurm.  Lists of jobs, and cancels, go through SlurmClient: their
    commands name a cluster."""

    TITLE = "Slurm"
    COMMANDS = queries.COMMANDS
    ENVIRONMENT = Environment(queries.DROP_PREFIXES, queries.KEEP_NAMES, queries.QUERY_SET)
    JOB_ID = queries.JOB_ID
    START_WITH = ("sinfo",)

    def ping_command(self) -> list[str] | None:
        """Whether the controller answers."""
        return queries.ping()

    def version_command(self) -> list[str] | None:
        """Of all commands; it queries nothing."""
        return ["sinfo", "--version"]

    def parse_submission(self, result: CommandResult) -> Submitted | str | None:
        """The job's id, and its cluster where sbatch names it."""
        from .parsing import parse_submitted

        found = parse_submitted(result.stdout)
        return None if found is None else Submitted(found.job_id, found.cluster)

    def parse_cancel(self, result: CommandResult) -> dict[str, Failure]:
        """The ids that scancel complains about."""
        from .errors import cancel_errors

        return cancel_errors(result.stderr)

    def classify(self, result: CommandResult) -> Failure | None:
        """By the error messages of many releases; see ``errors``."""
        from .errors import classify_result

        return classify_result(result)

    def summary(self, result: CommandResult) -> str:
        """Each line of stderr once, without the command's own prefixes."""
        from .errors import summary

        return summary(result.stderr) or summary(result.stdout)

    def hint(self, result: CommandResult) -> str:
        """Which key to look at."""
        from .errors import hint

        return hint(result.stderr)

    def keeps_trying(self, stderr: str) -> bool:
        """sbatch retries for two minutes while the queue is full."""
        return re.search(_RETRYING, stderr, re.IGNORECASE) is not None

    def source(self) -> str:
        """Which slurm.conf the commands read."""
        return os.environ.get("SLURM_CONF", "")

    def token_of(self, job: JobRecord) -> str:
        """In the job's comment, or at the end of its name."""
        from .parsing import token_of

        return token_of(job)

    def nodes_of(self, job: JobRecord) -> list[str]:
        """From the host list that squeue shows."""
        from .parsing import parse_node_list

        return parse_node_list(job.data.get("nodes"))

    def state_of(self, job: JobRecord) -> JobState:
        """See ``states`` for all of Slurm's words."""
        from .states import parse_job_state

        state = parse_job_state(job.state)
        if state.name == "COMPLETING":
            return JobState.ENDING
        if state.is_over:
            return JobState.CANCELLED if state.name == "CANCELLED" else JobState.FINISHED
        return JobState.WAITING if state.name == "PENDING" else JobState.ACTIVE
