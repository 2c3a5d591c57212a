"""What the controller does with a new job: take it, or refuse it."""

from __future__ import annotations

from ..engine.machine import Machine
from ..engine.options import Unsupported
from ..engine.store import Row
from . import arrays, dependency, errors, placement
from .context import Context
from .errors import SlurmError
from .releases import ROOT_IN_RESERVATIONS, first_priority
from .script import MAX_SCRIPT

_MAX_TEXT = 1024
_LIMITS = ("PartitionNodeLimit", "PartitionTimeLimit")


def queue_is_full(context: Context) -> bool:
    """Whether MaxJobCount is reached; ended jobs count until they are purged."""
    return "queue_full" in context.faults or context.store.count_jobs() >= context.setting(
        "max_job_count"
    )


def submit(
    context: Context, row: Row, script: bytes, environment: dict[str, str], arguments: list[str]
) -> int:
    """Send a job to the controller; its id.

    :raises SlurmError: when the controller refuses it, or gives no answer. A job that no part of
        the machine could run gets an id and a FAILED record all the same, as with the real one.
    """
    rpc = "REQUEST_SUBMIT_BATCH_JOB" if row["kind"] == "batch" else "REQUEST_RESOURCE_ALLOCATION"
    with context.change(rpc):
        machine = Machine(context.store, context.now, context.description)
        check(context, machine, row, script)
        # One that is held is not looked at until it is released.
        row["unchecked"] = bool(row["hold"])
        refusal = None if row["unchecked"] else impossible(machine, row)
        set_limit(machine, row)
        row["nodes_for_tasks"] = placement.nodes_for_tasks(machine, row)
        if refusal is None:
            _settle(row)
            reasons = {
                placement.never_reason(machine, each) for each in placement.in_each_partition(row)
            }
            if reasons <= set(_LIMITS) and row["reason"] == "None":
                row["reason"] = "PartitionConfig"  # until the scheduler has looked at it
        else:
            row.update(
                state="FAILED",
                reason="BadConstraints",
                exit_signal=1,
                exit_code=0,
                start=context.now,
                end=context.now,
                eligible=context.now,
            )
        context.store.add_job(row, script, environment, arguments)
        row["priority"] = (
            0 if row["hold"] else first_priority(row["id"], row["nice"], context.release)
        )
        if arrays.waiting(row):
            row["array_job"] = row["id"]
        context.store.save_job(row)
    if refusal is not None:
        raise refusal
    return int(row["id"])


def set_limit(machine: Machine, row: Row) -> None:
    """The partition's time limit, for a job that has none of its own."""
    partition = machine.partition(row["partition"].split(",")[0])
    if row["limit"] is None and not row["unlimited"] and partition is not None:
        row["limit"] = partition["default_time"] or partition["max_time"] or None


def check(context: Context, machine: Machine, row: Row, script: bytes) -> None:
    """Check a job as the controller does when it is submitted.

    :raises SlurmError: with the words that ``sbatch`` prints.
    """
    if (
        any(len(row[name] or "") > _MAX_TEXT for name in ("name", "comment"))
        or len(script) > MAX_SCRIPT
    ):
        raise SlurmError(errors.PATH_TOO_LONG)
    if row["gres"]["none"]:
        raise SlurmError(errors.BAD_TRES)
    if not row["partition"]:
        row["partition"] = machine.default_partition()["name"]
    for name in row["partition"].split(","):
        if machine.partition(name) is None:
            raise SlurmError(errors.BAD_PARTITION, f"invalid partition specified: {name}")
    row["qos"] = None  # without accounting any is accepted, and none is kept
    names = machine.by_name
    if any(name not in names for name in (*row["req_nodes"], *row["exc_nodes"])):
        raise SlurmError(errors.BAD_NODE)
    if set(row["req_nodes"]) & set(row["exc_nodes"]):
        raise SlurmError(errors.BAD_NODE)
    wanted = placement.feature_names(row["features"])
    if wanted and wanted - {feature for node in machine.nodes for feature in node.features}:
        raise SlurmError(errors.BAD_FEATURE)
    _check_reservation(context, machine, row)
    arrays.make(row, row.pop("array_text", ""))
    if row["dependency"]:
        row["dependency"] = dependency.parse(context.store, row["dependency"])
        if arrays.waiting(row) and "aftercorr" in row["dependency"]:
            raise Unsupported("sbatch: dependency aftercorr of a job array")


def _check_reservation(context: Context, machine: Machine, row: Row) -> None:
    if not row["reservation"]:
        return
    for name in placement.reservation_names(row):
        reservation = machine.reservation(name)
        if reservation is None:
            raise SlurmError(errors.BAD_RESERVATION)
        if row["uid"] == 0 and context.release >= ROOT_IN_RESERVATIONS:
            continue
        if (
            row["user"] not in reservation["users"]
            and row["account"] not in reservation["accounts"]
        ):
            raise SlurmError(errors.RESERVATION_ACCESS)


def impossible(machine: Machine, row: Row) -> SlurmError | None:
    """The refusal of a job that no part of the machine could run."""
    if row["min_nodes"] < 1:
        return SlurmError(errors.BAD_NODE_COUNT)
    refusal = None
    for each in placement.in_each_partition(row):
        try:
            placement.check_possible(machine, each)
        except placement.NeverPossible as error:
            refusal = SlurmError(errors.NODE_CONFIG, *error.notes)
        else:
            return None
    return refusal


def _settle(row: Row) -> None:
    """Fill in what follows from the rest."""
    row["eligible"] = None if row["hold"] else row["begin"] or row["submit"]
    if row["hold"]:
        row["reason"] = "JobHeldUser"
    elif row["begin"] and row["begin"] > row["submit"]:
        row["reason"] = "BeginTime"
    elif row["dependency"]:
        row["reason"] = "Dependency"
