"""The states of tests that have not ended, and waiting for their end.

Each scheduler is queried in a thread of its own: when a plugin hangs, waiting can still be given
up, and the other schedulers are still queried.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Callable

from pavilion.config import PavConfig
from pavilion.errors import PavilionError
from pavilion.files import is_mine
from pavilion.jobs import Job
from pavilion.resolve import group_by_scheduler
from pavilion.schedulers.finding.registry import require_plugin
from pavilion.schedulers.lifecycle.ending import ENDED, NOT_STARTED, end
from pavilion.schedulers.lifecycle.identity import save_identity
from pavilion.schedulers.lifecycle.job_states import NotListed
from pavilion.schedulers.scheduler import SchedulerPlugin
from pavilion.starter import Starter
from pavilion.status_file import STATES, TestStatusInfo
from pavilion.test_run import TestRun

# Seconds between two looks at running tests: from the first to the last, less and less often.
POLL_PAUSES = (0.05, 1.0)
# Seconds to wait for answers of schedulers before looking at what else happened.
ROUND_PATIENCE = 1.0
# Seconds for which nothing more can be learned about a test before it is given up.  For as long,
# an end that could not be recorded is tried again.
LAST_WORD = 10.0


class LastWord(TestStatusInfo):
    """The state of a test that nothing more can be learned about, though its end is not recorded:
    it has ended and that cannot be written, or its files are gone."""

    @property
    def is_end(self) -> bool:
        """Whether it is the test's final state."""
        return self.state in ENDED


def last_word(status: TestStatusInfo) -> LastWord:
    """This state as the last word on a test."""
    return LastWord(status.state, status.note, status.when)


def current_status(pav_cfg: PavConfig, test: TestRun) -> TestStatusInfo:
    """The state of a test: its own word, or what its scheduler says while it has not started.

    A test whose job has ended, and which has not, is ended by this.  Where that cannot be
    recorded, its state is a LastWord.
    """
    if test.complete:
        return test.status.current()
    own = test.status.current()
    found = _look(pav_cfg, test)
    if isinstance(found, LastWord):
        return found
    if test.complete or found is None:
        return test.status.current()
    if own.state in NOT_STARTED:
        return found
    return _of_started(own, found)


def _of_started(own: TestStatusInfo, found: TestStatusInfo) -> TestStatusInfo:
    """The state of a test that has started, with what its scheduler says about its job."""
    if found.state == STATES.SCHED_WARNING:
        # Not simply RUNNING: no scheduler could be queried whether it still is.
        return TestStatusInfo(own.state, f"{own.note} {found.note}".strip(), own.when)
    if (
        found.state == STATES.SCHEDULED
        and found.when > own.when
        and (not isinstance(found, NotListed))
    ):
        return TestStatusInfo(
            STATES.SCHEDULED,
            f"{found.note} The test had started before: it was in state {own.state}.",
            found.when,
        )
    return own


def wait_for(
    pav_cfg: PavConfig,
    tests: Sequence[TestRun],
    timeout: float | None = None,
    progress: Callable[[Sequence[TestRun]], None] = lambda tests: None,
    hear: Callable[[TestRun, TestStatusInfo], None] = lambda test, status: None,
) -> bool:
    """Wait until tests have ended, or nothing more can be learned about them.

    :param timeout: Seconds; without it as long as it takes.
    :param progress: Called with the tests that are left, after every look.
    :param hear: Called with a test of each job, and what its scheduler says about that job.
    :returns: Whether none are left.

    The schedulers are queried about one test per job, less and less often while nothing happens.
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    askers = {name: _Asker(pav_cfg) for name in group_by_scheduler(tests)}
    # Test id -> since when nothing more can be learned about it.
    silent: dict[str, float] = {}
    pause = POLL_PAUSES[0]
    left = list(tests)
    while True:
        before = len(left)
        left = [
            test
            for test in left
            if not test.complete
            and time.monotonic() - silent.get(test.id, time.monotonic()) < LAST_WORD
        ]
        progress(left)
        if not left:
            return True
        now = time.monotonic()
        if deadline is not None and now >= deadline:
            return False
        for name, asked in group_by_scheduler(left).items():
            askers[name].start(asked)
        for test, status in _answers(askers.values(), now + ROUND_PATIENCE):
            hear(test, status)
            if isinstance(status, LastWord):
                silent.setdefault(test.id, now)
            else:
                silent.pop(test.id, None)
        pause = POLL_PAUSES[0] if len(left) < before else min(pause * 1.5, POLL_PAUSES[1])
        time.sleep(pause if deadline is None else max(0.0, min(pause, deadline - time.monotonic())))


class _Asker:
    """Queries a scheduler about its tests, a round at a time, in a thread."""

    def __init__(self, pav_cfg: PavConfig) -> None:
        self._pav_cfg = pav_cfg
        self._answers: list[tuple[TestRun, TestStatusInfo]] = []
        self._error: BaseException | None = None
        self._idle = threading.Event()
        self._idle.set()

    def start(self, tests: Sequence[TestRun]) -> None:
        """Begin a round, unless the previous one is running, or its answers were not taken."""
        if self._idle.is_set() and not self._answers:
            self._idle.clear()
            threading.Thread(target=self._ask, args=(list(tests),), daemon=True).start()

    def finish(self, deadline: float) -> list[tuple[TestRun, TestStatusInfo]]:
        """The answers of the round, if it ends in time; otherwise none.

        :raises BaseException: The error that it ended with.
        """
        if not self._idle.wait(max(0.0, deadline - time.monotonic())):
            return []
        if self._error is not None:
            raise self._error
        answers, self._answers = self._answers, []
        return answers

    def _ask(self, tests: Sequence[TestRun]) -> None:
        try:
            self._answers = list(_ask_about(self._pav_cfg, tests))
        except BaseException as exc:
            self._error = exc
        finally:
            self._idle.set()


def _answers(askers: Iterable[_Asker], deadline: float) -> list[tuple[TestRun, TestStatusInfo]]:
    return [answer for asker in askers for answer in asker.finish(deadline)]


def _ask_about(
    pav_cfg: PavConfig, tests: Iterable[TestRun]
) -> Iterable[tuple[TestRun, TestStatusInfo]]:
    """Query a scheduler about each job of these tests; those whose jobs have ended are ended."""
    alive: set[str] = set()
    for test in tests:
        job = test.job
        if job is not None and job.name in alive:
            continue
        status = _look(pav_cfg, test)
        if status is None:
            continue
        yield test, status
        ends = isinstance(status, LastWord) or status.state in (
            STATES.SCHED_ERROR,
            STATES.SCHED_CANCELLED,
        )
        if job is not None and not ends:
            # While its job is alive, the job's other tests have nothing to add.
            alive.add(job.name)


def _look(pav_cfg: PavConfig, test: TestRun) -> TestStatusInfo | None:
    """What can be learned about a test that has not ended; None when that is nothing."""
    job = test.job
    if job is None:
        if not os.path.lexists(test.path):
            return LastWord(
                STATES.UNKNOWN,
                f"The directory of the test, {test.path}, does not exist any more.",
                when=0,
            )
        return _end_if_forgotten(test)
    try:
        _find_again(test, job)
        status = require_plugin(test.scheduler).job_status(pav_cfg, test)
        if status.state == STATES.SCHEDULED and not (job.path / job.INFO_FN).exists():
            status = _end_if_never_handed(test, job) or status
    except PavilionError as exc:
        return TestStatusInfo(STATES.SCHED_WARNING, exc.pformat())
    if test.complete:
        return status
    if status.state in ENDED:
        return last_word(status)
    if status.state == STATES.SCHED_WARNING and _is_missing(job.path):
        own = test.status.current()
        return LastWord(
            own.state if own.state not in NOT_STARTED else STATES.SCHED_WARNING,
            f"The directory of its job, {job.path}, does not exist any more, so nothing "
            f"can be found out about the job. The test was in state {own.state} then.",
        )
    return status


def _find_again(test: TestRun, job: Job) -> None:
    """Find a job by the mark that its starter left, when that was stopped before it had the job's
    id.  Otherwise it would be 'on its way' for minutes."""
    if (job.path / job.INFO_FN).exists() or not is_mine(job.path) or starter_at_work(test):
        return
    plugin = require_plugin(test.scheduler)
    try:
        info = plugin._recover_identity(job)
        if info and not job.info:
            save_identity(plugin, job, info)
    except (Exception, SystemExit):
        # Whatever is wrong, the plugin's job_status() reports it when it takes too long.
        return


def _end_if_never_handed(test: TestRun, job: Job) -> TestStatusInfo | None:
    """End a test whose starter was stopped before it left any mark of handing its job over.

    Only with a plugin that leaves marks; with others it is not known until time has passed.
    """
    plugin = require_plugin(test.scheduler)
    if type(plugin)._recover_identity is SchedulerPlugin._recover_identity:
        return None
    if (
        not is_mine(job.path)
        or Starter.load(test.path.parent) is None
        or starter_at_work(test) is not None
    ):
        return None
    try:
        # After the starter was seen to be gone: it may have left its mark just before.
        if (job.path / job.INFO_FN).exists() or plugin._recover_identity(job):
            return None
    except (Exception, SystemExit):
        return None
    ended = end(
        test,
        STATES.SCHED_ERROR,
        f"Its job was never handed to the {plugin.name} "
        "scheduler: the process that was to do so was stopped first.",
    )
    return ended if test.complete else last_word(ended)


def _end_if_forgotten(test: TestRun) -> TestStatusInfo | None:
    """End a test that has no job and will not get one: the process that was to start it is gone.

    A test of another user is left to that user.
    """
    starter = Starter.load(test.path.parent)
    # In this order: whatever the starter did, it did before it was gone.
    if (
        starter is None
        or starter_at_work(test) is not None
        or test.job is not None
        or test.complete
    ):
        return None
    own = test.status.current()
    if own.state in ENDED:
        # Its end is known, but the mark of it could not be made.
        state, note = own.state, own.note
    else:
        state, note = (
            STATES.SCHED_ERROR,
            (
                f"The test was never handed to its scheduler: {starter}, which was to do so, was "
                "stopped first."
            ),
        )
    if not is_mine(test.path):
        return LastWord(state, f"{note} (Not recorded: this test belongs to another user.)")
    ended = end(test, state, note)
    return ended if test.complete else last_word(ended)


def starter_at_work(test: TestRun) -> Starter | None:
    """The process that hands a test to its scheduler, while it may still be at work."""
    starter = Starter.load(test.path.parent)
    job = test.job
    files = [test.status.path] if job is None else [test.status.path, job.path]
    return None if starter is None or starter.gone(test.path.parent, *files) else starter


def _is_missing(path: Path) -> bool:
    """Whether a directory is known not to exist, because the one that would contain it does."""
    return not os.path.lexists(path) and path.parent.is_dir()
