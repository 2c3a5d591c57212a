"""Reservations of a real OpenPBS, whose queues are not started before they begin."""

from __future__ import annotations

import time

from real_pbs import RealPbs

from batch.bench import Bench, info


def reserve(pbs: RealPbs) -> str:
    """Make a reservation that begins in some minutes; its id, as R3.server1."""
    begin = time.strftime("%H%M", time.localtime(time.time() + 600))
    options = ("-D", "00:10:00", "-l", "select=1:ncpus=2", "-l", "place=free")
    made = pbs.ok("pbs_rsub", "-R", begin, *options).split()[0]
    queue = made.partition(".")[0]
    pbs.wait_until(lambda: queue in pbs.ok("qstat", "-Q"), "it is confirmed")
    return made


def test_a_job_waits_for_its_reservation_and_ends_with_it(bench: Bench, pbs: RealPbs) -> None:
    reservation = reserve(pbs)
    # By its id, and by the name of its queue.
    tests = [
        bench.start({"reservation": name, "time_limit": "1m"})
        for name in (reservation, reservation.partition(".")[0])
    ]
    for test in tests:
        bench.wait_status(test, "SCHEDULED", "Queue not started")
        assert "until somebody intervenes" not in bench.status(test).note
    assert bench.plugin.cancel(info(tests[0])) is None
    pbs.ok("pbs_rdel", reservation)
    for test in tests:
        bench.wait_status(test, "SCHED_CANCELLED")
        assert bench.ran(test) == 0
