"""An example of a scheduler plugin, meant to be copied.

'minibatch' is a made-up batch system with five commands (../minibatch/bin): mb-submit, mb-jobs,
mb-cancel, mb-nodes, and mb-run, which starts tasks inside a job.  A plugin for a real scheduler
has the same parts.  docs/writing-plugins.md explains them one by one.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import time
from typing import Any

import yaml_config as yc
from pavilion.jobs import JobInfo
from pavilion.schedulers import (
    KickoffScriptHeader,
    SchedulerPluginAdvanced,
    SchedulerPluginError,
    SchedulerVariables,
    dfr_var_method,
    min_int,
    validate_list,
)
from pavilion.status_file import STATES, TestStatusInfo
from pavilion.sys_vars import get_vars

COMMANDS = ("mb-submit", "mb-jobs", "mb-cancel", "mb-nodes", "mb-run")
# Seconds that a command may take.  Without a limit, a scheduler that hangs makes its users hang.
TIMEOUT = 60
NODE_STATES = ("IDLE", "BUSY", "DOWN")

# What the job states of minibatch mean for Pavilion.  A job that has ended is SCHED_ERROR, however
# it ended: a test that ended by itself has recorded that, and its record takes precedence.
JOB_STATES = {
    "QUEUED": STATES.SCHEDULED,
    "RUNNING": STATES.SCHED_RUNNING,
    "CANCELLED": STATES.SCHED_CANCELLED,
    "DONE": STATES.SCHED_ERROR,
    "FAILED": STATES.SCHED_ERROR,
    "TIMEOUT": STATES.SCHED_ERROR,
}


def run(*argv: str) -> str:
    """Run a command and return what it printed.

    A list of arguments and no shell: nothing in them can be taken for shell code.

    :raises SchedulerPluginError: When it cannot be run, takes too long, or fails.
    """
    line = shlex.join(argv)
    try:
        done = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=TIMEOUT,
            encoding="utf-8",
            errors="replace",
        )
    except (OSError, subprocess.TimeoutExpired) as exc:
        raise SchedulerPluginError(f"'{line}' could not be run", prior_error=exc) from exc
    if done.returncode != 0:
        raise SchedulerPluginError(
            f"'{line}' failed with exit code {done.returncode}: "
            f"{done.stderr.strip() or 'it gave no reason'}"
        )
    return done.stdout


def query(command: str) -> list[dict[str, Any]]:
    """A command's JSON output, decoded.  :raises SchedulerPluginError: as for run()."""
    text = run(command, "--json")
    try:
        items = json.loads(text)
        return [dict(item) for item in items]
    except (ValueError, TypeError) as exc:
        raise SchedulerPluginError(
            f"'{command} --json' printed something unexpected: {text[:200]!r}", prior_error=exc
        ) from exc


def node_states(value: Any) -> list[str]:
    """The validator of 'up_states': gets a string or a list of strings, as written in the suite."""
    states = [str(state).upper() for state in validate_list(value)]
    for state in states:
        if state not in NODE_STATES:
            raise ValueError(f"There is no node state {state!r}; {', '.join(NODE_STATES)}.")
    return states


class MiniBatchHeader(KickoffScriptHeader):
    """The options of a job, as lines '#MB --option value' at the top of its script."""

    def _kickoff_lines(self) -> list[str]:
        least, most = self._node_min, self._node_max
        options = {
            "--name": self._job_name,
            # Without an upper limit, request what is needed.
            "--nodes": f"{least}" if most in (None, least) else f"{least}-{most}",
            "--nodelist": ",".join(self._include_nodes),
            "--exclude": ",".join(self._exclude_nodes),
            "--partition": self._config["partition"],
            "--reservation": self._config["reservation"],
            "--account": self._config["account"],
            "--time": self._config["time_limit"],
            "--priority": self._config["minibatch"]["priority"],
        }
        # Values come from users: they are quoted, and on one line whatever they contain.
        return [
            f"#MB {option} {shlex.quote(' '.join(str(value).split()))}"
            for option, value in options.items()
            if value not in (None, "")
        ]


class MiniBatchVars(SchedulerVariables):
    """The variables that tests get: those of every scheduler, with a test_cmd of our own."""

    EXAMPLE = dict(SchedulerVariables.EXAMPLE, test_cmd="mb-run -n 8")

    # Deferred: tasks_total depends on the nodes that the job gets.
    @dfr_var_method
    def test_cmd(self) -> str:
        """The command that starts the test's tasks, to be put before the test's own command."""
        return self._with_wrapper(f"mb-run -n {self.tasks_total()}")


class MiniBatch(SchedulerPluginAdvanced):
    """Runs tests as jobs of the minibatch system."""

    VAR_CLASS = MiniBatchVars
    KICKOFF_SCRIPT_HEADER_CLASS = MiniBatchHeader
    # Jobs that differ in these keys, too, are different jobs.
    JOB_SHARE_KEY_ATTRS = [*SchedulerPluginAdvanced.JOB_SHARE_KEY_ATTRS, "minibatch.priority"]
    # One query answers for all jobs, so frequent queries cost little.
    JOB_STATUS_TIMEOUT = 1.0
    # Jobs and users see the same local file system.  Leave this out where nodes share one over
    # the network: what a job wrote last may appear late there.
    JOB_END_GRACE = 2.0

    def __init__(self) -> None:
        super().__init__("minibatch", "Runs tests as jobs of the example batch system.")

    def _get_config_elems(self) -> tuple[list[yc.ConfigElement], dict[str, Any], dict[str, Any]]:
        elements = [
            yc.ListElem(
                "up_states",
                sub_elem=yc.StrElem(),
                help_text=("The states of nodes that can be used, now or later."),
            ),
            yc.StrElem("priority", help_text="Jobs with a higher number start first."),
        ]
        validators = {"up_states": node_states, "priority": min_int("minibatch.priority")}
        defaults = {"up_states": ["IDLE", "BUSY"], "priority": "0"}
        return elements, validators, defaults

    def _available(self) -> bool:
        return all(shutil.which(command) for command in COMMANDS)

    def _get_raw_node_data(self, sched_config: dict[str, Any]) -> tuple[list[Any], Any]:
        return query("mb-nodes"), None

    def _transform_raw_node_data(
        self, sched_config: dict[str, Any], node_data: Any, extra: Any
    ) -> dict[str, Any]:
        state, reserved = node_data["state"], node_data.get("reservation", "")
        # Say what the scheduler would do for a job of this configuration: it gives reserved
        # nodes to those who name the reservation.
        mine = reserved in ("", sched_config["reservation"])
        up = mine and state in sched_config["minibatch"]["up_states"]
        return {
            "name": node_data["name"],
            "up": up,
            "available": up and state == "IDLE",
            "cpus": node_data["cpus"],
            "mem": node_data["mem_mb"] * 1024**2,
            "partitions": node_data["partitions"],
            "reservations": [reserved] if reserved else [],
            "states": [state],
        }

    def _kickoff(
        self,
        pav_cfg: Any,
        job: Any,
        sched_config: dict[str, Any],
        job_name: str,
        nodes: list[str] | None = None,
        node_range: Any = None,
    ) -> JobInfo:
        # The header says the rest.  The tag is how _job_status finds the job again.
        answer = run(
            "mb-submit",
            "--tag",
            job.name,
            "--log",
            os.fspath(job.sched_log),
            os.fspath(job.kickoff_path),
        )
        word, _, job_id = answer.strip().partition(" ")
        if word != "submitted" or not job_id.isdigit():
            raise SchedulerPluginError(f"mb-submit printed something unexpected: {answer!r}")
        return JobInfo({"id": job_id, "sys_name": get_vars(True)["sys_name"]})

    def _job_status(self, pav_cfg: Any, job_info: dict[str, Any]) -> TestStatusInfo:
        if job_info["sys_name"] != get_vars(True)["sys_name"]:
            return TestStatusInfo(
                STATES.SCHED_WARNING,
                "Job {id} belongs to {sys_name}; its state is known only there.".format(**job_info),
            )
        # From before the query: what tests write during the query is newer.
        asked = time.time()
        found = None
        # Raises when there is no answer, and the job counts as alive.
        for item in query("mb-jobs"):
            state = JOB_STATES.get(item["state"], STATES.SCHED_WARNING)
            note = f"Job {item['id']} is {item['state']}. {item['reason']}".strip()
            status = TestStatusInfo(state, note, asked)
            # The others need not be queried for a while.
            self._job_statuses[item["tag"]] = (asked, status)
            if item["id"] == job_info["id"]:
                found = status
        return found or TestStatusInfo(
            STATES.SCHED_ERROR, f"mb-jobs does not list job {job_info['id']} any more.", asked
        )

    def cancel(self, job_info: dict[str, Any]) -> str | None:
        if job_info["sys_name"] != get_vars(True)["sys_name"]:
            return "Job {id} can be cancelled on {sys_name} only.".format(**job_info)
        try:
            run("mb-cancel", job_info["id"])
        except SchedulerPluginError as exc:
            return str(exc)
        return None

    def _get_alloc_nodes(self, job: Any) -> list[str]:
        # Called inside the job only.
        if not os.environ.get("MB_NODES"):
            raise SchedulerPluginError("MB_NODES is not set; is this a job of minibatch?")
        return os.environ["MB_NODES"].split(",")
