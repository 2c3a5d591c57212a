"""The environment of a batch script and of the tasks that srun starts."""

from __future__ import annotations

from collections.abc import Iterable

from ..engine import hostlist
from ..engine.store import Row
from . import arrays, gres, placement

# Of an allocation that the submitter was in; the job gets its own.
_DROPPED = (
    "SLURM_NTASKS",
    "SLURM_NPROCS",
    "SLURM_NTASKS_PER_NODE",
    "SLURM_CPUS_PER_TASK",
    "SLURM_RESTART_COUNT",
    "SLURM_JOB_RESERVATION",
    "SLURM_JOB_ACCOUNT",
    "SLURM_STEP_ID",
    "SLURM_STEPID",
    "SLURM_STEP_NODELIST",
    "SLURM_STEP_NUM_NODES",
    "SLURM_GPUS_ON_NODE",
    "SLURM_JOB_GPUS",
    "SLURM_STEP_GPUS",
    "SLURM_ARRAY_JOB_ID",
    "SLURM_ARRAY_TASK_ID",
    "SLURM_ARRAY_TASK_COUNT",
    "SLURM_ARRAY_TASK_MIN",
    "SLURM_ARRAY_TASK_MAX",
    "SLURM_ARRAY_TASK_STEP",
)


def repeat(numbers: Iterable[int]) -> str:
    """``[2, 2, 1]`` as Slurm writes it: ``2(x2),1``."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and runs[-1][0] == number:
            runs[-1][1] += 1
        else:
            runs.append([number, 1])
    return ",".join(f"{number}(x{times})" if times > 1 else str(number) for number, times in runs)


def allocation(job: Row, cluster: str, host: str, submitted: dict[str, str]) -> dict[str, str]:
    """The submitter's environment with the variables of the allocation."""
    nodes = list(job["alloc"])
    tasks = placement.tasks_by_node(job)
    environment = {name: value for name, value in submitted.items() if name not in _DROPPED}
    environment.update(
        {
            "SLURM_CLUSTER_NAME": cluster,
            "SLURM_JOB_ID": str(job["id"]),
            "SLURM_JOBID": str(job["id"]),
            "SLURM_JOB_NAME": job["name"],
            "SLURM_JOB_NODELIST": hostlist.fold(nodes),
            "SLURM_NODELIST": hostlist.fold(nodes),
            "SLURM_JOB_NUM_NODES": str(len(nodes)),
            "SLURM_NNODES": str(len(nodes)),
            "SLURM_JOB_PARTITION": job["partition"],
            "SLURM_JOB_USER": job["user"],
            "SLURM_JOB_UID": str(job["uid"]),
            "SLURM_JOB_GID": str(job["gid"]),
            "SLURM_JOB_CPUS_PER_NODE": repeat(job["alloc"].values()),
            "SLURM_TASKS_PER_NODE": repeat(_most_tasks(job) or tasks),
            "SLURM_NODE_ALIASES": "(null)",
            "SLURM_SUBMIT_DIR": job["workdir"],
            "SLURM_SUBMIT_HOST": host,
        }
    )
    total = job["ntasks"] or (sum(tasks) if job["ntasks_per_node"] else None)
    if total:
        environment.update(SLURM_NTASKS=str(total), SLURM_NPROCS=str(total))
    if job["ntasks_per_node"]:
        environment["SLURM_NTASKS_PER_NODE"] = str(job["ntasks_per_node"])
    if job["cpus_per_task"] > 1:
        environment["SLURM_CPUS_PER_TASK"] = str(job["cpus_per_task"])
    if job["reservation_used"]:
        environment["SLURM_JOB_RESERVATION"] = job["reservation_used"]
    for key, name in (("account", "SLURM_JOB_ACCOUNT"), ("qos", "SLURM_JOB_QOS")):
        if job[key]:
            environment[name] = job[key]
    if job["restarts"]:
        environment["SLURM_RESTART_COUNT"] = str(job["restarts"])
    return environment


def _most_tasks(job: Row) -> list[int]:
    """The tasks that the nodes have CPUs for, for a job that requested no number of tasks."""
    if job["ntasks"] or job["ntasks_per_node"]:
        return []
    return [max(1, cpus // job["cpus_per_task"]) for cpus in job["alloc"].values()]


def batch(job: Row, cluster: str, host: str, submitted: dict[str, str]) -> dict[str, str]:
    """The environment of the batch script, on the first node of the allocation."""
    environment = allocation(job, cluster, host, submitted)
    first = next(iter(job["alloc"]))
    environment.update(
        {
            "SLURMD_NODENAME": first,
            "SLURM_NODEID": "0",
            "SLURM_PROCID": "0",
            "SLURM_LOCALID": "0",
            "SLURM_GTIDS": "0",
            "SLURM_CPUS_ON_NODE": str(job["alloc"][first]),
            "SLURM_TOPOLOGY_ADDR": first,
            "SLURM_TOPOLOGY_ADDR_PATTERN": "node",
            "SLURM_PRIO_PROCESS": "0",
        }
    )
    environment.update(arrays.environment(job))
    environment.update(gres.job_environment(job))
    environment.update(gres.batch_environment(job))
    environment.setdefault("TMPDIR", "/tmp")
    return environment
