"""What releases of Slurm print where they differ.

Tests take the expected word from here, so that they pass on each release.  All was captured on the
release under which it stands, unless it says otherwise.
"""

from __future__ import annotations

import re
from typing import Any

# Subject -> the first release (year, month) that prints it -> what it prints.
DIFFERENCES: dict[str, dict[tuple[int, int], Any]] = {
}


class Words:
    """What one release prints: ``words[subject]``."""

    def __init__(self, release: tuple[int, int]) -> None:
        self.release = release

    def __getitem__(self, subject: str) -> Any:
        since = max(first for first in DIFFERENCES[subject] if first <= self.release)
        return DIFFERENCES[subject][since]


def words_of(version: str) -> Words:
    """The words of the release that a command names with ``--version``."""
    match = re.match(r"slurm\S* (\d+)\.(\d+)", version)
    assert match, version
    return Words((int(match[1]), int(match[2])))
