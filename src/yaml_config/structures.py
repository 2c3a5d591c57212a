"""The elements that hold others: lists, sections with known keys, categories with free ones.

Also the elements whose value has no fixed shape (`AnyElem`) or no written one (`DerivedElem`).
"""

from __future__ import annotations

import copy
import re
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from contextvars import ContextVar
from re import Pattern
from typing import Any, Callable, ClassVar, NamedTuple

from yaml_config.config_dict import ConfigDict
from yaml_config.elements import ConfigElement, kind_of
from yaml_config.errors import ConfigError, Place, UnknownKeyError, near_matches, within
from yaml_config.scalars import StrElem
from yaml_config.source import SourceDict, SourceList, copy_tree, item_place, key_place, plain

Resolver = Callable[[Any], Any]

# Derived values are computed once, by the outermost element that is validated.
_is_nested: ContextVar[bool] = ContextVar("yaml_config_is_nested", default=False)

# Classes of mappings that hold nothing beside their keys.
_PLAIN_DICTS = (ConfigDict, OrderedDict, dict)

# The key that stands for "no key" in a category that allows it.
_NO_KEY: Any = None


def _validate_nested(elem: ConfigElement, value: Any, partial: bool) -> Any:
    """Validate a value as a part of a larger one, which computes the derived values."""
    token = _is_nested.set(True)
    try:
        return elem.validate(value, partial)
    finally:
        _is_nested.reset(token)


def _is_outermost() -> bool:
    """Tell whether the running validation is not a part of a larger one."""
    return not _is_nested.get()


def _run_post_validator(elem: ConfigElement, siblings: Any, value: Any) -> Any:
    """Return what the element's post validator, if there is one, makes of the value."""
    if elem.post_validator is None:
        return value
    # The function may validate other things with elements of its own.
    token = _is_nested.set(False)
    try:
        return elem.post_validator(siblings, value)
    finally:
        _is_nested.reset(token)


def _check_element(elem: object, owner: ConfigElement) -> None:
    """Raise ConfigError where an element cannot be put into `owner`."""
    if not isinstance(elem, ConfigElement):
        raise ConfigError(f"{owner!r}: {elem!r} is not a configuration element")
    elem.check_definition()


def _blank_missing(value: Any) -> str:
    """A hint for 'key:value' and 'key=value', which are text to YAML."""
    match = re.match(r"([A-Za-z_][\w.-]*)[:=](\S.*)", value) if isinstance(value, str) else None
    return f"; write '{match[1]}: {match[2]}', with a space after the ':'" if match else ""


class DerivedElem(ConfigElement):
    """A value that no user sets; it is computed when all other values are checked.

    `normalize`, which loaders apply to files, refuses a value. `validate` ignores one and
    computes it anew, so a validated configuration can be validated again.

    :param resolver: `f(config) -> value`; `config` is the whole validated configuration, not
        just the section of this key; inside of a loader it is what that loader validates. Raises
        `ValueError` where there is no good value. None: the value is None.
    """

    type_name = "nothing (the value is computed)"

    def __init__(
        self,
        name: str | None = None,
        resolver: Resolver | None = None,
        *,
        hidden: bool = False,
        help_text: str | None = "",
    ) -> None:
        super().__init__(name, hidden=hidden, help_text=help_text)
        self.resolver = resolver

    def normalize(self, value: Any) -> Any:
        if value is not None:
            raise ConfigError("the value is computed and cannot be set")
        return None

    def validate(self, value: Any, partial: bool = False) -> Any:
        return None

    def settle(self, value: Any) -> Any:
        return None

    def resolve(self, root: Any) -> Any:
        """Return the value for a validated configuration."""
        return None if self.resolver is None else self.resolver(root)


class AnyElem(ConfigElement):
    """A value of any shape. What is not a list, a mapping or None becomes text, as it was typed."""

    type = str  # of its leaves
    type_name = "anything"

    def normalize(self, value: Any) -> Any:
        if isinstance(value, Mapping):
            mapping = SourceDict()
            for key, sub in value.items():
                name = str(getattr(key, "source", key))
                place = key_place(value, key)
                with within(name, place):
                    mapping.put(name, self.normalize(sub), place)
            return mapping
        if isinstance(value, (list, tuple)):
            items = SourceList()
            for index, sub in enumerate(value):
                place = item_place(value, index)
                with within(index, place):
                    items.add(self.normalize(sub), place)
            return items
        return None if value is None else StrElem().normalize(value)

    def validate(self, value: Any, partial: bool = False) -> Any:
        return plain(super().validate(value, partial))

    def settle(self, value: Any) -> Any:
        return copy_tree(value)

    def find(self, dotted: str) -> ConfigElement:
        return self


class ListElem(ConfigElement):
    """A list, whose items all have the same element. A single value is a list of one.

    :param sub_elem: the element of the items; text where it is None.
    :param min_length: the least number of items, where a list is given.
    :param max_length: the largest number of items, or None.
    :param defaults: a list, used where none is given (also: `default`).
    """

    type = list
    type_name = "a list"

    def __init__(
        self,
        name: str | None = None,
        sub_elem: ConfigElement | None = None,
        min_length: int = 0,
        max_length: int | None = None,
        defaults: Sequence[Any] | None = None,
        **kwargs: Any,
    ) -> None:
        if defaults is not None:
            kwargs["default"] = defaults
        super().__init__(name, **kwargs)
        if max_length is not None and min_length > max_length:
            raise ConfigError(f"{self!r}: min_length {min_length} is above max_length {max_length}")
        self.min_length = min_length
        self.max_length = max_length
        self._sub_elem: ConfigElement = StrElem() if sub_elem is None else sub_elem
        _check_element(self._sub_elem, self)

    def describe(self) -> str:
        if self.min_length and self.max_length is not None:
            return f"a list of {self.min_length} to {self.max_length} items"
        if self.min_length:
            return f"a list of at least {self.min_length} items"
        if self.max_length is not None:
            return f"a list of at most {self.max_length} items"
        return self.type_name

    def as_list(self, value: Any) -> list[Any]:
        """Return the value as a list: a single value is a list of one.

        None is an empty list. So is a list of one None: a lone '-' in a file holds nothing.
        """
        if value is None or value in ([None], (None,)):
            return []
        if isinstance(value, list):
            return value
        return list(value) if isinstance(value, tuple) else [value]

    def normalize(self, value: Any) -> Any:
        """Return a list of normalized items; an empty one for None."""
        items = self.as_list(value)
        result = SourceList()
        for index, item in enumerate(items):
            place = item_place(items, index)
            with within(index, place):
                # A null list stays None; other elements may make something else of None.
                is_null = item is None and isinstance(self._sub_elem, ListElem)
                result.add(None if is_null else self._sub_elem.normalize(item), place)
        return result

    def validate(self, value: Any, partial: bool = False) -> Any:
        """Return the list of validated items, the default, or an empty list."""
        if value is None:
            if self.default is None and not partial:
                self._check_required()
            value = self.default
        items = self.as_list(value)
        if value is not None:
            self._check_length(items)
        result: list[Any] = []
        for index, item in enumerate(items):
            with within(index, item_place(items, index)):
                checked = _validate_nested(self._sub_elem, item, partial)
                self._check_value(checked)
                result.append(checked)
        if not partial:
            for index, item in enumerate(result):
                with within(index, item_place(items, index)):
                    result[index] = _run_post_validator(self._sub_elem, result, item)
            if _is_outermost():
                self.derive(result, result)
        return result

    def _check_length(self, items: Sequence[Any]) -> None:
        too_short = len(items) < self.min_length
        if too_short or (self.max_length is not None and len(items) > self.max_length):
            raise ConfigError(f"the list has {len(items)} items", expected=self.describe())

    def settle(self, value: Any) -> Any:
        if value is None:
            return None
        items = self.as_list(value)
        result = SourceList()
        for index, item in enumerate(items):
            place = item_place(items, index)
            with within(index, place):
                result.add(self._sub_elem.settle(item), place)
        return result

    def extend(self, old: Any, new: Any) -> Any:
        """Return the items of `new` behind those of `old`. None has no items."""
        result = SourceList()
        for value in (old, new):
            items = self.settle(value) or SourceList()
            for index, item in enumerate(items):
                result.add(item, item_place(items, index))
        return result

    def derive(self, value: Any, root: Any) -> None:
        if isinstance(value, list):
            for index, item in enumerate(value):
                with within(index):
                    self._sub_elem.derive(item, root)

    def find(self, dotted: str) -> ConfigElement:
        if not dotted:
            return self
        index, _, rest = dotted.partition(".")
        if index != "*" and not index.isdigit():
            raise UnknownKeyError(f"'{index}' is not a list index", expected="a number or '*'")
        with within(index):
            return self._sub_elem.find(rest)


class _Entry(NamedTuple):
    """One key of a mapping, as it was given."""

    name: str  # the key without '+', in the case of letters that the element wants; or _NO_KEY
    extends: bool  # the key ended in '+'
    value: Any
    place: Place | None


def _is_normalized(value: object) -> bool:
    """Tell whether a mapping is what `normalize` of its element made."""
    return isinstance(value, SourceDict) and value.is_normalized


class _MappingElem(ConfigElement):
    """What sections and categories share: the case of keys, '+' keys, merging.

    A subclass may set `type` to another class, which validated values then are. It is made without
    arguments, and needs item access and `items`; it need not be a dict.
    """

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
        """Return the element for a key; raise UnknownKeyError where the key is not allowed."""
        raise NotImplementedError(f"{type(self).__name__} does not define child()")

    def _is_foreign(self, value: Any) -> bool:
        """Tell whether a value is of a class that may hold more than its keys."""
        return self.type not in _PLAIN_DICTS and isinstance(value, self.type)

    def _empty_result(self, value: Any) -> Any:
        """Return what the keys of the validated form of a value are put into."""
        if not self._is_foreign(value):
            return self.type()
        result = copy.copy(value)
        if isinstance(result, dict):
            result.clear()
        return result

    def _names(self, value: Any) -> list[str]:
        """Return the keys of a validated value."""
        return list(value)

    def _allows_no_key(self) -> bool:
        """Tell whether a value may stand here without a key, under None."""
        return False

    def _entries(self, value: Any) -> list[_Entry]:
        """Check a mapping's keys; return its entries in their order."""
        if not isinstance(value, Mapping) and self._is_foreign(value):
            # Its attributes that are not keys are its own business.
            value = {name: value[name] for name in self._names(value)}
        if not isinstance(value, Mapping):
            raise ConfigError(
                f"{kind_of(value)} where a mapping (lines of 'key: value') belongs"
                + _blank_missing(value),
                expected=self.describe(),
            )
        entries = [self._entry(value, key) for key in value]
        seen: set[tuple[str, bool]] = set()
        for entry, key in zip(entries, value):
            if (entry.name, entry.extends) in seen:
                raise ConfigError(
                    f"the key '{key}' is given twice, in different cases of letters",
                    path=(str(key),),
                    place=entry.place,
                )
            seen.add((entry.name, entry.extends))
        return entries

    def _entry(self, value: Mapping[Any, Any], key: Any) -> _Entry:
        if key is None and self._allows_no_key():
            return _Entry(_NO_KEY, False, value[key], None)
        text = str(getattr(key, "source", key))
        place = key_place(value, key)
        with within(text, place):
            name = text[:-1] if text.endswith("+") else text
            if self.key_case == self.KC_LOWER:
                name = name.lower()
            elif self.key_case == self.KC_UPPER:
                name = name.upper()
            self.child(name)
        return _Entry(name, text.endswith("+"), value[key], place)

    def normalize(self, value: Any) -> Any:
        """Return a mapping with normalized values. Keys with '+' stay as they are.

        None stays None, as the whole value and for single keys. Whether a key may end in '+' is
        checked where it takes effect: when the mapping is merged or validated.
        """
        if value is None:
            return None
        result: Any = SourceDict()
        if self.type not in _PLAIN_DICTS and issubclass(self.type, dict):
            # Subclasses that merge rely on their class, and do without the places.
            result = self._empty_result(value)
        for entry in self._entries(value):
            key = f"{entry.name}+" if entry.extends else entry.name
            with within(key or "", entry.place):
                elem = self.child(entry.name)
                sub = None if entry.value is None else elem.normalize(entry.value)
            if isinstance(result, SourceDict):
                result.put(key, sub, entry.place)
            else:
                result[key] = sub
        if isinstance(result, SourceDict):
            result.is_normalized = True
        return result

    def settle(self, value: Any) -> Any:
        """Return a copy in which each '+' key has extended its plain key, or become it."""
        if value is None:
            return None
        # Not merge(): what a subclass makes of that may need something to merge into.
        settled = self._combine(None, value)
        if self._is_foreign(value) and isinstance(value, dict):
            result = copy.deepcopy(value)
            result.clear()
            result.update(settled)
            return result
        settled.is_normalized = _is_normalized(value)
        return settled

    def merge(self, old: Any, new: Any) -> Any:
        """Return `old` with the keys of `new` merged in; neither is changed.

        Sections and categories merge by key; single values and lists replace; `key+` extends
        the list at `key`. None, for a key or as `new`, is a value that is not given.

        :raises UnknownKeyError: a key is not allowed, or a '+' stands at what is not a list.
        """
        return self.settle(old) if new is None else self._combine(old, new)

    def _combine(self, old: Any, new: Any) -> Any:
        """Merge `new`, which is not None, into a copy of `old`."""
        result: Any = SourceDict() if old is None else self.settle(old)
        if not isinstance(result, SourceDict):
            result = SourceDict((name, result[name]) for name in self._names(result))
        result.is_normalized = False
        # A '+' key extends the plain key of the same mapping too, wherever that stands.
        for entry in sorted(self._entries(new), key=lambda entry: entry.extends):
            elem = self.child(entry.name)
            base = result.get(entry.name)
            with within(entry.name or "", entry.place):
                if not entry.extends:
                    if base is None or entry.value is None:
                        merged = elem.settle(base if entry.value is None else entry.value)
                    else:
                        merged = elem.merge(base, entry.value)
                elif isinstance(elem, ListElem):
                    merged = elem.extend(base, entry.value)
                else:
                    raise UnknownKeyError(
                        f"a '+' at the end of a key extends a list, but '{entry.name}' is "
                        f"{elem.describe()}"
                    )
            place = entry.place
            if entry.value is None or (
                place is None and (entry.extends or isinstance(elem, _MappingElem))
            ):
                place = key_place(result, entry.name) or place  # the old part is still there
            result.put(entry.name, merged, place)
        return result

    def _given(self, value: Any) -> dict[str, _Entry]:
        """Return the entries by name, with '+' keys joined to their plain keys."""
        entries = self._entries(value)
        if any(entry.extends for entry in entries):
            entries = self._entries(self._combine(None, value))
        return {entry.name: entry for entry in entries}

    def _finish(self, result: Any, given: Mapping[str, _Entry], partial: bool) -> Any:
        """Run the post validators, then compute derived values where this is the outermost."""
        if not partial:
            for name in self._names(result):
                entry = given.get(name)
                with within(name or "", entry.place if entry else None):
                    result[name] = _run_post_validator(self.child(name), result, result[name])
            if _is_outermost():
                self.derive(result, result)
        return result

    def derive(self, value: Any, root: Any) -> None:
        if not isinstance(value, (dict, self.type)):
            return
        for name in self._names(value):
            with within(name or ""):
                elem = self.child(name)
                if isinstance(elem, DerivedElem):
                    value[name] = elem.resolve(root)
                else:
                    elem.derive(value[name], root)


def _last_of_each_name(elements: Iterable[ConfigElement]) -> list[ConfigElement]:
    """Return the elements but for those that a later one of their name replaces."""
    # What is not an element, or has no name, is for add_element() to refuse.
    return list({getattr(elem, "name", None) or id(elem): elem for elem in elements}.values())


class KeyedElem(_MappingElem):
    """A section: a mapping with known keys, each with its own element.

    A subclass may list its elements in `ELEMENTS`; the list is read when an instance is made. Of
    two elements there with one name the last counts.

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
        if elements is None:
            # Of one name the last counts: a subclass may add to an inherited list what replaces a
            # part of it.
            elements = _last_of_each_name(self.ELEMENTS)
        for elem in elements:
            self.add_element(elem)

    def add_element(self, elem: ConfigElement) -> None:
        """Add an element; raise ConfigError where it has no name, or its name is taken."""
        _check_element(elem, self)
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

    def _names(self, value: Any) -> list[str]:
        present = set(value.keys())
        return [name for name in self.config_elems if name in present]

    def merge(self, old: Any, new: Any) -> Any:
        """Merge as all mappings do; between two normalized sections defaults come last.

        That is: where `normalize` made both, a key that is in neither, or is None, gets its
        default, and a list that is None is empty. Data that was not normalized stays as sparse as
        it is written, so that more of it can be merged in any order.
        """
        merged = super().merge(old, new)
        if _is_normalized(old) and _is_normalized(new):
            for name, elem in self.config_elems.items():
                if merged.get(name) is not None:
                    continue
                if elem.default is not None:
                    merged.put(name, elem.settle(elem.default), None)
                elif name in merged and isinstance(elem, ListElem):
                    merged.put(name, SourceList(), key_place(merged, name))
        return merged

    def validate(self, value: Any, partial: bool = False) -> Any:
        """Return a `ConfigDict` with a value for every key: given, default or None."""
        if value is None:
            if self.default is None and not partial:
                self._check_required()
            value = self.default
        given = {} if value is None else self._given(value)
        result = self._empty_result(value)
        for name, elem in self.config_elems.items():
            entry = given.get(name)
            with within(name, entry.place if entry else None):
                result[name] = _validate_nested(elem, entry.value if entry else None, partial)
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
    `KEY_PATTERN`, or, as Pavilion's elements do, a `_NAME_RE` that the keys have to start with.

    :param sub_elem: the element of the values; text where it is None.
    :param choices: the allowed keys.
    :param allow_empty_keys: a value may stand without a key; it is at the key None. No file can
        have that: it is for subclasses that make a mapping of something else.
    :param key_case: `KC_LOWER` and `KC_UPPER` change the keys; `KC_MIXED` keeps them.
    :param defaults: a mapping, used where the category is not given at all (also: `default`).
    """

    KEY_PATTERN: ClassVar[Pattern[str]] = re.compile(r"[^\s.]*[^\s.+]")
    KEY_HELP: ClassVar[str] = "text without blanks and dots that does not end in '+'"
    _NAME_RE: ClassVar[Pattern[str] | None] = None

    def __init__(
        self,
        name: str | None = None,
        sub_elem: ConfigElement | None = None,
        choices: Iterable[str] | None = None,
        key_case: str = _MappingElem.KC_MIXED,
        defaults: Mapping[str, Any] | None = None,
        allow_empty_keys: bool = False,
        **kwargs: Any,
    ) -> None:
        if defaults is not None:
            kwargs["default"] = defaults
        super().__init__(name, choices=choices, **kwargs)
        self._set_key_case(key_case)
        self.allow_empty_keys = allow_empty_keys
        self._sub_elem: ConfigElement = StrElem() if sub_elem is None else sub_elem
        _check_element(self._sub_elem, self)

    def child(self, name: str) -> ConfigElement:
        if name is _NO_KEY and self.allow_empty_keys:
            return self._sub_elem
        if self._NAME_RE is None:
            allowed = self.KEY_PATTERN.fullmatch(name) is not None
            expected = self.KEY_HELP
        else:
            allowed = self._NAME_RE.match(name) is not None
            expected = f"text that starts as '{self._NAME_RE.pattern}' says"
        if not allowed:
            raise UnknownKeyError(f"'{name}' cannot be a key here", expected=expected)
        if self.choices is not None and name not in self.choices:
            raise UnknownKeyError(
                f"unknown key '{name}'",
                expected="one of: " + ", ".join(self.choices),
                near=near_matches(name, self.choices),
            )
        return self._sub_elem

    def _allows_no_key(self) -> bool:
        return self.allow_empty_keys

    def _defaulted(self, value: Any, partial: bool) -> Any:
        """Return the mapping with defaults; None is a category that is not given."""
        if value is None:
            if self.default is None and not partial:
                self._check_required()
            return self.default
        return value

    def validate(self, value: Any, partial: bool = False) -> Any:
        """Return a `ConfigDict` with the given keys; empty where there are none."""
        value = self._defaulted(value, partial)
        given = {} if value is None else self._given(value)
        result = self._empty_result(value)
        for name, entry in given.items():
            with within(name or "", entry.place):
                result[name] = _validate_nested(self._sub_elem, entry.value, partial)
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

    def _defaulted(self, value: Any, partial: bool) -> Any:
        if value is None and self.default is None and not partial:
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
