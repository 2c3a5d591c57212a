"""Why jobs are stuck, where the scheduler's list of jobs does not say: from a query about each."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence

from ..lifecycle.job_table import JobRecord
from ..talk.commands import CommandResult
from .dialect import REASON_KEY, Dialect
from .words import JobState, UnreadableAnswer

# Seconds until such a query is made again after a failure.
PAUSE = 60.0
# After how many of these queries, each of which is about one job, there is a pause, and its seconds.
AT_ONCE, REST = 20, 5.0


class StuckReasons:
    """The reasons of stuck jobs.  Each is queried once.

    :param run: Runs a query; raises UnreadableAnswer.
    """

    def __init__(self, dialect: Dialect, run: Callable[[Sequence[str]], CommandResult]) -> None:
        self._dialect = dialect
        self._run = run
        # (id, state) -> why a job is in that state.
        self._known: dict[tuple[str, str], str] = {}
        # When queries may be made (again), in seconds of the monotonic clock.
        self._again = -math.inf

    def reason(self, job: JobRecord) -> str:
        """Why a job is stuck; '' where the list of jobs says it, where it is not stuck, and where it
        is not known (yet).  After a failure no query is made for a while, for any job: there may be
        many.
        """
        if self._dialect.state_of(job) is not JobState.STUCK or job.data.get(REASON_KEY):
            return ""
        key = (job.job_id, job.state)
        if key in self._known or time.monotonic() < self._again:
            return self._known.get(key, "")
        command = self._dialect.details_command(job.job_id)
        if command is None:
            return ""
        try:
            result = self._run(command)
            failed = self._dialect.classify(result) is not None
            reason = str(self._dialect.read("parse_details", result.stdout))
        except UnreadableAnswer:
            reason, failed = "", True
        if failed and not reason:
            self._again = time.monotonic() + PAUSE
            return ""
        self._known[key] = reason
        if len(self._known) % AT_ONCE == 0:
            # Of thousands of stuck jobs, others follow with later polls.
            self._again = time.monotonic() + REST
        return reason
