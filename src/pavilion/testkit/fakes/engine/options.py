"""Command lines as GNU getopt_long reads them, with Slurm's words for what is wrong.

An option that the real command has and the fake has not is refused loudly: a test must never
pass because the fake overlooked an option.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Usage(Exception):
    """A command line that is refused: the text for standard error and the return code."""

    def __init__(self, text: str, code: int) -> None:
        super().__init__(text)
        self.text = text
        self.code = code


class Unsupported(Exception):
    """The fake does not know something that the real command may know."""


class Option(NamedTuple):
    """An option: its long name, its letter, and whether it takes a value."""

    name: str
    letter: str = ""
    value: str = ""  # '' (no value), 'needed', or 'optional' (as in --exclusive[=user])


class Parser:
    """The options of one command.

    ``known`` holds names (and letters) that the real command has but the fake does not honour.
    """

    def __init__(
        self, command: str, options: Sequence[Option], known: str = "", usage_code: int = 1
    ) -> None:
        self.command = command
        self.usage_code = usage_code
        self._names = {option.name: option for option in options}
        self._letters = {option.letter: option for option in options if option.letter}
        self._known = set(known.split())

    def parse(
        self,
        words: Sequence[str],
        *,
        stop_at_operand: bool = False,
    ) -> tuple[dict[str, str], list[str]]:
        """Options by long name (a flag is ''), and operands.

        :raises Usage: for what the real command refuses.
        :raises Unsupported: for an option that the fake does not have.
        """
        found: dict[str, str] = {}
        operands: list[str] = []
        rest = list(words)
        while rest:
            word = rest.pop(0)
            if word == "--":
                operands += rest
                break
            if word.startswith("--"):
                self._long(word, rest, found)
            elif word.startswith("-") and len(word) > 1:
                self._short(word[1:], rest, found)
            else:
                operands.append(word)
                if stop_at_operand:
                    operands += rest
                    break
        return found, operands

    def _long(self, word: str, rest: list[str], found: dict[str, str]) -> None:
        name, equals, value = word[2:].partition("=")
        option = self._names.get(name)
        if option is None and name in self._known:
            raise Unsupported(f"{self.command}: option --{name}")
        if option is None:
            starts = sorted(
                {
                    each
                    for each in (*self._names, *self._known)
                    if each.startswith(name) and len(each) > 1
                }
            )
            if len(starts) != 1:
                raise self._usage(f"unrecognized option '{word}'")
            if starts[0] in self._known:
                raise Unsupported(f"{self.command}: option --{starts[0]}")
            option = self._names[starts[0]]
        if equals and not option.value:
            raise self._usage(f"option '--{option.name}' doesn't allow an argument")
        if option.value == "needed" and not equals:
            if not rest:
                raise self._usage(f"option '--{option.name}' requires an argument")
            value = rest.pop(0)
        found.pop(option.name, None)  # of two that exclude each other the later one wins
        found[option.name] = value

    def _short(self, letters: str, rest: list[str], found: dict[str, str]) -> None:
        while letters:
            letter, letters = letters[0], letters[1:]
            option = self._letters.get(letter)
            if option is None:
                if letter in self._known:
                    raise Unsupported(f"{self.command}: option -{letter}")
                raise self._usage(f"invalid option -- '{letter}'")
            found.pop(option.name, None)
            if not option.value:
                found[option.name] = ""
                continue
            if option.value == "needed" and not letters:
                if not rest:
                    raise self._usage(f"option requires an argument -- '{letter}'")
                letters = rest.pop(0)
            found[option.name] = letters
            return

    def _usage(self, text: str) -> Usage:
        return Usage(
            f'{self.command}: {text}\nTry "{self.command} --help" for more information\n',
            self.usage_code,
        )
