"""What a real Flux printed, for tests; see tests/data/flux."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from pavilion.schedulers.batch import CommandResult

DATA = Path(__file__).parents[1] / "data" / "flux" / "0.88.0"


def answer(name: str) -> CommandResult:
    """A captured answer."""
    text = (DATA / f"{name}.txt").read_text(encoding="utf-8")
    found = re.fullmatch(r"\$ (.*?)\nrc (.*?)\n--- stdout\n(.*?)--- stderr\n(.*)", text, re.DOTALL)
    assert found is not None, name
    command, code, stdout, stderr = found.groups()
    silent = code == "none"
    return CommandResult(
        tuple(shlex.split(command)), None if silent else int(code), stdout, stderr, 1.0, silent
    )
