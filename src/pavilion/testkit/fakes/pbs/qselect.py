"""``qselect``: the ids of jobs."""

from __future__ import annotations

from . import attributes, errors
from .context import Context, guarded, has_ended


@guarded
def run(context: Context) -> int:
    """Run ``qselect``; its exit code."""
    found, operands = context.options(context.words, "N:s:u:x", "a:A:c:h:HJl:p:P:q:r:t:T")
    options = dict(found)
    if operands:
        raise errors.usage("qselect", f"qselect: illegal operand {operands[0]}")
    context.ask("SelectJobs")
    if "-x" in options and not context.has_history:
        context.err(f"qselect: {errors.NO_HISTORY}")
        return 0
    for job in context.jobs():
        if has_ended(job) and "-x" not in options:
            continue
        if options.get("-N", job["name"]) != job["name"]:
            continue
        if options.get("-u", job["user"]) != job["user"]:
            continue
        if attributes.state(job)[0] not in options.get("-s", attributes.state(job)[0]):
            continue
        context.line(context.id_of(job))
    return 0
