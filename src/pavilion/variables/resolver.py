"""What references refer to, which of them are deferred, and the resulting strings.

This is the base of :class:`pavilion.variables.VariableSetManager`, which other modules use.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import NamedTuple

from pavilion.deferred import DeferredVariable
from pavilion.errors import DeferredError, VariableError
from pavilion.near import near_matches
from pavilion.variables.template import Place, Reference, Template, is_template, parse_template
from pavilion.variables.values import VariableSource, items_of, listed, pick

# The sets, in the order in which a name without a set is looked up.
SET_ORDER = ("per", "var", "pav", "sys", "sched")

# The numbers of the chunks of nodes that a test may run on: set and name.
CHUNK_IDS = ("sched", "chunk_ids")

# Variables that refer to variables, and so on: more levels than this are a mistake.
MAX_DEPTH = 64
# The maximum length of a resolved string; variables that double each other soon exceed it.
MAX_LENGTH = 2**24


class _Facts(NamedTuple):
    """What a variable depends on."""

    # The deferred variable that it needs, as 'set.name'.
    deferred_by: str | None = None
    # The number of levels of variables below it.
    depth: int = 0


class Target(NamedTuple):
    """The variable that a reference refers to, and what it picks from the variable's value."""

    set_name: str
    name: str
    path: tuple[str, ...]


class Resolver:
    """Sets of variables, and the resolution of references to them."""

    def __init__(self) -> None:
        self._sources: dict[str, VariableSource] = {}
        # The variables that a permutation has chosen from, and the index of the chosen item.
        self._chosen: dict[tuple[str, str], int] = {}
        # Their bare names.
        self._chosen_names: dict[str, tuple[str, str]] = {}
        # What load() restored: strings by reference, sets of bare names, variables of 'var'.
        self._known: dict[str, str] = {}
        self._bound: dict[str, str] = {}
        self._loaded = VariableSource("var", {}, templates=True)
        # Cached results: by name in 'var', and by unresolved string.
        self._facts: dict[str, _Facts] = {}
        self._resolved: dict[str, str] = {}

    # What a reference refers to

    def _source(self, set_name: str, name: str) -> VariableSource:
        if set_name == "var" and name in self._loaded:
            return self._loaded
        return self._sources[set_name]

    def _has(self, set_name: str, name: str) -> bool:
        return (
            name in self._sources.get(set_name, ())
            or (set_name == "per" and name in self._chosen_names)
            or (set_name == "var" and name in self._loaded)
        )

    def _find(self, ref: Reference, place: Place) -> Target:
        """The variable that a reference refers to; for a permuted list, its chosen item."""
        parts = ref.parts
        if not names_set(parts) and parts[0] in self._bound:
            parts = (self._bound[parts[0]], *parts)
        sets, (name, *path) = (parts[:1], parts[1:]) if names_set(parts) else (SET_ORDER, parts)
        for set_name in sets:
            if self._has(set_name, name):
                if (set_name, name) in self._chosen:
                    set_name = "per"
                return Target(set_name, name, tuple(path))
        raise self._unknown(parts, place)

    def _owner(self, target: Target) -> tuple[str, str]:
        """The (set, name) of a value: for 'per', those of the variable that was permuted."""
        if target.set_name == "per" and target.name in self._chosen_names:
            return self._chosen_names[target.name]
        return target.set_name, target.name

    def _unknown(self, parts: tuple[str, ...], place: Place) -> VariableError:
        """The error for an unknown name: with near matches, otherwise with the known names."""
        names = {
            set_name: sorted(
                {
                    *self._sources.get(set_name, ()),
                    *(self._chosen_names if set_name == "per" else ()),
                    *(self._loaded if set_name == "var" else ()),
                }
            )
            for set_name in SET_ORDER
        }
        full = [f"{set_name}.{name}" for set_name in SET_ORDER for name in names[set_name]]
        given, first = ".".join(parts[:2]), parts[0]
        in_set = names_set(parts)
        msg = f"no variable '{given}'"
        if not in_set and len(parts) > 1:
            msg = f"no set or variable '{first}'"
        if "-" in given:
            msg += " ('-' is part of the name: Pavilion has expressions, this host does not)"
        near = _near_matches(given, parts[1] if in_set else first, tuple(full))
        # A permutation chose from some of them.
        own = list(dict.fromkeys([*names["per"], *names["var"]]))
        mine = f"This test has {listed(own)}" if own else "This test has no variables of its own"
        if near:
            # Its own variables, if there are any that were not named yet.
            more = f" {mine}" if any(f"var.{name}" not in near for name in own) else ""
            return place.error(f"{msg}. Did you mean {listed(near)}?{'' if in_set else more}")
        too_early = self._too_early(place)
        if in_set:
            have = f". The set '{first}' has {listed(names[first]) or 'no variables here'}"
            return place.error(msg + (too_early if too_early and first == "sched" else have))
        others = "; ".join(
            f"{set_name}: {listed(names[set_name])}"
            for set_name in ("pav", "sys", "sched")
            if names[set_name]
        )
        also = f". There are also, in {others}" if others else ""
        return place.error(f"{msg}. {mine}{also}{too_early}")

    def _too_early(self, place: Place) -> str:
        """What explains that the scheduler's variables do not exist where they are used."""
        if "sched" in self._sources or not place.where.startswith(("schedule", "var.")):
            return ""
        return ". What the scheduler knows (the set 'sched') cannot be used in 'scheduler' and 'schedule'"

    def origins(self, text: str) -> list[tuple[str, str]]:
        """Where the values that a string refers to were written.

        :returns: (reference, dotted place of the value that it refers to, such as 'var.sizes.1'),
            for references to the test's variables, and for the references in their values in turn.
        """
        found: dict[tuple[str, str], None] = {}
        todo = [text]
        while todo and len(found) < MAX_DEPTH:
            try:
                references = [
                    piece for piece in parse_template(todo.pop()) if isinstance(piece, Reference)
                ]
                for ref in references:
                    for where, value in self._texts_of(ref):
                        if (ref.text, where) not in found:
                            found[ref.text, where] = None
                            todo.append(value)
            except VariableError:
                # This is reported when the reference is resolved.
                continue
        return list(found)

    def silent_firsts(self, text: str) -> list[tuple[str, str]]:
        """The lists of which a string uses the first item without an explicit index.

        :returns: (reference, variable as 'set.name'), for references in the string and in the test's
            variables to which these lead.  Lists with a single item are left out, except for the
            numbers of chunks, whose length depends on the machine.
        """
        found: dict[tuple[str, str], None] = {}
        todo, seen = [text], {text}
        while todo:
            try:
                pieces = parse_template(todo.pop())
                for ref in (piece for piece in pieces if isinstance(piece, Reference)):
                    target = self._find(ref, Place("", ref.text))
                    if target.set_name != "per" and self._takes_first(target):
                        found[ref.text, f"{target.set_name}.{target.name}"] = None
                    new = [value for _, value in self._texts_of(ref) if value not in seen]
                    seen.update(new)
                    todo += new
            except VariableError:
                # This is reported when the reference is resolved.
                continue
        return list(found)

    def _takes_first(self, target: Target) -> bool:
        """Whether a reference to this takes the first item of a list without an index."""
        if target.path and (target.path[0] == "*" or target.path[0].isdigit()):
            return False
        value = self._source(target.set_name, target.name).value(
            target.name, Place("", target.name)
        )
        if (target.set_name, target.name) == CHUNK_IDS:
            return True
        return isinstance(value, list) and len(value) > 1

    def _texts_of(self, ref: Reference) -> list[tuple[str, str]]:
        """The unresolved strings that a reference refers to, as (dotted place in 'var', string)."""
        place = Place("", ref.text)
        target = self._find(ref, place)
        owner = self._owner(target)
        if owner[0] != "var":
            return []
        value = self._source(*owner).value(target.name, place)
        where, path = f"var.{target.name}", list(target.path)
        if isinstance(value, list):
            given = path.pop(0) if path and (path[0] == "*" or path[0].isdigit()) else "0"
            index = str(self._chosen[owner]) if target.set_name == "per" else given
            if index == "*":
                return [
                    (f"{where}.{number}", text)
                    for number, text in enumerate(value)
                    if isinstance(text, str)
                ]
            where, value = f"{where}.{index}", value[int(index)]
        if isinstance(value, dict) and path:
            where, value = f"{where}.{path[0]}", value.get(path[0], "")
        return [(where, value)] if isinstance(value, str) else [(where, "")]

    # What is deferred

    def _must_be_known(self, ref: Reference, where: str) -> None:
        deferred_by = self._deferred_by(ref, where)
        if deferred_by is None:
            return
        msg = f"'{deferred_by}' is only known on the allocation"
        if where:
            msg += f", so it cannot be used in {where}"
        if deferred_by.partition(".")[2] not in ref.parts[:2]:
            msg += f" (and '{ref.text}' needs it)"
        raise Place(where, ref.text).error(msg, cls=DeferredError)

    def _deferred_by(self, ref: Reference, where: str) -> str | None:
        """The deferred variable that a reference needs, if it needs one."""
        return self._ref_facts(ref, where, ()).deferred_by

    def _ref_facts(self, ref: Reference, where: str, chain: tuple[str, ...]) -> _Facts:
        if ref.text in self._known:
            return _Facts()
        place = Place(where, ref.text)
        set_name, name = self._owner(self._find(ref, place))
        if self._source(set_name, name).templates:
            return self._variable_facts(name, place, chain)
        value = self._source(set_name, name).value(name, place)
        deferred = isinstance(value, DeferredVariable)
        return _Facts(f"{set_name}.{name}") if deferred else _Facts()

    def _variable_facts(self, name: str, place: Place, chain: tuple[str, ...]) -> _Facts:
        """What a test's variable depends on.

        :param chain: The variables of 'var' whose references led here.
        """
        if name in chain:
            names = [f"var.{link}" for link in (*chain[chain.index(name) :], name)]
            raise place.error(f"the variables refer to each other: {' -> '.join(names)}")
        if name not in self._facts:
            if len(chain) >= MAX_DEPTH:
                raise self._too_deep(place)
            source = self._source("var", name)
            is_marker = isinstance(source.value(name, place), DeferredVariable)
            below = (
                []
                if is_marker
                else [
                    self._ref_facts(use.reference, _through(place.where, use.where), (*chain, name))
                    for use in source.uses(name, place)
                ]
            )
            deferred_by = (
                f"var.{name}"
                if is_marker
                else next((facts.deferred_by for facts in below if facts.deferred_by), None)
            )
            depth = 1 + max((facts.depth for facts in below), default=0)
            self._facts[name] = _Facts(deferred_by, depth)
        # This also applies the limit when the variables below were already cached.
        if len(chain) + self._facts[name].depth > MAX_DEPTH:
            raise self._too_deep(place)
        return self._facts[name]

    def _too_deep(self, place: Place) -> VariableError:
        return place.error(f"more than {MAX_DEPTH} levels of variables that refer to variables")

    # Values

    def _check(self, ref: Reference, where: str) -> None:
        """Raise an error for a wrong reference, as far as this is known before the allocation."""
        if self._deferred_by(ref, where) is None:
            self._value(ref, where)
            return
        place = Place(where, ref.text)
        target = self._find(ref, place)
        value = self._source(*self._owner(target)).value(target.name, place)
        if not isinstance(value, DeferredVariable):
            pick(value, target.path, place)

    def _value(self, ref: Reference, where: str) -> str:
        """The string that a reference stands for; it must not be deferred."""
        if ref.text in self._known:
            return self._known[ref.text]
        place = Place(where, ref.text)
        target = self._find(ref, place)
        owner = self._owner(target)
        source = self._source(*owner)
        value = source.value(target.name, place)
        assert not isinstance(value, DeferredVariable)
        if target.set_name == "per" and owner in self._chosen:
            items = items_of(value)
            if self._chosen[owner] >= len(items):
                raise place.error(
                    f"a permutation has chosen item {self._chosen[owner]}, but there are now only "
                    f"{len(items)} items"
                )
            value = items[self._chosen[owner]]
        texts = pick(value, target.path, place)
        if source.templates:
            texts = [self._resolve_value(text, target.name, where) for text in texts]
        return _joined(" ", texts, where)

    def _resolve_value(self, text: str, name: str, where: str) -> str:
        """Resolve a string of a test's variable; the result only depends on the string."""
        if not is_template(text):
            return text
        if text not in self._resolved:
            through = _through(where, f"var.{name}")
            self._resolved[text] = self._fill(parse_template(text, through), through)
        return self._resolved[text]

    def _fill(self, template: Template, where: str) -> str:
        pieces = [
            self._value(piece, where) if isinstance(piece, Reference) else piece
            for piece in template
        ]
        return _joined("", pieces, where)


def _through(where: str, variable: str) -> str:
    """The place of a string in a test's variable to which a string elsewhere refers."""
    # The path may be long; its start (what the user wrote) and its end are sufficient.
    start = where.partition(", through ")[0]
    return f"{start}, through {variable}" if start else variable


@functools.lru_cache(maxsize=64)
def _near_matches(given: str, name: str, full: tuple[str, ...]) -> list[str]:
    """Up to three of the names ('set.name') that may have been meant, preferably the same name in
    another set.

    Cached, because all permutations of a test have the same mistakes.
    """
    bare = {other: other.partition(".")[2] for other in full}
    near = [other for other in full if bare[other] == name] or near_matches(given, full, 3, 0.85)
    if not near:
        similar = near_matches(name, sorted(set(bare.values())), 3, 0.7)
        near = [other for other in full if bare[other] in similar]
    return near[:3]


def names_set(parts: Sequence[str]) -> bool:
    """Whether the parts of a reference say which set it means."""
    return len(parts) > 1 and parts[0] in SET_ORDER


def _joined(separator: str, texts: Sequence[str], where: str) -> str:
    if sum(map(len, texts)) > MAX_LENGTH:
        raise VariableError(
            f"{where or 'A string'}: with the values of its variables it would have "
            f"more than {MAX_LENGTH} characters",
            data={"where": where},
        )
    return separator.join(texts)
