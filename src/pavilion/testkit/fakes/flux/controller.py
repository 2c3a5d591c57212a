"""What the fake Flux decides: where a job runs, its environment, and how it ends."""

# A command starts in less time without pathlib.
# ruff: noqa: PTH112, PTH118, PTH120

from __future__ import annotations

import os

from ..engine import controller as engine
from ..engine import stepmanager
from ..engine.fitting import fit
from ..engine.machine import Machine, Node
from ..engine.store import Row
from . import constraint, ids
from .context import SOCKET


class Controller(engine.Controller):
    """The brokers of a fake Flux instance, and its simple scheduler."""

    STYLE = stepmanager.Style(no_output=(1, 0))

    def is_eligible(self, job: Row, now: float) -> bool:
        """Whether a job may start: it is not held, its time has come, its queue is started."""
        if job["begin"] and job["begin"] <= now:
            job["begin"] = None
        queue = next(
            (each for each in self.description["partitions"] if each["name"] == job["partition"]),
            None,
        )
        stopped = queue is not None and queue["state"].startswith("STOPPED")
        return super().is_eligible(job, now) and not stopped

    def place(self, machine: Machine, job: Row, blocked: set[str]) -> dict[str, int] | None:
        """The first nodes with room: complete ones, or cores for the slots."""
        nodes = constraint.eligible(machine, job["partition"], job["requires"])
        if job["nodes"]:
            each = -(-job["slots"] * job["cores"] // job["nodes"])
            return fit(nodes, job["nodes"], 1 if job["whole"] else each, whole=job["whole"])
        return _slots(nodes, job["slots"], job["cores"])

    def settle(self, machine: Machine, job: Row) -> None:
        """The file for its output: in its directory, named after its id, unless it has a name."""
        name = job["output"] or f"flux-{ids.f58(job['flux_id'])}.out"
        path = os.path.join(job["workdir"] if os.path.isdir(job["workdir"]) else "/tmp", name)
        for field in ("id", "name"):
            value = ids.f58(job["flux_id"]) if field == "id" else job["name"]
            path = path.replace("{{" + field + "}}", value)
        job["paths"] = {"std_out": path, "std_err": path, "std_in": os.devnull}
        if not os.path.isdir(os.path.dirname(path)):
            job["exception"] = ("exec", "shell_init: No such file or directory")

    def environment(self, job: Row, submitted: dict[str, str]) -> dict[str, str]:
        """That of the submitter; FLUX_URI names the job's own instance."""
        return {
            **submitted,
            "FLUX_URI": f"local://{self.folder}/job-{job['flux_id']}/{SOCKET}",
            "FLUX_ENCLOSING_ID": ids.f58(job["flux_id"]),
        }

    def _lose_node(self, job: Row, down: set[str], leader: int | None, now: float) -> None:
        """A job lives as long as the broker on its first node."""
        first = next(iter(job["alloc"]))
        if first in down:
            rank = [node["name"] for node in self.store.nodes()].index(first)
            job["exception"] = ("exec", f"node failure on {first} (rank {rank})")
            super()._lose_node(job, down, leader, now)


def _slots(nodes: list[Node], count: int, cores: int) -> dict[str, int] | None:
    chosen: dict[str, int] = {}
    for node in nodes:
        fitting = min(count, node.free // cores) if node.usable else 0
        if fitting:
            chosen[node.name] = fitting * cores
            count -= fitting
    return None if count else chosen
