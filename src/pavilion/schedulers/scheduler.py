"""The base class of all scheduler plugins.

:class:`SchedulerPlugin` is a contract.  Its docstring says who calls what, when, and what may be
raised.  Authors derive from one of its families: ``SchedulerPluginBatch`` (the scheduler is driven
by commands), or, for one that is not, ``SchedulerPluginBasic`` (it cannot list its nodes) or
``SchedulerPluginAdvanced`` (it can).
"""

from __future__ import annotations

import functools
import sys
import threading
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from types import FunctionType
from typing import (
    TYPE_CHECKING,
    Any,
    Callable,
    TypeVar,
)

import yaml_config as yc
from pavilion.errors import SchedConfigError, SchedulerPluginError
from pavilion.jobs import Job, JobInfo
from pavilion.scriptcomposer import ScriptComposer
from pavilion.status_file import STATES, TestStatusInfo
from pavilion.types import NodeList, NodeRange

from . import node_selection
from .config import (
    add_section,
    calc_node_range,
    remove_section,
    validate_config,
)
from .finding import registry
from .finding.plugin_parts import check_parts
from .finding.plugin_section import plugin_section, section_error
from .finding.registry import _SCHEDULER_PLUGINS, get_plugin, list_plugins
from .finding.yapsy_compat import IPlugin
from .kickoff import KickoffScriptHeader, add_run_command, compose_stub, make_header
from .lifecycle.accepted import learn_nodes, note_later
from .lifecycle.blaming import CAUGHT, blame, blaming, section_refused
from .lifecycle.ending import end_test
from .lifecycle.handover import Handover, calling
from .lifecycle.job_states import Polling, current_status, on_its_way
from .lifecycle.placing import TestPlan
from .lifecycle.submission import being_handed_over, refuse, start_jobs
from .lifecycle.whereabouts import Seen
from .placement.inventory import frozen
from .vars import SchedulerVariables

if TYPE_CHECKING:
    from pavilion.config import PavConfig
    from pavilion.test_run import TestRun

_T = TypeVar("_T")

__all__ = [
    "SchedulerPlugin",
    "KickoffScriptHeader",
    "_SCHEDULER_PLUGINS",
    "get_plugin",
    "list_plugins",
]


class SchedulerPlugin(IPlugin):  # type: ignore[misc]
    """The base class of all scheduler plugins.

    **What a plugin provides**, and who calls it.  Plugins of the family ``SchedulerPluginBatch``
    provide tables and pure functions instead, and only the last three of these:

    ``_available() -> bool``
        Whether the commands or modules of the scheduler are installed.  Called once per process
        by :meth:`available`, never while plugins are loaded.  It may raise an exception, which
        means that the scheduler is not available; the exception's text is shown as the reason.
        (``available()`` itself may be overridden instead.)

    ``_kickoff(pav_cfg, job, sched_config, job_name, nodes=None, node_range=None) -> JobInfo``
        Submit a job to the scheduler, without waiting until it has finished.  Called by
        :meth:`schedule_tests`, once per job, in the process of the user.  The docstring of the
        method lists the parameters that must reach the scheduler.  The result identifies the job
        in all later calls, in other processes and on other hosts: a dictionary of strings (see
        JOB_INFO_KEYS).  Raise SchedulerPluginError when the job was not accepted; then, and only
        then, its tests count as not started.

    ``_job_status(pav_cfg, job_info) -> TestStatusInfo or None``
        The state of a job in the scheduler: SCHEDULED (it waits), SCHED_RUNNING,
        SCHED_CANCELLED, or SCHED_ERROR (it has ended, or was refused).  Called by
        :meth:`job_status`, at most once per JOB_STATUS_TIMEOUT seconds for a job, from any
        thread.  It may put the states of other jobs into ``_job_statuses`` at the same time;
        then these jobs are not queried.  A scheduler that does not answer is not a failed job:
        return None, or SCHED_WARNING with a note, or raise SchedulerPluginError.  A job that has
        ended normally may be reported as SCHED_ERROR; its tests' own records take precedence.

    ``cancel(job_info) -> None or str``
        Cancel a job.  Called by the host once all tests of the job are cancelled or have ended.
        Return None when the job is no longer running, otherwise a message that says why it may
        still be.  If it raises an exception, the exception's text is used as the message.

    ``_get_alloc_nodes(job) -> list of str``
        The names of the allocation's nodes, usually read from the environment.  Called by
        :meth:`get_final_vars`, only inside the allocation.

    ``_get_config_elems() -> (elements, validators, defaults)``
        The scheduler's own section ``schedule.<name>``.  Called once, on activation.  The
        docstring of the method describes the three.

    ``VAR_CLASS``, ``KICKOFF_SCRIPT_HEADER_CLASS``
        The classes of its variables and of its scripts' headers.

    **What may be raised**: SchedulerPluginError for anything foreseeable, with the prior
    exception as ``prior_error``.  Any other exception from a plugin's methods is caught and
    reported as a failure of that plugin; it never stops other jobs.

    :param name: The name in test configurations, ``scheduler: <name>``.
    :param description: One line for listings.
    :param priority: PRIO_CORE, PRIO_COMMON or PRIO_USER.  If two plugins have the same name, the
        one with the higher priority is used.
    """

    IS_PLUGIN_BASE = True

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
    # nodes, are equal.  Dotted names refer to keys of sub-sections: 'NAME.key', for the plugin NAME.
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

    def __init__(self, name: str, description: str, priority: int = PRIO_CORE) -> None:
        super().__init__()
        self.name = name
        self.description = description
        self.priority = priority
        self.path = _file_of(type(self))
        # Job name -> (when it was queried, in seconds since the epoch; the answer).
        self._job_statuses: dict[str, tuple[float, TestStatusInfo]] = {}
        self._status_lock = threading.RLock()
        self._polling = Polling()
        # What available() returned, by method, because overrides may call each other.
        self._availability: dict[Callable[..., Any], bool] = {}
        # Whether the schedule configuration contains our section.
        self._has_section = False
        # Job name -> the job, while it is on its way to the scheduler.
        self._handovers: dict[str, Handover] = {}
        # The directories of tests whose status says that their job was accepted, or that have
        # started, and the names of jobs whose id was found out later.
        self._noted_tests: set[str] = set()
        self._learned_jobs: set[str] = set()
        # The events that stop each schedule_tests() that is running.
        self._stops: set[threading.Event] = set()
        # Why available() returned False; None if it returned True or was not called yet.
        self.unavailable_reason: str | None = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        # Plugins define available() or _available(), and hosts call it for each test.
        available = vars(cls).get("available")
        if isinstance(available, FunctionType):
            cls.available = _asked_once(  # type: ignore[method-assign, assignment]
                available
            )
        cancel = vars(cls).get("cancel")
        if isinstance(cancel, FunctionType):
            cls.cancel = _giving_a_message(cancel)  # type: ignore[method-assign]
        # In the guide for plugin authors, the method that queries one job is called 'job_status'.
        own = vars(cls).get("job_status")
        if isinstance(own, FunctionType) and "_job_status" not in vars(cls):
            params = own.__code__.co_varnames[: own.__code__.co_argcount]
            if len(params) == 3 and "test" not in params[2]:
                cls._job_status = own  # type: ignore[method-assign]
                del cls.job_status

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

    # ----------------------------------------------------------- what a plugin's _kickoff() may use

    def report(self, job: Job, text: str) -> None:
        """Report what a job waits for on its way to the scheduler.

        :param text: A sentence, without numbers that change.  It is shown to the user, and written
            to the status of the job's tests, whenever it changes.
        """
        self._handover(job).report(text)

    def pause(self, job: Job, seconds: float) -> bool:
        """Wait while a job is on its way to the scheduler.

        :returns: False, at once, when the submission is to be abandoned.  Then raise
            HandoverStopped or, if it is not certain that there is no such job, return the JobInfo
            by which it can be found.
        """
        return self._handover(job).pause(seconds)

    def _handover(self, job: Job) -> Handover:
        # Outside schedule_tests(), there is no host that listens.
        return self._handovers.get(job.name) or Handover()

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

    def _checked_alloc_nodes(self, test: TestRun, job: Job) -> NodeList:
        """What ``_get_alloc_nodes`` returns for a test's job.

        :raises SchedulerPluginError: When it fails, or does not return a list of names.
        """
        before = f"The nodes of the allocation of test {test.id} are not known: "
        with blaming(self, "_get_alloc_nodes", [test], before=before):
            names: Any = self._get_alloc_nodes(job)
        if isinstance(names, (list, tuple, set, frozenset)):
            listed = list(names)
            if listed and all(name and isinstance(name, str) for name in listed):
                return listed
        raise SchedulerPluginError(
            f"_get_alloc_nodes() of scheduler plugin {self.name!r} ({self.path}) must return the "
            f"names of the allocation's nodes as a list of strings; it returned {names!r}."
        )

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

    def section_problem(self, raw_sched_config: Mapping[str, Any]) -> SchedConfigError | None:
        """What is wrong with a test's schedule section, as far as this is known before the test is
        placed; None when no problem is known.  Never raises: if the check itself fails, that says
        nothing about the test."""
        try:
            with calling(self.name, "_section_problem"):
                return self._section_problem(self._validated(raw_sched_config))
        except SchedConfigError as exc:
            return exc
        except CAUGHT:
            return None

    def _validated(self, raw_sched_config: Mapping[str, Any]) -> dict[str, Any]:
        """A test's schedule section, validated and settled (see :meth:`_settled`).

        :raises SchedConfigError: When it is wrong.
        """
        return self._settled(validate_config(raw_sched_config))

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

    def refresh(self) -> None:
        """Forget what is known from the scheduler (nodes, jobs, availability).  Never raises."""
        with self._status_lock:
            self._job_statuses.clear()
            self._polling = Polling()
            self._availability.clear()
            self.unavailable_reason = None

    # ------------------------------------------------------------------------------- for hosts

    def available(self) -> bool:
        """Whether this scheduler can be used here.  This is determined once, until :meth:`refresh`.
        Never raises: an exception means False.  ``unavailable_reason`` says why it is False."""
        return self._ask_once(SchedulerPlugin.available, type(self)._available)

    def _ask_once(self, key: Callable[..., Any], ask: Callable[[Any], Any]) -> bool:
        """The answer of a method that says whether the scheduler is available."""
        if key not in self._availability:
            try:
                with calling(self.name, ask.__name__):
                    answer = bool(ask(self))
                if answer:
                    self.unavailable_reason = None
                elif not self.unavailable_reason:
                    from .finding.availability import why_unavailable

                    self.unavailable_reason = why_unavailable(self)
            except CAUGHT as exc:
                answer = False
                self.unavailable_reason = blame(self, ask.__name__, exc)
            self._availability[key] = answer
        return self._availability[key]

    def get_initial_vars(self, raw_sched_config: Mapping[str, Any]) -> SchedulerVariables:
        """The variables of a test before it is scheduled.

        :param raw_sched_config: The test's schedule section, variables filled in.
        :raises SchedulerPluginError: When the section is wrong (with the SchedConfigError as
            prior error, because hosts only catch this class), or the variables cannot be computed.
        """
        with blaming(self, "_get_initial_vars"):
            return self._get_initial_vars(self._validated(raw_sched_config))

    def get_final_vars(self, test: TestRun) -> SchedulerVariables:
        """The variables of a test inside its allocation, deferred ones included.

        :raises SchedulerPluginError: When they cannot be computed; its ``tests`` has the test.
        """
        with blaming(self, "_get_final_vars", [test]):
            return self._get_final_vars(self._validated(test.config["schedule"]), test)

    def get_conf(self) -> tuple[yc.KeyedElem | None, dict[str, Any], dict[str, Any]]:
        """The scheduler's own section: (element or None, validators, defaults).

        :raises SchedulerPluginError: When it is not valid; the message names the key.
        """
        return plugin_section(self)

    def activate(self) -> None:
        """Make the scheduler known: its name, and its section of the schedule configuration.

        :raises SchedulerPluginError: When another plugin with the same name and priority is active,
            or when its attributes or its config section are wrong.
        """
        check_parts(self)
        with registry.LOCK:
            if _SCHEDULER_PLUGINS.get(self.name) is self:
                return
            section, validators, defaults = self.get_conf()
            other = _SCHEDULER_PLUGINS.get(self.name)
            if not self._make_room(other):
                return
            if section is not None:
                try:
                    add_section(section, validators, defaults)
                except SchedConfigError as exc:
                    if other is not None:
                        other.activate()
                    raise section_error(self, "", exc) from exc
                self._has_section = True
            _SCHEDULER_PLUGINS[self.name] = self
            super().activate()

    def _make_room(self, other: SchedulerPlugin | None) -> bool:
        """Decide which plugin gets the name.  False when another plugin keeps it."""
        if other is None:
            return True
        # Another object of the same class is not a conflict: the newer object is used.
        if other.priority == self.priority and type(other) is not type(self):
            raise SchedulerPluginError(
                f"Two scheduler plugins are called {self.name!r} and have the same priority "
                f"({self.priority}): {other.path} and {self.path}. Rename one of them, or give "
                "the one that is to be used a higher priority."
            )
        if other.priority > self.priority:
            return False
        other.deactivate()
        return True

    def deactivate(self) -> None:
        """Remove the scheduler's name and config section again.  Never raises."""
        with registry.LOCK:
            if _SCHEDULER_PLUGINS.get(self.name) is self:
                del _SCHEDULER_PLUGINS[self.name]
                if self._has_section:
                    self._has_section = False
                    remove_section(self.name)
            super().deactivate()

    @classmethod
    def register_core_plugins(cls) -> None:
        """Find and activate the bundled plugins.

        A plugin that cannot be used (such as a site's own, put next to ours) is logged as a warning.

        :raises SchedulerPluginError: When none of them can be used.
        """
        from .plugins import register_core_plugins

        for refused in register_core_plugins():
            import logging

            logging.getLogger("pavilion.schedulers").warning(
                "The scheduler plugin %s cannot be used. %s", refused.file, refused.reason
            )

    def schedule_tests(
        self, pav_cfg: PavConfig, tests: list[TestRun]
    ) -> list[SchedulerPluginError]:
        """Place tests into jobs, and submit these to the scheduler.  Never raises.

        :returns: An error for every failure, whose ``tests`` are exactly those that were not
            started because of it.  These tests already have a final state.
        """
        stop = threading.Event()
        self._stops.add(stop)
        try:
            try:
                with calling(self.name, "plan_tests"):
                    plan = self.plan_tests(tests)
            except CAUGHT as exc:
                return [refuse(self, tests, exc)]
            errors = [refuse(self, error.tests, error) for error in plan.errors]
            return errors + start_jobs(self, pav_cfg, plan.jobs, self.KICKOFFS_AT_ONCE, stop)
        finally:
            self._stops.discard(stop)

    def stop_kickoffs(self) -> None:
        """Stop each :meth:`schedule_tests` that is running, from another thread.

        Jobs that wait for something on their way to the scheduler are abandoned, and no further
        jobs are submitted; the tests of both end.  A submission that cannot be interrupted
        continues.
        """
        for stop in list(self._stops):
            stop.set()

    def handovers(self) -> list[Handover]:
        """The jobs that are on their way to the scheduler, and what they wait for."""
        return list(self._handovers.values())

    def job_status(self, pav_cfg: PavConfig, test: TestRun) -> TestStatusInfo:
        """The state of a test's job, as its scheduler sees it.

        This may be called often and from several threads: an answer is used for all callers, for
        JOB_STATUS_TIMEOUT seconds.  SCHED_ERROR and SCHED_CANCELLED are written to the test's
        status and end the test, unless its own record takes precedence.  Nothing else is written.
        SCHED_WARNING means that the scheduler could not be queried; call this again later.  Never
        raises.
        """
        job = test.job
        if job is None:
            return TestStatusInfo(
                STATES.SCHED_ERROR, f"Test {test.id} has no job: it was not kicked off."
            )
        if test.complete:
            # What the scheduler says no longer matters.
            return test.status.current()
        with calling(self.name, "_job_status"):
            status = current_status(self, pav_cfg, job)
        if status.state == STATES.SCHED_RUNNING:
            status = TestStatusInfo(STATES.SCHED_STARTUP, status.note, status.when)
        if status.state in (STATES.SCHED_ERROR, STATES.SCHED_CANCELLED):
            learn_nodes(self, job)
            return end_test(test, job, status, self.JOB_END_GRACE)
        if status.note == on_its_way(self, job):
            own = test.status.current()
            if own.state == STATES.SCHEDULED and own.note != being_handed_over(self, job):
                # What the job waits for, see report().
                return own
        elif status.state in (STATES.SCHEDULED, STATES.SCHED_STARTUP):
            note_later(self, job, test)
        return status

    # ------------------------------------------------------------------------- for the families

    def create_kickoff_script(
        self,
        pav_cfg: PavConfig,
        tests: TestRun | Sequence[TestRun],
        log_path: None | str | Path = None,
        nodes: NodeList | None = None,
        isolate: bool = False,
    ) -> ScriptComposer:
        """The kickoff script for a test, or for tests that share a job.

        :param log_path: The file for its output.
        :param nodes: The names of the nodes to run on, if they were already picked.
        :param isolate: Make a script that runs without Pavilion.
        :raises SchedulerPluginError: When a schedule section is wrong, or the script cannot be
            made from it; with the tests.  An exception from the header's ``_kickoff_lines()`` is
            raised by the script's ``write()``, also as a SchedulerPluginError.
        """
        listed = list(tests) if isinstance(tests, (list, tuple)) else [tests]
        with blaming(self, "create_kickoff_script", listed):
            sched_config = self._job_config(listed)
            node_range = None if nodes is not None else self._job_node_range(sched_config)
            return self._compose_kickoff_script(
                pav_cfg,
                listed,
                sched_config,
                self._job_name(listed),
                log_path=log_path,
                nodes=nodes,
                node_range=node_range,
                isolate=isolate,
            )

    def _compose_kickoff_script(
        self,
        pav_cfg: PavConfig,
        tests: Sequence[TestRun],
        sched_config: dict[str, Any],
        job_name: str,
        *,
        log_path: None | str | Path,
        nodes: NodeList | None,
        node_range: NodeRange | None,
        isolate: bool = False,
    ) -> ScriptComposer:
        script = self._create_kickoff_script_stub(
            pav_cfg=pav_cfg,
            job_name=job_name,
            log_path=log_path,
            sched_config=sched_config,
            nodes=nodes,
            node_range=node_range,
            shebang=tests[0].shebang,
            isolate=isolate,
        )
        if isolate:
            for test in tests:
                script = test.make_script(script, "run", isolate=True) or script
        else:
            self._add_kickoff_lines(script, tests)
            add_run_command(script, [str(test.id) for test in tests])
        return script

    def _add_kickoff_lines(self, script: ScriptComposer, tests: Sequence[TestRun]) -> None:
        """Add the lines of a family that come before the tests are started."""

    def _create_kickoff_script_stub(
        self,
        pav_cfg: PavConfig,
        job_name: str,
        log_path: None | str | Path,
        sched_config: dict[str, Any],
        nodes: NodeList | None = None,
        node_range: NodeRange | None = None,
        shebang: str | None = None,
        isolate: bool = False,
    ) -> ScriptComposer:
        """The start of the script, before the tests: shebang, header, log, environment."""
        if isolate:
            job_name += self.ISOLATE_KICKOFF_SUFFIX
        header = self._get_kickoff_script_header(
            job_name=job_name,
            sched_config=sched_config,
            nodes=nodes,
            node_range=node_range,
            shebang=shebang,
        )
        return compose_stub(
            pav_cfg,
            header,
            log_path or self.KICKOFF_LOG_DEFAULT_FN if isolate else log_path,
            isolate,
        )

    def _get_kickoff_script_header(
        self,
        job_name: str,
        sched_config: dict[str, Any],
        nodes: NodeList | None = None,
        node_range: NodeRange | None = None,
        shebang: str | None = None,
    ) -> KickoffScriptHeader:
        """The header object for a job's script."""
        return make_header(
            self.KICKOFF_SCRIPT_HEADER_CLASS,
            job_name,
            sched_config,
            self._header_vars(sched_config, nodes),
            nodes,
            node_range,
            shebang,
        )

    def _header_vars(
        self, sched_config: dict[str, Any], nodes: NodeList | None
    ) -> SchedulerVariables:
        return self.VAR_CLASS(sched_config)

    def _job_name(self, tests: TestRun | Sequence[TestRun]) -> str:
        """The name of a job in the scheduler."""
        first = tests[0] if isinstance(tests, (list, tuple)) else tests
        return f"pav-{self.name}-{first.series}-runs"  # type: ignore[union-attr]

    def _job_config(self, tests: Sequence[TestRun]) -> dict[str, Any]:
        """The schedule section of a job: that of its first test, with the longest time limit.

        No other difference between tests of one job concerns the allocation.

        :raises SchedulerPluginError: When a section is wrong.
        """
        try:
            configs = [self._validated(test.config["schedule"]) for test in tests]
        except SchedConfigError as exc:
            raise section_refused(exc, tests) from exc
        longest = max(config["time_limit"] for config in configs)
        return dict(configs[0], time_limit=longest)

    def _job_node_range(self, sched_config: dict[str, Any]) -> NodeRange:
        return calc_node_range(sched_config, sched_config["cluster_info"]["node_count"])

    def gen_job_share_key(
        self, sched_config: Mapping[str, Any], min_nodes: int | None, max_nodes: int | None
    ) -> tuple[Hashable, ...]:
        """What must be equal for tests to share a job: the numbers of nodes, then the values of
        JOB_SHARE_KEY_ATTRS.

        :raises SchedulerPluginError: When an attribute is not in the schedule section.
        """
        key: list[Hashable] = [min_nodes, max_nodes]
        for attr in self.JOB_SHARE_KEY_ATTRS:
            value: Any = sched_config
            for part in attr.split("."):
                if not isinstance(value, Mapping) or part not in value:
                    raise SchedulerPluginError(
                        f"JOB_SHARE_KEY_ATTRS of scheduler plugin {self.name!r} names {attr!r}, "
                        "which is not in the schedule section."
                    )
                value = value[part]
            key.append(frozen(value))
        return tuple(key)


def _asked_once(own: Callable[[Any], Any]) -> Callable[[Any], bool]:
    """Wrap an available() so that its answer is remembered until refresh()."""

    @functools.wraps(own)
    def available(self: SchedulerPlugin) -> bool:
        return self._ask_once(own, own)

    return available


def _giving_a_message(own: Callable[..., Any]) -> Callable[..., str | None]:
    """Wrap a cancel() so that it returns a message about an exception instead of raising it: hosts
    call it without a guard, for one job after the other."""

    @functools.wraps(own)
    def cancel(self: SchedulerPlugin, *args: Any, **kwargs: Any) -> str | None:
        try:
            message = own(self, *args, **kwargs)
        except CAUGHT as exc:
            return blame(self, "cancel", exc)
        return message if message is None or isinstance(message, str) else str(message)

    return cancel


def _file_of(cls: type) -> Path:
    """The file that defines a class; '<unknown>' for a class without one."""
    module = sys.modules.get(cls.__module__)
    return Path(getattr(module, "__file__", None) or "<unknown>")


def __reset() -> None:
    """Deactivate every plugin."""
    registry.reset()
