"""The shapes of what schedulers and the host hand to each other."""

from __future__ import annotations

from typing import Any, Optional

# What is known about a node: 'name', 'up' and 'available' are always there; 'cpus', 'mem' (bytes),
# 'partitions', 'reservations', 'features' and 'states' where the scheduler reports them.
NodeInfo = dict[str, Any]
# Node name -> what is known about it.
Nodes = dict[str, NodeInfo]
NodeList = list[str]
NodeSet = frozenset[str]
# The smallest and largest number of nodes of a job; without a largest, the scheduler decides.
NodeRange = tuple[int, Optional[int]]
# What was picked for a job: nodes by name, or a range that leaves the choice to the scheduler.
PickedNodes = tuple[Optional[NodeList], Optional[NodeRange]]
