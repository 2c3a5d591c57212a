"""What the user sees, and can do, between 'run' and the ids of the jobs."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_tools import Cli, finish, interrupt, wait_until

from pavilion.testkit import FakeSlurm

THREE_JOBS = """
    test:
      scheduler: slurm
      schedule: {share_allocation: false}
      variables: {number: [1, 2, 3]}
      permute_on: number
      run: {cmds: ["true"]}
    """
FULL = "its queue is full"


@pytest.fixture
def cluster(tmp_path: Path, cli: Cli) -> Iterator[FakeSlurm]:
    """A fake Slurm whose commands the command line finds."""
    with FakeSlurm(tmp_path / "cluster", nodes=4) as made:
        cli.env.update(made.env())
        cli.suite(THREE_JOBS)
        yield made


def notes(cli: Cli) -> list[str]:
    """What 'status' shows of the tests of the series; [] while there is none."""
    done = cli("status", "--json")
    return [test["note"] for test in done.json["tests"]]


def until_all_wait(cli: Cli, text: str = FULL) -> None:
    wait_until(lambda: [text in note for note in notes(cli)] == [True] * 3, f"{text!r} in 'status'")


def seconds_until_end(process: subprocess.Popen[str], began: float) -> float:
    process.wait(timeout=60)
    return time.monotonic() - began


def test_a_full_queue_is_seen_and_bounded(cli: Cli, cluster: FakeSlurm) -> None:
    cluster.set_fault("queue_full")
    began = time.monotonic()
    process = cli.start("run", "suite", "--timeout", "8")
    until_all_wait(cli)
    took = seconds_until_end(process, began)
    done = finish(process)
    assert done.code == 3
    assert 8 <= took < 20
    # Told at once, and once.
    assert done.err.count(FULL) == 1
    assert "8 seconds of --timeout" in done.err and "No test is left running." in done.err
    tests = cli("status", "--json", "-v").json["tests"]
    assert [(test["state"], test["result"]) for test in tests] == [("SCHED_CANCELLED", "ERROR")] * 3
    for test in tests:
        assert [FULL in info["note"] for info in test["history"]].count(True) == 1
    cluster.clear_fault()
    assert cluster.jobs() == {}


def test_one_interrupt_ends_waiting_for_a_full_queue(cli: Cli, cluster: FakeSlurm) -> None:
    cluster.set_fault("queue_full")
    process = cli.start("run", "suite")
    until_all_wait(cli)
    began = time.monotonic()
    interrupt(process)
    assert seconds_until_end(process, began) < 12
    done = finish(process)
    assert done.code == 130
    assert "3 tests not handed over yet were cancelled. No test is left running." in done.err
    assert cli("wait", "--json").json["summary"]["cancelled"] == 3
    assert cluster.jobs() == {}


def test_a_queue_that_has_room_again(cli: Cli, cluster: FakeSlurm) -> None:
    cluster.set_fault("queue_full")
    process = cli.start("run", "suite")
    until_all_wait(cli)
    cluster.clear_fault()
    process.wait(timeout=60)
    assert finish(process).code == 0
    assert len(cluster.jobs()) == 3


def test_cancelled_from_elsewhere_while_the_queue_is_full(cli: Cli, cluster: FakeSlurm) -> None:
    cluster.set_fault("queue_full")
    process = cli.start("run", "suite")
    until_all_wait(cli)
    assert cli("cancel", "s1").code == 0
    process.wait(timeout=30)
    done = finish(process)
    assert done.code == 1
    assert [test["state"] for test in cli("status", "--json").json["tests"]] == ["CANCELLED"] * 3
    assert cluster.jobs() == {}


def test_a_frozen_controller_is_told_and_left_by_a_timeout(cli: Cli, cluster: FakeSlurm) -> None:
    """What is unclear stays looked for, by its token: in the end each test has one job."""
    gate = cli.root / "go"
    cli.suite(THREE_JOBS.replace('"true"', f"'while [ ! -e {gate} ]; do sleep 0.1; done'"))
    cluster.set_fault("accepted_but_error", times=0)
    cluster.set_fault("slow", seconds=60, commands=["squeue"])
    process = cli.start("run", "suite", "--timeout", "5")
    process.wait(timeout=40)
    done = finish(process)
    assert done.code == 3
    assert "Slurm's list of jobs is searched for it" in done.err
    assert "'status' shows that later" in done.err
    assert len(cluster.jobs()) == 3
    cluster.clear_fault()
    gate.touch()
    waited = cli("wait", "s1", "--timeout", "12", "--json")
    assert [test["result"] for test in waited.json["tests"]] == ["PASS"] * 3
    assert len(cluster.jobs()) == 3


HANGING = """
    import time
    from pavilion.schedulers import Raw

    class Hanging(Raw):
        '''One of its methods hangs.'''
        def __init__(self):
            super().__init__()
            self.name = "mygrid"

        def METHOD(self, *args, **kwargs):
            time.sleep(600)
    """


@pytest.mark.parametrize(
    ("method", "text", "limit"),
    [
        ("_job_status", "1 test has not ended and is left running.", 14),
        ("_kickoff", "'status' shows that later", 22),
        ("_available", "Nothing was started.", 14),
    ],
)
def test_a_method_that_hangs_is_named_and_left(
    cli: Cli, method: str, text: str, limit: int
) -> None:
    cli.plugin("hanging", HANGING.replace("METHOD", method))
    cli.suite("""
        other: {run: {cmds: ["true"]}}
        test: {scheduler: mygrid, run: {cmds: ["sleep 20"]}}
        """)
    began = time.monotonic()
    process = cli.start("run", "suite", "--timeout", "7")
    assert 7 <= seconds_until_end(process, began) < limit
    done = finish(process)
    assert done.code == 3
    assert done.err.count(f"Still waiting for mygrid: {method}.") == 1
    assert text in done.err
    if method != "_available":
        # Other schedulers do not suffer.
        assert [row[3] for row in done.rows if row[1] == "suite.other"] == ["PASS"]


def test_status_and_cancel_name_a_method_that_hangs(cli: Cli) -> None:
    cli.plugin("hanging", HANGING.replace("METHOD", "_job_status"))
    cli.suite("test: {scheduler: mygrid, run: {cmds: ['sleep 20']}}")
    assert cli("run", "suite", "--detach").code == 0
    process = cli.start("status")
    assert process.stderr is not None
    assert process.stderr.readline() == "Still waiting for mygrid: _job_status.\n"
    interrupt(process)
    assert finish(process).code == 130


def test_an_interrupt_inside_a_plugin_ends_run(cli: Cli) -> None:
    cli.plugin(
        "odd",
        """
        from pavilion.schedulers import Raw

        class Odd(Raw):
            IS_CONCURRENT = False
            def __init__(self):
                super().__init__()
                self.name = "odd"

            def _kickoff(self, *args, **kwargs):
                raise KeyboardInterrupt
        """,
    )
    cli.suite("""
        test:
          scheduler: odd
          variables: {number: [1, 2]}
          permute_on: number
          run: {cmds: ["true"]}
        """)
    done = cli("run", "suite")
    assert done.code == 130
    assert "Traceback" not in done.err
    tests = cli("status", "--json").json["tests"]
    assert [(test["state"], test["complete"]) for test in tests] == [
        ("SCHED_ERROR", True),
        ("SCHED_CANCELLED", True),
    ]
