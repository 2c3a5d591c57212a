"""The elements that are mappings: sections with known keys, categories with free ones."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from re import Pattern
from typing import Any, ClassVar, NamedTuple

from yaml_config.config_dict import ConfigDict
from yaml_config.elements import ConfigElement, DerivedElem, StrElem, kind_of
from yaml_config.errors import ConfigError, Place, UnknownKeyError, near_matches, within
from yaml_config.lists import (
    ListElem,
    check_element,
    is_outermost,
    run_post_validator,
    validate_nested,
)
from yaml_config.source import SourceDict, key_place


class _Entry(NamedTuple):
    """One key of a mapping, as it was given."""

    name: str  # the key without '+', in the case of letters that the element wants
    extends: bool  # the key ended in '+'
    value: Any
    place: Place | None


class _MappingElem(ConfigElement):
    """What sections and categories share: the case of keys, '+' keys, merging."""

    KC_LOWER: ClassVar[str] = "lower"
    KC_UPPER: ClassVar[str] = "upper"
    KC_MIXED: ClassVar[str] = "mixed"

    type = ConfigDict
    type_name = "a mapping"

    key_case: str

    def _set_key_case(self, key_case: str) -> None:
        cases = (self.KC_LOWER, self.KC_UPPER, self.KC_MIXED)
        if key_case not in cases:
            raise ConfigError(
                f"{self!r}: bad key_case {key_case!r}", expected="one of: " + ", ".join(cases)
            )
        self.key_case = key_case

    def child(self, name: str) -> ConfigElement:
        """Return the element for a key; raise ConfigError where the key is not allowed."""
        raise NotImplementedError(f"{type(self).__name__} does not define child()")

    def _entries(self, value: Any) -> list[_Entry]:
        """Check a mapping's keys; return its entries in their order."""
        if not isinstance(value, Mapping):
            raise ConfigError(
                f"{kind_of(value)} where a mapping (lines of 'key: value') belongs",
                expected=self.describe(),
            )
        entries = [self._entry(value, key) for key in value]
        seen: set[tuple[str, bool]] = set()
        for entry, key in zip(entries, value):
            if (entry.name, entry.extends) in seen:
                raise ConfigError(f"the key '{key}' is given twice, in different cases of letters",
                                  path=(str(key),), place=entry.place)
            seen.add((entry.name, entry.extends))
        return entries

    def _entry(self, value: Mapping[Any, Any], key: Any) -> _Entry:
        text = str(getattr(key, "source", key))
        place = key_place(value, key)
        with within(text, place):
            name = text[:-1] if text.endswith("+") else text
            if self.key_case == self.KC_LOWER:
                name = name.lower()
            elif self.key_case == self.KC_UPPER:
                name = name.upper()
            elem = self.child(name)
            extends = text.endswith("+")
            if extends and not isinstance(elem, ListElem):
                raise ConfigError(
                    f"a '+' at the end of a key extends a list, but '{name}' is {elem.describe()}"
                )
        return _Entry(name, extends, value[key], place)

    def normalize(self, value: Any) -> Any:
        """Return a mapping with normalized values. Keys with '+' stay as they are.

        None stays None, as the whole value and for single keys.
        """
        if value is None:
            return None
        result = SourceDict()
        for entry in self._entries(value):
            key = entry.name + ("+" if entry.extends else "")
            with within(key, entry.place):
                elem = self.child(entry.name)
                sub = None if entry.value is None else elem.normalize(entry.value)
            result.put(key, sub, entry.place)
        return result

    def settle(self, value: Any) -> Any:
        """Return a copy in which each '+' key has extended its plain key, or become it."""
        return None if value is None else self.merge(None, value)

    def merge(self, old: Any, new: Any) -> Any:
        """Return `old` with the keys of `new` merged in; neither is changed.

        Sections and categories merge by key; single values and lists replace; `key+` extends
        the list at `key`. None resets a single value or list to its default, and changes
        nothing where `new` itself is None.
        """
        if new is None:
            return self.settle(old)
        result = SourceDict() if old is None else self.settle(old)
        # A '+' key extends the plain key of the same mapping too, wherever that stands.
        for entry in sorted(self._entries(new), key=lambda entry: entry.extends):
            elem = self.child(entry.name)
            base = result.get(entry.name)
            with within(entry.name, entry.place):
                if entry.extends and isinstance(elem, ListElem):
                    merged = elem.extend(base, entry.value)
                else:
                    merged = elem.merge(base, entry.value)
            place = entry.place
            if place is None and (entry.extends or isinstance(elem, _MappingElem)):
                place = key_place(result, entry.name)  # the old part is still there
            result.put(entry.name, merged, place)
        return result

    def _given(self, value: Any) -> dict[str, _Entry]:
        """Return the entries by name, with '+' keys joined to their plain keys."""
        entries = self._entries(value)
        if any(entry.extends for entry in entries):
            entries = self._entries(self.settle(value))
        return {entry.name: entry for entry in entries}

    def _finish(self, result: ConfigDict, given: Mapping[str, _Entry], partial: bool) -> ConfigDict:
        """Run the post validators, then compute derived values where this is the outermost."""
        if not partial:
            for name in list(result):
                entry = given.get(name)
                with within(name, entry.place if entry else None):
                    result[name] = run_post_validator(self.child(name), result, result[name])
            if is_outermost():
                self.derive(result, result)
        return result

    def derive(self, value: Any, root: Any) -> None:
        if not isinstance(value, dict):
            return
        for name in value:
            with within(name):
                elem = self.child(name)
                if isinstance(elem, DerivedElem):
                    value[name] = elem.resolve(root)
                else:
                    elem.derive(value[name], root)


class KeyedElem(_MappingElem):
    """A section: a mapping with known keys, each with its own element.

    A subclass may list its elements in `ELEMENTS`; the list is read when an instance is made.

    :param elements: the elements, in place of those in `ELEMENTS`.
    :param key_case: `KC_LOWER` takes keys in any case of letters; `KC_MIXED` as they are.
    :param default: a mapping, used where the section is not given at all.
    :ivar config_elems: name -> element; elements may be added and removed later.
    :raises ConfigError: an element without a name, two of one name, a default not allowed.
    """

    ELEMENTS: ClassVar[list[ConfigElement]] = []

    def __init__(
        self,
        name: str | None = None,
        elements: Sequence[ConfigElement] | None = None,
        key_case: str = _MappingElem.KC_MIXED,
        **kwargs: Any,
    ) -> None:
        super().__init__(name, **kwargs)
        self._set_key_case(key_case)
        if key_case == self.KC_UPPER:
            raise ConfigError(f"{self!r}: the keys of a section are in lower case, not upper case")
        self.config_elems: dict[str, ConfigElement] = {}
        for elem in self.ELEMENTS if elements is None else elements:
            self.add_element(elem)

    def add_element(self, elem: ConfigElement) -> None:
        """Add an element; raise ConfigError where it has no name, or its name is taken."""
        check_element(elem, self)
        if elem.name is None:
            raise ConfigError(f"{self!r}: {elem!r} needs a name")
        if elem.name in self.config_elems:
            raise ConfigError(f"{self!r} has two elements with the name '{elem.name}'")
        self.config_elems[elem.name] = elem

    def child(self, name: str) -> ConfigElement:
        elem = self.config_elems.get(name)
        if elem is None:
            allowed = [key for key, elem in self.config_elems.items() if not elem.hidden]
            raise UnknownKeyError(
                f"unknown key '{name}'",
                expected=("one of: " + ", ".join(allowed)) if allowed else "no keys here",
                near=near_matches(name, allowed),
            )
        return elem

    def validate(self, value: Any, partial: bool = False) -> Any:
        """Return a `ConfigDict` with a value for every key: given, default or None.

        With `partial` it has the given keys only.
        """
        if value is None and not partial:
            if self.default is None:
                self._check_required()
            value = self.default
        given = {} if value is None else self._given(value)
        result = ConfigDict()
        for name, elem in self.config_elems.items():
            entry = given.get(name)
            if partial and entry is None:
                continue
            with within(name, entry.place if entry else None):
                result[name] = validate_nested(elem, entry.value if entry else None, partial)
        return self._finish(result, given, partial)

    def find(self, dotted: str) -> ConfigElement:
        if not dotted:
            return self
        name, _, rest = dotted.partition(".")
        with within(name):
            return self.child(name).find(rest)


class CategoryElem(_MappingElem):
    """A mapping with free keys, whose values all have the same element.

    A key is text without blanks and dots that does not end in '+'; a subclass may set another
    `KEY_PATTERN`.

    :param sub_elem: the element of the values; text where it is None.
    :param choices: the allowed keys.
    :param key_case: `KC_LOWER` and `KC_UPPER` change the keys; `KC_MIXED` keeps them.
    :param defaults: a mapping, used where the category is not given at all (also: `default`).
    """

    KEY_PATTERN: ClassVar[Pattern[str]] = re.compile(r"[^\s.]*[^\s.+]")
    KEY_HELP: ClassVar[str] = "text without blanks and dots that does not end in '+'"

    def __init__(
        self,
        name: str | None = None,
        sub_elem: ConfigElement | None = None,
        choices: Iterable[str] | None = None,
        key_case: str = _MappingElem.KC_MIXED,
        defaults: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        if defaults is not None:
            kwargs["default"] = defaults
        super().__init__(name, choices=choices, **kwargs)
        self._set_key_case(key_case)
        self._sub_elem: ConfigElement = StrElem() if sub_elem is None else sub_elem
        check_element(self._sub_elem, self)

    def child(self, name: str) -> ConfigElement:
        if not self.KEY_PATTERN.fullmatch(name):
            raise ConfigError(f"'{name}' cannot be a key here", expected=self.KEY_HELP)
        if self.choices is not None and name not in self.choices:
            raise UnknownKeyError(
                f"unknown key '{name}'",
                expected="one of: " + ", ".join(self.choices),
                near=near_matches(name, self.choices),
            )
        return self._sub_elem

    def _defaulted(self, value: Any) -> Any:
        """Return the mapping with defaults; None is a category that is not given."""
        if value is None:
            if self.default is None:
                self._check_required()
            return self.default
        return value

    def validate(self, value: Any, partial: bool = False) -> Any:
        """Return a `ConfigDict` with the given keys; empty where there are none."""
        if not partial:
            value = self._defaulted(value)
        given = {} if value is None else self._given(value)
        result = ConfigDict()
        for name, entry in given.items():
            with within(name, entry.place):
                result[name] = validate_nested(self._sub_elem, entry.value, partial)
        return self._finish(result, given, partial)

    def find(self, dotted: str) -> ConfigElement:
        if not dotted:
            return self
        name, _, rest = dotted.partition(".")
        with within(name):
            elem = self._sub_elem if name == "*" else self.child(name)
            return elem.find(rest)


class DefaultedCategoryElem(CategoryElem):
    """A category whose default keys are always there; other keys are allowed too."""

    def _defaulted(self, value: Any) -> Any:
        if value is None and self.default is None:
            self._check_required()
        # A key that is given as None counts as not given.
        given = SourceDict()
        for name, entry in self._given(value or {}).items():
            if entry.value is not None or name not in (self.default or {}):
                given.put(name, entry.value, entry.place)
        merged = SourceDict(self.settle(self.default or {}))
        for name, sub in given.items():
            merged.put(name, sub, key_place(given, name))
        return merged
