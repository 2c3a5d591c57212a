"""The smallest example plugin, on the real task-spooler: the README shows it."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cli_tools import Cli

from polling import until

ROOT = Path(__file__).resolve().parents[2]
PLUGIN = ROOT / "examples" / "plugins" / "tsp.py"

needs_tsp = pytest.mark.skipif(
    shutil.which("tsp") is None, reason="there is no task-spooler (Debian: task-spooler)"
)


class Queue:
    """A queue of its own, and pav-sched with the example plugin."""

    def __init__(self, cli: Cli) -> None:
        self.cli = cli

    def __call__(self, *argv: str) -> Any:
        return self.cli("--config-dir", str(ROOT / "examples"), *argv)

    def tsp(self, *argv: str) -> str:
        return subprocess.run(
            ["tsp", *argv],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        ).stdout

    def states(self, series: str) -> list[tuple[str, str]]:
        """State and note of each test."""
        tests = self("status", series, "--json").json["tests"]
        return [(test["state"], test["note"]) for test in tests]

    def start_two(self) -> None:
        """A job that runs for long, and one behind it."""
        long = ["-c", "run.cmds=sleep 60", "-c", "schedule.share_allocation=false"]
        assert self("run", "tsp.hello", "tsp.hello", "--detach", *long).code == 0
        until(lambda: self.states("s1")[0][0] == "RUNNING", "the first job runs", 60)
        assert self.states("s1")[1] == ("SCHEDULED", "The job is queued.")


@pytest.fixture
def queue(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> Iterator[Queue]:
    # Not below tmp_path: the path of a socket has at most 107 characters.
    socket = f"/tmp/tsp-of-test-{os.getpid()}.socket"
    monkeypatch.setenv("TS_SOCKET", socket)
    cli.env.update(TS_SOCKET=socket, TMPDIR=str(cli.root))
    made = Queue(cli)
    yield made
    made.tsp("-K")


@needs_tsp
def test_tests_run(queue: Queue) -> None:
    done = queue("run", "tsp")
    assert (done.code, [row[3] for row in done.rows]) == (0, ["PASS"])
    assert queue("log", "run", "s1.1").out.startswith("Hello from ")


@needs_tsp
def test_jobs_that_run_and_jobs_that_wait_are_cancelled(queue: Queue) -> None:
    queue.start_two()
    assert [row[2] for row in queue("cancel", "s1").rows] == ["cancelled", "cancelled"]
    listed = queue.tsp("-l")
    assert "running" not in listed and "queued" not in listed
    assert [state for state, _ in queue.states("s1")] == ["CANCELLED", "CANCELLED"]


@needs_tsp
def test_a_job_that_begins_while_it_is_cancelled_is_cancelled(queue: Queue, tmp_path: Path) -> None:
    queue.start_two()
    # The first job ends, and the second begins, just before 'tsp -r' looks at it.
    late = tmp_path / "bin" / "tsp"
    late.parent.mkdir()
    late.write_text(
        f"""#!/bin/sh
if [ "$1" = -r ]; then
    {shutil.which("tsp")} -k 0
    until {shutil.which("tsp")} -l | grep -q '^1 *running'; do sleep 0.05; done
fi
exec {shutil.which("tsp")} "$@"
"""
    )
    late.chmod(0o755)
    queue.cli.env["PATH"] = f"{late.parent}{os.pathsep}{os.environ['PATH']}"
    assert [row[2] for row in queue("cancel", "s1.2").rows] == ["cancelled"]
    assert "running" not in queue.tsp("-l")


@needs_tsp
def test_a_queue_that_forgot_its_jobs_ends_them(queue: Queue) -> None:
    queue.start_two()
    # The job that runs goes on; what waited is forgotten.
    queue.tsp("-K")
    # It cannot be ended through a queue that does not know it.  Right away: after half a minute
    # without a sign of life from its test, it would be given up as well.
    done = queue("cancel", "s1.1")
    assert (done.code, "its job may still be running" in done.out) == (1, True)
    note = until(
        lambda: next((note for state, note in queue.states("s1") if state == "SCHED_ERROR"), None),
        "the job that waited is given up",
        60,
    )
    assert "not in the queue" in note


def test_it_is_as_short_as_the_readme_says() -> None:
    source = PLUGIN.read_text(encoding="utf-8")
    assert source.partition('"""\n\n')[2] in (ROOT / "README.md").read_text(encoding="utf-8")


def test_without_task_spooler_it_says_so(cli: Cli) -> None:
    cli.env["PATH"] = "/nonexistent"
    rows = cli("--config-dir", str(ROOT / "examples"), "show", "sched").rows
    assert {row[0]: row[1].partition(":")[0] for row in rows}["tsp"] == "no"
