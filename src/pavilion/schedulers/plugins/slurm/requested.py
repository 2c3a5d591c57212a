"""Waiting jobs whose requested nodes are drained.

Slurm used to name such nodes in the reason ('ReqNodeNotAvail, UnavailableNodes:node02', 22.05.8).
Since 24.11 it names only those that are down, and says 'May be reserved for other job' of others
(25.11 and 26.05, measured): the user would wait for what only an administrator can bring about.
"""

from __future__ import annotations

import shlex
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from ... import hostlists, safe_files
from .header import PREFIX
from .record import SlurmRecord

# Seconds that an answer about drained nodes serves.
DRAINED_AGE = 60.0
# The header of a script is at its start.
_HEADER_BYTES = 1024 * 1024
_NODE_LIST = ("-w", "--nodelist")


class RequestedNodes:
    """Reasons of waiting jobs, with the drained nodes named.  May be used from several threads.

    :param drained: Gives the drained nodes of a cluster ('' for the one of this host), and why
        they are.  It is called when a job waits for nodes that it requested, and then once in
        DRAINED_AGE for all such jobs.
    :param clock: Gives seconds.
    """

    def __init__(self, drained: Callable[[str], Mapping[str, str]],
                 clock: Callable[[], float] = time.monotonic) -> None:
        self._drained = drained
        self._clock = clock
        self._lock = threading.Lock()
        # Cluster -> (until when it serves, its drained nodes).
        self._known: dict[str, tuple[float, frozenset[str]]] = {}

    def explained(self, record: SlurmRecord, data: Mapping[str, str], cluster: str = ""
                  ) -> Mapping[str, str]:
        """What is known of a job; its reason in Slurm's older words where these say more.

        :param data: What ``parsing.parse_jobs`` gives of it.
        """
        reason = data.get("reason", "").replace("_", " ")
        if not reason.startswith("ReqNodeNotAvail") or "UnavailableNodes" in reason:
            return data
        drained = self._drained_of(cluster).intersection(requested_nodes(record.script))
        if not drained:
            return data
        return {**data, "reason": f"ReqNodeNotAvail, UnavailableNodes:{hostlists.fold(drained)}"}

    def _drained_of(self, cluster: str) -> frozenset[str]:
        with self._lock:
            until, nodes = self._known.get(cluster, (self._clock(), frozenset()))
            if self._clock() >= until:
                nodes = frozenset(self._drained(cluster))
                self._known[cluster] = self._clock() + DRAINED_AGE, nodes
            return nodes


def requested_nodes(script: str) -> list[str]:
    """The nodes that a kickoff script requests; [] when it requests none, or cannot be read.

    :param script: Its path.  squeue knows them too, but would have to be run for that.
    """
    try:
        text = safe_files.read_start(Path(script), _HEADER_BYTES)[0].decode("utf-8", "replace")
    except OSError:
        return []
    # The last one counts.
    for line in reversed(text.splitlines()):
        if not line.startswith(PREFIX):
            continue
        try:
            words = shlex.split(line[len(PREFIX):])
            for option, value in reversed([*_options(words)]):
                if option in _NODE_LIST:
                    return hostlists.expand(value)
        except ValueError:
            continue
    return []


def _options(words: list[str]) -> list[tuple[str, str]]:
    """The options in a line of a header, with their values."""
    found = []
    for word, following in zip(words, [*words[1:], ""]):
        name, equals, value = word.partition("=")
        if word.startswith("--"):
            found.append((name, value if equals else following))
        elif word.startswith("-"):
            found.append((word[:2], word[2:] or following))
    return found
