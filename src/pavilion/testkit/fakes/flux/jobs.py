"""``flux jobs``: list jobs."""

from __future__ import annotations

import json
import re

from ..engine import hostlist
from ..engine.machine import visible_jobs
from ..engine.options import Unsupported
from ..engine.store import Row
from . import ids, options, times
from .context import SOCKET, Context

_OPTIONS = {
    **{"--count": "count", "-c": "count", "--user": "user", "-u": "user", "--name": "name"},
    **{"--format": "format", "-o": "format", "--queue": "queue", "-q": "queue", "--color": "color"},
    "--since": "since",
}
_FLAGS = {"-a": "inactive", "-A": "all", "--json": "json", "--no-header": "bare", "-n": "bare"}
_KNOWN = """help h filter f include i sort width w recursive R level L recurse-all threads stats
    stats-only"""
_RESULTS = {"CANCELLED": "CANCELED", "NODE_FAIL": "FAILED"}
# The engine's words -> what Flux's exceptions are then.
_EXCEPTIONS = {
    "TIMEOUT": ("timeout", "resource allocation expired"),
    "CANCELLED": ("cancel", ""),
}


def run(context: Context) -> int:
    """Run ``flux jobs``; its exit code."""
    given, operands = options.parse("flux-jobs", context.words, _OPTIONS, _FLAGS, _KNOWN)
    wanted = [(text, ids.parse(text)) for text in operands]
    for text, number in wanted:
        if number is None:
            raise options.usage("flux-jobs", f"argument JOBID: invalid JobID value: '{text}'")
    context.connect()
    # In the instance of a job there is none but its own, and the fake has none of these.
    jobs = [] if context.own_job else _visible(context)
    by_id = {job["flux_id"]: job for job in jobs}
    if wanted:
        chosen = [by_id[number] for _, number in wanted if number in by_id]
        for text, number in wanted:
            if number not in by_id:
                context.err(f"JobID {text} unknown")
    else:
        chosen = _filtered(context, given, jobs)
    count = int(given.get("count", ["1000"])[-1])
    chosen = chosen[:count] if count else chosen
    if "json" in given:
        _print_json(context, chosen, only=len(wanted) == 1)
    elif "format" in given:
        for job in chosen:
            context.line(_formatted(context, given["format"][-1], job))
    else:
        raise Unsupported("flux jobs without --json and -o")
    return 1 if wanted and not chosen else 0


def _visible(context: Context) -> list[Row]:
    """The jobs that the instance knows, the latest first."""
    jobs = visible_jobs(context.store, context.description, context.now)
    return [job for job in reversed(jobs) if not context.hidden_by_fault(job)]


def _filtered(context: Context, given: dict[str, list[str]], jobs: list[Row]) -> list[Row]:
    user = given.get("user", [context.user[0]])[-1]
    since = _since(context, given["since"][-1]) if "since" in given else 0.0
    inactive = "inactive" in given or "since" in given
    found = [
        job
        for job in jobs
        if ("all" in given or user == "all" or user in (job["user"], str(job["uid"])))
        and (state(job) != "INACTIVE" or (inactive and (job["end"] or context.now) > since))
        and ("name" not in given or job["name"] == given["name"][-1])
        and ("queue" not in given or job["partition"] in given["queue"][-1].split(","))
    ]
    order = {"SCHED": 0, "DEPEND": 0, "RUN": 1, "CLEANUP": 1, "INACTIVE": 2}
    return sorted(found, key=lambda job: order[state(job)])


def _since(context: Context, text: str) -> float:
    """A time, in seconds since the epoch; only durations before now are known here."""
    seconds = times.parse(text[1:], 1.0) if text.startswith("-") else None
    if seconds is None:
        raise Unsupported(f"flux jobs --since={text}")
    return context.now - seconds


def _print_json(context: Context, jobs: list[Row], *, only: bool) -> None:
    described = [describe(context, job) for job in jobs]
    if not only:
        context.line(json.dumps({"jobs": described}))
    elif described:
        context.line(json.dumps(described[0]))


def _formatted(context: Context, text: str, job: Row) -> str:
    about = describe(context, job)
    values: dict[str, str] = {
        "id": about["jobid"],
        "id.dec": str(about["id"]),
        **{name: str(about.get(name, "")) for name in ("name", "state", "status", "result")},
        **{name: str(about.get(name, "")) for name in ("queue", "username", "returncode")},
    }

    def value(found: re.Match[str]) -> str:
        if found[1] not in values:
            raise context.fail(f"Error in user format: Unknown format field: {found[1]}")
        return values[found[1]]

    return re.sub(r"\{([^}]*)\}", value, text)


# -- a job ---------------------------------------------------------------------------------------


def state(job: Row) -> str:
    """Flux's word for the state of a job."""
    if job["state"] == "PENDING":
        return "DEPEND" if job["begin"] else "SCHED"
    if job["state"] == "RUNNING":
        return "RUN"
    return "CLEANUP" if job["completing"] else "INACTIVE"


def describe(context: Context, job: Row) -> Row:
    """A job, with the keys that Flux gives it in this state."""
    now, word = context.now, state(job)
    started, over = job["start"] is not None, word == "INACTIVE"
    about: Row = {"t_depend": job["submit"], "annotations": {}}
    if not job["begin"]:
        # It is set until that time has come.
        about.update(t_priority=job["submit"], t_sched=job["submit"], priority=job["priority"])
    if started:
        about["t_run"] = job["start"]
    if word in ("CLEANUP", "INACTIVE"):
        about["t_cleanup"] = job["end"]
    about["duration"] = job["duration"]
    if started and job["duration"]:
        about["expiration"] = job["start"] + job["duration"]
        if word == "RUN":
            about["t_remaining"] = max(0.0, about["expiration"] - now)
    about.update(name=job["name"], cwd=job["workdir"])
    for key, value in (("queue", job["partition"]), ("bank", job["bank"])):
        if value:
            about[key] = value
    about["ntasks"] = job["slots"]
    if job["nodes"] or started:
        about["nnodes"] = job["nodes"] or len(job["alloc"])
    if started:
        about.update(_place(context, job, now))
    if over:
        about.update(_end(job), t_inactive=job["end"])
    about.update(
        id=job["flux_id"],
        t_submit=job["submit"],
        state=word,
        username=job["user"],
        userid=job["uid"],
        urgency=job["urgency"],
        status=about.get("result", word),
        dependencies=["begin@" + str(int(job["begin"]))] if job["begin"] else [],
        jobid=context.spell(job["flux_id"]),
        exception=_exception(job),
    )
    return about


def _place(context: Context, job: Row, now: float) -> Row:
    ranks = {node.name: rank for rank, node in enumerate(context.machine.nodes)}
    end = job["end"] if job["end"] is not None else now
    numbers = sorted(ranks[name] for name in job["alloc"])
    text = hostlist.fold(f"rank{number}" for number in numbers)[len("rank") :]
    return {
        "ncores": sum(job["alloc"].values()),
        "ranks": text,
        "nodelist": hostlist.fold(job["alloc"]),
        "runtime": max(0.0, end - job["start"]),
        "annotations": {"sched": {"resource_summary": f"rank{text}"}},
        "uri": f"ssh://{context.description['host']}{context.folder}/job-{job['flux_id']}/{SOCKET}",
    }


def _end(job: Row) -> Row:
    """Results and codes: the script's own, and those of a script that Flux ended."""
    word = job["state"]
    found: Row = {"success": word == "COMPLETED", "result": _RESULTS.get(word, word)}
    if job["start"] is None:
        found["returncode"] = -128 if word == "CANCELLED" else 1
        return found
    signal = job["exit_signal"]
    code = job["exit_code"] or (128 + signal if signal else 0)
    if word == "TIMEOUT":
        code = 142
    elif word == "CANCELLED":
        code = 129 if job["kill_sent"] else 143
    elif word == "NODE_FAIL":
        code = 1
    found.update(returncode=code, waitstatus=code << 8)
    return found


def _exception(job: Row) -> Row:
    kind, note = job["exception"] or _EXCEPTIONS.get(job["state"], ("", ""))
    if not kind:
        return {"occurred": False}
    return {"occurred": True, "severity": 0, "type": kind, "note": note}
