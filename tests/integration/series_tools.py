"""Making and running series in these tests."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

from cli_tools import processes_of_queue, signal_all

from pavilion.config import PavConfig
from pavilion.resolve import resolve_test
from pavilion.series import Series
from pavilion.status_file import STATES
from pavilion.suites import select_tests
from pavilion.test_run import TestRun

# Nothing here takes this long; it keeps a test that hangs from hanging them all.
PATIENCE = 120.0
# Makes a test's processes recognisable.
MARK = "PAV_RAW_QUEUE_DIR"


def processes() -> list[int]:
    """The processes that were started from this test, in whatever session."""
    return processes_of_queue(os.environ[MARK])


def create(cfg: PavConfig, text: str) -> Series:
    folder = Path(next(iter(cfg.configs.values()))["path"]) / "suites"
    (folder / "suite.yaml").write_text(textwrap.dedent(text), encoding="utf-8")
    return Series.create(
        cfg, [run for test in select_tests(cfg, "suite") for run in resolve_test(test)]
    )


def kick_off(cfg: PavConfig, text: str) -> Series:
    series = create(cfg, text)
    assert series.kick_off() == []
    return series


def finish(series: Series) -> list[str | None]:
    """Wait for the end; every test has a final state then."""
    assert series.wait(timeout=PATIENCE), [test.status.history() for test in series.tests]
    for test in series.tests:
        assert test.status.current().state in (
            STATES.COMPLETE,
            STATES.SCHED_ERROR,
            STATES.SCHED_CANCELLED,
            STATES.CANCELLED,
        )
    return [test.result for test in series.tests]


def states(test: TestRun) -> list[str]:
    return [info.state for info in test.status.history()]


def pav_argv(series: Series, *ids: str) -> list[str]:
    return [
        str(series.pav_cfg.pav_root / "bin" / "pav"),
        "_run",
        *(ids or [test.id for test in series.tests]),
    ]


def pav_env(series: Series) -> dict[str, str]:
    return dict(
        os.environ,
        PAV_SCHED_PYTHON=sys.executable,
        PAV_CONFIG_FILE=str(series.pav_cfg.pav_cfg_file),
    )


def pav_run(series: Series, *ids: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """What a kickoff script does, without a job."""
    return subprocess.run(
        pav_argv(series, *ids),
        env=pav_env(series),
        text=True,
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=PATIENCE,
    )


def sleepers() -> list[int]:
    """The processes below this one's tests: 'sleep 60'."""
    found = []
    for pid in processes():
        try:
            if b"60" in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0"):
                found.append(pid)
        except OSError:
            continue
    return found


def kill_all() -> None:
    """Leave nothing behind, whatever a test was stopped by."""
    signal_all(processes(), signal.SIGKILL)
