"""Which suite may have been meant by a target for which there is none."""

from __future__ import annotations

import re
from collections.abc import Collection
from itertools import islice
from pathlib import Path

from pavilion.near import near_matches

SUFFIXES = (".yaml", ".yml")
_SUFFIX = re.compile(r"\.ya?ml(?=\.|\Z)")
# 'FILE:test' and the like, as other test runners have it.
_OTHER_SEPARATOR = re.compile(r"(?P<suite>.+?)(?:::|[:,/])(?P<test>\w[\w.-]*)")
# The number of files in a directory that are looked at.
_MOST_FILES = 10_000


def names_file(target: str) -> bool:
    """Whether a target has the suffix of a suite file, and so is not an id or a bare name."""
    return _SUFFIX.search(target) is not None


def near_suite(target: str, suites: Collection[str]) -> str:
    """A sentence that names what may have been meant, with a space in front; '' for nothing.

    :param target: As it was typed.
    :param suites: The names of the suites in the config directories.
    """
    near = _other_separator(target, suites) or _other_suffix(target, suites)
    near = near or _close(target, suites)
    return f" Did you mean {near!r}?" if near else ""


def _other_separator(target: str, suites: Collection[str]) -> str:
    match = _OTHER_SEPARATOR.fullmatch(target)
    if match is None:
        return ""
    suite, test = match["suite"], match["test"]
    if suite in suites or (_SUFFIX.search(suite) and _is_file(suite)):
        return f"{suite}.{test}"
    file = next((suite + suffix for suffix in SUFFIXES if _is_file(suite + suffix)), "")
    return f"{file}.{test}" if file else ""


def _other_suffix(target: str, suites: Collection[str]) -> str:
    """The same name with the right suffix, or with none."""
    stem, rest = _split(target)
    file = next((stem + suffix for suffix in SUFFIXES if _is_file(stem + suffix)), "")
    name = stem.rpartition("/")[2]
    return f"{file}{rest}" if file else f"{name}{rest}" if name in suites else ""


def _close(target: str, suites: Collection[str]) -> str:
    """A name that is spelled in a similar way."""
    stem, rest = _split(target)
    directory, slash, name = stem.rpartition("/")
    # By the name without the suffix, in which all are alike.
    files = {Path(file).stem: file for file in _yaml_files(Path(directory + slash or "."))}
    names = [*files, *(() if slash else suites)]
    near = near_matches(name, names)
    if not near:
        return ""
    found = near[0] if not slash and near[0] in suites else f"{directory}{slash}{files[near[0]]}"
    return found + rest


def _split(target: str) -> tuple[str, str]:
    """A target without the suffix of its file, and what follows that: '' or '.test'."""
    match = _SUFFIX.search(target)
    if match is not None:
        return target[: match.start()], target[match.end() :]
    directory, slash, name = target.rpartition("/")
    stem, dot, test = name.partition(".")
    return f"{directory}{slash}{stem}", dot + test


def _yaml_files(directory: Path) -> list[str]:
    try:
        entries = islice(directory.expanduser().iterdir(), _MOST_FILES)
        return sorted(entry.name for entry in entries if entry.suffix in SUFFIXES)
    except (OSError, RuntimeError):
        return []


def _is_file(path: str) -> bool:
    try:
        return Path(path).expanduser().is_file()
    except (OSError, RuntimeError, ValueError):
        return False
