"""The list element, and what all elements that hold others have in common."""

from __future__ import annotations

from collections.abc import Sequence
from contextvars import ContextVar
from typing import Any

from yaml_config.elements import ConfigElement, StrElem
from yaml_config.errors import ConfigError, UnknownKeyError, within
from yaml_config.source import SourceList, item_place

# Derived values are computed once, by the outermost element that is validated.
_is_nested: ContextVar[bool] = ContextVar("yaml_config_is_nested", default=False)


def validate_nested(elem: ConfigElement, value: Any, partial: bool) -> Any:
    """Validate a value as a part of a larger one, which computes the derived values."""
    token = _is_nested.set(True)
    try:
        return elem.validate(value, partial)
    finally:
        _is_nested.reset(token)


def is_outermost() -> bool:
    """Tell whether the running validation is not a part of a larger one."""
    return not _is_nested.get()


def run_post_validator(elem: ConfigElement, siblings: Any, value: Any) -> Any:
    """Return what the element's post validator, if there is one, makes of the value."""
    if elem.post_validator is None:
        return value
    # The function may validate other things with elements of its own.
    token = _is_nested.set(False)
    try:
        return elem.post_validator(siblings, value)
    finally:
        _is_nested.reset(token)


def check_element(elem: object, owner: ConfigElement) -> None:
    """Raise ConfigError where an element cannot be put into `owner`."""
    if not isinstance(elem, ConfigElement):
        raise ConfigError(f"{owner!r}: {elem!r} is not a configuration element")
    elem.check_definition()


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
        check_element(self._sub_elem, self)

    def describe(self) -> str:
        if self.min_length and self.max_length is not None:
            return f"a list of {self.min_length} to {self.max_length} items"
        if self.min_length:
            return f"a list of at least {self.min_length} items"
        if self.max_length is not None:
            return f"a list of at most {self.max_length} items"
        return self.type_name

    def as_list(self, value: Any) -> list[Any]:
        """Return the value as a list: None is empty, and a single value is a list of one."""
        if value is None:
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
                result.add(None if item is None else self._sub_elem.normalize(item), place)
        return result

    def validate(self, value: Any, partial: bool = False) -> Any:
        """Return the list of validated items, the default, or an empty list."""
        if value is None and not partial:
            if self.default is None:
                self._check_required()
            value = self.default
        items = self.as_list(value)
        if value is not None:
            self._check_length(items)
        result: list[Any] = []
        for index, item in enumerate(items):
            with within(index, item_place(items, index)):
                checked = validate_nested(self._sub_elem, item, partial)
                self._check_value(checked)
                result.append(checked)
        if not partial:
            for index, item in enumerate(result):
                with within(index, item_place(items, index)):
                    result[index] = run_post_validator(self._sub_elem, result, item)
            if is_outermost():
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
            raise UnknownKeyError(f"'{index}' is no index of a list", expected="a number or '*'")
        with within(index):
            return self._sub_elem.find(rest)
