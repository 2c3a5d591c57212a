"""A small scheduler plugin that is whole: for task-spooler, a queue of jobs on one machine."""

import contextlib
import shutil
import socket
import subprocess

from pavilion.jobs import JobInfo
from pavilion.schedulers import SchedulerPluginBasic, SchedulerPluginError
from pavilion.status_file import STATES, TestStatusInfo

JOB_STATES = {"queued": STATES.SCHEDULED, "running": STATES.SCHED_STARTUP}


def tsp(*args):
    done = subprocess.run(["tsp", *args], capture_output=True, text=True, timeout=30)
    if done.returncode != 0:
        raise SchedulerPluginError(f"'tsp {' '.join(args)}' failed: {done.stderr.strip()}")
    return done.stdout.strip()


def state_of(job_id):
    states = dict(line.split()[:2] for line in tsp("-l").splitlines()[1:])
    return states.get(job_id, "not in the queue")


class TaskSpooler(SchedulerPluginBasic):
    def __init__(self):
        super().__init__("tsp", "Runs jobs one after the other, with task-spooler.")

    def _available(self):
        return shutil.which("tsp") is not None

    def _kickoff(self, pav_cfg, job, sched_config, job_name, nodes=None, node_range=None):
        return JobInfo({"id": tsp("-L", job_name, str(job.kickoff_path))})

    def _job_status(self, pav_cfg, job_info):
        state = state_of(job_info["id"])
        return TestStatusInfo(JOB_STATES.get(state, STATES.SCHED_ERROR), f"The job is {state}.")

    def cancel(self, job_info):
        if state_of(job_info["id"]) == "queued":
            with contextlib.suppress(SchedulerPluginError):  # It may begin at this moment.
                tsp("-r", job_info["id"])
                return
        tsp("-k", job_info["id"])

    def _get_alloc_nodes(self, job):
        return [socket.gethostname()]
