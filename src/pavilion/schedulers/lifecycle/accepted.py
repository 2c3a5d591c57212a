"""That a scheduler accepted a job, and under what id: in the status of the job's tests.

Before a job is handed over its tests have a line that says so; the id is known after that, and the
job may be running by then.  So the line about it is added only to what still waits, and what a
test writes itself stays its last line.  The id may also be found later, when the scheduler lists a
job of which only the mark was known.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pavilion.jobs import Job, JobInfo
from pavilion.status_file import STATES, TestStatusInfo

from ..talk.safe_files import is_mine
from .identity import job_id_of, known_id, load_identity, save_identity
from .whereabouts import add_nodes

if TYPE_CHECKING:
    from pavilion.test_run import TestRun

    from ..scheduler import SchedulerPlugin

# Seconds that whoever handed a job over has to write about that.
OWN_TIME = 10.0
_ACCEPTED = "Accepted by "


def accepted_note(scheduler: str, job_id: str) -> str:
    """The note of tests whose job was accepted."""
    return f"{_ACCEPTED}{scheduler} as job {job_id}."


def note_accepted(plugin: SchedulerPlugin, tests: Sequence[TestRun], job_id: str | None) -> None:
    """Add to the status of tests that their job was accepted.  Never raises: what cannot be
    written is not worth a job.

    :param job_id: The scheduler's id of it; None when it is not known (yet).
    """
    if job_id is None:
        return
    for test in tests:
        # What a host raises here is its own affair.
        with contextlib.suppress(Exception):
            add_accepted(test, accepted_note(plugin.name, job_id))
            plugin._noted_tests.add(str(test.path))


def add_accepted(test: TestRun, note: str) -> None:
    """Add this line to the status of a test that waits, if it is not there."""
    own = test.status.current()
    if own.state != STATES.SCHEDULED or own.note.startswith(_ACCEPTED):
        return
    test.status.set(STATES.SCHEDULED, note)
    overtaken = _overtaken(test, own, note)
    if overtaken is not None:
        test.status.set(overtaken.state, overtaken.note)


def _overtaken(test: TestRun, own: TestStatusInfo, note: str) -> TestStatusInfo | None:
    """What a test wrote between two looks: it may have started, or have been cancelled, just before
    the line with this note was added.  That stays its state.

    :param own: Its state at the first look.
    """
    # All hosts have it, and none has to.
    history = getattr(test.status, "history", None)
    last: list[TestStatusInfo] = [] if history is None else history()[-2:]
    if len(last) < 2 or last[-1].note != note:
        return None
    before = last[-2]
    return None if (before.state, before.note) == (own.state, own.note) else before


def note_later(plugin: SchedulerPlugin, job: Job, test: TestRun) -> None:
    """Add the same where whoever handed the job over did not, or did not know its id: once, and
    only to a test of this user.  Never raises."""
    key = str(test.path)
    if key in plugin._noted_tests:
        return
    with contextlib.suppress(Exception):
        own = test.status.current()
        if own.state == STATES.SCHEDULED and not own.note.startswith(_ACCEPTED):
            job_id = known_id(job)
            if job_id is None or not (job.name in plugin._learned_jobs or _has_settled(job)):
                return
            if is_mine(test.path):
                add_accepted(test, accepted_note(plugin.name, job_id))
    plugin._noted_tests.add(key)


def _has_settled(job: Job) -> bool:
    return time.time() - (job.path / job.INFO_FN).stat().st_mtime >= OWN_TIME


def learn_id(plugin: SchedulerPlugin, job: Job, info: JobInfo) -> None:
    """Complete the record of a job of which only the mark was known, once its scheduler listed it.
    Never raises."""
    if job_id_of(info) is not None:
        return
    with contextlib.suppress(Exception):
        seen = plugin._seen_job(info)
        if seen is not None and seen.identity and job_id_of(seen.identity) is not None:
            save_identity(plugin, job, seen.identity)
            plugin._learned_jobs.add(job.name)


def learn_nodes(plugin: SchedulerPlugin, job: Job) -> None:
    """Keep the nodes that the scheduler reported for a job that has ended: its tests may not have
    got to say where they ran.  Never raises."""
    with contextlib.suppress(Exception):
        info = load_identity(job)
        seen = plugin._seen_job(info) if info else None
        if seen is not None and seen.nodes:
            add_nodes(job, seen.nodes)
