"""What is known about the nodes, and which of them a test may use.

Cost: `check_node` is constant per node. `filter_nodes` is linear in the nodes plus the names in
the configuration: one pass per filter that is set, over what the filters before it left. Putting
the result in order costs a sort; do it once per inventory with `in_order`, not once per filter.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from itertools import compress
from typing import Any, Callable, Optional

from pavilion.errors import SchedulerPluginError
from pavilion.types import NodeInfo, Nodes

from . import hostlists

AVAILABLE = "available"
ANY_RESERVATION = "any"

# The reasons for leaving nodes out, apart from those that contain a name and those of plugins.
NOT_UP = "not up"
NOT_AVAILABLE = "not available"
NOT_ACROSS = "not in across_nodes"
EXCLUDED = "in exclude_nodes"
# The reason starts with this for nodes that every job must have but no job can get.
INCLUDE_PREFIX = "in include_nodes, but "
NOT_THERE = "not in the inventory"

# The key under which a plugin may say, in a few words, why a node is not up, or not available:
# messages count nodes by it.
CAUSE = "cause"

# A plugin's own filter: (node name, what is known about it) -> None, or why it is left out.
CustomFilter = Callable[[str, NodeInfo], Optional[str]]


class Reasons(dict[str, list[str]]):
    """Reason -> names of the nodes left out for it.

    :param advice: Reason, or cause -> how such nodes can be included, for messages.
    :ivar causes: Reason -> cause (see CAUSE) -> number of nodes.
    """

    def __init__(self, advice: Mapping[str, str] | None = None) -> None:
        super().__init__()
        self.advice: dict[str, str] = {NOT_AVAILABLE: BUSY_ADVICE, **(advice or {})}
        self.causes: dict[str, dict[str, int]] = {}


BUSY_ADVICE = "schedule.node_state 'up' takes nodes that are in use, too"

_REQUIRED: Mapping[str, type] = {"name": str, "up": bool, "available": bool}
_NUMBERS = ("cpus", "mem")
_LISTS = ("partitions", "reservations", "features", "states")


class InventoryError(ValueError):
    """A scheduler plugin returned something that is not the description of a node."""


class NodesUnknownError(SchedulerPluginError):
    """The scheduler does not list its nodes, but accepts jobs: only tests that depend on nodes
    cannot be started."""


def node_needs(sched_config: Mapping[str, Any]) -> list[str]:
    """The keys, as 'schedule.key', that make a test depend on the inventory; [] for a test whose
    nodes the scheduler picks, and whose size is given as a number.

    :param sched_config: The validated schedule section.
    """
    needs = []
    if sched_config["chunking"]["size"]:
        needs.append("chunking.size")
    needs += [key for key in ("across_nodes",) if sched_config[key]]
    needs += [
        key
        for key in ("nodes", "min_nodes", "tasks_per_node")
        if isinstance(sched_config[key], float)
    ]
    if sched_config["node_state"] == AVAILABLE:
        needs.append("node_state")
    if sched_config["reservation"] == ANY_RESERVATION:
        needs.append("reservation")
    return [f"schedule.{need}" for need in needs]


def name_list(text: str | None) -> list[str]:
    """The names in a comma-separated list, such as one of partitions or reservations."""
    return [name.strip() for name in (text or "").split(",") if name.strip()]


# --- The inventory ---


def check_node(plugin_name: str, raw: Any, info: Any) -> None:
    """Check the description that a plugin's `_transform_raw_node_data` returned for one node.

    :param raw: The raw data; shown when the node has no name.
    :raises InventoryError: for a missing key or a wrong type; names plugin, node and key.
    """
    if not (isinstance(info, dict) and _is_plain(info)):
        _explain(plugin_name, raw, info)


def _is_plain(info: NodeInfo) -> bool:
    """Whether the description is valid.  This is fast, because nearly all of them are."""
    get = info.get
    if not (
        type(get("name")) is str
        and info["name"]
        and type(get("up")) is bool
        and type(get("available")) is bool
    ):
        return False
    for key in _NUMBERS:
        if type(get(key, 0)) is not int:
            return False
    for key in _LISTS:
        value = get(key, ())
        if type(value) is not list and type(value) is not tuple:
            return False
        try:
            # The fastest way to check that all items are str.
            "".join(value)
        except TypeError:
            return False
    return True


def _explain(plugin_name: str, raw: Any, info: Any) -> None:
    """Raise the error that says what is wrong with a node's description, if something is."""
    if not isinstance(info, dict):
        raise InventoryError(
            f"Scheduler plugin '{plugin_name}': _transform_raw_node_data() must return a dict; it "
            f"returned {type(info).__name__} for {shown(raw)}."
        )
    for key, wanted in _REQUIRED.items():
        if key not in info:
            raise _node_error(plugin_name, raw, info, key, f"is missing (a {wanted.__name__})")
        # The type must match exactly: 0, 1 and 'no' are not answers to 'is it up?'.
        if type(info[key]) is not wanted:
            raise _type_error(plugin_name, raw, info, key, f"a {wanted.__name__}")
    if not info["name"]:
        raise _node_error(plugin_name, raw, info, "name", "is empty")
    for key in _NUMBERS:
        if key in info and (not isinstance(info[key], int) or isinstance(info[key], bool)):
            raise _type_error(plugin_name, raw, info, key, "an int")
    for key in _LISTS:
        if key not in info:
            continue
        value = info[key]
        if not isinstance(value, (list, tuple)):
            raise _type_error(plugin_name, raw, info, key, "a list of str")
        for member in value:
            if not isinstance(member, str):
                found = f"must be a list of str, but contains {type(member).__name__}: {member!r}"
                raise _node_error(plugin_name, raw, info, key, found)


def merged(old: NodeInfo, new: NodeInfo) -> NodeInfo:
    """Merge two descriptions of the same node.

    Some schedulers list a node once for each of its partitions. Lists are joined; the node is up, or
    available, only if both descriptions say so; for all other keys, `new` takes precedence.
    """
    both = {**old, **new}
    for key in ("up", "available"):
        both[key] = old[key] and new[key]
    for key in _LISTS:
        if key in old and key in new:
            both[key] = list(dict.fromkeys([*old[key], *new[key]]))
    return both


def in_order(nodes: Nodes) -> Nodes:
    """Return the inventory with its nodes in natural order."""
    return {name: nodes[name] for name in hostlists.natural_sorted(nodes)}


def _type_error(plugin: str, raw: Any, info: NodeInfo, key: str, wanted: str) -> InventoryError:
    value = info[key]
    problem = f"must be {wanted}, not {type(value).__name__}: {shown(value)}"
    return _node_error(plugin, raw, info, key, problem)


def _node_error(plugin: str, raw: Any, info: NodeInfo, key: str, problem: str) -> InventoryError:
    name = info.get("name")
    node = f"node '{name}'" if isinstance(name, str) and name else f"a node ({shown(raw)})"
    return InventoryError(f"Scheduler plugin '{plugin}', {node}: the key '{key}' {problem}.")


def shown(value: Any, limit: int = 120) -> str:
    """A value for a message, truncated if it is long."""
    text = repr(value)
    return text if len(text) <= limit else text[:limit] + "..."


# --- Filters ---


def filter_nodes(
    nodes: Nodes,
    sched_config: Mapping[str, Any],
    custom: CustomFilter | None = None,
    ordered: bool = False,
    advice: Mapping[str, str] | None = None,
) -> tuple[list[str], Reasons]:
    """Return the nodes that a test may use, and for each reason the nodes left out for it.

    The filters are applied in this order: node_state, partition, reservation, across_nodes,
    exclude_nodes, the plugin's own. A node is left out by the first that it does not pass, so every
    node is in exactly one of the lists. A node without 'partitions' or 'reservations' passes that
    filter, because nothing is known about it.

    The nodes of include_nodes are in every job, wherever the others are taken from. So they do not
    have to be in across_nodes, or free at the moment. They must pass all other filters. Those that
    do not, or that are not in the inventory at all, have reasons of their own; see
    `include_problem`.

    :param nodes: The inventory, each node checked with `check_node`.
    :param sched_config: The normalised 'schedule' section, with the names in its lists expanded. An
        empty or missing key does not filter. Reservation 'any' selects nodes of any reservation.
    :param custom: The plugin's own filter.
    :param ordered: Whether the inventory is already in natural order, which saves a sort.
    :param advice: See Reasons.
    :return: (names in natural order, {reason: names in natural order})
    """
    include = frozenset(sched_config.get("include_nodes") or ())
    if not ordered:
        nodes = in_order(nodes)
    reasons = Reasons(advice)
    unknown = [name for name in include if name not in nodes]
    if unknown:
        reasons[INCLUDE_PREFIX + NOT_THERE] = hostlists.natural_sorted(unknown)

    selection = _Selection(list(nodes), list(nodes.values()), include, reasons)
    _filter_state(selection, sched_config)
    _filter_groups(selection, sched_config)
    _filter_lists(selection, sched_config)
    if custom is not None:
        _filter_custom(selection, custom)
    return selection.names, reasons


def named_nodes(nodes: Nodes, sched_config: Mapping[str, Any]) -> list[str]:
    """The nodes that a configuration is about, in whatever state: those of its partition, its
    reservation and its across_nodes (all, where it names none), and those of include_nodes.

    Names in across_nodes and include_nodes that are not in the inventory are among them.
    """
    selection = _Selection(list(nodes), list(nodes.values()), frozenset(), Reasons())
    _filter_groups(selection, sched_config)
    across = list(sched_config.get("across_nodes") or ())
    if across:
        inside = frozenset(selection.names)
        across = [name for name in across if name in inside or name not in nodes]
    names = across or selection.names
    return list(dict.fromkeys([*names, *(sched_config.get("include_nodes") or ())]))


def include_problem(reasons: Mapping[str, Sequence[str]]) -> str | None:
    """A message that says which nodes of include_nodes cannot be used, and why; None when all can
    be."""
    problems = []
    # Without the names of the other nodes, which would have to be worked out.
    for reason in reasons:
        if reason.startswith(INCLUDE_PREFIX):
            names = reasons[reason]
            causes = ", ".join(_causes(reasons, reason))
            why = reason[len(INCLUDE_PREFIX) :] + (f": {causes}" if causes else "")
            problems.append(f"{hostlists.fold_short(names)} ({why})")
    if not problems:
        return None
    return (
        f"include_nodes names nodes that cannot be used: {'; '.join(problems)}."
        f"{advice_for(reasons, INCLUDE_PREFIX)}"
    )


def insufficient_message(
    asked_min: int, remaining: int, reasons: Mapping[str, Sequence[str]]
) -> str:
    """A message that says that there are too few nodes: how many were requested, how many remain,
    and why the others were left out.

    For example: 'Insufficient nodes. Requested at least 16, but only 3 of 128 remain. Left out: not
    up: 100 (node[001-100]); partition is not "gpu": 25 (node[101-125]).'
    """
    not_there = reasons.get(INCLUDE_PREFIX + NOT_THERE, ())
    total = remaining + sum(map(len, reasons.values())) - len(not_there)
    message = (
        f"Insufficient nodes. Requested at least {asked_min}, but only {remaining} of {total} "
        f"{'remains' if remaining == 1 else 'remain'}."
    )
    parts = []
    for reason, names in reasons.items():
        if names:
            shown = hostlists.fold_short(names, count=False)
            causes = [f"{cause}: {count}" for cause, count in _causes(reasons, reason).items()]
            parts.append(
                f"{reason}: {len(names)} ({shown})" + (f": {', '.join(causes)}" if causes else "")
            )
    if parts:
        message += f" Left out: {'; '.join(parts)}."
    return message + advice_for(reasons)


def _causes(reasons: Mapping[str, Sequence[str]], reason: str) -> Mapping[str, int]:
    causes: Mapping[str, Mapping[str, int]] = getattr(reasons, "causes", {})
    return causes.get(reason, {})


def advice_for(reasons: Mapping[str, Sequence[str]], prefix: str = "") -> str:
    """How nodes that were left out can be included, as sentences with a blank before each; '' when
    no way is known.

    :param prefix: Only for reasons that begin with this.
    """
    advice: Mapping[str, str] = getattr(reasons, "advice", {})
    if not advice:
        return ""
    words = [
        word
        for reason, names in reasons.items()
        if names and reason.startswith(prefix)
        for word in (
            reason[len(INCLUDE_PREFIX) :] if reason.startswith(INCLUDE_PREFIX) else reason,
            *_causes(reasons, reason),
        )
    ]
    texts = dict.fromkeys(advice.get(word, "") for word in words)
    # A sentence starts with a capital letter, unless it starts with the name of a key.
    return "".join(
        f" {text if text.startswith('schedule.') else text[0].upper() + text[1:]}."
        for text in texts
        if text
    )


def frozen(value: Any) -> Hashable:
    """A hashable copy of plain data (what YAML can hold)."""
    if value is None or isinstance(value, (str, int, float)):
        # 1, 1.0 and True are equal keys, but not equal settings: 1.0 is 'all'.
        return (type(value).__name__, value)
    if isinstance(value, (list, tuple)):
        try:
            # A shortcut for lists of names, which may be long.
            "".join(value)
            return tuple(value)
        except TypeError:
            pass
    if isinstance(value, Mapping):
        return frozenset((key, frozen(member)) for key, member in value.items())
    if isinstance(value, (list, tuple)):
        return tuple(frozen(member) for member in value)
    if isinstance(value, (set, frozenset)):
        return frozenset(frozen(member) for member in value)
    return (type(value).__name__, value)


class _Selection:
    """The nodes that have passed so far, and why the others were left out."""

    def __init__(
        self, names: list[str], infos: list[NodeInfo], include: frozenset[str], reasons: Reasons
    ) -> None:
        self.names = names
        # What is known about each, in the same order. Iterating over two parallel lists is several
        # times as fast as a lookup by name.
        self.infos = infos
        self.include = include
        self.reasons = reasons

    def keep(self, flags: list[bool], reason: str) -> None:
        """Keep the nodes whose flag is set, and record the others under the reason."""
        if all(flags):
            return
        out = [name for name, stays in zip(self.names, flags) if not stays]
        self.book(reason, [name for name in out if name in self.include], INCLUDE_PREFIX)
        self.book(reason, [name for name in out if name not in self.include])
        self.names = list(compress(self.names, flags))
        self.infos = list(compress(self.infos, flags))

    def keep_state(self, flags: list[bool], reason: str) -> None:
        """Like keep(), but also count the causes that the plugin gives."""
        if all(flags):
            return
        for name, info, stays in zip(self.names, self.infos, flags):
            if not stays and info.get(CAUSE):
                prefix = INCLUDE_PREFIX if name in self.include else ""
                counts = self.reasons.causes.setdefault(prefix + reason, {})
                counts[info[CAUSE]] = counts.get(info[CAUSE], 0) + 1
        self.keep(flags, reason)

    def book(self, reason: str, names: list[str], prefix: str = "") -> None:
        """Record nodes that are left out for a reason."""
        if names:
            self.reasons.setdefault(prefix + reason, []).extend(names)


def _filter_state(nodes: _Selection, config: Mapping[str, Any]) -> None:
    nodes.keep_state([info["up"] for info in nodes.infos], NOT_UP)
    if config.get("node_state") == AVAILABLE:
        flags = [info["available"] for info in nodes.infos]
        if nodes.include:
            flags = [free or name in nodes.include for free, name in zip(flags, nodes.names)]
        nodes.keep_state(flags, NOT_AVAILABLE)


def _filter_groups(nodes: _Selection, config: Mapping[str, Any]) -> None:
    partition = config.get("partition")
    if partition:
        # It may be a list: the node must be in one of them.
        default = name_list(partition)
        wanted = frozenset(default)
        flags = [not wanted.isdisjoint(info.get("partitions", default)) for info in nodes.infos]
        nodes.keep(flags, f'partition is not "{partition}"')
    reservation = config.get("reservation")
    if reservation == ANY_RESERVATION:
        flags = [bool(info.get("reservations", True)) for info in nodes.infos]
        nodes.keep(flags, "not in any reservation")
    elif reservation:
        # A list, too.
        default = name_list(reservation)
        wanted = frozenset(default)
        flags = [not wanted.isdisjoint(info.get("reservations", default)) for info in nodes.infos]
        nodes.keep(flags, f'not in reservation "{reservation}"')


def _filter_lists(nodes: _Selection, config: Mapping[str, Any]) -> None:
    across = config.get("across_nodes")
    if across:
        inside = nodes.include.union(across)
        nodes.keep([name in inside for name in nodes.names], NOT_ACROSS)
    exclude = frozenset(config.get("exclude_nodes") or ())
    if exclude:
        nodes.keep([name not in exclude for name in nodes.names], EXCLUDED)


def _filter_custom(nodes: _Selection, custom: CustomFilter) -> None:
    """Apply the plugin's own filter, which may give a different reason for each node."""
    answers = [custom(name, info) for name, info in zip(nodes.names, nodes.infos)]
    for name, answer in zip(nodes.names, answers):
        if answer is not None:
            prefix = INCLUDE_PREFIX if name in nodes.include else ""
            nodes.book(str(answer), [name], prefix)
    flags = [answer is None for answer in answers]
    nodes.names = list(compress(nodes.names, flags))
    nodes.infos = list(compress(nodes.infos, flags))
