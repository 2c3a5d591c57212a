"""The elements with a single value: strings, numbers, paths, and their restrictions."""

from __future__ import annotations

import math
import re
from pathlib import Path
from re import Pattern
from typing import Any

from yaml_config.elements import ConfigElement, kind_of
from yaml_config.errors import ConfigError
from yaml_config.source import SourceBool, SourceFloat, SourceInt
from yaml_config.yaml_source import parse_float, parse_int

_UNDERSCORED = re.compile(r"[-+]?[0-9]+(_[0-9]+)+")
_TRUE_WORDS = frozenset(("true", "yes", "on"))
_FALSE_WORDS = frozenset(("false", "no", "off"))


class ScalarElem(ConfigElement):
    """An element with a single value, which is neither a list nor a mapping."""

    def normalize(self, value: Any) -> Any:
        """Return the value converted to this element's type; None stays None.

        :raises ConfigError: the value is not of this type.
        """
        if value is None:
            return None
        if isinstance(value, (dict, list, tuple)):
            message = f"{kind_of(value)} where {self.type_name} belongs"
            if self.type is str:
                message += (
                    " (text that starts with '{' or '[', or contains ': ', must be in quotes)"
                )
            raise ConfigError(message, expected=self.describe())
        return self._convert(value)

    def _convert(self, value: Any) -> Any:
        """Convert a value, which is not None, to this element's type, or raise ConfigError."""
        raise NotImplementedError(f"{type(self).__name__} does not define _convert()")

    def _bad(self, value: Any) -> ConfigError:
        return ConfigError(f"{kind_of(value)} is not {self.type_name}", expected=self.describe())


class StrElem(ScalarElem):
    """A string, exactly as it was typed: `007`, `1:30` and `true` are not converted."""

    type = str
    type_name = "text"

    def _convert(self, value: Any) -> str:
        if isinstance(value, bytes):
            raise self._bad(value)
        return str(getattr(value, "source", value))


class IntElem(ScalarElem):
    """A whole number: `12`, `-3`, `1_000`, `0x1f`, `0o17`. Leading zeros are ignored."""

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
    """True or false; also `yes`, `no`, `on` and `off`, in upper or lower case."""

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
    """A file system path, as a `pathlib.Path`. It is neither expanded nor checked."""

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
    """A string whose beginning matches a regular expression.

    :param regex: the expression, as a string or compiled; end it with '$' to match the whole
        string.
    :raises ConfigError: the expression is not valid.
    """

    def __init__(self, name: str | None = None, regex: str | Pattern[str] = "", **kwargs: Any):
        super().__init__(name, **kwargs)
        try:
            self.regex: Pattern[str] = re.compile(regex)
        except re.error as error:
            raise ConfigError(f"{self!r}: bad regular expression '{regex!r}': {error}") from error

    def describe(self) -> str:
        """As in :class:`ConfigElement`: with the pattern."""
        return f"text that matches '{self.regex.pattern}'"

    def _check_value(self, value: Any) -> None:
        super()._check_value(value)
        if not self.regex.match(value):
            raise ConfigError(f"{kind_of(value)} is not allowed here", expected=self.describe())


class RangeElem(ScalarElem):
    """A number from `vmin` to `vmax`, inclusive; None means no limit. See its subclasses.

    :raises ConfigError: `vmin` is above `vmax`.
    """

    def __init__(
        self,
        name: str | None = None,
        vmin: float | None = None,
        vmax: float | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(name, **kwargs)
        self.vmin, self.vmax = vmin, vmax
        if vmin is not None and vmax is not None and vmin > vmax:
            raise ConfigError(f"{self!r}: the minimum {vmin} is above the maximum {vmax}")

    def describe(self) -> str:
        """As in :class:`ConfigElement`: with the limits."""
        if self.vmin is not None and self.vmax is not None:
            return f"{self.type_name} from {self.vmin} to {self.vmax}"
        if self.vmin is not None:
            return f"{self.type_name} of at least {self.vmin}"
        if self.vmax is not None:
            return f"{self.type_name} of at most {self.vmax}"
        return self.type_name

    def _check_value(self, value: Any) -> None:
        super()._check_value(value)
        vmin, vmax = self.vmin, self.vmax
        outside = (vmin is not None and value < vmin) or (vmax is not None and value > vmax)
        # All comparisons with 'not a number' are false.
        limited = vmin is not None or vmax is not None
        if outside or (limited and isinstance(value, float) and math.isnan(value)):
            raise ConfigError(f"{value} is out of range", expected=self.describe())


class IntRangeElem(RangeElem, IntElem):
    """A whole number from `vmin` to `vmax`, inclusive; None means no limit."""


class FloatRangeElem(RangeElem, FloatElem):
    """A number from `vmin` to `vmax`, inclusive; None means no limit."""
