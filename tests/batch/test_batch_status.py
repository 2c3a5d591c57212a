"""What a test shows of its job is true, or is said not to be known: whatever the scheduler answers."""

from __future__ import annotations

import shlex
import time
from functools import partial

import pytest

from batch import faults
from batch.bench import Bench, info, new_plugin
from batch.sites import Can
from batch.waiting import until
from pavilion.jobs import JobInfo
from pavilion.schedulers.batch import client, history
from pavilion.schedulers.batch.whose import sys_name
from pavilion.schedulers.lifecycle.job_table import JobTable

LOST = "the connection was lost"


# --- Jobs that end ---


def test_how_jobs_end(bench: Bench) -> None:
    well = bench.start()
    badly = bench.start({}, "echo its last words; exit 3")
    for test in (well, badly):
        status = bench.wait_status(test, "SCHED_ERROR")
        assert f"ob {info(test)['id']}" in status.note
        # That was its end, once.
        assert test.complete and test.fake_ended == 1
        assert test.fake_states == ["SCHEDULED", "SCHED_ERROR"]
        assert bench.ran(test) == 1
    if bench.site.can & {Can.LIST_ENDED, Can.TELL_HISTORY}:
        assert "3" in badly.status.current().note.replace(info(badly)["id"], "", 1)


def test_a_test_with_an_end_of_its_own_keeps_it(bench: Bench) -> None:
    test = bench.start()
    test.status.set("COMPLETE", "It passed.")
    test.set_run_complete()
    bench.wait_no_jobs(test)
    assert bench.status(test).note == "It passed."


def test_a_job_that_somebody_cancelled(bench: Bench) -> None:
    test = bench.start_long()
    bench.site.cancel_outside(info(test)["id"])
    state = "SCHED_CANCELLED" if Can.TELL_CANCELLED in bench.site.can else "SCHED_ERROR"
    bench.wait_status(test, state)
    assert test.complete and test.fake_ended == 1


@pytest.mark.needs(Can.FORGET)
def test_a_job_that_was_forgotten_after_it_ended(bench: Bench) -> None:
    test = bench.start({}, "exit 3")
    until(lambda: bench.ran(test), "it ran")
    bench.wait_no_jobs(test)
    bench.site.forget_ended()
    assert bench.jobs_of(test) == []
    status = bench.wait_status(test, "SCHED_ERROR")
    assert f"ob {info(test)['id']}" in status.note
    if Can.TELL_HISTORY in bench.site.can:
        assert "accounting" in status.note and "3" in status.note
    else:
        assert f"{bench.plugin.title} does not list" in status.note


@pytest.mark.needs(Can.TELL_HISTORY)
@pytest.mark.parametrize("fault", [faults.hangs(), faults.fails(LOST), faults.part(50), "exit 0"])
def test_an_end_that_the_accounting_does_not_tell(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    monkeypatch.setattr(history, "TIMEOUT", 1.0)
    monkeypatch.setattr(history, "LATE", 3.0)
    monkeypatch.setattr(history, "PAUSE", 0.5)
    bench.faults.set(bench.site.history, fault)
    test = bench.start({}, "exit 3")
    status = bench.wait_status(test, "SCHED_ERROR", f"{bench.plugin.title} does not list")
    assert "ccounting" in status.note and bench.ran(test) == 1


@pytest.mark.needs(Can.FORGET)
def test_one_answer_without_a_job_is_too_little(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As at a site.
    monkeypatch.setattr(client, "JobTable", JobTable)
    test = bench.start()
    until(lambda: bench.ran(test), "it ran")
    bench.wait_no_jobs(test)
    bench.site.forget_ended()
    for _ in range(3):
        status = bench.status(test)
        assert status.state == "SCHEDULED" and not test.complete
        assert "does not list it" in status.note or "too little" in status.note, status.note
        time.sleep(0.3)


@pytest.mark.needs(Can.LIST_ENDED, Can.FORGET)
def test_an_end_that_was_seen_is_kept(bench: Bench) -> None:
    test = bench.start({}, "exit 3")
    record = info(test)
    until(lambda: bench.status_of(record).startswith("SCHED_ERROR"), "its end is seen")
    end = bench.status_of(record)
    bench.site.forget_ended()
    asked = bench.faults.count(bench.site.jobs)
    # Nobody is asked about it any more, and another process learns of it through a file.
    assert bench.status_of(record) == end
    assert bench.status_of(record, new_plugin(bench.site)) == end
    assert bench.faults.count(bench.site.jobs) == asked


# --- Jobs that wait, and that are stuck ---


@pytest.mark.needs(Can.HOLD)
def test_a_job_that_waits(bench: Bench) -> None:
    test = bench.start(bench.site.waiting())
    bench.wait_status(test, "SCHEDULED", f"ob {info(test)['id']} ")
    assert not test.complete and bench.ran(test) == 0


@pytest.mark.needs(Can.GET_STUCK)
def test_a_stuck_job_is_reported_with_its_reason_and_can_be_cancelled(bench: Bench) -> None:
    with bench.site.stuck() as stuck:
        test = bench.start(stuck.schedule)
        assert test.job is not None
        stuck.spoil(test.job.kickoff_path)
        status = bench.wait_status(test, "SCHEDULED", stuck.parts[0])
        for part in stuck.parts:
            assert part in status.note
    assert not test.complete
    assert bench.plugin.cancel(info(test)) is None
    bench.wait_no_jobs(test)
    assert bench.ran(test) == 0


# --- Answers that are not answers ---

BAD_ANSWERS = {
    "fails": faults.fails(LOST),
    "fails on stdout": faults.fails(LOST, stdout=True),
    "fails silently": "exit 1",
    "is killed": "kill -9 $$",
    "hangs": faults.hangs(),
    "prints nothing": "exit 0",
    "prints nonsense": "printf '\\001\\002 Welcome! \\377\\n'; exit 0",
    "prints a tenth": faults.part(10),
    "prints half": faults.part(50),
    "prints nearly all": faults.part(97),
    "fails after half": faults.part(50).replace("exit 0", "exit 1"),
}


@pytest.mark.parametrize("what", BAD_ANSWERS)
def test_a_bad_answer_ends_nothing(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    if what == "hangs":
        bench.timeouts(monkeypatch, 1.0)
    test = bench.start_long()
    bench.wait_status(test, "SCHED_STARTUP")
    with bench.faults.during({bench.site.jobs: BAD_ANSWERS[what]}):
        status = bench.wait_status(test, "SCHED_WARNING")
        assert "It was last seen" in status.note and not test.complete
        assert bench.site.jobs in status.note or bench.plugin.title in status.note
        if LOST in BAD_ANSWERS[what]:
            assert LOST in status.note
        if what == "hangs":
            assert "gave no answer within" in status.note
    bench.timeouts(monkeypatch, 60.0)
    bench.wait_status(test, "SCHED_STARTUP", f"ob {info(test)['id']} ")
    assert "SCHED_WARNING" not in test.fake_states and not test.complete


def test_a_job_that_ends_while_nothing_is_answered(bench: Bench) -> None:
    test = bench.start_long()
    bench.wait_status(test, "SCHED_STARTUP")
    with bench.faults.during({bench.site.jobs: faults.fails(LOST)}):
        bench.release()
        bench.wait_status(test, "SCHED_WARNING", LOST)
        bench.wait_no_jobs(test)
        assert not test.complete
    bench.wait_status(test, "SCHED_ERROR")
    assert test.fake_ended == 1 and bench.ran(test) == 1


def test_a_slow_answer_is_an_answer(bench: Bench) -> None:
    test = bench.start_long()
    bench.faults.set(bench.site.jobs, faults.slow(1.5))
    status = bench.status(test)
    assert status.state == "SCHED_STARTUP" and f"ob {info(test)['id']} " in status.note


@pytest.mark.parametrize(
    "outage",
    [
        pytest.param("down", marks=pytest.mark.needs(Can.STOP)),
        pytest.param("frozen", marks=pytest.mark.needs(Can.FREEZE)),
    ],
)
def test_nothing_ends_while_the_scheduler_is_away(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, outage: str
) -> None:
    end = bench.host.folder / "end"
    running = bench.start_long()
    ending = bench.start({}, f"until [ -e {shlex.quote(str(end))} ]; do sleep 0.1; done")
    bench.wait_begun(ending)
    for test in (running, ending):
        bench.wait_status(test, "SCHED_STARTUP")
    bench.timeouts(monkeypatch, 5.0)
    with getattr(bench.site, outage)():
        end.touch()
        for test in (running, ending):
            status = bench.wait_status(test, "SCHED_WARNING")
            asked = (bench.site.jobs, *bench.site.others)
            assert any(name in status.note for name in asked) and not test.complete
        message = bench.plugin.cancel(info(running))
        assert message is not None and "may still be running" in message
    bench.timeouts(monkeypatch, 60.0)
    bench.wait_status(running, "SCHED_STARTUP")
    bench.wait_status(ending, "SCHED_ERROR")
    assert (bench.ran(running), bench.ran(ending)) == (1, 1)


# --- What identifies a job ---


def test_an_id_that_was_given_out_again_is_another_job(bench: Bench) -> None:
    """As after a scheduler that lost its last seconds of state."""
    other = bench.start_long()
    mine = bench.start()
    bench.wait_no_jobs(mine)
    record = JobInfo(
        info(mine),
        id=info(other)["id"],
        token="pav-0123456789abcdef",
        when=str(time.time() - 1000),
    )
    until(lambda: "different job by now" in bench.status_of(record), "it is noticed")
    shown = bench.status_of(record)
    assert f"job {info(other)['id']} is a different job" in shown
    assert not shown.startswith("SCHED_RUNNING")
    # It is not cancelled, and there is nothing else to cancel.
    assert bench.plugin.cancel(record) is None
    assert bench.alive(info(other)["id"])


def test_the_token_counts_where_the_id_is_wrong(bench: Bench) -> None:
    other, mine = bench.start_long(), bench.start_long()
    record = JobInfo(info(mine), id=info(other)["id"])
    until(
        lambda: bench.status_of(record).startswith("SCHED_RUNNING: Job " + info(mine)["id"] + " "),
        "it is found",
    )
    assert bench.plugin.cancel(record) is None
    bench.wait_no_jobs(mine)
    assert bench.alive(info(other)["id"])


@pytest.mark.needs(Can.SAY_WHICH_SCRIPT)
def test_a_record_of_another_program(bench: Bench) -> None:
    """Pavilion itself hands 'id' and 'sys_name' to cancel(), and no more."""
    test = bench.start_long()
    bare = JobInfo({key: info(test)[key] for key in ("id", "sys_name")})
    until(lambda: bench.status_of(bare).startswith("SCHED_RUNNING"), "it runs")
    assert bench.plugin.cancel(bare) is None
    bench.wait_no_jobs(test)


def test_a_job_of_another_system(bench: Bench) -> None:
    test = bench.start()
    record = JobInfo(info(test), sys_name="elsewhere")
    asked = bench.faults.count(bench.site.jobs)
    shown = bench.status_of(record)
    assert shown.startswith(f"SCHEDULED: Job {info(test)['id']} was started on the system ")
    assert "'elsewhere'" in shown
    assert bench.faults.count(bench.site.jobs) == asked
    message = bench.plugin.cancel(record)
    assert message is not None and "'elsewhere'" in message
    assert bench.faults.count(bench.site.cancel) == 0


@pytest.mark.parametrize(
    "damage",
    [
        {"id": ""},
        {"id": "", "token": ""},
        {"id": "12 --all", "token": ""},
        {"id": "x y"},
        {"when": "soon"},
    ],
    ids=str,
)
def test_a_damaged_record(bench: Bench, damage: dict[str, str]) -> None:
    test = bench.start()
    record = JobInfo({**info(test), **damage})
    try:
        shown = bench.status_of(record)
    except Exception as exc:
        shown = str(exc)
    if damage == {"id": ""}:
        # The token is enough.
        assert "damaged" not in shown
        return
    assert "is damaged" in shown
    assert "is damaged" in (bench.plugin.cancel(record) or "")
    assert bench.faults.count(bench.site.cancel) == 0


def test_a_job_that_is_not_listed_yet(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A scheduler may show a new job late."""
    monkeypatch.setattr(client, "JobTable", partial(JobTable, grace=60.0))
    # The answer from before there was one.
    bench.faults.set(
        bench.site.jobs,
        '[ -e "$here/before" ] || real "$@" >"$here/before"; cat "$here/before"; exit 0',
    )
    bench.status_of(
        JobInfo(
            {"id": "", "token": "pav-0123456789abcdef", "user": "0", "when": "1"},
            sys_name=sys_name(),
        )
    )
    test = bench.start_long()
    for _ in range(3):
        status = bench.status(test)
        assert status.state == "SCHEDULED" and "does not list it yet" in status.note
        time.sleep(0.3)
    bench.faults.clear()
    bench.wait_status(test, "SCHED_STARTUP")
