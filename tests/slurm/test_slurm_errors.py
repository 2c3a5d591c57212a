"""What failed commands' messages mean."""

from __future__ import annotations

import pytest

from pavilion.schedulers.plugins.slurm.errors import (
    cancel_errors,
    classify,
    classify_result,
    hint,
    summary,
)
from pavilion.schedulers.talk.commands import CommandResult, Failure

FAILED = "sbatch: error: Batch job submission failed: "
TIMED_OUT = "Socket timed out on send/recv operation"
UNREACHABLE = "Unable to contact slurm controller (connect failure)"
# What may stand in the place of sbatch's answer although the job exists.
UNCLEAR = (
    "Transport endpoint is not connected",
    "Message receive failure",
    "No route to host",
    "Unspecified error",
    "Insane message length",
    "Slurmctld is shutting down",
    "Segmentation fault",
    "Cannot allocate memory",
    "Stale file handle",
    "Input/output error",
    "Network is unreachable",
    "Connection reset by peer",
    "Host is down",
    "Bad file descriptor",
    "Connection rejected by handler",
    "Interrupted system call",
    "Operation timed out",
    # 26.05's names for the same, and for a controller that has too much to do.
    "Connection timed out establishing",
    "Connection timed out reading",
    "Connection timed out writing",
    "Connection forced closed by quiesce timeout",
    "Read would block",
    "Write would block",
    "TLS missing but required for connection",
    "Rate limit exceeded, please retry momentarily",
    "Rate limit exceeded, please retry later",
    "Controller is in standby mode, try a different controller",
    "Authentication credential expired",
    "Authentication failure",
    "Slurm backup controller in standby mode",
    "Zero Bytes were transmitted or received",
    "",
    "A message of a release that nobody has seen yet",
)


# Of the error tables of 22.05 to 26.05: what the controller says when it takes no such job.
REFUSALS = (
    "Requested nodes not in this partition",
    "Requested reservation not usable now",
    "Requested operation is presently disabled",
    "Job script not specified",
    "Requested account has breached requested QOS usage threshold",
    "Job cannot be submitted without the current working directory specified.",
    "Time limit specification required, but not provided",
    "Circular job dependency",
    "Job --batch option is invalid or not a subset of --constraint",
    "Invalid preferred feature specification",
    "Invalid extra constraints specification",
    "Invalid GRES specification (with and without type identification)",
    "Duplicate generic resource (gres) specification",
    "Invalid mcs_label specified",
    "Invalid QOS specification, relative QOS can only be used in a single partition per cluster.",
    "Invalid time-min specification (exceeds job's time or other limits)",
    "Multiple partition job request not supported when a partition is set in the association",
    "Requested topology configuration is not available",
    "Required nodes do not fit topology",
    "RestrictedCoresPerGPU: No GPUs configured on node",
)
RETRYING = "sbatch: error: Slurm temporarily unable to accept job, sleeping and retrying\n"
FULL = "sbatch: error: Slurm job queue full, sleeping and retrying\n"
DISABLED = "sbatch: Job creation temporarily disabled, retrying\n"
POLICY = "Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)"


@pytest.mark.parametrize(
    ("command", "returncode", "stderr", "kind"),
    [
        # [V]: seen on 22.05.8.
        ("squeue", 1, "slurm_load_jobs error: Invalid job id specified\n", Failure.UNKNOWN_JOB),
        ("scontrol", 1, "slurm_load_jobs error: Invalid job id specified\n", Failure.UNKNOWN_JOB),
        ("scontrol", 1, "Invalid job id specified for job 99999\n", Failure.UNKNOWN_JOB),
        ("squeue", 1, f"slurm_load_jobs error: {TIMED_OUT}\n", Failure.TRANSIENT),
        ("squeue", 1, f"slurm_load_jobs error: {UNREACHABLE}\n", Failure.TRANSIENT),
        ("sinfo", 1, f"slurm_load_partitions: {TIMED_OUT}\n", Failure.TRANSIENT),
        ("scontrol", 1, f"slurm_load_node error: {UNREACHABLE}\n", Failure.TRANSIENT),
        ("sdiag", 255, f"slurm_get_statistics: {UNREACHABLE}\n", Failure.TRANSIENT),
        ("sbatch", 1, f"{FAILED}{TIMED_OUT}\n", Failure.TRANSIENT),
        (
            "scancel",
            140,
            f"scancel: error: Kill job error on job id 1: {TIMED_OUT}\n",
            Failure.TRANSIENT,
        ),
        (
            "scancel",
            8,
            f"scancel: error: Kill job error on job id 1: {UNREACHABLE}\n",
            Failure.TRANSIENT,
        ),
        (
            "scancel",
            210,
            "scancel: error: Kill job error on job id 1: Access/permission denied\n",
            Failure.DENIED,
        ),
        ("scancel", 1, "scancel: error: Invalid job id abc\n", Failure.PERMANENT),
        (
            "sbatch",
            1,
            "sbatch: error: invalid partition specified: nosuch\n"
            f"{FAILED}Invalid partition name specified\n",
            Failure.PERMANENT,
        ),
        ("sbatch", 1, f"{FAILED}Invalid feature specification\n", Failure.PERMANENT),
        ("sbatch", 1, f"{FAILED}Requested reservation is invalid\n", Failure.PERMANENT),
        (
            "sbatch",
            1,
            f"{FAILED}Requested node configuration is not available\n",
            Failure.PERMANENT,
        ),
        ("sbatch", 255, "sbatch: error: Invalid --time specification\n", Failure.PERMANENT),
        (
            "sbatch",
            255,
            "sbatch: error: Invalid directive found in batch script: b\n",
            Failure.PERMANENT,
        ),
        ("sbatch", 1, "sbatch: error: invalid number of nodes (-N 2-1)\n", Failure.PERMANENT),
        ("sbatch", 1, f"{FAILED}Access denied to requested reservation\n", Failure.DENIED),
        (
            "scontrol",
            1,
            "Invalid user id for job 1\nslurm_suspend error: Invalid user id\n",
            Failure.DENIED,
        ),
        (
            "squeue",
            1,
            "squeue: error: s_p_parse_file: cannot stat file /x: No such file or directory, "
            "retrying in 1sec up to 60sec\nsqueue: fatal: Unable to process configuration file\n",
            Failure.PERMANENT,
        ),
        # From Slurm's error table.
        (
            "squeue",
            1,
            "slurm_load_jobs error: Zero Bytes were transmitted or received\n",
            Failure.TRANSIENT,
        ),
        (
            "squeue",
            1,
            "slurm_load_jobs error: Unable to contact slurm controller (receive failure)\n",
            Failure.TRANSIENT,
        ),
        ("sbatch", 1, f"{FAILED}Resource temporarily unavailable\n", Failure.QUEUE_FULL),
        (
            "squeue",
            1,
            "slurm_load_jobs error: Resource temporarily unavailable\n",
            Failure.TRANSIENT,
        ),
        (
            "sbatch",
            1,
            "sbatch: Slurm temporarily unable to accept job, sleeping and retrying\n"
            f"{FAILED}Resource temporarily unavailable\n",
            Failure.QUEUE_FULL,
        ),
        (
            "sbatch",
            1,
            "sbatch: error: AssocMaxSubmitJobLimit\n"
            f"{FAILED}Job violates accounting/QOS policy (job submit limit, user's size and/or time "
            "limits)\n",
            Failure.QUEUE_FULL,
        ),
        (
            "sbatch",
            1,
            "sbatch: error: QOSMaxSubmitJobPerUserLimit\n"
            f"{FAILED}Job violates accounting/QOS policy (job submit limit, user's size and/or time "
            "limits)\n",
            Failure.QUEUE_FULL,
        ),
        (
            "sbatch",
            1,
            "sbatch: error: QOSMaxWallDurationPerJobLimit\n"
            f"{FAILED}Job violates accounting/QOS policy (job submit limit, user's size and/or time "
            "limits)\n",
            Failure.PERMANENT,
        ),
        (
            "sbatch",
            1,
            f"{FAILED}Invalid account or account/partition combination specified\n",
            Failure.PERMANENT,
        ),
        *[("sbatch", 1, f"{FAILED}{text}\n", Failure.PERMANENT) for text in REFUSALS],
        # What sbatch found no room for, and what it said at last.
        ("sbatch", 1, f"{FULL}{FAILED}MaxJobCount limit reached\n", Failure.QUEUE_FULL),
        ("sbatch", 1, f"{FAILED}MaxJobCount limit reached\n", Failure.QUEUE_FULL),
        ("sbatch", 1, FULL, Failure.QUEUE_FULL),
        ("sbatch", 1, f"{DISABLED}{FAILED}Requested nodes are busy\n", Failure.QUEUE_FULL),
        ("sbatch", 1, f"{DISABLED}{FAILED}Required ports are in use\n", Failure.QUEUE_FULL),
        ("sbatch", 1, f"{FAILED}Requested nodes are busy\n", Failure.PERMANENT),
        (
            "sbatch",
            1,
            f"sbatch: error: MaxSubmitJobsPerAccount\n{FAILED}{POLICY}\n",
            Failure.QUEUE_FULL,
        ),
        # The queue was full at first. Then the answer got lost, or the job was refused.
        *[
            ("sbatch", 1, f"{first}{FAILED}{text}\n", kind)
            for first in (RETRYING, FULL, DISABLED)
            for text, kind in (
                (TIMED_OUT, Failure.TRANSIENT),
                (UNREACHABLE, Failure.TRANSIENT),
                ("Connection timed out reading", Failure.TRANSIENT),
                ("Nobody knows", Failure.TRANSIENT),
                ("Invalid partition name specified", Failure.PERMANENT),
            )
        ],
        # Killed while it slept, or while it tried once more.
        ("sbatch", -15, RETRYING, Failure.TRANSIENT),
        # Not the controller's: a process could not be started.
        ("sbatch", 1, "sbatch: error: fork: Resource temporarily unavailable\n", Failure.TRANSIENT),
        # A refusal behind trouble of the connection, of which nobody knows what it left behind.
        (
            "sbatch",
            1,
            "sbatch: error: slurm_receive_msg: [10.0.0.1:6817] failed: Connection timed out "
            f"reading\n{FAILED}Invalid partition name specified\n",
            Failure.TRANSIENT,
        ),
        # What sbatch refuses by itself.
        (
            "sbatch",
            1,
            "sbatch: fatal: --mem, --mem-per-cpu, and --mem-per-gpu are mutually exclusive.\n",
            Failure.PERMANENT,
        ),
        ("sbatch", 1, "sbatch: fatal: x.sh: line 3: Unexpected `:` in [a]\n", Failure.PERMANENT),
        ("sbatch", 1, "sbatch: fatal: Script file x.sh is too large\n", Failure.PERMANENT),
        # A blemish of a site's slurm.conf is no refusal.
        (
            "sbatch",
            1,
            "sbatch: error: DefMemPerCPU ignored, since it's mutually exclusive with "
            f"DefMemPerNode\n{FAILED}{TIMED_OUT}\n",
            Failure.TRANSIENT,
        ),
        # Unclear: nobody knows whether there is a job. The texts of a wrapper that had submitted it.
        *[("sbatch", 1, f"{FAILED}{text}\n", Failure.TRANSIENT) for text in UNCLEAR],
        *[
            (command, 1, f"{command}: error: {text}\n", Failure.TRANSIENT)
            for command in ("squeue", "scancel", "sinfo")
            for text in UNCLEAR
        ],
        (
            "squeue",
            1,
            "slurm_load_jobs error: Incompatible versions of client and server code\n",
            Failure.PERMANENT,
        ),
        # No message at all, or a command that was killed.
        ("squeue", 1, "", Failure.TRANSIENT),
        ("scancel", 210, "", Failure.DENIED),
        ("squeue", -15, "", Failure.TRANSIENT),
        ("squeue", -9, "x", Failure.TRANSIENT),
        ("squeue", None, "gave no answer within 60 s", Failure.TRANSIENT),
        ("squeue", None, "squeue: command not found", Failure.PERMANENT),
        # Nothing wrong.
        ("squeue", 0, "", None),
        ("sbatch", 0, "sbatch: error: Ignoring -S since it's not allowed by configuration\n", None),
        (
            "sbatch",
            0,
            "sbatch: Warning: can't run 1 processes on 9 nodes, setting nnodes to 1\n",
            None,
        ),
        ("squeue", 0, "a banner with the word error in it\n", None),
        # Complaints about a site's slurm.conf, on every call, with a whole answer [V].
        *[
            (
                command,
                0,
                f"{command}: error: DefMemPerCPU ignored, since it's mutually exclusive with "
                "DefMemPerNode\n",
                None,
            )
            for command in ("squeue", "scontrol", "scancel", "sinfo")
        ],
        ("squeue", 0, "squeue: error: Ignoring obsolete FastSchedule=1 option\n", None),
        (
            "scancel",
            0,
            "scancel: error: _parse_next_key: Parsing error at unrecognized key: Foo\n",
            None,
        ),
        # One of several controllers is away, and another one answered (26.05).
        *[
            (
                command,
                0,
                f"{command}: error: slurm_receive_msg: [10.0.0.1:6817] failed: Connection timed "
                "out establishing\n",
                None,
            )
            for command in ("squeue", "scontrol", "sinfo")
        ],
        # But whether that cancelled anything is not known.
        (
            "scancel",
            0,
            "scancel: error: Kill job error on job id 3: Connection timed out writing\n",
            Failure.TRANSIENT,
        ),
        # An error that the command goes on after, with rc 0 [V all three].
        ("squeue", 0, "squeue: error: Invalid user: 12345\n", Failure.PERMANENT),
        (
            "sinfo",
            0,
            "sinfo: error: Invalid job format specification: Nonsense\n",
            Failure.PERMANENT,
        ),
        (
            "scancel",
            0,
            "scancel: error: Kill job error on job id 3: Job/step already completing or "
            "completed\n",
            Failure.UNKNOWN_JOB,
        ),
    ],
)
def test_classify(command: str, returncode: int | None, stderr: str, kind: Failure | None) -> None:
    assert classify(returncode, "", stderr, command) is kind
    result = CommandResult((f"/usr/bin/{command}", "-x"), returncode, "", stderr, 0.1, False)
    assert classify_result(result) is kind


def test_unknown_job_and_outage_are_told_apart() -> None:
    unknown = classify(1, "", "slurm_load_jobs error: Invalid job id specified\n", "squeue")
    outage = classify(1, "", f"slurm_load_jobs error: {UNREACHABLE}\n", "squeue")
    assert unknown is not outage


def test_sbatch_that_prints_an_id_and_fails_is_unclear() -> None:
    stderr = f"{FAILED}Invalid partition name specified\n"
    assert classify(1, "17\n", stderr, "sbatch") is Failure.TRANSIENT
    assert classify(1, "", stderr, "sbatch") is Failure.PERMANENT


def test_ping_says_on_stdout_that_the_controller_is_down() -> None:
    assert classify(1, "Slurmctld(primary) at host is DOWN\n", "", "scontrol") is Failure.TRANSIENT


def test_errors_of_cancelling_by_job() -> None:
    stderr = (
        "scancel: error: Kill job error on job id 1: Access/permission denied\n"
        "scancel: error: Kill job error on job id 2_[0-3]: Invalid job id specified\n"
        f"scancel: error: Kill job error on job id 3: {TIMED_OUT}\n"
        "scancel: Terminating job 4\n"
    )
    assert cancel_errors(stderr) == {
        "1": Failure.DENIED,
        "2_[0-3]": Failure.UNKNOWN_JOB,
        "3": Failure.TRANSIENT,
    }
    assert cancel_errors("") == {}


def test_summary_and_hint() -> None:
    stderr = (
        "sbatch: error: invalid partition specified: nosuch\n"
        f"{FAILED}Invalid partition name specified\n"
    )
    assert summary(stderr) == (
        "invalid partition specified: nosuch; Invalid partition name specified"
    )
    assert "schedule.partition" in hint(stderr)
    assert "schedule.reservation" in hint(f"{FAILED}Requested reservation is invalid\n")
    assert hint("something else") == ""
    assert len(summary("x" * 1000)) < 310
