"""Nodes in records: long lists are stored short, and read once; others' records are limited."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from test_series import Fake, _suite, fake  # noqa: F401

from pavilion.config import PavConfig
from pavilion.jobs import Job
from pavilion.schedulers.lifecycle import whereabouts as placement
from pavilion.schedulers.lifecycle.whereabouts import (
    LISTED,
    Placement,
    load_placement,
    node_names,
    save_placement,
    stored,
)
from pavilion.series import Series
from pavilion.test_run import TestRun, Where

MACHINE = [f"n{number:05}" for number in range(1, 10_001)]


@pytest.fixture
def test(pav_cfg: PavConfig, fake: Fake) -> TestRun:  # noqa: F811
    series = Series.create(
        pav_cfg, _suite(pav_cfg, "a: {scheduler: fake, run: {cmds: ['true']}}\n")
    )
    return series.tests[0]


def test_a_test_on_the_whole_machine_has_short_records(test: TestRun) -> None:
    """A thousand of them would otherwise take hundreds of megabytes."""
    test.started_on(Where("58", MACHINE, 3, MACHINE))
    test.record_start()
    test.save_results({"result": "PASS"})
    for name in ("test.json", "results.json"):
        assert (test.path / name).stat().st_size < 4096
        record = json.loads((test.path / name).read_text())
        assert (record["nodes"], record["chunk_nodes"]) == ("n[00001-10000]",) * 2
    again = TestRun.load_path(test.path)
    assert again.where() == Where("58", MACHINE, 3, MACHINE)
    # The list is shared; that of a caller is his own.
    assert again.where().nodes is TestRun.load_path(test.path).where().nodes
    assert again.nodes is not again.nodes


def test_few_nodes_are_a_list(test: TestRun) -> None:
    test.started_on(Where("58", MACHINE[:LISTED]))
    test.save_results({"result": "PASS"})
    assert test.results["nodes"] == MACHINE[:LISTED]


def test_the_place_of_a_job_is_stored_short(tmp_path: Path) -> None:
    job = Job(tmp_path)
    save_placement(job, Placement(MACHINE[:70], 1, MACHINE))
    assert (tmp_path / placement.PLACEMENT_FN).stat().st_size < 200
    assert load_placement(job) == Placement(MACHINE[:70], 1, MACHINE)


def test_names_that_no_host_list_can_contain_are_stored(tmp_path: Path) -> None:
    odd = sorted(f"n:{number}" for number in range(100, 200))
    assert stored({"nodes": odd}) == {"nodes": odd}
    assert node_names(odd) == odd


@pytest.mark.parametrize(
    "record",
    [
        "n1",  # no list that is short is stored like this
        "n[1-",
        "n[1-200000],m1",
        "n[1-99999999999]",
        "",
        ["n"] * 200_001,
        {"n1": 1},
        b"n1",
        7,
    ],
)
def test_what_is_not_a_list_of_nodes_is_not_known(record: Any) -> None:
    assert node_names(record) == []


def test_short_records_cannot_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """A record of another user's is a few bytes, and its host list stands for 200,000 names."""
    monkeypatch.setattr(placement, "_MOST_NAMES", 10_000)
    monkeypatch.setattr(placement, "_expanded", placement._Expanded())
    found = [len(node_names(f"n{number}x[1-1000]")) for number in range(300)]
    assert found[0] == 1000 and sum(found) < 20_000
    # A list that is as long as its names is as long as it may be, whatever was read before.
    assert len(node_names(",".join(MACHINE[:1000]))) == 1000
