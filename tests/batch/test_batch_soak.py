"""A short soak: twenty jobs of every fate, faults in every command, and each script runs once."""

from __future__ import annotations

import random
import threading

from batch import faults
from batch.bench import Bench, info
from batch.sites import Can
from batch.waiting import until

JOBS = 20
WORK = ("true", "exit 3", "sleep 1", "sleep 3; exit 1")


def test_every_test_ends_and_each_script_runs_once(bench: Bench) -> None:
    site, lost = bench.site, "echo lost >&2; exit 1"
    rng = random.Random(1)
    tests = [bench.test({}, WORK[number % len(WORK)]) for number in range(JOBS - 2)]
    cancelled = [bench.test({}, bench.long) for _ in range(2)]
    bench.faults.set(site.submit, faults.done_but(lost), times=5)
    errors: list[object] = []
    starting = threading.Thread(target=lambda: errors.extend(bench.try_start(*tests, *cancelled)))
    starting.start()
    kinds = [faults.done_but(lost), faults.part(50), "exit 0", faults.fails("lost"), ""]
    while starting.is_alive():
        starting.join(1.0)
        bench.faults.set(site.jobs, rng.choice(kinds))
        for test in (*tests, *cancelled):
            if test.job is not None:
                bench.status(test)
    bench.faults.clear(site.jobs)
    assert errors == []
    if Can.STOP in site.can:
        with site.down():
            for test in (*tests, *cancelled):
                assert bench.status(test).state in (
                    *("SCHED_WARNING", "SCHED_ERROR", "SCHED_STARTUP", "SCHEDULED"),
                )
    # Nobody who was found late or never answered is lost.
    for test in cancelled:
        until(lambda test=test: bench.plugin.cancel(info(test)) is None, "cancelled")
    until(
        lambda: [bench.status(test) for test in (*tests, *cancelled) if not test.complete] == [],
        "all ended",
        120,
    )
    assert [bench.ran(test) for test in tests] == [1] * len(tests)
    assert all(bench.ran(test) <= 1 for test in cancelled)
    assert all(test.fake_ended == 1 for test in (*tests, *cancelled))
    assert len(bench.ours()) in (0, JOBS)
    assert not [job for job in bench.ours() if not job.has_ended]
