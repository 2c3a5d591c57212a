"""From ids on the command line to test runs."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from pavilion.errors import ConfigError, PavilionError, TestRunError, quoted
from pavilion.name_patterns import NamePattern, is_pattern
from pavilion.series import Series, latest_series, list_series, near_series
from pavilion.status_file import TestStatusInfo
from pavilion.suites import near_names, short_list
from pavilion.test_run import ERROR, PASS, TestRun
from pavilion.waiting import current_status

from . import base
from .base import Session
from .output import plural, show_error
from .patience import patiently

IDS_HELP = (
    "a test (s1.1, s1.stream.small), tests (s1.2-5, 's1.*.chunk3'), a series (s1), or several "
    "(s1-s4)"
)
# Of a series with a thousand damaged tests, not all are listed.
SHOWN_ERRORS = 50
# No more digits than in ids that were given out.
_NUMBER = r"[1-9][0-9]{0,8}"
_SERIES = re.compile(rf"s({_NUMBER})(?:-s?({_NUMBER}))?\Z")
_TESTS = re.compile(rf"({_NUMBER})(?:-({_NUMBER}))?\Z")
_ID = re.compile(rf"s{_NUMBER}(?:-s?{_NUMBER}\Z|\.|\Z)")


def looks_like_id(text: str) -> bool:
    """Whether a word on the command line is an id, and not the name of a suite.

    Ids are those of series ('s1'), of several ('s1-s4', 's1-4'), and a series followed by
    what chooses tests of it ('s1.3', 's1.2-5', 's1.stream.small', 's1.*').  Whether there is such
    a series or test makes no difference.
    """
    return _ID.match(text) is not None


@dataclass
class Selection:
    """The tests that ids stand for, each once, and what is wrong with other ids."""

    tests: list[TestRun] = field(default_factory=list)
    errors: list[PavilionError] = field(default_factory=list)

    def report(self) -> int:
        """Print the errors.  Gives the exit code so far."""
        for error in self.errors[:SHOWN_ERRORS]:
            show_error(error)
        more = len(self.errors) - SHOWN_ERRORS
        if more > 0:
            show_error(TestRunError(f"And {plural(more, 'more error')} of this kind."))
        return base.USAGE if self.errors else base.OK


def add_ids(parser: argparse.ArgumentParser) -> None:
    """The argument ID, which may be left out."""
    parser.add_argument(
        "ids", nargs="*", metavar="ID", help=f"{IDS_HELP}; default: the latest series"
    )


def select(session: Session, ids: Sequence[str]) -> Selection:
    """Find the tests of some ids; those of the latest series when there are no ids.

    What cannot be found is in the selection's errors; the others are found all the same.

    :raises ConfigError: When there are neither ids nor a series.
    """
    if not ids:
        ids = [latest(session)]
    found: dict[str, TestRun] = {}
    selection = Selection()
    for item in ids:
        try:
            tests = _tests_of(session, item, selection)
        except PavilionError as exc:
            selection.errors.append(exc)
        else:
            for test in tests:
                found.setdefault(test.id, test)
    selection.tests = list(found.values())
    return selection


def with_states(session: Session, tests: Sequence[TestRun]) -> list[tuple[TestRun, TestStatusInfo]]:
    """Tests with their states.  The schedulers of those that have not ended are queried."""
    if not all(test.complete for test in tests):
        _ = session.plugins
    return patiently(lambda: [(test, current_status(session.pav_cfg, test)) for test in tests])


def latest(session: Session) -> str:
    """The id of this user's latest series.  :raises ConfigError: When there is none."""
    found = latest_series(session.pav_cfg)
    if found is None:
        raise ConfigError(
            f"{no_series(session)} '{session.command_line('run', 'FILE')}' starts one."
        )
    return found


def no_series(session: Session) -> str:
    """That this user has no series (yet); in a working directory with those of others, where to see
    them."""
    place = session.pav_cfg.working_dir / "series"
    if not list_series(session.pav_cfg):
        return f"There is no series yet in {place}."
    every = session.command_line("show", "series")
    return f"You have no series in {place}; '{every}' lists those of others."


def failed(tests: Iterable[TestRun]) -> list[TestRun]:
    """The tests that ended without passing: failed, had an error, were cancelled, or never got as
    far as a result.  Those that have not ended may still pass, and are not among them."""
    return [test for test in tests if test.complete and (test.result or ERROR) != PASS]


def series_ids(session: Session, item: str) -> list[str]:
    """The ids of the series that 's1' or 's1-s4' stands for; of several those that exist.

    :raises TestRunError: When it is not the id of a series, or there is no series in the range.
    """
    match = _SERIES.match(item)
    if match is None:
        hint = f" Did you mean 's{item}'?" if _SERIES.match(f"s{item}") else ""
        raise ConfigError(
            f"{quoted(item)} is not an id.{hint} Ids of series look like 's1' or 's1-s4', those of "
            "tests like 's1.1'."
        )
    if match[2] is None:
        return [item]
    first, last = int(match[1]), int(match[2])
    ids = [f"s{number}" for number in list_series(session.pav_cfg) if first <= number <= last]
    if not ids:
        raise TestRunError(
            f"There is no series from s{first} to s{last} in "
            f"{session.pav_cfg.working_dir / 'series'}.{near_series(session.pav_cfg, first)}"
        )
    return ids


def _tests_of(session: Session, item: str, selection: Selection) -> list[TestRun]:
    series_id, dot, which = item.partition(".")
    if not dot:
        tests = []
        for name in series_ids(session, item):
            series = Series.load(session.pav_cfg, name)
            selection.errors += series.damaged
            tests += series.tests
        return tests
    numbers = _TESTS.match(which)
    if numbers is not None and numbers[2] is None:
        return [_one_test(session, series_id, item)]
    if not which or not looks_like_id(item) or "/" in which:
        # This says what is wrong with it.
        return [TestRun.load(session.pav_cfg, item)]
    series = Series.load(session.pav_cfg, series_id)
    selection.errors += series.damaged
    if numbers is not None:
        return _in_range(series, int(numbers[1]), int(numbers[2]))
    pattern = NamePattern(which)
    tests = [test for test in series.tests if pattern.matches(test.name)]
    if not tests:
        names = list(dict.fromkeys(test.name for test in series.tests))
        near = near_names(which, names)
        hint = f" Did you mean {f'{series_id}.{near}'!r}?" if near else ""
        what = "has a name that matches" if is_pattern(which) else "is called"
        raise TestRunError(
            f"There is no test {quoted(item)}: none of series {series_id} {what} {quoted(which)}."
            f"{hint} "
            f"Its tests: {short_list(names) or 'none'}."
        )
    return tests


def _one_test(session: Session, series_id: str, item: str) -> TestRun:
    try:
        return TestRun.load(session.pav_cfg, item)
    except TestRunError:
        # If there is no such series, or no test of that number, that says more.
        series = Series.load(session.pav_cfg, series_id)
        count = len(series.tests) + len(series.damaged)
        if int(item.partition(".")[2]) > count:
            tests = "no tests" if not count else f"{plural(count, 'test')}, {series_id}.1"
            last = f" to {series_id}.{count}" if count > 1 else ""
            raise TestRunError(
                f"There is no test run {item}: series {series_id} has {tests}{last}."
            ) from None
        raise


def _in_range(series: Series, first: int, last: int) -> list[TestRun]:
    tests = [test for test in series.tests if first <= int(test.id.rpartition(".")[2]) <= last]
    if not tests:
        raise TestRunError(
            f"Series {series.id} has {plural(len(series.tests), 'test')}, and none from "
            f"{series.id}.{first} to {series.id}.{last}."
        )
    return tests
