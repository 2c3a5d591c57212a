from __future__ import annotations
import json, os, shlex
from pavilion.errors import SchedulerPluginError
from pavilion.schedulers import SchedulerPluginBatch, JobState, Directive, Failure
from pavilion.schedulers.batch import BatchJob, UnreadableAnswer, Environment, quoted
import yaml_config as yc

def q(key):
    return lambda request: None if request.config[key] is None else shlex.quote(str(request.config[key]))

class MiniBatch(SchedulerPluginBatch):
    COMMANDS = ("mb-submit", "mb-jobs", "mb-cancel", "mb-nodes", "mb-run")
    DIRECTIVE_PREFIX = "#MB"
    DIRECTIVES = (
        Directive("--nodes", ("nodes", "min_nodes"), lambda r: str(r.node_min) if r.node_max in (None, r.node_min) else f"{r.node_min}-{r.node_max}"),
        Directive("--nodelist", ("include_nodes",), lambda r: ",".join(r.include_nodes) or None),
        Directive("--exclude", ("exclude_nodes",), lambda r: ",".join(r.exclude_nodes) or None),
        Directive("--partition", ("partition",), q("partition")),
        Directive("--reservation", ("reservation",), q("reservation")),
        Directive("--account", ("account",), q("account")),
        Directive("--time", ("time_limit",), lambda r: str(-(-int(r.config["time_limit"]) // 3600))),
    )
    FAILURES = {Failure.QUEUE_FULL: ["the queue is full"], Failure.UNKNOWN_JOB: ["there is no job"],
                Failure.PERMANENT: ["nodes were requested", "cannot be used: it is down", "there is no node", "is not a range", "must be a number"]}
    STATES = {"QUEUED": JobState.WAITING, "RUNNING": JobState.ACTIVE, "DONE": JobState.FINISHED, "FAILED": JobState.FINISHED,
              "TIMEOUT": JobState.FINISHED, "CANCELLED": JobState.CANCELLED}
    CANCEL_BATCH = 1
    ENVIRONMENT = Environment(drop=("MB_",))

    def __init__(self):
        super().__init__("minibatch", "Runs")

    def submit_command(self, s):
        return ["mb-submit", "--tag", s.token, "--log", os.fspath(s.log), os.fspath(s.script)]

    def parse_submission(self, result):
        word, _, job_id = result.stdout.strip().partition(" ")
        return job_id if word == "submitted" else None

    def jobs_command(self, user):
        return ["mb-jobs", "--json"]

    def parse_jobs(self, text):
        try:
            return [BatchJob(j["id"], j["state"], j["tag"], j["reason"], "" if j["exit_code"] is None else str(j["exit_code"]), j["nodes"]) for j in json.loads(text)]
        except (ValueError, KeyError, TypeError) as exc:
            raise UnreadableAnswer(str(exc)) from exc

    def cancel_command(self, ids):
        return ["mb-cancel", *ids]

    def nodes_command(self):
        return ["mb-nodes", "--json"]

    def parse_nodes(self, text):
        try:
            for n in json.loads(text):
                yield {"name": n["name"], "up": n["state"] in ("IDLE", "BUSY"), "available": n["state"] == "IDLE", "cpus": n["cpus"],
                   "mem": n["mem_mb"] * 1024**2, "partitions": n["partitions"], "reservations": [n["reservation"]] if n.get("reservation") else []}
        except (ValueError, KeyError, TypeError) as exc:
            raise UnreadableAnswer(str(exc)) from exc

    def _get_alloc_nodes(self, job):
        return os.environ["MB_NODES"].split(",")
