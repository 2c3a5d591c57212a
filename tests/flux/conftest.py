"""Fixtures for tests of the flux plugin on Flux, with the sites of tests/batch.

A test with the fixture ``site`` (``bench`` does) runs once for each kind of Flux, and one that is
marked as ``real`` with a real one only; ``--batch`` chooses among them.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from instances import KINDS, Instance, RealInstance, new_instance

from batch.bench import Bench, bench_at
from batch_option import chosen

_NOWHERE = "nowhere"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "flux_kind" in metafunc.fixturenames:
        wish = chosen(metafunc.config)
        real = metafunc.definition.get_closest_marker("real_flux") is not None
        kinds = [RealInstance.kind] if real else list(KINDS)
        kinds = [kind for kind in kinds if wish is None or kind in wish] or [_NOWHERE]
        metafunc.parametrize("flux_kind", kinds, scope="session")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    def has_no_kind(item: pytest.Item) -> bool:
        callspec = getattr(item, "callspec", None)
        return callspec is not None and callspec.params.get("flux_kind") == _NOWHERE

    left_out = [item for item in items if has_no_kind(item)]
    if left_out:
        items[:] = [item for item in items if not has_no_kind(item)]
        config.hook.pytest_deselected(items=left_out)


@pytest.fixture(scope="session")
def _instance(flux_kind: str) -> Iterator[Instance]:
    """A Flux for the tests of this process."""
    with new_instance(flux_kind) as made:
        yield made


@pytest.fixture
def site(_instance: Instance) -> Iterator[Instance]:
    """A Flux without jobs."""
    yield _instance
    _instance.clean()


@pytest.fixture
def bench(site: Instance, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    """A host with the plugin."""
    with bench_at(site, monkeypatch) as made:
        yield made
