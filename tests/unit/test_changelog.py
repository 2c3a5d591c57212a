"""CHANGELOG.md: releases in order, the newest one is that of the package, and sentences."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
SECTIONS = re.findall(r"^## (.*)$", TEXT, re.MULTILINE)
RELEASE = re.compile(r"(\d+)\.(\d+)\.(\d+) - (\d{4}-\d\d-\d\d)")


def test_sections_are_releases_the_newest_first() -> None:
    released = [RELEASE.fullmatch(title) for title in SECTIONS if title != "Unreleased"]
    assert released and all(released), SECTIONS
    assert "Unreleased" not in SECTIONS[1:]
    found = [(*map(int, match.groups()[:3]), match[4]) for match in released if match]
    assert found == sorted(found, reverse=True)
    for *_, day in found:
        date.fromisoformat(str(day))


def test_the_newest_release_is_that_of_the_package() -> None:
    newest = next(title for title in SECTIONS if title != "Unreleased")
    (version,) = re.findall(r'^version = "(.*)"$', (ROOT / "pyproject.toml").read_text(), re.M)
    assert newest.split()[0] == version


def test_entries_are_sentences() -> None:
    entries = re.findall(r"^- (.*(?:\n  .*)*)", TEXT, re.MULTILINE)
    assert len(entries) > 20
    for entry in entries:
        assert re.match(r"[A-Z`]", entry), entry
        assert re.search(r"[.!)]\Z", entry.rstrip()), entry
