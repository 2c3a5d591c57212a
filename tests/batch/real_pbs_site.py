"""A private real OpenPBS for the tests of the batch family."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from batch.pbs_sites import FakePbsSite
from batch.sites import BatchSite, Listed

if TYPE_CHECKING:
    from real_pbs import RealPbs

_TOKEN = re.compile(r"\bPAV_TOKEN=(pav-[0-9a-f]{16})\b")


class RealPbsSite(FakePbsSite):
    """OpenPBS with three nodes of 40 processors, whose server lists jobs that ended."""

    kind = "real-pbs"
    samples = {**FakePbsSite.samples, "include_nodes": "n3", "across_nodes": "n1,n2"}

    @staticmethod
    def why_not() -> str:
        try:
            from installed_pbs import why_not_available
        except ImportError:
            return "the tests of the pbs plugin are not here"
        return why_not_available()

    def __enter__(self) -> BatchSite:
        from real_pbs import RealPbs

        self.pbs: RealPbs = RealPbs(self.directory, slots=40)
        self.pbs.__enter__()
        self._variables = self.pbs.variables()
        return self

    def __exit__(self, *_: object) -> None:
        self.pbs.__exit__(None, None, None)

    def listed(self) -> list[Listed]:
        return [
            Listed(
                job_id.partition(".")[0],
                next(iter(_TOKEN.findall(job.get("Variable_List", ""))), ""),
                job["job_state"] in ("F", "M", "X"),
            )
            for job_id, job in self.pbs.jobs().items()
        ]

    def forget_ended(self) -> None:
        self.pbs.forget_ended()

    @contextmanager
    def down(self) -> Iterator[None]:
        with self.pbs.down():
            yield

    @contextmanager
    def frozen(self) -> Iterator[None]:
        with self.pbs.frozen():
            yield

    @contextmanager
    def limited(self, jobs: int) -> Iterator[None]:
        with self.pbs.setting("max_queued", f"[o:PBS_ALL={jobs}]"):
            yield

    def clean(self) -> None:
        self.pbs.clean()
