"""Lines of the contract that no other test would miss: signatures, types, slurm's section.

The table in ``docs/contract.md`` says which tests cover which section.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import yaml_config as yc
from contract.fakes import FakeHost, FakeTest, active
from dummy_plugin import Dummy, FakeMachine, TestMaker
from pavilion import schedulers, status_file, types
from pavilion.config import PavConfig
from pavilion.deferred import DeferredVariable
from pavilion.errors import SchedConfigError, SchedulerPluginError
from pavilion.jobs import Job, JobInfo
from pavilion.schedulers import (
    KickoffScriptHeader,
    Raw,
    SchedulerPlugin,
    SchedulerPluginAdvanced,
    SchedulerPluginBasic,
    SchedulerVariables,
    Slurm,
    config,
    get_plugin,
    node_selection,
    validate_config,
)
from pavilion.schedulers.finding import registry
from pavilion.scriptcomposer import ScriptComposer, ScriptHeader
from pavilion.var_dict import VarDict

NOTHING = inspect.Parameter.empty


@pytest.fixture(autouse=True)
def _no_plugin_is_left() -> Iterator[None]:
    yield
    registry.reset()


# ------------------------------------------------------------------------------------- signatures

# What hosts and plugins call by name, or override: parameter -> default, in order.
SIGNATURES: dict[Any, dict[str, Any]] = {
    SchedulerPlugin.__init__: {"name": NOTHING, "description": NOTHING, "priority": 0},
    SchedulerPluginBasic.__init__: {"name": NOTHING, "description": NOTHING, "priority": 10},
    SchedulerPluginAdvanced.__init__: {"name": NOTHING, "description": NOTHING, "priority": 10},
    SchedulerPlugin._kickoff: {
        "pav_cfg": NOTHING,
        "job": NOTHING,
        "sched_config": NOTHING,
        "job_name": NOTHING,
        "nodes": None,
        "node_range": None,
    },
    SchedulerPlugin._job_status: {"pav_cfg": NOTHING, "job_info": NOTHING},
    SchedulerPlugin.cancel: {"job_info": NOTHING},
    SchedulerPlugin._get_alloc_nodes: {"job": NOTHING},
    SchedulerPlugin._get_config_elems: {},
    SchedulerPlugin._available: {},
    SchedulerPlugin.available: {},
    SchedulerPlugin.refresh: {},
    SchedulerPlugin.get_conf: {},
    SchedulerPlugin.activate: {},
    SchedulerPlugin.deactivate: {},
    SchedulerPlugin.schedule_tests: {"pav_cfg": NOTHING, "tests": NOTHING},
    SchedulerPlugin.job_status: {"pav_cfg": NOTHING, "test": NOTHING},
    SchedulerPlugin.get_initial_vars: {"raw_sched_config": NOTHING},
    SchedulerPlugin.get_final_vars: {"test": NOTHING},
    SchedulerPlugin.create_kickoff_script: {
        "pav_cfg": NOTHING,
        "tests": NOTHING,
        "log_path": None,
        "nodes": None,
        "isolate": False,
    },
    SchedulerPlugin._job_name: {"tests": NOTHING},
    SchedulerPlugin.gen_job_share_key: {
        "sched_config": NOTHING,
        "min_nodes": NOTHING,
        "max_nodes": NOTHING,
    },
    SchedulerPluginAdvanced._get_raw_node_data: {"sched_config": NOTHING},
    SchedulerPluginAdvanced._transform_raw_node_data: {
        "sched_config": NOTHING,
        "node_data": NOTHING,
        "extra": NOTHING,
    },
    SchedulerPluginAdvanced._filter_custom: {
        "sched_config": NOTHING,
        "node_name": NOTHING,
        "node": NOTHING,
    },
    SchedulerPluginAdvanced._get_system_inventory: {"sched_config": NOTHING},
    SchedulerPluginAdvanced._filter_nodes: {"sched_config": NOTHING},
    SchedulerPluginBasic._get_alloc_node_info: {"node_name": NOTHING},
    KickoffScriptHeader._kickoff_lines: {},
    SchedulerVariables.__init__: {
        "sched_config": NOTHING,
        "nodes": None,
        "chunks": None,
        "node_list_id": None,
        "deferred": True,
    },
    SchedulerVariables.info: {"key": NOTHING},
    SchedulerVariables.add_errors: {"errors": NOTHING},
    Slurm.parse_node_list: {"text": NOTHING},
    config.calc_node_range: {"config": NOTHING, "node_count": NOTHING},
    node_selection.contiguous: {"node_list": NOTHING, "chunk_size": NOTHING},
    node_selection.random: {"node_list": NOTHING, "chunk_size": NOTHING},
    node_selection.rand_dist: {"node_list": NOTHING, "chunk_size": NOTHING},
    node_selection.distributed: {"node_list": NOTHING, "chunk_size": NOTHING},
    # What the host offers.
    Job.new: {"pav_cfg": NOTHING, "tests": NOTHING, "kickoff_fn": None},
    VarDict.__init__: {"name": NOTHING, "deferred": True},
    ScriptHeader.__init__: {"shebang": "#!/bin/bash"},
    ScriptComposer.__init__: {"header": None},
    SchedulerPluginError.__init__: {
        "msg": NOTHING,
        "tests": None,
        "prior_error": None,
        "data": None,
    },
    SchedConfigError.__init__: {"msg": NOTHING, "prior_error": None, "data": None},
    status_file.TestStatusInfo.__init__: {"state": NOTHING, "note": NOTHING, "when": None},
}


@pytest.mark.parametrize("func", SIGNATURES, ids=lambda func: func.__qualname__)
def test_parameters_have_their_names_order_and_defaults(func: Any) -> None:
    params = list(inspect.signature(func).parameters.values())
    found = [(param.name, param.default) for param in params if param.name not in ("self", "cls")]
    expected = list(SIGNATURES[func].items())
    assert found[: len(expected)] == expected
    # Ours may take more, after these.
    assert all(default is not NOTHING for _, default in found[len(expected) :])
    assert all(
        param.kind is param.POSITIONAL_OR_KEYWORD
        for param in params
        if param.name in SIGNATURES[func]
    )


def test_a_header_takes_its_arguments_by_name_in_the_order_of_the_contract() -> None:
    params = inspect.signature(KickoffScriptHeader.__init__).parameters
    assert list(params) == [
        "self",
        "job_name",
        "sched_config",
        "sched_vars",
        "nodes",
        "node_range",
        "shebang",
    ]


@pytest.mark.parametrize("method", ["_create_kickoff_script_stub", "_get_kickoff_script_header"])
def test_parts_of_a_kickoff_script_are_asked_for_by_keyword(method: str) -> None:
    """Plugins override these, and pass what they were given on."""
    given: list[dict[str, Any]] = []

    class Overrides(Dummy):
        pass

    def override(self: Any, **kwargs: Any) -> Any:
        given.append(kwargs)
        return getattr(Dummy, method)(self, **kwargs)

    setattr(Overrides, method, override)
    with active(Overrides()) as plugin:
        folder = Path("/nowhere")
        test = FakeTest(folder, 1)
        cfg = FakeHostConfig()
        plugin.create_kickoff_script(cfg, test, log_path=folder / "log")
    assert len(given) == 1
    assert {"job_name", "sched_config", "nodes", "node_range", "shebang"} <= set(given[0])


class FakeHostConfig(dict[str, Any]):
    """Settings for a script that is never written."""

    pav_root = Path("/opt/pav")
    pav_cfg_file = None
    env_setup: list[str] = []

    def __getitem__(self, key: str) -> Any:
        return getattr(self, key)


# ------------------------------------------------------------------------------ the embedded host


def test_types_can_be_called_as_plugins_do() -> None:
    assert types.NodeInfo({"name": "n1"}) == schedulers.NodeInfo({"name": "n1"}) == {"name": "n1"}
    assert types.Nodes({}) == schedulers.Nodes({}) == {}
    assert types.NodeList(["n1"]) == schedulers.NodeList(["n1"]) == ["n1"]
    assert types.NodeSet(["n1"]) == schedulers.NodeSet(["n1"]) == frozenset(["n1"])
    assert types.NodeRange((1, None)) == (1, None)
    assert types.PickedNodes is not None


def test_settings_can_be_had_as_attributes_and_as_items(pav_cfg: PavConfig) -> None:
    for key in (
        "pav_root",
        "pav_cfg_file",
        "working_dir",
        "env_setup",
        "configs",
        "disable_plugins",
    ):
        assert getattr(pav_cfg, key) == pav_cfg[key]
    assert (pav_cfg.working_dir / "jobs").is_dir()
    assert all(Path(item["path"]).is_absolute() for item in pav_cfg.configs.values())


def test_a_test_run_has_what_schedulers_use(pav_cfg: PavConfig) -> None:
    with active(Dummy()) as plugin:
        test = TestMaker(pav_cfg)("suite.one", chunk="1", partition="main")
        assert str(test.id) == "s1.1"
        assert (test.name, test.series, test.scheduler) == ("suite.one", "s1", "dummy")
        assert test.path.is_dir()
        assert test.config["schedule"] == {"partition": "main"}
        assert test.config.get("chunk") == "1"
        assert test.shebang == "#!/bin/bash"
        assert test.job is None and test.complete is False
        made = test.status.set("SCHEDULED", "A note.")
        assert isinstance(made, status_file.TestStatusInfo)
        assert test.status.current() == made
        job = Job.new(pav_cfg, [test])
        test.job = job
        assert test.job.name == job.name
        with pytest.raises(schedulers.SchedulerPluginError.__mro__[1]):
            test.job = Job.new(pav_cfg, [test])
        script = ScriptComposer()
        assert isinstance(test.make_script(script, "run", isolate=True), ScriptComposer)
        test.set_run_complete()
        assert test.complete is True
        assert plugin.job_status(pav_cfg, test).state == "SCHEDULED"


def test_the_node_list_id_is_among_the_variables_of_a_test(
    tmp_path: Path, pav_cfg: PavConfig
) -> None:
    from pavilion.resolve import resolve_test
    from pavilion.series import Series
    from pavilion.suites import select_tests

    suite = tmp_path / "suite.yaml"
    suite.write_text(
        "a:\n  scheduler: dummy\n  variables: {x: '{{sched.node_list_id}}'}\n"
        "  run: {cmds: ['echo {{x}}']}\n"
    )
    with active(Dummy()) as plugin:
        (chosen,) = select_tests(pav_cfg, str(suite))
        (test,) = Series.create(pav_cfg, resolve_test(chosen)).tests
        found = plugin.get_initial_vars(test.config["schedule"])["node_list_id"]
        assert plugin._node_lists[int(found)] == sorted(plugin.machine.nodes)
        assert test.config["run"]["cmds"] == [f"echo {found}"]


def test_a_job_without_an_identity_is_on_its_way_whatever_the_host_says(
    tmp_path: Path, pav_cfg: PavConfig
) -> None:
    """Some give {}, some None, and some raise an error."""
    from pavilion.jobs import JobError

    class Dated(Job):
        answer: Any = None

        @property
        def info(self) -> JobInfo:
            if isinstance(self.answer, Exception):
                raise self.answer
            return self.answer  # type: ignore[no-any-return]

    missing = JobError("Could not read it", prior_error=FileNotFoundError("info.json"))
    for answer in ({}, None, missing, FileNotFoundError("info.json")):
        with active(Dummy()) as plugin:
            test = FakeTest(tmp_path, 1)
            job = Dated(Job.new(pav_cfg, [test]).path)  # type: ignore[list-item]
            job.answer = answer
            test.job = job
            status = plugin.job_status(pav_cfg, test)
            assert status.state == "SCHEDULED", (answer, status.note)
            assert not test.complete


# ------------------------------------------------------------------------------------ the plugins


def test_the_class_that_is_imported_is_the_one_that_is_activated() -> None:
    SchedulerPlugin.register_core_plugins()
    from pavilion.schedulers.plugins import raw, slurm

    assert type(get_plugin("slurm")) is Slurm is slurm.Slurm is schedulers.Slurm
    assert type(get_plugin("raw")) is Raw is raw.Raw is schedulers.Raw


def test_a_plugin_may_have_a_node_selection_of_its_own() -> None:
    class Backwards(Dummy):
        NODE_SELECTION = {
            **SchedulerPluginAdvanced.NODE_SELECTION,
            "contiguous": lambda nodes, size: list(nodes)[::-1][:size],
        }

    with active(Backwards(FakeMachine(4))) as plugin:
        values = plugin.get_initial_vars({"chunking": {"size": "2"}})
        assert [set(chunk) for chunk in values._chunks] == [
            {"node03", "node04"},
            {"node01", "node02"},
        ]


def test_a_job_gets_nodes_or_a_range_and_never_both(pav_cfg: PavConfig) -> None:
    with active(Dummy()) as plugin:
        make = TestMaker(pav_cfg)
        tests = [
            make(nodes="2"),
            make(nodes="2", chunking={"size": "4"}),
            make(nodes="2", across_nodes="node[01-04]"),
            make(nodes="1", min_nodes="1"),
        ]
        assert plugin.schedule_tests(pav_cfg, tests) == []
        given = [
            (plugin.kickoff_of(test).nodes, plugin.kickoff_of(test).node_range) for test in tests
        ]
    assert all((nodes is None) != (node_range is None) for nodes, node_range in given)
    assert [nodes is None for nodes, _ in given] == [True, False, False, True]
    assert given[0][1] == (2, 2)


def test_raw_says_that_it_reports_memory_in_gib() -> None:
    assert "GiB" in Raw.VAR_CLASS({}).info("test_min_mem")["help"]


def test_yaml_config_elements_show_what_they_are_made_of() -> None:
    text = yc.StrElem("name")
    assert yc.ListElem("names", sub_elem=text)._sub_elem is text
    assert yc.KeyedElem("all", elements=[text]).config_elems == {"name": text}


# ------------------------------------------------------------------------------ the slurm section


@pytest.fixture
def slurm() -> Iterator[Slurm]:
    with active(Slurm()) as plugin:
        yield plugin


def test_the_section_of_slurm(slurm: Slurm) -> None:
    element, validators, defaults = slurm.get_conf()
    assert element is not None and element.name == "slurm"
    assert validate_config({})["slurm"] == {
        # MIXED is ours: a node with some free processors is up.
        "up_states": [
            "ALLOCATED",
            "COMPLETING",
            "PLANNED",
            "MAINTENANCE",
            "IDLE",
            "MAINT",
            "MIXED",
        ],
        "avail_states": ["IDLE", "MAINT", "MAINTENANCE", "PLANNED"],
        "reserved_states": ["RESERVED"],
        "features": [],
        "srun_extra": [],
        "sbatch_extra": [],
        "mpi_cmd": "srun",
    }
    assert set(validators) == set(validate_config({})["slurm"]) >= set(defaults)
    for key in validators:
        if key != "mpi_cmd":
            assert validate_config({"slurm": {key: "a"}})["slurm"][key] == ["a"]
    assert validate_config({"slurm": {"mpi_cmd": "mpirun"}})["slurm"]["mpi_cmd"] == "mpirun"
    with pytest.raises(SchedConfigError, match="mpi_cmd"):
        validate_config({"slurm": {"mpi_cmd": "aprun"}})


def slurm_vars(schedule: dict[str, Any], nodes: int, **kwargs: Any) -> SchedulerVariables:
    known: Any = {
        f"node{number:02}": {"name": f"node{number:02}", "cpus": 4}
        for number in range(1, nodes + 1)
    }
    return Slurm.VAR_CLASS(validate_config(schedule), nodes=known, **kwargs)


def test_test_cmd_of_slurm(slurm: Slurm) -> None:
    assert isinstance(slurm_vars({}, 2)["test_cmd"], DeferredVariable)
    assert set(slurm_vars({}, 2)) == set(SchedulerVariables({}))

    def command(schedule: dict[str, Any], nodes: int = 2) -> str:
        return str(slurm_vars(schedule, nodes, deferred=False)["test_cmd"])

    assert command({}).replace("'", "") == "srun -N 2 -w node[01-02] -n 2"
    assert command({}, 1) == "srun -N 1 -w node01 -n 1"
    assert (
        command(
            {"tasks_per_node": "3", "slurm": {"srun_extra": ["-l", "-u"]}, "wrapper": "time"}, 1
        )
        == "srun -N 1 -w node01 -n 3 -l -u time"
    )
    assert command({"slurm": {"mpi_cmd": "mpirun"}}) == "mpirun -N 1 --host node01,node02"
    assert command(
        {
            "slurm": {"mpi_cmd": "mpirun"},
            "wrapper": "time",
            "mpirun_opts": {"bind_to": "core", "mca": "btl self", "extra": "-v"},
        }
    ) == ("mpirun -N 1 --bind-to core --mca btl self -v --host node01,node02 time")


def test_the_nodes_of_a_slurm_allocation(slurm: Slurm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SLURM_NODELIST", raising=False)
    monkeypatch.setenv("SLURM_JOB_NODELIST", "node[02-03,7],x")
    job: Any = None
    assert slurm._get_alloc_nodes(job) == ["node02", "node03", "node7", "x"]
    monkeypatch.delenv("SLURM_JOB_NODELIST")
    with pytest.raises(SchedulerPluginError, match="SLURM_JOB_NODELIST"):
        slurm._get_alloc_nodes(job)


def test_slurm_is_not_available_where_its_commands_are_not(
    slurm: Slurm, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", os.fspath(tmp_path))
    assert slurm.available() is False
    assert "sbatch" in str(slurm.unavailable_reason)


# -------------------------------------------------------------------------------------- the table


def test_the_table_of_the_contract_names_every_test_of_it() -> None:
    here = Path(__file__).parent
    text = (here.parents[1] / "docs" / "contract.md").read_text()
    missing = [
        path.name
        for path in sorted(here.glob("test_*.py"))
        if f"(../tests/contract/{path.name})" not in text
    ]
    assert missing == []


# --------------------------------------------------------------------------------------- placement


def test_tests_are_dealt_to_shared_jobs_one_after_the_other(pav_cfg: PavConfig) -> None:
    with active(Dummy(FakeMachine(7))) as plugin:
        make = TestMaker(pav_cfg)
        tests = make.many(8, nodes="2")
        assert plugin.schedule_tests(pav_cfg, tests) == []
        names = [kickoff.test_ids for kickoff in plugin.kickoffs]
    assert names == [["s1.1", "s1.4", "s1.7"], ["s1.2", "s1.5", "s1.8"], ["s1.3", "s1.6"]]


def test_without_a_maximum_of_nodes_there_is_one_job(pav_cfg: PavConfig) -> None:
    with active(Dummy()) as plugin:
        assert plugin.schedule_tests(pav_cfg, TestMaker(pav_cfg).many(6, tasks="4")) == []
        assert [kickoff.node_range for kickoff in plugin.kickoffs] == [(1, None)]
        assert len(plugin.kickoffs[0].test_ids) == 6


def test_a_host_may_ask_about_a_job_from_another_process(tmp_path: Path) -> None:
    """What identifies a job is on disk when the kickoff is over, as plain text."""
    host = FakeHost(tmp_path)
    with active(Raw()) as plugin:
        host.pav("true")
        test = host.test(scheduler="raw")
        assert plugin.schedule_tests(host.pav_cfg, [test]) == []
        assert test.job is not None
        assert {"pid", "uniq_id", "host"} <= set(Job(test.job.path).info)
        assert all(isinstance(value, str) for value in test.job.info.values())
