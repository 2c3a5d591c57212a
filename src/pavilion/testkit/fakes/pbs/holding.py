"""What ``qhold`` and ``qrls`` have in common."""

from __future__ import annotations

from . import errors
from .context import Context, has_ended
from .errors import PbsError
from .output import ctime


def change(context: Context, hold: bool) -> int:
    """Hold jobs, or release them; the exit code."""
    found, words = context.options(context.words, "h:", "")
    if dict(found).get("-h", "u") != "u":
        raise errors.usage(context.command, f"{context.command}: illegal -h value")
    code = 0
    for word in words:
        try:
            _change(context, word, hold)
        except PbsError as error:
            context.err(error.text)
            code = error.code
    return code


def _change(context: Context, word: str, hold: bool) -> None:
    number, command = context.named(word), context.command
    with context.change("HoldJob" if hold else "ReleaseJob"):
        job = next((job for job in context.jobs() if job["id"] == number), None)
        if job is None:
            text = f"{command}: Unknown Job Id {number}.{context.server}"
            raise PbsError(text, errors.UNKNOWN_JOB)
        if has_ended(job):
            raise PbsError(f"{command}: Job has finished", errors.FINISHED)
        if job["uid"] != context.user[1] and not context.is_administrator:
            raise PbsError(f"{command}: Unauthorized Request", errors.DENIED)
        job.update(hold="u" if hold else "", changed=context.now)
        job["comment"] = f"Job held by {context.user[0]} on {ctime(context.now)}" if hold else ""
        context.store.save_job(job)
