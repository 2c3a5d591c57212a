"""One look at the scheduler's list of jobs for all who wait for a newer one than they know.

Many submissions may become unclear at the same time, as when the scheduler is restarted.  Each of
their submitters needs an answer to a query that began after its own failure, and nothing more.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

from ..lifecycle.job_table import JobRecord, QueryFailed

# Seconds that a query waits for others to join: submissions that fail together do so at about the
# same time, a few at once.
GATHER = 0.3


class _Answer(NamedTuple):
    began: float
    jobs: Mapping[str, JobRecord]
    failure: QueryFailed | None = None


class RecentJobs:
    """The list of jobs, no older than who looks at it needs.  May be used from several threads.

    :param query: Gives the jobs of a cluster ('' for that of this host), or raises QueryFailed.
    :param sleep: Waits for some seconds.
    :param clock: Gives seconds.
    """

    def __init__(
        self,
        query: Callable[[str], Mapping[str, JobRecord]],
        sleep: Callable[[float], object] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._query = query
        self._sleep = sleep
        self._clock = clock
        # Cluster -> held by the one thread that asks; the others find its answer.
        self._asking: dict[str, threading.Lock] = {}
        self._answers: dict[str, _Answer] = {}

    def since(self, moment: float, cluster: str = "") -> Mapping[str, JobRecord]:
        """The jobs of a cluster, from a query that began at that moment of the clock or later.

        :raises QueryFailed: When such a query failed, whoever made it.
        """
        with self._asking.setdefault(cluster, threading.Lock()):
            answer = self._answers.get(cluster)
            if answer is None or answer.began < moment:
                # Those who come during this pause need not query again.
                self._sleep(GATHER)
                answer = self._answers[cluster] = self._ask(cluster)
        if answer.failure is not None:
            # One of its own for each thread: raising adds to an exception.
            raise QueryFailed(str(answer.failure))
        return answer.jobs

    def now(self) -> float:
        """This moment of the clock, for :meth:`since`."""
        return self._clock()

    def _ask(self, cluster: str) -> _Answer:
        began = self._clock()
        try:
            return _Answer(began, self._query(cluster))
        except QueryFailed as exc:
            return _Answer(began, {}, exc)
