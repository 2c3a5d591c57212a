"""The base class of all scheduler plugins.

:class:`SchedulerPlugin` is a contract.  Its docstring says who calls what, when, and what may be
raised.  Authors derive from one of its families: ``SchedulerPluginBatch`` (the scheduler is driven
by commands), or, for one that is not, ``SchedulerPluginBasic`` (it cannot list its nodes) or
``SchedulerPluginAdvanced`` (it can).
"""

from __future__ import annotations

import threading
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable

import yaml_config as yc
from pavilion.errors import SchedConfigError, SchedulerPluginError
from pavilion.jobs import Job
from pavilion.scriptcomposer import ScriptComposer
from pavilion.status_file import TestStatusInfo
from pavilion.types import NodeList, NodeRange

from .config import calc_node_range, validate_config
from .contract import PluginContract
from .finding import activation, registry
from .finding.plugin_class import adapt, file_of
from .finding.plugin_section import plugin_section
from .finding.registry import _SCHEDULER_PLUGINS, get_plugin, list_plugins
from .kickoff import KickoffScriptHeader, add_run_command, compose_stub, make_header
from .lifecycle.blaming import CAUGHT, blame, blaming, section_refused
from .lifecycle.handover import Handover, calling
from .lifecycle.job_states import Polling
from .lifecycle.state_of_test import status_of_test
from .lifecycle.submission import refuse, start_jobs
from .placement.inventory import frozen
from .vars import SchedulerVariables

if TYPE_CHECKING:
    from pavilion.config import PavConfig
    from pavilion.test_run import TestRun

__all__ = [
    "SchedulerPlugin",
    "KickoffScriptHeader",
    "_SCHEDULER_PLUGINS",
    "get_plugin",
    "list_plugins",
]


class SchedulerPlugin(PluginContract):
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

    def __init__(
        self, name: str, description: str, priority: int = PluginContract.PRIO_CORE
    ) -> None:
        super().__init__()
        self.name = name
        self.description = description
        self.priority = priority
        self.path = file_of(type(self))
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
        adapt(cls)

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
        activation.activate(self)

    def deactivate(self) -> None:
        """Remove the scheduler's name and config section again.  Never raises."""
        activation.deactivate(self)

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
        return status_of_test(self, pav_cfg, test)

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


def __reset() -> None:
    """Deactivate every plugin."""
    registry.reset()
