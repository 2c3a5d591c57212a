"""What a scheduler knows of its jobs: one query for all, three-valued, shared by processes."""

from __future__ import annotations

import fcntl
import json
import math
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pavilion.schedulers.lifecycle import job_table
from pavilion.schedulers.lifecycle.job_table import (
    JobRecord,
    JobTable,
    Lookup,
    Presence,
    QueryFailed,
)

DEADLINE = 20.0
SOURCES = Path(job_table.__file__).resolve().parents[3]
FOUND, ABSENT, CANNOT_TELL = Presence.FOUND, Presence.ABSENT, Presence.CANNOT_TELL
START = 1_000_000.0
# The machine may be busy: how long an example takes says nothing about the table.
CALM: dict[str, Any] = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}


class Site:
    """A scheduler and a clock, both in the hands of the test."""

    def __init__(self) -> None:
        self.now = START
        self.jobs: dict[str, str] = {}
        self.broken = ""
        self.queries = 0
        self.takes = 0.0

    def clock(self) -> float:
        return self.now

    def query(self) -> dict[str, JobRecord]:
        self.queries += 1
        jobs = dict(self.jobs)
        self.now += self.takes
        if self.broken:
            raise QueryFailed(self.broken)
        return {i: JobRecord(i, state, {"reason": "none"}) for i, state in jobs.items()}

    def table(self, **options: Any) -> JobTable:
        return JobTable(self.query, is_over=is_over, clock=self.clock, **options)

    def later(self, seconds: float) -> None:
        self.now += seconds


def is_over(record: JobRecord) -> bool:
    return record.state == "COMPLETED"


@pytest.fixture
def site() -> Site:
    return Site()


def state(lookup: Lookup) -> str | None:
    """The state of a job that was found, else None."""
    if lookup.presence is not FOUND:
        return None
    assert lookup.record is not None
    assert lookup.note == ""
    return lookup.record.state


# --- One query for all ---


def test_one_query_answers_for_all_jobs(site: Site) -> None:
    site.jobs = {str(i): "RUNNING" for i in range(1000)}
    table = site.table()

    answers = table.lookup_many(site.jobs)

    assert list(answers) == list(site.jobs)
    assert {state(answer) for answer in answers.values()} == {"RUNNING"}
    for job_id in site.jobs:
        assert table.lookup(job_id) == answers[job_id]
    assert site.queries == table.queries == 1


def test_a_record_comes_with_its_data_and_age(site: Site) -> None:
    site.jobs = {"17": "PENDING"}
    table = site.table()
    table.lookup("17")
    site.later(3)

    assert table.lookup("17") == Lookup(
        FOUND, JobRecord("17", "PENDING", {"reason": "none"}), "", 3.0, True
    )


def test_nobody_is_asked_about_nothing(site: Site) -> None:
    assert site.table().lookup_many([]) == {}
    assert site.queries == 0


def test_an_answer_is_used_until_its_age(site: Site) -> None:
    site.jobs = {"1": "PENDING"}
    table = site.table(max_age=5)
    table.lookup("1")
    site.jobs = {"1": "RUNNING"}
    site.later(5)
    assert state(table.lookup("1")) == "PENDING"
    site.later(0.1)
    assert state(table.lookup("1")) == "RUNNING"
    assert site.queries == 2


def test_the_age_counts_from_the_beginning_of_the_query(site: Site) -> None:
    site.jobs, site.takes = {"1": "RUNNING"}, 2
    table = site.table(max_age=5)
    assert table.lookup("1").age == 2
    site.later(4)
    table.lookup("1")
    assert site.queries == 2


def test_an_answer_serves_for_at_least_as_long_as_it_took_to_get(
    site: Site, tmp_path: Path
) -> None:
    """Otherwise a scheduler that is slower than max_age is queried for each job."""
    jobs = [str(number) for number in range(100)]
    site.jobs, site.takes = dict.fromkeys(jobs, "RUNNING"), 6
    table = site.table(max_age=5, cache_file=tmp_path / "jobs")
    for job_id in jobs:
        assert state(table.lookup(job_id)) == "RUNNING"
    assert site.queries == 1
    site.later(6)
    # Another process finds it serving, too.
    assert state(site.table(max_age=5, cache_file=tmp_path / "jobs").lookup("1")) == "RUNNING"
    assert site.queries == 1
    site.later(1)
    table.lookup("1")
    assert site.queries == 2


def test_absences_of_all_jobs_count_whoever_asks(site: Site, tmp_path: Path) -> None:
    """Eight purged jobs, and a process for each look at them: all are absent with the third
    answer, not one more with each."""
    jobs = [str(number) for number in range(8)]
    started = START - 1000
    for number in range(3):
        table = site.table(max_age=5, cache_file=tmp_path / "jobs")
        found = []
        for job_id in jobs:
            table.note_new(job_id, started)
            found.append(table.lookup(job_id).presence)
        table.share()
        assert site.queries == number + 1
        site.later(13)
    assert found == [ABSENT] * 8


def test_a_job_is_found_by_its_id_whatever_it_is_known_under(site: Site) -> None:
    site.jobs = {"1": "RUNNING"}
    table = site.table()
    assert table.with_id("1") is None
    table.lookup("1")
    record = table.with_id("1")
    assert record is not None and record.state == "RUNNING"
    assert table.with_id("2") is None


def test_with_no_age_allowed_each_call_asks(site: Site) -> None:
    site.jobs = {"1": "RUNNING"}
    table = site.table(max_age=0)
    for _ in range(3):
        assert state(table.lookup("1")) == "RUNNING"
        site.later(0.1)
    assert site.queries == 3


@pytest.mark.parametrize("age", [-1, math.nan])
def test_the_age_is_not_negative(site: Site, age: float) -> None:
    with pytest.raises(ValueError, match="max_age"):
        site.table(max_age=age)


def test_threads_share_a_query() -> None:
    asked = threading.Event()
    release = threading.Event()
    calls: list[int] = []

    def query() -> dict[str, JobRecord]:
        calls.append(1)
        asked.set()
        assert release.wait(DEADLINE)
        return {"1": JobRecord("1", "RUNNING", {})}

    # The query takes longer than an answer may be old, and serves those who wait all the same.
    table = JobTable(query, is_over=is_over, max_age=0.2)
    found: list[str | None] = []
    threads = [
        threading.Thread(target=lambda: found.append(state(table.lookup("1")))) for _ in range(10)
    ]
    threads[0].start()
    assert asked.wait(DEADLINE)
    for thread in threads[1:]:
        thread.start()
    time.sleep(0.3)
    release.set()
    for thread in threads:
        thread.join(DEADLINE)

    assert found == ["RUNNING"] * 10
    # One more at most, for threads that were slow to start.
    assert len(calls) <= 2


def test_what_is_known_is_told_while_somebody_asks(site: Site) -> None:
    asked, release = threading.Event(), threading.Event()
    site.jobs = {"1": "COMPLETED", "2": "RUNNING"}
    table = site.table(max_age=5)
    table.lookup("1")
    original = site.query

    def slow() -> dict[str, JobRecord]:
        asked.set()
        assert release.wait(DEADLINE)
        return original()

    table._query = slow
    site.later(6)
    thread = threading.Thread(target=table.lookup, args=("2",))
    thread.start()
    try:
        assert asked.wait(DEADLINE)
        assert state(table.lookup("1")) == "COMPLETED"
    finally:
        release.set()
        thread.join(DEADLINE)


# --- While nothing changes ---


def poll(site: Site, table: JobTable, seconds: float, *ids: str) -> list[float]:
    """Look every half second, as a waiting Pavilion does.

    :return: The greatest age before the first query, and then between two queries.
    """
    oldest = [0.0]
    for _ in range(int(seconds * 2)):
        before = site.queries
        ages = [answer.age for answer in table.lookup_many(ids).values()]
        if site.queries != before:
            oldest.append(0.0)
        oldest[-1] = max(oldest[-1], *ages)
        site.later(0.5)
    return oldest


def test_polling_slows_down_while_nothing_changes_and_speeds_up_again(site: Site) -> None:
    site.jobs = {"1": "RUNNING", "2": "PENDING"}
    table = site.table(max_age=5)

    ages = poll(site, table, 600, "1", "2")

    assert ages[1] == 5.0
    assert ages[:-1] == sorted(ages[:-1])
    assert ages[-2] == 20.0
    assert max(ages) == 20.0
    site.jobs["2"] = "RUNNING"
    ages = poll(site, table, 40, "1", "2")
    # The next query finds the change, and the one after that comes after the shortest time.
    assert ages[1] == 5.0


def test_the_first_call_of_a_poll_is_never_older_than_the_age(site: Site) -> None:
    site.jobs = {"1": "RUNNING"}
    table = site.table(max_age=5)
    poll(site, table, 600, "1")
    for _ in range(5):
        before = site.queries
        site.later(5.5)
        assert table.lookup("1").age == 0.0
        assert site.queries == before + 1


def test_a_new_job_brings_the_age_back(site: Site) -> None:
    site.jobs = {"1": "RUNNING"}
    table = site.table(max_age=5)
    poll(site, table, 600, "1")
    table.note_new("2")
    assert poll(site, table, 10, "1", "2")[0] <= 5.0


def test_a_job_of_days_ago_is_not_a_new_one(site: Site) -> None:
    """Whoever polls says each time when the job was submitted."""
    site.jobs = {"1": "RUNNING"}
    queries = []
    for days_ago in (0.01, 3):
        table = site.table(max_age=5)
        submitted = site.now - days_ago * 24 * 3600
        before = site.queries
        for _ in range(600):
            table.note_new("1", submitted)
            table.lookup("1")
            site.later(0.5)
        queries.append(site.queries - before)
    assert queries[0] == queries[1] < 30


def test_other_users_jobs_do_not_count_as_changes(site: Site) -> None:
    site.jobs = {"1": "RUNNING"}
    table = site.table(max_age=5)
    for round_ in range(100):
        site.jobs = {"1": "RUNNING", f"other{round_}": "PENDING"}
        ages = poll(site, table, 6, "1")
    assert max(ages) > 5.0


# --- Jobs that are over ---


def test_a_job_that_is_over_is_not_asked_again(site: Site) -> None:
    site.jobs = {"1": "COMPLETED"}
    table = site.table()
    table.lookup("1")
    site.jobs = {}
    site.broken = "down"
    for _ in range(5):
        site.later(3600)
        assert state(table.lookup("1")) == "COMPLETED"
    assert table.lookup("1").age == 5 * 3600
    assert site.queries == 1


def test_the_end_outlives_the_schedulers_memory(site: Site) -> None:
    site.jobs = {"1": "COMPLETED", "2": "RUNNING"}
    table = site.table()
    table.lookup_many(["1", "2"])
    site.jobs = {"2": "RUNNING"}
    for _ in range(10):
        site.later(60)
        answers = table.lookup_many(["1", "2"])
        assert [state(answer) for answer in answers.values()] == ["COMPLETED", "RUNNING"]


def test_a_requeued_job_lives_again(site: Site) -> None:
    site.jobs = {"1": "COMPLETED", "2": "RUNNING"}
    table = site.table()
    table.lookup_many(["1", "2"])
    site.jobs = {"1": "PENDING", "2": "RUNNING"}
    site.later(6)
    table.lookup("2")
    assert state(table.lookup("1")) == "PENDING"


def test_what_is_remembered_is_bounded(
    site: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(job_table, "MAX_REMEMBERED", 10)
    table = site.table(cache_file=tmp_path / "jobs")
    for i in range(50):
        site.jobs = {str(i): "COMPLETED"}
        table.lookup("none")
        site.later(60)
    assert len(json.loads((tmp_path / "jobs").read_text())["past"]) == 10
    site.jobs = {}
    site.later(24 * 3600)
    table.lookup("none")
    assert json.loads((tmp_path / "jobs").read_text())["past"] == {}
    site.later(30)
    assert table.lookup("49").presence is CANNOT_TELL


# --- Failed queries ---


def test_a_failed_query_changes_nothing(site: Site) -> None:
    site.jobs = {"1": "RUNNING"}
    table = site.table(max_age=5)
    table.lookup("1")
    site.jobs, site.broken = {}, "Socket timed out."
    site.later(4)
    assert state(table.lookup("1")) == "RUNNING"
    site.later(4)

    answer = table.lookup("1")

    assert answer.presence is CANNOT_TELL
    assert answer.record == JobRecord("1", "RUNNING", {"reason": "none"})
    assert answer.age == 8.0
    assert not answer.answered
    assert answer.note == (
        "The scheduler could not be queried, most recently 0 s ago: Socket timed out. "
        "It was last seen 8 s ago, in state RUNNING."
    )


def test_without_any_answer_nothing_is_known(site: Site) -> None:
    site.broken = "down"
    answer = site.table().lookup("1")
    assert answer == Lookup(
        CANNOT_TELL,
        None,
        "The scheduler could not be queried, most recently 0 s ago: down.",
        math.inf,
        False,
    )


@pytest.mark.parametrize(
    ("max_age", "pauses"),
    [(5.0, [10, 20, 40, 60, 60, 60]), (0.0, [2, 4, 8, 16, 32, 60, 60]), (100.0, [60, 60])],
)
def test_failures_are_followed_by_longer_and_longer_pauses(
    site: Site, max_age: float, pauses: list[float]
) -> None:
    site.broken = "down"
    table = site.table(max_age=max_age)
    table.lookup("1")
    for n, pause in enumerate(pauses, 1):
        site.later(pause - 0.1)
        assert f"most recently {pause - 0.1:.0f} s ago" in table.lookup("1").note
        assert site.queries == n
        site.later(0.2)
        table.lookup("1")
        assert site.queries == n + 1
    assert f"{len(pauses) + 1} times in a row" in table.lookup("1").note


def test_after_an_outage_all_is_as_before(site: Site) -> None:
    site.jobs, site.broken = {"1": "RUNNING"}, "down"
    table = site.table()
    for _ in range(50):
        table.lookup("1")
        site.later(30)
    site.broken = ""
    site.later(60)
    assert state(table.lookup("1")) == "RUNNING"
    site.broken = "down again"
    site.later(6)
    assert "times in a row" not in table.lookup("1").note


@pytest.mark.parametrize(
    "answer",
    [
        None,
        [],
        "jobs",
        {"1": "RUNNING"},
        {1: JobRecord("1", "RUNNING", {})},
        ZeroDivisionError("x"),
    ],
)
def test_a_query_with_a_defect_is_a_failed_one(answer: Any) -> None:
    def query() -> Any:
        if isinstance(answer, Exception):
            raise answer
        return answer

    found = JobTable(query, is_over=is_over).lookup("1")

    assert found.presence is CANNOT_TELL
    assert not found.answered


def test_an_interrupt_goes_through_and_leaves_the_table_usable(site: Site, tmp_path: Path) -> None:
    table = site.table(cache_file=tmp_path / "jobs")
    original = table._query

    def interrupted() -> dict[str, JobRecord]:
        raise KeyboardInterrupt

    table._query = interrupted
    with pytest.raises(KeyboardInterrupt):
        table.lookup("1")
    table._query = original
    site.jobs = {"1": "RUNNING"}
    assert state(table.lookup("1")) == "RUNNING"


# --- Absence ---


def test_one_absence_proves_nothing_two_far_apart_do(site: Site) -> None:
    table = site.table(max_age=5)
    first = table.lookup("1")
    assert (first.presence, first.answered, first.age) == (CANNOT_TELL, True, 0.0)
    assert "missing from 1 answer in 0 s" in first.note
    site.later(6)
    assert table.lookup("1").presence is CANNOT_TELL
    site.later(6)

    answer = table.lookup("1")

    assert answer.presence is ABSENT
    assert answer.record is None
    assert "missing from 3 answers in 12 s" in answer.note


def test_one_answer_is_one_absence_however_often_it_is_used(site: Site) -> None:
    table = site.table(max_age=5, absence_gap=0)
    for _ in range(5):
        assert "1 answer" in table.lookup("1").note
        site.later(1)


def test_an_absent_job_was_once_seen(site: Site) -> None:
    site.jobs = {"1": "RUNNING"}
    table = site.table()
    table.lookup("1")
    site.jobs = {}
    for _ in range(3):
        site.later(10)
        answer = table.lookup("1")
    assert answer.presence is ABSENT
    assert answer.record == JobRecord("1", "RUNNING", {"reason": "none"})
    assert "It was last seen 30 s ago, in state RUNNING." in answer.note


def test_a_job_that_shows_up_between_was_not_absent(site: Site) -> None:
    table = site.table()
    table.lookup("1")
    site.later(20)
    site.jobs = {"1": "RUNNING"}
    assert state(table.lookup("1")) == "RUNNING"
    site.later(20)
    site.jobs = {}
    assert table.lookup("1").presence is CANNOT_TELL


def test_a_new_job_has_its_grace(site: Site) -> None:
    table = site.table()
    table.note_new("1")
    for _ in range(3):
        answer = table.lookup("1")
        assert answer.presence is CANNOT_TELL
        assert answer.answered
        assert "was submitted" in answer.note
        site.later(9)
    site.later(3)  # 30 s
    assert "1 answer" in table.lookup("1").note
    site.later(10)
    assert table.lookup("1").presence is ABSENT


def test_the_time_of_submission_can_be_told_later_and_again(site: Site) -> None:
    table = site.table()
    for _ in range(8):
        table.note_new("1", START - 10)
        found = table.lookup("1").presence
        assert (found is ABSENT) == (site.now >= START + 36)
        site.later(6)


def test_an_earlier_time_does_not_take_the_grace_away(site: Site) -> None:
    table = site.table()
    table.note_new("1")
    table.note_new("1", START - 1000)
    for _ in range(3):
        assert "was submitted" in table.lookup("1").note
        site.later(9)


def test_more_absences_can_be_asked_for(site: Site) -> None:
    table = site.table(absences=3)
    found = []
    for _ in range(3):
        found.append(table.lookup("1").presence)
        site.later(60)
    assert found == [CANNOT_TELL, CANNOT_TELL, ABSENT]


def test_a_missing_job_brings_the_age_back(site: Site) -> None:
    site.jobs = {"1": "RUNNING"}
    table = site.table(max_age=5)
    poll(site, table, 600, "1")
    assert poll(site, table, 40, "1", "2")[1] == 5.0


def test_a_submission_does_not_lie_in_the_future(site: Site) -> None:
    table = site.table()
    table.note_new("1", START + 1e6)
    site.later(30)
    table.lookup("1")
    site.later(10)
    assert table.lookup("1").presence is ABSENT


def test_an_id_that_is_given_out_again_is_another_job(site: Site) -> None:
    site.jobs = {"1": "COMPLETED"}
    table = site.table()
    table.lookup("1")
    site.jobs = {}
    site.later(100)
    table.note_new("1")
    assert table.lookup("1").presence is CANNOT_TELL
    site.jobs = {"1": "PENDING"}
    site.later(6)
    assert state(table.lookup("1")) == "PENDING"


def test_an_answer_from_before_the_submission_says_nothing_about_the_job(site: Site) -> None:
    site.jobs = {"1": "RUNNING"}
    table = site.table(max_age=5)
    table.lookup("1")
    site.later(1)
    table.note_new("1")
    site.later(1)
    answer = table.lookup("1")
    assert answer.presence is CANNOT_TELL
    assert answer.record is None
    assert site.queries == 1


def test_failures_between_two_absences_do_not_count(site: Site) -> None:
    table = site.table()
    table.lookup("1")
    site.broken = "down"
    for _ in range(20):
        site.later(20)
        assert table.lookup("1").presence is CANNOT_TELL
    site.broken = ""
    site.later(60)
    assert table.lookup("1").presence is ABSENT
    site.broken = "down"
    site.later(6)
    assert table.lookup("1").presence is CANNOT_TELL


# --- Asking anew, forgetting ---


def test_an_expired_answer_is_asked_for_again(site: Site, tmp_path: Path) -> None:
    site.jobs = {"1": "RUNNING", "2": "COMPLETED"}
    table = site.table(cache_file=tmp_path / "jobs")
    table.lookup("1")
    site.later(1)
    table.expire()
    site.jobs = {"1": "COMPLETING"}
    assert state(table.lookup("1")) == "COMPLETING"
    assert state(table.lookup("2")) == "COMPLETED"
    assert site.queries == 2


def test_a_query_under_way_does_not_serve_who_wanted_a_new_one(site: Site) -> None:
    site.jobs = {"1": "RUNNING"}
    table = site.table()
    original = site.query

    def overtaken() -> dict[str, JobRecord]:
        answer = original()
        site.later(1)
        table.expire()
        return answer

    table._query = overtaken
    assert table.lookup("1").presence is CANNOT_TELL
    table._query = original
    site.jobs = {"1": "COMPLETING"}
    assert state(table.lookup("1")) == "COMPLETING"


def test_a_forgotten_table_knows_nothing(site: Site, tmp_path: Path) -> None:
    site.jobs = {"1": "COMPLETED"}
    table = site.table(cache_file=tmp_path / "jobs")
    table.lookup("1")
    other = site.table(cache_file=tmp_path / "jobs")
    other.forget()
    table.forget()
    site.jobs, site.broken = {}, "down"
    for forgetful in (table, other):
        assert forgetful.lookup("1").presence is CANNOT_TELL
        assert forgetful.lookup("1").record is None


def test_what_was_forgotten_does_not_come_back_from_another_process(
    site: Site, tmp_path: Path
) -> None:
    site.jobs = {"1": "COMPLETED", "2": "RUNNING"}
    here, there = (site.table(cache_file=tmp_path / "jobs") for _ in range(2))
    here.lookup_many(["1", "3"])
    there.lookup_many(["1", "3"])
    site.later(1)
    here.forget()
    site.jobs = {}
    site.later(14)
    there.lookup("2")  # writes all that it remembers
    assert "COMPLETED" in (tmp_path / "jobs").read_text()
    assert here.lookup("1").record is None
    assert "1 answer" in here.lookup("3").note


def test_an_answer_from_before_forgetting_is_not_taken_over(site: Site, tmp_path: Path) -> None:
    site.jobs = {"1": "COMPLETED"}
    site.table(cache_file=tmp_path / "jobs").lookup("1")
    site.later(1)
    table = site.table(cache_file=tmp_path / "jobs")
    table.forget()
    site.jobs = {"1": "PENDING"}
    assert state(table.lookup("1")) == "PENDING"


def test_the_pause_after_a_failure_is_forgotten_too(site: Site, tmp_path: Path) -> None:
    site.broken = "down"
    site.table(cache_file=tmp_path / "jobs").lookup("1")
    site.broken, site.jobs = "", {"1": "RUNNING"}
    site.later(1)
    table = site.table(cache_file=tmp_path / "jobs")
    table.forget()
    assert state(table.lookup("1")) == "RUNNING"


# --- Clocks ---


def test_a_clock_set_back_voids_the_answer(site: Site, tmp_path: Path) -> None:
    site.jobs = {"1": "RUNNING"}
    table = site.table(cache_file=tmp_path / "jobs")
    table.lookup("1")
    site.jobs = {"1": "COMPLETING"}
    site.later(-3600)
    answer = table.lookup("1")
    assert (state(answer), answer.age) == ("COMPLETING", 0.0)
    site.later(3)
    assert state(table.lookup("1")) == "COMPLETING"
    assert site.queries == 2


def test_a_clock_set_back_does_not_prolong_a_pause(site: Site) -> None:
    site.broken = "down"
    table = site.table()
    for _ in range(10):
        table.lookup("1")
        site.later(61)
    table.lookup("1")
    site.broken, site.jobs = "", {"1": "RUNNING"}
    # By so little that the time of the failure would lie in the past still.
    site.later(20)
    assert table.lookup("1").presence is CANNOT_TELL
    site.later(-10)
    assert state(table.lookup("1")) == "RUNNING"


def test_a_clock_set_back_makes_a_job_new_again_and_not_absent(site: Site) -> None:
    table = site.table()
    table.note_new("1")
    site.later(40)
    table.lookup("1")
    site.later(-100)
    for _ in range(4):
        assert table.lookup("1").presence is CANNOT_TELL
        site.later(8)


def test_a_job_submitted_after_the_clock_was_set_back_is_not_its_predecessor(site: Site) -> None:
    site.jobs = {"1": "COMPLETED"}
    table = site.table()
    table.lookup("1")
    site.jobs = {}
    site.later(-3600)
    table.note_new("1")
    assert table.lookup("1").presence is CANNOT_TELL


def test_a_job_that_is_gone_when_the_clock_is_set_back_is_not_found(site: Site) -> None:
    site.jobs = {"1": "RUNNING"}
    table = site.table()
    table.lookup("1")
    site.jobs = {}
    site.later(-20)
    assert table.lookup("1").presence is CANNOT_TELL


def test_a_clock_set_back_starts_absences_anew(site: Site) -> None:
    table = site.table()
    table.lookup("1")
    site.later(-20)
    table.lookup("1")
    site.later(6)
    assert "2 answers in 6 s" in table.lookup("1").note


def test_a_clock_set_back_makes_a_submission_no_older_than_now(site: Site) -> None:
    table = site.table()
    table.note_new("1")
    site.later(-3600)
    table.lookup("1")
    site.later(30)
    table.lookup("1")
    site.later(10)
    assert table.lookup("1").presence is ABSENT


def test_a_clock_set_back_during_a_query(site: Site) -> None:
    site.jobs, site.takes = {"1": "RUNNING"}, -2.0
    table = site.table(max_age=5)
    assert state(table.lookup("1")) == "RUNNING"
    site.takes = 0.0
    site.later(4)
    assert table.lookup("1").age == 4.0
    assert site.queries == 1


# --- The cache file ---


def test_processes_share_an_answer_through_the_file(site: Site, tmp_path: Path) -> None:
    site.jobs = {"1": "RUNNING", "2": "COMPLETED"}
    first = site.table(cache_file=tmp_path / "jobs")
    first.lookup("1")
    site.later(4)
    second = site.table(cache_file=tmp_path / "jobs")

    answer = second.lookup("1")

    assert (state(answer), answer.age) == ("RUNNING", 4.0)
    assert second.queries == 0
    assert first.cache_problem == second.cache_problem == ""
    site.later(2)
    assert second.lookup("1").age == 0.0
    assert first.lookup("1").age == 0.0
    assert (first.queries, second.queries) == (1, 1)


def test_an_old_file_is_no_answer_but_a_memory(site: Site, tmp_path: Path) -> None:
    site.jobs = {"1": "RUNNING", "2": "COMPLETED"}
    site.table(cache_file=tmp_path / "jobs").lookup("1")
    site.broken = "down"
    site.later(3600)
    table = site.table(cache_file=tmp_path / "jobs")

    assert state(table.lookup("2")) == "COMPLETED"
    answer = table.lookup("1")

    assert answer.presence is CANNOT_TELL
    assert "last seen 3600 s ago, in state RUNNING" in answer.note


def test_what_is_over_is_known_to_later_processes(site: Site, tmp_path: Path) -> None:
    site.jobs = {"1": "COMPLETED", "2": "RUNNING"}
    site.table(cache_file=tmp_path / "jobs").lookup("1")
    site.jobs = {"2": "RUNNING"}
    for _ in range(3):
        site.later(600)
        table = site.table(cache_file=tmp_path / "jobs")
        assert state(table.lookup("2")) == "RUNNING"
        assert state(table.lookup("1")) == "COMPLETED"
    queries = site.queries
    assert state(site.table(cache_file=tmp_path / "jobs").lookup("1")) == "COMPLETED"
    assert site.queries == queries


def test_short_processes_find_out_together_that_a_job_is_gone(site: Site, tmp_path: Path) -> None:
    found = []
    for _ in range(3):
        found.append(site.table(cache_file=tmp_path / "jobs").lookup("1").presence)
        site.later(6)
    assert found == [CANNOT_TELL, CANNOT_TELL, ABSENT]


def test_a_job_that_another_process_saw_between_was_not_absent(site: Site, tmp_path: Path) -> None:
    here, there = (site.table(cache_file=tmp_path / "jobs") for _ in range(2))
    here.lookup("1")
    site.later(6)
    site.jobs = {"1": "RUNNING"}
    assert state(there.lookup("1")) == "RUNNING"
    site.later(6)
    site.jobs = {}
    assert there.lookup("1").presence is CANNOT_TELL
    assert here.lookup("1").presence is CANNOT_TELL
    site.later(4)
    # 16 s after the first absence that 'here' counted, yet 4 s after the first that counts.
    assert here.lookup("1").presence is CANNOT_TELL


def test_the_grace_of_a_new_job_is_shared(site: Site, tmp_path: Path) -> None:
    submitter = site.table(cache_file=tmp_path / "jobs")
    submitter.note_new("1")
    submitter.lookup("1")
    for _ in range(4):
        site.later(6)
        answer = site.table(cache_file=tmp_path / "jobs").lookup("1")
        assert answer.presence is CANNOT_TELL
        assert "was submitted" in answer.note


def test_failures_are_shared_and_so_is_the_pause(site: Site, tmp_path: Path) -> None:
    site.broken = "Unable to contact slurm controller"
    site.table(cache_file=tmp_path / "jobs").lookup("1")
    site.later(9)
    other = site.table(cache_file=tmp_path / "jobs")
    assert "most recently 9 s ago: Unable to contact slurm controller" in other.lookup("1").note
    assert site.queries == 1
    site.later(2)
    assert "2 times in a row" in other.lookup("1").note
    assert site.queries == 2
    site.broken, site.jobs = "", {"1": "RUNNING"}
    site.later(21)
    assert state(site.table(cache_file=tmp_path / "jobs").lookup("1")) == "RUNNING"
    assert "failure" in (tmp_path / "jobs").read_text()
    assert json.loads((tmp_path / "jobs").read_text())["failure"] is None


def test_an_id_given_out_again_is_another_job_to_a_file_as_well(site: Site, tmp_path: Path) -> None:
    site.jobs = {"1": "COMPLETED"}
    site.table(cache_file=tmp_path / "jobs").lookup("1")
    site.jobs = {}
    site.later(2)
    table = site.table(cache_file=tmp_path / "jobs")
    table.note_new("1")
    for _ in range(3):
        answer = table.lookup("1")
        assert (answer.presence, answer.record) == (CANNOT_TELL, None)
        site.later(4)


def meanwhile(site: Site, table: JobTable, other: Callable[[], object]) -> None:
    """Have something happen while a table asks the scheduler, after the scheduler's answer."""
    original = table._query

    def query() -> Any:
        answer = original()
        site.later(1)
        other()
        return answer

    table._query = query


def test_what_others_wrote_during_a_query_is_kept(site: Site, tmp_path: Path) -> None:
    slow = site.table(cache_file=tmp_path / "jobs")
    other = site.table(cache_file=tmp_path / "jobs", lock_wait=0)

    def other_asks() -> None:
        site.jobs = {"9": "COMPLETED"}
        assert state(other.lookup("9")) == "COMPLETED"
        site.jobs = {}
        other.expire()
        site.later(1)
        other.lookup("8")

    meanwhile(site, slow, other_asks)
    slow.lookup("1")
    assert state(site.table(cache_file=tmp_path / "jobs").lookup("9")) == "COMPLETED"


def test_a_good_answer_outweighs_the_failure_of_another(site: Site, tmp_path: Path) -> None:
    site.jobs = {"1": "RUNNING"}
    slow = site.table(cache_file=tmp_path / "jobs")
    other = site.table(cache_file=tmp_path / "jobs", lock_wait=0)

    def other_fails() -> None:
        site.broken = "down"
        assert other.lookup("1").presence is CANNOT_TELL
        site.broken = ""

    meanwhile(site, slow, other_fails)
    assert state(slow.lookup("1")) == "RUNNING"
    slow._query = site.query
    site.later(6)
    assert state(slow.lookup("1")) == "RUNNING"
    assert json.loads((tmp_path / "jobs").read_text())["failure"] is None


def test_what_is_newer_is_not_overwritten(site: Site, tmp_path: Path) -> None:
    site.jobs = {"1": "RUNNING"}
    here, there = (site.table(cache_file=tmp_path / "jobs") for _ in range(2))
    here.lookup("1")
    site.jobs = {"1": "COMPLETED"}
    site.later(3)
    there.expire()
    there.lookup("1")
    there.expire()
    site.jobs, site.broken = {}, "down"
    there.lookup("2")  # the file now has no answer, and remembers the end of the job
    site.later(3)
    assert state(here.lookup("1")) == "COMPLETED"
    site.broken = ""
    site.later(30)
    here.lookup("2")
    assert state(here.lookup("1")) == "COMPLETED"


def test_an_older_memory_in_a_file_changes_nothing(site: Site, tmp_path: Path) -> None:
    site.jobs = {"1": "RUNNING"}
    table = site.table(cache_file=tmp_path / "jobs")
    site.later(10)
    table.lookup("1")
    site.jobs = {}
    site.later(10)
    table.lookup("1")
    (tmp_path / "jobs").write_text(
        json.dumps({**GOOD, "listed": {}, "past": {"1": ["LIE", {}, START + 1]}})
    )
    site.broken = "down"
    site.later(10)
    assert "last seen 20 s ago, in state RUNNING" in table.lookup("1").note


def test_a_file_holds_each_job_once(site: Site, tmp_path: Path) -> None:
    table = site.table(cache_file=tmp_path / "jobs")
    for jobs in ({"1": "RUNNING"}, {}, {"1": "RUNNING"}):
        site.jobs = jobs
        table.lookup("1")
        site.later(6)
    content = json.loads((tmp_path / "jobs").read_text())
    assert list(content["listed"]) == ["1"]
    assert content["past"] == content["absent"] == {}


def test_a_file_about_something_else_is_not_used(site: Site, tmp_path: Path) -> None:
    site.jobs = {"1": "RUNNING"}
    site.table(cache_file=tmp_path / "jobs", source="cluster a").lookup("1")
    table = site.table(cache_file=tmp_path / "jobs", source="cluster b")
    table.lookup("1")
    assert table.queries == 1


GOOD: dict[str, Any] = {
    "format": 2,
    "took": 0.0,
    "source": "",
    "asked": START,
    "listed": {"1": ["1", "LIE", {}]},
    "past": {},
    "absent": {},
    "new": {},
    "failure": None,
}


def test_the_good_file_of_these_tests_is_used(site: Site, tmp_path: Path) -> None:
    (tmp_path / "jobs").write_text(json.dumps(GOOD))
    table = site.table(cache_file=tmp_path / "jobs")
    assert state(table.lookup("1")) == "LIE"
    assert table.cache_problem == ""


@pytest.mark.parametrize(
    "changes",
    [
        {"format": 1},
        {"took": -1},
        {"took": "x"},
        {"source": "x"},
        {"asked": START + 2},
        {"asked": "now"},
        {"asked": True},
        {"asked": math.nan},
        {"asked": math.inf},
        {"asked": 10**400},
        {"asked": START - 5.1},
        {"listed": []},
        {"listed": {"1": "LI"}},
        {"listed": {"1": ["1", "LIE"]}},
        {"listed": {"1": ["1", "LIE", {"a": 1}]}},
        {"listed": {"1": ["1", ["LIE"], {}]}},
        {"listed": {"1": [1, "LIE", {}]}},
        {"listed": {"1": None}},
        {"past": {"2": ["2", "LIE", {}, START + 2]}},
        {"past": {"2": ["2", "COMPLETED", {}]}},
        {"absent": {"2": [START, START, 0]}},
        {"absent": {"2": [START, START, 1.5]}},
        {"new": {"2": None}},
        {"new": {"2": START + 3600}},
        {"failure": [1, START + 2, ""]},
        {"failure": "down"},
        {"failure": 1},
    ],
)
def test_a_file_with_something_wrong_is_no_answer(
    site: Site, tmp_path: Path, changes: dict[str, Any]
) -> None:
    site.jobs = {"1": "RUNNING"}
    (tmp_path / "jobs").write_text(json.dumps({**GOOD, **changes}))
    table = site.table(cache_file=tmp_path / "jobs")
    assert state(table.lookup("1")) == "RUNNING"
    assert table.queries == 1
    # It was replaced by a good one.
    assert state(site.table(cache_file=tmp_path / "jobs").lookup("1")) == "RUNNING"
    assert site.queries == 1


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b"\xff\xfe",
        b"[" * 100_000,
        json.dumps(GOOD).encode()[:-9],
        b'{"format": 1}',
    ],
)
def test_a_damaged_file_is_no_answer(site: Site, tmp_path: Path, content: bytes) -> None:
    site.jobs = {"1": "RUNNING"}
    (tmp_path / "jobs").write_bytes(content)
    table = site.table(cache_file=tmp_path / "jobs")
    assert state(table.lookup("1")) == "RUNNING"
    assert site.queries == 1


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.text(max_size=2), inner, max_size=3),
    max_leaves=6,
)


@settings(**CALM)
@given(st.dictionaries(st.sampled_from(sorted(GOOD)), JSON_VALUES))
def test_no_content_of_a_file_is_an_error(
    tmp_path_factory: pytest.TempPathFactory, changes: dict[str, Any]
) -> None:
    path = tmp_path_factory.getbasetemp() / "any_jobs"
    path.write_text(json.dumps({**GOOD, **changes}))
    site = Site()
    site.jobs = {"1": "RUNNING"}
    answer = site.table(cache_file=path).lookup("1")
    if changes.get("listed") == {}:  # a good answer without any jobs, where it is used
        assert state(answer) == "RUNNING" or answer.presence is CANNOT_TELL
    else:
        assert state(answer) in ("RUNNING", "LIE")


def written_by_another(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a file, and only it, look like another user's."""
    if os.geteuid() == 0:
        os.chown(path, 4711, -1)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: 4711)


def test_another_users_file_is_not_believed_in_a_folder_that_all_may_write(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.jobs = {"1": "RUNNING"}
    tmp_path.chmod(0o1777)
    (tmp_path / "jobs").write_text(json.dumps(GOOD))
    written_by_another(tmp_path / "jobs", monkeypatch)
    table = site.table(cache_file=tmp_path / "jobs")
    assert table._cache is not None
    assert table._cache.read(START) is None
    assert "another user" in table.cache_problem
    assert state(table.lookup("1")) == "RUNNING"


@pytest.mark.skipif(os.geteuid() != 0, reason="giving a file away needs root")
def test_another_users_file_is_believed_in_a_folder_of_ours(site: Site, tmp_path: Path) -> None:
    tmp_path.chmod(0o770)
    (tmp_path / "jobs").write_text(json.dumps(GOOD))
    os.chown(tmp_path / "jobs", 4711, -1)
    assert state(site.table(cache_file=tmp_path / "jobs").lookup("1")) == "LIE"


def test_a_file_that_all_may_write_is_not_believed(site: Site, tmp_path: Path) -> None:
    site.jobs = {"1": "RUNNING"}
    (tmp_path / "jobs").write_text(json.dumps(GOOD))
    (tmp_path / "jobs").chmod(0o666)
    assert state(site.table(cache_file=tmp_path / "jobs").lookup("1")) == "RUNNING"


def make_link(path: Path) -> None:
    (path.parent / "target").write_text(json.dumps(GOOD))
    path.symlink_to(path.parent / "target")


@pytest.mark.parametrize("make", [Path.mkdir, make_link, os.mkfifo])
def test_only_a_plain_file_is_read(
    site: Site, tmp_path: Path, make: Callable[[Path], None]
) -> None:
    site.jobs = {"1": "RUNNING"}
    make(tmp_path / "jobs")
    table = site.table(cache_file=tmp_path / "jobs")
    assert state(table.lookup("1")) == "RUNNING"
    if (tmp_path / "target").exists():
        assert json.loads((tmp_path / "target").read_text()) == GOOD


def test_without_a_usable_folder_all_goes_on(site: Site, tmp_path: Path) -> None:
    site.jobs = {"1": "RUNNING"}
    table = site.table(cache_file=tmp_path / "gone" / "jobs")
    assert state(table.lookup("1")) == "RUNNING"
    assert "cannot be written" in table.cache_problem
    site.later(6)
    assert state(table.lookup("1")) == "RUNNING"


def test_the_file_is_replaced_and_nothing_else_is_left(site: Site, tmp_path: Path) -> None:
    site.jobs = {"1": "RUNNING"}
    table = site.table(cache_file=tmp_path / "jobs")
    table.lookup("1")
    with (tmp_path / "jobs").open() as held:
        site.later(6)
        table.lookup("1")
        assert json.load(held)["asked"] == START
    assert json.loads((tmp_path / "jobs").read_text())["asked"] == START + 6
    assert sorted(path.name for path in tmp_path.iterdir()) == ["jobs", "jobs.lock"]


# --- The lock ---


@pytest.fixture
def held_lock(tmp_path: Path) -> Iterator[None]:
    with (tmp_path / "jobs.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@pytest.mark.usefixtures("held_lock")
def test_who_waits_in_vain_for_another_process_asks_as_well(site: Site, tmp_path: Path) -> None:
    site.jobs = {"1": "RUNNING"}
    table = site.table(cache_file=tmp_path / "jobs", lock_wait=0.2)
    began = time.monotonic()
    assert state(table.lookup("1")) == "RUNNING"
    assert time.monotonic() - began >= 0.2
    # The answer is shared, although the lock is still held by somebody.
    assert state(site.table(cache_file=tmp_path / "jobs").lookup("1")) == "RUNNING"
    assert site.queries == 1


@pytest.mark.usefixtures("held_lock")
def test_who_waits_takes_the_answer_as_soon_as_it_is_there(site: Site, tmp_path: Path) -> None:
    site.jobs = {"1": "RUNNING"}
    table = site.table(cache_file=tmp_path / "jobs", lock_wait=DEADLINE)
    found: list[str | None] = []
    thread = threading.Thread(target=lambda: found.append(state(table.lookup("1"))))
    thread.start()
    (tmp_path / "new").write_text(json.dumps(GOOD))
    (tmp_path / "new").replace(tmp_path / "jobs")
    thread.join(DEADLINE)
    assert found == ["LIE"]
    assert site.queries == 0


PROCESS = """
import json, sys, time
from pathlib import Path
from pavilion.schedulers.talk.commands import CommandRunner
from pavilion.schedulers.lifecycle.job_table import JobRecord, JobTable, QueryFailed

folder, name = Path(sys.argv[1]), sys.argv[2]
runner = CommandRunner()

def query():
    result = runner.run([folder / "squeue"])
    if not result.ok:
        raise QueryFailed(result.describe())
    return {line: JobRecord(line, "RUNNING", {}) for line in result.stdout.split()}

table = JobTable(query, is_over=lambda record: False, max_age=60, lock_wait=60,
                 cache_file=folder / "jobs")
(folder / f"{name}.ready").touch()
while not (folder / "go").exists():
    time.sleep(0.005)
answers = table.lookup_many(["1", "2"])
print(json.dumps([answer.presence.value for answer in answers.values()]))
"""


@pytest.mark.parametrize(
    ("ending", "expected"),
    [
        ("echo 1; echo 2", ["found", "found"]),
        ("echo broken >&2; exit 1", ["cannot tell", "cannot tell"]),
    ],
)
def test_ten_processes_at_once_cost_one_query(
    tmp_path: Path, ending: str, expected: list[str]
) -> None:
    command = tmp_path / "squeue"
    command.write_text(f'#!/bin/sh\necho x >> "{tmp_path}/calls"\nsleep 0.3\n{ending}\n')
    command.chmod(0o755)
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", PROCESS, tmp_path, str(n)],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(SOURCES)},
        )
        for n in range(10)
    ]
    try:
        deadline = time.monotonic() + DEADLINE
        while len(list(tmp_path.glob("*.ready"))) < 10:
            assert time.monotonic() < deadline, "the processes are not up"
            time.sleep(0.01)
        (tmp_path / "go").touch()
        outputs = [process.communicate(timeout=DEADLINE)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.communicate()

    assert [json.loads(output) for output in outputs] == [expected] * 10
    assert (tmp_path / "calls").read_text() == "x\n"


# --- Laws ---

IDS = ["1", "2", "3"]
STEPS = st.one_of(
    st.tuples(
        st.just("jobs"),
        st.dictionaries(st.sampled_from(IDS), st.sampled_from(["PENDING", "RUNNING", "COMPLETED"])),
    ),
    st.tuples(st.just("broken"), st.booleans()),
    st.tuples(st.just("later"), st.sampled_from([0.5, 1.0, 4.0, 6.0, 11.0, 31.0, 100.0])),
    st.tuples(st.just("back"), st.sampled_from([0.5, 20.0, 1000.0])),
    st.tuples(st.just("new"), st.sampled_from(IDS)),
    st.tuples(st.just("takes"), st.sampled_from([0.0, 0.0, 2.0, 12.0])),
    st.tuples(st.just("expire"), st.none()),
    st.tuples(st.just("look"), st.lists(st.sampled_from(IDS), min_size=1, unique=True)),
    st.tuples(st.just("look"), st.lists(st.sampled_from(IDS), min_size=1, unique=True)),
)


class Witness:
    """Watches a site, with a clock of its own that never goes back, and judges each answer."""

    def __init__(self, tables: int, cache_file: Path | None) -> None:
        self.site = Site()
        self.real = 0.0
        self.longest = 0.0
        self.good: list[tuple[float, dict[str, JobRecord]]] = []
        self.submitted: dict[str, float] = {}
        self.called = [-math.inf] * tables
        self.tables = [
            JobTable(
                self.query, is_over=is_over, clock=self.site.clock, max_age=5, cache_file=cache_file
            )
            for _ in range(tables)
        ]

    def query(self) -> dict[str, JobRecord]:
        began = self.real
        self.real += self.site.takes
        self.longest = max(self.longest, self.site.takes)
        answer = self.site.query()
        self.good.append((began, answer))
        return answer

    def later(self, seconds: float) -> None:
        self.real += seconds
        self.site.later(seconds)

    def back(self, seconds: float) -> None:
        # Read before and after: what happens between two calls of a table it cannot notice.
        for step in (-seconds, 0.0):
            for table in self.tables:
                assert table.lookup_many([]) == {}
            self.site.later(step)
        self.called = [-math.inf] * len(self.tables)

    def look(self, which: int, ids: list[str]) -> None:
        came, queries = self.real, self.site.queries
        answers = self.tables[which].lookup_many(ids)
        assert self.site.queries <= queries + 1
        allowed = 20.0 if came - self.called[which] < 5.0 else 5.0
        allowed += 2 * self.longest
        self.called[which] = came
        for job_id in ids:
            self.judge(job_id, answers[job_id], came - allowed)

    def judge(self, job_id: str, answer: Lookup, oldest: float) -> None:
        since = self.submitted.get(job_id, -math.inf)
        if answer.presence is FOUND:
            assert answer.record is not None
            seen = [
                began
                for began, jobs in self.good
                if jobs.get(job_id) == answer.record and began >= since
            ]
            assert seen, "found, but no good answer since its submission has this record"
            assert is_over(answer.record) or max(seen) >= oldest
        elif answer.presence is ABSENT:
            lacking = []
            for began, jobs in self.good:
                lacking = [] if job_id in jobs else [*lacking, began]
            lacking = [began for began in lacking if began >= since + 30]
            assert len(lacking) >= 2, "absent, on the ground of fewer than two answers"
            assert lacking[-1] - lacking[0] >= 10
            assert lacking[-1] >= oldest
        else:
            assert answer.note
        if answer.answered:
            good = [began for began, _ in self.good]
            assert answer.presence is FOUND or max(good) >= oldest


def act_out(witness: Witness, steps: list[tuple[int, tuple[str, Any]]]) -> None:
    site = witness.site
    for which, (what, value) in steps:
        table = witness.tables[which % len(witness.tables)]
        if what == "jobs":
            site.jobs = value
        elif what == "broken":
            site.broken = "down" if value else ""
        elif what == "later":
            witness.later(value)
        elif what == "back":
            witness.back(value)
        elif what == "new":
            witness.submitted[value] = witness.real
            table.note_new(value)
        elif what == "takes":
            site.takes = value
        elif what == "expire":
            table.expire()
        else:
            witness.look(which % len(witness.tables), value)


@settings(max_examples=300, **CALM)
@given(st.lists(st.tuples(st.just(0), STEPS), max_size=40))
def test_no_history_makes_a_table_lie(steps: list[tuple[int, tuple[str, Any]]]) -> None:
    act_out(Witness(1, None), steps)


@settings(max_examples=150, **CALM)
@given(
    st.lists(
        st.tuples(st.integers(0, 2), STEPS.filter(lambda s: s[0] not in ("back", "new"))),
        max_size=40,
    )
)
def test_no_history_makes_tables_that_share_a_file_lie(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[int, tuple[str, Any]]]
) -> None:
    path = tmp_path_factory.getbasetemp() / "shared_jobs"
    path.unlink(missing_ok=True)
    act_out(Witness(3, path), steps)
