# As sites write them, so not in our style:
# ruff: noqa

"""Raises errors everywhere, with the prior error where the guide for authors puts it."""

import subprocess

from pavilion.errors import SchedulerPluginError
from pavilion.jobs import JobInfo
from pavilion.schedulers import NodeInfo, NodeList, SchedulerPluginAdvanced


class KickoffRaises(SchedulerPluginAdvanced):
    def _available(self):
        return True

    def _get_raw_node_data(self, sched_config):
        self.asked = getattr(self, "asked", 0) + 1
        return [{"name": "n{}".format(i), "cpus": 4} for i in range(1, 5)], None

    def _transform_raw_node_data(self, sched_config, node_data, extra):
        info = NodeInfo({})
        info["name"] = node_data["name"]
        info["cpus"] = node_data["cpus"]
        info["up"] = info["available"] = True
        return info

    def _kickoff(self, pav_cfg, job, sched_config, job_name, nodes=None, node_range=None):
        self.jobs = getattr(self, "jobs", 0) + 1
        return JobInfo({"id": str(self.jobs)})

    def _get_alloc_nodes(self, job):
        return NodeList(["n1", "n2"])

    JOB_STATUS_TIMEOUT = 0

    def __init__(self):
        super().__init__("kickoff_raises", "Raises errors.", 20)
        self.closed = False

    def _get_raw_node_data(self, sched_config):
        if self.closed:
            try:
                raise OSError("the door is closed")
            except OSError as err:
                raise SchedulerPluginError("No nodes can be had.", err)
        return [{"name": "n1", "cpus": 1}], None

    def _kickoff(self, pav_cfg, job, sched_config, job_name, nodes=None, node_range=None):
        account = sched_config["account"]
        if account == "positional":
            try:
                int("twelve")
            except ValueError as err:
                raise SchedulerPluginError("Could not start the job.", err)
        if account == "called":
            subprocess.check_output(["false"])
        if account == "keyword":
            raise SchedulerPluginError("Refused.", prior_error=KeyError("a key"), data={"rc": 1})
        if account == "bug":
            return JobInfo({"id": self.no_such_attribute})
        if account == "nothing":
            return None
        return JobInfo({"id": "1"})

    def _job_status(self, pav_cfg, job_info):
        raise SchedulerPluginError("Could not ask.", OSError("no answer"))

    def cancel(self, job_info):
        raise SchedulerPluginError("Could not cancel.", OSError("no answer"))
