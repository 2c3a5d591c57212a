"""The advanced family: schedulers that can list their nodes, and accept a list of nodes for a job.

Answers of the scheduler are kept until :meth:`SchedulerPluginAdvanced.refresh`.  The raw data of the
nodes is queried once.  What follows from it is computed once for all configurations that agree in
the keys that it depends on.  The scheduler is queried only when something depends on nodes.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pavilion.errors import PavilionError, SchedConfigError, SchedulerPluginError
from pavilion.scriptcomposer import ScriptComposer
from pavilion.types import NodeInfo, NodeList, NodeRange, Nodes

from .config import calc_node_range
from .lifecycle.blaming import blaming
from .lifecycle.placing import TestPlan, place_tests
from .machine import Answer, Machine, filter_nodes, pause_after
from .placement import inventory
from .placement.config_cache import Sections
from .placement.inventory import NodesUnknownError
from .placement.later_nodes import LaterNodes, NodeView
from .placement.usable import (
    UNKNOWN_CHUNKS,
    UNKNOWN_NODES,
    Chunks,
    FilteredNodes,
    chunk_problem,
    needs_nodes,
    too_few,
)
from .scheduler import SchedulerPlugin
from .vars import SchedulerVariables

if TYPE_CHECKING:
    from pavilion.test_run import TestRun

    from .placement import planning


__all__ = [
    "SchedulerPluginAdvanced",
    "FilteredNodes",
    "UNKNOWN_NODES",
    "UNKNOWN_CHUNKS",
    "pause_after",
]


class SchedulerPluginAdvanced(SchedulerPlugin):
    """The base class of schedulers with an inventory of nodes.

    In addition to what SchedulerPlugin's docstring lists, a plugin provides:

    ``_get_raw_node_data(sched_config) -> (list, extra)``
        Query the scheduler for its nodes.

    ``_transform_raw_node_data(sched_config, node_data, extra) -> NodeInfo``
        Turn an item of that list into the description of its node.  The docstrings of both
        methods say which keys there are.

    ``_filter_custom(sched_config, node_name, node) -> None or str``
        A plugin-specific reason why a node cannot be used; None when it can.

    ``_missing_nodes(sched_config) -> int``
        How many nodes the scheduler has for such a job, but does not list here.  Called when too
        few are listed; 0 by default.

    ``sched_config`` is the validated schedule section.  To the plugin it is a plain dictionary;
    the keys that the plugin reads determine for which tests a result is used again.
    """

    IS_PLUGIN_BASE = True

    # When the scheduler could not be queried for its nodes: for how many seconds that failure is
    # reported to all callers before it is queried again.  Longer if the failure took more than
    # _SLOW; see pause_after().  refresh() forgets the failure.
    INVENTORY_RETRY: float = 15.0
    # The reason why nodes are left out ('cause' of a node, or what _filter_custom returns) -> how
    # such nodes can be included, for messages.
    LEFT_OUT_ADVICE: Mapping[str, str] = {}

    def __init__(
        self, name: str, description: str, priority: int = SchedulerPlugin.PRIO_COMMON
    ) -> None:
        super().__init__(name, description, priority)
        # Where chunks are drawn at random: equal seeds give equal chunks.
        self.seed: int = int.from_bytes(os.urandom(4), "big")
        # Also guards what plugins keep while they compute something for it.
        self._inventory_lock = threading.RLock()
        self._machine = Machine(self)
        # Of the tests that are planned together.
        self._sections = Sections()
        # A plugin's own refresh() creates its caches.
        self.refresh()

    @property
    def _nodes(self) -> Nodes | None:
        """What is known about all nodes, including those that are down; None before they were
        queried.  Plugins read it in their _kickoff(); hosts assign it."""
        known = self._machine
        return known.nodes if known.assigned is None else known.assigned

    @_nodes.setter
    def _nodes(self, nodes: Nodes | None) -> None:
        self._machine.assigned = nodes

    @property
    def _node_lists(self) -> list[Sequence[str]]:
        """The usable nodes for each kind of configuration; 'node_list_id' is the index.  Hosts read
        it."""
        return self._machine.node_lists

    # ----------------------------------------------------------------- what a plugin provides

    def _get_raw_node_data(self, sched_config: dict[str, Any]) -> tuple[list[Any], Any]:
        """Query the scheduler for its nodes.

        Called when something depends on nodes, and not again until :meth:`refresh`, or for a
        ``sched_config`` with other values for the keys that this method reads.  So read only keys
        that the answer depends on; most plugins read none.

        What is fetched here has to suffice for what :meth:`_transform_raw_node_data` returns about
        each node: ``name``, ``up`` and ``available`` in any case; ``cpus``, ``mem``,
        ``partitions``, ``reservations``, ``features``, ``states`` and ``cause`` where the scheduler
        has them.  List all nodes, including those that are down: errors say why nodes are left
        out.

        :returns: (list, extra).  The list has one item per node, of any type.  ``extra`` is
            whatever else the next method needs, such as the reservations of the system, fetched
            once for all nodes; None where nothing else is needed.
        :raises SchedulerPluginError: When the scheduler cannot be queried.  All tests that are
            being scheduled end with this error.
        :raises NodesUnknownError: (from pavilion.schedulers) When the scheduler does not list its
            nodes, but accepts jobs.  That ends only the tests that depend on nodes: a test whose
            nodes the scheduler picks, and whose size is given as a number, is submitted without
            an inventory.
        """
        raise self._missing("_get_raw_node_data", "how the scheduler is queried for its nodes")

    def _transform_raw_node_data(
        self, sched_config: dict[str, Any], node_data: Any, extra: Any
    ) -> NodeInfo:
        """Turn the raw data of one node into its description.  Called once per node.

        Required keys:

        - ``name`` (str): as the scheduler accepts it in a list of nodes
        - ``up`` (bool): whether a job with this ``sched_config`` can get the node, now or later
        - ``available`` (bool): whether it is up and free right now

        Optional keys.  A key whose value is not known is left out:

        - ``cpus`` (int): the number of CPUs
        - ``mem`` (int): the memory, in bytes
        - ``partitions``, ``reservations`` (lists of str): those that the node belongs to.  A node
          without the key passes the filter for it; with an empty list, it does not
        - ``features``, ``states`` (lists of str): as the scheduler calls them
        - ``cause`` (str): why the node is not up, or not available, in a few words ('drained');
          errors count nodes by cause
        - anything else, for the plugin's own use in variables and in :meth:`_filter_custom`

        The description must be accurate: a job on nodes that the scheduler refuses, or that never
        come up, waits forever.

        :param sched_config: The validated schedule section.  The keys that are read determine for
            which tests the result is used again.
        :param node_data: An item of the list that :meth:`_get_raw_node_data` returned.
        :param extra: What that method returned besides the list.
        :raises SchedulerPluginError: When the data cannot be understood.  A missing key, or a value
            of the wrong type, is reported with plugin, node and key.
        """
        raise self._missing(
            "_transform_raw_node_data", "what the scheduler's data about a node means"
        )

    def _filter_custom(
        self, sched_config: dict[str, Any], node_name: str, node: NodeInfo
    ) -> str | None:
        """See the class docstring."""
        return None

    def _missing_nodes(self, sched_config: dict[str, Any]) -> int:
        """See the class docstring."""
        return 0

    def _placement_problem(
        self, sched_config: dict[str, Any], filtered: FilteredNodes
    ) -> str | None:
        """Why no job can get as many of these nodes as a test requests, although that many exist;
        None when a job can."""
        return None

    # ------------------------------------------------------------------------------ the nodes

    def refresh(self) -> None:
        """Forget everything that is known from the scheduler.  It is queried again when needed."""
        super().refresh()
        self._machine = Machine(self)

    def _get_system_inventory(self, sched_config: dict[str, Any]) -> Nodes:
        """What is known about each node, for this configuration, in natural order.

        :raises SchedulerPluginError: When the scheduler cannot be queried, or the plugin returns
            something that is not a description of a node (the message names node and key).
        """
        with self._inventory_lock:
            return self._machine.inventory(sched_config)

    def _raw_answer(self, sched_config: dict[str, Any]) -> Answer:
        """The result of querying the scheduler for its nodes, now or earlier."""
        with self._inventory_lock:
            return self._machine.answer(sched_config)

    def _filter_nodes(self, sched_config: dict[str, Any]) -> tuple[NodeList, dict[str, list[str]]]:
        """The nodes that can be used with this configuration, and why the others cannot.

        :returns: (names in natural order, {reason: names}).
        """
        assigned = self._machine.assigned
        if assigned is not None:
            return self._filter(sched_config, assigned, ordered=False)
        return self._filter(sched_config, self._get_system_inventory(sched_config), ordered=True)

    def _filter(
        self, sched_config: dict[str, Any], nodes: Nodes, ordered: bool
    ) -> tuple[NodeList, dict[str, list[str]]]:
        return filter_nodes(self, sched_config, nodes, ordered)

    def _filters_nodes(self) -> bool:
        """Whether the plugin has a filter of its own."""
        return type(self)._filter_custom is not SchedulerPluginAdvanced._filter_custom

    def filtered_nodes(self, sched_config: dict[str, Any]) -> FilteredNodes:
        """The nodes that can be used with this configuration.

        :raises SchedulerPluginError: When the scheduler cannot be queried.
        """
        with self._inventory_lock:
            return self._machine.filtered(sched_config)

    def chunks_of(self, sched_config: dict[str, Any]) -> Sequence[Sequence[str]]:
        """The chunks in which tests with this configuration are placed; without chunking, a single
        one.

        :raises SchedConfigError: When they cannot be made.
        :raises SchedulerPluginError: When the scheduler cannot be queried.
        """
        filtered = self.filtered_nodes(sched_config)
        found = self._get_chunks(filtered, sched_config)
        if found.error is not None:
            size = sched_config["chunking"]["size"]
            raise SchedConfigError(chunk_problem(filtered, size, found.error))
        return found.chunks

    def _get_chunks(self, filtered: FilteredNodes, sched_config: dict[str, Any]) -> Chunks:
        """The chunks of the usable nodes; without chunking, one with all of them."""
        with self._inventory_lock:
            return self._machine.chunks(filtered, sched_config)

    # -------------------------------------------------------------------------- the variables

    def _get_initial_vars(self, sched_config: dict[str, Any]) -> SchedulerVariables:
        """The variables of a test before it is scheduled.

        The scheduler is queried for its nodes only when a variable that depends on them is read;
        if the query fails, reading the variable raises SchedulerPluginError.  Too few nodes are
        not an error at this point but an entry in the variable ``errors``: a test may be set up
        without being run.
        """
        return self.VAR_CLASS(
            sched_config,
            deferred=True,
            nodes=LaterNodes(
                lambda: self._view(sched_config),
                needed=bool(inventory.node_needs(sched_config)),
            ),
        )

    def _view(self, sched_config: dict[str, Any]) -> NodeView:
        """What the variables of a test say about nodes."""
        with blaming(self, "_view"):
            return self._new_view(sched_config)

    def _new_view(self, sched_config: dict[str, Any]) -> NodeView:
        filtered = self.filtered_nodes(sched_config)
        chunks = self._get_chunks(filtered, sched_config)
        if chunks.error is not None:
            size = sched_config["chunking"]["size"]
            problem: str | None = chunk_problem(filtered, size, chunks.error)
        else:
            wrong = self._section_problem(sched_config)
            problem = (
                str(wrong) if wrong is not None else self._shortage(sched_config, filtered, chunks)
            )
        return NodeView(
            filtered.nodes, chunks.chunks, filtered.list_id, [problem] if problem else []
        )

    def _shortage(
        self, sched_config: dict[str, Any], filtered: FilteredNodes, chunks: Chunks
    ) -> str | None:
        """Why a test does not get the nodes that it requests; None when it does, or when the
        scheduler decides that."""
        problem = inventory.include_problem(filtered.reasons) or self._too_few(
            sched_config, filtered, chunks
        )
        try:
            unknown = bool(problem) and self._nodes_for(sched_config)[0] is UNKNOWN_NODES
        except PavilionError:
            unknown = False
        return None if unknown else problem

    def _too_few(
        self, sched_config: dict[str, Any], filtered: FilteredNodes, chunks: Chunks
    ) -> str | None:
        """Why a test gets fewer nodes than it requests; None when it gets enough."""
        least, _ = calc_node_range(sched_config, chunks.usable)
        return too_few(least, filtered, chunks)

    def _get_final_vars(self, sched_config: dict[str, Any], test: TestRun) -> SchedulerVariables:
        """The variables of a test inside its allocation, deferred ones included.

        They describe the nodes that the allocation really has; of a node that is not in the stored
        data, only the name is known.

        :raises SchedulerPluginError: When the allocation's nodes cannot be determined.
        """
        job = test.job
        if job is None:
            raise SchedulerPluginError(
                f"Test {test.id} has no job, so it has no allocation.", tests=[test]
            )
        # Imported here, because most processes neither start tests nor run in an allocation.
        from .lifecycle import node_data

        names = self._checked_alloc_nodes(test, job)
        known = node_data.load(job, names)
        nodes = {
            name: known.get(name) or {"name": name, "up": True, "available": True} for name in names
        }
        return self.VAR_CLASS(sched_config, nodes=nodes, chunks=[names], deferred=False)

    # -------------------------------------------------------------------------- the placement

    def plan_tests(self, tests: list[TestRun]) -> TestPlan:
        """Place tests into jobs.  See pavilion.schedulers.placement.planning for the rules.

        The chunks that were used are remembered, so that the tests of a later call get others.
        """
        from .lifecycle import node_data

        self._sections = Sections()
        filtered: dict[int, FilteredNodes] = {}
        stores: dict[int, node_data.NodeData] = {}

        def request(number: int, test: TestRun) -> planning.TestRequest:
            requested, filtered[number] = self._request(number, test)
            return requested

        def prepare(job: planning.PlannedJob) -> Any:
            found = filtered[job.tests[0]]
            return stores.setdefault(id(found), node_data.NodeData(found.nodes)).saver(job.nodes)

        return place_tests(self, tests, request, self._machine.usage, prepare)

    def _request(self, number: int, test: TestRun) -> tuple[planning.TestRequest, FilteredNodes]:
        """A test's request to the planner.

        :raises SchedConfigError: When its schedule section, or its chunking, is wrong.
        """
        from .placement import planning

        config = self._sections.get(test.config["schedule"], self._validated)
        problem = self._section_problem(config)
        if problem is not None:
            raise problem
        if test.config.get("pinned"):
            from .lifecycle import pinning

            return pinning.request(self, number, str(test.name), test.config, config)
        filtered, chunks = self._nodes_for(config)
        least, most = calc_node_range(config, chunks.usable)
        share = config["share_allocation"]
        return planning.TestRequest(
            key=number,
            name=str(test.name),
            config=config,
            chunks_id=chunks.chunks_id,
            chunks=chunks.chunks,
            min_nodes=least,
            max_nodes=most,
            chunk=test.config.get("chunk") or planning.ANY_CHUNK,
            chunked=chunks.chunked,
            flexible=config["flex_scheduled"],
            share=share,
            share_key=self.gen_job_share_key(config, least, most) if share else (),
            time_limit=config["time_limit"],
            left_out=filtered.reasons,
        ), filtered

    def _nodes_for(self, config: dict[str, Any]) -> tuple[FilteredNodes, Chunks]:
        """The nodes that a test may use, in chunks; none where the scheduler picks the nodes and
        does not list all of its nodes.

        :raises SchedulerPluginError: When the test depends on nodes that are not known.
        :raises SchedConfigError: When there are too few.
        """
        needs = inventory.node_needs(config)
        try:
            filtered = self.filtered_nodes(config)
            chunks = self._get_chunks(filtered, config)
            problem = self._nodes_problem(config, filtered, chunks)
        except NodesUnknownError as exc:
            if needs:
                raise SchedulerPluginError(
                    needs_nodes(exc.msg, needs), data=exc.data, prior_error=exc.prior_error
                ) from exc
            return UNKNOWN_NODES, UNKNOWN_CHUNKS
        short = (
            problem
            or inventory.include_problem(filtered.reasons)
            or self._too_few(config, filtered, chunks)
        )
        missing = self._missing_nodes(config) if short else 0
        if (
            missing
            and not needs
            and (calc_node_range(config, 0)[0] <= len(filtered.names) + missing)
        ):
            return UNKNOWN_NODES, UNKNOWN_CHUNKS
        if missing and needs:
            raise SchedConfigError(
                needs_nodes(
                    f"{short} The scheduler has {missing} more nodes for such a job, which are not "
                    "listed here",
                    needs,
                )
            )
        # If there are too few, the planner reports that.
        problem = problem or (None if short else self._placement_problem(config, filtered))
        if problem is not None:
            raise SchedConfigError(problem)
        return filtered, chunks

    def _nodes_problem(
        self, config: dict[str, Any], filtered: FilteredNodes, chunks: Chunks
    ) -> str | None:
        """Why a test cannot be planned at all; None when it can."""
        if chunks.error is not None:
            return chunk_problem(filtered, config["chunking"]["size"], chunks.error)
        if not filtered.names:
            # To the planner, no chunks would mean that the nodes are not known.
            return inventory.include_problem(filtered.reasons) or self._too_few(
                config, filtered, chunks
            )
        return None

    def _job_node_range(self, sched_config: dict[str, Any]) -> NodeRange:
        if not inventory.node_needs(sched_config):
            return calc_node_range(sched_config, 0)
        return calc_node_range(sched_config, len(self.filtered_nodes(sched_config).names))

    def _header_vars(
        self, sched_config: dict[str, Any], nodes: NodeList | None
    ) -> SchedulerVariables:
        # A header that reads no variable about nodes does not query the scheduler.
        return self.VAR_CLASS(
            sched_config,
            deferred=True,
            nodes=LaterNodes(lambda: self._header_view(sched_config, nodes)),
        )

    def _header_view(self, sched_config: dict[str, Any], nodes: NodeList | None) -> NodeView:
        filtered = self.filtered_nodes(sched_config)
        if nodes is None:
            return NodeView(filtered.nodes, [filtered.names], filtered.list_id, [])
        known = {name: filtered.nodes[name] for name in nodes if name in filtered.nodes}
        return NodeView(known, [list(nodes)], filtered.list_id, [])

    def _job_name(self, tests: TestRun | Sequence[TestRun]) -> str:
        """'pav_', and the names of up to four tests."""
        listed = list(tests) if isinstance(tests, (list, tuple)) else [tests]
        name = "pav_" + ",".join(str(test.name) for test in listed[:4])
        return name + (" ..." if len(listed) > 4 else "")

    def _add_kickoff_lines(self, script: ScriptComposer, tests: Sequence[TestRun]) -> None:
        script.command(f'echo "Starting {len(tests)} tests at $(date)."')
