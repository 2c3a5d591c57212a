"""A soak: a hundred jobs of all fates, and a kill -9 of the qmaster in the middle."""

from __future__ import annotations

import shlex
import threading
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from real_gridengine import RealGridEngine

from pavilion import schedulers
from pavilion.cancelling import cancel_tests
from pavilion.config import PavConfig
from pavilion.resolve import ResolvedTest, resolve_test
from pavilion.series import Series
from pavilion.status_file import STATES
from pavilion.suites import SuiteTest, TestElem
from pavilion.test_run import TestRun

JOBS = 100
WAVE = 20
PATIENCE = 600.0

# What a test does -> how many are like that, their schedule sections, and what comes of them.
KINDS: dict[str, tuple[int, dict[str, Any], str]] = {
    "sleep 1": (60, {}, "PASS"),
    "sleep 2; exit 3": (15, {"gridengine": {"pe": "smp"}}, "FAIL"),
    "until [ -e HOLD ]; do sleep 0.2; done": (10, {}, "PASS"),
    "sleep 600": (5, {"time_limit": "20s"}, "ERROR"),
    "sleep 601": (10, {}, "CANCELLED"),
}


def resolved(work: str, schedule: Mapping[str, Any], runs: Path, hold: Path) -> ResolvedTest:
    """A test that leaves a line in a file when its script runs."""
    commands = [
        f'echo "$PAV_TEST_ID" >>{shlex.quote(str(runs))}',
        work.replace("HOLD", shlex.quote(str(hold))),
    ]
    config = TestElem().validate(
        {
            "scheduler": "gridengine",
            "run": {"cmds": commands},
            "schedule": {"share_allocation": "false", **schedule},
        }
    )
    return resolve_test(SuiteTest("soak", "job", Path("soak.yaml"), config))[0]


def plan() -> list[str]:
    """The works of all tests, mixed, so that each wave has some of each."""
    rows = [
        (number / count, work) for work, (count, _, _) in KINDS.items() for number in range(count)
    ]
    return [work for _, work in sorted(rows)]


def test_every_test_ends_right_and_each_script_ran_once(
    gridengine: RealGridEngine, pav_cfg: PavConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tmp_path.chmod(0o755)
    runs, hold = tmp_path / "runs", tmp_path / "hold"
    plugin = schedulers.get_plugin("gridengine")
    monkeypatch.setattr(plugin, "JOB_TABLE_AGE", 1.0, raising=False)
    tests: list[tuple[TestRun, str]] = []
    threads: list[threading.Thread] = []
    errors: list[str] = []

    def see_through(series: Series) -> None:
        errors.extend(error.pformat() for error in series.kick_off())
        if not series.wait(PATIENCE):
            errors.append(f"series {series.id} did not end")

    def start(works: list[str]) -> None:
        series = Series.create(
            pav_cfg, [resolved(work, KINDS[work][1], runs, hold) for work in works]
        )
        tests.extend(zip(series.tests, works))
        threads.append(threading.Thread(target=see_through, args=(series,), daemon=True))
        threads[-1].start()

    works = plan()
    assert len(works) == JOBS
    waves = [works[first : first + WAVE] for first in range(0, JOBS, WAVE)]
    for number, wave in enumerate(waves):
        if number == 2:
            time.sleep(5.0)
            # Jobs run and wait; others are on their way.
            gridengine.kill_qmaster()
        start(wave)
        if number == 2:
            time.sleep(5.0)
            gridengine.start_qmaster()
    hold.touch()
    deadline = time.monotonic() + PATIENCE
    while any(thread.is_alive() for thread in threads) and time.monotonic() < deadline:
        running = [
            test
            for test, work in tests
            if KINDS[work][2] == "CANCELLED" and not test.complete and _has_begun(test, runs)
        ]
        if running:
            cancel_tests(pav_cfg, running, "Cancelled by the soak.")
        time.sleep(1.0)
    for thread in threads:
        thread.join(1.0)
    assert not errors, errors
    wrong = [
        (str(test.id), work, test.result, test.status.current())
        for test, work in tests
        if not test.complete or _outcome(test) != KINDS[work][2]
    ]
    ran = Counter(runs.read_text().split())
    assert not wrong, (wrong, ran)
    assert ran == {str(test.id): 1 for test, _ in tests}


def _outcome(test: TestRun) -> str | None:
    return "CANCELLED" if test.status.current().state == STATES.CANCELLED else test.result


def _has_begun(test: TestRun, runs: Path) -> bool:
    return runs.exists() and str(test.id) in runs.read_text().split()
