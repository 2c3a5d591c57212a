"""What a large fake Slurm costs: jobs submitted one after the other, to 8 nodes and to 10,000.

Wall times, because the commands are processes of their own; by turns to one cluster and the other,
so that what else the machine does concerns both. Nothing is asserted.
"""

from __future__ import annotations

import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from pavilion.testkit import FakeSlurm

JOBS = 200
SIZES = (8, 10_000)
COMMANDS = {
    "sbatch": (JOBS, ["-N2", "-o", "/dev/null", "--wrap", "sleep 600"]),
    "squeue": (10, ["-a", "-t", "all"]),
    "sinfo": (10, ["-a"]),
}


def seconds(slurm: FakeSlurm, words: Sequence[str]) -> float:
    """How long a command takes."""
    command, environment = [str(slurm.bin / words[0]), *words[1:]], slurm.env()
    start = time.perf_counter()
    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def compare(small: FakeSlurm, large: FakeSlurm) -> None:
    for name, (times, options) in COMMANDS.items():
        pairs = [
            [seconds(slurm, [name, *options]) for slurm in (small, large)] for _ in range(times)
        ]
        few, many = (statistics.fmean(column) for column in zip(*pairs))
        print(
            f"{name:8} {few:7.3f} s with {SIZES[0]} nodes, {many:7.3f} s with {SIZES[1]}: "
            f"{many / few:5.2f} times as long",
            flush=True,
        )


def main() -> None:
    folder = Path(tempfile.mkdtemp(prefix="bench-fake-slurm-"))
    try:
        with (
            FakeSlurm(folder / "small", nodes=SIZES[0]) as small,
            FakeSlurm(folder / "large", nodes=SIZES[1]) as large,
        ):
            compare(small, large)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
