# As sites write them, so not in our style:
# ruff: noqa

"""A section with every kind of validator."""

import yaml_config as yc
from pavilion.jobs import JobInfo
from pavilion.schedulers import NodeInfo, NodeList, SchedulerPluginAdvanced
from pavilion.schedulers.config import SchedConfigError, min_int, validate_list


def picky(value):
    if value == "bad":
        raise SchedConfigError("It is bad.")
    return value


class Validators(SchedulerPluginAdvanced):
    def __init__(self):
        super().__init__("validators", "Has every kind of validator.")

    def _get_config_elems(self):
        elems = [
            yc.StrElem("upper", help_text="To capitals."),
            yc.StrElem("count", help_text="A number."),
            yc.StrElem("choice", help_text="One of two."),
            yc.StrElem("listed", help_text="One of two, too."),
            yc.StrElem("as_is", help_text="Anything."),
            yc.StrElem("at_least", help_text="At least 2."),
            yc.StrElem("picky", help_text="Not 'bad'."),
            yc.ListElem("states", sub_elem=yc.StrElem()),
            yc.KeyedElem(
                "nested",
                elements=[
                    yc.StrElem("depth"),
                    yc.StrElem("mode"),
                    yc.StrElem("free"),
                ],
            ),
        ]
        validators = {
            "upper": lambda value: None if value is None else value.upper(),
            "count": int,
            "choice": ("yes", "no"),
            "listed": ["one", "two"],
            "as_is": None,
            "at_least": min_int("at_least", 2, required=False),
            "picky": picky,
            "states": validate_list,
            "nested": {"depth": int, "mode": ("fast", "slow"), "free": None},
        }
        defaults = {"choice": "yes", "nested": {"depth": "1", "mode": "fast"}, "states": ["A"]}
        return elems, validators, defaults

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
