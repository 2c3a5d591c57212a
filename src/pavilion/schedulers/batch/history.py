"""How jobs ended that their scheduler no longer lists: from its accounting, where it has one."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from ..lifecycle.job_table import JobRecord
from ..talk.commands import CommandResult, Failure
from .dialect import Dialect
from .record import BatchRecord
from .words import UnreadableAnswer

# Seconds between two queries, and after which a job that the accounting does not know is given up:
# records may be written that much later than a job ends.
PAUSE = 5.0
LATE = 30.0
# How long a query may take: it explains an end, and nothing waits for it but a user.
TIMEOUT = 20.0


class Ended(NamedTuple):
    """What the accounting has of a job.

    :param job: None when it has nothing (yet).
    :param is_late: Whether it may have something later.
    :param note: What to say where it has nothing.
    """

    job: JobRecord | None
    is_late: bool = False
    note: str = ""


class History:
    """The ends of jobs.  Each is looked up once, and many with one command.  May be used from
    several threads.

    :param run: Runs a query, with a timeout in seconds; raises UnreadableAnswer.
    :param clock: Gives seconds.
    """

    def __init__(
        self,
        dialect: Dialect,
        run: Callable[[Sequence[str], float], CommandResult],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._dialect = dialect
        self._run = run
        self._clock = clock
        self._lock = threading.Lock()
        self._known: dict[str, JobRecord] = {}
        # Key of a job -> since when it is missing, and when it was first looked up.
        self._since: dict[str, float] = {}
        self._first: dict[str, float] = {}
        # ... and when the last query began that was about it.
        self._asked: dict[str, float] = {}
        self._again = float("-inf")
        self._problem = ""

    def look_up(
        self,
        record: BatchRecord,
        others: Callable[[], Sequence[BatchRecord]],
        missing_for: float = 0.0,
    ) -> Ended:
        """How a job ended.  Never raises because of an answer.

        :param others: Gives other jobs that are no longer listed, to be looked up together.
        :param missing_for: Seconds since it was first missing from the list of jobs: a process that
            just began does not have to wait for a record as if the job had just ended.
        """
        if not record.job_id or self._dialect.history_command([record.job_id]) is None:
            return Ended(None)
        with self._lock:
            now = self._clock()
            first = self._first.setdefault(record.key, now)
            self._since.setdefault(record.key, now - missing_for)
            due = now - first <= 2 * LATE or not self._is_late(record)
            if record.key not in self._known and now >= self._again and due:
                self._query([record, *others()])
                self._again = self._clock() + PAUSE
            job = self._known.get(record.key)
            if job is not None:
                return Ended(job)
            if not self._is_late(record):
                known = "has no record of it yet"
                if record.key not in self._asked:
                    known = "has not been queried about it yet"
                return Ended(None, is_late=True, note=f"Its accounting {known}.")
            return Ended(
                None, note=self._problem or "Its accounting does not know the job, either."
            )

    def _query(self, records: Sequence[BatchRecord]) -> None:
        # An id may have been given out again: then several jobs have it.
        wanted: dict[str, dict[str, BatchRecord]] = {}
        for each in records:
            if each.job_id and each.key not in self._known:
                wanted.setdefault(each.job_id, {})[each.key] = each
        ids = list(wanted)
        command = self._dialect.history_command(ids)
        if command is None:
            # One at a time.
            ids = ids[:1]
            command = self._dialect.history_command(ids)
        began = self._clock()
        self._asked.update((key, began) for job_id in ids for key in wanted[job_id])
        if command is None:
            return
        self._problem = ""
        try:
            result = self._run(command, TIMEOUT)
            jobs = self._dialect.read_jobs("parse_history", result.stdout)
        except UnreadableAnswer as exc:
            self._problem = f"Its accounting could not be queried: {exc}"
            return
        if not jobs and self._dialect.classify(result) not in (None, Failure.UNKNOWN_JOB):
            self._problem = f"Its accounting could not be queried: {result.describe()}"
        for job in jobs:
            token = self._dialect.token_of(job)
            for record in wanted.get(job.job_id, {}).values():
                # One without a token may be an older job that had this id.  It is believed when
                # there is none with the token in the end, as where a site replaces what holds it.
                if token == record.token or (
                    not token and record.key not in self._known and self._is_late(record)
                ):
                    self._known[record.key] = job
                    break

    def _is_late(self, record: BatchRecord) -> bool:
        """Whether the last query about a job began so late that it would have had a record."""
        asked = self._asked.get(record.key)
        return asked is not None and asked - self._since.get(record.key, asked) >= LATE
