"""Cancelling: with one command, confirmed, and never somebody else's job."""

from __future__ import annotations

import pytest

from batch import faults
from batch.bench import Bench, info
from batch.sites import Can
from batch.waiting import until
from pavilion.jobs import JobInfo

LOST = "the connection was lost"


def cancels(bench: Bench) -> int:
    """How many cancel commands were run."""
    return bench.faults.count(bench.site.cancel)


@pytest.mark.needs(Can.HOLD)
def test_jobs_of_every_kind_in_one_command(bench: Bench) -> None:
    running = [bench.start_long() for _ in range(2)]
    over = bench.start()
    bench.wait_no_jobs(over)
    waiting = bench.start(bench.site.waiting())
    tests = [*running, over, waiting]
    unknown = JobInfo(info(over), id="4000000", token="pav-0123456789abcdef", when="1")
    elsewhere = JobInfo(info(over), sys_name="elsewhere")
    damaged = JobInfo(info(over), id="12 --all", token="")
    bench.wait_status(over, "SCHED_ERROR")
    records = [*map(info, tests), unknown, elsewhere, damaged, info(running[0])]
    messages = bench.plugin.cancel_jobs(records)
    assert messages[:4] == [None] * 4 and messages[7] is None
    assert messages[4] is None or "4000000" in messages[4]
    assert "'elsewhere'" in str(messages[5]) and "is damaged" in str(messages[6])
    # One, or one for each job where a command takes one.
    assert cancels(bench) <= -(-len(tests) // bench.plugin.CANCEL_BATCH)
    # It was waited for.
    bench.wait_no_jobs(*tests)
    if Can.TELL_CANCELLED in bench.site.can:
        for test in (*running, waiting):
            bench.wait_status(test, "SCHED_CANCELLED")
    assert bench.ran(waiting) == 0
    # Once more does no harm.
    assert bench.plugin.cancel_jobs([info(test) for test in tests]) == [None] * 4


def test_a_foreign_job_with_the_same_id_is_never_cancelled(bench: Bench) -> None:
    foreign = bench.site.foreign()
    test = bench.start()
    bench.wait_no_jobs(test)
    bench.wait_status(test, "SCHED_ERROR")
    for record in (
        # It had this id before; its record is whole.
        JobInfo(info(test), id=foreign),
        # It was never seen by anybody.
        JobInfo(info(test), id=foreign, token="pav-0123456789abcdef", when="1"),
    ):
        bench.plugin.cancel(record)
        assert bench.alive(foreign)
    assert not [call for call in bench.faults.calls(bench.site.cancel) if foreign in call.split()]


@pytest.mark.parametrize("what", ["fails", "hangs", "is killed"])
def test_a_cancel_whose_answer_was_lost(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """What counts is whether the job is gone."""
    test = bench.start_long()
    bench.wait_status(test, "SCHED_STARTUP")
    if what == "hangs":
        bench.timeouts(monkeypatch, 3.0)
    fault = {
        "fails": f"echo {LOST} >&2; exit 1",
        "hangs": faults.hangs(),
        "is killed": "kill -9 $$",
    }[what]
    bench.faults.set(bench.site.cancel, faults.done_but(fault))
    message = bench.plugin.cancel(info(test))
    # Jobs take a moment to go, and an unclear answer is looked at once.
    assert message is None or "may still be running" in message
    bench.faults.clear()
    bench.wait_no_jobs(test)
    assert bench.plugin.cancel(info(test)) is None


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (faults.fails(LOST), LOST),
        (faults.hangs(), "gave no answer within"),
        ("kill -9 $$", "signal 9"),
    ],
)
def test_a_cancel_that_did_nothing(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, fault: str, words: str
) -> None:
    test = bench.start_long()
    bench.timeouts(monkeypatch, 3.0)
    with bench.faults.during({bench.site.cancel: fault}):
        message = bench.plugin.cancel(info(test))
    assert message is not None and "may still be running" in message and words in message
    assert bench.alive(info(test)["id"])
    bench.timeouts(monkeypatch, 60.0)
    assert bench.plugin.cancel(info(test)) is None
    bench.wait_no_jobs(test)


def test_a_cancel_that_is_accepted_and_not_done(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench.plugin, "CANCEL_WAIT", 1.0)
    test = bench.start_long()
    with bench.faults.during({bench.site.cancel: "exit 0"}):
        message = bench.plugin.cancel(info(test))
    assert message is not None
    assert f"accepted the request to cancel job {info(test)['id']}, but still shows it" in message
    assert bench.alive(info(test)["id"])


def test_while_the_list_cannot_be_had_nothing_is_cancelled(bench: Bench) -> None:
    """Whose job has the id now is not known either."""
    test = bench.start_long()
    bench.wait_status(test, "SCHED_STARTUP")
    with bench.faults.during({bench.site.jobs: faults.fails(LOST)}):
        message = bench.plugin.cancel(info(test))
    assert message is not None and LOST in message
    assert f"job {info(test)['id']} may still be running" in message
    assert "Try again later" in message
    assert cancels(bench) == 0 and bench.alive(info(test)["id"]) and not test.complete
    until(lambda: bench.plugin.cancel(info(test)) is None, "cancelled at last")
    bench.wait_no_jobs(test)


def test_a_cancel_that_cannot_be_confirmed(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The list fails after the cancel command has done its work."""
    monkeypatch.setattr(bench.plugin, "CANCEL_WAIT", 1.0)
    test = bench.start_long()
    lost = str(bench.faults.here / f"{bench.site.jobs}.fault")
    bench.faults.set(
        bench.site.cancel, faults.done_but(f'echo "echo {LOST} >&2; exit 1" >"{lost}"; exit 0')
    )
    message = bench.plugin.cancel(info(test))
    assert message is not None and "whether the job has ended is not known" in message
    assert LOST in message
    bench.faults.clear()
    bench.wait_no_jobs(test)
    until(lambda: bench.plugin.cancel(info(test)) is None, "it is known")


@pytest.mark.needs(Can.FORGET)
def test_a_job_that_was_seen_to_end_and_then_forgotten(bench: Bench) -> None:
    """A moment after its submission it could be one that is not listed yet."""
    test = bench.start()
    bench.wait_status(test, "SCHED_ERROR")
    bench.site.forget_ended()
    assert bench.plugin.cancel(info(test)) is None
    assert cancels(bench) == 0


@pytest.mark.needs(Can.DENY)
def test_a_cancel_that_is_denied(bench: Bench) -> None:
    test = bench.start_long()
    job_id, denied = info(test)["id"], bench.site.denied
    bench.faults.set(
        bench.site.cancel,
        faults.fails(denied.text.replace("ID", job_id), denied.code, denied.on_stdout),
    )
    message = bench.plugin.cancel(info(test))
    bench.faults.clear()
    assert message is not None and message.startswith(f"You may not cancel job {job_id}: ")
    assert bench.alive(job_id)


def test_an_unknown_job(bench: Bench) -> None:
    test = bench.start()
    record = JobInfo(info(test), id="4000000", token="pav-0123456789abcdef", when="1")
    message = bench.plugin.cancel(record)
    assert message is None or "4000000" in message
    assert cancels(bench) == 0
