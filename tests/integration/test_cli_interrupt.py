"""Ctrl-C, and what else ends things in mid-run."""

from __future__ import annotations

import os
import signal

import pytest
from cli_tools import SLEEPER, SLOW_PLUGIN, Cli, finish, interrupt, wait_until

FOUR_SLOW = """
    test:
      scheduler: slow
      variables: {number: [1, 2, 3, 4]}
      permute_on: number
      run: {cmds: ["true"]}
    """


def test_while_waiting(cli: Cli) -> None:
    """The jobs go on."""
    cli.suite(SLEEPER)
    process = cli.start("run", "suite.second")
    cli.wait_for_file(cli.test_path("s1.1") / "work" / "started")
    interrupt(process)
    done = finish(process)
    assert done.code == 130
    assert "Traceback" not in done.err
    assert "1 test has not ended and is left running." in done.err
    for command in ("wait", "status", "cancel"):
        assert f" {command} s1" in done.err
    assert cli("status", "--json").json["tests"][0]["state"] == "RUNNING"
    (cli.test_path("s1.1") / "go").touch()
    assert cli("wait", "s1").code == 0


def test_while_kicking_off(cli: Cli) -> None:
    """The job in hand is handed over to the end; those after it never start."""
    cli.plugin("slow", SLOW_PLUGIN)
    cli.suite(FOUR_SLOW)
    process = cli.start("run", "suite")
    wait_until(lambda: len(list(cli.work.glob("jobs/*/in_hand"))) == 2, "the second kickoff")
    interrupt(process)
    done = finish(process)
    assert done.code == 130
    assert "Traceback" not in done.err
    assert "2 tests not handed over yet were cancelled." in done.err
    waited = cli("wait", "s1", "--json")
    assert waited.code == 1
    assert [test["result"] for test in waited.json["tests"]] == ["PASS", "PASS", "ERROR", "ERROR"]
    assert [test["state"] for test in waited.json["tests"][2:]] == ["CANCELLED"] * 2
    # None is left without an end.
    assert waited.json["summary"]["cancelled"] == 2


@pytest.mark.parametrize("at_once", [1, 2])
def test_twice_while_kicking_off(cli: Cli, at_once: int) -> None:
    """The second one does not wait for the jobs in hand."""
    cli.plugin(
        "slow",
        SLOW_PLUGIN.replace("time.sleep(0.6)", "time.sleep(60)").replace(
            "IS_CONCURRENT = False", f"KICKOFFS_AT_ONCE = {at_once}"
        ),
    )
    cli.suite(FOUR_SLOW)
    process = cli.start("run", "suite", "-c", "schedule.share_allocation=false")
    wait_until(lambda: len(list(cli.work.glob("jobs/*/in_hand"))) == at_once, "the kickoffs")
    interrupt(process)
    assert process.stderr is not None
    while "Press Ctrl-C again" not in process.stderr.readline():
        assert process.poll() is None
    interrupt(process)
    done = finish(process)
    assert done.code == 130
    assert f"{4 - at_once} tests not handed over yet were cancelled." in done.err
    assert "has accepted the job in hand" in done.err
    assert "Traceback" not in done.err


def test_terminated_while_kicking_off(cli: Cli) -> None:
    """A batch system's SIGTERM leaves no test without an end either."""
    cli.plugin("slow", SLOW_PLUGIN)
    cli.suite(FOUR_SLOW)
    process = cli.start("run", "suite")
    wait_until(lambda: list(cli.work.glob("jobs/*/in_hand")), "the first kickoff")
    interrupt(process, signal.SIGTERM)
    assert finish(process).code == 128 + signal.SIGTERM
    assert cli("wait", "--json").json["summary"]["unfinished"] == 0


def test_killed_job(cli: Cli) -> None:
    """kill -9 of the job's processes: its test ends as an error that says what happened."""
    cli.suite(SLEEPER)
    process = cli.start("run", "suite.first")
    cli.wait_for_file(cli.test_path("s1.1") / "work" / "started")
    os.killpg(int(cli.job_info("s1.1")["pid"]), signal.SIGKILL)
    done = finish(process)
    assert done.code == 1
    row = done.out.splitlines()[1].split("\t")
    assert row[3] == "ERROR"
    assert "job has ended" in row[-1]
    test = cli("status", "--json").json["tests"][0]
    assert test["state"] == "SCHED_ERROR"
    assert "RUNNING" in test["note"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_ignored_signals_stay_ignored(cli: Cli, number: int) -> None:
    """A command started with nohup, or in the background of a script."""
    cli.plugin("slow", SLOW_PLUGIN)
    cli.suite(FOUR_SLOW)
    before = signal.signal(number, signal.SIG_IGN)
    try:
        process = cli.start("run", "suite.test", "-c", "variables.number=1")
    finally:
        signal.signal(number, before)
    wait_until(lambda: list(cli.work.glob("jobs/*/in_hand")), "the first kickoff")
    os.kill(process.pid, number)
    assert finish(process).code == 0
