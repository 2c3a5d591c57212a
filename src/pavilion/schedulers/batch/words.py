"""What the family and its plugins say to each other: plain values, without any behaviour.

A plugin gets a :class:`Submission` and makes a command of it; it reads answers into
:class:`BatchJob` and ids.  Both sides are easy to make in a test.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import Any, NamedTuple

from pavilion.errors import SchedConfigError
from pavilion.types import NodeList, NodeRange


class UnreadableAnswer(ValueError):
    """An answer that is cut off, or is not an answer: nothing can be concluded from it.

    Raise it from a parser.  A job that such an answer does not list is not gone.
    """


class JobState(Enum):
    """What a scheduler's word for the state of a job means."""

    WAITING = "waiting"
    """In the queue; it will run without anybody doing anything."""
    STUCK = "stuck"
    """In the queue, and it will not run until somebody intervenes.  Such a job still exists: it is
    reported with its reason, and it can be cancelled."""
    ACTIVE = "active"
    """It runs, or is about to, or is suspended."""
    ENDING = "ending"
    """It is being ended: what it started may run for a moment."""
    FINISHED = "finished"
    """It has ended by itself, well or badly, or by its scheduler."""
    CANCELLED = "cancelled"
    """It was cancelled."""

    @property
    def is_over(self) -> bool:
        """Whether a job in this state has ended for good."""
        return self in (JobState.FINISHED, JobState.CANCELLED)


class Submission(NamedTuple):
    """A job that is to be submitted.

    :param script: The kickoff script, an absolute path.  Its header has been written.
    :param log: The file for what the job prints beside its kickoff log, an absolute path.  Paths
        may contain any character but a line end.
    :param token: A string that no other job has: 'pav-' and 16 hexadecimal digits.  The command
        must put it where :class:`BatchJob` has it from: into the job's name, comment, or whatever
        the list of jobs shows whole.
    :param job_name: The job's name, as a user gave it or made of the names of tests.
    :param config: The validated schedule section.
    :param nodes: The nodes that the job must run on; None where the scheduler picks them.
    :param node_range: The least and the most nodes (None: no limit) where the scheduler picks.
    """

    script: Path
    log: Path
    token: str
    job_name: str = ""
    config: Mapping[str, Any] = {}
    nodes: NodeList | None = None
    node_range: NodeRange | None = None


class Submitted(NamedTuple):
    """A job that was handed over.

    :param job_id: '' when only its token is known.
    :param cluster: '' for the one cluster (server, cell) that commands of this host address.
    """

    job_id: str
    cluster: str = ""
    token: str = ""


class BatchJob(NamedTuple):
    """A job, as the scheduler shows it.

    :param job_id: The scheduler's own id, as the cancel command takes it.
    :param state: The scheduler's own word; the plugin's STATES says what it means.
    :param token: The token of its submission; '' where it shows none.
    :param reason: Why it waits, or ended, in the scheduler's words; '' where it says nothing.
    :param exit_code: As the scheduler writes it; '' or None where it is not known.
    :param nodes: The nodes that it has or had.
    :param data: Whatever else the plugin needs later.
    """

    job_id: str
    state: str
    token: str = ""
    reason: str = ""
    exit_code: str | int | None = ""
    nodes: Sequence[str] = ()
    data: Mapping[str, str] = {}


class QueueInfo(NamedTuple):
    """A queue.

    :param name: '' for what holds for all jobs, where a scheduler has no queues.
    :param stopped: Why it starts no jobs, in the scheduler's words; '' where it does.
    :param is_default: Whether jobs go there that name no queue.
    """

    name: str
    stopped: str = ""
    is_default: bool = False


def wrong_key(key: str, problem: str) -> SchedConfigError:
    """The error about the value of a key of the schedule section.

    :param key: Without 'schedule.'.
    """
    where = f"schedule.{key}"
    return SchedConfigError(f"Bad value for {where}: {problem}.", data={"key": where})


def digest(text: str) -> str:
    """Sixteen characters that stand for a string: in file names, and where others may read it."""
    import hashlib

    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:16]


TOKEN = re.compile(r"pav-[0-9a-f]{16}")
"""What the token of a submission looks like."""


def find_token(text: str) -> str:
    """The token in a job's name or comment; '' where there is none.

    The last one counts: a name may begin with whatever a user wrote.
    """
    found = TOKEN.findall(text)
    return found[-1] if found else ""
