# As sites write them, so not in our style:
# ruff: noqa

"""Overrides get_initial_vars and refresh, and calls those of the base class."""

from pavilion.jobs import JobInfo
from pavilion.schedulers import NodeInfo, NodeList, SchedulerPluginAdvanced


class AddsErrors(SchedulerPluginAdvanced):
    def __init__(self):
        self._limits = None
        super().__init__(
            name="adds_errors",
            description="Adds errors to the variables.",
            priority=self.PRIO_COMMON,
        )

    def get_initial_vars(self, raw_sched_config):
        sched_vars = super().get_initial_vars(raw_sched_config)
        if self._limits is None:
            self._limits = {"account": "needed"}
        if not raw_sched_config.get("account"):
            sched_vars.add_errors(["An account is {}.".format(self._limits["account"])])
        return sched_vars

    def refresh(self):
        super().refresh()
        self._limits = None

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
