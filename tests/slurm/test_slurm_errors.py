"""What failed commands' messages mean."""

from __future__ import annotations

import pytest

from pavilion.schedulers.commands import CommandResult, Failure
from pavilion.schedulers.plugins.slurm.errors import (
    cancel_errors,
    classify,
    classify_result,
    hint,
    summary,
)

FAILED = "sbatch: error: Batch job submission failed: "
TIMED_OUT = "Socket timed out on send/recv operation"
UNREACHABLE = "Unable to contact slurm controller (connect failure)"
# What may stand in the place of sbatch's answer although the job exists.
UNCLEAR = (
    "Transport endpoint is not connected", "Message receive failure", "No route to host",
    "Unspecified error", "Insane message length", "Slurmctld is shutting down",
    "Segmentation fault", "Cannot allocate memory", "Stale file handle", "Input/output error",
    "Network is unreachable", "Connection reset by peer", "Host is down", "Bad file descriptor",
    "Connection timed out establishing connection", "Connection forced closed by quiesce timeout",
    "Connection rejected by handler", "Interrupted system call", "Operation timed out",
    "Slurm backup controller in standby mode", "Zero Bytes were transmitted or received", "",
    "A message of a release that nobody has seen yet",
)


@pytest.mark.parametrize(("command", "returncode", "stderr", "kind"), [
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
    ("scancel", 140, f"scancel: error: Kill job error on job id 1: {TIMED_OUT}\n",
     Failure.TRANSIENT),
    ("scancel", 8, f"scancel: error: Kill job error on job id 1: {UNREACHABLE}\n",
     Failure.TRANSIENT),
    ("scancel", 210, "scancel: error: Kill job error on job id 1: Access/permission denied\n",
     Failure.DENIED),
    ("scancel", 1, "scancel: error: Invalid job id abc\n", Failure.PERMANENT),
    ("sbatch", 1, "sbatch: error: invalid partition specified: nosuch\n"
     f"{FAILED}Invalid partition name specified\n", Failure.PERMANENT),
    ("sbatch", 1, f"{FAILED}Invalid feature specification\n", Failure.PERMANENT),
    ("sbatch", 1, f"{FAILED}Requested reservation is invalid\n", Failure.PERMANENT),
    ("sbatch", 1, f"{FAILED}Requested node configuration is not available\n", Failure.PERMANENT),
    ("sbatch", 255, "sbatch: error: Invalid --time specification\n", Failure.PERMANENT),
    ("sbatch", 255, "sbatch: error: Invalid directive found in batch script: b\n",
     Failure.PERMANENT),
    ("sbatch", 1, "sbatch: error: invalid number of nodes (-N 2-1)\n", Failure.PERMANENT),
    ("sbatch", 1, f"{FAILED}Access denied to requested reservation\n", Failure.DENIED),
    ("scontrol", 1, "Invalid user id for job 1\nslurm_suspend error: Invalid user id\n",
     Failure.DENIED),
    ("squeue", 1, "squeue: error: s_p_parse_file: cannot stat file /x: No such file or directory, "
     "retrying in 1sec up to 60sec\nsqueue: fatal: Unable to process configuration file\n",
     Failure.PERMANENT),
    # From Slurm's error table.
    ("squeue", 1, "slurm_load_jobs error: Zero Bytes were transmitted or received\n",
     Failure.TRANSIENT),
    ("squeue", 1, "slurm_load_jobs error: Unable to contact slurm controller (receive failure)\n",
     Failure.TRANSIENT),
    ("sbatch", 1, f"{FAILED}Resource temporarily unavailable\n", Failure.QUEUE_FULL),
    ("squeue", 1, "slurm_load_jobs error: Resource temporarily unavailable\n", Failure.TRANSIENT),
    ("sbatch", 1, "sbatch: Slurm temporarily unable to accept job, sleeping and retrying\n"
     f"{FAILED}Resource temporarily unavailable\n", Failure.QUEUE_FULL),
    ("sbatch", 1, "sbatch: error: AssocMaxSubmitJobLimit\n"
     f"{FAILED}Job violates accounting/QOS policy (job submit limit, user's size and/or time "
     "limits)\n", Failure.QUEUE_FULL),
    ("sbatch", 1, "sbatch: error: QOSMaxSubmitJobPerUserLimit\n"
     f"{FAILED}Job violates accounting/QOS policy (job submit limit, user's size and/or time "
     "limits)\n", Failure.QUEUE_FULL),
    ("sbatch", 1, "sbatch: error: QOSMaxWallDurationPerJobLimit\n"
     f"{FAILED}Job violates accounting/QOS policy (job submit limit, user's size and/or time "
     "limits)\n", Failure.PERMANENT),
    ("sbatch", 1, f"{FAILED}Invalid account or account/partition combination specified\n",
     Failure.PERMANENT),
    # Unclear: nobody knows whether there is a job. The texts of a wrapper that had submitted it.
    *[("sbatch", 1, f"{FAILED}{text}\n", Failure.TRANSIENT) for text in UNCLEAR],
    *[(command, 1, f"{command}: error: {text}\n", Failure.TRANSIENT)
      for command in ("squeue", "scancel", "sinfo") for text in UNCLEAR],
    ("squeue", 1, "slurm_load_jobs error: Incompatible versions of client and server code\n",
     Failure.PERMANENT),
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
    ("sbatch", 0, "sbatch: Warning: can't run 1 processes on 9 nodes, setting nnodes to 1\n", None),
    ("squeue", 0, "a banner with the word error in it\n", None),
    # Complaints about a site's slurm.conf, on every call, with a whole answer [V].
    *[(command, 0, f"{command}: error: DefMemPerCPU ignored, since it's mutually exclusive with "
       "DefMemPerNode\n", None) for command in ("squeue", "scontrol", "scancel", "sinfo")],
    ("squeue", 0, "squeue: error: Ignoring obsolete FastSchedule=1 option\n", None),
    ("scancel", 0, "scancel: error: _parse_next_key: Parsing error at unrecognized key: Foo\n",
     None),
    # An error that the command goes on after, with rc 0 [V all three].
    ("squeue", 0, "squeue: error: Invalid user: 12345\n", Failure.PERMANENT),
    ("sinfo", 0, "sinfo: error: Invalid job format specification: Nonsense\n", Failure.PERMANENT),
    ("scancel", 0, "scancel: error: Kill job error on job id 3: Job/step already completing or "
     "completed\n", Failure.UNKNOWN_JOB),
])
def test_classify(command: str, returncode: int | None, stderr: str,
                  kind: Failure | None) -> None:
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
    stderr = ("scancel: error: Kill job error on job id 1: Access/permission denied\n"
              "scancel: error: Kill job error on job id 2_[0-3]: Invalid job id specified\n"
              f"scancel: error: Kill job error on job id 3: {TIMED_OUT}\n"
              "scancel: Terminating job 4\n")
    assert cancel_errors(stderr) == {"1": Failure.DENIED, "2_[0-3]": Failure.UNKNOWN_JOB,
                                     "3": Failure.TRANSIENT}
    assert cancel_errors("") == {}


def test_summary_and_hint() -> None:
    stderr = ("sbatch: error: invalid partition specified: nosuch\n"
              f"{FAILED}Invalid partition name specified\n")
    assert summary(stderr) == ("invalid partition specified: nosuch; "
                               "Invalid partition name specified")
    assert "schedule.partition" in hint(stderr)
    assert "schedule.reservation" in hint(f"{FAILED}Requested reservation is invalid\n")
    assert hint("something else") == ""
    assert len(summary("x" * 1000)) < 310
