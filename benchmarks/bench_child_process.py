"""What starting a scheduler command costs: ``subprocess.Popen``, as the product does it, compared
with ``os.posix_spawn`` (Python 3.13 or newer).

The two are run alternately, in the same process and with the same cleaned environment, from the
start to the exit code.  Shown are the shortest time of each, and how much longer Popen takes.

Measured in November 2026 with Python 3.13.0 on Linux 6.18: three runs, on a shared machine of two
cores with a load of 5 to 8.  Each line is the range of the three::

    memory beside Python's own     true                         squeue --usage
       0 MB                        0.92 to 0.93 ms, +12%        1.46 to 1.47 ms, +7 to 8%
     100 MB                        0.92 to 0.93 ms, +12 to 13%  1.45 to 1.48 ms, +8 to 9%
     300 MB                        0.90 to 0.93 ms, +9 to 12%   1.45 to 1.46 ms, +8%
    2000 MB                        0.92 to 0.93 ms, +10 to 12%  1.46 to 1.47 ms, +8 to 9%

So posix_spawn saves a tenth of a millisecond per command, whatever the size of the process, and the
import of ``subprocess``, 5 ms, once per process: too little for a second way to start a process (see
docs/decisions/0010-child-processes.md).
"""

from __future__ import annotations

import functools
import mmap
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from typing import Any

from pavilion.schedulers.talk.child_process import ChildProcess, _Pipe
from pavilion.schedulers.talk.commands import CommandRunner

ROUNDS = 1000
# Resident memory of the calling process beside its own, in MB.
SIZES = (0, 100, 300, 2000)
# The cheapest command, and one that loads what every command of Slurm loads, and asks nobody.
COMMANDS = (("true",), ("squeue", "--usage"))


class _Spawned:
    """What a child process uses of a Popen object."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode


class Spawned(ChildProcess):
    """The same child process, started with posix_spawn."""

    def _start(self, args: tuple[str, ...], env: Mapping[str, str] | None, *_: Any) -> None:
        ends = [os.pipe(), os.pipe()]
        actions = [
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            *((os.POSIX_SPAWN_DUP2, write, number) for number, (_, write) in enumerate(ends, 1)),
            (os.POSIX_SPAWN_CLOSEFROM, 3),  # type: ignore[attr-defined]  # Python 3.13
        ]
        self.pid = os.posix_spawnp(
            args[0],
            args,
            os.environ if env is None else env,
            file_actions=actions,
            setsid=True,
            setsigdef=(signal.SIGPIPE, signal.SIGXFSZ),
        )
        self._popen = _Spawned(self.pid)  # type: ignore[assignment]
        for (read, write), buffer in zip(ends, (self._stdout, self._stderr)):
            os.close(write)
            self._pipes[read] = _Pipe(functools.partial(os.close, read), buffer)


def once(kind: type[ChildProcess], args: tuple[str, ...], env: Mapping[str, str]) -> float:
    """Seconds that one command takes."""
    start = time.perf_counter()
    process = kind(args, env, None, None, 1 << 20)
    process.finish(60.0)
    if process.returncode != 0:
        sys.exit(f"{args} failed: {process.stderr}")
    return time.perf_counter() - start


def measure(megabytes: int) -> None:
    """Measure in this process, once it is as large as that."""
    ballast = mmap.mmap(-1, max(1, megabytes << 20))
    # Pages of the usual size, as a program's objects have.
    if hasattr(mmap, "MADV_NOHUGEPAGE"):
        ballast.madvise(mmap.MADV_NOHUGEPAGE)
    for offset in range(0, megabytes << 20, mmap.PAGESIZE):
        ballast[offset] = 1
    with tempfile.NamedTemporaryFile("w", suffix="slurm.conf") as config:
        config.write("ClusterName=none\nSlurmctldHost=localhost\n")
        config.flush()
        runner = CommandRunner(drop=("SLURM_", "SBATCH_"), set={"SLURM_CONF": config.name})
        compare(megabytes, runner.environment())


def compare(megabytes: int, env: Mapping[str, str]) -> None:
    """Measure both ways, in an environment, and print."""
    for args in COMMANDS:
        if shutil.which(args[0]) is None:
            continue
        times: dict[type[ChildProcess], float] = {}
        for _ in range(ROUNDS if args == COMMANDS[0] else ROUNDS // 4):
            for kind in (ChildProcess, Spawned):
                times[kind] = min(times.get(kind, 60.0), once(kind, args, env))
        popen, spawn = times[ChildProcess], times[Spawned]
        print(
            f"+{megabytes:5} MB, {' '.join(args):17}  Popen {popen * 1000:6.3f} ms   "
            f"posix_spawn {spawn * 1000:6.3f} ms   {popen / spawn - 1:+.0%}",
            flush=True,
        )


def main() -> None:
    """Measure in processes of several sizes."""
    if not hasattr(os, "POSIX_SPAWN_CLOSEFROM"):
        print("os.posix_spawn can close all other files with Python 3.13 or newer only.")
        return
    for megabytes in SIZES:
        subprocess.run([sys.executable, __file__, str(megabytes)], check=True)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        measure(int(sys.argv[1]))
    else:
        main()
