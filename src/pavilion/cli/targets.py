"""From targets on the command line ('FILE', 'suite.test') to tests that are ready to be run."""

from __future__ import annotations

import argparse
import os
from collections.abc import Collection, Sequence

from pavilion.diagnosis import check_sections
from pavilion.errors import SchedulerPluginError, quoted
from pavilion.problems import Problems
from pavilion.resolve import ResolvedTest, resolve_test, set_seed
from pavilion.static_checks import doubts
from pavilion.suites import select_tests

from .base import Session
from .output import plural, warn


def add_targets(parser: argparse.ArgumentParser, ids: str = "") -> None:
    """The arguments that say which tests are meant, and how they are to differ.

    :param ids: What to add to the help, where ids of tests that exist are taken as well.
    """
    parser.add_argument(
        "targets",
        nargs="+",
        metavar="TARGET",
        help=(
            "a suite file, or the name of a suite in suites/ of a config folder; with '.TEST' behind "
            f"it, that test of the suite only{ids}"
        ),
    )
    parser.add_argument(
        "-c",
        dest="overrides",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help=(
            "set a key of all tests, whatever their suites say: "
            "schedule.nodes=4, run.timeout=10; may be repeated"
        ),
    )
    parser.add_argument(
        "--scheduler", metavar="NAME", help="the scheduler to use, whatever the suites say"
    )
    parser.add_argument(
        "--seed",
        type=_seed,
        metavar="NUMBER",
        help=("where chunks of nodes are drawn at random: equal numbers give equal chunks"),
    )


def _seed(text: str) -> int:
    # Not int(): it takes ' 1_0'.
    number = int(text) if text.isascii() and text.isdigit() and len(text) <= 10 else -1
    if not 0 <= number < 2**32:
        raise argparse.ArgumentTypeError(
            f"{quoted(text)} is not a whole number between 0 and {2**32 - 1}"
        )
    return number


def resolve_targets(session: Session) -> tuple[list[ResolvedTest], int]:
    """Everything that can be wrong with what was asked for is found in here.

    :returns: The tests, and the seed that was used.
    :raises PavilionError: Nothing was made then.
    """
    for refused in session.plugins.refused:
        warn(f"plugin {refused.file} is not used: {refused.reason}")
    for name in session.plugins.not_found:
        warn(f"disable_plugins names {name}, and there is no such plugin")
    seed = session.args.seed
    if seed is None:
        seed = int.from_bytes(os.urandom(4), "big")
    set_seed(seed)
    changes = overrides(session.args)
    problems = Problems()
    tests = [
        test
        for target in session.args.targets
        for test in select_tests(session.pav_cfg, target, changes, problems)
    ]
    resolved = [run for test in tests for run in resolve_test(test, problems)]
    check_sections(resolved, problems)
    problems.raise_any()
    _show_doubts(resolved)
    return resolved, seed


def _show_doubts(resolved: Sequence[ResolvedTest]) -> None:
    for text, names in doubts(resolved).items():
        others = f" (and {plural(len(names) - 1, 'other test')})" if len(names) > 1 else ""
        warn(f"test {names[0]}{others}: {text}")


def overrides(args: argparse.Namespace) -> list[str]:
    """All changes that were asked for, as 'key=value'."""
    chosen = [] if args.scheduler is None else [f"scheduler={args.scheduler}"]
    return [*args.overrides, *chosen]


def show_warnings(resolved: Sequence[ResolvedTest], refused: Collection[str]) -> None:
    """What the schedulers' variables complained about, each once.

    :param refused: Names of tests that there was an error about: it says all there is to say.
    """
    names: dict[str, list[str]] = {}
    for test in resolved:
        if test.name in refused:
            continue
        try:
            warnings = test.warnings
        except SchedulerPluginError:
            # Its scheduler does not answer.  That is an error of this test, told when it is placed.
            continue
        for text in warnings:
            names.setdefault(text, []).append(test.name)
    for text, tests in names.items():
        others = f" (and {plural(len(tests) - 1, 'other test')})" if len(tests) > 1 else ""
        warn(f"test {tests[0]}{others}: {text}")
