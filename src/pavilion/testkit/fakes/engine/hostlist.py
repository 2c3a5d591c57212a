"""Host lists as Slurm 22.05 reads and writes them, its oddities included.

``scontrol show hostnames`` never fails: bad input comes back in a strange form with rc 0. The
commands that take node names are stricter, because a name must be one of the cluster's.
"""

from __future__ import annotations

from collections.abc import Iterable

MAX_RANGE = 65536


class HostlistError(ValueError):
    """A string that Slurm does not accept as a host list."""


def split(text: str) -> list[str]:
    """The parts of a list: cut at commas and blanks that are outside brackets."""
    parts, depth, current = [], 0, ""
    for char in text:
        if char in ", \n\t" and depth == 0:
            parts.append(current)
            current = ""
            continue
        depth += {"[": 1, "]": -1}.get(char, 0)
        current += char
    parts.append(current)
    return [part for part in parts if part]


def expand(text: str, *, suffixes: bool = False) -> list[str]:
    """All names, in the order written, doubles kept.

    :param suffixes: Text may follow the last bracket, as from 25.11 on.
    :raises HostlistError: for a bad range, a range over 65,536, text behind the last bracket.
    """
    names: list[str] = []
    for part in split(text):
        names.extend(_expand_part(part, suffixes))
    return names


def _expand_part(part: str, suffixes: bool) -> list[str]:
    head, bracket, rest = part.partition("[")
    if not bracket:
        return [part]
    inner, closing, tail = rest.partition("]")
    if not closing:
        # As the real one does: 'n[1-3' is taken for the single odd name 'n]'.
        return [head + "]"]
    if tail and "[" not in tail and not suffixes:
        raise HostlistError(f"Invalid hostlist: {part}")
    tails = _expand_part(tail, suffixes) if tail else [""]
    return [head + number + end for number in _expand_ranges(inner, part) for end in tails]


def _expand_ranges(inner: str, part: str) -> list[str]:
    numbers: list[str] = []
    for piece in inner.split(","):
        low, dash, high = piece.partition("-")
        high = high if dash else low
        if not (low.isdigit() and high.isdigit()) or int(low) > int(high):
            raise HostlistError(f"Invalid hostlist: {part}")
        if int(high) - int(low) >= MAX_RANGE:
            raise HostlistError(f"Too many hosts in range '{piece}'")
        numbers.extend(str(number).zfill(len(low)) for number in range(int(low), int(high) + 1))
    return numbers


def fold(names: Iterable[str]) -> str:
    """The short form: neighbours with the same prefix share a bracket, in the order given."""
    parts: list[str] = []
    head, numbers = "", [""]
    for name in [*names, ""]:
        prefix = name.rstrip("0123456789")
        number = name[len(prefix) :]
        if parts and prefix == head and number and numbers[0]:
            numbers.append(number)
            continue
        if parts:
            parts[-1] = _fold_group(head, numbers)
        parts.append("")
        head, numbers = prefix, [number]
    return ",".join(parts[:-1])


def _fold_group(head: str, numbers: list[str]) -> str:
    ranges: list[list[str]] = []
    for number in numbers:
        if ranges and number and _follows(ranges[-1][1], number):
            ranges[-1][1] = number
        else:
            ranges.append([number, number])
    texts = [low if low == high else f"{low}-{high}" for low, high in ranges]
    if len(texts) == 1 and "-" not in texts[0]:
        return head + texts[0]
    return f"{head}[{','.join(texts)}]"


def _follows(last: str, number: str) -> bool:
    return number == str(int(last) + 1).zfill(len(last))


def order(name: str) -> tuple[str, int, int]:
    """A key to sort names by: prefix, number, digits."""
    prefix = name.rstrip("0123456789")
    number = name[len(prefix) :]
    return prefix, int(number or -1), len(number)
