"""What a failed Slurm command's messages mean.

Return codes hardly tell: 'no such job' and 'the controller does not answer' are both 1. stderr
does. The texts are those of Slurm's error table, which have not changed from 20.11 to 25.11;
those marked [V] in the tests were seen on 22.05.8.
"""

from __future__ import annotations

import re
from pathlib import PurePath

from ...commands import CommandResult, Failure


def _any_of(*texts: str) -> re.Pattern[str]:
    return re.compile("|".join(map(re.escape, texts)), re.IGNORECASE)


# In the order they are looked for; the first that is found in stderr counts.
_TEXTS: tuple[tuple[Failure, re.Pattern[str]], ...] = (
    (Failure.UNKNOWN_JOB, _any_of(
        "Invalid job id specified",
        "Job/step already completing or completed",
    )),
    (Failure.DENIED, _any_of(
        "Access/permission denied",
        "Access denied to requested",
        "Invalid user id",
        "not permitted to use this partition",
        "permission denied",
        "System submissions disabled",
    )),
    (Failure.TRANSIENT, _any_of(
        "Socket timed out on send/recv operation",
        "Unable to contact slurm controller",
        "Zero Bytes were transmitted or received",
        "Communication connection failure",
        "Communication shutdown failure",
        "Connection refused",
        "Connection reset by peer",
        "Connection timed out",
        "Broken pipe",
        "in standby mode",
        "Failed to connect to authentication agent",
        "Munge encode failed",
        "Munge decode failed",
        "Invalid authentication credential",
        "Protocol authentication error",
        "Unexpected message received",
        "Unable to create job record, try again",
        "Error generating job credential",
        "try again later",
        "try again in a bit",
        "Temporary failure in name resolution",
        "Resource temporarily unavailable",
        "Rate limit exceeded",
        "RPC rate limit",
        "I/O error writing script/environment to file",
        "Header lengths are longer than data received",
    )),
)
# Of sbatch: the queue takes no more jobs now. sbatch has retried for 120 seconds by itself. The
# limits of accounting are named on a line of their own ('AssocMaxSubmitJobLimit') before the
# general 'Job violates accounting/QOS policy', which may as well be about the job's size.
_QUEUE_FULL = re.compile(
    r"temporarily unable to accept job|job queue full|Job creation temporarily disabled|"
    r"Resource temporarily unavailable|\w+SubmitJobs?(?:Per\w+)?Limit|MaxJobCount", re.IGNORECASE)
# An error line of a command that went on nevertheless and returned 0: squeue for a user without
# a name, sinfo and squeue for a field they do not have.
_IGNORED_ERROR = re.compile(
    r"^(?:squeue|sinfo|scontrol|scancel): (?:error|fatal): (?!.*retrying)", re.MULTILINE)
# scancel's return code is Slurm's error number modulo 256: 2002 for 'Access/permission denied'.
_SCANCEL_CODES = {210: Failure.DENIED, 140: Failure.TRANSIENT, 8: Failure.TRANSIENT}


def classify(returncode: int | None, stdout: str, stderr: str, command: str = "") -> Failure | None:
    """Say what kind of failure a command's result is; None when it is none.

    A command that was not started is PERMANENT when there is no such command, and one that was
    killed at its time-out is TRANSIENT: whether it did its work is unknown. So it is after any
    TRANSIENT failure of sbatch: look the job up before sending it again.

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
    if command in ("", "sbatch") and _QUEUE_FULL.search(stderr):
        return Failure.QUEUE_FULL
    kind = _of_text(stderr)
    if kind is not None:
        return kind
    if returncode < 0:
        # Killed by a signal, half-way.
        return Failure.TRANSIENT
    if command == "scancel" and returncode in _SCANCEL_CODES:
        return _SCANCEL_CODES[returncode]
    if not stderr.strip() and not stdout.strip():
        # It says nothing: nothing can be concluded.
        return Failure.TRANSIENT
    return Failure.PERMANENT


def classify_result(result: CommandResult) -> Failure | None:
    """Say what kind of failure this is; see :func:`classify`."""
    command = PurePath(result.argv[0]).name if result.argv else ""
    return classify(result.returncode, result.stdout, result.stderr, command)


def _despite_success(stderr: str) -> Failure | None:
    if not _IGNORED_ERROR.search(stderr):
        return None
    return _of_text(stderr) or Failure.PERMANENT


def _of_text(stderr: str) -> Failure | None:
    return next((kind for kind, pattern in _TEXTS if pattern.search(stderr)), None)


_CANCEL_LINE = re.compile(r"^scancel: error: .*?\bjob(?: id)? ([0-9]+\S*?): (.*)$", re.MULTILINE)


def cancel_errors(stderr: str) -> dict[str, Failure]:
    """The kind of failure of each job id that scancel complains about."""
    return {match[1]: _of_text(match[2]) or Failure.PERMANENT
            for match in _CANCEL_LINE.finditer(stderr)}


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
    ("Requested reservation is invalid",
     "'scontrol show reservation' lists the reservations (schedule.reservation)"),
    ("Access denied to requested reservation",
     "the reservation is for other users or accounts (schedule.reservation)"),
    ("Invalid feature specification",
     "'sinfo -a -O Features' lists the features (schedule.slurm.features)"),
    ("Invalid node name specified", "see include_nodes and exclude_nodes"),
    ("Requested node configuration is not available",
     "no nodes of that partition, reservation and those features have as many CPUs or tasks, or "
     "include_nodes are not among them"),
    ("invalid number of nodes", "include_nodes holds more nodes than the job asks for"),
    ("Invalid account", "see schedule.account"),
    ("Invalid qos", "see schedule.qos"),
    ("Requested time limit is invalid", "see schedule.time_limit"),
    ("Job violates accounting/QOS policy",
     "a limit of your account or QOS; 'sacctmgr show assoc user=$USER' lists them"),
    ("Invalid directive found", "see schedule.slurm.sbatch_extra"),
    ("unrecognized option", "see schedule.slurm.sbatch_extra"),
    ("Unmatched", "see schedule.slurm.sbatch_extra"),
)


def hint(stderr: str) -> str:
    """What to look at after a failure; '' where there is nothing to say."""
    low = stderr.lower()
    return next((text for part, text in _HINTS if part.lower() in low), "")
