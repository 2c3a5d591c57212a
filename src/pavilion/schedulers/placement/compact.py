"""What filters leave of an inventory, stored in a byte per node.

Tests with a hundred different filters on ten thousand nodes would keep a million references in lists
of names, and as many entries of dictionaries.  But each node is either usable or left out for one
reason, and the order of the nodes is that of the inventory.  So only the number of the reason is
stored for each node.  Lists, mappings and reasons are views that work out what is read; they
have the same items, in the same order, as the lists and dictionaries that they replace.

Cost: `compact` is linear in the nodes, and constant per node that is left out.  Iterating over a view
is linear in the inventory, the length is known, and looking up a node is constant.
"""

from __future__ import annotations

import operator
from collections.abc import (
    Hashable,
    ItemsView,
    Iterable,
    Iterator,
    KeysView,
    Mapping,
    Sequence,
    ValuesView,
)
from itertools import chain, compress
from typing import Any, NamedTuple, Union, overload

from pavilion.types import NodeInfo, NodeList, Nodes

# The number of the reason for which each node is left out, from 1; 0 for usable ones.  An array if
# there are more reasons than a byte can have.
Codes = Union[bytes, "Sequence[int]"]
_USABLE = 0
# Reasons up to this number are looked for one at a time.
_FEW = 8


class Inventory(dict[str, NodeInfo]):
    """What is known about all nodes, in natural order.  Do not add or remove nodes."""

    _columns: Columns | None = None

    @property
    def columns(self) -> Columns:
        """The same, by position."""
        if self._columns is None:
            self._columns = Columns(self)
        return self._columns


class Columns:
    """An inventory by position.

    :ivar names: The names of the nodes, in order.
    :ivar infos: What is known about each.
    :ivar place: Name -> position.
    """

    def __init__(self, nodes: Nodes) -> None:
        self.names: NodeList = list(nodes)
        self.infos: list[NodeInfo] = list(nodes.values())
        self.place: dict[str, int] = dict(zip(self.names, range(len(nodes))))
        # The list that was last made of a view: whoever reads items by number reads more of them.
        self.last: tuple[NameView, NodeList] | None = None
        self._texts: dict[str, str] = {}

    def shared(self, text: str) -> str:
        """A string that is equal to this one: a plugin may make a new one for each filter."""
        return self._texts.setdefault(text, text)


class _View(Sequence[str]):
    """Names of nodes that are worked out when they are read; equal to a list of the same names."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        if isinstance(other, (list, _View)):
            return len(self) == len(other) and list(self) == list(other)
        return NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def __add__(self, other: Iterable[str]) -> NodeList:
        return [*self, *other]

    def __radd__(self, other: Iterable[str]) -> NodeList:
        return [*other, *self]

    def copy(self) -> NodeList:
        """The names as a list."""
        return list(self)

    def __repr__(self) -> str:
        return repr(list(self))


class NameView(_View):
    """The names of some nodes of an inventory, in natural order.

    :param code: Which nodes: those that have this number in ``codes``.
    """

    __slots__ = ("_code", "_codes", "_columns", "_count")

    def __init__(self, columns: Columns, codes: Codes, code: int, count: int) -> None:
        self._columns = columns
        self._codes = codes
        self._code = code
        self._count = count

    def flags(self) -> Iterable[int]:
        """For each node of the inventory, whether it is one of these."""
        if isinstance(self._codes, bytes):
            return self._codes.translate(_only(self._code))
        return map(self._code.__eq__, self._codes)

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[str]:
        names = self._columns.names
        return iter(names if self._count == len(names) else compress(names, self.flags()))

    def __contains__(self, name: object) -> bool:
        place = self._columns.place.get(name)  # type: ignore[call-overload]
        return place is not None and self._codes[place] == self._code

    @overload
    def __getitem__(self, index: int) -> str: ...

    @overload
    def __getitem__(self, index: slice) -> NodeList: ...

    def __getitem__(self, index: int | slice) -> str | NodeList:
        last = self._columns.last
        if last is None or last[0] is not self:
            last = self._columns.last = (self, list(self))
        return last[1][index]


def _only(code: int, _known: dict[int, bytes] = {}) -> bytes:  # noqa: B006  (it is a cache)
    """The table for bytes.translate that gives 1 for a code, and 0 for all others."""
    table = _known.get(code)
    if table is None:
        table = _known[code] = bytes(number == code for number in range(256))
    return table


class NodeMapping(Mapping[str, NodeInfo]):
    """What is known about some nodes of an inventory, in natural order."""

    __slots__ = ("_names", "columns")

    def __init__(self, columns: Columns, names: NameView) -> None:
        self.columns = columns
        self._names = names

    def __len__(self) -> int:
        return len(self._names)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __getitem__(self, name: str) -> NodeInfo:
        if name not in self._names:
            raise KeyError(name)
        return self.columns.infos[self.columns.place[name]]

    def infos(self) -> Iterator[NodeInfo]:
        """What is known about each, without looking it up by name."""
        infos = self.columns.infos
        return iter(infos if len(self) == len(infos) else compress(infos, self._names.flags()))

    def keys(self) -> KeysView[str]:
        """As for any dictionary."""
        return KeysView(self)

    def values(self) -> ValuesView[NodeInfo]:
        """As for any dictionary."""
        return _Values(self)

    def items(self) -> ItemsView[str, NodeInfo]:
        """As for any dictionary."""
        return _Items(self)

    def copy(self) -> Nodes:
        """The same as a dictionary."""
        return dict(self.items())

    def __repr__(self) -> str:
        return repr(self.copy())


class _Values(ValuesView[NodeInfo]):
    _mapping: NodeMapping

    def __iter__(self) -> Iterator[NodeInfo]:
        return self._mapping.infos()


class _Items(ItemsView[str, NodeInfo]):
    _mapping: NodeMapping

    def __iter__(self) -> Iterator[tuple[str, NodeInfo]]:
        return zip(self._mapping, self._mapping.infos())


class ReasonView(Mapping[str, Sequence[str]]):
    """Reason -> names of the nodes left out for it, in natural order; see `inventory.Reasons`.

    :ivar advice, causes: As in Reasons.
    """

    def __init__(
        self,
        columns: Columns,
        codes: Codes,
        numbers: Mapping[str, tuple[int, int] | NodeList],
        reasons: Mapping[str, Sequence[str]],
    ) -> None:
        self.advice: Mapping[str, str] = getattr(reasons, "advice", {})
        self.causes: Mapping[str, Mapping[str, int]] = getattr(reasons, "causes", {})
        self._columns = columns
        self._codes = codes
        # Reason -> its number and how many nodes it has; or the names, of nodes that do not exist.
        self._reasons = numbers

    def __len__(self) -> int:
        return len(self._reasons)

    def __iter__(self) -> Iterator[str]:
        return iter(self._reasons)

    def __contains__(self, reason: object) -> bool:
        return reason in self._reasons

    def __getitem__(self, reason: str) -> Sequence[str]:
        found = self._reasons[reason]
        return found if isinstance(found, list) else NameView(self._columns, self._codes, *found)

    def items(self) -> ItemsView[str, Sequence[str]]:
        """As for any dictionary."""
        return super().items() if len(self) <= _FEW else self._sorted_out().items()

    def values(self) -> ValuesView[Sequence[str]]:
        """As for any dictionary."""
        return super().values() if len(self) <= _FEW else self._sorted_out().values()

    def _sorted_out(self) -> dict[str, Sequence[str]]:
        """The names for all reasons at once."""
        lists: dict[int, NodeList] = {}
        for name, code in zip(self._columns.names, self._codes):
            lists.setdefault(code, []).append(name)
        return {
            reason: found if isinstance(found, list) else lists[found[0]]
            for reason, found in self._reasons.items()
        }

    def __repr__(self) -> str:
        return repr({reason: list(names) for reason, names in self.items()})


class Filtered(NamedTuple):
    """The usable nodes, and why the others are left out."""

    nodes: Mapping[str, NodeInfo]
    names: Sequence[str]
    reasons: Mapping[str, Sequence[str]]


def compact(nodes: Nodes, names: NodeList, reasons: Mapping[str, Sequence[str]]) -> Filtered:
    """The result of filters, in a byte per node.

    What does not have that form is returned as it is.  A plugin may filter nodes in a way of its
    own, and name one for two reasons.

    :param nodes: The inventory, in natural order.
    :param names: The usable nodes, in natural order.
    :param reasons: Reason -> names of the nodes left out for it.
    """
    columns = nodes.columns if isinstance(nodes, Inventory) else Columns(nodes)
    codes = _no_codes(len(nodes), len(reasons))
    numbers: dict[str, tuple[int, int] | NodeList] = {}
    left_out = 0
    for number, (reason, members) in enumerate(reasons.items(), start=1):
        known = [place for place in map(columns.place.get, members) if place is not None]
        left_out += len(known)
        for position in known:
            codes[position] = number
        # Those of include_nodes that do not exist have a reason of their own.
        numbers[columns.shared(reason)] = (
            (number, len(known)) if len(known) == len(members) else list(members)
        )
    kept = bytes(codes) if isinstance(codes, bytearray) else codes
    usable = NameView(columns, kept, _USABLE, len(names))
    if (
        left_out + len(names) != len(nodes)
        or list(compress(columns.names, usable.flags())) != names
    ):
        return Filtered({name: nodes[name] for name in names}, names, reasons)
    return Filtered(
        NodeMapping(columns, usable), usable, ReasonView(columns, kept, numbers, reasons)
    )


def _no_codes(nodes: int, reasons: int) -> Any:
    if reasons < 256:
        return bytearray(nodes)
    # Only needed here.
    from array import array

    return array("H" if reasons < 2**16 else "L", [0]) * nodes


class ChunkView(Sequence[Sequence[str]]):
    """Chunks of nodes, each stored as the positions of its nodes in the inventory.

    :param chunks: Lists of names of nodes of the inventory, of equal length.
    """

    def __init__(self, columns: Columns, chunks: Sequence[NodeList]) -> None:
        from array import array

        self._columns = columns
        self._size = len(chunks[0])
        self._positions = array(
            "H" if len(columns.names) < 2**16 else "L",
            map(columns.place.__getitem__, chain.from_iterable(chunks)),
        )

    def __len__(self) -> int:
        return len(self._positions) // self._size

    @overload
    def __getitem__(self, index: int) -> Sequence[str]: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Sequence[str]]: ...

    def __getitem__(self, index: int | slice) -> Sequence[Any]:
        if isinstance(index, slice):
            return [self[number] for number in range(len(self))[index]]
        start = range(len(self))[index] * self._size
        return _Chunk(self._columns.names, self._positions, range(start, start + self._size))

    def __eq__(self, other: object) -> bool:
        if isinstance(other, (list, ChunkView)):
            return len(self) == len(other) and all(map(operator.eq, self, other))
        return NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return repr(list(self))


class _Chunk(_View):
    """The nodes of a chunk."""

    __slots__ = ("_names", "_positions", "_which")

    def __init__(self, names: NodeList, positions: Sequence[int], which: range) -> None:
        self._names = names
        self._positions = positions
        self._which = which

    def __len__(self) -> int:
        return len(self._which)

    def __iter__(self) -> Iterator[str]:
        positions = self._positions[self._which.start : self._which.stop]
        return map(self._names.__getitem__, positions)

    @overload
    def __getitem__(self, index: int) -> str: ...

    @overload
    def __getitem__(self, index: slice) -> NodeList: ...

    def __getitem__(self, index: int | slice) -> str | NodeList:
        if isinstance(index, slice):
            return [self[number] for number in range(len(self))[index]]
        return self._names[self._positions[self._which[index]]]


def compact_chunks(
    nodes: Mapping[str, NodeInfo], names: Sequence[str], chunks: list[NodeList]
) -> Sequence[Sequence[str]]:
    """The chunks of nodes, compact; as they are if they do not have that form.

    :param nodes, names: As `compact` returned them.
    """
    if len(chunks) == 1 and chunks[0] == names:
        return [names]
    if not isinstance(nodes, NodeMapping) or not chunks or len(set(map(len, chunks))) != 1:
        return chunks
    return ChunkView(nodes.columns, chunks)


def key_of(names: Sequence[str]) -> Hashable:
    """A key that is the same for the same names in the same order, and for no others.

    A hash of all names and the limits of the list are as good as the names themselves, which would
    take a hundred kilobytes: hashes of strings have 64 bits, and nobody can predict them.
    """
    return len(names), *names[:1], *names[-1:], hash("\n".join(names))
