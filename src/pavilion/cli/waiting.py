"""Waiting for tests, and what is printed when it ends.  'run' and 'wait' share this."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Callable

from pavilion.series import wait_for
from pavilion.test_run import TestRun

from . import base
from .base import Session
from .output import plural, print_json, tell, terminal
from .results import exit_code, print_results, summary, test_record

Progress = Callable[[Sequence[TestRun]], None]
# Seconds between lines about the progress, where no bar can be drawn.
LINE_PAUSE = 30.0


def add_timeout(parser: argparse.ArgumentParser) -> None:
    """The option --timeout."""
    parser.add_argument("--timeout", type=_seconds, metavar="SECONDS", help=(
        "stop waiting after so long, with exit code 3; the tests go on"))


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds")
    return seconds


def wait_and_report(session: Session, tests: Sequence[TestRun],
                    extra: dict[str, Any] | None = None) -> int:
    """Wait until tests are over, and print their results.

    :param extra: What to add to the JSON.
    :returns: The exit code.
    """
    try:
        with _progress(tests) as progress:
            wait_for(session.pav_cfg, tests, session.args.timeout, progress)
    except KeyboardInterrupt:
        left = [test for test in tests if not test.complete]
        tell(f"\nInterrupted. {_go_on(left)}\n{hints(session, tests)}")
        return base.INTERRUPTED
    records = report(session, tests, extra)
    code = exit_code(records)
    if code == base.TIMED_OUT:
        left = [test for test in tests if not test.complete]
        tell(f"The {session.args.timeout:g} seconds of --timeout are over. {_go_on(left)}\n"
             f"{hints(session, tests)}")
    return code


def report(session: Session, tests: Sequence[TestRun], extra: dict[str, Any] | None = None
           ) -> list[dict[str, Any]]:
    """Print the results of tests, as the user wants them."""
    records = [test_record(test) for test in tests]
    if session.args.json:
        print_json(dict(extra or {}, tests=records, summary=summary(records)))
    else:
        print_results(records)
    return records


def hints(session: Session, tests: Sequence[TestRun]) -> str:
    """How to go on with tests that are not over."""
    names = list(dict.fromkeys(test.series for test in tests))
    return "\n".join(f"  {what:<14}{session.command_line(command, *names)}" for what, command in (
        ("wait:", "wait"), ("look:", "status"), ("cancel:", "cancel")))


def _go_on(left: Sequence[TestRun]) -> str:
    if not left:
        return "All tests are over."
    goes = "is not over and goes on" if len(left) == 1 else "are not over and go on"
    return f"{plural(len(left), 'test')} {goes}."


@contextmanager
def _progress(tests: Sequence[TestRun]) -> Iterator[Progress]:
    """Something to call with the tests that are left: a bar on a terminal, else a few lines."""
    console = terminal(sys.stderr)
    if console is None:
        yield _Lines(len(tests))
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
    with Progress(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
                  TimeElapsedColumn(), console=console, transient=True) as bar:
        task = bar.add_task("Waiting for tests", total=len(tests))
        yield lambda left: bar.update(task, completed=len(tests) - len(left))


class _Lines:
    """Prints a line about the progress now and then."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._next = time.monotonic() + LINE_PAUSE

    def __call__(self, left: Sequence[TestRun]) -> None:
        if left and time.monotonic() >= self._next:
            self._next = time.monotonic() + LINE_PAUSE
            tell(f"{self._total - len(left)} of {plural(self._total, 'test')} are over.")
