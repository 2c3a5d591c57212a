"""Where a job's output goes, whatever characters the path of its log has.

``--output`` takes a pattern, and each Slurm has its own view of backslashes in it.  For 22.05.8 a
backslash turns patterns off, and stands for itself when it is doubled.  25.11 and 26.05 drop each
one, doubled or not: the log lands in another directory tree, and there is no way to write one (all
measured).  The directory of a job is not a pattern on any of them.  So where there is a backslash
in the path, Slurm is given the directory alone and writes the log there under its own default
name; it is renamed when the job is looked at.  A job that has the log open goes on writing to it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from pavilion.errors import SchedulerPluginError

from ...talk import safe_files
from .launch import SCHED_LOG
from .options import options_of

# Options that decide where the output goes.
_OWN_PLACE = ("output", "chdir")


def output_options(log: Path, extra: Iterable[str] = ()) -> list[str]:
    """The options of sbatch that send a job's output to a log.

    :param extra: The options that a user wrote.
    :raises SchedulerPluginError: When these do not go with such a path.
    """
    path = os.fspath(log)
    if not _is_odd(path):
        return [f"--output={path.replace('%', '%%')}"]
    other = next(
        (item for item in extra if any(option.name in _OWN_PLACE for option in options_of([item]))),
        None,
    )
    if other is not None:
        raise SchedulerPluginError(
            f"Slurm cannot write the log {path} of a job with the option {other!r} "
            "(schedule.slurm.sbatch_extra), because there is a backslash in its path. Leave the "
            "option out, or use a working directory without a backslash in its path."
        )
    return [f"--chdir={log.parent}"]


def settle_output(script: str, job_id: str) -> None:
    """Give a job's log its name, where Slurm could not.

    :param script: The path of the job's script, beside which its log is; '' when not known.
    """
    if not job_id or not _is_odd(script):
        return
    log = Path(script).with_name(SCHED_LOG)
    written = log.with_name(f"slurm-{job_id}.out")
    # Of another user's job, that user sees to it.
    if safe_files.is_mine(log.parent) and written.exists() and not log.exists():
        written.rename(log)


def _is_odd(path: str) -> bool:
    return "\\" in path
