"""The machine as a grid of cells: one per node, marked by chunk, job or state.

What is drawn with it is up to the command line.  The work grows linearly with the nodes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from pavilion import schedulers
from pavilion.errors import PavilionError, SchedulerPluginError
from pavilion.preview import (
    NodeReport,
    Preview,
    PreviewError,
    name_list,
    node_report,
    preview,
    state_text,
)
from pavilion.resolve import ResolvedTest
from pavilion.schedulers.config import validate_config
from pavilion.schedulers.finding.registry import require_plugin
from pavilion.schedulers.placement import hostlists
from pavilion.types import NodeInfo, Nodes

KINDS = ("chunk", "job", "state")

# One character for each of the first groups; then they repeat.  No 'x': that is OUT_MARK.
MARKS = "0123456789abcdefghijklmnopqrstuvwyzABCDEFGHIJKLMNOPQRSTUVWYZ"
FREE_MARK = "."
OUT_MARK = "x"

# Red, green, blue.
Color = tuple[int, int, int]


def _colors(text: str) -> list[Color]:
    return [(int(word[:2], 16), int(word[2:4], 16), int(word[4:], 16)) for word in text.split()]


# Each was chosen to be as far as possible, in CIE Lab, from those before it and from black, white
# and the greys of other nodes.  Nobody can tell more than these apart.
COLORS = _colors(
    "537dd1 fb9229 14bc53 e6297d 7d7d14 e67dfb 29e6d1 a7533e d1e653 e692bc 147d53 "
    "29bce6 fbd192 fb5353 6853d1 a7d192 a73e92 bcbcfb e6bc3e 925368 a76814 68a714 "
    "fb9268 3e9292"
)
# What states mean matters more than that they differ: the darker, the less usable.
STATE_COLORS = {
    "available": _colors("6cc788 a9e3b4 8fd3c1 c3dc8c"),
    "up": _colors("f0b429 f7d774 d9962b e8c79a"),
    "not up": _colors("b3362b 7d2b4f d9705f 6e4632"),
}


@dataclass
class Cell:
    """A node."""

    name: str
    usable: bool
    # What is shown when somebody points at it.
    title: str
    # The groups it belongs to; several when jobs share it.
    groups: list[int] = field(default_factory=list)
    # What else is shown then, after the names of its groups.
    detail: str = ""


@dataclass
class Group:
    """A chunk, a job, a state or a result."""

    label: str
    nodes: list[str]
    color: Color
    detail: str = ""
    # One character.  Without it, that of the group's number.
    mark: str = ""

    @property
    def node_list(self) -> str:
        """Its nodes, folded and short."""
        return hostlists.fold_short(self.nodes) if self.nodes else ""


@dataclass
class MachineMap:
    """A picture to be drawn."""

    title: str
    scheduler: str
    cells: list[Cell]
    groups: list[Group] = field(default_factory=list)
    # What else there is to say, in sentences;
    remarks: list[str] = field(default_factory=list)
    # and what could not be drawn because it cannot be started, either.
    errors: list[str] = field(default_factory=list)
    # Names of the tests that this is about.
    refused: set[str] = field(default_factory=set)
    # The command that says why nodes are left out.
    says_why: str = ""

    def mark(self, cell: Cell) -> str:
        """One character that says what a cell is."""
        if cell.groups:
            return self.groups[cell.groups[0]].mark
        return FREE_MARK if cell.usable else OUT_MARK

    def fill_in(self) -> None:
        """Say in each cell which groups it belongs to, and give groups their characters."""
        cells = {cell.name: cell for cell in self.cells}
        for number, group in enumerate(self.groups):
            group.mark = group.mark or MARKS[number % len(MARKS)]
            for name in group.nodes:
                if name in cells:
                    cells[name].groups.append(number)

    def remark_shared(self, what: str) -> None:
        """Say how many nodes are in several groups ('jobs'), where there are any."""
        several = sum(len(cell.groups) > 1 for cell in self.cells)
        if several:
            verb = "node is" if several == 1 else "nodes are"
            self.remarks.append(f"{several} {verb} in several {what} and shown in the first.")


def ink_on(color: Color) -> Color:
    """Black or white, whichever can be read on this colour."""
    red, green, blue = color
    return (0, 0, 0) if 0.3 * red + 0.59 * green + 0.11 * blue > 120 else (255, 255, 255)


def draw_maps(resolved: Sequence[ResolvedTest], kind: str | None = None) -> list[MachineMap]:
    """The pictures for some tests: one for each scheduler and kind of filter or chunking.

    :param kind: One of KINDS.  Without it, chunks where there are any, otherwise jobs.
    :raises SchedulerPluginError: When none of their schedulers can list its nodes.
    """
    problems: dict[str, str] = {}
    views = (_machines if kind == "state" else _views)(resolved, problems)
    if not views and problems:
        raise SchedulerPluginError("\n".join(f"{name}: {text}" for name, text in problems.items()))
    if not views:
        raise SchedulerPluginError(
            "There is nothing to draw: none of the schedulers of these tests can list its nodes."
        )
    kinds = [kind or _usual_kind(tests[0]) for tests in views]
    # All tests at once, so that jobs have the numbers and nodes that 'plan' shows.
    plan = preview(resolved) if "job" in kinds else Preview()
    maps = [_draw(tests, chosen, plan) for tests, chosen in zip(views, kinds)]
    # Those on no map, as it is not known which nodes they may use.
    for name, text in problems.items():
        if not any(name in drawn.refused for drawn in maps):
            maps[0].errors.append(f"{name}: {text}")
            maps[0].refused.add(name)
    # Where schedulers pick the nodes there is nothing to see, unless it is all there is.
    return [drawn for drawn in maps if drawn.groups or drawn.errors] or maps


def _views(resolved: Sequence[ResolvedTest], problems: dict[str, str]) -> list[list[ResolvedTest]]:
    """The tests that may use the same nodes in the same chunks, together.

    :param problems: Collects the names of tests whose nodes cannot be determined, and why.
    """
    views: dict[str, list[ResolvedTest]] = {}
    for test in resolved:
        plugin = _advanced(test)
        if plugin is None:
            continue
        config = validate_config(test.config["schedule"])
        try:
            filtered = plugin.filtered_nodes(config)
        except PavilionError as exc:
            problems[test.name] = exc.pformat()
            continue
        key = f"{plugin.name} {filtered.list_id} {config['chunking']} {config['include_nodes']}"
        views.setdefault(key, []).append(test)
    return list(views.values())


def _machines(
    resolved: Sequence[ResolvedTest], problems: dict[str, str]
) -> list[list[ResolvedTest]]:
    """Tests for which the nodes have the same states, together; see _views."""
    found: list[tuple[str, Nodes, list[ResolvedTest]]] = []
    for test in resolved:
        plugin = _advanced(test)
        if plugin is None:
            continue
        try:
            nodes = plugin._get_system_inventory(validate_config(test.config["schedule"]))
        except PavilionError as exc:
            problems[test.name] = exc.pformat()
            continue
        for name, known, tests in found:
            if name == plugin.name and (nodes is known or nodes == known):
                tests.append(test)
                break
        else:
            found.append((plugin.name, nodes, [test]))
    return [tests for _, _, tests in found]


def _advanced(test: ResolvedTest) -> schedulers.SchedulerPluginAdvanced | None:
    """The plugin of a test's scheduler, if that can list its nodes."""
    plugin = require_plugin(test.config["scheduler"])
    return plugin if isinstance(plugin, schedulers.SchedulerPluginAdvanced) else None


def _usual_kind(test: ResolvedTest) -> str:
    return "chunk" if validate_config(test.config["schedule"])["chunking"]["size"] else "job"


def _draw(tests: Sequence[ResolvedTest], kind: str, plan: Preview) -> MachineMap:
    scheduler = tests[0].config["scheduler"]
    # States are drawn for tests with different filters, so none of those are used.
    report = node_report(scheduler, tests[0].config["schedule"])
    reasons = {} if kind == "state" else report.reasons
    names = list(dict.fromkeys(f"{test.source.suite}.{test.source.name}" for test in tests))
    drawn = MachineMap(
        f"{scheduler}: {kind}s of {name_list(names)}",
        scheduler,
        [_cell(info, name, reasons.get(name)) for name, info in report.nodes.items()],
        says_why=f"show nodes {scheduler} --test TEST",
    )
    if kind == "chunk":
        _add_chunks(drawn, tests)
    elif kind == "job":
        _add_jobs(drawn, tests, plan)
    else:
        _add_states(drawn, report)
    drawn.fill_in()
    drawn.remark_shared(f"{kind}s")
    return drawn


def _cell(info: NodeInfo, name: str, reason: str | None) -> Cell:
    states = "+".join(info.get("states") or [])
    title = ", ".join(filter(None, (name, states, reason and f"left out: {reason}")))
    return Cell(name, reason is None, title)


def _add_chunks(drawn: MachineMap, tests: Sequence[ResolvedTest]) -> None:
    plugin = _advanced(tests[0])
    assert plugin is not None
    try:
        chunks = plugin.chunks_of(validate_config(tests[0].config["schedule"]))
    except PavilionError as exc:
        names = [test.name for test in tests]
        drawn.errors.append(f"{name_list(names)}: {exc.pformat()}")
        drawn.refused.update(names)
        return
    drawn.groups = [
        Group(f"chunk {number}", list(nodes), COLORS[number % len(COLORS)])
        for number, nodes in enumerate(chunks)
    ]


def _add_jobs(drawn: MachineMap, tests: Sequence[ResolvedTest], plan: Preview) -> None:
    mine = {id(test) for test in tests}
    anywhere = 0
    for job in plan.jobs:
        if id(job.tests[0].resolved) not in mine:
            continue
        if job.planned.nodes is None:
            anywhere += 1
            continue
        drawn.groups.append(
            Group(
                f"job {job.number}",
                job.planned.nodes,
                COLORS[len(drawn.groups) % len(COLORS)],
                name_list(job.test_names),
            )
        )
    if anywhere:
        runs = "job runs" if anywhere == 1 else "jobs run"
        drawn.remarks.append(f"{anywhere} {runs} on nodes that the scheduler picks.")
    for error in plan.errors:
        concerned = [test for test in error.tests if id(test.resolved) in mine]
        if concerned:
            drawn.errors.append(str(PreviewError(concerned, error.text)))
            drawn.refused.update(test.name for test in concerned)


def _add_states(drawn: MachineMap, report: NodeReport) -> None:
    by_state: dict[tuple[str, str], list[str]] = {}
    for name, info in report.nodes.items():
        by_state.setdefault(state_text(info), []).append(name)
    shades = dict.fromkeys(STATE_COLORS, 0)
    for (word, text), names in sorted(by_state.items(), key=lambda item: -len(item[1])):
        colors = STATE_COLORS[word]
        drawn.groups.append(Group(text, names, colors[shades[word] % len(colors)]))
        shades[word] += 1
