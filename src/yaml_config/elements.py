"""The base of all configuration elements, and the element for keys that are gone."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable
from typing import Any, Callable, ClassVar

from yaml_config.errors import (
    ConfigError,
    DiscontinuedError,
    RequiredError,
    UnknownKeyError,
    near_matches,
)

PostValidator = Callable[[Any, Any], Any]

_NAME = re.compile(r"[a-z][a-z0-9_]*")


def kind_of(value: object) -> str:
    """Say in plain words what a value is, for messages."""
    if value is None:
        return "nothing"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, (list, tuple)):
        return "a list"
    text = str(getattr(value, "source", value))
    return repr(text if len(text) <= 60 else text[:57] + "...")


class ConfigElement:
    """One value of a configuration: its name, its type, and what is allowed.

    :param name: the key: lower case letters, digits and '_', starting with a letter. None for
        the `sub_elem` of a list or category.
    :param default: the value where none is given. It is checked when the element is put into a
        section, list, category or loader.
    :param required: no value and no default is a `RequiredError`.
    :param hidden: leave the element out of dumped examples and of messages.
    :param choices: the allowed values (of a list: items; of a category: keys).
    :param post_validator: `f(siblings, value) -> value`, called by the section, list or category
        that holds the value (`siblings`), after all its values were checked; also called for
        values that are None. It raises `ValueError` for a bad value. Partial validation skips it.
    :param help_text: what the value is for; dumped as a comment.
    :raises ConfigError: the name is not allowed.
    """

    #: The Python type of a validated value.
    type: ClassVar[Any] = object
    #: What a user has to write, in plain words.
    type_name: ClassVar[str] = "a value"

    def __init__(
        self,
        name: str | None = None,
        *,
        default: Any = None,
        required: bool = False,
        hidden: bool = False,
        choices: Iterable[Any] | None = None,
        post_validator: PostValidator | None = None,
        help_text: str | None = "",
    ) -> None:
        if name is not None:
            self._check_name(name)
        self.name = name
        self.default = default
        self.required = required
        self.hidden = hidden
        self.choices: list[Any] | None = None if choices is None else list(choices)
        self.post_validator = post_validator
        self.help_text = help_text or ""

    @property
    def _choices(self) -> list[Any] | None:
        """The choices, under the name that Pavilion reads of the elements of result parsers."""
        return self.choices

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"

    def _check_name(self, name: str) -> None:
        """Raise ConfigError for a name that is not allowed."""
        if not (isinstance(name, str) and _NAME.fullmatch(name)):
            raise ConfigError(
                f"'{name}' cannot be the name of a configuration element",
                expected="lower case letters, digits and '_', starting with a letter",
            )

    def describe(self) -> str:
        """Say in plain words what a user has to write."""
        return self.type_name

    def normalize(self, value: Any) -> Any:
        """Return the value in this element's type; None stays None.

        Defaults are not filled in, and choices, ranges and required values are not checked.

        :raises ConfigError: the value is not of this type.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define normalize()")

    def validate(self, value: Any, partial: bool = False) -> Any:
        """Return the normalized and checked value, or the default where it is None.

        :param partial: the data is a part of a configuration: require nothing, compute nothing,
            and run no post validators. Defaults are filled in all the same.
        :raises ConfigError: the value is not allowed. `RequiredError`: it is missing.
        """
        value = self.normalize(value)
        if value is None:
            value = self.normalize(self.default)
        if value is None:
            if not partial:
                self._check_required()
            return None
        self._check_value(value)
        return value

    def _check_required(self) -> None:
        """Raise RequiredError where an element that has no value must have one."""
        if self.required:
            raise RequiredError("a value is required, and none is set", expected=self.describe())

    def _check_value(self, value: Any) -> None:
        """Raise ConfigError for a normalized value that is not allowed."""
        if self.choices is not None and value not in self.choices:
            words = [str(choice) for choice in self.choices]
            raise ConfigError(
                f"'{value}' is not allowed here",
                expected="one of: " + ", ".join(words),
                near=near_matches(str(value), words),
            )

    def merge(self, old: Any, new: Any) -> Any:
        """Return what `new` makes of `old`: single values and lists replace it, None keeps it."""
        return self.settle(old if new is None else new)

    def settle(self, value: Any) -> Any:
        """Return a copy that shares no data with `value`, and has no '+' keys left."""
        return copy.deepcopy(value)

    def find(self, dotted: str) -> ConfigElement:
        """Return the element at a dotted key; '' is this element.

        Categories take any key, and lists any index, for their `sub_elem`; '*' does for both.

        :raises UnknownKeyError: there is no such element.
        """
        if not dotted:
            return self
        raise UnknownKeyError(f"there is no key '{dotted}' below {self.describe()}")

    def check_definition(self) -> None:
        """Raise ConfigError where the element's own default is not allowed."""
        if self.default is None:
            return
        try:
            self.validate(self.default, partial=True)
        except ValueError as error:
            reason = error.message if isinstance(error, ConfigError) else str(error)
            raise ConfigError(
                f"the default of {self!r} is not allowed: {reason}", expected=self.describe()
            ) from error

    def derive(self, value: Any, root: Any) -> None:
        """Fill in the derived keys inside of a validated value; single values have none."""


class DiscontinuedElem(ConfigElement):
    """A key that is gone. A value for it is refused; the help text says what to use instead."""

    type_name = "nothing (the key is gone)"

    def __init__(
        self, name: str | None = None, *, hidden: bool = True, help_text: str | None = ""
    ) -> None:
        super().__init__(name, hidden=hidden, help_text=help_text)

    def normalize(self, value: Any) -> Any:
        """Return None for None.

        :raises DiscontinuedError: there is a value.
        """
        if value is None:
            return None
        message = "the key is not used any more"
        if self.help_text:
            message += f": {self.help_text.strip()}"
        raise DiscontinuedError(message)
