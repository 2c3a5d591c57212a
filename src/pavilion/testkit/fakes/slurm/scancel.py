"""``scancel``: end jobs."""

from __future__ import annotations

import re

from ..engine import hostlist
from ..engine.machine import visible_jobs
from ..engine.options import Option, Parser, Unsupported, Usage
from ..engine.store import Row
from . import arrays, errors, jobtext
from .context import Context
from .errors import SlurmError

_OPTIONS = (
    Option("account", "A", "needed"),
    Option("name", "n", "needed"),
    Option("jobname", "", "needed"),
    Option("partition", "p", "needed"),
    Option("quiet", "Q"),
    Option("reservation", "R", "needed"),
    Option("state", "t", "needed"),
    Option("user", "u", "needed"),
    Option("me", ""),
    Option("verbose", "v"),
    Option("clusters", "M", "needed"),
)
_KNOWN = """batch b ctld cron full f hurry H interactive i nodelist w qos q sibling signal s wckey
    help usage"""
_FROM_ENVIRONMENT = {
    "SCANCEL_ACCOUNT": "account",
    "SCANCEL_NAME": "name",
    "SCANCEL_PARTITION": "partition",
    "SCANCEL_STATE": "state",
    "SCANCEL_USER": "user",
    "SCANCEL_VERBOSE": "verbose",
}
_ACTIVE = ("PENDING", "RUNNING", "SUSPENDED")
_CHOICES = ("account", "name", "partition", "reservation", "state", "user", "me")


def run(context: Context) -> int:
    """Run ``scancel``; its exit code."""
    options, operands = Parser("scancel", _OPTIONS, _KNOWN).parse(context.words)
    for variable, option in _FROM_ENVIRONMENT.items():
        if variable in context.environment:
            options.setdefault(option, context.environment[variable])
    if "jobname" in options:
        options["name"] = options["jobname"]
    targets = _targets(operands)
    choices = [name for name in _CHOICES if name in options]
    if not operands and not choices:
        raise Usage("scancel: error: No job identification provided\n", 1)
    _check(options)
    if not context.is_reachable("scancel", options.get("clusters", "")):
        return 1
    if not choices:
        codes = [_cancel(context, word, target, "verbose" in options) for word, target in targets]
        return next((code for code in codes if code), 0)
    try:
        context.ask("REQUEST_JOB_INFO")
    except SlurmError as error:
        context.err(f"slurm_load_jobs error: {error.text}")
        return 1
    return _cancel_chosen(context, options, targets)


def _targets(operands: list[str]) -> list[tuple[str, arrays.Target]]:
    """Words and the jobs that they name.

    :raises Usage: for what is not a job.
    """
    found = []
    for operand in operands:
        for word in hostlist.split(operand) or [operand]:
            target = arrays.parse_target(word)
            if re.fullmatch(r"[\d+]+[.+]\d+", word):
                raise Unsupported(f"scancel: {word}: a step, or part of a heterogeneous job")
            if target is None or not target.number:
                raise Usage(f"scancel: error: Invalid job id {word}\n", 1)
            found.append((word, target))
    return found


def _check(options: dict[str, str]) -> None:
    """:raises Usage: for a user or a state that there is not; one of each may be named."""
    state = options.get("state", "pending").upper()
    if state not in {*jobtext.CODES, *jobtext.CODES.values()}:
        raise Usage(
            f"Invalid job state specified: {options['state']}\n"
            "Valid job states are PENDING, RUNNING, and SUSPENDED\n",
            1,
        )
    name = options.get("user")
    if name is not None:
        import pwd  # only here: most calls name no user

        try:
            entry = pwd.getpwuid(int(name)) if name.isdigit() else pwd.getpwnam(name)
        except KeyError:
            raise Usage(f"scancel: error: Invalid user name: {name}\n", 1) from None
        options["user"] = entry.pw_name


def _cancel_chosen(
    context: Context, options: dict[str, str], targets: list[tuple[str, arrays.Target]]
) -> int:
    """End the jobs that pass all filters; of an array each task by itself."""
    codes = []
    known = [
        job
        for job in visible_jobs(context.store, context.description, context.now)
        if job["state"] in _ACTIVE or job["completing"]
    ]
    for word, target in targets:
        if not any(_is_meant(job, target) for job in known):
            context.err(f"scancel: error: Kill job error on job id {word}: {errors.BAD_JOB.text}")
            codes.append(1)
    for job in arrays.expanded(known):
        meant = not targets or any(_is_meant(job, target) for _, target in targets)
        if meant and _matches(context, job, options):
            task = None if job["array_task"] is None else (job["array_task"],)
            target = arrays.Target(job["id"] if task is None else job["array_job"], task)
            word = arrays.shown_id(job, {})
            codes.append(_cancel(context, word, target, "verbose" in options))
    return next((code for code in codes if code), 0)


def _is_meant(job: Row, target: arrays.Target) -> bool:
    if target.number not in (job["id"], job["array_job"]):
        return False
    return target.tasks is None or bool({*target.tasks} & {*arrays.tasks_of(job)})


def _matches(context: Context, job: Row, options: dict[str, str]) -> bool:
    if job["state"] not in _ACTIVE:
        return False
    for name in ("account", "name", "partition", "reservation"):
        if name in options and (job[name] or "") != options[name]:
            return False
    state = options.get("state", "").upper()
    if state and state not in (jobtext.state(job), jobtext.code(job)):
        return False
    user = context.user[0] if "me" in options else options.get("user")
    if user is None and not context.is_administrator:
        user = context.user[0]
    return user is None or job["user"] == user


def _cancel(context: Context, word: str, target: arrays.Target, verbose: bool) -> int:
    """End one job, or the named tasks of an array; the return code that it makes."""
    if verbose:
        context.err(f"scancel: Terminating job {word}")
    try:
        with context.change("REQUEST_KILL_JOB"):
            _cancel_target(context, target)
    except SlurmError as error:
        # A job that is not known or has ended is not a failure, and silent.
        silent = error.number in (errors.BAD_JOB.number, errors.OVER.number)
        if not silent or verbose:
            context.err(f"scancel: error: Kill job error on job id {word}: {error.text}")
        return 0 if silent else error.number & 0xFF
    return 0


def _cancel_target(context: Context, target: arrays.Target) -> None:
    """:raises SlurmError: when none of the records could be ended: the last one's error."""
    refusal = SlurmError(errors.BAD_JOB)
    done = False
    for job in arrays.records(context.store, target.number):
        if not _is_meant(job, target):
            continue
        try:
            left = [task for task in arrays.waiting(job) if task not in (target.tasks or ())]
            if target.tasks is not None and arrays.waiting(job) and job["state"] == "PENDING":
                _drop_tasks(context, job, left)
            else:
                cancel_job(context, job)
            done = True
        except SlurmError as error:
            refusal = error
    if not done:
        raise refusal


def _drop_tasks(context: Context, job: Row, left: list[int]) -> None:
    """Take waiting tasks out of an array. When none is left its record ends without any."""
    if not left:
        cancel_job(context, job)
    elif job["user"] != context.user[0] and not context.is_administrator:
        raise SlurmError(errors.ACCESS_DENIED)
    job["array_tasks"] = left
    context.store.save_job(job)


def cancel_job(context: Context, job: Row | None) -> None:
    """Mark a job as cancelled; the controller ends its processes.

    :raises SlurmError: unknown, over, or another user's.
    """
    if job is None or context.hidden_by_fault(job):
        raise SlurmError(errors.BAD_JOB)
    if job["user"] != context.user[0] and not context.is_administrator:
        raise SlurmError(errors.ACCESS_DENIED)
    if job["state"] not in _ACTIVE:
        if job["requeuing"]:  # it ends now instead of starting again
            job.update(requeuing=False, state="CANCELLED", cancelled_by=context.user[1])
            context.store.save_job(job)
            return
        raise SlurmError(errors.OVER)
    ran = job["state"] != "PENDING"
    job["cancelled_by"] = context.user[1]
    job.update(
        state="CANCELLED",
        completing=ran,
        end=context.now,
        start=job["start"] if ran else context.now,
    )
    context.store.save_job(job)
