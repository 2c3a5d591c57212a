"""What newcomers write, and what they read: plain words, the right line, and a caret."""

from __future__ import annotations

import pytest
import yaml

from yaml_config import YamlError, yaml_source

# The text; the line and column of the mistake; words of the message; the text that the caret is at.
MISTAKES = [
    # Indentation
    ("a:\n  b:\n   c:\n    - d\n e: x\n", 5, 2, "indented by 1 space", "e: x"),
    ("a:\n  b:\n      c: [x]\n    d: 3\n", 4, 5, "possible here: 0 (as line 1), 2 (as line 2)", "d: 3"),
    (" a:\n  b: 1\nc:\n  b: 1\n", 3, 1, "indented by 0 spaces", "c:"),
    ("a:\n  b: x\n    c: y\n", 3, 5, "line 2, where 'b' has a value already", "c: y"),
    ("a:\r\n  b: x\r\n    c: y\r\n", 3, 5, "line 2, where 'b' has a value already", "c: y"),
    ("a:\n\tb: x\n", 2, 1, "indented with a tab", "\\tb: x"),
    ("a:\n  b: x\n\tc: {d: [x]}\n", 3, 1, "indented with a tab", "\\tc: "),
    ("a:\n  - x\n\t- y\n", 3, 1, "indented with a tab", "\\t- y"),
    # Colons
    ("a\n  b: x\n", 1, 2, "a ':' is missing after 'a'", None),
    ("a:\n  b: x\n  c\n    d: [x]\n", 3, 4, "a ':' is missing after 'c'", None),
    ("a:\n  b: x\n  c raw\n  d: y\n", 3, 4, "as in 'c: raw'", " raw"),
    ("a:\n  b:x\n  c: y\n", 2, 5, "put a space after the ':', like 'b: x'", "x"),
    ("a:\n  b: y\n  c:x\n  d: y\n", 3, 5, "put a space after the ':', like 'c: x'", "x"),
    ("a:\n  b = x\n  c: y\n", 2, 3, "write 'b: x' in place of 'b = x'", "b = x"),
    ("a: b: c\n", 1, 5, "a value with ': ' in it must be in quotes", ": c"),
    ("a: echo \"b: c\"\n", 1, 11, "must be in quotes: a: '...: ...'", ": c"),
    ("a:\n  - if b; then\n      echo c: d\n", 2, 3, "may follow '- |'", "- if"),
    # Lists
    ("a:\n  - b\n  c\n", 3, 3, "each item of a list starts with '- '", "c"),
    ("a:\n  - b\n  -c\n", 3, 4, "put a space after the '-'", "c"),
    ("a:\n  - b\n    - c\n", 3, 5, "a part of the item in line 2", "- c"),
    ("a:\n  - 'b'\n    - c\n", 3, 5, "in the same column as the item above it (line 2)", "- c"),
    # Quotes
    ("a:\n  b: \"x\n  c: y\n", 2, 6, "the quote (\") that opens here is not closed", '"x'),
    ("a: ['echo it's']\n", 1, 14, "within single quotes a ' is written twice", "s']"),
    ("a:\n  - \"echo\" b\n", 2, 12, "the value ended with the quote (\")", "b"),
    ('a: "\\d"\n', 1, 5, "a backslash must be doubled", "\\d"),
    # Brackets
    ("a: {b: n[1-2]}\n", 1, 9, "within '{...}', text with any of []{},: in it must", "[1-2]"),
    ("a: {b: echo: hi}\n", 1, 12, "within '{...}', text with any of []{},: in it must", ": hi"),
    ("a: [n[1-2], c]\n", 1, 6, "within '[...]', text with any of []{},: in it must", "[1-2]"),
    ("a: {b: [c] [d]}\n", 1, 12, "and items need commas between them", "[d]"),
    ("a: [b\nc: d\n", 1, 4, "the '[' that opens here is not closed in the lines", "[b"),
    ("a: {b: [c]\nd: e\n", 1, 4, "the '{' that opens here is not closed", "{b"),
    ("a: [\n", 1, 4, "the '[' that opens here is not closed", "["),
    ("a: [b]]\n", 1, 7, "there is one ']' too many", "]"),
    ("a: {b: c}\n}\n", 2, 1, "there is one '}' too many", "}"),
    ("a: {b: c},\nd: e\n", 1, 10, "a comma does not belong here", ","),
    ("a: ['b' 'c']\n", 1, 9, "a comma is missing before this", "'c'"),
    # Values that begin with something special
    ("a: {{b}} c\n", 1, 5, "in quotes, like '{{name}} more'", "{b}} c"),
    ("a: {{b}}\n", 1, 5, "in quotes, like '{{name}} more'", "{b}}"),
    ("a: %50\n", 1, 4, "a value that starts with '%' must be in quotes", "%50"),
    ("a:\n  - `date`\n", 2, 5, "a value that starts with '`' must be in quotes", "`date`"),
    ("a:\n  - *.txt\n", 2, 5, "a value that starts with '*' must be in quotes", "*.txt"),
    ("a: & b\n", 1, 4, "a value that starts with '&' must be in quotes", "& b"),
    ("a: |b\n", 1, 4, "after '|' the text must begin in the next line", "|b"),
    ("a:\n  b: |\n  c\n  d\n", 3, 3, "'b: |' (line 2) begins must be indented more", "c"),
    ("a:\n\u00a0\u00a0b: c\n", 2, 1, "looks like a blank and is not one (U+00A0)", "\\xa0\\xa0b"),
]  # fmt: skip


@pytest.fixture(params=["fastest", "python"], autouse=True)
def parser(request, monkeypatch):
    """Both parsers of PyYAML: not every installation has the fast one."""
    if request.param == "python":
        monkeypatch.setattr(yaml_source, "_PARSER", yaml.SafeLoader)


@pytest.mark.parametrize(("text", "line", "column", "words", "at"), MISTAKES)
def test_mistakes_are_explained_where_they_are(text, line, column, words, at):
    with pytest.raises(YamlError) as caught:
        yaml_source.parse_yaml(text, "conf.yaml")
    error = caught.value
    message, shown, caret = str(error).split("\n")
    assert message.startswith(f"conf.yaml:{line}:{column}: ")
    assert words in message
    for jargon in ("block mapping", "scalar", "token", "flow", "simple key", "expected <"):
        assert jargon not in message
    assert caret.startswith("  | ")
    place = caret.index("^")
    if at is not None:
        assert shown[place:].startswith(at)


def test_a_long_line_is_cut_around_the_caret():
    text = "a: " + "x" * 500 + ": b " + "y" * 500 + "\n"
    with pytest.raises(YamlError) as caught:
        yaml_source.parse_yaml(text, "conf.yaml")
    _, shown, caret = str(caught.value).split("\n")
    assert len(shown) < 120
    assert shown[caret.index("^") :].startswith(": b yyy")


@pytest.mark.parametrize(
    "text",
    [
        "a:\n  - mpirun -n 4\n    --flag\n",
        "a:\n  - 'b\n    - c'\n",
        "a: b\n  - c\n",
        "a:\n  - |\n    - b\n    c\n",
    ],
)
def test_what_is_meant_like_that_is_read(text):
    assert yaml_source.parse_yaml(text, "conf.yaml") is not None
