"""The scheduler layer of Pavilion: plugin base classes, their configuration and variables, and
the bundled plugins.

This directory is self-contained: linked or copied over ``lib/pavilion/schedulers`` of a Pavilion
checkout, it replaces that directory.
"""

from __future__ import annotations

from pavilion.errors import SchedConfigError, SchedulerPluginError
from pavilion.types import NodeInfo, NodeList, Nodes, NodeSet

from .advanced import SchedulerPluginAdvanced
from .basic import SchedulerPluginBasic
from .batch import (
    BatchHeader,
    BatchJob,
    CommandResult,
    Directive,
    Environment,
    Failure,
    JobState,
    OwnKey,
    Request,
    SchedulerPluginBatch,
    Submission,
    Submitted,
    UnreadableAnswer,
    UserOptions,
    bytes_of,
    comma_list,
    find_token,
    host_list,
    number,
    quoted,
    read_attributes,
    read_json,
    read_xml,
    safe_job_name,
    word,
)
from .config import ScheduleConfig, min_int, validate_config, validate_list
from .finding.host_check import Finding, HostCheck
from .finding.registry import get_plugin, list_plugins
from .kickoff import KickoffScriptHeader
from .lifecycle.handover import HandoverStopped
from .lifecycle.whereabouts import Seen
from .placement.hostlists import expand as expand_nodes
from .placement.hostlists import fold as fold_nodes
from .placement.inventory import NodesUnknownError
from .plugins import register_core_plugins
from .plugins.gridengine import GridEngine
from .plugins.pbs import Pbs
from .plugins.raw import Raw
from .plugins.slurm import Slurm
from .scheduler import SchedulerPlugin
from .time_limits import clock_text, seconds_of
from .vars import SchedulerVariables, dfr_var_method, var_method

# Part of the contract with the host, though nothing here uses it.  ``pavilion`` imports this
# package before anything else, and host packages that import each other (result and
# result_parsers) can only be loaded when test runs are imported first.  This import has to come
# last: the modules that it loads use the names above.
from pavilion import test_run as _test_run  # noqa: F401  isort: skip

# The names that the guide for plugin authors uses.
BasicSchedulerPlugin = SchedulerPluginBasic
AdvancedSchedulerPlugin = SchedulerPluginAdvanced
SchedulerError = SchedulerPluginError

__all__ = [
    # The families of plugins.
    "SchedulerPlugin",
    "SchedulerPluginBasic",
    "BasicSchedulerPlugin",
    "SchedulerPluginAdvanced",
    "AdvancedSchedulerPlugin",
    "SchedulerPluginBatch",
    # What a plugin of the batch family reads and writes.
    "BatchHeader",
    "BatchJob",
    "CommandResult",
    "Directive",
    "Environment",
    "Failure",
    "JobState",
    "OwnKey",
    "Request",
    "Submission",
    "Submitted",
    "UnreadableAnswer",
    "UserOptions",
    # Values in the lines of a script.
    "word",
    "quoted",
    "number",
    "comma_list",
    "host_list",
    "safe_job_name",
    # Answers.
    "find_token",
    "read_attributes",
    "read_json",
    "read_xml",
    "bytes_of",
    # What a plugin is made of.
    "KickoffScriptHeader",
    "SchedulerVariables",
    "var_method",
    "dfr_var_method",
    "NodeInfo",
    "Nodes",
    "NodeList",
    "NodeSet",
    "Seen",
    "HostCheck",
    "Finding",
    # Configuration.
    "ScheduleConfig",
    "validate_config",
    "min_int",
    "validate_list",
    "seconds_of",
    "clock_text",
    "expand_nodes",
    "fold_nodes",
    # Errors.
    "SchedulerPluginError",
    "SchedulerError",
    "SchedConfigError",
    "NodesUnknownError",
    "HandoverStopped",
    # Bundled plugins, and finding plugins by name.
    "GridEngine",
    "Pbs",
    "Raw",
    "Slurm",
    "register_core_plugins",
    "get_plugin",
    "list_plugins",
]
