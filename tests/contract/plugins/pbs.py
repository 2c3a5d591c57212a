# As sites write them, so not in our style:
# ruff: noqa

"""Schedules tests via PBS."""

import json
import math
import os
import re
import shutil
import subprocess
import time

import yaml_config as yc
from pavilion.errors import SchedulerPluginError
from pavilion.jobs import Job, JobInfo
from pavilion.schedulers import SchedulerPluginAdvanced, SchedulerVariables
from pavilion.schedulers.config import validate_list
from pavilion.schedulers.scheduler import KickoffScriptHeader
from pavilion.status_file import STATES, TestStatusInfo
from pavilion.types import NodeInfo, NodeList
from pavilion.var_dict import dfr_var_method, var_method
from pavilion import sys_vars


class PBSHeader(KickoffScriptHeader):
    """The #PBS lines."""

    def _kickoff_lines(self):
        lines = []
        # PBS takes no blanks in names.
        lines.append("#PBS -N {}".format(re.sub(r"[^A-Za-z0-9_.-]", "_", self._job_name)[:200]))
        lines.append("#PBS -j oe")

        if self._sched_vars.partition():
            lines.append("#PBS -q {}".format(self._sched_vars.partition()))
        if self._sched_vars.account():
            lines.append("#PBS -A {}".format(self._sched_vars.account()))

        lines.append("#PBS -l walltime={}:00:00".format(self._config["time_limit"]))

        if self._include_nodes:
            chunks = ["1:host={}".format(node) for node in self._include_nodes]
            rest = self._node_min - len(chunks)
            if rest > 0:
                chunks.append(str(rest))
            select = "+".join(chunks)
        else:
            select = "{}:ncpus={}".format(self._node_min, self._sched_vars.tasks_per_node())
        lines.append("#PBS -l select={}".format(select))
        lines.append("#PBS -l place={}".format(self._config["pbs"]["place"]))

        for option in self._config["pbs"]["qsub_extra"]:
            lines.append("#PBS {}".format(option))

        return lines


class PBSVars(SchedulerVariables):
    """PBS variables."""

    EXAMPLE = SchedulerVariables.EXAMPLE.copy()
    EXAMPLE.update(
        {
            "test_cmd": "mpiexec -n 2",
            "job_id": "17.pbs",
            "server": "pbs",
        }
    )

    def __init__(self, *args, **kwargs):
        self._server = os.environ.get("PBS_DEFAULT")
        super().__init__(*args, **kwargs)

    @var_method
    def server(self):
        """The PBS server. Not set where there is only one."""
        return self._server

    @dfr_var_method
    def job_id(self):
        """The id of the job."""
        return os.environ["PBS_JOBID"]

    @dfr_var_method
    def test_cmd(self):
        """Start the test with mpiexec."""
        cmd = ["mpiexec", "-n", self.tasks_total()]
        if self._sched_config["wrapper"]:
            cmd.append(self._sched_config["wrapper"])
        return " ".join(cmd)


def mem_bytes(text):
    """PBS sizes, such as '16gb'."""
    match = re.match(r"^(\d+)([kmgt]?)b$", text.lower())
    if match is None:
        raise ValueError("Invalid size '{}'".format(text))
    return int(match.group(1)) * 1024 ** " kmgt".index(match.group(2) or " ")


class PBS(SchedulerPluginAdvanced):
    VAR_CLASS = PBSVars
    KICKOFF_SCRIPT_HEADER_CLASS = PBSHeader

    KICKOFF_FN = "kickoff.pbs"

    JOB_SHARE_KEY_ATTRS = SchedulerPluginAdvanced.JOB_SHARE_KEY_ATTRS + ["pbs.place"]

    NODEFILE_VAR = "PBS_NODEFILE"

    def __init__(self):
        super().__init__(
            name="pbs",
            description="Schedules tests via PBS.",
            priority=self.PRIO_COMMON,
        )

    def _get_config_elems(self):
        elems = [
            yc.ListElem(
                name="up_states", sub_elem=yc.StrElem(), help_text="Node states that count as up."
            ),
            yc.ListElem(name="qsub_extra", sub_elem=yc.StrElem(), help_text="Extra #PBS options."),
            yc.StrElem(name="place", help_text="How to place the job."),
        ]
        defaults = {
            "up_states": ["free", "job-exclusive", "job-busy"],
            "qsub_extra": [],
            "place": "scatter",
        }
        validators = {
            "up_states": validate_list,
            "qsub_extra": validate_list,
            "place": ("scatter", "pack", "free"),
        }
        return elems, validators, defaults

    def _available(self):
        for command in "qsub", "qstat", "qdel", "pbsnodes":
            if shutil.which(command) is None:
                return False
        return True

    def _run(self, *cmd):
        """Run a command, and return what it printed."""
        try:
            proc = subprocess.run(
                cmd,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                universal_newlines=True,
                timeout=60,
            )
        except (OSError, subprocess.SubprocessError) as err:
            raise SchedulerPluginError("Could not run '{}'.".format(cmd[0]), err)
        if proc.returncode != 0:
            raise SchedulerPluginError(
                "'{}' failed with return code {}: {}".format(
                    " ".join(cmd), proc.returncode, proc.stderr.strip()
                )
            )
        return proc.stdout

    def _get_raw_node_data(self, sched_config):
        try:
            nodes = json.loads(self._run("pbsnodes", "-a", "-F", "json"))["nodes"]
        except (ValueError, KeyError) as err:
            raise SchedulerPluginError("Could not understand pbsnodes.", err)
        return list(nodes.items()), {"when": time.time()}

    def _transform_raw_node_data(self, sched_config, node_data, extra):
        name, raw = node_data
        states = raw["state"].split(",")
        up_states = sched_config["pbs"]["up_states"]
        info = NodeInfo({})
        info["name"] = name
        info["states"] = states
        info["up"] = all(state in up_states for state in states)
        info["available"] = states == ["free"]
        info["cpus"] = int(raw["resources_available"]["ncpus"])
        info["mem"] = mem_bytes(raw["resources_available"]["mem"])
        if "queue" in raw:
            info["partitions"] = raw["queue"].split(",")
        info["when"] = extra["when"]
        return info

    def _filter_custom(self, sched_config, node_name, node):
        if "offline" in node["states"]:
            return "taken offline"
        return None

    def _kickoff(self, pav_cfg, job: Job, sched_config, job_name, nodes=None, node_range=None):
        out = self._run("qsub", "-o", job.sched_log.as_posix(), job.kickoff_path.as_posix())
        match = re.match(r"^(\d+)\.\S+$", out.strip())
        if match is None:
            raise SchedulerPluginError("Could not understand qsub: {}".format(out))
        return JobInfo(
            {
                "id": match.group(0),
                "number": int(match.group(1)),
                "sys_name": sys_vars.get_vars(True)["sys_name"],
            }
        )

    def _job_status(self, pav_cfg, job_info):
        if job_info["sys_name"] != sys_vars.get_vars(True)["sys_name"]:
            return TestStatusInfo(
                state=STATES.SCHEDULED,
                note="The job is of the system {}.".format(job_info["sys_name"]),
            )
        try:
            jobs = json.loads(self._run("qstat", "-x", "-f", "-F", "json", job_info["id"]))["Jobs"]
        except (ValueError, KeyError):
            return None
        raw = jobs[job_info["id"]]
        state = raw["job_state"]
        if state in "QHWTS":
            return TestStatusInfo(
                state=STATES.SCHEDULED,
                note="Job {} is queued. {}".format(job_info["id"], raw.get("comment", "")),
            )
        if state in "RBE":
            return TestStatusInfo(
                state=STATES.SCHED_RUNNING,
                note="Job {} runs on {}.".format(job_info["id"], raw.get("exec_host", "?")),
            )
        if raw.get("Exit_status") == 271:
            return TestStatusInfo(
                state=STATES.SCHED_CANCELLED, note="Job {} was deleted.".format(job_info["id"])
            )
        return TestStatusInfo(
            state=STATES.SCHED_ERROR,
            note="Job {} ended with status {}.".format(job_info["id"], raw.get("Exit_status")),
        )

    def cancel(self, job_info):
        try:
            self._run("qdel", job_info["id"])
        except SchedulerPluginError as err:
            if "finished" in str(err):
                return None
            return str(err)
        return None

    def _get_alloc_nodes(self, job):
        nodes = []
        with open(os.environ[self.NODEFILE_VAR]) as nodefile:
            for line in nodefile:
                # A line for each processor.
                if line.strip() and line.strip() not in nodes:
                    nodes.append(line.strip())
        return NodeList(nodes)
