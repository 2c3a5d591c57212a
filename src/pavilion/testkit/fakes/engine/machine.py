"""The machine at a moment: nodes with what runs on them, the reservations that hold, the jobs.

Read-only views that the query commands and the controller share.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable

from .store import NODE_COLUMNS, NodeValues, Row, Store

# Flags of a node that must boot before a job can run there.
OFF = {"POWERED_DOWN", "POWER_UP", "POWERING_UP"}
_WORKING = {"IDLE", "MIXED", "ALLOCATED"}
# Node flags that keep jobs away.
_UNUSABLE = {
    "DRAIN",
    "FAIL",
    "NOT_RESPONDING",
    "POWERING_DOWN",
    "POWERED_DOWN",
    "REBOOT_REQUESTED",
    "REBOOT_ISSUED",
    "INVALID_REG",
}
# They do not, of a node that the scheduler wakes up.
_WAKING = {"POWERED_DOWN", "POWERING_UP", "NOT_RESPONDING"}
_NONE: list[str] = []  # not to be changed
_BASE = NODE_COLUMNS.index("base")


class Node:
    """A node as it is now."""

    __slots__ = (
        "_features",
        "_gpus",
        "_own",
        "_values",
        "allocated",
        "base",
        "cpus",
        "flags",
        "gpus_taken",
        "memory",
        "name",
    )

    def __init__(self, values: NodeValues) -> None:
        self._values = values
        self.name: str
        self.cpus: int
        self.memory: int  # MiB
        self.base: str
        (_, self.name, self.cpus, self.memory, self._features, self._gpus, self.base, self._own) = (
            values[:8]
        )
        self.allocated = 0
        self.gpus_taken: set[int] = set()  # numbers in ``gpus``
        self.flags: list[str] = self._own.split() if self._own else _NONE

    def occupy(self, allocated: int, flags: Iterable[str]) -> None:
        """What jobs and reservations make of it: CPUs that are allocated, and flags."""
        self.allocated = allocated
        self.base = self._values[_BASE]
        self.gpus_taken.clear()
        if self.base == "IDLE" and allocated:
            self.base = "ALLOCATED" if allocated >= self.cpus else "MIXED"
        self.flags = [*self._own.split(), *flags]

    @property
    def row(self) -> Row:
        """All that is kept of it."""
        return dict(zip(NODE_COLUMNS, self._values))

    @property
    def features(self) -> list[str]:
        """Its features, in the order of their description."""
        return self._features.split(",") if self._features else []

    @property
    def gpus(self) -> list[str]:
        """The types of its GPUs ('' for none)."""
        return [] if self._gpus is None else self._gpus.split(",")

    def emptied(self) -> Node:
        """The node with nothing on it."""
        return Node(self._values)

    @property
    def free(self) -> int:
        """How many of its CPUs no job has."""
        return self.cpus - self.allocated

    @property
    def usable(self) -> bool:
        """Whether jobs may be started here, reservations aside."""
        if self.base not in _WORKING:
            return False
        if not self.flags:
            return True
        keeping = _UNUSABLE & set(self.flags)
        return not keeping or (self.is_off and keeping <= _WAKING)

    @property
    def is_off(self) -> bool:
        """Whether the scheduler must wake it up before a job can run here."""
        return not OFF.isdisjoint(self.flags) and bool(self.row["power"])


class Machine:
    """All of a cluster at the time ``now`` (seconds since the epoch)."""

    def __init__(
        self,
        store: Store,
        now: float,
        description: Row | None = None,
        jobs: list[Row] | None = None,
    ) -> None:
        self._values = store.node_values()
        self.nodes = [Node(values) for values in self._values]
        self._by_name: dict[str, Node] | None = None
        self._occupied: set[str] = set()
        self._candidates: dict[tuple[str, str], list[Node]] = {}
        self._update(
            store,
            now,
            store.description() if description is None else description,
            store.jobs(active_only=True) if jobs is None else jobs,
        )

    def later(self, store: Store, now: float, description: Row, jobs: list[Row]) -> Machine:
        """The machine at another time: this one, unless a node was changed meanwhile."""
        if store.node_values() is not self._values:
            return Machine(store, now, description, jobs)
        self._update(store, now, description, jobs)
        return self

    def _update(self, store: Store, now: float, description: Row, jobs: list[Row]) -> None:
        self.now = now
        self.description = description
        self.saves_power: bool = description["saves_power"]
        self.partitions: list[Row] = description["partitions"]
        self.jobs = jobs
        self.reservations = [each for each in store.reservations() if each["end"] > now]
        allocated: dict[str, int] = defaultdict(int)
        flags: dict[str, set[str]] = defaultdict(set)
        for job in jobs:
            if job["state"] == "RUNNING":
                for name, cpus in job["alloc"].items():
                    allocated[name] += cpus
            elif job["completing"]:
                for name in job["alloc"]:
                    flags[name].add("COMPLETING")
        for reservation in self.reservations:
            if reservation["start"] <= now:
                names = (
                    {"MAINTENANCE", "RESERVED"} if "MAINT" in reservation["flags"] else {"RESERVED"}
                )
                for name in reservation["nodes"]:
                    flags[name] |= names
        occupied = {*allocated, *flags}
        for name in occupied | self._occupied:
            if name in self.by_name:
                self.by_name[name].occupy(allocated.get(name, 0), flags.get(name, ()))
        self._occupied = occupied
        for job in jobs:
            if job["gpus"] and job["state"] == "RUNNING":
                for name, numbers in job["gpus"].items():
                    self.by_name[name].gpus_taken.update(numbers)

    def allocate(self, name: str, cpus: int) -> None:
        """Note that a job gets CPUs of a node, until the jobs are looked at again."""
        self.by_name[name].allocated += cpus
        self._occupied.add(name)

    def members(
        self, partition: str, features: str, fits: Callable[[Node, str], bool]
    ) -> list[Node]:
        """The nodes of a partition that have these features, as ``fits`` says."""
        key = partition, features
        if key not in self._candidates:
            row = self.partition(partition)
            names = set(row["nodes"]) if row else set()
            self._candidates[key] = [
                node for node in self.nodes if node.name in names and fits(node, features)
            ]
        return self._candidates[key]

    def memory_of(self, job: Row) -> int:
        """MiB of a node that the job requests: all, unless it says how much."""
        partition = self.partition(job["partition"].split(",")[0]) or {"nodes": []}
        names = [*job["alloc"], *job["req_nodes"], *partition["nodes"][:1]]
        return int(job["memory"] or (self.by_name[names[0]].memory if names else 0))

    @property
    def by_name(self) -> dict[str, Node]:
        """The nodes by name."""
        if self._by_name is None:
            self._by_name = {node.name: node for node in self.nodes}
        return self._by_name

    def partition(self, name: str) -> Row | None:
        """The partition of this name; None if there is none."""
        return next((each for each in self.partitions if each["name"] == name), None)

    def default_partition(self) -> Row:
        """The partition of jobs that name none."""
        return next((each for each in self.partitions if each["default"]), self.partitions[0])

    def reservation(self, name: str) -> Row | None:
        """The reservation of this name; None if there is none."""
        return next((each for each in self.reservations if each["name"] == name), None)

    def partitions_of_nodes(self, hidden: bool) -> dict[str, list[str]]:
        """Names of partitions by name of node; hidden ones only if requested."""
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


def changed_state(base: str, flags: list[str], wish: str) -> tuple[str, list[str]]:
    """Base and flags of a node after an administrator's wish: DOWN, RESUME, DRAIN, UNDRAIN, ..."""
    names = set(flags)
    if wish == "DOWN":
        base = "DOWN"
    elif wish in ("RESUME", "IDLE"):
        base = "IDLE" if base in ("DOWN", "UNKNOWN") else base
        # One that is powered down has no way to respond.
        names -= {"DRAIN", "FAIL"} | (set() if "POWERED_DOWN" in names else {"NOT_RESPONDING"})
    elif wish == "UNDRAIN":
        names.discard("DRAIN")
    elif wish:
        names.add({"NORESP": "NOT_RESPONDING"}.get(wish, wish))
    return base, sorted(names)
