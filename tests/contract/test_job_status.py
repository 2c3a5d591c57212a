"""The status of jobs, as core uses it (the contract, section 4)."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from fakes import ConcurrentSched, FakeHost, FakeSched, FakeTest

from pavilion.errors import SchedulerPluginError
from pavilion.jobs import JobInfo
from pavilion.schedulers.lifecycle.accepted import OWN_TIME
from pavilion.schedulers.lifecycle.identity import known_id
from pavilion.schedulers.lifecycle.job_states import Polling
from pavilion.schedulers.lifecycle.whereabouts import (
    PLACEMENT_FN,
    Placement,
    Seen,
    load_placement,
    save_placement,
)
from pavilion.status_file import STATES, TestStatusInfo
from polling import until

ENDING = [STATES.SCHED_ERROR, STATES.SCHED_CANCELLED]


@pytest.fixture
def host(tmp_path: Path) -> FakeHost:
    return FakeHost(tmp_path)


def started(plugin: FakeSched, host: FakeHost, count: int = 1) -> list[FakeTest]:
    """Tests that were kicked off."""
    tests = host.tests(count)
    assert plugin.schedule_tests(host.pav_cfg, tests) == []
    return tests


def answer(plugin: FakeSched, state: str, note: str = "Says the scheduler.") -> None:
    plugin.on_query = lambda info: TestStatusInfo(state, note)


def make_older(test: FakeTest, seconds: float) -> None:
    """Let the newest change of anything of a test be this long ago."""
    when = time.time() - seconds
    folders = [test.path] if test.job is None else [test.path, test.job.path]
    for folder in folders:
        for path in [*folder.iterdir(), folder]:
            os.utime(path, (when, when))


def expire(plugin: FakeSched) -> None:
    """Let all kept answers be too old."""
    for name, (_, status) in list(plugin._job_statuses.items()):
        plugin._job_statuses[name] = (time.time() - plugin.JOB_STATUS_TIMEOUT - 1, status)
    plugin._polling = Polling()


# ------------------------------------------------------------------------------------ the states


def test_a_test_without_a_job_is_an_error_and_nothing_is_written(host: FakeHost) -> None:
    plugin, test = FakeSched(), host.test()
    status = plugin.job_status(host.pav_cfg, test)
    assert status.state == STATES.SCHED_ERROR
    assert "s1.1 has no job" in status.note
    assert test.fake_states == []
    assert not test.complete
    assert plugin.queries == []


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (STATES.SCHEDULED, STATES.SCHEDULED),
        (STATES.SCHED_RUNNING, STATES.SCHED_STARTUP),
        (STATES.SCHED_STARTUP, STATES.SCHED_STARTUP),
        (STATES.SCHED_WARNING, STATES.SCHED_WARNING),
    ],
)
def test_states_of_a_living_job_are_passed_on_and_not_written(
    host: FakeHost, said: str, expected: str
) -> None:
    plugin = FakeSched()
    answer(plugin, said, "The note.")
    test = started(plugin, host)[0]
    before = list(test.fake_states)
    status = plugin.job_status(host.pav_cfg, test)
    assert (status.state, status.note) == (expected, "The note.")
    assert test.fake_states == before == [STATES.SCHEDULED]
    assert not test.complete


@pytest.mark.parametrize("state", ENDING)
def test_errors_and_cancellations_are_written_and_end_the_test_once(
    host: FakeHost, state: str
) -> None:
    plugin = FakeSched()
    answer(plugin, state, "It is lost.")
    test = started(plugin, host)[0]
    for _ in range(3):
        status = plugin.job_status(host.pav_cfg, test)
        assert status.state == state
        assert status.note.startswith("It is lost.")
        expire(plugin)
    assert test.fake_states == [STATES.SCHEDULED, state]
    assert test.complete
    assert test.fake_ended == 1
    assert test.status.current().note.startswith("It is lost.")


def test_threads_end_a_test_once(host: FakeHost) -> None:
    plugin = FakeSched()
    answer(plugin, STATES.SCHED_ERROR)
    tests = started(plugin, host, 3)
    for test in tests:
        test.status.fake_delay = 0.05
    barrier = threading.Barrier(12)

    def ask(test: FakeTest) -> None:
        barrier.wait()
        plugin.job_status(host.pav_cfg, test)

    in_threads([lambda test=test: ask(test) for test in tests * 4])
    for test in tests:
        assert test.fake_states == [STATES.SCHEDULED, STATES.SCHED_ERROR]
        assert test.fake_ended == 1


@pytest.mark.parametrize("state", ENDING)
def test_every_test_of_a_shared_job_is_ended(host: FakeHost, state: str) -> None:
    plugin = ConcurrentSched()
    tests = started(plugin, host, 4)
    assert len(plugin.kickoffs) == 1
    answer(plugin, state)
    for test in tests:
        assert plugin.job_status(host.pav_cfg, test).state == state
    assert all(test.complete and test.fake_states[-1] == state for test in tests)
    assert len(plugin.queries) == 1


def test_the_note_of_an_error_has_the_ends_of_the_logs(host: FakeHost) -> None:
    plugin = FakeSched()
    test = started(plugin, host)[0]
    job = test.job
    assert job is not None
    job.kickoff_log.write_text("".join(f"line {number}\n" for number in range(100)))
    job.sched_log.write_bytes(b"slurmstepd: \xff killed\n\n\n")
    answer(plugin, STATES.SCHED_ERROR, "It is over.")
    note = plugin.job_status(host.pav_cfg, test).note
    assert note.startswith("It is over.")
    assert note.count("line ") == 5
    assert "line 99" in note
    assert "slurmstepd: \N{REPLACEMENT CHARACTER} killed" in note
    assert str(job.kickoff_log) in note
    assert str(job.sched_log) in note


def test_the_note_says_that_the_logs_are_empty(host: FakeHost) -> None:
    plugin = FakeSched()
    test = started(plugin, host)[0]
    answer(plugin, STATES.SCHED_ERROR, "It is over.")
    assert "are empty" in plugin.job_status(host.pav_cfg, test).note


# --------------------------------------------------------------------------- the test's own record


@pytest.mark.parametrize("state", ENDING)
def test_a_test_that_is_complete_keeps_its_record(host: FakeHost, state: str) -> None:
    plugin = FakeSched()
    test = started(plugin, host)[0]
    answer(plugin, state)
    test.status.set(STATES.COMPLETE, "PASS")
    test.set_run_complete()
    status = plugin.job_status(host.pav_cfg, test)
    assert (status.state, status.note) == (STATES.COMPLETE, "PASS")
    assert test.fake_states == [STATES.SCHEDULED, STATES.COMPLETE]
    assert test.fake_ended == 1


@pytest.mark.parametrize("state", ENDING)
def test_a_state_that_the_test_wrote_later_wins(host: FakeHost, state: str) -> None:
    plugin = FakeSched()
    test = started(plugin, host)[0]

    def say(info: Any) -> TestStatusInfo:
        said = TestStatusInfo(state, "Gone.", time.time() - 1)
        test.status.set(STATES.RUNNING, "On my way.")
        return said

    plugin.on_query = say
    status = plugin.job_status(host.pav_cfg, test)
    assert (status.state, status.note) == (STATES.RUNNING, "On my way.")
    assert not test.complete
    assert test.fake_states == [STATES.SCHEDULED, STATES.RUNNING]


def test_a_test_that_was_running_when_its_job_went_is_ended(host: FakeHost) -> None:
    plugin = FakeSched()
    test = started(plugin, host)[0]
    test.status.set(STATES.RUNNING, "On my way.")
    answer(plugin, STATES.SCHED_ERROR, "Node failure.")
    status = plugin.job_status(host.pav_cfg, test)
    assert status.state == STATES.SCHED_ERROR
    assert "Node failure." in status.note
    assert "was in state RUNNING" in status.note
    assert test.complete


@pytest.mark.parametrize("own", [STATES.SCHEDULED, STATES.SCHED_STARTUP, STATES.SCHED_WARNING])
def test_later_states_that_are_the_schedulers_own_do_not_count(host: FakeHost, own: str) -> None:
    plugin = FakeSched()
    test = started(plugin, host)[0]

    def say(info: Any) -> TestStatusInfo:
        said = TestStatusInfo(STATES.SCHED_ERROR, "Gone.", time.time() - 1)
        test.status.set(own, "Written by a host.")
        return said

    plugin.on_query = say
    assert plugin.job_status(host.pav_cfg, test).state == STATES.SCHED_ERROR
    assert test.complete


# ---------------------------------------------------------------------------------- the grace time


class Patient(FakeSched):
    JOB_END_GRACE = 60.0


def test_an_error_is_believed_after_a_quiet_time(host: FakeHost) -> None:
    plugin = Patient()
    test = started(plugin, host)[0]
    answer(plugin, STATES.SCHED_ERROR, "Not in the queue.")
    for age in (0, 50):
        make_older(test, age)
        status = plugin.job_status(host.pav_cfg, test)
        assert status.state == STATES.SCHED_STARTUP
        assert "Not in the queue." in status.note
        assert "waiting 60 seconds" in status.note
        assert not test.complete
    make_older(test, 61)
    assert plugin.job_status(host.pav_cfg, test).state == STATES.SCHED_ERROR
    assert test.complete


@pytest.mark.parametrize("sign", ["kickoff_log", "sched_log", "status", "run.log"])
def test_signs_of_life_put_the_end_off(host: FakeHost, sign: str) -> None:
    plugin = Patient()
    test = started(plugin, host)[0]
    job = test.job
    assert job is not None
    make_older(test, 100)
    path = getattr(job, sign) if sign.endswith("_log") else test.path / sign
    path.write_text("sign\n")
    answer(plugin, STATES.SCHED_ERROR)
    assert plugin.job_status(host.pav_cfg, test).state == STATES.SCHED_STARTUP
    assert not test.complete


def test_while_waiting_a_test_that_runs_is_shown_as_running(host: FakeHost) -> None:
    plugin = Patient()
    test = started(plugin, host)[0]
    test.status.set(STATES.RUNNING, "On my way.")
    answer(plugin, STATES.SCHED_ERROR)
    assert plugin.job_status(host.pav_cfg, test).state == STATES.RUNNING
    assert not test.complete


def test_a_cancellation_needs_no_quiet_time(host: FakeHost) -> None:
    plugin = Patient()
    test = started(plugin, host)[0]
    answer(plugin, STATES.SCHED_CANCELLED, "By root.")
    assert plugin.job_status(host.pav_cfg, test).state == STATES.SCHED_CANCELLED
    assert test.complete


def test_a_test_whose_folders_are_gone_is_ended(host: FakeHost) -> None:
    plugin = Patient()
    test = started(plugin, host)[0]
    job = test.job
    assert job is not None
    answer(plugin, STATES.SCHED_ERROR)
    plugin.job_status(host.pav_cfg, test)
    for folder in (job.path, test.path):
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()
    assert plugin.job_status(host.pav_cfg, test).state == STATES.SCHED_ERROR
    assert test.complete


# ------------------------------------------------------------ what never ends a test


def raising(exc: BaseException) -> Any:
    def say(info: Any) -> Any:
        raise exc

    return say


@pytest.mark.parametrize(
    ("say", "note"),
    [
        (lambda info: None, "could not determine the state"),
        (lambda info: TestStatusInfo(STATES.SCHED_WARNING, "Timed out."), "Timed out."),
        (raising(SchedulerPluginError("qstat is down")), "qstat is down"),
        (raising(SchedulerPluginError("qstat is down", prior_error=OSError("refused"))), "refused"),
        (raising(ZeroDivisionError("oops")), "ZeroDivisionError: oops"),
        (raising(KeyError("id")), "KeyError: 'id'"),
        (raising(NotImplementedError("later")), "later"),
        (lambda info: "SCHEDULED", "'SCHEDULED'"),
        (lambda info: ("SCHED_ERROR", "note"), "SCHED_ERROR"),
    ],
)
def test_what_could_not_be_found_out_is_a_warning_and_ends_nothing(
    host: FakeHost, say: Any, note: str
) -> None:
    plugin = FakeSched()
    plugin.on_query = say
    test = started(plugin, host)[0]
    for _ in range(3):
        status = plugin.job_status(host.pav_cfg, test)
        assert status.state == STATES.SCHED_WARNING
        assert note in status.note
        expire(plugin)
    assert test.fake_states == [STATES.SCHEDULED]
    assert not test.complete
    # And when the scheduler is back, it goes on.
    answer(plugin, STATES.SCHED_RUNNING)
    assert plugin.job_status(host.pav_cfg, test).state == STATES.SCHED_STARTUP


def test_a_record_of_a_job_that_cannot_be_read_is_a_warning(host: FakeHost) -> None:
    plugin = FakeSched()
    test = started(plugin, host)[0]
    assert test.job is not None
    record = test.job.path / test.job.INFO_FN
    record.unlink()
    record.mkdir()
    status = plugin.job_status(host.pav_cfg, test)
    assert status.state == STATES.SCHED_WARNING
    assert test.job.name in status.note
    assert not test.complete
    assert plugin.queries == []


def test_a_damaged_record_of_a_job_ends_its_test_after_the_grace_time(host: FakeHost) -> None:
    plugin = FakeSched()
    test = started(plugin, host)[0]
    assert test.job is not None
    (test.job.path / test.job.INFO_FN).write_text('{"id": "1')
    assert plugin.job_status(host.pav_cfg, test).state in (STATES.SCHEDULED, STATES.SCHED_WARNING)
    assert not test.complete
    expire(plugin)
    make_older(test, plugin.KICKOFF_GRACE + 10)
    assert plugin.job_status(host.pav_cfg, test).state == STATES.SCHED_ERROR
    assert test.complete
    assert plugin.queries == []


# ------------------------------------------------------------ half kicked-off jobs


def half_started(plugin: FakeSched, host: FakeHost) -> FakeTest:
    """A test whose job has a folder and no identity: it is being handed over, or was forgotten."""

    class Stopped(BaseException):
        pass

    def stop(number: int, job: Any) -> Any:
        raise Stopped

    plugin.on_kickoff = stop
    test = host.test()
    with pytest.raises(Stopped):
        plugin.schedule_tests(host.pav_cfg, [test])
    assert test.job is not None
    return test


def test_a_job_on_its_way_to_the_scheduler_is_scheduled(host: FakeHost) -> None:
    plugin = FakeSched()
    test = half_started(plugin, host)
    status = plugin.job_status(host.pav_cfg, test)
    assert status.state == STATES.SCHEDULED
    assert "being handed to the fake scheduler" in status.note
    assert plugin.queries == []
    assert not test.complete


def test_a_job_that_never_got_there_is_an_error(host: FakeHost) -> None:
    plugin = FakeSched()
    test = half_started(plugin, host)
    make_older(test, plugin.KICKOFF_GRACE + 10)
    status = plugin.job_status(host.pav_cfg, test)
    assert status.state == STATES.SCHED_ERROR
    assert "never handed to the fake scheduler" in status.note
    assert test.complete
    assert plugin.queries == []


class LeavesAMark(FakeSched):
    """A scheduler whose jobs can be found by a mark in their folders."""

    mark: str | None = "job-7"

    def _recover_identity(self, job: Any) -> Any:
        return None if self.mark is None else {"id": self.mark}


def test_a_job_whose_record_was_lost_is_found_by_its_mark(host: FakeHost) -> None:
    plugin = LeavesAMark()
    test = half_started(plugin, host)
    assert plugin.job_status(host.pav_cfg, test).state == STATES.SCHEDULED
    assert plugin.queries == [], "it may still be on its way"
    expire(plugin)
    make_older(test, plugin.KICKOFF_GRACE + 10)
    plugin.job_status(host.pav_cfg, test)
    assert len(plugin.queries) == 1
    assert not test.complete


def test_a_job_without_record_and_mark_never_got_there(host: FakeHost) -> None:
    plugin = LeavesAMark()
    plugin.mark = None
    test = half_started(plugin, host)
    make_older(test, plugin.KICKOFF_GRACE + 10)
    assert plugin.job_status(host.pav_cfg, test).state == STATES.SCHED_ERROR
    assert plugin.queries == []


def test_a_complete_test_costs_no_question(host: FakeHost) -> None:
    plugin = FakeSched()
    test = host.test()
    assert plugin.schedule_tests(host.pav_cfg, [test]) == []
    test.status.set(STATES.COMPLETE, "PASS")
    test.set_run_complete()
    assert plugin.job_status(host.pav_cfg, test).state == STATES.COMPLETE
    assert plugin.queries == []


# --------------------------------------------------------------------------------------- the cache


def in_threads(jobs: list[Any]) -> None:
    failures: list[BaseException] = []

    def run(job: Any) -> None:
        try:
            job()
        except BaseException as exc:
            failures.append(exc)

    threads = [threading.Thread(target=run, args=(job,)) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert failures == []
    assert not any(thread.is_alive() for thread in threads)


def test_one_answer_serves_until_it_is_too_old(host: FakeHost) -> None:
    plugin = FakeSched()
    test = started(plugin, host)[0]
    for _ in range(5):
        plugin.job_status(host.pav_cfg, test)
    assert plugin.queries == [{"id": "0"}]
    expire(plugin)
    answer(plugin, STATES.SCHED_RUNNING)
    assert plugin.job_status(host.pav_cfg, test).state == STATES.SCHED_STARTUP
    assert len(plugin.queries) == 2


def test_the_kept_answers_are_by_job_name_with_their_time(host: FakeHost) -> None:
    plugin = FakeSched()
    test = started(plugin, host)[0]
    before = time.time()
    plugin.job_status(host.pav_cfg, test)
    assert test.job is not None
    assert list(plugin._job_statuses) == [test.job.name]
    when, status = plugin._job_statuses[test.job.name]
    assert before <= when <= time.time()
    assert status.state == STATES.SCHEDULED


def test_an_answer_of_the_future_is_not_believed(host: FakeHost) -> None:
    # The clock was set back since.
    plugin = FakeSched()
    test = started(plugin, host)[0]
    assert test.job is not None
    plugin._job_statuses[test.job.name] = (
        time.time() + 5000,
        TestStatusInfo(STATES.SCHED_RUNNING, "From the future."),
    )
    assert plugin.job_status(host.pav_cfg, test).state == STATES.SCHEDULED


def test_refresh_forgets_the_answers(host: FakeHost) -> None:
    plugin = FakeSched()
    test = started(plugin, host)[0]
    plugin.job_status(host.pav_cfg, test)
    plugin.refresh()
    plugin.job_status(host.pav_cfg, test)
    assert len(plugin.queries) == 2


def test_a_plugin_may_answer_for_all_jobs_at_once(host: FakeHost) -> None:
    plugin = FakeSched()
    tests = started(plugin, host, 5)

    def say(info: Any) -> TestStatusInfo:
        for test in tests:
            assert test.job is not None
            plugin._job_statuses[test.job.name] = (
                time.time(),
                TestStatusInfo(STATES.SCHED_RUNNING, f"Job of {test.id}."),
            )
        return TestStatusInfo(STATES.SCHED_RUNNING, "This one.")

    plugin.on_query = say
    notes = [plugin.job_status(host.pav_cfg, test).note for test in tests]
    assert notes == ["This one.", *(f"Job of s1.{number}." for number in range(2, 6))]
    assert len(plugin.queries) == 1


def test_threads_get_one_query(host: FakeHost) -> None:
    plugin = ConcurrentSched()
    tests = started(plugin, host, 8)
    assert len(plugin.kickoffs) == 1
    barrier = threading.Barrier(16)

    def slowly(info: Any) -> TestStatusInfo:
        time.sleep(0.1)
        return TestStatusInfo(STATES.SCHED_RUNNING, "Runs.")

    plugin.on_query = slowly
    states = []

    def ask(test: FakeTest) -> None:
        barrier.wait()
        states.append(plugin.job_status(host.pav_cfg, test).state)

    in_threads([lambda test=test: ask(test) for test in tests * 2])
    assert states == [STATES.SCHED_STARTUP] * 16
    assert len(plugin.queries) == 1


def test_an_answer_that_took_long_serves_all_who_waited_for_it(host: FakeHost) -> None:
    class Short(ConcurrentSched):
        JOB_STATUS_TIMEOUT = 1.0

    plugin = Short()
    test = started(plugin, host)[0]
    asked = threading.Event()

    def slowly(info: Any) -> TestStatusInfo:
        asked.set()
        time.sleep(1.2)
        return TestStatusInfo(STATES.SCHED_RUNNING, "Runs.")

    plugin.on_query = slowly
    threads = [
        threading.Thread(target=plugin.job_status, args=(host.pav_cfg, test)) for _ in range(5)
    ]
    for thread in threads:
        thread.start()
    assert asked.wait(10)
    for thread in threads:
        thread.join(30)
    assert len(plugin.queries) == 1


def test_numbers_in_a_job_info_come_back(host: FakeHost) -> None:
    plugin = FakeSched()
    plugin.on_kickoff = lambda number, job: {"id": 17, "sys_name": "here"}
    test = started(plugin, host)[0]
    plugin.job_status(host.pav_cfg, test)
    assert [str(info["id"]) for info in plugin.queries] == ["17"]


# ----------------------------------------------------------------------- slow and failing queries


class Bulk(FakeSched):
    """Learns of all jobs with each query, as the guide for authors says."""

    JOB_STATUS_TIMEOUT = 0.2

    def __init__(self, takes: float = 0.0, fails: bool = False) -> None:
        super().__init__()
        self.takes, self.fails = takes, fails
        self.names: list[str] = []

    def _job_status(self, pav_cfg: Any, job_info: Any) -> Any:
        self.queries.append(dict(job_info))
        asked = time.time()
        time.sleep(self.takes)
        if self.fails:
            raise SchedulerPluginError("mb-jobs: no answer")
        for name in self.names:
            self._job_statuses[name] = (asked, TestStatusInfo(STATES.SCHEDULED, "Waits."))
        return TestStatusInfo(STATES.SCHEDULED, "Waits.")


def test_one_slow_query_serves_all_jobs(host: FakeHost) -> None:
    plugin = Bulk(takes=0.5)
    tests = started(plugin, host, 10)
    plugin.names = [test.job.name for test in tests if test.job is not None]
    assert [plugin.job_status(host.pav_cfg, test).state for test in tests] == ["SCHEDULED"] * 10
    assert len(plugin.queries) == 1
    # It serves for as long as it took, and no longer than about that.
    time.sleep(0.6)
    plugin.job_status(host.pav_cfg, tests[0])
    assert len(plugin.queries) == 2


def test_one_failed_query_serves_all_jobs_for_a_while(host: FakeHost) -> None:
    plugin = Bulk(takes=0.1, fails=True)
    tests = started(plugin, host, 20)
    found = [plugin.job_status(host.pav_cfg, test) for test in tests]
    assert {status.state for status in found} == {"SCHED_WARNING"}
    assert all("mb-jobs: no answer" in status.note for status in found)
    assert "not queried again for" in found[1].note
    assert len(plugin.queries) == 1
    # Then it is tried again; and as soon as it answers, all is well.
    plugin.fails = False
    until(lambda: plugin.job_status(host.pav_cfg, tests[5]).state == "SCHEDULED", "an answer", 10)
    assert plugin.job_status(host.pav_cfg, tests[6]).state == "SCHEDULED"


def test_trouble_with_one_job_is_that_jobs_alone(host: FakeHost) -> None:
    plugin = FakeSched()
    plugin.JOB_STATUS_TIMEOUT = 0.05  # type: ignore[misc]
    bad, *good = started(plugin, host, 3)

    def on_query(info: dict[str, Any]) -> TestStatusInfo:
        if info["id"] == "0":
            raise SchedulerPluginError("This one's record is odd.")
        return TestStatusInfo(STATES.SCHEDULED, "Waits.")

    plugin.on_query = on_query
    assert plugin.job_status(host.pav_cfg, bad).state == "SCHED_WARNING"
    until(lambda: plugin.job_status(host.pav_cfg, good[0]).state == "SCHEDULED", "an answer", 10)
    time.sleep(0.2)
    # It fails again, after others were answered: they go on being so.
    assert "odd" in plugin.job_status(host.pav_cfg, bad).note
    assert plugin.job_status(host.pav_cfg, good[1]).state == "SCHEDULED"


@pytest.mark.parametrize("state", ["COMPLETE", "RUNNING", "FOO", "CANCELLED", ""])
def test_a_state_that_is_not_one_of_a_job_is_refused(host: FakeHost, state: str) -> None:
    plugin = FakeSched()
    odd = type("Odd", (TestStatusInfo,), {})(STATES.SCHEDULED, "x")
    odd.state = state
    plugin.on_query = lambda info: odd
    test = started(plugin, host)[0]
    status = plugin.job_status(host.pav_cfg, test)
    assert status.state == "SCHED_WARNING" and not test.complete
    assert repr(state) in status.note and "'fake'" in status.note and "SCHED_RUNNING" in status.note


@pytest.mark.parametrize("entry", [5, None, ("now", None), (1.0,), "ab", (1e12, "RUNNING")])
def test_an_entry_that_is_not_an_answer_is_a_warning(host: FakeHost, entry: Any) -> None:
    plugin = FakeSched()
    test = started(plugin, host)[0]
    assert test.job is not None
    plugin._job_statuses[test.job.name] = entry
    status = plugin.job_status(host.pav_cfg, test)
    assert status.state in ("SCHED_WARNING", "SCHEDULED")
    assert not test.complete


# ------------------------------------------------------------- what is learned after the submission

MARK = "pav-0123456789abcdef"


class MarkingSched(ConcurrentSched):
    """It knows the mark of a job first, and its id and nodes when the scheduler lists it."""

    def __init__(self) -> None:
        super().__init__()
        self.on_kickoff = lambda number, job: JobInfo(id=MARK, user="me")
        self.listed: Seen | None = None

    def _seen_job(self, job_info: JobInfo) -> Seen | None:
        return self.listed


def test_an_id_that_is_found_later_is_told_by_each_test_once(host: FakeHost) -> None:
    plugin = MarkingSched()
    tests = started(plugin, host, 2)
    assert [test.fake_accepted for test in tests] == [[], []]
    for test in tests:
        plugin.job_status(host.pav_cfg, test)  # type: ignore[arg-type]
    assert [test.fake_accepted for test in tests] == [[], []]
    plugin.listed = Seen(JobInfo(id="58", user="me"))
    for _ in range(3):
        expire(plugin)
        for test in tests:
            plugin.job_status(host.pav_cfg, test)  # type: ignore[arg-type]
    assert [test.fake_accepted for test in tests] == [["Accepted by fake as job 58."]] * 2
    job = tests[0].job
    assert job is not None
    assert known_id(job) == "58"


def test_an_id_that_another_process_found_is_told_after_a_while(host: FakeHost) -> None:
    plugin = MarkingSched()
    (test,) = started(plugin, host)
    assert test.job is not None
    test.job.info = JobInfo(id="58")
    # Whoever wrote that record just now is about to tell by itself.
    plugin.job_status(host.pav_cfg, test)  # type: ignore[arg-type]
    assert test.fake_accepted == []
    make_older(test, OWN_TIME + 1)
    plugin.job_status(host.pav_cfg, test)  # type: ignore[arg-type]
    assert test.fake_accepted == ["Accepted by fake as job 58."]


def test_nothing_is_told_of_a_test_that_runs_already(host: FakeHost) -> None:
    plugin = MarkingSched()
    (test,) = started(plugin, host)
    plugin.listed = Seen(JobInfo(id="58", user="me"))
    test.status.set(STATES.RUNNING, "Running.")
    plugin.job_status(host.pav_cfg, test)  # type: ignore[arg-type]
    assert test.fake_states == [STATES.SCHEDULED, STATES.RUNNING]
    assert test.fake_accepted == []


def test_a_plugin_that_fails_to_say_what_it_saw_costs_nothing(host: FakeHost) -> None:
    class Failing(MarkingSched):
        def _seen_job(self, job_info: JobInfo) -> Seen | None:
            raise ZeroDivisionError("oops")

    plugin = Failing()
    (test,) = started(plugin, host)
    answer(plugin, STATES.SCHED_ERROR, "It is lost.")
    assert plugin.job_status(host.pav_cfg, test).state == STATES.SCHED_ERROR  # type: ignore[arg-type]
    assert test.complete


def test_the_nodes_of_a_lost_job_are_kept_where_its_scheduler_reported_them(
    host: FakeHost,
) -> None:
    plugin = MarkingSched()
    (test,) = started(plugin, host)
    assert test.job is not None
    plugin.listed = Seen(None, ["node10", "node2"])
    answer(plugin, STATES.SCHED_ERROR, "A node failed.")
    plugin.job_status(host.pav_cfg, test)  # type: ignore[arg-type]
    assert load_placement(test.job) == Placement(["node2", "node10"])


def test_nodes_that_were_picked_are_not_replaced_by_reported_ones(host: FakeHost) -> None:
    plugin = MarkingSched()
    (test,) = started(plugin, host)
    assert test.job is not None
    picked = Placement(["node1"], 2, ["node1", "node3"])
    save_placement(test.job, picked)
    plugin.listed = Seen(None, ["node7"])
    answer(plugin, STATES.SCHED_ERROR, "A node failed.")
    plugin.job_status(host.pav_cfg, test)  # type: ignore[arg-type]
    assert load_placement(test.job) == picked


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{",
        "[" * 100_000,
        '{"nodes": "node1", "chunk": "3", "chunk_nodes": {"a": 1}}',
        '{"nodes": ["a", 1], "chunk": true}',
        '{"nodes": [""], "chunk": -1}',
        '{"chunk": ' + "9" * 5000 + "}",
    ],
)
def test_a_damaged_placement_says_nothing(host: FakeHost, text: str) -> None:
    (test,) = started(MarkingSched(), host)
    assert test.job is not None
    (test.job.path / PLACEMENT_FN).write_text(text)
    assert load_placement(test.job) == Placement([])


def test_a_placement_that_is_a_pipe_is_not_waited_for(host: FakeHost) -> None:
    (test,) = started(MarkingSched(), host)
    assert test.job is not None
    os.mkfifo(test.job.path / PLACEMENT_FN)
    assert load_placement(test.job) == Placement([])
