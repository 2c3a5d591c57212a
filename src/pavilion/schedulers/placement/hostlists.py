"""Host lists: converting 'node[01-20],login' to names and back.

The grammar is that of python-hostlist and Slurm: names separated by commas, with any number of
bracket groups in a name, each containing numbers and ranges ('x[1-2]c[0,4-7]'). The first number of
a range determines the width of its numbers ('[09-11]' is 09, 10, 11). Parsing is strict: anything
that is not understood is an error with its position. Nothing is guessed and nothing is dropped.

Cost: `expand` is linear in the length of the list and in the number of names, and counts the names
before it creates them. `fold` and `natural_sorted` are linear except for the sort.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

# The maximum number of names in one range, and in one list.
RANGE_LIMIT = 200_000
LIST_LIMIT = 2_000_000
# The maximum length of a node name; host names have at most 253 characters.
NAME_LIMIT = 255
# Slurm refuses ranges of more names than this.
FOLDED_RANGE_LIMIT = 65_536
# Longer numbers are considered a mistake. No machine needs more digits.
DIGIT_LIMIT = 15

# What schedulers write where there is no node list.
_NO_NODES = frozenset(["", "(null)", "None assigned"])

_DIGITS = "0123456789"
# Compiled when first used: this module is imported with every plugin, and not always needed.
_NAME = r"[A-Za-z0-9_.][A-Za-z0-9_.-]*"
_PLAIN_LIST = r"[A-Za-z0-9_.][A-Za-z0-9_.-]*(?:,[A-Za-z0-9_.][A-Za-z0-9_.-]*)*"
_ITEM = r"(?:[A-Za-z0-9_.-]+|\[[0-9,-]*\])+"
_PART = r"\[([^\]]*)\]|[^\[]+"
_RANGE = r"([0-9]+)(?:-([0-9]+))?"
# Longer numbers are split, since Python refuses to convert numbers of thousands of digits.
_NUMBERS = r"([0-9]{1,18})"

# A span of names with one prefix: (first number, last number), as strings.
_Span = tuple[str, str]
_regex = functools.lru_cache(maxsize=None)(re.compile)


class HostListError(ValueError):
    """A host list that cannot be parsed. `text` is the list, `position` an index into it, from 0,
    and `problem` says what is wrong there."""

    def __init__(self, problem: str, text: str, position: int) -> None:
        super().__init__(
            f"Bad host list '{_excerpt(text, position)}': {problem} (at character {position + 1})."
        )
        self.problem = problem
        self.text = text
        self.position = position


# --- Reading ---


def expand(text: str | None, unique: bool = False, limit: int = LIST_LIMIT) -> list[str]:
    """Return the names that a host list stands for, in its order.

    None, '', '(null)' and 'None assigned' give []. Duplicate names are kept, unless `unique` is
    set. Blanks at the beginning and the end are ignored; blanks inside are an error.

    :raises HostListError: for a string that is not a host list, or has more than `limit` names.
    """
    names = _expand(text, limit)
    return list(dict.fromkeys(names)) if unique else names


def expand_all(value: None | str | Iterable[str], unique: bool = False) -> list[str]:
    """Return the names of one host list, or of several, one after the other; see `expand`.

    :raises HostListError: as `expand` does; also for a member that is not a string.
    """
    texts = [value] if value is None or isinstance(value, str) else list(value)
    names: list[str] = []
    for text in texts:
        names.extend(_expand(text, LIST_LIMIT - len(names)))
    return list(dict.fromkeys(names)) if unique else names


def is_name(name: str) -> bool:
    """Whether this is a node name that a host list can contain."""
    return len(name) <= NAME_LIMIT and _regex(_NAME).fullmatch(name) is not None


def _expand(text: str | None, room: int) -> list[str]:
    """Expand one host list into at most `room` names."""
    if text is None:
        return []
    if not isinstance(text, str):
        raise HostListError(f"it must be a string, not {type(text).__name__}", str(text), 0)
    stripped = text.strip()
    if stripped in _NO_NODES:
        return []
    if _regex(_PLAIN_LIST).fullmatch(stripped):
        names = stripped.split(",")
        if len(names) <= room and max(map(len, names)) <= NAME_LIMIT:
            return names

    names = []
    position = len(text) - len(text.lstrip())
    end = position + len(stripped)
    while True:
        match = _regex(_ITEM).match(text, position, end)
        if match is None:
            raise HostListError(_problem_at(text, position, end), text, min(position, end))
        names.extend(_expand_item(text, match.start(), match.end(), room - len(names)))
        position = match.end()
        if position == end:
            return names
        if text[position] != ",":
            raise HostListError(_problem_at(text, position, end), text, position)
        position += 1


def _expand_item(text: str, start: int, end: int, room: int) -> list[str]:
    """Expand one item, text[start:end], which may contain bracket groups."""
    if text[start] == "-":
        raise HostListError("a node name cannot start with '-'", text, start)

    # Count first: no names are created before it is known that their number is reasonable.
    parts: list[str | list[_Span]] = []
    count, length = 1, 0
    for match in _regex(_PART).finditer(text, start, end):
        if match.group(1) is None:
            parts.append(match.group())
            length += len(match.group())
            continue
        spans = _parse_group(text, match.start(1), match.group(1))
        parts.append(spans)
        count *= sum(int(high) - int(low) + 1 for low, high in spans)
        length += max(len(number) for span in spans for number in span)
        if count > room:
            raise HostListError(f"more than {LIST_LIMIT:,} names", text, match.start())
    if count > room:
        raise HostListError(f"more than {LIST_LIMIT:,} names", text, start)
    if length > NAME_LIMIT:
        raise HostListError(f"a node name of more than {NAME_LIMIT} characters", text, start)

    names = [""]
    for part in parts:
        if isinstance(part, str):
            names = [name + part for name in names]
        else:
            numbers = [number for span in part for number in _span_numbers(span)]
            names = [name + number for name in names for number in numbers]
    return names


def _parse_group(text: str, position: int, inside: str) -> list[_Span]:
    """Parse the inside of a bracket group, which starts at `position`."""
    spans = []
    for part in inside.split(","):
        match = _regex(_RANGE).fullmatch(part)
        if match is None:
            problem = (
                f"'{part}' is neither a number nor a range like 01-20"
                if part
                else "an empty item inside brackets"
            )
            raise HostListError(problem, text, position)
        low, high = match.group(1), match.group(2) or match.group(1)
        if max(len(low), len(high)) > DIGIT_LIMIT:
            raise HostListError(f"a number of more than {DIGIT_LIMIT} digits", text, position)
        if int(high) < int(low):
            raise HostListError(f"the range {part} runs backwards", text, position)
        if int(high) - int(low) >= RANGE_LIMIT:
            problem = f"the range {part} has more than {RANGE_LIMIT:,} names"
            raise HostListError(problem, text, position)
        spans.append((low, high))
        position += len(part) + 1
    return spans


def _span_numbers(span: _Span) -> list[str]:
    low, high = span
    # Only the first number determines the width: [01-3] is 01, 02, 03, and [1-03] is 1, 2, 3.
    width = len(low)
    return [str(number).zfill(width) for number in range(int(low), int(high) + 1)]


def _problem_at(text: str, position: int, end: int) -> str:
    """Say in words why no further item can be parsed at this position."""
    char = text[position] if position < end else ""
    if char in ("", ","):
        return "an empty item (a comma too many)"
    if char == "]":
        return "']' without '['"
    if char == "[":
        close = text.find("]", position, end)
        inside = text[position + 1 : close if close >= 0 else end]
        if "[" in inside:
            return "'[' inside brackets"
        if close < 0:
            return "'[' is never closed"
        bad = next(c for c in inside if c not in _DIGITS + ",-")
        return f"{bad!r} inside brackets (allowed: numbers and ranges like 01-20)"
    if char.isspace():
        return "a blank inside the list"
    return f"{char!r} is not allowed (allowed: letters, digits, '-', '_' and '.')"


def _excerpt(text: str, position: int, around: int = 30) -> str:
    """The part of the text around a position, on one line."""
    start, end = max(0, position - around), position + around
    cut = text[start:end].encode("unicode_escape").decode("ascii")
    return ("..." if start else "") + cut + ("..." if end < len(text) else "")


# --- Order ---


def natural_key(name: str) -> tuple[str | int, ...]:
    """Return a sort key that puts node2 before node10, and x1c10 before x2c0.

    The name itself comes last, so that 'n1' and 'n01' are ordered, too. Strings and numbers
    alternate, so that the keys of any two names can be compared.
    """
    parts: list[str | int] = list(_regex(_NUMBERS).split(name))
    for index in range(1, len(parts), 2):
        parts[index] = int(parts[index])
    return (*parts, -1, name)


def natural_sorted(names: Iterable[str]) -> list[str]:
    """Sort node names naturally; see `natural_key`."""
    names = list(names)
    # For names that only differ in digits at the same positions, the natural order is the plain
    # one, which is ten times as fast to compute. The names of most machines are like that.
    if len(set("\n".join(names).translate(_TO_SHAPE).split("\n"))) <= 1:
        return sorted(names)
    return sorted(names, key=natural_key)


_TO_SHAPE = str.maketrans(_DIGITS, "0" * len(_DIGITS))


# --- Writing ---


class _Series(NamedTuple):
    """Names that only differ in their last number, or one name that does not end in a number."""

    prefix: str
    spans: list[_Span]


def fold(names: Iterable[str]) -> str:
    """Return a short host list of these names: sorted naturally, each name once.

    `set(expand(fold(names))) == set(names)`. Only syntax that Slurm accepts is used: one bracket
    group, at the end of a name and after a prefix, and no range of more than 65,536 names.

    :raises HostListError: for a name that a host list cannot contain.
    """
    unique = set(names)
    odd = _odd_names(unique)
    if odd:
        raise HostListError("not a node name", odd[0], 0)
    return ",".join(_write(prefix, spans) for prefix, spans in _fold(unique))


def fold_short(names: Iterable[str], limit: int = 60, count: bool = True) -> str:
    """Return a host list for messages: 'node[01-20],... (312 nodes)'.

    A list of up to `limit` characters is returned complete. A longer one is truncated, followed by
    the number of nodes (unless `count` is False). Never fails: names that a host list cannot contain
    are shown as their Python representation.
    """
    unique = set(names)
    odd = _odd_names(unique)
    series = _fold(unique.difference(odd) if odd else unique)
    series.extend(_Series(repr(name), [("", "")]) for name in odd)

    shown: list[str] = []
    room = limit
    for prefix, spans in series:
        whole = _write(prefix, spans)
        if len(whole) <= room:
            shown.append(whole)
            room -= len(whole) + 1
            continue
        kept = _fitting(prefix, spans, room)
        # Something is always shown, however small the limit.
        if not kept and not shown:
            kept = 1
        if kept:
            shown.append(_write(prefix, spans[:kept]))
        if kept < len(spans) or len(shown) < len(series):
            shown.append("...")
        return ",".join(shown) + (f" ({len(unique):,} nodes)" if count else "")
    return ",".join(shown)


def _odd_names(names: set[str]) -> list[str]:
    """The names that a host list cannot contain, sorted."""
    # One match over all of them is much faster than one for each.
    together = ",".join(names)
    if together.count(",") < len(names) and _regex(_PLAIN_LIST).fullmatch(together):
        return sorted(name for name in names if len(name) > NAME_LIMIT)
    return sorted(name for name in names if not is_name(name))


def _fitting(prefix: str, spans: list[_Span], room: int) -> int:
    """How many of these spans can be written within `room` characters."""
    used = len(prefix) + len("[]")
    for count, (low, high) in enumerate(spans):
        used += len(low) + (len(high) + 1 if high != low else 0) + (1 if count else 0)
        if used > room:
            return count
    return len(spans)


def _write(prefix: str, spans: list[_Span]) -> str:
    """Write one series as a host list."""
    texts = [low if low == high else f"{low}-{high}" for low, high in spans]
    if len(texts) == 1 and "-" not in texts[0]:
        return prefix + texts[0]
    return f"{prefix}[{','.join(texts)}]"


def _fold(names: Iterable[str]) -> list[_Series]:
    """Sort distinct names into series, in natural order."""
    by_prefix: dict[str, list[str]] = {}
    series: list[_Series] = []
    for name in names:
        prefix = name.rstrip(_DIGITS)
        number = name[len(prefix) :]
        if prefix and number and len(number) <= DIGIT_LIMIT:
            by_prefix.setdefault(prefix, []).append(number)
        else:
            series.append(_Series(name, [("", "")]))
    for prefix, numbers in by_prefix.items():
        series.append(_Series(prefix, list(_spans(numbers))))
    series.sort(key=lambda one: natural_key(one.prefix + one.spans[0][0]))
    return series


def _spans(numbers: list[str]) -> Iterator[_Span]:
    """Join numbers (as strings, without duplicates) into spans.

    Shorter strings are processed first: then 8, 9, 10 are one span, as are 08, 09, 10, while 1, 01,
    2, 02 become 1-2 and 01-02.
    """
    numbers.sort()
    numbers.sort(key=len)
    low = high = numbers[0]
    first = last = int(low)
    for number in numbers[1:]:
        value = int(number)
        # A longer number with a leading zero has a width of its own.
        same_form = len(number) == len(low) or number[0] != "0"
        if value != last + 1 or not same_form or value - first >= FOLDED_RANGE_LIMIT:
            yield low, high
            low, first = number, value
        high, last = number, value
    yield low, high
