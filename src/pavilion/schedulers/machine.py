"""What is known about a machine that can list its nodes: the answers of its scheduler, and what follows
from them for the configurations of tests.

The raw data of the nodes is queried once.  What follows from it is computed once for all configurations
that agree in the keys that it depends on.
"""

from __future__ import annotations

import time
from collections.abc import Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from pavilion.errors import SchedulerPluginError
from pavilion.types import NodeInfo, NodeList, Nodes

from . import node_selection
from .lifecycle.blaming import CAUGHT, blaming, place_of
from .lifecycle.handover import calling
from .placement import chunking, compact, inventory
from .placement.config_cache import ConfigCache
from .placement.usable import Chunks, FilteredNodes

if TYPE_CHECKING:
    from .advanced import SchedulerPluginAdvanced
    from .placement import planning


class Answer(NamedTuple):
    """The result of querying the scheduler for its nodes; ``failure`` if that failed."""

    began: float
    when: float
    data: list[Any]
    extra: Any
    failure: BaseException | None = None


# Seconds after which a failure counts as slow.
_SLOW = 5.0


def pause_after(least: float, took: float) -> float:
    """Seconds to wait before trying again after a failure.

    The longer the failure took, the longer the pause: otherwise, while one of several commands
    times out, the pauses of the others would end.

    :param least: Seconds to wait after a quick failure.
    :param took: Seconds that the failure took.
    """
    return least * max(1.0, took / _SLOW)


class Machine:
    """What a plugin knows of its machine.  To forget it all, the plugin makes a new one.

    It is used with the plugin's inventory lock held, except to read what does not change.

    :param plugin: The plugin, whose methods query the scheduler.
    :ivar assigned: The nodes that a host assigned; None when it did not.
    :ivar nodes: Those of the last inventory; None before there was one.
    :ivar node_lists: The usable nodes for each kind of configuration; 'node_list_id' is the index.
    """

    def __init__(self, plugin: SchedulerPluginAdvanced) -> None:
        self._plugin = plugin
        self.assigned: Nodes | None = None
        self.nodes: Nodes | None = None
        self.node_lists: list[Sequence[str]] = []
        self._list_ids: dict[Hashable, int] = {}
        self._answers: ConfigCache[Answer] = ConfigCache()
        self._inventories: ConfigCache[Nodes] = ConfigCache()
        self._filtered: ConfigCache[FilteredNodes] = ConfigCache()
        self._chunks: dict[Hashable, Chunks] = {}
        self._usage: planning.ChunkUsage | None = None

    @property
    def usage(self) -> planning.ChunkUsage:
        """What earlier plans used."""
        if self._usage is None:
            # Imported here, because it is only needed to start tests.
            from .placement import planning

            self._usage = planning.ChunkUsage()
        return self._usage

    # ------------------------------------------------------------------------------- its nodes

    def inventory(self, sched_config: dict[str, Any]) -> Nodes:
        """What is known about each node, for this configuration, in natural order.

        :raises SchedulerPluginError: When the scheduler cannot be queried, or the plugin returns
            something that is not a description of a node.
        """
        self.nodes = self._inventories.get(sched_config, self._build_inventory)
        return self.nodes

    def _build_inventory(self, sched_config: dict[str, Any]) -> Nodes:
        answer = self.answer(sched_config)
        if answer.failure is not None:
            with blaming(self._plugin, "_get_raw_node_data"):
                raise answer.failure
        try:
            return self._describe_nodes(sched_config, answer)
        except inventory.InventoryError as exc:
            raise SchedulerPluginError(str(exc)) from exc

    def answer(self, sched_config: dict[str, Any]) -> Answer:
        """The result of querying the scheduler for its nodes, now or earlier."""
        # A thousand tests must not wait for a thousand timeouts.
        return self._answers.get(
            sched_config,
            self._ask_for_nodes,
            lambda known: (
                known.failure is None
                or time.monotonic() - known.when
                < pause_after(self._plugin.INVENTORY_RETRY, known.when - known.began)
            ),
        )

    def _ask_for_nodes(self, sched_config: dict[str, Any]) -> Answer:
        began = time.monotonic()
        try:
            with calling(self._plugin.name, "_get_raw_node_data"):
                answer = self._plugin._get_raw_node_data(sched_config)
            data, extra = self._checked_raw(answer)
        except CAUGHT as exc:
            return Answer(began, time.monotonic(), [], None, exc)
        return Answer(began, time.monotonic(), data, extra)

    def _checked_raw(self, answer: Any) -> tuple[list[Any], Any]:
        """Check what ``_get_raw_node_data`` returned: (list, extra)."""
        try:
            data, extra = answer
            # A list of two nodes, without extra data, must not be mistaken for the pair.
            if not isinstance(data, (str, bytes)) and not (
                isinstance(answer, list) and isinstance(data, Mapping)
            ):
                return list(data), extra
        except (TypeError, ValueError):
            pass
        raise SchedulerPluginError(
            f"{place_of(self._plugin, '_get_raw_node_data')} must return a list with one item per "
            "node, and extra data (or None): 'return nodes, None'. It "
            f"returned {inventory.shown(answer)}."
        )

    def _describe_nodes(self, sched_config: dict[str, Any], answer: Answer) -> Nodes:
        raw: Any = None
        infos: list[NodeInfo] = []
        # Around the loop, because what is done for every node has to be quick.
        with blaming(
            self._plugin,
            "_transform_raw_node_data",
            after=lambda: f"; for the raw data {inventory.shown(raw)}",
        ):
            for raw in answer.data:
                infos.append(self._plugin._transform_raw_node_data(sched_config, raw, answer.extra))
        nodes: Nodes = {}
        for raw, info in zip(answer.data, infos):
            inventory.check_node(self._plugin.name, raw, info)
            name = info["name"]
            nodes[name] = inventory.merged(nodes[name], info) if name in nodes else info
        return compact.Inventory(inventory.in_order(nodes))

    def filtered(self, sched_config: dict[str, Any]) -> FilteredNodes:
        """The nodes that can be used with this configuration.

        :raises SchedulerPluginError: When the scheduler cannot be queried.
        """
        return self._filtered.get(sched_config, self._work_out_filtered)

    def _work_out_filtered(self, sched_config: dict[str, Any]) -> FilteredNodes:
        nodes = self._plugin._get_system_inventory(sched_config)
        # Not what the host assigned, which was evaluated for some other configuration.
        names, reasons = self._plugin._filter(sched_config, nodes, ordered=True)
        found = compact.compact(nodes, names, reasons)
        # Filters that leave the same nodes share their chunks, and the record of their use.
        list_id = self._list_ids.setdefault(compact.key_of(names), len(self.node_lists))
        if list_id == len(self.node_lists):
            self.node_lists.append(found.names)
        return FilteredNodes(list_id, found.nodes, found.names, found.reasons)

    def chunks(self, filtered: FilteredNodes, sched_config: dict[str, Any]) -> Chunks:
        """The chunks of the usable nodes; without chunking, one with all of them."""
        config = sched_config["chunking"]
        include = tuple(sched_config["include_nodes"])
        key = (filtered.list_id, config["size"], config["node_selection"], config["extra"], include)
        found = self._chunks.get(key)
        if found is None:
            found = self._chunks[key] = self._make_chunks(key, filtered, config, include)
        return found

    def _make_chunks(
        self,
        key: Hashable,
        filtered: FilteredNodes,
        config: Mapping[str, Any],
        include: Sequence[str],
    ) -> Chunks:
        chunked = bool(config["size"])
        if not filtered.names:
            return Chunks(key, [], chunked)
        with blaming(self._plugin, "NODE_SELECTION"):
            try:
                size = chunking.chunk_size(config["size"], len(filtered.names))
                chunks = chunking.make_chunks(
                    filtered.names,
                    size,
                    config["node_selection"],
                    config["extra"],
                    include,
                    # The result depends on the seed and the nodes, but not on earlier draws, so the
                    # list's id is not included.
                    node_selection.new_rng(
                        f"{self._plugin.seed} {size} {config!r} {include!r} {filtered.names!r}"
                    )
                    if size
                    else None,
                    self._plugin.NODE_SELECTION,
                )
            except chunking.ChunkError as exc:
                return Chunks(key, [], chunked, str(exc))
        kept = compact.compact_chunks(filtered.nodes, filtered.names, chunks)
        return Chunks(key, kept, chunked)


def filter_nodes(
    plugin: SchedulerPluginAdvanced, sched_config: dict[str, Any], nodes: Nodes, ordered: bool
) -> tuple[NodeList, dict[str, list[str]]]:
    """The nodes that can be used with this configuration, and why the others cannot.

    :param ordered: Whether ``nodes`` is in natural order.
    """
    at = ""

    def custom(name: str, node: NodeInfo) -> str | None:
        nonlocal at
        at = name
        reason = plugin._filter_custom(sched_config, name, node)
        if reason is None or (reason and isinstance(reason, str)):
            return reason
        raise SchedulerPluginError(
            f"{place_of(plugin, '_filter_custom')} must return None, or the reason to leave a "
            "node out as a string; for node "
            f"{name!r} it returned {reason!r}."
        )

    # Around the loop, because what is done for every node has to be quick.
    with blaming(plugin, "_filter_custom", after=lambda: f"; for node {at!r}"):
        return inventory.filter_nodes(
            nodes,
            sched_config,
            custom if plugin._filters_nodes() else None,
            ordered=ordered,
            advice=plugin.LEFT_OUT_ADVICE,
        )
