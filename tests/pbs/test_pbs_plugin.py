"""The pbs plugin on the fake PBS and a real OpenPBS: what the tests of the batch family do not show."""

from __future__ import annotations

import shlex
import threading

import pytest
from real_pbs import RealPbs

from batch import faults
from batch.bench import Bench, info, job_of
from batch.waiting import until

# --- A job's way ---


def test_a_job_on_two_nodes_gets_both_and_its_log_can_be_read(bench: Bench) -> None:
    nodes = bench.host.folder / "nodes"
    test = bench.start(
        {"nodes": "2", "tasks_per_node": "2", "time_limit": "10m"},
        f"cat $PBS_NODEFILE >{shlex.quote(str(nodes))}; {bench.long}",
    )
    status = bench.wait_status(test, "SCHED_STARTUP")
    bench.wait_begun(test)
    hosts = nodes.read_text().split()
    assert len(set(hosts)) == 2 and all(hosts.count(host) == 2 for host in hosts)
    assert all(host in status.note for host in set(hosts)) or "n[" in status.note
    bench.release()
    bench.wait_no_jobs(test)
    # Without a umask of its own, it is for nobody but the user.
    until(lambda: job_of(test).sched_log.exists(), "the log is there")
    assert job_of(test).sched_log.stat().st_mode & 0o777 == 0o644


def test_a_job_that_exceeds_its_time_limit_says_so(bench: Bench) -> None:
    test = bench.start({"time_limit": "3s"}, "trap '' TERM; sleep 100")
    status = bench.wait_status(test, "SCHED_ERROR")
    assert "time limit" in status.note and "walltime" in status.note
    assert bench.ran(test) == 1


def test_a_job_that_can_never_run_is_stuck_and_says_why(bench: Bench, pbs: RealPbs) -> None:
    test = bench.start({"pbs": {"qsub_extra": ["-l licences=2"]}})
    status = bench.wait_status(test, "SCHEDULED", "Can Never Run")
    assert "is stuck" in status.note and "licences" in status.note
    assert bench.plugin.cancel(info(test)) is None
    bench.wait_no_jobs(test)
    assert bench.ran(test) == 0


def test_a_job_that_ignores_the_signal_is_cancelled_all_the_same(bench: Bench) -> None:
    """PBS shows the exit code 0 of such a job."""
    test = bench.start({}, f"trap '' TERM; {bench.long}")
    bench.wait_begun(test)
    assert bench.plugin.cancel(info(test)) is None
    bench.wait_status(test, "SCHED_CANCELLED")


# --- A server without a history ---


@pytest.mark.usefixtures("no_history")
def test_without_a_history_jobs_are_seen_and_cancelled(bench: Bench) -> None:
    running = bench.start_long()
    waiting = bench.start({"partition": "stopped"})
    ended = bench.start({}, "exit 3")
    bench.wait_status(running, "SCHED_STARTUP", f"ob {info(running)['id']} ")
    bench.wait_status(waiting, "SCHEDULED", f"ob {info(waiting)['id']} ")
    status = bench.wait_status(ended, "SCHED_ERROR")
    assert "PBS does not list" in status.note and bench.ran(ended) == 1
    assert bench.plugin.cancel_jobs([info(running), info(waiting)]) == [None, None]
    bench.wait_no_jobs(running, waiting)
    for test in (running, waiting):
        until(lambda test=test: bench.status(test).state.startswith("SCHED_") and test.complete, "")


@pytest.mark.usefixtures("no_history")
def test_without_a_history_a_job_is_found_by_its_token(bench: Bench) -> None:
    bench.faults.set(bench.site.submit, faults.done_but("echo lost >&2; exit 1"))
    test = bench.start({}, bench.long)
    bench.faults.clear()
    assert [job.job_id for job in bench.jobs_of(test)] == [info(test)["id"]]
    bench.wait_begun(test)
    assert bench.faults.count(bench.site.submit) == 1


# --- What is lost ---


def test_a_job_whose_node_is_lost_ends_and_is_not_run_again(bench: Bench, pbs: RealPbs) -> None:
    test = bench.start({"include_nodes": "n2"}, bench.long)
    bench.wait_begun(test)
    pbs.kill_node("n2")
    try:
        # Until PBS gives the node up, nobody can end the job.
        pbs.wait_until(lambda: "down" in pbs.node_states()["n2"], "n2 is down")
        message = bench.plugin.cancel(info(test))
        assert message is None or "may still be running" in message
        status = bench.wait_status(test, "SCHED_ERROR")
        assert "host was lost" in status.note
        assert test.complete and bench.ran(test) == 1
        # Tests are not started there.
        bench.plugin.refresh()
        assert "down" in bench.refused({"include_nodes": "n2"})
    finally:
        pbs.start_node("n2")
        pbs.wait_for_nodes()
    assert bench.ran(test) == 1


def test_a_job_that_has_just_begun_when_the_server_is_lost_runs_once(
    bench: Bench, pbs: RealPbs
) -> None:
    """The server does not know yet that it runs, ends it, and starts it again: '-r n' or not."""
    # The job itself sees to it that the server does not learn of it.
    test = bench.start({}, f"kill -STOP {pbs.server_pid()}; {bench.long}")
    bench.wait_begun(test)
    pbs.kill_server()
    pbs.start_server()
    status = bench.wait_status(test, "SCHED_ERROR")
    assert f"ob {info(test)['id']}" in status.note
    [about] = pbs.jobs().values()
    assert about["run_count"] == "2", "PBS was to start it again"
    assert bench.ran(test) == 1


def test_a_submission_while_the_server_is_frozen_leads_to_one_job(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether a qsub that was stopped has submitted its job is seen later."""
    bench.learn_nodes()
    bench.timeouts(monkeypatch, 2.0)
    test = bench.test({}, bench.long)
    starting = threading.Thread(target=bench.try_start, args=[test])
    with bench.site.frozen():
        starting.start()
        until(lambda: bench.faults.count(bench.site.submit), "it is submitted")
        # Longer than qsub may take.
        starting.join(6.0)
    starting.join(60.0)
    assert not starting.is_alive()
    bench.timeouts(monkeypatch, 60.0)
    if test.complete:
        assert bench.ours() == []
    else:
        bench.wait_begun(test)
        bench.wait_status(test, "SCHED_STARTUP")
        assert len([job for job in bench.jobs_of(test) if not job.has_ended]) == 1
    assert bench.ran(test) <= 1


# --- Answers that are no JSON ---


@pytest.mark.parametrize(
    "options",
    [("-P", "inf"), ("-v", "A=\\\\q\\x"), ("-v", "A=\xe9\xff"), ("-v", "A=,B=1e5"), ("-A", 'a"b')],
    ids=["number", "backslash", "not UTF-8", "empty", "quote"],
)
def test_an_odd_job_of_the_user_does_not_hide_the_others(
    bench: Bench, options: tuple[str, str]
) -> None:
    test = bench.start_long()
    script = bench.host.folder / "script"
    script.write_text("#!/bin/bash\ntrue\n")
    bench.site.ok("qsub", "-h", "-o", "/dev/null", "-j", "oe", *options, str(script))
    bench.wait_status(test, "SCHED_STARTUP", f"ob {info(test)['id']} ")
    bench.release()
    bench.wait_no_jobs(test)
    bench.wait_status(test, "SCHED_ERROR")
    assert bench.ran(test) == 1
