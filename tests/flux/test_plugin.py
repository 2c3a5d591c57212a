"""The flux plugin on Flux: what becomes of jobs, and what users are told, where other schedulers have
nothing of the kind."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest
from conftest import new_site

from batch import looker, starter
from batch.bench import Bench, bench_at, info, job_of
from batch.real_flux_site import RealFluxSite
from batch.waiting import until
from pavilion.jobs import Job

HELD = {"flux": {"fluxbatch_extra": ["--urgency=0"]}}


# --- Jobs that wait ---


def test_a_held_job_that_is_released_runs(bench: Bench, site: RealFluxSite) -> None:
    test = bench.start(HELD)
    bench.wait_status(test, "SCHEDULED", "held")
    site.ok("flux", "job", "urgency", info(test)["id"], "16")
    bench.wait_begun(test)
    bench.wait_no_jobs(test)
    assert bench.ran(test) == 1


def test_a_queue_that_is_stopped_is_the_reason(bench: Bench, site: RealFluxSite) -> None:
    with site.cluster.queue_stopped("batch"):
        test = bench.start()
        status = bench.wait_status(test, "SCHEDULED", "stopped")
        assert "batch" in status.note and not test.complete
    bench.wait_begun(test)


def test_a_queue_that_is_disabled_refuses_with_its_reason(bench: Bench, site: RealFluxSite) -> None:
    with site.cluster.queue_disabled("debug", "moved to another building"):
        message = bench.refused({"partition": "debug"})
    assert "job submission to debug is disabled: moved to another building" in message
    assert bench.faults.count("flux batch") == 1 and bench.ours() == []


def test_a_node_that_is_drained_cannot_be_chosen(bench: Bench, site: RealFluxSite) -> None:
    with site.cluster.drained("node2", reason="broken fan"):
        message = bench.refused({"include_nodes": "node2", "nodes": "1"})
    assert "node2" in message and "drained" in message and "broken fan" in message
    assert bench.faults.count("flux batch") == 0


def test_drained_nodes_are_the_reason_why_a_job_waits(bench: Bench, site: RealFluxSite) -> None:
    bench.learn_nodes()
    with site.cluster.drained("node1", "node2", "node3"):
        test = bench.start({"nodes": "1", "tasks": "1"})
        status = bench.wait_status(test, "SCHEDULED", "drained")
        assert "it needs 1 nodes, and 0 of its queue are usable" in status.note
    bench.wait_begun(test)


def test_a_job_goes_on_while_its_node_drains(bench: Bench, site: RealFluxSite) -> None:
    test = bench.start_long({"include_nodes": "node1", "nodes": "1"})
    with site.cluster.drained("node1"):
        bench.wait_status(test, "SCHED_STARTUP", "node1")
        node = next(node for node in raw_nodes(bench) if node["name"] == "node1")
        assert (node["up"], node["available"]) == (False, False)
        assert "broken fan" in node["cause"]
    bench.release()
    bench.wait_no_jobs(test)
    assert bench.ran(test) == 1


def raw_nodes(bench: Bench) -> list[dict[str, object]]:
    """All nodes, as the plugin sees them now."""
    from pavilion.schedulers import validate_config

    bench.plugin.refresh()
    config = validate_config({})
    rows, extra = bench.plugin._get_raw_node_data(config)
    return [dict(bench.plugin._transform_raw_node_data(config, row, extra)) for row in rows]


def test_a_job_that_depends_on_another(bench: Bench, site: RealFluxSite) -> None:
    other = site.foreign()
    test = bench.start({"flux": {"fluxbatch_extra": [f"--dependency=afterok:{other}"]}})
    bench.wait_status(test, "SCHEDULED", f"after-success={other}")
    site.cancel_outside(other)
    bench.wait_status(test, "SCHED_ERROR", "depend")
    assert test.complete and bench.ran(test) == 0


# --- Ends ---


def test_a_time_limit(bench: Bench) -> None:
    test = bench.start({"time_limit": "3s"}, bench.long)
    bench.wait_begun(test)
    bench.wait_status(test, "SCHED_ERROR", "time limit")
    assert test.complete and bench.ran(test) == 1


def test_a_script_that_a_signal_ended(bench: Bench) -> None:
    test = bench.start({}, "kill -9 $$")
    status = bench.wait_status(test, "SCHED_ERROR")
    assert "137" in status.note or "signal 9" in status.note


def test_a_job_whose_directory_has_gone(bench: Bench, site: RealFluxSite) -> None:
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
        new_site(flux_kind, feasibility=False) as site,
        bench_at(site, monkeypatch) as bench,
    ):
        test = bench.start({"flux": {"fluxbatch_extra": ["--requires=big"]}})
        status = bench.wait_status(test, "SCHED_ERROR", "alloc")
        assert "unsatisfiable" in status.note and test.complete


def test_a_node_that_is_lost(flux_kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with new_site(flux_kind) as site, bench_at(site, monkeypatch) as bench:
        test = bench.start_long({"include_nodes": "node2", "nodes": "1"})
        bench.wait_status(test, "SCHED_STARTUP", "node2")
        site.cluster.lose("node2")
        status = bench.wait_status(test, "SCHED_ERROR", "node failure on node2")
        assert "lost" in status.note and test.complete
        node = next(node for node in raw_nodes(bench) if node["name"] == "node2")
        assert (node["up"], node["available"]) == (False, False)


# --- An instance that stops ---


def test_an_instance_that_is_killed(bench: Bench, site: RealFluxSite) -> None:
    """Its jobs end with it, but nobody can tell; started anew, it has forgotten them."""
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


def test_an_instance_that_is_stopped_and_started(bench: Bench, site: RealFluxSite) -> None:
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


# --- Inside a job ---


def test_a_job_is_seen_from_within_itself(bench: Bench, site: RealFluxSite) -> None:
    """There FLUX_URI names the job's own instance, which does not know the job."""
    test = bench.test({"nodes": "1"})
    seen, go = bench.host.folder / "seen", bench.host.folder / "go"
    work = bench.pav_cfg.pav_root / "bin" / f"work-{test.id}"
    words = [sys.executable, looker.__file__, site.kind, site.directory, bench.pav_cfg.working_dir]
    command = " ".join(map(str, words))
    work.write_text(
        f"until [ -e {go} ]; do sleep 0.1; done\necho $FLUX_URI >{seen}.uri\n"
        f"{command} $(cat {go}) >{seen} 2>&1\nflux run -n1 echo said >{seen}.run\n"
    )
    assert bench.try_start(test) == []
    go.with_suffix(".new").write_text(str(job_of(test).path))
    go.with_suffix(".new").rename(go)
    bench.wait_no_jobs(test)
    assert seen.read_text().split() == ["SCHED_RUNNING"]
    assert Path(f"{seen}.uri").read_text().strip() != site.variables()["FLUX_URI"]
    assert Path(f"{seen}.run").read_text() == "said\n"


def test_a_job_that_was_started_within_a_job(bench: Bench, site: RealFluxSite) -> None:
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


# --- What commands obey ---


def test_formats_of_the_user_change_no_answer(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("JOBS", "RESOURCE_LIST", "RESOURCE_STATUS", "QUEUE_LIST"):
        monkeypatch.setenv(f"FLUX_{name}_FORMAT_DEFAULT", "{nosuch}")
    monkeypatch.setenv("FLUX_PYCLI_LOGLEVEL", "all")
    test = bench.start_long()
    bench.wait_status(test, "SCHED_STARTUP")
    assert bench.plugin.cancel(info(test)) is None


def test_an_environment_that_is_not_text(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The job gets a copy of it, as part of a JSON document."""
    monkeypatch.setitem(os.environb, b"PAV_TEST_BYTES", b"\xff")
    message = bench.refused()
    assert "invalid JSON: unable to decode byte" in message and bench.ours() == []


def test_a_job_behind_a_thousand_others(bench: Bench, site: RealFluxSite) -> None:
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
