"""Time limits: what may be written in a test, and what plugins get.

A plain number means hours, as in Pavilion 2.6.  Whole hours are an ``int``, because existing plugins
format an ``int``.  Any other limit is a :class:`TimeLimit`, which is also an ``int``: code that only
knows hours gets the limit rounded up to whole hours, and its ``seconds`` have the exact value.
"""

from __future__ import annotations

import math
import re
from typing import Any

from pavilion.errors import SchedConfigError

HOUR = 3600
# A longer limit is a mistake, and could not be converted to a float later.
_MOST_SECONDS = 10**18 * HOUR
_UNITS = {"d": 24 * HOUR, "h": HOUR, "m": 60, "s": 1}
_NUMBER = re.compile(r"[0-9]+(?:\.[0-9]+)?|\.[0-9]+", re.ASCII)
_PARTS = re.compile(
    r"\s*".join(
        rf"(?:(?P<{unit}>[0-9]+(?:\.[0-9]+)?)\s*{words})?"
        for unit, words in (
            ("d", "d(?:ays?)?"),
            ("h", "h(?:ours?|rs?)?"),
            ("m", "m(?:in(?:ute)?s?)?"),
            ("s", "s(?:ec(?:ond)?s?)?"),
        )
    ),
    re.ASCII,
)
_CLOCK = re.compile(
    r"(?:(?P<d>[0-9]+)-)?(?P<h>[0-9]+):(?P<m>[0-5]?[0-9]):(?P<s>[0-5]?[0-9])", re.ASCII
)


class TimeLimit(int):
    """A time limit that is not a whole number of hours.

    As an int, it is the number of hours, rounded up: '90m' is 2.  Comparisons, with other limits and
    with whole hours, use the exact ``seconds``.
    """

    seconds: int

    def __new__(cls, seconds: int) -> TimeLimit:
        """:param seconds: At least 1."""
        limit = super().__new__(cls, -(-seconds // HOUR))
        limit.seconds = seconds
        return limit

    def __eq__(self, other: object) -> bool:
        return isinstance(other, int) and self.seconds == seconds_of(other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __lt__(self, other: int) -> bool:
        return self.seconds < seconds_of(other)

    def __le__(self, other: int) -> bool:
        return self.seconds <= seconds_of(other)

    def __gt__(self, other: int) -> bool:
        return self.seconds > seconds_of(other)

    def __ge__(self, other: int) -> bool:
        return self.seconds >= seconds_of(other)

    def __hash__(self) -> int:
        return hash(("TimeLimit", self.seconds))

    def __reduce__(self) -> tuple[Any, ...]:
        return TimeLimit, (self.seconds,)

    def __deepcopy__(self, memo: Any) -> TimeLimit:
        return self


# What a user may request in the scheduler's own syntax.  It is longer than any other limit.
UNLIMITED = TimeLimit(_MOST_SECONDS + 1)


def seconds_of(limit: int) -> int:
    """The seconds of a validated ``schedule.time_limit``."""
    return limit.seconds if isinstance(limit, TimeLimit) else limit * HOUR


def from_seconds(seconds: int) -> int:
    """A number of seconds as a value of ``schedule.time_limit``: an int for whole hours, otherwise
    a :class:`TimeLimit`."""
    return TimeLimit(seconds) if seconds % HOUR else seconds // HOUR


def clock_text(limit: int) -> str:
    """A limit as 'H:M:S', such as '1:0:0' or '0:30:0', which most schedulers accept."""
    minutes, seconds = divmod(seconds_of(limit), 60)
    return f"{minutes // 60}:{minutes % 60}:{seconds}"


def clock_limit(value: Any) -> int:
    """Read a time limit of the form H:M:S, M:S or S, as many schedulers have it.

    :param value: A string; or a limit that was read already, which is returned as it is.
    :raises SchedConfigError: For anything else, and for 0.
    """
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        return value
    text = str(value).strip()
    match = re.fullmatch(r"(?:(?:([0-9]+):)?([0-9]+):)?([0-9]+)", text, re.ASCII)
    total = 0
    if match is not None and len(text) <= 40:
        hours, minutes, seconds = (int(part or 0) for part in match.groups())
        total = (hours * 60 + minutes) * 60 + seconds
    if not 0 < total <= _MOST_SECONDS:
        raise SchedConfigError(f"A time limit must have the form [[H:]M:]S, not {value!r}.")
    return from_seconds(total)


def padded_clock_text(limit: int) -> str:
    """A limit as 'HH:MM:SS', such as '01:00:00'."""
    return ":".join(part.zfill(2) for part in clock_text(limit).split(":"))


def short_text(limit: int) -> str:
    """A limit in the form in which it may be written in a test: '1h', '30m', '1h30m'; or
    'unlimited'."""
    if limit == UNLIMITED:
        return "unlimited"
    minutes, seconds = divmod(seconds_of(limit), 60)
    parts = [(minutes // 60, "h"), (minutes % 60, "m"), (seconds, "s")]
    return "".join(f"{number}{unit}" for number, unit in parts if number)


def time_limit(value: Any) -> int:
    """Read ``schedule.time_limit``: a number of hours ('2', '0.5'), or a time with units ('30m',
    '1h30m', '2d'), or H:MM:SS with optional days ('0:30:00', '1-12:00:00').

    :returns: Whole hours as an int, any other limit as a :class:`TimeLimit`.
    :raises SchedConfigError: For anything else; the message gives the unit and the allowed forms.
    """
    if isinstance(value, TimeLimit):
        return value
    seconds = None if isinstance(value, bool) else _seconds(value)
    if seconds is None or not 0 < seconds <= _MOST_SECONDS:
        raise SchedConfigError(
            f"time_limit must be a number of hours above 0 ('2' or '0.5'), or have units ('30m', "
            f"'1h30m') or the form H:MM:SS ('0:30:00'); not {value!r}."
        )
    return from_seconds(seconds)


def _seconds(value: Any) -> int | None:
    """The seconds, rounded up; None for what cannot be read."""
    if isinstance(value, float):
        return _up(value * HOUR) if math.isfinite(value) else None
    text = str(value).strip().lower().lstrip("+")
    # Longer numbers would be too large anyway.
    if len(text) > 40:
        return None
    if _NUMBER.fullmatch(text):
        return _up(float(text) * HOUR)
    match = _CLOCK.fullmatch(text) or (_PARTS.fullmatch(text) if text else None)
    if match is None:
        return None
    return _up(
        sum(float(number) * _UNITS[unit] for unit, number in match.groupdict().items() if number)
    )


def _up(seconds: float) -> int:
    # 0.07 * 3600 is 252.00000000000003, which is 252.
    return math.ceil(round(seconds, 6)) if seconds < 2**53 else int(seconds)
