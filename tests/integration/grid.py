"""A made-up machine for the commands that show nodes, and the plugin that runs jobs on it.

Environment variables say what it is like: GRID_NODES (how many nodes), GRID_DOWN (the numbers of
those that are down), GRID_FAILS (the scheduler cannot be asked).  Jobs are processes of this host.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
from pathlib import Path
from typing import Any, TypeVar
from unittest import mock

from cli_tools import Cli, Done

from pavilion.cli.main import main
from pavilion.plugins import reset_plugins

PLUGIN = """
    import os
    import subprocess

    from pavilion.errors import SchedulerPluginError
    from pavilion.jobs import JobInfo
    from pavilion.schedulers import KickoffScriptHeader, SchedulerPluginAdvanced
    from pavilion.status_file import STATES, TestStatusInfo


    class GridHeader(KickoffScriptHeader):
        def _kickoff_lines(self):
            nodes = ",".join(self._include_nodes)
            return [f"#GRID nodes {nodes} {self._node_min}-{self._node_max}",
                    f"#GRID name {self._job_name}"]


    class Grid(SchedulerPluginAdvanced):
        KICKOFF_SCRIPT_HEADER_CLASS = GridHeader

        def __init__(self):
            super().__init__("grid", "A made-up machine.")

        def _available(self):
            return True

        def _get_raw_node_data(self, sched_config):
            if "GRID_FAILS" in os.environ:
                raise SchedulerPluginError("The grid is out of reach.")
            count = os.environ.get("GRID_NODES", "16")
            return list(range(1, int(count) + 1)), len(count)

        def _transform_raw_node_data(self, sched_config, number, digits):
            if sched_config["reservation"] == "nosuch":
                raise SchedulerPluginError("There is no reservation 'nosuch'.")
            down = str(number) in os.environ.get("GRID_DOWN", "").split(",")
            busy = number % 7 == 0
            return {"name": f"n{number:0{digits}}", "up": not down,
                    "available": not (down or busy), "cpus": 8, "mem": 2 ** 34,
                    "partitions": ["all", "odd" if number % 2 else "even"],
                    "states": ["DOWN" if down else "BUSY" if busy else "IDLE"]}

        def _filter_custom(self, sched_config, node_name, node):
            return "smells <&> funny" if node_name.endswith("13") else None

        def _kickoff(self, pav_cfg, job, sched_config, job_name, nodes=None, node_range=None):
            names = nodes or [f"n{number:02}" for number in range(1, node_range[0] + 1)]
            with job.sched_log.open("wb") as log:
                process = subprocess.Popen(
                    [str(job.kickoff_path)], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                    start_new_session=True, env=dict(os.environ, GRID_ALLOC=",".join(names)))
            return JobInfo({"id": str(process.pid)})

        def _job_status(self, pav_cfg, job_info):
            return TestStatusInfo(STATES.SCHED_RUNNING, "It is there.")

        def cancel(self, job_info):
            return "The grid cannot cancel."

        def _get_alloc_nodes(self, job):
            return os.environ["GRID_ALLOC"].split(",")
    """

CliType = TypeVar("CliType", bound=Cli)

# A test for each way to be placed.  Node 13 is left out by the plugin, node 5 by GRID_DOWN.
SUITE = """
    _base:
      scheduler: grid
      run: {cmds: ["echo '{{sched.test_node_list.*}}'"]}
    chunked:
      inherits_from: _base
      schedule: {nodes: all, chunking: {size: 4, node_selection: random}}
      permute_on: chunk_ids
      chunk: '{{chunk_ids}}'
    shared:
      inherits_from: _base
      variables: {letter: [a, b, c]}
      permute_on: letter
      schedule: {nodes: 2, across_nodes: 'n[01-04]'}
    own:
      inherits_from: _base
      schedule: {nodes: 3, share_allocation: false, time_limit: 5}
    local:
      scheduler: raw
      run: {cmds: ["true"]}
    """

BROKEN = """
    _base:
      scheduler: grid
      run: {cmds: ["true"]}
    good:
      inherits_from: _base
      schedule: {nodes: 2, chunking: {size: 4}}
    no_such_chunk:
      inherits_from: _base
      schedule: {nodes: 2, chunking: {size: 4}}
      chunk: '99'
    too_many:
      inherits_from: _base
      schedule: {nodes: 17}
    too_large:
      inherits_from: _base
      schedule: {nodes: 2, chunking: {size: 2}, include_nodes: 'n[01-02]'}
    """


class QuickCli(Cli):
    """Runs commands in this process, which is quicker: for those that only look at things."""

    def __call__(self, *args: Any, bare: bool = False, env: dict[str, str] | None = None) -> Done:
        assert not bare
        argv = self.argv(*args)[3:]
        out, err = io.StringIO(), io.StringIO()
        with (
            mock.patch.dict(os.environ, {**self.env, **(env or {})}, clear=True),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
        ):
            try:
                code = main(argv)
            except SystemExit as exc:
                code = int(exc.code or 0)
            finally:
                reset_plugins()
        return Done(code, out.getvalue(), err.getvalue())

    def process(self, *args: Any, env: dict[str, str] | None = None) -> Done:
        """Run a command in a process of its own."""
        return super().__call__(*args, env=env)


def add_grid(cli: CliType, suite: str = SUITE) -> CliType:
    """Add the plugin, and a suite called 'suite' for it.  Node 5 is down."""
    cli.plugin("grid", PLUGIN)
    cli.suite(suite)
    cli.env["GRID_DOWN"] = "5"
    return cli


def untouched(cli: Cli) -> bool:
    """Whether nothing was started, and nothing written into the working folder."""
    return not cli.work.exists() and cli.processes() == []


def nodes_by_test(cli: Cli, series: str = "s1") -> dict[str, list[str]]:
    """The nodes that each finished test of a series saw; only for tests that print them."""
    found = {}
    for path in sorted((cli.work / "series" / series).glob("s*.*/test.json")):
        record = json.loads(path.read_text())
        found[record["name"]] = path.with_name("run.log").read_text().split()
    return found


def kickoff_script(cli: Cli, test_id: str) -> str:
    """The script of the job that a test was in."""
    return Path(cli.test_path(test_id) / "job" / "kickoff.sh").read_text()
