"""Says aloud that tests were left out because no real Grid Engine can be started.  Loaded by
``conftest.py``.

There is no fake Grid Engine.  Tests of what the plugin makes of its answers are in tests/unit, and
run everywhere on captured answers; those in tests/gridengine need the daemons.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

# The fixtures and the class that starts one.
sys.path.insert(0, str(Path(__file__).parent / "gridengine"))

LEFT_OUT = "no real Grid Engine"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    left_out = [
        report
        for report in terminalreporter.getreports("skipped")
        if isinstance(report, pytest.TestReport) and LEFT_OUT in str(report.longrepr)
    ]
    if left_out:
        from real_gridengine import why_not_available

        terminalreporter.section("NO REAL GRID ENGINE", sep="!", red=True, bold=True)
        terminalreporter.line(
            f"{len(left_out)} tests were left out on a real Grid Engine: {why_not_available()}",
            red=True,
            bold=True,
        )
