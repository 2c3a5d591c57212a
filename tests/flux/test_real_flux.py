"""The flux plugin on a real Flux: what the fake one does not have."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import janitor
import pytest
from instances import RealInstance, new_instance
from real_flux import RealFlux, RealFluxError

from batch import starter
from batch.bench import Bench, bench_at, info, job_of
from batch.waiting import until
from pavilion.jobs import Job

pytestmark = pytest.mark.real_flux
HELD = {"flux": {"fluxbatch_extra": ["--urgency=0"]}}
START = """
import sys
from pathlib import Path
from real_flux import RealFlux
flux = RealFlux(Path(sys.argv[1]), nodes=3)
flux.start()
flux.submit(work="trap '' TERM HUP; setsid sleep 300 & echo begun >begun; sleep 300")
print("started", flush=True)
sys.stdin.read()
"""


def test_a_held_job_that_is_released_runs(bench: Bench, site: RealInstance) -> None:
    test = bench.start(HELD)
    bench.wait_status(test, "SCHEDULED", "held")
    site.ok("flux", "job", "urgency", info(test)["id"], "16")
    bench.wait_begun(test)
    bench.wait_no_jobs(test)
    assert bench.ran(test) == 1


def test_a_job_whose_directory_has_gone(bench: Bench, site: RealInstance) -> None:
    """Flux would run a script in /tmp then."""
    test = bench.start(HELD)
    record = info(test)
    shutil.rmtree(job_of(test).path)
    site.ok("flux", "job", "urgency", record["id"], "16")
    shown = until(
        lambda: bench.status_of(record).startswith("SCHED_ERROR") and bench.status_of(record),
        "its end",
    )
    assert "shell_init" in shown and bench.ran(test) == 0


def test_a_request_that_is_accepted_and_cannot_be_met(
    flux_kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not all instances check that at once."""
    with (
        new_instance(flux_kind, feasibility=False) as site,
        bench_at(site, monkeypatch) as bench,
    ):
        test = bench.start({"flux": {"fluxbatch_extra": ["--requires=big"]}})
        status = bench.wait_status(test, "SCHED_ERROR", "alloc")
        assert "unsatisfiable" in status.note and test.complete


def test_an_instance_that_is_killed(bench: Bench, site: RealInstance) -> None:
    """Its jobs end with it, which no query shows; started anew, it has forgotten them."""
    test = bench.start_long()
    bench.wait_status(test, "SCHED_STARTUP")
    site.cluster.kill()
    status = bench.wait_status(test, "SCHED_WARNING", "Unable to connect to Flux")
    assert "It was last seen" in status.note and not test.complete
    message = bench.plugin.cancel(info(test))
    assert message is not None and "may still be running" in message
    site.cluster.start_brokers()
    bench.wait_status(test, "SCHED_ERROR", "Flux does not list")
    assert test.fake_ended == 1


def test_an_instance_that_is_stopped_and_started(bench: Bench, site: RealInstance) -> None:
    runs, waits = bench.start_long(), bench.start(HELD)
    bench.wait_status(runs, "SCHED_STARTUP")
    site.cluster.shut_down()
    for test in (runs, waits):
        bench.wait_status(test, "SCHED_WARNING", "Unable to connect to Flux")
        assert not test.complete
    site.cluster.start_brokers()
    bench.wait_status(runs, "SCHED_CANCELLED")
    bench.wait_status(waits, "SCHEDULED", "held")
    assert bench.plugin.cancel(info(waits)) is None


def test_a_job_that_was_started_within_a_job(bench: Bench, site: RealInstance) -> None:
    """It belongs to an instance that goes away with the outer job."""
    inner = bench.test({}, bench.long)
    words = [sys.executable, starter.__file__, site.kind, site.directory, inner.path]
    outer = bench.start({"time_limit": "2h"}, f"{' '.join(map(str, words))}; {bench.long}")
    bench.wait_begun(inner)
    [path] = set((bench.pav_cfg.working_dir / "jobs").iterdir()) - {job_of(outer).path}
    inner.job = Job(path)
    # Its own instance shows it, wherever that is queried from.
    status = bench.wait_status(inner, "SCHED_STARTUP", f"ob {info(inner)['id']} ")
    assert bench.jobs_with(info(inner)["token"]) == [], status
    assert bench.plugin.cancel(info(outer)) is None
    bench.wait_no_jobs(outer)
    status = bench.wait_status(inner, "SCHED_WARNING", "Unable to connect to Flux")
    assert not inner.complete and info(inner)["instance"] in status.note


def test_an_environment_that_is_not_text(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The job gets a copy of it, as part of a JSON document."""
    monkeypatch.setitem(os.environb, b"PAV_TEST_BYTES", b"\xff")
    message = bench.refused()
    assert "invalid JSON: unable to decode byte" in message and bench.ours() == []


def test_a_job_behind_a_thousand_others(bench: Bench, site: RealInstance) -> None:
    """'flux jobs' lists a thousand."""
    test = bench.start(HELD)
    many = ("flux", "submit", "--quiet", "--cc=1-1100", "-n1", "-q", "debug", "--urgency=0", "true")
    site.ok(*many)
    bench.wait_status(test, "SCHEDULED", f"ob {info(test)['id']} ")
    bench.wait_status(test, "SCHEDULED", "held")
    assert bench.plugin.cancel(info(test)) is None
    bench.wait_status(test, "SCHED_CANCELLED")
    site.clean()
    site.forget_ended()


def test_a_job_that_depends_on_another(bench: Bench, site: RealInstance) -> None:
    other = site.foreign()
    test = bench.start({"flux": {"fluxbatch_extra": [f"--dependency=afterok:{other}"]}})
    bench.wait_status(test, "SCHEDULED", f"after-success={other}")
    site.cancel_outside(other)
    bench.wait_status(test, "SCHED_ERROR", "depend")
    assert test.complete and bench.ran(test) == 0


# --- The private instance itself ---


def test_a_test_process_that_is_killed_leaves_no_instance_behind(site: RealInstance) -> None:
    directory = Path(tempfile.mkdtemp(prefix="flux-"))
    process = subprocess.Popen(
        [sys.executable, "-c", START, str(directory)],
        cwd=Path(__file__).parent,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    place = directory / "run"
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"started\n"
        until((directory / "begun").exists, "the job has begun")
        assert len(janitor.processes(place, kind="flux")) > 5
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    until(lambda: not janitor.processes(place, kind="flux"), "all have ended")
    until(lambda: not directory.exists(), "its directory is removed")
    # Others are left alone.
    assert site.cluster.jobs() is not None and site.cluster.leftovers()


def test_a_path_that_is_too_long_for_a_socket(site: RealInstance, tmp_path: Path) -> None:
    directory = tmp_path / ("x" * 100)
    directory.mkdir()
    with pytest.raises(RealFluxError, match="the path of a socket would be too long"):
        RealFlux(directory).start()
