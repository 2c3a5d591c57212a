"""One interface for tests to the fake Slurm and to a real one."""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from real_slurm import RealSlurm
from releases import Words, words_of

from pavilion.testkit import FakeSlurm

WAIT_SECONDS = 90.0
# A common user.  Newer releases refuse 'nobody'.
OTHER_USER = "daemon"
# Begins a command of that user who may, as root may, read the interpreter and the code wherever
# they are, and nothing else.
AS_OTHER = (
    "setpriv",
    "--reuid",
    OTHER_USER,
    "--regid",
    OTHER_USER,
    "--clear-groups",
    "--inh-caps=+dac_read_search",
    "--ambient-caps=+dac_read_search",
    "--",
)
_POLL = 0.05


class TimedOut(AssertionError):
    """A condition did not come about in time."""


def wait_until(condition: Callable[[], Any], what: str, seconds: float = WAIT_SECONDS) -> Any:
    """Poll until ``condition()`` is true; its value."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise TimedOut(f"{what}: not within {seconds:g} s")
        time.sleep(_POLL)


class FakeForTests(FakeSlurm):
    """The fake with the methods that the real one has for bringing conditions about."""

    def freeze(self) -> None:
        self.set_fault("frozen")

    def thaw(self) -> None:
        self.clear_fault("frozen")

    @contextmanager
    def frozen(self) -> Iterator[None]:
        self.freeze()
        try:
            yield
        finally:
            self.thaw()

    def stop_controller(self) -> None:
        self.set_fault("down")

    def kill_controller(self) -> None:
        self.set_fault("down")

    def start_controller(self) -> None:
        self.clear_fault("down")

    @contextmanager
    def down(self) -> Iterator[None]:
        self.stop_controller()
        try:
            yield
        finally:
            self.start_controller()

    def freeze_node(self, name: str) -> None:
        self.set_node_state(name, "IDLE+NOT_RESPONDING")

    def setting(self, name: str) -> float:
        key = {"kill_wait": "KillWait", "min_job_age": "MinJobAge"}[name]
        shown = re.search(rf"^{key} += ([\d.]+) sec$", self.ok("scontrol", "show", "config"), re.M)
        assert shown is not None
        return float(shown[1])

    def fail_prolog(self, fails: bool) -> None:
        if fails:
            self.set_fault("prolog_fails")
        else:
            self.clear_fault("prolog_fails")


class Slurm:
    """A cluster and a folder to submit from.

    ``run``, ``ok``, ``env``, ``drain``, ``resume``, ``reserve``, ``unreserve``, ``freeze``,
    ``frozen()``, ``down()``, ``node_state`` and so on are the cluster's own.
    """

    def __init__(self, cluster: FakeForTests | RealSlurm, folder: Path) -> None:
        self.cluster = cluster
        self.folder = folder
        # Ids of jobs that the clean-up between tests leaves alone.
        self.kept: set[str] = cluster.__dict__.setdefault("kept_jobs", set())

    def __getattr__(self, name: str) -> Any:
        return getattr(self.cluster, name)

    @property
    def is_real(self) -> bool:
        return self.cluster.kind == "real"

    @property
    def words(self) -> Words:
        """What this release prints where releases differ."""
        words: Words = self.cluster.__dict__.get("words")
        if words is None:
            words = words_of(self.ok("sbatch", "--version"))
            self.cluster.__dict__["words"] = words
        return words

    def run(self, *argv: str, **options: Any) -> Any:
        """Run a command in the test's folder."""
        options.setdefault("cwd", self.folder)
        return self.cluster.run(*argv, **options)

    def ok(self, *argv: str, **options: Any) -> str:
        options.setdefault("cwd", self.folder)
        return self.cluster.ok(*argv, **options)

    def submit(self, body: str, *options: str, **more: Any) -> str:
        """Submit a bash script with this body; the job's id."""
        script = self.folder / "job.sh"
        script.write_text(f"#!/bin/bash\n{body}\n")
        return self.ok("sbatch", "--parsable", *options, str(script), **more).strip()

    def start(self, body: str, *options: str, **more: Any) -> str:
        """Submit and wait until the script has begun; the job's id.

        A job may be RUNNING a while before that. One that is ended then has no wait status: its
        exit code is 0:0.
        """
        job_id = self.submit(f"echo begun\n{body}", *options, **more)
        output = self.folder / f"slurm-{job_id}.out"
        wait_until(lambda: output.exists() and output.read_text(), "the script has begun")
        return job_id

    def field(self, job_id: str, form: str) -> str:
        """What ``squeue -o`` says of a job; '' when it is not there."""
        return str(
            self.run(
                "squeue", "-a", "-h", "-t", "all", "-j", f"{job_id},{job_id}", "-o", form
            ).stdout
        ).strip("\n")

    def state(self, job_id: str) -> str:
        return self.field(job_id, "%T")

    def wait_state(self, job_id: str, *states: str, seconds: float = WAIT_SECONDS) -> str:
        """Wait until the job is in one of the states; which it is."""
        try:
            return str(
                wait_until(
                    lambda: (now := self.state(job_id)) in states and now,
                    f"job {job_id} {' or '.join(states)}",
                    seconds,
                )
            )
        except TimedOut as error:
            raise TimedOut(f"{error}; it is {self.field(job_id, '%T %r')}") from None

    def show(self, job_id: str) -> dict[str, str]:
        """The fields of ``scontrol show job`` that hold no blanks."""
        words = self.ok("scontrol", "-o", "show", "job", job_id).split()
        return dict(word.split("=", 1) for word in words if "=" in word)

    def finish(self, body: str, *options: str) -> tuple[str, dict[str, str]]:
        """Submit and wait for the end; id and fields."""
        job_id = self.submit(body, *options)
        self.wait_state(job_id, "COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL")
        return job_id, self.show(job_id)

    def wait_idle(self, *names: str) -> None:
        """Wait until these nodes (all if none is named) are idle, with no flags."""
        # The job with a time limit (see Early) may be on one of them for a minute and a half.
        wait_until(
            lambda: all(self.node_state(name) == "IDLE" for name in names or self.node_names),
            "idle nodes",
            120,
        )

    @contextmanager
    def setting(self, name: str, seconds: int) -> Iterator[None]:
        """Another 'kill_wait' or 'min_job_age' within the block."""
        before = self.cluster.setting(name)
        self.cluster.set_setting(name, seconds)
        try:
            yield
        finally:
            self.cluster.set_setting(name, before)

    def clean(self) -> None:
        """As at the start: no jobs but those to keep, no reservations, all nodes usable."""
        ids = set(self.ok("squeue", "-a", "-h", "-o", "%F").split()) - self.kept
        if ids:
            # They go on completing for a while; what needs idle nodes waits for that itself.
            self.ok("scancel", *ids)
        for line in self.ok("scontrol", "-o", "show", "reservation").splitlines():
            if line.startswith("ReservationName="):
                name = line.split()[0].partition("=")[2]
                self.ok("scontrol", "delete", f"reservationname={name}")
        rows = self.ok("sinfo", "-a", "-h", "-N", "-O", "nodelist: ,statecomplete: ").splitlines()
        for name, state in {tuple(row.upper().split()) for row in rows}:
            name = name.lower()
            if "DRAIN" in state:
                self.ok("scontrol", "update", f"nodename={name}", "state=undrain")
            if "DOWN" in state or ("NOT_RESPONDING" in state and not self.is_real):
                self.run("scontrol", "update", f"nodename={name}", "state=resume")


class _Apart(Slurm):
    """Commands in the environment as it is now: tests change the present one meanwhile."""

    def __init__(self, cluster: FakeForTests | RealSlurm, folder: Path) -> None:
        super().__init__(cluster, folder)
        self._environment = dict(os.environ)

    def run(self, *argv: str, **options: Any) -> Any:
        options.setdefault("base", self._environment)
        return super().run(*argv, **options)

    def ok(self, *argv: str, **options: Any) -> str:
        options.setdefault("base", self._environment)
        return super().ok(*argv, **options)


class Early:
    """Jobs that take long to reach what is checked: begun early, looked at late.

    The one with a time limit is watched, because it is forgotten some time after its end.
    """

    def __init__(self, slurm: Slurm) -> None:
        self.slurm = _Apart(slurm.cluster, slurm.folder)
        self._begin()
        self.shown: dict[str, str] = {}
        self.last_column = ""
        self._stop = threading.Event()
        self.watcher = threading.Thread(target=self._watch)
        self.watcher.start()

    def _begin(self) -> None:
        self.limited = self.slurm.submit("echo begun\nsleep 200", "-t", "1", "-w", "node01")
        self.slurm.kept.add(self.limited)

    def _watch(self) -> None:
        seldom = self.slurm.is_real
        if seldom and self._stop.wait(60):
            return
        while not self._stop.wait(2.0 if seldom else 0.2):
            known = self.slurm.run("scontrol", "show", "job", self.limited)
            if "Invalid job id" in known.stderr:  # ended while a test had stopped the controller
                self._begin()
            elif self.slurm.state(self.limited) == "TIMEOUT":
                self.last_column = self.slurm.field(self.limited, "%R")
                self.shown = self.slurm.show(self.limited)
                return

    def stop(self) -> None:
        self._stop.set()
        self.watcher.join()
        self.slurm.run("scancel", self.limited)
