# As sites write them, so not in our style:
# ruff: noqa

"""Written to stand beside the bundled ones, as those of Pavilion do."""

from pavilion.status_file import STATES, TestStatusInfo
from ..advanced import SchedulerPluginAdvanced
from ..config import validate_list, min_int, parse_node_range
from ..scheduler import SchedulerPlugin, KickoffScriptHeader
from ..vars import SchedulerVariables
from ...errors import SchedulerPluginError, SchedConfigError
from ...jobs import JobInfo, Job
from ...types import NodeInfo, NodeList


class BesideHeader(KickoffScriptHeader):
    def _kickoff_lines(self):
        return ["#BESIDE {}".format(self._job_name)]


class Beside(SchedulerPluginAdvanced):
    KICKOFF_SCRIPT_HEADER_CLASS = BesideHeader

    def __init__(self):
        super().__init__("beside", "Stands beside the bundled ones.", priority=self.PRIO_CORE)

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
