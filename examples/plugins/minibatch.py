"""An example of a scheduler plugin, meant to be copied.

'minibatch' is a made-up batch system with five commands (../minibatch/bin): mb-submit, mb-jobs,
mb-cancel, mb-nodes, and mb-run, which starts tasks inside a job.  A plugin for a real scheduler
has the same parts.  docs/writing-plugins.md explains them one by one.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from typing import Any

import yaml_config as yc
from pavilion.schedulers import (
    BatchJob,
    CommandResult,
    Directive,
    Environment,
    Failure,
    JobState,
    Request,
    SchedulerPluginBatch,
    SchedulerVariables,
    Submission,
    clock_text,
    comma_list,
    dfr_var_method,
    expand_nodes,
    min_int,
    number,
    quoted,
    safe_job_name,
    validate_list,
    word,
)

NODE_STATES = ("IDLE", "BUSY", "DOWN")


def node_states(value: Any) -> list[str]:
    """The validator of 'up_states': gets a string or a list of strings, as written in the suite."""
    states = [str(state).upper() for state in validate_list(value)]
    for state in states:
        if state not in NODE_STATES:
            raise ValueError(f"There is no node state {state!r}; {', '.join(NODE_STATES)}.")
    return states


def node_count(request: Request) -> str:
    """How many nodes a job gets: '3', or '2-4'."""
    least, most = request.node_min, request.node_max
    # Without an upper limit, request what is needed.
    return f"{least}" if most in (None, least) else f"{least}-{most}"


class MiniBatchVars(SchedulerVariables):
    """The variables that tests get: those of every scheduler, with a test_cmd of our own."""

    EXAMPLE = dict(SchedulerVariables.EXAMPLE, test_cmd="mb-run -n 8")

    # Deferred: tasks_total depends on the nodes that the job gets.
    @dfr_var_method
    def test_cmd(self) -> str:
        """The command that starts the test's tasks, to be put before the test's own command."""
        return self._with_wrapper(f"mb-run -n {self.tasks_total()}")


class MiniBatch(SchedulerPluginBatch):
    """Runs tests as jobs of the minibatch system."""

    COMMANDS = ("mb-submit", "mb-jobs", "mb-cancel", "mb-nodes", "mb-run")
    # MB_NODES and the like describe the job that we may be in; MINIBATCH_SPOOL says which system.
    ENVIRONMENT = Environment(drop=["MB_", "MINIBATCH_"], keep=["MINIBATCH_SPOOL"])
    FAILURES = {
        Failure.PERMANENT: [("mb-submit", 2)],
        Failure.UNKNOWN_JOB: [("mb-cancel", 3)],
        Failure.QUEUE_FULL: ["the queue is full"],
    }
    STATES = {
        "QUEUED": JobState.WAITING,
        "HELD": JobState.STUCK,
        "RUNNING": JobState.ACTIVE,
        "DONE": JobState.FINISHED,
        "FAILED": JobState.FINISHED,
        "TIMEOUT": JobState.FINISHED,
        "CANCELLED": JobState.CANCELLED,
    }
    DIRECTIVE_PREFIX = "#MB"
    DIRECTIVES = (
        Directive("--name", (), lambda request: safe_job_name(request.job_name)),
        Directive("--nodes", ("nodes", "min_nodes"), node_count),
        Directive(
            "--nodelist",
            ("include_nodes",),
            lambda request: comma_list("include_nodes", request.include_nodes),
        ),
        Directive(
            "--exclude",
            ("exclude_nodes",),
            lambda request: comma_list("exclude_nodes", request.exclude_nodes),
        ),
        Directive.from_key("--partition", "partition", word),
        Directive.from_key("--reservation", "reservation", word),
        Directive.from_key("--account", "account", quoted),
        Directive.from_key("--time", "time_limit", lambda key, value: clock_text(value)),
        Directive.from_key("--priority", "minibatch.priority", number),
    )
    VAR_CLASS = MiniBatchVars
    # One query answers for all jobs, and costs little here.
    JOB_TABLE_AGE = 1.0
    # Jobs and users see the same local file system.  Leave this out where nodes share one over
    # the network: what a job wrote last may appear late there.
    JOB_END_GRACE = 2.0

    def __init__(self) -> None:
        super().__init__("minibatch", "Runs tests as jobs of the example batch system.")

    # ----------------------------------------------------------------------------------- jobs

    def submit_command(self, submission: Submission) -> list[str]:
        # The header says the rest.
        return [
            "mb-submit",
            "--tag",
            submission.token,
            "--log",
            os.fspath(submission.log),
            os.fspath(submission.script),
        ]

    def parse_submission(self, result: CommandResult) -> str | None:
        # With the end of the line: '1' may be what is left of '17'.
        found = re.fullmatch(r"submitted ([0-9]+)\n", result.stdout)
        return found and found[1]

    def jobs_command(self, user: str | None) -> list[str]:
        return ["mb-jobs", "--json", *(["--user", user] if user else [])]

    def parse_jobs(self, text: str) -> list[BatchJob]:
        # Fails for text that is cut off, or is something else.
        return [
            BatchJob(
                job_id=job["id"],
                state=job["state"],
                token=job["tag"],
                reason=job["reason"],
                exit_code=job["exit_code"],
                nodes=job["nodes"],
            )
            for job in json.loads(text)
        ]

    def cancel_command(self, job_ids: Sequence[str]) -> list[str]:
        return ["mb-cancel", *job_ids]

    # ---------------------------------------------------------------------------------- nodes

    def nodes_command(self) -> list[str]:
        return ["mb-nodes", "--json"]

    def parse_nodes(self, text: str) -> list[dict[str, Any]]:
        return list(json.loads(text))

    def _transform_raw_node_data(
        self, sched_config: dict[str, Any], node_data: dict[str, Any], extra: None
    ) -> dict[str, Any]:
        state, reserved = node_data["state"], node_data.get("reservation", "")
        # Say what the scheduler would do for a job of this configuration: it gives reserved
        # nodes to those who name the reservation.
        mine = reserved in ("", sched_config["reservation"])
        up = mine and state in sched_config[self.name]["up_states"]
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

    # Both are called inside the job only.

    def _get_alloc_nodes(self, job: Any) -> list[str]:
        return expand_nodes(os.environ["MB_NODES"])

    def _get_alloc_job_id(self, job: Any) -> str | None:
        return os.environ.get("MB_JOB_ID")

    # ---------------------------------------------------------------- the section in the config

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
