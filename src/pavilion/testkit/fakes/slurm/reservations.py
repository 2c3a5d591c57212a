"""``scontrol create``, ``update``, ``delete`` and ``show reservation``."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from ..engine import hostlist
from ..engine.machine import Machine
from ..engine.options import Unsupported
from ..engine.store import Row
from . import errors
from .context import Context
from .errors import SlurmError
from .releases import MODERN
from .times import clock, parse_limit, parse_when

if TYPE_CHECKING:
    from .show import View

_KEYS = {
    "reservation",
    "reservationname",
    "nodes",
    "users",
    "accounts",
    "starttime",
    "endtime",
    "duration",
    "flags",
}
_FLAGS = {
    "MAINT",
    "IGNORE_JOBS",
    "OVERLAP",
    "FLEX",
    "DAILY",
    "WEEKLY",
    "SPEC_NODES",
    "ANY_NODES",
    "NO_HOLD_JOBS_AFTER",
    "MAGNETIC",
    "STATIC_ALLOC",
}


def _given(words: list[str]) -> dict[str, str]:
    found = {}
    for word in words:
        key, _, value = word.partition("=")
        key = key.lower()
        if key == "reservation" and not value:
            continue  # the 'reservation' of 'create reservation ...'
        if key not in _KEYS:
            raise Unsupported(f"scontrol: reservation: {key}")
        found["reservationname" if key == "reservation" else key] = value
    return found


def create(context: Context, words: list[str]) -> int:
    """Run ``scontrol create reservation``; its exit code."""
    given = _given(words)
    if "starttime" not in given:
        context.err("scontrol: error: A start time must be given.  No reservation created.")
        return 1
    if not given.get("users") and not given.get("accounts"):
        context.err(
            "scontrol: error: Either Users/Groups and/or Accounts must be specified.  "
            "No reservation created."
        )
        return 1
    try:
        with context.change("REQUEST_CREATE_RESERVATION"):
            if not context.is_administrator:
                raise SlurmError(errors.BAD_USER)
            name = _store_new(context, given)
    except SlurmError as error:
        unclear = error.number in (errors.TIMED_OUT.number, errors.NO_CONTACT.number)
        context.err(
            f"Error creating the reservation: {errors.UNEXPECTED.text if unclear else error.text}"
        )
        if error.number == errors.NODES_BUSY.number:
            context.line(
                "Note, unless nodes are directly requested a reservation must exist in a "
                "single partition.\nIf no partition is requested the default partition "
                "is assumed."
            )
        return 1
    context.line(f"Reservation created: {name}")
    return 0


def _store_new(context: Context, given: dict[str, str]) -> str:
    machine = Machine(context.store, context.now, context.description)
    users = [name for name in given.get("users", "").split(",") if name]
    number = context.store.count_in_transaction("reservation")
    row: Row = {
        "name": given.get("reservationname") or f"{(users or ['root'])[0]}_{number}",
        "users": users,
        "accounts": [name for name in given.get("accounts", "").split(",") if name],
        "flags": [flag.upper() for flag in given.get("flags", "").split(",") if flag],
    }
    if not set(row["flags"]) <= _FLAGS:
        raise Unsupported(f"scontrol: reservation flags {given['flags']}")
    _set_times(context, row, given)
    wanted = given.get("nodes", "")
    row["nodes"] = (
        [node.name for node in machine.nodes]
        if wanted.upper() == "ALL"
        else hostlist.expand(wanted)
    )
    if any(name not in machine.by_name for name in row["nodes"]) or not row["nodes"]:
        raise SlurmError(errors.BAD_NODE)
    if machine.reservation(row["name"]) is not None:
        raise SlurmError(errors.RESERVATION_NAME)
    for other in machine.reservations:
        clash = set(other["nodes"]) & set(row["nodes"])
        meets = other["start"] < row["end"] and row["start"] < other["end"]
        if clash and meets and not {"MAINT", "OVERLAP"} & set(row["flags"]):
            raise SlurmError(errors.RESERVATION_OVERLAP)
    if row["start"] <= context.now and not {"IGNORE_JOBS"} & set(row["flags"]):
        busy = {node for job in machine.jobs if job["state"] != "PENDING" for node in job["alloc"]}
        if busy & set(row["nodes"]):
            raise SlurmError(errors.NODES_BUSY)
    context.store.save_reservation(row)
    return str(row["name"])


def _set_times(context: Context, row: Row, given: dict[str, str]) -> None:
    try:
        if "starttime" in given:
            row["start"] = parse_when(given["starttime"], context.now)
        if "endtime" in given:
            row["end"] = parse_when(given["endtime"], context.now)
        elif "duration" in given:
            minutes = parse_limit(given["duration"])
            row["end"] = row["start"] + 60 * (365 * 24 * 60 if minutes is None else minutes)
    except ValueError:
        raise SlurmError(errors.BAD_TIME) from None
    if "end" not in row:
        raise SlurmError(errors.BAD_TIME)


def update(context: Context, values: list[tuple[str, str]]) -> int:
    """Run ``scontrol update reservationname=...``; its exit code."""
    given = _given([f"{key}={value}" for key, value in values])
    try:
        with context.change("REQUEST_UPDATE_RESERVATION"):
            if not context.is_administrator:
                raise SlurmError(errors.BAD_USER)
            row = _find(context, given["reservationname"])
            _set_times(context, row, given)
            if "nodes" in given:
                row["nodes"] = hostlist.expand(given["nodes"])
                known = {node["name"] for node in context.store.nodes()}
                if not known.issuperset(row["nodes"]):
                    raise SlurmError(errors.BAD_NODE)
            for key in ("users", "accounts"):
                if key in given:
                    row[key] = given[key].split(",")
            context.store.save_reservation(row)
    except SlurmError as error:
        context.err(f"Error updating the reservation: {error.text}")
        context.err(f"slurm_update error: {error.text}")
        return 1
    context.line("Reservation updated.")
    return 0


def _find(context: Context, name: str) -> Row:
    for row in context.store.reservations():
        if row["name"] == name and row["end"] > context.now:
            return row
    raise SlurmError(errors.BAD_RESERVATION)


def delete(context: Context, words: list[str]) -> int:
    """``delete reservationname=NAME`` and ``delete reservation NAME``."""
    key, equals, name = words[0].partition("=") if words else ("", "", "")
    if not equals and len(words) > 1:
        name = words[1]
    if not key.lower().startswith("reservation"):
        raise Unsupported(f"scontrol: delete {' '.join(words)}")
    try:
        with context.change("REQUEST_DELETE_RESERVATION"):
            if not context.is_administrator:
                raise SlurmError(errors.BAD_USER)
            row = _find(context, name)
            if any(
                name in job["reservation"].split(",")
                for job in context.store.jobs(active_only=True)
            ):
                raise SlurmError(errors.RESERVATION_BUSY)
            context.store.delete_reservation(row["name"])
    except SlurmError as error:
        context.err(f"delete_reservation {words[0]}: {error.text}")
        return 1
    return 0


def show(view: View, name: str) -> int:
    """Run ``scontrol show reservation``, of all if there is no name; its exit code."""
    context = view.context
    try:
        context.ask("REQUEST_RESERVATION_INFO")
    except SlurmError as error:
        context.err(f"slurm_load_reservations error: {error.text}")
        return 1
    machine = Machine(context.store, context.now, context.description)
    shown = [row for row in machine.reservations if not name or row["name"] == name]
    if not shown:
        context.line(f"Reservation {name} not found" if name else "No reservations in the system")
        return 1 if name else 0
    for row in shown:
        view.item(_lines(view, machine, row))
    return 0


def _lines(view: View, machine: Machine, row: Row) -> list[str]:
    cores = sum(machine.by_name[name].cpus for name in row["nodes"])
    flags = ",".join(dict.fromkeys([*row["flags"], "SPEC_NODES"]))
    active = row["start"] <= time.time() < row["end"]
    modern = view.context.release >= MODERN
    return [
        f"ReservationName={row['name']} StartTime={view.stamp(row['start'])} "
        f"EndTime={view.stamp(row['end'])} Duration={clock(row['end'] - row['start'])}",
        f"Nodes={hostlist.fold(row['nodes'])} NodeCnt={len(row['nodes'])} CoreCnt={cores} "
        f"Features=(null) PartitionName=(null) Flags={flags}",
        f"TRES=cpu={cores}" + (" AllowedPartitions=(null) QOS=(null)" if modern else ""),
        f"Users={','.join(row['users']) or '(null)'} Groups=(null) "
        f"Accounts={','.join(row['accounts']) or '(null)'} Licenses=(null) "
        f"State={'ACTIVE' if active else 'INACTIVE'} BurstBuffer=(null)"
        + ("" if modern else " Watts=n/a"),
        "MaxStartDelay=(null)",
    ]
