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

import copy
import difflib
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml_config as yc
from pavilion.config import PavConfig
from pavilion.errors import ConfigError, quoted
from pavilion.files import open_user_file
from pavilion.schedulers.config import ScheduleConfig
from pavilion.scriptcomposer import ENV_NAME_RE

SUFFIXES = (".yaml", ".yml")
# How like a known key a foreign section's name must be to count as misspelt: 'rwa' is.
SIMILAR = 0.65


@dataclass(frozen=True)
class SuiteTest:
    """A test as its suite describes it: checked and complete, variables not filled in."""

    suite: str
    name: str
    file: Path
    config: dict[str, Any]


class VariableElem(yc.ListElem):
    """A test's variable: text, a list of texts, a mapping of texts, or a list of such mappings.

    What is no list stays what it is, until a key that ends in '+' adds to it.
    """

    type_name = "text, a list of texts, a mapping of texts, or a list of such mappings"

    def normalize(self, value: Any) -> Any:
        """Turn everything in it into text.  :raises ValueError: for deeper nesting."""
        if isinstance(value, (list, tuple)):
            return [self._flat(item) for item in value]
        return self._flat(value)

    def validate(self, value: Any, partial: bool = False) -> Any:
        """There is nothing to check but the shape."""
        return self.normalize(value)

    def settle(self, value: Any) -> Any:
        """A copy of the same shape."""
        return copy.deepcopy(value)

    def extend(self, old: Any, new: Any) -> Any:
        """The items of both, as a list."""
        return [*self.as_list(self.settle(old)), *self.as_list(self.settle(new))]

    def find(self, dotted: str) -> yc.ConfigElement:
        """Only a variable as a whole can be set."""
        return yc.ConfigElement.find(self, dotted)

    @staticmethod
    def _flat(value: Any) -> Any:
        text = yc.StrElem()
        if isinstance(value, Mapping):
            return {str(key): text.normalize(item) for key, item in value.items()}
        return text.normalize(value)


class VariablesElem(yc.CategoryElem):
    """The variables of a test.  A key that ends in '+' adds to an inherited list."""

    KEY_PATTERN = re.compile(r"[a-zA-Z][a-zA-Z0-9_]*")
    KEY_HELP = "letters, digits and '_', starting with a letter"

    def __init__(self, **kwargs: Any) -> None:
        super().__init__("variables", sub_elem=VariableElem(), **kwargs)


class EnvElem(yc.CategoryElem):
    """Environment variables to set."""

    KEY_PATTERN = ENV_NAME_RE
    KEY_HELP = "letters, digits and '_', not starting with a digit"


class TestElem(yc.KeyedElem):
    """The config of a test.  Made anew for each use: schedulers add to the schedule section."""

    __test__ = False

    def __init__(self) -> None:
        super().__init__(elements=[
            yc.ListElem("inherits_from", sub_elem=yc.StrElem(), help_text=(
                "The test, or tests, of this suite whose config this one is based on.")),
            yc.StrElem("summary", help_text="What the test is for, in one line."),
            yc.StrElem("doc", help_text="What else there is to know about it."),
            yc.StrElem("subtitle", help_text=(
                "What tells the permutations of the test apart, as a part of their names.")),
            yc.StrElem("scheduler", default="raw", help_text=(
                "The name of the scheduler to run it with.")),
            ScheduleConfig(),
            VariablesElem(help_text="Variables, to be used as {{name}}."),
            yc.ListElem("permute_on", sub_elem=yc.StrElem(), help_text=(
                "Variables to make a test run of each item of: 'chunk_ids', say.")),
            yc.StrElem("chunk", default="any", help_text=(
                "The number of the chunk of nodes to run on; 'any' takes the one that is used "
                "least.")),
            yc.StrElem("concurrent", help_text=(
                "How many tests of a shared job may run at the same time, as far as this test "
                "goes. Default: sched.concurrent_default.")),
            yc.KeyedElem("run", elements=[
                EnvElem("env", sub_elem=yc.StrElem(), help_text=(
                    "Environment variables to set; no value unsets one.")),
                yc.ListElem("cmds", sub_elem=yc.StrElem(), help_text=(
                    "The commands, run by one shell one after the other. The exit code of the "
                    "last one decides: 0 is PASS, anything else is FAIL.")),
                yc.StrElem("timeout", help_text=(
                    "Stop the test after so many seconds, with the result FAIL. Default: none.")),
                yc.StrElem("shebang", default="#!/bin/bash", help_text=(
                    "The interpreter line of the script.")),
            ], help_text="What the test does."),
        ])


class _SuiteElem(yc.CategoryElem):
    """A whole suite."""

    KEY_PATTERN = re.compile(r"[a-zA-Z_][a-zA-Z0-9_-]*")
    KEY_HELP = "the name of a test: letters, digits, '_' and '-', starting with a letter or '_'"


class _SuiteLoader(yc.YamlConfigLoader):
    """Reads a suite file as plain data that knows its lines."""


def load_suite(file: Path, overrides: Sequence[str] = ()) -> dict[str, SuiteTest]:
    """Read a suite.

    :param overrides: 'key=value' texts that go before what any of its tests says.
    :returns: Its tests by name, those to inherit from included.
    :raises ConfigError: Naming the file and, where it is known, line and key.
    """
    test_elem = TestElem()
    changes = _parse_overrides(overrides, test_elem)
    try:
        data = _SuiteLoader().load_raw(open_user_file(file))
        suite = _SuiteElem(sub_elem=test_elem).normalize(_without_foreign(data, test_elem))
    except (OSError, ValueError) as exc:
        raise ConfigError(f"The suite {file} cannot be used", prior_error=exc) from exc
    if not suite:
        raise ConfigError(f"The suite {file} is empty. It should map names of tests to configs, "
                          "like 'hello: {run: {cmds: [echo hello]}}'.")
    tests = {}
    inheritance = _Inheritance(suite, test_elem)
    for name in suite:
        try:
            merged = inheritance.of(name)
            for change in changes:
                merged = test_elem.merge(merged, change)
            config = test_elem.validate(merged)
        except ValueError as exc:
            raise ConfigError(f"Test '{name}' of suite {file} cannot be used",
                              prior_error=exc) from exc
        tests[name] = SuiteTest(file.stem, name, file, config)
    return tests


class _Inheritance:
    """The configs of a suite's tests, on top of what they inherit.

    Each is worked out once, however many tests inherit from it, and by however many ways.
    """

    def __init__(self, suite: Mapping[str, Any], elem: TestElem) -> None:
        self._suite = suite
        self._elem = elem
        self._merged: dict[str, Any] = {}

    def of(self, name: str) -> Any:
        """The config of a test.

        :raises ValueError: When it cannot inherit what it names.
        """
        # Not by recursion: a chain may be longer than Python's stack.
        chain = [name]
        while chain:
            waits_for = self._missing_parent(chain[-1])
            if waits_for is None:
                test = chain.pop()
                self._merged[test] = self._merge(test)
            elif waits_for in chain:
                circle = [*chain[chain.index(waits_for):], waits_for]
                raise ValueError("inherits_from goes in a circle: " + _shown_chain(circle))
            else:
                chain.append(waits_for)
        return self._merged[name]

    def _parents(self, name: str) -> list[str]:
        return [str(parent) for parent in (self._suite[name] or {}).get("inherits_from") or []]

    def _missing_parent(self, name: str) -> str | None:
        """The first parent that is not worked out yet."""
        for parent in self._parents(name):
            if parent not in self._suite:
                near = difflib.get_close_matches(parent, list(self._suite), n=1)
                hint = f" Did you mean {near[0]!r}?" if near else ""
                raise ValueError(f"inherits_from: there is no test {quoted(parent)} in this suite."
                                 f"{hint}")
            if parent not in self._merged:
                return parent
        return None

    def _merge(self, name: str) -> Any:
        if name in self._merged:
            return self._merged[name]
        merged: Any = None
        for parent in self._parents(name):
            base = {key: value for key, value in self._merged[parent].items()
                    if key not in ("summary", "doc")}
            merged = base if merged is None else self._elem.merge(merged, base)
        own = self._suite[name] or {}
        return _reset(self._elem.merge(merged, own), own)


def _reset(merged: Any, own: Any) -> Any:
    """Take what was inherited out again where a test gives a key without a value: yaml_config
    takes that for 'not given'."""
    if not isinstance(merged, dict) or not isinstance(own, dict):
        return merged
    return {key: None if key in own and own[key] is None else _reset(value, own.get(key))
            for key, value in merged.items()}


def _shown_chain(names: Sequence[str]) -> str:
    """Names of tests for a message; of a long chain its ends."""
    shown = names if len(names) <= 10 else [*names[:5], "...", *names[-4:]]
    return " -> ".join(shown)


def _without_foreign(data: Any, elem: TestElem) -> Any:
    """Leave out the schedule sections of schedulers that are not loaded here.

    A suite may serve several sites.  What looks like a misspelt section is kept, and refused
    with near matches.
    """
    known = elem.config_elems["schedule"].config_elems  # type: ignore[attr-defined]
    for test in data.values() if isinstance(data, dict) else ():
        section = test.get("schedule") if isinstance(test, dict) else None
        if not isinstance(section, dict):
            continue
        for key in list(section):
            if (key not in known and isinstance(section[key], dict)
                    and not difflib.get_close_matches(str(key), list(known), n=1, cutoff=SIMILAR)):
                del section[key]
    return data


def _parse_overrides(overrides: Sequence[str], elem: TestElem) -> list[Any]:
    """Texts such as 'schedule.nodes=4' as nested configs.

    They are merged one by one: a 'run.cmds+' must meet the list that it adds to.
    """
    changes: list[Any] = []
    for text in overrides:
        key, equals, value = text.partition("=")
        if not equals or not key.strip():
            raise ConfigError(f"{quoted(text)} is not an override. It should look like "
                              "'schedule.nodes=4'.")
        try:
            elem.find(key.strip().rstrip("+"))
            nested: Any = _SuiteLoader().load_raw(io.StringIO(value)) if value.strip() else None
            for part in reversed(key.strip().split(".")):
                nested = {part: nested}
            changes.append(elem.normalize(nested))
        except ValueError as exc:
            raise ConfigError(f"The override {quoted(text)} cannot be used",
                              prior_error=exc) from exc
    return changes


# ------------------------------------------------------------------------------ finding suites

def list_suites(pav_cfg: PavConfig) -> dict[str, Path]:
    """The suites in the config folders, by name.  Of two with one name the first folder's."""
    found: dict[str, Path] = {}
    for item in pav_cfg.configs.values():
        folder = Path(item["path"]) / "suites"
        try:
            files = sorted(folder.iterdir())
        except OSError:
            continue
        for file in files:
            if file.suffix in SUFFIXES:
                found.setdefault(file.stem, file)
    return found


def select_tests(pav_cfg: PavConfig, target: str, overrides: Sequence[str] = ()
                 ) -> list[SuiteTest]:
    """The tests that a user means by 'FILE', 'FILE.test', 'suite' or 'suite.test'.

    :returns: In the suite's order; tests to inherit from only when asked for by name.
    :raises ConfigError: When there is no such suite or test, or the suite is wrong.
    """
    try:
        file, test_name = _find(pav_cfg, target)
    except (OSError, ValueError) as exc:
        # A name that is too long, or holds a null character.
        raise ConfigError(f"The target {quoted(target)} cannot be used: "
                          f"{getattr(exc, 'strerror', None) or exc}.") from exc
    tests = load_suite(file, overrides)
    if test_name is None:
        chosen = [test for name, test in tests.items() if not name.startswith("_")]
        if not chosen:
            raise ConfigError(f"The suite {file} has no tests to run, only such to inherit from "
                              f"({', '.join(tests)}).")
    elif test_name not in tests:
        near = difflib.get_close_matches(test_name, list(tests), n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        if test_name in ("yaml", "yml"):
            hint = f" To run all of them, give its name alone: {file.stem!r}."
        raise ConfigError(f"There is no test {test_name!r} in the suite {file}.{hint} Tests: "
                          f"{', '.join(tests)}.")
    else:
        chosen = [tests[test_name]]
    for test in chosen:
        if not test.config["run"]["cmds"]:
            raise ConfigError(f"Test '{test.name}' of suite {file} has no commands to run: "
                              "run.cmds is empty.")
    return chosen


def _expanded(text: str) -> Path:
    try:
        return Path(text).expanduser()
    except RuntimeError as exc:
        raise ConfigError(f"There is no home folder for {text!r} to be in.") from exc


def _find(pav_cfg: PavConfig, target: str) -> tuple[Path, str | None]:
    """The suite file and the name of a test that a target stands for."""
    path = _expanded(target)
    if path.is_file():
        return path.absolute(), None
    stem, dot, test_name = target.rpartition(".")
    if dot and f".{test_name}" not in SUFFIXES and _expanded(stem).is_file():
        return _expanded(stem).absolute(), test_name
    suites = list_suites(pav_cfg)
    if target in suites:
        return suites[target], None
    if dot and stem in suites:
        return suites[stem], test_name
    if "/" in target or path.suffix in SUFFIXES:
        what = "is a folder" if path.is_dir() else "does not exist"
        raise ConfigError(f"The suite file {target} {what}.")
    name = stem or target
    near = difflib.get_close_matches(name, list(suites), n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    folders = ", ".join(str(Path(item["path"]) / "suites") for item in pav_cfg.configs.values())
    raise ConfigError(f"There is no file and no suite {name!r}.{hint} Suites are YAML files in "
                      f"{folders}; known here: {', '.join(suites) or 'none'}.")
