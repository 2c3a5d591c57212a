"""Plugins as sites write them, unchanged, in our own host and in one that is like Pavilion 2.6.

The plugins are in ``plugins/``, what is checked of them in ``plugin_checks.py``.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from contract.alone_runner import HERE, PLUGINS, SRC, Alone
from contract.fakes import EmbeddedSite, FakeTest
from contract.plugin_checks import CHECKS, plugin_files
from pavilion.schedulers import SchedulerPlugin, get_plugin
from pavilion.schedulers.finding import registry
from pavilion.schedulers.finding.discovery import PluginFinder
from polling import until


class PluginSite(EmbeddedSite):
    """With plugins that are loaded by their names."""

    def load(self, name: str) -> Any:
        folder = self.folder / "plugins"
        folder.mkdir(exist_ok=True)
        for file in plugin_files(PLUGINS, name):
            (folder / file.name).write_bytes(file.read_bytes())
        finder = PluginFinder([folder], {"sched": SchedulerPlugin}).find()
        assert finder.refused == []
        for found in finder.loaded:
            found.plugin.activate()
        return get_plugin(name)

    def test(self, schedule: Any = None, chunk: str = "any", **more: Any) -> FakeTest:
        test = super().test(schedule, **more)
        test.config["chunk"] = chunk
        return test


@pytest.fixture
def site(tmp_path: Path) -> Iterator[PluginSite]:
    yield PluginSite(tmp_path)
    registry.reset()


@pytest.mark.parametrize("name", CHECKS)
def test_in_our_own_host(site: PluginSite, name: str) -> None:
    CHECKS[name](site)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Alone:
    return Alone(tmp_path_factory.mktemp("alone"), plugin_files(PLUGINS, "beside"))


@pytest.fixture(scope="module")
def in_host26(alone: Alone) -> dict[str, str]:
    """Why each check failed there; '' where it did not."""
    found: dict[str, str] = json.loads(
        alone.check(str(alone.lib / "run_checks.py"), "plugin_checks", str(PLUGINS))
    )
    return found


@pytest.mark.parametrize("name", CHECKS)
def test_in_a_host_like_pavilion_2_6(in_host26: dict[str, str], name: str) -> None:
    assert not in_host26[name], in_host26[name]


# --------------------------------------------------------------- beside the bundled plugins

BESIDE = """
from pavilion.schedulers import SchedulerPlugin, get_plugin, list_plugins
import pavilion.schedulers.plugins.beside as module
SchedulerPlugin.register_core_plugins()
assert list_plugins() == ["beside", "flux", "gridengine", "pbs", "raw", "slurm"], list_plugins()
plugin = get_plugin("beside")
assert type(plugin) is module.Beside and plugin.path.name == "beside.py"
from pavilion.errors import SchedulerPluginError
assert module.SchedulerPluginError is SchedulerPluginError
assert plugin.get_initial_vars({"nodes": "2"})["nodes"] == "4"
"""


def test_beside_the_bundled_plugins_in_a_host_like_pavilion_2_6(alone: Alone) -> None:
    alone.check("-c", BESIDE)


def test_beside_the_bundled_plugins_in_our_own_host(tmp_path: Path) -> None:
    shutil.copytree(SRC, tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__"))
    for file in plugin_files(PLUGINS, "beside"):
        shutil.copy(file, tmp_path / "src" / "pavilion" / "schedulers" / "plugins")
    env = {**os.environ, "PYTHONPATH": str(tmp_path / "src")}
    done = subprocess.run([sys.executable, "-c", BESIDE], env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    done = subprocess.run(
        [sys.executable, "-m", "pavilion.cli", "show", "plugins"],
        env=env,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "beside" in done.stdout


# ---------------------------------------------------------------------------------------- PBS

PATIENCE = 300.0
NODES = [
    {
        "name": f"pbs{number}",
        "partitions": ["work", "big"] if number > 2 else ["work"],
        "cpus": 4,
        "mem_mb": 8192,
        **({"state": "DOWN"} if number == 5 else {}),
    }
    for number in range(1, 6)
]
SUITE = {
    "_base": {
        "scheduler": "pbs",
        "schedule": {"nodes": "1"},
        "run": {
            "cmds": [
                'echo "nodes: $(sort -u $PBS_NODEFILE | paste -sd,) {{sched.test_node_list.*}}"',
                "echo 'job: {{sched.job_id}}' $PBS_JOBID",
                "echo 'cmd: {{sched.test_cmd}}'",
            ]
        },
    },
    "pair": {
        "inherits_from": "_base",
        "schedule": {
            "nodes": "2",
            "account": "science",
            "tasks_per_node": "2",
            "time_limit": "3",
            "wrapper": "numactl",
        },
    },
    "chunked": {
        "inherits_from": "_base",
        "schedule": {"nodes": "all", "chunking": {"size": "2"}},
        "permute_on": "chunk_ids",
        "chunk": "{{chunk_ids}}",
    },
    "together": {
        "inherits_from": "_base",
        "variables": {"letter": ["a", "b", "c"]},
        "permute_on": "letter",
        "schedule": {"partition": "big", "share_allocation": "max"},
    },
    "fails": {"inherits_from": "_base", "run": {"cmds": ["exit 3"]}},
    "refused": {"inherits_from": "_base", "schedule": {"pbs": {"qsub_extra": ["-Z"]}}},
}


class PbsSite:
    """Fake PBS commands that run jobs, a config folder with the plugin, and pav-sched."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.spool = folder / "spool"
        self.config = folder / "config"
        self.work = folder / "work"
        for path in (self.spool, self.config / "plugins", self.config / "suites"):
            path.mkdir(parents=True)
        (self.spool / "nodes.json").write_text(json.dumps(NODES))
        for file in plugin_files(PLUGINS, "pbs"):
            shutil.copy(file, self.config / "plugins")
        path = [PLUGINS / "pbs_bin", Path(sys.executable).parent, os.environ["PATH"]]
        self.env = {
            "PATH": os.pathsep.join(map(str, path)),
            "MINIBATCH_SPOOL": str(self.spool),
            "HOME": str(folder),
        }

    def run(self, *argv: str, code: int = 0) -> str:
        done = subprocess.run(
            argv,
            env={**os.environ, **self.env},
            cwd=self.folder,
            text=True,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=PATIENCE,
        )
        assert done.returncode == code, f"{argv}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def pav(self, *argv: str, code: int = 0) -> Any:
        """Run pav-sched; what it printed, as JSON."""
        return json.loads(
            self.run(
                sys.executable,
                "-m",
                "pavilion.cli",
                "--config-dir",
                str(self.config),
                "--working-dir",
                str(self.work),
                *argv,
                "--json",
                code=code,
            )
        )

    def suite(self, name: str, tests: dict[str, Any]) -> None:
        (self.config / "suites" / f"{name}.yaml").write_text(json.dumps(tests))

    def jobs(self) -> dict[str, Any]:
        """All jobs of the fake PBS."""
        jobs: dict[str, Any] = json.loads(self.run("qstat", "-x", "-f", "-F", "json"))["Jobs"]
        return jobs

    def close(self) -> None:
        """Leave no job behind."""
        for job_id, job in self.jobs().items():
            if job["job_state"] != "F":
                self.run("qdel", job_id)
        until(lambda: all(job["job_state"] == "F" for job in self.jobs().values()), "jobs gone")


@pytest.fixture
def pbs(tmp_path: Path) -> Iterator[PbsSite]:
    made = PbsSite(tmp_path)
    yield made
    made.close()


def log_of(test: Any) -> dict[str, str]:
    """What a test printed: 'nodes', 'job' and 'cmd'."""
    lines = (Path(test["path"]) / "run.log").read_text().splitlines()
    return {line.partition(": ")[0]: line.partition(": ")[2] for line in lines}


def test_a_suite_runs_on_pbs(pbs: PbsSite) -> None:
    pbs.suite("site", SUITE)
    found = pbs.pav("run", "site", "--timeout", str(PATIENCE), code=1)

    tests = {test["name"].removeprefix("site."): test for test in found["tests"]}
    assert {name: test["result"] for name, test in tests.items()} == {
        "pair": "PASS",
        "chunked.chunk0": "PASS",
        "chunked.chunk1": "PASS",
        "together.a": "PASS",
        "together.b": "PASS",
        "together.c": "PASS",
        "fails": "FAIL",
        "refused": "ERROR",
    }
    jobs = pbs.jobs()

    def job_of(name: str) -> Any:
        return jobs[json.loads((Path(tests[name]["job"]) / "info.json").read_text())["id"]]

    pair = log_of(tests["pair"])
    assert job_of("pair")["Account_Name"] == "science"
    assert pair["cmd"] == "mpiexec -n 4 numactl"
    assert len(set(pair["job"].split())) == 1 and pair["job"].split()[0] in jobs
    by_pbs, by_pavilion = pair["nodes"].split()[0], pair["nodes"].split()[1:]
    assert len(by_pbs.split(",")) == 2 and by_pbs.split(",") == by_pavilion
    lines = (Path(tests["pair"]["job"]) / "kickoff.pbs").read_text().splitlines()
    assert lines[:7] == [
        "#!/bin/bash",
        "#PBS -N pav_site.pair",
        "#PBS -j oe",
        "#PBS -A science",
        "#PBS -l walltime=3:00:00",
        "#PBS -l select=2:ncpus=2",
        "#PBS -l place=scatter",
    ]
    assert "pbs5" not in " ".join(job["exec_host"] for job in jobs.values())
    chunks = [log_of(tests[f"chunked.chunk{number}"])["nodes"].split()[0] for number in range(2)]
    assert chunks == ["pbs1,pbs2", "pbs3,pbs4"]
    assert len({tests[f"together.{letter}"]["job"] for letter in "abc"}) == 1
    assert job_of("together.a")["queue"] == "big"
    assert job_of("together.a")["exec_host"] in ("pbs3/0", "pbs4/0")
    assert "invalid option -Z" in tests["refused"]["note"]
    assert all(job["job_state"] == "F" and job["Exit_status"] == 0 for job in jobs.values())


def test_jobs_of_pbs_are_shown_and_cancelled(pbs: PbsSite) -> None:
    base = {"scheduler": "pbs", "run": {"cmds": ["sleep 60"]}}
    pbs.suite(
        "slow",
        {
            "runs": {**base, "schedule": {"nodes": "all"}},
            "waits": {**base, "schedule": {"nodes": "3"}},
        },
    )
    pbs.pav("run", "slow", "--detach")

    def states() -> dict[str, str]:
        return {test["name"]: test["state"] for test in pbs.pav("status")["tests"]}

    until(
        lambda: states() == {"slow.runs": "RUNNING", "slow.waits": "SCHEDULED"},
        "one runs",
        PATIENCE,
    )
    pbs.pav("cancel", "s1")
    # qdel does not wait for the end.
    until(lambda: all(job["job_state"] == "F" for job in pbs.jobs().values()), "gone", 180)
    ends = {job["Job_Name"]: job["Exit_status"] for job in pbs.jobs().values()}
    # A job may see that its test is cancelled, and end in order, before PBS ends it; and then the
    # other one may begin, and see the same.
    assert set(ends) == {"pav_slow.runs", "pav_slow.waits"}
    assert set(ends.values()) <= {0, 271}
    assert set(states().values()) == {"CANCELLED"}
    # One that PBS itself ended.
    pbs.suite("lost", {"lost": base})
    pbs.pav("run", "lost", "--detach")
    (job_id,) = (name for name, job in pbs.jobs().items() if job["job_state"] != "F")
    pbs.run("qdel", job_id)
    until(
        lambda: pbs.pav("status", "s2")["tests"][0]["state"] == "SCHED_CANCELLED",
        "it ended",
        PATIENCE,
    )


def test_pbs_in_a_host_like_pavilion_2_6(alone: Alone, pbs: PbsSite) -> None:
    alone.check(
        str(alone.lib / "scenarios.py"),
        "pbs",
        PATH=pbs.env["PATH"],
        MINIBATCH_SPOOL=pbs.env["MINIBATCH_SPOOL"],
        PLUGINS=str(HERE / "plugins"),
    )
