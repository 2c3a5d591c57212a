"""Mistakes in plugins: each is an error of the tests concerned that names plugin and method."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from fakes import FakeHost, FakeSched, active

from dummy_plugin import Dummy
from pavilion.deferred import DeferredVariable
from pavilion.errors import SchedulerPluginError
from pavilion.jobs import Job, JobInfo
from pavilion.schedulers import KickoffScriptHeader, SchedulerVariables, validate_config, vars
from pavilion.status_file import STATES, TestStatusInfo


@pytest.fixture
def host(tmp_path: Path) -> FakeHost:
    return FakeHost(tmp_path)


def test_sys_exit_in_a_kickoff_ends_that_test_alone(host: FakeHost) -> None:
    plugin = FakeSched()

    def leave(number: int, job: Job) -> JobInfo:
        if number == 1:
            sys.exit(0)
        return JobInfo(id=str(number))

    plugin.on_kickoff = leave
    tests = host.tests(3)
    errors = plugin.schedule_tests(host.pav_cfg, tests)
    assert [error.tests for error in errors] == [[tests[1]]]
    assert "SystemExit" in str(errors[0]) and "'fake'" in str(errors[0])
    assert [test.complete for test in tests] == [False, True, False]


@pytest.mark.parametrize(
    "status",
    [
        TestStatusInfo(STATES.SCHEDULED, None),  # type: ignore[arg-type]
        TestStatusInfo(None, "x"),  # type: ignore[arg-type]
        TestStatusInfo(STATES.SCHED_ERROR, 7),  # type: ignore[arg-type]
    ],
)
def test_a_status_that_is_no_text(host: FakeHost, status: TestStatusInfo) -> None:
    plugin = FakeSched()
    test = host.test()
    plugin.schedule_tests(host.pav_cfg, [test])
    plugin.on_query = lambda info: status
    found = plugin.job_status(host.pav_cfg, test)  # type: ignore[arg-type]
    assert found.state == STATES.SCHED_WARNING and not test.complete
    assert "'fake'" in found.note and "both must be strings" in found.note


def test_sys_exit_in_a_status(host: FakeHost) -> None:
    plugin = FakeSched()
    test = host.test()
    plugin.schedule_tests(host.pav_cfg, [test])
    plugin.on_query = lambda info: sys.exit("nope")
    found = plugin.job_status(host.pav_cfg, test)  # type: ignore[arg-type]
    assert found.state == STATES.SCHED_WARNING and "nope" in found.note


@pytest.mark.parametrize("answer", [True, False, "", 7])
def test_a_filter_that_gives_no_reason(answer: Any) -> None:
    class Filtering(Dummy):
        def _filter_custom(self, sched_config: Any, node_name: str, node: Any) -> Any:
            return answer

    with (
        pytest.raises(SchedulerPluginError, match=r"_filter_custom\(\) .*'dummy'.* must return"),
        active(Filtering()) as plugin,
    ):
        plugin.filtered_nodes(validate_config({}))


def test_a_filter_that_fails() -> None:
    class Filtering(Dummy):
        def _filter_custom(self, sched_config: Any, node_name: str, node: Any) -> Any:
            raise KeyError("rack")

    with (
        pytest.raises(
            SchedulerPluginError, match=r"_filter_custom\(\) .*'dummy' .* KeyError: .*; for node '"
        ),
        active(Filtering()) as plugin,
    ):
        plugin.filtered_nodes(validate_config({}))


@pytest.mark.parametrize("names", ["n1,n2", None, [], ["n1", 2], [""]])
def test_nodes_of_an_allocation_that_are_no_list_of_names(host: FakeHost, names: Any) -> None:
    plugin = FakeSched()
    plugin._get_alloc_nodes = lambda job: names  # type: ignore[assignment]
    test = host.test()
    plugin.schedule_tests(host.pav_cfg, [test])
    with pytest.raises(SchedulerPluginError, match=r"_get_alloc_nodes\(\) .*'fake'.* must return"):
        plugin.get_final_vars(test)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        ("#X a", "must return a list of lines"),
        (None, "must return a list of lines"),
        (["#X a", 3], "must return a list of lines"),
        (["#X a\nrm -rf x"], "'rm -rf x' would be run as a command"),
    ],
)
def test_header_lines_that_are_none(lines: Any, problem: str) -> None:
    class Header(KickoffScriptHeader):
        def _kickoff_lines(self) -> Any:
            return lines

    with pytest.raises(SchedulerPluginError, match=problem) as caught:
        Header("name", validate_config({})).get_lines()
    assert "Header" in str(caught.value)


def test_header_lines_as_some_write_them() -> None:
    class Header(KickoffScriptHeader):
        def _kickoff_lines(self) -> list[str]:
            return ["#X a\n#X b", "module load x\nexport Y=1"]

    assert Header("name", validate_config({})).get_lines()[1:] == [
        "#X a\n#X b",
        "module load x\nexport Y=1",
    ]


def test_a_failed_variable_is_inert_in_a_shell(tmp_path: Path) -> None:
    class Vars(SchedulerVariables):
        @vars.var_method
        def racks(self) -> str:
            raise SchedulerPluginError("said `touch pwned` $(touch pwned); touch pwned\n'\"&|")

    text = Vars(validate_config({}))["racks"]
    assert text.startswith("<no value for racks: ")
    subprocess.run(["/bin/bash", "-c", f'echo "{text}"'], cwd=tmp_path, check=True)
    subprocess.run(["/bin/bash", "-c", f"echo {text}"], cwd=tmp_path, check=False)
    assert list(tmp_path.iterdir()) == []


def test_an_error_of_a_method_names_it(host: FakeHost) -> None:
    plugin = FakeSched()
    test = host.test()
    plugin.schedule_tests(host.pav_cfg, [test])

    def fail(*_: Any) -> Any:
        return {}["queue"]

    plugin.on_query = plugin.on_cancel = fail
    where = r"of scheduler plugin 'fake' \(/.*\.py\) failed with KeyError: 'queue'"
    found = plugin.job_status(host.pav_cfg, test)  # type: ignore[arg-type]
    assert re.search(rf"_job_status\(\) {where}", found.note)
    assert re.search(rf"cancel\(\) {where}", plugin.cancel_jobs([JobInfo(id="1")])[0] or "")
    plugin._get_alloc_nodes = fail  # type: ignore[method-assign]
    with pytest.raises(SchedulerPluginError, match=rf"_get_alloc_nodes\(\) {where}"):
        plugin.get_final_vars(test)  # type: ignore[arg-type]

    class Unavailable(FakeSched):
        def _available(self) -> bool:
            return bool(fail())

    def fail_shortly(*_: Any) -> Any:
        raise NotImplementedError

    plugin.on_cancel = fail_shortly
    assert "cancel() of scheduler plugin 'fake'" in (plugin.cancel_jobs([JobInfo(id="1")])[0] or "")
    unavailable = Unavailable()
    assert not unavailable.available()
    assert re.search(rf"_available\(\) {where}", unavailable.unavailable_reason or "")


@pytest.mark.parametrize(
    "answer",
    [
        None,
        [{"n": 1}, {"n": 2}],
        [{"n": 1}],
        [[1], [2], [3]],
        "ab",
        ("n1,n2", None),
        (None, None),
        7,
    ],
)
def test_raw_node_data_that_is_no_list_and_extra(answer: Any) -> None:
    class Listing(Dummy):
        def _get_raw_node_data(self, sched_config: Any) -> Any:
            return answer

    with (
        active(Listing()) as plugin,
        pytest.raises(
            SchedulerPluginError,
            match=r"_get_raw_node_data\(\) .*'dummy'.* must "
            r"return .*'return nodes, None'.*It returned",
        ),
    ):
        plugin.filtered_nodes(validate_config({}))


@pytest.mark.parametrize(
    "answer",
    [
        (["n1"], None),
        [["n1"], None],
        (("n1",), {}),
        ({"n1"}, None),
        (iter(["n1"]), None),
        ({"n1": 1}, None),
    ],
)
def test_raw_node_data_as_some_write_it(answer: Any) -> None:
    class Listing(Dummy):
        def _get_raw_node_data(self, sched_config: Any) -> Any:
            return answer

        def _transform_raw_node_data(self, sched_config: Any, node_data: Any, extra: Any) -> Any:
            return {"name": node_data, "up": True, "available": sched_config["node_state"] != "x"}

    with active(Listing()) as plugin:
        for config in ({}, {"node_state": "available"}):
            assert plugin.filtered_nodes(validate_config(config)).names == ["n1"]


def test_a_description_of_a_node_that_fails() -> None:
    class Describing(Dummy):
        def _get_raw_node_data(self, sched_config: Any) -> Any:
            return [{"id": "n1", "long": "x" * 5000}], None

        def _transform_raw_node_data(self, sched_config: Any, node_data: Any, extra: Any) -> Any:
            return {"name": node_data["name"]}

    with (
        active(Describing()) as plugin,
        pytest.raises(
            SchedulerPluginError,
            match=r"_transform_raw_node_data\(\) .*'dummy'.* failed with "
            r"KeyError: 'name'; for the raw data {'id': 'n1'",
        ) as caught,
    ):
        plugin.filtered_nodes(validate_config({}))
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (
            {"VAR_CLASS": dict},
            r"VAR_CLASS .*'fake' \(.*\) must be a class that is derived from "
            r"SchedulerVariables, not <class 'dict'>",
        ),
        ({"VAR_CLASS": "MyVars"}, "VAR_CLASS .* not 'MyVars'"),
        ({"VAR_CLASS": None}, "VAR_CLASS .* not None"),
        (
            {"KICKOFF_SCRIPT_HEADER_CLASS": object},
            "KICKOFF_SCRIPT_HEADER_CLASS .* derived from KickoffScriptHeader",
        ),
        ({"name": None}, "name .* must be a non-empty string, not None"),
        ({"name": ""}, "name .* must be a non-empty string, not ''"),
    ],
)
def test_parts_that_cannot_be_used(change: dict[str, Any], problem: str) -> None:
    plugin = FakeSched()
    for attribute, value in change.items():
        setattr(plugin, attribute, value)
    with pytest.raises(SchedulerPluginError, match=problem), active(plugin):
        pass


def test_an_init_that_does_not_call_ours() -> None:
    class Forgetful(FakeSched):
        def __init__(self) -> None:
            self.name = "forgetful"

    with pytest.raises(
        SchedulerPluginError,
        match=r"__init__\(\) of its class Forgetful does not "
        r"call super\(\)\.__init__\(name, description\)",
    ):
        Forgetful().activate()


def test_a_variable_that_is_made_from_one_that_is_not_known_yet() -> None:
    class Vars(SchedulerVariables):
        @vars.var_method
        def called(self) -> str:
            return f"run -N {self.test_nodes()}"

        @vars.var_method
        def read(self) -> dict[str, str]:
            return {"nodes": f"{self['test_nodes']} nodes"}

        @vars.var_method
        def itself(self) -> Any:
            return self["test_nodes"]

        @vars.dfr_var_method
        def later(self) -> str:
            return f"run -N {self.test_nodes()}"

    nodes = {"n1": {"name": "n1", "up": True, "available": True}}
    outside = Vars(validate_config({}), nodes=nodes, chunks=[["n1"]])
    for key in ("called", "read"):
        assert str(outside[key]).startswith(f"<no value for {key}: ")
        assert f"'{key}' ({__file__}, line " in outside["errors"][-1]
        assert outside["errors"][-1].endswith("mark it with @dfr_var_method, too")
    assert isinstance(outside["itself"], DeferredVariable)
    assert isinstance(outside["later"], DeferredVariable)
    inside = Vars(validate_config({}), nodes=nodes, chunks=[["n1"]], deferred=False)
    assert (inside["called"], inside["later"]) == ("run -N 1", "run -N 1")
    assert inside["read"] == {"nodes": "1 nodes"} and inside["errors"] == []


@pytest.mark.parametrize(
    ("attribute", "value"),
    [
        ("JOB_STATUS_TIMEOUT", "5"),
        ("JOB_STATUS_TIMEOUT", -1),
        ("JOB_STATUS_TIMEOUT", None),
        ("KICKOFFS_AT_ONCE", "x"),
        ("KICKOFFS_AT_ONCE", 0),
        ("KICKOFFS_AT_ONCE", 2.5),
        ("KICKOFFS_AT_ONCE", True),
        ("JOB_END_GRACE", "long"),
        ("KICKOFF_GRACE", float("nan")),
        ("priority", "high"),
        ("JOB_SHARE_KEY_ATTRS", "partition"),
        ("JOB_INFO_KEYS", "id"),
    ],
)
def test_settings_that_cannot_be_used_are_refused_when_it_is_loaded(
    attribute: str, value: Any
) -> None:
    plugin = FakeSched("odd")
    setattr(plugin, attribute, value)
    with pytest.raises(SchedulerPluginError) as caught:
        plugin.activate()
    assert attribute in str(caught.value) and repr(value) in str(caught.value)
    assert "'odd'" in str(caught.value) and str(plugin.path) in str(caught.value)
