"""How often a scheduler is asked: once a poll, whatever the number of jobs, threads and processes."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from batch import faults
from batch.bench import Bench, info, new_plugin
from batch.sites import Can
from contract.fakes import FakeTest, active

JOBS = 100
LOOKER = Path(__file__).with_name("looker.py")


def start_many(bench: Bench, count: int) -> list[FakeTest]:
    schedule = bench.site.waiting()
    tests = [bench.test(schedule) for _ in range(count)]
    assert bench.try_start(*tests) == []
    assert len({info(test)["id"] for test in tests}) == count
    return tests


@pytest.mark.needs(Can.HOLD)
def test_one_command_serves_a_hundred_jobs(bench: Bench) -> None:
    tests = start_many(bench, JOBS)
    assert bench.faults.count(bench.site.submit) == JOBS
    bench.plugin.JOB_TABLE_AGE = 600.0
    bench.plugin._tables.clear()
    before = bench.faults.count(bench.site.jobs)

    def asked() -> int:
        return bench.faults.count(bench.site.jobs) - before

    # A poll, by some threads.
    bench.faults.set(bench.site.jobs, faults.slow(0.5))
    states: set[str] = set()
    threads = [
        threading.Thread(
            target=lambda part=tests[number::4]: states.update(
                bench.status(test).state for test in part
            )
        )
        for number in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert states == {"SCHEDULED"} and asked() == 1
    # Not even one for another process, which finds the answer in a file.
    other = new_plugin(bench.site)
    other.JOB_TABLE_AGE = 600.0
    with active(other):
        assert {bench.status(test, other).state for test in tests} == {"SCHEDULED"}
    assert asked() == 1
    # A later poll: one more.
    for table in bench.plugin._tables.values():
        table.expire()
    for test in tests:
        bench.status(test)
    assert asked() == 2
    # Cancelled with one command for as many ids as it takes.
    ids = [info(test) for test in tests]
    assert bench.plugin.cancel_jobs(ids) == [None] * JOBS
    batches = -(-JOBS // bench.plugin.CANCEL_BATCH)
    assert bench.faults.count(bench.site.cancel) == batches
    bench.wait_no_jobs(*tests)


@pytest.mark.needs(Can.HOLD)
def test_processes_that_poll_together_share_a_command(bench: Bench) -> None:
    tests = start_many(bench, 4)
    bench.plugin._tables.clear()
    before = bench.faults.count(bench.site.jobs)
    # Long enough for all to come while it runs.
    bench.faults.set(bench.site.jobs, faults.slow(3.0))
    argv = [
        *(sys.executable, str(LOOKER), bench.site.kind, str(bench.site.directory)),
        *(str(bench.pav_cfg.working_dir), *(str(test.job.path) for test in tests if test.job)),
    ]
    looking = [subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    printed = [process.communicate(timeout=120)[0].split() for process in looking]
    assert printed == [["SCHEDULED"] * len(tests)] * 4
    assert bench.faults.count(bench.site.jobs) - before == 1


def test_unclear_submissions_share_looks(bench: Bench) -> None:
    bench.faults.set(bench.site.submit, faults.done_but("echo lost >&2; exit 1"))
    tests = [bench.test({}, bench.long) for _ in range(12)]
    assert bench.try_start(*tests) == []
    bench.faults.clear()
    assert [len(bench.jobs_of(test)) for test in tests] == [1] * 12
    assert len({info(test)["id"] for test in tests}) == 12
    # A few are submitted at a time, and each time one look will do.
    assert bench.faults.count(bench.site.jobs) <= 12


def test_a_failure_is_not_repeated_at_once(bench: Bench) -> None:
    tests = [bench.start_long() for _ in range(3)]
    bench.plugin.JOB_TABLE_AGE = 5.0
    bench.plugin._tables.clear()
    before = bench.faults.count(bench.site.jobs)
    bench.faults.set(bench.site.jobs, faults.fails("lost"))
    for _ in range(5):
        for test in tests:
            assert bench.status(test).state == "SCHED_WARNING"
    assert bench.faults.count(bench.site.jobs) - before == 1
