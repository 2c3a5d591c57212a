"""The machine as a grid of cells: one per node, marked by chunk, job or state.

What is drawn with it is up to the command line.  The work grows linearly with the nodes.
"""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from dataclasses import dataclass, field

from pavilion import schedulers
from pavilion.errors import SchedulerPluginError
from pavilion.preview import NodeReport, node_report, preview
from pavilion.resolve import ResolvedTest
from pavilion.schedulers import hostlists
from pavilion.schedulers.config import validate_config

KINDS = ("chunk", "job", "state")

# One character for each of the first groups; then they begin again.
MARKS = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
FREE_MARK = "."
OUT_MARK = "x"


@dataclass
class Cell:
    """A node."""

    name: str
    usable: bool
    # What is said of it when somebody points at it.
    title: str
    # The groups it belongs to; several when jobs share it.
    groups: list[int] = field(default_factory=list)

    @property
    def mark(self) -> str:
        """One character that says what it is."""
        if self.groups:
            return MARKS[self.groups[0] % len(MARKS)]
        return FREE_MARK if self.usable else OUT_MARK


@dataclass
class Group:
    """A chunk, a job or a state."""

    label: str
    nodes: list[str]
    detail: str = ""

    @property
    def node_list(self) -> str:
        """Its nodes, folded and short."""
        return hostlists.fold_short(self.nodes) if self.nodes else ""


@dataclass
class MachineMap:
    """A picture to be drawn."""

    title: str
    cells: list[Cell]
    groups: list[Group]
    # What could not be drawn, in sentences.
    remarks: list[str] = field(default_factory=list)


def color(group: int) -> tuple[int, int, int]:
    """A colour for a group, as (red, green, blue) of 0 to 255; neighbours differ clearly."""
    # The golden angle never comes back to a hue it had.
    hue = (group * 137.508 % 360) / 360
    lightness = (0.62, 0.48, 0.74)[group % 3]
    red, green, blue = colorsys.hls_to_rgb(hue, lightness, 0.65)
    return round(red * 255), round(green * 255), round(blue * 255)


def draw_maps(resolved: Sequence[ResolvedTest], kind: str | None = None) -> list[MachineMap]:
    """The pictures for some tests: one for each scheduler and kind of filter or chunking.

    :param kind: One of KINDS.  Without it, chunks where there are any, else jobs.
    :raises SchedulerPluginError: When no scheduler of theirs can tell about nodes.
    """
    views: dict[str, list[ResolvedTest]] = {}
    for test in resolved:
        plugin = schedulers.get_plugin(test.config["scheduler"])
        if not isinstance(plugin, schedulers.SchedulerPluginAdvanced):
            continue
        config = validate_config(test.config["schedule"])
        filtered = plugin.filtered_nodes(config)
        key = f"{plugin.name} {filtered.list_id} {config['chunking']} {config['include_nodes']}"
        views.setdefault(key, []).append(test)
    if not views:
        raise SchedulerPluginError("There is nothing to draw: none of the schedulers of these "
                                   "tests can tell about nodes.")
    maps = [_draw(tests, kind) for tests in views.values()]
    # Where schedulers pick the nodes there is nothing to see, unless it is all there is.
    return [drawn for drawn in maps if drawn.groups] or maps


def _draw(tests: Sequence[ResolvedTest], kind: str | None) -> MachineMap:
    scheduler, schedule = tests[0].config["scheduler"], tests[0].config["schedule"]
    report = node_report(scheduler, schedule)
    config = validate_config(schedule)
    if kind is None:
        kind = "chunk" if config["chunking"]["size"] else "job"
    names = list(dict.fromkeys(test.source.name for test in tests))
    title = f"{scheduler}: {kind}s of {', '.join(names[:4])}" + (", ..." if names[4:] else "")
    drawn = MachineMap(title, [_cell(report, name) for name in report.nodes], [])
    if kind == "chunk":
        plugin = schedulers.get_plugin(scheduler)
        assert isinstance(plugin, schedulers.SchedulerPluginAdvanced)
        drawn.groups = [Group(f"chunk {number}", list(nodes)) for number, nodes in
                        enumerate(plugin.chunks_of(config))]
    elif kind == "job":
        _add_jobs(drawn, tests)
    else:
        _add_states(drawn, report)
    cells = {cell.name: cell for cell in drawn.cells}
    for number, group in enumerate(drawn.groups):
        for name in group.nodes:
            if name in cells:
                cells[name].groups.append(number)
    return drawn


def _cell(report: NodeReport, name: str) -> Cell:
    info = report.nodes[name]
    reason = report.reasons.get(name)
    states = "+".join(info.get("states") or [])
    title = ", ".join(filter(None, (name, states, reason and f"left out: {reason}")))
    return Cell(name, reason is None, title)


def _add_jobs(drawn: MachineMap, tests: Sequence[ResolvedTest]) -> None:
    plan = preview(tests)
    anywhere = 0
    for job in plan.jobs:
        if job.planned.nodes is None:
            anywhere += 1
            continue
        drawn.groups.append(Group(f"job {job.number}", job.planned.nodes,
                                  ", ".join(job.test_names)))
    if anywhere:
        drawn.remarks.append(f"{anywhere} job(s) more run on nodes that the scheduler picks.")
    drawn.remarks += [error.pformat() for error in plan.errors]


def _add_states(drawn: MachineMap, report: NodeReport) -> None:
    by_state: dict[str, list[str]] = {}
    for name, info in report.nodes.items():
        word = "available" if info["available"] else "up" if info["up"] else "down"
        states = "+".join(info.get("states") or [])
        by_state.setdefault(f"{word} ({states})" if states else word, []).append(name)
    drawn.groups = [Group(state, names) for state, names in sorted(
        by_state.items(), key=lambda item: -len(item[1]))]
