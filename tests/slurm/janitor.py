"""Ends what is left of a private scheduler whose test process is gone: killed, or not given the
time.

``janitor.py PLACE [KIND]`` reads its standard input, whose other end that process holds. A line
means that all is well; its end without one, that nobody is there to clean up any more.
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
from typing import NamedTuple

# The daemons save their states at their end.
PATIENCE = 5.0


class Kind(NamedTuple):
    """How the processes of a scheduler are known.

    :param place: The variable that says where its configuration is.
    :param job: The variable that jobs have.
    :param pid_file: Of a daemon that overwrites its environment, from the directory of ``place``.
    """

    place: str
    job: str
    daemons: tuple[str, ...]
    pid_file: str = ""


KINDS = {
    "slurm": Kind(
        "SLURM_CONF",
        "SLURM_JOB_ID",
        ("slurmctld", "slurmd", "slurmdbd", "mariadbd", "slurmstepd"),
    ),
    "gridengine": Kind("SGE_ROOT", "JOB_ID", ("sge_qmaster", "sge_execd", "sge_shepherd")),
    "flux": Kind(
        "TEST_FLUX_DIRECTORY",
        "FLUX_ENCLOSING_ID",
        # The last is the program that a private instance runs.
        ("flux-start", *(f"flux-broker-{rank}" for rank in range(16)), "flux-shell", "sleep"),
    ),
    "pbs": Kind(
        "PBS_CONF_FILE",
        "PBS_JOBID",
        ("pbs_server.bin", "pbs_sched", "pbs_comm", "pbs_mom", "postgres"),
        "homes/server/datastore/postmaster.pid",
    ),
}


def processes(
    place: Path,
    others: Collection[int] = (),
    names: Collection[str] | None = None,
    kind: str = "slurm",
) -> list[int]:
    """Processes of the cluster with this configuration: daemons, jobs, their children.

    They are known by the environment that the daemons and the commands hand down. A shell that
    merely talks to the cluster is none of them: it is neither a daemon nor in a job.

    :param others: Ids of those that are not meant.
    :param names: Of the daemons that are meant; all, for None.
    """
    how = KINDS[kind]
    mark, job = f"{how.place}={place}".encode(), f"{how.job}=".encode()
    names = how.daemons if names is None else names
    file = place.parent / how.pid_file
    found = [pid for pid in _named_by_file(file, names) if pid not in others]
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit() or int(folder.name) in others:
            continue
        try:
            variables = (folder / "environ").read_bytes().split(b"\0")
            name = (folder / "comm").read_text().strip()
        except OSError:
            continue  # it ended meanwhile
        in_job = any(variable.startswith(job) for variable in variables)
        if mark in variables and (in_job or name in names):
            found.append(int(folder.name))
    return found


def _named_by_file(file: Path, names: Collection[str]) -> list[int]:
    """The process whose id is in a file, if it is one of these programs."""
    try:
        pid = int(file.read_text().split()[0])
        name = Path(f"/proc/{pid}/comm").read_text().strip()
    except (OSError, ValueError, IndexError):
        return []
    return [pid] if name in names else []


def end_processes(place: Path, kind: str = "slurm") -> None:
    """End all processes of a cluster."""
    for number, seconds in ((signal.SIGTERM, PATIENCE), (signal.SIGKILL, PATIENCE)):
        deadline = time.monotonic() + seconds
        while (pids := processes(place, kind=kind)) and time.monotonic() < deadline:
            for pid in pids:
                try:
                    os.kill(pid, number)
                except ProcessLookupError:
                    pass  # it ended meanwhile
            time.sleep(0.2)


def end(place: Path, kind: str = "slurm") -> None:
    """End all of a cluster, and remove its directory if that is a temporary one."""
    end_processes(place, kind)
    if Path(tempfile.gettempdir()) in place.parent.parents:
        shutil.rmtree(place.parent, ignore_errors=True)


if __name__ == "__main__":
    if not sys.stdin.readline():
        end(Path(sys.argv[1]), *sys.argv[2:])
