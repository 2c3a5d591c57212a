"""The batch family: what makes plugins for command-driven schedulers reliable.

- ``plugin``: the class to derive from
- ``dialect``, ``words``: what an author writes, and the values that go in and out
- ``failures``, ``directives``, ``supported``: the tables of an author, and what they mean
- ``queues``: which queues there are, and why jobs in them wait
- ``section``: a plugin's own section of the configuration
- ``answers``: what several schedulers' answers have in common
- ``client``: the only module here that runs commands
- ``submitting``, ``recent_jobs``: submitting a job exactly once
- ``record``, ``whose``: which of the scheduler's jobs is ours
- ``cancelling``, ``history``, ``notes``: how jobs end, and what users see of that
"""

from __future__ import annotations

from ..lifecycle.job_cache import JobRecord
from ..talk.commands import CommandResult, Failure
from .answers import bytes_of, read_attributes, read_json, read_xml
from .dialect import Dialect, Environment
from .directives import (
    BatchHeader,
    Directive,
    Request,
    comma_list,
    host_list,
    number,
    quoted,
    refuse,
    safe_job_name,
    word,
)
from .plugin import SchedulerPluginBatch
from .section import OwnKey, UserOptions, all_nodes, flag
from .words import (
    BatchJob,
    JobState,
    QueueInfo,
    Submission,
    Submitted,
    UnreadableAnswer,
    find_token,
    wrong_key,
)

__all__ = [
    "BatchHeader",
    "BatchJob",
    "CommandResult",
    "Dialect",
    "Directive",
    "Environment",
    "Failure",
    "JobRecord",
    "JobState",
    "OwnKey",
    "QueueInfo",
    "Request",
    "SchedulerPluginBatch",
    "Submission",
    "Submitted",
    "UnreadableAnswer",
    "UserOptions",
    "all_nodes",
    "bytes_of",
    "comma_list",
    "find_token",
    "flag",
    "host_list",
    "number",
    "quoted",
    "read_attributes",
    "read_json",
    "read_xml",
    "refuse",
    "safe_job_name",
    "word",
    "wrong_key",
]
