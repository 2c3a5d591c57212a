"""The slurm scheduler plugin.

What it says to Slurm and what Slurm's answers mean is in the modules beside this one; here, and in
``nodes``, both are put together.  They are imported when Slurm is first queried, so that loading
the plugin is quick.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pavilion.errors import SchedulerPluginError
from pavilion.jobs import Job, JobInfo
from pavilion.status_file import STATES, TestStatusInfo
from pavilion.types import NodeList, NodeRange

from ...lifecycle.whereabouts import Seen
from .extra import value_of
from .header import SbatchHeader
from .nodes import SlurmNodes
from .vars import SlurmVars

if TYPE_CHECKING:
    from pavilion.config import PavConfig

    from ...finding.availability import HostCheck
    from ...lifecycle.job_table import JobRecord, JobTable, Lookup
    from .identity import FoundJob
    from .record import SlurmRecord

# Seconds until a cancelled job must be gone from the list, or be going.
CANCEL_WAIT = 15.0


class Slurm(SlurmNodes):
    """Schedules tests via the Slurm scheduler.

    - One query serves for the states of all jobs; its answer is shared by threads and, through
      a small file in the working directory, by the processes of a user.
    - A job is submitted once, whatever becomes of sbatch's answer (see ``submit``).
    - Nodes are queried when something depends on them.
    """

    VAR_CLASS = SlurmVars
    KICKOFF_SCRIPT_HEADER_CLASS = SbatchHeader
    KICKOFF_FN = "kickoff.sbatch"
    JOB_INFO_KEYS = ("id", "sys_name")
    # Submitter tells refusals from unclear failures, cancel() waits until jobs go.
    KICKOFF_ERRORS_ARE_FINAL = True
    CONFIRM_CANCEL = 0.0
    JOB_SHARE_KEY_ATTRS = [*SlurmNodes.JOB_SHARE_KEY_ATTRS, "slurm.features", "slurm.sbatch_extra"]
    # The job table has an age of its own.
    JOB_STATUS_TIMEOUT = 0.0
    # Seconds that an answer about jobs serves.
    JOB_TABLE_AGE = 5.0
    # More than run sbatch at the same time (client.SUBMIT_AT_ONCE): the others write a job's files.
    KICKOFFS_AT_ONCE = 6

    def __init__(self) -> None:
        self._tables: dict[tuple[str | None, str, Path | None], JobTable] = {}
        # (user, cluster) -> the jobs that were looked up and are not known to have ended, by key.
        self._pending: dict[tuple[str | None, str], dict[str, SlurmRecord]] = {}
        # What Slurm said last of jobs that were queried, by key.
        self._seen_jobs: dict[str, JobRecord] = {}
        # Last: it calls refresh().
        super().__init__("slurm", "Schedules tests via the Slurm scheduler.", self.PRIO_CORE)

    def _available(self) -> bool:
        """Whether Slurm's commands are here, and its controller answers."""
        missing = self._client.missing_commands()
        if missing:
            self.unavailable_reason = (
                f"Slurm's commands were not found in PATH: {', '.join(missing)}."
            )
            return False
        self.unavailable_reason = self._client.problem()
        return self.unavailable_reason is None

    def check_host(self) -> HostCheck:
        """Where Slurm's commands are, and their version."""
        from .host_check import check_host

        return check_host()

    def refresh(self) -> None:
        """Forget all that was learned from Slurm."""
        super().refresh()
        with self._client_lock:
            tables = list(self._tables.values())
        for table in tables:
            table.expire()

    def _kickoff(
        self,
        pav_cfg: PavConfig,
        job: Job,
        sched_config: dict[str, Any],
        job_name: str,
        nodes: NodeList | None = None,
        node_range: NodeRange | None = None,
    ) -> JobInfo:
        """Submit the kickoff script.  All options are in its header."""
        from .header import safe_job_name
        from .record import make_record, read_record
        from .submit import Submitter

        extra = sched_config["slurm"]["sbatch_extra"]
        job_name = value_of(extra, "job-name") or job_name
        done = Submitter(self._client, self._handover(job)).submit(
            job.path, job.kickoff_path, job.sched_log, job_name, extra
        )
        info = make_record(
            _sys_name(),
            done.job_id,
            done.cluster,
            done.token,
            os.fspath(job.kickoff_path),
            job_name=safe_job_name(job_name),
        )
        self._table(pav_cfg, read_record(info)).note_new(done.token)
        return info

    def _recover_identity(self, job: Job) -> JobInfo | None:
        """Find a job by the token that was stored before it was submitted."""
        from .record import make_record
        from .submit import read_token

        token, when = read_token(job.path)
        return (
            make_record(_sys_name(), "", "", token, os.fspath(job.kickoff_path), when)
            if token
            else None
        )

    def _table(self, pav_cfg: PavConfig | None, record: SlurmRecord) -> JobTable:
        """The table with a job.  Records of other programs do not say whose job it is; then it
        is one of everybody's jobs."""
        user = record.user
        cluster = self._cluster(record)
        folder = None if pav_cfg is None else Path(pav_cfg["working_dir"])
        key = (user, cluster, folder)
        with self._client_lock:
            table = self._tables.get(key)
        if table is None:
            cache = None
            if folder is not None and user == str(os.getuid()):
                where = "-".join(filter(None, (_sys_name(), cluster)))
                cache = folder / f".slurm_jobs-{where}-{user}.json"
            made = self._client.job_table(key[0], cache, self.JOB_TABLE_AGE, cluster)
            with self._client_lock:
                table = self._tables.setdefault(key, made)
        return table

    def _cluster(self, record: SlurmRecord) -> str:
        """The cluster to name in commands about a job; '' for that of this host, which is
        not named: where there is no slurmdbd, Slurm knows no names."""
        name = record.cluster
        return "" if not name or name == self._client.local_cluster() else name

    def _job_status(self, pav_cfg: PavConfig, job_info: JobInfo) -> TestStatusInfo | None:
        """What Slurm's list of jobs says of a job."""
        from ...lifecycle.job_states import NotListed
        from ...lifecycle.job_table import Presence
        from .notes import job_note
        from .output import settle_output
        from .record import read_record
        from .states import parse_job_state

        elsewhere = _elsewhere(job_info)
        if elsewhere:
            return TestStatusInfo(STATES.SCHEDULED, elsewhere)
        record = read_record(job_info)
        table = self._table(pav_cfg, record)
        job, found = self._look_up(table, record)
        pending = self._pending.setdefault((record.user, self._cluster(record)), {})
        pending[record.key] = record
        settle_output(record.script, found.record.job_id if found.record else record.job_id)
        if found.presence is Presence.FOUND and found.record is not None:
            self._seen_jobs[record.key] = found.record
            state = parse_job_state(found.record.state)
            if state.is_over:
                pending.pop(record.key, None)
            failure = self._launch_failure(record, found.record)
            if failure is not None:
                return TestStatusInfo(STATES.SCHED_ERROR, failure)
            data = self._client.requested.explained(
                record, found.record.data, self._cluster(record)
            )
            note = job_note(found.record.job_id, data)
            if data.get("reason") == "Reservation":
                note += self._known.begin_note(record.script)
            return TestStatusInfo(state.pavilion_state, note)
        if found.presence is Presence.ABSENT:
            return self._status_of_absent(table, record, job, found.note)
        if found.answered:
            return NotListed(STATES.SCHEDULED, found.note)
        return TestStatusInfo(STATES.SCHED_WARNING, found.note)

    def _seen_job(self, job_info: JobInfo) -> Seen | None:
        """The id of a job of which only the token was known, and the nodes it has or had."""
        from .parsing import parse_node_list
        from .record import read_record

        record = read_record(job_info)
        job = self._seen_jobs.get(record.key)
        if job is None:
            return None
        identity = None if record.job_id else JobInfo({**job_info, "id": job.job_id})
        return Seen(identity, parse_node_list(job.data.get("nodes")))

    def _status_of_absent(
        self, table: JobTable, record: SlurmRecord, name: str, note: str
    ) -> TestStatusInfo:
        """What the accounting says of a job that Slurm does not list (any more).

        :param name: What to call it in messages.
        :param note: Why it is believed to be gone.
        """
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

    def _also_absent(self, table: JobTable, record: SlurmRecord) -> list[SlurmRecord]:
        """Other jobs of the same user and cluster that are not listed (any more): of those that
        were looked up, and of those that were started together with this one."""
        from ...lifecycle.job_table import Presence
        from .accounting import records_beside

        group = record.user, self._cluster(record)
        others = {
            other.key: other
            for other in records_beside(record, _sys_name())
            if (other.user, self._cluster(other)) == group
        }
        others.update(self._pending.get(group, {}))
        return [
            other
            for other in others.values()
            if self._find(table, other).lookup.presence is Presence.ABSENT
        ]

    def _launch_failure(self, record: SlurmRecord, job: JobRecord) -> str | None:
        """What kept a cancelled job from being launched; None when nothing did."""
        from .launch import launch_note, may_have_failed_to_launch

        if not may_have_failed_to_launch(record, job):
            return None
        return launch_note(
            record, job, self._client.drained(job.data["nodes"], self._cluster(record))
        )

    def _look_up(self, table: JobTable, record: SlurmRecord) -> tuple[str, Lookup]:
        """A job in a table, and what to call it in messages."""
        found = self._find(table, record)
        return found.name, found.lookup

    def _find(self, table: JobTable, record: SlurmRecord) -> FoundJob:
        from .identity import find_job

        # Also in processes that did not submit it: a new job may not be listed yet.
        table.note_new(record.key, record.when)
        cluster = self._cluster(record)
        found = find_job(
            table, record, lambda job_id: self._client.script_of(job_id, record.user, cluster)
        )
        if found.twins:
            # An unclear submission that was repeated after all.  Its tests must run once.
            self._client.cancel(list(found.twins), cluster)
        return found

    def cancel(self, job_info: JobInfo) -> str | None:
        """Cancel a job, and see that it goes.

        :returns: None when it is cancelled, has already ended, or is not known to Slurm.
        """
        return self.cancel_jobs([job_info])[0]

    def cancel_jobs(self, job_infos: Sequence[JobInfo]) -> list[str | None]:
        """Cancel jobs with as few commands as can be; see cancel()."""
        from .cancel import cancel_jobs
        from .record import read_record

        messages: list[str | None] = [_elsewhere(info) for info in job_infos]
        # The jobs of each user on each cluster are in a table of their own.
        groups: dict[Any, dict[int, SlurmRecord]] = {}
        for number, info in enumerate(job_infos):
            if messages[number] is None:
                try:
                    record = read_record(info)
                    group = record.user, self._cluster(record)
                except SchedulerPluginError as exc:
                    messages[number] = str(exc)
                else:
                    groups.setdefault(group, {})[number] = record
        for (_, cluster), records in groups.items():
            table = self._table(None, next(iter(records.values())))
            table.expire()
            found: dict[int, tuple[str, str]] = {}
            for number, record in records.items():
                messages[number], job = self._to_cancel(table, record)
                if job is not None:
                    found[number] = job
            outcomes = cancel_jobs(self._client, table, dict(found.values()), CANCEL_WAIT, cluster)
            for number, (key, _) in found.items():
                messages[number] = outcomes[key].message
        return messages

    def _to_cancel(
        self, table: JobTable, record: SlurmRecord
    ) -> tuple[str | None, tuple[str, str] | None]:
        """(a message, None); or (None, what the table has the job under and its id).

        A job that is not known to be this one is never cancelled.
        """
        from .identity import why_not_to_cancel

        found = self._find(table, record)
        job = found.lookup.record
        if found.certain and found.lookup.answered and job is not None and found.is_there:
            return None, (found.key, job.job_id)
        return why_not_to_cancel(record, found), None

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


def _sys_name() -> str:
    from pavilion import sys_vars

    return str(sys_vars.get_vars(True)["sys_name"])


def _elsewhere(job_info: JobInfo) -> str | None:
    """Why a job cannot be queried here; None when it can."""
    name, here = job_info.get("sys_name"), _sys_name()
    if name is None or str(name) == here:
        return None
    return (
        f"Job {job_info.get('id')} was started on the system {name!r}, and this is {here!r}: "
        "nothing can be done about it here."
    )
