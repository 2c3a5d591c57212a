"""Output formats of ``squeue`` and ``sinfo``: -o with letters, -O with names and widths."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import NamedTuple, TypeVar

from ..engine.options import Unsupported

T = TypeVar("T")
# A title, and what to write about an item.
Field = tuple[str, Callable[[T], str]]
_DEFAULT_WIDTH = 20


class Column(NamedTuple):
    """One column: its key, its width (0: as wide as it is), its side, and what follows it."""

    key: str
    width: int
    right: bool
    suffix: str

    def text(self, value: str) -> str:
        """A value as this column shows it: cut or padded, and with what ends it."""
        if not self.width:
            return value + self.suffix
        cut = value[: self.width]
        padded = cut.rjust(self.width) if self.right else cut.ljust(self.width)
        return padded + self.suffix


def parse_letters(
    form: str,
    known: Mapping[str, object],
    command: str,
) -> tuple[str, list[Column]]:
    """The text before the first column, and the columns of an ``-o`` format.

    :raises Unsupported: for a letter that the fake does not know.
    """
    pieces = re.split(r"%(\.?)(\d*)([^.\d])", form)
    prefix, columns = pieces[0], []
    if "%" in "".join(pieces[0::4]):
        raise Unsupported(f"{command}: format {form!r}")
    for dot, width, letter, suffix in zip(pieces[1::4], pieces[2::4], pieces[3::4], pieces[4::4]):
        if letter not in known:
            raise Unsupported(f"{command}: format letter %{letter}")
        columns.append(Column(letter, int(width or 0), bool(dot), suffix))
    return prefix, columns


def parse_names(form: str, known: Mapping[str, object], command: str) -> list[Column]:
    """The columns of an ``-O`` format: ``name[:[.][width][suffix]]``, separated by commas.

    :raises Unsupported: for a name that the fake does not know.
    """
    columns = []
    for piece in form.split(","):
        name, colon, rest = piece.partition(":")
        key = name.strip().lower()
        if key not in known:
            raise Unsupported(f"{command}: format name '{name}'")
        match = re.fullmatch(r"(\.?)(\d*)(.*)", rest, re.DOTALL)
        assert match is not None
        width = int(match[2]) if match[2] else 0 if colon else _DEFAULT_WIDTH
        columns.append(Column(key, width, bool(match[1]), match[3]))
    return columns
