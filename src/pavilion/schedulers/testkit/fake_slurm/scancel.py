"""``scancel``: end jobs."""

from __future__ import annotations

from . import errors, jobtext
from .context import Context
from .errors import SlurmError
from .machine import visible_jobs
from .options import Option, Parser, Usage
from .store import Row

_OPTIONS = (
    Option("account", "A", "needed"), Option("name", "n", "needed"),
    Option("jobname", "", "needed"), Option("partition", "p", "needed"),
    Option("quiet", "Q"), Option("reservation", "R", "needed"), Option("state", "t", "needed"),
    Option("user", "u", "needed"), Option("me", ""), Option("verbose", "v"),
    Option("full", "f"), Option("batch", "b"),
    Option("clusters", "M", "needed"),
)
_KNOWN = """ctld cron hurry H interactive i nodelist w qos q sibling signal s wckey
    help usage"""
_FROM_ENVIRONMENT = {
    "SCANCEL_ACCOUNT": "account", "SCANCEL_NAME": "name", "SCANCEL_PARTITION": "partition",
    "SCANCEL_STATE": "state", "SCANCEL_USER": "user", "SCANCEL_VERBOSE": "verbose",
}
_CHOICES = ("account", "name", "partition", "reservation", "state", "user", "me")


def run(context: Context) -> int:
    options, operands = Parser("scancel", _OPTIONS, _KNOWN).parse(context.words)
    for variable, option in _FROM_ENVIRONMENT.items():
        if variable in context.environment:
            options.setdefault(option, context.environment[variable])
    if "jobname" in options:
        options["name"] = options["jobname"]
    for word in operands:
        if not word.isdigit():
            raise Usage(f"scancel: error: Invalid job id {word}\n", 1)
    choices = [name for name in _CHOICES if name in options]
    if not operands and not choices:
        raise Usage("scancel: error: No job identification provided\n", 1)
    if not context.is_reachable("scancel", options.get("clusters", "")):
        return 1
    ids = [int(word) for word in operands]
    if choices:
        try:
            context.ask("REQUEST_JOB_INFO")
        except SlurmError as error:
            context.err(f"slurm_load_jobs error: {error.text}")
            return 1
        ids = [job["id"] for job in visible_jobs(context.store, context.description, context.now)
               if _matches(context, job, options, ids)]
    codes = [_cancel(context, job_id, "verbose" in options) for job_id in ids]
    return next((code for code in codes if code), 0)


def _matches(context: Context, job: Row, options: dict[str, str], ids: list[int]) -> bool:
    if (ids and job["id"] not in ids) or job["state"] not in ("PENDING", "RUNNING", "SUSPENDED"):
        return False
    for name in ("account", "name", "partition", "reservation"):
        if name in options and job[name] not in options[name].split(","):
            return False
    states = options.get("state", "").upper().split(",") if "state" in options else []
    if states and not {jobtext.state(job), jobtext.code(job)} & set(states):
        return False
    user = context.user[0] if "me" in options else options.get("user")
    if user is None and not context.is_administrator:
        user = context.user[0]
    return user is None or job["user"] == user


def _cancel(context: Context, job_id: int, verbose: bool) -> int:
    """End one job; the return code that it makes."""
    if verbose:
        context.err(f"scancel: Terminating job {job_id}")
    try:
        with context.change("REQUEST_KILL_JOB"):
            cancel_job(context, context.store.job(job_id))
    except SlurmError as error:
        # A job that is not known or is over is no failure, and silent.
        silent = error.number in (errors.BAD_JOB.number, errors.OVER.number)
        if not silent or verbose:
            context.err(f"scancel: error: Kill job error on job id {job_id}: {error.text}")
        return 0 if silent else error.number & 0xFF
    return 0


def cancel_job(context: Context, job: Row | None) -> None:
    """Mark a job as cancelled; the controller ends its processes.

    :raises SlurmError: unknown, over, or another user's.
    """
    if job is None or context.hidden_by_fault(job):
        raise SlurmError(errors.BAD_JOB)
    if job["user"] != context.user[0] and not context.is_administrator:
        raise SlurmError(errors.ACCESS_DENIED)
    if job["state"] not in ("PENDING", "RUNNING", "SUSPENDED"):
        if job["requeuing"]:  # it ends now in place of starting anew
            job.update(requeuing=False, state="CANCELLED", cancelled_by=context.user[1])
            context.store.save_job(job)
            return
        raise SlurmError(errors.OVER)
    ran = job["state"] != "PENDING"
    job["cancelled_by"] = context.user[1]
    job.update(state="CANCELLED", completing=ran, end=context.now,
               start=job["start"] if ran else context.now)
    context.store.save_job(job)
