"""``pav-sched run``."""

from __future__ import annotations

import argparse
import traceback
from typing import Any

from pavilion.preview import name_list
from pavilion.series import Series

from . import base
from .base import PROGRAM, Command, Session
from .interrupts import KickoffGuard
from .output import plural, print_json, tell
from .results import summary, test_record
from .targets import add_targets, overrides, resolve_targets, show_warnings
from .waiting import add_timeout, hints, wait_and_report


def _arguments(parser: argparse.ArgumentParser) -> None:
    add_targets(parser)
    parser.add_argument("--detach", action="store_true",
                        help="do not wait for results: print the series and return")
    add_timeout(parser)


def _run(session: Session) -> int:
    resolved, seed = resolve_targets(session)
    session.pav_cfg.make_working_dir()
    try:
        series = Series.create(session.pav_cfg, resolved, record={
            "targets": session.args.targets, "overrides": overrides(session.args),
            "seed": seed})
    except KeyboardInterrupt:
        tell("\nInterrupted. Nothing was started.")
        return base.INTERRUPTED
    guard = KickoffGuard(series.tests)
    try:
        with guard:
            errors = series.kick_off()
        forced = False
    except KeyboardInterrupt:
        errors, forced = [], True
    for error in errors:
        names = name_list([test.name for test in error.tests])
        if session.args.debug:
            traceback.print_exception(type(error), error, error.__traceback__)
        tell(f"{PROGRAM}: error: {names}: {error.pformat()}")
    show_warnings(resolved, {test.name for error in errors for test in error.tests})
    if guard.number is not None:
        return _cut_short(session, series, guard, forced)
    if session.args.detach:
        return _detach(session, series)
    tell(f"Series {series.id}: {plural(len(series.tests), 'test')}.")
    return wait_and_report(session, series.tests, {"series": series.id})


def _cut_short(session: Session, series: Series, guard: KickoffGuard, forced: bool
               ) -> int:
    """Say what came of an interrupt while tests were handed over.

    :param forced: Whether not even the job in hand was waited for.
    """
    left = [test for test in series.tests if not test.complete]
    number = len(guard.cancelled)
    text = (f"Interrupted while the tests of series {series.id} were handed to their schedulers. "
            f"{plural(number, 'test')} not handed over yet "
            f"{'was' if number == 1 else 'were'} cancelled. ")
    if left:
        goes = "was handed over and goes on" if len(left) == 1 else "were handed over and go on"
        text += f"{plural(len(left), 'test')} {goes}"
        if forced:
            text += ", as far as the scheduler took the job in hand; 'status' tells later"
        text += f".\n{hints(session, series.tests)}"
    else:
        text += "No test goes on."
    tell(text)
    return 128 + (guard.number or 0)


def _detach(session: Session, series: Series) -> int:
    """Say what was started, and how to go on."""
    records: list[dict[str, Any]] = [test_record(test) for test in series.tests]
    counts = summary(records)
    if session.args.json:
        print_json({"series": series.id, "tests": records, "summary": counts})
    else:
        started = counts["tests"] - counts["errors"]
        rest = f", {counts['errors']} could not be" if counts["errors"] else ""
        print(f"Series {series.id}: {plural(started, 'test')} handed over{rest}.")
        print(hints(session, series.tests))
    return base.FAILED if counts["errors"] else base.OK


COMMANDS = [Command(
    name="run",
    summary="run tests and wait for their results",
    description=(
        "Run tests and wait for their results.\n\n"
        "Everything is checked first; when anything is wrong, nothing is started. Ctrl-C while\n"
        "it waits leaves the tests running and says how to go on."),
    examples=["run mytests.yaml",
              "run mytests.yaml.hello -c schedule.nodes=4 -c run.timeout=10",
              "run nightly --scheduler slurm --detach"],
    run=_run, arguments=_arguments, json=True)]
