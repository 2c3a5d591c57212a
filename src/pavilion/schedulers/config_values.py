"""The values of the ``schedule`` section: which ones its keys accept, what becomes of them, and how many
nodes they mean."""

from __future__ import annotations

import functools
import math
import sys
from collections.abc import Mapping
from typing import Any, Callable

from pavilion.errors import SchedConfigError
from pavilion.types import NodeRange

from .placement import hostlists


class HostListError(SchedConfigError, ValueError):
    """A bad host list.  It is also a ValueError, because that is what hosts catch around
    :func:`parse_node_range`, and their SchedConfigError may not be one."""


def min_int(name: str, min_val: int = 0, required: bool = True) -> Callable[[Any], int | None]:
    """Make a validator for whole numbers of at least ``min_val``.

    :param name: The key, for messages.
    :param required: Whether None is an error.
    """

    def validator(value: Any) -> int | None:
        """A whole number, as an int.  :raises SchedConfigError: for anything else."""
        if value is None and not required:
            return None
        number = _whole_number(value)
        if number is None or number < min_val:
            raise SchedConfigError(
                f"{name} must be a whole number of at least {min_val}, not {value!r}."
            )
        return number

    return validator


LARGEST_NUMBER = 10**18


def _whole_number(value: Any) -> int | None:
    if isinstance(value, bool):
        return None
    try:
        if isinstance(value, (int, float)):
            number = int(value) if math.isfinite(value) and value == int(value) else None
        else:
            number = int(str(value).strip())
    except (ValueError, OverflowError):
        return None
    # A larger number is a mistake, and could not be converted to a float later.
    return number if number is not None and abs(number) <= LARGEST_NUMBER else None


def node_count(name: str, zero_ok: bool = False) -> Callable[[Any], None | int | float]:
    """Make a validator for a number of nodes: an int, or a float for a fraction of all nodes."""

    def validator(value: Any) -> None | int | float:
        """An int, or a float for a fraction.  Values that were already converted are accepted."""
        if value is None:
            return None
        count = _count_or_fraction(value)
        if count is None and zero_ok and str(value).strip().lower() == "none":
            return 0
        if count == 0 and zero_ok:
            return 0
        if count is None or count <= 0 or (isinstance(count, float) and count > 1.0):
            also = ", or 0 for none" if zero_ok else ""
            raise SchedConfigError(
                f"{name} must be a number of nodes (at least 1), a percentage above 0% and up "
                f"to 100%, or 'all'{also}; not {value!r}."
            )
        return count

    return validator


def _count_or_fraction(value: Any) -> None | int | float:
    """'all' is 1.0, 'N%' is N/100, whole numbers are ints; None for anything else."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    text = str(value).strip().lower()
    if text == "all":
        return 1.0
    if text.endswith("%"):
        try:
            fraction = float(text[:-1]) / 100.0
        except ValueError:
            return None
        return fraction if math.isfinite(fraction) else None
    return _whole_number(value)


def tasks_per_node(value: Any) -> None | int | float:
    """A number of tasks, or a float for a fraction of the CPUs."""
    if value is None:
        return None
    if isinstance(value, str) and value.strip().lower() == "min":
        return 1
    count = _count_or_fraction(value)
    if count is None or count <= 0 or (isinstance(count, float) and count > 1.0):
        raise SchedConfigError(
            "tasks_per_node must be a number of tasks (at least 1), a percentage of the CPUs "
            f"above 0% and up to 100%, 'all' or 'min'; not {value!r}."
        )
    return count


def share_allocation(value: Any) -> bool | str:
    """False, 'max' or, for anything else, True."""
    text = str(value).strip().lower()
    if text == "max":
        return "max"
    return text != "false"


def validate_list(value: Any) -> list[Any]:
    """A list: a single value becomes a list of one, None an empty one."""
    if value is None:
        return []
    if isinstance(value, (list, tuple)):
        return list(value)
    return [value]


def parse_node_range(node_range: Any) -> list[str]:
    """The node names in host lists such as 'node[09-20]' or 'a,b[1-2]'.

    :param node_range: A host list, or a list of them.
    :returns: The names in the order given, without duplicates.
    :raises HostListError: For a bad host list; says what is wrong and where.  It is both a
        SchedConfigError and a ValueError, on every host.
    """
    return list(_expanded(tuple(map(str, validate_list(node_range)))))


@functools.lru_cache(maxsize=32)
def _expanded(texts: tuple[str, ...]) -> tuple[str, ...]:
    """The names in host lists.  Cached, because many tests have the same ones."""
    try:
        names = hostlists.expand_all(texts, unique=True)
    except ValueError as exc:
        # Its message says what is wrong and where.
        raise HostListError(str(exc)) from exc
    # The lists of many tests name the same nodes, and are kept: a string for each name, not for each
    # name of each test.
    return tuple(map(sys.intern, names))


# ------------------------------------------------------------------------------ node counts


def calc_node_range(config: Mapping[str, Any], node_count: int) -> NodeRange:
    """The least and the greatest number of nodes that a test requests.

    :param config: A validated schedule section.
    :param node_count: The number of usable nodes, to which percentages refer (rounded up).
    :returns: (min, max), with min at least 1; max is None when there is no upper limit (when only
        the number of tasks, or only min_nodes, is given).
    :raises SchedConfigError: When min_nodes is larger than nodes, both given as numbers.
    """
    nodes, min_nodes = config["nodes"], config["min_nodes"]
    if isinstance(nodes, int) and isinstance(min_nodes, int) and min_nodes > nodes:
        raise SchedConfigError(
            f"schedule.min_nodes is {min_nodes}, which is more than schedule.nodes, {nodes}."
        )
    least = _of_nodes(min_nodes, node_count)
    most = _of_nodes(nodes, node_count)
    if most is None:
        if least is None and config["tasks"] is None:
            return 1, 1
        return least or 1, None
    if least is None:
        return most, most
    return least, max(least, most)


def _of_nodes(value: None | int | float, node_count: int) -> int | None:
    """A number of nodes from a number or a fraction; at least 1."""
    if value is None:
        return None
    if isinstance(value, float):
        # 0.07 * 100 is 7.000000000000001, which is 7.
        value = math.ceil(round(value * node_count, 6))
    return max(1, value)


def node_range_text(node_range: tuple[int, int | None]) -> str:
    """'3', '2-4', or '2-' when there is no upper limit."""
    least, most = node_range
    if most is None:
        return f"{least}-"
    return str(least) if least == most else f"{least}-{most}"
