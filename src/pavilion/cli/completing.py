"""What can come next on a command line, for completion in shells.

The parser of the command line is the source, so a new command or option needs no change here.
The metavar of an argument says what kind of values it takes.
"""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable, NamedTuple

from .base import Session

# How many bytes of a suite file are searched for the names of its tests.
_MOST_OF_SUITE = 1 << 20
# How many series are listed with their tests.
_MOST_NAMED = 50
_TEST_NAME = re.compile(
    r"^(?:([A-Za-z0-9_-]+)|'([^'\n]+)'|\"([^\"\n]+)\")[ \t]*:(?:\s|$)", re.MULTILINE
)
_SERIES = re.compile(r"s[1-9][0-9]{0,8}\Z")
_LIKE_ID = re.compile(r"s[1-9][0-9]*(?:\.|\Z)")
_NAME_OF_TEST = re.compile(rb'"name":\s*"((?:[^"\\]|\\.)*)"')


class Candidate(NamedTuple):
    """A word that can come next, and a few words about it."""

    value: str
    about: str = ""


@dataclass
class Answer:
    """What can complete a command line.

    :ivar word: The part of the last word that is completed.
    :ivar candidates: The words that can take its place.
    :ivar prefix: The part of the last word that is kept: '--option='.
    :ivar paths: Which files can complete it, too: '' for none, 'files', 'directories', or 'suites'
        for directories and YAML files.
    :ivar unfinished: Whether candidates are only the beginnings of words.
    """

    word: str = ""
    prefix: str = ""
    candidates: list[Candidate] = field(default_factory=list)
    paths: str = ""
    unfinished: bool = False


def complete(parser: argparse.ArgumentParser, words: Sequence[str]) -> Answer:
    """What can take the place of the last word.

    :param words: The command line without the name of the program, as the program would get it.
    :raises Exception: Whatever goes wrong with settings or files.
    """
    walk = _Walk(parser)
    for word in words[:-1]:
        walk.take(word)
    word = words[-1] if words else ""
    answer = Answer(word)
    actions = walk.expected(word)
    if word.startswith("--") and "=" in word and not walk.only_values:
        option, _, answer.word = word.partition("=")
        answer.prefix = f"{option}="
        found = walk.parser._option_string_actions.get(option)
        actions = [] if found is None else [found]
    elif word.startswith("-") and not walk.only_values:
        answer.candidates = [*_options(walk, word)]
        return answer
    for action in actions:
        _values(answer, action, walk)
    answer.candidates = [
        Candidate(f"{answer.prefix}{item.value}", item.about)
        for item in answer.candidates
        # Control characters would break the line format of the answer.
        if item.value.startswith(answer.word) and item.value.isprintable()
    ]
    return answer


class _Walk:
    """Goes through a command line as argparse does.

    :ivar parser: That of the command that was reached.
    :ivar given: The options that were given, by dest, with their values.
    :ivar only_values: Whether the next word is a value even if it looks like an option.
    """

    def __init__(self, parser: argparse.ArgumentParser) -> None:
        self.given: dict[str, list[str]] = {}
        self._enter(parser)
        self._option: argparse.Action | None = None
        self._dashes = False

    def _enter(self, parser: argparse.ArgumentParser) -> None:
        self.parser = parser
        self._positionals = [item for item in parser._actions if not item.option_strings]

    @property
    def only_values(self) -> bool:
        return self._dashes or self._option is not None

    def take(self, word: str) -> None:
        """Go on by a word."""
        if self._option is not None:
            self.given[self._option.dest].append(word)
            self._option = None
        elif word == "--" and not self._dashes:
            self._dashes = True
        elif word.startswith("-") and word != "-" and not self._dashes:
            self._take_option(word)
        elif self._positionals:
            self._take_value(word)

    def _take_option(self, word: str) -> None:
        name, equals, value = word.partition("=")
        known = self.parser._option_string_actions
        if not word.startswith("--") and word not in known:
            # '-cKEY=VALUE'
            name, equals, value = word[:2], word[2:], word[2:]
        action = known.get(name)
        if action is None:
            return
        values = self.given.setdefault(action.dest, [])
        if equals:
            values.append(value)
        elif action.nargs != 0:
            self._option = action

    def _take_value(self, word: str) -> None:
        action = self._positionals[0]
        if isinstance(action, argparse._SubParsersAction):
            if word in action.choices:
                self._enter(action.choices[word])
            else:
                self._positionals = []
            return
        if action.nargs == "?" and action.choices and word not in action.choices:
            # It was left out.
            del self._positionals[0]
            self._take_value(word)
        elif action.nargs in (None, "?"):
            del self._positionals[0]

    def expected(self, word: str) -> list[argparse.Action]:
        """The arguments that the next word may be a value of."""
        if self._option is not None:
            return [self._option]
        found = []
        for action in self._positionals:
            found.append(action)
            if action.nargs != "?":
                break
        return found

    def session(self) -> Session:
        """The settings that the command would have."""

        def paths(name: str) -> list[Path]:
            return [Path(expanded(value)) for value in self.given.get(name, [])]

        return Session(
            argparse.Namespace(
                config_file=next(reversed(paths("config_file")), None),
                config_dir=paths("config_dir"),
                working_dir=next(reversed(paths("working_dir")), None),
                debug=False,
            )
        )


def expanded(path: str) -> str:
    """A path as the shell would have passed it: with '~' expanded, and variables, too, if it does
    not exist without."""
    path = os.path.expanduser(path)  # noqa: PTH111 (it keeps a trailing slash)
    return path if "$" not in path or os.path.lexists(path) else os.path.expandvars(path)


def _options(walk: _Walk, word: str) -> Iterator[Candidate]:
    for action in walk.parser._actions:
        again = isinstance(action, argparse._AppendAction) or action.dest == "config_dir"
        if action.help == argparse.SUPPRESS or (action.dest in walk.given and not again):
            continue
        # The long name, if there is one and the word does not begin a short one.
        names = [name for name in action.option_strings if name.startswith(word)]
        for name in names[-1:] if any(item.startswith("--") for item in names) else names:
            yield Candidate(name, _about(action.help))


def _about(text: str | None) -> str:
    """The beginning of a help text."""
    first = re.split(r"[;.:](?:\s|$)", text or "", maxsplit=1)[0]
    return " ".join(first.replace("%%", "%").split())


def _values(answer: Answer, action: argparse.Action, walk: _Walk) -> None:
    """Add the possible values of an argument."""
    if isinstance(action, argparse._SubParsersAction):
        answer.candidates += [
            Candidate(item.dest, _about(item.help)) for item in action._choices_actions
        ]
        return
    if action.choices is not None:
        answer.candidates += [Candidate(str(item)) for item in action.choices]
        return
    kind = KINDS_BY_DEST.get(action.dest, KINDS.get(str(action.metavar)))
    if kind is None:
        return
    answer.paths = kind.paths or answer.paths
    answer.unfinished = answer.unfinished or kind.unfinished
    if kind.find is not None:
        answer.candidates += kind.find(walk.session(), answer.word)


# --------------------------------------------------------------------------------- values


def _targets(session: Session, word: str) -> Iterator[Candidate]:
    """Suites; and their tests, as soon as the suite is known.  For what looks like an id, the tests
    that can be run again."""
    if _LIKE_ID.match(word):
        yield from _ids(session, word)
    from pavilion.suites import SUFFIXES, list_suites

    suites = list_suites(session.pav_cfg)
    begun = [name for name in suites if name.startswith(word)]
    for name in begun:
        yield Candidate(name, "suite")
    for name, file in suites.items():
        if word.startswith(f"{name}.") or begun == [name]:
            yield from _tests(name, file, word)
    path, dot, _ = word.rpartition(".")
    if dot and path.endswith(SUFFIXES) and os.path.isfile(expanded(path)):  # noqa: PTH113
        yield from _tests(path, Path(expanded(path)), word)


def _tests(name: str, file: Path, word: str) -> Iterator[Candidate]:
    """The tests of a suite, as 'name.test'.  The file is not parsed: that would take too long."""
    from pavilion.files import read_user_file

    try:
        text = read_user_file(file, _MOST_OF_SUITE).decode("utf-8", "replace")
    except OSError:
        return
    for found in _TEST_NAME.finditer(text):
        test = f"{name}.{found[1] or found[2] or found[3]}"
        # Tests that are only inherited from, only when the word begins with '_'.
        if not test[len(name) + 1 :].startswith("_") or word.startswith(f"{name}._"):
            yield Candidate(test, "test")


def _series(session: Session, word: str) -> Iterator[Candidate]:
    """Series, the newest first."""
    folder = session.pav_cfg.working_dir / "series"
    if folder.is_dir():
        names = [path.name for path in folder.iterdir() if _SERIES.match(path.name)]
        for name in sorted(names, key=lambda item: int(item[1:]), reverse=True):
            yield Candidate(name, "series")


def _ids(session: Session, word: str) -> Iterator[Candidate]:
    """Series, the newest first; and their tests, as soon as the series is known."""
    folder = session.pav_cfg.working_dir / "series"
    series, dot, _ = word.partition(".")
    if dot or (folder / word / "series.json").exists():
        if _SERIES.match(series) and (folder / series).is_dir():
            yield from _tests_of(folder / series)
        if dot:
            return
    yield from _series(session, word)


def _tests_of(folder: Path) -> Iterator[Candidate]:
    ends = (path.name.partition(".")[2] for path in folder.iterdir())
    numbers = sorted(int(end) for end in ends if end.isascii() and end.isdigit())
    for count, number in enumerate(numbers):
        path = folder / f"{folder.name}.{number}"
        yield Candidate(path.name, _name_of(path) if count < _MOST_NAMED else "test")


def _name_of(path: Path) -> str:
    """The name of a test run, from the beginning of its record."""
    import json

    from pavilion.schedulers.talk import safe_files

    try:
        start, _ = safe_files.read_start(path / "test.json", 1000)
        found = _NAME_OF_TEST.search(start)
        name = json.loads(b'"' + found[1] + b'"') if found else "test"
    except (OSError, ValueError):
        return "test"
    return str(name)


def _schedulers(session: Session, word: str) -> Iterator[Candidate]:
    from pavilion.schedulers import get_plugin, list_plugins

    _ = session.plugins
    for name in list_plugins():
        yield Candidate(name, str(getattr(get_plugin(name), "description", "")))


def _keys(session: Session, word: str) -> Iterator[Candidate]:
    """The keys of a test, with the '=' for the value."""
    from pavilion.suites import TestElem

    _ = session.plugins
    if "=" not in word:
        for key in _leaves(TestElem(), ""):
            yield Candidate(f"{key}=")


def _leaves(elem: Any, path: str) -> Iterator[str]:
    for name, sub_elem in getattr(elem, "config_elems", {}).items():
        key = f"{path}.{name}" if path else name
        if getattr(sub_elem, "config_elems", None):
            yield from _leaves(sub_elem, key)
        else:
            yield key


class Kind(NamedTuple):
    """What an argument takes."""

    find: Callable[[Session, str], Iterable[Candidate]] | None = None
    paths: str = ""
    unfinished: bool = False


# By metavar; KINDS_BY_DEST takes precedence.  None: the values cannot be listed.
KINDS: dict[str, Kind | None] = {
    "TARGET": Kind(_targets, "suites"),
    "ID": Kind(_ids),
    "SERIES": Kind(_series),
    "SCHEDULER": Kind(_schedulers),
    "KEY=VALUE": Kind(_keys, unfinished=True),
    "FILE": Kind(paths="files"),
    "DIR": Kind(paths="directories"),
    "PAVILION_ROOT": Kind(paths="directories"),
    "SECONDS": None,
    "NUMBER": None,
    "JOB": None,
    "N": None,
    "NAME": None,
    "AGE": None,
}
KINDS_BY_DEST: dict[str, Kind | None] = {
    "scheduler": Kind(_schedulers),
    "config": Kind(_schedulers),
    "vars": Kind(_schedulers),
    # Of a Pavilion checkout, not of this installation.
    "without": None,
}


def list_paths(word: str, kind: str) -> list[str]:
    """The files that begin with a word, as they are typed; directories end in '/'.

    :param kind: As in :class:`Answer`.
    :raises OSError: When the directory cannot be read.
    """
    if not kind:
        return []
    folder, _, start = word.rpartition("/")
    shown = f"{folder}/" if "/" in word else ""
    place = expanded(shown) if shown else "."
    if "$" in shown:
        shown = place
    found = []
    for entry in os.scandir(place):
        if not entry.name.startswith(start) or (entry.name.startswith(".") and not start):
            continue
        if not entry.name.isprintable():
            continue
        if entry.is_dir():
            found.append(f"{shown}{entry.name}/")
        elif kind == "files" or (kind == "suites" and entry.name.endswith((".yaml", ".yml"))):
            found.append(f"{shown}{entry.name}")
    return sorted(found)
