"""What waiting jobs request and do not get: drained nodes, reservations that have not begun.

Slurm used to name such nodes in the reason ('ReqNodeNotAvail, UnavailableNodes:node02', 22.05.8).
Since 24.11 it names only those that are down, and says 'May be reserved for other job' of others
(25.11 and 26.05, measured): the user would wait for what only an administrator can bring about.
When a reservation begins it does not say at all.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from ...placement import hostlists
from ...talk import safe_files
from .extra import value_of
from .header import PREFIX
from .parsing import Reservation
from .record import SlurmRecord

# Seconds that an answer about drained nodes serves.
DRAINED_AGE = 60.0
# The header of a script is at its start.
_HEADER_BYTES = 1024 * 1024


class RequestedNodes:
    """Reasons of waiting jobs, with the drained nodes named.  May be used from several threads.

    :param drained: Gives the drained nodes of a cluster ('' for that of this host), and why
        they are.  It is called when a job waits for nodes that it requested, and then once in
        DRAINED_AGE for all such jobs.
    :param clock: Gives seconds.
    """

    def __init__(
        self,
        drained: Callable[[str], Mapping[str, str]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._drained = drained
        self._clock = clock
        self._lock = threading.Lock()
        # Cluster -> (until when it serves, its drained nodes).
        self._known: dict[str, tuple[float, frozenset[str]]] = {}

    def explained(
        self, record: SlurmRecord, data: Mapping[str, str], cluster: str = ""
    ) -> Mapping[str, str]:
        """What is known about a job; its reason in Slurm's older words where these say more.

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
    """The nodes that a kickoff script requests; [] when it requests none, or cannot be read."""
    try:
        return hostlists.expand(value_of(_header_options(script), "nodelist"))
    except ValueError:
        return []


def begin_note(script: str, reservations: Iterable[Reservation]) -> str:
    """When the reservations that a waiting job requests begin, as a sentence with a blank before
    it; '' when one has begun, or nothing is known about them.

    :param reservations: All that there are.
    """
    named = (value_of(_header_options(script), "reservation") or "").split(",")
    asked = [each for each in reservations if each.name in named]
    if not asked or any(each.is_active for each in asked):
        return ""
    first = min(asked, key=lambda each: each.start)
    return f" Reservation '{first.name}' begins at {first.start}."


def _header_options(script: str) -> list[str]:
    """The options in the header of a kickoff script, a line each; [] when it cannot be read.

    squeue knows what a job requests too, but would have to be run for that.
    """
    try:
        text = safe_files.read_start(Path(script), _HEADER_BYTES)[0].decode("utf-8", "replace")
    except OSError:
        return []
    return [line[len(PREFIX) :] for line in text.splitlines() if line.startswith(f"{PREFIX} ")]
