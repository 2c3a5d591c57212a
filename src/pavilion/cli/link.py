"""``pav-sched link``, ``unlink`` and ``check``: our directory in a Pavilion checkout."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import base
from .base import PROGRAM, Command, Session
from .output import Column, print_json, print_table, tell

# All other commands start faster without what these need: it is imported where it is used.
if TYPE_CHECKING:
    from pavilion.dropin import Checkout, Finding, Outcome


def _root_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "root",
        type=Path,
        metavar="PAVILION_ROOT",
        help=("the Pavilion checkout: its root, or any directory in it"),
    )


def _python_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--python",
        type=Path,
        metavar="FILE",
        help=(
            "the Python that this Pavilion runs with. Default: that of a virtual environment in the "
            "checkout, the one that bin/pav names, or python3 in PATH"
        ),
    )


def _copy_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--copy",
        action="store_true",
        help=("make a copy, not a link: for nodes that do not see this installation"),
    )


def _check_arguments(parser: argparse.ArgumentParser) -> None:
    _root_argument(parser)
    _python_argument(parser)


def _link_arguments(parser: argparse.ArgumentParser) -> None:
    _check_arguments(parser)
    _copy_argument(parser)
    parser.add_argument(
        "--force",
        action="store_true",
        help=("link another version than Pavilion 2.6, too; undone if it does not work"),
    )
    parser.add_argument(
        "--without",
        action="append",
        metavar="NAME",
        help=(
            "leave out this scheduler of the checkout; may be repeated. All others that we do not "
            "bundle are kept. Default: those that were left out before"
        ),
    )


def _check(session: Session) -> int:
    from pavilion.dropin import examine, find_checkout, find_python

    checkout = find_checkout(session.args.root)
    report = examine(checkout, find_python(checkout, session.args.python))
    if session.args.json:
        print_json(
            {
                "checkout": str(checkout.root),
                "state": report.state.kind,
                "current": report.state.current,
                "findings": _records(report.findings),
                "ok": not report.failures,
            }
        )
    else:
        _print_findings(report.findings)
    return base.FAILED if report.failures else base.OK


def _link(session: Session) -> int:
    from pavilion.dropin import find_checkout, find_python, link

    args = session.args
    checkout = find_checkout(args.root)
    python = find_python(checkout, args.python)
    outcome = link(checkout, python, args.copy, args.force, without=args.without)
    if outcome.unusable and not args.json and _agrees(outcome):
        without = [*(args.without or []), *outcome.unusable]
        outcome = link(checkout, python, args.copy, args.force, without=without)
    return _tell_outcome(session, checkout, outcome, _after_link(checkout, args.copy))


def _agrees(outcome: Outcome) -> bool:
    """Whether the user, when asked on a terminal, agrees to lose schedulers that cannot be kept."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        return False
    _print_findings([item for item in outcome.findings if item.verdict == "FAIL"])
    names = ", ".join(outcome.unusable)
    try:
        return input(f"Link without {names}? [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:
        return False


def _unlink(session: Session) -> int:
    from pavilion.dropin import find_checkout, unlink

    checkout = find_checkout(session.args.root)
    outcome = unlink(checkout)
    return _tell_outcome(session, checkout, outcome, "Next: run one of your suites.")


def _after_link(checkout: Checkout, copy: bool) -> str:
    from pavilion.dropin import SOURCE

    root = shlex.quote(str(checkout.root))
    lines = [
        "Next:",
        "  - Try 'pav show sched' and one of your suites, with your settings and plugins.",
    ]
    if not copy:
        lines.append(
            f"  - All hosts that run Pavilion, nodes included, must see {SOURCE}. "
            "With '--copy' they need not."
        )
    if (checkout.root / ".git").exists():
        lines.append("  - 'git status' shows the change. Nothing in .git was touched.")
    lines += [
        f"  - The old directory is kept as {checkout.backup.name}, beside the new one.",
        f"Look again:  {PROGRAM} check {root}",
        f"Go back:     {PROGRAM} unlink {root}",
    ]
    return "\n".join(lines)


def _tell_outcome(session: Session, checkout: Checkout, outcome: Outcome, after: str) -> int:
    if session.args.json:
        print_json(
            {
                "checkout": str(checkout.root),
                "done": outcome.done,
                "changed": outcome.changed,
                "summary": outcome.summary,
                "recovered": outcome.recovered,
                "findings": _records(outcome.findings),
            }
        )
        return base.OK if outcome.done else base.FAILED
    if outcome.recovered is not None:
        tell(f"An earlier command was interrupted while {outcome.recovered}. It has been repaired.")
    notable = [finding for finding in outcome.findings if finding.verdict != "ok"]
    if notable:
        _print_findings(notable)
    if not outcome.done:
        tell(f"{PROGRAM}: error: {checkout.root} was not linked. {outcome.summary}")
        return base.FAILED
    print(outcome.summary)
    if outcome.changed:
        print(after)
    return base.OK


def _print_findings(findings: Sequence[Finding]) -> None:
    print_table(
        [
            Column("WHAT"),
            Column("FOUND", wrap=True),
            Column("VERDICT"),
            Column("REMARK", wrap=True),
        ],
        [[item.what, item.found, item.verdict, item.hint] for item in findings],
    )


def _records(findings: Sequence[Finding]) -> list[dict[str, Any]]:
    return [
        {key: value for key, value in asdict(item).items() if key != "blocks"} for item in findings
    ]


COMMANDS = [
    Command(
        name="check",
        summary="see whether a Pavilion checkout can use our schedulers",
        description=(
            "See whether our schedulers directory can replace that of a Pavilion checkout,\n"
            "or already does. Changes nothing.\n\n"
            "The exit code is 1 when something is marked FAIL."
        ),
        examples=["check /opt/pavilion2", "check /opt/pavilion2 --json"],
        run=_check,
        arguments=_check_arguments,
        json=True,
    ),
    Command(
        name="link",
        summary="use our schedulers in a Pavilion checkout",
        description=(
            "Put our schedulers directory in the place of that of a Pavilion checkout,\n"
            "and test it there. If it does not work, everything is undone.\n"
            "The old directory is kept beside the new one, and so are built-in\n"
            "schedulers that we do not bundle."
        ),
        examples=[
            "link /opt/pavilion2",
            "link /opt/pavilion2 --copy",
            "link /opt/pavilion2 --without lsf",
            "link . --python /opt/pavilion-env/bin/python3",
        ],
        run=_link,
        arguments=_link_arguments,
        json=True,
    ),
    Command(
        name="unlink",
        summary="give a Pavilion checkout its own schedulers back",
        description="Undo 'link': the checkout gets its own schedulers directory back.",
        examples=["unlink /opt/pavilion2"],
        run=_unlink,
        arguments=_root_argument,
        json=True,
    ),
]
