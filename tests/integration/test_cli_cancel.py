"""``pav-sched cancel``."""

from __future__ import annotations

import os

from cli_tools import SLEEPER, Cli, wait_until


def _start_shared_job(cli: Cli) -> None:
    """s1.1 and s1.2 run in one job."""
    cli.suite(SLEEPER)
    assert cli("run", "suite", "--detach").code == 0
    for test_id in ("s1.1", "s1.2"):
        cli.wait_for_file(cli.test_path(test_id) / "work" / "started")
    assert cli.job_info("s1.1") == cli.job_info("s1.2")


def test_one_test_of_a_shared_job(cli: Cli) -> None:
    """The job goes on for the others, and they get their results."""
    _start_shared_job(cli)
    done = cli("cancel", "s1.1")
    assert done.code == 0
    assert done.rows == [["s1.1", "suite.first", "cancelled; its job goes on for s1.2"]]
    first, second = cli("status", "--json").json["tests"]
    assert (first["state"], first["result"]) == ("CANCELLED", "ERROR")
    assert first["note"].startswith("Cancelled by ")
    assert (second["state"], second["result"]) == ("RUNNING", None)
    (cli.test_path("s1.2") / "go").touch()
    waited = cli("wait", "s1")
    assert waited.code == 1
    assert [row[3] for row in waited.rows] == ["ERROR", "PASS"]
    assert waited.rows[0][5].startswith("CANCELLED: Cancelled by ")
    assert waited.out.splitlines()[-1] == (
        "2 tests: 1 passed, 0 failed, 1 error (1 cancelled). Series s1.")


def test_all(cli: Cli) -> None:
    _start_shared_job(cli)
    pid = int(cli.job_info("s1.1")["pid"])
    os.kill(pid, 0)
    done = cli("cancel", "s1", "--json")
    assert done.code == 0
    assert [test["outcome"] for test in done.json["tests"]] == ["cancelled", "cancelled"]
    wait_until(lambda: not cli.processes(), "the end of all processes of the job")
    assert cli("wait").code == 1
    again = cli("cancel", "s1")
    assert again.code == 0
    assert [row[2] for row in again.rows] == ["already cancelled"] * 2


def test_one_after_the_other(cli: Cli) -> None:
    """The last one takes the job with it."""
    _start_shared_job(cli)
    cli("cancel", "s1.1")
    assert cli("cancel", "s1.2").rows[0][2] == "cancelled"
    wait_until(lambda: not cli.processes(), "the end of all processes of the job")


def test_unknown_ids_do_not_stop_the_others(cli: Cli) -> None:
    _start_shared_job(cli)
    done = cli("cancel", "s7", "s1.1", "s1.99", "nonsense")
    assert done.code == 2
    assert [row[0] for row in done.rows] == ["s1.1"]
    for word in ("s7", "s1.99", "nonsense"):
        assert word in done.err
    assert done.err.count("pav-sched: error: ") == 3
    assert cli("status", "s1.1", "--json").json["tests"][0]["state"] == "CANCELLED"


def test_scheduler_that_does_not_cancel(cli: Cli) -> None:
    cli.plugin("stubborn", """
        from pavilion.schedulers import Raw

        class Stubborn(Raw):
            def __init__(self):
                super().__init__()
                self.name = "stubborn"

            def cancel(self, job_info):
                return "The controller says no."
        """)
    cli.suite("test: {scheduler: stubborn, run: {cmds: ['touch started', 'sleep 20']}}")
    cli("run", "suite", "--detach")
    done = cli("cancel", "s1")
    assert done.code == 1
    assert "The controller says no." in done.rows[0][2]
    assert cli("wait").code == 1
