"""The Slurm releases whose words the fake prints: 22.05, 25.11, and what is known about others.

The two were measured: the fake's output of either is held to captured output. What changed on the
way is known by the release for the things below, and from Slurm's release notes; a release
between, or another one, gets what these say.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Release = tuple[int, int]

DEFAULT = "22.05"

# What the captured outputs name; of other releases the first one.
_FULL = {(22, 5): "22.05.8", (25, 11): "25.11.8-0pre1", (26, 5): "26.05.4-0pre1"}

# The first release with ...
CLOUD_SHOWN: Release = (23, 2)  # nodes that are powered off are listed without PrivateData=cloud
EXIT_CODE_PAIR: Release = (23, 2)  # 'squeue -O exit_code' as '3:0', no longer as a wait status
TRES_OF_BOTH: Release = (23, 2)  # ReqTRES= and AllocTRES= of jobs
ROOT_IN_RESERVATIONS: Release = (24, 5)  # root may use any reservation
NO_WATTS: Release = (24, 5)  # no CapWatts=, ExtSensors*=, Power=
DOWN_NODES_ONLY: Release = (24, 11)  # UnavailableNodes: names nodes that are down, not drained
MAKES_DIRECTORIES: Release = (25, 5)  # the missing directory of an output file is made
NAMES_FULL_QUEUE: Release = (26, 5)  # sbatch says that the queue is full
# Seen with 25.11, not with 22.05. Where it began in between is not known.
MODERN: Release = (25, 11)


def parse(text: str) -> Release:
    """``25.11``, or ``25.11.8``, as a pair of numbers.

    :raises ValueError: for anything else.
    """
    year, month = text.split(".")[:2]
    return int(year), int(month)


def of(description: Mapping[str, Any]) -> Release:
    """The release of a cluster."""
    return parse(description["release"])


def first_priority(job_id: int, nice: int, release: Release) -> int:
    """The priority of a job that is not held: 22.05 counts down from a high number, and without
    accounting all are equal where priority/multifactor is the default."""
    return max(1, 1 - nice) if release >= MODERN else 4294901760 - job_id - nice


def full(release: Release) -> str:
    """``25.11.8-0pre1``: as nodes and the configuration name it."""
    year, month = release
    return _FULL.get(release, f"{year:02d}.{month:02d}.0")


def version_line(release: Release) -> str:
    """What ``--version`` prints. Debian, whose 22.05 was measured, has its package's name."""
    return f"{'slurm' if release >= MODERN else 'slurm-wlm'} {full(release)}"
