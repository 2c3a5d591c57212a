"""``pav-sched cancel``."""

from __future__ import annotations

import argparse
import getpass

from pavilion.cancelling import cancel_tests
from pavilion.sys_vars import get_vars

from . import base
from .base import Command, Session
from .output import Column, print_json, print_table
from .patience import patiently
from .selection import IDS_HELP, select


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("ids", nargs="+", metavar="ID", help=IDS_HELP)


def _cancel(session: Session) -> int:
    selection = select(session, session.args.ids)
    _ = session.plugins
    reason = _reason()
    outcomes = patiently(lambda: cancel_tests(session.pav_cfg, selection.tests, reason))
    if session.args.json:
        print_json(
            {
                "tests": [
                    {
                        "id": test.id,
                        "series": test.series,
                        "name": test.name,
                        "outcome": text,
                        "failed": failed,
                    }
                    for test, text, failed in outcomes
                ]
            }
        )
    elif outcomes:
        print_table(
            [Column("ID"), Column("NAME", cut=True), Column("OUTCOME", wrap=True)],
            [[test.id, test.name, text] for test, text, _ in outcomes],
        )
    failed = any(outcome.failed for outcome in outcomes)
    return selection.report() or (base.FAILED if failed else base.OK)


def _reason() -> str:
    """The note in the tests' status: who, and from where."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = "a user without a name"
    return f"Cancelled by {user} on {get_vars(True)['sys_host']}."


COMMANDS = [
    Command(
        name="cancel",
        summary="cancel tests or whole series",
        description=(
            "Cancel tests or whole series, and say for each test what came of it.\n\n"
            "A job that several tests share is cancelled when none of its tests is left."
        ),
        examples=["cancel s3", "cancel s3.1 s3.2", "cancel 's3.stream.*'", "cancel s3-s5"],
        run=_cancel,
        arguments=_arguments,
        json=True,
    )
]
