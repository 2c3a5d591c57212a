"""Says aloud that tests were left out because no real Flux can be started.  Loaded by
``conftest.py``.

Tests in tests/flux and tests/batch use a private instance of the Flux that is in PATH.  Few machines
have one: distributions have no package of it.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

# The fixtures and the class that starts one.
sys.path.insert(0, str(Path(__file__).parent / "flux"))

LEFT_OUT = "no real Flux"


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "real_flux: a test in tests/flux for a real Flux only")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    left_out = [
        report
        for report in terminalreporter.getreports("skipped")
        if isinstance(report, pytest.TestReport) and LEFT_OUT in str(report.longrepr)
    ]
    if left_out:
        from real_flux import why_not_available

        terminalreporter.section("NO REAL FLUX", sep="!", red=True, bold=True)
        terminalreporter.line(
            f"{len(left_out)} tests were left out on a real Flux: {why_not_available()}",
            red=True,
            bold=True,
        )
