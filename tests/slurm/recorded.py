"""What Slurm recorded of the options of jobs: how tests see what became of them."""

from __future__ import annotations

from collections.abc import Iterable

from pavilion.schedulers.plugins.slurm import parsing, queries

RECORDED_FIELDS = {
    "id": "JobID",
    "array": "ArrayJobID",
    "het": "HetJobID",
    "num_nodes": "NumNodes",
    "num_tasks": "NumTasks",
    "ntasks_per_node": "NTPerNode",
    "time_limit": "TimeLimit",
    "partition": "Partition",
    "reservation": "Reservation",
    "qos": "QOS",
    "account": "Account",
    "core_spec": "CoreSpec",
    "include_nodes": "ReqNodes",
    "features": "Feature",
    "name": "Name",
    "comment": "Comment",
}


def recorded(job_ids: Iterable[str]) -> list[str]:
    """What Slurm recorded of these jobs' options (two requests)."""
    return [
        "squeue",
        "-a",
        "-t",
        "all",
        "-j",
        ",".join(map(str, job_ids)),
        "-O",
        queries.format_option(RECORDED_FIELDS.values()),
    ]


def parse_recorded(text: str) -> tuple[dict[str, dict[str, str]], list[parsing.RefusedRow]]:
    """Read the answer to ``recorded``: the recorded options by job id.

    :raises UnreadableAnswer: when the answer is incomplete.
    """
    keys = tuple(RECORDED_FIELDS)
    rows, refused = parsing.parse_table(text, len(keys), "squeue")
    groups: dict[str, list[dict[str, str]]] = {}
    for row in rows:
        data = parsing._job_data(keys, row)
        groups.setdefault(parsing._group_id(data), []).append(data)
    # The first component of a heterogeneous job has its options.
    return {job_id: min(group, key=parsing._by_id) for job_id, group in groups.items()}, refused
