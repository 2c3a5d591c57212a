"""What a large fake Slurm costs: jobs submitted one after the other, to 8 nodes and to 10,000.

Wall times, because the commands are processes of their own. Nothing is asserted.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from pavilion.schedulers.testkit import FakeSlurm

JOBS = 200
SIZES = (8, 10_000)


def timed(slurm: FakeSlurm, *words: str, times: int = 1) -> float:
    """Seconds that a command takes."""
    command, environment = [str(slurm.bin / words[0]), *words[1:]], slurm.env()
    start = time.perf_counter()
    for _ in range(times):
        subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
    return (time.perf_counter() - start) / times


def measure(nodes: int, folder: Path) -> dict[str, float]:
    """Seconds of each command, with all jobs in the queue."""
    with FakeSlurm(folder / str(nodes), nodes=nodes) as slurm:
        submit = ["sbatch", "-N2", "-o", "/dev/null", "--wrap", "sleep 600"]
        return {"sbatch": timed(slurm, *submit, times=JOBS),
                "squeue -a -t all": timed(slurm, "squeue", "-a", "-t", "all", times=5),
                "sinfo -a": timed(slurm, "sinfo", "-a", times=5)}


def main() -> None:
    folder = Path(tempfile.mkdtemp(prefix="bench-fake-slurm-"))
    try:
        small, large = (measure(size, folder) for size in SIZES)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    for command in small:
        print(f"{command:18} {small[command]:7.3f} s with {SIZES[0]} nodes, {large[command]:7.3f} "
              f"s with {SIZES[1]}: {large[command] / small[command]:5.2f} times", flush=True)


if __name__ == "__main__":
    main()
