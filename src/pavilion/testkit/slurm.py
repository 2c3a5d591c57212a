"""A fake Slurm for tests.

::

    with FakeSlurm(tmp_path, nodes=8, min_job_age=1) as slurm:
        subprocess.run(["sbatch", "job.sh"], env=slurm.env())
        slurm.drain("node01", reason="broken")
        slurm.set_fault("frozen")
        assert [call.command for call in slurm.calls()] == ["sbatch"]
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import ClassVar

from .cluster import FakeCluster, FakeClusterError
from .fakes.engine import wakeup
from .fakes.engine.machine import Machine
from .fakes.engine.store import Row
from .fakes.slurm import jobtext, nodestate
from .fakes.slurm.context import Context
from .fakes.slurm.faults import FAULTS
from .fakes.slurm.sdiag import counts


class FakeSlurmError(FakeClusterError):
    """The fake cannot be made or used like this."""


class FakeSlurm(FakeCluster):
    """A fake Slurm, see :class:`FakeCluster`."""

    FAKE = "slurm"
    CONTEXT = Context
    FAULTS = FAULTS
    ERROR: ClassVar[type[FakeClusterError]] = FakeSlurmError

    def start(self) -> None:
        """As the base's, with something that SLURM_CONF can point to; nothing reads it."""
        super().start()
        (self.folder / "slurm.conf").write_text(f"ClusterName={self.name}\n", encoding="utf-8")

    def variables(self) -> dict[str, str]:
        """SLURM_CONF."""
        return {"SLURM_CONF": str(self.folder / "slurm.conf")}

    def rpcs(self) -> dict[str, int]:
        """How often the controller was called, by kind of call."""
        return counts(str(self.folder), "rpc")

    def set_node_state(self, node: str, state: str, reason: str | None = None) -> None:
        """Any state, known to Slurm or not: 'DOWN+CLOUD+POWERED_DOWN', 'IDLE+BRAND_NEW'."""
        base, flags = nodestate.parse(state)
        store = self._store()
        with store.transaction():
            self._node(store, node)
            store.update_node(
                node,
                base=base,
                flags=" ".join(flags),
                reason=reason,
                changed=time.time(),
                reason_user=reason and "root",
                reason_time=reason and time.time(),
            )
        store.close()
        wakeup.ensure_controller(str(self.folder))

    def node_state(self, node: str) -> str:
        """The node's state as ``scontrol show node`` writes it."""
        store = self._store()
        try:
            return nodestate.of_node(Machine(store, time.time()).by_name[node])
        finally:
            store.close()

    def reserve(
        self,
        name: str,
        nodes: Sequence[str],
        *,
        flags: Sequence[str] = (),
        start: str = "now",
        minutes: int = 60,
        users: str = "root",
    ) -> None:
        """Make a reservation of nodes, for a list of users."""
        words = [
            f"reservationname={name}",
            f"nodes={','.join(nodes)}",
            f"starttime={start}",
            f"duration={minutes}",
            f"users={users}",
        ]
        if flags:
            words.append(f"flags={','.join(flags)}")
        self.ok("scontrol", "create", "reservation", *words)

    def unreserve(self, name: str) -> None:
        """Delete a reservation."""
        self.ok("scontrol", "delete", f"reservationname={name}")

    def jobs(self) -> dict[str, Row]:
        """All jobs that are kept, by id: ``state``, ``reason``, ``alloc`` (CPUs by node), ...

        A job's ``state_shown``, see ``change_job``, is any word to show as its state.
        """
        return {
            job_id: {**job, "state": jobtext.state(job)} for job_id, job in super().jobs().items()
        }
