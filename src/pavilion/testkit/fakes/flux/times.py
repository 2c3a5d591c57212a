"""Flux standard durations."""

from __future__ import annotations

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def parse(text: str, unit: float = 1.0) -> float | None:
    """Seconds: '30s', '5m', '1.5h', '2d', or a number of units; None for anything else."""
    for suffix, factor in _UNITS.items():
        number = text[: -len(suffix)]
        if text.endswith(suffix) and number[-1:].isdigit():
            return _number(number, factor)
    return _number(text, unit)


def _number(text: str, factor: float) -> float | None:
    try:
        found = float(text) * factor
    except ValueError:
        return None
    return found if 0 <= found < float("inf") else None


def short(seconds: float) -> str:
    """The shortest form: '30m', '2h', '100s'."""
    for suffix, factor in (("d", 86400.0), ("h", 3600.0), ("m", 60.0), ("s", 1.0)):
        if seconds >= factor or suffix == "s":
            return f"{seconds / factor:.4g}{suffix}"
    return ""
