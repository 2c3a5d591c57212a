"""What a failed Slurm command's messages mean.

Return codes hardly tell: 'no such job' and 'the controller does not answer' are both 1. stderr
does. The messages are those of Slurm's error tables of 20.11 to 26.05; those marked [V] in the tests
were seen on 22.05.8.

Unclear is the default. A refusal is believed only when its text is known as one: for any other
text sbatch may have submitted the job all the same, and squeue and scancel may have met trouble
that passes.
"""

from __future__ import annotations

import re
from pathlib import PurePath

from ...talk.commands import CommandResult, Failure


def _any_of(*texts: str) -> re.Pattern[str]:
    return re.compile("|".join(map(re.escape, texts)), re.IGNORECASE)


# Messages about trouble that passes. A message that is in no list is taken for one of these too;
# these are here because they contain words of a refusal.
_TRANSIENT = _any_of(
    "Socket timed out on send/recv operation",
    "Unable to contact slurm controller",
    "Invalid authentication credential",
    "Protocol authentication error",
    "Failed to connect to authentication agent",
    "Munge encode failed",
    "Munge decode failed",
    "Unable to create job record, try again",
    "Error generating job credential",
    "Resource temporarily unavailable",
    "try again",
)
# The same of a connection to one of several controllers (26.05). Where the next one answered, the
# command returns 0, and its answer is whole.
_CONNECTION = _any_of(
    "Connection timed out",
    "Connection forced closed",
    "Connection rejected by handler",
    "Rate limit exceeded",
    "Controller is in standby mode",
)
_UNKNOWN_JOB = _any_of(
    "Invalid job id specified",
    "Job/step already completing or completed",
)
_DENIED = _any_of(
    "Access/permission denied",
    "Access denied to requested",
    "Invalid user id",
    "not permitted to use this partition",
    "System submissions disabled",
)
# The controller's refusals: Slurm's error table (slurm_errno.c), as far as they are about what was
# requested. Nothing here can come from a connection that broke.
_REFUSED = _any_of(
    "Invalid partition name specified",
    "No partition specified or system default partition",
    "Requested partition configuration not available",
    "Required partition not available",
    "Requested node configuration is not available",
    "Requested nodes are busy",
    "Required node not available",
    "Node count specification invalid",
    "Invalid node name specified",
    "Invalid node list",
    "Invalid feature specification",
    "Requested reservation is invalid",
    "Requested reservation is in use",
    "Requested reservation not usable now",
    "Reservation is inactive",
    "Requested time limit is invalid",
    "Job violates accounting/QOS policy",
    "Invalid account or account/partition combination",
    "Invalid account",
    "Invalid qos",
    "Invalid wckey",
    "Invalid group id",
    "Invalid license",
    "Invalid generic resource",
    "Invalid Trackable RESource",
    "Invalid job array specification",
    "Invalid burst buffer",
    "Burst Buffer request invalid",
    "Invalid core spec",
    "Core specification",
    "Invalid cpu frequency",
    "Invalid distribution specification",
    "Memory required by task is not available",
    "CPU count specification invalid",
    "CPU count per node can not be satisfied",
    "Task count specification invalid",
    "Task distribution specification invalid",
    "More processors requested than permitted",
    "Job dependency problem",
    "Job dependency can not be satisfied",
    "Duplicate job id",
    "Pathname of a file, directory or other parameter too long",
    "Job size specification",
    "Job description not specified",
    "Requested switches",
    "Requested topology",
    "Script is empty or only contains whitespace",
    "Batch script is empty",
    "Requested operation not presently available",
    "Requested operation is presently disabled",
    "Requested operation not supported on this system",
    "Requested nodes not in this partition",
    "Requested account has breached requested QOS usage threshold",
    "Requested GRES option unsupported",
    "Multiple partition job request not supported",
    "Multiple KNL NUMA and/or MCDRAM constraints",
    "Invalid preferred feature specification",
    "Invalid extra constraints specification",
    "Invalid GRES specification",
    "Invalid mcs_label specified",
    "Invalid --nice value",
    "Invalid time-min specification",
    "Invalid or unknown association",
    "Job --batch option is invalid",
    "Job script not specified",
    "Job cannot be submitted without the current working directory",
    "Time limit specification required",
    "Only batch jobs are accepted or processed",
    "Circular job dependency",
    "Duplicate generic resource",
    "Burst Buffer permission denied",
    # Of topologies and GPUs, 25.11 and 26.05.
    "Required nodes do not fit topology",
    "Required nodes lack available resources",
    "No suitable topology unit found",
    "Insufficient resources in topology unit",
    "Exceeded maximum node limit during topology allocation",
    "No available nodes in topology",
    "RestrictedCoresPerGPU",
    "Only allowed to",
    "Required tasks-per",
    "Account not permitted to use this partition",
    "QOS not permitted to use this",
    "Incompatible versions of client and server code",
)
# What the commands themselves refuse before they query the controller: options and scripts.
# They name the command, and are not a line of 'Batch job submission failed'.
_CLIENT_REFUSED = re.compile(
    r"^(?:sbatch|squeue|scontrol|scancel|sinfo|sacct): (?:"
    r"unrecognized option|invalid option|option .* (?:requires|is ambiguous|doesn't allow)|"
    r"(?:error|fatal): (?:"
    r"invalid (?:option|directive|number|numeric|time|partition|job id|user|--|\S+ specif)|"
    r"Unable to open file|Unmatched|unrecognized|"
    r"Batch script|This does not look like a batch script|Script arguments|"
    r"--\S+ (?:is|requires|must)|Unknown (?:option|user)|"
    r"'?[\w.-]+'? can't be reached now, or it is an invalid entry|No cluster|"
    r"Unable to process configuration file|.*format specification)|"
    r"fatal: (?:.*mutually exclusive|\S+: line [0-9]+: Un(?:matched|expected)|"
    r"Script .* too (?:large|big)|Inconsistent values|You can not have))",
    re.MULTILINE | re.IGNORECASE,
)
# What comes with an answer that lacks what was requested, although the command returns 0: squeue
# for a user without a name, sinfo and squeue for a field that they do not have.
_EMPTY_ANSWER = re.compile(r"Invalid user: |format specification", re.IGNORECASE)
# Of sbatch: the queue takes no more jobs now. sbatch retries for 120 seconds by itself, after it
# said so, and what it says at last shows how that ended.
_RETRIES = re.compile(
    r"temporarily unable to accept job|job queue full|"
    r"Job creation temporarily disabled",
    re.IGNORECASE,
)
_AT_LAST = re.compile(r"Batch job submission failed: (.*)")
_STILL_FULL = re.compile(
    rf"Resource temporarily unavailable|MaxJobCount|{_RETRIES.pattern}", re.IGNORECASE
)
_STILL_BUSY = re.compile(r"nodes are busy|ports are in use", re.IGNORECASE)
# The limits of accounting are named on a line of their own ('AssocMaxSubmitJobLimit') before the
# general 'Job violates accounting/QOS policy', which may as well be about the job's size.
_SUBMIT_LIMIT = re.compile(r"\w+SubmitJobs?(?:Per\w+)?(?:Limit)?\b", re.IGNORECASE)
_POLICY = "accounting/QOS policy"
_HAS_ID = re.compile(r"^(?:Submitted batch job )?[0-9]+(?:;\S+)?\s*$", re.MULTILINE)
# An error line of a command that went on nevertheless and returned 0. Most are harmless: sites'
# slurm.conf have blemishes that every call complains about.
_IGNORED_ERROR = re.compile(
    r"^(?:squeue|sinfo|scontrol|scancel): (?:error|fatal): (?!.*retrying)", re.MULTILINE
)
# scancel's return code is Slurm's error number modulo 256: 2002 for 'Access/permission denied'.
_SCANCEL_CODES = {210: Failure.DENIED, 140: Failure.TRANSIENT, 8: Failure.TRANSIENT}


def classify(returncode: int | None, stdout: str, stderr: str, command: str = "") -> Failure | None:
    """Say what kind of failure a command's result is; None when it is none.

    A command that was not started is PERMANENT when there is no such command, and one that was
    killed at its timeout is TRANSIENT: whether it did its work is unknown. So is every failure
    whose text is not known as a refusal. After a TRANSIENT failure of sbatch look the job up
    before submitting it again.

    :param returncode: None when the command was not started, or killed.
    :param command: The command's name ('scancel' has return codes of its own).
    """
    if returncode is None:
        missing = re.search(r"not found|No such file|not start|Permission denied", stderr, re.I)
        return Failure.PERMANENT if missing else Failure.TRANSIENT
    if returncode == 0:
        return _despite_success(stderr)
    if command == "scontrol" and "is DOWN" in stdout:
        # 'scontrol ping' says so on stdout.
        return Failure.TRANSIENT
    if command == "sbatch" and _HAS_ID.search(stdout):
        # It says both that there is a job, and that there is none.
        return Failure.TRANSIENT
    if command in ("", "sbatch") and returncode > 0 and _is_full(stderr):
        return Failure.QUEUE_FULL
    kind = _of_text(stderr)
    if kind is Failure.TRANSIENT and command == "scancel":
        # Without a word, its return code still tells.
        return _SCANCEL_CODES.get(returncode, kind)
    return kind


def _is_full(stderr: str) -> bool:
    """Whether sbatch found no room in the queue, and surely made no job."""
    retried = _RETRIES.search(stderr) is not None
    lasts = _AT_LAST.findall(stderr)
    if not lasts:
        return retried or "MaxJobCount" in stderr
    last = lasts[-1]
    return (
        _STILL_FULL.search(last) is not None
        or (retried and _STILL_BUSY.search(last) is not None)
        or (_POLICY in last and _SUBMIT_LIMIT.search(stderr) is not None)
    )


def classify_result(result: CommandResult) -> Failure | None:
    """Say what kind of failure this is; see :func:`classify`."""
    command = PurePath(result.argv[0]).name if result.argv else ""
    return classify(result.returncode, result.stdout, result.stderr, command)


def _despite_success(stderr: str) -> Failure | None:
    """What is wrong with the answer of a command that returned 0; None when it is whole."""
    errors = "\n".join(
        line
        for line in stderr.splitlines()
        if _IGNORED_ERROR.match(line)
        and (line.startswith("scancel:") or not _CONNECTION.search(line))
    )
    if not errors:
        return None
    if _EMPTY_ANSWER.search(errors):
        return Failure.PERMANENT
    known = next((kind for kind, pattern in _KNOWN if pattern.search(errors)), None)
    return None if known is Failure.PERMANENT else known


_KNOWN: tuple[tuple[Failure, re.Pattern[str]], ...] = (
    (Failure.UNKNOWN_JOB, _UNKNOWN_JOB),
    (Failure.DENIED, _DENIED),
    (Failure.TRANSIENT, _TRANSIENT),
    (Failure.TRANSIENT, _CONNECTION),
    (Failure.PERMANENT, _REFUSED),
    (Failure.PERMANENT, _CLIENT_REFUSED),
)


def _of_text(stderr: str) -> Failure:
    """What a failed command's text says; TRANSIENT, that is unclear, unless it is known."""
    return next((kind for kind, pattern in _KNOWN if pattern.search(stderr)), Failure.TRANSIENT)


_CANCEL_LINE = re.compile(r"^scancel: error: .*?\bjob(?: id)? ([0-9]+\S*?): (.*)$", re.MULTILINE)


def cancel_errors(stderr: str) -> dict[str, Failure]:
    """The kind of failure of each job id that scancel complains about."""
    return {match[1]: _of_text(match[2]) for match in _CANCEL_LINE.finditer(stderr)}


_NOISE = re.compile(r"^(?:\w+: )?(?:error: |fatal: )?(?:Batch job submission failed: )?")


def summary(stderr: str, limit: int = 300) -> str:
    """The message for users: each line of stderr once, without the command's own prefixes."""
    lines = dict.fromkeys(_NOISE.sub("", line.strip()) for line in stderr.splitlines())
    text = "; ".join(line for line in lines if line)
    return text if len(text) <= limit else text[:limit] + "..."


# Part of Slurm's message -> what to look at.
_HINTS: tuple[tuple[str, str], ...] = (
    ("invalid partition", "'sinfo -a' lists the partitions (schedule.partition)"),
    ("Invalid partition name", "'sinfo -a' lists the partitions (schedule.partition)"),
    ("Required partition not available", "the partition takes no jobs (schedule.partition)"),
    (
        "Requested reservation is invalid",
        "'scontrol show reservation' lists the reservations (schedule.reservation)",
    ),
    (
        "Access denied to requested reservation",
        "the reservation is for other users or accounts (schedule.reservation)",
    ),
    (
        "Invalid feature specification",
        "'sinfo -a -O Features' lists the features (schedule.slurm.features)",
    ),
    ("Invalid node name specified", "see include_nodes and exclude_nodes"),
    (
        "Requested node configuration is not available",
        "no nodes in that partition and reservation with those features have that many CPUs or "
        "tasks, or include_nodes are not among them",
    ),
    ("invalid number of nodes", "include_nodes lists more nodes than the job requests"),
    ("Invalid account", "see schedule.account"),
    ("Invalid qos", "see schedule.qos"),
    ("Requested time limit is invalid", "see schedule.time_limit"),
    (
        "Job violates accounting/QOS policy",
        "a limit of your account or QOS; 'sacctmgr show assoc user=$USER' lists them",
    ),
    ("Invalid directive found", "see schedule.slurm.sbatch_extra"),
    ("unrecognized option", "see schedule.slurm.sbatch_extra"),
    ("Unmatched", "see schedule.slurm.sbatch_extra"),
)


def hint(stderr: str) -> str:
    """What to look at after a failure; '' where there is nothing to say."""
    low = stderr.lower()
    return next((text for part, text in _HINTS if part.lower() in low), "")
