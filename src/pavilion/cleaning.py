"""Removing old series with their jobs, and what interrupted runs left behind.

Only directories of this user's are removed, in ``series/`` and ``jobs/`` of the working directory,
and no series with a test that has not ended.

A series is removed in steps that another call can finish: its record is renamed first (from then
on it counts as removed), then its jobs go, then its tests, its directory last.  The directory of
the highest number stays, empty but for the renamed record, so that no later series gets that
number: ids in somebody's notes never mean another series.  No lock is needed for that:
a directory only goes while one of a higher number exists.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from pavilion.config import PavConfig
from pavilion.errors import JobError, PavilionError
from pavilion.files import make_mark
from pavilion.jobs import Job, JobInfo
from pavilion.removing import DiskUse, RemovalError, is_own_directory, remove_tree
from pavilion.schedulers.finding.registry import require_plugin
from pavilion.schedulers.lifecycle.confirming import OVER
from pavilion.schedulers.lifecycle.job_states import NotListed, find_identity, query_job
from pavilion.series import RECORD_FN, REMOVED_FN, list_series
from pavilion.series_list import SeriesInfo, series_info, was_removed
from pavilion.starter import Starter
from pavilion.test_run import TestRun, job_of
from pavilion.waiting import current_status

# Seconds for which what belongs to no series is left alone: a run may be making it just now.
LEFTOVER_AGE = 86400.0
_TEST_DIR = re.compile(r"s[1-9][0-9]{0,8}\.[1-9][0-9]{0,8}\Z")


@dataclass
class OldSeries:
    """A series that may be removed.

    - ``tests``: the directories of its tests
    - ``jobs``: the directories of the jobs that go with it
    - ``size``: bytes
    - ``kept``: why it is not removed; None when it is
    - ``error``: what went wrong when it was removed
    """

    info: SeriesInfo
    tests: list[Path] = field(default_factory=list)
    jobs: list[Path] = field(default_factory=list)
    size: int = 0
    kept: str | None = None
    error: PavilionError | None = None

    @property
    def id(self) -> str:
        """Its id."""
        return self.info.id

    @property
    def unfinished(self) -> list[Path]:
        """The directories of its tests that have not ended, as far as is recorded."""
        return [test for test in self.tests if not os.path.lexists(test / "RUN_COMPLETE")]

    @property
    def without_result(self) -> list[Path]:
        """The directories of its tests that ended without a result of their own: their jobs need
        not have ended with them."""
        return [test for test in self.tests if not os.path.lexists(test / "results.json")]


@dataclass
class Leftover:
    """A directory that belongs to no series (any more).

    - ``what``: what it is, in a few words
    - ``size``: bytes
    - ``error``: what went wrong when it was removed
    """

    path: Path
    what: str
    size: int = 0
    error: PavilionError | None = None


def own_series(pav_cfg: PavConfig) -> list[SeriesInfo]:
    """This user's series, newest first, damaged ones included."""
    folder = pav_cfg.working_dir / "series"
    found = []
    for number in reversed(list_series(pav_cfg)):
        path = folder / f"s{number}"
        if is_own_directory(path) and not was_removed(path):
            info = series_info(path)
            if info is not None:
                found.append(info)
    return found


def look_at(info: SeriesInfo) -> OldSeries:
    """What there is to know about a series before it is removed."""
    old = OldSeries(info)
    if not is_own_directory(info.path):
        old.kept = f"it belongs to {info.owner or 'another user'}"
        return old
    try:
        names = [name for name in os.listdir(info.path) if _TEST_DIR.match(name)]  # noqa: PTH208
    except OSError as exc:
        old.kept = f"it cannot be read: {exc.strerror}"
        return old
    names.sort(key=lambda name: int(name.rpartition(".")[2]))
    old.tests = [info.path / name for name in names]
    starter = Starter.load(info.path)
    if starter is not None and not starter.gone(info.path):
        old.kept = "its tests are being handed to their schedulers"
    return old


def add_jobs(pav_cfg: PavConfig, found: Iterable[OldSeries]) -> None:
    """Find the jobs that are removed with series: those without tests of other series."""
    going = [old for old in found if old.kept is None]
    tests = {test.name for old in going for test in old.tests}
    for old in going:
        jobs: dict[str, Job] = {}
        for test in old.tests:
            job = job_of(test)
            if job is not None:
                jobs[job.name] = job
        old.jobs = [
            job.path
            for job in jobs.values()
            if is_own_directory(job.path) and not _needed(pav_cfg, job, tests)
        ]


def _needed(pav_cfg: PavConfig, job: Job, going: Collection[str]) -> bool:
    """Whether a job has tests that stay; True also where that cannot be determined."""
    try:
        pairs = job.get_test_id_pairs()
    except JobError:
        return True
    here = os.path.realpath(pav_cfg.working_dir)
    for working_dir, test_id in pairs:
        if test_id in going and os.path.realpath(working_dir) == here:
            continue
        path = working_dir / "series" / test_id.partition(".")[0] / test_id
        if os.path.lexists(path):
            return True
    return False


def measure(found: Iterable[OldSeries], leftovers: Iterable[Leftover]) -> None:
    """Find out how much space they take."""
    use = DiskUse()
    for old in found:
        if old.kept is None:
            old.size = use.of(old.info.path) + sum(use.of(job) for job in old.jobs)
    for leftover in leftovers:
        leftover.size = use.of(leftover.path)


def find_leftovers(pav_cfg: PavConfig, older_than: float = 0.0) -> list[Leftover]:
    """What belongs to no series (any more): jobs without tests, series that were not made to the
    end, and what an interrupted removal left.

    :param older_than: Seconds for which nothing in them has changed; at least a day, except for
        what is being removed already.
    """
    before = time.time() - max(older_than, LEFTOVER_AGE)
    found: list[Leftover] = []
    for number in list_series(pav_cfg):
        path = pav_cfg.working_dir / "series" / f"s{number}"
        if not is_own_directory(path) or os.path.lexists(path / RECORD_FN):
            continue
        if was_removed(path):
            if _content(path) != [REMOVED_FN]:
                found.append(Leftover(path, "the rest of a removed series"))
        elif _changed(path) < before and not _has_jobs(path):
            found.append(Leftover(path, "a series that was not made to the end"))
    for path in _entries(pav_cfg.working_dir / "jobs"):
        if is_own_directory(path) and not _has_tests(Job(path)) and _changed(path) < before:
            found.append(Leftover(path, "a job without tests"))
    return found


def _entries(directory: Path) -> list[Path]:
    return [directory / name for name in _content(directory) if not name.startswith(".")]


def _content(directory: Path) -> list[str]:
    try:
        return sorted(os.listdir(directory))  # noqa: PTH208
    except OSError:
        return []


def _has_jobs(path: Path) -> bool:
    return any(job_of(path / name) is not None for name in _content(path))


def _has_tests(job: Job) -> bool:
    """Whether a test of a job is there; not, when its record cannot be read."""
    try:
        pairs = job.get_test_id_pairs()
    except JobError:
        return False
    return any(
        os.path.lexists(working_dir / "series" / test_id.partition(".")[0] / test_id)
        for working_dir, test_id in pairs
    )


def _changed(path: Path) -> float:
    """When something in a directory changed last; subdirectories are not looked into."""
    times = []
    for each in (path, *(path / name for name in _content(path))):
        with contextlib.suppress(OSError):
            times.append(each.lstat().st_mtime)
    return max(times, default=0.0)


# ------------------------------------------------------------------------------------- removing


def remove_series(pav_cfg: PavConfig, old: OldSeries) -> None:
    """Remove a series and its jobs.  What goes wrong is in its ``error``.

    It is looked at once more first: its tests must have ended.
    """
    path = old.info.path
    try:
        if not is_own_directory(path):
            if os.path.lexists(path):
                raise RemovalError(f"{path} is not a directory of yours.")
            return
        if old.unfinished:
            raise RemovalError(f"Test {old.unfinished[0].name} has not ended.")
        _retire(path)
        for job in old.jobs:
            remove_tree(job)
        _remove_rest(pav_cfg, path)
    except PavilionError as exc:
        old.error = exc


def remove_leftover(pav_cfg: PavConfig, leftover: Leftover) -> None:
    """Remove what belongs to no series.  What goes wrong is in its ``error``."""
    path = leftover.path
    try:
        if path.parent.name != "series":
            remove_tree(path)
            return
        if is_own_directory(path):
            _retire(path)
            for name in _content(path):
                job = job_of(path / name)
                if job is not None and is_own_directory(job.path):
                    going = {each for each in _content(path) if _TEST_DIR.match(each)}
                    if not _needed(pav_cfg, job, going):
                        remove_tree(job.path)
            _remove_rest(pav_cfg, path)
    except PavilionError as exc:
        leftover.error = exc


def _retire(path: Path) -> None:
    """Make a series count as removed: from here on, what is left is a remainder.

    :raises RemovalError: When its record cannot be renamed.
    """
    try:
        try:
            (path / RECORD_FN).replace(path / REMOVED_FN)
        except FileNotFoundError:
            # It has none, or somebody else is removing it as well.
            if path.is_dir() and not was_removed(path):
                # Empty: the disk may be full, which is why somebody cleans up.
                make_mark(path / REMOVED_FN)
    except OSError as exc:
        raise RemovalError(f"{path} cannot be removed", prior_error=exc) from exc


def _remove_rest(pav_cfg: PavConfig, path: Path) -> None:
    """Remove what is in the directory of a series, and it too unless its number is the highest.

    :raises RemovalError: When something cannot be removed.
    """
    try:
        for name in _content(path):
            if name == REMOVED_FN:
                continue
            item = path / name
            if is_own_directory(item):
                remove_tree(item)
            else:
                item.unlink(missing_ok=True)
        if _is_higher(pav_cfg, int(path.name[1:])):
            (path / REMOVED_FN).unlink(missing_ok=True)
            with contextlib.suppress(FileNotFoundError):
                path.rmdir()
    except OSError as exc:
        raise RemovalError(f"{path} cannot be removed", prior_error=exc) from exc


def _is_higher(pav_cfg: PavConfig, number: int) -> bool:
    """Whether there is a series of a higher number, or what is left of one.

    One that is just being made does not count: when that fails, its directory goes.
    """
    # Mostly it is the next one; of a thousand series, not each is compared with all others.
    if _was_made(pav_cfg, number + 1):
        return True
    return any(other > number and _was_made(pav_cfg, other) for other in list_series(pav_cfg))


def _was_made(pav_cfg: PavConfig, number: int) -> bool:
    path = pav_cfg.working_dir / "series" / f"s{number}"
    return os.path.lexists(path / RECORD_FN) or was_removed(path)


def remove_placeholders(pav_cfg: PavConfig) -> None:
    """Remove the empty directories of removed series whose numbers need not be kept any more."""
    for number in list_series(pav_cfg):
        path = pav_cfg.working_dir / "series" / f"s{number}"
        if is_own_directory(path) and _content(path) == [REMOVED_FN]:
            with contextlib.suppress(RemovalError):
                _remove_rest(pav_cfg, path)


# --------------------------------------------------------------------------- what its tests do


def check_ended(pav_cfg: PavConfig, old: OldSeries) -> None:
    """Find out whether all tests of a series, and their jobs, have ended; otherwise it is kept.

    Schedulers are queried about tests whose end is not recorded, and about the jobs of those
    that ended without a result of their own.
    """
    if old.kept is not None:
        return
    try:
        for path in old.unfinished:
            current_status(pav_cfg, TestRun.load_path(path))
        left = old.unfinished
        if left:
            more = f" and {len(left) - 1} more" if len(left) > 1 else ""
            state = TestRun.load_path(left[0]).status.current().state
            old.kept = f"{left[0].name} has not ended ({state}){more}"
            return
        seen: set[str] = set()
        for path in old.without_result:
            job = job_of(path)
            if job is None or job.name in seen or not is_own_directory(job.path):
                continue
            seen.add(job.name)
            problem = _goes_on(pav_cfg, TestRun.load_path(path), job)
            if problem is not None:
                old.kept = f"the job of {path.name} may not have ended: {problem}"
                return
    except PavilionError as exc:
        old.kept = exc.pformat()


def _goes_on(pav_cfg: PavConfig, test: TestRun, job: Job) -> str | None:
    """What its scheduler says about a job that may not have ended; None when it has."""
    try:
        plugin = require_plugin(test.scheduler)
        info = find_identity(plugin, job)
    except PavilionError as exc:
        return exc.pformat()
    except (OSError, ValueError) as exc:
        return str(exc)
    if info is None:
        return None
    status = query_job(plugin, pav_cfg, job, JobInfo(info))
    if status.state in OVER or isinstance(status, NotListed):
        return None
    return f"{status.state}: {status.note}"
