"""Nothing of a job runs on after it was reported as over, however it ended.

What is looked for is in the environment of all that the tests' scripts start, and set by these
tests alone; and the looking comes before any fixture cleans up.
"""

from __future__ import annotations

import os
import signal
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from clusters import Slurm as Cluster
from clusters import wait_until

from integration.cli_tools import Cli
from pavilion.schedulers.talk.procfs import read_stat

MARK = "TEST_SURVIVORS"
# Each notes the script's parent, which is 'pav _run', and then does its worst.
DEAF = 'trap "" TERM INT HUP; echo up >>up; while :; do sleep 0.2; done'
KINDS = {
    "plain": "echo up >>up; sleep 300; echo on",
    "background": "sleep 300 & echo up >>up; sleep 300",
    "deaf": DEAF,
    "own session": "setsid sleep 300 & echo up >>up; setsid -w sleep 300",
    "orphan": "(setsid sleep 300 &); echo up >>up; sleep 300",
    "deaf orphan": f"(setsid bash -c '{DEAF}' &); sleep 300",
}
JOBS = 24
# A scheduler may report a job as over in the moment that it kills its first process; what that
# leaves is killed right after.
MOMENT = 1.0
# Seconds for two dozen jobs to be over, on a machine with other work.
PATIENCE = 300.0


class Field:
    """24 jobs, one test each, of all kinds."""

    def __init__(self, cli: Cli, mark: str) -> None:
        self.cli = cli
        self.mark = mark
        self.tests: list[str] = []

    def start(self, scheduler: str, count: int) -> None:
        """Start so many jobs, and wait until their scripts are up."""
        lines = []
        for number in range(count):
            kind = list(KINDS)[number % len(KINDS)]
            body = self.cli.root / f"{kind.replace(' ', '-')}.sh"
            body.write_text(f"#!/bin/bash\n{KINDS[kind]}\n")
            body.chmod(0o755)
            lines.append(
                f"t{number}: {{scheduler: {scheduler}, schedule: {{share_allocation: 'false'}}, "
                f"run: {{cmds: ['echo $PPID >runner', 'exec env {MARK}={self.mark} "
                f'"{body}"\']}}}}'
            )
        self.cli.suite("\n".join(lines))
        done = self.cli("run", "--detach", "suite")
        assert done.code == 0, done.err
        self.tests = [f"s1.{number}" for number in range(1, count + 1)]
        wait_until(
            lambda: all((self.work(test) / "up").exists() for test in self.tests),
            "all scripts are up",
            PATIENCE,
        )
        assert len(self.survivors()) >= count

    def work(self, test: str) -> Path:
        return self.cli.test_path(test) / "work"

    def kill_one_each(self) -> None:
        """Kill one process of each job: 'pav _run', its parent, or that one's, which is what the
        scheduler started."""
        for number, test in enumerate(self.tests):
            pid = int((self.work(test) / "runner").read_text())
            for _ in range(number // len(KINDS)):
                found = read_stat(pid)
                assert found is not None
                pid = found.ppid
            os.kill(pid, signal.SIGKILL)

    def survivors(self) -> dict[int, str]:
        """What runs of the tests' scripts: pid -> command."""
        mark = f"{MARK}={self.mark}".encode()
        found = {}
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                if mark in (folder / "environ").read_bytes().split(b"\0"):
                    words = (folder / "cmdline").read_bytes().replace(b"\0", b" ")
                    if words:  # else it ended meanwhile
                        found[int(folder.name)] = words.decode()
            except OSError:
                continue
        return found

    def states(self, state: str) -> list[bool]:
        """For each test, whether it is in this state."""
        return [row["state"] == state for row in self.cli("status", "--json", "s1").json["tests"]]

    def check(self, moment: float = MOMENT) -> None:
        """Fail when anything runs on."""
        deadline = time.monotonic() + moment
        at_once = left = self.survivors()
        while left and time.monotonic() < deadline:
            time.sleep(0.02)
            left = self.survivors()
        print(f"survivors: {len(at_once)} at once, {len(left)} after a moment: {left}")
        assert left == {}

    def kill_all(self) -> None:
        while left := self.survivors():
            for pid in left:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    continue


@pytest.fixture
def field(tmp_path: Path) -> Iterator[Field]:
    made = Field(Cli(tmp_path), uuid.uuid4().hex)
    yield made
    made.kill_all()
    made.cli.kill_all()


@pytest.fixture
def slurm_field(field: Field, slurm: Cluster) -> Iterator[Field]:
    field.cli.env = slurm.env(field.cli.env)
    yield field
    field.kill_all()


def job_ids(slurm: Cluster) -> list[str]:
    return sorted(set(slurm.ok("squeue", "-a", "-h", "-o", "%i").split()) - slurm.kept)


def wait_over(slurm: Cluster, ids: list[str]) -> None:
    """Wait until Slurm reports these jobs as over, COMPLETING not included."""
    wait_until(lambda: not set(ids) & set(job_ids(slurm)), "all jobs are over", PATIENCE)


@pytest.mark.parametrize("how", ["cancel", "scancel"])
def test_nothing_survives_a_cancelled_slurm_job(
    slurm_field: Field, slurm: Cluster, how: str
) -> None:
    slurm_field.start("slurm", JOBS)
    ids = job_ids(slurm)
    assert len(ids) == JOBS
    if how == "cancel":
        done = slurm_field.cli("cancel", "s1")
        assert done.code == 0, done.out + done.err
    else:
        slurm.ok("scancel", *ids)
    wait_over(slurm, ids)
    slurm_field.check()


def test_nothing_survives_a_slurm_job_that_loses_a_process(
    slurm_field: Field, slurm: Cluster
) -> None:
    slurm_field.start("slurm", 3 * len(KINDS))
    ids = job_ids(slurm)
    slurm_field.kill_one_each()
    wait_over(slurm, ids)
    slurm_field.check()


def test_nothing_survives_a_raw_job_that_loses_a_process(field: Field) -> None:
    field.start("raw", 3 * len(KINDS))
    field.kill_one_each()
    # Raw looks for itself.
    wait_until(lambda: all(field.states("SCHED_ERROR")), "all jobs are over", PATIENCE)
    field.check(moment=0.0)
