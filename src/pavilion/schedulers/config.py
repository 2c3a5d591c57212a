"""The ``schedule`` section of a test's configuration.

Three tables describe it: :class:`ScheduleConfig` (the keys, for reading YAML),
:data:`CONFIG_VALIDATORS` (which values are allowed, and how they are converted) and
:data:`CONFIG_DEFAULTS`.  A scheduler adds its own sub-section to all three when it is activated, and
removes it when it is deactivated.
"""

from __future__ import annotations

import copy
import functools
import math
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Callable, Union

import yaml_config as yc
from pavilion.errors import SchedConfigError
from pavilion.types import NodeRange

from .placement import hostlists
from .time_limits import time_limit

__all__ = [
    "ScheduleConfig",
    "SchedConfigError",
    "CONFIG_VALIDATORS",
    "CONFIG_DEFAULTS",
    "validate_config",
    "calc_node_range",
    "parse_node_range",
    "validate_list",
    "min_int",
    "UP",
    "AVAILABLE",
    "CONTIGUOUS",
    "RANDOM",
    "DISTRIBUTED",
    "RAND_DIST",
    "BACKFILL",
    "DISCARD",
    "NODE_STATE_OPTIONS",
    "NODE_SELECT_OPTIONS",
    "NODE_EXTRA_OPTIONS",
    "MPIRUN_BIND_OPTS",
]

UP = "up"
AVAILABLE = "available"
NODE_STATE_OPTIONS = (UP, AVAILABLE)

CONTIGUOUS = "contiguous"
RANDOM = "random"
DISTRIBUTED = "distributed"
RAND_DIST = "rand_dist"
NODE_SELECT_OPTIONS = (CONTIGUOUS, RANDOM, DISTRIBUTED, RAND_DIST)

BACKFILL = "backfill"
DISCARD = "discard"
NODE_EXTRA_OPTIONS = (BACKFILL, DISCARD)

MPIRUN_BIND_OPTS = (
    "slot",
    "hwthread",
    "core",
    "L1cache",
    "L2cache",
    "L3cache",
    "socket",
    "numa",
    "board",
    "node",
)

Validator = Union[None, Callable[[Any], Any], Sequence[str], Mapping[str, Any]]


class ScheduleConfig(yc.KeyedElem):
    """The keys of the ``schedule`` section.  All values are strings; validate_config converts
    them."""

    ELEMENTS = [
        yc.StrElem(
            "nodes",
            help_text=(
                "How many nodes to run on: a number, a percentage of the usable nodes ('50%'), or "
                "'all'. One node when neither nodes nor tasks is given."
            ),
        ),
        yc.StrElem(
            "min_nodes",
            help_text=(
                "The minimum number of nodes, given like 'nodes'. Equal to 'nodes' when left out."
            ),
        ),
        yc.StrElem(
            "tasks",
            help_text=(
                "The total number of tasks. Without it: tasks_per_node times the number of nodes."
            ),
        ),
        yc.StrElem(
            "tasks_per_node",
            help_text=(
                "How many tasks on each node: a number, 'all' (a task per CPU), 'min' (one), or a "
                "percentage of the CPUs. CPUs are counted on the node that has the fewest."
            ),
        ),
        yc.StrElem(
            "min_tasks_per_node",
            help_text=("The fewest tasks per node; a smaller tasks_per_node is raised to it."),
        ),
        yc.StrElem(
            "node_state",
            help_text=(
                "Which nodes to use: those that are 'up', or only those that are 'available', which "
                "means up and free right now."
            ),
        ),
        yc.StrElem(
            "share_allocation",
            help_text=(
                "Whether tests that request the same allocation may share one. 'true': tests are "
                "spread over as many shared allocations as the machine has room for. 'max': as few "
                "allocations as possible. 'false': each test gets its own."
            ),
        ),
        yc.StrElem("partition", help_text="The partition (queue) to use."),
        yc.StrElem("qos", help_text="The quality of service to request."),
        yc.StrElem("account", help_text="The account to charge."),
        yc.StrElem("reservation", help_text="The reservation to use."),
        yc.StrElem(
            "wrapper",
            help_text=(
                "A command to put between the launch command and the test's command in test_cmd, "
                "such as a debugger."
            ),
        ),
        yc.StrElem("core_spec", help_text="How many cores per node to leave to the system."),
        yc.StrElem(
            "time_limit",
            help_text=(
                "The allocation's time limit: a number of hours ('2', '0.5'), or with units ('30m', "
                "'1h30m'), or as H:MM:SS."
            ),
        ),
        yc.ListElem(
            "across_nodes",
            sub_elem=yc.StrElem(),
            help_text=("Use only these nodes. Host lists such as 'node[09-20]' are allowed."),
        ),
        yc.ListElem(
            "include_nodes",
            sub_elem=yc.StrElem(),
            help_text=("Every allocation must include these nodes. They count towards its size."),
        ),
        yc.ListElem("exclude_nodes", sub_elem=yc.StrElem(), help_text=("Never use these nodes.")),
        yc.KeyedElem(
            "chunking",
            elements=[
                yc.StrElem(
                    "size",
                    help_text=(
                        "The number of nodes in each chunk, given like 'nodes'. 0: no chunking."
                    ),
                ),
                yc.StrElem(
                    "node_selection",
                    help_text=(
                        "How nodes are picked for each chunk: contiguous, random, distributed (evenly "
                        "spaced) or rand_dist (at random, but spread)."
                    ),
                ),
                yc.StrElem(
                    "extra",
                    help_text=(
                        "What to do with nodes that do not fill a chunk: 'backfill' makes one more chunk "
                        "and fills it with nodes of others, 'discard' leaves them out."
                    ),
                ),
            ],
            help_text="Split the machine into chunks of nodes of equal size.",
        ),
        yc.KeyedElem(
            "cluster_info",
            elements=[
                yc.StrElem("node_count", help_text="The number of nodes."),
                yc.StrElem("mem", help_text="The memory of each node in bytes."),
                yc.StrElem("cpus", help_text="The number of CPUs of each node."),
            ],
            help_text=(
                "What to assume about the cluster, for schedulers that cannot list their nodes."
            ),
        ),
        yc.KeyedElem(
            "mpirun_opts",
            elements=[
                yc.StrElem("bind_to", help_text="What to bind processes to."),
                yc.StrElem("rank_by", help_text="By what to assign ranks."),
                yc.ListElem(
                    "mca", sub_elem=yc.StrElem(), help_text="MCA parameters, 'name value'."
                ),
                yc.ListElem("extra", sub_elem=yc.StrElem(), help_text="More options, as they are."),
            ],
            help_text="Options for mpirun, when it is used to start the tasks.",
        ),
    ]

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("help_text", "What to request from the scheduler.")
        super().__init__("schedule", elements=list(self.ELEMENTS), **kwargs)

    @classmethod
    def add_subsection(cls, elem: yc.ConfigElement) -> None:
        """Add a scheduler's section.

        :raises SchedConfigError: When the name is taken, or a leaf is not a StrElem.
        """
        if not isinstance(elem, yc.ConfigElement):
            raise SchedConfigError(
                f"A schedule section must be a yaml_config element, not {type(elem).__name__}."
            )
        if any(known.name == elem.name for known in cls.ELEMENTS):
            raise SchedConfigError(
                f"The schedule section already has a key {elem.name!r}; choose another name."
            )
        cls.check_leaves(elem)
        cls.ELEMENTS.append(elem)

    @classmethod
    def remove_subsection(cls, name: str) -> None:
        """Remove a section.  An unknown name is ignored."""
        cls.ELEMENTS[:] = [elem for elem in cls.ELEMENTS if elem.name != name]

    @classmethod
    def check_leaves(cls, elem: yc.ConfigElement) -> None:
        """Check that all values below an element are strings.

        Any value may contain variables, so its type is only known once they are resolved; that is
        why the validators check types.

        :raises SchedConfigError: Naming the element that is something else.
        """
        if isinstance(elem, yc.KeyedElem):
            for sub_elem in elem.config_elems.values():
                cls.check_leaves(sub_elem)
        elif isinstance(elem, (yc.ListElem, yc.CategoryElem)):
            cls.check_leaves(elem._sub_elem)
        elif not isinstance(elem, yc.StrElem):
            raise SchedConfigError(
                f"Config element {elem.name!r} is a {type(elem).__name__}; only StrElem, "
                "ListElem, KeyedElem and CategoryElem may be used in the schedule section. Use "
                "a validator to convert the string."
            )


# ------------------------------------------------------------------------------- validators


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


def _node_count(name: str, zero_ok: bool = False) -> Callable[[Any], None | int | float]:
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


def _tasks_per_node(value: Any) -> None | int | float:
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


def _share_allocation(value: Any) -> bool | str:
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
    names: dict[str, None] = {}
    for text in texts:
        try:
            names.update(dict.fromkeys(hostlists.expand(text)))
        except ValueError as exc:
            # Its message says what is wrong and where.
            raise HostListError(str(exc)) from exc
    # The lists of many tests name the same nodes, and are kept: a string for each name, not for each
    # name of each test.
    return tuple(map(sys.intern, names))


# A validator is a function, a choice of strings, a table for a sub-section, or None (the value is
# taken as it is).
CONFIG_VALIDATORS: dict[str, Any] = {
    "nodes": _node_count("nodes"),
    "min_nodes": _node_count("min_nodes"),
    "tasks": min_int("tasks", 1, required=False),
    "tasks_per_node": _tasks_per_node,
    "min_tasks_per_node": min_int("min_tasks_per_node", 1, required=False),
    "node_state": NODE_STATE_OPTIONS,
    "share_allocation": _share_allocation,
    "partition": None,
    "qos": None,
    "account": None,
    "reservation": None,
    "wrapper": None,
    "core_spec": None,
    "time_limit": time_limit,
    "across_nodes": parse_node_range,
    "include_nodes": parse_node_range,
    "exclude_nodes": parse_node_range,
    "chunking": {
        "size": _node_count("chunking.size", zero_ok=True),
        "node_selection": NODE_SELECT_OPTIONS,
        "extra": NODE_EXTRA_OPTIONS,
    },
    "cluster_info": {
        "node_count": min_int("cluster_info.node_count", 1),
        "mem": min_int("cluster_info.mem", 1),
        "cpus": min_int("cluster_info.cpus", 1),
    },
    "mpirun_opts": {
        "bind_to": MPIRUN_BIND_OPTS,
        "rank_by": MPIRUN_BIND_OPTS,
        "mca": validate_list,
        "extra": validate_list,
    },
}

CONFIG_DEFAULTS: dict[str, Any] = {
    "nodes": None,
    "min_nodes": None,
    "tasks": None,
    "tasks_per_node": "1",
    "min_tasks_per_node": None,
    "node_state": UP,
    "share_allocation": True,
    "partition": None,
    "qos": None,
    "account": None,
    "reservation": None,
    "wrapper": None,
    "core_spec": None,
    "time_limit": "1",
    "across_nodes": [],
    "include_nodes": [],
    "exclude_nodes": [],
    "chunking": {"size": "0", "node_selection": CONTIGUOUS, "extra": BACKFILL},
    "cluster_info": {"node_count": "1", "mem": "1000", "cpus": "4"},
    "mpirun_opts": {"bind_to": None, "rank_by": None, "mca": [], "extra": []},
}

# Keys that validate_config adds, so a configuration that was already validated contains them.
DERIVED_KEYS = ("flex_scheduled",)


def validate_config(
    config: Mapping[str, Any] | None,
    validators: Mapping[str, Any] | None = None,
    defaults: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Check a ``schedule`` section and convert its values.

    :param config: The section, with variables resolved.  Validating a section that was already
        validated does not change it.
    :param validators: The table to use.  Default: that of the whole section.
    :param defaults: The defaults that go with it.
    :returns: A plain dictionary with every key of the table.  For the whole section, it also has
        'flex_scheduled': whether the scheduler may pick the nodes.
    :raises SchedConfigError: Naming the key, the value and what is allowed.
    """
    whole = validators is None
    if validators is None:
        validators = CONFIG_VALIDATORS
    if defaults is None:
        defaults = CONFIG_DEFAULTS if whole else {}
    result = _validate_section("schedule" if whole else "", config, validators, defaults)
    if whole:
        result["flex_scheduled"] = not result["chunking"]["size"] and not result["across_nodes"]
    return result


def _validate_section(
    where: str, config: Any, validators: Mapping[str, Any], defaults: Any
) -> dict[str, Any]:
    if config is None:
        config = {}
    if not isinstance(config, Mapping):
        raise SchedConfigError(
            f"{where or 'The section'} must be a section of keys and values, not {config!r}."
        )
    if not isinstance(defaults, Mapping):
        defaults = {}
    _check_keys(where, config, validators)
    return {
        key: _validate_value(
            f"{where}.{key}" if where else key, config.get(key), validator, defaults.get(key)
        )
        for key, validator in validators.items()
    }


def _check_keys(where: str, config: Mapping[str, Any], validators: Mapping[str, Any]) -> None:
    for key, value in config.items():
        if key in validators or key in DERIVED_KEYS:
            continue
        import difflib

        near = difflib.get_close_matches(str(key), list(validators), n=3, cutoff=0.75)
        if where == "schedule" and not near and (value is None or isinstance(value, Mapping)):
            # The section of a scheduler that is not loaded here.
            continue
        hint = f"Did you mean {' or '.join(map(repr, near))}? " if near else ""
        raise SchedConfigError(
            f"Unknown key {key!r} in {where or 'the section'}. {hint}"
            f"Known keys: {', '.join(sorted(validators))}."
        )


def _validate_value(where: str, value: Any, validator: Validator, default: Any) -> Any:
    # Most validators are functions, and checking whether something is a Mapping is slow.
    if not callable(validator) and isinstance(validator, Mapping):
        return _validate_section(where, value, validator, default)
    # Hosts give an empty list for a list that was left out of the suite.
    if value is None or (isinstance(value, (list, tuple)) and not value and default):
        # A default is written, and converted, like a user's value.  It is copied, because the table
        # of defaults is shared.
        value = copy.deepcopy(default) if isinstance(default, (list, dict)) else default
    if value is None or validator is None:
        # Neither a value nor a default: no validator is called, and str would make 'None' of it.
        return value
    if callable(validator):
        return _call_validator(where, value, validator)
    if isinstance(validator, (tuple, list)):
        return _validate_choice(where, value, validator)
    raise SchedConfigError(
        f"The validator of {where} cannot be used: {validator!r}. It must be a function, a tuple "
        "or list of choices, a dictionary for a sub-section, or None."
    )


def _call_validator(where: str, value: Any, validator: Callable[[Any], Any]) -> Any:
    # A plugin's validator may raise anything; a lambda that looks up values in a table, for example,
    # raises KeyError.  And a host's SchedConfigError may not be a ValueError.
    try:
        return validator(value)
    except (Exception, SystemExit) as exc:
        raise SchedConfigError(
            f"Bad value {value!r} for {where}", prior_error=exc, data={"key": where}
        ) from exc


def _validate_choice(where: str, value: Any, choices: Sequence[str]) -> Any:
    if value in choices:
        return value
    text = str(value).strip().lower()
    for choice in choices:
        if str(choice).lower() == text:
            return choice
    import difflib

    near = difflib.get_close_matches(text, [str(choice) for choice in choices], n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise SchedConfigError(
        f"Bad value {value!r} for {where}.{hint} Allowed: {', '.join(map(str, choices))}.",
        data={"key": where},
    )


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
