"""Inside: what the schedulers folder is used for, one function each.  Run: scenarios.py NAME."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from host import load_plugins, run_scenario, slurm_plugin, states_of, until

from pavilion.deferred import DeferredVariable
from pavilion.errors import SchedConfigError
from pavilion.jobs import JobInfo
from pavilion.schedulers import (
    KickoffScriptHeader,
    Raw,
    SchedulerPluginAdvanced,
    Slurm,
    get_plugin,
    list_plugins,
    scheduler,
    validate_config,
)
from pavilion.schedulers.config import CONFIG_DEFAULTS, CONFIG_VALIDATORS, ScheduleConfig
from pavilion.status_file import STATES, TestStatusInfo

LIB = Path(__file__).resolve().parent


def refuses(errors, call, *args):
    """The error that a call raises."""
    try:
        call(*args)
    except errors as exc:
        return exc
    raise AssertionError(f"{call} raised nothing")


class DummyHeader(KickoffScriptHeader):
    def _kickoff_lines(self):
        return [
            f"#DUMMY {self._job_name} {self._node_min}-{self._node_max} "
            f"{','.join(self._include_nodes)} {self._sched_vars.partition()}"
        ]


class Dummy(SchedulerPluginAdvanced):
    """Eight nodes, one of them down; jobs are processes of this host."""

    KICKOFF_SCRIPT_HEADER_CLASS = DummyHeader
    JOB_STATUS_TIMEOUT = 0.05
    JOB_END_GRACE = 0.1

    def __init__(self):
        super().__init__("dummy", "A dummy.")
        self.processes = {}

    def _available(self):
        return True

    def _get_raw_node_data(self, sched_config):
        return list(range(1, 9)), "n"

    def _transform_raw_node_data(self, sched_config, node_data, extra):
        return {
            "name": f"{extra}{node_data}",
            "up": node_data != 3,
            "available": node_data != 3,
            "cpus": 4,
            "mem": 2**30 * node_data,
            "partitions": ["main"],
        }

    def _kickoff(self, pav_cfg, job, sched_config, job_name, nodes=None, node_range=None):
        names = nodes or ["n1", "n2"]
        with job.sched_log.open("wb") as log:
            process = subprocess.Popen(
                [str(job.kickoff_path)],
                stdout=log,
                stderr=log,
                env={**os.environ, "DUMMY": ",".join(names)},
            )
        self.processes[str(process.pid)] = process
        return JobInfo({"id": str(process.pid)})

    def _job_status(self, pav_cfg, job_info):
        code = self.processes[job_info["id"]].poll()
        if code is None:
            return TestStatusInfo(STATES.SCHED_RUNNING, "It runs.")
        return TestStatusInfo(STATES.SCHED_ERROR, f"Exit code {code}.")

    def cancel(self, job_info):
        self.processes[job_info["id"]].terminate()
        self.processes[job_info["id"]].wait()

    def _get_alloc_nodes(self, job):
        return os.environ["DUMMY"].split(",")


DUMMY_PLUGIN = "from scenarios import Dummy\n"


def discovery(site):
    """Bundled plugins and a site's own are found; nothing is asked of any scheduler."""
    assert list_plugins() == []
    load_plugins(site.pav_cfg)
    assert list_plugins() == ["flux", "gridengine", "pbs", "raw", "slurm"]
    assert type(get_plugin("raw")) is Raw and type(get_plugin("slurm")) is Slurm
    assert {name: get_plugin(name) for name in list_plugins()} == scheduler._SCHEDULER_PLUGINS
    for name in ("flux", "gridengine", "pbs", "raw", "slurm"):
        element, validators, defaults = get_plugin(name).get_conf()
        assert element.name == name and set(validators) >= set(defaults)
        assert CONFIG_VALIDATORS[name] and name in CONFIG_DEFAULTS
        assert ScheduleConfig().find(name) is not None
    assert get_plugin("raw").available() is True
    assert get_plugin("slurm").available() is False
    assert get_plugin("raw").path == LIB / "pavilion/schedulers/plugins/raw/plugin.py"
    add_dummy(site)
    assert list_plugins() == ["dummy", "flux", "gridengine", "pbs", "raw", "slurm"]
    assert get_plugin("slum") is None
    getattr(scheduler, "__reset")()
    assert list_plugins() == []
    assert not {"flux", "gridengine", "pbs", "raw", "slurm", "dummy"} & set(CONFIG_VALIDATORS)


def add_dummy(site):
    folder = site.folder / "config" / "plugins"
    (folder / "dummy.py").write_text(DUMMY_PLUGIN)
    (folder / "dummy.yapsy-plugin").write_text("[Core]\nName = dummy\nModule = dummy\n")
    load_plugins(site.pav_cfg)
    return get_plugin("dummy")


def config(site):
    """Bad sections are an error of the host's kind, which is no ValueError."""
    load_plugins(site.pav_cfg)
    for bad in (
        {"nodes": "0"},
        {"time_limit": "x"},
        {"nodse": "1"},
        {"chunking": {"extra": "x"}},
        {"slurm": {"mpi_cmd": "x"}},
        {"include_nodes": "a["},
    ):
        error = refuses(SchedConfigError, validate_config, bad)
        assert not isinstance(error, ValueError)
        assert error.pformat()
    assert validate_config({})["time_limit"] == 1


def raw(site):
    """A job of two tests, as real processes, from the kickoff to the end."""
    load_plugins(site.pav_cfg)
    plugin = get_plugin("raw")
    tests = [
        site.test({"time_limit": "2"}, scheduler="raw", cmds=["echo $FROM_ENV_SETUP"])
        for _ in range(2)
    ]
    assert plugin.job_status(site.pav_cfg, tests[0]).state == STATES.SCHED_ERROR
    assert plugin.schedule_tests(site.pav_cfg, tests) == []
    job = tests[0].job
    assert job.path == tests[1].job.path
    assert sorted(str(pair[1]) for pair in job.get_test_id_pairs()) == ["s1.1", "s1.2"]
    assert {"pid", "uniq_id", "host"} <= set(job.info)
    assert all(isinstance(value, str) for value in job.info.values())
    assert "pav _run s1.1 s1.2" in job.kickoff_path.read_text().splitlines()
    until(lambda: all(test.complete for test in tests), "both are over")
    for test in tests:
        assert states_of(test) == ["CREATED", "SCHEDULED", "RUNNING", "COMPLETE"]
        assert plugin.job_status(site.pav_cfg, test).state == STATES.COMPLETE
        assert site.final(test)["test_nodes"] == "1"
        assert site.final(test)["errors"] == []
    assert job.kickoff_log.read_text().splitlines() == ["yes", "yes"]


def raw_queue(site):
    """With a limit one job waits for the other, in a process that knows nothing of us."""
    load_plugins(site.pav_cfg)
    plugin = get_plugin("raw")
    (site.folder.parent / "queue").mkdir(mode=0o700)
    tests = [
        site.test(
            {"raw": {"concurrent": "1"}, "share_allocation": "false"},
            scheduler="raw",
            cmds=["sleep 0.3"],
        )
        for _ in range(2)
    ]
    assert plugin.schedule_tests(site.pav_cfg, tests) == []
    until(lambda: all(test.complete for test in tests), "both are over")
    assert tests[1].status.current().when - tests[0].status.current().when >= 0.25


def raw_cancel(site):
    """A cancelled job is gone; one that dies without a word ends its test."""
    load_plugins(site.pav_cfg)
    plugin = get_plugin("raw")
    plugin.JOB_END_GRACE = 0.2
    site.pav("echo going; sleep 60")
    test, other = (site.test({"share_allocation": "false"}, scheduler="raw") for _ in range(2))
    assert plugin.schedule_tests(site.pav_cfg, [test, other]) == []
    until(lambda: plugin.job_status(site.pav_cfg, test).state == STATES.SCHED_STARTUP, "it runs")
    assert plugin.cancel(test.job.info) is None
    assert plugin.cancel(test.job.info) is None
    assert plugin.cancel_jobs([other.job.info]) == [None]
    until(lambda: plugin.job_status(site.pav_cfg, test).state == STATES.SCHED_ERROR, "it is over")
    assert test.complete and states_of(test)[-1] == STATES.SCHED_ERROR


def raw_refused(site):
    """Errors carry exactly their tests, whatever their ids are made of."""
    from pavilion.jobs import Job

    load_plugins(site.pav_cfg)
    plugin = get_plugin("raw")
    bad = site.test({"nodes": "-1"}, scheduler="raw")
    good = site.test(scheduler="raw")
    lost = site.test({"share_allocation": "false", "account": "x"}, scheduler="raw")
    # The host lets nobody set it again.
    lost.job = Job.new(site.pav_cfg, [lost])
    errors = plugin.schedule_tests(site.pav_cfg, [bad, good, lost])
    assert [error.tests for error in errors] == [[bad], [lost]], errors
    assert bad.complete and lost.complete
    assert all(error.prior_error is not None for error in errors)
    until(lambda: good.complete, "the good one is over")


def dummy(site):
    """An advanced plugin: chunks, shares, nodes in the script, variables on both sides."""
    plugin = add_dummy(site)
    values = plugin.get_initial_vars({"nodes": "2", "chunking": {"size": "3"}})
    assert values["nodes"] == "7" and values["chunk_ids"] == ["0", "1", "2"]
    assert values["requested_nodes"] == "2" and values["errors"] == []
    assert isinstance(values["test_nodes"], DeferredVariable)
    assert isinstance(values["tasks_total"], DeferredVariable)
    assert plugin._node_lists[int(values["node_list_id"])] == values["node_list"]
    assert set(values.info("nodes")) == {"name", "deferred", "help", "example"}
    chunked = [
        site.test(
            {"nodes": "2", "chunking": {"size": "3"}}, scheduler="dummy", chunk=str(number % 3)
        )
        for number in range(3)
    ]
    flexible = [site.test({"nodes": "2", "partition": "main"}, scheduler="dummy") for _ in range(4)]
    too_many = site.test({"nodes": "70"}, scheduler="dummy")
    no_chunk = site.test({"chunking": {"size": "3"}}, scheduler="dummy", chunk="7")
    tests = [*chunked, *flexible]
    errors = plugin.schedule_tests(site.pav_cfg, [*tests, too_many, no_chunk])
    assert sorted(str(test.id) for error in errors for test in error.tests) == ["s1.8", "s1.9"]
    until(lambda: all(test.complete for test in tests), "all are over")
    for test in tests:
        assert states_of(test)[-1] == "COMPLETE", test.job.kickoff_log.read_text()
    allocated = [frozenset(site.final(test)["test_node_list"]) for test in chunked]
    assert all(len(names) == 2 for names in allocated)
    assert "n3" not in set().union(*allocated)
    assert site.final(chunked[0])["test_min_cpus"] == "4"
    # Three jobs of two nodes each would fit: four tests are dealt to them.
    assert len({str(test.job.path) for test in flexible}) == 3
    script = flexible[0].job.kickoff_path.read_text().splitlines()
    assert script[1].startswith("#DUMMY pav_") and script[1].endswith(" 2-2  main")
    assert set(flexible[0].job.load_sched_data()) == set(values["node_list"])
    plugin.refresh()
    assert plugin._node_lists == []


def dummy_cancel(site):
    """Cancelling, and a job that died."""
    plugin = add_dummy(site)
    site.pav("sleep 60")
    test = site.test(scheduler="dummy")
    assert plugin.schedule_tests(site.pav_cfg, [test]) == []
    assert plugin.job_status(site.pav_cfg, test).state == STATES.SCHED_STARTUP
    assert plugin.cancel(test.job.info) is None
    until(lambda: plugin.job_status(site.pav_cfg, test).state == STATES.SCHED_ERROR, "it is over")
    assert test.complete


def scripts(site):
    """Kickoff scripts by the public method, isolated ones too."""
    plugin = add_dummy(site)
    test = site.test(scheduler="dummy", cmds=["echo 'the body'"])
    path = site.folder / "isolated.sh"
    plugin.create_kickoff_script(site.pav_cfg, test, isolate=True).write(path)
    assert subprocess.run([str(path)], env={"PATH": os.environ["PATH"]}).returncode == 0
    assert (site.folder / "kickoff.log").read_text() == "the body\n"
    plugin.create_kickoff_script(
        site.pav_cfg, [test], log_path=site.folder / "log", nodes=["n1"]
    ).write(path)
    assert "#DUMMY pav_suite.test1 1-1 n1 " in path.read_text().splitlines()


def unstarted(site):
    """A job whose identity was never stored: the host says so with an error of its own."""
    from pavilion.jobs import Job

    load_plugins(site.pav_cfg)
    plugin = get_plugin("raw")
    test = site.test(scheduler="raw")
    test.job = Job.new(site.pav_cfg, [test])
    assert plugin.job_status(site.pav_cfg, test).state == STATES.SCHEDULED
    plugin.KICKOFF_GRACE = plugin.JOB_STATUS_TIMEOUT = plugin.JOB_END_GRACE = 0.0
    until(lambda: plugin.job_status(site.pav_cfg, test).state == STATES.SCHED_ERROR, "given up")
    assert test.complete


def show_nodes(site):
    """What core's 'show nodes' does."""
    plugin = add_dummy(site)
    checked = validate_config({"include_nodes": "n1"})
    plugin._nodes = plugin._get_system_inventory(checked)
    names, reasons = plugin._filter_nodes(checked)
    assert names == ["n1", "n2", "n4", "n5", "n6", "n7", "n8"]
    assert [nodes for nodes in reasons.values() if nodes] == [["n3"]]


def slurm(site):
    """On the fake Slurm of the copied folder."""
    with slurm_plugin(site) as plugin:
        assert plugin.available() is True, plugin.unavailable_reason
        values = plugin.get_initial_vars({"nodes": "2"})
        assert values["node_list"] == plugin._filter_nodes(validate_config({}))[0]
        assert values["nodes"] == str(len(values["node_list"])) > "1"
        assert isinstance(values["test_cmd"], DeferredVariable)
        test = site.test({"nodes": "2"}, scheduler="slurm")
        bad = site.test({"partition": "nothing"}, scheduler="slurm")
        errors = plugin.schedule_tests(site.pav_cfg, [test, bad])
        assert [error.tests for error in errors] == [[bad]], errors
        assert test.job.info["sys_name"] == "host26" and test.job.info["id"].isdigit()

        def over():
            plugin.job_status(site.pav_cfg, test)
            return test.complete

        until(over, "the job is over", 40)
        assert states_of(test)[-1] == "COMPLETE", test.status.current().note
        final = site.final(test)
        assert len(final["test_node_list"]) == 2
        assert final["test_cmd"].startswith("srun -N 2 -w ")
        site.pav("sleep 60")
        other = site.test({"nodes": "1"}, scheduler="slurm")
        assert plugin.schedule_tests(site.pav_cfg, [other]) == []
        until(
            lambda: plugin.job_status(site.pav_cfg, other).state == STATES.SCHED_STARTUP,
            "it runs",
            40,
        )
        assert plugin.cancel(other.job.info) is None
        until(
            lambda: plugin.job_status(site.pav_cfg, other).state == STATES.SCHED_CANCELLED,
            "it is cancelled",
            40,
        )
        assert other.complete
        assert "host26" in plugin.cancel({"id": "1", "sys_name": "elsewhere"})
        assert (
            plugin._job_status(site.pav_cfg, {"id": "1", "sys_name": "elsewhere"}).state
            == STATES.SCHEDULED
        )


def pbs(site):
    """A site's own plugin, whose commands really run jobs."""
    folder = Path(os.environ["PLUGINS"])
    plugin = site.load("pbs", folder / "pbs.py", folder / "pbs.yapsy-plugin")
    assert plugin.available() is True
    values = plugin.get_initial_vars({"nodes": "2", "chunking": {"size": "2"}})
    assert values["node_list"] == ["pbs1", "pbs2", "pbs3", "pbs4"]
    assert values["server"] == "" and isinstance(values["job_id"], DeferredVariable)
    assert values["chunk_ids"] == ["0", "1"] and values["min_mem"] == str(8 * 2**30)
    test = site.test(
        {"nodes": "2", "chunking": {"size": "2"}},
        scheduler="pbs",
        chunk="1",
        cmds=["echo $FROM_ENV_SETUP"],
    )
    bad = site.test({"pbs": {"qsub_extra": "-Z"}}, scheduler="pbs")
    errors = plugin.schedule_tests(site.pav_cfg, [test, bad])
    assert [error.tests for error in errors] == [[bad]]
    assert "invalid option -Z" in errors[0].pformat()
    until(lambda: test.complete, "it is over", 40)
    final = site.final(test)
    assert final["test_node_list"] == ["pbs3", "pbs4"] and final["server"] == ""
    assert final["job_id"] == test.job.info["id"] and final["test_cmd"] == "mpiexec -n 2"
    assert [text for text in final["errors"] if "server" in text]
    assert test.job.kickoff_log.read_text().endswith("yes\n")
    site.pav("sleep 60")
    plugin.JOB_STATUS_TIMEOUT = 0.1
    other = site.test(scheduler="pbs")
    assert plugin.schedule_tests(site.pav_cfg, [other]) == []
    until(lambda: plugin.job_status(site.pav_cfg, other).state == STATES.SCHED_STARTUP, "it runs")
    assert plugin.cancel(other.job.info) is None
    until(lambda: plugin.job_status(site.pav_cfg, other).state == STATES.SCHED_CANCELLED, "gone")
    assert plugin.cancel(other.job.info) is None
    assert other.complete


def imported(site):
    """Every module of the folder can be imported."""
    import importlib

    root = LIB / "pavilion" / "schedulers"
    for path in sorted(root.rglob("*.py")):
        parts = path.relative_to(LIB).with_suffix("").parts
        if parts[-1] in ("__main__", "launch"):
            continue
        importlib.import_module(".".join(part for part in parts if part != "__init__"))
    for name, module in sys.modules.items():
        if name.partition(".")[0] in ("pavilion", "yaml_config"):
            assert Path(module.__file__).is_relative_to(LIB), module


if __name__ == "__main__":
    run_scenario(globals())
