"""The ``schedule`` section of a test's configuration.

:data:`KEYS` describes it.  Three tables follow from that: :class:`ScheduleConfig` (the keys, for
reading YAML), :data:`CONFIG_VALIDATORS` (which values are allowed, and how they are converted) and
:data:`CONFIG_DEFAULTS`.  A scheduler's own section is in all three of them while it is active.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any, Callable, NamedTuple, Union

import yaml_config as yc
from pavilion.errors import SchedConfigError

from .config_values import HostListError as HostListError
from .config_values import (
    calc_node_range,
    min_int,
    node_count,
    parse_node_range,
    share_allocation,
    tasks_per_node,
    validate_list,
)
from .near_matches import did_you_mean
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

# A function, a choice of strings, a table for a sub-section, or None (the value is taken as it is).
Validator = Union[None, Callable[[Any], Any], Sequence[str], Mapping[str, Any]]


class Key(NamedTuple):
    """A key of the ``schedule`` section, or a section in it.

    :param help: What users read about it.
    :param validator: Which values are allowed, and how they are converted.
    :param default: Written like a user's value.
    :param many: Whether its value is a list of strings, rather than one string.
    :param keys: The keys of a section.
    """

    name: str
    help: str
    validator: Validator = None
    default: Any = None
    many: bool = False
    keys: tuple[Key, ...] = ()

    def element(self) -> yc.ConfigElement:
        """The key for reading YAML."""
        if self.keys:
            elements = [key.element() for key in self.keys]
            return yc.KeyedElem(self.name, elements=elements, help_text=self.help)
        if self.many:
            return yc.ListElem(self.name, sub_elem=yc.StrElem(), help_text=self.help)
        return yc.StrElem(self.name, help_text=self.help)

    def validators(self) -> Validator:
        """The validator, of a section those of its keys."""
        return {key.name: key.validators() for key in self.keys} or self.validator

    def defaults(self) -> Any:
        """The default, of a section those of its keys."""
        return {key.name: key.defaults() for key in self.keys} or self.default


KEYS = (
    Key(
        "nodes",
        "How many nodes to run on: a number, a percentage of the usable nodes ('50%'), or 'all'. "
        "One node when neither nodes nor tasks is given.",
        validator=node_count("nodes"),
    ),
    Key(
        "min_nodes",
        "The minimum number of nodes, given like 'nodes'. Equal to 'nodes' when left out.",
        validator=node_count("min_nodes"),
    ),
    Key(
        "tasks",
        "The total number of tasks. Without it: tasks_per_node times the number of nodes.",
        validator=min_int("tasks", 1, required=False),
    ),
    Key(
        "tasks_per_node",
        "How many tasks on each node: a number, 'all' (a task per CPU), 'min' (one), or a "
        "percentage of the CPUs. CPUs are counted on the node that has the fewest.",
        validator=tasks_per_node,
        default="1",
    ),
    Key(
        "min_tasks_per_node",
        "The fewest tasks per node; a smaller tasks_per_node is raised to it.",
        validator=min_int("min_tasks_per_node", 1, required=False),
    ),
    Key(
        "node_state",
        "Which nodes to use: those that are 'up', or only those that are 'available', which means "
        "up and free right now.",
        validator=NODE_STATE_OPTIONS,
        default=UP,
    ),
    Key(
        "share_allocation",
        "Whether tests that request the same allocation may share one. 'true': tests are spread "
        "over as many shared allocations as the machine has room for. 'max': as few allocations as "
        "possible. 'false': each test gets its own.",
        validator=share_allocation,
        default=True,
    ),
    Key("partition", "The partition (queue) to use."),
    Key("qos", "The quality of service to request."),
    Key("account", "The account to charge."),
    Key("reservation", "The reservation to use."),
    Key(
        "wrapper",
        "A command to put between the launch command and the test's command in test_cmd, such as a "
        "debugger.",
    ),
    Key("core_spec", "How many cores per node to leave to the system."),
    Key(
        "time_limit",
        "The allocation's time limit: a number of hours ('2', '0.5'), or with units ('30m', "
        "'1h30m'), or as H:MM:SS.",
        validator=time_limit,
        default="1",
    ),
    Key(
        "across_nodes",
        "Use only these nodes. Host lists such as 'node[09-20]' are allowed.",
        validator=parse_node_range,
        default=[],
        many=True,
    ),
    Key(
        "include_nodes",
        "Every allocation must include these nodes. They count towards its size.",
        validator=parse_node_range,
        default=[],
        many=True,
    ),
    Key(
        "exclude_nodes",
        "Never use these nodes.",
        validator=parse_node_range,
        default=[],
        many=True,
    ),
    Key(
        "chunking",
        "Split the machine into chunks of nodes of equal size.",
        keys=(
            Key(
                "size",
                "The number of nodes in each chunk, given like 'nodes'. 0: no chunking.",
                validator=node_count("chunking.size", zero_ok=True),
                default="0",
            ),
            Key(
                "node_selection",
                "How nodes are picked for each chunk: contiguous, random, distributed (evenly "
                "spaced) or rand_dist (at random, but spread).",
                validator=NODE_SELECT_OPTIONS,
                default=CONTIGUOUS,
            ),
            Key(
                "extra",
                "What to do with nodes that do not fill a chunk: 'backfill' makes one more chunk "
                "and fills it with nodes of others, 'discard' leaves them out.",
                validator=NODE_EXTRA_OPTIONS,
                default=BACKFILL,
            ),
        ),
    ),
    Key(
        "cluster_info",
        "What to assume about the cluster, for schedulers that cannot list their nodes.",
        keys=(
            Key(
                "node_count",
                "The number of nodes.",
                validator=min_int("cluster_info.node_count", 1),
                default="1",
            ),
            Key(
                "mem",
                "The memory of each node in bytes.",
                validator=min_int("cluster_info.mem", 1),
                default="1000",
            ),
            Key(
                "cpus",
                "The number of CPUs of each node.",
                validator=min_int("cluster_info.cpus", 1),
                default="4",
            ),
        ),
    ),
    Key(
        "mpirun_opts",
        "Options for mpirun, when it is used to start the tasks.",
        keys=(
            Key(
                "bind_to",
                "What to bind processes to.",
                validator=MPIRUN_BIND_OPTS,
            ),
            Key(
                "rank_by",
                "By what to assign ranks.",
                validator=MPIRUN_BIND_OPTS,
            ),
            Key(
                "mca",
                "MCA parameters, 'name value'.",
                validator=validate_list,
                default=[],
                many=True,
            ),
            Key(
                "extra",
                "More options, as they are.",
                validator=validate_list,
                default=[],
                many=True,
            ),
        ),
    ),
)


class ScheduleConfig(yc.KeyedElem):
    """The keys of the ``schedule`` section.  All values are strings; validate_config converts
    them."""

    ELEMENTS = [key.element() for key in KEYS]

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


CONFIG_VALIDATORS: dict[str, Any] = {key.name: key.validators() for key in KEYS}
CONFIG_DEFAULTS: dict[str, Any] = {key.name: key.defaults() for key in KEYS}


def add_section(
    section: yc.ConfigElement, validators: Mapping[str, Any], defaults: Mapping[str, Any]
) -> None:
    """Add a scheduler's section to all tables.

    :raises SchedConfigError: When it cannot be added; then it is in none of them.
    """
    ScheduleConfig.add_subsection(section)
    CONFIG_VALIDATORS[str(section.name)] = validators
    CONFIG_DEFAULTS[str(section.name)] = defaults


def remove_section(name: str) -> None:
    """Remove a scheduler's section from all tables."""
    ScheduleConfig.remove_subsection(name)
    CONFIG_VALIDATORS.pop(name, None)
    CONFIG_DEFAULTS.pop(name, None)


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
        hint = did_you_mean(key, validators, count=3, cutoff=0.75)
        if where == "schedule" and not hint and (value is None or isinstance(value, Mapping)):
            # The section of a scheduler that is not loaded here.
            continue
        raise SchedConfigError(
            f"Unknown key {key!r} in {where or 'the section'}.{hint} "
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
    hint = did_you_mean(text, choices)
    raise SchedConfigError(
        f"Bad value {value!r} for {where}.{hint} Allowed: {', '.join(map(str, choices))}.",
        data={"key": where},
    )
