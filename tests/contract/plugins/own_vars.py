# As sites write them, so not in our style:
# ruff: noqa

"""A variables class with an __init__ and variables of its own."""

from pavilion.jobs import JobInfo
from pavilion.schedulers import SchedulerPluginBasic, SchedulerVariables
from pavilion.var_dict import dfr_var_method, var_method


class OwnVars(SchedulerVariables):
    """Adds some."""

    EXAMPLE = SchedulerVariables.EXAMPLE.copy()
    EXAMPLE.update(
        {
            "queue_depth": "12",
            "limits": [{"name": "a", "value": "1"}],
        }
    )

    def __init__(self, *args, **kwargs):
        self._limits = {"nodes": 5, "hours": 1.5}
        self._nodes = {}
        self.asked = 0
        super().__init__(*args, **kwargs)
        self.ready = True

    @var_method
    def queue_depth(self):
        """How many jobs wait."""
        self.asked += 1
        return 12

    @var_method
    def limits(self):
        """The limits of the queue."""
        return [{"name": key, "value": value} for key, value in self._limits.items()]

    @dfr_var_method
    def first_node(self):
        """The first node."""
        return self.test_node_list()[0]

    @dfr_var_method()
    def is_ready(self):
        """Whether all went well."""
        return self.ready

    def _test_cmd(self):
        return "mpiexec -n {}".format(self._sched_config["nodes"] or 1)


class OwnVarsSched(SchedulerPluginBasic):
    """A plain scheduler."""

    VAR_CLASS = OwnVars

    def __init__(self):
        super().__init__("own_vars", "Has variables of its own.")

    def _available(self):
        return True

    def _kickoff(self, pav_cfg, job, sched_config, job_name, nodes=None, node_range=None):
        return JobInfo({"id": "1"})

    def _get_alloc_nodes(self, job):
        return ["host1", "host2"]
