"""What users see about a job: its state, why it waits, how it ended, in plain words."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from typing import NamedTuple

from .reasons import Wait, explain_end, explain_reason, raised_signal
from .states import JobState, Phase, parse_job_state

# --- How a job ended ---


class Exit(NamedTuple):
    """A job's exit code, and the signal that ended it (0: none)."""

    code: int
    signal: int


_EXIT_CODE = re.compile(r"([0-9]{1,10})(?::([0-9]{1,10}))?")


def parse_exit_code(text: str) -> Exit | None:
    """Read 'code:signal', as scontrol and sacct have it, or squeue's plain number.

    The plain number, up to 22.05, is the status that wait() gives: 768 is exit code 3, and 9 is
    signal 9. None for text that is neither.
    """
    match = _EXIT_CODE.fullmatch(text.strip())
    if match is None:
        return None
    if match[2]:
        return Exit(int(match[1]), int(match[2]))
    status = int(match[1])
    if status > 0xFFFF:
        return None
    signal_number = status & 0x7F
    return Exit(0, signal_number) if signal_number else Exit(status >> 8, 0)


# Slurm gives signal 53 where it could not start the script [22.05.8, 'ExitCode=0:53'].
_LAUNCH_SIGNAL = 53
# And 125 where it ran out of memory (SIG_OOM in Slurm's code).
_OOM_SIGNAL = 125
_SIGNAL_NAMES = {
    1: "SIGHUP",
    2: "SIGINT",
    6: "SIGABRT",
    7: "SIGBUS",
    9: "SIGKILL",
    11: "SIGSEGV",
    15: "SIGTERM",
}

_ENDINGS: dict[str, str] = {
    "COMPLETED": "ended normally",
    "CANCELLED": "was cancelled",
    "FAILED": "failed",
    "TIMEOUT": "was stopped at its time limit",
    "NODE_FAIL": "was lost: one of its nodes failed",
    "PREEMPTED": "was stopped for a job with higher priority",
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
    "EXPEDITING": "was requeued and takes precedence over others",
    "REQUEUED": "was requeued and waits again",
    "REQUEUE_FED": "was requeued and waits again",
    "REQUEUE_HOLD": "was requeued and is held",
    "SPECIAL_EXIT": "was requeued and is held",
    "RESV_DEL_HOLD": "is held: its reservation was deleted or is no longer valid",
}
_HELD = frozenset(["REQUEUE_HOLD", "SPECIAL_EXIT", "RESV_DEL_HOLD"])

_NO_TIME = frozenset(["", "N/A", "NONE", "Unknown", "(null)", "0", "Invalid"])
# Reasons that need not be shown.
_EMPTY_REASONS = frozenset(["", "None", "(null)", "NonZeroExitCode", "TimeLimit"])


def job_note(job_id: str, data: Mapping[str, str], now: float | None = None) -> str:
    """Say in a sentence or two what is known about a job.

    :param data: What ``parsing.parse_jobs`` gives: 'state', 'reason', 'exit_code', 'nodes',
        'start', 'end', 'time_limit', 'restarts', 'tasks'; each may be missing.
    :param now: Seconds since the epoch; None for the clock's.
    """
    state = parse_job_state(data.get("state", ""))
    if state.is_over:
        note = _over_note(job_id, state, data)
    elif state.name == "PENDING":
        note = _pending_note(job_id, data, now)
    else:
        note = _active_note(job_id, state, data, now)
    restarts = data.get("restarts", "0")
    # Not int(): a superscript is a digit, too.
    if restarts.isascii() and restarts.isdigit() and restarts.strip("0"):
        note += f" It was requeued {'once' if restarts == '1' else restarts + ' times'}."
    if data.get("tasks"):
        note += f" Its parts: {data['tasks']}."
    return note


def _pending_note(job_id: str, data: Mapping[str, str], now: float | None) -> str:
    reason = explain_reason(data.get("reason", "") or "None")
    start = _expected_start(data, now)
    # Whatever Slurm has planned a start for needs nobody's help.
    kind = Wait.WAITING if start else reason.kind
    what = {
        Wait.WAITING: "is waiting",
        Wait.ADMIN: "is waiting and needs an administrator",
        Wait.NEVER: "is waiting but can never run as it is",
    }[kind]
    note = f"Job {job_id} {what}: {reason.words} ({reason.text})."
    return f"{note} Expected start: {start}." if start else note


def _known_time(text: str) -> str:
    return "" if text in _NO_TIME else text


# Seconds after an expected start until it is no longer one: the scheduler may be late.
_START_GRACE = 600.0


def _expected_start(data: Mapping[str, str], now: float | None) -> str:
    """When a job that waits is expected to start; '' when that is not known, or long past."""
    start = _known_time(data.get("start", ""))
    try:
        due = time.mktime(time.strptime(start, "%Y-%m-%dT%H:%M:%S"))
    except (ValueError, OverflowError):
        return start
    return start if due + _START_GRACE > (time.time() if now is None else now) else ""


def _active_note(job_id: str, state: JobState, data: Mapping[str, str], now: float | None) -> str:
    start = _known_time(data.get("start", ""))
    doing = _DOINGS.get(state.name, "is in a state that is not known here")
    if state.name in _HELD and not _expected_start(data, now):
        doing += "; it needs an administrator"
    note = f"Job {job_id} {doing} ({state.name})"
    if data.get("nodes"):
        note += f" on {data['nodes']}"
    if state.phase is Phase.ACTIVE and start:
        note += f", started {start}"
    reason = data.get("reason", "")
    if state.phase is Phase.WAITING and reason not in _EMPTY_REASONS:
        why = explain_reason(reason)
        note += f": {why.words} ({why.text})"
    return note + "."


def _over_note(job_id: str, state: JobState, data: Mapping[str, str]) -> str:
    reason = data.get("reason", "")
    exit_words = _exit_words(state, data)
    meaning = explain_end(reason)
    if meaning and exit_words and reason == "JobLaunchFailure":
        # Up to 22.05, this is also said of scripts that ended by a signal.
        meaning = ""
    if exit_words and reason.startswith("RaisedSignal"):
        reason = ""
    note = f"Job {job_id} {_ending(state, data, meaning)}"
    if state.by:
        note += f" by user {state.by}"
    if meaning:
        note += f": {meaning}"
    note += f" ({state.name}"
    # What a job that was cancelled last waited for did not end it.
    if reason not in _EMPTY_REASONS and (state.phase is Phase.FAILED or meaning):
        note += f", {reason}"
    note += ")"
    if data.get("nodes"):
        note += f" on {data['nodes']}"
    if _known_time(data.get("end", "")):
        note += f" at {data['end']}"
    return f"{note}.{exit_words}"


def _ending(state: JobState, data: Mapping[str, str], meaning: str | None) -> str:
    """What the state says of a job's end; without the cause where the reason names another."""
    ending = _ENDINGS[state.name]
    if state.name == "TIMEOUT":
        if meaning:
            return "was stopped"
        limit = data.get("time_limit")
        return f"{ending} of {limit}" if limit else ending
    return ending.partition(":")[0] if meaning else ending


# Ends that the controller decides on without a word from the node: whatever exit code it writes
# ('0:15' in 22.05.8, '0:1' from 23.02 on), no process of the job was seen to get a signal.
_WITHOUT_SIGNAL = frozenset(["NODE_FAIL", "BOOT_FAIL"])
# What the controller writes for 'not ended normally': a bare 1, which reads like a signal.
_BARE_ONE = (0, 1)


def _exit_words(state: JobState, data: Mapping[str, str]) -> str:
    """' Exit code 3.', and what is known about its origin; '' for a clean end."""
    raised = raised_signal(data.get("reason", ""))
    ended = parse_exit_code(data.get("exit_code", ""))
    if raised and (ended is None or ended == (0, 0)):
        ended = Exit(0, raised)
    # The state has said so already where it is memory.
    if ended is None or ended in ((0, 0), (0, _OOM_SIGNAL)):
        return ""
    if ended.signal and not raised:
        unstarted = state.phase is Phase.CANCELLED and not data.get("nodes")
        if state.name in _WITHOUT_SIGNAL or ended == _BARE_ONE or unstarted:
            return ""
    if ended.signal == _LAUNCH_SIGNAL:
        return (
            f" Slurm could not start its script (exit {ended.code}:{ended.signal}); usually "
            "because the directory of its output file is missing or not writable."
        )
    if ended.signal:
        name = _SIGNAL_NAMES.get(ended.signal)
        return f" Killed by signal {ended.signal}{f' ({name})' if name else ''}."
    if ended.code > 128 and ended.code - 128 in _SIGNAL_NAMES:
        name = _SIGNAL_NAMES[ended.code - 128]
        return f" Exit code {ended.code} (one of its commands got {name})."
    return f" Exit code {ended.code}."
