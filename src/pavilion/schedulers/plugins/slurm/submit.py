"""Submitting a job to Slurm: where its token is, and what the log of sbatch tells of it later.

How it is submitted exactly once is the family's; see pavilion.schedulers.batch.submitting.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from ...batch.submitting import Submitter as BatchSubmitter
from ...batch.submitting import new_token
from ...batch.words import Submission as Request
from ...batch.words import Submitted as Submission
from ...placement.inventory import name_list
from ...talk import safe_files
from . import queries
from .extra import value_of
from .header import safe_job_name
from .output import output_options

__all__ = ["LOG_FN", "Submission", "Submitter", "named_clusters", "read_token"]

LOG_FN = "sbatch.log"
# The log begins with the command, which has the token before anything that a user wrote.
_SUBMITTED = re.compile(
    r"\$ sbatch --parsable '?--(?:comment=|job-name=[^\s']*-)"
    r"(pav-[0-9a-f]{16})'?\s"
)
_TOKEN_WITHIN = 1024


class Submitter(BatchSubmitter):
    """Submits jobs with sbatch."""

    def submit(
        self,
        folder: Path,
        script: Path,
        output: Path,
        job_name: str,
        extra: Sequence[str] = (),
        token: str = "",
    ) -> Submission:
        """Submit a script.

        :param folder: The job's directory.
        :param output: What the job prints goes there.
        :param job_name: Its name in the script.
        :param extra: The options in the script that a user wrote.
        :param token: '' for a new one.
        :raises HandoverStopped: When it was given up.  Then there is no such job.
        :raises SchedulerPluginError: When Slurm refused it, or could not write its log.  Then
            there is no such job.
        """
        token = token or new_token()
        argv = queries.submit(
            script, [*_token_options(token, job_name, extra), *output_options(output, extra)]
        )
        request = Request(script, output, token, job_name)
        return self.hand_over(argv, request, folder / LOG_FN, named_clusters(extra))


def named_clusters(options: Sequence[str]) -> Sequence[str]:
    """The clusters that a user's options send a job to; [''] for that of this host."""
    return name_list(value_of(options, "clusters")) or [""]


def read_token(folder: Path) -> tuple[str, float]:
    """The token of a job's submission, and when (seconds since the epoch) it was handed over.

    :returns: ('', 0.0) when it was not.
    """
    path = folder / LOG_FN
    try:
        start, info = safe_files.read_start(path, _TOKEN_WITHIN)
    except OSError:
        return "", 0.0
    submitted = _SUBMITTED.match(start.decode("utf-8", "replace"))
    return (submitted[1], info.st_mtime) if submitted else ("", 0.0)


def _token_options(token: str, job_name: str, extra: Sequence[str]) -> list[str]:
    """The options that put the token into the job: its comment, unless that is the user's."""
    if value_of(extra, "comment") is not None:
        return [f"--job-name={safe_job_name(job_name, token)}"]
    return [f"--comment={token}"]
