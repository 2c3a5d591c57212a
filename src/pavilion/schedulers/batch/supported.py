"""Which schedule keys reach a scheduler: a key that is set and has no effect is an error."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pavilion.errors import SchedConfigError

from ..config import CONFIG_DEFAULTS, KEYS, calc_node_range, validate_config

if TYPE_CHECKING:
    from .plugin import SchedulerPluginBatch

# What is done with these here, whatever the scheduler: jobs are placed, and tests get variables.
PLACEMENT_KEYS = frozenset(["node_state", "share_allocation", "cluster_info", "flex_scheduled"])
LAUNCH_KEYS = frozenset(["wrapper", "mpirun_opts", "tasks", "tasks_per_node", "min_tasks_per_node"])
# These choose nodes.  That is of no use where a job cannot request the ones that were chosen.
CHOOSING_KEYS = frozenset(["across_nodes", "chunking", "include_nodes"])


def used_keys(plugin: SchedulerPluginBatch) -> frozenset[str]:
    """The schedule keys that have an effect on jobs of a plugin."""
    used = {key for directive in plugin.DIRECTIVES for key in directive.keys}
    used.update(plugin.USED_KEYS)
    if "include_nodes" in used:
        used |= CHOOSING_KEYS
    # Keys of sub-sections count for the whole.
    return frozenset(key.partition(".")[0] for key in used) | PLACEMENT_KEYS | LAUNCH_KEYS


def own_keys(plugin: SchedulerPluginBatch) -> list[str]:
    """The keys of a plugin's own section that its jobs depend on, as 'name.key'; 'name' for all of
    them."""
    used = {key for directive in plugin.DIRECTIVES for key in directive.keys}
    return sorted(key for key in used.union(plugin.USED_KEYS) if "." in key or key == plugin.name)


def unused_key(
    plugin: SchedulerPluginBatch, sched_config: Mapping[str, Any]
) -> SchedConfigError | None:
    """The error about a schedule key that is set, and that does nothing for this scheduler; None
    when there is none.

    :param sched_config: The validated schedule section.
    """
    used = used_keys(plugin)
    for key, default in _defaults().items():
        if key in used or sched_config.get(key) == default:
            continue
        if key == "chunking" and not sched_config[key].get("size"):
            # How chunks would be made, if there were any.
            continue
        known = ", ".join(sorted(used.intersection(CONFIG_DEFAULTS)))
        return SchedConfigError(
            f"schedule.{key} is set ({sched_config[key]!r}), but has no effect on jobs of the "
            f"{plugin.name!r} scheduler. Leave it out. These keys are used: {known}.",
            data={"key": f"schedule.{key}"},
        )
    return None


@functools.cache
def _defaults() -> dict[str, Any]:
    """The values of the keys that every scheduler has, where nothing is set."""
    defaults = validate_config({})
    return {key.name: defaults[key.name] for key in KEYS}


def with_numbers(sched_config: dict[str, Any], count: int) -> dict[str, Any]:
    """A schedule section with numbers of nodes in place of 'all' and of shares.

    :param count: How many nodes there are.
    """
    changed = {}
    for key in ("nodes", "min_nodes"):
        if isinstance(sched_config[key], float):
            changed[key] = calc_node_range({**_NO_NODES, "nodes": sched_config[key]}, count)[0]
    return {**sched_config, **changed} if changed else sched_config


_NO_NODES = {"nodes": None, "min_nodes": None, "tasks": None}
