"""Elements with a single value."""

from __future__ import annotations

import io
import math
from pathlib import Path

import pytest

import yaml_config as yc


def read(elem: yc.ConfigElement, text: str):
    """Return the validated value of the key 'x' in a file."""
    return yc.YamlConfigLoader(elements=[elem]).load(io.StringIO(f"x: {text}\n"))["x"]


@pytest.mark.parametrize(
    "text",
    ["007", "1:30", "1_000", "yes", "on", "true", "False", "1.50", "0x10", "1e3", "-0",
     "2026-01-01", ".inf", "12:30:45", "a b", "ü", "+1", "99999999999999999999"],
)  # fmt: skip
def test_text_is_what_was_typed(text):
    value = read(yc.StrElem("x"), text)
    assert value == text
    assert type(value) is str


@pytest.mark.parametrize("text", ["", "~", "null"])
def test_null_is_no_value(text):
    assert read(yc.StrElem("x"), text) is None


def test_text_from_python_values():
    assert [yc.StrElem().validate(value) for value in (5, 1.5, True, Path("a"))] == [
        "5", "1.5", "True", "a",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "value"),
    [("12", 12), ("010", 10), ("1_000", 1000), ("0x1f", 31), ("-3", -3), ("'7'", 7)],
)
def test_whole_numbers(text, value):
    number = read(yc.IntElem("x"), text)
    assert number == value
    assert type(number) is int


@pytest.mark.parametrize(("text", "value"), [("12", 12.0), ("1e3", 1000.0), ("-.inf", -math.inf)])
def test_numbers(text, value):
    number = read(yc.FloatElem("x"), text)
    assert number == value
    assert type(number) is float


@pytest.mark.parametrize(
    ("text", "value"),
    [("true", True), ("yes", True), ("On", True), ("FALSE", False), ("no", False), ("off", False)],
)
def test_true_and_false(text, value):
    assert read(yc.BoolElem("x"), text) is value


def test_paths():
    assert read(yc.PathElem("x"), "~/a b") == Path("~/a b")
    assert read(yc.PathElem("x"), "2026") == Path("2026")
    assert yc.PathElem(default="/tmp").validate(None) == Path("/tmp")


@pytest.mark.parametrize(
    ("elem", "text", "message"),
    [
        (yc.IntElem("x"), "1.5", "line 1: x: '1.5' is not a whole number"),
        (yc.IntElem("x"), "true", "'true' is not a whole number"),
        (yc.IntElem("x"), "1:30", "'1:30' is not a whole number"),
        (yc.IntElem("x"), "''", "'' is not a whole number"),
        (yc.FloatElem("x"), "fast", "'fast' is not a number"),
        (yc.FloatElem("x"), "true", "'true' is not a number"),
        (yc.FloatElem("x"), "0x" + "f" * 400, "is not a number"),
        (yc.BoolElem("x"), "maybe", "'maybe' is not true or false"),
        (yc.BoolElem("x"), "1", "'1' is not true or false"),
        (yc.PathElem("x"), "''", "'' is not a path"),
        (yc.PathElem("x"), '"a\\0b"', "is not a path"),
        (yc.StrElem("x"), "[a]", "a list where text belongs"),
        (yc.StrElem("x"), "{a: b}", "a mapping where text belongs (text that starts with '{'"),
        (yc.RegexElem("x", regex="[a-c]+$"), "abd", "expected text that matches '[a-c]+$'"),
        (yc.RegexElem("x", regex="[a-c]+"), "dab", "expected text that matches '[a-c]+'"),
        (yc.IntRangeElem("x", vmin=1, vmax=5), "6",
         "6 is out of range; expected a whole number from 1 to 5"),
        (yc.IntRangeElem("x", vmin=1), "0", "expected a whole number of at least 1"),
        (yc.FloatRangeElem("x", vmax=0.5), "0.6", "expected a number of at most 0.5"),
        (yc.FloatRangeElem("x", vmin=0), ".nan", "out of range"),
        (yc.StrElem("x", choices=["up", "available"]), "availabel",
         "'availabel' is not allowed here; expected one of: up, available; "
         "did you mean 'available'?"),
        (yc.IntElem("x", choices=[1, 2]), "3", "expected one of: 1, 2"),
    ],
)  # fmt: skip
def test_bad_values_are_explained(elem, text, message):
    with pytest.raises(yc.ConfigError) as info:
        read(elem, text)
    assert message in str(info.value)


def test_a_regular_expression_matches_from_the_start():
    assert yc.RegexElem("x", regex="[a-c]+").validate("abd") == "abd"


def test_ranges_include_their_limits():
    elem = yc.IntRangeElem("x", 1, 5)
    assert isinstance(elem, yc.RangeElem)
    assert isinstance(elem, yc.IntElem)
    assert [elem.validate(value) for value in ("1", 5)] == [1, 5]


def test_defaults_and_required_values():
    assert yc.IntElem(default="5").validate(None) == 5
    assert yc.IntElem(default=5, required=True).validate(None) == 5
    assert yc.IntElem().validate(None) is None
    with pytest.raises(yc.RequiredError, match="a value is required"):
        yc.IntElem(required=True).validate(None)
    assert yc.IntElem(default=5, required=True).validate(None, partial=True) == 5
    assert yc.IntElem(required=True).validate(None, partial=True) is None


def test_required_error_is_a_value_error():
    assert issubclass(yc.RequiredError, ValueError)
    assert issubclass(yc.ConfigError, ValueError)


@pytest.mark.parametrize("name", ["", "Name", "1a", "_a", "a-b", "a.b", "a b", "ä", "a\n", 3])
def test_bad_names_are_refused(name):
    with pytest.raises(ValueError, match="lower case letters, digits and '_'"):
        yc.StrElem(name)


@pytest.mark.parametrize(
    "define",
    [
        lambda: yc.KeyedElem("s", elements=[yc.IntElem("n", default="many")]),
        lambda: yc.KeyedElem("s", elements=[yc.StrElem("n", default="c", choices=["a", "b"])]),
        lambda: yc.KeyedElem("s", elements=[yc.IntRangeElem("n", 1, 5, default=6)]),
        lambda: yc.ListElem("s", sub_elem=yc.IntElem(default="many")),
        lambda: yc.CategoryElem("s", sub_elem=yc.IntElem(default="many")),
        lambda: yc.KeyedElem("s", elements=[yc.ListElem("n", yc.IntElem(), defaults=["many"])]),
        lambda: yc.RegexElem("s", regex="("),
        lambda: yc.IntRangeElem("s", 5, 1),
        lambda: yc.ListElem("s", min_length=3, max_length=2),
        lambda: yc.CategoryElem("s", key_case="sideways"),
        lambda: yc.KeyedElem("s", key_case=yc.KeyedElem.KC_UPPER),
        lambda: yc.KeyedElem("s", elements=[yc.StrElem()]),
        lambda: yc.KeyedElem("s", elements=[yc.StrElem("a"), yc.IntElem("a")]),
        lambda: yc.KeyedElem("s", elements=["a"]),
    ],
)  # fmt: skip
def test_bad_definitions_are_refused_and_name_the_element(define):
    with pytest.raises(yc.ConfigError, match=r"Elem\('?(s|n)|Elem\(None"):
        define()
