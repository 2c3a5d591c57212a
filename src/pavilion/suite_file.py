"""A suite's file: what it may contain, and how it is read."""

from __future__ import annotations

import bisect
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import yaml_config as yc
from pavilion.files import open_user_file
from pavilion.inheritance import Inheritance, merge
from pavilion.near import near_matches
from pavilion.pavilion_keys import explained
from pavilion.problems import Problem, Problems
from pavilion.schedulers.config import ScheduleConfig
from pavilion.scriptcomposer import ENV_NAME_RE
from yaml_config.elements import kind_of
from yaml_config.errors import Place, within
from yaml_config.soundness import sound_part
from yaml_config.source import SourceDict, SourceList, copy_tree, item_place, key_place, plain

# How similar to a known key an unknown section's name must be to count as misspelt: 'rwa' is.
SIMILAR = 0.65
# Keys that Pavilion has elsewhere in a test -> where they are here.  Both are accepted.
MOVED = {"shebang": "run.shebang", "run.concurrent": "concurrent"}


# What a suite looks like.
_LIKE = "the names of tests and their configs, like 'hello: {run: {cmds: [echo hello]}}'"


class TestLines:
    """The lines that the tests of a suite start in."""

    __test__ = False

    def __init__(self, lines: Mapping[str, int]) -> None:
        self._lines = lines
        self._names = sorted(lines, key=lambda name: lines[name])
        self._starts = sorted(lines.values())

    def of(self, name: str) -> int:
        """The line of a test; 0 where it is not known."""
        return self._lines.get(name, 0)

    def test_at(self, line: int) -> str | None:
        """The test that a line belongs to."""
        index = bisect.bisect_right(self._starts, line)
        return self._names[index - 1] if index else None


@dataclass(frozen=True)
class Origin:
    """Where the config of a test was written."""

    # The config, with places.
    written: Any = None
    lines: TestLines = field(default_factory=lambda: TestLines({}))
    # Keys that were refused, in the test or in what it inherits from: dotted.
    refused: frozenset[str] = frozenset()

    def place(self, path: Sequence[str | int]) -> Place | None:
        """Where a value is; for what has no place, the section that it is in."""
        found, value = None, self.written
        for part in path:
            if isinstance(value, list) and str(part).isdigit() and int(part) < len(value):
                part = int(part)
                place = item_place(value, part)
            elif isinstance(value, dict) and part in value:
                place = key_place(value, str(part))
            else:
                break
            found, value = (place or found), value[part]
        return found and found.of_value

    def was_refused(self, *keys: str) -> bool:
        """Whether one of these, or something in or around it, was refused."""
        return any(
            f"{key}.".startswith(f"{other}.") or f"{other}.".startswith(f"{key}.")
            for other in self.refused
            for key in keys
        )

    def owner(self, place: Place, default: str) -> str:
        """The test that a place belongs to.

        :param default: The test that is meant if several share the line.
        """
        if self.lines.of(default) == place.line:
            return default
        return self.lines.test_at(place.line) or default


@dataclass(frozen=True)
class SuiteTest:
    """A test as its suite describes it: checked and complete, variables not filled in."""

    suite: str
    name: str
    file: Path
    config: dict[str, Any]
    # Where it says so.
    origin: Origin = field(default_factory=lambda: Origin(), repr=False, compare=False)
    # The 'key=value' strings that took precedence over the suite.
    overrides: tuple[str, ...] = ()


class VariableElem(yc.ListElem):
    """A test's variable: a string, a list or mapping of strings, or a list of such mappings.

    What is not a list stays as it is, until a key that ends in '+' adds to it.
    """

    type_name = "a string, a list of strings, a mapping of strings, or a list of such mappings"

    def normalize(self, value: Any) -> Any:
        """Turn everything in it into strings.  :raises ValueError: for deeper nesting."""
        if not isinstance(value, (list, tuple)):
            return self._flat(value)
        items = SourceList()
        for index, item in enumerate(value):
            place = item_place(value, index)
            with within(index, place and place.of_value):
                items.add(self._flat(item), place)
        return items

    def validate(self, value: Any, partial: bool = False) -> Any:
        """There is nothing to check but the shape."""
        return plain(self.normalize(value))

    def settle(self, value: Any) -> Any:
        """A copy of the same shape."""
        return copy_tree(value)

    def extend(self, old: Any, new: Any) -> Any:
        """The items of both, as a list."""
        items = SourceList()
        for value in (old, new):
            for index, item in enumerate(self.as_list(self.settle(value))):
                items.add(item, item_place(value, index))
        return items

    def find(self, dotted: str) -> yc.ConfigElement:
        """Only a variable as a whole can be set."""
        return yc.ConfigElement.find(self, dotted)

    @staticmethod
    def _flat(value: Any) -> Any:
        text = yc.StrElem()
        if not isinstance(value, Mapping):
            return text.normalize(value)
        flat = SourceDict()
        for key, item in value.items():
            place = key_place(value, key)
            with within(str(key), place and place.of_value):
                flat.put(str(key), text.normalize(item), place)
        return flat


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
    """The config of a test.  Made again for each use: schedulers add to the schedule section."""

    __test__ = False

    def __init__(self) -> None:
        super().__init__(
            elements=[
                yc.ListElem(
                    "inherits_from",
                    sub_elem=yc.StrElem(),
                    help_text=(
                        "The test, or tests, of this suite whose config this one is based on."
                    ),
                ),
                yc.StrElem("summary", help_text="What the test is for, in one line."),
                yc.StrElem("doc", help_text="What else there is to know about it."),
                yc.StrElem(
                    "subtitle",
                    help_text=(
                        "The end of the names of the test's permutations, which tells them apart."
                    ),
                ),
                yc.StrElem(
                    "scheduler",
                    default="raw",
                    help_text=("The name of the scheduler to run it with."),
                ),
                ScheduleConfig(),
                VariablesElem(help_text="Variables, to be used as {{name}}."),
                yc.ListElem(
                    "permute_on",
                    sub_elem=yc.StrElem(),
                    help_text=(
                        "Variables for each item of which a test run is made, for example "
                        "'chunk_ids'."
                    ),
                ),
                yc.StrElem(
                    "chunk",
                    default="any",
                    help_text=(
                        "The number of the chunk of nodes to run on; 'any' takes the one that is used "
                        "least."
                    ),
                ),
                yc.StrElem(
                    "concurrent",
                    help_text=(
                        "How many tests of a shared job may run at the same time, as far as this test "
                        "goes. Default: sched.concurrent_default."
                    ),
                ),
                yc.KeyedElem(
                    "run",
                    elements=[
                        EnvElem(
                            "env",
                            sub_elem=yc.StrElem(),
                            help_text=("Environment variables to set; no value means unset."),
                        ),
                        yc.ListElem(
                            "cmds",
                            sub_elem=yc.StrElem(),
                            help_text=(
                                "The commands, run by one shell one after the other. The exit code of the "
                                "last one decides: 0 is PASS, anything else is FAIL."
                            ),
                        ),
                        yc.StrElem(
                            "timeout",
                            help_text=(
                                "Stop the test after this many seconds: it gets FAIL. Default: none."
                            ),
                        ),
                        yc.StrElem(
                            "shebang",
                            default="#!/bin/bash",
                            help_text=("The interpreter line of the script."),
                        ),
                    ],
                    help_text="What the test does.",
                ),
            ]
        )


class _SuiteElem(yc.CategoryElem):
    """A whole suite."""

    KEY_PATTERN = re.compile(r"[a-zA-Z_][a-zA-Z0-9_-]*")
    KEY_HELP = "the name of a test: letters, digits, '_' and '-', starting with a letter or '_'"


class SuiteLoader(yc.YamlConfigLoader):
    """Reads a suite file as plain data that knows its lines."""


class SuiteReader:
    """Reads one suite; what is wrong in it is reported and left out."""

    def __init__(self, file: Path, elem: TestElem, problems: Problems) -> None:
        self._file = file
        self._elem = elem
        self._problems = problems
        # Test name -> the keys that were refused in it.
        self._refused: dict[str, set[str]] = {}

    def tests(self, changes: Sequence[Any]) -> dict[str, SuiteTest]:
        """Its tests, with overrides.  None where the file cannot be read at all."""
        data, suite = self._read()
        lines = TestLines({name: place.line for name in suite if (place := key_place(data, name))})
        inheritance = Inheritance(suite, self._elem, self._report_in)
        tests = {}
        for name in suite:
            written = inheritance.of(name)
            for change in changes:
                written = merge(self._elem, written, change)
            tests[name] = (written, self._validated(name, written))
        return {
            name: SuiteTest(
                self._file.stem,
                name,
                self._file,
                config,
                Origin(written, lines, self._refused_of(name, inheritance)),
            )
            for name, (written, config) in tests.items()
        }

    def _validated(self, name: str, written: Any) -> Any:
        """A test's config.  What an element refuses is reported and taken out of ``written``."""
        partial = False
        while True:
            try:
                return self._elem.validate(written, partial)
            except ValueError as exc:
                error = exc if isinstance(exc, yc.ConfigError) else yc.ConfigError(str(exc))
            path = error.path
            error.enclose(name)
            self._report(error)
            if not take_out(written, path):
                if partial:
                    return self._elem.validate({}, partial)
                # Something is missing.
                partial = True

    def _read(self) -> tuple[Any, Any]:
        """The file's data, and what can be used of it."""
        found: list[yc.ConfigError] = []
        data: Any = None
        suite: Any = None
        try:
            data = SuiteLoader().load_raw(_opened(self._file), found)
            if not isinstance(data, dict):
                raise yc.ConfigError(f"{kind_of(data)} where tests belong", expected=_LIKE)
            data = _without_foreign(self._moved(self._without_keys(data)), self._elem)
            suite = sound_part(_SuiteElem(sub_elem=self._elem), data, found)
        except yc.ConfigError as exc:
            found.append(exc)
        except (OSError, ValueError) as exc:
            self._problems.add(
                Problem(str(self._file), 0, "", getattr(exc, "strerror", None) or str(exc))
            )
        for error in found:
            self._report(explained(error, self._elem))
        return data, suite or {}

    def _report(self, error: yc.ConfigError) -> None:
        self._problems.add_error(error, str(self._file))
        if error.path:
            dotted = ".".join(str(part).rstrip("+?") for part in error.path[1:])
            self._refused.setdefault(str(error.path[0]), set()).add(dotted)
            # What may have been meant was not given for that reason.
            self._refused[str(error.path[0])].update(
                ".".join([*dotted.split(".")[:-1], near]) for near in error.near[:1]
            )

    def _report_in(self, _test: str, error: yc.ConfigError) -> None:
        self._report(error)

    def _refused_of(self, name: str, inheritance: Inheritance) -> frozenset[str]:
        if not self._refused:
            return frozenset()
        return frozenset().union(
            *(self._refused.get(test, ()) for test in inheritance.ancestors(name))
        )

    def _without_keys(self, data: Any) -> Any:
        """The file's data without keys of a test that are where names of tests belong."""
        keys = (
            [key for key in data if key in self._elem.config_elems]
            if isinstance(data, dict)
            else []
        )
        if all(self._may_be_test(key, data[key]) for key in keys):
            # They may be names.
            return data
        self._report(
            yc.ConfigError(
                f"{', '.join(map(repr, keys))}: keys of a test where the name of a test belongs",
                expected=_LIKE,
                place=key_place(data, keys[0]),
            )
        )
        for key in keys:
            del data[key]
        return data

    def _may_be_test(self, key: str, value: Any) -> bool:
        """Whether the value under the name of a key may be a test."""
        section = getattr(self._elem.config_elems[key], "config_elems", {})
        if not isinstance(value, dict):
            return value is None
        return not value or not all(name in section for name in value)

    def _moved(self, data: Any) -> Any:
        """The file's data with Pavilion's keys moved to where this host has them."""
        for name, test in data.items() if isinstance(data, dict) else ():
            if not isinstance(test, SourceDict):
                continue
            for there, here in MOVED.items():
                if not _move(test, there, here):
                    place = key_place(_section(test, there), there.rpartition(".")[2])
                    self._report(
                        yc.ConfigError(
                            f"'{there}', as Pavilion has it, and '{here}' are the same; give one of "
                            "them",
                            path=(name, *there.split(".")),
                            place=place,
                        )
                    )
        return data


def _opened(file: Path) -> BinaryIO:
    """A suite's file.

    :raises OSError: When it cannot be read.
    :raises ConfigError: When it is not text, or is a script.
    """
    opened = open_user_file(file)
    start = opened.read(8192)
    opened.seek(0)
    if b"\0" in start and not start.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise yc.ConfigError("this is a binary file, not text", expected="a suite in YAML")
    if start.startswith(b"#!"):
        raise yc.ConfigError(
            "this is a script, not a suite", expected=_LIKE, place=Place(str(file), 1)
        )
    return opened


def take_out(value: Any, path: Sequence[str | int]) -> bool:
    """Remove a value from a config.  False when it is not there."""
    for part in path[:-1]:
        value = value.get(part) if isinstance(value, dict) else None
    if path and isinstance(value, dict) and path[-1] in value:
        del value[path[-1]]
        return True
    # An item: the others stay where they are.
    last = path[-1] if path else None
    if isinstance(value, list) and isinstance(last, int) and last < len(value):
        del value[last]
        return True
    return False


def _section(test: Any, dotted: str) -> Any:
    """The mapping that a dotted key of a test is in; None where there is none."""
    for part in dotted.split(".")[:-1]:
        test = test.get(part) if isinstance(test, dict) else None
    return test if isinstance(test, dict) else None


def _move(test: SourceDict, there: str, here: str) -> bool:
    """Move a key of a test.  False when it is in both places."""
    source, key = _section(test, there), there.rpartition(".")[2]
    if source is None or key not in source:
        return True
    section, _, name = here.rpartition(".")
    if section and test.get(section) is None:
        # A section without a value is a section whose keys have no values.
        run = TestElem().config_elems["run"].config_elems  # type: ignore[attr-defined]
        empty = SourceDict(dict.fromkeys(run) if section in test else {})
        test.put(section, empty, key_place(test, section) or key_place(source, key))
    target = _section(test, here)
    value, place = source.pop(key), key_place(source, key)
    if target is None:
        # The section is of another type, which is reported elsewhere.
        return True
    if target.get(name) is not None:
        return False
    target.put(name, value, place)
    return True


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
            if (
                key not in known
                and isinstance(section[key], dict)
                and not near_matches(key, known, cutoff=SIMILAR)
            ):
                del section[key]
    return data
