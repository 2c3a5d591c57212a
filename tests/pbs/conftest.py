"""Fixtures for tests that run against a real OpenPBS."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from installed_pbs import why_not_available
from real_pbs import RealPbs

from batch.bench import Bench, bench_at
from batch.real_pbs_site import RealPbsSite
from batch_option import chosen
from pbs_option import LEFT_OUT


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Where schedulers were chosen, and not this one, its tests are not among those chosen."""
    wish = chosen(config)
    if wish is not None and "real-pbs" not in wish:
        left_out = [item for item in items if "pbs_site" in getattr(item, "fixturenames", ())]
        items[:] = [item for item in items if item not in left_out]
        config.hook.pytest_deselected(items=left_out)


@pytest.fixture(scope="session")
def pbs_site() -> Iterator[RealPbsSite]:
    """An OpenPBS for the tests of this process."""
    reason = why_not_available()
    if reason:
        pytest.skip(f"{LEFT_OUT} can be started here: {reason}")
    # Not below pytest's own directory, which other users may not enter.
    folder = Path(tempfile.mkdtemp(prefix="test-pbs-"))
    folder.chmod(0o755)
    try:
        with RealPbsSite(folder) as site:
            yield site
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def pbs(pbs_site: RealPbsSite, monkeypatch: pytest.MonkeyPatch) -> Iterator[RealPbs]:
    """An OpenPBS without jobs, which commands of this process and its children use."""
    for name in [name for name in os.environ if name.startswith("PBS_")]:
        monkeypatch.delenv(name)
    for name, value in pbs_site.variables().items():
        monkeypatch.setenv(name, value)
    yield pbs_site.pbs
    pbs_site.clean()


@pytest.fixture
def bench(pbs: RealPbs, pbs_site: RealPbsSite, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    """A host with the plugin, and faults for the commands of PBS."""
    with bench_at(pbs_site, monkeypatch) as made:
        yield made
