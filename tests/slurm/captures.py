"""The captured outputs of Slurm in tests/data/slurm, one directory for each release."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

DATA = Path(__file__).parents[1] / "data" / "slurm"
RELEASES = ("22.05.8", "25.11", "26.05")


class Answer(NamedTuple):
    """What a command printed, and how it ended."""

    command: str
    returncode: int
    stdout: str
    stderr: str


def captured(name: str, release: str = RELEASES[0]) -> str:
    """The text of a file, without '.txt' in its name."""
    return (DATA / release / f"{name}.txt").read_text(encoding="utf-8")


def answer(name: str, release: str) -> Answer:
    """A file that holds a whole answer."""
    match = re.fullmatch(
        r"\$ (\w+)[^\n]*\nrc ([0-9]+)\n--- stdout\n(.*)--- stderr\n(.*)",
        captured(name, release),
        re.DOTALL,
    )
    assert match is not None, f"{release}/{name}"
    return Answer(match[1], int(match[2]), match[3], match[4])


def answers(release: str) -> list[str]:
    """The names of the files that hold a whole answer."""
    return sorted(
        path.stem for path in (DATA / release).glob("*.txt") if path.read_bytes().startswith(b"$ ")
    )
