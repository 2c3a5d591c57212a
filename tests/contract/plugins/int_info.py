# As sites write them, so not in our style:
# ruff: noqa

"""Identifies its jobs by numbers."""

from pavilion.jobs import JobInfo
from pavilion.schedulers import SchedulerPluginBasic
from pavilion.status_file import STATES, TestStatusInfo


class IntInfo(SchedulerPluginBasic):
    def __init__(self):
        super().__init__("int_info", "Identifies its jobs by numbers.")
        self.cancelled = []

    def available(self):
        return True

    def _kickoff(self, pav_cfg, job, sched_config, job_name, nodes=None, node_range=None):
        return JobInfo({"pid": 4711, "start": 2.5, "shared": False})

    def _job_status(self, pav_cfg, job_info):
        return TestStatusInfo(
            STATES.SCHED_RUNNING, "Process {} runs.".format(int(job_info["pid"]) + 1)
        )

    def cancel(self, job_info):
        self.cancelled.append(job_info["pid"])

    def _get_alloc_nodes(self, job):
        return ["host1"]
