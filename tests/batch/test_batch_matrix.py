"""What is not run with a scheduler is declared, and nothing is declared for nobody."""

from __future__ import annotations

from pathlib import Path

from batch.matrix import Matrix
from batch.sites import Can, site_classes
from batch_option import MADE_UP, REAL
from pavilion.schedulers import SchedulerPluginBatch
from pavilion.schedulers.plugins import __path__ as plugin_paths


def test_each_capability_is_that_of_some_scheduler() -> None:
    declared = Matrix([]).declared
    for can in Can:
        assert any(can in having for having in declared.values()), can


def test_each_capability_is_needed_by_some_test() -> None:
    text = "".join(path.read_text() for path in Path(__file__).parent.glob("test_*.py"))
    assert [can.name for can in Can if f"Can.{can.name}" not in text] == []


def test_every_site_can_be_chosen() -> None:
    assert tuple(sorted(site_classes())) == tuple(sorted((*MADE_UP, *REAL)))


def test_every_bundled_batch_plugin_has_a_site() -> None:
    """A new one needs a site here, and passes the same tests."""
    names = {path.stem for where in plugin_paths for path in Path(where).rglob("*.yapsy-plugin")}
    have = {kind.rpartition("-")[2] for kind in site_classes()}
    assert names - {"raw"} <= have
    assert SchedulerPluginBatch.IS_PLUGIN_BASE


def test_the_table_shows_all(pytestconfig: object) -> None:
    lines = Matrix(["minibatch"]).lines()
    assert "ran with minibatch; not with " in lines[1]
    for can in Can:
        assert sum(line.split()[:1] == [can.name] for line in lines) == 1
