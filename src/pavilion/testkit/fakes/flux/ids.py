"""Ids of jobs: 64 bits, with a spelling in base 58 that begins with 'ƒ' (or 'f')."""

from __future__ import annotations

_DIGITS = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"


def f58(number: int, *, ascii_only: bool = False) -> str:
    """The spelling in base 58."""
    text = ""
    while number or not text:
        number, digit = divmod(number, len(_DIGITS))
        text = _DIGITS[digit] + text
    return ("f" if ascii_only else "ƒ") + text


def parse(text: str) -> int | None:
    """An id in decimal, hexadecimal or base 58; None for anything else."""
    try:
        if text[:1] in ("ƒ", "f"):
            number = 0
            for digit in text[1:]:
                number = number * len(_DIGITS) + _DIGITS.index(digit)
            found = number if text[1:] else -1
        else:
            found = int(text, 16 if text.startswith("0x") else 10)
    except ValueError:
        return None
    return found if 0 <= found < 2**64 else None


def new(milliseconds: int, sequence: int) -> int:
    """The id of a job that is submitted so long after the start of the instance."""
    return (milliseconds << 24) | (sequence & 0x3FF)
