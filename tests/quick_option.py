"""``--quick``: leave out the tests that take long.  Loaded by ``conftest.py``.

``slow_tests.txt`` lists them, a file or a test function a line; ``tools/slow_tests.py`` writes it from
measured times. Whole files are not even read. A test that is not listed is run: so are new ones.
"""

from __future__ import annotations

from pathlib import Path

import pytest

TESTS = Path(__file__).parent
LIST = TESTS / "slow_tests.txt"
LEFT_OUT = pytest.StashKey[int]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--quick",
        action="store_true",
        help=f"leave out what takes long: the tests and files that are listed in {LIST.name}",
    )


def listed() -> set[str]:
    """Files and test functions, as pytest names them, without parameters."""
    lines = LIST.read_text(encoding="utf-8").splitlines()
    return {line.strip() for line in lines if line.strip() and not line.startswith("#")}


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    if not config.getoption("--quick"):
        return None
    try:
        name = collection_path.relative_to(TESTS.parent)
    except ValueError:
        return None
    return True if str(name) in listed() else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--quick"):
        return
    slow = listed()
    left_out = [item for item in items if item.nodeid.partition("[")[0] in slow]
    items[:] = [item for item in items if item not in set(left_out)]
    config.hook.pytest_deselected(items=left_out)
    config.stash[LEFT_OUT] = len(left_out)
    # With xdist the workers collect, and the summary is printed elsewhere.
    getattr(config, "workeroutput", {})["left_out"] = len(left_out)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: object) -> None:
    found = getattr(node, "workeroutput", {}).get("left_out")
    if found is not None:
        node.config.stash[LEFT_OUT] = found  # type: ignore[attr-defined]


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    if config.getoption("--quick"):
        files = sum("::" not in name for name in listed())
        terminalreporter.line(
            f"--quick left out {config.stash.get(LEFT_OUT, 0)} slow tests, and all of {files} files: "
            f"see tests/{LIST.name}. 'make test' runs them."
        )
