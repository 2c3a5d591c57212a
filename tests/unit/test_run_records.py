"""Where tests run, in their records; and the line that says that their job was accepted."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from test_series import Fake, _suite, fake  # noqa: F401

from pavilion.config import PavConfig
from pavilion.runner import Runner
from pavilion.schedulers.lifecycle.accepted import accepted_note, add_accepted
from pavilion.schedulers.lifecycle.whereabouts import Placement, save_placement
from pavilion.series import Series
from pavilion.status_file import STATES, StatusFile, TestStatusInfo
from pavilion.test_run import TestRun, Where

NOTE = accepted_note("fake", "58")


def states(test: TestRun) -> list[tuple[str, str]]:
    return [(info.state, info.note) for info in test.status.history()]


@pytest.fixture
def series(pav_cfg: PavConfig, fake: Fake) -> Series:  # noqa: F811
    """Not handed over yet."""
    text = """
        a: {scheduler: fake, run: {cmds: ['true']}}
        b: {scheduler: fake, run: {cmds: ['false']}}
        c: {scheduler: fake, chunk: 7, run: {cmds: ['true']}}
        """
    return Series.create(pav_cfg, _suite(pav_cfg, text))


@pytest.fixture
def run(series: Series) -> Iterator[Callable[..., int]]:
    """Runs tests as their job does."""
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    kept = {number: signal.getsignal(number) for number in numbers}
    yield lambda *tests: Runner(series.pav_cfg).run(tests)
    for number, handler in kept.items():
        signal.signal(number, handler)


@pytest.fixture
def test(series: Series) -> TestRun:
    series.kick_off()
    return series.tests[0]


class Racing(StatusFile):
    """A status file to which somebody else writes at a certain moment."""

    def __init__(self, path: Path, before: Callable[[], Any]) -> None:
        super().__init__(path)
        self._before = before

    def set(self, state: str, note: str) -> TestStatusInfo:
        before, self._before = self._before, lambda: None
        before()
        return super().set(state, note)


@pytest.mark.parametrize("state", [STATES.PREPPING_RUN, STATES.RUNNING, STATES.CANCELLED])
def test_a_test_that_starts_between_two_looks_keeps_its_state(test: TestRun, state: str) -> None:
    plain = test.status
    plain.set(STATES.SCHEDULED, "Waits.")
    test.status = Racing(plain.path, lambda: plain.set(state, "Its own word."))
    add_accepted(test, NOTE)
    assert states(test)[-3:] == [
        (state, "Its own word."),
        (STATES.SCHEDULED, NOTE),
        (state, "Its own word."),
    ]
    assert test.status.current().state == state


def test_what_a_test_writes_after_the_line_is_left_alone(test: TestRun) -> None:
    test.status.set(STATES.SCHEDULED, "Waits.")
    add_accepted(test, NOTE)
    add_accepted(test, NOTE)
    assert states(test)[-2:] == [(STATES.SCHEDULED, "Waits."), (STATES.SCHEDULED, NOTE)]
    test.status.set(STATES.RUNNING, "Runs.")
    add_accepted(test, NOTE)
    assert states(test)[-1] == (STATES.RUNNING, "Runs.")


def test_the_runner_says_it_where_nobody_did(
    series: Series,
    run: Callable[..., int],
    fake: Fake,  # noqa: F811
) -> None:
    """Whoever handed the job over was killed before it heard of the id."""
    fake._get_alloc_nodes = lambda job: ["n10", "n2"]  # type: ignore[method-assign]
    fake._get_alloc_job_id = lambda job: "58"  # type: ignore[method-assign]
    series.kick_off()
    tests = [TestRun.load_path(test.path) for test in series.tests]
    for test in tests:
        lines = test.status.path.read_bytes().splitlines(keepends=True)
        test.status.path.write_bytes(b"".join(lines[:2]))
        assert test.job is not None
        (test.job.path / test.job.INFO_FN).unlink(missing_ok=True)
    assert run(*tests) == 0
    for test in tests:
        assert [note for _, note in states(test)].count(NOTE) == 1
        assert [state for state, _ in states(test)][:4] == [
            STATES.CREATED,
            STATES.SCHEDULED,
            STATES.SCHEDULED,
            STATES.PREPPING_RUN,
        ]
        for file in ("results.json", "test.json"):
            stored = json.loads((test.path / file).read_text())
            assert (stored["job_id"], stored["nodes"]) == ("58", ["n2", "n10"])
        assert (test.job_id, test.nodes) == ("58", ["n2", "n10"])


def test_nodes_that_are_not_known_keep_no_test_from_running(
    series: Series,
    run: Callable[..., int],
    fake: Fake,  # noqa: F811
    capfd: pytest.CaptureFixture[str],
) -> None:
    """The plugin does not say which nodes an allocation has; those that were picked are known."""
    series.kick_off()
    job = series.tests[0].job
    assert job is not None
    save_placement(job, Placement(["n1"], 3, ["n1", "n4"]))
    test = TestRun.load_path(series.tests[0].path)
    assert run(test) == 0
    assert "The nodes of test s1.1 are not known" in capfd.readouterr().out
    assert test.complete and test.results["nodes"] == ["n1"]
    assert test.where() == Where(job.name, ["n1"], 3, ["n1", "n4"])


def test_before_it_runs_it_has_what_was_picked(
    series: Series,
    fake: Fake,  # noqa: F811
) -> None:
    test = series.tests[0]
    assert test.where() == Where()
    fake.on_kickoff = lambda job: save_placement(job, Placement(["n10", "n2"], 0, ["n2", "n10"]))
    series.kick_off()
    assert test.job is not None
    # Lists are the caller's.
    test.nodes.append("x")
    assert (test.nodes, test.chunk, test.chunk_nodes) == (["n2", "n10"], 0, ["n2", "n10"])
    assert test.job_id == test.job.name


def test_a_chunk_that_was_asked_for_is_known_without_a_job(series: Series) -> None:
    assert [test.chunk for test in series.tests] == [None, None, 7]
