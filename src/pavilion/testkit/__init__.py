"""A kit for those who write and test schedulers: a fake Slurm that really runs jobs.

``python -m pavilion.testkit fake-slurm --nodes 64 -- COMMAND...`` runs a command
against a fake cluster; ``FakeSlurm`` makes one in a test.
"""

from __future__ import annotations

from .cluster import Call, FakeSlurm, FakeSlurmError
from .description import Description, DescriptionError
from .fake_slurm.faults import FAULTS, BadFault

__all__ = [
    "BadFault",
    "Call",
    "Description",
    "DescriptionError",
    "FAULTS",
    "FakeSlurm",
    "FakeSlurmError",
]
