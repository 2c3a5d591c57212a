"""A small batch system on one host: what the mb-* commands share.

It exists so that the example plugin has something real to talk to.  There is no daemon.  All
state is in the spool directory $MINIBATCH_SPOOL; every command takes its lock, looks at the queue,
and starts the jobs whose nodes are free.  A job has a *shepherd*, a process that runs its
script, waits for it, and then starts whoever waits for its nodes.

Exit codes: 1 for trouble that may pass, 2 for what is refused, 3 for a job that does not exist, 4 for a
full queue.

``nodes.json`` in the spool directory (otherwise the one above this file) is the table of nodes.  Nodes
are names only: all jobs run on this host, at most one on each node at a time.
"""

from __future__ import annotations

import fcntl
import json
import os
import pwd
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

Job = dict[str, Any]

# Seconds that the processes of a job have to end by themselves when it is cancelled.
TERM_WAIT = 10.0
# The states of jobs that have not ended.
ACTIVE = ("QUEUED", "HELD", "RUNNING")
# How many such jobs there may be, where the file max_jobs in the spool directory gives no number.
MAX_JOBS = 10_000


class BatchError(Exception):
    """An error to show to the user."""

    code = 1


class Refused(BatchError):
    """What is requested is wrong."""

    code = 2


class NoSuchJob(BatchError):
    """There is no job with this id."""

    code = 3


class QueueFull(BatchError):
    """There are too many jobs."""

    code = 4


def fail(problem: str | Exception) -> NoReturn:
    """End a command with an error message."""
    print(f"{Path(sys.argv[0]).name}: error: {problem}", file=sys.stderr)
    sys.exit(getattr(problem, "code", 1))


def spool() -> Path:
    """The spool directory.  Job environments are kept in it, so it is for its owner only."""
    folder = os.environ.get("MINIBATCH_SPOOL")
    if not folder:
        raise BatchError("MINIBATCH_SPOOL is not set. Set it to a directory to keep jobs in.")
    path = Path(folder).absolute()
    (path / "jobs").mkdir(mode=0o700, parents=True, exist_ok=True)
    return path


@contextmanager
def locked() -> Iterator[Path]:
    """Hold the lock of the spool directory."""
    path = spool()
    with (path / "lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield path


def load_nodes() -> dict[str, dict[str, Any]]:
    """The table of nodes, by name."""
    file = spool() / "nodes.json"
    if not file.exists():
        file = Path(__file__).resolve().parent.parent / "nodes.json"
    try:
        return {node["name"]: node for node in json.loads(file.read_text())}
    except (OSError, ValueError, KeyError, TypeError) as exc:
        raise BatchError(f"the table of nodes {file} cannot be used: {exc!r}") from exc


def load_jobs(path: Path) -> list[Job]:
    """All jobs, oldest first."""
    files = (path / "jobs").glob("*/job.json")
    return sorted((json.loads(file.read_text()) for file in files), key=lambda job: int(job["id"]))


def save_job(path: Path, job: Job) -> None:
    """Replace a job's record in one step."""
    folder = path / "jobs" / job["id"]
    temp = folder / "job.json.new"
    temp.write_text(json.dumps(job))
    temp.replace(folder / "job.json")


# ---------------------------------------------------------------------------------- submitting

# Options of scripts, in lines that begin with '#MB' -> key of the job, and how to read it.
OPTIONS = {
    "--name": "name",
    "--nodes": "nodes",
    "--nodelist": "nodelist",
    "--exclude": "exclude",
    "--partition": "partition",
    "--reservation": "reservation",
    "--time": "time",
    "--account": "account",
    "--priority": "priority",
}


def read_options(script: Path) -> dict[str, str]:
    """The options in a script's '#MB' lines."""
    found: dict[str, str] = {}
    for number, line in enumerate(script.read_text(errors="replace").splitlines(), 1):
        if not line.startswith("#MB "):
            continue
        try:
            option, value = shlex.split(line[len("#MB ") :])
        except ValueError:
            raise Refused(f"{script}, line {number}: expected '#MB --option value'.") from None
        if option not in OPTIONS:
            raise Refused(
                f"{script}, line {number}: unknown option {option}. Options: {', '.join(OPTIONS)}."
            )
        found[OPTIONS[option]] = value
    return found


def new_job(path: Path, script: Path, log: Path, tag: str) -> Job:
    """Put a job into the queue."""
    options = read_options(script)
    limit_file = path / "max_jobs"
    limit = int(limit_file.read_text()) if limit_file.exists() else MAX_JOBS
    if sum(job["state"] in ACTIVE for job in load_jobs(path)) >= limit:
        raise QueueFull(f"the queue is full: {limit} jobs wait or run.")
    job: Job = {
        "id": str(max((int(folder.name) for folder in (path / "jobs").iterdir()), default=0) + 1),
        "state": "QUEUED",
        "reason": "not enough free nodes",
        "tag": tag,
        "user": pwd.getpwuid(os.getuid()).pw_name,
        "script": str(script),
        "log": str(log),
        "cwd": str(Path.cwd()),
        "nodes": [],
        "exit_code": None,
        "pid": None,
        "name": options.get("name", script.name),
        "account": options.get("account", ""),
        "priority": _number("--priority", options.get("priority", "0")),
        "seconds": _seconds(options.get("time", "1")),
        "partition": options.get("partition", ""),
        "reservation": options.get("reservation", ""),
        "nodelist": _names(options.get("nodelist", "")),
        "exclude": _names(options.get("exclude", "")),
    }
    least, _, most = options.get("nodes", str(len(job["nodelist"]) or 1)).partition("-")
    job["least"], job["most"] = _number("--nodes", least), _number("--nodes", most or least)
    _check(job, load_nodes())
    folder = path / "jobs" / job["id"]
    folder.mkdir(mode=0o700)
    (folder / "env.json").write_text(json.dumps(dict(os.environ)))
    save_job(path, job)
    return job


def _number(option: str, text: str) -> int:
    if not text.isdigit():
        raise Refused(f"{option} must be a number, not {text!r}.")
    return int(text)


def _seconds(text: str) -> int:
    """A time limit: hours, hours:minutes, or hours:minutes:seconds."""
    hours, minutes, seconds = [*text.split(":", 2), "0", "0"][:3]
    return sum(
        unit * _number("--time", part)
        for unit, part in ((3600, hours), (60, minutes), (1, seconds))
    )


def _names(text: str) -> list[str]:
    return [name for name in text.split(",") if name]


def _check(job: Job, nodes: dict[str, dict[str, Any]]) -> None:
    """Refuse a job that could never start."""
    for name in [*job["nodelist"], *job["exclude"]]:
        if name not in nodes:
            raise Refused(f"there is no node {name!r}.")
    usable = [name for name, node in nodes.items() if _fits(job, node)]
    for name in job["nodelist"]:
        if name not in usable:
            raise Refused(
                f"node {name!r} cannot be used: it is down, excluded, reserved for "
                "others, or in another partition."
            )
    if not 1 <= job["least"] <= job["most"]:
        raise Refused(f"--nodes {job['least']}-{job['most']} is not a range.")
    if len(job["nodelist"]) > job["most"]:
        raise Refused(f"--nodelist has more than the {job['most']} nodes of --nodes.")
    if job["least"] > len(usable):
        raise Refused(f"{job['least']} nodes were requested, {len(usable)} can be used.")


def _fits(job: Job, node: dict[str, Any]) -> bool:
    """Whether a job may use a node once it is free."""
    return (
        node.get("state", "UP") == "UP"
        and node["name"] not in job["exclude"]
        and job["partition"] in ("", *node["partitions"])
        and node.get("reservation", "") == job["reservation"]
    )


# ------------------------------------------------------------------------------------- the queue


def busy_nodes(jobs: list[Job]) -> set[str]:
    """The nodes that jobs run on."""
    return {name for job in jobs if job["state"] == "RUNNING" for name in job["nodes"]}


def update(path: Path) -> list[Job]:
    """Notice jobs that died, and start those whose nodes are free.  The lock must be held.

    :returns: All jobs.
    """
    jobs = load_jobs(path)
    for job in jobs:
        if job["state"] == "RUNNING" and not _shepherd_lives(path, job):
            # One that was just started dies of the signal of 'cancel' before it can catch it.
            if job.get("cancelled"):
                job.update(state="CANCELLED", reason="while it ran", pid=None)
            else:
                job.update(state="FAILED", reason="its shepherd was killed", pid=None)
            save_job(path, job)
    nodes = load_nodes()
    queue = [job for job in jobs if job["state"] == "QUEUED"]
    for job in sorted(queue, key=lambda job: (-job["priority"], int(job["id"]))):
        busy = busy_nodes(jobs)
        free = [name for name, node in nodes.items() if _fits(job, node) and name not in busy]
        if len(free) < job["least"] or not set(job["nodelist"]) <= set(free):
            continue
        others = [name for name in free if name not in job["nodelist"]]
        chosen = [*job["nodelist"], *others][: job["most"]]
        job["nodes"] = [name for name in nodes if name in chosen]
        _start(path, job)
    return jobs


def _start(path: Path, job: Job) -> None:
    folder = path / "jobs" / job["id"]
    env = {**json.loads((folder / "env.json").read_text()), "MINIBATCH_SPOOL": str(path)}
    # Whether the shepherd is alive is checked by whether this file is locked.
    with (folder / "alive").open("w") as alive, (folder / "shepherd.log").open("w") as log:
        fcntl.flock(alive, fcntl.LOCK_EX)
        shepherd = subprocess.Popen(
            [sys.executable, __file__, str(path), job["id"]],
            env=env,
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            pass_fds=[alive.fileno()],
            start_new_session=True,
        )
    job.update(state="RUNNING", reason="", pid=shepherd.pid)
    save_job(path, job)
    # It outlives us; there must be no warning about that when we end.
    shepherd.returncode = 0


def _shepherd_lives(path: Path, job: Job) -> bool:
    with (path / "jobs" / job["id"] / "alive").open("a") as alive:
        try:
            fcntl.flock(alive, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False


def cancel(path: Path, job_id: str) -> None:
    """Cancel a job.  One that has ended already stays as it is.  The lock must be held."""
    job = next((job for job in update(path) if job["id"] == job_id), None)
    if job is None:
        raise NoSuchJob(f"there is no job {job_id!r}.")
    if job["state"] in ("QUEUED", "HELD"):
        job.update(state="CANCELLED", reason="while it waited")
        save_job(path, job)
    elif job["state"] == "RUNNING":
        job["cancelled"] = True
        save_job(path, job)
        # It lives, so the process id is its own.
        os.kill(job["pid"], signal.SIGTERM)


# ---------------------------------------------------------------------------------- the shepherd


def shepherd(path: Path, job_id: str) -> None:
    """Run a job's script, and make sure that the next job starts."""
    with locked():
        # The process that started us has saved the record by now.
        job = next(job for job in load_jobs(path) if job["id"] == job_id)
    told: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, frame: told.append(number))
    env = {**os.environ, "MB_JOB_ID": job_id, "MB_NODES": ",".join(job["nodes"])}
    deadline = time.monotonic() + job["seconds"]
    state, reason, code = "HELD", "", None
    try:
        with Path(job["log"]).open("ab") as log:
            script = subprocess.Popen(
                [job["script"]],
                env=env,
                cwd=job["cwd"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
    except OSError as exc:
        # A mistake that somebody may fix: the job stays in the queue.
        reason = f"its script could not be started: {exc}"
    else:
        while script.poll() is None and not told and time.monotonic() < deadline:
            time.sleep(0.02)
        code = script.poll()
        if code is None:
            state, reason = (
                ("CANCELLED", "while it ran")
                if told
                else ("TIMEOUT", "it ran longer than its time limit")
            )
        else:
            state = "DONE" if code == 0 else "FAILED"
        _end_processes(script)
    with locked():
        nodes = [] if state == "HELD" else job["nodes"]
        job.update(state=state, reason=reason, exit_code=code, nodes=nodes, pid=None)
        save_job(path, job)
        update(path)


def _end_processes(script: subprocess.Popen[bytes]) -> None:
    """End a script and what it started: TERM, and after a while KILL."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        deadline = time.monotonic() + TERM_WAIT
        try:
            os.killpg(script.pid, number)
            while time.monotonic() < deadline:
                script.poll()
                # Raises as soon as none of them is left.
                os.killpg(script.pid, 0)
                time.sleep(0.02)
        except ProcessLookupError:
            return


if __name__ == "__main__":
    shepherd(Path(sys.argv[1]), sys.argv[2])
