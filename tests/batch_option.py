"""``--batch``: which schedulers the tests in tests/batch run with.  Loaded by ``conftest.py``.

These tests are the same for every plugin of the batch family.  A test says what it needs of a
scheduler with ``@pytest.mark.needs(...)``, and runs with each that declares it; see batch/sites.py.
"""

from __future__ import annotations

import pytest

# Kinds of sites that need nothing but what is here; the others need a real scheduler.
MADE_UP = ("fake-slurm", "fake-flux", "minibatch", "fake-pbs", "fake-pbs-without-history")
REAL = ("real-slurm", "real-gridengine", "real-pbs", "real-flux")
LEFT_OUT = pytest.StashKey[list[str]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--batch",
        metavar="KIND[,KIND]",
        default=None,
        help="run tests/batch with these schedulers: "
        f"{', '.join((*MADE_UP, *REAL))} (default: those that can be started here; with "
        "--slurm=fake the made-up ones, with --slurm=real the real Slurm)",
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "needs(*capabilities): what a scheduler must have for a test in tests/batch"
    )
    unknown = set(chosen(config) or ()).difference(MADE_UP, REAL)
    if unknown:
        raise pytest.UsageError(
            f"--batch: there is no {', '.join(sorted(unknown))}; choose from "
            f"{', '.join((*MADE_UP, *REAL))}"
        )


def chosen(config: pytest.Config) -> list[str] | None:
    """The kinds to run with; None for all that can be started."""
    wish = config.getoption("--batch")
    if wish is not None:
        return [kind for kind in wish.split(",") if kind]
    return {"fake": list(MADE_UP), "real": ["real-slurm"]}.get(str(config.getoption("--slurm")))


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: object) -> None:
    lines = getattr(node, "workeroutput", {}).get("batch")
    if lines is not None:
        node.config.stash[LEFT_OUT] = lines  # type: ignore[attr-defined]


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    for line in config.stash.get(LEFT_OUT, []):
        terminalreporter.line(line)
