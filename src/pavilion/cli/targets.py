"""From targets on the command line to tests that are ready to be run.

Targets are tests of suites ('FILE', 'suite.test', 'stream.*') and tests of earlier series, to be
run again ('s1', 's1.3').
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Collection, Sequence
from typing import NamedTuple

from pavilion.again import Options, run_again, seed_of, without_repeats
from pavilion.diagnosis import check_sections
from pavilion.errors import ConfigError, SchedulerPluginError, quoted
from pavilion.near_suites import names_file
from pavilion.problems import Problems
from pavilion.resolve import ResolvedTest, resolve_test, set_seed
from pavilion.schedulers.lifecycle.pinning import is_pinned
from pavilion.static_checks import doubts
from pavilion.suites import choose_tests, short_list, suite_file
from pavilion.test_run import TestRun
from pavilion.waiting import current_status

from .base import PROGRAM, Session
from .output import plural, tell, warn
from .selection import failed, latest, looks_like_id, select

_AGAIN = " Or a series (s1), or tests of one (s1.3, 's1.*.chunk3'), to run again"


def add_targets(parser: argparse.ArgumentParser, ids: str = _AGAIN, again: bool = True) -> None:
    """The arguments that say which tests are meant, and how they are to differ.

    :param ids: What the help says about ids of series and tests.
    :param again: Whether tests of earlier series are run again, with options of their own.
    """
    parser.add_argument(
        "targets",
        nargs="*",
        metavar="TARGET",
        help=(
            "a suite file, or the name of a suite in suites/ of a config directory; with '.TEST' "
            "added, only that test, and with '.TEST.NAME' added, only that permutation. Patterns: "
            f"'stream.*', '*.chunk[0-3]'.{ids}"
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
        help=("makes chunks that are drawn at random repeatable: the same number, the same chunks"),
    )
    if again:
        _add_options_of_again(parser)
    else:
        parser.set_defaults(failed=False, any_nodes=False, same_nodes=False)


def _add_options_of_again(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("tests of earlier series")
    group.add_argument(
        "--failed",
        action="store_true",
        help=(
            "only tests that failed, had an error, were cancelled or never got a result. Without "
            "a series: those of the latest"
        ),
    )
    nodes = group.add_mutually_exclusive_group()
    nodes.add_argument(
        "--any-nodes",
        action="store_true",
        help="let tests run on other nodes, even if they ran on a chunk or on across_nodes",
    )
    nodes.add_argument(
        "--same-nodes",
        action="store_true",
        help="run all tests on the nodes that they had, even if the scheduler picked those",
    )


def _seed(text: str) -> int:
    # Not int(): it takes ' 1_0'.
    number = int(text) if text.isascii() and text.isdigit() and len(text) <= 10 else -1
    if not 0 <= number < 2**32:
        raise argparse.ArgumentTypeError(
            f"{quoted(text)} is not a whole number between 0 and {2**32 - 1}"
        )
    return number


class Targets(NamedTuple):
    """What is to be run.

    - ``tests``: the tests to run
    - ``seed``: the seed that their chunks are drawn with
    - ``words``: the targets, as they are recorded
    """

    tests: list[ResolvedTest]
    seed: int
    words: list[str]


def resolve_targets(session: Session) -> Targets:
    """The tests to run.  Everything that can be wrong with them is found here.

    :returns: What is to be run.  Without tests, nothing had failed.
    :raises PavilionError: Nothing was made then.
    """
    args = session.args
    for refused in session.plugins.refused:
        warn(f"plugin {refused.file} is not used: {refused.reason}")
    for name in session.plugins.not_found:
        warn(f"disable_plugins names {name}, but there is no such plugin")
    words = _words(session)
    runs = {word: _runs(session, word) for word in words if is_series(session, word)}
    _check_options(session, words, runs)
    wanted = _left(session, runs)
    seed = args.seed
    if seed is None:
        seed = seed_of(run for group in wanted.values() for run in group)
    if seed is None:
        seed = int.from_bytes(os.urandom(4), "big")
    set_seed(seed)
    problems = Problems()
    again = _again(session, [run for group in wanted.values() for run in group], problems)
    resolved: list[ResolvedTest] = []
    for word in words:
        if word in wanted:
            # A series that is named twice is run once, like one of which tests are named, too.
            resolved += [again[run.id] for run in wanted.get(word, []) if run.id in again]
            wanted[word] = []
        else:
            resolved += _of_suite(session, word, problems)
    check_sections(resolved, problems)
    problems.raise_any()
    _show_doubts(resolved)
    _show_same_names(resolved)
    return Targets(resolved, seed, [*words, *(["--failed"] if args.failed else [])])


def _words(session: Session) -> list[str]:
    """The targets; the latest series for --failed alone."""
    words = (
        list(dict.fromkeys(session.args.targets))
        if session.args.failed
        else (list(session.args.targets))
    )
    if words:
        return words
    if session.args.failed:
        return [latest(session)]
    command = session.args.command
    what = "or a series to run again. --failed alone means the failures of the latest series."
    if command == "map":
        what = "or a series that was run."
    raise ConfigError(
        f"A TARGET is missing: a suite file, a suite, {what} See '{PROGRAM} {command} --help'."
    )


def is_series(session: Session, word: str) -> bool:
    """Whether a target is a series, or tests of one.

    :raises ConfigError: When it is both that and a suite.
    """
    if not looks_like_id(word):
        return False
    file = suite_file(session.pav_cfg, word)
    if file is None:
        return True
    if names_file(word):
        return False
    series = word.partition(".")[0].partition("-")[0]
    if not (session.pav_cfg.working_dir / "series" / series).exists():
        return False
    raise ConfigError(
        f"{quoted(word)} is both a series and a suite ({file}). Name the suite by the path of its "
        "file, with a '/' in it."
    )


def _runs(session: Session, word: str) -> list[TestRun]:
    """The tests of earlier series that a target stands for."""
    selection = select(session, [word])
    if selection.errors:
        # Running a part of it would look like running all of it.
        raise selection.errors[0]
    return selection.tests


def _check_options(session: Session, words: Sequence[str], series: Collection[str]) -> None:
    """Refuse options about earlier series where none is meant."""
    args = session.args
    others = [word for word in words if word not in series]
    if args.failed and others:
        raise ConfigError(
            f"--failed is about tests of earlier series ('s1'), but {quoted(others[0])} is not one."
        )
    for given, option in ((args.any_nodes, "--any-nodes"), (args.same_nodes, "--same-nodes")):
        if given and not series:
            raise ConfigError(
                f"{option} is about running tests of earlier series again ('s1'), but there is "
                "none among the targets."
            )


def _left(session: Session, runs: dict[str, list[TestRun]]) -> dict[str, list[TestRun]]:
    """The tests that are to run again, each once: with --failed, those that failed."""
    seen: set[str] = set()
    found: dict[str, list[TestRun]] = {}
    for word, tests in runs.items():
        found[word] = [test for test in tests if test.id not in seen]
        seen.update(test.id for test in tests)
    if not session.args.failed:
        return found
    every = [test for tests in found.values() for test in tests]
    for test in every:
        if not test.complete:
            # Its scheduler may know that it was lost.
            current_status(session.pav_cfg, test)
    wanted = {test.id for test in without_repeats(failed(every))}
    unfinished = sum(not test.complete for test in every)
    if unfinished:
        have = "has not ended and is" if unfinished == 1 else "have not ended and are"
        tell(f"{plural(unfinished, 'test')} {have} left out.")
    if not wanted:
        passed = len(every) - unfinished
        tell(f"Nothing failed: {plural(passed, 'test')} passed. There is nothing to run again.")
    return {word: [test for test in tests if test.id in wanted] for word, tests in found.items()}


def _again(
    session: Session, runs: Sequence[TestRun], problems: Problems
) -> dict[str, ResolvedTest]:
    """The tests of earlier series, resolved again, by the ids that they had."""
    args = session.args
    options = Options(tuple(overrides(args)), args.any_nodes, args.same_nodes)
    again = run_again(runs, options, problems)
    for note in again.notes:
        tell(note)
    return {str(test.repeats): test for test in again.tests}


def _of_suite(session: Session, word: str, problems: Problems) -> list[ResolvedTest]:
    """The tests of suites that a target stands for."""
    before = len(problems)
    choice = choose_tests(session.pav_cfg, word, overrides(session.args), problems)
    resolved = [run for test in choice.tests for run in resolve_test(test, problems)]
    wanted = [run for run in resolved if choice.wants(run.source, run.name)]
    if not wanted and len(problems) == before:
        raise choice.nothing_found([run.name for run in resolved])
    return wanted


def _show_doubts(resolved: Sequence[ResolvedTest]) -> None:
    for text, names in doubts(resolved).items():
        others = f" (and {plural(len(names) - 1, 'other test')})" if len(names) > 1 else ""
        warn(f"test {names[0]}{others}: {text}")


def _show_same_names(resolved: Sequence[ResolvedTest]) -> None:
    """Say which names do not tell tests apart."""
    files: dict[str, list[str]] = {}
    for test in resolved:
        # Those of earlier series are known by the ids that they repeat.
        if test.repeats is None:
            files.setdefault(test.name, []).append(str(test.source.file))
    again = [name for name, places in files.items() if len(places) > len(set(places))]
    if again:
        warn(
            f"{plural(len(again), 'test')} will run more than once, because several targets stand "
            f"for the same: {short_list(again, 4)}"
        )
    for name, places in files.items():
        if len(set(places)) > 1:
            warn(
                f"tests of different suite files have the same name, {name}: "
                f"{' and '.join(dict.fromkeys(places))}. Only their ids tell them apart"
            )
            # The others are of the same files, in most cases.
            break


def overrides(args: argparse.Namespace) -> list[str]:
    """All requested changes, as 'key=value'."""
    chosen = [] if args.scheduler is None else [f"scheduler={args.scheduler}"]
    return [*args.overrides, *chosen]


def show_warnings(resolved: Sequence[ResolvedTest], refused: Collection[str]) -> None:
    """What the schedulers' variables complained about, each once.

    :param refused: Names of tests that had an error, which says all there is to say.
    """
    names: dict[str, list[str]] = {}
    for test in resolved:
        # What they say about the present chunks does not concern a test that has its nodes already.
        if test.name in refused or is_pinned(test.config):
            continue
        try:
            warnings = test.warnings
        except SchedulerPluginError:
            # Its scheduler does not answer.  That is an error of this test when it is placed.
            continue
        for text in warnings:
            names.setdefault(text, []).append(test.name)
    for text, tests in names.items():
        others = f" (and {plural(len(tests) - 1, 'other test')})" if len(tests) > 1 else ""
        warn(f"test {tests[0]}{others}: {text}")


def show_pinned(resolved: Sequence[ResolvedTest], refused: Collection[str]) -> None:
    """Say which option lets tests run that cannot have their former nodes."""
    if any(test.name in refused and is_pinned(test.config) for test in resolved):
        tell("With --any-nodes, tests may run on other nodes.")
