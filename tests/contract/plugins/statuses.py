# As sites write them, so not in our style:
# ruff: noqa

"""Says of a job what it is told to."""

from pavilion.jobs import JobInfo
from pavilion.schedulers import SchedulerPluginBasic
from pavilion.status_file import STATES, TestStatusInfo


class Statuses(SchedulerPluginBasic):
    JOB_STATUS_TIMEOUT = 0

    def __init__(self):
        super().__init__("statuses", "Says what it is told to.")
        self.says = None

    def available(self):
        return True

    def _kickoff(self, pav_cfg, job, sched_config, job_name, nodes=None, node_range=None):
        return JobInfo({"id": "x", "sys_name": "here"})

    def _job_status(self, pav_cfg, job_info):
        if self.says is None:
            return None
        return TestStatusInfo(getattr(STATES, self.says), "Job {id} is so.".format(**job_info))

    def cancel(self, job_info):
        return None

    def _get_alloc_nodes(self, job):
        return ["host1"]
