"""The columns of ``sinfo``: by letter for -o, by name for -O."""

from __future__ import annotations

from collections.abc import Callable

from ..engine import hostlist
from ..engine.machine import Machine, Node
from ..engine.store import Row
from . import gres, nodestate, releases
from .context import Context
from .times import short_clock, stamp


class Group:
    """Nodes of a partition that share a line."""

    def __init__(
        self,
        context: Context,
        machine: Machine,
        partition: Row | None,
        nodes: list[Node],
        position: int,
    ) -> None:
        self.context = context
        self.machine = machine
        self.partition: Row = partition or {}
        self.nodes = nodes
        self.names = {node.name for node in nodes}
        self.position = position

    def add(self, node: Node) -> None:
        """Add a node to the group."""
        self.nodes.append(node)
        self.names.add(node.name)

    @property
    def weight(self) -> int:
        """By what groups are ordered: the weight of their nodes' state."""
        return nodestate.weight(self.nodes[0].base, self.nodes[0].flags) if self.nodes else 0

    @property
    def first(self) -> str:
        """The name of the first node; '' of an empty group."""
        return self.nodes[0].name if self.nodes else ""


# A title, what to write, and whether nodes that differ in it go on different lines.
GroupField = tuple[str, Callable[[Group], str], bool]


def _node(function: Callable[[Node], object], none: str = "") -> Callable[[Group], str]:
    return lambda group: str(function(group.nodes[0])) if group.nodes else none


def _partition_mark(group: Group) -> str:
    return str(group.partition["name"]) + ("*" if group.partition["default"] else "")


def _time_limit(group: Group) -> str:
    minutes = group.partition["max_time"]
    return short_clock(minutes * 60) if minutes else "infinite"


def _job_size(group: Group) -> str:
    return f"1-{group.partition['max_nodes'] or 'infinite'}"


def _is_other(node: Node) -> bool:
    return node.base not in ("IDLE", "MIXED", "ALLOCATED") or "DRAIN" in node.flags


def _node_counts(group: Group, *, with_other: bool = True) -> str:
    """Allocated/idle/other/total numbers of nodes."""
    other = sum(_is_other(node) for node in group.nodes)
    used = sum(
        node.base in ("MIXED", "ALLOCATED") or "COMPLETING" in node.flags
        for node in group.nodes
        if not _is_other(node)
    )
    idle = len(group.nodes) - other - used
    return f"{used}/{idle}/{other}/{len(group.nodes)}" if with_other else f"{used}/{idle}"


def _cpu_counts(group: Group) -> str:
    used = sum(node.allocated for node in group.nodes)
    other = sum(node.free for node in group.nodes if _is_other(node))
    total = sum(node.cpus for node in group.nodes)
    return f"{used}/{total - used - other}/{other}/{total}"


def _reason_time(group: Group) -> str:
    moment = group.nodes[0].row["reason_time"] if group.nodes else None
    return stamp(moment, group.context.environment, "Unknown")


def _reason_user(node: Node) -> object:
    return node.row["reason_user"] or "Unknown"


def _version(group: Group) -> str:
    return releases.full(group.context.release)


def _complete(group: Group) -> str:
    if not group.nodes:
        return ""
    node = group.nodes[0]
    return nodestate.complete(node.base, node.flags, group.context.release)


def _gres_used(group: Group) -> str:
    """All nodes have a number when there are GPUs in the cluster."""
    if not any(node.gpus for node in group.machine.nodes):
        return "(null)"
    return gres.used(group.nodes[0]) if group.nodes else "(null)"


def _always(text: str) -> Callable[[Group], str]:
    return lambda group: text


LETTERS: dict[str, GroupField] = {
    "a": ("AVAIL", lambda group: group.partition["state"].lower(), True),
    "A": ("NODES(A/I)", lambda group: _node_counts(group, with_other=False), False),
    "b": ("ACTIVE_FEATURES", _node(lambda node: node.row["features"] or "(null)"), True),
    "B": ("MAX_CPUS_PER_NODE", _always("UNLIMITED"), True),
    "c": ("CPUS", _node(lambda node: node.cpus, "0"), True),
    "C": ("CPUS(A/I/O/T)", _cpu_counts, False),
    "d": ("TMP_DISK", _always("0"), True),
    "D": ("NODES", lambda group: str(len(group.nodes)), False),
    "e": ("FREE_MEM", _node(lambda node: node.memory), True),
    "E": ("REASON", _node(lambda node: node.row["reason"] or "none", "none"), True),
    "f": ("AVAIL_FEATURES", _node(lambda node: node.row["features"] or "(null)"), True),
    "F": ("NODES(A/I/O/T)", _node_counts, False),
    "g": ("GROUPS", _always("all"), True),
    "G": ("GRES", _node(gres.of_node, "(null)"), True),
    "h": ("OVERSUBSCRIBE", _always("NO"), True),
    "H": ("TIMESTAMP", _reason_time, True),
    "l": ("TIMELIMIT", _time_limit, True),
    "L": ("DEFAULTTIME", _always("n/a"), True),
    "m": ("MEMORY", _node(lambda node: node.memory, "0"), True),
    "n": ("HOSTNAMES", _node(lambda node: node.name), True),
    "N": ("NODELIST", lambda group: hostlist.fold(node.name for node in group.nodes), False),
    "o": ("NODE_ADDR", _always("127.0.0.1"), True),
    "O": ("CPU_LOAD", _always("0.10"), True),
    "P": ("PARTITION", _partition_mark, True),
    "r": ("ROOT", _always("no"), True),
    "R": ("PARTITION", lambda group: str(group.partition["name"]), True),
    "s": ("JOB_SIZE", _job_size, True),
    "S": ("ALLOCNODES", _always("all"), True),
    "t": ("STATE", _node(lambda node: nodestate.short_word(node.base, node.flags), "n/a"), True),
    "T": ("STATE", _node(lambda node: nodestate.word(node.base, node.flags), "n/a"), True),
    "u": ("USER", _node(_reason_user, "Unknown"), True),
    "v": ("VERSION", _version, True),
    "w": ("WEIGHT", _always("1"), True),
    "X": ("SOCKETS", _node(lambda node: node.cpus, "0"), True),
    "Y": ("CORES", _always("1"), True),
    "z": ("S:C:T", _node(lambda node: f"{node.cpus}:1:1", "0:0:0"), True),
    "Z": ("THREADS", _always("1"), True),
}
# Columns of partitions: with one of them the partitions are kept apart.
SHARED_KEYS = {
    "P",
    "R",
    "a",
    "l",
    "s",
    "h",
    "g",
    "r",
    "S",
    "L",
    "B",
    "partition",
    "partitionname",
    "available",
    "time",
    "size",
}

NAMES: dict[str, GroupField] = {
    "available": LETTERS["a"],
    "cpus": LETTERS["c"],
    "cpusstate": LETTERS["C"],
    "features": LETTERS["f"],
    "features_act": LETTERS["b"],
    "freemem": LETTERS["e"],
    "gres": LETTERS["G"],
    "gresused": ("GRES_USED", _gres_used, True),
    "memory": LETTERS["m"],
    "nodeaddr": LETTERS["o"],
    "nodehost": LETTERS["n"],
    "nodeaiot": LETTERS["F"],
    "nodelist": LETTERS["N"],
    "nodes": LETTERS["D"],
    "partition": LETTERS["P"],
    "partitionname": LETTERS["R"],
    "reason": LETTERS["E"],
    "size": LETTERS["s"],
    "sockets": LETTERS["X"],
    "statecompact": LETTERS["t"],
    "statelong": LETTERS["T"],
    "statecomplete": ("STATECOMPLETE", _complete, True),
    "time": LETTERS["l"],
    "timestamp": LETTERS["H"],
    "user": LETTERS["u"],
    "version": LETTERS["v"],
    "weight": LETTERS["w"],
}
