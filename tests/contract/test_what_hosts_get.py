"""What every public method may raise towards a host (see ``raise_checks``), on both hosts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from contract.alone_runner import Alone
from contract.fakes import EmbeddedSite
from contract.raise_checks import CHECKS, FAULTS, MAY_RAISE
from pavilion.schedulers.finding import registry


@pytest.fixture
def site(tmp_path: Path) -> Iterator[EmbeddedSite]:
    yield EmbeddedSite(tmp_path)
    registry.reset()


def groups() -> dict[str, list[str]]:
    """The checks that differ in nothing but the exception, as one test."""
    found: dict[str, list[str]] = {}
    for name in CHECKS:
        stem, _, fault = name.rpartition("-")
        found.setdefault(stem if fault in FAULTS else name, []).append(name)
    return found


GROUPS = groups()


@pytest.mark.parametrize("group", GROUPS)
def test_in_our_own_host(site: EmbeddedSite, group: str) -> None:
    for name in GROUPS[group]:
        CHECKS[name](site)


@pytest.fixture(scope="module")
def in_host26(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Why each check failed there; '' where it did not."""
    alone = Alone(tmp_path_factory.mktemp("alone"))
    found: dict[str, str] = json.loads(
        alone.check(str(alone.lib / "run_checks.py"), "raise_checks")
    )
    return found


@pytest.mark.parametrize("group", GROUPS)
def test_in_a_host_like_pavilion_2_6(in_host26: dict[str, str], group: str) -> None:
    failed = {name: in_host26[name] for name in GROUPS[group] if in_host26[name]}
    assert not failed, "\n".join(f"{name}: {text}" for name, text in failed.items())


def test_every_entry_of_the_table_is_checked() -> None:
    from contract.raise_checks import CASES

    functions = {"validate_config", "calc_node_range", "parse_node_range", "register_core_plugins"}
    assert {case.call for case in CASES.values()} | functions == set(MAY_RAISE)
