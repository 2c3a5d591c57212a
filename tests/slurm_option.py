"""``--slurm`` and ``--slurm-prefix``: which Slurm the tests that need one run against.  Loaded by
``conftest.py``.

A test with the fixture ``slurm`` runs once per kind of Slurm. Where a real one cannot be started,
the summary says so and counts what was left out.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

# The fixtures and the classes that start the clusters.
sys.path.insert(0, str(Path(__file__).parent / "slurm"))

from real_slurm import PREFIX_VARIABLE, RealSlurmError, use_installation, why_not_available

KINDS = {"fake": ["fake"], "real": ["real"], "both": ["fake", "real"]}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--slurm",
        choices=sorted(KINDS),
        default=None,
        help="run tests that need Slurm against the fake one, a private real one, or both "
        "(default: both where a real one can be started, else fake)",
    )
    parser.addoption(
        "--slurm-prefix",
        type=Path,
        default=None,
        metavar="DIR",
        help="take the real Slurm's commands and daemons from DIR/bin and DIR/sbin instead of "
        f"those in PATH; the environment variable {PREFIX_VARIABLE} does the same",
    )


def pytest_configure(config: pytest.Config) -> None:
    prefix = config.getoption("--slurm-prefix")
    if prefix is not None:
        try:
            use_installation(prefix)
        except RealSlurmError as error:
            raise pytest.UsageError(f"--slurm-prefix: {error}") from error
    wish = config.getoption("--slurm")
    if wish in ("real", "both") and why_not_available():
        raise pytest.UsageError(f"--slurm={wish}: {why_not_available()}")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test that asks for ``slurm_cluster`` (``slurm`` does) once per kind."""
    if "slurm_cluster" not in metafunc.fixturenames:
        return
    wish = metafunc.config.getoption("--slurm")
    if wish is None:
        wish = "fake" if why_not_available() else "both"
    metafunc.parametrize("slurm_cluster", KINDS[wish], indirect=True, scope="session")


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    if config.getoption("--slurm") is not None or not why_not_available():
        return
    # From the reports rather than from collecting, which xdist leaves to its workers.
    reports = [
        report
        for kind in ("passed", "failed", "skipped", "error")
        for report in terminalreporter.getreports(kind)
    ]
    left_out = {
        report.nodeid
        for report in reports
        if isinstance(report, pytest.TestReport) and "[fake" in report.nodeid
    }
    if left_out:
        terminalreporter.section("NO REAL SLURM", sep="!", red=True, bold=True)
        terminalreporter.line(
            f"{len(left_out)} tests ran against the fake Slurm only and were "
            f"left out on a real one: {why_not_available()}",
            red=True,
            bold=True,
        )
