"""Jobs that Slurm cancelled because it could not launch them.

When a job cannot be started on its node (a failing prolog, a full spool directory, a user that
the node does not know, a bad credential), slurmd requests that it be requeued and drains the node.
The kickoff script forbids requeueing (``--no-requeue``), because tests must not run twice, and so
the controller cancels the job: CANCELLED, reason None, exit code 0:0, exactly as if a user had
done it (22.05.8 to 26.05, measured).  What tells the two apart: the script never began, and either
the job's log has the node's complaint or the node is drained.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ...lifecycle.job_table import JobRecord
from ...talk.safe_files import quotable_tail
from .record import SlurmRecord
from .states import parse_job_state

# What 'no process of the job was sent a signal' looks like: wait status, or 'code:signal'. A bare
# 1 is what the controller writes where it ends a job without the node.
_NO_SIGNAL = frozenset(["", "0", "0:0", "1", "0:1"])
KICKOFF_LOG, SCHED_LOG = "kickoff.log", "sched.log"
_TAIL_BYTES = 4096


def may_have_failed_to_launch(record: SlurmRecord, job: JobRecord) -> bool:
    """Whether a job is cancelled, had nodes, and its script never began: its first command makes
    the kickoff log."""
    if parse_job_state(job.state).name != "CANCELLED" or not job.data.get("nodes"):
        return False
    if job.data.get("exit_code", "") not in _NO_SIGNAL or not record.script:
        return False
    return not (Path(record.script).parent / KICKOFF_LOG).exists()


def launch_note(record: SlurmRecord, job: JobRecord, drained: Mapping[str, str]) -> str | None:
    """What kept a job from being launched, for users; None when nothing says that anything did.

    :param drained: The job's nodes that are drained -> why.
    """
    said = _last_complaint(Path(record.script).parent / SCHED_LOG)
    if not said and not drained:
        return None
    note = f"Job {job.job_id} could not be launched on {job.data['nodes']}"
    if said:
        note += f": {said}"
    for node, reason in sorted(drained.items()):
        note += f"; {node} is drained now ({reason or 'no reason given'})"
    return (
        f"{note}. Slurm cancelled it, because it was not to be requeued (--no-requeue). An "
        "administrator has to look at the node."
    )


def _last_complaint(path: Path) -> str:
    """The last line of a job's log that is about its launch; the job itself printed nothing."""
    try:
        text = quotable_tail(path, _TAIL_BYTES).decode("utf-8", "replace")
    except OSError:
        return ""
    # What slurmstepd says of a job that a user cancelled just then.
    lines = [line.strip() for line in text.splitlines() if line.strip() and "***" not in line]
    return lines[-1].rstrip(".") if lines else ""
