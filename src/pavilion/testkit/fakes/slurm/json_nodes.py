"""Nodes for ``sinfo --json``: each of them in 22.05, in groups as they share a line in 25.11."""

from __future__ import annotations

from ..engine import hostlist
from ..engine.machine import Machine, Node
from ..engine.store import Row
from . import gres, nodestate, releases
from .context import Context
from .jsontext import INFINITE, Value, number


def nodes(context: Context, machine: Machine) -> list[Value]:
    """All nodes, whatever the options say, as 22.05."""
    partitions = machine.partitions_of_nodes(hidden=True)
    used = context.store.last_use()
    has_gpus = any(node.gpus for node in machine.nodes)
    return [
        {
            **_node(context, node, partitions.get(node.name, []), used.get(node.name)),
            "gres_used": gres.used(node) if has_gpus else "",
        }
        for node in machine.nodes
        if not nodestate.is_hidden(machine, node)
    ]


def _node(context: Context, node: Node, partitions: list[str], used: float | None) -> Value:
    row, base = node.row, node.base.lower()
    booted = int(row["booted"] or context.description["started"])
    return {
        "boards": 1,
        "cores": 1,
        "threads": 1,
        "sockets": node.cpus,
        "cpus": node.cpus,
        "architecture": "x86_64",
        "burstbuffer_network_address": "",
        "comment": "",
        "extra": "",
        "cpu_binding": 0,
        "cpu_load": 10,
        "free_memory": node.memory,
        "boot_time": booted,
        "slurmd_start_time": booted,
        "last_busy": int(used or booted),
        "features": row["features"],
        "active_features": row["features"],
        "gres": gres.of_node(node) if node.gpus else "",
        "gres_drained": "N/A",
        "mcs_label": "",
        "name": node.name,
        "next_state_after_reboot": "invalid",
        "next_state_after_reboot_flags": [],
        "address": "127.0.0.1",
        "hostname": context.description["host"],
        "state": base,
        "state_flags": nodestate.in_order(node.flags),
        "owner": None,
        "partitions": partitions,
        "real_memory": node.memory,
        "reason": row["reason"] or "",
        "reason_changed_at": int(row["reason_time"] or 0),
        "reason_set_by_user": row["reason_user"],
        "temporary_disk": 0,
        "weight": 1,
        "tres": f"cpu={node.cpus},mem={node.memory}M,billing={node.cpus}",
        "slurmd_version": releases.full(context.release),
        "alloc_memory": 0,
        "alloc_cpus": node.allocated,
        "idle_cpus": node.free,
        "tres_used": f"cpu={node.allocated}" if node.allocated else None,
        "tres_weighted": float(node.allocated),
    }


# What makes a group; in 25.11 the columns of a format do not matter.
def likeness(node: Node) -> tuple[object, ...]:
    """What nodes of one group have in common."""
    row = node.row
    return (
        node.base,
        tuple(nodestate.in_order(node.flags)),
        node.cpus,
        node.memory,
        row["features"],
        row["reason"],
        gres.of_node(node),
        gres.used(node),
    )


def groups(
    context: Context, machine: Machine, chosen: list[tuple[Row | None, list[Node]]]
) -> list[Value]:
    """Nodes that are alike, by partition, as 25.11; an entry without nodes where none is."""
    found: list[Value] = []
    for partition, nodes in chosen:
        alike: dict[tuple[object, ...], list[Node]] = {}
        for node in nodes:
            alike.setdefault(likeness(node), []).append(node)
        text = _partition(machine, partition or {})
        found += [{**_group(members), "partition": text} for members in alike.values() or [[]]]
    return found


def _group(members: list[Node]) -> dict[str, Value]:
    row: Row = members[0].row if members else {"features": "", "reason": "", "reason_time": 0}
    base, flags = (members[0].base, members[0].flags) if members else ("UNKNOWN", [])
    cpus, size = (members[0].cpus, members[0].memory) if members else (0, 0)
    one = int(bool(members))
    apart = "DRAIN" in flags or base not in ("IDLE", "MIXED", "ALLOCATED")
    used, total = sum(node.allocated for node in members), sum(node.cpus for node in members)
    busy = len(members) if used else 0
    same, memory = _range(size), number(size)
    return {
        "node": {"state": [base, *nodestate.in_order(flags)]},
        "nodes": {
            "allocated": busy,
            "idle": 0 if busy or apart else len(members),
            "other": len(members) if apart and not busy else 0,
            "total": len(members),
            "hostnames": [],
            "addresses": [],
            "nodes": [node.name for node in members],
        },
        "cpus": {
            "allocated": used,
            "idle": 0 if apart else total - used,
            "other": total - used if apart else 0,
            "total": total,
            **_range(cpus),
            "load": _range(10 * one),
            "per_node": {"max": INFINITE},
        },
        "sockets": _range(cpus),
        "cores": _range(one),
        "threads": _range(one),
        "disk": _range(0),
        "memory": {**same, "free": {"minimum": memory, "maximum": memory}, "allocated": 0},
        "weight": _range(one),
        "features": {"total": row["features"], "active": row["features"]},
        "gres": {"total": gres.of_node(members[0]), "used": gres.used(members[0])}
        if members and members[0].gpus
        else {"total": "", "used": ""},
        "cluster": "",
        "comment": "",
        "extra": "",
        "reason": {
            "description": row["reason"] or "",
            "time": int(row["reason_time"] or 0),
            "user": row.get("reason_user") or "root",
        },
        "reservation": "",
    }


def _range(value: int) -> dict[str, Value]:
    return {"minimum": value, "maximum": value}


def _partition(machine: Machine, partition: Row) -> Value:
    members = [machine.by_name[name] for name in partition["nodes"]]
    cpus, memory = sum(node.cpus for node in members), sum(node.memory for node in members)
    longest = number(partition["max_time"]) if partition["max_time"] else INFINITE
    most = number(partition["max_nodes"]) if partition["max_nodes"] else INFINITE
    return {
        "nodes": {
            "allowed_allocation": "",
            "configured": hostlist.fold(partition["nodes"]),
            "total": len(members),
        },
        "accounts": {"allowed": "", "deny": ""},
        "groups": {"allowed": ""},
        "qos": {"allowed": "", "deny": "", "assigned": ""},
        "alternate": "",
        "cluster": "",
        "tres": {
            "billing_weights": "",
            "configured": f"cpu={cpus},mem={memory}M,node={len(members)},billing={cpus}",
        },
        "cpus": {"task_binding": 0, "total": cpus},
        "grace_time": 0,
        "maximums": {
            "time": longest,
            "nodes": most,
            "cpus_per_node": INFINITE,
            "cpus_per_socket": INFINITE,
        },
        "minimums": {"nodes": 0},
        "name": partition["name"],
        "node_sets": "",
        "priority": {"job_factor": 1, "tier": 1},
        "topology": "",
        "partition": {"state": [partition["state"]]},
    }
