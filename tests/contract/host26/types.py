"""The shapes of what is handed to and fro."""

from __future__ import annotations

from typing import Dict, FrozenSet, List, NewType, Optional, Tuple, Union  # noqa: UP035

NodeInfo = NewType("NodeInfo", dict)
Nodes = NewType("Nodes", Dict[str, NodeInfo])  # noqa: UP006
NodeList = NewType("NodeList", List[str])  # noqa: UP006
NodeSet = NewType("NodeSet", FrozenSet[str])  # noqa: UP006
NodeRange = NewType("NodeRange", Tuple[int, Optional[int]])  # noqa: UP006
PickedNodes = NewType("PickedNodes", Tuple[Union[NodeList, NodeRange], str])  # noqa: UP006
