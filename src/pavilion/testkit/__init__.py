"""A kit for those who write and test schedulers: a fake Slurm that really runs jobs.

``python -m pavilion.testkit fake-slurm --nodes 64 -- COMMAND...`` runs a command
against a fake cluster; ``FakeSlurm`` makes one in a test.
"""

from __future__ import annotations

from .cluster import Call, FakeCluster, FakeClusterError
from .description import Description, DescriptionError
from .fakes.engine.faults import BadFault
from .fakes.slurm.faults import FAULTS
from .flux import FakeFlux, FakeFluxError
from .pbs import FakePbs, FakePbsError
from .slurm import FakeSlurm, FakeSlurmError

__all__ = [
    "BadFault",
    "Call",
    "Description",
    "DescriptionError",
    "FAULTS",
    "FakeCluster",
    "FakeClusterError",
    "FakeFlux",
    "FakeFluxError",
    "FakePbs",
    "FakePbsError",
    "FakeSlurm",
    "FakeSlurmError",
]
