"""``pav-sched show series``."""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterable
from typing import Any

from pavilion.errors import PavilionError
from pavilion.series import Series
from pavilion.series_list import SeriesInfo, series_info, series_infos

from . import base
from .base import Command, Session
from .output import Column, clock, print_json, print_table, show_error, tell
from .selection import series_ids

# How many are shown without ids and --all.
SHOWN = 20


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "ids",
        nargs="*",
        metavar="SERIES",
        help="a series (s1), or several (s1-s4); default: the newest",
    )
    parser.add_argument(
        "--all",
        action="store_true",
        help=f"all series, not only the {SHOWN} newest",
    )


def _show(session: Session) -> int:
    errors: list[PavilionError] = []
    more = False
    if session.args.ids:
        found = _named(session, errors)
    else:
        infos = series_infos(session.pav_cfg)
        found = list(infos if session.args.all else itertools.islice(infos, SHOWN))
        more = next(infos, None) is not None
    if session.args.json:
        print_json({"series": [_record(info) for info in found], "more": more})
    elif found:
        _print(found)
    elif not errors:
        tell(f"There is no series yet in {session.pav_cfg.working_dir / 'series'}.")
    if more:
        tell(f"These are the {len(found)} newest series; --all shows all.")
    for error in errors:
        show_error(error)
    return base.USAGE if errors else base.OK


def _named(session: Session, errors: list[PavilionError]) -> list[SeriesInfo]:
    """The series of some ids, newest first."""
    found: dict[str, SeriesInfo] = {}
    for item in session.args.ids:
        try:
            for name in series_ids(session, item):
                info = series_info(session.pav_cfg.working_dir / "series" / name)
                if info is None:
                    # Says what is in its place.
                    Series.load(session.pav_cfg, name)
                else:
                    found[name] = info
        except PavilionError as exc:
            errors.append(exc)
    return sorted(found.values(), key=lambda info: -int(info.id[1:]))


def _record(info: SeriesInfo) -> dict[str, Any]:
    return {
        "id": info.id,
        "created": info.created or None,
        "owner": info.owner,
        "targets": info.targets,
        "tests": info.tests,
        "passed": info.passed,
        "failed": info.failed,
        "errors": info.errors,
        "unfinished": info.unfinished,
        "path": str(info.path),
        "problem": info.problem,
    }


def _print(found: Iterable[SeriesInfo]) -> None:
    columns = [
        Column("ID"),
        Column("STARTED"),
        Column("OWNER"),
        Column("TESTS", right=True),
        Column("PASSED", right=True),
        Column("FAILED", right=True),
        Column("ERRORS", right=True),
        Column("UNFINISHED", right=True),
        Column("TARGETS", cut=True),
    ]
    print_table(columns, [_row(info) for info in found])


def _row(info: SeriesInfo) -> list[str]:
    if info.problem is not None:
        return [info.id, "", info.owner, "", "", "", "", "", f"cannot be read: {info.problem}"]
    return [
        info.id,
        clock(info.created) if info.created else "",
        info.owner,
        *(
            str(number)
            for number in (info.tests, info.passed, info.failed, info.errors, info.unfinished)
        ),
        " ".join(info.targets),
    ]


COMMANDS = [
    Command(
        name="series",
        summary="the series in the working directory, newest first",
        description=(
            "Show the series of all users, newest first: when each was started, by whom, with which\n"
            "targets, and what came of its tests. Cancelled tests count as errors. Schedulers are\n"
            "not queried: 'unfinished' are tests whose end is not recorded; 'status' finds out more."
        ),
        examples=["show series", "show series --all", "show series s3-s9 --json"],
        run=_show,
        arguments=_arguments,
        json=True,
    )
]
