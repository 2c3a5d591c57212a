"""``flux batch``: submit a script."""

# A command starts in less time without pathlib.
# ruff: noqa: PTH109, PTH119, PTH123

from __future__ import annotations

import os
import re
import shlex

from ..engine import records
from ..engine.machine import Machine
from ..engine.options import Unsupported
from ..engine.store import Row
from . import constraint, ids, options, times
from .context import Context

_OPTIONS = {
    **{"--nodes": "nodes", "-N": "nodes", "--nslots": "nslots", "-n": "nslots"},
    **{"--cores-per-slot": "cores", "-c": "cores", "--queue": "queue", "-q": "queue"},
    **{"--time-limit": "time", "-t": "time", "--bank": "bank", "-B": "bank"},
    **{"--job-name": "name", "--cwd": "cwd", "--output": "output", "--requires": "requires"},
    **{"--urgency": "urgency", "--begin-time": "begin"},
}
_FLAGS = {"--exclusive": "exclusive", "-x": "exclusive", "--quiet": "quiet"}
# What the real one has beside.
_KNOWN = """help setopt o setattr S add-file dependency env env-remove env-file rlimit input error
    label-io l unbuffered u flags signal dry-run conf broker-opts dump gpus-per-slot g wrap
    list-plugins resources-shape resources-json"""
_DIRECTIVE = re.compile(r"\s*[^\w\s]+\s*(?:flux|FLUX):(.*)")


def run(context: Context) -> int:
    """Run ``flux batch``; its exit code."""
    given, operands = options.parse(
        "flux batch", context.words, _OPTIONS, _FLAGS, _KNOWN, stop_at_operand=True
    )
    if not operands:
        raise Unsupported("flux batch: a script from standard input")
    data = _read(context, operands[0])
    words = _directives(context, operands[0], data.decode())
    merged, more = options.parse("flux batch", words, _OPTIONS, _FLAGS, _KNOWN)
    if more:
        raise options.usage("flux batch", f"unrecognized arguments: {' '.join(more)}")
    for name, values in given.items():
        # All constraints hold; of other options, those of the command line do.
        merged[name] = [*merged.get(name, []), *values]
    row = _job(context, {name: values[-1] for name, values in merged.items()}, operands[0])
    row["requires"] = "&".join(merged.get("requires", []))
    context.connect()
    with context.change("batch"):
        _check(context, row)
        context.store.add_job(row, data, _environment(context), operands[1:])
        started = context.description["started"]
        row["flux_id"] = ids.new(int((context.now - started) * 1000), row["id"])
        context.store.save_job(row)
    if "quiet" not in merged:
        context.line(context.spell(row["flux_id"]))
    return 0


def _read(context: Context, path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            data = file.read()
    except OSError:
        raise context.fail(f"No such file or directory: '{path}'") from None
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise context.fail(
            f"{path} does not appear to be a script, or failed to encode as utf-8"
        ) from None
    if not text.startswith("#!"):
        raise context.fail(f"{path} does not appear to start with '#!'")
    return data


def _directives(context: Context, path: str, text: str) -> list[str]:
    """The options in the script: in one block, before the first command."""
    words: list[str] = []
    ended = 0
    for number, line in enumerate(text.splitlines(), start=1):
        found = _DIRECTIVE.fullmatch(line)
        if found and ended:
            raise context.fail(
                f"{os.path.basename(path)}: line {number}: orphan 'flux:' detected: directives "
                f"disabled after line {ended}"
            )
        if found and '"""' in found[1]:
            raise Unsupported('flux batch: a directive with """')
        if found:
            words += shlex.split(found[1], comments=True)
        elif line.strip() and not line.lstrip().startswith("#"):
            ended = ended or number
    return words


def _number(given: dict[str, str], name: str, option: str) -> int | None:
    if name not in given:
        return None
    try:
        return int(given[name])
    except ValueError:
        raise options.usage(
            "flux batch", f"argument {option}: invalid int value: '{given[name]}'"
        ) from None


def _job(context: Context, given: dict[str, str], path: str) -> Row:
    """The record of the job, as requested."""
    nodes = _number(given, "nodes", "-N/--nodes")
    slots = _number(given, "nslots", "-n/--nslots")
    cores = _number(given, "cores", "-c/--cores-per-slot") or 1
    urgency = _number(given, "urgency", "--urgency")
    if not nodes and slots is None:
        raise context.fail("Number of slots to allocate must be specified")
    if "exclusive" in given and not nodes:
        raise context.fail("exclusive can only be set with a node count")
    if nodes and slots is not None and nodes > slots:
        raise context.fail("node count must not be greater than task count")
    duration = times.parse(given.get("time", "0"), 60.0)
    if duration is None:
        raise context.fail("invalid Flux standard duration")
    begin = times.parse(given.get("begin", "+0")[1:]) if given.get("begin", "+")[0] == "+" else None
    if begin is None:
        raise Unsupported("flux batch: --begin-time with a date")
    if urgency is not None and not 0 <= urgency <= 31:
        raise context.fail("urgency range is [0:31]")
    place = given.get("cwd", os.getcwd())
    return records.new_job(
        context.now,
        context.user,
        name=given.get("name", os.path.basename(path)),
        partition=given.get("queue", ""),
        workdir=place,
        output=given.get("output", ""),
        duration=duration,
        bank=given.get("bank", ""),
        nodes=nodes or 0,
        slots=slots if slots is not None else nodes,
        cores=cores,
        whole=bool(nodes) and (slots is None or "exclusive" in given),
        urgency=16 if urgency is None else urgency,
        hold="user" if urgency == 0 else "",
        priority=16 if urgency is None else urgency,
        begin=context.now + begin if begin else None,
        exception=None,
        requeue=False,
        flux_id=0,
    )


def _check(context: Context, row: Row) -> None:
    """What the instance refuses, and what follows from its queues.

    :raises FluxError: in Flux's words.
    """
    if "queue_full" in context.faults:
        # As flux-accounting refuses a user's next job.
        raise context.fail("user has max number of jobs submitted")
    machine = Machine(context.store, context.now, context.description)
    queues = [] if context.description.get("no_queues") else machine.partitions
    name = row["partition"]
    if name and not queues:
        raise context.fail(f"'{name}' is not a valid queue")
    queue = machine.partition(name) if name else next((q for q in queues if q["default"]), None)
    if name and queue is None:
        raise context.fail(f"Invalid queue '{name}' specified")
    if queue is not None:
        row["partition"] = queue["name"]
        _check_queue(context, row, queue)
    row["limit"] = row["duration"] / 60 if row["duration"] else None
    constraint.check(context, row["requires"], set(machine.by_name))
    eligible = constraint.eligible(machine, row["partition"], row["requires"])
    if row["nodes"] > len(eligible) or (
        row["nodes"] and not row["whole"] and all(node.cpus < row["cores"] for node in eligible)
    ):
        kind = "exclusive node(s)" if row["whole"] else f"node(s) with {row['cores']} cores each"
        raise context.fail(
            f"unsatisfiable request: need {row['nodes']} {kind}, only {len(eligible)} eligible"
        )
    room = sum(node.cpus // row["cores"] for node in eligible)
    if not row["nodes"] and row["slots"] > room:
        raise context.fail(
            f"unsatisfiable request: need {row['slots']} slot(s) of {row['cores']} core(s), only "
            f"{room} such slot(s) available (total cores: {sum(node.cpus for node in eligible)})"
        )


def _check_queue(context: Context, row: Row, queue: Row) -> None:
    """A queue's time limits, which are in minutes, and whether it takes jobs."""
    state, _, reason = queue["state"].partition(": ")
    if state == "DISABLED":
        raise context.fail(
            f"job submission to {queue['name']} is disabled{f': {reason}' if reason else ''}"
        )
    row["duration"] = row["duration"] or 60.0 * queue["default_time"]
    limit = 60.0 * queue["max_time"]
    if limit and (not row["duration"] or row["duration"] > limit):
        wanted = times.short(row["duration"]) if row["duration"] else "unlimited"
        raise context.fail(
            f"requested duration ({wanted}) exceeds policy limit of {times.short(limit)} for queue "
            f"{queue['name']}"
        )


def _environment(context: Context) -> dict[str, str]:
    return {
        name: value
        for name, value in context.environment.items()
        if not name.startswith(("FLUX_", "FAKE_"))
    }
