"""A fake Flux for tests.

::

    with FakeFlux(tmp_path, nodes=4) as flux:
        subprocess.run(["flux", "batch", "-N1", "job.sh"], env=flux.env())
        flux.drain("node1", reason="broken")
        flux.stop_queue("batch", "maintenance")
        assert [call.command for call in flux.calls()] == ["flux batch"]
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from . import description as descriptions
from .cluster import FakeCluster, FakeClusterError
from .fakes.engine import wakeup
from .fakes.flux.context import RELEASE, SOCKET, Context
from .fakes.flux.faults import FAULTS


class FakeFluxError(FakeClusterError):
    """The fake cannot be made or used like this."""


class FakeFlux(FakeCluster):
    """A fake Flux instance of release ``RELEASE``, see :class:`FakeCluster`.

    Without a description of its own, it has nodes node1, node2, ..., the last of which are in the
    queue ``debug`` (limit 10 minutes), and all others in ``batch`` (the default queue; limit 2
    hours).  Times of queues are in minutes.

    :param queues: Whether there are queues.
    """

    FAKE = "flux"
    RELEASE = RELEASE
    CONTEXT = Context
    FAULTS = FAULTS
    ERROR: ClassVar[type[FakeClusterError]] = FakeFluxError
    # Flux does not stop a command that waits for a broker.
    SETTINGS: ClassVar[Mapping[str, float]] = {
        **{"message_timeout": 0.0, "min_job_age": 0.0, "connect_seconds": 0.1, "kill_wait": 5.0}
    }

    def __init__(
        self,
        folder: Path,
        *,
        nodes: int = 4,
        cpus: int = 4,
        cluster: Path | None = None,
        description: descriptions.Description | None = None,
        queues: bool = True,
        **settings: float,
    ) -> None:
        if description is None and cluster is None:
            description = of_size(nodes, cpus)
        super().__init__(
            folder, nodes=nodes, cpus=cpus, cluster=cluster, description=description, **settings
        )
        self._description.cluster["no_queues"] = not queues

    @property
    def uri(self) -> str:
        """The instance's address."""
        return f"local://{self.folder}/{SOCKET}"

    def variables(self) -> dict[str, str]:
        """FLUX_URI."""
        return {"FLUX_URI": self.uri}

    def stop_queue(self, name: str, reason: str = "") -> None:
        """The queue starts no jobs."""
        self._set_queue(name, f"STOPPED: {reason}" if reason else "STOPPED")

    def disable_queue(self, name: str, reason: str = "") -> None:
        """The queue takes no jobs."""
        self._set_queue(name, f"DISABLED: {reason}" if reason else "DISABLED")

    def start_queue(self, name: str) -> None:
        """The queue takes and starts jobs."""
        self._set_queue(name, "UP")

    def _set_queue(self, name: str, state: str) -> None:
        if name not in [queue["name"] for queue in self._description.cluster["partitions"]]:
            raise self.ERROR(f"there is no queue '{name}'")
        store = self._store()
        with store.transaction():
            kept: Any = store.description()
            for queue in kept["partitions"]:
                if queue["name"] == name:
                    queue["state"] = state
            store.set_meta("description", kept)
        store.close()
        wakeup.ensure_controller(str(self.folder))

    def lose_node(self, node: str) -> None:
        """The node's broker is killed."""
        if node not in self.node_names:
            raise self.ERROR(f"there is no node '{node}'")
        store = self._store()
        with store.transaction():
            store.update_node(node, base="DOWN")
        store.close()
        wakeup.ensure_controller(str(self.folder))


def of_size(nodes: int, cpus: int) -> descriptions.Description:
    """Nodes node1, node2, ..., a quarter of them (at least one) in ``debug``.

    :raises DescriptionError: for fewer than two nodes.
    """
    if nodes < 2:
        raise descriptions.DescriptionError(f"a fake Flux has 2 nodes or more, not {nodes}")
    last = nodes - max(1, nodes // 4)
    return descriptions.parse(
        {
            "name": "flux",
            "nodes": [
                {"names": f"node[1-{last}]", "cpus": cpus},
                {"names": f"node[{last + 1}-{nodes}]", "cpus": cpus, "features": ["big"]},
            ],
            "partitions": [
                {
                    **{"name": "batch", "nodes": f"node[1-{last}]", "default": True},
                    **{"max_time": 120, "default_time": 30},
                },
                {
                    **{"name": "debug", "nodes": f"node[{last + 1}-{nodes}]"},
                    **{"max_time": 10, "default_time": 10},
                },
            ],
        }
    )
