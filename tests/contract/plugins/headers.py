# As sites write them, so not in our style:
# ruff: noqa

"""Header classes of several ages."""

from pavilion.jobs import JobInfo
from pavilion.schedulers.advanced import SchedulerPluginAdvanced
from pavilion.schedulers.scheduler import KickoffScriptHeader
from pavilion.types import NodeInfo, NodeList


class NewHeader(KickoffScriptHeader):
    def _kickoff_lines(self):
        lines = ["#NEW -N {}".format(self._job_name)]
        if self._sched_vars.account():
            lines.append("#NEW -A " + self._sched_vars.account())
        if self._sched_vars.partition():
            lines.append("#NEW -q " + self._sched_vars.partition())
        lines.append("#NEW -t {}".format(self._sched_vars.tasks_per_node()))
        return lines


class NewHeaderWithInit(NewHeader):
    def __init__(
        self, job_name, sched_config, sched_vars, nodes=None, node_range=None, shebang=None
    ):
        self._extra = "#NEW extra"
        super().__init__(job_name, sched_config, sched_vars, nodes, node_range, shebang)

    def _kickoff_lines(self):
        return super()._kickoff_lines() + [self._extra]


class NewHeaderAnyArgs(NewHeader):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)


class OldHeader(KickoffScriptHeader):
    def __init__(self, job_name, sched_config, nodes=None, node_range=None, shebang=None):
        super().__init__(job_name, sched_config, nodes, node_range, shebang)

    def _kickoff_lines(self):
        return [
            "#OLD {} {} {}-{} {}".format(
                self._job_name,
                self._config["account"],
                self._node_min,
                self._node_max,
                ",".join(self._include_nodes),
            )
        ]


class OldHeaderKeywords(OldHeader):
    def __init__(self, job_name, sched_config, nodes=None, node_range=None, shebang=None):
        KickoffScriptHeader.__init__(
            self,
            job_name=job_name,
            sched_config=sched_config,
            nodes=nodes,
            node_range=node_range,
            shebang=shebang,
        )


class Headers(SchedulerPluginAdvanced):
    HEADERS = [NewHeader, NewHeaderWithInit, NewHeaderAnyArgs, OldHeader, OldHeaderKeywords]

    KICKOFF_SCRIPT_HEADER_CLASS = NewHeader

    def __init__(self):
        super().__init__("headers", "Has headers of several ages.")

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
