"""Power saving: nodes that are powered down when nothing runs there, and woken up for jobs.

The steps of a node, each a flag: POWERED_DOWN; POWER_UP (requested by hand) and POWERING_UP until
it has booted; POWER_DOWN (requested by hand, after its jobs) and POWERING_DOWN. What a node may do
in which state, and the words for it, were measured on 22.05.8.
"""

from __future__ import annotations

from collections.abc import Collection

from ..engine.machine import OFF
from ..engine.store import Row, Store

# Flags of a node that is on its way: there is something to wait for.
_MOVING = {"POWER_UP", "POWERING_UP", "POWER_DOWN", "POWERING_DOWN"}
# The real one looks at its nodes once a second.
_STEP = 0.3
ASAP = "POWER_DOWN_ASAP"


def is_off(row: Row) -> bool:
    """Whether a node must boot before jobs can run there."""
    return bool(OFF & set(row["flags"].split()))


def is_moving(store: Store) -> bool:
    """Whether any node is on its way up or down."""
    return any(_MOVING & set(row["flags"].split()) for row in store.powered_nodes())


def advance(store: Store, settings: Row, started: float, jobs: list[Row], now: float) -> bool:
    """Advance all nodes under power saving; whether any of them will change without a job.

    :param started: When the cluster was made: until then nodes were in use.
    :param jobs: The jobs that wait, run, or are being ended.
    """
    used = {name for job in jobs for name in job["alloc"]}
    waiting = False
    for row in store.powered_nodes():
        changes = _step(row, settings, started, row["name"] in used, now)
        if changes:
            store.update_node(row["name"], **changes)
            row.update(changes)
        flags = set(row["flags"].split())
        awake = not OFF & flags and row["base"] != "DOWN"
        waiting = (
            waiting
            or bool(_MOVING & flags)
            or (awake and settings["suspend_time"] > 0 and row["name"] not in used)
        )
    return waiting


def _step(row: Row, settings: Row, started: float, is_used: bool, now: float) -> Row:
    """What changes of a node now."""
    flags = set(row["flags"].split())
    since = now - row["changed"]
    if "POWERING_UP" in flags:
        return _wake_up(row, flags, settings, since, now)
    if "POWERED_DOWN" in flags:
        wanted = "POWER_UP" in flags or (is_used and row["base"] != "DOWN")
        if wanted and since >= _STEP:
            return _moved(
                flags - {"POWERED_DOWN", "POWER_UP"} | {"POWERING_UP", "NOT_RESPONDING"}, now
            )
        return {}
    if "POWERING_DOWN" in flags:
        if since < settings["suspend_timeout"]:
            return {}
        return {**_moved(flags - {"POWERING_DOWN"} | {"POWERED_DOWN"}, now), "busy": None}
    if "POWER_DOWN" in flags:
        if is_used or since < _STEP:
            return {}
        undrained = {"DRAIN"} if row["reason"] == ASAP else set()
        return _moved(flags - {"POWER_DOWN"} - undrained | {"POWERING_DOWN"}, now)
    idle = now - max(row["busy"] or 0.0, row["booted"] or 0.0, started)
    if 0 < settings["suspend_time"] <= idle and not is_used and row["base"] != "DOWN":
        return _moved(flags | {"POWERING_DOWN"}, now)
    return {}


def _wake_up(row: Row, flags: set[str], settings: Row, since: float, now: float) -> Row:
    if since >= row["resume_time"] and row["resume_time"] <= settings["resume_timeout"]:
        return {
            **_moved(flags - {"POWERING_UP", "NOT_RESPONDING"}, now),
            "booted": now,
            "busy": now,
        }
    if since < settings["resume_timeout"]:
        return {}
    return {
        **_moved(flags - {"POWERING_UP"} | {"POWERED_DOWN", "NOT_RESPONDING"}, now),
        "base": "DOWN",
        "reason": "ResumeTimeout reached",
        "reason_user": "root",
        "reason_time": now,
    }


def _moved(flags: Collection[str], now: float) -> Row:
    return {"flags": " ".join(sorted(flags)), "changed": now}
