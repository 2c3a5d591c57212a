"""Says aloud that tests were left out because no real OpenPBS can be started.  Loaded by
``conftest.py``.

Distributions do not have a package of OpenPBS, so most machines lack one.  Where there is one, the
tests find it by the variable PBS_EXEC, or by its ``qsub`` in PATH.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

# The fixtures and the class that starts one.
sys.path.insert(0, str(Path(__file__).parent / "pbs"))

LEFT_OUT = "no real OpenPBS"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    left_out = [
        report
        for report in terminalreporter.getreports("skipped")
        if isinstance(report, pytest.TestReport) and LEFT_OUT in str(report.longrepr)
    ]
    if left_out:
        from installed_pbs import why_not_available

        terminalreporter.section("NO REAL OPENPBS", sep="!", red=True, bold=True)
        terminalreporter.line(
            f"{len(left_out)} tests were left out on a real OpenPBS: {why_not_available()}",
            red=True,
            bold=True,
        )
