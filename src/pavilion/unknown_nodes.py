"""Names in a schedule section that are not names of nodes: a misspelt ``exclude_nodes`` excludes
nothing, and the test runs on the node that it was to avoid."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pavilion import schedulers
from pavilion.near import did_you_mean
from pavilion.schedulers.placement.hostlists import fold_short

# A name in include_nodes that is not the name of a node is an error when the test is placed.
_KEYS = ("exclude_nodes", "across_nodes")
# More names of nodes than this are not compared with one that is misspelt.
_MOST_COMPARED = 20_000


def unknown_nodes(
    plugin: schedulers.SchedulerPlugin | None, section: Mapping[str, Any]
) -> Iterator[str]:
    """What to say of the names that the scheduler does not list.

    Nothing, where the scheduler lists no nodes, hides some of them, or does not answer.

    :param section: A schedule section, with variables filled in.
    """
    if not isinstance(plugin, schedulers.SchedulerPluginAdvanced) or not any(
        section.get(key) for key in _KEYS
    ):
        return
    try:
        config = plugin._validated(section)
        nodes = plugin._get_system_inventory(config)
        hidden = plugin._missing_nodes(config)
    except (Exception, SystemExit):
        # A plugin may raise anything.  This becomes an error of the test when it is placed.
        return
    for key in _KEYS:
        unknown = [name for name in config[key] if name not in nodes]
        if not unknown or not nodes or hidden:
            continue
        names = list(nodes) if len(nodes) <= _MOST_COMPARED else []
        hint = did_you_mean(unknown[0], names, start="; did")
        effect = " and excludes nothing with them" if key == "exclude_nodes" else ""
        yield (
            f"schedule.{key} names nodes that {plugin.name} does not have{effect}: "
            f"{fold_short(unknown)}{hint}"
        )
