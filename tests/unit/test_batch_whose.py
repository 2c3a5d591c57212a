"""Whose a job is that has the id of ours, and another token or none."""

from __future__ import annotations

import math
from typing import Any, cast

import pytest

from pavilion.schedulers.batch.dialect import TOKEN_KEY, Dialect
from pavilion.schedulers.batch.record import BatchRecord
from pavilion.schedulers.batch.whose import FoundJob, find_job
from pavilion.schedulers.lifecycle.job_table import JobRecord, Lookup, Presence

SCRIPT = "/shared/jobs/1/kickoff.sh"
OURS = BatchRecord("7", "", "pav-0123456789abcdef", "1000", 0.0, SCRIPT)


class Table:
    """A job table in which our token is missing, and our id is another job's, or nobody's."""

    def __init__(self, other: JobRecord | None, answered: bool = True) -> None:
        self.other = other
        self.answered = answered

    def lookup(self, key: str) -> Lookup:
        if self.other is not None and key == self.other.job_id:
            return Lookup(Presence.FOUND, self.other, "", 0.0)
        return Lookup(Presence.CANNOT_TELL, None, "Nothing.", math.inf, self.answered)

    def with_id(self, job_id: str) -> JobRecord | None:
        return self.other


def find(table: Table, script: str | None) -> FoundJob:
    return find_job(Dialect(), cast("Any", table), OURS, lambda job_id: script)


@pytest.mark.parametrize("script", [None, SCRIPT])
def test_one_with_another_token_is_another_job_whatever_its_script(script: str | None) -> None:
    other = JobRecord("7", "RUNNING", {TOKEN_KEY: "pav-fedcba9876543210"})
    found = find(Table(other), script)
    assert not found.is_there
    assert found.other == other
    assert found.lookup.note.endswith("job 7 is a different job by now.")


def test_without_an_answer_nothing_is_said_of_who_has_the_id_now() -> None:
    other = JobRecord("7", "RUNNING", {TOKEN_KEY: "pav-fedcba9876543210"})
    found = find(Table(other, answered=False), None)
    assert (found.is_there, found.other, found.lookup.note) == (False, None, "Nothing.")


@pytest.mark.parametrize(
    ("script", "there", "certain"),
    [(SCRIPT, True, True), (None, True, False), ("/elsewhere/kickoff.sh", False, True)],
)
def test_one_without_a_token_is_known_by_its_script(
    script: str | None, there: bool, certain: bool
) -> None:
    found = find(Table(JobRecord("7", "RUNNING", {})), script)
    assert (found.is_there, found.certain) == (there, certain)
