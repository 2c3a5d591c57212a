"""Series: the test runs that were started together.

``<working_dir>/series/s1`` holds ``series.json``, a copy of the settings it was started with
(``pavilion.yaml``: what its jobs use, whatever happens to the original) and a directory per test.
"""

from __future__ import annotations

import itertools
import os
import re
import shutil
import stat
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Callable

from pavilion.again import Digests, source_record
from pavilion.config import CONFIG_NAME, PavConfig
from pavilion.env_setup import watched
from pavilion.errors import ConfigError, SchedulerPluginError, TestRunError, quoted
from pavilion.files import (
    MISSING,
    directory_problem,
    is_mine,
    make_directory,
    make_mark,
    read_json,
    write_own_json,
)
from pavilion.handing_over import Kickoff
from pavilion.resolve import ResolvedTest
from pavilion.starter import STARTING_FN, Starter
from pavilion.test_run import TestRun
from pavilion.waiting import wait_for

RECORD_FN = "series.json"
# What 'clean' renames the record to, before it removes anything else.
REMOVED_FN = "removed.json"
# Longer names were not given out here.
_ID_RE = re.compile(r"s([1-9][0-9]{0,8})\Z")
_LAST_NUMBER = 10**9 - 1
# The most tests of a series: a record with a larger number is not believed.
MAX_TESTS = 100_000
# Tests without a directory that are reported one by one.
_NAMED_MISSING = 8


class Series:
    """A series of test runs.  Made by :meth:`create`, found again by :meth:`load`."""

    def __init__(self, pav_cfg: PavConfig, path: Path, tests: list[TestRun]) -> None:
        self.pav_cfg = pav_cfg
        self.path = path
        self.id = path.name
        self.tests = tests
        # What is wrong with its tests that cannot be read.
        self.damaged: list[TestRunError] = []

    @classmethod
    def create(
        cls,
        pav_cfg: PavConfig,
        resolved: Sequence[ResolvedTest],
        record: dict[str, Any] | None = None,
    ) -> Series:
        """Make the directories of a new series and its test runs.  All of them, or none.

        :param record: What to keep about its origin.
        :raises TestRunError: When they cannot be made.
        """
        if len(resolved) > MAX_TESTS:
            raise TestRunError(
                f"A series has at most {MAX_TESTS} tests, but there are {len(resolved)}."
            )
        path = _new_folder(pav_cfg.working_dir / "series")
        try:
            cfg_file = path / CONFIG_NAME
            pav_cfg.save(cfg_file)
            setup = watched(pav_cfg.env_setup)
            series = cls(PavConfig(pav_cfg, pav_cfg_file=cfg_file, env_setup=setup), path, [])
            digests = Digests()
            seed = None if record is None else record.get("seed")
            for number, test in enumerate(resolved, 1):
                series.tests.append(
                    TestRun.create(
                        path,
                        number,
                        test.name,
                        test.config,
                        test.var_man,
                        test.deferred_paths,
                        test.permutation,
                        source=source_record(test, digests, seed),
                        repeats=test.repeats,
                    )
                )
            # Before anybody can find the series without its sign of life.
            make_mark(path / STARTING_FN)
            write_own_json(
                path / RECORD_FN,
                dict(
                    record or {},
                    id=path.name,
                    created=time.time(),
                    tests=len(series.tests),
                    starter=Starter.this_process()._asdict(),
                ),
            )
        except BaseException as exc:
            shutil.rmtree(path, ignore_errors=True)
            if isinstance(exc, OSError):
                raise TestRunError(
                    f"The series cannot be written to {path}", prior_error=exc
                ) from exc
            raise
        return series

    @classmethod
    def load(cls, pav_cfg: PavConfig, series_id: str) -> Series:
        """Find a series by its id.

        :raises TestRunError: When there is none, or it cannot be read.
        """
        if not _ID_RE.match(series_id):
            raise TestRunError(f"{quoted(series_id)} is not a series id. Ids look like 's1'.")
        check_readable(pav_cfg)
        path = pav_cfg.working_dir / "series" / series_id
        try:
            count = _checked_count(path)
        except (FileNotFoundError, NotADirectoryError) as exc:
            made = _why_none(path)
            near = "" if made else near_series(pav_cfg, int(series_id[1:]))
            raise TestRunError(
                f"There is no series {series_id} in {path.parent}.{made}{near}"
            ) from exc
        except (OSError, ValueError, KeyError, TypeError) as exc:
            raise TestRunError(
                f"The record of series {series_id} ({path / RECORD_FN}) cannot be read",
                prior_error=exc,
            ) from exc
        series = cls(pav_cfg, path, [])
        missing = _missing_tests(path, count)
        if len(missing) > _NAMED_MISSING:
            # Not one by one: a damaged record may have any number.
            series.damaged.append(
                TestRunError(
                    f"Of the {count} tests that series {series_id} has by its record, {len(missing)} "
                    f"have no directory in {path}, {missing[0]} to {missing[-1]}."
                )
            )
        gone = frozenset(missing if len(missing) > _NAMED_MISSING else ())
        for number in range(1, count + 1):
            name = f"{series_id}.{number}"
            if name in gone:
                continue
            try:
                series.tests.append(TestRun.load_path(path / name))
            except TestRunError as exc:
                series.damaged.append(exc)
        return series

    def kick_off(self) -> list[SchedulerPluginError]:
        """Hand all tests to their schedulers.

        :returns: What went wrong.  The tests concerned have a final state.
        """
        kickoff = self.kickoff()
        kickoff.run()
        if kickoff.failure is not None:
            raise kickoff.failure
        return kickoff.errors

    def kickoff(self) -> Kickoff:
        """What hands all tests to their schedulers; it is not started yet."""
        return Kickoff(self.pav_cfg, self.path, self.tests)

    def wait(
        self,
        timeout: float | None = None,
        progress: Callable[[Sequence[TestRun]], None] = lambda tests: None,
    ) -> bool:
        """Wait until all tests have ended.

        :param timeout: Seconds; without it as long as it takes.
        :param progress: Called with the tests that have not ended yet, after every look.
        :returns: Whether all have ended.
        """
        return wait_for(self.pav_cfg, self.tests, timeout, progress)


def _checked_count(path: Path) -> int:
    """How many tests a series has.

    :raises OSError, ValueError, KeyError, TypeError: When that cannot be determined.
    """
    if not stat.S_ISDIR(path.lstat().st_mode):
        raise ValueError(f"{path} is not a directory but a link or a file")
    count = read_json(path / RECORD_FN)["tests"]
    if not isinstance(count, int) or not 0 <= count <= MAX_TESTS:
        raise ValueError(
            f"the number of tests must be a whole number up to {MAX_TESTS}, not {quoted(count)}"
        )
    return count


def _missing_tests(path: Path, count: int) -> list[str]:
    """The tests of a series that have no directory; none where that cannot be listed."""
    try:
        there = frozenset(os.listdir(path))  # noqa: PTH208 (names are all that is needed)
    except OSError:
        return []
    names = (f"{path.name}.{number}" for number in range(1, count + 1))
    return [name for name in names if name not in there]


def check_readable(pav_cfg: PavConfig) -> None:
    """Check that the series can be listed; there need not be any yet.

    :raises ConfigError: When the working directory, or its ``series``, is there and cannot be
        read.
    """
    for path in (pav_cfg.working_dir, pav_cfg.working_dir / "series"):
        problem = directory_problem(path)
        if problem == MISSING:
            # Nothing has been run yet.
            return
        if problem:
            raise ConfigError(f"The working directory cannot be used: {path} {problem}.")


def latest_series(pav_cfg: PavConfig) -> str | None:
    """The id of this user's newest series; None when there is none.

    One that is being made, or was not made to the end, does not count.

    :raises ConfigError: When the working directory cannot be read.
    """
    check_readable(pav_cfg)
    folder = pav_cfg.working_dir / "series"
    for number in sorted(_series_numbers(folder), reverse=True):
        path = folder / f"s{number}"
        if is_mine(path) and (path / RECORD_FN).exists():
            return path.name
    return None


def list_series(pav_cfg: PavConfig) -> list[int]:
    """The numbers of all series, of all users, in order.

    A number is that of a directory: what is in it may not be a series, or not be readable.
    """
    return sorted(_series_numbers(pav_cfg.working_dir / "series"))


def near_series(pav_cfg: PavConfig, number: int) -> str:
    """What to say where no series has a number: which ones there are, after a blank."""
    numbers = [
        each
        for each in list_series(pav_cfg)
        if (pav_cfg.working_dir / "series" / f"s{each}" / RECORD_FN).exists()
    ]
    if not numbers:
        return ""
    if len(numbers) == 1:
        return f" There is only s{numbers[0]}."
    near = min(numbers, key=lambda each: (abs(each - number), -each))
    return f" There are {len(numbers)}, s{numbers[0]} to s{numbers[-1]}; the nearest is s{near}."


def _why_none(path: Path) -> str:
    """What to say about a directory that is not a series (any more), after a blank."""
    if os.path.lexists(path / REMOVED_FN):
        return " It was removed with 'clean'."
    return " It is being made, or was not made to the end." if path.is_dir() else ""


def _series_numbers(folder: Path) -> list[int]:
    try:
        names = [path.name for path in folder.iterdir()]
    except OSError:
        return []
    return [int(match[1]) for match in map(_ID_RE.match, names) if match]


def _new_folder(folder: Path) -> Path:
    """The directory of the next series.  Making a directory succeeds for one process only."""
    taken = set(_series_numbers(folder))
    # If somebody took the last numbers, those that are left will do.
    after = max(taken, default=0)
    for number in itertools.count(after + 1 if after + len(taken) < _LAST_NUMBER else 1):
        if number in taken:
            continue
        path = folder / f"s{number}"
        try:
            make_directory(path)
        except FileExistsError:
            continue
        except OSError as exc:
            raise TestRunError(f"A new series cannot be made in {folder}", prior_error=exc) from exc
        return path
    raise AssertionError("numbers do not end")
