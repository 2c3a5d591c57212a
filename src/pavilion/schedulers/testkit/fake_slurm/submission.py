"""What the controller does with a new job: take it, or refuse it."""

from __future__ import annotations

import re

from . import errors, placement
from .context import Context
from .errors import SlurmError
from .machine import Machine
from .releases import MODERN, ROOT_IN_RESERVATIONS, Release, first_priority
from .script import MAX_SCRIPT
from .store import Row

_MAX_TEXT = 1024
_LIMITS = ("PartitionNodeLimit", "PartitionTimeLimit")


def queue_is_full(context: Context) -> bool:
    """Whether MaxJobCount is reached; ended jobs count until they are purged."""
    return ("queue_full" in context.faults
            or context.store.count_jobs() >= context.setting("max_job_count"))


def submit(context: Context, row: Row, script: bytes, environment: dict[str, str],
           arguments: list[str]) -> int:
    """Send a job to the controller; its id.

    :raises SlurmError: when the controller refuses it, or gives no answer. A job that no part of
        the machine could run gets an id and a FAILED record all the same, as with the real one.
    """
    rpc = "REQUEST_SUBMIT_BATCH_JOB" if row["kind"] == "batch" else "REQUEST_RESOURCE_ALLOCATION"
    with context.change(rpc):
        machine = Machine(context.store, context.now, context.description)
        _check(context, machine, row, script)
        impossible = _impossible(machine, row)
        partition = machine.partition(row["partition"])
        row["limit_given"] = row["limit"]
        if row["limit"] is None and partition is not None:
            row["limit"] = (partition["default_time"] or partition["max_time"]
                            or None)
        if impossible is None:
            _settle(row)
            if placement.never_reason(machine, row) in _LIMITS and row["reason"] == "None":
                row["reason"] = "PartitionConfig"  # until the scheduler has looked at it
        else:
            row.update(state="FAILED", reason="BadConstraints", exit_signal=1, exit_code=0,
                       start=context.now, end=context.now, eligible=context.now)
        context.store.add_job(row, script, environment, arguments)
        row["priority"] = 0 if row["hold"] else first_priority(row["id"], context.release)
        _name_files(row, context.release)
        context.store.save_job(row)
    if impossible is not None:
        raise impossible
    return int(row["id"])


def _check(context: Context, machine: Machine, row: Row, script: bytes) -> None:
    if any(len(row[name] or "") > _MAX_TEXT for name in ("name", "comment")) \
            or len(script) > MAX_SCRIPT:
        raise SlurmError(errors.PATH_TOO_LONG)
    if not row["partition"]:
        row["partition"] = machine.default_partition()["name"]
    # Of several partitions the first is taken.
    for name in row["partition"].split(","):
        if machine.partition(name) is None:
            raise SlurmError(errors.BAD_PARTITION, f"invalid partition specified: {name}")
    row["partition"] = row["partition"].split(",")[0]
    row["qos"] = None  # without accounting any is accepted, and none is kept
    names = machine.by_name
    if any(name not in names for name in (*row["req_nodes"], *row["exc_nodes"])):
        raise SlurmError(errors.BAD_NODE)
    words = [word for word in re.split(r"[&|,()\[\]]", row["features"]) if word]
    known = {feature for node in machine.nodes for feature in node.features} if words else set()
    if any(word.partition("*")[0] not in known for word in words):
        raise SlurmError(errors.BAD_FEATURE)
    _check_reservation(context, machine, row)
    if row["dependency"] and not re.fullmatch(
            r"singleton|(after(any|ok|notok|corr)?(:\d+)+)([,?](after\w*(:\d+)+))*",
            row["dependency"]):
        raise SlurmError(errors.BAD_DEPENDENCY)


def _check_reservation(context: Context, machine: Machine, row: Row) -> None:
    if not row["reservation"]:
        return
    reservation = machine.reservation(row["reservation"])
    if reservation is None:
        raise SlurmError(errors.BAD_RESERVATION)
    if row["uid"] == 0 and context.release >= ROOT_IN_RESERVATIONS:
        return
    if row["user"] not in reservation["users"] and row["account"] not in reservation["accounts"]:
        raise SlurmError(errors.RESERVATION_ACCESS)


def _impossible(machine: Machine, row: Row) -> SlurmError | None:
    if row["min_nodes"] < 1:
        return SlurmError(errors.BAD_NODE_COUNT)
    try:
        placement.check_possible(machine, row)
    except placement.NeverPossible as error:
        return SlurmError(errors.NODE_CONFIG, *error.notes)
    return None


def _settle(row: Row) -> None:
    """Fill in what follows from the rest."""
    row["eligible"] = None if row["hold"] else row["begin"] or row["submit"]
    if row["hold"]:
        row["reason"] = "JobHeldUser"
    elif row["begin"] and row["begin"] > row["submit"]:
        row["reason"] = "BeginTime"
    elif row["dependency"]:
        row["reason"] = "Dependency"


def _name_files(row: Row, release: Release) -> None:
    """The paths of the job's output, with the patterns of sbatch filled in."""
    row.update(out_given=row["std_out"] or "", err_given=row["std_err"] or "")
    out = row["std_out"] or "slurm-%j.out"
    row["std_out"] = file_name(row, out, release)
    row["std_err"] = file_name(row, row["std_err"], release) if row["std_err"] else row["std_out"]
    row["std_in"] = file_name(row, row["std_in"], release)


def file_name(row: Row, pattern: str, release: Release) -> str:
    """A path of the job: %j, %J, %A, %x, %u, %N, %n, %t, %s, %% and a width (%4j)."""
    values = {"j": str(row["id"]), "J": str(row["id"]), "A": str(row["id"]), "x": row["name"],
              "u": row["user"], "n": "0", "t": "0", "s": "batch", "a": "4294967294",
              "N": next(iter(row["alloc"]), "%N"), "%": "%"}

    def value(match: re.Match[str]) -> str:
        text: str | None = values.get(match[2])
        if text is None:
            return match[0]
        return text.zfill(int(match[1])) if match[1] and text.isdigit() else text

    # With a backslash anywhere there are no patterns. A doubled one stands for itself, up to the
    # release that drops them all.
    kept = "" if release >= MODERN else r"\1"
    path: str = re.sub(r"\\(\\?)", kept, pattern) if "\\" in pattern \
        else re.sub(r"%(\d*)([a-zA-Z%])", value, pattern)
    return path if path.startswith("/") else f"{row['workdir']}/{path}"
