"""``sbatch``: submit a batch script."""

# A command starts in less time without pathlib.
# ruff: noqa: PTH109, PTH118, PTH119, PTH123

from __future__ import annotations

import os
import sys
import time

from ..engine import faults
from ..engine.options import Option, Parser, Unsupported, Usage
from ..engine.store import Row
from . import arrays, gres, script, submission, testonly
from .context import Context
from .errors import OVER, TIMED_OUT, TOO_MANY_JOBS, TRY_AGAIN, Error, SlurmError
from .releases import NAMES_FULL_QUEUE
from .request import REQUEST_OPTIONS, Request

_OPTIONS = (
    *REQUEST_OPTIONS,
    Option("error", "e", "needed"),
    Option("export", "", "needed"),
    Option("input", "i", "needed"),
    Option("open-mode", "", "needed"),
    Option("output", "o", "needed"),
    Option("parsable", ""),
    Option("wait", "W"),
    Option("wrap", "", "needed"),
    Option("clusters", "M", "needed"),
    Option("array", "a", "needed"),
)
# What else the real one has.
_KNOWN = """acctg-freq batch bb bbf burst-buffer cluster cluster-constraint
    container contiguous cores-per-socket cpu-freq deadline delay-boot distribution m
    export-file extra-node-info B get-user-env gid gpu-bind gpu-freq
    gpus-per-socket gres-flags help h hint ignore-pbs kill-on-invalid-dep k
    licenses L mail-type mail-user mcs-label mem-bind mem-per-cpu mem-per-gpu mincpus network
    no-kill ntasks-per-core ntasks-per-gpu ntasks-per-socket overcommit O power prefer priority
    profile propagate reboot signal sockets-per-node spread-job switches
    threads-per-core time-min tmp uid usage use-min-nodes wait-all-nodes x11"""
# Variable -> option.
_FROM_ENVIRONMENT = {
    **gres.FROM_ENVIRONMENT,
    "SBATCH_ARRAY_INX": "array",
    "SBATCH_MEM_PER_NODE": "mem",
    "SLURM_CLUSTERS": "clusters",
    "SBATCH_CLUSTERS": "clusters",
    "SBATCH_THREAD_SPEC": "thread-spec",
    "SBATCH_DEBUG": "verbose",
    "SBATCH_ACCOUNT": "account",
    "SBATCH_CONSTRAINT": "constraint",
    "SBATCH_CORE_SPEC": "core-spec",
    "SBATCH_ERROR": "error",
    "SBATCH_EXPORT": "export",
    "SBATCH_INPUT": "input",
    "SBATCH_JOB_NAME": "job-name",
    "SBATCH_OPEN_MODE": "open-mode",
    "SBATCH_OUTPUT": "output",
    "SBATCH_PARTITION": "partition",
    "SBATCH_QOS": "qos",
    "SBATCH_RESERVATION": "reservation",
    "SBATCH_TIMELIMIT": "time",
    "SBATCH_WCKEY": "wckey",
    "SBATCH_EXCLUSIVE": "exclusive",
    "SBATCH_NO_REQUEUE": "no-requeue",
    "SBATCH_REQUEUE": "requeue",
    "SBATCH_WAIT": "wait",
}
# Others of the real one's, which the fake does not follow: it refuses to run when they are set.
_OTHER_VARIABLES = """ACCTG_FREQ BATCH BURST_BUFFER CLUSTER_CONSTRAINT CONTAINER CPU_FREQ_REQ
    DEADLINE DELAY_BOOT DISTRIBUTION GET_USER_ENV GPU_BIND GPU_FREQ GRES_FLAGS HINT IGNORE_PBS
    MEM_BIND MEM_PER_CPU MEM_PER_GPU NETWORK NO_KILL OVERCOMMIT POWER PRIORITY PROFILE REQ_SWITCH
    SIGNAL SPREAD_JOB THREADS_PER_CORE USE_MIN_NODES WAIT4SWITCH WAIT_ALL_NODES"""
_HETEROGENEOUS = "sbatch: heterogeneous jobs"
_RETRIES = 15
_POLL = 0.05


def run(context: Context) -> int:
    """Run ``sbatch``; its exit code."""
    parser = Parser("sbatch", _OPTIONS, _KNOWN, usage_code=255)
    typed, operands = parser.parse(context.words, stop_at_operand=True)
    if ":" in operands[:1]:
        raise Unsupported(f"{_HETEROGENEOUS} (':' on the command line)")
    data, name, command = _read_script(typed, operands)
    options = _from_script(parser, data, name)
    _later_wins(options, _from_environment(context))
    _later_wins(options, typed)
    options.setdefault(
        "job-name", os.path.basename(name) if command else "wrap" if "wrap" in typed else "sbatch"
    )
    if not context.is_reachable("sbatch", options.get("clusters", "")):
        return 1
    row = Request("sbatch", options).row(context)
    row["command"] = " ".join([command, *operands[1:]]) if command else None
    row["submit_line"] = " ".join(["sbatch", *context.words])  # not quoted
    row["umask"] = os.umask(0)
    os.umask(row["umask"])
    row["append"] = _appends(options)
    row["array_text"] = options.get("array", "")
    for key, option in (("std_out", "output"), ("std_err", "error"), ("std_in", "input")):
        row[key] = options.get(option) or row[key]
    if "test-only" in options:
        return testonly.run(context, row, "quiet" in options)
    environment = _exported(context.environment, options.get("export", "ALL"))
    return _submit(context, options, row, data, environment, operands[1:])


def _appends(options: dict[str, str]) -> bool:
    mode = options.get("open-mode", "t")
    if mode[:1] not in ("a", "t"):
        raise Usage("sbatch: error: Invalid --open-mode specification\n", 255)
    return mode.startswith("a")


def _read_script(typed: dict[str, str], operands: list[str]) -> tuple[bytes, str, str]:
    """The script, the name that messages use, and its path ('' for none)."""
    if "wrap" in typed:
        if operands:
            raise Usage("sbatch: error: Script arguments not permitted with --wrap option\n", 1)
        text = "#!/bin/sh\n# This script was created by sbatch --wrap.\n\n" + typed["wrap"] + "\n"
        return text.encode("utf-8", "surrogateescape"), "wrap", ""
    if not operands:
        data = sys.stdin.buffer.read()
        script.check(data)
        return data, "stdin", ""
    path = operands[0]
    try:
        with open(path, "rb") as file:
            data = file.read()
    except OSError:
        raise Usage(f"sbatch: error: Unable to open file {path}\n", 1) from None
    script.check(data)
    return data, path, os.path.join(os.getcwd(), path)


def _from_script(parser: Parser, data: bytes, name: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for words in script.directives(data, name):
        marks = [word for word in words if word.lower() in ("hetjob", "packjob")]
        if marks:
            raise Unsupported(f"{_HETEROGENEOUS} ('#SBATCH {marks[0]}' in the script)")
        options, operands = parser.parse(words)
        if operands:
            raise Usage(
                f"sbatch: error: Invalid directive found in batch script: {operands[0]}\n", 255
            )
        _later_wins(found, options)
    return found


def _from_environment(context: Context) -> dict[str, str]:
    found = {}
    for variable, option in _FROM_ENVIRONMENT.items():
        if variable in context.environment:
            found[option] = context.environment[variable]
    for name in _OTHER_VARIABLES.split():
        if f"SBATCH_{name}" in context.environment:
            raise Unsupported(f"sbatch: the variable SBATCH_{name}")
    return found


def _later_wins(options: dict[str, str], more: dict[str, str]) -> None:
    for one, other in (
        ("requeue", "no-requeue"),
        ("no-requeue", "requeue"),
        ("exclusive", "oversubscribe"),
        ("oversubscribe", "exclusive"),
    ):
        if one in more:
            options.pop(other, None)
    options.update(more)


def _exported(environment: dict[str, str], wish: str) -> dict[str, str]:
    """What the job gets of the submitter's environment."""
    if wish.upper() == "ALL":
        return dict(environment)
    own = {name: value for name, value in environment.items() if name.startswith("SLURM_")}
    if wish.upper() in ("NONE", "NIL"):
        return own
    names = wish.split(",")
    kept = dict(environment) if "ALL" in names else own
    for name in names:
        key, equals, value = name.partition("=")
        if equals:
            kept[key] = value
        elif key in environment:
            kept[key] = environment[key]
    return kept


def _submit(
    context: Context,
    options: dict[str, str],
    row: Row,
    data: bytes,
    environment: dict[str, str],
    arguments: list[str],
) -> int:
    try:
        _wait_for_room(context)
        job_id = submission.submit(context, row, data, environment, arguments)
        _forget_answer(context)
    except SlurmError as error:
        for note in error.notes:
            context.err(f"sbatch: error: {note}")
        context.err(f"sbatch: error: Batch job submission failed: {error.text}")
        return 1
    if "quiet" not in options:
        _print_id(context, job_id, "parsable" in options)
    return _wait_for_end(context, job_id) if "wait" in options else 0


def _wait_for_room(context: Context) -> None:
    """Try again as the real one does, 120 s in all with the usual unit of 1 s.

    :raises SlurmError: when there is no room in the end.
    """
    if {"down", "frozen"} & set(context.faults):
        return  # nobody says that there is no room
    unit = context.setting("retry_seconds")
    for retry in range(1, _RETRIES + 1):
        if not submission.queue_is_full(context):
            return
        if retry == 1:
            why = (
                "Slurm job queue full"
                if context.release >= NAMES_FULL_QUEUE
                else "Slurm temporarily unable to accept job"
            )
            context.err(f"sbatch: error: {why}, sleeping and retrying")
        time.sleep(unit * retry)
        context.faults = faults.read(context.folder)
    if submission.queue_is_full(context):
        raise SlurmError(TOO_MANY_JOBS if context.release >= NAMES_FULL_QUEUE else TRY_AGAIN)


def _forget_answer(context: Context) -> None:
    """The fault 'accepted_but_error': the answer is lost on its way (``times`` 0: always)."""
    fault = context.faults.get("accepted_but_error")
    if fault is None:
        return
    if not fault["times"] or context.store.count("accepted_but_error") <= fault["times"]:
        raise SlurmError(Error(TIMED_OUT.number, fault["text"]))


def _print_id(context: Context, job_id: int, parsable: bool) -> None:
    cluster = context.faults.get("cluster", {}).get("name", "")
    if parsable:
        context.line(f"{job_id};{cluster}" if cluster else str(job_id))
    else:
        context.line(
            f"Submitted batch job {job_id}" + (f" on cluster {cluster}" if cluster else "")
        )


def _wait_for_end(context: Context, job_id: int) -> int:
    """Wait until the job has ended; its exit code, an array's highest (``sbatch --wait``)."""
    context.flush()
    while True:
        jobs = arrays.records(context.store, job_id)
        if not jobs:
            context.err(f"sbatch: error: {OVER.text}")
            return 1
        if not any(
            job["state"] in ("PENDING", "RUNNING", "SUSPENDED") or job["completing"] for job in jobs
        ):
            return max(_exit_code(job) for job in jobs)
        time.sleep(_POLL)


def _exit_code(job: Row) -> int:
    signal = int(job["exit_signal"])
    return int(job["exit_code"]) or (128 + signal if signal else 0)
