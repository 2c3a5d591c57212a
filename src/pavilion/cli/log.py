"""``pav-sched log``."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import time
from pathlib import Path
from typing import IO, Callable

from pavilion.errors import ConfigError, quoted
from pavilion.files import open_log
from pavilion.test_run import TestRun
from pavilion.waiting import current_status

from . import base, failures
from .base import PROGRAM, Command, Session
from .output import one_line, tell
from .results import test_record
from .selection import select

# Seconds between two looks at a log that is followed, and between two at its test.
LOOK_PAUSE = 0.1
ASK_PAUSE = 1.0
_BLOCK = 1 << 16


def _job_file(name: str) -> Callable[[TestRun], Path | None]:
    def path_of(test: TestRun) -> Path | None:
        job = test.job
        return None if job is None else Path(getattr(job, name))

    return path_of


LOGS: dict[str, Callable[[TestRun], Path | None]] = {
    "run": lambda test: test.run_log,
    "kickoff": _job_file("kickoff_log"),
    "sched": _job_file("sched_log"),
}


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "which",
        choices=list(LOGS),
        metavar="LOG",
        nargs="?",
        default="run",
        help=(
            "'run' (default): what the test printed; 'kickoff': what the kickoff "
            "script of its job printed; 'sched': what the scheduler printed"
        ),
    )
    parser.add_argument("id", metavar="ID", help="a test (s1.1, s1.stream.small)")
    parser.add_argument("--tail", type=_lines, metavar="N", help="only the last N lines")
    parser.add_argument(
        "--follow", "-f", action="store_true", help="keep printing until the test has ended"
    )


def _lines(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise argparse.ArgumentTypeError(f"{quoted(text)} is not a number of lines")
    return int(text)


def _log(session: Session) -> int:
    test = _load(session)
    which = session.args.which
    path = LOGS[which](test)
    if session.args.follow:
        _ = session.plugins
        path = _wait_for(session, test)
    if path is None or not os.path.lexists(path):
        tell(_no_log(test, which))
        return base.FAILED
    # Not on stdout: what is there is the log, and nothing else.
    where = "; ".join(failures.about(test_record(test)))
    tell(one_line(f"{test.id} {test.name} ({test.scheduler}): {where}"))
    with open_log(path) as file:
        if session.args.tail is not None:
            _go_to_tail(file, session.args.tail)
        _copy(file)
        if session.args.follow:
            _follow(session, test, file)
    return base.OK


def _no_log(test: TestRun, which: str) -> str:
    state = test.status.current()
    yet = "" if test.complete else " yet"
    return (
        f"There is no {which} log of test {test.id}{yet}. The test's state is {state.state}: "
        f"{state.note}"
    )


def _load(session: Session) -> TestRun:
    """The test; for a series, its only test."""
    test_id: str = session.args.id
    if test_id in LOGS:
        raise ConfigError(
            f"Which test's {test_id} log? Give its id: '{PROGRAM} log {test_id} s1.1'."
        )
    selection = select(session, [test_id])
    tests = selection.tests
    if selection.errors:
        raise selection.errors[0]
    if not tests:
        raise ConfigError(f"Series {test_id} has no tests that can be read.")
    if len(tests) != 1:
        raise ConfigError(
            f"{quoted(test_id)} stands for {len(tests)} tests, {tests[0].id} to {tests[-1].id}: "
            "name one of them."
        )
    return tests[0]


def _wait_for(session: Session, test: TestRun) -> Path | None:
    """Wait until the log exists, or it is certain that it never will."""
    asked = 0.0
    while True:
        over = test.complete
        path = LOGS[session.args.which](test)
        if over or (path is not None and os.path.lexists(path)):
            return path
        asked = _ask(session, test, asked)
        time.sleep(LOOK_PAUSE)


def _follow(session: Session, test: TestRun, file: IO[bytes]) -> None:
    asked = 0.0
    while True:
        # Checked before the last copy: nothing is written after the end.
        over = test.complete
        _copy(file)
        if over:
            return
        asked = _ask(session, test, asked)
        time.sleep(LOOK_PAUSE)


def _ask(session: Session, test: TestRun, asked: float) -> float:
    """Let the scheduler end a test whose job is gone, now and then."""
    now = time.monotonic()
    if now - asked < ASK_PAUSE:
        return asked
    current_status(session.pav_cfg, test)
    return now


def _copy(file: IO[bytes]) -> None:
    """Print the rest of a file, as it is."""
    shutil.copyfileobj(file, sys.stdout.buffer, _BLOCK)
    sys.stdout.buffer.flush()


def _go_to_tail(file: IO[bytes], lines: int) -> None:
    """Move to where the last lines begin, reading from the end."""
    position = size = file.seek(0, 2)
    # The end of the last line does not begin another one.
    wanted = lines + 1
    while position > 0:
        step = min(_BLOCK, position)
        position -= step
        file.seek(position)
        block = file.read(step)
        if position + step == size and lines and not block.endswith(b"\n"):
            wanted -= 1
        end = len(block)
        while wanted and end >= 0:
            end = block.rfind(b"\n", 0, end)
            if end < 0:
                break
            wanted -= 1
            if not wanted:
                file.seek(position + end + 1)
                return
    file.seek(0 if lines else size)


COMMANDS = [
    Command(
        name="log",
        summary="print a log of a test",
        description="Print a log of a test.",
        examples=["log run s1.1", "log kickoff s1.1 --tail 20", "log run s1.1 --follow"],
        run=_log,
        arguments=_arguments,
    )
]
