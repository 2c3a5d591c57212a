"""The example suite for PBS runs, with the fake one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from pavilion.testkit import FakePbs

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_the_example_suite_passes(tmp_path: Path) -> None:
    with FakePbs(tmp_path / "pbs", nodes=4) as pbs:
        done = subprocess.run(
            [
                *(sys.executable, "-m", "pavilion.cli", "--config-dir", str(EXAMPLES)),
                *("--working-dir", str(tmp_path / "work"), "run", "pbs"),
            ],
            env=pbs.env(),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "5 tests: 5 passed" in done.stdout
