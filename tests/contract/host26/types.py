"""The shapes of what is handed to and fro."""

from __future__ import annotations

from typing import Any, Dict, FrozenSet, List, NewType, Tuple, Union  # noqa: UP035

NodeInfo = NewType("NodeInfo", Dict[str, Any])  # noqa: UP006
Nodes = NewType("Nodes", Dict[str, NodeInfo])  # noqa: UP006
NodeList = NewType("NodeList", List[str])  # noqa: UP006
NodeSet = NewType("NodeSet", FrozenSet[str])  # noqa: UP006
NodeRange = NewType("NodeRange", Tuple[int, int])  # noqa: UP006
PickedNodes = NewType("PickedNodes", Union[NodeList, NodeRange])
