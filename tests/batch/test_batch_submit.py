"""A job is submitted once, whatever becomes of the submit command and of its answer."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from batch import faults
from batch.bench import Bench, info, job_of, lose_record, new_plugin
from batch.sites import Can
from batch.waiting import until
from contract.fakes import active
from pavilion.jobs import Job
from pavilion.schedulers.batch import submitting
from pavilion.schedulers.talk import safe_files

STARTER = Path(__file__).with_name("starter.py")
LOST = "the connection was lost"


def test_in_the_usual_case_it_takes_one_command(bench: Bench) -> None:
    test = bench.start({}, "echo said")
    assert bench.faults.count(bench.site.submit) == 1
    assert bench.faults.count(bench.site.jobs) == 0
    assert test.fake_accepted == [f"Accepted by {bench.plugin.name} as job {info(test)['id']}."]
    until(lambda: bench.ran(test) == 1, "it ran")
    bench.wait_no_jobs(test)
    assert "said" in job_of(test).kickoff_log.read_text()
    assert bench.ran(test) == 1


# --- Answers that are unclear ---

UNCLEAR = {
    "fails": faults.done_but(f"echo {LOST} >&2; exit 1"),
    "fails silently": faults.done_but("exit 99"),
    "fails on stdout": faults.done_but(f"echo {LOST}; exit 1"),
    "is killed": faults.done_but("kill -9 $$"),
    "hangs": faults.done_but(faults.hangs()),
    "prints nothing": faults.answers(""),
    "prints nonsense": faults.answers("\x01\x02 Welcome! 12 jobs\n\xff\n"),
    "prints another number": faults.answers("1e7\n"),
    "prints its first part": faults.part(-2),
}


@pytest.mark.parametrize("what", UNCLEAR)
def test_a_job_whose_answer_was_lost_is_adopted(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    if what == "hangs":
        bench.timeouts(monkeypatch, 3.0)
    bench.faults.set(bench.site.submit, UNCLEAR[what])
    test = bench.start({}, bench.long)
    bench.faults.clear()
    [job] = bench.jobs_of(test)
    assert job.job_id == info(test)["id"]
    bench.wait_begun(test)
    bench.wait_status(test, "SCHED_STARTUP", f"ob {job.job_id} ")
    assert bench.faults.count(bench.site.submit) == 1
    bench.release()
    bench.wait_no_jobs(test)
    assert bench.ran(test) == 1


def test_an_id_that_was_cut_off_is_not_believed(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """'1' may be what is left of '17'; whatever its plugin makes of it."""
    monkeypatch.setattr(
        type(bench.plugin._client.dialect),
        "parse_submission",
        lambda self, result: result.stdout.split()[-1],
    )
    bench.faults.set(bench.site.submit, faults.part(-1))
    test = bench.start({}, bench.long)
    assert [job.job_id for job in bench.jobs_of(test)] == [info(test)["id"]]
    assert bench.faults.count(bench.site.jobs) > 0


def test_a_job_that_ended_before_anybody_looked_is_not_submitted_again(bench: Bench) -> None:
    bench.faults.set(bench.site.submit, faults.done_but(f"sleep 4; echo {LOST} >&2; exit 1"))
    test = bench.start()
    bench.faults.clear()
    until(lambda: bench.ran(test), "it ran")
    bench.wait_no_jobs(test)
    bench.wait_status(test, "SCHED_ERROR")
    assert bench.ran(test) == 1
    assert bench.faults.count(bench.site.submit) == 1


@pytest.mark.parametrize("times", [1, 2])
def test_a_command_that_did_nothing_is_repeated(bench: Bench, times: int) -> None:
    bench.faults.set(bench.site.submit, faults.fails(LOST), times)
    test = bench.start({}, bench.long)
    assert bench.faults.count(bench.site.submit) == times + 1
    assert [job.job_id for job in bench.jobs_of(test)] == [info(test)["id"]]
    bench.release()
    bench.wait_no_jobs(test)
    assert bench.ran(test) == 1


def test_a_command_that_succeeded_is_not_repeated(bench: Bench) -> None:
    """Even if its answer shows no id, and the list of jobs lacks the job: it says that it did it."""
    bench.faults.set(bench.site.submit, "exit 0")
    test = bench.start()
    bench.faults.clear()
    assert bench.faults.count(bench.site.submit) == 1
    # Should there be no such job, that is found in the end.
    status = bench.wait_status(test, "SCHED_ERROR", "does not list")
    assert info(test)["token"] in status.note


def test_it_is_not_tried_for_ever(bench: Bench) -> None:
    bench.faults.set(bench.site.submit, faults.fails(LOST))
    message = bench.refused()
    assert "did not accept the job in 3 tries" in message and LOST in message
    assert bench.faults.count(bench.site.submit) == submitting.ATTEMPTS
    assert bench.ours() == []


def test_a_job_that_nobody_can_be_asked_about_is_found_later(bench: Bench) -> None:
    lost = faults.fails(LOST)
    with bench.faults.during({bench.site.submit: UNCLEAR["fails"], bench.site.jobs: lost}):
        test = bench.start({}, bench.long)
        token = info(test)["token"]
        assert info(test)["id"] == token
        status = bench.wait_status(test, "SCHED_WARNING", LOST)
        assert not test.complete and bench.site.jobs in status.note
    [job] = bench.jobs_with(token)
    bench.wait_status(test, "SCHED_STARTUP", f"ob {job.job_id} ")
    # Its record has the id from now on, and so has the history of its test.
    assert info(test)["id"] == job.job_id
    assert test.fake_accepted == [f"Accepted by {bench.plugin.name} as job {job.job_id}."]
    assert bench.plugin.cancel(info(test)) is None
    bench.wait_no_jobs(test)
    assert bench.ran(test) <= 1


def test_nobody_took_it_and_nobody_can_be_asked(bench: Bench) -> None:
    lost = faults.fails(LOST)
    with bench.faults.during({bench.site.submit: lost, bench.site.jobs: lost}):
        test = bench.start()
    # It is known in the end that there is no such job.
    status = bench.wait_status(test, "SCHED_ERROR", "does not list")
    assert info(test)["token"] in status.note
    assert bench.faults.count(bench.site.submit) == 1 and bench.ran(test) == 0


# --- Records that were lost ---


def test_a_job_whose_record_was_lost_is_found_by_its_token(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    test = bench.start_long()
    job_id = info(test)["id"]
    lose_record(test)
    # As in another process.
    other = new_plugin(bench.site)
    monkeypatch.setattr(other, "KICKOFF_GRACE", 0.0)
    with active(other):
        bench.wait_status(test, "SCHED_STARTUP", f"ob {job_id} ", plugin=other)
        recovered = other._recover_identity(Job(job_of(test).path))
        assert recovered is not None
        assert other.cancel(recovered) is None
    bench.wait_no_jobs(test)
    assert bench.ran(test) == 1


def test_a_process_that_is_killed_while_it_submits(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the command's work and its record there is nobody: the job is found all the same."""
    bench.faults.set(bench.site.submit, faults.kills_its_parent())
    test = bench.test({}, bench.long)
    done = subprocess.run(
        [sys.executable, str(STARTER), bench.site.kind, str(bench.site.directory), str(test.path)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == -9, done.stderr
    bench.faults.clear()
    [path] = (bench.pav_cfg.working_dir / "jobs").iterdir()
    assert not (path / Job.INFO_FN).exists()
    test.job = Job(path)
    monkeypatch.setattr(bench.plugin, "KICKOFF_GRACE", 0.0)
    [job] = bench.jobs_of(test)
    bench.wait_status(test, "SCHED_STARTUP", f"ob {job.job_id} ")
    bench.wait_begun(test)
    recovered = bench.plugin._recover_identity(job_of(test))
    assert recovered is not None and bench.plugin.cancel(recovered) is None
    until(lambda: not [job for job in bench.jobs_of(test) if not job.has_ended], "it is gone")
    assert bench.faults.count(bench.site.submit) == 1 and bench.ran(test) == 1


# --- Two jobs ---


def test_of_two_jobs_with_one_token_the_younger_is_cancelled(bench: Bench) -> None:
    """As where an unclear submission came through after all, later."""
    bench.faults.set(bench.site.submit, faults.twice())
    test = bench.start({}, bench.long)
    bench.faults.clear()
    first = bench.jobs_of(test)[0]
    bench.wait_status(test, "SCHED_STARTUP", f"ob {first.job_id} ")

    def alone() -> bool:
        bench.status(test)
        return [job.job_id for job in bench.jobs_of(test) if not job.has_ended] == [first.job_id]

    until(alone, "the younger one is gone")
    assert bench.plugin.cancel(info(test)) is None
    bench.wait_no_jobs(test)


@pytest.mark.needs(Can.HOLD)
def test_the_oldest_of_several_jobs_is_adopted(bench: Bench) -> None:
    bench.faults.set(bench.site.submit, faults.twice() + "\n" + UNCLEAR["fails"])
    test = bench.start(bench.site.waiting())
    bench.faults.clear()
    jobs = bench.jobs_of(test)
    assert info(test)["id"] == jobs[0].job_id
    until(
        lambda: [job.job_id for job in bench.jobs_of(test) if not job.has_ended] == [jobs[0][0]],
        "the younger one is cancelled",
    )


# --- Refusals, and a full queue ---


def test_a_refusal_says_why_and_ends_the_test(bench: Bench) -> None:
    bench.learn_nodes()
    with bench.site.refusing() as schedule:
        message = bench.refused(schedule)
    assert "did not accept the job" in message and bench.site.refused_why in message
    assert bench.faults.count(bench.site.submit) == 1
    assert bench.faults.count(bench.site.jobs) == 0
    assert bench.ours() == []


def test_a_command_that_is_missing_is_named(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.learn_nodes()
    monkeypatch.setenv("PATH", "/nonexistent")
    message = bench.refused()
    assert (
        f"{bench.site.submit.split()[0]} was not run: there is no such command in PATH" in message
    )


def _said(bench: Bench) -> str:
    full = bench.site.full
    return faults.fails(full.text, full.code, full.on_stdout)


def test_a_full_queue_is_waited_for_visibly(bench: Bench) -> None:
    bench.faults.set(bench.site.submit, _said(bench), times=3)
    test = bench.start({}, bench.long)
    assert submitting.full_note(bench.plugin.title) in [
        status.note for status in test.status.fake_history
    ]
    assert bench.faults.count(bench.site.submit) == 4
    # No job needs to be looked for.
    assert bench.faults.count(bench.site.jobs) == 0
    bench.release()
    bench.wait_no_jobs(test)
    assert bench.ran(test) == 1


@pytest.mark.parametrize("how", ["stop", "cancel"])
def test_a_full_queue_is_given_up_when_the_user_stops_it(bench: Bench, how: str) -> None:
    bench.faults.set(bench.site.submit, _said(bench))
    test = bench.test()
    errors: list[Any] = []
    starting = threading.Thread(target=lambda: errors.extend(bench.try_start(test)))
    starting.start()
    try:
        until(lambda: "accepts no more jobs" in test.status.current().note, "it waits")
        if how == "cancel":
            test.set_run_complete()
        else:
            bench.plugin.stop_kickoffs()
        starting.join(60)
        assert not starting.is_alive()
    finally:
        bench.plugin.stop_kickoffs()
        starting.join(60)
    bench.faults.clear()
    assert test.complete
    if how == "stop":
        message = " ".join(errors[0].pformat().split())
        assert "The job was not submitted" in message
        assert bench.site.full.text.rpartition(": ")[2].rstrip(".") in message
    assert bench.ours() == []


def test_a_queue_that_stays_full(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(submitting, "FULL_PATIENCE", 1.0)
    bench.faults.set(bench.site.submit, _said(bench))
    assert "after waiting for room in the queue" in bench.refused()


@pytest.mark.needs(Can.LIMIT)
def test_a_limit_of_the_scheduler_itself(bench: Bench) -> None:
    first = bench.start_long()
    second = bench.test()
    with bench.site.limited(1):
        starting = threading.Thread(target=bench.try_start, args=[second])
        starting.start()
        until(lambda: "accepts no more jobs" in second.status.current().note, "it waits")
        bench.release()
        starting.join(60)
        assert not starting.is_alive()
    bench.wait_no_jobs(first, second)
    assert (bench.ran(first), bench.ran(second)) == (1, 1)


# --- The log ---


def test_the_log_of_submissions(bench: Bench) -> None:
    bench.faults.set(bench.site.submit, faults.fails(LOST), times=1)
    test = bench.start()
    log = job_of(test).path / bench.plugin.SUBMIT_LOG_FN
    text = log.read_text()
    # Twice, and what was printed.
    assert text.count(f"$ {bench.site.submit} ") == 2
    assert text.index(LOST) < text.rindex(f"$ {bench.site.submit} ")
    assert text.index(info(test)["token"]) < text.index(LOST)
    assert log.stat().st_mode & 0o022 == 0


def test_without_a_record_of_the_token_nothing_is_submitted(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = safe_files.open_to_append

    def open_to_append(path: Path) -> Any:
        if path.name == bench.plugin.SUBMIT_LOG_FN:
            raise OSError(28, "No space left on device")
        return real(path)

    monkeypatch.setattr(safe_files, "open_to_append", open_to_append)
    message = bench.refused()
    assert "cannot be written: No space left on device" in message
    assert bench.faults.count(bench.site.submit) == 0
