"""Slurm's reasons: why a job waits, and what ended one, in plain words.

The names are those of Slurm 22.05 to 26.05 (job_reason_codes in its documentation). In their
place Slurm may write free text, which squeue shows as it is and scontrol with '_' for each blank.
Such text contains names (of reservations, partitions, nodes) that may have an '_' of their own, so
it is changed only where its wording is listed here.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import NamedTuple


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
_KINDS = (_W, _A, _N)
_NOT_LOOKED = "the scheduler has not looked at it yet"

# By the reason's name, without blanks, in lower case.
_REASONS: dict[str, tuple[Wait, str]] = {
    "none": (_W, _NOT_LOOKED),
    "waitingforscheduling": (_W, _NOT_LOOKED),
    "scheddefer": (_W, _NOT_LOOKED),
    "priority": (_W, "jobs with higher priority are ahead of it"),
    "resources": (_W, "the nodes it needs are in use"),
    "constraints": (_W, "no nodes have what it requests at the moment"),
    "reservation": (_W, "its reservation has not begun, or is in use"),
    "reqnodenotavail": (_W, "nodes it requests are in use or reserved"),
    "reservationdeleted": (_A, "its reservation was deleted"),
    "reservationinvalid": (_A, "its reservation is no longer valid"),
    "resvinvalid": (_A, "its reservation is no longer valid"),
    "begintime": (_W, "its earliest start time has not been reached"),
    "dependency": (_W, "it depends on a job that has not ended"),
    "dependencyneversatisfied": (_N, "it depends on a job that did not end as required"),
    "licenses": (_W, "the licenses it needs are in use"),
    "cleaning": (_W, "its previous run is still being cleaned up"),
    "prolog": (_W, "the prolog is running"),
    "configuring": (_W, "its nodes are being started"),
    "jobarraytasklimit": (_W, "as many tasks of its array are running as may run at once"),
    "maxpoweredupnodes": (_W, "as many nodes are powered up as are allowed"),
    "powernotavail": (_W, "there is not enough power"),
    "powerreserved": (_W, "power is reserved for others"),
    "nvidiaimexchannels": (_W, "the IMEX channels it needs are in use"),
    "mpiportsbusy": (_W, "the ports it needs are in use"),
    "burstbufferresources": (_W, "the burst buffer space it needs is in use"),
    "burstbufferstagein": (_W, "its data are being staged in"),
    "burstbufferoperation": (_A, "an operation of its burst buffer failed"),
    "blockfreeaction": (_W, "its block of nodes is being freed"),
    "blockmaxerror": (_A, "its block of nodes had too many errors"),
    "waitingfortasks": (_W, "it waits for tasks to end"),
    "accountingpolicy": (_W, "a limit of its account or QOS is reached"),
    "associationjoblimit": (_W, "its account has reached its number of jobs"),
    "associationresourcelimit": (_W, "its account has reached a limit on resources"),
    "associationtimelimit": (_W, "its account has reached its limit of time"),
    "qosjoblimit": (_W, "its QOS has reached its number of jobs"),
    "qosresourcelimit": (_W, "its QOS has reached a limit on resources"),
    "qostimelimit": (_W, "its QOS has reached its limit of time"),
    "qosusagethreshold": (_W, "its account is below the usage threshold of its QOS"),
    "fedjoblock": (_W, "the clusters of the federation are deciding which of them runs it"),
    "federationjoblock": (_W, "the clusters of the federation are deciding which of them runs it"),
    "partitiondown": (_A, "its partition is down"),
    "partitioninactive": (_A, "its partition is inactive"),
    "nodedown": (_A, "a node it needs is down"),
    "frontenddown": (_A, "no front end node is up"),
    "jobheldadmin": (_A, "it is held by an administrator"),
    "jobhelduser": (_A, "it is held; 'scontrol release' releases it"),
    "jobholdmaxrequeue": (_A, "it was requeued too often and is held"),
    "systemfailure": (_A, "Slurm, the file system or the network failed"),
    "invalidburstbuffer": (_A, "its burst buffer request is not valid"),
    "partitionnodelimit": (
        _N,
        "it requests more (or fewer) nodes than its partition allows, or those nodes are down",
    ),
    "partitiontimelimit": (_N, "its time limit is over that of its partition"),
    "partitionconfig": (_N, "its partition does not have what it requests"),
    "maxmemperlimit": (_N, "it requests more memory per CPU or node than a job may have"),
    "badconstraints": (_N, "no nodes have what it requests"),
    "accountnotallowed": (_N, "its account may not use the partition"),
    "qosnotallowed": (_N, "its QOS may not use the partition"),
    "groupnotallowed": (_N, "its user's group may not use the partition"),
    "invalidaccount": (_N, "its account is not valid"),
    "invalidqos": (_N, "its QOS is not valid"),
    "jobarraytaskinvalid": (_N, "its array is not valid"),
    "deadline": (_N, "it cannot end before its deadline"),
    # Ends, which a job that was requeued can still have.
    "joblaunchfailure": (_W, "its last run could not be launched"),
    "nonzeroexitcode": (_W, "its last run failed"),
    "raisedsignal": (_W, "its last run was ended by a signal"),
    "timelimit": (_W, "its last run reached its time limit"),
    "inactivelimit": (_W, "its last run was inactive for too long"),
    "outofmemory": (_W, "its last run ran out of memory"),
}

# Free text; '{}' stands for anything, and the words may repeat the first such part.
_TEXTS: tuple[tuple[str, Wait, str], ...] = (
    (
        "ReqNodeNotAvail, UnavailableNodes:{}",
        _A,
        "nodes it requests are down, drained or not responding: {}",
    ),
    (
        "ReqNodeNotAvail(Unavailable:{})",
        _A,
        "nodes it requests are down, drained or not responding: {}",
    ),
    (
        "ReqNodeNotAvail, May be reserved for other job",
        _W,
        "nodes it requests are in use, drained, or reserved for other jobs",
    ),
    (
        "ReqNodeNotAvail, Reserved for maintenance",
        _W,
        "nodes it requests are reserved for maintenance",
    ),
    (
        "Nodes required for job are DOWN, DRAINED or reserved for jobs in higher priority partitions",
        _W,
        "the nodes it needs are down, drained or reserved for jobs with higher priority",
    ),
    (
        "Nodes required for job are DOWN, DRAINED or reserved",
        _W,
        "the nodes it needs are down, drained or reserved for jobs with higher priority",
    ),
    ("Reservation {} was deleted", _A, "its reservation '{}' was deleted"),
    ("Reservation {} is invalid", _A, "its reservation '{}' is no longer valid"),
    (
        "launch failed requeued held",
        _A,
        "it could not be started on its node (often because the prolog failed) and is held",
    ),
    (
        "launch failure limit exceeded requeued held",
        _A,
        "it could not be started on its nodes too often and is held",
    ),
    (
        "user env retrieval failed requeued held",
        _A,
        "its user's environment could not be retrieved on its node, and it is held",
    ),
    ("job requeued in held state", _A, "it was requeued and is held"),
    (
        "job requeued in special exit state",
        _A,
        "it was requeued because of its exit code and is held",
    ),
    (
        "License request '{}' is no longer valid, holding job",
        _A,
        "the licenses '{}' no longer exist, and it is held",
    ),
    (
        "Job's account not permitted to use this partition {}",
        _N,
        "its account may not use the partition",
    ),
    (
        "Job's account not known, so it can't use this partition {}",
        _N,
        "its account may not use the partition",
    ),
    ("Job's QOS not permitted to use this partition {}", _N, "its QOS may not use the partition"),
    (
        "Job's QOS not known, so it can't use this partition {}",
        _N,
        "its QOS may not use the partition",
    ),
    (
        "uid {} not in group permitted to use this partition {}",
        _N,
        "its user's group may not use the partition",
    ),
    ("Job is at or exceeds QOS {}", _W, "its QOS has reached a limit"),
    ("Job is at or exceeds association {}", _W, "its account has reached a limit"),
    ("burst_buffer/{}: Stage-out in progress", _W, "its data are being staged out"),
    ("burst_buffer/{}", _A, "an operation of its burst buffer failed"),
    ("Burst buffer {} error", _A, "an operation of its burst buffer failed"),
)


def _pattern(template: str) -> re.Pattern[str]:
    """A template as squeue or, with '_' for blanks, as scontrol writes it."""
    words = "(.*)".join(map(re.escape, template.split("{}")))
    words = words.replace(r",\ ", ",[ _]?").replace(r"\ ", "[ _]")
    return re.compile(words, re.DOTALL)


_TEXT_PATTERNS = tuple(
    (_pattern(template), template, kind, words) for template, kind, words in _TEXTS
)

_LIMIT = re.compile(r"(Assoc|Association|QOS)(Grp|Max|Min)(\w*)")
# Limits that a QOS sets on all jobs of an account or user.
_TOTAL = re.compile(r"Max(\w+?)Per(Account|User)")
# What a single job exceeds or lacks does not change while it waits.
_OF_ONE_JOB = re.compile(r"PerJob|PerNode|WallDuration|NotSatisfied")


def explain_reason(text: str) -> Reason:
    """Say why a job waits. Blanks and underscores in Slurm's own words are the same here.

    An unknown reason is shown as it is, as kind WAITING. Of the reasons of several tasks of an
    array ('Resources,Dependency'), the mildest counts: some of it may still run.
    """
    first, later = _apart(_bare(text))
    reasons = [_explain(first), *later]
    mildest = min(reasons, key=lambda reason: _KINDS.index(reason.kind))
    return mildest._replace(text=",".join(reason.text for reason in reasons))


def _explain(text: str) -> Reason:
    """The meaning of one reason."""
    known = _of_text(text) or _of_name(text)
    if known is not None:
        return known
    # A detail that is not known, behind a name that is.
    known = _of_name(re.split("[,:(]", text, maxsplit=1)[0])
    if known is not None:
        return known._replace(text=text)
    if "held" in re.split(r"[\W_]+", text.lower()):
        return Reason(text, _A, "it is held")
    return Reason(text, _W, "Slurm's reason is not known here")


def _bare(text: str) -> str:
    """A reason without the parentheses that squeue puts around it in a list of nodes."""
    text = text.strip()
    return text[1:-1].strip() if text.startswith("(") and text.endswith(")") else text


def _of_text(text: str) -> Reason | None:
    """The meaning of a free text; None when it is not a known one."""
    for pattern, template, kind, words in _TEXT_PATTERNS:
        match = pattern.fullmatch(text)
        if match:
            found = match.groups()
            return Reason(
                template.format(*found), kind, words.format(*found) if "{}" in words else words
            )
    return None


def _of_name(name: str) -> Reason | None:
    """The meaning of one reason's name; None when it is not known."""
    name = name.strip()
    key = re.sub(r"[\s_]", "", name)
    if key.lower() in _REASONS:
        return Reason(name.replace("_", " "), *_REASONS[key.lower()])
    match = _LIMIT.fullmatch(key)
    if match:
        return _explain_limit(name, *match.groups())
    match = _TOTAL.fullmatch(key)
    if match:
        return Reason(
            name,
            _W,
            f"the jobs of its {match[2].lower()} have reached a limit of its "
            f"QOS ({_split(match[1])})",
        )
    return None


def _apart(text: str) -> tuple[str, list[Reason]]:
    """A reason, and those that squeue wrote behind it for other tasks of the same array."""
    later: list[Reason] = []
    while True:
        rest, _, last = text.rpartition(",")
        name = _of_name(last) if rest else None
        if name is None:
            return text, later
        later.insert(0, name)
        text = rest


def _explain_limit(text: str, whose: str, kind: str, rest: str) -> Reason:
    owner = "QOS" if whose == "QOS" else "account"
    what = _split(re.sub(r"Limit$|NotSatisfied$", "", rest)) or "resources"
    if kind == "Min":
        return Reason(text, _N, f"it requests less than its {owner} requires ({what})")
    if kind == "Max" and _OF_ONE_JOB.search(rest):
        return Reason(text, _N, f"it requests more than its {owner} allows a job ({what})")
    return Reason(text, _W, f"its {owner} has reached a limit ({what})")


def _split(name: str) -> str:
    """'Cpu Run Mins' of 'CpuRunMins'."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", name)


# --- What ended a job ---

# What the reason of a job that has ended adds to its state; '' where the state says as much.
_ENDS: dict[str, str] = {
    "none": "",
    "nonzeroexitcode": "",
    "timelimit": "",
    "nodedown": "",
    "outofmemory": "",
    "raisedsignal": "",
    "deadline": "",
    "joblaunchfailure": "it could not be launched",
    "systemfailure": "Slurm, the file system or the network failed",
    "inactivelimit": "it was inactive for too long",
    "partitiondown": "its partition was set to down",
    "badconstraints": "no nodes have what it requests",
    "dependencyneversatisfied": "it depends on a job that did not end as required",
    "burstbufferoperation": "an operation of its burst buffer failed",
    "invalidaccount": "its account is not valid",
    "invalidqos": "its QOS is not valid",
}
_END_TEXTS: tuple[tuple[str, str], ...] = (
    ("Reservation {}, which this job was running under, has ended", "its reservation '{}' ended"),
    ("Job is at or exceeds QOS {}", "it reached a limit of its QOS"),
    ("Job is at or exceeds association {}", "it reached a limit of its account"),
    ("Unable to load job batch script", "Slurm lost its script"),
    ("Unable to load job environment", "Slurm lost its environment"),
    ("burst_buffer/{}", "an operation of its burst buffer failed"),
    ("Burst buffer {} error", "an operation of its burst buffer failed"),
)
_END_PATTERNS = tuple((_pattern(template), words) for template, words in _END_TEXTS)
_RAISED = re.compile(r"RaisedSignal:([0-9]{1,3})\b")


def explain_end(text: str) -> str | None:
    """Say what the reason of a job that has ended means, in words that follow 'failed: '.

    :return: '' when it says no more than the job's state does; None when it is not an end: what the
        job last waited for, or a reason that is not known.
    """
    text = _bare(text)
    for pattern, words in _END_PATTERNS:
        match = pattern.fullmatch(text)
        if match:
            return words.format(*match.groups()) if "{}" in words else words
    return _ENDS.get(re.sub(r"[\s_]", "", text.partition(":")[0]).lower() or "none")


def raised_signal(text: str) -> int:
    """The signal in a reason such as 'RaisedSignal:9(Killed)' (23.02 and later); 0 for none."""
    match = _RAISED.match(text.strip())
    return int(match[1]) if match else 0
