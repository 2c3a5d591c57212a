"""Batch scripts: what sbatch accepts, and the words of the #SBATCH lines."""

from __future__ import annotations

from .options import Usage

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
        raise refuse("This does not look like a batch script.  The first",
                     "line must start with #! followed by the path to an interpreter.",
                     "For instance: #!/bin/sh")
    if b"\0" in data:
        raise refuse("The SLURM controller does not allow scripts that",
                     "contain a NULL character '\\0'.")
    if b"\r\n" in data:
        raise refuse("Batch script contains DOS line breaks (\\r\\n)",
                     "instead of expected UNIX line breaks (\\n).")


def directives(data: bytes, name: str) -> list[list[str]]:
    """The words of each #SBATCH line before the first command.

    :raises Usage: for an unmatched quote.
    """
    found = []
    for number, line in enumerate(data.decode("utf-8", "surrogateescape").split("\n"), start=1):
        if line.startswith(_MAGIC):
            found.append(split(line[len(_MAGIC):], name, number))
        elif line.strip() and not line.lstrip().startswith("#"):
            break  # the first command: what follows is not looked at
    return found


def split(text: str, name: str, number: int) -> list[str]:
    """Words of a directive: quotes and backslashes count, a '#' begins a comment.

    :raises Usage: for a quote that is not closed.
    """
    words: list[str] = []
    current: str | None = None
    quote = ""
    start = position = 0
    while position < len(text):
        char = text[position]
        if quote:
            if char == quote:
                quote = ""
            else:
                current = (current or "") + char
        elif char in "\"'":
            quote, current = char, current or ""
            start = position
        elif char == "\\" and position + 1 < len(text):
            position += 1
            current = (current or "") + text[position]
        elif char.isspace():
            if current is not None:
                words.append(current)
            current = None
        elif char == "#" and current is None:
            break
        else:
            current = (current or "") + char
        position += 1
    if quote:
        before = text[:start].rstrip()
        raise Usage(f"sbatch: fatal: {name}: line {number}: Unmatched `{quote}` in "
                    f"[{text[len(before):] if before else text}]\n", 1)
    if current is not None:
        words.append(current)
    return words
