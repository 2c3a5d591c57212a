"""The variables of tests, before they run and on their allocations."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from clusters import Slurm as Cluster
from clusters import wait_until
from plugin_tools import Site, info, site_of

from pavilion.deferred import DeferredVariable
from pavilion.errors import SchedulerPluginError
from pavilion.schedulers import validate_config
from pavilion.schedulers.placement import hostlists
from pavilion.schedulers.plugins.slurm.vars import SlurmVars


@pytest.fixture
def site(slurm: Cluster, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    with site_of(slurm, monkeypatch) as made:
        yield made


def variables(schedule: dict[str, Any], nodes: list[str]) -> SlurmVars:
    """The variables on an allocation of these nodes, of 8 CPUs each."""
    return SlurmVars(
        validate_config(schedule),
        chunks=[nodes],
        deferred=False,
        nodes={
            name: {"name": name, "up": True, "available": True, "cpus": 8, "mem": 2**30}
            for name in nodes
        },
    )


# What follows needs the section schedule.slurm, so the plugin is active.


@pytest.mark.parametrize(
    ("schedule", "nodes", "command"),
    [
        ({}, ["n1"], "srun -N 1 -w n1 -n 1"),
        ({"nodes": "2", "tasks_per_node": "3"}, ["n1", "n2"], "srun -N 2 -w 'n[1-2]' -n 6"),
        ({"nodes": "2", "tasks": "5"}, ["n1", "n4"], "srun -N 2 -w 'n[1,4]' -n 5"),
        (
            {"nodes": "all", "tasks_per_node": "all"},
            ["n1", "n2", "n3"],
            "srun -N 3 -w 'n[1-3]' -n 24",
        ),
        (
            {"slurm": {"srun_extra": ["--mpi=pmix", "--overlap"]}},
            ["n1"],
            "srun -N 1 -w n1 -n 1 --mpi=pmix --overlap",
        ),
        ({"wrapper": "valgrind -q"}, ["n1"], "srun -N 1 -w n1 -n 1 valgrind -q"),
        ({"slurm": {"mpi_cmd": "mpirun"}}, ["n1", "n2"], "mpirun -N 1 --host n1,n2"),
        (
            {
                "slurm": {"mpi_cmd": "mpirun", "srun_extra": ["--overlap"]},
                "wrapper": "time",
                "mpirun_opts": {
                    "bind_to": "core",
                    "rank_by": "slot",
                    "mca": ["btl self"],
                    "extra": ["--quiet"],
                },
            },
            ["n1"],
            "mpirun -N 1 --rank-by slot --bind-to core --mca btl self --quiet --host n1 time",
        ),
    ],
    ids=str,
)
def test_commands(site: Site, schedule: dict[str, Any], nodes: list[str], command: str) -> None:
    assert variables(schedule, nodes)["test_cmd"] == command


def test_the_command_is_not_known_before(site: Site) -> None:
    made = site.plugin.get_initial_vars({"nodes": "2"})
    assert isinstance(made["test_cmd"], DeferredVariable)
    assert made.info("test_cmd")["deferred"] and "srun" in made.info("test_cmd")["example"]
    with pytest.raises(Exception, match=r"mpi_cmd.*srun.*mpirun"):
        site.plugin.get_initial_vars({"slurm": {"mpi_cmd": "prun"}})


ON_NODE = """
    import json, os, sys
    from pathlib import Path
    sys.path[:0] = {path!r}
    from contract.fakes import FakeHost, active
    from pavilion.jobs import Job
    from pavilion.schedulers import Slurm

    class Test:
        id, name = "s1.1", "suite.test1"
        config = {{"schedule": {schedule!r}}}
        job = Job(Path(sys.argv[1]))

    plugin = Slurm()
    with active(plugin):
        made = plugin.get_final_vars(Test())
        keys = ("test_nodes", "test_node_list", "tasks_total", "tasks_per_node", "test_min_cpus",
                "test_cmd")
        print("vars", json.dumps({{key: made[key] for key in keys}}), flush=True)
        print("env", json.dumps(dict(os.environ)), flush=True)
        assert plugin._client.querying.count() == 0
    """


def test_on_the_allocation_they_are_those_of_slurm(site: Site) -> None:
    import json

    schedule = {"nodes": "2", "tasks_per_node": "3", "slurm": {"features": ["odd"]}}
    program = site.cluster.folder / "on_node.py"
    program.write_text(
        textwrap.dedent(ON_NODE).format(path=[str(Path(__file__).parents[1])], schedule=schedule)
    )
    test = site.test(
        schedule,
        work=f'set -e; {sys.executable} {program} "$PAV_JOB"; echo done; rm -f "$PAV_JOB/none"',
    )
    work = site.pav_cfg.pav_root / "bin" / f"work-{test.id}"
    # The job's folder is known once it is started: it is that of the log.
    work.write_text('PAV_JOB=$(dirname "$(readlink -f /proc/$$/fd/1)")\n' + work.read_text())
    assert site.try_start(test) == []
    site.wait_status(test, "SCHED_ERROR", "ended normally")
    assert test.job is not None
    log = test.job.kickoff_log.read_text()
    lines = dict(
        line.split(" ", 1) for line in log.splitlines() if line.startswith(("vars ", "env "))
    )
    made, env = json.loads(lines["vars"]), json.loads(lines["env"])
    assert made["test_nodes"] == env["SLURM_JOB_NUM_NODES"] == "2"
    assert made["test_node_list"] == site.plugin.parse_node_list(env["SLURM_JOB_NODELIST"])
    assert made["tasks_per_node"] == env["SLURM_NTASKS_PER_NODE"] == "3"
    assert made["tasks_total"] == "6"
    assert made["test_min_cpus"] == "4"
    # Which of them Slurm takes depends on what other tests' jobs still use.
    assert set(made["test_node_list"]) < {"node01", "node03", "node05"}
    assert made["test_cmd"] == f"srun -N 2 -w '{hostlists.fold(made['test_node_list'])}' -n 6"


def test_srun_starts_as_many_tasks_as_were_asked_for(site: Site) -> None:
    command = variables({"nodes": "2", "tasks_per_node": "3"}, ["node01", "node02"])["test_cmd"]
    test = site.start(
        {"nodes": "2", "tasks_per_node": "3", "include_nodes": "node[01-02]"},
        work=f"{command} /bin/sh -c 'echo task on $SLURMD_NODENAME'",
    )
    site.wait_status(test, "SCHED_ERROR", "ended normally")
    assert test.job is not None
    lines = test.job.kickoff_log.read_text().splitlines()
    assert sorted(line for line in lines if line.startswith("task ")) == (
        ["task on node01"] * 3 + ["task on node02"] * 3
    )


def test_a_shared_job_gives_each_test_all_its_nodes(site: Site) -> None:
    tests = [
        site.test({"nodes": "all", "partition": "alt"}, work='echo "on $SLURM_JOB_NODELIST"')
        for _ in range(2)
    ]
    assert site.try_start(*tests) == []
    job = tests[0].job
    assert job is not None and info(tests[0])["id"] == info(tests[1])["id"]
    wait_until(
        lambda: job.kickoff_log.exists() and "on node[05-08]" in job.kickoff_log.read_text(),
        "it ran",
    )


@pytest.mark.parametrize(
    ("value", "names"),
    [
        ("node[01-03]", ["node01", "node02", "node03"]),
        ("n1,n1,n2", ["n1", "n2"]),
        (None, "is not set"),
        ("", "is not set"),
        ("node[01-", "Bad host list"),
    ],
)
def test_the_nodes_of_an_allocation(
    site: Site, monkeypatch: pytest.MonkeyPatch, value: str | None, names: Any
) -> None:
    with monkeypatch.context() as patch:
        for name in ("SLURM_JOB_NODELIST", "SLURM_NODELIST"):
            patch.delenv(name, raising=False)
        if value is not None:
            patch.setenv("SLURM_JOB_NODELIST", value)
        if isinstance(names, list):
            assert site.plugin._get_alloc_nodes(None) == names  # type: ignore[arg-type]
        else:
            with pytest.raises(SchedulerPluginError, match=names):
                site.plugin._get_alloc_nodes(None)  # type: ignore[arg-type]
