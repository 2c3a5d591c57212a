"""What the tests of a suite inherit from each other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Callable

import yaml_config as yc
from pavilion.errors import quoted
from pavilion.near import near_matches
from pavilion.schedulers.config import CONFIG_DEFAULTS
from yaml_config.source import SourceDict, copy_tree, item_place, key_place

# Reports what is wrong: the test, and what an element would raise.
Report = Callable[[str, yc.ConfigError], None]


class Inheritance:
    """The configs of a suite's tests, on top of what they inherit.

    Each is worked out once, however many tests inherit from it, and by however many ways.

    :param suite: Test name -> its own config, normalized.
    :param report: Called for each parent that does not exist, and for each circle.  Nothing is
        inherited from such a parent.
    """

    def __init__(self, suite: Mapping[str, Any], elem: yc.KeyedElem, report: Report) -> None:
        self._suite = suite
        self._elem = elem
        self._report = report
        self._parents = {name: list(self._known_parents(name)) for name in suite}
        self._merged: dict[str, Any] = {}

    def of(self, name: str) -> Any:
        """The config of a test."""
        # Not by recursion: a chain may be longer than Python's stack.
        chain = [name]
        while chain:
            test = chain[-1]
            waits_for = next(
                (parent for parent in self._parents[test] if parent not in self._merged), None
            )
            if waits_for is None:
                chain.pop()
                if test not in self._merged:
                    self._merged[test] = self._merge(test)
            elif waits_for in chain:
                self._break(test, [*chain[chain.index(waits_for) :], waits_for])
            else:
                chain.append(waits_for)
        return self._merged[name]

    def ancestors(self, name: str) -> set[str]:
        """The tests that a test inherits from, directly or not, and itself."""
        found: set[str] = set()
        todo = [name]
        while todo:
            test = todo.pop()
            if test not in found:
                found.add(test)
                todo += self._parents[test]
        return found

    def _known_parents(self, name: str) -> Iterator[str]:
        own = self._suite[name] or {}
        for key in ("inherits_from", "inherits_from+"):
            named = own.get(key) or []
            for index, parent in enumerate(named):
                if parent in self._suite:
                    yield str(parent)
                    continue
                near = near_matches(parent, self._suite)
                place = item_place(named, index) or key_place(own, key)
                self._report(
                    name,
                    yc.ConfigError(
                        f"there is no test {quoted(parent)} in this suite",
                        near=near,
                        path=(name, "inherits_from"),
                        place=place and place.of_value,
                    ),
                )

    def _break(self, name: str, circle: Sequence[str]) -> None:
        """Report a circle, and break it: its last test does not inherit from the first."""
        first = circle[0]
        self._parents[name] = [parent for parent in self._parents[name] if parent != first]
        place = key_place(self._suite[first] or {}, "inherits_from")
        self._report(
            first,
            yc.ConfigError(
                "inherits_from forms a circle: " + _shown_chain(circle),
                path=(first, "inherits_from"),
                place=place,
            ),
        )

    def _merge(self, name: str) -> Any:
        merged: Any = None
        for parent in self._parents[name]:
            base = SourceDict()
            for key, value in self._merged[parent].items():
                if key not in ("summary", "doc"):
                    base.put(key, value, key_place(self._merged[parent], key))
            merged = base if merged is None else self._elem.merge(merged, base)
        return merge(self._elem, merged, self._suite[name] or SourceDict())


def merge(elem: yc.KeyedElem, inherited: Any, own: Any) -> Any:
    """A test's config on top of what it inherits.

    A key without a value goes back to its default; one that ends in '+' adds to that default
    where nothing is inherited.
    """
    return _reset(
        elem.merge(inherited, _on_defaults(elem, inherited, own, CONFIG_DEFAULTS, "")), own
    )


def _on_defaults(
    elem: yc.ConfigElement, inherited: Any, own: Any, defaults: Any, section: str
) -> Any:
    """A config in which lists that are added to but not set start from their defaults.

    :param defaults: Those of the schedule section, or of a part of it.
    :param section: The dotted key of the config.
    """
    if not (isinstance(elem, yc.KeyedElem) and isinstance(own, dict)):
        return own
    known = inherited if isinstance(inherited, dict) else {}
    result = SourceDict()
    for key, value in own.items():
        name = key[:-1] if key.endswith("+") else key
        child = elem.config_elems[name]
        where = f"{section}.{name}" if section else name
        below = (
            defaults
            if where == "schedule"
            else defaults.get(name)
            if section.startswith("schedule") and isinstance(defaults, Mapping)
            else {}
        )
        if name == key:
            value = _on_defaults(child, known.get(name), value, below, where)
        elif not known.get(name) and not own.get(name):
            # An empty list stands for the default, too.
            default = below or child.default
            if default:
                result.put(name, child.normalize(copy_tree(default)), key_place(own, key))
        if not (name == key and name in result):
            result.put(key, value, key_place(own, key))
    return result


def _reset(merged: Any, own: Any) -> Any:
    """Remove what was inherited where a test gives a key without a value: yaml_config takes that
    for 'not given'."""
    if not isinstance(merged, dict) or not isinstance(own, dict):
        return merged
    result = SourceDict()
    for key, value in merged.items():
        empty = key in own and own[key] is None and not own.get(f"{key}+")
        result.put(key, None if empty else _reset(value, own.get(key)), key_place(merged, key))
    return result


def _shown_chain(names: Sequence[str]) -> str:
    """Names of tests for a message; of a long chain its ends."""
    shown = names if len(names) <= 10 else [*names[:5], "...", *names[-4:]]
    return " -> ".join(shown)
