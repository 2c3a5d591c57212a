"""The marker for values that are only known inside the allocation."""

from __future__ import annotations


class DeferredVariable:
    """Stands in for a value until the test runs in its allocation.

    It holds nothing, so all of them are equal.  A string made from one is easy to recognize, should
    it ever get into a script.
    """

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, DeferredVariable)

    def __hash__(self) -> int:
        return hash(DeferredVariable)

    def __repr__(self) -> str:
        return "DeferredVariable()"

    def __str__(self) -> str:
        return "<only known inside the allocation>"
