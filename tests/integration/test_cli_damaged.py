"""Records that claim much: what commands say stays short, and takes no time or memory to speak of."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cli_tools import Cli

pytestmark = pytest.mark.usefixtures("series")


@pytest.fixture
def series(cli: Cli) -> Path:
    cli.suite("a: {run: {cmds: ['true']}}\n")
    assert cli("run", "suite").code == 0
    return cli.work / "series" / "s1"


def change(file: Path, **keys: object) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text()), **keys}))


@pytest.mark.parametrize("command", ["status", "nodes", "run", "cancel"])
def test_a_hundred_thousand_tests_that_are_not_there(cli: Cli, series: Path, command: str) -> None:
    change(series / "series.json", tests=100_000)
    done = cli(command, "s1")
    assert done.code == 2
    assert "99999 have no directory in" in done.err
    assert "s1.2 to s1.100000" in done.err
    assert len(done.err.splitlines()) == 1
    if command in ("status", "nodes"):
        # What is there is shown.
        assert "s1.1" in done.out


def test_a_few_tests_that_are_not_there_are_named(cli: Cli, series: Path) -> None:
    change(series / "series.json", tests=3)
    done = cli("status", "s1")
    assert done.code == 2
    assert ["s1.2" in line for line in done.err.splitlines()] == [True, False]


def test_many_tests_that_cannot_be_read(cli: Cli, series: Path) -> None:
    change(series / "series.json", tests=200)
    for number in range(2, 201):
        test = series / f"s1.{number}"
        test.mkdir()
        (test / "test.json").write_text('{"name": "half')
    done = cli("status", "s1")
    assert done.code == 2 and "s1.1" in done.out
    assert len(done.err.splitlines()) < 120
    assert "And 149 more errors of this kind." in done.err


def test_host_lists_that_stand_for_too_many_nodes(cli: Cli, series: Path) -> None:
    plan = {"scheduler": "raw", "tests": ["s1.1"], "names": ["a"], "left_out": []}
    lists = [f"n{number}x[1-190000]" for number in range(100)]
    (series / "nodes.json").write_text(
        json.dumps({"plans": [dict(plan, nodes="n1", chunks=lists)]})
    )
    done = cli("nodes", "s1")
    assert "cannot be read" in done.err and "more than" in done.err
    assert "1 passed" in done.out
