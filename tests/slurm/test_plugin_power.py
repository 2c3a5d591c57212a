"""Tests in a partition whose nodes power saving shuts down: on the fake, and on a real Slurm whose
nodes really start and end."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from clusters import FakeForTests, Slurm, wait_until
from machines import PoweredSlurm, fake, powered_description
from plugin_tools import Site, header, site_of

from open_directory import open_directory

NODES = [f"q-dy-{number}" for number in range(1, 6)]
# Slurm's thread that wakes nodes and shuts them down has had its turn several times by then.
QUIET_SECONDS = 4.0


@pytest.fixture(scope="module")
def slurm_cluster(request: pytest.FixtureRequest) -> Iterator[FakeForTests | PoweredSlurm]:
    """With partition q, of cloud nodes q-dy-1 to q-dy-5; all are listed."""
    if request.param == "real":
        with (
            open_directory("test-power-") as path,
            PoweredSlurm(path, min_job_age=300, extra_conf="PrivateData=cloud\n") as real,
        ):
            yield real
    else:
        made = powered_description(private_data=["cloud"])
        with fake(made, suspend_time=3, suspend_timeout=1, resume_timeout=30) as cluster:
            yield cluster


@pytest.fixture
def site(slurm: Slurm, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    with site_of(slurm, monkeypatch, "power") as made:
        yield made


def test_nodes_that_are_powered_down_wake_for_a_test(site: Site) -> None:
    assert site.usable({"partition": "q"}) == NODES
    test = site.start({"partition": "q", "nodes": "2"}, work=site.long)
    site.wait_status(test, "SCHEDULED", "waits for its nodes to start", 60.0)
    site.wait_status(test, "SCHED_STARTUP", "is running", 60.0)
    site.plugin.refresh()
    # Those that run by now, and those that still sleep.
    assert site.usable({"partition": "q"}) == NODES
    site.release()
    site.wait_status(test, "SCHED_ERROR", "ended normally", 60.0)


def test_all_of_a_partition(site: Site) -> None:
    test = site.start({"partition": "q", "nodes": "all"})
    assert "--nodes 5" in header(test)


def test_where_nodes_are_picked_they_sleep_on(site: Site) -> None:
    # A node that a job of an earlier test was to get may be woken after that job is gone.
    rest = [time.monotonic()]

    def asleep() -> bool:
        if not all("POWERED_DOWN" in site.cluster.node_state(name) for name in NODES):
            rest[0] = time.monotonic()
        return time.monotonic() > rest[0] + QUIET_SECONDS

    wait_until(asleep, "all nodes are powered down, and stay so", 90.0)
    site.plugin.refresh()
    text = site.refused({"partition": "q", "nodes": "2", "chunking": {"size": "2"}})
    assert "powered down: 5" in text
    assert "schedule.slurm.up_states" in text
    states = [
        "IDLE",
        "MIXED",
        "ALLOCATED",
        "COMPLETING",
        "POWERED_DOWN",
        "POWERING_UP",
        "POWERING_DOWN",
    ]
    picked = site.start(
        {"partition": "q", "nodes": "2", "chunking": {"size": "2"}, "slurm": {"up_states": states}}
    )
    assert "-w q-dy-[1-2]" in header(picked)
    site.wait_status(picked, "SCHED_ERROR", "ended normally", 60.0)
