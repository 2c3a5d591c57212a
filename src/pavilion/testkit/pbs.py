"""A fake PBS for tests.

::

    with FakePbs(tmp_path, nodes=8) as pbs:
        subprocess.run(["qsub", "job.sh"], env=pbs.env())
        pbs.drain("node01", reason="broken")
        pbs.set_fault("frozen")
        assert [call.command for call in pbs.calls()] == ["qsub"]
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from . import description as descriptions
from .cluster import FakeCluster, FakeClusterError
from .fakes.pbs.context import Context, has_ended
from .fakes.pbs.faults import FAULTS


class FakePbsError(FakeClusterError):
    """The fake cannot be made or used like this."""


def of_size(nodes: int, cpus: int = 4) -> descriptions.Description:
    """A server with identical nodes node01, node02, ...; the queue ``workq`` has all of them, and
    the queue ``stopped`` takes jobs, and does not run them.

    :raises DescriptionError: for no nodes at all.
    """
    width = max(2, len(str(nodes)))
    names = f"node[{1:0{width}d}-{nodes:0{width}d}]"
    return descriptions.parse(
        {
            "name": "server1",
            "nodes": [{"names": names, "cpus": cpus}],
            "partitions": [
                {"name": "workq", "nodes": names, "default": True},
                {"name": "stopped", "nodes": names, "state": "DOWN"},
            ],
        }
    )


class FakePbs(FakeCluster):
    """A fake PBS, see :class:`FakeCluster`; a queue is a partition of the description.

    A queue whose state is DOWN is not started, one that is DRAIN is not enabled, and one that is
    INACTIVE is neither.  A cluster with reservations, GPUs or power saving is refused.
    """

    FAKE = "pbs"
    CONTEXT = Context
    FAULTS = FAULTS
    ERROR: ClassVar[type[FakeClusterError]] = FakePbsError
    # Jobs are kept for two weeks. A client waits for a server that does not answer without end.
    SETTINGS: ClassVar[dict[str, float]] = {
        **{"min_job_age": 1209600.0, "message_timeout": 0.0, "connect_seconds": 0.01},
        **{"kill_wait": 10.0, "requeue_seconds": 10.0},
    }

    def __init__(
        self,
        folder: Path,
        *,
        nodes: int = 8,
        cpus: int = 4,
        cluster: Path | None = None,
        description: descriptions.Description | None = None,
        **settings: float,
    ) -> None:
        if description is None:
            description = of_size(nodes, cpus) if cluster is None else descriptions.load(cluster)
        super().__init__(
            folder, nodes=nodes, cpus=cpus, cluster=cluster, description=description, **settings
        )
        self._refuse(description)

    def _refuse(self, description: descriptions.Description) -> None:
        """:raises FakePbsError: for what there is in a description and not in this fake."""
        if description.reservations:
            raise self.ERROR("the fake PBS has no reservations")
        for key in ("private_data", "switches", "accounting", "saves_power"):
            if description.cluster[key]:
                raise self.ERROR(f"the fake PBS has nothing like the description's {key}")
        for node in description.nodes:
            if node["features"] or node["gpus"]:
                raise self.ERROR(f"the fake PBS has no features and no GPUs ({node['name']})")

    def start(self) -> None:
        """As the base's, with something that PBS_CONF_FILE can point to; nothing reads it."""
        super().start()
        (self.folder / "pbs.conf").write_text(f"PBS_SERVER={self.name}\n", encoding="utf-8")

    def variables(self) -> dict[str, str]:
        """PBS_CONF_FILE."""
        return {"PBS_CONF_FILE": str(self.folder / "pbs.conf")}

    def set_history(self, is_on: bool) -> None:
        """Switch the server's history of jobs on or off; either way, it forgets all that ended."""
        if is_on:
            self.clear_fault("no_history")
        else:
            self.set_fault("no_history")
        self.forget_ended()

    def forget_ended(self) -> None:
        """Have the server forget all jobs that ended, as when job_history_duration has passed."""
        store = self._store()
        with store.transaction():
            for job in store.jobs():
                if has_ended(job):
                    store.delete_job(job["id"])
        store.close()

    def fail_node(self, name: str) -> None:
        """The daemon of a node is gone: the node is down, and its jobs are lost."""
        self._change_node(name, "DOWN", None)
