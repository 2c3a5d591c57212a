"""The names of a test's permutations: unique within the test, readable, and the same each time.

They follow from what the permutations chose, and from nothing else: the same suite gives the same
names again, so that a permutation can be chosen by its name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from pavilion.errors import ConfigError

# Characters of a value that stay as they are in a name: none means something to a shell.
_ODD = re.compile(r"[^\w.,:=@%+-]+")
# The most characters of a value that a name holds.
LONGEST = 40
# Of several keys that tell the items of a list apart, this one is preferred.
_NAME_KEY = "name"
# The variable that numbers the chunks, and what a number of it is preceded by.
_CHUNKS, _CHUNK = "chunk_ids", "chunk"
# How many names a message lists.
_SHOWN = 3

# What a permutation chose: (set, variable, value), the value being a string or a dict of strings.
Choice = tuple[str, str, Any]


def automatic(permutations: Sequence[Sequence[Choice]]) -> list[str]:
    """The ends of the names of a test's permutations: the chosen values, with '-' between them.

    A chunk number becomes 'chunk3'.  Of an item that is a mapping, the key that tells the items
    apart is shown, or those that do so together.  Values are cut, and unusual characters become
    '_'.  Where that makes two the same, the later ones get a number: '-2', '-3'.

    :param permutations: What each of them chose; of the same variables, in the same order.
    """
    labels: dict[tuple[str, str], dict[Any, str]] = {}
    for choices in permutations:
        for set_name, name, value in choices:
            labels.setdefault((set_name, name), {})[_frozen(value)] = ""
    for (set_name, name), known in labels.items():
        known.update(zip(known, _unique(_labels(set_name, name, list(known)))))
    return _unique(
        "-".join(labels[set_name, name][_frozen(value)] for set_name, name, value in choices)
        for choices in permutations
    )


def check_subtitles(subtitle: str, names: Sequence[str]) -> None:
    """Find permutations that a subtitle gives the same name.

    :param subtitle: As it was written.
    :raises ConfigError: With the key; they could not be told apart.
    """
    if len(set(names)) == len(names):
        return
    counts: dict[str, int] = {}
    for name in names:
        counts[name] = counts.get(name, 0) + 1
    twice = [f"{name!r} ({count} times)" for name, count in counts.items() if count > 1]
    more = f" and {len(twice) - _SHOWN} more" if len(twice) > _SHOWN else ""
    raise ConfigError(
        f"The {len(names)} permutations must have different names, and the subtitle {subtitle!r} "
        f"gives some of them the same: {', '.join(twice[:_SHOWN])}{more}. Refer to every variable "
        "of permute_on in it, or leave it out: the names are then made of the chosen values.",
        data={"key": "subtitle"},
    )


def _labels(set_name: str, name: str, values: list[Any]) -> list[str]:
    """A label for each of the different values of a variable; some may be the same."""
    if all(isinstance(value, str) for value in values):
        prefix = _CHUNK if (set_name, name) == ("sched", _CHUNKS) else ""
        return [prefix + _label(value) for value in values]
    items = [dict(value) if not isinstance(value, str) else {"": value} for value in values]
    keys = _telling(items)
    if not keys:
        # They are all the same, or there is one only.
        keys = [_NAME_KEY] if all(_NAME_KEY in item for item in items) else list(items[0])[:1]
    return [
        "-".join(_label(item[key]) for key in keys if key in item) or _label(name) for item in items
    ]


def _telling(items: Sequence[dict[str, str]]) -> list[str]:
    """The keys that tell mappings apart: one key if that is enough, otherwise all that differ."""
    keys = list(dict.fromkeys(key for item in items for key in item))
    if len(items) > 1:
        for key in sorted(keys, key=lambda key: key != _NAME_KEY):
            shown = [_label(item[key]) for item in items if key in item]
            if len(set(shown)) == len(items):
                return [key]
    return [key for key in keys if len({item.get(key) for item in items}) > 1]


def _label(text: str) -> str:
    """A value as a part of a name."""
    return _ODD.sub("_", text[: 4 * LONGEST]).strip("_")[:LONGEST] or ("empty" if not text else "_")


def _unique(names: Iterable[str]) -> list[str]:
    """The same names, with a number after those that came before."""
    given = list(names)
    taken = set(given)
    seen: dict[str, int] = {}
    found = []
    for name in given:
        number = seen.get(name, 0) + 1
        if number > 1:
            while f"{name}-{number}" in taken:
                number += 1
            found.append(f"{name}-{number}")
            taken.add(found[-1])
        else:
            found.append(name)
        seen[name] = number
    return found


def _frozen(value: Any) -> Any:
    """A value that can be a key."""
    return value if isinstance(value, str) else tuple(value.items())
