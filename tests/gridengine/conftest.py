"""Fixtures for tests that run against a real Grid Engine."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from gridengine_option import LEFT_OUT
from real_gridengine import RealGridEngine, why_not_available


@pytest.fixture(scope="session")
def gridengine_cluster() -> Iterator[RealGridEngine]:
    """A Grid Engine for the tests of this process."""
    reason = why_not_available()
    if reason:
        pytest.skip(f"{LEFT_OUT} can be started here: {reason}")
    # Not below pytest's own directory, which other users may not enter.
    folder = Path(tempfile.mkdtemp(prefix="test-gridengine-"))
    folder.chmod(0o755)
    try:
        with RealGridEngine(folder) as cluster:
            yield cluster
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def gridengine(
    gridengine_cluster: RealGridEngine, monkeypatch: pytest.MonkeyPatch
) -> Iterator[RealGridEngine]:
    """A Grid Engine without jobs, which commands of this process and its children use."""
    for name in [name for name in os.environ if name.startswith("SGE_")]:
        monkeypatch.delenv(name)
    for name, value in gridengine_cluster.variables().items():
        monkeypatch.setenv(name, value)
    yield gridengine_cluster
    gridengine_cluster.clean()
