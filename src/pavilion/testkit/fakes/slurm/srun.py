"""``srun``: run tasks in an allocation, or in one of its own."""

# A command starts in less time without pathlib.
# ruff: noqa: PTH119

from __future__ import annotations

import os
import signal
import sys
import time

from ..engine import stepmanager, wakeup
from ..engine.options import Option, Parser, Unsupported, Usage
from ..engine.store import Row
from . import errors, gres, jobenv, placement, submission, testonly
from .context import Context
from .errors import SlurmError
from .request import REQUEST_OPTIONS, Request
from .steps import Step, StepRunner

_OPTIONS = (
    *REQUEST_OPTIONS,
    Option("label", "l"),
    Option("output", "o", "needed"),
    Option("error", "e", "needed"),
    Option("input", "i", "needed"),
    Option("unbuffered", "u"),
    Option("kill-on-bad-exit", "K", "optional"),
    Option("mpi", "", "needed"),
    Option("overlap", ""),
    Option("exact", ""),
    Option("export", "", "needed"),
    Option("wait", "W", "needed"),
    Option("cpu-bind", "", "needed"),
    Option("overcommit", "O"),
)
_KNOWN = """acctg-freq accel-bind bcast bb bbf cluster-constraint clusters M contiguous container
    cores-per-socket cpu-freq deadline delay-boot disable-status X
    distribution m epilog extra-node-info B gpu-bind gpu-freq gpus-per-socket
    gres-flags het-group hint immediate I interactive jobid
    launch-cmd launcher-opts licenses L mail-type mail-user mem-bind mem-per-cpu mem-per-gpu
    mincpus msg-timeout multi-prog network no-allocate Z no-kill k ntasks-per-core
    ntasks-per-gpu ntasks-per-socket open-mode power preserve-env E priority profile prolog
    propagate pty quit-on-interrupt relative r resv-ports send-libs signal slurmd-debug
    sockets-per-node spread-job switches task-epilog task-prolog threads
    threads-per-core time-min tmp tres-per-task uid use-min-nodes whole x11 help usage"""
_POLL = 0.02


def run(context: Context) -> int:
    """Run ``srun``; its exit code."""
    options, command = Parser("srun", _OPTIONS, _KNOWN, usage_code=255).parse(
        context.words, stop_at_operand=True
    )
    if ":" in command:
        raise Unsupported("srun: heterogeneous jobs (':' on the command line)")
    if not command:
        raise Usage("srun: fatal: No command given to execute.\n", 1)
    inside = context.environment.get("SLURM_JOB_ID") or context.environment.get("SLURM_JOBID")
    if not inside:
        return _in_own_allocation(context, options, command)
    try:
        context.ask("REQUEST_JOB_INFO_SINGLE")
        job = context.store.job(int(inside)) if inside.isdigit() else None
        if job is None or job["state"] not in ("RUNNING",):
            raise SlurmError(errors.BAD_JOB)
    except SlurmError as error:
        context.err(f"srun: error: Unable to confirm allocation for job {inside}: {error.text}")
        if error.number == errors.BAD_JOB.number:
            context.err(
                f"srun: Check SLURM_JOB_ID environment variable. Expired or invalid job {inside}"
            )
        return 1
    return _run_step(context, options, command, job)


def _run_step(context: Context, options: dict[str, str], command: list[str], job: Row) -> int:
    try:
        step = _make_step(context, options, command, job)
    except SlurmError as error:
        context.err(f"srun: error: Unable to create step for job {job['id']}: {error.text}")
        return 1
    return StepRunner(context, step).run()


def _make_step(context: Context, options: dict[str, str], command: list[str], job: Row) -> Step:
    """Choose nodes and tasks by node.

    :raises SlurmError: for more than the job has.
    """
    request = Request("srun", options).row(context)
    have = dict(zip(job["alloc"], placement.tasks_by_node(job)))
    tasks = request["ntasks"]
    count = request["max_nodes"] if "nodes" in options else None
    if count is not None and count > len(have):
        # words: ok (as Slurm prints it)
        raise Usage(f"srun: error: Only allocated {len(have)} nodes asked for {count}\n", 1)
    wanted = request["req_nodes"]
    if not set(wanted) <= set(have):
        raise SlurmError(errors.NODE_CONFIG)
    if tasks is None and count is None and not wanted:
        tasks = int(context.environment.get("SLURM_NTASKS") or 0) or None
    if tasks is not None and count is None and tasks < len(have) and not wanted:
        context.err(
            f"srun: Warning: can't run {tasks} processes on {len(have)} nodes, "
            f"setting nnodes to {tasks}"
        )
        count = tasks
    names = [*wanted, *(name for name in have if name not in wanted)]
    names = names[: max(count or len(have) if not wanted else count or len(wanted), len(wanted))]
    names = [name for name in have if name in names]
    layout = _lay_out(job, request, names, tasks, options)
    number = _next_step(context, job)
    own = job["kind"] == "alloc"
    return Step(
        job, number, layout, command, options, gres.for_step("srun", job, options, own, layout)
    )


def _lay_out(
    job: Row, request: Row, names: list[str], tasks: int | None, options: dict[str, str]
) -> dict[str, int]:
    """Tasks by node: one each, then node after node up to what the job has there."""
    per_task = max(request["cpus_per_task"], job["cpus_per_task"])
    room = {name: job["alloc"][name] // per_task for name in names}
    if request["ntasks_per_node"]:
        layout = dict.fromkeys(names, int(request["ntasks_per_node"]))
        over = any(layout[name] > room[name] for name in names)
    else:
        total = tasks or len(names)
        over = total > sum(room.values())
        layout = dict.fromkeys(names, 1)
        left = total - len(names)
        for name in names:
            more = max(0, min(left, room[name] - 1))
            layout[name] += more
            left -= more
    if over and not {"overcommit", "O"} & set(options):
        raise SlurmError(errors.TOO_MANY_CPUS)
    return layout


def _next_step(context: Context, job: Row) -> int:
    return context.store.count(f"step {job['id']}.{job['restarts']}") - 1


# -- an allocation of its own --------------------------------------------------------------------


def _in_own_allocation(context: Context, options: dict[str, str], command: list[str]) -> int:
    options.setdefault("job-name", os.path.basename(command[0]))
    row = Request("srun", options).row(context)
    row.update(kind="alloc", requeue=False, command=command[0])
    for name in ("core-spec", "thread-spec"):  # told once is enough
        options.pop(name, None)
    if "test-only" in options:
        return testonly.run(context, row, "quiet" in options)
    try:
        job_id = submission.submit(context, row, b"", {}, [])
    except SlurmError as error:
        for note in error.notes:
            context.err(f"srun: error: {note}")
        context.err(f"srun: error: Unable to allocate resources: {error.text}")
        return 1
    return _wait_and_run(context, options, command, job_id)


def _wait_and_run(
    context: Context, options: dict[str, str], command: list[str], job_id: int
) -> int:
    told = False
    try:
        while True:
            job = context.store.job(job_id)
            if job is None or job["state"] not in ("PENDING", "RUNNING"):
                context.err("srun: error: Unable to allocate resources: Job cancelled")
                return 1
            if job["state"] == "RUNNING" and not job.get("configuring"):
                break
            if not told and time.time() - job["submit"] > 0.5:
                told = True
                context.err(f"srun: job {job_id} queued and waiting for resources")
            time.sleep(_POLL)
    except KeyboardInterrupt:
        _cancel(context, job_id)
        return 1
    if told:
        context.err(f"srun: job {job_id} has been allocated resources")
    stepmanager.record_pid(context.folder, job, os.getpid())
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    code = 143
    try:
        context.environment = jobenv.allocation(
            job, context.description["name"], context.description["host"], context.environment
        )
        code = _run_step(context, options, command, job)
    finally:
        context.now = time.time()
        stepmanager.record_exit(context.folder, job, stepmanager.Exit(code % 256, 0, context.now))
        wakeup.wake(context.folder)
    return code


def _cancel(context: Context, job_id: int) -> None:
    from .scancel import cancel_job

    with context.change("REQUEST_KILL_JOB"):
        cancel_job(context, context.store.job(job_id))
