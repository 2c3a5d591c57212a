"""Slurm's nodes as a test's configuration sees them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pavilion.errors import SchedulerPluginError
from pavilion.types import NodeInfo

from . import parsing
from .states import NodeRules


class ReservationError(SchedulerPluginError):
    """A reservation is not there, or does not hold now."""


class Inventory:
    """The reservations, and what they mean for nodes.  What nodes have in common is worked out
    once."""

    def __init__(self, reservations: Sequence[parsing.Reservation],
                 default_partition: str = "") -> None:
        self._reservations = reservations
        # Where jobs go that name no partition.
        self.default_partition = default_partition
        self._by_node = parsing.reservations_by_node(
            reservation for reservation in reservations if reservation.is_active)
        self._maintained = frozenset(reservation.name for reservation in reservations
                                     if reservation.is_maintenance)
        # The last configuration that was asked about: they come in runs of all nodes.
        self._slurm: Mapping[str, Any] | None = None
        self._reservation: str | None = None
        self._rules = NodeRules((), (), ())
        # By all that is known of a node but its name, and the reservations that hold it.
        self._alike: dict[tuple[Any, ...], NodeInfo] = {}

    def node_info(self, node: parsing.Node, slurm: Mapping[str, Any], reservation: str | None
                  ) -> NodeInfo:
        """A node, as tests with these settings see it.

        :param slurm: The section schedule.slurm.
        :param reservation: schedule.reservation.
        :raises ReservationError: When there is no such reservation, or it does not hold now.
        """
        if slurm is not self._slurm or reservation != self._reservation:
            self._check(reservation)
            self._slurm, self._reservation = slurm, reservation
            self._rules = NodeRules(slurm["up_states"], slurm["avail_states"],
                                    slurm["reserved_states"])
            self._alike = {}
        held = self._by_node.get(node.name, ())
        key = (held, *node[1:])
        alike = self._alike.get(key)
        if alike is None:
            alike = self._alike[key] = self._work_out(node, held)
        # Nodes that are alike share the lists in it: what is known of a node is not changed.
        info = alike.copy()
        info["name"] = node.name
        return info

    def _work_out(self, node: parsing.Node, held: Sequence[str]) -> NodeInfo:
        """What is said of all nodes like this one."""
        asked = self._reservation
        in_maintenance = bool(asked) and any(
            name in self._maintained for name in held if asked in (name, "any"))
        usability = self._rules.judge(node.state, bool(asked), in_maintenance)
        info = parsing.node_info(node, usability, held)
        if self.default_partition and self.default_partition not in node.partitions:
            info["not_in_default"] = self.default_partition
        return info

    def _check(self, reservation: str | None) -> None:
        if not reservation or reservation == "any":
            return
        problem = parsing.reservation_problem(reservation, self._reservations)
        if problem:
            raise ReservationError(problem)
