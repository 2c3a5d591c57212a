"""Mistakes in plugins: each is an error of the tests concerned that names plugin and method."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from fakes import FakeHost, FakeSched, active

from dummy_plugin import Dummy
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


@pytest.mark.parametrize("status", [
    TestStatusInfo(STATES.SCHEDULED, None),  # type: ignore[arg-type]
    TestStatusInfo(None, "x"),  # type: ignore[arg-type]
    TestStatusInfo(STATES.SCHED_ERROR, 7),  # type: ignore[arg-type]
])
def test_a_status_that_is_no_text(host: FakeHost, status: TestStatusInfo) -> None:
    plugin = FakeSched()
    test = host.test()
    plugin.schedule_tests(host.pav_cfg, [test])
    plugin.on_query = lambda info: status
    found = plugin.job_status(host.pav_cfg, test)  # type: ignore[arg-type]
    assert found.state == STATES.SCHED_WARNING and not test.complete
    assert "'fake'" in found.note and "both must be text" in found.note


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

    with pytest.raises(SchedulerPluginError, match=r"_filter_custom\(\) .*'dummy'.* must give"), \
            active(Filtering()) as plugin:
        plugin.filtered_nodes(validate_config({}))


def test_a_filter_that_fails() -> None:
    class Filtering(Dummy):
        def _filter_custom(self, sched_config: Any, node_name: str, node: Any) -> Any:
            raise KeyError("rack")

    with pytest.raises(SchedulerPluginError, match=r"'dummy' .* KeyError in _filter_custom\(\)"), \
            active(Filtering()) as plugin:
        plugin.filtered_nodes(validate_config({}))


@pytest.mark.parametrize("names", ["n1,n2", None, [], ["n1", 2], [""]])
def test_nodes_of_an_allocation_that_are_no_list_of_names(host: FakeHost, names: Any) -> None:
    plugin = FakeSched()
    plugin._get_alloc_nodes = lambda job: names  # type: ignore[assignment]
    test = host.test()
    plugin.schedule_tests(host.pav_cfg, [test])
    with pytest.raises(SchedulerPluginError, match=r"_get_alloc_nodes\(\) .*'fake'.* must give"):
        plugin.get_final_vars(test)  # type: ignore[arg-type]


@pytest.mark.parametrize(("lines", "problem"), [
    ("#X a", "must give a list of lines"),
    (None, "must give a list of lines"),
    (["#X a", 3], "must give a list of lines"),
    (["#X a\nrm -rf x"], "'rm -rf x' would be a command of its own"),
])
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
        "#X a\n#X b", "module load x\nexport Y=1"]


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
