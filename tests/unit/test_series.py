"""Series: made whole or not at all, by several processes at once; waited for and cancelled."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import pavilion.series
import pavilion.test_run
from pavilion.cancelling import cancel_tests
from pavilion.config import PavConfig, load_config
from pavilion.errors import SchedulerPluginError, TestRunError
from pavilion.jobs import Job, JobInfo
from pavilion.resolve import ResolvedTest, resolve_test
from pavilion.schedulers import SchedulerPluginBasic
from pavilion.schedulers.lifecycle.handover import calls_at_work
from pavilion.schedulers.lifecycle.job_states import NotListed
from pavilion.series import Series, latest_series
from pavilion.starter import STARTING_FN, Starter
from pavilion.status_file import STATES, StatusFile, TestStatusInfo
from pavilion.suites import select_tests
from pavilion.test_run import TestRun
from pavilion.waiting import LastWord, current_status, wait_for
from polling import until


class Fake(SchedulerPluginBasic):
    """A scheduler whose jobs are what the test says they are."""

    IS_CONCURRENT = True
    JOB_STATUS_TIMEOUT = 0.0
    JOB_END_GRACE = 0.0

    def __init__(self) -> None:
        super().__init__("fake", "A fake.")
        self.answer: Any = TestStatusInfo(STATES.SCHEDULED, "Waits.")
        self.cancel_answer: Any = None
        self.asked: list[str] = []
        self.cancelled: list[str] = []
        # The jobs that are gone: a cancel that is accepted does what it says.
        self.gone: set[str] = set()
        self.keeps_jobs = False
        self.refuse = False
        self.on_kickoff: Callable[[Job], None] = lambda job: None
        self.on_query: Callable[[], None] = lambda: None

    def _available(self) -> bool:
        return True

    def _kickoff(self, pav_cfg: PavConfig, job: Job, *args: Any, **kwargs: Any) -> JobInfo:
        if self.refuse:
            raise SchedulerPluginError("The queue is closed.")
        self.on_kickoff(job)
        return JobInfo(id=job.name)

    def _job_status(self, pav_cfg: PavConfig, job_info: JobInfo) -> TestStatusInfo | None:
        self.asked.append(job_info["id"])
        self.on_query()
        if job_info["id"] in self.gone:
            return TestStatusInfo(STATES.SCHED_CANCELLED, "Gone.")
        if isinstance(self.answer, Exception):
            raise self.answer
        answer: TestStatusInfo | None = self.answer
        return answer

    def cancel(self, job_info: JobInfo) -> str | None:
        self.cancelled.append(job_info["id"])
        if isinstance(self.cancel_answer, Exception):
            raise self.cancel_answer
        message: str | None = self.cancel_answer
        if message is None and not self.keeps_jobs:
            self.gone.add(job_info["id"])
        return message


@pytest.fixture
def fake(pav_cfg: PavConfig) -> Fake:
    plugin = Fake()
    plugin.activate()
    return plugin


def _suite(pav_cfg: PavConfig, text: str) -> list[ResolvedTest]:
    folder = Path(next(iter(pav_cfg.configs.values()))["path"]) / "suites"
    (folder / "suite.yaml").write_text(textwrap.dedent(text), encoding="utf-8")
    return [run for test in select_tests(pav_cfg, "suite") for run in resolve_test(test)]


THREE = """
    a: {scheduler: fake, run: {cmds: [x]}}
    b: {scheduler: fake, run: {cmds: [x]}}
    alone: {scheduler: fake, schedule: {share_allocation: false}, run: {cmds: [x]}}
    """


@pytest.fixture
def series(pav_cfg: PavConfig, fake: Fake) -> Series:
    made = Series.create(pav_cfg, _suite(pav_cfg, THREE), {"targets": ["suite"]})
    assert made.kick_off() == []
    return made


def _folder(pav_cfg: PavConfig) -> Path:
    return pav_cfg.working_dir / "series"


# ---------------------------------------------------------------------------- making and finding


def test_a_series_has_numbered_tests(pav_cfg: PavConfig, fake: Fake) -> None:
    first = Series.create(pav_cfg, _suite(pav_cfg, THREE))
    second = Series.create(pav_cfg, _suite(pav_cfg, THREE))
    assert (first.id, second.id) == ("s1", "s2")
    assert [test.id for test in second.tests] == ["s2.1", "s2.2", "s2.3"]
    assert {test.status.current().state for test in second.tests} == {"CREATED"}
    assert latest_series(pav_cfg) == "s2"


def test_a_series_is_found_again(pav_cfg: PavConfig, series: Series) -> None:
    found = Series.load(pav_cfg, "s1")
    assert [
        (test.id, test.name, test.config, test.scheduler, test.series) for test in found.tests
    ] == [(test.id, test.name, test.config, test.scheduler, "s1") for test in series.tests]
    first, second = series.tests[0].job, found.tests[0].job
    assert first is not None
    assert second is not None
    assert first.path == second.path
    assert first.info == second.info != {}


def test_the_settings_it_was_started_with_are_kept(pav_cfg: PavConfig, series: Series) -> None:
    kept = load_config(_folder(pav_cfg) / "s1" / "pavilion.yaml")
    assert kept.working_dir == pav_cfg.working_dir
    assert kept.env_setup == pav_cfg.env_setup
    assert series.pav_cfg.pav_cfg_file == _folder(pav_cfg) / "s1" / "pavilion.yaml"


def test_a_new_number_is_above_all_others(pav_cfg: PavConfig, fake: Fake) -> None:
    for name in ("s3", "s07", "x9", "s-5", "s12.old"):
        (_folder(pav_cfg) / name).mkdir()
    (_folder(pav_cfg) / "s8").write_text("a file")
    assert Series.create(pav_cfg, _suite(pav_cfg, THREE)).id == "s9"


@pytest.mark.parametrize(
    "series_id", ["", "1", "s", "s0", "s01", "S1", "s1.1", "../s1", "s1\n", "s-1", "s1/"]
)
def test_a_bad_id_is_an_error(pav_cfg: PavConfig, series: Series, series_id: str) -> None:
    with pytest.raises(TestRunError, match="is not a series id"):
        Series.load(pav_cfg, series_id)


@pytest.mark.parametrize("test_id", ["", "s1", "s1.", "s1.0", "s1.1.1", "../s1.1", "s1.1\n", "1"])
def test_a_bad_test_id_is_an_error(pav_cfg: PavConfig, series: Series, test_id: str) -> None:
    with pytest.raises(TestRunError, match="is not a test id"):
        TestRun.load(pav_cfg, test_id)


def test_what_is_not_there_is_an_error(pav_cfg: PavConfig, series: Series) -> None:
    with pytest.raises(TestRunError, match="no series s7"):
        Series.load(pav_cfg, "s7")
    with pytest.raises(TestRunError, match=r"no test run s1\.9"):
        TestRun.load(pav_cfg, "s1.9")
    with pytest.raises(TestRunError, match=r"no test run s7\.1"):
        TestRun.load(pav_cfg, "s7.1")


MAKER = """
import sys
from pathlib import Path
from pavilion.config import load_config
from pavilion.plugins import load_plugins
from pavilion.resolve import resolve_test
from pavilion.series import Series
from pavilion.suites import select_tests
cfg = load_config(working_dir=Path(sys.argv[1]))
load_plugins(cfg)
runs = [run for test in select_tests(cfg, sys.argv[2]) for run in resolve_test(test)]
print("ready", flush=True)
sys.stdin.readline()
for _ in range(5):
    series = Series.create(cfg, runs)
    print(series.id, *(test.id for test in series.tests), flush=True)
"""


def test_processes_that_start_at_once_get_numbers_of_their_own(
    pav_cfg: PavConfig, tmp_path: Path
) -> None:
    suite = tmp_path / "suite.yaml"
    suite.write_text("a: {run: {cmds: [x]}}\nb: {run: {cmds: [x]}}\n")
    makers = [
        subprocess.Popen(
            [sys.executable, "-c", MAKER, str(pav_cfg.working_dir), str(suite)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(8)
    ]
    try:
        for maker in makers:
            assert maker.stdout is not None
            assert maker.stdout.readline() == "ready\n"
        for maker in makers:
            assert maker.stdin is not None
            maker.stdin.write("go\n")
            maker.stdin.flush()
    finally:
        outputs = [maker.communicate(timeout=60)[0] for maker in makers]
    lines = [line.split() for output in outputs for line in output.splitlines()]
    assert sorted(int(line[0][1:]) for line in lines) == list(range(1, 41))
    for series_id, *tests in lines:
        assert tests == [f"{series_id}.1", f"{series_id}.2"]
        assert [test.id for test in Series.load(pav_cfg, series_id).tests] == tests


# ------------------------------------------------------------------------------- half-made series


def test_a_half_written_series_is_no_stumbling_block(
    pav_cfg: PavConfig, series: Series, fake: Fake
) -> None:
    # Whoever made it was killed: no series.json, and a test folder without its record.
    (_folder(pav_cfg) / "s2" / "s2.1").mkdir(parents=True)
    (_folder(pav_cfg) / "s3").mkdir()
    assert latest_series(pav_cfg) == "s1"
    for series_id in ("s2", "s3"):
        with pytest.raises(TestRunError, match="being made, or was not made to the end"):
            Series.load(pav_cfg, series_id)
    assert Series.create(pav_cfg, _suite(pav_cfg, THREE)).id == "s4"
    assert latest_series(pav_cfg) == "s4"


def test_no_series_at_all(pav_cfg: PavConfig, tmp_path: Path) -> None:
    assert latest_series(pav_cfg) is None
    pav_cfg.working_dir = tmp_path / "gone"
    assert latest_series(pav_cfg) is None


@pytest.mark.parametrize("content", ["", "{", "[]", '{"id": "s1"}', '{"tests": "many"}', "null"])
def test_a_damaged_record_is_an_error_that_names_the_file(
    pav_cfg: PavConfig, series: Series, content: str
) -> None:
    path = series.path / "series.json"
    path.write_text(content)
    with pytest.raises(TestRunError) as caught:
        Series.load(pav_cfg, "s1")
    assert str(path) in caught.value.pformat()


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{}",
        "null",
        '{"name": "a", "config": [], "created": 1, "deferred_paths": [], '
        '"variables": {"format": 1, "values": {}, "sets": {}, "variables": {}}}',
    ],
)
def test_a_damaged_test_is_an_error_that_names_the_file(
    pav_cfg: PavConfig, series: Series, content: str
) -> None:
    path = series.tests[0].path / "test.json"
    path.write_text(content)
    with pytest.raises(TestRunError) as caught:
        TestRun.load(pav_cfg, "s1.1")
    assert str(path) in caught.value.pformat()


@pytest.mark.parametrize(
    "module, name", [(pavilion.test_run, "write_own_json"), (pavilion.series, "write_own_json")]
)
def test_a_series_that_cannot_be_written_leaves_nothing(
    pav_cfg: PavConfig, fake: Fake, monkeypatch: pytest.MonkeyPatch, module: Any, name: str
) -> None:
    def full(path: Path, data: Any, sync: bool = False) -> None:
        path.write_text("half")
        raise OSError(28, "No space left on device")

    runs = _suite(pav_cfg, THREE)
    monkeypatch.setattr(module, name, full)
    with pytest.raises(TestRunError, match="No space left"):
        Series.create(pav_cfg, runs)
    assert list(_folder(pav_cfg).iterdir()) == []


def test_an_interrupt_leaves_nothing(
    pav_cfg: PavConfig, fake: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*args: Any, **kwargs: Any) -> None:
        raise KeyboardInterrupt

    runs = _suite(pav_cfg, THREE)
    monkeypatch.setattr(TestRun, "create", interrupt)
    with pytest.raises(KeyboardInterrupt):
        Series.create(pav_cfg, runs)
    assert list(_folder(pav_cfg).iterdir()) == []


def test_no_working_folder_is_an_error(pav_cfg: PavConfig, fake: Fake) -> None:
    runs = _suite(pav_cfg, THREE)
    _folder(pav_cfg).rmdir()
    with pytest.raises(TestRunError, match="new series cannot be made"):
        Series.create(pav_cfg, runs)


# ------------------------------------------------------------------------------------- kicking off


def test_tests_share_a_job_where_they_may(series: Series) -> None:
    jobs = [test.job for test in series.tests]
    assert jobs[0] is not None
    assert jobs[1] is not None
    assert jobs[2] is not None
    assert jobs[0].path == jobs[1].path != jobs[2].path
    assert [test_id for _, test_id in jobs[0].get_test_id_pairs()] == ["s1.1", "s1.2"]
    with pytest.raises(TestRunError, match=r"s1\.1 already has a job"):
        series.tests[0].job = jobs[2]


def test_what_a_scheduler_refuses_has_a_final_state(pav_cfg: PavConfig, fake: Fake) -> None:
    fake.refuse = True
    series = Series.create(pav_cfg, _suite(pav_cfg, THREE))
    errors = series.kick_off()
    assert sorted(test.id for error in errors for test in error.tests) == ["s1.1", "s1.2", "s1.3"]
    for test in series.tests:
        assert test.complete
        assert test.result == "ERROR"
        assert test.status.current().state == "SCHED_ERROR"
        assert "The queue is closed." in test.status.current().note
    assert series.wait(timeout=0)


# ----------------------------------------------------------------------------------------- waiting


def test_waiting_ends_with_the_last_test(pav_cfg: PavConfig, series: Series) -> None:
    seen: list[int] = []

    def end_one(left: Sequence[TestRun]) -> None:
        seen.append(len(left))
        for test in left[:1]:
            test.status.set(STATES.COMPLETE, "PASS")
            test.set_run_complete()

    assert series.wait(timeout=30, progress=end_one)
    assert seen == [3, 2, 1, 0]


def test_waiting_ends_when_its_time_is_up(pav_cfg: PavConfig, series: Series) -> None:
    started = time.monotonic()
    assert not series.wait(timeout=0.2)
    assert 0.2 <= time.monotonic() - started < 5
    assert not series.wait(timeout=0)


def test_one_question_serves_a_job_that_waits(
    pav_cfg: PavConfig, fake: Fake, series: Series
) -> None:
    wait_for(pav_cfg, series.tests, timeout=0)
    fake.asked.clear()
    wait_for(pav_cfg, series.tests, timeout=0.01)
    assert sorted(set(fake.asked)) == sorted(
        {test.job.name for test in series.tests if test.job is not None}
    )
    assert len(fake.asked) == 2


@pytest.mark.parametrize("state", [STATES.SCHED_ERROR, STATES.SCHED_CANCELLED])
def test_a_job_that_is_over_ends_all_of_its_tests(
    pav_cfg: PavConfig, fake: Fake, series: Series, state: str
) -> None:
    fake.answer = TestStatusInfo(state, "The node burned down.")
    job = series.tests[0].job
    assert job is not None
    job.kickoff_log.write_text("last words\n")
    assert series.wait(timeout=30)
    for test in series.tests:
        assert test.status.current().state == state
        assert "burned down" in test.status.current().note
        assert test.result == "ERROR"
    assert "last words" in series.tests[0].status.current().note


@pytest.mark.parametrize(
    "answer",
    [
        None,
        OSError("no answer"),
        SchedulerPluginError("no answer"),
        TestStatusInfo(STATES.SCHED_WARNING, "no answer"),
    ],
)
def test_a_scheduler_that_cannot_tell_ends_nothing(
    pav_cfg: PavConfig, fake: Fake, series: Series, answer: Any
) -> None:
    fake.answer = answer
    assert not series.wait(timeout=0.1)
    assert current_status(pav_cfg, series.tests[0]).state == STATES.SCHED_WARNING
    assert {test.status.current().state for test in series.tests} == {STATES.SCHEDULED}


def test_a_scheduler_that_is_gone_ends_nothing(
    pav_cfg: PavConfig, fake: Fake, series: Series
) -> None:
    fake.deactivate()
    assert not series.wait(timeout=0.1)
    info = current_status(pav_cfg, series.tests[0])
    assert info.state == STATES.SCHED_WARNING
    assert "fake" in info.note


def test_the_tests_own_word_counts_once_it_runs(
    pav_cfg: PavConfig, fake: Fake, series: Series
) -> None:
    test = series.tests[0]
    fake.answer = TestStatusInfo(STATES.SCHED_RUNNING, "On n1.")
    assert current_status(pav_cfg, test).state == STATES.SCHED_STARTUP
    test.status.set(STATES.RUNNING, "Running.")
    assert current_status(pav_cfg, test).state == STATES.RUNNING
    test.status.set(STATES.COMPLETE, "PASS: Exit code 0.")
    test.set_run_complete()
    fake.answer = TestStatusInfo(STATES.SCHED_ERROR, "Over.")
    assert current_status(pav_cfg, test).state == STATES.COMPLETE


def test_a_job_that_waits_again_is_shown_as_waiting(
    pav_cfg: PavConfig, fake: Fake, series: Series
) -> None:
    """As after a requeue or a preemption."""
    test = series.tests[0]
    test.status.set(STATES.RUNNING, "Running.")
    fake.answer = TestStatusInfo(STATES.SCHEDULED, "Job 7 waits: preempted.", time.time() + 1)
    status = current_status(pav_cfg, test)
    assert status.state == STATES.SCHEDULED
    assert status.note.startswith("Job 7 waits: preempted.") and "RUNNING" in status.note
    # What the test says later is newer.
    fake.answer = TestStatusInfo(STATES.SCHEDULED, "Job 7 waits.", time.time() - 10)
    assert current_status(pav_cfg, test).state == STATES.RUNNING
    # A job that is not listed is not one that waits.
    fake.answer = NotListed(STATES.SCHEDULED, "Not listed.", time.time() + 1)
    assert current_status(pav_cfg, test).state == STATES.RUNNING


def test_a_started_test_about_whose_job_nobody_can_be_asked_says_so(
    pav_cfg: PavConfig, fake: Fake, series: Series
) -> None:
    test = series.tests[0]
    test.status.set(STATES.RUNNING, "Running since noon.")
    fake.answer = SchedulerPluginError("The controller does not answer.")
    status = current_status(pav_cfg, test)
    assert status.state == STATES.RUNNING
    assert status.note.startswith("Running since noon.")
    assert "The controller does not answer." in status.note


def test_a_test_without_a_job_tells_its_own_state(pav_cfg: PavConfig, fake: Fake) -> None:
    series = Series.create(pav_cfg, _suite(pav_cfg, THREE))
    assert current_status(pav_cfg, series.tests[0]).state == STATES.CREATED


# -------------------------------------------------------------------------------------- cancelling


def test_a_job_is_cancelled_with_its_last_test(
    pav_cfg: PavConfig, fake: Fake, series: Series
) -> None:
    first, second, _ = series.tests
    assert [text for _, text, _ in cancel_tests(pav_cfg, [first], "Enough.")] == [
        "cancelled; its job is kept for s1.2"
    ]
    assert fake.cancelled == []
    assert first.status.current().state == STATES.CANCELLED
    assert first.status.current().note == "Enough."
    assert [text for _, text, _ in cancel_tests(pav_cfg, [second], "Enough.")] == ["cancelled"]
    assert second.job is not None
    assert fake.cancelled == [second.job.name]


def test_a_series_is_cancelled_with_one_call_per_job(
    pav_cfg: PavConfig, fake: Fake, series: Series
) -> None:
    outcomes = cancel_tests(pav_cfg, series.tests, "Enough.")
    assert [(test.id, text) for test, text, _ in outcomes] == [
        ("s1.1", "cancelled"),
        ("s1.2", "cancelled"),
        ("s1.3", "cancelled"),
    ]
    assert len(fake.cancelled) == len(set(fake.cancelled)) == 2
    assert all(test.result == "ERROR" for test in series.tests)


def test_jobs_that_were_handed_over_last_are_cancelled_first(
    pav_cfg: PavConfig, fake: Fake, series: Series
) -> None:
    """A job that runs and is cancelled makes room for one that waits, which would start for nothing."""
    jobs = list({test.job.path: test.job for test in series.tests if test.job}.values())
    for age, job in enumerate(jobs):
        os.utime(job.path / job.INFO_FN, (1000 - age, 1000 - age))
    cancel_tests(pav_cfg, series.tests, "Enough.")
    assert fake.cancelled == [job.name for job in jobs]
    os.utime(jobs[1].path / Job.INFO_FN, (2000, 2000))
    cancel_tests(pav_cfg, series.tests[::-1], "Again.")
    assert fake.cancelled[2:] == [job.name for job in jobs[::-1]]


def test_what_is_over_is_not_cancelled(pav_cfg: PavConfig, fake: Fake, series: Series) -> None:
    test = series.tests[2]
    test.save_results({"result": "PASS"})
    test.set_run_complete()
    assert cancel_tests(pav_cfg, [test], "Enough.") == [(test, "had already ended (PASS)", False)]
    assert fake.cancelled == []
    assert test.result == "PASS"


def test_what_has_ended_without_the_mark_is_not_cancelled(
    pav_cfg: PavConfig, fake: Fake, series: Series
) -> None:
    first, second, third = series.tests
    first.save_results({"result": "PASS", "note": "By itself."})
    second.status.set(STATES.SCHED_ERROR, "The node burned down.")
    third.status.set(STATES.CANCELLED, "By a user.")
    assert [outcome.text for outcome in cancel_tests(pav_cfg, series.tests, "Enough.")] == [
        "had already ended (PASS)",
        "had already ended (ERROR)",
        "already cancelled",
    ]
    assert [test.status.current().state for test in series.tests] == [
        STATES.COMPLETE,
        STATES.SCHED_ERROR,
        STATES.CANCELLED,
    ]
    assert all(test.complete for test in series.tests)


@pytest.mark.parametrize(
    "answer",
    [
        "permission denied",
        RuntimeError("permission denied"),
        SchedulerPluginError("permission denied"),
    ],
)
def test_a_job_that_cannot_be_cancelled_is_told(
    pav_cfg: PavConfig, fake: Fake, series: Series, answer: Any
) -> None:
    fake.cancel_answer = answer
    (outcome,) = cancel_tests(pav_cfg, [series.tests[2]], "Enough.")
    assert outcome.failed and "may still be running" in outcome.text
    assert "permission denied" in outcome[1]
    assert series.tests[2].complete


def test_a_test_that_cannot_be_cancelled_does_not_save_the_others(
    pav_cfg: PavConfig, series: Series
) -> None:
    first, second, third = series.tests
    first.status.path.unlink()
    first.status.path.mkdir()
    outcomes = cancel_tests(pav_cfg, [first, second, third], "Enough.")
    assert outcomes[0][1].startswith("not cancelled: ")
    assert str(first.status.path) in outcomes[0][1]
    assert [test.complete for test in series.tests] == [False, True, True]
    # Its job is cancelled all the same: all of its tests were to be.
    assert outcomes[0].failed and outcomes[0].text.endswith("; but its job was cancelled")
    assert outcomes[1][1] == "cancelled"


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (TestStatusInfo(STATES.SCHEDULED, "Job 7 waits."), "still shows it: Job 7 waits."),
        (TestStatusInfo(STATES.SCHED_WARNING, "No answer."), "could not be confirmed: No answer."),
        (None, "could not be confirmed"),
        (OSError("no route"), "could not be confirmed"),
    ],
)
def test_a_cancel_that_is_not_seen_to_be_true_is_not_believed(
    pav_cfg: PavConfig,
    fake: Fake,
    series: Series,
    answer: Any,
    told: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fake, "CONFIRM_CANCEL", 0.2)
    fake.keeps_jobs, fake.answer = True, answer
    (outcome,) = cancel_tests(pav_cfg, [series.tests[2]], "Enough.")
    assert outcome.failed and told in outcome.text
    assert "accepted the request to cancel" in outcome.text


def test_a_job_that_is_stuck_in_its_queue_can_be_cancelled(
    pav_cfg: PavConfig, fake: Fake, series: Series
) -> None:
    """Its test has ended because of it, as with Grid Engine's Eqw."""
    test = series.tests[2]
    fake.answer = TestStatusInfo(STATES.SCHED_ERROR, "Job 7 is in an error state.")
    assert current_status(pav_cfg, test).state == STATES.SCHED_ERROR and test.complete
    assert test.job is not None
    (outcome,) = cancel_tests(pav_cfg, [test], "Enough.")
    assert fake.cancelled == [test.job.name] and not outcome.failed
    # That it is over by then is no failure.
    fake.cancel_answer = "There is no job 7."
    (outcome,) = cancel_tests(pav_cfg, [test], "Enough.")
    assert not outcome.failed and "There is no job 7." in outcome.text


def test_a_job_that_no_one_can_look_for_is_not_called_cancelled(
    pav_cfg: PavConfig, fake: Fake, series: Series
) -> None:
    """Its record is lost, and the plugin has no way to find it."""
    test = series.tests[2]
    assert test.job is not None
    (test.job.path / test.job.INFO_FN).unlink()
    (outcome,) = cancel_tests(pav_cfg, [test], "Enough.")
    assert outcome.failed and "cannot be determined" in outcome.text
    assert "_recover_identity" in outcome.text


@pytest.mark.parametrize("state", [STATES.SCHEDULED, STATES.SCHED_RUNNING, STATES.SCHED_WARNING])
def test_a_job_that_is_there_after_a_failed_kickoff_is_kept(
    pav_cfg: PavConfig, fake: Fake, state: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Fake, "_recover_identity", lambda self, job: JobInfo(id="by its mark"))
    fake.refuse, fake.answer = True, TestStatusInfo(state, "There it is.")
    series = Series.create(pav_cfg, _suite(pav_cfg, THREE))
    assert series.kick_off() == []
    assert not any(test.complete for test in series.tests)
    assert {test.job.info["id"] for test in series.tests if test.job} == {"by its mark"}
    # One that is not there is refused.
    fake.answer = TestStatusInfo(STATES.SCHED_ERROR, "There is no such job.")
    series = Series.create(pav_cfg, _suite(pav_cfg, THREE))
    assert len(series.kick_off()) == 2
    assert all(test.complete for test in series.tests)


@pytest.mark.parametrize("starter_lives", [True, False])
def test_a_job_without_a_record(
    pav_cfg: PavConfig,
    fake: Fake,
    series: Series,
    starter_lives: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is on its way; or it is found by the mark that its starter left."""
    test = series.tests[2]
    assert test.job is not None
    (test.job.path / test.job.INFO_FN).unlink()
    if starter_lives:
        # As while it hands tests over.
        (series.path / STARTING_FN).touch()
    monkeypatch.setattr(Fake, "_recover_identity", lambda self, job: JobInfo(id="by its mark"))
    (outcome,) = cancel_tests(pav_cfg, [test], "Enough.")
    assert not outcome.failed
    if starter_lives:
        assert "just being handed to the scheduler" in outcome.text and fake.cancelled == []
    else:
        assert outcome.text == "cancelled" and fake.cancelled == ["by its mark"]
        # One that left no mark was never handed over.
        monkeypatch.setattr(Fake, "_recover_identity", lambda self, job: None)
        (outcome,) = cancel_tests(pav_cfg, [test], "Enough.")
        assert (outcome.text, outcome.failed) == ("already cancelled", False)
        assert len(fake.cancelled) == 1
        # And nobody says that it was cancelled, where the test's end cannot be written.
        (test.path / "RUN_COMPLETE").unlink()
        test.status.path.unlink()
        test.status.path.mkdir()
        (outcome,) = cancel_tests(pav_cfg, [test], "Enough.")
        assert outcome.failed and outcome.text.startswith("not cancelled: ")
        assert "its job" not in outcome.text


def test_a_test_without_a_job_is_just_cancelled(pav_cfg: PavConfig, fake: Fake) -> None:
    series = Series.create(pav_cfg, _suite(pav_cfg, THREE))
    assert [text for _, text, _ in cancel_tests(pav_cfg, series.tests, "Enough.")] == [
        "cancelled"
    ] * 3
    assert fake.cancelled == []


def test_a_cancel_that_failed_may_be_repeated(
    pav_cfg: PavConfig,
    fake: Fake,
    series: Series,
) -> None:
    fake.cancel_answer = "the scheduler is down"
    (outcome,) = cancel_tests(pav_cfg, [series.tests[2]], "Enough.")
    assert outcome.failed
    fake.cancel_answer = None
    (outcome,) = cancel_tests(pav_cfg, [series.tests[2]], "Enough.")
    assert not outcome.failed
    assert len(fake.cancelled) == 2


def test_a_damaged_test_does_not_hide_the_others(pav_cfg: PavConfig, series: Series) -> None:
    (series.tests[1].path / "test.json").write_text("{", encoding="ascii")
    loaded = Series.load(pav_cfg, series.id)
    assert [test.id for test in loaded.tests] == ["s1.1", "s1.3"]
    assert len(loaded.damaged) == 1
    assert "s1.2" in loaded.damaged[0].pformat()


def test_tests_that_nobody_will_start_any_more_end(pav_cfg: PavConfig, fake: Fake) -> None:
    series = Series.create(pav_cfg, _suite(pav_cfg, THREE))
    assert not wait_for(pav_cfg, series.tests, timeout=0), "their starter, this process, lives"
    record = json.loads((series.path / "series.json").read_text(encoding="utf-8"))
    # As if another process had made the series: one whose pid we have now.
    record["starter"]["start_time"] -= 1
    (series.path / "series.json").write_text(json.dumps(record), encoding="utf-8")
    assert wait_for(pav_cfg, series.tests, timeout=10)
    for test in series.tests:
        assert test.result == "ERROR"
        assert "never handed to its scheduler" in test.status.current().note


def _move_starter(series: Series, **changes: Any) -> None:
    """Let another process have made the series."""
    record = json.loads((series.path / "series.json").read_text(encoding="utf-8"))
    record["starter"].update(changes)
    (series.path / "series.json").write_text(json.dumps(record), encoding="utf-8")


def _age(seconds: float, *paths: Path) -> None:
    """Let files have been written so long ago."""
    then = time.time() - seconds
    for path in paths:
        os.utime(path, (then, then), follow_symlinks=False)


def test_a_starter_on_another_host_counts_as_gone_without_a_sign_of_life(
    pav_cfg: PavConfig, fake: Fake
) -> None:
    series = Series.create(pav_cfg, _suite(pav_cfg, THREE))
    _move_starter(series, host="elsewhere")
    test = series.tests[0]
    _age(60, series.path / STARTING_FN)
    assert current_status(pav_cfg, test).state == STATES.CREATED
    assert not test.complete
    _age(200, series.path / STARTING_FN)
    assert current_status(pav_cfg, test).state == STATES.SCHED_ERROR
    assert test.complete and "on elsewhere" in test.status.current().note
    # The same host under the same name, after a boot; or one with the same name.
    _move_starter(series, host=os.uname().nodename, boot_id="another")
    assert wait_for(pav_cfg, series.tests, timeout=10)


def test_the_file_servers_clock_decides(
    pav_cfg: PavConfig, fake: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    series = Series.create(pav_cfg, _suite(pav_cfg, THREE))
    _move_starter(series, host="elsewhere")
    # This host's clock is an hour ahead.
    ahead = SimpleNamespace(time=lambda: time.time() + 3600)
    monkeypatch.setattr("pavilion.starter.time", ahead)
    assert current_status(pav_cfg, series.tests[0]).state == STATES.CREATED
    assert [path.name for path in series.path.iterdir() if "clock" in path.name] == []


def test_a_starter_of_an_earlier_version_gives_no_signs(pav_cfg: PavConfig, fake: Fake) -> None:
    series = Series.create(pav_cfg, _suite(pav_cfg, THREE))
    _move_starter(series, host="elsewhere", beats=False)
    (series.path / STARTING_FN).unlink()
    assert current_status(pav_cfg, series.tests[0]).state == STATES.CREATED
    _age(400, series.path / "series.json", *(test.status.path for test in series.tests))
    assert current_status(pav_cfg, series.tests[0]).state == STATES.SCHED_ERROR


def test_signs_of_life_are_given_while_tests_are_handed_over(
    pav_cfg: PavConfig, fake: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pavilion.starter.BEAT", 0.01)
    series = Series.create(pav_cfg, _suite(pav_cfg, THREE))
    sign = series.path / STARTING_FN
    seen: list[bool] = []

    def kickoff(job: Job) -> None:
        _age(1000, sign)
        until(lambda: sign.stat().st_mtime > time.time() - 500, "a sign of life")
        seen.append(True)

    fake.on_kickoff = kickoff
    assert series.kick_off() == []
    assert seen == [True, True] and not sign.exists()


def test_a_job_whose_starter_left_no_mark_was_never_handed_over(
    pav_cfg: PavConfig, fake: Fake, series: Series, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed between making the job's directory and submitting it."""
    test = series.tests[2]
    assert test.job is not None
    (test.job.path / test.job.INFO_FN).unlink()
    # Of a plugin that leaves no marks, nobody can tell so soon.
    assert current_status(pav_cfg, test).state == STATES.SCHEDULED and not test.complete
    monkeypatch.setattr(Fake, "_recover_identity", lambda self, job: None)
    (series.path / STARTING_FN).touch()
    assert current_status(pav_cfg, test).state == STATES.SCHEDULED and not test.complete
    (series.path / STARTING_FN).unlink()
    status = current_status(pav_cfg, test)
    assert status.state == STATES.SCHED_ERROR and "never handed" in status.note
    assert test.complete


def test_a_starter_that_is_done_hands_nothing_over_any_more(
    pav_cfg: PavConfig, fake: Fake, series: Series, monkeypatch: pytest.MonkeyPatch
) -> None:
    starter = Starter.load(series.path)
    assert starter is not None and starter.is_here and starter.gone(series.path)
    test = series.tests[2]
    assert test.job is not None
    (test.job.path / test.job.INFO_FN).unlink()
    monkeypatch.setattr(Fake, "_recover_identity", lambda self, job: None)
    assert [outcome.text for outcome in cancel_tests(pav_cfg, [test], "Enough.")] == ["cancelled"]


# ------------------------------------------------------------------------- interrupted, hanging


@pytest.mark.parametrize("leaves_mark", [True, False])
def test_an_interrupt_inside_a_kickoff_leaves_no_test_without_an_end_or_a_job(
    pav_cfg: PavConfig, fake: Fake, monkeypatch: pytest.MonkeyPatch, leaves_mark: bool
) -> None:
    series = Series.create(pav_cfg, _suite(pav_cfg, THREE))

    def interrupt(job: Job) -> None:
        raise KeyboardInterrupt

    fake.on_kickoff = interrupt
    info = JobInfo(id="by its mark") if leaves_mark else None
    monkeypatch.setattr(Fake, "_recover_identity", lambda self, job: info)
    with pytest.raises(KeyboardInterrupt):
        series.kick_off()
    states = [test.status.current().state for test in series.tests]
    if leaves_mark:
        assert states == [STATES.SCHEDULED, STATES.SCHEDULED, STATES.SCHED_CANCELLED]
        assert series.tests[0].job is not None and series.tests[0].job.info == info
    else:
        assert states == [STATES.SCHED_ERROR, STATES.SCHED_ERROR, STATES.SCHED_CANCELLED]
        assert all(test.complete for test in series.tests)


def test_a_job_whose_starter_was_killed_is_found_by_its_mark(
    pav_cfg: PavConfig, fake: Fake, series: Series, monkeypatch: pytest.MonkeyPatch
) -> None:
    test = series.tests[2]
    assert test.job is not None
    (test.job.path / test.job.INFO_FN).unlink()
    monkeypatch.setattr(Fake, "_recover_identity", lambda self, job: JobInfo(id="by its mark"))
    fake.answer = TestStatusInfo(STATES.SCHED_RUNNING, "Runs.")
    assert current_status(pav_cfg, test).state == STATES.SCHED_STARTUP
    assert test.job.info == {"id": "by its mark"}


def test_a_scheduler_that_hangs_keeps_nobody_from_giving_up(
    pav_cfg: PavConfig, fake: Fake, series: Series
) -> None:
    hung, go_on = threading.Event(), threading.Event()

    def hang() -> None:
        hung.set()
        go_on.wait(30)

    fake.on_query = hang
    began = time.monotonic()
    try:
        assert not wait_for(pav_cfg, series.tests, timeout=0.5)
        assert hung.is_set() and time.monotonic() - began < 10
        assert [(call.scheduler, call.method) for call in calls_at_work()] == [
            ("fake", "_job_status")
        ]
    finally:
        go_on.set()
    until(lambda: not calls_at_work(), "its end")


def test_what_goes_wrong_in_asking_is_not_swallowed(
    pav_cfg: PavConfig, series: Series, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError("a bug of ours")

    monkeypatch.setattr("pavilion.waiting._look", fail)
    with pytest.raises(RuntimeError, match="a bug of ours"):
        wait_for(pav_cfg, series.tests, timeout=10)


# ------------------------------------------------------------------ ends that stand, or cannot be


def test_a_result_without_a_last_state_is_the_end(
    pav_cfg: PavConfig, fake: Fake, series: Series
) -> None:
    """It was stopped between two writes."""
    first, second, third = series.tests
    for test, result in ((first, "PASS"), (second, "FAIL"), (third, "nonsense")):
        test.status.set(STATES.RUNNING, "Running.")
        test.save_results({"result": result, "note": "By itself."})
    fake.answer = TestStatusInfo(STATES.SCHED_ERROR, "The job is over.")
    assert series.wait(timeout=30)
    assert [(test.result, test.status.current().state) for test in (first, second)] == [
        ("PASS", STATES.COMPLETE),
        ("FAIL", STATES.COMPLETE),
    ]
    assert first.status.current().note == "PASS: By itself."
    assert third.status.current().state == STATES.SCHED_ERROR


def test_an_end_that_cannot_be_recorded_is_told_and_written_once(
    pav_cfg: PavConfig, fake: Fake, series: Series, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: TestRun) -> None:
        raise TestRunError(
            f"The end of test {self.id} cannot be recorded",
            prior_error=OSError(28, "No inodes left"),
        )

    monkeypatch.setattr("pavilion.waiting.LAST_WORD", 0.2)
    fake.answer = TestStatusInfo(STATES.SCHED_ERROR, "The node burned down.")
    heard: dict[str, TestStatusInfo] = {}
    with monkeypatch.context() as patch:
        patch.setattr(TestRun, "set_run_complete", full)
        assert wait_for(
            pav_cfg,
            series.tests,
            timeout=30,
            hear=lambda test, status: heard.update({test.id: status}),
        )
        status = current_status(pav_cfg, series.tests[0])
    assert isinstance(status, LastWord) and status.is_end
    assert "burned down" in status.note and "could not be recorded" in status.note
    assert "No inodes left" in status.note
    assert set(heard) == {"s1.1", "s1.2", "s1.3"}
    for test in series.tests:
        assert not test.complete
        assert [info.state for info in test.status.history()].count(STATES.SCHED_ERROR) == 1
    # As soon as there is room, it is recorded.
    assert series.wait(timeout=30)
    for test in series.tests:
        assert test.complete
        assert [info.state for info in test.status.history()].count(STATES.SCHED_ERROR) == 1


def test_a_forgotten_test_whose_end_cannot_be_recorded(
    pav_cfg: PavConfig, fake: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    series = Series.create(pav_cfg, _suite(pav_cfg, THREE))
    _move_starter(series, start_time=1)

    def read_only(*_: Any) -> None:
        raise TestRunError("Read-only file system")

    monkeypatch.setattr("pavilion.waiting.LAST_WORD", 0.2)
    monkeypatch.setattr(TestRun, "set_run_complete", read_only)
    monkeypatch.setattr(StatusFile, "set", read_only)
    status = current_status(pav_cfg, series.tests[0])
    assert isinstance(status, LastWord) and status.state == STATES.SCHED_ERROR
    assert "never handed" in status.note and "Read-only" in status.note
    assert wait_for(pav_cfg, series.tests, timeout=30)


@pytest.mark.parametrize("what", ["test", "job"])
def test_files_that_are_gone_end_the_waiting(
    pav_cfg: PavConfig, fake: Fake, series: Series, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    monkeypatch.setattr("pavilion.waiting.LAST_WORD", 0.2)
    test = series.tests[2]
    assert test.job is not None
    gone = test.path if what == "test" else test.job.path
    test.status.set(STATES.RUNNING, "Running.")
    shutil.rmtree(gone)
    heard: list[TestStatusInfo] = []
    assert wait_for(pav_cfg, [test], timeout=30, hear=lambda test, status: heard.append(status))
    assert isinstance(heard[-1], LastWord) and not heard[-1].is_end
    assert str(gone) in heard[-1].note and "does not exist any more" in heard[-1].note
    assert "does not exist any more" in current_status(pav_cfg, test).note
    if what == "job":
        assert [info.state for info in test.status.history()][-1] == STATES.RUNNING


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_the_end_of_a_colleagues_test_is_told_and_ends_the_waiting(
    pav_cfg: PavConfig, fake: Fake, series: Series, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pavilion.waiting.LAST_WORD", 0.2)
    fake.answer = TestStatusInfo(STATES.SCHED_ERROR, "The node burned down.")
    for test in series.tests:
        os.chown(test.path, 12345, 12345)
    heard: list[TestStatusInfo] = []
    assert wait_for(
        pav_cfg, series.tests, timeout=30, hear=lambda test, status: heard.append(status)
    )
    assert all(isinstance(status, LastWord) and status.is_end for status in heard)
    assert "burned down" in heard[0].note and "belongs to another user" in heard[0].note
    assert [test.complete for test in series.tests] == [False] * 3
    assert {test.status.current().state for test in series.tests} == {STATES.SCHEDULED}
