"""``scontrol show topology``: the tree of switches of topology/tree."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..engine import hostlist
from ..engine.store import Row
from .errors import SlurmError

if TYPE_CHECKING:
    from .show import View

_ERROR = "scontrol: error: Topology information contains no"


def show(view: View, name: str) -> int:
    """All switches, or those that a switch's or a node's name, or a list of nodes, means."""
    context = view.context
    try:
        context.ask("REQUEST_TOPO_INFO")
    except SlurmError as error:
        context.err(f"slurm_load_topo error: {error.text}")
        return 0  # as the real one
    switches = context.description["switches"]
    if not name and not switches:
        context.err("scontrol: error: No topology information available")
        return 0
    found = [switch for switch in switches if name in ("", switch["name"])] or [
        switch for switch in switches if set(_names(name)) <= set(switch["nodes"])
    ]
    if not found:
        context.err(f"{_ERROR} switch or node named {name}")
    for switch in found:
        context.line(_line(switch))
    return 0


def address(description: Row, node: str) -> tuple[str, str]:
    """``top.s1.node01`` and ``switch.switch.node``: where a job's first node is in the tree."""
    above = [switch for switch in description["switches"] if node in switch["nodes"]]
    above.sort(key=lambda switch: -int(switch["level"]))
    return (
        ".".join([*(switch["name"] for switch in above), node]),
        ".".join([*("switch" for _ in above), "node"]),
    )


def _names(text: str) -> list[str]:
    try:
        return hostlist.expand(text)
    except hostlist.HostlistError:
        return [text]


def _line(switch: Row) -> str:
    words = [
        f"SwitchName={switch['name']}",
        f"Level={switch['level']}",
        f"LinkSpeed={switch['speed']}",
        f"Nodes={hostlist.fold(switch['nodes'])}",
    ]
    if switch["switches"]:
        words.append(f"Switches={hostlist.fold(switch['switches'])}")
    return " ".join(words)
