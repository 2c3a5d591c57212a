"""What is wrong with text that is not YAML, in words for people who do not know YAML's own.

The parser names the place where it could not go on. The mistake is often a line above, so the
lines around that place are looked at for the mistakes that people make most.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

# The longest part of a line that is shown.
_SHOWN = 100
# 'key: value' or 'key:', perhaps as an item of a list.
_PAIR = re.compile(
    r"""\s*(?:-\s+)*(?P<key>[^\s'"#\[\]{},][^'"#\[\]{},]*?)\s*:(?:\s+(?P<value>.*))?$"""
)
# 'key:value', where the key is a plain word.
_NO_BLANK = re.compile(r"\s*(?:-\s+)*(?P<key>[A-Za-z_][\w.-]*):(?P<value>[^\s/:].*)$")
_WORD = re.compile(r"\s*(?:-\s+)*(?P<word>[^\s'\"#].*?)\s*(?:\s#.*)?$")
_OPENING = {"[": "]", "{": "}"}


class Finding(NamedTuple):
    """A mistake: where it is, both counted from 0, and what to say about it."""

    line: int
    column: int
    message: str


def explain(
    problem: str,
    context: str,
    mark: tuple[int, int],
    context_mark: tuple[int, int] | None,
    lines: Sequence[str],
) -> Finding:
    """Say what is wrong.

    :param problem: the parser's own words, as is ``context``: what it was doing.
    :param mark: line and column, from 0, where the parser gave up.
    :param context_mark: where that began which it was doing.
    :param lines: the lines of the text.
    """
    look = _Look(problem, context, mark, context_mark or mark, lines)
    return (
        look.tab()
        or look.special_character()
        or look.open_quote()
        or look.escape()
        or look.block_text()
        or look.after_quote()
        or look.brackets()
        or look.key_line()
        or look.indentation()
        or Finding(*mark, f"this is not YAML: {', '.join(filter(None, (context, problem)))}")
    )


def excerpt(line: str, column: int) -> str:
    """A line of a file and, below it, a caret at a column: two lines, for an error message.

    :param column: from 0.
    """
    start = max(0, min(column - _SHOWN // 2, len(line) - _SHOWN))
    before = _printable(line[start:column])
    after = _printable(line[column : start + _SHOWN])
    if start:
        before = f"...{before}"
    if start + _SHOWN < len(line):
        after += "..."
    return f"  | {before}{after}\n  | {' ' * len(before)}^"


def _printable(text: str) -> str:
    r"""The text with a tab as '\t', and with what else cannot be seen as its escape."""
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape", "surrogatepass").decode()
        for char in text
    )


class _Look:
    """Looks for a mistake; each method finds those of one kind, or None."""

    def __init__(
        self,
        problem: str,
        context: str,
        mark: tuple[int, int],
        start: tuple[int, int],
        lines: Sequence[str],
    ) -> None:
        self._problem = problem
        self._context = context
        self._mark = mark
        self._start = start
        self._lines = lines

    def _line(self, number: int) -> str:
        return self._lines[number] if 0 <= number < len(self._lines) else ""

    @property
    def _bad(self) -> str:
        return self._line(self._mark[0])

    @property
    def _character(self) -> str:
        return self._bad[self._mark[1] : self._mark[1] + 1]

    def _above(self, number: int) -> int | None:
        """The next line above this one that has more than a comment."""
        for other in range(number - 1, -1, -1):
            text = self._line(other).strip()
            if text and not text.startswith("#"):
                return other
        return None

    def tab(self) -> Finding | None:
        """Tabs at the start of a line."""
        for number in dict.fromkeys((self._mark[0], self._start[0])):
            line = self._line(number)
            blanks = line[: len(line) - len(line.lstrip())]
            if "\t" in blanks and ("tab" in self._problem or "token" in self._problem):
                return Finding(
                    number,
                    blanks.index("\t"),
                    "this line is indented with a tab, which YAML does not allow; use spaces only",
                )
        return None

    def special_character(self) -> Finding | None:
        """Values that begin with a character that means something to YAML."""
        place = None
        if "cannot start any token" in self._problem:
            place, char = self._mark, self._character
        elif "alias" in self._context or "anchor" in self._context:
            char = "*" if "alias" in self._context else "&"
            place = (self._start[0], max(self._line(self._start[0]).find(char), 0))
        elif "directive" in self._context:
            place, char = self._start, "%"
        elif "tag" in self._context:
            place, char = self._start, "!"
        if place is None:
            return None
        return Finding(
            *place, f"a value that starts with {char!r} must be in quotes, like '{char}...'"
        )

    def open_quote(self) -> Finding | None:
        """Quotes that nothing closes."""
        if "quoted scalar" not in self._context or "escape" in self._problem:
            return None
        quote = self._line(self._start[0])[self._start[1] : self._start[1] + 1]
        return Finding(
            *self._start,
            f"the quote ({quote}) that opens here is not closed; put another at the end of the value",
        )

    def escape(self) -> Finding | None:
        """Backslashes in double quotes."""
        if "escape" not in self._problem and "hexdecimal" not in self._problem:
            return None
        place = (self._mark[0], max(self._bad.rfind("\\", 0, self._mark[1] + 1), 0))
        return Finding(
            *place,
            "in double quotes a backslash must be doubled (\\\\); in single quotes it is just a "
            "backslash",
        )

    def block_text(self) -> Finding | None:
        """'|' and '>' with something behind them, and blocks that are not indented."""
        if "block scalar" in self._context:
            column = max(self._bad.find("|"), self._bad.find(">"), 0)
            return Finding(
                self._mark[0],
                column,
                f"after '{self._bad[column : column + 1]}' the text must begin in the next line, "
                "indented; a value that starts with it must be in quotes",
            )
        above = self._above(self._start[0])
        opener = "" if above is None else self._line(above)
        if re.search(r":\s+[|>][+-]?\s*$", opener) and "simple key" in self._context:
            return Finding(
                self._start[0],
                self._start[1],
                f"the lines of the text that '{opener.strip()}' (line {_one(above)}) begins must be "
                "indented more than that line",
            )
        return None

    def after_quote(self) -> Finding | None:
        """Text behind a closing quote."""
        if "did not find expected" not in self._problem and "expected" not in self._problem:
            return None
        before = self._bad[: self._mark[1]].rstrip()
        quote = before[-1:]
        if quote not in ("'", '"') or self._character in ("", "#", quote):
            return None
        advice = (
            "within single quotes a ' is written twice ('')"
            if quote == "'"
            else "put the whole value in single quotes, like '\"echo\" hello'"
        )
        return Finding(
            *self._mark, f"the value ended with the quote ({quote}) before this; {advice}"
        )

    def brackets(self) -> Finding | None:
        """Brackets that nothing closes, or opens."""
        braces = re.search(r"(?:[:-]\s+|^\s*)(?P<value>\{\{)", self._line(self._start[0]))
        if braces and "flow mapping" in self._context:
            return Finding(
                self._start[0],
                braces.start("value"),
                "a value that starts with '{{' must be in quotes, like '{{name}} more'",
            )
        if "flow" in self._context and self._character in ("'", '"'):
            return Finding(*self._mark, "a comma is missing before this")
        start = self._opening() if "flow node" in self._context else self._start
        bracket = self._line(start[0])[start[1] : start[1] + 1]
        if (
            "flow" in self._context
            and bracket in _OPENING
            and start[0] == self._mark[0]
            and self._character in ("[", "{", ":")
            and _OPENING[bracket] in self._bad[self._mark[1] :]
        ):
            return Finding(
                *self._mark,
                f"within '{bracket}...{_OPENING[bracket]}', text with any of []{{}},: in it must be in "
                "quotes, and items need commas between them",
            )
        for opening, closing in _OPENING.items():
            if "flow" in self._context and bracket == opening:
                where = "" if start[0] == self._mark[0] else " in the lines that follow"
                return Finding(
                    *start,
                    f"the '{opening}' that opens here is not closed{where}; put '{closing}' at its "
                    f"end. Between its items there are commas, and text with any of []{{}},: in it "
                    "must be in quotes",
                )
        stray = self._bad.strip()[:1] in ("]", "}", ",")
        if self._character in ("]", "}", ",") or stray:
            column = len(self._bad) - len(self._bad.lstrip()) if stray else self._mark[1]
            if self._bad[column] == ",":
                return Finding(self._mark[0], column, "a comma does not belong here")
            return Finding(
                self._mark[0],
                column,
                f"there is one '{self._bad[column]}' too many; text with brackets in it must be in "
                "quotes",
            )
        return None

    def _opening(self) -> tuple[int, int]:
        """Where the last bracket above the mark opens that is not closed before it."""
        closed = 0
        for number in range(min(self._mark[0], len(self._lines) - 1), -1, -1):
            line = self._line(number)
            end = self._mark[1] if number == self._mark[0] else len(line)
            for column in range(end - 1, -1, -1):
                closed += line[column] in _OPENING.values()
                if line[column] in _OPENING:
                    if not closed:
                        return number, column
                    closed -= 1
        return self._mark

    def key_line(self) -> Finding | None:
        """Lines that should be 'key: value' and are not, and values that have ': ' in them."""
        if "mapping values" in self._problem:
            before = self._bad[: self._mark[1]]
            if re.search(r":\s", before):
                value = before.rpartition(": ")[0]
                return Finding(
                    *self._mark,
                    "a value with ': ' in it must be in quotes: "
                    f"{value.strip().partition(':')[0]}: '...: ...'",
                )
            above = self._above(self._mark[0])
            # A value may go on in further lines, each of them without a ':'.
            return None if above is None else self._not_a_pair(above)
        if "simple key" in self._context:
            return self._not_a_pair(self._start[0])
        if "expected" in self._problem:
            return self._not_a_pair(self._mark[0])
        return None

    def _not_a_pair(self, number: int) -> Finding | None:
        line = self._line(number)
        blanks = len(line) - len(line.lstrip())
        if _PAIR.match(line):
            return None
        match = _NO_BLANK.match(line)
        if match:
            column = match.start("value")
            key, value = match["key"], match["value"].strip()
            return Finding(number, column, f"put a space after the ':', like '{key}: {value}'")
        dash = re.match(r"\s*-(?=[^\s-])", line)
        if dash:
            return Finding(
                number, dash.end(), "put a space after the '-' of an item, like '- item'"
            )
        match = _WORD.match(line)
        if match is None:
            return None
        word = match["word"]
        assigned = re.match(r"([\w.-]+)\s*=\s*(.*)", word)
        if assigned and not line.lstrip().startswith("- "):
            key, value = assigned.groups()
            return Finding(number, blanks, f"write '{key}: {value}' in place of '{word}'")
        above = self._above(number)
        if above is not None and self._line(above).lstrip().startswith("- "):
            return Finding(
                number,
                blanks,
                "each item of a list starts with '- ', in the same column as the item above it "
                f"(line {_one(above)})",
            )
        if line.lstrip().startswith("- "):
            return Finding(
                number,
                blanks,
                "an item with ': ' in it must be in quotes; several lines of commands may follow "
                "'- |', indented more than the '-'",
            )
        key = word.partition(" ")[0]
        rest = word[len(key) :].strip()
        return Finding(
            number,
            blanks + line.lstrip().find(word) + len(key),
            f"a ':' is missing after '{key}', as in '{key}: {rest or '...'}'",
        )

    def indentation(self) -> Finding | None:
        """Lines that start in another column than those that they belong to."""
        if not ("expected" in self._problem or "mapping values" in self._problem):
            return None
        number = self._mark[0]
        line = self._bad
        column = len(line) - len(line.lstrip())
        above = self._above(number)
        if above is None or not line.strip():
            return None
        upper = self._line(above)
        before = len(upper) - len(upper.lstrip())
        pair = _PAIR.match(upper)
        if column > before and pair and pair["value"]:
            return Finding(
                number,
                column,
                f"this line is indented more than line {_one(above)}, where "
                f"'{pair['key']}' has a value already; keys of the same section must start in the "
                "same column",
            )
        levels = _levels(self._lines[:number])
        if column not in levels:
            known = [f"{level} (as line {_one(where)})" for level, where in levels.items()]
            return Finding(
                number,
                column,
                f"this line is indented by {_spaces(column)}, which fits no line above it; "
                f"possible here: {', '.join(known[-4:])}",
            )
        if line.lstrip().startswith("- "):
            return Finding(
                number, column, "an item of a list does not belong here, among 'key: value' lines"
            )
        return Finding(
            number,
            column,
            "this line does not belong here: items of a list start with '- ', lines of a section "
            "are 'key: value', and both start in the same column as those above them",
        )


def _levels(lines: Sequence[str]) -> dict[int, int]:
    """The columns in which a next line may start, each with a line that does, outermost first."""
    levels: dict[int, int] = {}
    for number, line in enumerate(lines):
        text = line.lstrip()
        if not text or text.startswith("#"):
            continue
        column = len(line) - len(text)
        levels = {other: where for other, where in levels.items() if other < column}
        levels[column] = number
    return levels


def _spaces(count: int) -> str:
    return f"{count} space" if count == 1 else f"{count} spaces"


def _one(number: int | None) -> int:
    """The number of a line as people count."""
    return 0 if number is None else number + 1
