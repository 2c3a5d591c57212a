"""What accounting keeps of jobs, and the columns of ``sacct``, as 22.05.8 with slurmdbd.

A row is an allocation, or the batch step of one. The steps of srun are not kept.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from ..engine.store import Row
from . import arrays, jobtext, placement
from .context import Context
from .times import clock, stamp


class Record(NamedTuple):
    """A row of sacct: a run of a job, or its batch step."""

    context: Context
    job: Row
    is_step: bool

    @property
    def started(self) -> bool:
        """Whether the job was given nodes."""
        return bool(self.job["alloc"])

    @property
    def start(self) -> float | None:
        """When it was started, in seconds since the epoch; None when it was not."""
        job = self.job
        return job["start"] if self.started or job["state"] == "CANCELLED" else None

    @property
    def end(self) -> float | None:
        """When it ended, in seconds since the epoch; None when it has not."""
        job = self.job
        ended = job["state"] not in ("PENDING", "RUNNING", "SUSPENDED")
        return job["end"] if ended else None

    @property
    def elapsed(self) -> int:
        """Seconds."""
        if self.start is None:
            return 0
        return max(0, int(self.end or self.context.now) - int(self.start))

    @property
    def cpus(self) -> int:
        """How many CPUs it has; a step, on its first node."""
        job = self.job
        return next(iter(job["alloc"].values())) if self.is_step else jobtext.cpu_count(job)

    @property
    def nodes(self) -> int:
        """How many nodes it has, or wants."""
        return 1 if self.is_step else len(self.job["alloc"]) or self.job["min_nodes"]


def records(context: Context) -> list[Row]:
    """All runs of jobs that were recorded: those that were archived, and the present ones.

    A job is recorded when it may start for the first time, or ends.
    """
    present = [job for job in context.store.jobs() if _is_recorded(job, context.now)]
    return sorted([*context.store.archived(), *present], key=_order)


def _order(job: Row) -> tuple[float, int, list[int]]:
    """Tasks of an array by their number."""
    return job["submit"], job["array_job"] or 0, arrays.tasks_of(job)


def _is_recorded(job: Row, now: float) -> bool:
    may_start = not job["hold"] and job["eligible"] is not None and job["eligible"] <= now
    return may_start or bool(job["state"] != "PENDING" or job["restarts"])


def _state(record: Record) -> str:
    job = record.job
    if record.is_step and job["state"] not in ("RUNNING", "COMPLETED"):
        return "FAILED" if job["state"] == "FAILED" and not job["exit_signal"] else "CANCELLED"
    if job["state"] == "CANCELLED":
        return f"CANCELLED by {job.get('cancelled_by', 0)}"
    return str(job["state"])


def _exit_code(record: Record) -> str:
    """Of a code of 128 and more 128 is taken away; that of a job that was ended is not kept."""
    job = record.job
    code, signal = job["exit_code"] & 0x7F, job["exit_signal"]
    if job["state"] in ("FAILED", "COMPLETED", "RUNNING"):
        return f"{code}:{signal}"
    if record.is_step:
        return "" if job["state"] == "NODE_FAIL" else "0:15"
    return "0:0"


def _tasks(record: Record) -> str:
    return "1" if record.is_step else ""


def _nodes(record: Record) -> str:
    if not record.started:
        return "None assigned"
    return next(iter(record.job["alloc"])) if record.is_step else jobtext.nodes(record.job)


def _limit(raw: bool) -> Callable[[Record], str]:
    def text(record: Record) -> str:
        job = record.job
        never_set = not record.started or job["state"] == "REQUEUED"
        if never_set and job["limit_given"] is None:
            return "Partition_Limit"
        if job["limit"] is None:
            return "UNLIMITED"
        return str(job["limit"]) if raw else clock(job["limit"] * 60)

    return text


def _time(function: Callable[[Record], float | None]) -> Callable[[Record], str]:
    return lambda record: stamp(function(record), record.context.environment)


def _eligible(record: Record) -> float | None:
    return record.start if record.is_step else record.job["eligible"]


def _submitted(record: Record) -> float | None:
    return record.start if record.is_step else record.job["submit"]


def _account(record: Record) -> str:
    return record.job["account"] or ("root" if record.job["uid"] == 0 else "")


def _allocated(record: Record) -> str:
    if record.is_step:
        return f"cpu={record.cpus},mem=0,node=1"
    if not record.started:
        return ""
    return f"billing={record.cpus},cpu={record.cpus},node={record.nodes}"


def _of_job(function: Callable[[Row], object]) -> Callable[[Record], str]:
    """A column that is empty for steps."""
    return lambda record: "" if record.is_step else str(function(record.job))


def _requested_cpus(job: Row) -> int:
    return int(
        max(
            jobtext.task_count(job) * job["cpus_per_task"],
            job["min_nodes"] * placement.cpus_per_node(job),
        )
    )


def _number(record: Record) -> str:
    return f"{record.job['id']}.batch" if record.is_step else str(record.job["id"])


def _id(record: Record) -> str:
    shown = arrays.shown_id(record.job, {})
    return f"{shown}.batch" if record.is_step else shown


# Title, width, what to write.
FIELDS: dict[str, tuple[str, int, Callable[[Record], str]]] = {
    title.lower(): (title, width, function)
    for title, width, function in (
        ("JobID", 12, _id),
        ("JobIDRaw", 12, _number),
        ("State", 10, _state),
        ("ExitCode", 8, _exit_code),
        ("DerivedExitCode", 15, _of_job(lambda job: "0:0")),
        ("NodeList", 15, _nodes),
        ("NNodes", 8, lambda record: str(record.nodes)),
        ("NTasks", 8, _tasks),
        ("NCPUS", 10, lambda record: str(record.cpus)),
        ("AllocCPUS", 10, lambda record: str(record.cpus)),
        (
            "ReqCPUS",
            8,
            lambda record: str(record.cpus if record.is_step else _requested_cpus(record.job)),
        ),
        ("ReqNodes", 8, lambda record: str(record.nodes)),
        ("AllocNodes", 10, lambda record: str(record.nodes if record.started else 0)),
        ("Start", 19, _time(lambda record: record.start)),
        ("End", 19, _time(lambda record: record.end)),
        ("Submit", 19, _time(_submitted)),
        ("Eligible", 19, _time(_eligible)),
        ("Elapsed", 10, lambda record: clock(record.elapsed)),
        ("ElapsedRaw", 10, lambda record: str(record.elapsed)),
        ("Timelimit", 10, lambda record: "" if record.is_step else _limit(False)(record)),
        ("TimelimitRaw", 10, lambda record: "" if record.is_step else _limit(True)(record)),
        ("JobName", 10, lambda record: "batch" if record.is_step else str(record.job["name"])),
        # Comments are kept only with AccountingStoreFlags.
        ("Comment", 14, _of_job(lambda job: "")),
        ("User", 9, _of_job(lambda job: job["user"])),
        ("UID", 6, _of_job(lambda job: job["uid"])),
        ("GID", 6, _of_job(lambda job: job["gid"])),
        ("Group", 9, _of_job(lambda job: job["group"])),
        ("Account", 10, _account),
        ("Partition", 10, _of_job(lambda job: job["partition"])),
        ("QOS", 10, _of_job(lambda job: job["qos"] or "normal")),
        ("Reason", 22, _of_job(lambda job: "None" if job["alloc"] else job["reason"])),
        ("Cluster", 10, lambda record: str(record.context.description["name"])),
        ("Priority", 10, _of_job(lambda job: job["priority"])),
        ("AllocTRES", 10, _allocated),
        ("WorkDir", 20, _of_job(lambda job: job["workdir"])),
        ("Reservation", 20, _of_job(lambda job: job["reservation"])),
        ("Constraints", 19, _of_job(lambda job: job["features"])),
        ("Suspended", 10, lambda record: "00:00:00"),
        ("CPUTime", 10, lambda record: clock(record.elapsed * record.cpus)),
        ("CPUTimeRAW", 10, lambda record: str(record.elapsed * record.cpus)),
        ("SubmitLine", 20, _of_job(lambda job: job["submit_line"])),
    )
}
LEFT = {"jobid", "jobidraw"}  # at the left side of their column
