"""Times and durations in the forms that Slurm reads and writes. Seconds since the epoch inside."""

from __future__ import annotations

import re
import time

_UNITS = {
    "": 1,
    "second": 1,
    "seconds": 1,
    "minute": 60,
    "minutes": 60,
    "hour": 3600,
    "hours": 3600,
    "day": 86400,
    "days": 86400,
    "week": 604800,
    "weeks": 604800,
}


def parse_limit(text: str) -> int | None:
    """A time limit in minutes, rounded up; None for no limit.

    Forms: minutes, minutes:seconds, hours:minutes:seconds, days-hours[:minutes[:seconds]].
    :raises ValueError: for anything else.
    """
    if text.upper() in ("UNLIMITED", "INFINITE", "-1"):
        return None
    if not re.fullmatch(r"(\d+-)?\d+(:\d+){0,2}|\d+-", text):
        raise ValueError(text)
    days, dash, clock = text.rpartition("-")
    parts = [int(part) for part in (clock or "0").split(":")]
    if dash:
        hours, minutes, seconds = [*parts, 0, 0][:3]
    elif len(parts) == 3:
        hours, minutes, seconds = parts
    else:
        hours, minutes, seconds = 0, parts[0], parts[1] if len(parts) == 2 else 0
    total = int(days or 0) * 86400 + hours * 3600 + minutes * 60 + seconds
    return -(-total // 60)


def clock(seconds: float) -> str:
    """'02:03:04', '1-02:03:04': as ``scontrol`` writes a duration."""
    total = max(0, int(seconds))
    days, rest = divmod(total, 86400)
    text = f"{rest // 3600:02d}:{rest % 3600 // 60:02d}:{rest % 60:02d}"
    return f"{days}-{text}" if days else text


def short_clock(seconds: float) -> str:
    """'0:04', '2:03', '1:02:03', '1-02:03:04': as ``squeue`` and ``sinfo`` write a duration."""
    total = max(0, int(seconds))
    days, rest = divmod(total, 86400)
    hours, minutes = rest // 3600, rest % 3600 // 60
    if days:
        return f"{days}-{hours:02d}:{minutes:02d}:{rest % 60:02d}"
    if hours:
        return f"{hours}:{minutes:02d}:{rest % 60:02d}"
    return f"{minutes}:{rest % 60:02d}"


def stamp(when: float | None, environment: dict[str, str], none: str = "Unknown") -> str:
    """A point in time; the environment's SLURM_TIME_FORMAT changes it as with the real one."""
    if when is None:
        return none
    local = time.localtime(when)
    form = environment.get("SLURM_TIME_FORMAT", "standard")
    if form == "relative":
        today = time.localtime()
        if local[:3] == today[:3]:
            return time.strftime("%H:%M:%S", local)
        same_year = local.tm_year == today.tm_year
        return time.strftime("%d %b %H:%M" if same_year else "%d %b %Y", local).lstrip("0")
    if form == "standard" or not form:
        return time.strftime("%Y-%m-%dT%H:%M:%S", local)
    return time.strftime(form, local)


_DAYTIMES = {"midnight": "00:00", "noon": "12:00", "fika": "15:00", "teatime": "16:00"}


def parse_when(text: str, now: float) -> float:
    """'now', 'now+1hour', 'now-5minutes', 'HH:MM[:SS]', 'YYYY-MM-DD[THH:MM[:SS]]', 'MM/DD/YY',
    'noon', 'midnight', 'teatime', 'today', 'tomorrow'.

    :raises ValueError: for anything else.
    """
    if text.lower() in _DAYTIMES:
        text = _DAYTIMES[text.lower()]
    elif text.lower() in ("today", "tomorrow"):
        days = int(text.lower() == "tomorrow")
        return time.mktime(
            (*time.localtime(now)[:2], time.localtime(now)[2] + days, 0, 0, 0, 0, 0, -1)
        )
    match = re.fullmatch(r"now(?:([+-])(\d+)([a-z]*))?", text.lower())
    if match:
        sign, amount, unit = match.groups()
        if not sign:
            return now
        if unit not in _UNITS:
            raise ValueError(text)
        return now + (1 if sign == "+" else -1) * int(amount) * _UNITS[unit]
    for form in ("%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M", "%Y-%m-%d", "%m/%d/%y", "%m%d%y"):
        try:
            return time.mktime(time.strptime(text, form))
        except ValueError:
            pass
    for form in ("%H:%M:%S", "%H:%M"):
        try:
            of_day = time.strptime(text, form)
        except ValueError:
            continue
        today = time.localtime(now)
        when = time.mktime((*today[:3], *of_day[3:6], 0, 0, -1))
        return when if when > now else when + 86400
    raise ValueError(text)
