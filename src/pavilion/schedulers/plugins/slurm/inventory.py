"""Slurm's nodes as a test's configuration sees them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from pavilion.types import NodeInfo

from ...placement.inventory import node_needs
from . import parsing
from .known import reservation_names
from .states import NodeRules


class Inventory:
    """The reservations, and what they mean for nodes.  What nodes have in common is worked out
    once.

    :param usable: The reservations that this user's jobs may use.
    """

    def __init__(
        self,
        reservations: Sequence[parsing.Reservation],
        default_partition: str = "",
        usable: Sequence[parsing.Reservation] | None = None,
    ) -> None:
        self._reservations = reservations
        self._usable = (
            [each for each in reservations if each.is_active] if usable is None else (usable)
        )
        # Where jobs go that name no partition.
        self.default_partition = default_partition
        self._active = parsing.reservations_by_node(
            reservation for reservation in reservations if reservation.is_active
        )
        # The same, with those that the configuration names and that have not begun.
        self._by_node = self._active
        self._maintained: frozenset[str] = frozenset()
        # The last configuration that was looked at: they come in runs of all nodes.
        self._config: Mapping[str, Any] | None = None
        # The reservations that a job would request; None when it requests none.
        self._reach: Reach | None = None
        # Those of them whose jobs may use nodes that no reservation holds, where Slurm picks.
        self._flexible: tuple[str, ...] = ()
        # Where a job goes that names no partition: to that of its reservation, if there is one.
        self._default: tuple[str, ...] = ()
        self._rules = NodeRules((), (), ())
        # By all that is known about a node but its name, and the reservations that hold it.
        self._alike: dict[tuple[Any, ...], NodeInfo] = {}

    def node_info(self, node: parsing.Node, config: Mapping[str, Any]) -> NodeInfo:
        """A node, as tests with these settings see it.

        :param config: The validated schedule section.
        """
        if config is not self._config:
            self._config, slurm = config, config["slurm"]
            # Each key that is read makes an inventory of its own: no more than needed.
            self._reach = self._reach_of(config["reservation"])
            named = self._reach.reservations if self._reach else ()
            flexible = tuple(each.name for each in named if each.is_flexible)
            self._flexible = flexible if flexible and not node_needs(config) else ()
            self._default = tuple(
                dict.fromkeys(each.partition for each in named if each.partition)
            ) or ((self.default_partition,) if self.default_partition else ())
            self._by_node = (
                self._active
                if all(each.is_active for each in named)
                else (
                    parsing.reservations_by_node(
                        each for each in self._reservations if each.is_active or each in named
                    )
                )
            )
            self._maintained = frozenset(each.name for each in named if each.is_maintenance)
            self._rules = NodeRules(
                slurm["up_states"],
                slurm["avail_states"],
                slurm["reserved_states"],
                wakes=config["flex_scheduled"],
            )
            self._alike = {}
        held = self._by_node.get(node.name, ()) or self._flexible
        key = (held, *node[1:])
        alike = self._alike.get(key)
        if alike is None:
            alike = self._alike[key] = self._work_out(node, held)
        # Nodes that are alike share the lists in it: what is known about a node is not changed.
        info = alike.copy()
        info["name"] = node.name
        return info

    def _work_out(self, node: parsing.Node, held: Sequence[str]) -> NodeInfo:
        """What is said of all nodes like this one."""
        usability = self._rules.judge(
            node.state, self._reach is not None, not self._maintained.isdisjoint(held)
        )
        info = parsing.node_info(node, usability, held)
        if self._reach is not None and self._reach.names.isdisjoint(held):
            info["out_of_reach"] = self._reach.why_not
        if self._default and not set(self._default).intersection(node.partitions):
            info["not_in_default"] = ",".join(self._default)
        return info

    def _reach_of(self, reservation: str | None) -> Reach | None:
        """The reservations that a job with this ``schedule.reservation`` would request."""
        if not reservation:
            return None
        names = reservation_names(reservation)
        if reservation == "any":
            found, why_not = list(self._usable), "not in a reservation that you may use"
        else:
            found = [each for each in self._reservations if each.name in names]
            why_not = f'not in reservation "{reservation}"'
        return Reach(tuple(found), frozenset(each.name for each in found), why_not)

    def reachable(self, reservation: str | None) -> list[str]:
        """The names of the reservations that a job with this ``schedule.reservation`` would
        request."""
        reach = self._reach_of(reservation)
        return [] if reach is None else [each.name for each in reach.reservations]

    def reservations_for(self, nodes: Sequence[str] | None) -> str | None:
        """What a job with ``reservation: any`` requests: the reservations that this user may use,
        those that hold all of the nodes where they were chosen; None when there are none.
        """
        names = [
            each.name for each in self._usable if nodes is None or set(each.nodes).issuperset(nodes)
        ]
        return ",".join(names) or None

    def most_in_one(self, reservation: str | None, names: Sequence[str]) -> int | None:
        """How many of these nodes a job can have at most, which runs in one of several
        reservations; None where it requests fewer than two, or one that does not limit it."""
        reach = self._reach_of(reservation)
        if (
            reach is None
            or len(reach.reservations) < 2
            or any(each.is_flexible for each in reach.reservations)
        ):
            return None
        return max(len(set(each.nodes).intersection(names)) for each in reach.reservations)


class Reach(NamedTuple):
    """The reservations that a job would request, and why it cannot have nodes outside of them."""

    reservations: tuple[parsing.Reservation, ...]
    names: frozenset[str]
    why_not: str
