"""``pav-sched run``."""

from __future__ import annotations

import argparse
import signal
import traceback
from typing import Any

from pavilion.errors import PavilionError, SchedulerPluginError
from pavilion.handing_over import Kickoff
from pavilion.preview import name_list
from pavilion.series import Series

from . import base, left_out
from .base import PROGRAM, Command, Session
from .interrupts import KickoffGuard
from .junit import add_junit
from .output import plural, print_json, tell
from .patience import Deadline, OutOfTimeError, patiently
from .results import CANCELLED, summary, test_record
from .starting import LEAST, hand_over
from .targets import add_targets, overrides, resolve_targets, show_pinned, show_warnings
from .waiting import Waits, add_timeout, hints, report, wait_and_report


def _arguments(parser: argparse.ArgumentParser) -> None:
    add_targets(parser)
    parser.add_argument(
        "--detach", action="store_true", help="do not wait for results: print the series and return"
    )
    add_timeout(parser)
    add_junit(parser)


def _run(session: Session) -> int:
    timeout = session.args.timeout
    deadline = Deadline(timeout)
    starting = Deadline(None if timeout is None else max(timeout, LEAST))
    try:
        targets = patiently(lambda: resolve_targets(session), starting)
    except OutOfTimeError:
        tell(f"The {timeout:g} seconds of --timeout are up. Nothing was started.")
        return base.TIMED_OUT
    resolved = targets.tests
    if not resolved:
        if session.args.json:
            print_json({"series": None, "tests": [], "summary": summary([])})
        return base.OK
    session.pav_cfg.make_working_dir()
    try:
        series = Series.create(
            session.pav_cfg,
            resolved,
            record={
                "targets": targets.words,
                "overrides": overrides(session.args),
                "seed": targets.seed,
            },
        )
    except KeyboardInterrupt:
        tell("\nInterrupted. Nothing was started.")
        return base.INTERRUPTED
    session.tests = series.tests
    if not session.args.detach:
        tell(f"Series {series.id}: {plural(len(series.tests), 'test')}.")
    kickoff = series.kickoff()
    guard = KickoffGuard()
    try:
        with guard:
            over = hand_over(kickoff, guard, starting)
    except KeyboardInterrupt:
        over = False
    extra = {"series": series.id, **left_out.of_run(session, kickoff)}
    refused = _show_errors(session, kickoff)
    show_warnings(resolved, refused)
    show_pinned(resolved, refused)
    if isinstance(kickoff.failure, KeyboardInterrupt):
        # A plugin raised it; who pressed Ctrl-C means the same.
        guard.number = guard.number or signal.SIGINT
    elif kickoff.failure is not None:
        raise kickoff.failure
    if guard.number is not None:
        return _cut_short(session, series, guard.number, over)
    if starting.over and (kickoff.cancelled or kickoff.stopped):
        return _out_of_time(session, series, over, extra)
    if session.args.detach:
        return _detach(session, series, extra)
    return wait_and_report(session, series.tests, extra, deadline)


def _show_errors(session: Session, kickoff: Kickoff) -> set[str]:
    """Report what went wrong.  Returns the names of the tests concerned."""
    errors = list(kickoff.errors)
    alike: dict[str, list[SchedulerPluginError]] = {}
    for error in errors:
        alike.setdefault(_without_job(error), []).append(error)
    for group in alike.values():
        names = name_list([test.name for error in group for test in error.tests])
        for error in group if session.args.debug else ():
            traceback.print_exception(type(error), error, error.__traceback__)
        more = f" (The same for {plural(len(group) - 1, 'more job')}.)" if group[1:] else ""
        tell(f"{PROGRAM}: error: {names}: {group[0].pformat()}{more}")
    return {test.name for error in errors for test in error.tests}


def _without_job(error: SchedulerPluginError) -> str:
    """An error's text without the directory of the job that it is about: a hundred jobs may be
    refused for one reason."""
    text = " ".join(error.pformat().split())
    try:
        job = error.tests[0].job if error.tests else None
    except PavilionError:
        job = None
    return text if job is None else text.replace(job.name, "")


def _cut_short(session: Session, series: Series, number: int, over: bool) -> int:
    """Say what came of an interrupt while tests were handed over.

    :param number: The signal.
    :param over: Whether no job is in hand any more.
    """
    tell(
        f"Interrupted while the tests of series {series.id} were handed to their schedulers. "
        f"{_what_is_left(session, series, over)}"
    )
    return 128 + number


def _out_of_time(session: Session, series: Series, over: bool, extra: dict[str, Any]) -> int:
    """Say what came of a --timeout while tests were handed over; see _cut_short."""
    report(session, series.tests, extra, Waits())
    tell(
        f"The {session.args.timeout:g} seconds of --timeout were up before the tests of series "
        f"{series.id} were handed to their schedulers. {_what_is_left(session, series, over)}"
    )
    return base.TIMED_OUT


def _what_is_left(session: Session, series: Series, over: bool) -> str:
    left = [test for test in series.tests if not test.complete]
    number = sum(test.status.current().state in CANCELLED for test in series.tests)
    text = (
        f"{plural(number, 'test')} not handed over yet "
        f"{'was' if number == 1 else 'were'} cancelled. "
    )
    if not left:
        return text + "No test is left running."
    goes = "was handed over and is" if len(left) == 1 else "were handed over and are"
    text += f"{plural(len(left), 'test')} {goes} left running"
    if not over:
        text += ", if the scheduler has accepted the job in hand; 'status' shows that later"
    return f"{text}.\n{hints(session, series.tests)}"


def _detach(session: Session, series: Series, extra: dict[str, Any]) -> int:
    """Say what was started, and what to do next."""
    records: list[dict[str, Any]] = [test_record(test) for test in series.tests]
    counts = summary(records)
    if session.args.json:
        print_json({**extra, "tests": records, "summary": counts})
    else:
        started = counts["tests"] - counts["errors"]
        rest = f", {counts['errors']} could not be" if counts["errors"] else ""
        print(f"Series {series.id}: {plural(started, 'test')} handed over{rest}.")
        print(hints(session, series.tests))
    return base.FAILED if counts["errors"] else base.OK


COMMANDS = [
    Command(
        name="run",
        summary="run tests and wait for their results",
        description=(
            "Run tests and wait for their results.\n\n"
            "Everything is checked first; when anything is wrong, nothing is started. Ctrl-C while\n"
            "it waits leaves the tests running and says what to do next. Tests that have not been\n"
            "handed to their scheduler when --timeout is up, or at Ctrl-C, are cancelled.\n\n"
            "Tests of earlier series are run again from their suites as these are now. Those that\n"
            "ran on chunks or on across_nodes get the same nodes again, or are refused."
        ),
        examples=[
            "run mytests.yaml",
            "run mytests.yaml.hello -c schedule.nodes=4 -c run.timeout=10",
            "run nightly --scheduler slurm --detach",
            "run stream.every_node.chunk3       one permutation",
            "run 'stream.*' '*.chunk[0-3]'      all tests whose names match",
            "run --failed                       the failures of the latest series again",
            "run s1 --failed --any-nodes        those of s1, on whichever nodes there are",
            "run s1.3 -c run.timeout=600        one test again, with a key changed",
        ],
        run=_run,
        arguments=_arguments,
        json=True,
    )
]
