"""The elements that contain others: lists, sections with known keys, categories with any keys.

Also the elements whose values have any shape (`AnyElem`) or are computed (`DerivedElem`).
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

# Classes of mappings that contain nothing but their keys.
_PLAIN_DICTS = (ConfigDict, OrderedDict, dict)

# The key that stands for "no key" in a category that allows it.
_NO_KEY: Any = None


def _validate_nested(elem: ConfigElement, value: Any, partial: bool) -> Any:
    """Validate a value as part of a larger one, which computes the derived values."""
    token = _is_nested.set(True)
    try:
        return elem.validate(value, partial)
    finally:
        _is_nested.reset(token)


def _is_outermost() -> bool:
    """Whether the current validation is not part of a larger one."""
    return not _is_nested.get()


def _run_post_validator(elem: ConfigElement, siblings: Any, value: Any) -> Any:
    """Return the result of the element's post validator for a value, or the value without one."""
    if elem.post_validator is None:
        return value
    # The function may itself use elements to validate other values.
    token = _is_nested.set(False)
    try:
        return elem.post_validator(siblings, value)
    finally:
        _is_nested.reset(token)


def _check_element(elem: object, owner: ConfigElement) -> None:
    """Raise ConfigError if an element cannot be added to `owner`."""
    if not isinstance(elem, ConfigElement):
        raise ConfigError(f"{owner!r}: {elem!r} is not a configuration element")
    elem.check_definition()


def _blank_missing(value: Any) -> str:
    """A hint for 'key:value' and 'key=value', which are text to YAML."""
    match = re.match(r"([A-Za-z_][\w.-]*)[:=](\S.*)", value) if isinstance(value, str) else None
    return f"; write '{match[1]}: {match[2]}', with a space after the ':'" if match else ""


class DerivedElem(ConfigElement):
    """A value that users cannot set; it is computed after all other values have been checked.

    `normalize`, which loaders apply to files, does not accept a value. `validate` ignores a value
    and computes it again, so a validated configuration can be validated again.

    :param resolver: `f(config) -> value`. `config` is the whole validated configuration, not just
        the section of this key; inside a loader it is what that loader validates. The function
        raises `ValueError` when there is no valid value. None: the value is None.
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
        """Return None for None.

        :raises ConfigError: For anything else.
        """
        if value is not None:
            raise ConfigError("the value is computed and cannot be set")
        return None

    def validate(self, value: Any, partial: bool = False) -> Any:
        """Return None: the value is computed when all others are known."""
        return None

    def settle(self, value: Any) -> Any:
        """Return None, as in validate()."""
        return None

    def resolve(self, root: Any) -> Any:
        """Return the value for a validated configuration."""
        return None if self.resolver is None else self.resolver(root)


class AnyElem(ConfigElement):
    """A value of any shape. Values other than lists, mappings and None become strings, as they were
    typed."""

    type = str  # of its leaves
    type_name = "anything"

    def normalize(self, value: Any) -> Any:
        """As in :class:`ConfigElement`; mappings are taken with all that is in them."""
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
        """As in :class:`ConfigElement`; the result has plain values only."""
        return plain(super().validate(value, partial))

    def settle(self, value: Any) -> Any:
        """As in :class:`ConfigElement`."""
        return copy_tree(value)

    def find(self, dotted: str) -> ConfigElement:
        """Return this element: it stands for all that is in it."""
        return self


class ListElem(ConfigElement):
    """A list whose items all have the same element. A single value is a list of one item.

    :param sub_elem: the element of the items. Default: a StrElem.
    :param min_length: the minimum number of items, if a list is given.
    :param max_length: the maximum number of items; None means no limit.
    :param defaults: the list to use when none is given (also: `default`).
    :raises ConfigError: min_length is above max_length, or sub_elem cannot be used.
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
        """As in :class:`ConfigElement`: with the limits of the length."""
        if self.min_length and self.max_length is not None:
            return f"a list of {self.min_length} to {self.max_length} items"
        if self.min_length:
            return f"a list of at least {self.min_length} items"
        if self.max_length is not None:
            return f"a list of at most {self.max_length} items"
        return self.type_name

    def as_list(self, value: Any) -> list[Any]:
        """Return the value as a list: a single value becomes a list of one item.

        None becomes an empty list, and so does a list with a single None: a lone '-' in a file has
        no value.
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
                # A list that is null stays None; other elements may convert None.
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
        """As in :class:`ConfigElement`, item by item."""
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
        """Return the items of `old` followed by those of `new`. None has no items."""
        result = SourceList()
        for value in (old, new):
            items = self.settle(value) or SourceList()
            for index, item in enumerate(items):
                result.add(item, item_place(items, index))
        return result

    def derive(self, value: Any, root: Any) -> None:
        """As in :class:`ConfigElement`, item by item."""
        if isinstance(value, list):
            for index, item in enumerate(value):
                with within(index):
                    self._sub_elem.derive(item, root)

    def find(self, dotted: str) -> ConfigElement:
        """As in :class:`ConfigElement`; the next part of the key is an index or '*'."""
        if not dotted:
            return self
        index, _, rest = dotted.partition(".")
        if index != "*" and not index.isdigit():
            raise UnknownKeyError(f"'{index}' is not a list index", expected="a number or '*'")
        with within(index):
            return self._sub_elem.find(rest)


class _Entry(NamedTuple):
    """One key of a mapping, as it was given."""

    name: str  # the key without '+', converted to the element's key_case; or _NO_KEY
    extends: bool  # the key ended in '+'
    value: Any
    place: Place | None


def _is_normalized(value: object) -> bool:
    """Whether a mapping was returned by `normalize` of its element."""
    return isinstance(value, SourceDict) and value.is_normalized


class _MappingElem(ConfigElement):
    """What sections and categories have in common: the case of keys, '+' keys, merging.

    A subclass may set `type` to another class, of which validated values are then instances. It is
    instantiated without arguments, and needs item access and `items`, but does not have to be a dict.
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
        """Return the element for a key.

        :raises UnknownKeyError: the key is not allowed; with near matches.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define child()")

    def _is_foreign(self, value: Any) -> bool:
        """Whether a value's class may contain more than its keys."""
        return self.type not in _PLAIN_DICTS and isinstance(value, self.type)

    def _empty_result(self, value: Any) -> Any:
        """Return an object without keys for the validated form of a value."""
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
        """Whether a value without a key, under None, is allowed."""
        return False

    def _entries(self, value: Any) -> list[_Entry]:
        """Check a mapping's keys; return its entries in their order."""
        if not isinstance(value, Mapping) and self._is_foreign(value):
            # Its attributes that are not keys do not matter here.
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
                    f"the key '{key}' is given twice, in upper and lower case",
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

        None stays None, both as the whole value and for single keys. Whether a key may end in '+' is
        checked when this takes effect: when the mapping is merged or validated.

        :raises ConfigError: the value is not a mapping, or a key or a value in it is not allowed.
        """
        if value is None:
            return None
        result: Any = SourceDict()
        if self.type not in _PLAIN_DICTS and issubclass(self.type, dict):
            # Subclasses that merge values rely on their class, and do not need the places.
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
        """Return a copy in which each '+' key has extended its plain key, or replaced it if there is
        none."""
        if value is None:
            return None
        # Not merge(): a subclass's version may require something to merge into.
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

        Sections and categories are merged by key; single values and lists are replaced; `key+`
        extends the list at `key`. None, for a key or as `new`, means that no value is given.

        :raises UnknownKeyError: a key is not allowed, or a key with '+' is not a list.
        """
        return self.settle(old) if new is None else self._combine(old, new)

    def _combine(self, old: Any, new: Any) -> Any:
        """Merge `new`, which is not None, into a copy of `old`."""
        result: Any = SourceDict() if old is None else self.settle(old)
        if not isinstance(result, SourceDict):
            result = SourceDict((name, result[name]) for name in self._names(result))
        result.is_normalized = False
        # A '+' key also extends the plain key of the same mapping, whichever comes first.
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
                place = key_place(result, entry.name) or place  # the old part is kept
            result.put(entry.name, merged, place)
        return result

    def _given(self, value: Any) -> dict[str, _Entry]:
        """Return the entries by name, with '+' keys joined to their plain keys."""
        entries = self._entries(value)
        if any(entry.extends for entry in entries):
            entries = self._entries(self._combine(None, value))
        return {entry.name: entry for entry in entries}

    def _finish(self, result: Any, given: Mapping[str, _Entry], partial: bool) -> Any:
        """Run the post validators, then compute derived values if this is the outermost element."""
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
    """Return the elements, except for those that are replaced by a later one of the same name."""
    # add_element() reports items that are not elements, or have no name.
    return list({getattr(elem, "name", None) or id(elem): elem for elem in elements}.values())


class KeyedElem(_MappingElem):
    """A section: a mapping with known keys, each with its own element.

    A subclass may list its elements in `ELEMENTS`; the list is read when an instance is created. If
    two elements in it have the same name, the last one is used.

    :param elements: the elements, instead of those in `ELEMENTS`.
    :param key_case: `KC_LOWER` accepts keys in upper and lower case; `KC_MIXED` keeps them as they
        are.
    :param default: the mapping to use when the section is not given at all.
    :ivar config_elems: name -> element; elements may be added and removed later.
    :raises ConfigError: an element has no name, two have the same name, or a default is not allowed.
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
            raise ConfigError(
                f"{self!r}: the keys of a section must be in lower case, not upper case"
            )
        self.config_elems: dict[str, ConfigElement] = {}
        if elements is None:
            # The last element with a name is used: a subclass may add elements to an inherited list
            # that replace others.
            elements = _last_of_each_name(self.ELEMENTS)
        for elem in elements:
            self.add_element(elem)

    def add_element(self, elem: ConfigElement) -> None:
        """Add an element.

        :raises ConfigError: it has no name, its name is taken, or its default is not allowed.
        """
        _check_element(elem, self)
        if elem.name is None:
            raise ConfigError(f"{self!r}: {elem!r} needs a name")
        if elem.name in self.config_elems:
            raise ConfigError(f"{self!r} has two elements with the name '{elem.name}'")
        self.config_elems[elem.name] = elem

    def child(self, name: str) -> ConfigElement:
        """Return the element of a key.

        :raises UnknownKeyError: With the keys that there are.
        """
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
        """Merge as for all mappings; between two normalized sections, defaults are filled in last.

        This means: if `normalize` returned both, a key that is in neither, or is None, gets its
        default, and a list that is None becomes empty. Data that was not normalized gets no
        defaults, so that further data can be merged in any order.
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
        """Return a `ConfigDict` with a value for every key: the given one, the default or None."""
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
        """As in :class:`ConfigElement`."""
        if not dotted:
            return self
        name, _, rest = dotted.partition(".")
        with within(name):
            return self.child(name).find(rest)


class CategoryElem(_MappingElem):
    """A mapping that may have any keys, and whose values all have the same element.

    A key is a string without blanks and dots that does not end in '+'. A subclass may set another
    `KEY_PATTERN` or, as Pavilion's elements do, a `_NAME_RE` that must match the start of the keys.

    :param sub_elem: the element of the values. Default: a StrElem.
    :param choices: the allowed keys. Default: any.
    :param allow_empty_keys: allow a value without a key, under None. This is not possible in a file;
        it is for subclasses that convert something else to a mapping.
    :param key_case: `KC_LOWER` and `KC_UPPER` convert the keys; `KC_MIXED` keeps them.
    :param defaults: the mapping to use when the category is not given at all (also: `default`).
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
        """Return the element of a key, which is the same for all keys that are allowed.

        :raises UnknownKeyError: With what is allowed.
        """
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
        """Return the mapping with defaults; None means that the category is not given."""
        if value is None:
            if self.default is None and not partial:
                self._check_required()
            return self.default
        return value

    def validate(self, value: Any, partial: bool = False) -> Any:
        """Return a `ConfigDict` with the given keys; an empty one if there are none."""
        value = self._defaulted(value, partial)
        given = {} if value is None else self._given(value)
        result = self._empty_result(value)
        for name, entry in given.items():
            with within(name or "", entry.place):
                result[name] = _validate_nested(self._sub_elem, entry.value, partial)
        return self._finish(result, given, partial)

    def find(self, dotted: str) -> ConfigElement:
        """As in :class:`ConfigElement`; '*' stands for any key."""
        if not dotted:
            return self
        name, _, rest = dotted.partition(".")
        with within(name):
            elem = self._sub_elem if name == "*" else self.child(name)
            return elem.find(rest)


class DefaultedCategoryElem(CategoryElem):
    """A category that always contains its default keys; other keys are allowed, too."""

    def _defaulted(self, value: Any, partial: bool) -> Any:
        if value is None and self.default is None and not partial:
            self._check_required()
        # A key whose value is None counts as not given.
        given = SourceDict()
        for name, entry in self._given(value or {}).items():
            if entry.value is not None or name not in (self.default or {}):
                given.put(name, entry.value, entry.place)
        merged = SourceDict(self.settle(self.default or {}))
        for name, sub in given.items():
            merged.put(name, sub, key_place(given, name))
        return merged
