"""Fixtures for the tests that every plugin of the batch family has to pass.

A test that has the fixture ``site`` (``bench`` does) runs once for each scheduler that has what its
mark ``needs`` names.  So nothing is skipped; what runs where is printed at the end.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from batch.bench import Bench, bench_at
from batch.matrix import Matrix
from batch.sites import BatchSite, Can, site_classes
from batch_option import LEFT_OUT, chosen
from open_directory import open_directory

_NOWHERE = "nowhere"


def _kinds(config: pytest.Config) -> list[str]:
    wish = chosen(config)
    classes = site_classes()
    return [kind for kind in classes if not classes[kind].why_not()] if wish is None else wish


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "scheduler" in metafunc.fixturenames:
        kinds = _kinds(metafunc.config) or [_NOWHERE]
        metafunc.parametrize("scheduler", kinds, indirect=True, scope="session")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what a scheduler cannot have; name what none of those chosen can have."""
    can = {kind: made.can for kind, made in site_classes().items()}

    def fits(item: pytest.Item) -> bool:
        callspec = getattr(item, "callspec", None)
        kind = callspec and callspec.params.get("scheduler")
        needs = {need for mark in item.iter_markers("needs") for need in mark.args}
        assert all(isinstance(need, Can) for need in needs), (item, needs)
        return kind is None or (kind != _NOWHERE and needs <= can[kind])

    left_out = [item for item in items if not fits(item)]
    items[:] = [item for item in items if fits(item)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
    here = [item for item in items if Path(item.path).parent == Path(__file__).parent]
    if here:
        ran = {function_of(item) for item in here}
        nowhere = sorted({function_of(item) for item in left_out} - ran)
        lines = Matrix(_kinds(config)).lines(nowhere)
        config.stash[LEFT_OUT] = lines
        # With xdist the workers collect, and the summary is printed elsewhere.
        getattr(config, "workeroutput", {})["batch"] = lines


def function_of(item: pytest.Item) -> str:
    """The name of a test, and of the case, without the scheduler."""
    callspec = getattr(item, "callspec", None)
    name = item.nodeid.partition("[")[0]
    if callspec is None:
        return name
    others = [str(value) for key, value in callspec.params.items() if key != "scheduler"]
    return f"{name}[{'-'.join(others)}]" if others else name


@pytest.fixture(scope="session")
def scheduler(request: pytest.FixtureRequest) -> Iterator[BatchSite]:
    """A scheduler for all tests that run with it, one after the other."""
    made = site_classes()[request.param]
    with open_directory("batch-") as directory, made(directory) as site:
        yield site


@pytest.fixture
def site(scheduler: BatchSite) -> Iterator[BatchSite]:
    """A scheduler without jobs."""
    yield scheduler
    scheduler.clean()


@pytest.fixture
def bench(site: BatchSite, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    """A host with the plugin of that scheduler, and faults for its commands."""
    with bench_at(site, monkeypatch) as made:
        yield made
