"""Clusters for tests of one subject: a fake and a real one of the same nodes."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from clusters import FakeForTests
from real_slurm import RealSlurm, free_ports, why_no_accounting

from open_directory import open_directory
from pavilion.testkit.description import Description, parse

NODES = [
    {"names": f"node{number:02d}", "features": ["a", "odd"] if number % 2 else ["a"]}
    for number in range(1, 9)
]
PARTITIONS = [
    {"name": "main", "nodes": "node[01-06]", "default": True, "max_time": 60},
    {"name": "alt", "nodes": "node[05-08]"},
    {"name": "secret", "nodes": "node[07-08]", "hidden": True},
]


def description(
    nodes: Sequence[Mapping[str, Any]] = (),
    partitions: Sequence[Mapping[str, Any]] = (),
    **more: Any,
) -> Description:
    """What a RealSlurm has, and more."""
    return parse(
        {"name": "t", "nodes": [*NODES, *nodes], "partitions": [*PARTITIONS, *partitions], **more}
    )


def need_accounting(request: pytest.FixtureRequest, otherwise: str) -> None:
    """Skip what asks for it, unless a real slurmdbd can be started.

    :param otherwise: What to say where only the fake Slurm is to be used.
    """
    if request.config.getoption("--slurm") == "fake":
        pytest.skip(otherwise)
    reason = why_no_accounting()
    if reason:
        pytest.skip(f"needs a real slurmdbd, and that cannot be started here: {reason}")


@contextmanager
def fake(made: Description, **settings: float) -> Iterator[FakeForTests]:
    with (
        open_directory("test-fake-") as path,
        FakeForTests(
            path,
            description=made,
            message_timeout=0.5,
            connect_seconds=0.1,
            kill_wait=2,
            **settings,
        ) as cluster,
    ):
        yield cluster


class PoweredSlurm(RealSlurm):
    """A real one with cloud nodes q-dy-1, ... in partition ``q``, all powered down at first.

    SuspendProgram and ResumeProgram only leave a note; a thread of ours starts and ends the
    nodes' daemons. Those in ``never`` do not wake up; the others take ``RESUME_SECONDS``.
    """

    # Long enough to be seen on a busy machine. And a controller that is slow to note when it wanted
    # a node to boot takes one that boots within that second for one that has not booted yet.
    RESUME_SECONDS = 2.0

    def __init__(
        self,
        path: Path,
        *,
        cloud_nodes: int = 5,
        never: Sequence[str] = (),
        extra_conf: str = "",
        suspend_time: int = 6,
        **more: Any,
    ) -> None:
        port, host = free_ports(cloud_nodes), socket.gethostname().split(".")[0]
        last = port + cloud_nodes - 1
        super().__init__(
            path,
            extra_conf=f"""\
SuspendProgram={path}/suspend
ResumeProgram={path}/resume
SuspendTimeout=2
ResumeTimeout=25
SuspendTime={suspend_time}
SuspendExcNodes=node[01-08]
TreeWidth=65533
NodeName=q-dy-[1-{cloud_nodes}] NodeHostname={host} NodeAddr=127.0.0.1 Port=[{port}-{last}] \
State=CLOUD CPUs=4 RealMemory=2000 Feature=dynamic
PartitionName=q Nodes=q-dy-[1-{cloud_nodes}] State=UP
{extra_conf}""",
            **more,
        )
        self._never = set(never)
        self._wishes = path / "wishes"
        self._stopping = threading.Event()
        self._watcher = threading.Thread(target=self._watch)

    def start(self) -> None:
        self._wishes.mkdir(mode=0o777)
        for name in ("suspend", "resume"):
            program = self.folder / name
            program.write_text(
                f'#!/bin/sh\nfor node in $(scontrol show hostnames "$1"); do\n'
                f"    touch {self._wishes}/{name}.$node\ndone\n"
            )
            program.chmod(0o755)
        self._watcher.start()
        try:
            super().start()
        except BaseException:
            self._end_watcher()
            raise

    def stop(self) -> None:
        self._end_watcher()
        super().stop()

    def _end_watcher(self) -> None:
        self._stopping.set()
        if self._watcher.is_alive():
            self._watcher.join()

    def _watch(self) -> None:
        booting: dict[str, float] = {}
        while not self._stopping.wait(0.1):
            wishes = sorted(self._wishes.iterdir(), key=lambda wish: wish.stat().st_mtime_ns)
            for wish in wishes:
                word, _, node = wish.name.partition(".")
                wish.unlink()
                booting.pop(node, None)
                if word == "suspend":
                    self.end_node(node)
                elif node not in self._never:
                    booting[node] = time.monotonic() + self.RESUME_SECONDS
            for node in [node for node, due in booting.items() if due <= time.monotonic()]:
                del booting[node]
                self.end_node(node)  # where the controller did not notice that it booted
                self.start_node(node, "-b")  # it says when it has booted: now


def powered_description(
    cloud_nodes: int = 5,
    never: Sequence[str] = (),
    resume_time: float = 1.5,
    **more: Any,
) -> Description:
    """The same, for the fake.

    :param resume_time: Seconds that nodes take to wake up.
    """
    nodes = [
        {
            "names": f"q-dy-{number}",
            "power": "down",
            "cloud": True,
            "features": ["dynamic"],
            "resume_time": 600 if f"q-dy-{number}" in never else resume_time,
        }
        for number in range(1, cloud_nodes + 1)
    ]
    return description(nodes, [{"name": "q", "nodes": f"q-dy-[1-{cloud_nodes}]"}], **more)
