"""The tasks of a step: started side by side on this machine, each told which node it is on."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import NamedTuple

from ..engine import hostlist
from ..engine.store import Row
from . import gres, jobenv
from .context import Context


class Step(NamedTuple):
    """A step of a job: its number, tasks by node, command, and srun's options."""

    job: Row
    number: int
    layout: dict[str, int]
    command: list[str]
    options: dict[str, str]
    gpus: dict[str, list[int]]


class Task(NamedTuple):
    """A task: its rank in the step, its node's number and name, its rank there."""

    rank: int
    node_number: int
    node: str
    local: int


class StepRunner:
    """Starts the tasks of a step and waits for them."""

    def __init__(self, context: Context, step: Step) -> None:
        self.context = context
        self.step = step
        self._pids: dict[int, Task] = {}
        self._readers: list[threading.Thread] = []

    def run(self) -> int:
        """Run all tasks; the highest return code, as srun's."""
        tasks = [
            Task(0, number, name, local)
            for number, (name, count) in enumerate(self.step.layout.items())
            for local in range(count)
        ]
        for rank, task in enumerate(tasks):
            self._start(task._replace(rank=rank))
        return self._wait()

    def _environment(self, task: Task) -> dict[str, str]:
        step, layout = self.step, self.step.layout
        environment = dict(self.context.environment)
        nodes = hostlist.fold(layout)
        environment.update(
            {
                "SLURM_PROCID": str(task.rank),
                "SLURM_NODEID": str(task.node_number),
                "SLURM_LOCALID": str(task.local),
                "SLURMD_NODENAME": task.node,
                "SLURM_NTASKS": str(sum(layout.values())),
                "SLURM_NPROCS": str(sum(layout.values())),
                "SLURM_STEP_ID": str(step.number),
                "SLURM_STEPID": str(step.number),
                "SLURM_STEP_NODELIST": nodes,
                "SLURM_STEP_NUM_NODES": str(len(layout)),
                "SLURM_STEP_NUM_TASKS": str(sum(layout.values())),
                "SLURM_STEP_TASKS_PER_NODE": jobenv.repeat(layout.values()),
                "SLURM_NNODES": str(len(layout)),
            }
        )
        gpus = gres.task_environment(step.job, step.gpus[task.node], task.local)
        for name, value in gpus.items():
            if value is None:
                environment.pop(name, None)
            else:
                environment[name] = value
        return environment

    def _start(self, task: Task) -> None:
        out = self._stream(task, 1, "output")
        err = self._stream(task, 2, "error")
        pid = os.fork()
        if pid == 0:
            self._become(task, out, err)
        for handle in {out, err} - {1, 2}:
            os.close(handle)
        self._pids[pid] = task

    def _stream(self, task: Task, plain: int, option: str) -> int:
        """Where a task writes to: a file, a pipe that gets labels, or srun's own stream."""
        path = self.step.options.get(option)
        if path:
            name = path.replace("%t", str(task.rank)).replace("%j", str(self.step.job["id"]))
            return os.open(name, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        if "label" not in self.step.options:
            return plain
        reading, writing = os.pipe()
        reader = threading.Thread(target=_label, args=(reading, plain, f"{task.rank}: ".encode()))
        reader.start()
        self._readers.append(reader)
        return writing

    def _become(self, task: Task, out: int, err: int) -> None:
        try:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.signal(signal.SIGPIPE, signal.SIG_DFL)
            if task.rank:  # standard input goes to the first task alone
                os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            os.dup2(out, 1)
            os.dup2(err, 2)
            os.closerange(3, 256)
            os.execvpe(self.step.command[0], self.step.command, self._environment(task))
        except OSError as error:
            os.write(
                2,
                f"slurmstepd-{task.node}: error: execve(): {self.step.command[0]}: "
                f"{error.strerror}\n".encode(),
            )
            os._exit(error.errno or 1)
        finally:
            os._exit(1)

    def _wait(self) -> int:
        worst = 0
        while self._pids:
            pid, status = _wait_for_any(self._kill)
            task = self._pids.pop(pid, None)
            if task is None:
                continue
            code = os.WEXITSTATUS(status)
            if os.WIFSIGNALED(status):
                code = 128 + os.WTERMSIG(status)
                words = signal.strsignal(os.WTERMSIG(status))
                self.context.err(f"srun: error: {task.node}: task {task.rank}: {words}")
            elif code:
                self.context.err(
                    f"srun: error: {task.node}: task {task.rank}: Exited with exit code {code}"
                )
            worst = max(worst, code)
        for reader in self._readers:
            reader.join()
        return worst

    def _kill(self) -> None:
        for pid in self._pids:
            try:
                os.kill(pid, signal.SIGTERM)
            except ProcessLookupError:
                pass


def _wait_for_any(interrupted: Callable[[], None]) -> tuple[int, int]:
    while True:
        try:
            return os.waitpid(-1, 0)
        except KeyboardInterrupt:
            interrupted()
        except SystemExit:
            interrupted()
            raise


def _label(reading: int, target: int, label: bytes) -> None:
    with os.fdopen(reading, "rb") as pipe:
        for line in pipe:
            os.write(target, label + line)
    sys.stdout.flush()
