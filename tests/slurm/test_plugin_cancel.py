"""Cancelling through the plugin: batched, confirmed, told apart."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from typing import Any

import pytest
from clusters import AS_OTHER, OTHER_USER, wait_until
from clusters import Slurm as Cluster
from plugin_tools import Scripted, Site, info, job_list, result, site_of

from pavilion.jobs import JobInfo
from pavilion.schedulers.batch.cancelling import Cancelled, CancelOutcome, cancel_jobs
from pavilion.schedulers.plugins.slurm.client import SlurmClient
from pavilion.schedulers.plugins.slurm.record import read_record
from pavilion.schedulers.talk.commands import CommandResult


@pytest.fixture
def site(slurm: Cluster, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    with site_of(slurm, monkeypatch) as made:
        yield made


# --- On a cluster ---


def test_jobs_of_every_kind_in_one_command(site: Site) -> None:
    running = [site.start(work=site.long) for _ in range(3)]
    over = site.start()
    pending = site.start({"slurm": {"sbatch_extra": ["--hold"]}})
    for test in running:
        site.wait_status(test, "SCHED_STARTUP")
    wait_until(lambda: site.jobs()[info(over)["id"]].state == "COMPLETED", "one is over")
    tests = [*running, over, pending]
    unknown = JobInfo(info(over), id="4000000")
    elsewhere = JobInfo(info(over), sys_name="elsewhere")
    damaged = JobInfo(info(over), id="12 --all")
    calls = site.plugin._client.querying
    before = calls.count("scancel")
    messages = site.plugin.cancel_jobs([*map(info, tests), unknown, elsewhere, damaged])
    assert messages[:6] == [None] * 6
    assert "was started on the system 'elsewhere'" in str(messages[6])
    assert "is damaged" in str(messages[7])
    assert calls.count("scancel") - before == 1
    # It was waited for.
    states = {job_id: job.state for job_id, job in site.jobs().items()}
    assert states[info(over)["id"]] == "COMPLETED"
    for test in (*running, pending):
        assert states[info(test)["id"]] in ("CANCELLED", "COMPLETING")
        site.wait_status(test, "SCHED_CANCELLED", "was cancelled")
    # Once more does no harm.
    assert site.plugin.cancel_jobs([info(test) for test in tests]) == [None] * 5


def test_what_is_told_of_each(site: Site) -> None:
    running, over = site.start(work=site.long), site.start()
    wait_until(lambda: site.jobs()[info(over)["id"]].state == "COMPLETED", "one is over")
    site.wait_status(running, "SCHED_STARTUP")
    table = site.plugin._table(None, read_record(info(over)))
    jobs = {info(test)["token"]: info(test)["id"] for test in (running, over)}
    outcomes = cancel_jobs(site.plugin._client, table, {**jobs, "4000000": "4000000"}, 15.0)
    assert list(outcomes.values()) == [
        CancelOutcome(Cancelled.CANCELLED, None),
        CancelOutcome(Cancelled.ALREADY_OVER, None),
        CancelOutcome(Cancelled.NOT_FOUND, None),
    ]


@pytest.mark.parametrize("outage", ["frozen", "down"])
def test_a_controller_that_does_not_answer(site: Site, outage: str) -> None:
    test = site.start(work=site.long)
    site.wait_status(test, "SCHED_STARTUP")
    with getattr(site.cluster, outage)():
        message = site.plugin.cancel(info(test))
    assert message is not None
    assert f"Slurm did not answer, so job {info(test)['id']} may still be running" in message
    assert "Try again later." in message and not test.complete
    if site.cluster.is_real:
        site.cluster.wait_until(lambda: site.cluster.run("squeue").returncode == 0, "it answers")
    # A frozen controller does later what it was told.
    wait_until(lambda: site.plugin.cancel(info(test)) is None, "cancelled at last")
    wait_until(lambda: site.jobs()[info(test)["id"]].state == "CANCELLED", "it is cancelled")


AS_ANOTHER = """
    import sys
    from pavilion.jobs import JobInfo
    from pavilion.schedulers import Slurm
    print(Slurm().cancel(JobInfo(id=sys.argv[1], sys_name=None)))
    """


def test_the_job_of_another_user(site: Site) -> None:
    test = site.start(work=site.long)
    site.wait_status(test, "SCHED_STARTUP")
    job_id = info(test)["id"]
    argv = [sys.executable, "-c", textwrap.dedent(AS_ANOTHER), job_id]
    env = dict(os.environ, HOME="/")
    if site.cluster.is_real:
        argv = [*AS_OTHER, *argv]
    else:
        env["FAKE_SLURM_USER"] = OTHER_USER
    done = subprocess.run(
        argv, capture_output=True, text=True, env=env, timeout=60, check=False, cwd="/"
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"You may not cancel job {job_id}: ")
    assert "Access/permission denied" in done.stdout
    assert site.jobs()[job_id].state == "RUNNING"


# --- With answers that are given beforehand ---


def job(job_id: str, state: str) -> dict[str, str]:
    return {"id": job_id, "state": state}


def cancelled(
    jobs: list[str], *answers: Any, wait: float = 5.0
) -> tuple[dict[str, CancelOutcome], Scripted]:
    """Cancel jobs; the commands' answers, in order."""
    clock = [1000.0]
    client = SlurmClient()
    runner = Scripted(*answers)
    client.querying = runner  # type: ignore[assignment]
    table = client.job_table("0", None, 0.0)
    table._clock = lambda: clock[0]

    def sleep(seconds: float) -> None:
        clock[0] += seconds

    outcomes = cancel_jobs(
        client, table, {i: i for i in jobs}, wait, sleep=sleep, clock=lambda: clock[0]
    )
    assert runner.left == 0
    return outcomes, runner


def scancel(stderr: str = "", code: int = 0) -> CommandResult:
    return result(stderr=stderr, returncode=code, argv=("scancel",))


def test_five_hundred_at_once_and_each_once() -> None:
    ids = [str(number) for number in range(1, 601)]
    outcomes, runner = cancelled(
        ids + ids,
        job_list(*(job(i, "RUNNING") for i in ids)),
        scancel(),
        scancel(),
        job_list(*(job(i, "CANCELLED") for i in ids)),
    )
    assert [len(argv) for argv in runner.argvs if argv[0] == "scancel"] == [501, 101]
    assert {outcome.what for outcome in outcomes.values()} == {Cancelled.CANCELLED}


def test_one_that_is_going_is_cancelled() -> None:
    outcomes, _ = cancelled(
        ["7"],
        job_list(job("7", "RUNNING")),
        scancel(),
        job_list(job("7", "RUNNING")),
        job_list(job("7", "COMPLETING")),
    )
    assert outcomes["7"] == (Cancelled.CANCELLED, None)


def test_one_that_does_not_go() -> None:
    outcomes, _ = cancelled(
        ["7"],
        job_list(job("7", "RUNNING")),
        scancel(),
        *[job_list(job("7", "RUNNING"))] * 4,
        wait=3.0,
    )
    what, message = outcomes["7"]
    assert what is Cancelled.STILL_THERE
    assert message == (
        "Slurm accepted the request to cancel job 7, but still shows it 3 seconds later. "
        "Its state is RUNNING."
    )


def test_denied_for_one_of_two() -> None:
    denied = "scancel: error: Kill job error on job id 7: Access/permission denied\n"
    outcomes, _ = cancelled(
        ["7", "8"],
        job_list(job("7", "RUNNING"), job("8", "RUNNING")),
        scancel(denied, 210),
        job_list(job("7", "RUNNING"), job("8", "CANCELLED")),
    )
    assert outcomes["7"].what is Cancelled.DENIED
    assert outcomes["8"] == (Cancelled.CANCELLED, None)


def test_one_that_was_purged_before() -> None:
    unknown = "scancel: error: Kill job error on job id 7: Invalid job id specified\n"
    outcomes, _ = cancelled(["7"], job_list(), scancel(unknown, 1), job_list())
    assert outcomes["7"] == (Cancelled.NOT_FOUND, None)


def test_cancelled_but_nobody_can_confirm_it() -> None:
    lost = result(
        stderr="slurm_load_jobs error: Unable to contact slurm controller (connect failure)",
        returncode=1,
        argv=("squeue",),
    )
    outcomes, _ = cancelled(["7"], job_list(job("7", "RUNNING")), scancel(), lost, wait=0.0)
    what, message = outcomes["7"]
    assert what is Cancelled.UNREACHABLE and "could not be queried" in str(message)
    assert "whether the job has ended is not known" in str(message)
