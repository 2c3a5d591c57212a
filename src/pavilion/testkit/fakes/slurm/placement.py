"""Where a job may run: a pure function of the machine and the job, in the manner of cons_tres
with CR_Core (CPUs are shared out, memory is not).
"""

from __future__ import annotations

import re

from ..engine import hostlist
from ..engine.machine import Machine, Node
from ..engine.store import Row
from . import gres, releases

_RESERVED = "ReqNodeNotAvail, May be reserved for other job"

Allocation = dict[str, int]  # CPUs by name of node, in the order of the nodes


class NeverPossible(Exception):
    """No part of the machine could ever run the job; ``notes`` are sbatch's further lines."""

    def __init__(self, *notes: str) -> None:
        super().__init__(*notes)
        self.notes = notes


def cpus_per_node(job: Row) -> int:
    """The CPUs that a node must have to take the job's smallest share."""
    tasks = job["ntasks_per_node"] or 1
    return int(tasks * job["cpus_per_task"])


def in_each_partition(job: Row) -> list[Row]:
    """The job as it would be in each of its partitions, of which any will do."""
    names = job["partition"].split(",")
    return [{**job, "partition": name} for name in names] if len(names) > 1 else [job]


def reservation_names(job: Row) -> list[str]:
    """The reservations that the job may use, any of which will do."""
    return [name for name in job["reservation"].split(",") if name]


def candidates(machine: Machine, job: Row, reservation_name: str = "") -> list[Node]:
    """The nodes that the job may use by partition, features, reservation and its own lists."""
    nodes = machine.members(job["partition"], job["features"], has_features)
    if reservation_name:
        reservation = machine.reservation(reservation_name)
        names = set(reservation["nodes"] if reservation else ())
        nodes = [node for node in nodes if node.name in names]
    if job["exc_nodes"]:
        names = set(job["exc_nodes"])
        nodes = [node for node in nodes if node.name not in names]
    return nodes


def feature_names(wanted: str) -> set[str]:
    """The features that --constraint names."""
    return {word.partition("*")[0] for word in re.split(r"[&|,()\[\]]", wanted) if word}


def nodes_for_tasks(machine: Machine, job: Row) -> int:
    """The nodes that the tasks need at least, by the largest of the partition."""
    tasks = job["ntasks"] or 1
    if tasks == 1:
        return 1
    partition = machine.partition(job["partition"].split(",")[0]) or {"nodes": []}
    largest = max((machine.by_name[name].cpus for name in partition["nodes"]), default=1)
    return int(-(-tasks // max(1, largest // job["cpus_per_task"])))


def has_features(node: Node, wanted: str) -> bool:
    """Whether a node has what --constraint requests: '&' (or ',') of '|' of names."""
    if not wanted:
        return True
    text = wanted.replace("(", "").replace(")", "").replace("[", "").replace("]", "")
    return all(
        any(name.partition("*")[0] in node.features for name in part.split("|"))
        for part in text.replace(",", "&").split("&")
    )


def check_possible(machine: Machine, job: Row) -> None:
    """Refuse a job that could not run on the machine if all of it were free.

    :raises NeverPossible: with the lines that sbatch prints before its error.
    """
    reservations = reservation_names(job)
    for name in reservations[:-1]:
        try:
            _check_possible(machine, job, name)
        except NeverPossible:
            continue
        return
    _check_possible(machine, job, reservations[-1] if reservations else "")


def _check_possible(machine: Machine, job: Row, reservation: str) -> None:
    nodes = candidates(machine, job, reservation)
    if _lacks(set(job["req_nodes"]), nodes):
        raise NeverPossible(*(("Problem using reservation",) if job["reservation"] else ()))
    if job["memory"] and all(node.memory < job["memory"] for node in nodes):
        raise NeverPossible("Memory specification can not be satisfied")
    fitting = [node for node in nodes if node.cpus >= cpus_per_node(job)]
    if nodes and not fitting:
        raise NeverPossible("CPU count per node can not be satisfied")
    partition = machine.partition(job["partition"])
    too_many_for_partition = partition and job["min_nodes"] > len(partition["nodes"])
    if too_many_for_partition and not job["reservation"]:
        return  # accepted: it waits for ever, with the reason PartitionNodeLimit
    fitting = [node for node in fitting if gres.could_ever(node, job)]
    if len(fitting) < job["min_nodes"] or _lacks(set(job["req_nodes"]), fitting):
        raise NeverPossible()
    most = job["max_nodes"] or len(fitting)
    largest = sorted((node.cpus for node in fitting), reverse=True)[:most]
    if job["ntasks"] and sum(largest) < job["ntasks"] * job["cpus_per_task"]:
        raise NeverPossible()
    if not gres.could_be_enough(fitting, job):
        raise NeverPossible()


def never_reason(machine: Machine, job: Row) -> str:
    """The reason of a job that was accepted and can not run as things are; '' if there is none."""
    partition = machine.partition(job["partition"])
    if partition is None or partition["state"] == "DOWN":
        return "PartitionDown"
    if partition["state"] == "INACTIVE":
        return "PartitionInactive"
    if job["min_nodes"] > len(partition["nodes"]) or (
        partition["max_nodes"] and job["min_nodes"] > partition["max_nodes"]
    ):
        return "PartitionNodeLimit"
    if partition["max_time"] and (job["limit"] or float("inf")) > partition["max_time"]:
        return "PartitionTimeLimit"
    return ""


def place(machine: Machine, job: Row) -> tuple[Allocation | None, str]:
    """CPUs by node for the job now, or None and the reason why it waits.

    The nodes that it uses are not marked as used: the caller does that.
    """
    never = never_reason(machine, job)
    if never:
        return None, never
    # Of several reservations the first with room is used; a job without one passes once.
    results = [_place_in(machine, job, name) for name in reservation_names(job) or [""]]
    return next((result for result in results if result[0] is not None), results[0])


def _place_in(machine: Machine, job: Row, reservation: str) -> tuple[Allocation | None, str]:
    held = machine.reservation(reservation)
    if held is not None and held["start"] > machine.now:
        return None, "Reservation"
    all_nodes = candidates(machine, job, reservation)
    usable = [node for node in all_nodes if node.usable]
    barred = _held_by_others(machine, job, reservation)
    open_nodes = [node for node in usable if node.name not in barred] if barred else usable
    reason = _unavailable(machine, job, all_nodes, usable, open_nodes)
    if reason:
        return None, reason
    if machine.saves_power:
        open_nodes = sorted(open_nodes, key=lambda node: node.is_off)  # which need not boot
    chosen = _choose(open_nodes, job)
    if chosen is None:
        return None, "Resources"
    return _share_out(chosen, job), ""


def _held_by_others(machine: Machine, job: Row, own: str) -> set[str]:
    """Nodes of reservations that are not the job's and begin before it would end."""
    end = machine.now + 60.0 * (job["limit"] or 365 * 24 * 60)
    barred: set[str] = set()
    for reservation in machine.reservations:
        if reservation["name"] != own and reservation["start"] < end:
            barred |= set(reservation["nodes"])
    return barred


def _unavailable(
    machine: Machine, job: Row, all_nodes: list[Node], usable: list[Node], open_nodes: list[Node]
) -> str:
    wanted = set(job["req_nodes"])
    lacks = _lacks(wanted, usable)
    if lacks or len(usable) < job["min_nodes"]:
        release = releases.of(machine.description)
        bad = [
            node.name
            for node in all_nodes
            if not node.usable and (release < releases.DOWN_NODES_ONLY or node.base == "DOWN")
        ]
        names = [name for name in bad if name in wanted] if lacks else bad
        return f"ReqNodeNotAvail, UnavailableNodes:{hostlist.fold(names)}" if names else _RESERVED
    if _lacks(wanted, open_nodes) or len(open_nodes) < job["min_nodes"]:
        return _RESERVED
    return ""


def _lacks(wanted: set[str], nodes: list[Node]) -> bool:
    return bool(wanted) and bool(wanted - {node.name for node in nodes})


def _has_room(node: Node, job: Row) -> bool:
    if not gres.has_room(node, job):
        return False
    if job["exclusive"]:
        return node.allocated == 0
    return node.free >= cpus_per_node(job)


def _choose(nodes: list[Node], job: Row) -> list[Node] | None:
    """The first nodes that are enough, the required ones first, in the order given."""
    wanted = set(job["req_nodes"])
    chosen = (
        {number: node for number, node in enumerate(nodes) if node.name in wanted} if wanted else {}
    )
    if len(chosen) < len(wanted) or not all(_has_room(node, job) for node in chosen.values()):
        return None
    needed = (job["ntasks"] or 0) * job["cpus_per_task"]
    capacity = sum(_capacity(node, job) for node in chosen.values())
    for number, node in enumerate(nodes):
        if (
            len(chosen) >= job["min_nodes"]
            and capacity >= needed
            and gres.is_enough(chosen.values(), job)
        ):
            break
        if job["max_nodes"] and len(chosen) >= job["max_nodes"]:
            break
        if number not in chosen and _has_room(node, job):
            chosen[number] = node
            capacity += _capacity(node, job)
    if (
        len(chosen) < job["min_nodes"]
        or capacity < needed
        or not gres.is_enough(chosen.values(), job)
    ):
        return None
    return [chosen[number] for number in sorted(chosen)]


def _capacity(node: Node, job: Row) -> int:
    """The CPUs that the job's tasks could get on a node."""
    per_task: int = job["cpus_per_task"]
    tasks = node.free // per_task
    if job["ntasks_per_node"]:
        tasks = min(tasks, job["ntasks_per_node"])
    return per_task * min(tasks, gres.most_tasks(node, job, tasks))


def _share_out(nodes: list[Node], job: Row) -> Allocation:
    """One task's CPUs on each node, then node after node until the tasks have what they need."""
    if job["exclusive"]:
        return {node.name: node.cpus for node in nodes}
    per_task = job["cpus_per_task"]
    share = {node.name: cpus_per_node(job) for node in nodes}
    left = (job["ntasks"] or 0) * per_task - sum(share.values())
    for node in nodes:
        if job["ntasks_per_node"]:
            break
        room = (node.free - share[node.name]) // per_task
        room = min(room, gres.most_tasks(node, job, node.cpus) - share[node.name] // per_task)
        more = min(left, room * per_task)
        if more > 0:
            share[node.name] += more
            left -= more
    return share


def tasks_by_node(job: Row) -> list[int]:
    """The number of tasks on each of a started job's nodes."""
    per_task = job["cpus_per_task"]
    if job["ntasks_per_node"]:
        return [job["ntasks_per_node"]] * len(job["alloc"])
    left = job["ntasks"] or len(job["alloc"])
    counts = []
    for position, cpus in enumerate(job["alloc"].values()):
        after = len(job["alloc"]) - position - 1
        number = max(1, min(cpus // per_task, left - after))
        counts.append(number)
        left -= number
    return counts
