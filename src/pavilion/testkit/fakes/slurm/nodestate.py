"""Node states in the words of ``scontrol`` and ``sinfo``, and of other Slurm releases.

A node has a base state (IDLE, DOWN, UNKNOWN, ...) and flags. ``scontrol`` writes them all since
21.08 (``IDLE+DRAIN``), before that it glued marks to the base (``IDLE*+DRAIN``); ``sinfo`` makes
one word and a mark of them (``drained*``).
"""

from __future__ import annotations

from collections.abc import Iterable

from ..engine.machine import Machine, Node
from .releases import CLOUD_SHOWN, MODERN, of

BASES = ("UNKNOWN", "DOWN", "IDLE", "ALLOCATED", "ERROR", "MIXED", "FUTURE")

# Mark behind sinfo's word, by flag; the first that is there wins.
_MARKS = (
    ("MAINTENANCE", "$"),
    ("REBOOT_REQUESTED", "@"),
    ("REBOOT_ISSUED", "^"),
    ("POWERING_UP", "#"),
    ("POWERING_DOWN", "%"),
    ("POWERED_DOWN", "~"),
    ("POWER_DOWN", "!"),
    ("NOT_RESPONDING", "*"),
)
_MARKED_FLAGS = {"NOT_RESPONDING", "POWERED_DOWN", "POWERING_UP", "MAINTENANCE"}
# Flags in the order in which they follow the base state; others come last.
_ORDER = (
    "CLOUD",
    "COMPLETING",
    "DRAIN",
    "DYNAMIC_FUTURE",
    "DYNAMIC_NORM",
    "INVALID_REG",
    "FAIL",
    "MAINTENANCE",
    "POWER_DOWN",
    "POWER_UP",
    "POWERED_DOWN",
    "REBOOT_REQUESTED",
    "REBOOT_ISSUED",
    "RESERVED",
    "NOT_RESPONDING",
    "POWERING_DOWN",
    "POWERING_UP",
    "PLANNED",
)
_SHORT = {
    "allocated": "alloc",
    "completing": "comp",
    "draining": "drng",
    "drained": "drain",
    "mixed": "mix",
    "reserved": "resv",
    "unknown": "unk",
    "failing": "failg",
    "planned": "plnd",
    "reboot": "boot",
    "future": "futr",
    "error": "err",
}
# Slurm sorts node states by number: the base below, the flags above.
_WEIGHTS = {
    "RESERVED": 0x20,
    "CLOUD": 0x80,
    "DRAIN": 0x200,
    "COMPLETING": 0x400,
    "NOT_RESPONDING": 0x800,
    "POWERED_DOWN": 0x1000,
    "FAIL": 0x2000,
    "POWERING_UP": 0x4000,
    "MAINTENANCE": 0x8000,
    "REBOOT_REQUESTED": 0x10000,
    "POWERING_DOWN": 0x40000,
    "REBOOT_ISSUED": 0x200000,
    "PLANNED": 0x800000,
}


def weight(base: str, flags: Iterable[str]) -> int:
    """The number that ``sinfo`` sorts by."""
    number = BASES.index(base) if base in BASES else 15
    return number + sum(_WEIGHTS.get(flag, 0x1000000) for flag in flags)


def full(base: str, flags: Iterable[str], release: tuple[int, int] = (22, 5)) -> str:
    """As ``scontrol show node`` writes it."""
    names = in_order(flags)
    if release < (21, 8):
        mark = next((mark for flag, mark in _MARKS if flag in names), "")
        return "+".join(
            [
                base + mark,
                *(name for name in names if name not in _MARKED_FLAGS and name != "RESERVED"),
            ]
        )
    return "+".join([base, *names])


def of_node(node: Node, release: tuple[int, int] = (22, 5)) -> str:
    """As ``full``, of a node as it is now: 'IDLE+DRAIN'."""
    return full(node.base, node.flags, release)


def is_hidden(machine: Machine, node: Node) -> bool:
    """Whether the node is not listed, not even for an administrator: a cloud node that is
    powered down, unless the release, or PrivateData, shows these."""
    return (
        "POWERED_DOWN" in node.flags
        and bool(node.row["cloud"])
        and of(machine.description) < CLOUD_SHOWN
        and "cloud" not in machine.description["private_data"]
    )


def in_order(flags: Iterable[str]) -> list[str]:
    """The flags, each once, in Slurm's order."""
    names = set(flags)
    return [*(name for name in _ORDER if name in names), *sorted(names - set(_ORDER))]


def complete(base: str, flags: Iterable[str], release: tuple[int, int]) -> str:
    """As ``sinfo -O StateComplete`` writes it."""
    names = in_order(flags)
    if base == "MIXED" and "DRAIN" in names and release < MODERN:
        base = "ALLOCATED"
    return "+".join([base, *names]).lower()


def word(base: str, flags: Iterable[str]) -> str:
    """One lower-case word and a mark, as ``sinfo -o %T`` writes it."""
    names = set(flags)
    mark = next((mark for flag, mark in _MARKS if flag in names), "")
    busy = "COMPLETING" in names or base in ("ALLOCATED", "MIXED")
    if "MAINTENANCE" in names and "DRAIN" not in names and base == "IDLE":
        return "maint*" if "NOT_RESPONDING" in names else "maint"
    if names & {"REBOOT_REQUESTED", "REBOOT_ISSUED"} and "DRAIN" not in names and base == "IDLE":
        return "reboot" + mark
    if "DRAIN" in names:
        return ("draining" if busy else "drained") + mark
    if "FAIL" in names:
        return ("failing" if busy and base != "MIXED" else "fail") + mark
    if base == "ALLOCATED" and "COMPLETING" in names and not mark:
        return "allocated+"
    if base == "IDLE" and "COMPLETING" in names:
        return "completing" + mark
    if base == "IDLE" and "RESERVED" in names:
        return "reserved" + mark
    if base == "IDLE" and "PLANNED" in names:
        return "planned" + mark
    return base.lower() + mark


def short_word(base: str, flags: Iterable[str]) -> str:
    """The short word and mark, as ``sinfo -o %t`` writes it."""
    text = word(base, flags)
    name = text.rstrip("$@^#%~!*+")
    return _SHORT.get(name, name) + text[len(name) :]


def parse(text: str) -> tuple[str, list[str]]:
    """``DOWN+CLOUD+POWERED_DOWN`` as base and flags."""
    base, *flags = text.upper().split("+")
    return base, flags
