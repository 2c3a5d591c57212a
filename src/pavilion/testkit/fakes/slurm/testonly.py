"""``--test-only``: when and where a job would start, without submitting it."""

from __future__ import annotations

import copy

from ..engine import hostlist
from ..engine.machine import Machine
from ..engine.options import Unsupported
from ..engine.store import Row
from . import errors, placement, submission
from .context import Context
from .errors import SlurmError
from .jobtext import end_time
from .times import stamp


def run(context: Context, row: Row, quiet: bool) -> int:
    """Say when and where on standard error; the return code. It takes a job id, as a job does."""
    command = context.command
    try:
        with context.change("REQUEST_JOB_WILL_RUN"):
            number = context.store.count_in_transaction("job")
            when, alloc = _find(context, row)
    except SlurmError as error:
        for note in error.notes:
            context.err(f"{command}: error: {note}")
        context.err(f"allocation failure: {error.text}")
        return 1
    if not quiet:
        moment = stamp(max(when, row["begin"] or 0.0), context.environment)
        context.err(
            f"{command}: Job {number} to start at {moment} using {sum(alloc.values())} "
            f"processors on nodes {hostlist.fold(alloc)} in partition {row['partition']}"
        )
    return 0


def _find(context: Context, row: Row) -> tuple[float, placement.Allocation]:
    """:raises SlurmError: for a job that is refused, and for one that cannot start as nodes are."""
    now = context.now
    machine = Machine(context.store, now, context.description)
    submission.check(context, machine, row, b"")
    impossible = submission.impossible(machine, row)
    if impossible is not None:
        raise SlurmError(errors.NODE_CONFIG)
    if "," in row["partition"]:
        raise Unsupported(f"{context.command}: --test-only of several partitions")
    submission.set_limit(machine, row)
    # The partition's time limit is not heeded: a job that is too long finds a place.
    most = (machine.partition(row["partition"]) or row)["max_time"] or row["limit"]
    row = {**copy.deepcopy(row), "limit": min(row["limit"] or most, most) if most else None}
    running = sorted(
        (job for job in machine.jobs if job["state"] == "RUNNING"),
        key=lambda job: end_time(job) or float("inf"),
    )
    for ended in range(len(running) + 1):
        jobs = running[ended:]
        chosen, _ = placement.place(Machine(context.store, now, context.description, jobs), row)
        if chosen is not None:
            return (end_time(running[ended - 1]) or now if ended else now), chosen
    raise SlurmError(errors.NODE_CONFIG)
