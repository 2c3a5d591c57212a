"""The slurm scheduler plugin.

What it says to Slurm and what Slurm's answers mean is in the modules beside this one; here, and in
``nodes``, both are put together.  They are imported when Slurm is first queried, so that loading
the plugin is quick.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from pavilion.errors import SchedulerPluginError
from pavilion.jobs import Job
from pavilion.status_file import STATES, TestStatusInfo
from pavilion.types import NodeList

from .dialect import SlurmDialect
from .extra import value_of
from .header import DIRECTIVES, PREFIX, SbatchHeader
from .nodes import SlurmNodes
from .vars import SlurmVars

if TYPE_CHECKING:
    from ...batch.record import BatchRecord
    from ...batch.words import Submission, Submitted
    from ...lifecycle.job_table import JobRecord, JobTable


class Slurm(SlurmDialect, SlurmNodes):
    """Schedules tests via the Slurm scheduler.

    - One query serves for the states of all jobs; its answer is shared by threads and, through
      a small file in the working directory, by the processes of a user.
    - A job is submitted once, whatever becomes of sbatch's answer.
    - Nodes are queried when something depends on them.
    """

    VAR_CLASS = SlurmVars
    KICKOFF_SCRIPT_HEADER_CLASS = SbatchHeader
    DIRECTIVE_PREFIX = PREFIX
    DIRECTIVES = DIRECTIVES
    KICKOFF_FN = "kickoff.sbatch"
    JOB_SHARE_KEY_ATTRS = [*SlurmNodes.JOB_SHARE_KEY_ATTRS, "slurm.features", "slurm.sbatch_extra"]
    SUBMIT_LOG_FN = "sbatch.log"

    def __init__(self) -> None:
        super().__init__("slurm", "Schedules tests via the Slurm scheduler.", self.PRIO_CORE)

    def _name_of(self, job_name: str, sched_config: dict[str, Any]) -> str:
        """As in the script, where the user's own option takes precedence."""
        from .header import safe_job_name

        return safe_job_name(
            value_of(sched_config["slurm"]["sbatch_extra"], "job-name") or job_name
        )

    def _hand_over(self, job: Job, submission: Submission) -> Submitted:
        """Run sbatch, whose log begins with the token.  All other options are in the script."""
        from .submit import Submitter

        return Submitter(self._client, self._handover(job)).submit(
            job.path,
            submission.script,
            submission.log,
            submission.job_name,
            submission.config["slurm"]["sbatch_extra"],
            submission.token,
        )

    def _read_token(self, job: Job) -> tuple[str, float]:
        """The token that sbatch's log begins with."""
        from .submit import read_token

        return read_token(job.path)

    def _cluster(self, record: BatchRecord) -> str:
        """The cluster to name in commands about a job; '' for that of this host, which is
        not named: where there is no slurmdbd, Slurm knows no names."""
        name = record.cluster
        return "" if not name or name == self._client.local_cluster() else name

    def _script_of(self, record: BatchRecord, job_id: str) -> str | None:
        """The script that a job came from."""
        script: str | None = self._client.script_of(job_id, record.user, self._cluster(record))
        return script

    def _settle(self, record: BatchRecord, job_id: str) -> None:
        """Give a job's log its name, where Slurm could not."""
        from .output import settle_output

        settle_output(record.script, job_id)

    def _status_of_listed(self, record: BatchRecord, job: JobRecord) -> TestStatusInfo:
        """What squeue says of a job."""
        from .notes import job_note
        from .states import parse_job_state

        failure = self._launch_failure(record, job)
        if failure is not None:
            return TestStatusInfo(STATES.SCHED_ERROR, failure)
        data = self._client.requested.explained(record, job.data, self._cluster(record))
        note = job_note(job.job_id, data)
        if data.get("reason") == "Reservation":
            note += self._known.begin_note(record.script)
        return TestStatusInfo(parse_job_state(job.state).pavilion_state, note)

    def _status_of_absent(
        self, table: JobTable, record: BatchRecord, name: str, note: str
    ) -> TestStatusInfo:
        """What the accounting says of a job that Slurm does not list (any more)."""
        from .accounting import absent_status

        accounted = self._client.accounting.look_up(
            record, self._cluster(record), lambda: self._also_absent(table, record)
        )
        if accounted.job is not None:
            self._seen_jobs[record.key] = accounted.job
            failure = self._launch_failure(record, accounted.job)
            if failure is not None:
                return TestStatusInfo(STATES.SCHED_ERROR, failure)
        elif self._client.hides_jobs_of(record.user):
            return TestStatusInfo(
                STATES.SCHED_WARNING,
                f"Slurm shows {name} to its owner, user {record.user}, only "
                "(PrivateData=jobs), so it is not known whether the job still exists.",
            )
        return absent_status(name, note, accounted)

    def _beside(self, record: BatchRecord) -> Iterator[BatchRecord]:
        """The jobs that were started together with one."""
        from ...batch.whose import sys_name
        from .accounting import records_beside

        return records_beside(record, sys_name())

    def _launch_failure(self, record: BatchRecord, job: JobRecord) -> str | None:
        """What kept a cancelled job from being launched; None when nothing did."""
        from .launch import launch_note, may_have_failed_to_launch

        if not may_have_failed_to_launch(record, job):
            return None
        return launch_note(
            record, job, self._client.drained(job.data["nodes"], self._cluster(record))
        )

    def _get_alloc_nodes(self, job: Job) -> NodeList:
        """The nodes of the allocation we are in."""
        names = os.environ.get("SLURM_JOB_NODELIST") or os.environ.get("SLURM_NODELIST")
        if not names:
            raise SchedulerPluginError(
                "This is not a Slurm allocation: SLURM_JOB_NODELIST is not set."
            )
        from ...placement import hostlists

        try:
            return hostlists.expand(names, unique=True)
        except ValueError as exc:
            raise SchedulerPluginError(
                f"Bad host list in SLURM_JOB_NODELIST: {names!r}", prior_error=exc
            ) from exc

    def _get_alloc_job_id(self, job: Job) -> str | None:
        """The id of the allocation we are in."""
        return os.environ.get("SLURM_JOB_ID") or os.environ.get("SLURM_JOBID")

    @staticmethod
    def parse_node_list(text: str | None) -> NodeList:
        """The names in a node list; [] for None and ''.  :raises ValueError: on bad text."""
        from .parsing import parse_node_list

        return parse_node_list(text)
