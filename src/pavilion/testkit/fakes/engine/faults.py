"""Faults that can be switched on and off while the cluster runs.

They are in one small file of the cluster's directory, replaced as a whole; every command reads it when
it starts, and again while it waits for a controller that does not answer.
"""

# A command starts in less time without pathlib.
# ruff: noqa: PTH105, PTH118, PTH123

from __future__ import annotations

import json
import os
from typing import Any

FAULT_FILE = "faults.json"

# Name -> what it does, and its settings with their defaults.
Table = dict[str, tuple[str, dict[str, Any]]]

# Those that every fake has.
FAULTS: Table = {
    "frozen": ("the controller does not answer; what it was sent is done all the same", {}),
    "down": ("there is no controller: connections are refused", {}),
    "slow": ("commands take longer", {"seconds": 1.0, "commands": []}),
    "transient": (
        "the n-th calls of a command (counted from now) fail, the others do not",
        {"commands": [], "at": [1], "text": "try again later"},
    ),
    "garbage": ("commands print nonsense that is not even UTF-8, rc 0", {"commands": []}),
    "truncated": (
        "commands print only the first part of their output, rc 0",
        {"commands": [], "keep": 0.5},
    ),
    "banner": (
        "commands print a site's banner around their output",
        {
            "commands": [],
            "text": "*** Welcome to the machine! ***",
            "where": "both",
            "stream": "stdout",
        },
    ),
    "queue_full": ("the limit of jobs is reached", {}),
    "unknown_job": (
        "some jobs (all if none is named) are not known, as before they are visible "
        "or after they are purged",
        {"ids": [], "younger_than": 0.0},
    ),
}

Faults = dict[str, dict[str, Any]]


class BadFault(ValueError):
    """A fault, or a setting of a fault, that there is not."""


def read(folder: str) -> Faults:
    """The faults that are on, with all their settings."""
    try:
        with open(os.path.join(folder, FAULT_FILE), encoding="utf-8") as file:
            loaded: Faults = json.load(file)
    except FileNotFoundError:
        return {}
    return loaded


def write(folder: str, faults: Faults) -> None:
    """Replace the faults that are on."""
    path = os.path.join(folder, FAULT_FILE)
    temporary = f"{path}.{os.getpid()}"
    with open(temporary, "w", encoding="utf-8") as file:
        json.dump(faults, file)
    os.replace(temporary, path)


def checked(name: str, settings: dict[str, Any], table: Table) -> dict[str, Any]:
    """The settings of a fault of a fake's table, the missing ones with their defaults.

    :raises BadFault: for an unknown fault, setting, or type of a value.
    """
    if name not in table:
        raise BadFault(f"there is no fault '{name}'; there are: {', '.join(sorted(table))}")
    defaults = table[name][1]
    for key, value in settings.items():
        if key not in defaults:
            raise BadFault(
                f"fault '{name}' has no setting '{key}'; it has: "
                f"{', '.join(sorted(defaults)) or 'none'}"
            )
        default = defaults[key]
        number = isinstance(default, (int, float)) and isinstance(value, (int, float))
        if not number and type(value) is not type(default):
            raise BadFault(f"fault '{name}': '{key}' is like {default!r}, not {value!r}")
    return {**defaults, **settings}


def concerns(fault: dict[str, Any], command: str) -> bool:
    """Whether a fault with a list of commands (all if empty) is about this one."""
    return not fault["commands"] or command in fault["commands"]
