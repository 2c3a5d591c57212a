"""The machine at a moment: nodes with what runs on them, the reservations that hold, the jobs.

Read-only views that the query commands and the controller share.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from . import nodestate
from .store import Row, Store

# Node flags that keep jobs away.
_UNUSABLE = {"DRAIN", "FAIL", "NOT_RESPONDING", "POWERING_DOWN", "POWERED_DOWN", "POWER_DOWN",
             "REBOOT_REQUESTED", "REBOOT_ISSUED", "INVALID_REG"}


class Node:
    """A node as it is now."""

    __slots__ = ("allocated", "base", "cpus", "features", "flags", "gpus", "gpus_taken",
                 "memory", "name", "row")

    def __init__(self, row: Row, allocated: int, flags: Iterable[str]) -> None:
        self.row = row
        self.name: str = row["name"]
        self.cpus: int = row["cpus"]
        self.memory: int = row["memory"]  # MiB
        self.features: list[str] = row["features"].split(",") if row["features"] else []
        self.allocated = allocated
        # Their types ('' for none), and the numbers of those that jobs have.
        self.gpus: list[str] = row["gpus"].split(",") if row["gpus"] is not None else []
        self.gpus_taken: set[int] = set()
        self.base: str = row["base"]
        if self.base == "IDLE" and allocated:
            self.base = "ALLOCATED" if allocated >= self.cpus else "MIXED"
        self.flags = [*row["flags"].split(), *flags]

    @property
    def free(self) -> int:
        return self.cpus - self.allocated

    @property
    def usable(self) -> bool:
        """Whether jobs may be started here, reservations aside."""
        return self.base in ("IDLE", "MIXED", "ALLOCATED") and not _UNUSABLE & set(self.flags)

    def state(self, release: tuple[int, int] = (22, 5)) -> str:
        return nodestate.full(self.base, self.flags, release)


class Machine:
    """All of a cluster at the time ``now`` (seconds since the epoch)."""

    def __init__(self, store: Store, now: float, description: Row | None = None,
                 jobs: list[Row] | None = None) -> None:
        self.now = now
        self.description = store.description() if description is None else description
        self.partitions: list[Row] = self.description["partitions"]
        self.jobs = store.jobs(active_only=True) if jobs is None else jobs
        self.reservations = [each for each in store.reservations() if each["end"] > now]
        allocated: dict[str, int] = defaultdict(int)
        flags: dict[str, set[str]] = defaultdict(set)
        for job in self.jobs:
            if job["state"] == "RUNNING":
                for name, cpus in job["alloc"].items():
                    allocated[name] += cpus
            elif job["completing"]:
                for name in job["alloc"]:
                    flags[name].add("COMPLETING")
        for reservation in self.reservations:
            if reservation["start"] <= now:
                names = {"MAINTENANCE", "RESERVED"} if "MAINT" in reservation["flags"] \
                    else {"RESERVED"}
                for name in reservation["nodes"]:
                    flags[name] |= names
        self.nodes = [Node(row, allocated.get(row["name"], 0), flags.get(row["name"], ()))
                      for row in store.nodes()]
        self._by_name: dict[str, Node] | None = None
        for job in self.jobs:
            if job["gpus"] and job["state"] == "RUNNING":
                for name, numbers in job["gpus"].items():
                    self.by_name[name].gpus_taken.update(numbers)

    @property
    def by_name(self) -> dict[str, Node]:
        if self._by_name is None:
            self._by_name = {node.name: node for node in self.nodes}
        return self._by_name

    def partition(self, name: str) -> Row | None:
        return next((each for each in self.partitions if each["name"] == name), None)

    def default_partition(self) -> Row:
        return next((each for each in self.partitions if each["default"]), self.partitions[0])

    def reservation(self, name: str) -> Row | None:
        return next((each for each in self.reservations if each["name"] == name), None)

    def partitions_of_nodes(self, hidden: bool) -> dict[str, list[str]]:
        """Names of partitions by name of node; hidden ones only if asked for."""
        found: dict[str, list[str]] = defaultdict(list)
        for partition in self.partitions:
            if hidden or not partition["hidden"]:
                for name in partition["nodes"]:
                    found[name].append(partition["name"])
        return found


def is_purged(job: Row, min_job_age: float, now: float) -> bool:
    """Whether the controller has forgotten the job (0: it never does)."""
    over = job["state"] not in ("PENDING", "RUNNING", "SUSPENDED") and not job["completing"]
    return over and min_job_age > 0 and now - (job["end"] or now) > min_job_age


def visible_jobs(store: Store, description: Row, now: float) -> list[Row]:
    """The jobs that the controller knows, by id."""
    age = description["settings"]["min_job_age"]
    return [job for job in store.jobs() if not is_purged(job, age, now)]
