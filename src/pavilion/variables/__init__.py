"""The variables of a test, and the resolution of references to them in its config.

The template language is described in :mod:`pavilion.variables.template`.  The sets of variables:

- ``per``: the items that a permutation of a test has chosen (see :func:`permutations`)
- ``var``: the test's own variables; only their values may contain references themselves
- ``pav``: about Pavilion
- ``sys``: about the machine
- ``sched``: about the scheduler and the allocation

A reference without a set refers to the first set, in this order, that has the name.  The sets are
ordered by their distance from the test: a permutation's choice replaces the list it was chosen from,
the author of a test may override what a host provides, and a new variable in a scheduler plugin does
not change tests that already have one of that name.

How a config is resolved in two steps, here and in the allocation:

.. code-block:: python

    paths = manager.deferred_paths(raw)                         # where deferred variables are used
    config = manager.resolve_config(raw, deferred_ok=["run"])
    saved = manager.export(manager.references(config, paths))   # save config, paths and this

    manager = VariableSetManager.load(saved)                    # on the node
    manager.add_set("sched", final_scheduler_variables)
    config = manager.resolve_config(config, paths=paths)

``paths`` is important: text from a value may look like a reference, and must stay as it is.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pavilion.deferred import DeferredVariable
from pavilion.errors import DeferredError, VariableError
from pavilion.var_dict import VarDict
from pavilion.variables.config import ConfigPath, DeferredOk, allows, dotted, map_texts, path_filter
from pavilion.variables.resolver import CHUNK_IDS, SET_ORDER, Resolver, names_set
from pavilion.variables.template import (
    Place,
    Reference,
    escape,
    is_template,
    parse_reference,
    parse_template,
)
from pavilion.variables.values import VariableSource, items_of, listed

__all__ = [
    "DeferredError",
    "SET_ORDER",
    "VariableError",
    "VariableSetManager",
    "escape",
    "permutations",
]

_EXPORT_FORMAT = 1
# The maximum number of test runs that one test may become.
MAX_PERMUTATIONS = 100_000


class VariableSetManager(Resolver):
    """The sets of variables of a test, and the resolution of text that refers to them.

    A value is only fetched, and a test's variable only resolved, when something refers to it.
    """

    def add_set(self, name: str, values: Mapping[str, Any] | VarDict) -> None:
        """Add a set, or replace the one with that name.

        :param name: One of ``SET_ORDER``.
        :param values: Variable -> a value of any shape that ``normalize_value`` accepts, or a
            DeferredVariable.  It is read when needed, so do not change it afterwards.
        :raises VariableError: for another name.
        """
        if name not in SET_ORDER:
            raise VariableError(
                f"There is no set of variables '{name}'. The sets are {listed(SET_ORDER)}."
            )
        self._sources[name] = VariableSource(name, values, templates=name == "var")
        self._facts.clear()
        self._resolved.clear()

    def get(self, reference: str) -> str:
        """The string that a reference ('sched.nodes', 'name.0', without braces) stands for.

        :raises DeferredError: if it is only known on the allocation.
        :raises VariableError: if there is no such variable, or it cannot be worked out.
        """
        ref = parse_reference(reference)
        self._must_be_known(ref, "")
        return self._value(ref, "")

    __getitem__ = get

    def is_deferred(self, reference: str) -> bool:
        """Whether the variable that it refers to is only known on the allocation.

        A test's variable is deferred as a whole when any part of it needs a deferred variable.

        :raises VariableError: if there is no such variable.
        """
        return self._deferred_by(parse_reference(reference), "") is not None

    def resolve_text(self, text: str, where: str = "") -> str:
        """Replace references by values.  Values are not searched for references themselves.

        :param where: The dotted config key of the text, for messages.
        :raises DeferredError: if a value is only known on the allocation.
        :raises VariableError: for an unknown variable, index or key, and for bad braces.
        """
        template = parse_template(text, where)
        for piece in template:
            if isinstance(piece, Reference):
                self._must_be_known(piece, where)
        return self._fill(template, where)

    def resolve_config(
        self, config: Any, deferred_ok: DeferredOk = (), paths: Iterable[ConfigPath] | None = None
    ) -> Any:
        """Resolve every string in a nested config; keys stay as they are.

        A string that needs a deferred variable is kept as it is, where that is allowed.

        :param config: Dicts, lists and strings; other values are copied as they are.
        :param deferred_ok: Where strings may wait for the allocation: dotted prefixes of keys
            (['run']), or a function of the dotted key.
        :param paths: The only strings to resolve, as returned by ``deferred_paths``; all others
            are already final.
        :return: A copy, of plain dicts and lists.
        :raises DeferredError: if a deferred variable is used elsewhere.
        :raises VariableError: as for ``resolve_text``.
        """
        wanted = path_filter(paths)

        def resolve(text: str, path: tuple[str | int, ...]) -> str:
            if not is_template(text) or not wanted(path):
                return text
            where = dotted(path)
            return self.resolve_or_keep(text, where, allows(deferred_ok, where))

        return map_texts(config, resolve)

    def resolve_or_keep(self, text: str, where: str, may_wait: bool) -> str:
        """Resolve a string, or keep one that needs a deferred variable.

        :param may_wait: Whether it may need one.
        :raises VariableError: as for ``resolve_config``.
        """
        template = parse_template(text, where)
        refs = [piece for piece in template if isinstance(piece, Reference)]
        if all(self._deferred_by(ref, where) is None for ref in refs):
            return self._fill(template, where)
        for ref in refs:
            if may_wait:
                # Report a mistake in one of the others now, not in the allocation.
                self._check(ref, where)
            else:
                self._must_be_known(ref, where)
        return text

    def deferred_paths(self, config: Any) -> list[list[str | int]]:
        """Where an unresolved config needs deferred variables.

        :return: The paths of the strings: lists of keys and list indices.
        :raises VariableError: for an unknown variable, and for bad braces.
        """
        found: list[list[str | int]] = []

        def look(text: str, path: tuple[str | int, ...]) -> str:
            if not is_template(text):
                return text
            where = dotted(path)
            refs = [ref for ref in parse_template(text, where) if isinstance(ref, Reference)]
            if any(self._deferred_by(ref, where) is not None for ref in refs):
                found.append(list(path))
            return text

        map_texts(config, look)
        return found

    @staticmethod
    def references(config: Any, paths: Iterable[ConfigPath] | None = None) -> set[str]:
        """The references in a config, without braces and blanks.

        :param paths: The only strings to search.  None: all strings, in which case text that came
            from a value and happens to look like a reference is taken for one.
        :raises VariableError: for bad braces.
        """
        found: set[str] = set()
        wanted = path_filter(paths)

        def look(text: str, path: tuple[str | int, ...]) -> str:
            if is_template(text) and wanted(path):
                found.update(
                    ref.text
                    for ref in parse_template(text, dotted(path))
                    if isinstance(ref, Reference)
                )
            return text

        map_texts(config, look)
        return found

    def export(self, remaining: Iterable[str]) -> dict[str, Any]:
        """What ``load`` needs to resolve these references once the deferred variables are known.

        For a reference whose value is known, this is only that string.  For a deferred variable of
        the test, it is the variable's unresolved value and everything that this refers to.

        :param remaining: References, as returned by ``references``.
        :return: A dict that can be stored as JSON.
        :raises VariableError: if a reference that is not deferred cannot be resolved.
        """
        values: dict[str, str] = {}
        sets: dict[str, str] = {}
        variables: dict[str, Any] = {}
        todo = [(parse_reference(text), "") for text in sorted(remaining)]
        while todo:
            ref, where = todo.pop()
            if self._deferred_by(ref, where) is None:
                values[ref.text] = self._value(ref, where)
                continue
            place = Place(where, ref.text)
            target = self._find(ref, place)
            if not names_set(ref.parts):
                sets[target.name] = target.set_name
            if target.set_name != "var" or target.name in variables:
                continue
            source = self._source("var", target.name)
            value = source.value(target.name, place)
            if not isinstance(value, DeferredVariable):
                variables[target.name] = value
            todo.extend(source.uses(target.name, place))
        return {"format": _EXPORT_FORMAT, "values": values, "sets": sets, "variables": variables}

    @classmethod
    def load(cls, data: Mapping[str, Any]) -> VariableSetManager:
        """A manager with the variables that ``export`` saved; add the sets with the deferred ones.

        The saved variables take precedence over those in the sets that are added.

        :raises VariableError: if the data is not from ``export``.
        """
        if (
            not isinstance(data, Mapping)
            or data.get("format") != _EXPORT_FORMAT
            or not all(isinstance(data.get(key), dict) for key in ("values", "sets", "variables"))
        ):
            raise VariableError(
                f"These are not saved variables of format {_EXPORT_FORMAT}: {str(data)[:80]}"
            )
        manager = cls()
        manager._known = {ref: str(text) for ref, text in data["values"].items()}
        manager._bound = {name: str(set_name) for name, set_name in data["sets"].items()}
        manager._loaded = VariableSource("var", data["variables"], templates=True)
        return manager

    def chosen(self) -> list[tuple[str, str, Any]]:
        """What permutations chose: (set, variable, string, or a dict of strings for an item that is
        one).

        A string that cannot be worked out is given as it was written: while nothing uses it, that
        is not a mistake.
        """
        found: list[tuple[str, str, Any]] = []
        for (set_name, name), index in self._chosen.items():
            source = self._source(set_name, name)
            value = source.value(name, Place("permute_on", name))
            assert not isinstance(value, DeferredVariable)
            item = items_of(value)[index]
            texts = {"": item} if isinstance(item, str) else item
            if source.templates:
                texts = {key: self._chosen_text(text, name) for key, text in texts.items()}
            found.append((set_name, name, texts[""] if isinstance(item, str) else dict(texts)))
        return found

    def _chosen_text(self, text: str, name: str) -> str:
        try:
            return self._resolve_value(text, name, "permute_on")
        except VariableError:
            return text

    def _permuted(self, choices: Mapping[tuple[str, str], int]) -> VariableSetManager:
        """A manager with the same sets, in which items of some variables are chosen."""
        other = type(self)()
        other._sources = dict(self._sources)
        other._known, other._bound, other._loaded = self._known, self._bound, self._loaded
        other._chosen = {**self._chosen, **choices}
        other._chosen_names = {name: (set_name, name) for set_name, name in other._chosen}
        return other

    def _items(self, ref: Reference) -> tuple[tuple[str, str], int]:
        """For permutations: the (set, name) of a variable, and its number of items."""
        where = "permute_on"
        place = Place(where, ref.text)
        set_name, name, path = self._find(ref, place)
        if path:
            raise place.error("name a whole variable, without an index or a key")
        if set_name == "per":
            raise place.error("a permutation has already chosen an item of this variable")
        self._must_be_known(ref, where)
        value = self._source(set_name, name).value(name, place)
        assert not isinstance(value, DeferredVariable)
        if not items_of(value) and (set_name, name) == CHUNK_IDS:
            raise place.error(
                "there are no chunks to permute over: the scheduler has none, or too few nodes can "
                "be used"
            )
        if not items_of(value):
            raise place.error("the list is empty, so there is nothing to permute over")
        return (set_name, name), len(items_of(value))


def permutations(
    manager: VariableSetManager, permute_on: Sequence[str], limit: int = MAX_PERMUTATIONS
) -> list[VariableSetManager]:
    """One manager for each combination of items of some variables; the first varies slowest.

    In each of them, ``{{chunk_ids}}``, ``{{per.chunk_ids}}`` and the full reference
    ``{{sched.chunk_ids}}`` all refer to the chosen item.  The managers share the sets of the given
    manager, so they are cheap, whatever the size of the sets.

    :param permute_on: Names of variables, with or without a set.  A value that is not a list counts
        as a list of one item.
    :param limit: The maximum number of combinations.
    :raises DeferredError: for a variable that is only known on the allocation.
    :raises VariableError: for an unknown name, an empty list, two variables of the same name, or too
        many combinations.
    """
    counts: dict[tuple[str, str], int] = {}
    for text in permute_on:
        ref = parse_reference(text, "permute_on")
        key, count = manager._items(ref)
        if any(name == key[1] for _, name in (*counts, *manager._chosen)):
            raise Place("permute_on", ref.text).error(
                f"another variable called '{key[1]}' is already in the list"
            )
        counts[key] = count
    total = math.prod(counts.values())
    if total > limit:
        factors = " * ".join(map(str, counts.values()))
        raise VariableError(
            f"permute_on: there are {total} combinations of the items ({factors} "
            f"of {listed([name for _, name in counts])}), but a test may have at most "
            f"{MAX_PERMUTATIONS}",
            data={"where": "permute_on"},
        )
    combinations = itertools.product(*(range(count) for count in counts.values()))
    return [manager._permuted(dict(zip(counts, indices))) for indices in combinations]
