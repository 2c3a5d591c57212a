"""Ends what is left of a private Slurm whose test process is gone: killed, or not given the time.

``janitor.py CONF`` reads its standard input, whose other end that process holds. A line means that
all is well; its end without one, that nobody is there to clean up any more.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Collection
from pathlib import Path

DAEMONS = ("slurmctld", "slurmd", "slurmdbd", "mariadbd", "slurmstepd")
# The daemons save their states at their end.
PATIENCE = 5.0


def processes(
    conf: Path, others: Collection[int] = (), names: Collection[str] = DAEMONS
) -> list[int]:
    """Processes of the cluster with this configuration: daemons of these names, jobs, their children.

    They are known by the environment that the daemons and the commands hand down. A shell that
    merely talks to the cluster is none of them: it is neither a daemon nor in a job.

    :param others: Ids of those that are not meant.
    """
    mark = f"SLURM_CONF={conf}".encode()
    found = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit() or int(folder.name) in others:
            continue
        try:
            variables = (folder / "environ").read_bytes().split(b"\0")
            name = (folder / "comm").read_text().strip()
        except OSError:
            continue  # it ended meanwhile
        in_job = any(variable.startswith(b"SLURM_JOB_ID=") for variable in variables)
        if mark in variables and (in_job or name in names):
            found.append(int(folder.name))
    return found


def end(conf: Path) -> None:
    """End all of a cluster, and remove its directory if that is a temporary one."""
    for number, seconds in ((signal.SIGTERM, PATIENCE), (signal.SIGKILL, PATIENCE)):
        deadline = time.monotonic() + seconds
        while (pids := processes(conf)) and time.monotonic() < deadline:
            for pid in pids:
                try:
                    os.kill(pid, number)
                except ProcessLookupError:
                    pass  # it ended meanwhile
            time.sleep(0.2)
    if Path(tempfile.gettempdir()) in conf.parents:
        shutil.rmtree(conf.parent, ignore_errors=True)


if __name__ == "__main__":
    if not sys.stdin.readline():
        end(Path(sys.argv[1]))
