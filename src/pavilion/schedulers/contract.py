"""What a scheduler plugin provides: attributes and methods that plugins, and the two families, define.

:class:`pavilion.schedulers.scheduler.SchedulerPlugin` is the base class of plugins; its docstring says
who calls what.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable

import yaml_config as yc
from pavilion.errors import SchedConfigError
from pavilion.jobs import Job, JobInfo
from pavilion.status_file import TestStatusInfo
from pavilion.types import NodeList, NodeRange

from . import node_selection
from .finding.yapsy_compat import IPlugin
from .kickoff import KickoffScriptHeader
from .lifecycle.placing import TestPlan
from .lifecycle.whereabouts import Seen
from .vars import SchedulerVariables

if TYPE_CHECKING:
    from pavilion.config import PavConfig
    from pavilion.test_run import TestRun

    from .finding.host_check import HostCheck


class PluginContract(IPlugin):  # type: ignore[misc]
    """The attributes and methods that a plugin may define.  Plugins derive from SchedulerPlugin."""

    name: str
    description: str
    priority: int
    path: Path
    """The file that defines the plugin."""

    PRIO_CORE = 0
    PRIO_COMMON = 10
    PRIO_USER = 20

    # The kickoff script's file name; None leaves it to the host.
    KICKOFF_FN: str | None = None
    KICKOFF_LOG_DEFAULT_FN = "kickoff.log"
    ISOLATE_KICKOFF_SUFFIX = "_isolated"
    SCHED_DATA_FN = "sched_data.txt"

    VAR_CLASS: type[SchedulerVariables] = SchedulerVariables
    KICKOFF_SCRIPT_HEADER_CLASS: type[KickoffScriptHeader] = KickoffScriptHeader

    # The keys of a JobInfo that hosts show as the job's id; None means all.  The others are stored
    # in a file in the job's directory, and are in the JobInfo again when it is passed back.
    JOB_INFO_KEYS: Sequence[str] | None = None

    # How chunks pick their nodes: name -> f(node_list, chunk_size) -> list of nodes.
    NODE_SELECTION: dict[str, Callable[[NodeList, int], NodeList]] = {
        "contiguous": node_selection.contiguous,
        "random": node_selection.random,
        "distributed": node_selection.distributed,
        "rand_dist": node_selection.rand_dist,
    }

    # Tests may share a job when these keys of their schedule sections, and their numbers of
    # nodes, are equal.  Dotted names refer to keys of sub-sections, as 'NAME.key'.
    JOB_SHARE_KEY_ATTRS: list[str] = [
        "partition",
        "qos",
        "account",
        "reservation",
        "core_spec",
        "node_state",
        "across_nodes",
        "include_nodes",
        "exclude_nodes",
        "share_allocation",
        "tasks",
        "tasks_per_node",
        "min_tasks_per_node",
        "chunking.size",
        "chunking.node_selection",
        "chunking.extra",
    ]

    # How old, in seconds, the known status of a job may be before the scheduler is queried again.
    JOB_STATUS_TIMEOUT: float = 5.0
    # How many jobs may be submitted at the same time.  A value above 1 requires a _kickoff() that
    # may be called from several threads.
    KICKOFFS_AT_ONCE: int = 1
    # Seconds without a sign of life from a test before it is ended because its job has ended.
    # Shared file systems may show a node's last writes that much later.
    JOB_END_GRACE: float = 10.0
    # Seconds to wait for the scheduler to show that a cancelled job has ended; 0 for a plugin whose
    # cancel() itself returns None only for jobs that it saw end.
    CONFIRM_CANCEL: float = 15.0
    # Whether a SchedulerPluginError from _kickoff() always means that there is no such job.  If
    # not, the job is searched for before its tests are given up (see _recover_identity).
    KICKOFF_ERRORS_ARE_FINAL: bool = False
    # Seconds for which a job without an identity may still be on its way to the scheduler.
    # Some submit commands try again by themselves for minutes.
    KICKOFF_GRACE: float = 300.0

    # ----------------------------------------------------------------- what a plugin provides

    def _available(self) -> bool:
        """See the class docstring."""
        raise self._missing("_available", "whether the scheduler can be used here")

    def _kickoff(
        self,
        pav_cfg: PavConfig,
        job: Job,
        sched_config: dict[str, Any],
        job_name: str,
        nodes: NodeList | None = None,
        node_range: NodeRange | None = None,
    ) -> JobInfo:
        """Submit a job to the scheduler, without waiting until it has finished.

        **What must reach the scheduler**, by the header of the script (see
        ``KICKOFF_SCRIPT_HEADER_CLASS``) or by the arguments of its command or API.  What the
        scheduler does not have can be left out.  A key of ``sched_config`` that is None, '' or []
        is not set, and must not be passed on.

        - the script: ``job.kickoff_path``, to be run once, on the first node.  It is executable.
        - the name of the job: ``job_name``.  It may contain any character.
        - the file for the scheduler's own output: ``job.sched_log``.  The script's output goes to
          ``job.kickoff_log`` by itself.
        - the nodes.  Exactly one of these two is given:

          - ``nodes``: the job must run on all of these nodes, and on no others.
          - ``node_range``: (min, max) nodes, which the scheduler picks; max is None when there is
            no upper limit.  Then it must pick the nodes in ``include_nodes``, and must not pick
            those in ``exclude_nodes``.

        - where, and on whose behalf: ``partition``, ``qos``, ``account``, ``reservation``
          (strings).  The reservation 'any' means any reservation; it is not a name.
        - ``time_limit``: the time after which the scheduler ends the job.  An int, in hours,
          rounded up; ``pavilion.schedulers.seconds_of(time_limit)`` is its exact length.
        - ``core_spec``: a string, the number of cores per node to leave to the system.
        - the tasks, where the scheduler counts them: ``tasks``, their total number (an int), or
          else ``tasks_per_node`` (an int, or a float for a fraction of the CPUs;
          ``header._sched_vars.tasks_per_node()`` is the number, with ``min_tasks_per_node``
          applied).
        - all keys of the plugin's own section, ``sched_config[self.name]``.

        **What has been applied already**, and is not passed on: ``nodes``, ``min_nodes``,
        ``across_nodes``, ``chunking`` and ``node_state`` have become the arguments ``nodes`` or
        ``node_range`` (``flex_scheduled`` is whether neither ``chunking`` nor ``across_nodes`` is
        set); ``share_allocation`` has decided which tests are in the job; ``min_tasks_per_node``
        is part of ``tasks_per_node``; ``wrapper``, ``mpirun_opts`` and ``cluster_info`` are in the
        variables of the tests.

        :param job: The job, with its directory, files and tests.
        :param sched_config: The validated schedule section of the job's tests, which agree in all
            keys that JOB_SHARE_KEY_ATTRS names.  The longest ``time_limit`` applies.
        :returns: What identifies the job in all later calls: a dictionary of strings.
        :raises SchedulerPluginError: When the job was not accepted.
        """
        raise self._missing("_kickoff", "how a job is submitted to the scheduler")

    def _job_status(self, pav_cfg: PavConfig, job_info: JobInfo) -> TestStatusInfo | None:
        """See the class docstring."""
        raise self._missing("_job_status", "how the scheduler is queried about a job")

    def cancel(self, job_info: JobInfo) -> str | None:
        """See the class docstring.  Never raises in a host: an exception from a plugin's own
        method becomes its message."""
        return str(self._missing("cancel", "how a job is cancelled"))

    def _recover_identity(self, job: Job) -> JobInfo | None:
        """Identify a job whose record was lost, as when the host crashed while it was submitted.

        Called for jobs without a record that are older than KICKOFF_GRACE, after a ``_kickoff()``
        that failed, and before a job without a record is reported as cancelled.  A plugin can find
        the job if it leaves a mark in the job's directory, and in the job, before it submits it.
        Without this method, such jobs cannot be distinguished from those that were never submitted,
        and messages say so.

        :returns: The JobInfo to pass to ``_job_status``; None when there was no such job.
        """
        return None

    def _seen_job(self, job_info: JobInfo) -> Seen | None:
        """What the scheduler last said of a job, beside its state: its id, where the record lacks
        it, and its nodes.  Called after ``_job_status()``; nobody is queried for it.  None where
        nothing is known."""
        return None

    def missing_commands(self) -> str | None:
        """Which of the scheduler's commands this host does not have, as a sentence; None when it has
        all of them, or the plugin does not know.  Nothing is run: whether the scheduler answers is
        for :meth:`available` to say."""
        return None

    def check_host(self) -> HostCheck:
        """What 'doctor' shows of the scheduler beside whether it is available: versions, places,
        and what is wrong with them.  Called after :meth:`available`, for diagnosis only, so it may
        run commands.  An exception is shown as a problem.  By default, there is nothing to say."""
        from .finding.host_check import HostCheck

        return HostCheck()

    def cancel_jobs(self, job_infos: Sequence[JobInfo]) -> list[str | None]:
        """Cancel several jobs.  A plugin whose scheduler accepts many ids in one command overrides
        this.  Never raises.

        :returns: For each job, in order, what :meth:`cancel` returns.
        """
        return [self.cancel(job_info) for job_info in job_infos]

    def _get_alloc_nodes(self, job: Job) -> NodeList:
        """See the class docstring."""
        raise self._missing("_get_alloc_nodes", "which nodes an allocation has")

    def _get_alloc_job_id(self, job: Job) -> str | None:
        """The scheduler's own id of the allocation's job, usually read from the environment; None
        where only the job's record has it.  Called inside the allocation only."""
        return None

    def _get_config_elems(self) -> tuple[list[yc.ConfigElement], dict[str, Any], dict[str, Any]]:
        """The section ``schedule.<name>``: options that only this scheduler has.

        Called once, on activation, with no test at hand.  By default, there is no section.

        *elements*: a list of yaml_config elements, one for each key: StrElem, ListElem,
        KeyedElem (a sub-section with fixed keys) or CategoryElem (one with any keys).  All leaves
        are StrElem, because any value may contain variables, whose type is not known before they
        are resolved.  Use ``help_text``, which users see, but not ``default``, ``choices``,
        ``required`` or ``post_validator``.

        *validators*: key -> how its value is checked and converted.  Each is optional; the whole
        dictionary may be empty or None.  A validator is one of

        - a function: it takes the value (a string; for a ListElem a list, for a CategoryElem a
          dictionary) and returns what the plugin is to get.  It raises ValueError or
          SchedConfigError for a value that is not allowed; its message is shown with the key.
          ``pavilion.schedulers.min_int`` makes one for whole numbers;
        - a tuple or list of strings: the values that are allowed, in upper or lower case;
        - a dictionary: the validators of a sub-section (KeyedElem), each optional again;
        - None, or no entry: the value is taken as it is.

        Validators are also called with values that they have returned.  They are not called for a
        key that is not set and has no default: its value is None.

        *defaults*: key -> the value of a key that is not set, written as a user would write it,
        and validated like a user's.  A dictionary for a sub-section.  Each is optional; the whole
        dictionary may be empty or None.

        All methods of the plugin get the result as ``sched_config[self.name]``, with every key.

        :returns: (elements, validators, defaults)
        """
        return [], {}, {}

    def _settled(self, sched_config: dict[str, Any]) -> dict[str, Any]:
        """Apply options that users wrote in the scheduler's own syntax to the other keys: with
        ``--ntasks=12`` in a list of such options, 'tasks' becomes 12.  Plans and variables of tests
        are based on the result.

        :param sched_config: The validated schedule section.  It must not be changed.
        :returns: The section to use; the same one when there is nothing to apply.
        :raises SchedConfigError: For options that cannot be used.
        """
        return sched_config

    def _section_problem(self, sched_config: dict[str, Any]) -> SchedConfigError | None:
        """Why no job with this schedule section can ever run: for example, because it names a
        partition, a reservation or an account that the scheduler does not have.  Called before a
        test is placed, and before a series is created.

        :param sched_config: The section, validated and settled (see :meth:`_settled`).
        :returns: The error, whose ``data['key']`` is the key that it is about, as in
            'schedule.partition'.  None when no problem is known; a scheduler that does not answer
            is not a problem of the section.
        """
        return None

    def _missing(self, method: str, what: str) -> NotImplementedError:
        return NotImplementedError(
            f"The scheduler plugin {self.name!r} ({type(self).__name__} in {self.path}) does not "
            f"define {method}(), which says {what}."
        )

    # -------------------------------------------------------------------------- what a family
    # provides

    def _get_initial_vars(self, sched_config: dict[str, Any]) -> SchedulerVariables:
        """The variables of a test before it is scheduled; a plugin may override it.

        :param sched_config: The validated schedule section.
        """
        raise self._missing(
            "get_initial_vars",
            "the variables; derive from "
            "SchedulerPluginBasic or SchedulerPluginAdvanced, which have it",
        )

    def _get_final_vars(self, sched_config: dict[str, Any], test: TestRun) -> SchedulerVariables:
        """The variables of a test inside its allocation.

        :param sched_config: The validated schedule section.
        """
        raise self._missing(
            "get_final_vars",
            "the variables inside an allocation; derive from "
            "SchedulerPluginBasic or SchedulerPluginAdvanced, which have it",
        )

    def plan_tests(self, tests: list[TestRun]) -> TestPlan:
        """Place tests into jobs, without starting anything.

        :returns: Every test in exactly one job, or in exactly one error.
        :raises NotImplementedError: In a class that belongs to neither family.
        """
        raise self._missing(
            "plan_tests",
            "how tests become jobs; derive from "
            "SchedulerPluginBasic or SchedulerPluginAdvanced, which have it",
        )
