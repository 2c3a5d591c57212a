"""Whose a job is that has the id of ours, and another token or none."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any, cast

import pytest

from pavilion.jobs import Job, JobInfo
from pavilion.schedulers.batch.dialect import TOKEN_KEY, Dialect
from pavilion.schedulers.batch.record import BatchRecord
from pavilion.schedulers.batch.whose import FoundJob, find_job, why_not_to_cancel
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


# --- A record without a token, as other programs write ---


def find_untokened(table: Table, script: str | None) -> FoundJob:
    plain = BatchRecord("7", "", "", "", 0.0, "")
    return find_job(Dialect(), cast("Any", table), plain, lambda job_id: script)


def test_nobody_has_its_id() -> None:
    it = find_untokened(Table(None), None)
    assert (it.is_there, it.other, it.lookup.note) == (False, None, "Nothing.")


class Tokened(Table):
    """The job that has the id carries a token, and is listed under it."""

    def __init__(self, token: str) -> None:
        super().__init__(JobRecord("7", "RUNNING", {TOKEN_KEY: token}))
        self.token = token

    def lookup(self, key: str) -> Lookup:
        return super().lookup("7" if key == self.token else "")


@pytest.mark.parametrize(
    ("recorded", "there", "certain"),
    [
        # What is beside the job's script says the same, or less, or something else, or nothing.
        ({"id": "7", "token": OURS.token, "user": "1000", "when": "1.0"}, True, True),
        ({"id": "7"}, True, True),
        ({"id": "8", "token": OURS.token, "user": "1000", "when": "1.0"}, False, True),
        ({"id": "7", "token": "pav-fedcba9876543210", "user": "1000", "when": "1"}, False, True),
        (None, True, False),
    ],
)
def test_the_directory_of_its_script_says_whose_it_is(
    tmp_path: Path, recorded: dict[str, str] | None, there: bool, certain: bool
) -> None:
    if recorded is not None:
        Job(tmp_path).info = JobInfo({"sys_name": "here", **recorded})
    it = find_untokened(Tokened(OURS.token), str(tmp_path / "kickoff.sh"))
    assert (it.is_there, it.certain) == (there, certain)
    if not there:
        assert it.other is not None
        assert it.lookup.note.endswith(
            "job 7 is a different job, or cannot be distinguished from one: "
            f"{tmp_path}/kickoff.sh is not known to belong to this record."
        )


def test_a_script_that_is_not_a_path_says_nothing() -> None:
    it = find_untokened(Tokened(OURS.token), "kickoff.sh")
    assert (it.is_there, it.certain) == (True, False)


# --- Whether there is anything to cancel ---

NOTE = "The list lacks it."
LONG_AGO = 1000.0


def found(presence: Presence, answered: bool = True, **more: Any) -> FoundJob:
    listed = JobRecord("7", "RUNNING", {}) if presence is Presence.FOUND else None
    return FoundJob("7", "job 7", Lookup(presence, listed, NOTE, 0.0, answered), **more)


def why_not(record: BatchRecord, it: FoundJob) -> str | None:
    return why_not_to_cancel("Toy", record, it)


def test_a_job_that_is_gone_needs_no_cancel() -> None:
    assert why_not(OURS, found(Presence.ABSENT)) is None


def test_a_job_whose_id_is_another_jobs_by_now_needs_none_either() -> None:
    other = JobRecord("7", "RUNNING", {})
    assert why_not(OURS, found(Presence.CANNOT_TELL, other=other)) is None


def test_without_a_token_another_job_of_that_id_may_be_ours() -> None:
    other = JobRecord("7", "RUNNING", {})
    message = why_not(OURS._replace(token=""), found(Presence.CANNOT_TELL, other=other))
    assert message == f"Nothing was cancelled. {NOTE}"


def test_without_an_answer_it_may_still_run() -> None:
    message = why_not(OURS, found(Presence.ABSENT, answered=False))
    assert message == (
        f"Toy did not answer, so job 7 may still be running: {NOTE} Try again later."
    )


def test_without_an_id_that_its_token_is_not_listed_proves_nothing() -> None:
    message = why_not(OURS._replace(job_id=""), found(Presence.CANNOT_TELL))
    assert message == (
        "It is not known whether Toy has this job: nothing was found with the token "
        f"{OURS.token}. Try again later. {NOTE}"
    )


def test_a_job_that_is_so_new_that_it_is_not_listed_yet() -> None:
    message = why_not(OURS._replace(when=time.time()), found(Presence.CANNOT_TELL))
    assert message == "Toy does not list job 7 yet. Try again in a moment."
    assert why_not(OURS._replace(when=LONG_AGO), found(Presence.CANNOT_TELL)) is None


@pytest.mark.parametrize(
    ("token", "said"),
    [(OURS.token, "shows no token of ours"), ("", "whether Toy's job 7 is the job of this record")],
)
def test_a_job_that_may_be_somebody_elses_is_left_alone(token: str, said: str) -> None:
    message = why_not(OURS._replace(token=token), found(Presence.FOUND, certain=False))
    assert message is not None
    assert message.startswith("Nothing was cancelled: ")
    assert said in message
