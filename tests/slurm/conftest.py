"""Fixtures for tests that run against the fake Slurm and against a real one (``--slurm``)."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from clusters import Early, FakeForTests, Slurm
from machines import need_accounting
from real_slurm import RealSlurm

from open_directory import open_directory


@pytest.fixture(scope="session")
def slurm_cluster(request: pytest.FixtureRequest) -> Iterator[FakeForTests | RealSlurm]:
    """A cluster of 8 nodes with 4 CPUs for the whole session, by kind: 'fake' or 'real'."""
    with open_directory("test-slurm-") as path:
        cluster: FakeForTests | RealSlurm
        if request.param == "real":
            cluster = RealSlurm(path, min_job_age=300, message_timeout=5)
        else:
            cluster = FakeForTests(
                path,
                min_job_age=300,
                message_timeout=0.5,
                connect_seconds=0.1,
                kill_wait=2,
                minute=2,
                retry_seconds=0.02,
            )
        with cluster:
            yield cluster


@pytest.fixture
def slurm(slurm_cluster: FakeForTests | RealSlurm) -> Iterator[Slurm]:
    """The cluster, a folder to submit from that any user may enter, and a clean-up after."""
    path = Path(tempfile.mkdtemp(prefix="jobs-", dir=slurm_cluster.folder))
    path.chmod(0o777)
    slurm = Slurm(slurm_cluster, path)
    yield slurm
    slurm.clean()


@pytest.fixture(scope="session")
def early(slurm_cluster: FakeForTests | RealSlurm) -> Iterator[Early]:
    """Jobs that take long to reach what is checked: begun early, looked at late."""
    path = slurm_cluster.folder / "early"
    path.mkdir()
    jobs = Early(Slurm(slurm_cluster, path))
    yield jobs
    jobs.stop()


@pytest.fixture(scope="session")
def accounting_cluster(request: pytest.FixtureRequest) -> Iterator[RealSlurm]:
    """A real cluster with a slurmdbd, which forgets jobs soon.  There is no fake one."""
    need_accounting(request, "needs a real slurmdbd; --slurm=real runs it")
    with (
        open_directory("test-slurmdbd-") as path,
        RealSlurm(path, nodes=4, min_job_age=1, accounting=True) as cluster,
    ):
        yield cluster


@pytest.fixture
def late() -> None:
    """For tests that come last, because what they look at takes long by itself."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: "late" in getattr(item, "fixturenames", ()))
