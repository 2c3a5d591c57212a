"""``scontrol update``: change nodes and partitions."""

from __future__ import annotations

from ..engine import hostlist
from ..engine.machine import changed_state
from ..engine.options import Unsupported
from ..engine.store import Row
from . import errors, jobchange, power, reservations
from .context import Context
from .errors import SlurmError
from .releases import MODERN

_NODE_STATES = {
    "DRAIN",
    "DOWN",
    "RESUME",
    "UNDRAIN",
    "IDLE",
    "NORESP",
    "FAIL",
    "POWER_DOWN",
    "POWER_UP",
    "POWER_DOWN_ASAP",
    "POWER_DOWN_FORCE",
    "FUTURE",
}
_PARTITION_STATES = {"UP", "DOWN", "DRAIN", "INACTIVE"}


def pairs(words: list[str]) -> list[tuple[str, str]]:
    """``key=value`` words; the keys in small letters."""
    found = []
    for word in words:
        key, _, value = word.partition("=")
        found.append((key.lower(), value))
    return found


def update(context: Context, words: list[str]) -> int:
    """Run ``scontrol update`` with these words; its exit code."""
    values = pairs(words)
    keys = [key for key, _ in values]
    if not words:
        context.err("too few arguments for update keyword")
        return 1
    if {"job", "jobid"} & set(keys) or ("jobname" in keys and "partitionname" not in keys):
        return jobchange.update(context, values)
    if "reservation" in keys or "reservationname" in keys:
        return reservations.update(context, values)
    if "nodename" in keys:
        return _update_node(context, values)
    if {"partition", "partitionname"} & set(keys):
        return _update_partition(context, values)
    context.err("No valid entity in update command")
    context.err(
        'Input line must include "NodeName", "PartitionName", "Reservation", "JobId", '
        'or "SlurmctldDebug"'
    )
    return 1


# -- nodes and partitions ------------------------------------------------------------------------


def _update_node(context: Context, values: list[tuple[str, str]]) -> int:
    given = dict(values)
    state = given.get("state", "").upper()
    reason = given.get("reason", "").strip('"')
    unknown = set(given) - {"nodename", "state", "reason"}
    if unknown:
        raise Unsupported(f"scontrol: update of a node: {', '.join(sorted(unknown))}")
    if state and state not in _NODE_STATES:
        context.err(f"Invalid input: state={given['state']}")
        context.err("Request aborted")
        context.err("Valid states are: NoResp DRAIN FAIL FUTURE RESUME POWER_DOWN POWER_UP UNDRAIN")
        context.err("Not all states are valid given a node's prior state")
        return 1
    if state in ("DRAIN", "DOWN", "FAIL") and not reason:
        context.err("You must specify a reason when DOWNING or DRAINING a node. Request denied")
        return 1
    try:
        with context.change("REQUEST_UPDATE_NODE"):
            if not context.is_administrator:
                raise SlurmError(errors.BAD_USER)
            names = (
                [row["name"] for row in context.store.nodes()]
                if given["nodename"].upper() == "ALL"
                else hostlist.expand(given["nodename"])
            )
            _change_nodes(context, names, state, reason)
    except SlurmError as error:
        context.err(f"slurm_update error: {error.text}")
        return 1
    return 0


def _change_nodes(context: Context, names: list[str], state: str, reason: str) -> None:
    rows = {row["name"]: row for row in context.store.nodes()}
    if any(name not in rows for name in names):
        raise SlurmError(errors.BAD_NODE)
    for name in names:
        marred = set(rows[name]["flags"].split()) & {"DRAIN", "FAIL", "NOT_RESPONDING"}
        if state == "RESUME" and rows[name]["base"] != "DOWN" and not marred:
            raise SlurmError(errors.BAD_NODE_STATE)
        if state.startswith("POWER"):
            _change_power(context, rows[name], state)
            continue
        base, flags = changed_state(rows[name]["base"], rows[name]["flags"].split(), state)
        values: Row = {"base": base, "flags": " ".join(flags)}
        if state in ("RESUME", "UNDRAIN", "IDLE") and context.release < MODERN:
            values.update(reason=None, reason_user=None, reason_time=None)
        if reason:
            values.update(reason=reason, reason_user=context.user[0], reason_time=context.now)
        context.store.update_node(name, **values)


def _change_power(context: Context, row: Row, state: str) -> None:
    """``state=POWER_UP`` and so on: only where there is power saving."""
    if not row["power"]:
        raise SlurmError(errors.BAD_NODE_STATE)
    flags = set(row["flags"].split())
    values: Row = {"changed": context.now}
    if state == "POWER_UP":
        flags |= {"POWER_UP"} if "POWERED_DOWN" in flags else set()
    elif "POWERING_DOWN" not in flags:
        flags = flags - {"POWERED_DOWN"} | {"POWER_DOWN"}
        if state == power.ASAP:
            flags.add("DRAIN")
            values.update(reason=power.ASAP, reason_user=context.user[0], reason_time=context.now)
        if state == "POWER_DOWN_FORCE":
            for job in context.store.jobs(active_only=True):
                if row["name"] in job["alloc"] and job["state"] == "RUNNING":
                    _drive_out(context, job)
    context.store.update_node(row["name"], flags=" ".join(sorted(flags)), **values)


def _drive_out(context: Context, job: Row) -> None:
    """End a job whose node is taken away; it is requeued if that is allowed."""
    if job["requeue"]:
        jobchange.requeue_record(context, job)
    else:
        job.update(state="NODE_FAIL", reason="NodeDown", completing=True, end=context.now)
    context.store.save_job(job)


def _update_partition(context: Context, values: list[tuple[str, str]]) -> int:
    given = {"partitionname" if key == "partition" else key: value for key, value in values}
    if set(given) != {"partitionname", "state"}:
        raise Unsupported("scontrol: update of a partition, other than its state")
    if given["state"].upper() not in _PARTITION_STATES:
        context.err(f"scontrol: error: Invalid input: state={given['state']}")
        context.err("scontrol: error: Acceptable State values are UP, DOWN, DRAIN and INACTIVE")
        context.err("slurm_update error: No error")
        return 1
    try:
        with context.change("REQUEST_UPDATE_PARTITION"):
            if not context.is_administrator:
                raise SlurmError(errors.BAD_USER)
            description = context.store.description()
            chosen = [
                each for each in description["partitions"] if each["name"] == given["partitionname"]
            ]
            if not chosen:
                raise SlurmError(errors.BAD_PARTITION)
            chosen[0]["state"] = given["state"].upper()
            context.store.set_meta("description", description)
    except SlurmError as error:
        context.err(f"slurm_update error: {error.text}")
        return 1
    return 0
