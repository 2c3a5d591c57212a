"""What is told to users about a job: its state, why it waits, how it ended, in plain words.

The reasons are those of Slurm's list of reason codes (job_reason_codes in its documentation).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import Enum
from typing import NamedTuple

from .states import JobState, Phase, parse_job_state


class Wait(Enum):
    """What kind of waiting a pending job does."""

    WAITING = "waiting"
    ADMIN = "needs an administrator"
    NEVER = "can never run"


class Reason(NamedTuple):
    """A pending job's reason: as Slurm names it (with blanks), its kind, and plain words."""

    text: str
    kind: Wait
    words: str


_W, _A, _N = Wait.WAITING, Wait.ADMIN, Wait.NEVER

# By the reason's first words, without blanks, in lower case.
_REASONS: dict[str, tuple[Wait, str]] = {
    "none": (_W, "the scheduler has not looked at it yet"),
    "waitingforscheduling": (_W, "the scheduler has not looked at it yet"),
    "scheddefer": (_W, "the scheduler has not looked at it yet"),
    "priority": (_W, "jobs of higher priority are before it"),
    "resources": (_W, "the nodes it needs are in use"),
    "nodesrequiredforjobaredown": (
        _W, "the nodes it needs are down, drained or reserved for jobs of higher priority"),
    "reservation": (_W, "its reservation has not begun, or is in use"),
    "reqnodenotavail": (_W, "nodes it asks for are in use or reserved"),
    "reservationdeleted": (_A, "its reservation was deleted"),
    "resvinvalid": (_A, "its reservation is not valid any more"),
    "begintime": (_W, "the time it may begin at has not come"),
    "dependency": (_W, "it depends on a job that is not over"),
    "dependencyneversatisfied": (_N, "it depends on a job that did not end as it must"),
    "licenses": (_W, "the licenses it needs are in use"),
    "cleaning": (_W, "its previous run is still being cleaned up"),
    "prolog": (_W, "the prolog is running"),
    "configuring": (_W, "its nodes are being started"),
    "jobarraytasklimit": (_W, "as many tasks of its array run as may at once"),
    "maxpoweredupnodes": (_W, "as many nodes are powered up as may be"),
    "powernotavail": (_W, "there is not enough power"),
    "powerreserved": (_W, "power is reserved for others"),
    "burstbufferresources": (_W, "the burst buffer space it needs is in use"),
    "burstbufferstagein": (_W, "its data are being staged in"),
    "burstbufferoperation": (_A, "an operation of its burst buffer failed"),
    "mpiportsbusy": (_W, "the ports it needs are in use"),
    "waitingfortasks": (_W, "it waits for tasks to end"),
    "associationjoblimit": (_W, "its account has reached its number of jobs"),
    "associationresourcelimit": (_W, "its account has reached a limit on resources"),
    "associationtimelimit": (_W, "its account has reached its limit of time"),
    "qosjoblimit": (_W, "its QOS has reached its number of jobs"),
    "qosresourcelimit": (_W, "its QOS has reached a limit on resources"),
    "qostimelimit": (_W, "its QOS has reached its limit of time"),
    "qosusagethreshold": (_W, "its account is below the usage threshold of its QOS"),
    "federationjoblock": (_W, "clusters of the federation settle who runs it"),
    "partitiondown": (_A, "its partition is down"),
    "partitioninactive": (_A, "its partition is inactive"),
    "nodedown": (_A, "a node it needs is down"),
    "frontenddown": (_A, "no front end node is up"),
    "jobheldadmin": (_A, "it is held by an administrator"),
    "jobhelduser": (_A, "it is held; 'scontrol release' lets it go on"),
    "jobholdmaxrequeue": (_A, "it was requeued too often and is held"),
    "launchfailedrequeuedheld": (
        _A, "it could not be started on its node (a failing prolog, often) and is held"),
    "jobrequeuedinheldstate": (_A, "it was requeued and is held"),
    "systemfailure": (_A, "Slurm, the file system or the network failed"),
    "invalidburstbuffer": (_A, "its burst buffer request is not valid"),
    "outofmemory": (_A, "it ran out of memory"),
    "partitionnodelimit": (
        _N, "it asks for more (or fewer) nodes than its partition allows, or those nodes are down"),
    "partitiontimelimit": (_N, "its time limit is over that of its partition"),
    "partitionconfig": (_N, "its partition does not have what it asks for"),
    "badconstraints": (_N, "no nodes have what it asks for"),
    "accountnotallowed": (_N, "its account may not use the partition"),
    "qosnotallowed": (_N, "its QOS may not use the partition"),
    "groupnotallowed": (_N, "its user's group may not use the partition"),
    "invalidaccount": (_N, "its account is not valid"),
    "invalidqos": (_N, "its QOS is not valid"),
    "jobarraytaskinvalid": (_N, "its array is not valid"),
    "deadline": (_N, "it cannot end before its deadline"),
    "inactivelimit": (_N, "it reached the limit of inactive time"),
}

_LIMIT = re.compile(r"(Assoc|Association|QOS)(Grp|Max|Min)(\w*)")
# What a single job exceeds or lacks does not change while it waits.
_OF_ONE_JOB = re.compile(r"PerJob|PerNode|WallDuration|NotSatisfied")


def explain_reason(text: str) -> Reason:
    """Say why a job waits. Blanks and underscores in Slurm's text are the same here.

    An unknown reason is told as it is, as kind WAITING.
    """
    shown = text.strip().strip("()").replace("_", " ")
    head, _, detail = shown.partition(",")
    key = head.replace(" ", "").lower()
    if key == "reqnodenotavail" and "unavailablenodes" in detail.lower():
        nodes = detail.partition(":")[2].strip()
        words = "nodes it asks for are down, drained or not responding"
        return Reason(shown, _A, f"{words}: {nodes}" if nodes else words)
    if key in _REASONS:
        return Reason(shown, *_REASONS[key])
    if "held" in head.lower().split():
        return Reason(shown, _A, "it is held")
    match = _LIMIT.match(head.replace(" ", ""))
    if match:
        return _explain_limit(shown, *match.groups())
    return Reason(shown, _W, "Slurm's reason is not known here")


def _explain_limit(text: str, whose: str, kind: str, rest: str) -> Reason:
    owner = "QOS" if whose == "QOS" else "account"
    name = re.sub(r"Limit$|NotSatisfied$", "", rest)
    what = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", name) or "resources"
    if kind == "Min":
        return Reason(text, _N, f"it asks for less than its {owner} demands ({what})")
    if kind == "Max" and _OF_ONE_JOB.search(rest):
        return Reason(text, _N, f"it asks for more than its {owner} allows a job ({what})")
    return Reason(text, _W, f"its {owner} has reached a limit ({what})")


# --- How a job ended ---


class Exit(NamedTuple):
    """A job's exit code, and the signal that ended it (0: none)."""

    code: int
    signal: int


def parse_exit_code(text: str) -> Exit | None:
    """Read 'code:signal', as scontrol and sacct have it, or squeue's plain number.

    The plain number is the status that wait() gives: 768 is exit code 3, and 9 is signal 9
    (22.05.8). None for text that is neither.
    """
    code, colon, signal = text.strip().partition(":")
    try:
        if colon:
            return Exit(int(code), int(signal))
        status = int(code)
    except ValueError:
        return None
    if status < 0 or status > 0xFFFF:
        return None
    signal_number = status & 0x7F
    return Exit(0, signal_number) if signal_number else Exit(status >> 8, 0)


# Slurm gives signal 53 where it could not start the script [22.05.8, 'ExitCode=0:53'].
_LAUNCH_SIGNAL = 53
# And 125 where it ran out of memory (SIG_OOM in Slurm's code).
_OOM_SIGNAL = 125
_SIGNAL_NAMES = {1: "SIGHUP", 2: "SIGINT", 6: "SIGABRT", 7: "SIGBUS", 9: "SIGKILL",
                 11: "SIGSEGV", 15: "SIGTERM"}

_ENDINGS: dict[str, str] = {
    "COMPLETED": "ended in order",
    "CANCELLED": "was cancelled",
    "FAILED": "failed",
    "TIMEOUT": "was stopped at its time limit",
    "NODE_FAIL": "was lost: a node of it failed",
    "PREEMPTED": "was stopped for a job that goes before it",
    "BOOT_FAIL": "could not run: its nodes did not boot",
    "DEADLINE": "was stopped at its deadline",
    "OUT_OF_MEMORY": "was killed: it ran out of memory",
}

_DOINGS: dict[str, str] = {
    "RUNNING": "is running",
    "SUSPENDED": "is suspended",
    "STOPPED": "is stopped",
    "COMPLETING": "is ending",
    "CONFIGURING": "waits for its nodes to start",
    "POWER_UP_NODE": "waits for its nodes to start",
    "STAGE_OUT": "is ending: its data are being staged out",
    "SIGNALING": "is being signalled",
    "RESIZING": "is changing its size",
    "REVOKED": "was taken over by another cluster",
    "LAUNCH_FAILED": "could not be started and is tried again",
    "RECONFIG_FAIL": "waits: its nodes could not be set up",
    "UPDATE_DB": "is being recorded",
    "EXPEDITING": "was requeued and goes before others",
    "REQUEUED": "was requeued and waits again",
    "REQUEUE_FED": "was requeued and waits again",
    "REQUEUE_HOLD": "was requeued and is held; it needs an administrator",
    "SPECIAL_EXIT": "was requeued and is held; it needs an administrator",
    "RESV_DEL_HOLD": "is held, since its reservation was deleted; it needs an administrator",
}

_NO_TIME = frozenset(["", "N/A", "NONE", "Unknown", "(null)", "0", "Invalid"])
# Reasons that say no more than the state does.
_EMPTY_REASONS = frozenset(["", "None", "(null)", "NonZeroExitCode", "TimeLimit"])


def job_note(job_id: str, data: Mapping[str, str]) -> str:
    """Say in a sentence or two what is known of a job.

    :param data: What ``parsing.parse_jobs`` gives: 'state', 'reason', 'exit_code', 'nodes',
        'start', 'end', 'time_limit', 'restarts', 'tasks'; each may be missing.
    """
    state = parse_job_state(data.get("state", ""))
    if state.is_over:
        note = _over_note(job_id, state, data)
    elif state.name == "PENDING":
        note = _pending_note(job_id, data)
    else:
        note = _active_note(job_id, state, data)
    restarts = data.get("restarts", "0")
    # Not int(): a superscript is a digit, too.
    if restarts.isascii() and restarts.isdigit() and restarts.strip("0"):
        note += f" It was requeued {'once' if restarts == '1' else restarts + ' times'}."
    if data.get("tasks"):
        note += f" Its parts: {data['tasks']}."
    return note


def _pending_note(job_id: str, data: Mapping[str, str]) -> str:
    reason = explain_reason(data.get("reason", "") or "None")
    what = {Wait.WAITING: "is waiting",
            Wait.ADMIN: "is waiting and needs an administrator",
            Wait.NEVER: "is waiting but can never run as it is"}[reason.kind]
    note = f"Job {job_id} {what}: {reason.words} ({reason.text})."
    if data.get("start", "") not in _NO_TIME:
        note += f" Expected start: {data['start']}."
    return note


def _active_note(job_id: str, state: JobState, data: Mapping[str, str]) -> str:
    doing = _DOINGS.get(state.name, "is in a state that is not known here")
    note = f"Job {job_id} {doing} ({state.name})"
    if data.get("nodes"):
        note += f" on {data['nodes']}"
    if state.phase is Phase.ACTIVE and data.get("start", "") not in _NO_TIME:
        note += f", started {data['start']}"
    reason = data.get("reason", "")
    if state.phase is Phase.WAITING and reason not in _EMPTY_REASONS:
        note += f": {explain_reason(reason).words} ({explain_reason(reason).text})"
    return note + "."


def _over_note(job_id: str, state: JobState, data: Mapping[str, str]) -> str:
    note = f"Job {job_id} {_ENDINGS[state.name]}"
    if state.name == "TIMEOUT" and data.get("time_limit"):
        note += f" of {data['time_limit']}"
    if state.by:
        note += f" by user {state.by}"
    note += f" ({state.name}"
    reason = data.get("reason", "")
    if state.phase is Phase.FAILED and reason not in _EMPTY_REASONS:
        note += f", {reason.replace('_', ' ')}"
    note += ")"
    if data.get("nodes"):
        note += f" on {data['nodes']}"
    if data.get("end", "") not in _NO_TIME:
        note += f" at {data['end']}"
    return f"{note}.{_exit_words(data.get('exit_code', ''))}"


def _exit_words(text: str) -> str:
    """' Exit code 3.', and what is known of where it comes from; '' for a clean end."""
    ended = parse_exit_code(text)
    # The state has said so already where it is memory.
    if ended is None or ended in ((0, 0), (0, _OOM_SIGNAL)):
        return ""
    if ended.signal == _LAUNCH_SIGNAL:
        return (f" Slurm could not start its script (exit {ended.code}:{ended.signal}); most often "
                "the folder of its output file is not there or cannot be written to.")
    if ended.signal:
        name = _SIGNAL_NAMES.get(ended.signal)
        return f" Killed by signal {ended.signal}{f' ({name})' if name else ''}."
    if ended.code > 128 and ended.code - 128 in _SIGNAL_NAMES:
        name = _SIGNAL_NAMES[ended.code - 128]
        return f" Exit code {ended.code} (a command of it got {name})."
    return f" Exit code {ended.code}."
