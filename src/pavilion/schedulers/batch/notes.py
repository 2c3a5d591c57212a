"""What a scheduler says about a job, in plain words."""

from __future__ import annotations

from ..lifecycle.job_cache import JobRecord
from ..placement import hostlists
from .dialect import EXIT_KEY, REASON_KEY, Dialect, named_reason
from .words import JobState

_PHRASES = {
    JobState.WAITING: "waits",
    JobState.STUCK: "is stuck",
    JobState.ACTIVE: "is active",
    JobState.ENDING: "is being ended",
    JobState.FINISHED: "has ended",
    JobState.CANCELLED: "was cancelled",
}
_STUCK = "It stays in the queue until somebody intervenes, and can be cancelled."


def job_note(dialect: Dialect, job: JobRecord, reason: str = "") -> str:
    """A sentence or two about the state of a job, for its tests.

    :param reason: Why it is in that state, where the list of jobs does not say.
    """
    state = dialect.state_of(job)
    word = dialect.WORDS.get(job.state, job.state)
    text = f"Job {job.job_id} {_PHRASES[state]}"
    if job.state not in dialect.STATES:
        text = f"Job {job.job_id} is in a state that is not known here"
    text += f" ({word})" if word else ""
    nodes = dialect.nodes_of(job)
    if nodes and not state.is_over:
        text += f" on {hostlists.fold_short(nodes, count=False)}"
    exit_code = job.data.get(EXIT_KEY, "")
    if exit_code and state.is_over:
        text += f", exit code {exit_code}"
    why = named_reason(dialect.WORDS, job.data.get(REASON_KEY) or reason)
    text += f": {why.rstrip('.')}." if why else "."
    return f"{text} {_STUCK}" if state is JobState.STUCK else text
