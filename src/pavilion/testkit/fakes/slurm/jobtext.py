"""What the commands say about a job: states, times, reasons, in the words of Slurm."""

from __future__ import annotations

from ..engine import hostlist
from ..engine.store import Row
from . import placement
from .context import Context
from .times import stamp

CODES = {
    "PENDING": "PD",
    "RUNNING": "R",
    "SUSPENDED": "S",
    "COMPLETED": "CD",
    "CANCELLED": "CA",
    "FAILED": "F",
    "TIMEOUT": "TO",
    "NODE_FAIL": "NF",
    "PREEMPTED": "PR",
    "BOOT_FAIL": "BF",
    "DEADLINE": "DL",
    "OUT_OF_MEMORY": "OOM",
    "COMPLETING": "CG",
    "CONFIGURING": "CF",
    "RESIZING": "RS",
    "RESV_DEL_HOLD": "RD",
    "REQUEUED": "RQ",
    "REQUEUE_FED": "RF",
    "REQUEUE_HOLD": "RH",
    "REVOKED": "RV",
    "SIGNALING": "SI",
    "SPECIAL_EXIT": "SE",
    "STAGE_OUT": "SO",
    "STOPPED": "ST",
}
ACTIVE = (
    "PENDING",
    "RUNNING",
    "SUSPENDED",
    "COMPLETING",
    "CONFIGURING",
    "STAGE_OUT",
    "SIGNALING",
    "RESIZING",
    "REQUEUED",
    "REQUEUE_HOLD",
    "REQUEUE_FED",
    "SPECIAL_EXIT",
    "STOPPED",
    "RESV_DEL_HOLD",
)


def state(job: Row) -> str:
    """The long name of the state; COMPLETING takes the place of the others while it lasts.

    A test may put any word in its place (key 'state_shown').
    """
    flag = "COMPLETING" if job["completing"] else "CONFIGURING" if job.get("configuring") else ""
    shown: str = job.get("state_shown") or flag or job["state"]
    return shown


def code(job: Row) -> str:
    """The short code of the state."""
    return CODES.get(state(job), state(job))


def nodes(job: Row) -> str:
    """The nodes that a job has, folded; '' while it has none."""
    return hostlist.fold(job["alloc"])


def minimum_memory(job: Row) -> str:
    """The least memory of a node: '0', '100M'."""
    return f"{job['memory']}M" if job["memory"] else "0"


def tres_asked(job: Row, memory: int) -> str:
    """What the job requests: 'cpu=1,mem=2000M,node=1,billing=1'.

    :param memory: MiB of a node, see ``Machine.memory_of``.
    """
    cpus, count = cpu_count({**job, "alloc": {}}), job["min_nodes"]
    return f"cpu={cpus},mem={memory * count}M,node={count},billing={cpus}"


def tres_allocated(job: Row) -> str:
    """What the job has, of which memory is not a part: it is not handed out."""
    cpus, count = cpu_count(job), node_count(job)
    return f"cpu={cpus},node={count},billing={cpus}" if job["alloc"] else ""


def node_count(job: Row) -> int:
    """Nodes that the job has, or will have at least."""
    least = job["nodes_for_tasks"] if job["state"] == "PENDING" else 1
    return len(job["alloc"]) or int(max(job["min_nodes"], least))


def task_count(job: Row) -> int:
    """How many tasks a job has."""
    return int(
        job["ntasks"] or max(job["ntasks_default"] or job["min_nodes"], len(job["alloc"]), 1)
    )


def cpu_count(job: Row) -> int:
    """CPUs that the job has, or will have at least."""
    if job["alloc"]:
        return int(sum(job["alloc"].values()))
    return int(
        max(task_count(job) * job["cpus_per_task"], job["min_nodes"] * placement.cpus_per_node(job))
    )


def reason_or_nodes(job: Row) -> str:
    """``squeue``'s last column."""
    waits = job["state"] in ("PENDING", "TIMEOUT", "OUT_OF_MEMORY", "DEADLINE", "FAILED")
    if waits and not job["completing"]:
        return f"({job['reason']})"
    return nodes(job)


def used(job: Row, now: float) -> float:
    """Seconds that the job has run."""
    if job["start"] is None or job["state"] == "PENDING":
        return 0.0
    end: float = job["end"] or now
    return max(0.0, end - float(job["start"]))


def end_time(job: Row) -> float | None:
    """When it ended, or will at the latest; None while it waits without a start."""
    if job["end"] is not None:
        return float(job["end"])
    start = start_time(job)
    if start is None or job["limit"] is None:
        return None
    return float(job["end_wish"] or start + job["limit"] * 60)


def start_time(job: Row) -> float | None:
    """When a job was or will be started, in seconds since the epoch; None when not known."""
    if job["start"] is not None:
        return float(job["start"])
    later = job["begin"] is not None and job["begin"] > job["submit"]
    return float(job["begin"]) if later else None


def over_subscribe(job: Row) -> str:
    """Whether a job shares its CPUs: 'NO', 'YES' or 'OK'."""
    return "NO" if job["exclusive"] else "YES" if job["oversubscribe"] else "OK"


def restarts(job: Row) -> int:
    """How often a job was started again."""
    later = job["restarts_after"]
    return int(job["restarts"] if later is None else later)


def when(context: Context, moment: float | None, none: str) -> str:
    """A moment as the user's environment wants it, and ``none`` for None."""
    return stamp(moment, context.environment, none)
