"""Suites: YAML files of tests.

A suite maps test names to configs::

    _base:                      # names that start with '_' are there to inherit from
      scheduler: raw
      variables: {message: hello}

    hello:
      inherits_from: _base
      summary: Prints a line.
      run:
        cmds: ["echo '{{message}} from {{host_name}}'"]
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pavilion.config import PavConfig
from pavilion.errors import ConfigError, quoted
from pavilion.files import MISSING, directory_problem
from pavilion.name_patterns import NamePattern, is_pattern
from pavilion.near import did_you_mean, near_matches
from pavilion.near_suites import SUFFIXES, names_file, near_suite
from pavilion.overrides import parse_overrides
from pavilion.problems import Problem, Problems
from pavilion.suite_file import SuiteReader, SuiteTest, TestElem

__all__ = [
    "Choice",
    "SUFFIXES",
    "SuiteTest",
    "TestElem",
    "choose_tests",
    "list_suites",
    "load_suite",
    "select_tests",
    "suite_file",
]


def load_suite(
    file: Path, overrides: Sequence[str] = (), problems: Problems | None = None
) -> dict[str, SuiteTest]:
    """Read a suite.

    :param overrides: 'key=value' strings that take precedence over what any of its tests says.
    :param problems: Collects what is wrong; that is then left out of the tests.
    :returns: Its tests by name, those to inherit from included.
    :raises ConfigError: When an override or, without ``problems``, anything in the file is wrong:
        all of it, each with the file and, where it is known, line and key.
    """
    test_elem = TestElem()
    changes = parse_overrides(overrides, test_elem)
    found = Problems() if problems is None else problems
    before = len(found)
    tests = SuiteReader(file, test_elem, found).tests(changes)
    if problems is None:
        found.raise_any(f"The suite {file} cannot be used")
    if not tests and len(found) == before:
        raise ConfigError(
            f"The suite {file} is empty. It should map names of tests to configs, "
            "like 'hello: {run: {cmds: [echo hello]}}'."
        )
    return {
        name: dataclasses.replace(test, overrides=tuple(overrides)) for name, test in tests.items()
    }


# ------------------------------------------------------------------------------ finding suites


def list_suites(pav_cfg: PavConfig) -> dict[str, Path]:
    """The suites in the config directories, by name.  Of two with the same name, the first counts.

    :raises ConfigError: When a directory of suites cannot be read: its suites might come first.
    """
    found: dict[str, Path] = {}
    for item in pav_cfg.configs.values():
        folder = Path(item["path"]) / "suites"
        problem = directory_problem(folder)
        if problem and problem != MISSING:
            raise ConfigError(f"The directory of suites {folder} {problem}.")
        files = [] if problem else sorted(folder.iterdir())
        for file in files:
            if file.suffix in SUFFIXES:
                found.setdefault(file.stem, file)
    return found


@dataclass(frozen=True)
class Choice:
    """The tests that a target stands for, and which of their test runs it means."""

    target: str
    tests: list[SuiteTest]
    # The name of a permutation, or a pattern; None when all test runs are meant.
    pattern: NamePattern | None = None

    def wants(self, test: SuiteTest, name: str) -> bool:
        """Whether a test run is meant.

        :param test: The test that it is made from.
        :param name: Its name, 'suite.test.subtitle'.
        """
        return (
            self.pattern is None
            or self.pattern.matches(name)
            or self.pattern.matches(f"{test.suite}.{test.name}")
        )

    def nothing_found(self, names: Sequence[str]) -> ConfigError:
        """The error for a target that no test run matches.

        :param names: The names of all test runs that were looked at.
        """
        text = "" if self.pattern is None else self.pattern.text
        near = near_names(text, names)
        hint = f" Did you mean {near!r}?" if near else ""
        what = "No test matches" if is_pattern(text) else "There is no test"
        return ConfigError(
            f"{what} {quoted(self.target)}.{hint} There are: {short_list(names) or 'none'}."
        )


def near_names(text: str, names: Sequence[str]) -> str | None:
    """The name that may have been meant by a name or a pattern; None when no name is like it."""
    plain = "".join(char for char in text if char not in "*?[]")
    near = near_matches(plain, names)
    return near[0] if near else None


def short_list(names: Sequence[str], limit: int = 12) -> str:
    """Names for a message: the first of them, and how many others there are."""
    rest = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + rest


def suite_file(pav_cfg: PavConfig, target: str) -> Path | None:
    """The suite file in which a target is looked up; None when there is none."""
    try:
        found = _find(pav_cfg, target)
    except (OSError, ValueError, ConfigError):
        return None
    return None if found is None else found[0]


def select_tests(
    pav_cfg: PavConfig, target: str, overrides: Sequence[str] = (), problems: Problems | None = None
) -> list[SuiteTest]:
    """The tests of :func:`choose_tests`; of a permutation, the test that it belongs to."""
    return choose_tests(pav_cfg, target, overrides, problems).tests


def choose_tests(
    pav_cfg: PavConfig, target: str, overrides: Sequence[str] = (), problems: Problems | None = None
) -> Choice:
    """The tests that a user means.

    A target is 'FILE', 'FILE.test', 'suite', 'suite.test', one of these followed by the subtitle
    of a permutation, or a pattern.

    :param problems: Collects what is wrong in the suite; see :func:`load_suite`.
    :returns: In the suite's order; tests to inherit from only when they are named.
    :raises ConfigError: When there is no such suite or test, or the suite is wrong.
    """
    try:
        found = _find(pav_cfg, target)
    except (OSError, ValueError) as exc:
        # A name that is too long, or holds a null character.
        raise ConfigError(
            f"The target {quoted(target)} cannot be used: {getattr(exc, 'strerror', None) or exc}."
        ) from exc
    if found is None:
        return _fitting(pav_cfg, target, list_suites(pav_cfg), overrides, problems)
    file, rest = found
    if rest is not None and is_pattern(rest):
        return _fitting(pav_cfg, f"{file.stem}.{rest}", {file.stem: file}, overrides, problems)
    test_name, dot, subtitle = (None, "", "") if rest is None else rest.partition(".")
    tests = _tests_of(file, test_name, overrides, problems)
    pattern = NamePattern(f"{file.stem}.{test_name}.{subtitle}") if dot else None
    return Choice(target, tests, pattern)


def _fitting(
    pav_cfg: PavConfig,
    text: str,
    suites: Mapping[str, Path],
    overrides: Sequence[str],
    problems: Problems | None,
) -> Choice:
    """The tests that a pattern may mean.  Which of their test runs it means is not known yet."""
    pattern = NamePattern(text)
    names: list[str] = []
    chosen: list[SuiteTest] = []
    for suite, file in suites.items():
        if not pattern.may_match_below(f"{suite}."):
            names.append(suite)
            continue
        for test in _tests_of(file, None, overrides, problems):
            name = f"{suite}.{test.name}"
            names.append(name)
            if pattern.matches(name) or pattern.may_match_below(f"{name}."):
                chosen.append(test)
    if not chosen and not problems:
        raise Choice(text, [], pattern).nothing_found(names)
    return Choice(text, chosen, pattern)


def _tests_of(
    file: Path, test_name: str | None, overrides: Sequence[str], problems: Problems | None
) -> list[SuiteTest]:
    """A test of a suite, or all that it has to run."""
    found = Problems() if problems is None else problems
    before = len(found)
    tests = load_suite(file, overrides, found)
    if len(found) == before or test_name in tests:
        chosen = _chosen(file, tests, test_name)
    else:
        chosen = [test for test in tests.values() if test_name is None]
        chosen = [test for test in chosen if not test.name.startswith("_")]
    for test in chosen:
        # It may have commands, or inherit them, in a part that was refused.
        if not test.config["run"]["cmds"] and not test.origin.was_refused(
            "run.cmds", "inherits_from"
        ):
            found.add(_no_commands(test))
    if problems is None:
        found.raise_any(f"The suite {file} cannot be used")
    return chosen


def _chosen(file: Path, tests: Mapping[str, SuiteTest], test_name: str | None) -> list[SuiteTest]:
    """The tests of a suite that are meant.  :raises ConfigError: When there are none."""
    if test_name is None:
        chosen = [test for name, test in tests.items() if not name.startswith("_")]
        if not chosen:
            raise ConfigError(
                f"The suite {file} has no tests to run, only tests to inherit from "
                f"({', '.join(tests)})."
            )
        return chosen
    if test_name not in tests:
        hint = did_you_mean(test_name, tests)
        if test_name in ("yaml", "yml"):
            hint = f" To run all of them, give its name alone: {file.stem!r}."
        raise ConfigError(
            f"There is no test {test_name!r} in the suite {file}.{hint} Tests: {', '.join(tests)}."
        )
    return [tests[test_name]]


def _no_commands(test: SuiteTest) -> Problem:
    place = test.origin.place(("run", "cmds"))
    return Problem(
        str(test.file),
        # Of the key that is empty, where the test has it.
        place.line if place and place.line else test.origin.lines.of(test.name),
        f"{test.name}.run.cmds",
        (
            "it is empty, so there are no commands to run. Pavilion runs such a test, this host "
            "does not: 'true' is a command that does nothing, and the name of a test that is only "
            "inherited from starts with '_'"
        ),
    )


def _expanded(text: str) -> Path:
    try:
        return Path(text).expanduser()
    except RuntimeError as exc:
        raise ConfigError(
            f"The home directory that {text!r} means is not known. Use an absolute path."
        ) from exc


def _splits(target: str) -> Iterator[tuple[str, str]]:
    """The ways to split a target into a suite and what follows it; the longest suite first."""
    end = len(target)
    while (end := target.rfind(".", 0, end)) > 0:
        if end + 1 < len(target):
            yield target[:end], target[end + 1 :]


def _find(pav_cfg: PavConfig, target: str) -> tuple[Path, str | None] | None:
    """The suite file of a target, and what follows it: the name of a test, maybe with that of a
    permutation.  None for a pattern that may mean several suites.

    What looks like a path is a file.  A bare name is first taken as a suite of a config
    directory: any program may have the same name.
    """
    is_path = "/" in target or names_file(target)
    found = _find_file(target) if is_path else None
    if found is not None:
        return found
    suites = list_suites(pav_cfg)
    if target in suites:
        return suites[target], None
    for stem, rest in _splits(target):
        if stem in suites:
            return suites[stem], rest
    path = _expanded(target)
    if is_path:
        what = "is a directory" if path.is_dir() else "does not exist"
        hint = near_suite(target, suites)
        raise ConfigError(f"The suite file {target} {what}.{hint}")
    found = _find_file(target)
    if found is not None:
        return found
    if is_pattern(target):
        return None
    name = target.partition(".")[0] or target
    hint = near_suite(target, suites)
    folders = ", ".join(str(Path(item["path"]) / "suites") for item in pav_cfg.configs.values())
    raise ConfigError(
        f"There is no file and no suite {name!r}.{hint} Suites are YAML files in "
        f"{folders}; known here: {', '.join(suites) or 'none'}."
    )


def _find_file(target: str) -> tuple[Path, str | None] | None:
    """The file that a target names, and what follows it; None where there is no file."""
    path = _expanded(target)
    if path.is_file():
        return path.absolute(), None
    for stem, rest in _splits(target):
        if f".{rest.partition('.')[0]}" not in SUFFIXES and _expanded(stem).is_file():
            return _expanded(stem).absolute(), rest
    return None
