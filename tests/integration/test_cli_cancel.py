"""``pav-sched cancel``."""

from __future__ import annotations

import json
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
    assert done.rows == [["s1.1", "suite.first", "cancelled; its job is kept for s1.2"]]
    first, second = cli("status", "--json").json["tests"]
    assert (first["state"], first["result"]) == ("CANCELLED", "ERROR")
    assert first["note"].startswith("Cancelled by ")
    assert (second["state"], second["result"]) == ("RUNNING", None)
    (cli.test_path("s1.2") / "go").touch()
    waited = cli("wait", "s1")
    assert waited.code == 1
    assert [row[3] for row in waited.rows] == ["ERROR", "PASS"]
    assert waited.rows[0][-1].startswith("CANCELLED: Cancelled by ")
    assert waited.out.splitlines()[-1] == (
        "2 tests: 1 passed, 0 failed, 1 error (1 cancelled). Series s1."
    )


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
    cli.plugin(
        "stubborn",
        """
        from pavilion.schedulers import Raw

        class Stubborn(Raw):
            def __init__(self):
                super().__init__()
                self.name = "stubborn"

            def cancel(self, job_info):
                return "The controller says no."
        """,
    )
    cli.suite("test: {scheduler: stubborn, run: {cmds: ['touch started', 'sleep 20']}}")
    cli("run", "suite", "--detach")
    done = cli("cancel", "s1")
    assert done.code == 1
    assert "The controller says no." in done.rows[0][2]
    assert cli("wait").code == 1


MARKING_PLUGIN = """
    import json, time
    from pavilion.jobs import JobInfo
    from pavilion.schedulers import Raw

    class Marking(Raw):
        '''Its kickoff hangs when the job has been started; the mark that it leaves tells of it.'''
        IS_CONCURRENT = False

        def __init__(self):
            super().__init__()
            self.name = "marking"

        def _kickoff(self, pav_cfg, job, *args, **kwargs):
            job.kickoff_path.write_text("#!/bin/sh\\nexec sleep 600\\n")
            info = super()._kickoff(pav_cfg, job, *args, **kwargs)
            new = job.path / "mark.new"
            new.write_text(json.dumps(dict(info)))
            new.rename(job.path / "mark.json")
            time.sleep(600)

        def _recover_identity(self, job):
            mark = job.path / "mark.json"
            return JobInfo(json.loads(mark.read_text())) if mark.exists() else None
    """


def test_a_run_that_was_killed_on_another_host(cli: Cli) -> None:
    """For a while it may be alive.  Then its job is cancelled, and tests without a job end."""
    cli.plugin("marking", MARKING_PLUGIN)
    cli.suite("""
        test:
          scheduler: marking
          variables: {number: [1, 2]}
          permute_on: number
          run: {cmds: ["touch started", "sleep 60"]}
        """)
    process = cli.start("run", "suite")
    wait_until(lambda: list(cli.work.glob("jobs/*/mark.json")), "the start of the job")
    process.kill()
    series = cli.work / "series" / "s1"
    record = json.loads((series / "series.json").read_text())
    record["starter"]["host"] = "login2"
    (series / "series.json").write_text(json.dumps(record))

    done = cli("cancel", "s1.1")
    assert "just being handed to the scheduler" in done.rows[0][2]
    assert "on login2" in done.rows[0][2] and "cancel again in 2 minutes" in done.rows[0][2]
    assert cli("status", "s1.2", "--json").json["tests"][0]["state"] == "CREATED"
    assert cli.processes()

    os.utime(series / "starting", (1, 1))
    assert cli("cancel", "s1.1").rows[0][2] == "already cancelled"
    wait_until(lambda: not cli.processes(), "the end of the job")
    last = cli("status", "s1.2", "--json").json["tests"][0]
    assert (last["state"], last["complete"]) == ("SCHED_ERROR", True)
    assert "on login2" in last["note"]


def test_a_run_that_was_killed_on_this_host(cli: Cli) -> None:
    cli.plugin("marking", MARKING_PLUGIN)
    cli.suite("test: {scheduler: marking, run: {cmds: ['touch started', 'sleep 60']}}")
    process = cli.start("run", "suite")
    wait_until(lambda: list(cli.work.glob("jobs/*/mark.json")), "the start of the job")
    process.kill()
    process.wait()
    # Its job is found by its mark, long before it counts as lost.
    assert cli("status", "--json").json["tests"][0]["state"] == "SCHED_STARTUP"
    assert cli("cancel", "s1").rows[0][2] == "cancelled"
    wait_until(lambda: not cli.processes(), "the end of the job")
