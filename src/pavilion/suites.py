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

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path

from pavilion.config import PavConfig
from pavilion.errors import ConfigError, quoted
from pavilion.files import MISSING, directory_problem
from pavilion.overrides import parse_overrides
from pavilion.problems import Problem, Problems
from pavilion.suite_file import SuiteReader, SuiteTest, TestElem

__all__ = ["SuiteTest", "TestElem", "is_target", "list_suites", "load_suite", "select_tests"]

SUFFIXES = (".yaml", ".yml")


def load_suite(
    file: Path, overrides: Sequence[str] = (), problems: Problems | None = None
) -> dict[str, SuiteTest]:
    """Read a suite.

    :param overrides: 'key=value' texts that go before what any of its tests says.
    :param problems: Takes what is wrong, which is left out of the tests then.
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
    return tests


# ------------------------------------------------------------------------------ finding suites


def list_suites(pav_cfg: PavConfig) -> dict[str, Path]:
    """The suites in the config folders, by name.  Of two with one name the first folder's.

    :raises ConfigError: When a directory of suites cannot be read: what is in it may come first.
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


def select_tests(
    pav_cfg: PavConfig, target: str, overrides: Sequence[str] = (), problems: Problems | None = None
) -> list[SuiteTest]:
    """The tests that a user means by 'FILE', 'FILE.test', 'suite' or 'suite.test'.

    :param problems: Takes what is wrong in the suite; see :func:`load_suite`.
    :returns: In the suite's order; tests to inherit from only when asked for by name.
    :raises ConfigError: When there is no such suite or test, or the suite is wrong.
    """
    try:
        file, test_name = _find(pav_cfg, target)
    except (OSError, ValueError) as exc:
        # A name that is too long, or holds a null character.
        raise ConfigError(
            f"The target {quoted(target)} cannot be used: {getattr(exc, 'strerror', None) or exc}."
        ) from exc
    found = Problems() if problems is None else problems
    before = len(found)
    tests = load_suite(file, overrides, found)
    if len(found) == before or test_name in tests:
        chosen = _chosen(file, tests, test_name)
    else:
        chosen = [test for test in tests.values() if test_name is None]
        chosen = [test for test in chosen if not test.name.startswith("_")]
    for test in chosen:
        # It may have them, or inherit them, where something was refused.
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
                f"The suite {file} has no tests to run, only such to inherit from "
                f"({', '.join(tests)})."
            )
        return chosen
    if test_name not in tests:
        near = difflib.get_close_matches(test_name, list(tests), n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        if test_name in ("yaml", "yml"):
            hint = f" To run all of them, give its name alone: {file.stem!r}."
        raise ConfigError(
            f"There is no test {test_name!r} in the suite {file}.{hint} Tests: {', '.join(tests)}."
        )
    return [tests[test_name]]


def _no_commands(test: SuiteTest) -> Problem:
    return Problem(
        str(test.file),
        test.origin.lines.of(test.name),
        f"{test.name}.run.cmds",
        (
            "it is empty, so there are no commands to run. Pavilion runs such a test, this host does "
            "not: 'true' is a command that does nothing, and the name of a test that is only "
            "inherited from starts with '_'"
        ),
    )


def _expanded(text: str) -> Path:
    try:
        return Path(text).expanduser()
    except RuntimeError as exc:
        raise ConfigError(f"There is no home folder for {text!r} to be in.") from exc


def is_target(pav_cfg: PavConfig, text: str) -> bool:
    """Whether there is a suite file, or a suite, of this name; with or without '.test'."""
    try:
        _find(pav_cfg, text)
    except (ConfigError, OSError, ValueError):
        return False
    return True


def _find(pav_cfg: PavConfig, target: str) -> tuple[Path, str | None]:
    """The suite file and the name of a test that a target stands for.

    What looks like a path is a file.  A bare name is a suite of a config directory first: any
    program may be called like one.
    """
    stem, dot, test_name = target.rpartition(".")
    is_path = "/" in target or f".{test_name}" in SUFFIXES or Path(stem).suffix in SUFFIXES
    if is_path:
        found = _find_file(target)
        if found is not None:
            return found
    suites = list_suites(pav_cfg)
    if target in suites:
        return suites[target], None
    if dot and stem in suites:
        return suites[stem], test_name
    path = _expanded(target)
    if is_path:
        what = "is a directory" if path.is_dir() else "does not exist"
        raise ConfigError(f"The suite file {target} {what}.")
    found = _find_file(target)
    if found is not None:
        return found
    name = stem or target
    near = difflib.get_close_matches(name, list(suites), n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    for suffix in SUFFIXES:
        if _expanded(f"{name}{suffix}").is_file():
            hint = f" Did you mean the file {name}{suffix}?"
    folders = ", ".join(str(Path(item["path"]) / "suites") for item in pav_cfg.configs.values())
    raise ConfigError(
        f"There is no file and no suite {name!r}.{hint} Suites are YAML files in "
        f"{folders}; known here: {', '.join(suites) or 'none'}."
    )


def _find_file(target: str) -> tuple[Path, str | None] | None:
    """The file, and the name of a test in it, that a target names; None where there is no file."""
    path = _expanded(target)
    if path.is_file():
        return path.absolute(), None
    stem, dot, test_name = target.rpartition(".")
    if dot and f".{test_name}" not in SUFFIXES and _expanded(stem).is_file():
        return _expanded(stem).absolute(), test_name
    return None
