"""Batch scripts: what sbatch accepts, and the words of the #SBATCH lines."""

from __future__ import annotations

from ..engine.options import Usage

MAX_SCRIPT = 4 * 1024 * 1024  # bytes
_MAGIC = "#SBATCH"


def check(data: bytes) -> None:
    """Refuse what is not a batch script, with sbatch's words.

    :raises Usage: rc 1.
    """

    def refuse(*lines: str) -> Usage:
        return Usage("".join(f"sbatch: error: {line}\n" for line in lines), 1)

    if not data:
        raise refuse("Batch script is empty!")
    if data.isspace():
        raise refuse("Batch script contains only whitespace!")
    if not data.startswith(b"#!"):
        raise refuse(
            "This does not look like a batch script.  The first",
            "line must start with #! followed by the path to an interpreter.",
            "For instance: #!/bin/sh",
        )
    if b"\0" in data:
        raise refuse(
            "The SLURM controller does not allow scripts that", "contain a NULL character '\\0'."
        )
    if b"\r\n" in data:
        raise refuse(
            "Batch script contains DOS line breaks (\\r\\n)",
            "instead of expected UNIX line breaks (\\n).",
        )


def directives(data: bytes, name: str) -> list[list[str]]:
    """The words of each #SBATCH line before the first command.

    :raises Usage: for an unmatched quote.
    """
    found = []
    for number, line in enumerate(data.decode("utf-8", "surrogateescape").split("\n"), start=1):
        if line.startswith(_MAGIC):
            found.append(split(line[len(_MAGIC) :], name, number))
        elif line.strip() and not line.lstrip().startswith("#"):
            break  # the first command: what follows is not looked at
    return found


def split(text: str, name: str, number: int) -> list[str]:
    """Words of a directive: quotes and backslashes count, a '#' begins a comment.

    A backslash takes the next character as it is, in quotes of both kinds too, but it does not
    join words, and an empty word is none.
    :raises Usage: for a quote that is not closed, and for a word that begins with ':'.
    """
    words = [""]
    quote, start, position = "", 0, 0
    while position < len(text):
        char = text[position]
        if char == "\\" and position + 1 < len(text) and (quote or text[position + 1] != " "):
            position += 1
            words[-1] += text[position]
        elif quote:
            if char == quote:
                quote = ""
            else:
                words[-1] += char
        elif char in "\"'":
            quote, start = char, position
        elif char == ":" and not words[-1]:
            quote, start = char, position
            break
        elif char == "#":
            break
        elif char.isspace() or char == "\\":
            words.append("")
        else:
            words[-1] += char
        position += 1
    if quote:
        before = text[:start].rstrip() or text[:start]
        wrong = "Unexpected" if quote == ":" else "Unmatched"
        raise Usage(
            f"sbatch: fatal: {name}: line {number}: {wrong} `{quote}` in [{text[len(before) :]}]\n",
            1,
        )
    return [word for word in words if word]
