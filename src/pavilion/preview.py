"""What would be started: the plan for tests that do not exist yet, and the machine's nodes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from pavilion import schedulers
from pavilion.config import CONFIG_NAME, PavConfig
from pavilion.env_setup import watched
from pavilion.errors import SchedulerPluginError
from pavilion.jobs import Job
from pavilion.node_plan import NodePlan, node_plans
from pavilion.problems import name_list as name_list
from pavilion.resolve import ResolvedTest, group_by_scheduler
from pavilion.schedulers.finding.registry import require_plugin
from pavilion.schedulers.placement.planning import PlannedJob
from pavilion.scriptcomposer import ScriptComposer
from pavilion.test_run import kickoff_shebang
from pavilion.types import NodeInfo, Nodes

# The series and the jobs that the tests would be in have no names yet.
SERIES = "s?"
JOB = "?"


class PreviewTest:
    """Stands in for a test run, as far as planning looks at it."""

    def __init__(self, number: int, resolved: ResolvedTest) -> None:
        self.resolved = resolved
        self.id = f"{SERIES}.{number}"
        self.series = SERIES
        self.name = resolved.name
        self.config = resolved.config
        self.scheduler: str = resolved.config["scheduler"]
        self.var_man = resolved.var_man
        self.shebang = kickoff_shebang(resolved.config)


@dataclass
class PreviewJob:
    """A job that would be started."""

    number: int
    scheduler: str
    name: str
    planned: PlannedJob

    @property
    def tests(self) -> list[PreviewTest]:
        """Its tests."""
        return cast("list[PreviewTest]", self.planned.tests)

    @property
    def test_names(self) -> list[str]:
        """The names of its tests."""
        return [test.name for test in self.tests]


@dataclass
class PreviewError:
    """Why tests could not be started."""

    tests: list[PreviewTest]
    text: str

    def __str__(self) -> str:
        return f"{name_list([test.name for test in self.tests])}: {self.text}"


@dataclass
class Preview:
    """What would be started, and what could not be."""

    jobs: list[PreviewJob] = field(default_factory=list)
    errors: list[PreviewError] = field(default_factory=list)
    # For tests that mean every node: which nodes these are, and which are left out.
    node_plans: list[NodePlan] = field(default_factory=list)


def preview(resolved: Sequence[ResolvedTest]) -> Preview:
    """Plan tests without making or starting anything."""
    result = Preview()
    tests = [PreviewTest(number, test) for number, test in enumerate(resolved, 1)]
    for name, group in group_by_scheduler(tests).items():
        plugin = require_plugin(name)
        result.node_plans += node_plans(group)
        plan = plugin.plan_tests(group)
        for planned in plan.jobs:
            result.jobs.append(
                PreviewJob(len(result.jobs) + 1, name, plugin._job_name(planned.tests), planned)
            )
        result.errors += [
            PreviewError(cast("list[PreviewTest]", error.tests), error.pformat())
            for error in plan.errors
        ]
    return result


def kickoff_script(pav_cfg: PavConfig, job: PreviewJob) -> ScriptComposer:
    """The kickoff script that a job would get, with '?' for names that do not exist yet.

    :raises SchedulerPluginError: When it cannot be composed.
    """
    plugin = require_plugin(job.scheduler)
    work = pav_cfg.working_dir
    # A series has its own copy of the settings.
    settings = PavConfig(
        pav_cfg,
        pav_cfg_file=work / "series" / SERIES / CONFIG_NAME,
        env_setup=watched(pav_cfg.env_setup),
    )
    return plugin._compose_kickoff_script(
        settings,
        job.planned.tests,
        job.planned.config,
        job.name,
        log_path=work / "jobs" / JOB / Job.KICKOFF_LOG_FN,
        nodes=job.planned.nodes,
        node_range=job.planned.node_range,
    )


@dataclass
class NodeReport:
    """The nodes of a scheduler, and why some cannot be used."""

    nodes: Nodes
    usable: list[str]
    # Node name -> why it is left out.
    reasons: dict[str, str]


def node_report(scheduler: str, raw_sched_config: dict[str, Any]) -> NodeReport:
    """Query a scheduler for its nodes.

    :param raw_sched_config: The schedule section to filter them by.
    :raises SchedulerPluginError: When it cannot list its nodes, or does not answer.
    """
    plugin = require_plugin(scheduler)
    if not isinstance(plugin, schedulers.SchedulerPluginAdvanced):
        raise SchedulerPluginError(f"The scheduler {scheduler!r} cannot list its nodes.")
    if not plugin.available():
        raise SchedulerPluginError(
            f"The scheduler {scheduler!r} is not available on this host. "
            f"{plugin.unavailable_reason}"
        )
    config = plugin._validated(raw_sched_config)
    filtered = plugin.filtered_nodes(config)
    return NodeReport(
        plugin._get_system_inventory(config),
        list(filtered.names),
        {name: reason for reason, names in filtered.reasons.items() for name in names},
    )


def state_text(info: NodeInfo) -> tuple[str, str]:
    """The state of a node: 'available', 'up' or 'not up'; and that with its scheduler's words."""
    word = "available" if info["available"] else "up" if info["up"] else "not up"
    states = "+".join(info.get("states") or [])
    return word, f"{word} ({states})" if states else word
