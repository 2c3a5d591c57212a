"""The commands that the plugin runs, as argument lists, and the environment they run in.

Each query requests fields in an explicit order (``-O``), each followed by the unit separator and
the last by the record separator: characters that no value may hold here, that need no quoting,
and that end a field whatever its width. ``-O`` with such a suffix does not pad or cut. The header
line is kept: an answer without it does not count, and an empty one with it is 'nothing there'.

The bulk queries cost one or two requests to the controller, whatever the number of nodes or
jobs. Nodes are queried in groups: ``sinfo -N``, with a row per node, takes a minute and a half
for 50,000 nodes (22.05.8, time grows with the square), grouped 0.1 seconds, and the groups keep
nodes apart that differ in any of the fields.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Sequence

FIELD_END = "\x1f"
ROW_END = "\x1e"

# --- The environment ---

# Variables that change what commands ask, answer, or submit.
DROP_PREFIXES = (
    "SLURM_",
    "SBATCH_",
    "SQUEUE_",
    "SINFO_",
    "SCONTROL_",
    "SCANCEL_",
    "SACCT_",
    "SALLOC_",
    "SRUN_",
    "SDIAG_",
    "SPRIO_",
    "SLURMD_",
)
# Those that say where the controller is and who we are.
KEEP_NAMES = ("SLURM_CONF", "SLURM_CONF_SERVER", "SLURM_JWT", "SLURM_SACK_KEY", "SLURM_SACK_SOCKET")
# For queries: SLURM_BITSTR_LEN=0 writes lists of array tasks whole, otherwise cut at 64 bytes.
QUERY_SET = {"LC_ALL": "C", "SLURM_TIME_FORMAT": "standard", "SLURM_BITSTR_LEN": "0"}
# --- Formats: our name of a field, and Slurm's ---

# 'StateComplete' (all flags) came with 21.08; see `inventory_in_full` for earlier releases.
# 'Partition' has a '*' behind the name of the default partition.
NODE_FIELDS = {
    "state": "StateComplete",
    "cpus": "CPUs",
    "mem": "Memory",
    "features": "Features",
    "partition": "Partition",
    "nodes": "NodeList",
    "reason": "Reason",
}
REASON_FIELDS = {"state": "StateComplete", "nodes": "NodeList", "reason": "Reason"}
JOB_FIELDS = {
    "id": "JobID",
    "array": "ArrayJobID",
    "het": "HetJobID",
    "state": "State",
    "exit_code": "exit_code",
    "nodes": "NodeList",
    "start": "StartTime",
    "end": "EndTime",
    "restarts": "RestartCnt",
    "time_limit": "TimeLimit",
    "partition": "Partition",
    "reason": "Reason",
    "name": "Name",
    "comment": "Comment",
}
# Where a job comes from; needed only where a site replaces the comments of jobs.
SCRIPT_FIELDS = {"id": "JobID", "command": "Command"}
# Of sacct.  Free text comes last, and its own separator ends each row: command lines may hold line
# ends.  'SubmitLine' came with 21.08.
ACCOUNTING_FIELDS = {
    "id": "JobID",
    "state": "State",
    "exit_code": "ExitCode",
    "nodes": "NodeList",
    "start": "Start",
    "end": "End",
    "submit": "Submit",
    "elapsed": "ElapsedRaw",
    "limit_minutes": "TimelimitRaw",
    "time_limit": "Timelimit",
    "name": "JobName",
    "comment": "Comment",
    "submit_line": "SubmitLine",
}

# Ids in one scancel: well below the limit on the length of a command line.
CANCEL_BATCH = 500

# An id, like '17', '17_3' or '17+1'.
JOB_ID = r"[0-9]+(?:[_+][0-9]+)?"
_JOB_ID = re.compile(JOB_ID)


def format_option(fields: Iterable[str]) -> str:
    """The value of -O for these of Slurm's fields."""
    *first, last = fields
    return ",".join([*(f"{name}:{FIELD_END}" for name in first), f"{last}:{ROW_END}"])


def inventory() -> list[str]:
    """All nodes that are in a partition, hidden ones too, in groups (two requests)."""
    return ["sinfo", "-a", "-O", format_option(NODE_FIELDS.values())]


def node_reasons(nodes: str, cluster: str = "") -> list[str]:
    """States of some nodes, and the reasons that administrators gave (two requests).

    :param nodes: A host list; '' for all nodes.
    :param cluster: Another cluster than that of this host.
    """
    of_nodes = ["-n", nodes] if nodes else []
    return [
        "sinfo",
        "-a",
        *of_nodes,
        *_of_cluster(cluster),
        "-O",
        format_option(REASON_FIELDS.values()),
    ]


def inventory_in_full() -> list[str]:
    """All nodes, a line each, of ten times the text: for Slurm before 21.08 (two requests)."""
    return ["scontrol", "-a", "-o", "show", "node"]


def partitions() -> list[str]:
    """All partitions (one request)."""
    return ["scontrol", "-a", "-o", "show", "partition"]


ASSOCIATION_FIELDS = ("Account", "QOS")


def associations(user: str, cluster: str) -> list[str]:
    """The accounts and QOS of a user, a row 'account|qos,qos' for each association (one request to
    slurmdbd)."""
    return [
        "sacctmgr",
        "--noheader",
        "--parsable2",
        "show",
        "associations",
        "where",
        f"user={user}",
        *([f"cluster={cluster}"] if cluster else []),
        f"format={','.join(ASSOCIATION_FIELDS)}",
    ]


def reservations() -> list[str]:
    """All reservations (one request)."""
    return ["scontrol", "-a", "-o", "show", "reservation"]


def jobs(user: str | int | None, cluster: str = "") -> list[str]:
    """All jobs of a user, those that ended a short while ago too (two requests).

    This also answers for a token. ``squeue -n`` would not do: a comma in a name makes two names
    of it.

    :param user: A user id, rather than a name; None for the jobs of everybody. squeue answers
        for a user without a name with an
        empty list, rc 0, and an error on stderr; ``errors.classify`` sees that.
    :param cluster: Another cluster than that of this host.
    """
    of_user = [] if user is None else ["-u", str(user)]
    return [
        "squeue",
        "-a",
        "-t",
        "all",
        *of_user,
        *_of_cluster(cluster),
        "-O",
        format_option(JOB_FIELDS.values()),
    ]


def scripts(user: str | int | None, cluster: str = "") -> list[str]:
    """The scripts of all jobs of a user (two requests).  Parameters as for :func:`jobs`."""
    return [*jobs(user, cluster)[:-1], format_option(SCRIPT_FIELDS.values())]


def accounting(
    job_ids: Sequence[str], user: str | None, cluster: str, since: int | None
) -> Callable[[Iterable[str]], list[str]]:
    """What the accounting has of jobs: all rows of their ids, without those of steps (one request
    to slurmdbd, none to the controller).

    :param job_ids: No ids: all jobs of the user.
    :param user: A user id; None for whoever runs this, or anybody's for root.
    :param cluster: Another cluster than that of this host.
    :param since: Seconds ago; jobs that ended before are left out.  A number of seconds needs no
        time zone.  None: any time.
    :return: Gives the command for some of ACCOUNTING_FIELDS' values.
    :raises ValueError: For a string that is not a job id.
    """
    options = [*(["-u", user] if user else []), *_of_cluster(cluster)]
    if job_ids:
        options += ["-j", ",".join(map(_checked, job_ids))]
    if since is not None:
        options += ["-S", f"now-{since}seconds"]
    return lambda fields: [
        "sacct",
        "--allocations",
        "--duplicates",
        "--parsable",
        f"--delimiter={FIELD_END}",
        *options,
        "-o",
        ",".join(fields),
    ]


def submit(script: str | os.PathLike[str], options: Sequence[str] = ()) -> list[str]:
    """Submit a batch script.

    :param script: An absolute path is best: a name that starts with '-' would be an option.
    :param options: More options; they beat those in the script.
    """
    path = os.fspath(script)
    if path.startswith("-"):
        path = f"./{path}"
    return ["sbatch", "--parsable", *options, path]


def cancel(job_ids: Iterable[str], cluster: str = "", batch: int = CANCEL_BATCH) -> list[list[str]]:
    """Cancel jobs: the commands, each for up to ``batch`` ids.

    :param cluster: Another cluster than that of this host.
    :raises ValueError: for a string that is not a job id.
    """
    options = _of_cluster(cluster)
    ids = [_checked(job_id) for job_id in job_ids]
    return [
        ["scancel", *options, *ids[start : start + batch]] for start in range(0, len(ids), batch)
    ]


def ping() -> list[str]:
    """Whether the controller answers; rc 1 when none does."""
    return ["scontrol", "ping"]


def config() -> list[str]:
    """The controller's settings (one request)."""
    return ["scontrol", "show", "config"]


# Commands without which the plugin cannot work.
COMMANDS = ("sbatch", "squeue", "scancel", "scontrol", "sinfo")


def _of_cluster(cluster: str) -> list[str]:
    return [f"--clusters={cluster}"] if cluster else []


def _checked(job_id: str) -> str:
    if not _JOB_ID.fullmatch(job_id):
        raise ValueError(f"Not a Slurm job id: {job_id!r} (expected one like '17' or '17_3').")
    return job_id


def named_user(user: str | None) -> str | None:
    """The user to query jobs of; None, everybody, for one whose id has no name on this host, as
    in containers and where the directory service is away: for such an id squeue gives an error, or
    (25.11) an empty list."""
    import pwd

    try:
        if user is not None:
            pwd.getpwuid(int(user))
    except (KeyError, ValueError, OverflowError):
        return None
    return user


def is_job_id(text: str) -> bool:
    """Whether a string is a job's id, like '17', '17_3' or '17+1'."""
    return _JOB_ID.fullmatch(text) is not None
