"""A private real Flux instance for the tests of the batch family."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from batch.flux_sites import FakeFluxSite
from batch.sites import BatchSite, Listed
from pavilion.schedulers import find_token

if TYPE_CHECKING:
    from real_flux import RealFlux


class RealFluxSite(FakeFluxSite):
    """The same of a real Flux: 4 nodes, the last of which is in a queue of its own."""

    kind = "real-flux"
    refused_why = "host constraint contains invalid hosts: host 'nosuch' not found"
    # Of the private instance.
    options: Mapping[str, Any] = {}
    cluster: RealFlux  # type: ignore[assignment]

    @staticmethod
    def why_not() -> str:
        try:
            from real_flux import why_not_available
        except ImportError:
            return "the tests of the flux plugin are not here"
        return why_not_available()

    def __enter__(self) -> BatchSite:
        from real_flux import RealFlux

        self.cluster = RealFlux(self.directory, **self.options)
        self.cluster.start()
        self._variables = self.cluster.variables()
        return self

    def listed(self) -> list[Listed]:
        # Whatever variables a test sets that change what commands print.
        return [
            Listed(job_id, find_token(name), state == "INACTIVE")
            for job_id, state, name in self.cluster.jobs()
        ]

    @contextmanager
    def refusing(self) -> Iterator[Mapping[str, Any]]:
        yield {"flux": {"fluxbatch_extra": ["--requires=host:nosuch"]}}

    def forget_ended(self) -> None:
        self.cluster.forget_ended()

    @contextmanager
    def down(self) -> Iterator[None]:
        with self.cluster.down():
            yield

    @contextmanager
    def frozen(self) -> Iterator[None]:
        with self.cluster.frozen():
            yield

    def clean(self) -> None:
        self.cluster.clean()
