"""The jobs of a scheduler: queried once for all of them, with shared answers and three-valued results.

A :class:`JobTable` answers 'what is the state of job X?' from one query for all jobs.  Its rules:

- **One query serves all.**  Threads that need an answer at the same time share one query, and
  processes share its answer through a cache file.  The age of an answer counts from the start of
  its query.  An answer is used for at least as long as it took to get.
- **How old an answer may be.**  A poll is a series of calls less than ``max_age`` apart.  The first
  call of a poll never gets an answer older than ``max_age``.  While the polling continues and no
  job's state changes, the allowed age grows with each answer, up to four times ``max_age``.  A
  change, a new job or a missing job resets it.  A call that has to wait for another caller's query
  uses its answer: what matters is the age at the time of the call.
- **A failed query changes nothing.**  What was known is kept.  Once it is too old, the result is
  CANNOT_TELL, with the last known record and the text of the failure.  After k failures in a row,
  no queries are made for min(max_age * 2**k, 60) seconds, in other processes neither.
- **Absence has to be established.**  Each answer counts for all jobs that any process is interested
  in, not only for those that were looked up.  A job is ABSENT when successive good answers did not
  list it.  Two of these must be at least 10 s apart, and all of their queries must have started 30 s
  or more after the job's submission.  Until then, the result is CANNOT_TELL.
- **A job that has ended does not change.**  Its record is kept for a day (also in the cache file),
  even if the scheduler forgets the job, and the scheduler is not queried about it again.

If the clock is set back, the current answer, failure and absences become void.  This is detected when
the clock reads earlier than at the previous call.  If it was set back by less than the time between
two calls, that is not detected, and ages are too small by that amount until the next query.
"""

from __future__ import annotations

import atexit
import math
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from pathlib import Path
from typing import Any, NamedTuple

from pavilion.errors import PavilionError

from .job_cache import (
    LOCK_POLL,
    Absence,
    AskFailure,
    CacheFile,
    JobRecord,
    Seen,
    Snapshot,
)

__all__ = ["JobRecord", "JobTable", "Lookup", "Presence", "QueryFailed"]

DAY = 24 * 3600.0
LONGEST_BACK_OFF = 60.0
"""The longest pause, in seconds, before a scheduler that could not be queried is tried again."""
LONGEST_GROWTH = 4.0
"""The maximum age of an answer while nothing changes, as a multiple of ``max_age``."""
MAX_REMEMBERED = 10_000
"""The number of records that are kept of jobs that are no longer listed."""

_GROWTH_STEP = 0.25


class QueryFailed(PavilionError):
    """The scheduler could not be queried, or its answer was not valid."""


class Presence(Enum):
    """Whether the scheduler has a job."""

    FOUND = "found"
    ABSENT = "absent"
    CANNOT_TELL = "cannot tell"


class Lookup(NamedTuple):
    """What is known about one job."""

    presence: Presence
    record: JobRecord | None
    """What the scheduler says when FOUND; otherwise what it last said, or None."""
    note: str
    """Why it is not FOUND, in plain words; '' when it is."""
    age: float
    """Seconds since the start of the query that this is based on: the one that returned the record
    or, for ABSENT, the one that did not list the job.  Infinite when nothing is known."""
    answered: bool = True
    """Whether this is based on a recent answer of the scheduler.  This distinguishes a job that is
    not listed (yet) from a scheduler that cannot be queried."""


class JobTable:
    """The jobs of one scheduler.  May be used from several threads at once.

    :param query: Queries the scheduler for all jobs, including every job that may be looked up.
        Returns job id -> record; raises QueryFailed when it fails.
    :param is_over: Whether a job with that record has ended for good.
    :param max_age: Seconds; see the module's docstring.
    :param cache_file: The file through which processes share answers; its directory must exist.
        None: answers are not shared.
    :param source: The subject of the query, such as cluster and user.  A cache file written for
        another subject is not used.
    :param grace: Seconds after a submission in which absence means nothing.
    :param absences: The number of successive good answers that must not list a job before it is
        ABSENT.
    :param absence_gap: The minimum number of seconds between the first and the last of these.
    :param lock_wait: Seconds to wait for another process's query before making one as well.
    :param clock: Returns seconds since the epoch.
    :raises ValueError: When max_age is negative.
    """

    def __init__(
        self,
        query: Callable[[], Mapping[str, JobRecord]],
        *,
        is_over: Callable[[JobRecord], bool],
        max_age: float = 5.0,
        cache_file: Path | None = None,
        source: str = "",
        grace: float = 30.0,
        absences: int = 2,
        absence_gap: float = 10.0,
        lock_wait: float = 5.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        if not max_age >= 0:
            raise ValueError(f"max_age is {max_age!r}; it must be 0 or more seconds.")
        self._query = query
        self._is_over = is_over
        self._max_age = max_age
        self._grace = grace
        self._absences = absences
        self._gap = absence_gap
        self._lock_wait = lock_wait
        self._clock = clock
        self._cache = None if cache_file is None else CacheFile(cache_file, source)
        # The first lock is held during a query, the second one only to read or change the fields
        # below.  So calls can be answered during a query if the last answer is fresh enough, or if
        # the job has ended.
        self._asking = threading.Lock()
        self._state = threading.RLock()
        self._queries = 0
        self._now = -math.inf  # the clock, as last read
        self._called = -math.inf
        self._unchanged = 0
        self._watched: set[str] = set()
        self._by_id: dict[str, JobRecord] | None = None
        # Whether the cache file lacks jobs that this process knows of.
        self._unshared = False
        if self._cache is not None:
            _share_at_exit(self)
        self._void_before = -math.inf
        self._forgotten_before = -math.inf
        self._clear()

    @property
    def queries(self) -> int:
        """The number of queries that this object has made."""
        return self._queries

    @property
    def cache_problem(self) -> str:
        """Why the cache file could not be read, locked or written the last time; '' when it could."""
        return "" if self._cache is None else self._cache.problem

    def lookup(self, job_id: str) -> Lookup:
        """What is known about a job.  May query the scheduler; never raises because of its answer."""
        return self.lookup_many([job_id])[job_id]

    def lookup_many(self, ids: Iterable[str]) -> dict[str, Lookup]:
        """What is known about several jobs, in their order, with at most one query."""
        wanted = list(dict.fromkeys(ids))
        with self._state:
            came = self._read_clock()
            limit = self._limit(came)
            self._called = came
        oldest = came - limit
        if not self._is_settled(wanted, oldest):
            with self._asking:
                # Another thread's query may have returned the answer while this one waited.
                if not self._is_settled(wanted, oldest):
                    self._refresh(wanted, oldest)
        with self._state:
            self._read_clock()
            return {job_id: self._judge(job_id, oldest) for job_id in wanted}

    def records(self) -> dict[str, JobRecord]:
        """All jobs that are known, by id, without a query.  Jobs that ended long ago are left
        out."""
        with self._state:
            known = {job_id: seen.record for job_id, seen in self._past.items()}
            return {**known, **self._listed}

    def with_id(self, job_id: str) -> JobRecord | None:
        """The job that the last answer listed with this id, whatever its key, without a query."""
        with self._state:
            if self._by_id is None:
                self._by_id = {record.job_id: record for record in self._listed.values()}
            return self._by_id.get(job_id)

    def missing_for(self, job_id: str) -> float:
        """Seconds since the first of the answers that did not list a job; 0 when the last one did,
        or none counts.  Without a query."""
        with self._state:
            absence = self._absent.get(job_id)
            return 0.0 if absence is None else max(0.0, self._read_clock() - absence.first)

    def note_new(self, job_id: str, when: float | None = None) -> None:
        """Record that a job was just submitted: what was known under its id belongs to another job.

        A process that did not submit it can pass the time of submission, any number of times.

        :param when: The time of submission in seconds since the epoch.  Default: now.
        """
        with self._state:
            now = self._read_clock()
            just_now = when is None
            when = now if when is None else min(when, now)
            if when < now - DAY:
                # Nothing is known from before that, and the entry would be dropped again.
                return
            if just_now or when > self._new.get(job_id, -math.inf):
                self._new[job_id] = float(when)
                self._unshared = True
                self._unchanged = 0
                # This is done here, instead of comparing times later: if the clock was just set
                # back, the record of the other job has the current time.
                if job_id in self._past and self._past[job_id].when <= when:
                    del self._past[job_id]
                if self._asked is not None and self._asked <= when:
                    self._listed.pop(job_id, None)

    def expire(self) -> None:
        """Make the next lookup query again, for example after cancelling (but not during the pause
        after a failure)."""
        with self._state:
            self._void_before = self._read_clock()
            self._retire_answer()

    def forget(self) -> None:
        """Forget all jobs, including those that have ended, and all failures."""
        with self._state:
            self._void_before = self._forgotten_before = self._read_clock()
            self._watched.clear()
            self._clear()

    # --- What follows is called with the state lock held, or takes it ---

    def _clear(self) -> None:
        self._asked: float | None = None
        self._took = 0.0
        self._listed: dict[str, JobRecord] = {}
        self._by_id = None
        self._past: dict[str, Seen] = {}
        self._absent: dict[str, Absence] = {}
        self._new: dict[str, float] = {}
        self._failure: AskFailure | None = None

    def _read_clock(self) -> float:
        now = self._clock()
        if now < self._now:
            # The clock was set back.  How old things are is no longer known.
            self._retire_answer(now)
            self._failure = None
            self._absent.clear()
            self._past = {
                i: Seen(seen.record, min(seen.when, now)) for i, seen in self._past.items()
            }
            self._new = {i: min(when, now) for i, when in self._new.items()}
            self._void_before = min(self._void_before, now)
            self._forgotten_before = min(self._forgotten_before, now)
        self._now = now
        return now

    def _retire_answer(self, when: float = math.inf) -> None:
        """Move the current answer to the past ones, with that time at the latest."""
        if self._asked is not None:
            when = min(when, self._asked)
            for job_id, record in self._listed.items():
                known = self._past.get(job_id)
                if known is None or known.when <= when:
                    self._past[job_id] = Seen(record, when)
        self._asked, self._took, self._listed = None, 0.0, {}
        self._by_id = None

    def _limit(self, came: float) -> float:
        """How old an answer may be, in seconds, for a call that is made now."""
        if not 0 <= came - self._called < self._max_age:
            return self._max_age
        return self._max_age * min(1 + self._unchanged * _GROWTH_STEP, LONGEST_GROWTH)

    def _is_settled(self, wanted: Iterable[str], oldest: float) -> bool:
        """Whether no query is necessary, or none may be made now."""
        with self._state:
            now = self._read_clock()
            return (
                self._is_fresh(oldest)
                or self._is_backing_off(now)
                or all(self._ended(job_id) for job_id in wanted)
            )

    def _is_fresh(self, oldest: float) -> bool:
        if self._asked is None:
            return False
        # An answer is used for at least as long as it took to get: a scheduler that needs longer
        # than max_age would otherwise be queried for each job.
        oldest -= max(0.0, 2 * self._took - self._max_age)
        # A query that was already running when expire() or forget() was called does not count.
        return self._asked >= max(oldest, self._void_before)

    def _is_backing_off(self, now: float) -> bool:
        return self._failure is not None and 0 <= now - self._failure.when < self._back_off()

    def _back_off(self) -> float:
        count = 0 if self._failure is None else min(self._failure.times, 10)
        return min(max(self._max_age, 1.0) * 2.0**count, LONGEST_BACK_OFF)

    def _last(self, job_id: str) -> Seen | None:
        """The newest record of the job that was last submitted under this id."""
        seen = self._past.get(job_id)
        record = self._listed.get(job_id)
        if (
            record is not None
            and self._asked is not None
            and (seen is None or seen.when <= self._asked)
        ):
            seen = Seen(record, self._asked)
        if seen is not None and seen.when < self._new.get(job_id, -math.inf):
            return None
        return seen

    def _ended(self, job_id: str) -> Seen | None:
        seen = self._last(job_id)
        return seen if seen is not None and self._is_over(seen.record) else None

    # --- Asking ---

    def _refresh(self, wanted: list[str], oldest: float) -> None:
        """Get a new answer, from another process or from the scheduler."""
        cache = self._cache
        if cache is None:
            self._ask(wanted)
            return
        if self._settled_by_file(wanted, oldest):
            return
        give_up = time.monotonic() + self._lock_wait
        with cache.lock() as try_lock:
            while not try_lock():
                # Its holder is making a query.  It may also have been stopped halfway.
                if self._settled_by_file(wanted, oldest):
                    return
                if time.monotonic() >= give_up:
                    break
                time.sleep(LOCK_POLL)
            if self._settled_by_file(wanted, oldest):
                return
            self._ask(wanted)
            self._merge_file()
            cache.write(self._snapshot())

    def share(self) -> None:
        """Share with other processes which jobs this one is interested in, so that the next answer,
        in whichever process, counts for these as well.  This is also done when the process ends."""
        if self._cache is None or not self._unshared:
            return
        with self._asking, self._cache.lock() as try_lock:
            if not try_lock():
                # The process that makes a query now does not see ours; the next one does.
                return
            self._merge_file()
            self._cache.write(self._snapshot())

    def _snapshot(self) -> Snapshot:
        with self._state:
            self._unshared = False
            return Snapshot(
                self._asked,
                dict(self._listed),
                dict(self._past),
                dict(self._absent),
                dict(self._new),
                self._failure,
                self._took,
            )

    def _settled_by_file(self, wanted: list[str], oldest: float) -> bool:
        self._merge_file()
        return self._is_settled(wanted, oldest)

    def _ask(self, wanted: list[str]) -> None:
        """Query the scheduler, and record its answer or the failure."""
        with self._state:
            began = self._read_clock()
            self._queries += 1
        try:
            listed = _checked(self._query())
        except Exception as exc:
            # Anything other than QueryFailed is a bug in the query, and not an answer either.
            note = str(exc) if isinstance(exc, PavilionError) else f"{type(exc).__name__}: {exc}"
            with self._state:
                count = 1 if self._failure is None else self._failure.times + 1
                self._failure = AskFailure(count, self._read_clock(), note[:2000])
            return
        with self._state:
            now = self._read_clock()
            self._take(listed, min(began, now), max(0.0, now - began))
            # Count absences for all jobs that any process is interested in, not only for those of
            # this call, so that processes that make queries later find theirs counted.
            for job_id in {*wanted, *self._watched, *self._new}:
                self._count_absence(job_id)

    def _take(self, listed: dict[str, JobRecord], asked: float, took: float) -> None:
        """Make this the current answer."""
        before = self._watched_states()
        self._retire_answer()
        self._listed, self._asked, self._took = listed, asked, took
        self._by_id = None
        for job_id in listed:
            self._past.pop(job_id, None)
            self._absent.pop(job_id, None)
        self._failure = None
        unchanged = before and self._watched_states() == before
        self._unchanged = self._unchanged + 1 if unchanged else 0
        oldest = asked - DAY
        for times in (self._new, self._past, self._absent):
            _drop_older(times, oldest)

    def _watched_states(self) -> dict[str, str]:
        last = ((job_id, self._last(job_id)) for job_id in self._watched)
        return {job_id: seen.record.state for job_id, seen in last if seen is not None}

    def _merge_file(self) -> None:
        """Take over from the cache file what is newer there."""
        if self._cache is None:
            return
        with self._state:
            shared = self._cache.read(self._read_clock())
            if shared is None:
                return
            for job_id, when in shared.new.items():
                self._new[job_id] = max(when, self._new.get(job_id, when))
            for job_id, seen in shared.past.items():
                known = self._last(job_id)
                if seen.when > self._forgotten_before and (known is None or known.when < seen.when):
                    self._past[job_id] = seen
            for job_id, absence in shared.absent.items():
                # If the job was listed since, that is found when the absence is evaluated.
                own = self._absent.get(job_id)
                if absence.first > self._forgotten_before and (
                    own is None or own.first > absence.first
                ):
                    self._absent[job_id] = absence
            current = -math.inf if self._asked is None else self._asked
            if shared.asked is not None and shared.asked > max(current, self._forgotten_before):
                self._take(shared.listed, shared.asked, shared.took)
            failure = shared.failure
            if (
                failure is not None
                and failure.when > self._forgotten_before
                and (self._failure is None or failure.when > self._failure.when)
                and (not self._is_fresh(self._now - self._max_age))
            ):
                self._failure = failure

    # --- Judging ---

    def _judge(self, job_id: str, oldest: float) -> Lookup:
        ended = self._ended(job_id)
        if ended is not None:
            self._watched.discard(job_id)
            return Lookup(Presence.FOUND, ended.record, "", self._age(ended.when))
        self._watched.add(job_id)
        last = self._last(job_id)
        if not self._is_fresh(oldest):
            return self._cannot_tell(self._why_no_answer(), last, answered=False)
        if last is not None and job_id in self._listed:
            return Lookup(Presence.FOUND, last.record, "", self._age(last.when))
        self._count_absence(job_id)
        absence = self._absent.get(job_id)
        if absence is None:
            ago = self._age(self._new.get(job_id, self._now))
            return self._cannot_tell(
                f"The job was submitted {ago:.0f} s ago, and the scheduler does not list it yet.",
                last,
            )
        span = absence.last - absence.first
        note = (
            f"The scheduler does not list the job: it was missing from {absence.times} "
            f"answer{'s' * (absence.times > 1)} in {span:.0f} s."
        )
        if absence.times < self._absences or span < self._gap:
            return self._cannot_tell(f"{note} That is too little to call it gone.", last)
        self._watched.discard(job_id)
        return Lookup(
            Presence.ABSENT,
            None if last is None else last.record,
            note + self._last_seen(last),
            self._age(absence.last),
        )

    def _count_absence(self, job_id: str) -> None:
        """Count the current answer, once, if the job is missing from it and it may be counted."""
        asked = self._asked
        if asked is None or job_id in self._listed or self._ended(job_id):
            return
        counts_from = self._new.get(job_id, -math.inf) + self._grace
        absence = self._absent.get(job_id)
        last = self._last(job_id)
        if absence is not None and (
            absence.first < counts_from or (last is not None and last.when >= absence.first)
        ):
            # Another process may have seen the job since, in an answer that is not known here.
            del self._absent[job_id]
            absence = None
        if asked < counts_from or (absence is not None and absence.last >= asked):
            return
        self._unchanged = 0
        self._absent[job_id] = (
            Absence(asked, asked, 1)
            if absence is None
            else Absence(absence.first, asked, absence.times + 1)
        )

    def _why_no_answer(self) -> str:
        if self._failure is None:
            return "There is no recent answer from the scheduler."
        times = f", {self._failure.times} times in a row" if self._failure.times > 1 else ""
        note = self._failure.note.rstrip(". ")
        return (
            f"The scheduler could not be queried{times}, most recently "
            f"{self._age(self._failure.when):.0f} s ago: {note}."
        )

    def _cannot_tell(self, why: str, last: Seen | None, answered: bool = True) -> Lookup:
        age = math.inf if last is None else self._age(last.when)
        if last is None and answered and self._asked is not None:
            age = self._age(self._asked)
        return Lookup(
            Presence.CANNOT_TELL,
            None if last is None else last.record,
            why + self._last_seen(last),
            age,
            answered,
        )

    def _last_seen(self, last: Seen | None) -> str:
        return (
            ""
            if last is None
            else (
                f" It was last seen {self._age(last.when):.0f} s ago, in state {last.record.state}."
            )
        )

    def _age(self, when: float) -> float:
        return max(self._now - when, 0.0)


def _share_at_exit(table: JobTable) -> None:
    reference = weakref.ref(table)

    def share() -> None:
        alive = reference()
        if alive is not None:
            alive.share()

    atexit.register(share)


def _checked(answer: object) -> dict[str, JobRecord]:
    if not isinstance(answer, Mapping):
        raise QueryFailed(
            f"The query must return a table of jobs; it returned {type(answer).__name__}."
        )
    for job_id, record in answer.items():
        if not isinstance(job_id, str) or not isinstance(record, JobRecord):
            raise QueryFailed(
                f"The query returned {job_id!r}: {record!r}; it must return records of jobs by "
                "their ids."
            )
    return dict(answer)


def _drop_older(times: dict[str, Any], oldest: float) -> None:
    """Drop entries from before a time, and the oldest ones if there are too many."""

    def when(job_id: str) -> float:
        entry = times[job_id]
        time_of: float = (
            entry
            if isinstance(entry, float)
            else (entry.when if isinstance(entry, Seen) else entry.last)
        )
        return time_of

    for job_id in [job_id for job_id in times if when(job_id) < oldest]:
        del times[job_id]
    if len(times) > MAX_REMEMBERED:
        for job_id in sorted(times, key=when)[:-MAX_REMEMBERED]:
            del times[job_id]
