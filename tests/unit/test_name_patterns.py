"""Patterns for names: the same as fnmatch's, as far as whole names go, and in linear time."""

from __future__ import annotations

import fnmatch
import itertools

import pytest

from pavilion.name_patterns import NamePattern, is_pattern

NAMES = ["stream", "stream.a", "stream.every_node.chunk3", "io.small-1", "a]b", "[x]", "", "x!"]
PATTERNS = [
    "stream",
    "stream.*",
    "*.chunk[0-3]",
    "*.chunk[!0-2]",
    "s?ream*",
    "*",
    "**a**",
    "io.small-[12]",
    "[]]",
    "a[]]b",
    "[",
    "[x",
    "*[!x]",
    "x[!]",
    "",
]


@pytest.mark.parametrize("pattern", PATTERNS)
def test_whole_names(pattern: str) -> None:
    for name in NAMES:
        expected = name == pattern or fnmatch.fnmatchcase(name, pattern)
        assert NamePattern(pattern).matches(name) is expected, name


def test_a_name_with_special_characters_fits_itself() -> None:
    assert NamePattern("io.n[1-2]").matches("io.n[1-2]")
    assert NamePattern("io.n[1-2]").matches("io.n1")


def test_what_may_fit_below_a_start() -> None:
    """Never no for the start of a name that fits."""
    for pattern, name in itertools.product(PATTERNS, NAMES):
        compared = NamePattern(pattern)
        if compared.matches(name):
            assert all(compared.may_match_below(name[:end]) for end in range(len(name) + 1))
    assert not NamePattern("stream.*").may_match_below("io.")
    assert not NamePattern("*.chunk?").matches("stream.chunk10")


def test_many_stars_take_no_time() -> None:
    """With backtracking this takes years."""
    assert not NamePattern("*a" * 200 + "b").matches("a" * 2000)


def test_is_pattern() -> None:
    assert is_pattern("stream.*")
    assert not is_pattern("stream.a-b_c")
