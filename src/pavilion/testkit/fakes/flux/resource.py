"""``flux resource``: list nodes by state, show what is drained, and all resources."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping

from ..engine import hostlist
from ..engine.machine import Node
from ..engine.options import Unsupported
from ..engine.store import Row
from . import options
from .context import Context

_LIST = {"--states": "states", "-s": "states", "--format": "format", "-o": "format"}
_LIST.update({"--queue": "queue", "-q": "queue"})
_FLAGS = {"--no-header": "bare", "-n": "bare"}
_KNOWN = "help h include i skip-empty config-file from-stdin expand"


def run(context: Context) -> int:
    """Run ``flux resource``; its exit code."""
    what = context.words[0] if context.words else ""
    if what not in ("list", "status", "R"):
        raise Unsupported(f"the command 'flux resource {what}'")
    given, operands = options.parse("flux-resource", context.words[1:], _LIST, _FLAGS, _KNOWN)
    if operands:
        raise options.usage("flux-resource", f"unrecognized arguments: {' '.join(operands)}")
    context.connect()
    if what == "R":
        context.line(json.dumps(resources(context)))
        return 0
    if "format" not in given or "bare" not in given:
        raise Unsupported(f"flux resource {what} without -no FORMAT")
    for values in _listed(context, given) if what == "list" else _status(context):
        context.line(formatted(context, given["format"][-1], values))
    return 0


def formatted(context: Context, text: str, values: Mapping[str, str]) -> str:
    """A line of a format of the user's own."""

    def value(found: re.Match[str]) -> str:
        if found[1] not in values:
            raise context.fail(f"Unknown format field: {found[1]}")
        return values[found[1]]

    return re.sub(r"\{([^}]*)\}", value, text)


def is_down(node: Node) -> bool:
    """Whether the scheduler uses a node no more: it is drained, or its broker is lost."""
    return node.base == "DOWN" or "DRAIN" in node.flags


def nodes(context: Context) -> list[Node]:
    """The nodes of the instance: in that of a job, those of the job."""
    job = context.job_of_instance()
    return [node for node in context.machine.nodes if job is None or node.name in job["alloc"]]


def queues(context: Context) -> dict[str, list[str]]:
    """The queues of each node; none in the instance of a job."""
    if context.own_job or context.description.get("no_queues"):
        return {}
    return context.machine.partitions_of_nodes(hidden=True)


def _listed(context: Context, given: dict[str, list[str]]) -> list[dict[str, str]]:
    names = queues(context)
    groups: dict[tuple[str, str], list[Node]] = {}
    for node in nodes(context):
        own = names.get(node.name, [])
        groups.setdefault((",".join(own), ",".join([*own, *node.features])), []).append(node)
    if "queue" in given:
        wanted = given["queue"][-1]
        if wanted not in {name for own in names.values() for name in own}:
            raise context.fail(f"--queue: {wanted}: no such queue")
        groups = {key: found for key, found in groups.items() if wanted in key[0].split(",")}
    rows = []
    for state in given.get("states", ["free,allocated,down"])[-1].split(","):
        if state not in ("all", "free", "allocated", "down"):
            raise context.fail(f"Invalid resource state {state} specified")
        found = [
            (queue, properties, [(node, cores) for node in group if (cores := _cores(node, state))])
            for (queue, properties), group in groups.items()
        ]
        if any(each for _, _, each in found):
            rows += [_row(state, *each) for each in found if each[2]]
        else:
            # A state that no node is in has an empty line for each queue.
            rows += [_row(state, queue, "", []) for queue in dict.fromkeys(q for q, _ in groups)]
    return rows


def _cores(node: Node, state: str) -> int:
    """How many cores of a node are in a state."""
    taken = node.allocated
    if state == "all":
        return node.cpus
    if state == "allocated":
        return taken
    if is_down(node):
        return node.cpus if state == "down" else 0
    return node.cpus - taken if state == "free" else 0


def _row(state: str, queue: str, properties: str, found: list[tuple[Node, int]]) -> dict[str, str]:
    return {
        "state": state,
        "queue": queue,
        "properties": properties,
        "nnodes": str(len(found)),
        "ncores": str(sum(cores for _, cores in found)),
        "ngpus": "0",
        "nodelist": hostlist.fold(node.name for node, _ in found),
    }


def _status(context: Context) -> list[dict[str, str]]:
    groups: dict[tuple[str, str], list[str]] = {}
    for node in nodes(context):
        if "DRAIN" in node.flags:
            state = "draining" if node.allocated else "drained"
        else:
            state = "avail*" if node.base == "DOWN" else "avail"
        reason = str(node.row["reason"] or "") if "DRAIN" in node.flags else ""
        groups.setdefault((state, reason), []).append(node.name)
    order = ("avail", "avail*", "draining", "drained")
    return [
        {
            "state": state,
            "reason": reason,
            "nnodes": str(len(names)),
            "nodelist": hostlist.fold(names),
        }
        for (state, reason), names in sorted(
            groups.items(), key=lambda group: order.index(group[0][0])
        )
    ]


def resources(context: Context) -> Row:
    """R of the instance: the cores of each rank, and the names of their hosts."""
    job = context.job_of_instance()
    cores = {node.name: node.cpus for node in nodes(context)} if job is None else job["alloc"]
    by_rank = [
        {"rank": str(rank), "children": {"core": f"0-{count - 1}" if count > 1 else "0"}}
        for rank, count in enumerate(cores.values())
    ]
    members: dict[str, list[int]] = {}
    names = queues(context)
    for rank, node in enumerate(nodes(context)):
        for name in [*names.get(node.name, []), *node.features]:
            members.setdefault(name, []).append(rank)
    execution: Row = {
        "R_lite": by_rank,
        "starttime": 0.0 if job is None else job["start"],
        "expiration": job["start"] + job["duration"] if job and job["duration"] else 0.0,
        "nodelist": [hostlist.fold(cores)],
    }
    if members:
        execution["properties"] = {name: _ranks(found) for name, found in members.items()}
    return {"version": 1, "execution": execution}


def _ranks(numbers: Iterable[int]) -> str:
    return hostlist.fold(f"r{number}" for number in numbers)[1:].strip("[]")
