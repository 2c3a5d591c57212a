# As sites write them, so not in our style:
# ruff: noqa

"""Variables that return None, and a header that uses them."""

from pavilion.jobs import JobInfo
from pavilion.schedulers import (
    KickoffScriptHeader,
    NodeInfo,
    NodeList,
    SchedulerPluginAdvanced,
    SchedulerVariables,
)
from pavilion.schedulers.vars import dfr_var_method, var_method


class UnsetVars(SchedulerVariables):
    @var_method
    def nothing(self):
        """Never set."""
        return None

    @dfr_var_method
    def nothing_later(self):
        """Never set, on the allocation either."""

    @var_method
    def account(self):
        """Overridden, and None where it is not set."""
        return self._sched_config["account"]


class UnsetHeader(KickoffScriptHeader):
    def _kickoff_lines(self):
        lines = ["#UNSET <{}>".format(self._sched_vars["nothing"])]
        if self._sched_vars.nothing():
            lines.append("#UNSET never")
        if self._sched_vars.account():
            lines.append("#UNSET -A {}".format(self._sched_vars.account()))
        return lines


class Unset(SchedulerPluginAdvanced):
    VAR_CLASS = UnsetVars
    KICKOFF_SCRIPT_HEADER_CLASS = UnsetHeader

    def __init__(self):
        super().__init__("unset_vars", "Has variables without a value.")

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
