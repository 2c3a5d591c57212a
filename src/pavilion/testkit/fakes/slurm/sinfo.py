"""``sinfo``: partitions and nodes, those that look the same on one line."""

from __future__ import annotations

from ..engine import hostlist
from ..engine.machine import Machine, Node
from ..engine.options import Option, Parser, Usage
from ..engine.store import Row
from . import json_nodes, jsontext, nodestate
from .columns import Column, parse_letters, parse_names
from .context import Context
from .errors import ACCESS_DENIED, SlurmError
from .sinfo_fields import LETTERS, NAMES, SHARED_KEYS, Group

_OPTIONS = (
    Option("all", "a"),
    Option("exact", "e"),
    Option("noheader", "h"),
    Option("Node", "N"),
    Option("nodes", "n", "needed"),
    Option("format", "o", "needed"),
    Option("Format", "O", "needed"),
    Option("partition", "p", "needed"),
    Option("list-reasons", "R"),
    Option("responding", "r"),
    Option("sort", "S", "needed"),
    Option("summarize", "s"),
    Option("states", "t", "needed"),
    Option("verbose", "v"),
    Option("long", "l"),
    Option("json", ""),
)
_KNOWN = """clusters M dead d federation future F help hide iterate i yaml local
    reservation T usage"""
_DEFAULT = "%#P %.5a %.10l %.6D %.6t %N"
_FORMATS = {
    "plain": "%9P %.5a %.10l %.6D %.6t %N",
    "Node": "%#N %.6D %#P %6t",
    "list-reasons": "%20E %9u %19H %N",
    "summarize": "%9P %.5a %.10l %.16F %N",
}
_FROM_ENVIRONMENT = {
    "SINFO_ALL": "all",
    "SINFO_FORMAT": "format",
    "SINFO_PARTITION": "partition",
    "SINFO_SORT": "sort",
}
_PARTITION_WIDTH, _NODE_WIDTH = 9, 9


def run(context: Context) -> int:
    """Run ``sinfo``; its exit code."""
    options, operands = Parser("sinfo", _OPTIONS, _KNOWN).parse(context.words)
    if operands or "long" in options:
        raise Usage(
            f"fake Slurm: sinfo: {' '.join(operands) or '--long'} is not known to the fake\n", 2
        )
    if {"all", "partition"} <= set(options):
        raise Usage(
            "sinfo: error: Conflicting options, -a and -p, specified. Please choose one "
            "or the other.\n",
            1,
        )
    for variable, option in _FROM_ENVIRONMENT.items():
        if variable in context.environment:
            options.setdefault(option, context.environment[variable])
    try:
        context.ask("REQUEST_NODE_INFO")
        context.ask("REQUEST_PARTITION_INFO")
    except SlurmError as error:
        context.err(f"slurm_load_partitions: {error.text}")
        return 1
    if context.nodes_are_private and "json" in options and not jsontext.is_modern(context):
        jsontext.write(context, "nodes", [], {"error": "Unspecified error", "errno": -1})
        return 0
    if context.nodes_are_private:
        context.err(f"slurm_load_node: {ACCESS_DENIED.text}")
        return 1
    machine = Machine(context.store, context.now, context.description)
    _check_states(options)
    if "json" in options:
        _print_json(context, machine, options)
    else:
        _print(context, machine, options)
    return 0


def _print_json(context: Context, machine: Machine, options: dict[str, str]) -> None:
    if jsontext.is_modern(context):
        chosen = _chosen(machine, options, context)
        jsontext.write(context, "sinfo", json_nodes.groups(context, machine, chosen))
    else:
        jsontext.write(context, "nodes", json_nodes.nodes(context, machine))


def _check_states(options: dict[str, str]) -> None:
    known = (
        "unknown,down,idle,allocated,?,mixed,future,drain,drained,draining,no_respond,"
        "reserved,perfctrs,cloud,completing,powering_down,powered_down,power_down,"
        "powering_up,fail,maint,reboot,reboot^,unknown"
    )
    for state in options.get("states", "").lower().replace("&", ",").split(","):
        if state and state not in {*known.split(","), "alloc", "mix", "resv", "comp", "all"}:
            raise Usage(
                f'sinfo: error: Bad state string: "{state}"\nsinfo: error: valid states: {known}\n',
                1,
            )


def _columns(
    context: Context,
    machine: Machine,
    options: dict[str, str],
) -> tuple[str, list[Column], bool]:
    """The text before the first column, the columns, and whether they go by name."""
    if "Format" in options:
        return "", parse_names(options["Format"], NAMES, "sinfo"), True
    kind = next(
        (kind for kind in ("list-reasons", "summarize", "Node") if kind in options), "plain"
    )
    if "format" in options:
        form = options["format"]
    else:
        # The list by node is as wide as its longest names.
        names = max([_NODE_WIDTH, *(len(node.name) for node in machine.nodes)])
        parts = max([_PARTITION_WIDTH, *(len(each["name"]) for each in machine.partitions)])
        form = _FORMATS[kind].replace("%#N", f"%-{names}N").replace("%#P", f"%.{parts}P")
        form = form.replace(f"%-{names}N", f"%{names}N")
    prefix, columns = parse_letters(form, LETTERS, "sinfo")
    return prefix, columns, False


def _print(context: Context, machine: Machine, options: dict[str, str]) -> None:
    prefix, columns, by_name = _columns(context, machine, options)
    fields = NAMES if by_name else LETTERS
    if "noheader" not in options:
        context.line(prefix + "".join(column.text(fields[column.key][0]) for column in columns))
    keys = [column.key for column in columns]
    show_partition = any(key in SHARED_KEYS for key in keys)
    for group in _groups(context, machine, options, keys, show_partition):
        context.line(
            prefix + "".join(column.text(fields[column.key][1](group)) for column in columns)
        )


def _chosen(
    machine: Machine,
    options: dict[str, str],
    context: Context,
) -> list[tuple[Row | None, list[Node]]]:
    """Partitions with their nodes that pass the filters."""
    names = options["partition"].split(",") if "partition" in options else []
    wanted = set(hostlist.expand(options.get("nodes", "")))
    states = {word for word in options.get("states", "").lower().split(",") if word}

    def passes(node: Node) -> bool:
        if wanted and node.name not in wanted:
            return False
        if "list-reasons" in options and not node.row["reason"]:
            return False
        if "responding" in options and "NOT_RESPONDING" in node.flags:
            return False
        words = {
            nodestate.word(node.base, node.flags).rstrip("$@^#%~!*+"),
            nodestate.short_word(node.base, node.flags).rstrip("$@^#%~!*+"),
            node.base.lower(),
            *(flag.lower() for flag in node.flags),
        }
        return (
            not states
            or "all" in states
            or any(words.issuperset(each.split("&")) for each in states)
        )

    chosen: list[tuple[Row | None, list[Node]]] = []
    for partition in machine.partitions:
        if names and partition["name"] not in names:
            continue
        hidden = partition["hidden"] and "all" not in options and not names
        if hidden and not context.is_administrator:
            continue
        members = [machine.by_name[name] for name in partition["nodes"]]
        chosen.append(
            (
                partition,
                [
                    node
                    for node in members
                    if passes(node) and not nodestate.is_hidden(machine, node)
                ],
            )
        )
    return chosen


def _groups(
    context: Context,
    machine: Machine,
    options: dict[str, str],
    keys: list[str],
    show_partition: bool,
) -> list[Group]:
    """What goes on one line each: nodes of a partition for which all columns are the same."""
    groups: dict[tuple[object, ...], Group] = {}
    fields = NAMES if "Format" in options else LETTERS
    single = "Node" in options
    for position, (partition, nodes) in enumerate(_chosen(machine, options, context)):
        if not nodes and show_partition and not single and "list-reasons" not in options:
            groups[(position,)] = Group(context, machine, partition, [], position)
        for node in nodes:
            alone = Group(context, machine, partition, [node], position)
            same = tuple(fields[key][1](alone) for key in keys if fields[key][2])
            where = position if show_partition or single else -1
            key = (where, node.name) if single else (where, same)
            group = groups.get(key)
            if group is None:
                groups[key] = alone
            elif node.name not in group.names:
                group.add(node)
    found = list(groups.values())
    if single:
        order = {node.name: number for number, node in enumerate(machine.nodes)}
        return sorted(found, key=lambda group: order[group.nodes[0].name])
    return _sorted(found, options.get("sort", "#P,-t"))


def _sorted(groups: list[Group], order: str) -> list[Group]:
    for key in reversed(order.split(",")):
        letter = key.lstrip("+-#")
        down = key.startswith("-")
        if letter in ("P", "R") and "#" not in key:
            groups = sorted(groups, key=lambda group: group.partition["name"], reverse=down)
        elif letter in ("P", "R"):
            groups = sorted(groups, key=lambda group: group.position, reverse=down)
        elif letter in ("t", "T"):
            groups = sorted(groups, key=lambda group: group.weight, reverse=down)
        elif letter in ("N", "n"):
            groups = sorted(groups, key=lambda group: group.first, reverse=down)
        else:
            raise Usage(f"fake Slurm: sinfo: sort key '{key}' is not known to the fake\n", 2)
    return groups
