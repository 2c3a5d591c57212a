"""``pav-sched log``."""

from __future__ import annotations

import pytest
from cli_tools import SLEEPER, Cli, finish


def test_run_log(finished: Cli) -> None:
    done = finished("log", "run", "s1.1")
    assert (done.code, done.out) == (0, "hello from 1\nsecond\n")
    assert finished("log", "s1.1").out == done.out
    assert finished("log", "run", "s1.2").out == "no end of line"


def test_job_logs(finished: Cli) -> None:
    for which in ("kickoff", "sched"):
        assert finished("log", which, "s1.1").code == 0


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("0", ""),
        ("1", "second\n"),
        ("2", "hello from 1\nsecond\n"),
        ("99", "hello from 1\nsecond\n"),
    ],
)
def test_tail(finished: Cli, lines: str, expected: str) -> None:
    assert finished("log", "run", "s1.1", "--tail", lines).out == expected


def test_tail_of_a_large_log(cli: Cli) -> None:
    """More than is read at once, without an end of line at its end."""
    cli.suite("test: {run: {cmds: ['seq 1 40000', 'printf last']}}")
    assert cli("run", "suite").code == 0
    out = cli("log", "run", "s1.1", "--tail", "20000").out.splitlines()
    assert out == [*(str(number) for number in range(20002, 40001)), "last"]


def test_series_with_one_test(cli: Cli) -> None:
    cli.suite("test: {run: {cmds: ['echo one']}}")
    cli("run", "suite")
    assert cli("log", "run", "s1").out == "one\n"


def test_series_with_several(finished: Cli) -> None:
    done = finished("log", "run", "s1")
    assert done.code == 2
    assert "s1.1 to s1.2" in done.err


def test_unknown(finished: Cli) -> None:
    assert finished("log", "run", "s1.5").code == 2
    assert finished("log", "build", "s1.1").code == 2


def test_none_yet(cli: Cli) -> None:
    """A job that waits for its turn has printed nothing."""
    cli.suite("""
        _base: {schedule: {raw: {concurrent: 1}, share_allocation: false}}
        first: {inherits_from: _base, run: {cmds: ["touch started", "sleep 20"]}}
        second: {inherits_from: _base, run: {cmds: ["true"]}}
        """)
    cli("run", "suite", "--detach")
    cli.wait_for_file(cli.test_path("s1.1") / "work" / "started")
    done = cli("log", "run", "s1.2")
    assert done.code == 1
    assert done.out == ""
    assert "There is no run log of test s1.2 yet" in done.err
    assert "SCHEDULED" in done.err


def test_follow(cli: Cli) -> None:
    cli.suite("""
        test:
          run: {cmds: ["echo one", "while [ ! -e ../go ]; do sleep 0.05; done", "echo two"]}
        """)
    cli("run", "suite", "--detach")
    process = cli.start("log", "run", "s1.1", "--follow")
    assert process.stdout is not None
    assert process.stdout.readline() == "one\n"
    (cli.test_path("s1.1") / "go").touch()
    done = finish(process)
    assert (done.code, done.out) == (0, "two\n")


def test_follow_until_cancelled(cli: Cli) -> None:
    cli.suite(SLEEPER)
    cli("run", "suite.first", "--detach")
    cli.wait_for_file(cli.test_path("s1.1") / "work" / "started")
    process = cli.start("log", "run", "s1.1", "-f")
    cli("cancel", "s1.1")
    assert finish(process).code == 0
