"""What is told while tests are waited for."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

import pytest

from pavilion.cli import failures, patience, waiting
from pavilion.cli.waiting import Waits, _NowAndThen
from pavilion.schedulers.lifecycle import handover
from pavilion.status_file import STATES, TestStatusInfo
from pavilion.waiting import LastWord, last_word


def waiting_test(number: int, job: str, state: str = STATES.SCHEDULED) -> Any:
    status = SimpleNamespace(current=lambda: TestStatusInfo(state, "Handed over."))
    return SimpleNamespace(
        id=f"s1.{number}", job=SimpleNamespace(name=job), status=status, complete=False
    )


def test_each_reason_is_told_once() -> None:
    waits = Waits()
    tests = [waiting_test(1, "a"), waiting_test(2, "b"), waiting_test(3, "c", STATES.RUNNING)]
    for number, test in enumerate(tests, 7):
        waits.hear(test, TestStatusInfo(STATES.SCHEDULED, f"Job {number} waits\nfor 2.5 s."))
    assert waits.news(tests) == ["s1.1 and 1 more: Job 7 waits for 2.5 s."]
    waits.hear(tests[1], TestStatusInfo(STATES.SCHEDULED, "Job 8 waits\nfor 30 s."))
    assert waits.news(tests) == []
    waits.hear(tests[1], TestStatusInfo(STATES.SCHED_WARNING, "No answer."))
    assert waits.news(tests) == ["s1.2: No answer."]


def test_a_test_of_its_own_state_is_not_told_about() -> None:
    waits = Waits()
    runs, starts = waiting_test(1, "a", STATES.RUNNING), waiting_test(2, "a")
    waits.hear(runs, TestStatusInfo(STATES.SCHED_STARTUP, "Runs."))
    assert waits.status_of(runs) is None
    # What is heard of a job is so of all its tests.
    assert waits.status_of(starts) == TestStatusInfo(
        STATES.SCHED_STARTUP, "Runs.", waits.status_of(starts).when
    )  # type: ignore
    assert waits.news([runs, starts]) == []


def test_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(waiting.time, "monotonic", lambda: now[0])
    seen: list[int] = []
    say = _NowAndThen(lambda left: seen.append(len(left)))
    for moment in (100.0, 129.0, 130.5, 150.0, 161.0):
        now[0] = moment
        say([waiting_test(1, "a")])
    now[0] = 999.0
    say([])
    assert seen == [1, 1]


@pytest.mark.parametrize(
    ("note", "shown"),
    [
        ("One line.", "One line."),
        ("Refused (x)\n  Disk full.\n  More.", "Refused (x): Disk full."),
        ("Killed.\nThe log ends with:\nx", "Killed."),
        ("", ""),
    ],
)
def test_a_note_in_a_table(note: str, shown: str) -> None:
    assert failures.one_line_note(note) == shown


def test_an_end_that_is_not_recorded_is_told_with_its_tests() -> None:
    waits = Waits()
    tests = [waiting_test(1, "a"), waiting_test(2, "b"), waiting_test(3, "c")]
    for test in tests[:2]:
        waits.hear(test, last_word(TestStatusInfo(STATES.SCHED_ERROR, "Burned\ndown.")))
    waits.hear(tests[2], TestStatusInfo(STATES.SCHEDULED, "Waits."))
    assert waits.unrecorded(tests) == [
        "s1.1, s1.2: the end is not recorded, and is not waited for any longer. Burned down."
    ]
    assert isinstance(waits.status_of(tests[0]), LastWord)
    # It may be recorded after all, or turn out to be alive.
    tests[0].complete = True
    waits.hear(tests[1], TestStatusInfo(STATES.SCHEDULED, "Waits."))
    assert waits.unrecorded(tests) == []


def test_a_slow_method_is_named_once_per_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "SLOW", 0.0)
    slow = patience.SlowCalls()
    assert slow.news() == []
    for _ in range(2):
        with handover.calling("gridengine", "_job_status"):
            assert slow.news() == ["Still waiting for gridengine: _job_status."]
            assert slow.news() == []
        assert slow.news() == []
    # What says itself what it waits for is not slow without a reason.
    way = handover.Handover()
    way.report("The queue is full.")
    with handover.calling("gridengine", "_kickoff", way):
        assert slow.news() == []


def test_work_is_done_patiently(capsys: pytest.CaptureFixture[str]) -> None:
    assert patience.patiently(lambda: 7) == 7
    with pytest.raises(ZeroDivisionError):
        patience.patiently(lambda: 1 // 0)
    stop = threading.Event()
    try:
        with pytest.raises(patience.OutOfTimeError):
            patience.patiently(lambda: stop.wait(30), patience.Deadline(0.3))
    finally:
        stop.set()
    assert capsys.readouterr().err == ""
