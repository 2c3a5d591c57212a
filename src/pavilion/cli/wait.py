"""``pav-sched wait``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from pavilion.errors import ConfigError, PavilionError
from pavilion.schedulers.finding.registry import require_plugin
from pavilion.test_run import TestRun

from .base import Command, Session
from .junit import add_junit
from .patience import Deadline
from .selection import add_ids, select
from .waiting import add_timeout, wait_and_report


def _arguments(parser: argparse.ArgumentParser) -> None:
    add_ids(parser)
    add_timeout(parser)
    add_junit(parser)


def _wait(session: Session) -> int:
    selection = select(session, session.args.ids)
    code = selection.report()
    if code or not selection.tests:
        # Waiting for some of the tests would look like waiting for all of them.
        return code
    session.tests = selection.tests
    _ = session.plugins
    _check_schedulers(selection.tests)
    return wait_and_report(session, selection.tests, None, Deadline(session.args.timeout))


def _check_schedulers(tests: Sequence[TestRun]) -> None:
    """Make sure that lost jobs are noticed, which takes their scheduler.

    :raises ConfigError: When the scheduler of a test that has not ended is not loaded.
    """
    for name in {test.scheduler: None for test in tests if not test.complete}:
        try:
            require_plugin(name)
        except PavilionError as exc:
            raise ConfigError(
                "The tests cannot be waited for without the plugin of their "
                "scheduler; name the directory with its plugins/ with --config-dir",
                prior_error=exc,
            ) from exc


COMMANDS = [
    Command(
        name="wait",
        summary="wait for tests and show their results",
        description=(
            "Wait for tests that were started before, and show their results.\n\n"
            "The exit codes are those of 'run': 3, for example, when --timeout is up first."
        ),
        examples=["wait", "wait s3", "wait s3.1 s4 --timeout 60 --json", "wait 's3.*.chunk1'"],
        run=_wait,
        arguments=_arguments,
        json=True,
    )
]
