"""Series: the test runs that were started together.

``<working_dir>/series/s1`` holds ``series.json``, a copy of the settings it was started with
(``pavilion.yaml``: what its jobs use, whatever happens to the original) and a folder per test.
"""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Callable, NamedTuple

from pavilion.config import CONFIG_NAME, PavConfig
from pavilion.errors import PavilionError, SchedulerPluginError, TestRunError
from pavilion.files import read_json, write_json
from pavilion.resolve import ResolvedTest, group_by_scheduler
from pavilion.schedulers.ending import NOT_STARTED
from pavilion.schedulers.plugins.raw_queue import process_start_time, read_boot_id
from pavilion.schedulers.registry import require_plugin
from pavilion.status_file import STATES, TestStatusInfo
from pavilion.test_run import TestRun

_ID_RE = re.compile(r"s([1-9][0-9]*)\Z")
# Seconds between two looks at tests that run: from the first to the last, ever slower.
POLL_PAUSES = (0.05, 1.0)


class Series:
    """A series of test runs.  Made by :meth:`create`, found again by :meth:`load`."""

    def __init__(self, pav_cfg: PavConfig, path: Path, tests: list[TestRun]) -> None:
        self.pav_cfg = pav_cfg
        self.path = path
        self.id = path.name
        self.tests = tests
        # What is wrong with tests of it that cannot be read.
        self.damaged: list[TestRunError] = []

    @classmethod
    def create(cls, pav_cfg: PavConfig, resolved: Sequence[ResolvedTest],
               record: dict[str, Any] | None = None) -> Series:
        """Make the folders of a new series and its test runs.  All of them, or none.

        :param record: What to keep about its origin.
        :raises TestRunError: When they cannot be made.
        """
        path = _new_folder(pav_cfg.working_dir / "series")
        try:
            cfg_file = path / CONFIG_NAME
            pav_cfg.save(cfg_file)
            series = cls(PavConfig(pav_cfg, pav_cfg_file=cfg_file), path, [])
            for number, test in enumerate(resolved, 1):
                series.tests.append(TestRun.create(path, number, test.name, test.config,
                                                   test.var_man, test.deferred_paths))
            write_json(path / "series.json",
                       dict(record or {}, id=path.name, created=time.time(),
                            tests=len(series.tests),
                            starter=_Starter.this_process()._asdict()))
        except BaseException as exc:
            shutil.rmtree(path, ignore_errors=True)
            if isinstance(exc, OSError):
                raise TestRunError(f"The series cannot be written to {path}",
                                   prior_error=exc) from exc
            raise
        return series

    @classmethod
    def load(cls, pav_cfg: PavConfig, series_id: str) -> Series:
        """Find a series by its id.

        :raises TestRunError: When there is none, or it cannot be read.
        """
        if not _ID_RE.match(series_id):
            raise TestRunError(f"{series_id!r} is no series id. Ids look like 's1'.")
        path = pav_cfg.working_dir / "series" / series_id
        try:
            count = int(read_json(path / "series.json")["tests"])
        except (FileNotFoundError, NotADirectoryError) as exc:
            made = " It is being made, or was not made to the end." if path.is_dir() else ""
            raise TestRunError(f"There is no series {series_id} in {path.parent}.{made}") from exc
        except (OSError, ValueError, KeyError, TypeError) as exc:
            raise TestRunError(f"The record of series {series_id} ({path / 'series.json'}) cannot "
                               "be read", prior_error=exc) from exc
        series = cls(pav_cfg, path, [])
        for number in range(1, count + 1):
            try:
                series.tests.append(TestRun.load_path(path / f"{series_id}.{number}"))
            except TestRunError as exc:
                series.damaged.append(exc)
        return series

    def kick_off(self) -> list[SchedulerPluginError]:
        """Hand all tests to their schedulers.

        :returns: What went wrong.  The tests concerned have a final state.
        """
        errors: list[SchedulerPluginError] = []
        for name, tests in group_by_scheduler(self.tests).items():
            errors += require_plugin(name).schedule_tests(self.pav_cfg, tests)
        return errors

    def wait(self, timeout: float | None = None,
             progress: Callable[[Sequence[TestRun]], None] = lambda tests: None) -> bool:
        """Wait until all tests are over.

        :param timeout: Seconds; without it as long as it takes.
        :param progress: Called with the tests that are not over yet, after every look.
        :returns: Whether all are over.
        """
        return wait_for(self.pav_cfg, self.tests, timeout, progress)


def latest_series(pav_cfg: PavConfig) -> str | None:
    """The id of the newest series; None when there is none.

    One that is being made, or was not made to the end, does not count.
    """
    folder = pav_cfg.working_dir / "series"
    for number in sorted(_series_numbers(folder), reverse=True):
        if (folder / f"s{number}" / "series.json").exists():
            return f"s{number}"
    return None


def wait_for(pav_cfg: PavConfig, tests: Sequence[TestRun], timeout: float | None = None,
             progress: Callable[[Sequence[TestRun]], None] = lambda tests: None,
             hear: Callable[[TestRun, TestStatusInfo], None] = lambda test, status: None) -> bool:
    """Wait until tests are over; see Series.wait.

    :param hear: Called with a test of each job, and what its scheduler says of that job.

    The schedulers are asked about one test per job, less and less often while nothing happens.
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    pause = POLL_PAUSES[0]
    left = list(tests)
    while True:
        before = len(left)
        left = [test for test in left if not test.complete]
        progress(left)
        if not left:
            return True
        if deadline is not None and time.monotonic() >= deadline:
            return False
        _ask_schedulers(pav_cfg, left, hear)
        pause = POLL_PAUSES[0] if len(left) < before else min(pause * 1.5, POLL_PAUSES[1])
        time.sleep(pause if deadline is None else
                   max(0.0, min(pause, deadline - time.monotonic())))


def _ask_schedulers(pav_cfg: PavConfig, tests: Iterable[TestRun],
                    hear: Callable[[TestRun, TestStatusInfo], None]) -> None:
    """Let the schedulers end the tests whose jobs are over."""
    alive: set[str] = set()
    for test in tests:
        job = test.job
        if job is None:
            _end_if_forgotten(test)
        elif job.name not in alive:
            status = _ask_scheduler(pav_cfg, test)
            hear(test, status)
            if status.state not in (STATES.SCHED_ERROR, STATES.SCHED_CANCELLED):
                # While its job lives there is nothing to learn from the others of that job.
                alive.add(job.name)


def _ask_scheduler(pav_cfg: PavConfig, test: TestRun) -> TestStatusInfo:
    try:
        return require_plugin(test.scheduler).job_status(pav_cfg, test)
    except PavilionError as exc:
        return TestStatusInfo(STATES.SCHED_WARNING, exc.pformat())


def current_status(pav_cfg: PavConfig, test: TestRun) -> TestStatusInfo:
    """The state of a test: its own word, or what its scheduler says while it has not started.

    A test whose job is over without an end of its own is ended by this.
    """
    if test.complete:
        return test.status.current()
    own = test.status.current()
    if test.job is None:
        _end_if_forgotten(test)
        return test.status.current()
    sched = _ask_scheduler(pav_cfg, test)
    if test.complete:
        return test.status.current()
    return sched if own.state in NOT_STARTED else own


def _end_if_forgotten(test: TestRun) -> None:
    """End a test that has no job, and will get none: who was to start it is gone."""
    starter = _Starter.load(test.path.parent)
    # In this order: what the starter did, it did before it was gone.
    if starter is None or not starter.gone() or test.job is not None or test.complete:
        return
    test.status.set(STATES.SCHED_ERROR, "The test was never handed to its scheduler: the process "
                    f"that was to do so ({starter.pid} on {starter.host}) was stopped before.")
    test.set_run_complete()


class _Starter(NamedTuple):
    """The process that made a series and hands its tests to their schedulers."""

    host: str
    boot_id: str
    pid: int
    start_time: int

    @classmethod
    def this_process(cls) -> _Starter:
        """:raises OSError: Without /proc."""
        pid = os.getpid()
        return cls(os.uname().nodename, read_boot_id(), pid, process_start_time(pid) or 0)

    @classmethod
    def load(cls, series_path: Path) -> _Starter | None:
        """That of a series; None when it is not recorded."""
        try:
            return cls(**read_json(series_path / "series.json")["starter"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def gone(self) -> bool:
        """Whether it is known to be gone.  Of another host's processes nothing is known."""
        if self.host != os.uname().nodename:
            return False
        try:
            return (self.boot_id != read_boot_id()
                    or process_start_time(self.pid) != self.start_time)
        except OSError:
            return False


def is_being_started(test: TestRun) -> bool:
    """Whether the process that hands a test to its scheduler may still be at work."""
    starter = _Starter.load(test.path.parent)
    return starter is not None and not starter.gone()


def _series_numbers(folder: Path) -> list[int]:
    try:
        names = [path.name for path in folder.iterdir()]
    except OSError:
        return []
    return [int(match[1]) for match in map(_ID_RE.match, names) if match]


def _new_folder(folder: Path) -> Path:
    """The folder of the next series.  Making a folder succeeds for one process only."""
    number = max(_series_numbers(folder), default=0)
    while True:
        number += 1
        path = folder / f"s{number}"
        try:
            path.mkdir()
        except FileExistsError:
            continue
        except OSError as exc:
            raise TestRunError(f"A new series cannot be made in {folder}",
                               prior_error=exc) from exc
        return path
