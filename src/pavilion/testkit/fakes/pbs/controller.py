"""What the fake PBS's server and scheduler decide: where a job runs, why not, and how it ended."""

# A command starts in less time without pathlib.
# ruff: noqa: PTH103, PTH118, PTH123

from __future__ import annotations

import os
import pwd
import time

from ..engine import controller as engine
from ..engine import stepmanager
from ..engine.machine import Machine, Node
from ..engine.store import Row
from .output import clock

_TERMINATED = 9


class Controller(engine.Controller):
    """The server of a fake PBS."""

    STYLE = stepmanager.Style(no_output=None)

    # -- jobs that wait ----------------------------------------------------------------------

    def place(self, machine: Machine, job: Row, blocked: set[str]) -> dict[str, int] | None:
        """The hosts with room for the job's chunks; otherwise its comment says why not."""
        queue = machine.partition(job["partition"])
        if queue is None or queue["state"] == "DOWN":
            job["comment"] = "Not Running: Queue not started."
            return None
        names = set(queue["nodes"])
        nodes = [node for node in machine.nodes if node.name in names]
        job["comment"] = _never(job, nodes)
        if job["comment"]:
            return None
        chosen = _fit(job, nodes)
        if chosen is None:
            job["comment"] = "Not Running: " + (
                "No available resources on nodes"
                if job["whole"]
                else "Insufficient amount of resource: ncpus "
            )
            return None
        job["cpus"] = chosen
        cpus = {node.name: node.cpus for node in nodes}
        return {name: cpus[name] if job["whole"] else count for name, count in chosen.items()}

    def settle(self, machine: Machine, job: Row) -> None:
        """Its places on its hosts, as PBS writes them."""
        slots, shown = {}, []
        for name, count in job["cpus"].items():
            taken = {
                slot
                for other in self.store.jobs(active_only=True)
                if other["id"] != job["id"] and other["alloc"]
                for slot in other["slots"].get(name, ())
            }
            first = next(slot for slot in range(len(taken) + 1) if slot not in taken)
            slots[name] = [first]
            shown.append(f"{name}/{first}" + (f"*{count}" if count != 1 else ""))
        vnodes = "+".join(f"({name}:ncpus={count})" for name, count in job["cpus"].items())
        when = time.strftime("%a %b %d at %H:%M", time.localtime(job["start"]))
        job.update(slots=slots, exec_host="+".join(shown), vnodes=vnodes, changed=job["start"])
        job["comment"] = f"Job run at {when} on {vnodes}"

    # -- jobs that run -----------------------------------------------------------------------

    def environment(self, job: Row, submitted: dict[str, str]) -> dict[str, str]:
        """The environment of a job's script: nothing of that of qsub but what -v names."""
        server, name = self.description["name"], f"{job['id']}.{self.description['name']}"
        folder = os.path.join(self.folder, "aux")
        os.makedirs(folder, exist_ok=True)
        path = os.path.join(folder, name)
        with open(path, "w", encoding="utf-8") as file:
            file.writelines(f"{host}\n" * count for host, count in _ranks(job))
        entry = pwd.getpwuid(job["uid"]) if job["uid"] != 99999 else None
        shell = entry.pw_shell if entry else "/bin/sh"
        return {
            **{"HOME": job["workdir"], "LOGNAME": job["user"], "USER": job["user"]},
            **{"SHELL": shell, "PATH": "/usr/local/bin:/usr/bin:/bin", "TMPDIR": "/tmp"},
            **job["variables"],
            **{"PBS_O_QUEUE": job["partition"], "PBS_O_HOST": server, "PBS_JOBID": name},
            **{"PBS_JOBNAME": job["name"], "PBS_QUEUE": job["partition"], "PBS_NODEFILE": path},
            **{"PBS_ENVIRONMENT": "PBS_BATCH", "PBS_JOBDIR": job["workdir"]},
            **{"NCPUS": str(job["chunks"][0]["ncpus"]), "PBS_NODENUM": "0", "PBS_TASKNUM": "1"},
        }

    def end_note(self, job: Row, now: float) -> str:
        """The line that is in the output of a job that exceeded its walltime."""
        if job["state"] != "TIMEOUT":
            return ""
        lasted, limit = int(now - job["start"]), clock(60 * job["limit"])
        seconds = sum(int(part) * 60**power for power, part in enumerate(limit.split(":")[::-1]))
        return f"=>> PBS: job killed: walltime {lasted} exceeded limit {seconds}\n"

    def finish(self, job: Row, ended: stepmanager.Exit, now: float) -> None:
        """Record the end of a job, its Exit_status, and its comment."""
        what = job["state"]
        if what == "TIMEOUT":
            status, comment = -29, " and exceeded resource walltime"
        elif what == "NODE_FAIL":
            status, comment = -20, ""
        elif what == "CANCELLED":
            # One that had to be killed has 0.
            status, comment = 256 + ended.signal if ended.signal else ended.code, ""
            status = 0 if ended.signal == _TERMINATED else status
        else:
            status = 128 + ended.signal if ended.signal else ended.code
            comment = " and failed" if status else " and finished"
        job.update(exit_status=status, changed=now)
        super().finish(job, ended, now)
        if job["state"] != "PENDING":
            job["comment"] += comment


def _ranks(job: Row) -> list[tuple[str, int]]:
    """How many lines each host has in the file of nodes: one for each MPI process."""
    tasks = sum(chunk["mpiprocs"] or 1 for chunk in job["chunks"])
    names = list(job["cpus"])
    return [
        (name, tasks // len(names) + (number < tasks % len(names)))
        for number, name in enumerate(names)
    ]


def _never(job: Row, nodes: list[Node]) -> str:
    """Why a job cannot run, whatever ends; '' when it can."""
    names = [node.name for node in nodes]
    for chunk in job["chunks"]:
        if chunk["host"] and chunk["host"] not in names:
            return (
                "Can Never Run: Insufficient amount of resource: host "
                f"({chunk['host']} != {','.join(names)})"
            )
    most, total = max(node.cpus for node in nodes), sum(node.cpus for node in nodes)
    wanted = max(chunk["ncpus"] for chunk in job["chunks"])
    if wanted > most:
        return (
            "Can Never Run: Insufficient amount of resource: ncpus "
            f"(R: {wanted} A: {total} T: {total})"
        )
    if job["place"] == "scatter" and len(job["chunks"]) > len(nodes):
        return "Can Never Run: Not enough total nodes available"
    return ""


def _fit(job: Row, nodes: list[Node]) -> dict[str, int] | None:
    """The processors on each host; None where there is no room for all chunks."""
    free = {
        node.name: node.free
        for node in nodes
        if node.usable and not (job["whole"] and node.allocated)
    }
    chosen: dict[str, int] = {}
    chunks = sorted(job["chunks"], key=lambda chunk: not chunk["host"])
    if job["place"] == "pack":
        count = sum(chunk["ncpus"] for chunk in chunks)
        chunks = [{**chunks[0], "ncpus": count}]
    for chunk in chunks:
        name = next(
            (
                name
                for name, left in free.items()
                if left >= chunk["ncpus"]
                and chunk["host"] in ("", name)
                and not (job["place"] == "scatter" and name in chosen)
            ),
            None,
        )
        if name is None:
            return None
        free[name] -= chunk["ncpus"]
        chosen[name] = chosen.get(name, 0) + chunk["ncpus"]
    return chosen
