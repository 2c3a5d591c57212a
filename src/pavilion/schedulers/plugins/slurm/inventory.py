"""Slurm's nodes as a test's configuration sees them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pavilion.errors import SchedulerPluginError
from pavilion.types import NodeInfo

from . import parsing
from .states import NodeRules


class Inventory:
    """The reservations, and what they mean for nodes.  Each state is judged once."""

    def __init__(self, reservations: Sequence[parsing.Reservation],
                 default_partition: str = "") -> None:
        self._reservations = reservations
        # Where jobs go that name no partition.
        self.default_partition = default_partition
        self._by_node = parsing.reservations_by_node(
            reservation for reservation in reservations if reservation.is_active)
        self._maintained = {reservation.name: frozenset(reservation.nodes)
                            for reservation in reservations if reservation.is_maintenance}
        # The last configuration that was asked about: they come in runs of all nodes.
        self._slurm: Mapping[str, Any] | None = None
        self._reservation: str | None = None
        self._rules = NodeRules((), (), ())

    def node_info(self, node: parsing.Node, slurm: Mapping[str, Any], reservation: str | None
                  ) -> NodeInfo:
        """A node, as tests with these settings see it.

        :param slurm: The section schedule.slurm.
        :param reservation: schedule.reservation.
        :raises SchedulerPluginError: When there is no such reservation, or it does not hold now.
        """
        if slurm is not self._slurm or reservation != self._reservation:
            self._check(reservation)
            self._slurm, self._reservation = slurm, reservation
            self._rules = NodeRules(slurm["up_states"], slurm["avail_states"],
                                    slurm["reserved_states"])
        held = self._by_node.get(node.name, ())
        in_maintenance = False
        if reservation:
            in_maintenance = any(node.name in self._maintained.get(name, ()) for name in held
                                 if reservation in (name, "any"))
        usability = self._rules.judge(node.state, bool(reservation), in_maintenance)
        info = parsing.node_info(node, usability, held)
        if self.default_partition and self.default_partition not in node.partitions:
            info["not_in_default"] = self.default_partition
        return info

    def _check(self, reservation: str | None) -> None:
        if not reservation or reservation == "any":
            return
        problem = parsing.reservation_problem(reservation, self._reservations)
        if problem:
            raise SchedulerPluginError(problem)
