"""The command in folders of its own, for each test or for tests that only read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_tools import Cli


@pytest.fixture
def cli(tmp_path: Path) -> Iterator[Cli]:
    made = Cli(tmp_path)
    yield made
    made.kill_all()


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cli]:
    """A series s1 that is over: s1.1 passed, s1.2 failed.  For tests that only read."""
    made = Cli(tmp_path_factory.mktemp("finished"))
    made.suite("""
        _base:
          variables: {message: hello}
        good:
          inherits_from: _base
          summary: Says hello.
          run: {cmds: ["echo '{{message}} from {{sched.test_nodes}}'", "echo second"]}
        bad:
          run: {cmds: ["printf 'no end of line'", "exit 3"]}
        """)
    assert made("run", "suite").code == 1
    yield made
    made.kill_all()
