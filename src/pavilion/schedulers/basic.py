"""The basic family: schedulers that cannot list their nodes.

All that tests know about the machine comes from ``schedule.cluster_info``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pavilion.types import NodeInfo, Nodes

from .lifecycle.blaming import blaming
from .lifecycle.placing import TestPlan, place_tests
from .scheduler import SchedulerPlugin
from .vars import SchedulerVariables

if TYPE_CHECKING:
    from pavilion.test_run import TestRun

    from .placement import planning


class SchedulerPluginBasic(SchedulerPlugin):
    """The base class of schedulers without an inventory of nodes.

    In addition to what SchedulerPlugin's docstring lists, a plugin may provide:

    ``_get_alloc_node_info(node_name) -> NodeInfo``
        What can be found out about a node from inside an allocation: 'cpus' (int), 'mem' (int,
        bytes).  Called for each of the allocation's nodes by :meth:`get_final_vars`.

    ``IS_CONCURRENT``
        Whether tests may share a job.  If it is False, each test gets its own.  Default: True.
    """

    IS_PLUGIN_BASE = True

    IS_CONCURRENT = True

    def __init__(
        self, name: str, description: str, priority: int = SchedulerPlugin.PRIO_COMMON
    ) -> None:
        super().__init__(name, description, priority)

    def _get_alloc_node_info(self, node_name: str) -> NodeInfo:
        """See the class docstring.  By default, nothing is known."""
        return {}

    def _get_initial_vars(self, sched_config: dict[str, Any]) -> SchedulerVariables:
        """Those that follow from the configuration: nothing is known about the nodes."""
        return self.VAR_CLASS(sched_config)

    def _get_final_vars(self, sched_config: dict[str, Any], test: TestRun) -> SchedulerVariables:
        """Those that follow from the nodes of the allocation.

        :raises SchedulerPluginError: When the allocation's nodes cannot be determined.
        """
        nodes: Nodes = {}
        name = ""
        names = self._checked_alloc_nodes(test, test.job)  # type: ignore[arg-type]
        with blaming(self, "_get_alloc_node_info", [test], after=lambda: f"; for node {name!r}"):
            for name in names:
                nodes[name] = dict(self._get_alloc_node_info(name) or {}, name=name)
        return self.VAR_CLASS(sched_config, nodes=nodes, deferred=False)

    def plan_tests(self, tests: list[TestRun]) -> TestPlan:
        """Plan a job for each test, or for each group of tests that may share one.

        Tests share a job when the scheduler allows it (IS_CONCURRENT), all of them allow it
        (share_allocation), and they request the same allocation.  Jobs are in the order of their
        first tests.  The cost is linear in the number of tests.
        """
        return place_tests(self, tests, self._request)

    def _request(self, number: int, test: TestRun) -> planning.TestRequest:
        """A test's request to the planner: the scheduler picks the nodes.

        :raises SchedConfigError: When its schedule section is wrong.
        """
        from .placement import planning

        config = self._validated(test.config["schedule"])
        problem = self._section_problem(config)
        if problem is not None:
            raise problem
        least, most = self._job_node_range(config)
        shares = self.IS_CONCURRENT and bool(config["share_allocation"])
        return planning.TestRequest(
            key=number,
            name=str(test.name),
            config=config,
            chunks_id=None,
            chunks=[],
            min_nodes=least,
            max_nodes=most,
            flexible=True,
            share=shares,
            share_key=self.gen_job_share_key(config, least, most) if shares else (),
            time_limit=config["time_limit"],
            # Which nodes there are is not known, so they are left to the scheduler.
            include=(),
        )
