"""The errors of this package, and the place that each one names.

Every error is a `ValueError`. The text reads `file:line: dotted.key: what is wrong; expected ...;
did you mean ...?`; parts that are not known are left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import NamedTuple, Union

PathPart = Union[str, int]


class Place(NamedTuple):
    """Where a value was written."""

    file: str | None  # None for text that has no file name
    line: int  # counts from 1; of a key's value, the line of the key
    value_line: int | None = None  # of a key's value, where that starts in another line

    @property
    def of_value(self) -> Place:
        """Where a key's value was written: after an alias, where its anchor stands."""
        return self if self.value_line is None else Place(self.file, self.value_line)


def dotted_key(path: Iterable[PathPart]) -> str:
    """Return a key path as text: `('a', 'b', 2)` is `a.b[2]`."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        elif part:  # the value without a key of a category has the category's own path
            text += f".{part}" if text else part
    return text


def near_matches(word: str, allowed: Iterable[str]) -> list[str]:
    """Return up to three of the allowed words that are spelled like `word`, nearest first."""
    by_lower: dict[str, str] = {}
    for candidate in allowed:
        by_lower.setdefault(candidate.lower(), candidate)
    import difflib

    found = difflib.get_close_matches(word.lower(), list(by_lower), n=3, cutoff=0.6)
    return [by_lower[name] for name in found]


class ConfigError(ValueError):
    """Something in a configuration, or in its definition, is wrong.

    :ivar message: what is wrong, without its place.
    :ivar expected: what would be right, or None.
    :ivar near: near matches of a misspelled word.
    :ivar path: the keys and list indices that lead to the value, outermost first.
    :ivar file: the file's name, or None.
    :ivar line: the line in that file, from 1, or None.
    """

    def __init__(
        self,
        message: str,
        *,
        expected: str | None = None,
        near: Sequence[str] = (),
        path: Sequence[PathPart] = (),
        place: Place | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.expected = expected
        self.near = list(near)
        self.path: tuple[PathPart, ...] = tuple(path)
        self.file = place.file if place else None
        self.line = place.line if place else None
        self._tell_all()

    @property
    def key(self) -> str:
        """The key as dotted text; empty for the top level."""
        return dotted_key(self.path)

    def enclose(self, part: PathPart, place: Place | None = None) -> None:
        """Put a key or index in front of the path; the innermost known place stays."""
        self.path = (part, *self.path)
        if self.line is None and place is not None:
            self.file, self.line = place.file, place.line
        self._tell_all()

    def name_file(self, file: str | None) -> None:
        """Set the file's name where the error knows no place of its own."""
        if self.file is None and self.line is None:
            self.file = file
            self._tell_all()

    def _tell_all(self) -> None:
        """Put the whole text into `args` too: Pavilion shows `args[0]`."""
        self.args = (str(self),)

    def _where(self) -> str:
        if self.line is None:
            return self.file or ""
        return f"{self.file}:{self.line}" if self.file else f"line {self.line}"

    def __str__(self) -> str:
        return ": ".join(part for part in (self._where(), self.key, self.explanation) if part)

    @property
    def explanation(self) -> str:
        """What is wrong and what would be right, without its place."""
        text = self.message
        if self.expected:
            text += f"; expected {self.expected}"
        if self.near:
            text += "; did you mean " + " or ".join(repr(name) for name in self.near) + "?"
        return text


class RequiredError(ConfigError):
    """A required key has no value."""


class UnknownKeyError(ConfigError, KeyError):
    """A key that the definition does not have."""


class DiscontinuedError(ConfigError):
    """A value for a key that is gone."""


class YamlError(ConfigError):
    """The text is not the YAML that this package reads.

    :ivar column: the column in the line, from 1, or None.
    :ivar excerpt: the line and a caret below the column, as two lines; '' where there is none.
    """

    def __init__(
        self, message: str, *, place: Place | None = None, column: int | None = None
    ) -> None:
        self.column = column
        self.excerpt = ""
        super().__init__(message, place=place)

    def show(self, excerpt: str) -> None:
        """Set the excerpt; it becomes the end of the error's text."""
        self.excerpt = excerpt
        self._tell_all()

    @property
    def explanation(self) -> str:
        """What is wrong, with the excerpt in lines of its own."""
        text = super().explanation
        return f"{text}\n{self.excerpt}" if self.excerpt else text

    def _where(self) -> str:
        where = super()._where()
        if self.line is None or self.column is None:
            return where
        return f"{where}:{self.column}" if self.file else f"{where}, column {self.column}"


class within:
    """A context that adds a key (or list index) and its place to the errors raised inside.

    A plain `ValueError`, as post validators raise it, becomes a `ConfigError`.
    """

    def __init__(self, part: PathPart, place: Place | None = None) -> None:
        self._part = part
        self._place = place

    def __enter__(self) -> None:
        return None

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if isinstance(error, ConfigError):
            error.enclose(self._part, self._place)
        elif isinstance(error, ValueError):
            message = str(error) or type(error).__name__
            raise ConfigError(message, path=(self._part,), place=self._place) from error
