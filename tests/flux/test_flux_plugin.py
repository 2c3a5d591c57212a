"""The flux plugin on Flux: what becomes of jobs, and what is shown to users, where other schedulers have
nothing of the kind."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from instances import KINDS, Instance, new_instance

from batch import looker
from batch.bench import Bench, bench_at, info, job_of

HELD = {"flux": {"fluxbatch_extra": ["--urgency=0"]}}


# --- Jobs that wait ---


def test_a_queue_that_is_stopped_is_the_reason(bench: Bench, site: Instance) -> None:
    with site.queue_stopped("batch"):
        test = bench.start()
        status = bench.wait_status(test, "SCHEDULED", "stopped")
        assert "batch" in status.note and not test.complete
    bench.wait_begun(test)


def test_a_queue_that_is_disabled_refuses_with_its_reason(bench: Bench, site: Instance) -> None:
    with site.queue_disabled("debug", "moved to another building"):
        message = bench.refused({"partition": "debug"})
    assert "job submission to debug is disabled: moved to another building" in message
    assert bench.faults.count("flux batch") == 1 and bench.ours() == []


def test_a_node_that_is_drained_cannot_be_chosen(bench: Bench, site: Instance) -> None:
    with site.drained("node2", reason="broken fan"):
        message = bench.refused({"include_nodes": "node2", "nodes": "1"})
    assert "node2" in message and "drained" in message and "broken fan" in message
    assert bench.faults.count("flux batch") == 0


def test_drained_nodes_are_the_reason_why_a_job_waits(bench: Bench, site: Instance) -> None:
    bench.learn_nodes()
    with site.drained(*site.batch_nodes):
        test = bench.start({"nodes": "1", "tasks": "1"})
        status = bench.wait_status(test, "SCHEDULED", "drained")
        assert "it needs 1 nodes, and 0 of its queue are usable" in status.note
    bench.wait_begun(test)


def test_a_job_goes_on_while_its_node_drains(bench: Bench, site: Instance) -> None:
    test = bench.start_long({"include_nodes": "node1", "nodes": "1"})
    with site.drained("node1"):
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


# --- Ends ---


def test_a_time_limit(bench: Bench, site: Instance) -> None:
    test = bench.start({"time_limit": site.short_limit}, bench.long)
    bench.wait_begun(test)
    bench.wait_status(test, "SCHED_ERROR", "time limit")
    assert test.complete and bench.ran(test) == 1


def test_a_script_that_a_signal_ended(bench: Bench) -> None:
    test = bench.start({}, "kill -9 $$")
    status = bench.wait_status(test, "SCHED_ERROR")
    assert "137" in status.note or "signal 9" in status.note


def test_a_node_that_is_lost(flux_kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with new_instance(flux_kind) as site, bench_at(site, monkeypatch) as bench:
        test = bench.start_long({"include_nodes": "node2", "nodes": "1"})
        bench.wait_status(test, "SCHED_STARTUP", "node2")
        site.lose("node2")
        status = bench.wait_status(test, "SCHED_ERROR", "node failure on node2")
        assert "lost" in status.note and test.complete
        node = next(node for node in raw_nodes(bench) if node["name"] == "node2")
        assert (node["up"], node["available"]) == (False, False)


# --- Inside a job ---


def test_a_job_is_seen_from_within_itself(bench: Bench, site: Instance) -> None:
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


def test_where_flux_is_not_installed_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    assert KINDS["real-flux"].why_not().startswith("not installed: flux ")


def test_another_program_of_that_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / "flux"
    program.write_text("#!/bin/sh\necho flux version 2.3.0\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    reason = KINDS["real-flux"].why_not()
    assert reason.startswith("the program flux in PATH is not that of flux-core")
    assert "flux version 2.3.0" in reason


def test_a_job_knows_its_nodes_and_its_id(bench: Bench, site: Instance) -> None:
    """By the names of the instance around it, whatever the job's own calls them."""
    code = (
        "from pavilion.schedulers import Flux; flux = Flux(); "
        "print(flux._get_alloc_job_id(None), *flux._get_alloc_nodes(None))"
    )
    seen = bench.host.folder / "seen"
    test = bench.start(
        {"include_nodes": "node2,node3", "nodes": "2"}, f"{sys.executable} -c '{code}' >{seen}"
    )
    bench.wait_no_jobs(test)
    assert seen.read_text().split() == [info(test)["id"], "node2", "node3"]
