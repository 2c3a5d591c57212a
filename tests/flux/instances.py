"""Flux with what the tests of its plugin do to it: the fake one, and a private real one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Union

from batch.flux_sites import FakeFluxSite
from batch.real_flux_site import RealFluxSite
from open_directory import open_directory
from real_schedulers import FLUX


class FakeInstance(FakeFluxSite):
    """The fake Flux."""

    # A minute has 2 seconds.
    short_limit = "90s"

    @contextmanager
    def queue_stopped(self, queue: str, reason: str = "maintenance") -> Iterator[None]:
        """Within the block jobs of a queue are accepted, and wait."""
        self.cluster.stop_queue(queue, reason)
        yield
        self.cluster.start_queue(queue)

    @contextmanager
    def queue_disabled(self, queue: str, reason: str) -> Iterator[None]:
        """Within the block a queue refuses jobs."""
        self.cluster.disable_queue(queue, reason)
        yield
        self.cluster.start_queue(queue)

    @contextmanager
    def drained(self, *nodes: str, reason: str = "broken fan") -> Iterator[None]:
        """Nodes are drained within the block."""
        for node in nodes:
            self.cluster.drain(node, reason)
        yield
        for node in nodes:
            self.cluster.resume(node)

    def lose(self, node: str) -> None:
        """End the broker of a node."""
        self.cluster.lose_node(node)

    @property
    def batch_nodes(self) -> list[str]:
        """The nodes of the default queue."""
        return self.cluster.node_names[:-2]


class RealInstance(RealFluxSite):
    """A private real Flux."""

    short_limit = "3s"

    @contextmanager
    def queue_stopped(self, queue: str, reason: str = "maintenance") -> Iterator[None]:
        with self.cluster.queue_stopped(queue, reason):
            yield

    @contextmanager
    def queue_disabled(self, queue: str, reason: str) -> Iterator[None]:
        with self.cluster.queue_disabled(queue, reason):
            yield

    @contextmanager
    def drained(self, *nodes: str, reason: str = "broken fan") -> Iterator[None]:
        with self.cluster.drained(*nodes, reason=reason):
            yield

    def lose(self, node: str) -> None:
        self.cluster.lose(node)

    @property
    def batch_nodes(self) -> list[str]:
        return self.cluster.node_names[:-1]


Instance = Union[FakeInstance, RealInstance]
KINDS: dict[str, type[Instance]] = {made.kind: made for made in (FakeInstance, RealInstance)}


@contextmanager
def new_instance(kind: str, **options: Any) -> Iterator[Instance]:
    """A new Flux.

    :param options: Of a real one, see RealFlux.
    """
    FLUX.skip_if(KINDS[kind].why_not())
    with open_directory("flux-") as directory:
        made = KINDS[kind](directory)
        if options:
            assert isinstance(made, RealInstance)
            made.options = options
        with made:
            yield made
