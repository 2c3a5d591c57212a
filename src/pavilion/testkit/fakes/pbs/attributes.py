"""The attributes of jobs and nodes, in their order."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from ..engine.machine import Machine, Node
from ..engine.store import Row
from .context import Context, has_ended
from .output import Attributes, Value, clock, ctime


def state(job: Row) -> tuple[str, int]:
    """The letter of a job's state, and its substate."""
    if job["state"] == "PENDING":
        if job["hold"]:
            return "H", 20
        return ("W", 30) if job["begin"] else ("Q", 10)
    if not has_ended(job):
        return "R", 42
    if job["state"] == "CANCELLED":
        return "F", 91
    return "F", 92 if job["exit_status"] == 0 else 93


def of_job(context: Context, job: Row) -> Attributes:
    """What ``qstat -f`` shows of a job to its user."""
    letter, substate = state(job)
    made: dict[str, Value] = {"Job_Name": job["name"], "Job_Owner": job["owner"]}
    if job["start"] is not None and (letter == "F" or context.now - job["start"] > 1):
        made["resources_used"] = _used(context, job)
    made.update({"job_state": letter, "queue": job["partition"], "server": context.server})
    if job["account"]:
        made["Account_Name"] = job["account"]
    error = f"{job['error_host']}:{job['error_path']}".replace("%ID%", str(job["id"]))
    output = f"{job['error_host']}:{job['output_path']}".replace("%ID%", str(job["id"]))
    made.update({"Checkpoint": "u", "ctime": ctime(job["submit"]), "Error_Path": error})
    if job["vnodes"]:
        made.update({"exec_host": job["exec_host"], "exec_vnode": job["vnodes"]})
    holds = job["hold"] or "n"
    made.update({"Hold_Types": holds, "Join_Path": job["join"], "Keep_Files": "n"})
    made.update({"Mail_Points": job["mail"], "mtime": ctime(job["changed"] or job["submit"])})
    made.update({"Output_Path": output, "Priority": 0, "qtime": ctime(job["submit"])})
    made.update({"Rerunable": str(job["requeue"]), "Resource_List": job["resources"]})
    if job["start"] is not None:
        made["stime"] = ctime(job["start"])
    if letter == "F" and job["start"] is not None:
        made.update({"obittime": ctime(job["end"]), "jobdir": job["workdir"]})
    variables = {**job["variables"], "PBS_O_QUEUE": job["partition"], "PBS_O_HOST": context.server}
    made.update({"substate": substate, "Variable_List": variables})
    if job["comment"]:
        made["comment"] = job["comment"]
    if letter not in "HW" and not job["hold"]:
        made["etime"] = ctime(job["submit"])
    if job["umask_shown"]:
        made["umask"] = job["umask_shown"]
    if job["start"] is not None:
        made["run_count"] = job["restarts"] + 1
    if letter == "F" and job["start"] is not None:
        made.update({"Stageout_status": 1, "Exit_status": job["exit_status"]})
    made["Submit_arguments"] = job["arguments"]
    if letter == "F":
        made["history_timestamp"] = int(job["end"])
    made.update({"project": job["project"], "Submit_Host": context.server})
    return made


def _used(context: Context, job: Row) -> dict[str, str | int]:
    lasted = (job["end"] or context.now) - job["start"]
    return {
        **{"cpupercent": 0, "cput": "00:00:00", "mem": "0kb"},
        **{"ncpus": job["resources"]["ncpus"], "vmem": "0kb", "walltime": clock(lasted)},
    }


def of_nodes(context: Context, machine: Machine) -> Iterator[tuple[str, dict[str, Value]]]:
    """What ``pbsnodes -av`` shows of each node."""
    jobs: dict[str, list[Row]] = defaultdict(list)
    for job in machine.jobs:
        if job["state"] == "RUNNING" or job["completing"]:
            for name in job["alloc"]:
                jobs[name].append(job)
    queues = {
        name: names
        for name, names in machine.partitions_of_nodes(hidden=True).items()
        if len(names) < len(machine.partitions)
    }
    used = context.store.last_use()
    for node in machine.nodes:
        row, own = node.row, jobs[node.name]
        made: dict[str, Value] = {"Mom": node.name, "ntype": "PBS", "state": node_state(node, own)}
        made["pcpus"] = node.cpus
        if own:
            made["jobs"] = [
                f"{context.id_of(job)}/{slot}" for job in own for slot in job["slots"][node.name]
            ]
        available: dict[str, str | int] = {"arch": "linux", "host": node.name}
        available.update({"mem": f"{node.memory * 1024}kb", "ncpus": node.cpus})
        if node.name in queues:
            available["Qlist"] = ",".join(queues[node.name])
        made["resources_available"] = {**available, "vnode": node.name}
        made["resources_assigned"] = {"ncpus": sum(job["cpus"][node.name] for job in own)}
        if row["reason"]:
            made["comment"] = row["reason"]
        made.update({"resv_enable": "True", "sharing": "default_shared", "license": "l"})
        made["last_state_change_time"] = int(row["changed"])
        if node.name in used:
            made["last_used_time"] = int(used[node.name])
        yield node.name, made


def node_state(node: Node, jobs: list[Row]) -> str:
    """The words for a node's state."""
    words = ["down"] if node.row["base"] == "DOWN" else []
    if "NOT_RESPONDING" in node.flags:
        words = ["down"]
    if "DRAIN" in node.flags:
        words.append("offline")
    if any(job["whole"] for job in jobs):
        words.append("job-exclusive")
    elif node.free <= 0:
        words.append("job-busy")
    return ",".join(words) or "free"
