"""A single set of variables, and how a reference picks something from a value."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Union

from pavilion.deferred import DeferredVariable
from pavilion.var_dict import VarValue, normalize_value
from pavilion.variables.template import Place, Reference, is_template, parse_template

# No list has an index with more digits.  This also keeps very long numbers away from int().
_MAX_INDEX_DIGITS = 9
# The maximum number of names that a message lists.
_MAX_LISTED = 12

# One item of a value.
Item = Union[str, dict[str, str]]


class Use(NamedTuple):
    """A reference in a variable's value, and the dotted key of the first string that contains it."""

    reference: Reference
    where: str


class VariableSource:
    """A named set of variables; each value is fetched when it is first needed, and cached.

    Managers of permutations share it, so what it caches must be the same for all of them.

    :param name: The set's name.
    :param values: The source of the values; it must not be changed from now on.
    :param templates: Whether values may contain references themselves.
    """

    def __init__(self, name: str, values: Mapping[str, Any], templates: bool = False) -> None:
        self.name = name
        self.templates = templates
        self._mapping = values
        self._values: dict[str, VarValue | DeferredVariable] = {}
        self._uses: dict[str, list[Use]] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._mapping

    def __iter__(self) -> Iterator[str]:
        # References can only name keys that are strings.
        return (name for name in self._mapping if isinstance(name, str))

    def value(self, name: str, place: Place) -> VarValue | DeferredVariable:
        """A variable's value, normalised; references in it are not resolved.

        :raises VariableError: if it cannot be worked out or is not allowed.
        """
        if name not in self._values:
            try:
                value = self._mapping[name]
                self._values[name] = (
                    value if isinstance(value, DeferredVariable) else normalize_value(value)
                )
            # A set may be any mapping, and its values may come from a plugin's code.
            except Exception as exc:
                raise place.error(f"'{self.name}.{name}' has no usable value", prior=exc) from exc
        return self._values[name]

    def uses(self, name: str, place: Place) -> list[Use]:
        """The references in a variable's value, each once.

        :raises VariableError: for braces that do not contain a reference.
        """
        if not self.templates:
            return []
        if name not in self._uses:
            found: dict[Reference, str] = {}
            for where, text in _texts(f"{self.name}.{name}", self.value(name, place)):
                if not is_template(text):
                    continue
                for piece in parse_template(text, where):
                    if isinstance(piece, Reference):
                        found.setdefault(piece, where)
            self._uses[name] = [Use(*item) for item in found.items()]
        return self._uses[name]


def pick(value: VarValue, path: Sequence[str], place: Place) -> list[str]:
    """The strings that ``[.index][.key]`` picks from a value: one, or any number for the index '*'.

    A value that is not a list counts as a list of one item.  A list without an index stands for its
    first item.

    :raises VariableError: if there is no such item or key, or the path ends at a dict.
    """
    rest = list(path)
    indexed = bool(rest) and (rest[0] == "*" or rest[0].isdigit())
    if indexed and isinstance(value, dict) and rest[0] in value:
        indexed = False
    items = items_of(value)
    if not indexed:
        if not items:
            raise place.error(f"the list is empty. '{place.reference}.*' would be an empty string")
        items = items[:1]
    elif rest.pop(0) != "*":
        items = [_item(items, path[0], place)]
    return [_text(item, rest, place) for item in items]


def items_of(value: VarValue) -> Sequence[Item]:
    """The items of a list; a value that is not a list is one item."""
    return value if isinstance(value, list) else [value]


def listed(names: Sequence[str]) -> str:
    """Names for a message, quoted; a long list is cut, and ends with the number of the others."""
    shown = ", ".join(f"'{name}'" for name in names[:_MAX_LISTED])
    return shown + (f" and {len(names) - _MAX_LISTED} more" if len(names) > _MAX_LISTED else "")


def _item(items: Sequence[Item], index: str, place: Place) -> Item:
    if len(index) > _MAX_INDEX_DIGITS or int(index) >= len(items):
        have = "is empty" if not items else f"has {len(items)} item{'s' * (len(items) > 1)}"
        first = ", and the first one is 0" if items else ""
        raise place.error(f"there is no item {index[:_MAX_INDEX_DIGITS]}: the list {have}{first}")
    return items[int(index)]


def _text(item: Item, path: Sequence[str], place: Place) -> str:
    if isinstance(item, dict):
        if not path:
            raise place.error(
                "this is an empty mapping"
                if not item
                else f"this is a mapping; add one of its keys: {listed(list(item))}"
            )
        if path[0] not in item:
            raise place.error(f"there is no key '{path[0]}'. There are: {listed(list(item))}")
        if len(path) == 1:
            return item[path[0]]
        path = path[1:]
    elif not path:
        return item
    raise place.error(
        f"'.{'.'.join(path)}' is too much: what comes before it is a string. An index is a number, "
        "starting at 0, or '*'; only a mapping has keys"
    )


def _texts(name: str, value: VarValue | DeferredVariable) -> Iterator[tuple[str, str]]:
    """Each string in a value, as (dotted key, string)."""
    if isinstance(value, DeferredVariable):
        return
    for index, item in enumerate(items_of(value)):
        where = f"{name}.{index}" if isinstance(value, list) else name
        if isinstance(item, str):
            yield where, item
        else:
            yield from ((f"{where}.{key}", text) for key, text in item.items())
