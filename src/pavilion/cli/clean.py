"""``pav-sched clean``."""

from __future__ import annotations

import argparse
import re
import time
from collections.abc import Sequence
from typing import Any

from pavilion.cleaning import (
    Leftover,
    OldSeries,
    add_jobs,
    check_ended,
    find_leftovers,
    look_at,
    measure,
    own_series,
    remove_leftover,
    remove_placeholders,
    remove_series,
)
from pavilion.errors import ConfigError, PavilionError, quoted
from pavilion.series import Series
from pavilion.series_list import SeriesInfo, series_info

from . import base
from .base import Command, Session
from .output import Column, clock, plural, print_json, print_table, show_error, tell
from .patience import patiently
from .selection import series_ids

_UNITS = {"m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_AGE = re.compile(r"([0-9]{1,9})([mhdw])\Z")


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "ids",
        nargs="*",
        metavar="SERIES",
        help="a series (s1), or several (s1-s4); default: all that the options choose",
    )
    parser.add_argument(
        "--older-than",
        type=_age,
        metavar="AGE",
        help="only series that were started longer ago than this: 30m, 12h, 7d, 4w",
    )
    parser.add_argument(
        "--keep", type=_number, metavar="N", help="keep the N newest of your series"
    )
    parser.add_argument("--all", action="store_true", help="all of your series")
    parser.add_argument(
        "--remove",
        action="store_true",
        help="remove them, rather than only show them. It needs ids or one of the options above",
    )


def _age(text: str) -> float:
    match = _AGE.match(text)
    if match is None:
        raise argparse.ArgumentTypeError(
            f"{quoted(text)} is not an age: give a whole number and a unit, as in 30m (minutes), "
            "12h (hours), 7d (days) or 4w (weeks)"
        )
    return float(match[1]) * _UNITS[match[2]]


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 9):
        raise argparse.ArgumentTypeError(f"{quoted(text)} is not a number of series")
    return int(text)


def _clean(session: Session) -> int:
    args = session.args
    if args.all and (args.ids or args.older_than is not None or args.keep is not None):
        raise ConfigError("--all means all of your series: give it without ids and other choices.")
    chosen = bool(args.ids or args.all or args.older_than is not None or args.keep is not None)
    if args.remove and not chosen:
        raise ConfigError(
            "Which series are to be removed? Name them (s1, s1-s4), or give --older-than, --keep "
            "or --all."
        )
    errors: list[PavilionError] = []
    found = [look_at(info) for info in _chosen(session, errors)]
    if any(old.kept is None and (old.unfinished or old.without_result) for old in found):
        # Schedulers are queried.
        _ = session.plugins
        patiently(lambda: _check(session, found))
    add_jobs(session.pav_cfg, found)
    leftovers = [] if args.ids else find_leftovers(session.pav_cfg, args.older_than or 0.0)
    measure(found, leftovers)
    if args.remove and not errors:
        _remove(session, found, leftovers)
    _report(session, found, leftovers, removed=args.remove and not errors)
    for error in errors:
        show_error(error)
    if errors:
        return base.USAGE
    failed = any(error is not None for error in _errors(found, leftovers))
    kept = args.remove and args.ids and any(old.kept is not None for old in found)
    return base.FAILED if failed or kept else base.OK


def _check(session: Session, found: Sequence[OldSeries]) -> None:
    for old in found:
        check_ended(session.pav_cfg, old)


def _errors(
    found: Sequence[OldSeries], leftovers: Sequence[Leftover]
) -> list[PavilionError | None]:
    return [*(old.error for old in found), *(leftover.error for leftover in leftovers)]


def _chosen(session: Session, errors: list[PavilionError]) -> list[SeriesInfo]:
    """The series that are meant, newest first."""
    args = session.args
    own = own_series(session.pav_cfg)
    newest = {info.id for info in own[: args.keep or 0]}
    if args.ids:
        own = _named(session, errors)
    before = None if args.older_than is None else time.time() - args.older_than
    return [
        info
        for info in own
        if info.id not in newest and (before is None or _started(info) < before)
    ]


def _started(info: SeriesInfo) -> float:
    """When a series was started; if its record does not say, when it last changed."""
    if info.created:
        return info.created
    try:
        return info.path.lstat().st_mtime
    except OSError:
        return time.time()


def _named(session: Session, errors: list[PavilionError]) -> list[SeriesInfo]:
    found: dict[str, SeriesInfo] = {}
    for item in session.args.ids:
        try:
            for name in series_ids(session, item):
                info = series_info(session.pav_cfg.working_dir / "series" / name)
                if info is not None:
                    found[name] = info
                elif "-" not in item:
                    # Says what is in its place.
                    Series.load(session.pav_cfg, name)
        except PavilionError as exc:
            errors.append(exc)
    return sorted(found.values(), key=lambda info: -int(info.id[1:]))


def _remove(session: Session, found: Sequence[OldSeries], leftovers: Sequence[Leftover]) -> None:
    try:
        # The oldest first: after an interrupt, the newest are left.
        for old in reversed(found):
            if old.kept is None:
                remove_series(session.pav_cfg, old)
        for leftover in leftovers:
            remove_leftover(session.pav_cfg, leftover)
        remove_placeholders(session.pav_cfg)
    except KeyboardInterrupt:
        tell("\nInterrupted. The next 'clean --remove' finishes what was begun.")
        raise


# -------------------------------------------------------------------------------------- reports


def _report(
    session: Session, found: Sequence[OldSeries], leftovers: Sequence[Leftover], removed: bool
) -> None:
    if session.args.json:
        print_json(
            {
                "removed": removed,
                "series": [_record(old, removed) for old in found],
                "leftovers": [
                    {
                        "path": str(leftover.path),
                        "what": leftover.what,
                        "bytes": leftover.size,
                        "error": leftover.error and leftover.error.pformat(),
                    }
                    for leftover in leftovers
                ],
            }
        )
        return
    if found or leftovers:
        _print_table(found, leftovers)
    print(_summary(found, leftovers, removed))


def _record(old: OldSeries, removed: bool) -> dict[str, Any]:
    return {
        "id": old.id,
        "created": old.info.created or None,
        "tests": len(old.tests),
        "jobs": [job.name for job in old.jobs],
        "bytes": old.size,
        "removed": removed and old.kept is None and old.error is None,
        "kept": old.kept,
        "error": old.error and old.error.pformat(),
    }


def _print_table(found: Sequence[OldSeries], leftovers: Sequence[Leftover]) -> None:
    columns = [
        Column("WHAT"),
        Column("STARTED"),
        Column("TESTS", right=True),
        Column("JOBS", right=True),
        Column("SIZE", right=True),
        Column("NOTE", wrap=True),
    ]
    rows = []
    for old in found:
        started = clock(old.info.created) if old.info.created else ""
        row = [old.id, started, str(len(old.tests))]
        if old.kept is not None:
            rows.append([*row, "", "", f"kept: {old.kept}"])
        else:
            error = "" if old.error is None else f"not removed: {old.error.pformat()}"
            rows.append([*row, str(len(old.jobs)), size_text(old.size), error])
    for leftover in leftovers:
        name = f"{leftover.path.parent.name}/{leftover.path.name}"
        error = "" if leftover.error is None else f"; not removed: {leftover.error.pformat()}"
        rows.append([name, "", "", "", size_text(leftover.size), leftover.what + error])
    print_table(columns, rows)


def _summary(found: Sequence[OldSeries], leftovers: Sequence[Leftover], removed: bool) -> str:
    if not found and not leftovers:
        return "There is nothing to remove."
    going = [old for old in found if old.kept is None and old.error is None]
    rest = [leftover for leftover in leftovers if leftover.error is None]
    kept = sum(old.kept is not None for old in found)
    failed = len(found) + len(leftovers) - kept - len(going) - len(rest)
    size = sum(old.size for old in going) + sum(leftover.size for leftover in rest)
    parts = [
        f"{len(going)} series with {plural(sum(len(old.tests) for old in going), 'test')} and "
        f"{plural(sum(len(old.jobs) for old in going), 'job')}"
    ]
    if rest:
        parts.append(plural(len(rest), "leftover"))
    text = f"{', '.join(parts)}: {size_text(size)}"
    text += " removed." if removed else ". Nothing was removed."
    if kept:
        text += f" {kept} series {'is' if kept == 1 else 'are'} kept."
    if failed:
        text += f" {failed} could not be removed."
    if not removed and (going or rest):
        text += " --remove removes them."
    return text


def size_text(number: int) -> str:
    """A number of bytes, for users: '0 B', '12.0 KiB', '3.4 GiB'."""
    size = float(number)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"


COMMANDS = [
    Command(
        name="clean",
        summary="show, or remove, old series and their jobs",
        description=(
            "Show which of your old series can be removed, with their jobs, and how much space\n"
            "they take. --remove removes them.\n\n"
            "Series with tests or jobs that have not ended are kept, and so are those of other\n"
            "users. Leftovers of interrupted runs (such as jobs without tests) are removed, too,\n"
            "when they are older than a day. The ids of removed series are not used again."
        ),
        examples=[
            "clean                              all that can be removed",
            "clean --older-than 7d",
            "clean --older-than 7d --remove",
            "clean --keep 10 --remove           all but the 10 newest",
            "clean s1 s4-s9 --remove",
        ],
        run=_clean,
        arguments=_arguments,
        json=True,
    )
]
