"""Fixtures for tests that run against the fake Slurm and against a real one (``--slurm``)."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from clusters import Early, FakeForTests, Slurm
from real_slurm import RealSlurm, why_no_accounting


@pytest.fixture(scope="session")
def slurm_cluster(request: pytest.FixtureRequest) -> Iterator[FakeForTests | RealSlurm]:
    """A cluster of 8 nodes with 4 CPUs for the whole session, by kind: 'fake' or 'real'."""
    # Not below pytest's own folders: other users must get at it.
    folder = Path(tempfile.mkdtemp(prefix="test-slurm-"))
    folder.chmod(0o755)
    cluster: FakeForTests | RealSlurm
    if request.param == "real":
        cluster = RealSlurm(folder, min_job_age=10, message_timeout=2)
    else:
        cluster = FakeForTests(folder, min_job_age=10, message_timeout=0.5, connect_seconds=0.1,
                               kill_wait=2, minute=2, retry_seconds=0.02)
    try:
        with cluster:
            yield cluster
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def slurm(slurm_cluster: FakeForTests | RealSlurm) -> Iterator[Slurm]:
    """The cluster, a folder to submit from that any user may enter, and a clean-up after."""
    folder = Path(tempfile.mkdtemp(prefix="jobs-", dir=slurm_cluster.folder))
    folder.chmod(0o777)
    slurm = Slurm(slurm_cluster, folder)
    yield slurm
    slurm.clean()


@pytest.fixture(scope="session")
def early(slurm_cluster: FakeForTests | RealSlurm) -> Iterator[Early]:
    """Jobs that take long to reach what is checked: begun early, looked at late."""
    folder = slurm_cluster.folder / "early"
    folder.mkdir()
    jobs = Early(Slurm(slurm_cluster, folder))
    yield jobs
    jobs.stop()


@pytest.fixture(scope="session")
def accounting_cluster(request: pytest.FixtureRequest) -> Iterator[RealSlurm]:
    """A real cluster with a slurmdbd, which forgets jobs soon.  There is no fake one."""
    if request.config.getoption("--slurm") == "fake":
        pytest.skip("needs a real slurmdbd; --slurm=real runs it")
    reason = why_no_accounting()
    if reason:
        pytest.skip(f"needs a real slurmdbd, and that cannot be started here: {reason}")
    folder = Path(tempfile.mkdtemp(prefix="test-slurmdbd-"))
    folder.chmod(0o755)
    try:
        with RealSlurm(folder, nodes=4, min_job_age=1, accounting=True) as cluster:
            yield cluster
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def late() -> None:
    """For tests that come last, because what they look at takes long by itself."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: "late" in getattr(item, "fixturenames", ()))
