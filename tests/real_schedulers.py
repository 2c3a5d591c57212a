"""Says aloud which tests were left out because a real scheduler cannot be started here.  Loaded by
``conftest.py``.

Debian has packages of Grid Engine; no distribution has any of OpenPBS (found by the variable PBS_EXEC,
or by its ``qsub`` in PATH) or of Flux (``flux`` in PATH).  There is no fake Grid Engine: what the plugin
makes of its answers is tested on captured ones, in tests/unit.  The real Slurm has an option of its own.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import NamedTuple

import pytest


class Real(NamedTuple):
    """A scheduler, the directory of its tests, and the module there that says why it is missing."""

    name: str
    directory: str
    module: str

    @property
    def left_out(self) -> str:
        """The reason for which tests of it are skipped."""
        return f"no real {self.name}"

    def skip_if(self, reason: str) -> None:
        """Skip the test for the reason why none can be started here; '' when one can."""
        if reason:
            pytest.skip(f"{self.left_out} can be started here: {reason}")


GRID_ENGINE = Real("Grid Engine", "gridengine", "real_gridengine")
OPENPBS = Real("OpenPBS", "pbs", "installed_pbs")
FLUX = Real("Flux", "flux", "real_flux")

# The fixtures of each, and the class that starts one.
for _real in (GRID_ENGINE, OPENPBS, FLUX):
    sys.path.insert(0, str(Path(__file__).parent / _real.directory))


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "real_flux: a test in tests/flux for a real Flux only")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reports = [
        str(report.longrepr)
        for report in terminalreporter.getreports("skipped")
        if isinstance(report, pytest.TestReport)
    ]
    for real in (GRID_ENGINE, OPENPBS, FLUX):
        count = sum(real.left_out in report for report in reports)
        if count:
            why = importlib.import_module(real.module).why_not_available()
            title = f"NO REAL {real.name.upper()}"
            terminalreporter.section(title, sep="!", red=True, bold=True)
            text = f"{count} tests were left out on a real {real.name}: {why}"
            terminalreporter.line(text, red=True, bold=True)
