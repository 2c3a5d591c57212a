"""``scontrol update``, ``requeue``, ``hold`` and ``release``: change nodes and jobs."""

from __future__ import annotations

from collections.abc import Callable

from . import errors, hostlist, power, reservations
from .context import Context
from .controller import put_back
from .errors import SlurmError
from .machine import is_purged
from .options import Unsupported
from .releases import MODERN, first_priority
from .store import Row
from .times import parse_limit, parse_when

_NODE_STATES = {"DRAIN", "DOWN", "RESUME", "UNDRAIN", "IDLE", "NORESP", "FAIL", "POWER_DOWN",
                "POWER_UP", "POWER_DOWN_ASAP", "POWER_DOWN_FORCE", "FUTURE"}


def pairs(words: list[str]) -> list[tuple[str, str]]:
    """``key=value`` words; the keys in small letters."""
    found = []
    for word in words:
        key, _, value = word.partition("=")
        found.append((key.lower(), value))
    return found


def update(context: Context, words: list[str]) -> int:
    values = pairs(words)
    keys = [key for key, _ in values]
    if "reservation" in keys or "reservationname" in keys:
        return reservations.update(context, values)
    if "nodename" in keys:
        return _update_node(context, values)
    if "jobid" in keys or ("jobname" in keys and "partitionname" not in keys):
        return _update_job(context, values)
    if "partitionname" in keys:
        return _update_partition(context, values)
    context.err("No valid entity in update command")
    context.err('Input line must include "NodeName", "PartitionName", "Reservation", "JobId", '
                'or "SlurmctldDebug"')
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
        context.err("Valid states are: NoResp DRAIN FAIL FUTURE RESUME POWER_DOWN POWER_UP "
                    "UNDRAIN")
        context.err("Not all states are valid given a node's prior state")
        return 1
    if state in ("DRAIN", "DOWN", "FAIL") and not reason:
        context.err("You must specify a reason when DOWNING or DRAINING a node. Request denied")
        return 1
    try:
        with context.change("REQUEST_UPDATE_NODE"):
            if not context.is_administrator:
                raise SlurmError(errors.BAD_USER)
            _change_nodes(context, hostlist.expand(given["nodename"]), state, reason)
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
            values.update(reason=power.ASAP, reason_user=context.user[0],
                          reason_time=context.now)
        if state == "POWER_DOWN_FORCE":
            for job in context.store.jobs(active_only=True):
                if row["name"] in job["alloc"] and job["state"] == "RUNNING":
                    _drive_out(context, job)
    context.store.update_node(row["name"], flags=" ".join(sorted(flags)), **values)


def _drive_out(context: Context, job: Row) -> None:
    """End a job whose node is taken away; it is requeued if that is allowed."""
    if job["requeue"]:
        _requeue(context, job)
    else:
        job.update(state="NODE_FAIL", reason="NodeDown", completing=True, end=context.now)
    context.store.save_job(job)


def changed_state(base: str, flags: list[str], wish: str) -> tuple[str, list[str]]:
    """Base and flags of a node after ``scontrol update state=WISH``."""
    names = set(flags)
    if wish == "DOWN":
        base = "DOWN"
    elif wish in ("RESUME", "IDLE"):
        base = "IDLE" if base in ("DOWN", "UNKNOWN") else base
        # One that is powered down has no way to respond.
        names -= {"DRAIN", "FAIL"} | (set() if "POWERED_DOWN" in names else {"NOT_RESPONDING"})
    elif wish == "UNDRAIN":
        names.discard("DRAIN")
    elif wish:
        names.add({"NORESP": "NOT_RESPONDING"}.get(wish, wish))
    return base, sorted(names)


def _update_partition(context: Context, values: list[tuple[str, str]]) -> int:
    given = dict(values)
    if set(given) != {"partitionname", "state"}:
        raise Unsupported("scontrol: update of a partition, other than its state")
    try:
        with context.change("REQUEST_UPDATE_PARTITION"):
            if not context.is_administrator:
                raise SlurmError(errors.BAD_USER)
            description = context.store.description()
            chosen = [each for each in description["partitions"]
                      if each["name"] == given["partitionname"]]
            if not chosen:
                raise SlurmError(errors.BAD_PARTITION)
            chosen[0]["state"] = given["state"].upper()
            context.store.set_meta("description", description)
    except SlurmError as error:
        context.err(f"slurm_update error: {error.text}")
        return 1
    return 0


# -- jobs ----------------------------------------------------------------------------------------


def _update_job(context: Context, values: list[tuple[str, str]]) -> int:
    given = dict(values)
    changes = {key: value for key, value in values if key != "jobid"}
    for key in changes:
        if key not in _JOB_CHANGES:
            context.err(f"Update of this parameter is not supported: {key}={changes[key]}")
            context.err("Request aborted")
            return 1

    def change(job: Row) -> None:
        for key, value in changes.items():
            _JOB_CHANGES[key](context, job, value)

    return _change_job(context, given.get("jobid", ""), "REQUEST_UPDATE_JOB", change)


def _change_job(context: Context, text: str, rpc: str, change: Callable[[Row], None],
                denied: errors.Error = errors.BAD_USER, also: str = "") -> int:
    """Change one job; the return code. ``also``: the call that a second line names."""
    try:
        with context.change(rpc):
            job = context.store.job(int(text)) if text.isdigit() else None
            if job is None or context.hidden_by_fault(job) or is_purged(
                    job, context.setting("min_job_age"), context.now):
                raise SlurmError(errors.BAD_JOB)
            if job["user"] != context.user[0] and not context.is_administrator:
                raise SlurmError(denied)
            change(job)
            context.store.save_job(job)
    except SlurmError as error:
        # Without an answer the client has nothing to print but that it did not understand it.
        unclear = error.number in (errors.TIMED_OUT.number, errors.NO_CONTACT.number)
        told = errors.UNEXPECTED.text if unclear else error.text
        context.err(f"{told} for job {text}")
        if also:
            context.err(f"{also} error:{context.gap}{told}")
        return 1
    return 0


def _set_limit(context: Context, job: Row, value: str) -> None:
    try:
        limit = parse_limit(value)
    except ValueError:
        raise SlurmError(errors.BAD_TIME_LIMIT) from None
    job["limit"] = limit
    job["end_wish"] = None


def _set_end(context: Context, job: Row, value: str) -> None:
    try:
        when = parse_when(value, context.now)
    except ValueError:
        raise SlurmError(errors.BAD_TIME) from None
    if when < context.now - 1:
        raise SlurmError(errors.BAD_TIME)
    job["end_wish"] = when


def _set_priority(context: Context, job: Row, value: str) -> None:
    job["priority"] = int(value)
    job["hold"] = "" if int(value) else "admin"


_JOB_CHANGES: dict[str, Callable[[Context, Row, str], None]] = {
    "comment": lambda context, job, value: job.update(comment=value),
    "name": lambda context, job, value: job.update(name=value),
    "jobname": lambda context, job, value: job.update(name=value),
    "account": lambda context, job, value: job.update(account=value),
    "partition": lambda context, job, value: job.update(partition=value),
    "requeue": lambda context, job, value: job.update(requeue=value == "1"),
    "timelimit": _set_limit, "endtime": _set_end, "priority": _set_priority,
}


def requeue(context: Context, words: list[str]) -> int:
    """``scontrol requeue ID[,ID...]``."""
    return _each(context, words, lambda text: _change_job(
        context, text, "REQUEST_JOB_REQUEUE", lambda job: _requeue(context, job),
        errors.ACCESS_DENIED))


def requeue_hold(context: Context, words: list[str]) -> int:
    def change(job: Row) -> None:
        _requeue(context, job)
        job.update(hold="user", priority=0)

    return _each(context, words, lambda text: _change_job(
        context, text, "REQUEST_JOB_REQUEUE", change, errors.ACCESS_DENIED))


def _requeue(context: Context, job: Row) -> None:
    if job["state"] == "PENDING":
        raise SlurmError(errors.PENDING)
    if not job["requeue"]:
        raise SlurmError(errors.DISABLED)
    job["restarts_after"] = job["restarts"] + 1
    if job["state"] == "RUNNING":
        job.update(requeuing=True, completing=True, end=context.now)
    else:
        if context.description["accounting"]:
            context.store.archive(job)
        put_back(job, context.now, context.setting("requeue_seconds"))


def hold(context: Context, words: list[str]) -> int:
    def change(job: Row) -> None:
        if job["state"] not in ("PENDING", "RUNNING"):
            raise SlurmError(errors.OVER)
        by = "user" if job["user"] == context.user[0] and context.user[1] != 0 else "admin"
        job.update(hold=by, priority=0, eligible=None)
        job["reason"] = "JobHeldUser" if by == "user" else "JobHeldAdmin"

    return _each(context, words, lambda text: _change_job(
        context, text, "REQUEST_UPDATE_JOB", change, also="slurm_suspend"))


def release(context: Context, words: list[str]) -> int:
    def change(job: Row) -> None:
        if job["state"] not in ("PENDING", "RUNNING"):
            raise SlurmError(errors.OVER)
        job.update(hold="", priority=first_priority(job["id"], context.release), begin=None,
                   reason="None")

    return _each(context, words, lambda text: _change_job(
        context, text, "REQUEST_UPDATE_JOB", change, also="slurm_suspend"))


def _each(context: Context, words: list[str], function: Callable[[str], int]) -> int:
    codes = [function(text) for word in words for text in word.split(",") if text]
    return max(codes, default=1)
