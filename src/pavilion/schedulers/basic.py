"""The basic family: schedulers that cannot list their nodes.

All that tests know about the machine comes from ``schedule.cluster_info``.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING, Any

from pavilion.errors import PavilionError, SchedulerPluginError
from pavilion.types import NodeInfo, NodeRange, Nodes

from .lifecycle.submission import PlannedJob, TestPlan, as_plugin_error
from .scheduler import SchedulerPlugin
from .vars import SchedulerVariables

if TYPE_CHECKING:
    from pavilion.test_run import TestRun


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
        try:
            names = self._checked_alloc_nodes(test, test.job)  # type: ignore[arg-type]
            nodes: Nodes = {}
            for name in names:
                nodes[name] = dict(self._get_alloc_node_info(name) or {}, name=name)
        except PavilionError:
            raise
        except (Exception, SystemExit) as exc:
            raise SchedulerPluginError(
                f"The scheduler plugin {self.name!r} could not determine the nodes of the "
                f"allocation of test {test.id}",
                tests=[test],
                prior_error=exc,
            ) from exc
        return self.VAR_CLASS(sched_config, nodes=nodes, deferred=False)

    def plan_tests(self, tests: list[TestRun]) -> TestPlan:
        """Plan a job for each test, or for each group of tests that may share one.

        Tests share a job when the scheduler allows it (IS_CONCURRENT), all of them allow it
        (share_allocation), and they request the same allocation.  Jobs are in the order of their
        first tests.  The cost is linear in the number of tests.
        """
        plan = TestPlan()
        groups: dict[Hashable, PlannedJob] = {}
        for number, test in enumerate(tests):
            try:
                config = self._validated(test.config["schedule"])
                problem = self._section_problem(config)
                if problem is not None:
                    raise problem
                node_range = self._job_node_range(config)
                key = self._share_key(config, node_range, number)
            except (Exception, SystemExit) as exc:
                plan.errors.append(as_plugin_error(self, [test], exc))
                continue
            job = groups.get(key)
            if job is None:
                groups[key] = PlannedJob([test], config, node_range=node_range)
                continue
            job.tests.append(test)
            # Nothing else that may differ between them concerns the allocation.
            job.config["time_limit"] = max(job.config["time_limit"], config["time_limit"])
        plan.jobs += groups.values()
        return plan

    def _share_key(
        self, sched_config: dict[str, Any], node_range: NodeRange, number: int
    ) -> tuple[Hashable, ...]:
        """Equal for tests that go into one job."""
        if not self.IS_CONCURRENT or not sched_config["share_allocation"]:
            return ("own job", number)
        return self.gen_job_share_key(sched_config, *node_range)
