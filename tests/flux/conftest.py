"""Fixtures for tests of the flux plugin on a Flux instance, with the sites of tests/batch.

A test with the fixture ``site`` (``bench`` does) runs once for each kind of site; ``--batch``
chooses among these.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from real_flux import why_not_available

from batch.bench import Bench, bench_at
from batch.real_flux_site import RealFluxSite
from batch_option import chosen
from flux_option import LEFT_OUT

KINDS: dict[str, type[RealFluxSite]] = {RealFluxSite.kind: RealFluxSite}
_NOWHERE = "nowhere"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "flux_kind" in metafunc.fixturenames:
        wish = chosen(metafunc.config)
        kinds = [kind for kind in KINDS if wish is None or kind in wish] or [_NOWHERE]
        metafunc.parametrize("flux_kind", kinds, scope="session")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    left_out = [
        item
        for item in items
        if Path(item.path).parent == Path(__file__).parent
        and getattr(item, "callspec", None) is not None
        and item.callspec.params.get("flux_kind") == _NOWHERE  # type: ignore[attr-defined]
    ]
    if left_out:
        items[:] = [item for item in items if item not in left_out]
        config.hook.pytest_deselected(items=left_out)


@contextmanager
def new_site(kind: str, **options: Any) -> Iterator[RealFluxSite]:
    """A new instance.

    :param options: See RealFlux.
    """
    if reason := KINDS[kind].why_not():
        pytest.skip(f"{LEFT_OUT} can be started here: {reason}")
    directory = Path(tempfile.mkdtemp(prefix="flux-"))
    directory.chmod(0o755)
    try:
        made = KINDS[kind](directory)
        made.options = options
        with made:
            yield made
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="session")
def _instance(flux_kind: str) -> Iterator[RealFluxSite]:
    """An instance for the tests of this process."""
    with new_site(flux_kind) as made:
        yield made


@pytest.fixture
def site(_instance: RealFluxSite) -> Iterator[RealFluxSite]:
    """An instance without jobs."""
    yield _instance
    _instance.clean()


@pytest.fixture
def bench(site: RealFluxSite, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    """A host with the plugin."""
    with bench_at(site, monkeypatch) as made:
        yield made


@pytest.fixture
def flux_installed() -> None:
    """There is a Flux that can be started."""
    if reason := why_not_available():
        pytest.skip(f"{LEFT_OUT} can be started here: {reason}")
