"""Which nodes the tests of a series are meant for, and which were left out and why.

Only tests that mean every node of something have such a plan: those with ``nodes: all``, with
``across_nodes`` that they use completely, and those that use their chunks completely.  It is worked
out once for all tests that mean the same nodes, and kept in the directory of the series
(``nodes.json``): by the time that somebody reads the results the nodes may be fine again.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from pavilion import schedulers
from pavilion.files import read_json, write_own_json
from pavilion.problems import name_list
from pavilion.schedulers.config import calc_node_range
from pavilion.schedulers.finding.registry import get_plugin
from pavilion.schedulers.lifecycle.pinning import is_pinned
from pavilion.schedulers.placement import hostlists
from pavilion.schedulers.placement.inventory import (
    CAUSE,
    INCLUDE_PREFIX,
    NOT_AVAILABLE,
    NOT_THERE,
    NOT_UP,
    named_nodes,
)
from pavilion.schedulers.placement.usable import FilteredNodes
from pavilion.types import NodeInfo

NODES_FN = "nodes.json"
DISCARDED = "does not fill a chunk, and chunking.extra is 'discard'"
# The most names of nodes in the file of a series: each plan has its nodes, its chunks and the rest.
_MOST_NAMES = 2_000_000
# Reasons that are up to the site or the scheduler; nodes left out for them are missing.  All other
# reasons follow from what a suite requests.
_MISSING = (NOT_UP, NOT_AVAILABLE, NOT_THERE)


class PlannedTest(Protocol):
    """What is needed of a test, whether it exists already or not."""

    @property
    def id(self) -> str:
        """Its id."""

    @property
    def name(self) -> str:
        """Its name, 'suite.test.subtitle'."""

    @property
    def scheduler(self) -> str:
        """The name of its scheduler."""

    @property
    def config(self) -> Mapping[str, Any]:
        """Its config."""


@dataclass(frozen=True)
class LeftOut:
    """Nodes that are left out for the same reason.

    - ``why``: the whole reason, as 'show nodes' has it
    - ``cause``: the same in a few words, for counting
    - ``missing``: whether the nodes are missing (down, in use, unknown), rather than left out by
      what the suite or the scheduler demands of nodes
    """

    why: str
    cause: str
    nodes: tuple[str, ...]
    missing: bool


@dataclass
class NodePlan:
    """The nodes of tests that mean the same ones.

    - ``tests``, ``names``: the ids and the names of the tests
    - ``nodes``: those that the tests are to run on, all of them together
    - ``chunks``: the nodes of each chunk by its number; empty without chunking
    - ``left_out``: nodes that the tests mean, but cannot run on; missing ones first
    """

    scheduler: str
    tests: list[str] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    nodes: list[str] = field(default_factory=list)
    chunks: list[list[str]] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)

    @property
    def left_out_count(self) -> int:
        """How many nodes are left out."""
        return sum(len(item.nodes) for item in self.left_out)

    @property
    def title(self) -> str:
        """The tests in a few words: 'stream.every_node.*'."""
        return common_name(self.names)

    def sentence(self) -> str:
        """'2 of 16 nodes are left out of stream.*: node[15-16] (down: 1, drained: 1)'; '' when no
        node is."""
        count = self.left_out_count
        if not count:
            return ""
        total = len(self.nodes) + count
        causes: dict[str, int] = {}
        for item in self.left_out:
            causes[item.cause] = causes.get(item.cause, 0) + len(item.nodes)
        names = [name for item in self.left_out for name in item.nodes]
        return (
            f"{count} of {total} {'node' if total == 1 else 'nodes'} "
            f"{'is' if count == 1 else 'are'} left out of {self.title}: "
            f"{hostlists.fold_short(names, count=False)} "
            f"({', '.join(f'{cause}: {number}' for cause, number in causes.items())})"
        )

    def record(self) -> dict[str, Any]:
        """What is left out, for JSON."""
        return {
            "scheduler": self.scheduler,
            "tests": self.names,
            "nodes": len(self.nodes) + self.left_out_count,
            "left_out": self.left_out_count,
            "reasons": [
                {
                    "reason": item.why,
                    "cause": item.cause,
                    "nodes": list(item.nodes),
                    "node_list": hostlists.fold_short(item.nodes, limit=10**9),
                }
                for item in self.left_out
            ],
        }


def distinct(plans: Iterable[NodePlan]) -> list[NodePlan]:
    """Plans for the same nodes that differ only in how these are cut into chunks, as one."""
    found: dict[Hashable, NodePlan] = {}
    for plan in plans:
        key = (plan.scheduler, tuple(plan.nodes), tuple(plan.left_out))
        known = found.get(key)
        found[key] = replace(
            plan if known is None else known,
            tests=[*(known.tests if known else ()), *plan.tests],
            names=[*(known.names if known else ()), *plan.names],
        )
    return list(found.values())


def common_name(names: Sequence[str]) -> str:
    """What names of tests have in common: 'stream.a' and 'stream.b' are 'stream.*'."""
    names = list(dict.fromkeys(names))
    if len(names) == 1:
        return names[0]
    groups: dict[str, list[list[str]]] = {}
    for name in names:
        parts = name.split(".")
        groups.setdefault(parts[0], []).append(parts)
    return name_list([_common(parts) for parts in groups.values()])


def _common(names: Sequence[Sequence[str]]) -> str:
    if len(names) == 1:
        return ".".join(names[0])
    same: list[str] = []
    for parts in zip(*names):
        if len(set(parts)) > 1:
            break
        same.append(parts[0])
    return ".".join([*same, "*"])


# ---------------------------------------------------------------------------------- working it out


@dataclass
class _Kind:
    """Tests that may use the same nodes in the same chunks."""

    plugin: schedulers.SchedulerPluginAdvanced
    config: dict[str, Any]
    filtered: FilteredNodes
    chunks: Sequence[Sequence[str]]
    tests: list[PlannedTest] = field(default_factory=list)
    # The chunks that were requested by number, and how many tests take any.
    numbers: dict[int, None] = field(default_factory=dict)
    anywhere: int = 0

    def add(self, test: PlannedTest) -> None:
        """Add a test of this kind."""
        self.tests.append(test)
        try:
            self.numbers[int(test.config.get("chunk"))] = None  # type: ignore[arg-type]
        except (TypeError, ValueError):
            self.anywhere += 1


def node_plans(tests: Iterable[PlannedTest]) -> list[NodePlan]:
    """The plans of those tests that mean every node of something.

    Schedulers are queried where they have not been, and only for tests whose placement depends on
    the answer anyway.  Tests that cannot be placed because of that answer are left out here
    without a message: placing them reports it.

    :param tests: They may be of several schedulers.
    :returns: One plan for all tests that mean the same nodes.
    """
    kinds: dict[Hashable, _Kind] = {}
    # Most tests have the section of another one: scheduler and section -> kind.
    of_section: dict[Hashable, _Kind | None] = {}
    for test in tests:
        plugin = get_plugin(test.scheduler)
        if not isinstance(plugin, schedulers.SchedulerPluginAdvanced):
            continue
        if is_pinned(test.config):
            # It means the nodes of an earlier run, and no others.
            continue
        section = (test.scheduler, repr(test.config["schedule"]))
        if section not in of_section:
            try:
                of_section[section] = _kind_of(kinds, plugin, test)
            except (Exception, SystemExit):
                # Including a plugin's errors; they are reported when the test is placed.
                of_section[section] = None
        kind = of_section[section]
        if kind is not None:
            kind.add(test)
    plans: dict[Hashable, NodePlan] = {}
    for kind in kinds.values():
        try:
            plan = _plan(kind)
        except (Exception, SystemExit):
            continue
        key = (plan.scheduler, tuple(plan.nodes), tuple(map(tuple, plan.chunks)))
        known = plans.setdefault((*key, tuple(plan.left_out)), plan)
        if known is not plan:
            known.tests += plan.tests
            known.names += plan.names
    return [plan for plan in plans.values() if plan.nodes or plan.left_out]


def _kind_of(
    kinds: dict[Hashable, _Kind], plugin: schedulers.SchedulerPluginAdvanced, test: PlannedTest
) -> _Kind | None:
    """The kind of a test; None if it does not mean every node of something."""
    config = plugin._validated(test.config["schedule"])
    chunked = bool(config["chunking"]["size"])
    nodes, across = config["nodes"], config["across_nodes"]
    if not chunked and not _is_all(nodes) and not (across and _is_number(nodes)):
        return None
    filtered = plugin.filtered_nodes(config)
    chunks = plugin.chunks_of(config)
    if not chunked and not _is_all(nodes) and nodes < len(set(across)):
        return None
    if chunked and chunks:
        most = calc_node_range(config, len(chunks[0]))[1]
        if most is not None and most < len(chunks[0]):
            return None
    # The plugin keeps both, and they are the same for all tests that agree in what matters to them.
    key = (plugin.name, id(filtered), id(chunks))
    return kinds.setdefault(key, _Kind(plugin, config, filtered, chunks))


def _is_number(nodes: Any) -> bool:
    return isinstance(nodes, int)


def _is_all(nodes: Any) -> bool:
    # A fraction is a float, and 1 is a number of nodes.
    return isinstance(nodes, float) and nodes >= 1


def _plan(kind: _Kind) -> NodePlan:
    plan = NodePlan(kind.plugin.name)
    plan.tests = [test.id for test in kind.tests]
    plan.names = [test.name for test in kind.tests]
    chunks = kind.chunks
    chunked = bool(kind.config["chunking"]["size"])
    if chunked:
        plan.chunks = [list(chunk) for chunk in chunks]
        wanted = [number for number in kind.numbers if 0 <= number < len(chunks)]
        if len(wanted) + kind.anywhere < len(chunks):
            # These tests mean some of the chunks, and never meant the whole machine.
            plan.nodes = _together(chunks[number] for number in wanted)
            return plan
    plan.nodes = _together(chunks)
    plan.left_out = _left_out(kind, plan.nodes)
    return plan


def _together(lists: Iterable[Iterable[str]]) -> list[str]:
    return hostlists.natural_sorted({name for names in lists for name in names})


def _left_out(kind: _Kind, used: Sequence[str]) -> list[LeftOut]:
    """The nodes that tests mean and cannot have, by reason."""
    nodes = kind.plugin._get_system_inventory(kind.config)
    about = set(named_nodes(nodes, kind.config)).difference(used)
    reasons = {
        name: reason
        for reason, names in kind.filtered.reasons.items()
        for name in names
        if name in about
    }
    usable = set(kind.filtered.names)
    found: dict[tuple[str, str, bool], list[str]] = {}
    for name in hostlists.natural_sorted(about):
        reason = DISCARDED if name in usable else reasons.get(name, NOT_THERE)
        reason = reason[len(INCLUDE_PREFIX) :] if reason.startswith(INCLUDE_PREFIX) else reason
        missing = reason in _MISSING
        if reason == NOT_UP:
            # A node of another partition is not missing, whether it is up or down.
            missing = kind.plugin._filter_custom(kind.config, name, nodes[name]) is None
        key = (*reason_texts(reason, nodes.get(name, {})), missing)
        found.setdefault(key, []).append(name)
    items = [LeftOut(*key[:2], tuple(names), key[2]) for key, names in found.items()]
    return sorted(items, key=lambda item: not item.missing)


def reason_texts(reason: str, info: NodeInfo) -> tuple[str, str]:
    """Why a node is left out: with what its scheduler says, where a plugin has that as 'why'; and
    the same in a few words."""
    said = str(info.get("why") or "")
    # What is in parentheses or after a comma is more than is needed for counting.
    cause = str((info.get(CAUSE) if reason in _MISSING else None) or re.split(r" \(|, ", reason)[0])
    return f"{reason}: {said}" if reason and said else reason, cause


# ------------------------------------------------------------------------------------- keeping it


def save_plans(series_path: Path, plans: Sequence[NodePlan]) -> None:
    """Keep plans with their series.

    :raises OSError: When they cannot be written.
    """
    write_own_json(
        series_path / NODES_FN,
        {
            "plans": [
                {
                    "scheduler": plan.scheduler,
                    "tests": plan.tests,
                    "names": plan.names,
                    "nodes": _folded(plan.nodes),
                    "chunks": [_folded(chunk) for chunk in plan.chunks],
                    "left_out": [
                        {
                            "why": item.why,
                            "cause": item.cause,
                            "nodes": _folded(item.nodes),
                            "missing": item.missing,
                        }
                        for item in plan.left_out
                    ],
                }
                for plan in plans
            ]
        },
    )


def load_plans(series_path: Path) -> list[NodePlan]:
    """The plans of a series; none for one that has none, or was made by an earlier version.

    :raises OSError: When they cannot, or must not, be read.
    :raises ValueError: When the file holds something else; the message names it.
    """
    path = series_path / NODES_FN
    try:
        data = read_json(path)
    except FileNotFoundError:
        return []
    try:
        room = _Room(_MOST_NAMES)
        return [_loaded(item, room) for item in _typed(data["plans"], list)]
    except (LookupError, TypeError, ValueError) as exc:
        raise ValueError(f"{path} is damaged: {type(exc).__name__}: {exc}") from exc


class _Room:
    """How many names of nodes a file may still have: a few characters stand for very many."""

    def __init__(self, names: int) -> None:
        self._left = names

    def unfolded(self, value: Any) -> list[str]:
        """The names of a list or a host list.  :raises TypeError, ValueError: When it is neither."""
        if isinstance(value, list):
            return [_typed(name, str) for name in value]
        names = hostlists.expand(_typed(value, str), limit=self._left)
        self._left -= len(names)
        return names


def _loaded(data: Any, room: _Room) -> NodePlan:
    """A plan from a file that may be another user's."""
    return NodePlan(
        _typed(data["scheduler"], str),
        tests=[_typed(item, str) for item in _typed(data["tests"], list)],
        names=[_typed(item, str) for item in _typed(data["names"], list)],
        nodes=room.unfolded(data["nodes"]),
        chunks=[room.unfolded(item) for item in _typed(data["chunks"], list)],
        left_out=[
            LeftOut(
                _typed(item["why"], str),
                _typed(item["cause"], str),
                tuple(room.unfolded(item["nodes"])),
                _typed(item["missing"], bool),
            )
            for item in _typed(data["left_out"], list)
        ],
    )


def _typed(value: Any, kind: type) -> Any:
    if not isinstance(value, kind):
        raise TypeError(f"expected a {kind.__name__}, not {type(value).__name__}")
    return value


def _folded(names: Sequence[str]) -> Any:
    """A host list; a list where there are names that no host list can hold."""
    try:
        return hostlists.fold(names)
    except hostlists.HostListError:
        return list(names)
