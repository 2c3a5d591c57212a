"""The base of all configuration elements, and the elements that hold a single value."""

from __future__ import annotations

import copy
import math
import re
from collections.abc import Iterable
from pathlib import Path
from re import Pattern
from typing import Any, Callable, ClassVar

from yaml_config.errors import ConfigError, RequiredError, UnknownKeyError, near_matches
from yaml_config.source import SourceBool, SourceFloat, SourceInt
from yaml_config.yaml_source import parse_float, parse_int

PostValidator = Callable[[Any, Any], Any]
Resolver = Callable[[Any], Any]

_NAME = re.compile(r"[a-z][a-z0-9_]*")
_UNDERSCORED = re.compile(r"[-+]?[0-9]+(_[0-9]+)+")
_TRUE_WORDS = frozenset(("true", "yes", "on"))
_FALSE_WORDS = frozenset(("false", "no", "off"))


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
        if name is not None and not (isinstance(name, str) and _NAME.fullmatch(name)):
            raise ConfigError(
                f"'{name}' cannot be the name of a configuration element",
                expected="lower case letters, digits and '_', starting with a letter",
            )
        self.name = name
        self.default = default
        self.required = required
        self.hidden = hidden
        self.choices: list[Any] | None = None if choices is None else list(choices)
        self.post_validator = post_validator
        self.help_text = help_text or ""

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"

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

        :param partial: the data is a part of a configuration: fill in no defaults, require
            nothing, compute nothing, and run no post validators.
        :raises ConfigError: the value is not allowed. `RequiredError`: it is missing.
        """
        value = self.normalize(value)
        if value is None and not partial:
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
        """Return what `new` makes of `old`: single values and lists replace."""
        return self.settle(new)

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


class ScalarElem(ConfigElement):
    """An element with one value that is neither list nor mapping."""

    def normalize(self, value: Any) -> Any:
        if value is None:
            return None
        if isinstance(value, (dict, list, tuple)):
            message = f"{kind_of(value)} where {self.type_name} belongs"
            if self.type is str:
                message += " (text that starts with '{' or '[', or holds ': ', must be in quotes)"
            raise ConfigError(message, expected=self.describe())
        return self._convert(value)

    def _convert(self, value: Any) -> Any:
        """Return a value that is not None in this element's type, or raise ConfigError."""
        raise NotImplementedError(f"{type(self).__name__} does not define _convert()")

    def _bad(self, value: Any) -> ConfigError:
        return ConfigError(f"{kind_of(value)} is not {self.type_name}", expected=self.describe())


class StrElem(ScalarElem):
    """Text, just as it was typed: `007`, `1:30` and `true` in a file stay that."""

    type = str
    type_name = "text"

    def _convert(self, value: Any) -> str:
        if isinstance(value, bytes):
            raise self._bad(value)
        return str(getattr(value, "source", value))


class IntElem(ScalarElem):
    """A whole number: `12`, `-3`, `1_000`, `0x1f`, `0o17`. Leading zeros mean nothing."""

    type = int
    type_name = "a whole number"

    def _convert(self, value: Any) -> int:
        if isinstance(value, int) and not isinstance(value, (bool, SourceBool)):
            return int(value)
        if isinstance(value, str):
            text = value.strip()
            if _UNDERSCORED.fullmatch(text):
                text = text.replace("_", "")
            number = parse_int(text)
            if number is not None:
                return number
        raise self._bad(value)


class FloatElem(ScalarElem):
    """A number: `1`, `2.5`, `1e-3`, `.inf`, `.nan`."""

    type = float
    type_name = "a number"

    def _convert(self, value: Any) -> float:
        if isinstance(value, (bool, SourceBool)):
            raise self._bad(value)
        try:
            if isinstance(value, (int, float)):
                return float(value)
            if isinstance(value, str):
                number = parse_float(value.strip())
                if number is not None:
                    return number
        except OverflowError as error:
            raise self._bad(value) from error
        raise self._bad(value)


class BoolElem(ScalarElem):
    """True or false; `yes`, `no`, `on` and `off` too, in any case of letters."""

    type = bool
    type_name = "true or false"

    def _convert(self, value: Any) -> bool:
        if isinstance(value, (bool, SourceBool)):
            return bool(value)
        if isinstance(value, str):
            word = value.strip().lower()
            if word in _TRUE_WORDS or word in _FALSE_WORDS:
                return word in _TRUE_WORDS
        raise self._bad(value)


class PathElem(ScalarElem):
    """A file system path, as `pathlib.Path`. Nothing in it is expanded or looked up."""

    type = Path
    type_name = "a path"

    def _convert(self, value: Any) -> Path:
        if isinstance(value, Path):
            return value
        if isinstance(value, (str, SourceInt, SourceFloat, SourceBool)):
            text = str(getattr(value, "source", value))
            if text and "\0" not in text:
                return Path(text)
        raise self._bad(value)


class RegexElem(StrElem):
    """Text that a regular expression matches as a whole.

    :param regex: the expression, as text or compiled.
    :raises ConfigError: the expression is not valid.
    """

    def __init__(self, name: str | None = None, regex: str | Pattern[str] = "", **kwargs: Any):
        super().__init__(name, **kwargs)
        try:
            self.regex: Pattern[str] = re.compile(regex)
        except re.error as error:
            raise ConfigError(f"{self!r}: bad regular expression '{regex!r}': {error}") from error

    def describe(self) -> str:
        return f"text that matches '{self.regex.pattern}'"

    def _check_value(self, value: Any) -> None:
        super()._check_value(value)
        if not self.regex.fullmatch(value):
            raise ConfigError(f"{kind_of(value)} is not allowed here", expected=self.describe())


def _check_limits(elem: ConfigElement, vmin: float | None, vmax: float | None) -> None:
    if vmin is not None and vmax is not None and vmin > vmax:
        raise ConfigError(f"{elem!r}: the smallest value {vmin} is above the largest {vmax}")


def _describe_range(type_name: str, vmin: float | None, vmax: float | None) -> str:
    if vmin is not None and vmax is not None:
        return f"{type_name} from {vmin} to {vmax}"
    if vmin is not None:
        return f"{type_name} of at least {vmin}"
    if vmax is not None:
        return f"{type_name} of at most {vmax}"
    return type_name


def _check_range(elem: ConfigElement, value: float, vmin: float | None, vmax: float | None) -> None:
    outside = (vmin is not None and value < vmin) or (vmax is not None and value > vmax)
    # No comparison is true for 'not a number'.
    limited = vmin is not None or vmax is not None
    if outside or (limited and isinstance(value, float) and math.isnan(value)):
        raise ConfigError(f"{value} is out of range", expected=elem.describe())


class IntRangeElem(IntElem):
    """A whole number from `vmin` to `vmax`, both included; None is no limit."""

    def __init__(
        self,
        name: str | None = None,
        vmin: int | None = None,
        vmax: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(name, **kwargs)
        self.vmin, self.vmax = vmin, vmax
        _check_limits(self, vmin, vmax)

    def describe(self) -> str:
        return _describe_range(self.type_name, self.vmin, self.vmax)

    def _check_value(self, value: Any) -> None:
        super()._check_value(value)
        _check_range(self, value, self.vmin, self.vmax)


class FloatRangeElem(FloatElem):
    """A number from `vmin` to `vmax`, both included; None is no limit."""

    def __init__(
        self,
        name: str | None = None,
        vmin: float | None = None,
        vmax: float | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(name, **kwargs)
        self.vmin, self.vmax = vmin, vmax
        _check_limits(self, vmin, vmax)

    def describe(self) -> str:
        return _describe_range(self.type_name, self.vmin, self.vmax)

    def _check_value(self, value: Any) -> None:
        super()._check_value(value)
        _check_range(self, value, self.vmin, self.vmax)


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
