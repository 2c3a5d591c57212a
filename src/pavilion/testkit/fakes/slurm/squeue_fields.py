"""The columns of ``squeue``: by letter for -o, by name for -O."""

from __future__ import annotations

from collections.abc import Callable

from ..engine import hostlist
from ..engine.store import Row
from . import arrays, dependency, filenames, gres, jobtext, placement
from .columns import Field
from .context import Context
from .releases import EXIT_CODE_PAIR
from .times import short_clock

Pair = tuple[Context, Row]
_NULL = "(null)"


def _key(name: str, empty: str = _NULL) -> Callable[[Pair], str]:
    return lambda pair: empty if pair[1][name] in (None, "") else str(pair[1][name])


def _of(function: Callable[[Row], object]) -> Callable[[Pair], str]:
    return lambda pair: str(function(pair[1]))


def _always(text: str) -> Callable[[Pair], str]:
    return lambda pair: text


def _limit(pair: Pair) -> str:
    limit = pair[1]["limit"]
    return "UNLIMITED" if limit is None else _minutes(limit * 60)


def _minutes(seconds: float) -> str:
    return short_clock(seconds)


def _left(pair: Pair) -> str:
    context, job = pair
    if job["limit"] is None:
        return "UNLIMITED"
    return short_clock(job["limit"] * 60 - jobtext.used(job, context.now))


def _time(function: Callable[[Row], float | None]) -> Callable[[Pair], str]:
    return lambda pair: jobtext.when(pair[0], function(pair[1]), "N/A")


def _exit_code(pair: Pair) -> str:
    """The raw wait status, or exit code and signal."""
    context, job = pair
    if context.release >= EXIT_CODE_PAIR:
        return f"{job['exit_code']}:{job['exit_signal']}"
    return str(job["exit_code"] << 8 | job["exit_signal"])


def _share(pair: Pair) -> str:
    return f"{pair[1]['priority'] / 2**32:.14f}"


def _host(pair: Pair) -> str:
    return next(iter(pair[1]["alloc"]), "n/a")


def _end(pair: Pair) -> str:
    """A job that runs without a time limit has no end."""
    moment, job = jobtext.end_time(pair[1]), pair[1]
    return jobtext.when(pair[0], moment, "NONE" if job["start"] is not None else "N/A")


def _whole(job: Row) -> object:
    return job["id"] if job["array_job"] is None else job["array_job"]


def _tasks(pair: Pair) -> str:
    return arrays.task_text(pair[1], "N/A", pair[0].environment)


def _file(kind: str) -> Callable[[Pair], str]:
    return lambda pair: filenames.listed(pair[1], kind)


def _wish(kind: str) -> Callable[[Pair], str]:
    return lambda pair: gres.shown(pair[1]).get(kind, "N/A")


def _tres(pair: Pair) -> str:
    """What a job has, or requests while it has nothing."""
    context, job = pair
    return jobtext.tres_allocated(job) or jobtext.tres_asked(job, context.machine.memory_of(job))


def _core_spec(pair: Pair) -> str:
    return "N/A" if pair[1]["core_spec"] is None else str(pair[1]["core_spec"])


LETTERS: dict[str, Field[Pair]] = {
    "a": ("ACCOUNT", _key("account")),
    "A": ("JOBID", _key("id")),
    "b": ("TRES_PER_NODE", _wish("node")),
    "B": ("EXEC_HOST", _host),
    "c": ("MIN_CPUS", _of(placement.cpus_per_node)),
    "C": ("CPUS", _of(jobtext.cpu_count)),
    "d": ("MIN_TMP_DISK", _always("0")),
    "D": ("NODES", _of(jobtext.node_count)),
    "e": ("END_TIME", _end),
    "E": ("DEPENDENCY", _of(dependency.shown)),
    "f": ("FEATURES", _key("features")),
    "F": ("ARRAY_JOB_ID", _of(_whole)),
    "g": ("GROUP", _key("group")),
    "G": ("GROUP", _key("gid")),
    "h": ("OVER_SUBSCRIBE", _of(jobtext.over_subscribe)),
    "H": ("SOCKETS_PER_NODE", _always("*")),
    "i": ("JOBID", lambda pair: arrays.short_id(pair[1], pair[0].environment)),
    "I": ("CORES_PER_SOCKET", _always("*")),
    "j": ("NAME", _key("name", "")),
    "J": ("THREADS_PER_CORE", _always("*")),
    "k": ("COMMENT", lambda pair: _NULL if pair[1]["comment"] is None else pair[1]["comment"]),
    "K": ("ARRAY_TASK_ID", _tasks),
    "l": ("TIME_LIMIT", _limit),
    "L": ("TIME_LEFT", _left),
    "m": ("MIN_MEMORY", _of(jobtext.minimum_memory)),
    "M": ("TIME", lambda pair: short_clock(jobtext.used(pair[1], pair[0].now))),
    "n": ("REQ_NODES", lambda pair: hostlist.fold(pair[1]["req_nodes"])),
    "N": ("NODELIST", _of(jobtext.nodes)),
    "o": ("COMMAND", _key("command")),
    "O": ("CONTIGUOUS", _always("0")),
    "p": ("PRIORITY", _share),
    "P": ("PARTITION", _key("partition")),
    "q": ("QOS", _key("qos")),
    "Q": ("PRIORITY", _key("priority")),
    "r": ("REASON", _key("reason")),
    "R": ("NODELIST(REASON)", _of(jobtext.reason_or_nodes)),
    "s": ("", _always("")),
    "S": ("START_TIME", _time(jobtext.start_time)),
    "t": ("ST", _of(jobtext.code)),
    "T": ("STATE", _of(jobtext.state)),
    "u": ("USER", _key("user")),
    "U": ("UID", _key("uid")),
    "v": ("RESERVATION", _key("reservation")),
    "V": ("SUBMIT_TIME", _time(lambda job: float(job["submit"]))),
    "w": ("WCKEY", _key("wckey")),
    "W": ("LICENSES", _always(_NULL)),
    "x": ("EXC_NODES", lambda pair: hostlist.fold(pair[1]["exc_nodes"])),
    "X": ("CORE_SPEC", _core_spec),
    "y": ("NICE", _key("nice")),
    "Y": ("SCHEDNODES", _always(_NULL)),
    "z": ("S:C:T", _always("*:*:*")),
    "Z": ("WORK_DIR", _key("workdir")),
}

NAMES: dict[str, Field[Pair]] = {
    "account": LETTERS["a"],
    "arrayjobid": LETTERS["F"],
    "arraytaskid": LETTERS["K"],
    "batchhost": ("EXEC_HOST", _host),
    "command": LETTERS["o"],
    "comment": LETTERS["k"],
    "cpus-per-task": ("CPUS_PER_TASK", _key("cpus_per_task")),
    "dependency": LETTERS["E"],
    "eligibletime": ("ELIGIBLE_TIME", _time(lambda job: job["eligible"])),
    "endtime": LETTERS["e"],
    "exit_code": ("EXIT_CODE", _exit_code),
    "feature": LETTERS["f"],
    "corespec": LETTERS["X"],
    "groupname": LETTERS["g"],
    "hetjobid": ("HET_JOB_ID", _always("N/A")),
    "ntpernode": ("NTASKS_PER_NODE", _key("ntasks_per_node", "0")),
    "jobarrayid": ("JOBID", lambda pair: arrays.shown_id(pair[1], pair[0].environment)),
    "jobid": LETTERS["A"],
    "maxnodes": ("MAX_NODES", _of(lambda job: job["max_nodes"] or jobtext.node_count(job))),
    "name": LETTERS["j"],
    "nice": LETTERS["y"],
    "nodelist": LETTERS["N"],
    "numcpus": LETTERS["C"],
    "numnodes": LETTERS["D"],
    "numtasks": ("TASKS", _of(jobtext.task_count)),
    "oversubscribe": LETTERS["h"],
    "partition": LETTERS["P"],
    "priority": LETTERS["p"],
    "prioritylong": LETTERS["Q"],
    "qos": LETTERS["q"],
    "reason": LETTERS["r"],
    "reasonlist": LETTERS["R"],
    "reqnodes": LETTERS["n"],
    "requeue": ("REQUEUE", lambda pair: str(int(pair[1]["requeue"]))),
    "reservation": LETTERS["v"],
    "restartcnt": ("RESTART_COUNT", _of(jobtext.restarts)),
    "schednodes": LETTERS["Y"],
    "starttime": LETTERS["S"],
    "state": LETTERS["T"],
    "statecompact": LETTERS["t"],
    "stderr": ("STDERR", _file("std_err")),
    "stdin": ("STDIN", _file("std_in")),
    "stdout": ("STDOUT", _file("std_out")),
    "submittime": LETTERS["V"],
    "timeleft": LETTERS["L"],
    "timelimit": LETTERS["l"],
    "timeused": LETTERS["M"],
    "userid": LETTERS["U"],
    "username": LETTERS["u"],
    "wckey": LETTERS["w"],
    "workdir": LETTERS["Z"],
    "cluster": ("CLUSTER", lambda pair: str(pair[0].description["name"])),
    "contiguous": LETTERS["O"],
    "cores": LETTERS["I"],
    "groupid": LETTERS["G"],
    "gres": LETTERS["b"],
    "licenses": LETTERS["W"],
    "maxcpus": ("MAX_CPUS", _of(jobtext.cpu_count)),
    "mincpus": LETTERS["c"],
    "minmemory": LETTERS["m"],
    "mintmpdisk": LETTERS["d"],
    "sct": LETTERS["z"],
    "shared": LETTERS["h"],
    "sockets": LETTERS["H"],
    "threads": LETTERS["J"],
    "cpus-per-tres": ("CPUS_PER_TRES", _wish("cpus")),
    "tres": ("TRES_ALLOC", _tres),
    "tres-alloc": ("TRES_ALLOC", _tres),
    "tres-per-job": ("TRES_PER_JOB", _wish("job")),
    "tres-per-node": LETTERS["b"],
    "tres-per-task": ("TRES_PER_TASK", _wish("task")),
}
