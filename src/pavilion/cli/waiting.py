"""Waiting for tests, and what is printed when it ends.  'run' and 'wait' share this."""

from __future__ import annotations

import argparse
import re
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Callable

from pavilion.errors import quoted
from pavilion.preview import name_list
from pavilion.schedulers.lifecycle.ending import NOT_STARTED
from pavilion.status_file import STATES, TestStatusInfo
from pavilion.test_run import TestRun
from pavilion.waiting import LastWord, wait_for

from . import base
from .base import PROGRAM, Session
from .output import one_line, plural, print_json, tell, terminal
from .patience import Deadline, SlowCalls
from .results import exit_code, print_results, summary, test_record

Progress = Callable[[Sequence[TestRun]], None]
# Seconds between lines about the progress, where no bar can be drawn, and before the first.
LINE_PAUSE = 30.0
FIRST_PAUSE = 5.0
_NUMBER = re.compile(r"[0-9.]+")


def add_timeout(parser: argparse.ArgumentParser) -> None:
    """The option --timeout."""
    parser.add_argument(
        "--timeout",
        type=_seconds,
        metavar="SECONDS",
        help=("stop waiting after this long, with exit code 3; jobs keep running"),
    )


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"{quoted(text)} is not a number of seconds")
    return seconds


def wait_and_report(
    session: Session, tests: Sequence[TestRun], extra: dict[str, Any] | None, deadline: Deadline
) -> int:
    """Wait until tests have ended, and print their results.

    :param extra: What to add to the JSON.
    :param deadline: When to stop waiting.
    :returns: The exit code.
    """
    waits = Waits()
    try:
        with _progress(tests, waits) as progress:
            ended = wait_for(session.pav_cfg, tests, deadline.left, progress, waits.hear)
    except KeyboardInterrupt:
        left = [test for test in tests if not test.complete]
        tell(f"\nInterrupted. {_go_on(left)}\n{hints(session, tests)}")
        return base.INTERRUPTED
    records = report(session, tests, extra, waits)
    code = exit_code(records)
    if ended and code == base.TIMED_OUT:
        code = base.FAILED
    for line in waits.unrecorded(tests):
        tell(f"{PROGRAM}: error: {line}")
    if code == base.TIMED_OUT:
        left = [test for test in tests if not test.complete]
        tell(
            f"The {session.args.timeout:g} seconds of --timeout are up. {_go_on(left)}\n"
            f"{hints(session, tests)}"
        )
    return code


def report(
    session: Session, tests: Sequence[TestRun], extra: dict[str, Any] | None, waits: Waits
) -> list[dict[str, Any]]:
    """Print the results of tests, as the user wants them."""
    records = [test_record(test, waits.status_of(test)) for test in tests]
    session.records = records
    if session.args.json:
        print_json(dict(extra or {}, tests=records, summary=summary(records)))
    else:
        print_results(records, session.command_line)
    return records


def hints(session: Session, tests: Sequence[TestRun]) -> str:
    """The commands for tests that have not ended."""
    names = list(dict.fromkeys(test.series for test in tests))
    return "\n".join(
        f"  {what:<14}{session.command_line(command, *names)}"
        for what, command in (("wait:", "wait"), ("look:", "status"), ("cancel:", "cancel"))
    )


def _go_on(left: Sequence[TestRun]) -> str:
    if not left:
        return "All tests have ended."
    goes = "has not ended and is" if len(left) == 1 else "have not ended and are"
    return f"{plural(len(left), 'test')} {goes} left running."


class Waits:
    """What the schedulers say about the tests that are waited for."""

    def __init__(self) -> None:
        self._heard: dict[str, TestStatusInfo] = {}
        self._last: dict[str, LastWord] = {}
        self._told: set[str] = set()
        self._slow = SlowCalls()

    def hear(self, test: TestRun, status: TestStatusInfo) -> None:
        """Take note of what a scheduler says about a test's job."""
        self._last.pop(test.id, None)
        if isinstance(status, LastWord):
            self._last[test.id] = status
        elif test.job is not None:
            self._heard[test.job.name] = status

    def status_of(self, test: TestRun) -> TestStatusInfo | None:
        """What its scheduler last said about a test that has not started, or the last word on one;
        None for others."""
        if test.complete:
            return None
        if test.id in self._last:
            return self._last[test.id]
        if test.job is None or test.status.current().state not in NOT_STARTED:
            return None
        return self._heard.get(test.job.name)

    def unrecorded(self, tests: Sequence[TestRun]) -> list[str]:
        """A line for each reason why tests are no longer waited for though their end is not
        recorded."""
        ids: dict[str, list[str]] = {}
        for test in tests:
            status = self._last.get(test.id)
            if status is not None and not test.complete:
                # Paths and numbers make no difference, but the first reason is shown complete.
                ids.setdefault(status.note, []).append(test.id)
        return [
            one_line(
                f"{name_list(found, 4)}: the end is not recorded, and is not waited for "
                f"any longer. {note}"
            )
            for note, found in ids.items()
        ]

    def news(self, left: Sequence[TestRun]) -> list[str]:
        """Why tests have not started, each reason once."""
        tests: dict[str, list[str]] = {}
        for test in left:
            status = self.status_of(test)
            if status is not None and status.state in (STATES.SCHEDULED, STATES.SCHED_WARNING):
                # Times and numbers of jobs make no difference.
                kind = _NUMBER.sub("", status.note)
                if kind not in self._told or kind in tests:
                    tests.setdefault(kind, [status.note]).append(test.id)
        self._told.update(tests)
        return [one_line(f"{name_list(ids, 1)}: {note}") for note, *ids in tests.values()]

    def slow(self) -> list[str]:
        """The methods of plugins that take long, each once."""
        return self._slow.news()


@contextmanager
def _progress(tests: Sequence[TestRun], waits: Waits) -> Iterator[Progress]:
    """Something to call with the tests that are left: a bar on a terminal, otherwise lines."""
    console = terminal(sys.stderr)
    if console is None:
        now_and_then = _NowAndThen(
            lambda left: tell(
                "\n".join(
                    [
                        f"{len(tests) - len(left)} of {plural(len(tests), 'test')} "
                        f"{'is' if len(tests) == 1 else 'are'} over.",
                        *waits.news(left),
                    ]
                )
            )
        )

        def tell_lines(left: Sequence[TestRun]) -> None:
            for line in waits.slow():
                tell(line)
            now_and_then(left)

        yield tell_lines
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        transient=True,
    ) as bar:
        task = bar.add_task("Waiting for tests", total=len(tests))

        def tell_news(left: Sequence[TestRun]) -> None:
            for line in waits.news(left):
                bar.console.print(line, markup=False, highlight=False)

        say = _NowAndThen(tell_news)

        def show(left: Sequence[TestRun]) -> None:
            bar.update(task, completed=len(tests) - len(left))
            for line in waits.slow():
                bar.console.print(line, markup=False, highlight=False)
            say(left)

        yield show


class _NowAndThen:
    """Does something now and then, as long as tests are left."""

    def __init__(self, work: Callable[[Sequence[TestRun]], object]) -> None:
        self._work = work
        self._next = time.monotonic() + FIRST_PAUSE

    def __call__(self, left: Sequence[TestRun]) -> None:
        if left and time.monotonic() >= self._next:
            self._next = time.monotonic() + LINE_PAUSE
            self._work(left)
