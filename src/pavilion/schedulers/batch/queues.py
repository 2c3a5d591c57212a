"""The queues of a scheduler: which there are, the default one, and why jobs in them do not start.

A scheduler that gives no reason for a job that waits has one all the same: its queue is stopped, or too
few of its nodes are usable.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from pavilion.errors import SchedConfigError
from pavilion.types import NodeInfo

from ..lifecycle.job_cache import JobRecord
from ..near_matches import did_you_mean
from ..placement import hostlists
from ..talk.commands import CommandResult
from .dialect import COUNT_KEY, QUEUE_KEY, Dialect
from .directives import value_of
from .words import QueueInfo, UnreadableAnswer

# Seconds for which an answer is used.
AGE = 60.0


class _Nodes(NamedTuple):
    """Node -> whether it is up; queue -> how many of its nodes are."""

    is_up: Mapping[str, bool]
    up: Mapping[str, int]


class Queues:
    """What is known about the queues of each cluster.  May be used from several threads.

    :param run: Runs a query of a cluster.
    :param clock: Gives seconds.
    """

    def __init__(
        self,
        dialect: Dialect,
        run: Callable[[Sequence[str], str], CommandResult],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._dialect = dialect
        self._run = run
        self._clock = clock
        self._lock = threading.Lock()
        # (parser, cluster) -> until when an answer is used, and what it says; None: nothing.
        self._answers: dict[tuple[str, str], tuple[float, Any]] = {}

    def known(self, cluster: str = "") -> Sequence[QueueInfo] | None:
        """All queues of a cluster; None where the scheduler does not say."""
        queues: Sequence[QueueInfo] | None = self._answer(
            "parse_queues", self._dialect.queues_command(), cluster
        )
        return queues

    def problem(self, sched_config: Mapping[str, Any]) -> SchedConfigError | None:
        """The error about a queue that does not exist; None when there is none."""
        for key in self._dialect.QUEUE_KEYS:
            name = str(value_of(sched_config, key) or "").strip()
            if not name:
                continue
            queues = self.known()
            names = [queue.name for queue in queues or [] if queue.name]
            if queues is None or name in names:
                return None
            text = f"there is no queue {name!r} (there are: {', '.join(names)})"
            if not names:
                text = f"{self._dialect.title} has no queues here; leave it out"
            hint = did_you_mean(name, names)
            return SchedConfigError(
                f"Bad value for schedule.{key}: {text}.{hint}", data={"key": f"schedule.{key}"}
            )
        return None

    def left_out(self, sched_config: Mapping[str, Any], partitions: Sequence[str]) -> str | None:
        """Why a job cannot have a node of these partitions: it names no queue, and goes to the
        default one.  None when it can."""
        if any(value_of(sched_config, key) for key in self._dialect.QUEUE_KEYS):
            return None
        default = next((queue.name for queue in self.known() or () if queue.is_default), "")
        if not default or default in partitions:
            return None
        return (
            f'not in the default queue "{default}" (schedule.{self._dialect.QUEUE_KEYS[0]} names '
            "another)"
        )

    def why_waiting(self, job: JobRecord, cluster: str, chosen: Sequence[str] = ()) -> str:
        """What keeps a job from being started, for messages; '' where nothing is known.

        :param chosen: The nodes that it must have, if they were picked for it.
        """
        name, wanted = job.data.get(QUEUE_KEY, ""), job.data.get(COUNT_KEY, "")
        where = f"its queue, {name}," if name else "the scheduler"
        for queue in self.known(cluster) or ():
            if queue.name == name and queue.stopped:
                return f"{where} starts no jobs ({queue.stopped})"
        nodes: _Nodes | None = self._answer("parse_nodes", self._dialect.nodes_command(), cluster)
        if nodes is None:
            return ""
        away = [node for node in chosen if not nodes.is_up.get(node, True)]
        if away:
            return f"it must have {hostlists.fold_short(away, count=False)}, down or drained"
        up = nodes.up.get(name, 0)
        if not wanted.isdigit() or up >= int(wanted):
            return ""
        return (
            f"it needs {wanted} nodes, and {up}{' of its queue' if name else ''} are usable; the "
            "others are down or drained"
        )

    def forget(self) -> None:
        """Forget all that was learned."""
        with self._lock:
            self._answers.clear()

    def _answer(self, method: str, command: Sequence[str] | None, cluster: str) -> Any:
        """What a command's answer says about a cluster; None where it cannot be used."""
        if command is None:
            return None
        with self._lock:
            until, found = self._answers.get((method, cluster), (float("-inf"), None))
            if self._clock() > until:
                found = self._read(method, command, cluster)
                if found is not None and method == "parse_nodes":
                    found = _by_queue(found)
                self._answers[method, cluster] = self._clock() + AGE, found
            return found

    def _read(self, method: str, command: Sequence[str], cluster: str) -> Any:
        try:
            result = self._run(command, cluster)
            if self._dialect.classify(result) is not None:
                return None
            return self._dialect.read(method, result.stdout)
        except UnreadableAnswer:
            return None


def _by_queue(nodes: Sequence[NodeInfo]) -> _Nodes:
    up = Counter(queue for node in nodes if node["up"] for queue in node.get("partitions") or [""])
    return _Nodes({node["name"]: bool(node["up"]) for node in nodes}, up)
