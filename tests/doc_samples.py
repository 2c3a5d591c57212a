"""The complete suites that the documentation shows."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
# Marked with the suite's name and the names of the test runs that come of it.
SUITE = re.compile(
    r"<!-- suite (?P<name>\S+): (?P<tests>[^>]*?) -->\n```yaml\n(?P<text>.*?)^```$",
    re.DOTALL | re.MULTILINE,
)


class Sample(NamedTuple):
    """A complete suite in the documentation."""

    page: Path
    name: str
    # The names of the test runs that it says it makes.
    tests: list[str]
    text: str


def samples() -> Iterator[Sample]:
    """Those of all pages, in their order."""
    for page in PAGES:
        for match in SUITE.finditer(page.read_text(encoding="utf-8")):
            yield Sample(page, match["name"], match["tests"].split(), match["text"])
