"""``flux run`` in the instance of a job: starts the tasks as processes of this host."""

from __future__ import annotations

import signal
import subprocess

from ..engine.options import Unsupported
from . import options
from .context import Context

_OPTIONS = {"--nodes": "nodes", "-N": "nodes", "--ntasks": "ntasks", "-n": "ntasks"}
_FLAGS = {"--exclusive": "exclusive", "-x": "exclusive"}
_KNOWN = """time-limit t queue q setopt o setattr S env cwd output error label-io l requires urgency
    job-name cores cores-per-task c gpus-per-task g tasks-per-node quiet verbose v unbuffered u"""


def run(context: Context) -> int:
    """Run ``flux run``; the highest exit code of its tasks."""
    given, command = options.parse(
        "flux run", context.words, _OPTIONS, _FLAGS, _KNOWN, stop_at_operand=True
    )
    nodes = int(given.get("nodes", ["0"])[-1])
    count = int(given.get("ntasks", [str(nodes or 1)])[-1])
    context.connect()
    job = context.job_of_instance()
    if job is None or not command:
        raise Unsupported("flux run outside of a job, or without a command")
    if nodes > count:
        raise context.fail("node count must not be greater than task count")
    cores = sum(job["alloc"].values())
    if nodes > len(job["alloc"]) or count > cores:
        raise context.fail(
            f"unsatisfiable request: need {count} slot(s) of 1 core(s), only {cores} such slot(s) "
            f"available (total cores: {cores})"
        )
    environment = {**context.environment, "FLUX_JOB_SIZE": str(count)}
    environment["FLUX_JOB_NNODES"] = str(nodes or 1)
    environment["FLUX_JOB_ID"] = context.spell(job["flux_id"] + 1)
    context.flush()
    tasks = []
    for rank in range(count):
        own = {**environment, "FLUX_TASK_RANK": str(rank), "FLUX_TASK_LOCAL_ID": str(rank)}
        try:
            tasks.append(subprocess.Popen(command, env=own))
        except OSError as error:
            context.err(
                f"flux-shell[0]: FATAL: task {rank} (host {context.description['host']}): start "
                f"failed: {command[0]}: {error.strerror}"
            )
            context.err("flux-job: task(s) exited with exit code 127")
            return 127
    return _wait(context, tasks)


def _wait(context: Context, tasks: list[subprocess.Popen[bytes]]) -> int:
    codes = [task.wait() for task in tasks]
    killed = [-code for code in codes if code < 0]
    worst = max(code if code >= 0 else 128 - code for code in codes)
    if killed:
        context.err(f"flux-job: task(s) {signal.strsignal(max(killed))}")
    elif worst:
        context.err(f"flux-job: task(s) exited with exit code {worst}")
    return worst
