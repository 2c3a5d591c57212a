"""The batch family: schedulers that are driven by commands."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import yaml_config as yc
from pavilion.errors import SchedConfigError, SchedulerPluginError
from pavilion.jobs import Job, JobInfo
from pavilion.status_file import STATES, TestStatusInfo
from pavilion.types import NodeInfo, NodeList, NodeRange

from ..advanced import SchedulerPluginAdvanced
from ..kickoff import KickoffScriptHeader
from ..lifecycle.blaming import CAUGHT, blame
from ..lifecycle.whereabouts import Seen
from ..placement.inventory import NodesUnknownError, frozen
from ..scheduler import SchedulerPlugin
from ..vars import SchedulerVariables
from . import supported
from .dialect import QUEUE_KEY, SCRIPT_KEY, Dialect
from .directives import BatchHeader, value_of
from .section import elements, judged, settled
from .words import JobState, Submission, Submitted, UnreadableAnswer

if TYPE_CHECKING:
    from pavilion.config import PavConfig

    from ..finding.host_check import HostCheck
    from ..lifecycle.job_table import JobRecord, JobTable
    from .client import BatchClient
    from .history import History
    from .queues import Queues
    from .record import BatchRecord
    from .stuck import StuckReasons
    from .whose import FoundJob

T = TypeVar("T")
# What the states of jobs are for a host.
_STATES = {
    JobState.WAITING: STATES.SCHEDULED,
    JobState.STUCK: STATES.SCHEDULED,
    JobState.ACTIVE: STATES.SCHED_RUNNING,
    JobState.ENDING: STATES.SCHED_RUNNING,
    JobState.FINISHED: STATES.SCHED_ERROR,
    JobState.CANCELLED: STATES.SCHED_CANCELLED,
}


class SchedulerPluginBatch(Dialect, SchedulerPluginAdvanced):
    """The base class of plugins for schedulers that are driven by commands: with one command that
    submits a script, one that lists jobs, one that cancels them, and perhaps one that lists nodes.

    **What an author writes** are tables and pairs of pure functions, *build the command* and *read
    its answer*; :class:`Dialect` lists them all with their parameters.  None of them runs a
    command, so each can be tested with captured text.

    Required: ``submit_command`` and ``parse_submission``, ``jobs_command`` and ``parse_jobs``,
    ``cancel_command``, the tables ``COMMANDS`` and ``STATES``, and ``_get_alloc_nodes(job)`` (see
    :class:`SchedulerPlugin`).  The scheduler is not available until they are there; the reason
    names the first that is missing.  Nearly always needed: the tables ``FAILURES``, and
    ``DIRECTIVES`` with ``DIRECTIVE_PREFIX``.

    Optional: ``nodes_command`` and ``parse_nodes`` (without these, the scheduler picks the nodes of
    all jobs, and tests that depend on particular nodes are refused), ``history_command`` and
    ``parse_history``, ``details_command`` and ``parse_details``, ``ping_command``,
    ``parse_cancel``, and whatever SchedulerPlugin and SchedulerPluginAdvanced let plugins
    override.

    **What the family provides**: a job is submitted once, whatever becomes of the submit command's
    answer, and found again by its token even if its record was lost; one query for all jobs of a
    user, whose answer threads and processes share, and that distinguishes 'it is not there' from
    'nothing is known'; confirmed cancels with as few commands as can be; repeated queries after
    transient failures only; waiting while the queue is full; a clean environment and a timeout
    for every command; a log of every submission in the job's directory; notes in plain words; and
    an error for schedule keys that are set and have no effect on this scheduler.
    """

    IS_PLUGIN_BASE = True

    KICKOFF_SCRIPT_HEADER_CLASS: type[KickoffScriptHeader] = BatchHeader
    JOB_INFO_KEYS: Sequence[str] | None = ("id", "sys_name")
    # Refusals are distinguished from unclear failures, and cancel() waits until jobs go.
    KICKOFF_ERRORS_ARE_FINAL = True
    CONFIRM_CANCEL = 0.0
    # The job table has an age of its own.
    JOB_STATUS_TIMEOUT = 0.0
    # Seconds that an answer about jobs serves.
    JOB_TABLE_AGE: float = 5.0
    # Seconds until a cancelled job must be gone from the list, or be going.
    CANCEL_WAIT: float = 15.0
    # More than run submit commands at the same time: the others write a job's files.
    KICKOFFS_AT_ONCE = 6
    # The name of the file, in a job's directory, with the log of its submission.
    SUBMIT_LOG_FN = "submit.log"

    def __init__(
        self,
        name: str,
        description: str,
        priority: int = SchedulerPluginAdvanced.PRIO_COMMON,
    ) -> None:
        self._client_lock = threading.Lock()
        # What is made when it is needed for the first time.
        self._parts_made: dict[str, Any] = {}
        self._tables: dict[tuple[str | None, str, Path | None], JobTable] = {}
        # (user, cluster) -> the jobs that were looked up and are not known to have ended, by key.
        self._pending: dict[tuple[str | None, str], dict[str, BatchRecord]] = {}
        # What the scheduler said last of jobs that were queried, by key.
        self._seen_jobs: dict[str, JobRecord] = {}
        # The keys of jobs that were found to be gone, without a trace.
        self._gone: set[str] = set()
        # Last: it calls refresh().
        super().__init__(name, description, priority)

    # ------------------------------------------------------------- what a plugin may do otherwise

    def _make_client(self) -> BatchClient:
        """The object that talks to the scheduler."""
        from .client import BatchClient

        return BatchClient(self)

    def _cluster(self, record: BatchRecord) -> str:
        """The cluster to name in commands about a job; '' for that of this host, which is not
        named.  Where the scheduler has several instances: the job's."""
        return record.instance or self._client.instance() or record.cluster

    def _script_of(self, record: BatchRecord, job_id: str) -> str | None:
        """The path of the script that a listed job came from: 'script' in the data of BatchJob; None
        where the scheduler does not say."""
        jobs = [table.with_id(job_id) for table in list(self._tables.values())]
        return next((job.data.get(SCRIPT_KEY) for job in jobs if job is not None), None)

    def _beside(self, record: BatchRecord) -> Iterable[BatchRecord]:
        """Further jobs that may be looked up together with one that is no longer listed."""
        return ()

    def _settle(self, record: BatchRecord, job_id: str) -> None:
        """Called for each job whose state is looked up, with its id, if that is known."""

    # ----------------------------------------------------------------------- the scheduler at large

    @property
    def _client(self) -> Any:
        return self._part("client", self._make_client)

    def _part(self, what: str, make: Callable[[], T]) -> T:
        """What is made when it is needed for the first time, and kept: one for all threads.

        :param make: Must not need anything else that is made so; the lock is held.
        """
        with self._client_lock:
            if what not in self._parts_made:
                self._parts_made[what] = make()
            made: T = self._parts_made[what]
            return made

    def _available(self) -> bool:
        """Whether the plugin is whole, the scheduler's commands are here, and it answers."""
        if type(self)._make_client is SchedulerPluginBatch._make_client:
            # A job must not be submitted by a plugin that cannot find or cancel it.
            from .checks import check_tables

            self.check_whole()
            if type(self)._get_alloc_nodes is SchedulerPlugin._get_alloc_nodes:
                raise self._missing("_get_alloc_nodes", "which nodes an allocation has")
            check_tables(self)
        self.unavailable_reason = self.missing_commands() or self._client.problem()
        return self.unavailable_reason is None

    def missing_commands(self) -> str | None:
        """Those of COMMANDS that are not in PATH, as a sentence; None when all of them are."""
        missing = self._client.missing_commands()
        if not missing:
            return None
        return f"{self.title}'s commands were not found in PATH: {', '.join(missing)}."

    def check_host(self) -> HostCheck:
        """Where the scheduler's commands are, and their version."""
        from .host_check import check_host

        return check_host(self)

    def refresh(self) -> None:
        """Forget all that was learned from the scheduler."""
        super().refresh()
        with self._client_lock:
            tables = list(self._tables.values())
            queues: Queues | None = self._parts_made.get("queues")
        for table in tables:
            table.expire()
        if queues is not None:
            queues.forget()

    # ---------------------------------------------------------------------------------- the nodes

    def _has_inventory(self) -> bool:
        return self.nodes_command() is not None

    def _get_raw_node_data(self, sched_config: dict[str, Any]) -> tuple[list[Any], Any]:
        """All nodes; one command.

        :raises NodesUnknownError: When the scheduler does not list them.
        """
        command = self.nodes_command()
        if command is None:
            raise NodesUnknownError(f"{self.title} does not list its nodes")
        try:
            return list(self.read("parse_nodes", self._client.ask(command))), None
        except UnreadableAnswer as exc:
            raise NodesUnknownError(
                f"{self.title}'s answer about its nodes cannot be used", prior_error=exc
            ) from exc

    def _transform_raw_node_data(
        self, sched_config: dict[str, Any], node_data: Any, extra: Any
    ) -> NodeInfo:
        """A node, as parse_nodes() described it; with lists of states in OWN_KEYS, see
        :func:`.section.judged`."""
        return judged(node_data, sched_config, sched_config.get(self.name) or {})

    def _get_config_elems(self) -> tuple[list[yc.ConfigElement], dict[str, Any], dict[str, Any]]:
        """The plugin's own section, by OWN_KEYS."""
        return elements(self.OWN_KEYS)

    def _validated(self, raw_sched_config: Mapping[str, Any]) -> dict[str, Any]:
        """With what OWN_KEYS, and options, say in place of the common keys."""
        config = super()._validated(raw_sched_config)
        if not self.OWN_KEYS:
            return config
        options = self.user_options(config)
        return settled(self.name, self.OWN_KEYS, config, raw_sched_config, options)

    def _settled(self, sched_config: dict[str, Any]) -> dict[str, Any]:
        """Without an inventory, a share of the nodes is one of those that cluster_info counts."""
        if self._has_inventory():
            return sched_config
        count = int(sched_config["cluster_info"]["node_count"])
        return supported.with_numbers(sched_config, count)

    def _section_problem(self, sched_config: dict[str, Any]) -> SchedConfigError | None:
        """A schedule key that is set, and that nothing here passes on; a queue that does not
        exist."""
        problem = supported.unused_key(self, sched_config)
        if problem is None and self.queues_command() is not None:
            problem = self._queues.problem(sched_config)
        return problem

    def _filter_custom(
        self, sched_config: dict[str, Any], node_name: str, node: NodeInfo
    ) -> str | None:
        """Leave out the nodes that a job without a queue cannot get."""
        if self.queues_command() is None:
            return None
        return self._queues.left_out(sched_config, node.get("partitions", ()))

    @property
    def _queues(self) -> Queues:
        from .queues import Queues

        client = self._client
        return self._part(
            "queues",
            lambda: Queues(self, lambda argv, cluster: client.query(argv, cluster=cluster)),
        )

    def _get_initial_vars(self, sched_config: dict[str, Any]) -> SchedulerVariables:
        """The variables of a test before it is scheduled; without an inventory, they follow from
        cluster_info."""
        if self._has_inventory():
            return super()._get_initial_vars(sched_config)
        return self.VAR_CLASS(sched_config)

    def _header_vars(
        self, sched_config: dict[str, Any], nodes: NodeList | None
    ) -> SchedulerVariables:
        if self._has_inventory():
            return super()._header_vars(sched_config, nodes)
        return self.VAR_CLASS(sched_config)

    def gen_job_share_key(
        self, sched_config: Mapping[str, Any], min_nodes: int | None, max_nodes: int | None
    ) -> tuple[Hashable, ...]:
        """In addition, what DIRECTIVES and USED_KEYS take from the plugin's own section: jobs that
        differ in that are different jobs."""
        return super().gen_job_share_key(sched_config, min_nodes, max_nodes) + tuple(
            frozen(value_of(sched_config, key))
            for key in supported.own_keys(self)
            if key not in self.JOB_SHARE_KEY_ATTRS
        )

    # ----------------------------------------------------------------------------- the submission

    def _get_kickoff_script_header(
        self,
        job_name: str,
        sched_config: dict[str, Any],
        nodes: NodeList | None = None,
        node_range: NodeRange | None = None,
        shebang: str | None = None,
    ) -> KickoffScriptHeader:
        """The header object for a job's script, with this plugin's table."""
        header = super()._get_kickoff_script_header(
            job_name, sched_config, nodes, node_range, shebang
        )
        if isinstance(header, BatchHeader):
            header.prefix, header.directives = self.DIRECTIVE_PREFIX, self.DIRECTIVES
            options = self.user_options(sched_config)
            header.given, header.more_lines = options.given, options.lines
            header.once, header.token_variable = self.MAY_RUN_AGAIN, self.TOKEN_VARIABLE
        return header

    def _kickoff(
        self,
        pav_cfg: PavConfig,
        job: Job,
        sched_config: dict[str, Any],
        job_name: str,
        nodes: NodeList | None = None,
        node_range: NodeRange | None = None,
    ) -> JobInfo:
        """Submit the kickoff script, once; see pavilion.schedulers.batch.submitting."""
        from .record import make_record
        from .submitting import new_token
        from .whose import sys_name

        submission = Submission(
            script=job.kickoff_path,
            log=job.sched_log,
            token=new_token(),
            job_name=self._name_of(job_name, sched_config),
            config=sched_config,
            nodes=nodes,
            node_range=node_range,
        )
        done = self._hand_over(job, submission)
        info = make_record(
            sys_name(),
            done.job_id,
            done.cluster,
            done.token,
            os.fspath(job.kickoff_path),
            job_name=submission.job_name,
            instance=self._client.instance(),
        )
        self._table(pav_cfg, self._read_record(info)).note_new(done.token)
        return info

    def _name_of(self, job_name: str, sched_config: dict[str, Any]) -> str:
        """The name that a job gets, for Submission and for the job's record."""
        return job_name

    def _hand_over(self, job: Job, submission: Submission) -> Submitted:
        """Run the submit command, once the token is in the job's log."""
        from .checks import submit_arguments
        from .submitting import Submitter, begin_log

        # Before there is a token in the log: with one, the job would be searched for.
        argv = submit_arguments(self, submission)
        log = job.path / self.SUBMIT_LOG_FN
        begin_log(log, submission.token, self._client.instance())
        return Submitter(self._client, self._handover(job)).hand_over(argv, submission, log)

    def _recover_identity(self, job: Job) -> JobInfo | None:
        """Find a job by the token that was stored before it was submitted."""
        from .record import make_record
        from .submitting import read_instance
        from .whose import sys_name

        token, when = self._read_token(job)
        if not token:
            return None
        instance = read_instance(job.path / self.SUBMIT_LOG_FN)
        script = os.fspath(job.kickoff_path)
        return make_record(sys_name(), "", "", token, script, when, instance=instance)

    def _read_token(self, job: Job) -> tuple[str, float]:
        """The token that is in the log of a job's submission, and when (seconds since the epoch) the
        job was handed over; ('', 0.0) when it was not."""
        from .submitting import read_token

        return read_token(job.path / self.SUBMIT_LOG_FN)

    # ---------------------------------------------------------------------------- the state of jobs

    def _read_record(self, job_info: Mapping[str, object]) -> BatchRecord:
        from .record import read_record

        return read_record(job_info, self.is_job_id, self.title)

    def _table(self, pav_cfg: PavConfig | None, record: BatchRecord) -> JobTable:
        """The table with a job.  Records of other programs do not say whose job it is; then it
        is one of everybody's jobs."""
        from .record import file_word
        from .whose import sys_name

        user = record.user
        cluster = self._cluster(record)
        directory = None if pav_cfg is None else Path(pav_cfg["working_dir"])
        key = (user, cluster, directory)
        with self._client_lock:
            table = self._tables.get(key)
        if table is None:
            cache = None
            if directory is not None and user == str(os.getuid()):
                where = "-".join(filter(None, (sys_name(), file_word(cluster))))
                cache = directory / f".{self.name}_jobs-{where}-{user}.json"
            made = self._client.job_table(user, cache, self.JOB_TABLE_AGE, cluster)
            with self._client_lock:
                table = self._tables.setdefault(key, made)
        return table

    def _find(self, table: JobTable, record: BatchRecord) -> FoundJob:
        from .whose import find_job

        # Also in processes that did not submit it: a new job may not be listed yet.
        table.note_new(record.key, record.when)
        found = find_job(self, table, record, lambda job_id: self._script_of(record, job_id))
        if found.twins and record.user == str(os.getuid()):
            # An unclear submission that was repeated after all.  Its tests must run once.  Whoever
            # else looks at them may not cancel it.
            self._client.cancel(list(found.twins), self._cluster(record))
        return found

    def _job_status(self, pav_cfg: PavConfig, job_info: JobInfo) -> TestStatusInfo | None:
        """What the scheduler's list of jobs says of a job."""
        from ..lifecycle.job_states import NotListed
        from ..lifecycle.job_table import Presence
        from .whose import elsewhere

        not_here = elsewhere(job_info)
        if not_here:
            return TestStatusInfo(STATES.SCHEDULED, not_here)
        record = self._read_record(job_info)
        table = self._table(pav_cfg, record)
        found = self._find(table, record)
        lookup = found.lookup
        pending = self._pending.setdefault((record.user, self._cluster(record)), {})
        pending[record.key] = record
        self._settle(record, lookup.record.job_id if lookup.record else record.job_id)
        if lookup.presence is Presence.FOUND and lookup.record is not None:
            self._gone.discard(record.key)
            self._seen_jobs[record.key] = lookup.record
            if self.is_over(lookup.record):
                pending.pop(record.key, None)
            return self._status_of_listed(record, lookup.record)
        if lookup.presence is Presence.ABSENT:
            return self._status_of_absent(table, record, found.name, lookup.note)
        if lookup.answered:
            return NotListed(STATES.SCHEDULED, lookup.note)
        return TestStatusInfo(STATES.SCHED_WARNING, lookup.note)

    def _status_of_listed(self, record: BatchRecord, job: JobRecord) -> TestStatusInfo:
        """What the scheduler says of a job that it lists."""
        from .notes import job_note

        state = self.state_of(job)
        reason = self._stuck.reason(job)
        # Lists of jobs that show the queue show no reason.
        if state is JobState.WAITING and QUEUE_KEY in job.data and self.queues_command():
            from ..lifecycle.whereabouts import load_placement

            chosen = load_placement(Job(Path(record.script).parent)).nodes if record.script else []
            reason = self._queues.why_waiting(job, self._cluster(record), chosen)
        return TestStatusInfo(_STATES[state], job_note(self, job, reason))

    def _status_of_absent(
        self, table: JobTable, record: BatchRecord, name: str, note: str
    ) -> TestStatusInfo:
        """What is known about a job that the scheduler does not list (any more).

        :param name: What to call it in messages.
        :param note: Why it is believed to be gone.
        """
        from ..lifecycle.job_states import NotListed
        from .notes import job_note

        gone = f"{self.title} does not list {name} (any more). {note}"
        ended = self._history.look_up(
            record, lambda: self._also_absent(table, record), table.missing_for(record.key)
        )
        if ended.is_late:
            return NotListed(STATES.SCHEDULED, f"{gone} {ended.note}")
        if ended.job is None:
            self._gone.add(record.key)
            self._pending.get((record.user, self._cluster(record)), {}).pop(record.key, None)
            return TestStatusInfo(STATES.SCHED_ERROR, f"{gone} {ended.note}".rstrip())
        self._seen_jobs[record.key] = ended.job
        state = self.state_of(ended.job)
        said = f"{job_note(self, ended.job)} (By {self.title}'s accounting.)"
        if not state.is_over:
            return TestStatusInfo(STATES.SCHED_WARNING, f"{gone} {said}")
        return TestStatusInfo(_STATES[state], said)

    @property
    def _history(self) -> History:
        from .history import History

        client = self._client
        return self._part("history", lambda: History(self, client.query))

    @property
    def _stuck(self) -> StuckReasons:
        from .stuck import StuckReasons

        client = self._client
        return self._part("stuck", lambda: StuckReasons(self, client.query))

    def _also_absent(self, table: JobTable, record: BatchRecord) -> list[BatchRecord]:
        """Other jobs of the same user and cluster that are not listed (any more): of those that
        were looked up, and of those beside this one."""
        from ..lifecycle.job_table import Presence

        group = record.user, self._cluster(record)
        others = {
            other.key: other
            for other in self._beside(record)
            if (other.user, self._cluster(other)) == group
        }
        others.update(self._pending.get(group, {}))
        return [
            other
            for other in others.values()
            if self._find(table, other).lookup.presence is Presence.ABSENT
        ]

    def _seen_job(self, job_info: JobInfo) -> Seen | None:
        """The id of a job of which only the token was known, and the nodes it has or had."""
        record = self._read_record(job_info)
        job = self._seen_jobs.get(record.key)
        if job is None:
            return None
        identity = None if record.job_id else JobInfo({**job_info, "id": job.job_id})
        return Seen(identity, self.nodes_of(job))

    # --------------------------------------------------------------------------------- cancelling

    def cancel(self, job_info: JobInfo) -> str | None:
        """Cancel a job, and see that it goes.

        :returns: None when it is cancelled, has already ended, or is not known to the scheduler.
        """
        return self.cancel_jobs([job_info])[0]

    def cancel_jobs(self, job_infos: Sequence[JobInfo]) -> list[str | None]:
        """Cancel jobs with as few commands as can be; see cancel()."""
        from .whose import elsewhere

        messages: list[str | None] = [elsewhere(info) for info in job_infos]
        # The jobs of each user on each cluster are in a table of their own.
        groups: dict[Hashable, dict[int, BatchRecord]] = {}
        for number, info in enumerate(job_infos):
            if messages[number] is None:
                try:
                    record = self._read_record(info)
                    group = record.user, self._cluster(record)
                except SchedulerPluginError as exc:
                    messages[number] = str(exc)
                else:
                    groups.setdefault(group, {})[number] = record
        for records in groups.values():
            try:
                messages_of_group = self._cancel_group(records)
            except CAUGHT as exc:
                # Of this group only: the other jobs are to be cancelled all the same.
                messages_of_group = dict.fromkeys(records, blame(self, "cancel_jobs", exc))
            for number, message in messages_of_group.items():
                messages[number] = message
        return messages

    def _cancel_group(self, records: Mapping[int, BatchRecord]) -> dict[int, str | None]:
        """What cancel() returns for each of some jobs of one user on one cluster."""
        from .cancelling import cancel_jobs

        first = next(iter(records.values()))
        table = self._table(None, first)
        table.expire()
        messages: dict[int, str | None] = {}
        found: dict[int, tuple[str, str]] = {}
        for number, record in records.items():
            messages[number], job = self._to_cancel(table, record)
            if job is not None:
                found[number] = job
        outcomes = cancel_jobs(
            self._client, table, dict(found.values()), self.CANCEL_WAIT, self._cluster(first)
        )
        for number, (key, _) in found.items():
            messages[number] = outcomes[key].message
        return messages

    def _to_cancel(
        self, table: JobTable, record: BatchRecord
    ) -> tuple[str | None, tuple[str, str] | None]:
        """(a message, None); or (None, what the table has the job under and its id).

        A job that is not known to be this one is never cancelled.
        """
        from .whose import why_not_to_cancel

        found = self._find(table, record)
        job = found.lookup.record
        if found.certain and found.lookup.answered and job is not None and found.is_there:
            return None, (found.key, job.job_id)
        seen = self._seen_jobs.get(record.key)
        is_over = record.key in self._gone or (seen is not None and self.is_over(seen))
        if record.token and not found.is_there and is_over:
            # By the accounting, say, of a scheduler that lists no jobs that have ended.
            return None, None
        return why_not_to_cancel(self.title, record, found), None
