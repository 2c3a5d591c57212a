"""Command lines as Python's argparse reads them in Flux: options may not be shortened."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..engine.options import Unsupported, Usage

# The usage line as it is printed where the real one was captured.
_USAGE = {"flux batch": "usage: flux batch [OPTIONS...] [SCRIPT] [ARGS...]"}


def parse(
    command: str,
    words: Sequence[str],
    options: Mapping[str, str],
    flags: Mapping[str, str],
    known: str = "",
    *,
    stop_at_operand: bool = False,
) -> tuple[dict[str, list[str]], list[str]]:
    """Options by name, each with all of its values ('' for a flag), and operands.

    :param command: As it calls itself when a command line is wrong: 'flux batch', 'flux-jobs'.
    :param options: How they are written ('--nodes', '-N') -> their name, of those with a value.
    :param flags: The same, of those without.
    :param known: What the real command has and the fake does not.
    :raises Usage: for what the real command refuses.
    :raises Unsupported: for an option that the fake does not have.
    """
    found: dict[str, list[str]] = {}
    operands: list[str] = []
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if not word.startswith("-") or word == "-":
            operands.append(word)
            if stop_at_operand:
                return found, operands + rest
            continue
        name, equals, value = word.partition("=")
        if not word.startswith("--") and len(word) > 2:
            # '-N2', or several flags in one word.
            name, value, equals = word[:2], word[2:], "="
            if name in flags:
                rest.insert(0, f"-{value}")
                value = equals = ""
        if name in flags and not equals:
            found.setdefault(flags[name], []).append("")
        elif name in options:
            if not equals and not rest:
                raise usage(command, f"argument {name}: expected one argument")
            found.setdefault(options[name], []).append(value if equals else rest.pop(0))
        elif name.lstrip("-") in known.split():
            raise Unsupported(f"{command}: option {name}")
        else:
            raise usage(command, f"unrecognized arguments: {word}")
    return found, operands


def usage(command: str, text: str) -> Usage:
    """The refusal of a command line."""
    line = _USAGE.get(command, f"usage: {command} …")
    return Usage(f"{line}\n{command}: error: {text}\n", 2)
