"""``--slurm``: which Slurm the tests that ask for one run against. Loaded by ``conftest.py``.

A test with the fixture ``slurm`` runs once per kind of Slurm. Where a real one cannot be started,
the summary says so and counts what was left out.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

# The fixtures and the classes that start the clusters.
sys.path.insert(0, str(Path(__file__).parent / "slurm"))

from real_slurm import why_not_available

_LEFT_OUT = pytest.StashKey[dict[str, int]]()
KINDS = {"fake": ["fake"], "real": ["real"], "both": ["fake", "real"]}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--slurm", choices=sorted(KINDS), default=None,
        help="run tests that need Slurm against the fake one, a private real one, or both "
             "(default: both where a real one can be started, else fake)")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_LEFT_OUT] = {}
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
        if wish == "fake":
            left_out = metafunc.config.stash[_LEFT_OUT]
            left_out[metafunc.definition.nodeid] = 1
    metafunc.parametrize("slurm_cluster", KINDS[wish], indirect=True, scope="session")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter,
                            config: pytest.Config) -> None:
    left_out = len(config.stash[_LEFT_OUT])
    if left_out:
        terminalreporter.section("NO REAL SLURM", sep="!", red=True, bold=True)
        terminalreporter.line(f"{left_out} tests ran against the fake Slurm only and were left "
                              f"out on a real one: {why_not_available()}", red=True, bold=True)
