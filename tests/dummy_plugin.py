"""A fake machine, and an advanced scheduler plugin for it that counts what is asked of it.

Tests import this.  It can be loaded from a config folder as a plugin, too: the class takes no
arguments then and has the default machine.
"""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable

import yaml_config as yc
from pavilion.config import PavConfig, load_config
from pavilion.errors import SchedulerPluginError
from pavilion.jobs import Job, JobInfo
from pavilion.schedulers.advanced import SchedulerPluginAdvanced
from pavilion.schedulers.config import validate_list
from pavilion.schedulers.placement import hostlists
from pavilion.schedulers.scheduler import KickoffScriptHeader
from pavilion.schedulers.vars import SchedulerVariables, var_method
from pavilion.status_file import STATES, TestStatusInfo
from pavilion.test_run import TestRun
from pavilion.types import NodeInfo, NodeList, NodeRange
from pavilion.variables import VariableSetManager

GIB = 1024**3
NODES_VARIABLE = "DUMMY_NODES"


class FakeMachine:
    """Nodes as a scheduler would tell about them: name -> description.

    :param count: How many; they are called node01, node02, ...
    """

    def __init__(self, count: int = 16, prefix: str = "node") -> None:
        width = max(2, len(str(count)))
        self.nodes: dict[str, dict[str, Any]] = {}
        # Why the scheduler cannot be asked, while it cannot.
        self.unreachable: str | None = None
        for number in range(1, count + 1):
            self.add(f"{prefix}{number:0{width}d}")

    def add(self, name: str, **values: Any) -> None:
        """Add a node: idle, in partition 'main', 8 CPUs, 16 GiB, unless told otherwise."""
        self.nodes[name] = {
            "NodeName": name,
            "partitions": ["main"],
            "reservations": [],
            "features": [],
            "states": ["IDLE"],
            "cpus": 8,
            "mem": 16 * GIB,
            **values,
        }

    def change(self, hosts: str, **values: Any) -> None:
        """Change some nodes, given as a host list."""
        for name in hostlists.expand(hosts):
            self.nodes[name].update(values)


@dataclass(frozen=True)
class Kickoff:
    """A call of ``_kickoff``."""

    job: Job
    config: dict[str, Any]
    job_name: str
    nodes: NodeList | None
    node_range: NodeRange | None

    @property
    def test_ids(self) -> list[str]:
        """The ids of the job's tests."""
        return [test_id for _, test_id in self.job.get_test_id_pairs()]

    @property
    def script(self) -> str:
        """The kickoff script."""
        return self.job.kickoff_path.read_text()


class DummyHeader(KickoffScriptHeader):
    """Lines that begin with '#DUMMY'."""

    def _kickoff_lines(self) -> list[str]:
        lines = [
            f"#DUMMY --time {self._config['time_limit']}",
            f"#DUMMY --nodes {self._node_min}-{self._node_max}",
        ]
        if self._sched_vars.partition():
            lines.append(f"#DUMMY --partition {self._sched_vars.partition()}")
        if self._include_nodes:
            lines.append(f"#DUMMY --include {','.join(self._include_nodes)}")
        if self._exclude_nodes:
            lines.append(f"#DUMMY --exclude {','.join(self._exclude_nodes)}")
        return lines


class DummyVars(SchedulerVariables):
    """The variables of every scheduler, and one more."""

    EXAMPLE = dict(SchedulerVariables.EXAMPLE, features="gpu")

    @var_method
    def features(self) -> list[str]:
        """The features that all usable nodes have."""
        found = [set(info.get("features", ())) for info in self._nodes.values()]
        return sorted(set.intersection(*found)) if found else []

    def _test_cmd(self) -> str:
        return "dummyrun"


class Dummy(SchedulerPluginAdvanced):
    """An advanced scheduler whose machine, kickoffs and job states a test decides on.

    - ``calls``: how often each method was called
    - ``kickoffs``: the jobs that were accepted, in order
    - ``on_kickoff``: called with each kickoff first; what it raises is what ``_kickoff`` raises
    - ``run_scripts``: start each kickoff script as a process of this host
    - ``states``: job id -> what the scheduler says of it
    """

    VAR_CLASS = DummyVars
    KICKOFF_SCRIPT_HEADER_CLASS = DummyHeader
    JOB_STATUS_TIMEOUT = 0.05
    JOB_END_GRACE = 0.1

    def __init__(self, machine: FakeMachine | None = None, name: str = "dummy") -> None:
        super().__init__(name, "A fake machine for tests.")
        self.machine = FakeMachine() if machine is None else machine
        self.calls: Counter[str] = Counter()
        self.kickoffs: list[Kickoff] = []
        self.on_kickoff: Callable[[Kickoff], None] = lambda kickoff: None
        self.run_scripts = False
        self.states: dict[str, TestStatusInfo] = {}
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self._count_lock = threading.Lock()

    def _count(self, method: str) -> None:
        with self._count_lock:
            self.calls[method] += 1

    def _get_config_elems(self) -> tuple[list[yc.ConfigElement], dict[str, Any], dict[str, Any]]:
        return (
            [
                yc.ListElem("up_states", sub_elem=yc.StrElem()),
                yc.ListElem("avail_states", sub_elem=yc.StrElem()),
                yc.ListElem("features", sub_elem=yc.StrElem()),
            ],
            {"up_states": validate_list, "avail_states": validate_list, "features": validate_list},
            {
                "up_states": ["IDLE", "ALLOCATED", "RESERVED"],
                "avail_states": ["IDLE"],
                "features": [],
            },
        )

    def _available(self) -> bool:
        self._count("_available")
        return True

    # --------------------------------------------------------------------------------- nodes

    def _get_raw_node_data(self, sched_config: dict[str, Any]) -> tuple[list[Any], Any]:
        self._count("_get_raw_node_data")
        if self.machine.unreachable:
            raise SchedulerPluginError(self.machine.unreachable)
        return [dict(node) for node in self.machine.nodes.values()], {"asked": time.time()}

    def _transform_raw_node_data(
        self, sched_config: dict[str, Any], node_data: Any, extra: Any
    ) -> NodeInfo:
        self._count("_transform_raw_node_data")
        section = sched_config["dummy"]
        info = {key: value for key, value in node_data.items() if key != "NodeName"}
        states = set(node_data["states"])
        up = bool(states) and states <= set(section["up_states"])
        if "RESERVED" in states:
            # As in Slurm: such a node is for those only who name one of its reservations.
            up = up and sched_config["reservation"] in (*node_data["reservations"], "any")
        return {
            **info,
            "name": node_data["NodeName"],
            "up": up,
            "available": up and bool(states & set(section["avail_states"])),
        }

    def _filter_custom(
        self, sched_config: dict[str, Any], node_name: str, node: NodeInfo
    ) -> str | None:
        for feature in sched_config["dummy"]["features"]:
            if feature not in node["features"]:
                return f"has no feature '{feature}'"
        return None

    # ---------------------------------------------------------------------------------- jobs

    def _kickoff(
        self,
        pav_cfg: PavConfig,
        job: Job,
        sched_config: dict[str, Any],
        job_name: str,
        nodes: NodeList | None = None,
        node_range: NodeRange | None = None,
    ) -> JobInfo:
        self._count("_kickoff")
        kickoff = Kickoff(job, sched_config, job_name, nodes, node_range)
        self.on_kickoff(kickoff)
        with self._count_lock:
            self.kickoffs.append(kickoff)
            job_id = str(len(self.kickoffs))
        if self.run_scripts:
            self._start(job_id, kickoff)
        return JobInfo({"id": job_id})

    def _start(self, job_id: str, kickoff: Kickoff) -> None:
        if kickoff.nodes is not None:
            names = kickoff.nodes
        else:
            assert kickoff.node_range is not None
            names = list(self.machine.nodes)[: kickoff.node_range[0]]
        with kickoff.job.sched_log.open("wb") as log:
            self.processes[job_id] = subprocess.Popen(
                [os.fspath(kickoff.job.kickoff_path)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={**os.environ, NODES_VARIABLE: ",".join(names)},
            )

    def _job_status(self, pav_cfg: PavConfig, job_info: JobInfo) -> TestStatusInfo | None:
        self._count("_job_status")
        process = self.processes.get(job_info["id"])
        if process is not None:
            if process.poll() is None:
                return TestStatusInfo(STATES.SCHED_RUNNING, "The script runs.")
            return TestStatusInfo(STATES.SCHED_ERROR, f"Exit code {process.returncode}.")
        return self.states.get(job_info["id"])

    def cancel(self, job_info: JobInfo) -> str | None:
        self._count("cancel")
        process = self.processes.get(job_info["id"])
        if process is not None:
            process.terminate()
            process.wait(10)
        return None

    def _get_alloc_nodes(self, job: Job) -> NodeList:
        self._count("_get_alloc_nodes")
        return os.environ[NODES_VARIABLE].split(",")

    # ----------------------------------------------------------------------------- for tests

    def kickoff_of(self, test: TestRun) -> Kickoff:
        """The kickoff that a test was in."""
        found = [kickoff for kickoff in self.kickoffs if test.id in kickoff.test_ids]
        assert len(found) == 1, f"{test.name} is in {len(found)} jobs"
        return found[0]

    def close(self) -> None:
        """End what was started, and take the plugin out again."""
        self.deactivate()
        for process in self.processes.values():
            if process.poll() is None:
                process.terminate()
            process.wait(10)


@contextmanager
def active(plugin: Dummy) -> Iterator[Dummy]:
    """Activate a plugin for as long as the block lasts."""
    plugin.activate()
    try:
        yield plugin
    finally:
        plugin.close()


def make_pav_cfg(folder: Path) -> PavConfig:
    """Settings that know nothing of the user's own, with a working folder that exists."""
    pav_cfg = load_config(working_dir=folder / "working_dir", environ={"HOME": str(folder)})
    pav_cfg.make_working_dir()
    return pav_cfg


class TestMaker:
    """Makes test runs of a dummy scheduler, all in one series."""

    __test__ = False

    def __init__(self, pav_cfg: PavConfig, scheduler: str = "dummy") -> None:
        self._path = pav_cfg.working_dir / "series" / "s1"
        self._path.mkdir()
        self._scheduler = scheduler
        self._number = 0

    def __call__(
        self,
        name: str | None = None,
        chunk: str = "any",
        cmds: Iterable[str] = ("true",),
        **schedule: Any,
    ) -> TestRun:
        """A new test.

        :param schedule: Its schedule section, values as in YAML.
        """
        self._number += 1
        config = {
            "scheduler": self._scheduler,
            "schedule": schedule,
            "chunk": chunk,
            "concurrent": "1",
            "run": {"env": {}, "cmds": list(cmds), "timeout": None, "shebang": "#!/bin/bash"},
        }
        return TestRun.create(
            self._path,
            self._number,
            name or f"suite.test{self._number}",
            config,
            VariableSetManager(),
        )

    def many(self, count: int, **kwargs: Any) -> list[TestRun]:
        """Several alike."""
        return [self(**kwargs) for _ in range(count)]
