"""From ids on the command line to test runs."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from pavilion.config import PavConfig
from pavilion.errors import ConfigError, PavilionError, quoted
from pavilion.series import Series, latest_series
from pavilion.status_file import TestStatusInfo
from pavilion.suites import is_target
from pavilion.test_run import TestRun
from pavilion.waiting import current_status

from . import base
from .base import Session
from .output import show_error
from .patience import patiently

IDS_HELP = "a test (s1.1) or a series (s1)"
_ID_RE = re.compile(r"s[1-9][0-9]*(\.[1-9][0-9]*)?\Z")


def looks_like_id(pav_cfg: PavConfig, text: str) -> bool:
    """Whether an argument that may be a target or an id is an id: 's1' or 's1.3', and neither a
    file nor a suite of that name.  Whether there is such a series is not looked at."""
    return _ID_RE.match(text) is not None and not is_target(pav_cfg, text)


@dataclass
class Selection:
    """The tests that ids stand for, each once, and what is wrong with other ids."""

    tests: list[TestRun] = field(default_factory=list)
    errors: list[PavilionError] = field(default_factory=list)

    def report(self) -> int:
        """Print the errors.  Gives the exit code so far."""
        for error in self.errors:
            show_error(error)
        return base.USAGE if self.errors else base.OK


def add_ids(parser: argparse.ArgumentParser) -> None:
    """The argument ID, which may be left out."""
    parser.add_argument(
        "ids", nargs="*", metavar="ID", help=f"{IDS_HELP}; default: the latest series"
    )


def select(session: Session, ids: Sequence[str]) -> Selection:
    """Find the tests of some ids; those of the latest series when there are no ids.

    What cannot be found is in the selection's errors; the others are found none the less.

    :raises ConfigError: When there are neither ids nor a series.
    """
    pav_cfg = session.pav_cfg
    if not ids:
        latest = latest_series(pav_cfg)
        if latest is None:
            raise ConfigError(
                f"There is no series yet in {pav_cfg.working_dir / 'series'}. "
                f"'{session.command_line('run', 'FILE')}' starts one."
            )
        ids = [latest]
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
    """Tests with their states.  The schedulers of those that are not complete are queried."""
    if not all(test.complete for test in tests):
        _ = session.plugins
    return patiently(lambda: [(test, current_status(session.pav_cfg, test)) for test in tests])


def _tests_of(session: Session, item: str, selection: Selection) -> list[TestRun]:
    if "." in item:
        return [TestRun.load(session.pav_cfg, item)]
    if not item.startswith("s"):
        raise ConfigError(
            f"{quoted(item)} is no id. Ids of series look like 's1', those of tests like 's1.1'."
        )
    series = Series.load(session.pav_cfg, item)
    selection.errors += series.damaged
    return series.tests
