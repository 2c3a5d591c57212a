# As sites write them, so not in our style:
# ruff: noqa

"""Jobs that differ in a key of its own section are different jobs."""

import yaml_config as yc
from pavilion.jobs import JobInfo
from pavilion.schedulers import NodeInfo, NodeList, SchedulerPluginAdvanced


class ShareKeys(SchedulerPluginAdvanced):
    JOB_SHARE_KEY_ATTRS = SchedulerPluginAdvanced.JOB_SHARE_KEY_ATTRS + [
        "share_keys.image",
        "share_keys.mounts",
        "wrapper",
    ]

    def __init__(self):
        super().__init__("share_keys", "Has more in its share key.")

    def _get_config_elems(self):
        elems = [
            yc.StrElem("image", help_text="What to boot."),
            yc.ListElem("mounts", sub_elem=yc.StrElem()),
        ]
        return elems, {"image": None, "mounts": lambda value: list(value or [])}, {}

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
