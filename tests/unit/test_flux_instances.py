"""Which instance a job belongs to is remembered; FLUX_URI names another one inside of jobs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import polling
from contract.fakes import active
from job_bench import JobBench, info
from pavilion.jobs import JobInfo
from pavilion.schedulers import Flux
from pavilion.schedulers.batch.submitting import read_instance
from pavilion.testkit import FakeFlux


@pytest.fixture
def outer(tmp_path: Path) -> Iterator[FakeFlux]:
    with FakeFlux(tmp_path / "outer", kill_wait=1) as made:
        yield made


@pytest.fixture
def inner(tmp_path: Path) -> Iterator[FakeFlux]:
    """As the instance of a job is to those who are inside."""
    with FakeFlux(tmp_path / "inner", kill_wait=1) as made:
        yield made


@pytest.fixture
def bench(outer: FakeFlux, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[JobBench]:
    monkeypatch.setenv("PATH", outer.env()["PATH"])
    monkeypatch.setenv("FLUX_URI", outer.uri)
    plugin = Flux()
    plugin.JOB_TABLE_AGE = 0.1
    plugin.JOB_END_GRACE = 0.0
    with active(plugin):
        made = JobBench(plugin, tmp_path / "host", tmp_path / "pav_root")
        yield made
        made.release()


def status_of(bench: JobBench, record: JobInfo) -> str:
    found = bench.plugin._job_status(bench.pav_cfg, record)  # type: ignore[arg-type]
    assert found is not None
    return f"{found.state}: {found.note}"


def test_the_record_has_the_instance_and_what_pavilions_own_has(
    bench: JobBench, outer: FakeFlux
) -> None:
    test = bench.start({}, bench.long)
    record = info(test)
    assert record["instance"] == outer.uri
    assert record["id"] == record["jobid"] and record["id"].isdigit()
    assert record["name"].startswith("pav_") and record["sys_name"]
    assert test.job is not None
    # The host's own record has what identifies the job, and no more.
    assert set(test.job.info) == {"id", "jobid", "sys_name", "name"}
    assert read_instance(test.job.path / "submit.log") == outer.uri


def test_queries_and_cancels_go_to_the_jobs_instance(
    bench: JobBench, outer: FakeFlux, inner: FakeFlux, monkeypatch: pytest.MonkeyPatch
) -> None:
    test = bench.start({}, bench.long)
    record = info(test)
    monkeypatch.setenv("FLUX_URI", inner.uri)
    polling.until(
        lambda: status_of(bench, record).startswith(f"SCHED_RUNNING: Job {record['id']} "),
        "it runs",
    )
    # Also by what is found of it after its record was lost.
    assert test.job is not None
    recovered = bench.plugin._recover_identity(test.job)
    assert recovered is not None and recovered["instance"] == outer.uri
    assert status_of(bench, recovered).startswith("SCHED_RUNNING")
    assert inner.calls() == []
    # A new test goes to the instance that we are in.
    other = bench.start({}, bench.long)
    assert info(other)["instance"] == inner.uri
    monkeypatch.delenv("FLUX_URI")
    assert bench.plugin.cancel(record) is None and bench.plugin.cancel(info(other)) is None
    for instance in (outer, inner):
        ended = [job["state"] for job in instance.jobs().values()]
        assert ended == ["CANCELLED"]


def test_the_instance_of_a_job_ends_and_nothing_is_concluded(
    bench: JobBench, outer: FakeFlux, inner: FakeFlux, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLUX_URI", inner.uri)
    test = bench.start({}, bench.long)
    record = info(test)
    monkeypatch.setenv("FLUX_URI", outer.uri)
    inner.stop()
    for _ in range(3):
        shown = status_of(bench, record)
        assert shown.startswith("SCHED_WARNING"), shown
        assert "was not found" in shown and f"FLUX_URI={inner.uri}" in shown
    assert not test.complete
    message = bench.plugin.cancel(record)
    assert message is not None and "may still be running" in message


def test_without_a_variable_it_is_the_default_instance(
    bench: JobBench, outer: FakeFlux, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = bench.plugin._client
    assert client.instance() == outer.uri
    assert client.querying_at("default").environment().get("FLUX_URI") is None
    assert client.querying_at("local:///x").environment()["FLUX_URI"] == "local:///x"
    assert client.querying.environment()["FLUX_URI"] == outer.uri
    monkeypatch.delenv("FLUX_URI")
    assert client.instance() == "default"
    # Calls of all of them are counted together.
    before = client.querying.count("flux")
    client.querying_at("local:///x").run(["flux", "uptime"])
    assert client.querying.count("flux") == before + 1


@pytest.mark.parametrize("spelling", ["id", "jobid"])
def test_a_record_of_pavilions_own_plugin(bench: JobBench, outer: FakeFlux, spelling: str) -> None:
    """It has an id in any spelling, and no instance."""
    test = bench.start({}, bench.long)
    record = info(test)
    other = outer.ok("flux", "jobs", "-ano", "{id}").strip()
    assert other.startswith("f") and other != record["id"]
    theirs = JobInfo({"id": other, "jobid": int(record["id"]), "sys_name": record["sys_name"]})
    polling.until(
        lambda: status_of(bench, theirs).startswith(f"SCHED_RUNNING: Job {record['id']} "),
        "it runs",
    )


def test_answers_of_instances_are_kept_apart(
    bench: JobBench, outer: FakeFlux, inner: FakeFlux, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = bench.start({}, bench.long)
    monkeypatch.setenv("FLUX_URI", inner.uri)
    second = bench.start({}, bench.long)
    for test in (first, second):
        polling.until(lambda test=test: "Job" in status_of(bench, info(test)), "it is seen")
    files = list(Path(bench.pav_cfg.working_dir).glob(".flux_jobs-*.json"))
    assert len(files) == 2
    for file in files:
        text = file.read_text()
        # Others may read it.
        assert outer.uri not in text and inner.uri not in text
        assert os.sep not in file.name


# --- Why jobs wait ---


def test_jobs_that_may_wait_for_ever_say_why(
    bench: JobBench, outer: FakeFlux, monkeypatch: pytest.MonkeyPatch
) -> None:
    def waits(schedule: dict[str, Any], words: str) -> None:
        test = bench.start(schedule)
        polling.until(lambda: words in status_of(bench, info(test)), words)
        assert status_of(bench, info(test)).startswith("SCHEDULED")
        bench.plugin.refresh()

    outer.stop_queue("debug", "maintenance")
    waits({"partition": "debug", "time_limit": "5m"}, "its queue, debug, starts no jobs (stopped)")
    outer.drain("node2")
    outer.drain("node3")
    schedule = {"nodes": "2", "flux": {"fluxbatch_extra": ["-N2"]}}
    waits({**schedule, "nodes": "1"}, "it needs 2 nodes, and 1 of its queue are usable")
    waits({"flux": {"fluxbatch_extra": ["--urgency=0"]}}, "is stuck (held: its urgency is 0)")


def test_a_job_whose_chosen_node_was_drained_says_so(bench: JobBench, outer: FakeFlux) -> None:
    blocking = bench.start({"nodes": "3"}, bench.long)
    polling.until(lambda: "RUNNING" in status_of(bench, info(blocking)), "it runs")
    test = bench.start({"across_nodes": "node2", "chunking": {"size": "1"}})
    outer.drain("node2")
    polling.until(
        lambda: "it must have node2, down or drained" in status_of(bench, info(test)), "it says so"
    )


def test_a_directory_that_is_missing_on_the_node(bench: JobBench, outer: FakeFlux) -> None:
    """Flux would run the job in /tmp, and show it as completed."""
    outer.stop_queue("batch")
    test = bench.start()
    assert test.job is not None
    moved = test.job.path.with_name("moved")
    test.job.path.rename(moved)
    outer.start_queue("batch")
    polling.until(
        lambda: "shell_init: No such file or directory (exception 'exec'"
        in status_of(bench, info_of(moved)),
        "it failed",
    )


def info_of(path: Path) -> JobInfo:
    from pavilion.jobs import Job
    from pavilion.schedulers.lifecycle.identity import load_identity

    found = load_identity(Job(path))
    assert found is not None
    return found


def test_a_queue_that_does_not_exist(bench: JobBench) -> None:
    message = " ".join(bench.refused({"partition": "batsh"}).split())
    assert "schedule.partition: there is no queue 'batsh' (there are: batch, debug)" in message
    assert "Did you mean 'batch'" in message
    message = " ".join(bench.refused({"flux": {"queue": "x"}, "partition": "batch"}).split())
    assert "schedule.flux.queue: there is no queue 'x'" in message


def test_jobs_get_nodes_of_the_default_queue(bench: JobBench) -> None:
    test = bench.start({"nodes": "all", "chunking": {"size": "3"}})
    assert test.job is not None
    text = test.job.kickoff_path.read_text()
    assert "#flux: --requires=host:node[1-3]" in text
    message = " ".join(bench.refused({"nodes": "4"}).split())
    assert 'not in the default queue "batch"' in message
