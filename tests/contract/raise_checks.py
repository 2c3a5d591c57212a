"""What public methods may raise towards a host, whatever a plugin's own methods do behind them.

``MAY_RAISE`` is the table.  Each check puts one exception behind one method of a plugin, calls
what a host calls, and looks at what comes out.  It runs on our own host and on ``host26``; see
plugin_checks for what a site is.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any, Callable, NamedTuple

from pavilion.deferred import DeferredVariable
from pavilion.errors import PavilionError, SchedConfigError, SchedulerPluginError
from pavilion.jobs import JobError, JobInfo
from pavilion.schedulers import (
    KickoffScriptHeader,
    SchedulerPlugin,
    SchedulerPluginAdvanced,
    SchedulerPluginBasic,
    SchedulerVariables,
    config,
    dfr_var_method,
    get_plugin,
    list_plugins,
    validate_config,
    var_method,
)
from pavilion.schedulers.finding import registry
from pavilion.status_file import STATES, TestStatusInfo

NEVER: tuple[type[BaseException], ...] = ()

# What hosts call, and all that they may have to catch.
MAY_RAISE: dict[str, tuple[type[BaseException], ...]] = {
    "get_initial_vars": (SchedulerPluginError,),
    "get_final_vars": (SchedulerPluginError,),
    "schedule_tests": NEVER,
    "job_status": NEVER,
    "available": NEVER,
    "refresh": NEVER,
    "cancel": NEVER,
    "cancel_jobs": NEVER,
    "create_kickoff_script": (SchedulerPluginError,),
    "get_conf": (SchedulerPluginError,),
    "activate": (SchedulerPluginError,),
    "deactivate": NEVER,
    "plan_tests": NEVER,
    "gen_job_share_key": (SchedulerPluginError,),
    "validate_config": (SchedConfigError,),
    "calc_node_range": (SchedConfigError,),
    "parse_node_range": (config.HostListError,),
    "get_plugin": NEVER,
    "list_plugins": NEVER,
    "register_core_plugins": (SchedulerPluginError,),
    "_get_system_inventory": (SchedulerPluginError,),
    "_filter_nodes": (SchedulerPluginError,),
    "VAR_CLASS[]": (KeyError, SchedulerPluginError),
    "VAR_CLASS.info": (KeyError,),
}

# What a plugin's methods raise.
FAULTS: dict[str, Callable[[], BaseException]] = {
    "ValueError": lambda: ValueError("the value"),
    "OSError": lambda: OSError(5, "the disk"),
    "KeyError": lambda: KeyError("the key"),
    "TypeError": lambda: TypeError("the type"),
    "SystemExit": lambda: SystemExit(3),
    "NotImplementedError": lambda: NotImplementedError(),
    "PavilionError": lambda: PavilionError("the host"),
    "SchedConfigError": lambda: SchedConfigError("the section"),
    "SchedulerPluginError": lambda: SchedulerPluginError("the plugin"),
    "JobError": lambda: JobError("the job"),
}

ELEMENTS: Any = ([], {}, {})


class Broken:
    """Mixed into both families: its methods raise what ``behind`` has for them."""

    JOB_STATUS_TIMEOUT = JOB_END_GRACE = KICKOFF_GRACE = 0.0

    def __init__(self) -> None:
        super().__init__("broken", "Raises what it is told to.")  # type: ignore[call-arg]
        self.behind: dict[str, Callable[[], BaseException]] = {}
        self.says = STATES.SCHED_RUNNING
        broken = self

        def reach(method: str) -> None:
            if method in self.behind:
                raise self.behind[method]()

        class Variables(SchedulerVariables):
            def __init__(self, *args: Any, **kwargs: Any) -> None:
                reach("VAR_CLASS.__init__")
                super().__init__(*args, **kwargs)

            @var_method
            def own(self) -> str:
                """One of its own, without an example."""
                reach("variable")
                return "fine"

            @dfr_var_method
            def later(self) -> str:
                """One that is known later."""
                reach("variable")
                return "fine"

            def _test_cmd(self) -> str:
                reach("_test_cmd")
                return ""

        class Header(KickoffScriptHeader):
            def __init__(self, *args: Any, **kwargs: Any) -> None:
                reach("header.__init__")
                super().__init__(*args, **kwargs)

            def _kickoff_lines(self) -> list[str]:
                reach("_kickoff_lines")
                return [f"#BROKEN {broken.name} {self._sched_vars.nodes()}"]

        self.reach = reach
        self.VAR_CLASS = Variables
        self.KICKOFF_SCRIPT_HEADER_CLASS = Header

    def _available(self) -> bool:
        self.reach("_available")
        return True

    def _get_config_elems(self) -> Any:
        self.reach("_get_config_elems")
        return ELEMENTS

    def _kickoff(self, *args: Any, **kwargs: Any) -> Any:
        self.reach("_kickoff")
        return JobInfo({"id": "1"})

    def _job_status(self, pav_cfg: Any, job_info: Any) -> Any:
        self.reach("_job_status")
        return TestStatusInfo(self.says, "Says the scheduler.")

    def _recover_identity(self, job: Any) -> Any:
        self.reach("_recover_identity")
        return None

    def cancel(self, job_info: Any) -> Any:
        self.reach("cancel")
        return None

    def _job_name(self, tests: Any) -> str:
        self.reach("_job_name")
        return "a job"

    def _get_alloc_nodes(self, job: Any) -> list[str]:
        self.reach("_get_alloc_nodes")
        return ["n1"]


class BrokenBasic(Broken, SchedulerPluginBasic):
    """Of the basic family."""

    cancel = Broken.cancel

    def _get_alloc_node_info(self, node_name: str) -> Any:
        self.reach("_get_alloc_node_info")
        return {}


class BrokenAdvanced(Broken, SchedulerPluginAdvanced):
    """Of the advanced family."""

    cancel = Broken.cancel

    def __init__(self) -> None:
        super().__init__()
        self.NODE_SELECTION = dict(self.NODE_SELECTION, contiguous=self._pick)

    def _pick(self, node_list: Any, chunk_size: int) -> Any:
        self.reach("NODE_SELECTION")
        return node_list[:chunk_size]

    def _get_raw_node_data(self, sched_config: Any) -> Any:
        self.reach("_get_raw_node_data")
        return [1, 2, 3], None

    def _transform_raw_node_data(self, sched_config: Any, node_data: Any, extra: Any) -> Any:
        self.reach("_transform_raw_node_data")
        return {"name": f"n{node_data}", "up": True, "available": True}

    def _filter_custom(self, sched_config: Any, node_name: str, node: Any) -> Any:
        self.reach("_filter_custom")
        return None


FAMILIES: dict[str, Callable[[], Any]] = {"basic": BrokenBasic, "advanced": BrokenAdvanced}
CHUNKED = {"chunking": {"size": "2"}}
CONTRADICTION = {"nodes": "2", "min_nodes": "3"}


class Case(NamedTuple):
    """A call of a host, and the plugin's methods that are reached by it.

    :param call: The entry of MAY_RAISE.
    :param run: Makes the call, for (site, plugin).  What must happen before is done by then.
    :param behind: What is reached in both families,
    :param advanced: and in the advanced one only.
    """

    call: str
    run: Callable[[Any, Any], Any]
    behind: tuple[str, ...] = ()
    advanced: tuple[str, ...] = ()
    basic: tuple[str, ...] = ()


def new_test(site: Any, schedule: Any = None) -> Any:
    return site.test(schedule or {}, scheduler="broken")


def started(site: Any, plugin: Any) -> Any:
    """A test that was started while nothing was broken."""
    behind, plugin.behind = plugin.behind, {}
    test = new_test(site)
    assert plugin.schedule_tests(site.pav_cfg, [test]) == []
    plugin.behind = behind
    plugin.refresh()
    return test


def on_the_way(site: Any, plugin: Any) -> Any:
    """A test whose job has no record, and is old enough to be looked for."""
    from pavilion.jobs import Job

    test = new_test(site)
    test.job = Job.new(site.pav_cfg, [test], None)
    return test


def schedule(site: Any, plugin: Any, section: Any = None) -> None:
    """Each test is started, or in exactly one error and ended."""
    tests = [new_test(site, section), new_test(site, dict(section or {}, account="a"))]
    errors = plugin.schedule_tests(site.pav_cfg, tests)
    assert all(isinstance(error, SchedulerPluginError) and error.pformat() for error in errors)
    refused = [test for error in errors for test in error.tests]
    for test in tests:
        assert sum(other is test for other in refused) == int(test.complete), errors


def status(site: Any, plugin: Any, test: Any) -> None:
    answer = plugin.job_status(site.pav_cfg, test)
    assert isinstance(answer, TestStatusInfo)
    assert answer.state in STATES.list() and isinstance(answer.note, str)


def script(site: Any, plugin: Any, section: Any = None, **kwargs: Any) -> None:
    path: Path = site.folder / "script.sh"
    plugin.create_kickoff_script(site.pav_cfg, new_test(site, section), **kwargs).write(path)
    assert path.read_text().startswith("#!")


def cancelled(plugin: Any, *infos: Any) -> None:
    for message in plugin.cancel_jobs([JobInfo(info) for info in infos]):
        assert message is None or (message and isinstance(message, str))


def variables(plugin: Any, section: Any = None) -> Any:
    """Variables that were made while nothing was broken, but ask when they are read."""
    behind, plugin.behind = plugin.behind, {}
    try:
        made = plugin.get_initial_vars(section or {})
        plugin.refresh()
        return made
    finally:
        plugin.behind = behind


def read_all(values: Any) -> None:
    """Read every variable, as hosts do when a test is resolved."""
    for key in values.keys():  # noqa: SIM118  (iterating a host's gives none)
        value = values[key]
        assert isinstance(value, (str, list, dict, DeferredVariable)), (key, value)
    assert isinstance(values["errors"], list)


def told(values: Any) -> None:
    for key in values.keys():  # noqa: SIM118
        assert set(values.info(key)) == {"name", "deferred", "help", "example"}


def look_up(name: Any) -> None:
    assert get_plugin(name) is None or name in list_plugins()


NODES = ("_get_raw_node_data", "_transform_raw_node_data", "_filter_custom")
CASES: dict[str, Case] = {
    "get_initial_vars": Case(
        "get_initial_vars",
        lambda site, plugin: plugin.get_initial_vars({}),
        ("VAR_CLASS.__init__",),
        NODES,
    ),
    "get_initial_vars_chunked": Case(
        "get_initial_vars",
        lambda site, plugin: plugin.get_initial_vars(CHUNKED),
        (),
        ("NODE_SELECTION",),
    ),
    "get_initial_vars_bad": Case(
        "get_initial_vars", lambda site, plugin: plugin.get_initial_vars({"nodse": "1"})
    ),
    "get_initial_vars_contradiction": Case(
        "get_initial_vars", lambda site, plugin: plugin.get_initial_vars(CONTRADICTION)
    ),
    "get_initial_vars_not_a_section": Case(
        "get_initial_vars", lambda site, plugin: plugin.get_initial_vars(["nodes"])
    ),
    "get_final_vars": Case(
        "get_final_vars",
        lambda site, plugin: read_all(plugin.get_final_vars(started(site, plugin))),
        ("_get_alloc_nodes", "VAR_CLASS.__init__", "variable"),
        (),
        ("_get_alloc_node_info",),
    ),
    "get_final_vars_without_job": Case(
        "get_final_vars", lambda site, plugin: plugin.get_final_vars(new_test(site))
    ),
    "get_final_vars_bad": Case(
        "get_final_vars", lambda site, plugin: plugin.get_final_vars(new_test(site, {"nodes": "x"}))
    ),
    "schedule_tests": Case(
        "schedule_tests",
        schedule,
        (
            "_kickoff",
            "_job_name",
            "header.__init__",
            "_kickoff_lines",
            "VAR_CLASS.__init__",
            "cancel",
        ),
        NODES,
    ),
    "schedule_tests_chunked": Case(
        "schedule_tests",
        lambda site, plugin: schedule(site, plugin, CHUNKED),
        (),
        ("NODE_SELECTION",),
    ),
    "schedule_tests_bad": Case(
        "schedule_tests", lambda site, plugin: schedule(site, plugin, {"nodes": "x"})
    ),
    "schedule_tests_contradiction": Case(
        "schedule_tests", lambda site, plugin: schedule(site, plugin, CONTRADICTION)
    ),
    "job_status": Case(
        "job_status",
        lambda site, plugin: status(site, plugin, started(site, plugin)),
        ("_job_status",),
    ),
    "job_status_recovered": Case(
        "job_status",
        lambda site, plugin: status(site, plugin, on_the_way(site, plugin)),
        ("_recover_identity",),
    ),
    "job_status_without_job": Case(
        "job_status", lambda site, plugin: status(site, plugin, new_test(site))
    ),
    "available": Case("available", lambda site, plugin: plugin.available(), ("_available",)),
    "refresh": Case("refresh", lambda site, plugin: plugin.refresh(), (), NODES),
    "cancel": Case("cancel", lambda site, plugin: plugin.cancel(JobInfo({"id": "1"})), ("cancel",)),
    "cancel_jobs": Case(
        "cancel_jobs", lambda site, plugin: cancelled(plugin, {"id": "1"}, {"id": "2"}), ("cancel",)
    ),
    "create_kickoff_script": Case(
        "create_kickoff_script",
        script,
        ("_job_name", "header.__init__", "_kickoff_lines", "VAR_CLASS.__init__"),
        NODES,
    ),
    "create_kickoff_script_isolated": Case(
        "create_kickoff_script",
        lambda site, plugin: script(site, plugin, isolate=True, log_path="log"),
        ("header.__init__",),
    ),
    "create_kickoff_script_bad": Case(
        "create_kickoff_script", lambda site, plugin: script(site, plugin, {"nodes": "x"})
    ),
    "create_kickoff_script_contradiction": Case(
        "create_kickoff_script", lambda site, plugin: script(site, plugin, CONTRADICTION)
    ),
    "get_conf": Case("get_conf", lambda site, plugin: plugin.get_conf(), ("_get_config_elems",)),
    "activate": Case(
        "activate",
        lambda site, plugin: (plugin.deactivate(), plugin.activate()),
        ("_get_config_elems",),
    ),
    "deactivate": Case(
        "deactivate", lambda site, plugin: plugin.deactivate(), ("_get_config_elems",)
    ),
    "plan_tests": Case(
        "plan_tests", lambda site, plugin: plugin.plan_tests([new_test(site)]), (), NODES
    ),
    "plan_tests_bad": Case(
        "plan_tests", lambda site, plugin: plugin.plan_tests([new_test(site, {"nodes": "x"})])
    ),
    "gen_job_share_key": Case(
        "gen_job_share_key",
        lambda site, plugin: (
            setattr(plugin, "JOB_SHARE_KEY_ATTRS", ["no.such"]),
            plugin.gen_job_share_key(validate_config({}), 1, 2),
        ),
    ),
    "gen_job_share_key_any_value": Case(
        "gen_job_share_key",
        lambda site, plugin: plugin.gen_job_share_key(
            dict(validate_config({}), partition={"a": [{1}, object()]}), 1, None
        ),
    ),
    "_get_system_inventory": Case(
        "_get_system_inventory",
        lambda site, plugin: plugin._get_system_inventory(validate_config({})),
        (),
        NODES[:2],
    ),
    "_filter_nodes": Case(
        "_filter_nodes", lambda site, plugin: plugin._filter_nodes(validate_config({})), (), NODES
    ),
    "VAR_CLASS[]": Case(
        "VAR_CLASS[]",
        lambda site, plugin: read_all(variables(plugin)),
        ("variable", "_test_cmd"),
        NODES,
    ),
    "VAR_CLASS[]_chunked": Case(
        "VAR_CLASS[]",
        lambda site, plugin: read_all(variables(plugin, CHUNKED)),
        (),
        ("NODE_SELECTION",),
    ),
    "VAR_CLASS[]_contradiction": Case(
        "VAR_CLASS[]", lambda site, plugin: read_all(plugin.get_initial_vars(CONTRADICTION))
    ),
    "VAR_CLASS[]_unknown": Case("VAR_CLASS[]", lambda site, plugin: variables(plugin)["nodse"]),
    "VAR_CLASS.info": Case(
        "VAR_CLASS.info",
        lambda site, plugin: told(variables(plugin)),
        ("variable", "_test_cmd"),
        NODES,
    ),
    "VAR_CLASS.info_unknown": Case(
        "VAR_CLASS.info", lambda site, plugin: variables(plugin).info("nodse")
    ),
    "get_plugin": Case(
        "get_plugin",
        lambda site, plugin: [look_up(name) for name in ("slrum", "", None, "broken", 7)],
    ),
    "list_plugins": Case("list_plugins", lambda site, plugin: list_plugins()),
}
# Functions, for which there is no plugin.
BAD_SECTIONS: tuple[Any, ...] = (
    {"nodes": "x"},
    {"nodes": ["1"]},
    {"nodse": "1"},
    {"chunking": "x"},
    {"chunking": {"x": 1}},
    5,
    "nodes",
    ["nodes"],
    {"time_limit": {}},
    {"include_nodes": "a["},
    {"exclude_nodes": {"a": 1}},
    {"tasks_per_node": float("nan")},
    {"node_state": object()},
    {"cluster_info": {"mem": "-1"}},
    {5: "x"},
    {None: None},
)


def outcome(call: str, run: Callable[[], Any]) -> None:
    """What a call raises is what it may raise."""
    try:
        run()
    except BaseException as exc:
        if isinstance(exc, AssertionError) or not isinstance(exc, MAY_RAISE[call]):
            raise
        if isinstance(exc, SchedConfigError) and call == "parse_node_range":
            assert isinstance(exc, ValueError)
        if isinstance(exc, SchedulerPluginError):
            assert exc.pformat() and isinstance(exc.tests, list)


def broken_by(family: str, case: str, method: str, fault: str, site: Any) -> None:
    plugin = FAMILIES[family]()
    plugin.activate()
    try:
        plugin.behind = {method: FAULTS[fault]} if method else {}
        outcome(CASES[case].call, lambda: CASES[case].run(site, plugin))
    finally:
        plugin.behind = {}
        registry.reset()


def validators_that_raise(fault: str, site: Any) -> None:
    def validator(value: Any) -> Any:
        raise FAULTS[fault]()

    outcome("validate_config", lambda: validate_config({"a": "1"}, {"a": validator}, {}))


def bad_sections(site: Any) -> None:
    for section in BAD_SECTIONS:
        outcome("validate_config", functools.partial(validate_config, section))


def bad_node_counts(site: Any) -> None:
    for count in (0, 1, 10**9):
        checked = validate_config(CONTRADICTION)
        outcome("calc_node_range", functools.partial(config.calc_node_range, checked, count))


def bad_host_lists(site: Any) -> None:
    for text in ("a[", "a[1-", "a[3-1]", "]", "a[1]]", 5, object(), ["a", "b["], "a,,b", "\0"):
        outcome("parse_node_range", functools.partial(config.parse_node_range, text))


def core_plugins(site: Any) -> None:
    try:
        outcome("register_core_plugins", SchedulerPlugin.register_core_plugins)
        assert {"raw", "slurm"} <= set(list_plugins())
    finally:
        registry.reset()


def _checks() -> dict[str, Callable[[Any], None]]:
    checks: dict[str, Callable[[Any], None]] = {
        function.__name__: function
        for function in (bad_sections, bad_node_counts, bad_host_lists, core_plugins)
    }
    for fault in FAULTS:
        checks[f"validators_that_raise-{fault}"] = functools.partial(validators_that_raise, fault)
    for family in FAMILIES:
        for name, case in CASES.items():
            methods = case.behind + (case.advanced if family == "advanced" else case.basic)
            if case.advanced and not case.behind and family == "basic":
                # Of nodes.
                continue
            checks[f"{family}-{name}"] = functools.partial(broken_by, family, name, "", "")
            for method in methods:
                for fault in FAULTS:
                    checks[f"{family}-{name}-{method}-{fault}"] = functools.partial(
                        broken_by, family, name, method, fault
                    )
    return checks


CHECKS = _checks()
