"""The base class of all configuration elements, and the element for keys that are no longer used."""

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
    """Describe a value in plain words, for messages."""
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
    :param default: the value to use when none is given. It is checked when the element is added to
        a section, list, category or loader.
    :param required: if there is neither a value nor a default, raise `RequiredError`.
    :param hidden: leave the element out of dumped examples and of messages.
    :param choices: the allowed values (of a list: items; of a category: keys).
    :param post_validator: `f(siblings, value) -> value`, called by the section, list or category
        that contains the value (`siblings`), after all its values have been checked; also called
        for values that are None. It raises `ValueError` for a bad value. Partial validation skips
        it.
    :param help_text: the purpose of the value; dumped as a comment.
    :raises ConfigError: the name is not allowed.
    """

    #: The Python type of a validated value.
    type: ClassVar[Any] = object
    #: What a user has to write, in plain words with an article.
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
        """The choices, under the name that Pavilion uses for the elements of result parsers."""
        return self.choices

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"

    def _check_name(self, name: str) -> None:
        """Raise ConfigError if the name is not allowed."""
        if not (isinstance(name, str) and _NAME.fullmatch(name)):
            raise ConfigError(
                f"'{name}' cannot be the name of a configuration element",
                expected="lower case letters, digits and '_', starting with a letter",
            )

    def describe(self) -> str:
        """Describe in plain words what a user has to write."""
        return self.type_name

    def normalize(self, value: Any) -> Any:
        """Return the value converted to this element's type; None stays None.

        Defaults are not filled in, and choices, ranges and required values are not checked.

        :raises ConfigError: the value is not of this type.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define normalize()")

    def validate(self, value: Any, partial: bool = False) -> Any:
        """Return the normalized and checked value, or the default if it is None.

        :param partial: the data is only a part of a configuration: no values are required, no values
            are computed, and no post validators are run. Defaults are still filled in.
        :raises ConfigError: the value is not allowed.
        :raises RequiredError: the value is missing.
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
        """Raise RequiredError if this element, which has no value, must have one."""
        if self.required:
            raise RequiredError("a value is required, but none is set", expected=self.describe())

    def _check_value(self, value: Any) -> None:
        """Raise ConfigError if a normalized value is not allowed."""
        if self.choices is not None and value not in self.choices:
            words = [str(choice) for choice in self.choices]
            raise ConfigError(
                f"'{value}' is not allowed here",
                expected="one of: " + ", ".join(words),
                near=near_matches(str(value), words),
            )

    def merge(self, old: Any, new: Any) -> Any:
        """Return `old` updated by `new`: single values and lists replace it, None keeps it."""
        return self.settle(old if new is None else new)

    def settle(self, value: Any) -> Any:
        """Return a copy that shares no data with `value`, with all '+' keys applied."""
        return copy.deepcopy(value)

    def find(self, dotted: str) -> ConfigElement:
        """Return the element at a dotted key; '' means this element.

        Any key of a category, and any index of a list, returns its `sub_elem`; so does '*'.

        :raises UnknownKeyError: there is no such element.
        """
        if not dotted:
            return self
        raise UnknownKeyError(f"there is no key '{dotted}' below {self.describe()}")

    def check_definition(self) -> None:
        """Raise ConfigError if the element's own default is not allowed."""
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
        """Fill in the derived keys inside a validated value; single values have none."""


class DiscontinuedElem(ConfigElement):
    """A key that is no longer used. A value for it is an error; the help text says what to use
    instead."""

    type_name = "nothing (the key is no longer used)"

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
        message = "the key is no longer used"
        if self.help_text:
            message += f": {self.help_text.strip()}"
        raise DiscontinuedError(message)
