"""Fixtures for tests that run against the fake Slurm and against a real one (``--slurm``)."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from clusters import Early, FakeForTests, Slurm
from real_slurm import RealSlurm


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
