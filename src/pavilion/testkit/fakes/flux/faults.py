"""The faults of the fake Flux: those that every fake has, some with its own words."""

from __future__ import annotations

from ..engine import faults

FAULTS: faults.Table = {
    **faults.FAULTS,
    "frozen": ("broker 0 is stopped: commands wait for ever, and what they send never arrives", {}),
    "down": ("the brokers have gone: connections are refused", {}),
    "transient": (
        faults.FAULTS["transient"][0],
        {"commands": [], "at": [1], "text": "Connection reset by peer"},
    ),
}
