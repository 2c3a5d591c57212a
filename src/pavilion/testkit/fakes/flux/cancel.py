"""``flux cancel``: cancel jobs."""

from __future__ import annotations

from ..engine.records import cancel
from . import ids, options
from .context import Context
from .jobs import state


def run(context: Context) -> int:
    """Run ``flux cancel``; its exit code."""
    _, operands = options.parse(
        "flux-cancel", context.words, {}, {}, "all user u states S message m"
    )
    numbers = []
    for text in operands:
        number = ids.parse(text)
        if number is None:
            raise options.usage("flux-cancel", f"argument JOBID...: invalid JobID value: '{text}'")
        numbers.append(number)
    if not numbers:
        raise context.fail("No target jobs were provided")
    context.connect()
    problems = []
    with context.change("cancel"):
        for number in numbers:
            problem = _cancel(context, number)
            if problem:
                problems.append(f"flux-cancel: ERROR: {context.spell(number)}: {problem}")
    for problem in problems:
        context.err(problem)
    return 1 if problems else 0


def _cancel(context: Context, number: int) -> str:
    job = None if context.own_job else context.find(number)
    if job is None or context.hidden_by_fault(job):
        return "unknown job id"
    if state(job) == "INACTIVE":
        return "job is inactive"
    if not context.is_administrator and job["uid"] != context.user[1]:
        return "guests can only raise exceptions on their own jobs"
    cancel(job, context.now)
    context.store.save_job(job)
    return ""
