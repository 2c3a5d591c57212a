"""Time limits: what may be written, and what becomes of it."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pavilion.errors import SchedConfigError
from pavilion.schedulers.time_limits import (
    TimeLimit,
    clock_text,
    from_seconds,
    seconds_of,
    short_text,
    time_limit,
)

LIMITS = st.integers(min_value=1, max_value=10**9)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1", 3600),
        (1, 3600),
        ("8", 28800),
        ("0.5", 1800),
        (0.5, 1800),
        (".25", 900),
        ("1.5", 5400),
        ("30m", 1800),
        ("30 min", 1800),
        ("90m", 5400),
        ("1h30m", 5400),
        ("1h 30m", 5400),
        ("45s", 45),
        ("2d", 172800),
        ("1 hour", 3600),
        ("2 hours 5 minutes", 7500),
        ("0:30:00", 1800),
        ("1.5h", 5400),
        ("0.5 hours", 1800),
        ("1.5d 30.5m", 131430),
        ("0.1s", 1),
        ("48:00:00", 172800),
        ("1-12:00:00", 129600),
        ("0.0001", 1),
        (" 2 ", 7200),
        ("1H30M", 5400),
    ],
)
def test_what_may_be_written(text: Any, seconds: int) -> None:
    limit = time_limit(text)
    assert seconds_of(limit) == seconds
    # Plugins that know hours only get a number of hours that is never too short.
    assert int(limit) * 3600 >= seconds
    assert f"{limit}" == str(-(-seconds // 3600))


@pytest.mark.parametrize(
    "text",
    [
        "0",
        "0.0",
        "-1",
        "",
        " ",
        "one",
        "1:30",
        "30:00",
        "1h-30m",
        "h",
        "30x",
        "1,5",
        "1_0",
        "\u0663",
        "nan",
        "inf",
        True,
        False,
        [1],
        "0m",
        "0:61:00",
        "1e3",
        "9" * 5000,
        "m",
        "1m1h",
        "1.h",
        "0.0h",
        ".h",
    ],
)
def test_what_may_not(text: Any) -> None:
    with pytest.raises(SchedConfigError) as caught:
        time_limit(text)
    assert "hours" in str(caught.value)
    assert "30m" in str(caught.value)


def test_whole_hours_are_what_existing_plugins_expect() -> None:
    assert type(time_limit("60m")) is int
    assert time_limit("60m") == 1
    assert type(from_seconds(7200)) is int


@given(LIMITS, LIMITS)
def test_limits_are_ordered_by_their_seconds(one: int, other: int) -> None:
    first, second = from_seconds(one), from_seconds(other)
    assert (
        first < second,
        first <= second,
        first == second,
        first >= second,
        first > second,
        first != second,
    ) == (one < other, one <= other, one == other, one >= other, one > other, one != other)
    assert seconds_of(max(first, second)) == max(one, other)
    if first == second:
        assert hash(first) == hash(second)


@given(LIMITS)
def test_texts_can_be_read_again(seconds: int) -> None:
    limit = from_seconds(seconds)
    for text in (short_text(limit), clock_text(limit)):
        assert seconds_of(time_limit(text)) == seconds
    assert time_limit(limit) == limit


def test_copies_keep_their_seconds() -> None:
    limit = TimeLimit(1800)
    for made in (
        copy.copy(limit),
        copy.deepcopy({"a": limit})["a"],
        pickle.loads(pickle.dumps(limit)),  # noqa: S301 - our own bytes
    ):
        assert (made.seconds, int(made)) == (1800, 1)
