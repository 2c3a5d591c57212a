"""Patterns for the names of tests: ``stream.*``, ``*.chunk[0-3]``.

``*`` stands for any characters, dots included, ``?`` for one, ``[0-3]`` for one of these and
``[!0-3]`` for any other.  The time is linear in the pattern times the name.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

_STAR = None
# A character of a name, or those that a place of the pattern takes, and whether it is one of them.
_Token = tuple[frozenset[str], bool]
_ANY: _Token = (frozenset(), False)

MAGIC = "*?["


def is_pattern(text: str) -> bool:
    """Whether a string has characters that stand for others."""
    return any(char in text for char in MAGIC)


class NamePattern:
    """A pattern that is matched against whole names."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._tokens = _parse(text)

    def matches(self, name: str) -> bool:
        """Whether the whole name matches.  A name that equals the pattern always does."""
        return name == self.text or len(self._tokens) in self._places_after(name)

    def may_match_below(self, start: str) -> bool:
        """Whether names that begin with this may match."""
        return self.text.startswith(start) or bool(self._places_after(start))

    def _places_after(self, text: str) -> Collection[int]:
        """The places in the pattern that can be reached with these characters."""
        places = self._with_stars({0})
        for char in text:
            if not places:
                break
            places = self._with_stars(set(self._steps(places, char)))
        return places

    def _steps(self, places: Iterable[int], char: str) -> Iterable[int]:
        for place in places:
            token = self._tokens[place] if place < len(self._tokens) else (frozenset(), True)
            if token is _STAR:
                yield place
            elif (char in token[0]) is token[1]:
                yield place + 1

    def _with_stars(self, places: set[int]) -> set[int]:
        """The places, and those after stars, which may stand for nothing."""
        for place in list(places):
            while place < len(self._tokens) and self._tokens[place] is _STAR:
                place += 1
                places.add(place)
        return places


def _parse(text: str) -> list[_Token | None]:
    tokens: list[_Token | None] = []
    at = 0
    while at < len(text):
        char = text[at]
        at += 1
        if char == "*":
            # Two of them mean the same as one.
            if not tokens or tokens[-1] is not _STAR:
                tokens.append(_STAR)
        elif char == "?":
            tokens.append(_ANY)
        elif char == "[" and (end := text.find("]", at + 1 + text.startswith("!", at))) >= 0:
            tokens.append(_one_of(text[at:end]))
            at = end + 1
        else:
            # A '[' that is not closed stands for itself.
            tokens.append((frozenset(char), True))
    return tokens


def _one_of(inside: str) -> _Token:
    wanted = not inside.startswith("!")
    chars = inside if wanted else inside[1:]
    found: set[str] = set()
    at = 0
    while at < len(chars):
        if chars[at + 1 : at + 2] == "-" and at + 2 < len(chars):
            found.update(map(chr, range(ord(chars[at]), ord(chars[at + 2]) + 1)))
            at += 3
        else:
            found.add(chars[at])
            at += 1
    return frozenset(found), wanted
