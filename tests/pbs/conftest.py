"""Fixtures for the tests of the pbs plugin: a real OpenPBS where there is one, and the fake one.

Tests that have the fixture ``pbs`` bring about what only the real one can have.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from real_pbs import RealPbs

from batch.bench import Bench, bench_at
from batch.pbs_sites import FakePbsSite
from batch.real_pbs_site import RealPbsSite
from batch.sites import BatchSite
from batch_option import chosen
from open_directory import open_directory
from real_schedulers import OPENPBS

SITES = {"fake-pbs": FakePbsSite, "real-pbs": RealPbsSite}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Where schedulers were chosen, and not this one, its tests are not among those chosen."""
    wish = chosen(config) or list(SITES)
    left_out = []
    for item in items:
        callspec = getattr(item, "callspec", None)
        kind = callspec and callspec.params.get("pbs_site")
        real_only = kind == "fake-pbs" and "pbs" in getattr(item, "fixturenames", ())
        if kind is not None and (kind not in wish or real_only):
            left_out.append(item)
    items[:] = [item for item in items if item not in left_out]
    config.hook.pytest_deselected(items=left_out)


@pytest.fixture(scope="session", params=list(SITES))
def pbs_site(request: pytest.FixtureRequest) -> Iterator[BatchSite]:
    """A PBS for the tests of this process."""
    made = SITES[request.param]
    OPENPBS.skip_if(made.why_not())
    with open_directory("test-pbs-") as path, made(path) as site:
        yield site


@pytest.fixture
def site(pbs_site: BatchSite, monkeypatch: pytest.MonkeyPatch) -> Iterator[BatchSite]:
    """A PBS without jobs, which commands of this process and its children use."""
    for name in [name for name in os.environ if name.startswith("PBS_")]:
        monkeypatch.delenv(name)
    for name, value in pbs_site.variables().items():
        monkeypatch.setenv(name, value)
    yield pbs_site
    pbs_site.clean()


@pytest.fixture
def pbs(site: BatchSite) -> RealPbs:
    """The real one."""
    assert isinstance(site, RealPbsSite)
    return site.pbs


@pytest.fixture
def bench(site: BatchSite, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    """A host with the plugin, and faults for the commands of PBS."""
    with bench_at(site, monkeypatch) as made:
        yield made


@pytest.fixture
def no_history(bench: Bench) -> Iterator[None]:
    """The server forgets jobs as soon as they have ended."""
    site = bench.site
    assert isinstance(site, FakePbsSite)
    cluster = site.pbs if isinstance(site, RealPbsSite) else site.cluster
    cluster.set_history(False)
    yield
    cluster.set_history(True)
