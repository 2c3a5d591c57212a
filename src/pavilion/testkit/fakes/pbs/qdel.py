"""``qdel``: delete jobs."""

from __future__ import annotations

from ..engine.records import cancel
from . import errors
from .context import Context, guarded, has_ended
from .errors import PbsError


@guarded
def run(context: Context) -> int:
    """Run ``qdel``; its exit code, that of the last job that could not be deleted."""
    _, words = context.options(context.words, "", "W:x")
    if not words:
        raise errors.usage("qdel", "")
    code = 0
    for word in words:
        try:
            _delete(context, word)
        except PbsError as error:
            context.err(error.text)
            code = error.code
            if error.text.startswith(errors.NO_CONTACT):
                return code
    return code


def _delete(context: Context, word: str) -> None:
    number = context.named(word)
    with context.change("DeleteJob"):
        job = next((job for job in context.jobs() if job["id"] == number), None)
        if job is None:
            raise PbsError(f"qdel: Unknown Job Id {word}", errors.UNKNOWN_JOB)
        name = context.id_of(job)
        if has_ended(job):
            raise PbsError(f"qdel: Job has finished {name}", errors.FINISHED)
        if job["uid"] != context.user[1] and not context.is_administrator:
            raise PbsError(f"qdel: Unauthorized Request  {name}", errors.DENIED)
        cancel(job, context.now)
        if job["comment"] and " terminated by " not in job["comment"]:
            job["comment"] += f" and terminated by {context.owner}"
        job["changed"] = context.now
        context.store.save_job(job)
