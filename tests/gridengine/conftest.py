"""Fixtures for tests that run against a real Grid Engine."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial

import pytest
from engine_site import Site, site_of
from real_gridengine import RealGridEngine, why_not_available

from open_directory import open_directory
from pavilion.schedulers.batch import client
from pavilion.schedulers.lifecycle.job_table import JobTable
from real_schedulers import GRID_ENGINE


@pytest.fixture(scope="session")
def gridengine_cluster() -> Iterator[RealGridEngine]:
    """A Grid Engine for the tests of this process."""
    GRID_ENGINE.skip_if(why_not_available())
    with open_directory("test-gridengine-") as path, RealGridEngine(path) as cluster:
        yield cluster


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


@pytest.fixture
def site(gridengine: RealGridEngine) -> Iterator[Site]:
    """A host with the plugin."""
    with site_of(gridengine) as made:
        yield made


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """A job that is not listed is believed to be gone after a second, in place of half a minute."""
    monkeypatch.setattr(client, "JobTable", partial(JobTable, grace=1.0, absence_gap=0.5))
