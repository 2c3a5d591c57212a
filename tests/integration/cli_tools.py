"""The real command in a real process, in folders of its own."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable

import pytest

from polling import until

# Nothing here takes this long. It keeps a hanging command from hanging the tests.
PATIENCE = 120.0
# Another user's id.
OTHER = 12345
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can make files of others")


@dataclass
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def rows(self) -> list[list[str]]:
        """The lines of a table, without its heading."""
        return [line.split("\t") for line in self.out.splitlines()[1:] if "\t" in line]


def wait_until(condition: Callable[[], Any], what: str, patience: float = PATIENCE) -> Any:
    """As until; nothing here takes longer than this."""
    return until(condition, what, patience)


def processes_of_queue(folder: str | Path) -> list[int]:
    """All processes that have this folder as their PAV_RAW_QUEUE_DIR, in whatever session."""
    mark = f"PAV_RAW_QUEUE_DIR={folder}".encode()
    found = []
    for environ in Path("/proc").glob("[0-9]*/environ"):
        try:
            if mark in environ.read_bytes().split(b"\0"):
                found.append(int(environ.parent.name))
        except OSError:
            continue
    return found


def give_away(path: Path) -> None:
    """Make a directory and all that is in it another user's."""
    for found in [path, *path.rglob("*")]:
        os.lchown(found, OTHER, OTHER)


def signal_all(pids: Iterable[int], number: int) -> None:
    """Send a signal to processes of a job.  Some may have ended since they were listed: the commands
    of a test are among them."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


class Cli:
    """``pav-sched`` with a home, a config folder and a working folder of its own.

    The folders' names have blanks: nobody may rely on there being none.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._started: list[subprocess.Popen[str]] = []
        self.home = root / "my home"
        self.config = root / "my config"
        self.work = root / "my work"
        self.queue = root / "queue"
        for folder in (self.home, self.config / "suites", self.config / "plugins"):
            folder.mkdir(parents=True)
        self.queue.mkdir(mode=0o700)
        env = {
            key: value
            for key, value in os.environ.items()
            # pytest-xdist sets COLUMNS for its workers.
            if not key.startswith(("PAV_", "SLURM_")) and key != "COLUMNS"
        }
        self.env = dict(
            env, HOME=str(self.home), PAV_RAW_QUEUE_DIR=str(self.queue), PYTHONUNBUFFERED="1"
        )

    def argv(self, *args: Any) -> list[str]:
        return [
            sys.executable,
            "-m",
            "pavilion.cli",
            "--working-dir",
            str(self.work),
            "--config-dir",
            str(self.config),
            *map(str, args),
        ]

    def __call__(self, *args: Any, bare: bool = False, env: dict[str, str] | None = None) -> Done:
        """Run a command to its end.

        :param bare: Without --working-dir and --config-dir.
        """
        argv = self.argv(*args)
        if bare:
            argv = [*argv[:3], *map(str, args)]
        done = subprocess.run(
            argv,
            capture_output=True,
            timeout=PATIENCE,
            cwd=self.root,
            env=dict(self.env, **(env or {})),
            stdin=subprocess.DEVNULL,
        )
        return Done(done.returncode, done.stdout.decode(), done.stderr.decode())

    def start(self, *args: Any) -> subprocess.Popen[str]:
        """Start a command in a session of its own, as a terminal would."""
        process = subprocess.Popen(
            self.argv(*args),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=self.root,
            env=self.env,
            start_new_session=True,
            stdin=subprocess.DEVNULL,
        )
        self._started.append(process)
        return process

    def suite(self, text: str, name: str = "suite") -> Path:
        """Write a suite into the config folder."""
        path = self.config / "suites" / f"{name}.yaml"
        path.write_text(textwrap.dedent(text), encoding="utf-8")
        return path

    def plugin(self, name: str, text: str) -> Path:
        """Write a plugin into the config folder; gives its .yapsy-plugin file."""
        folder = self.config / "plugins"
        (folder / f"{name}.py").write_text(textwrap.dedent(text), encoding="utf-8")
        info = folder / f"{name}.yapsy-plugin"
        info.write_text(f"[Core]\nName = {name}\nModule = {name}\n", encoding="utf-8")
        return info

    def test_path(self, test_id: str) -> Path:
        return self.work / "series" / test_id.partition(".")[0] / test_id

    def job_info(self, test_id: str) -> Any:
        return json.loads((self.test_path(test_id) / "job" / "info.json").read_text())

    def wait_for_file(self, path: Path) -> None:
        wait_until(path.exists, f"{path.name} being made")

    def processes(self) -> list[int]:
        """All processes that were started from here, in whatever session."""
        return processes_of_queue(self.queue)

    def kill_all(self) -> None:
        """Leave nothing behind, whatever a test was stopped by."""
        signal_all(self.processes(), signal.SIGKILL)
        for process in self._started:
            process.communicate(timeout=PATIENCE)


def finish(process: subprocess.Popen[str]) -> Done:
    """Wait for a started command."""
    out, err = process.communicate(timeout=PATIENCE)
    return Done(process.returncode, out, err)


def interrupt(process: subprocess.Popen[str], number: int = signal.SIGINT) -> None:
    """Press Ctrl-C: every process of the foreground group gets the signal."""
    os.killpg(process.pid, number)


SLEEPER = """
    first:
      run: {cmds: ["touch started", "sleep 20"]}
    second:
      run: {cmds: ["touch started", "while [ ! -e ../go ]; do sleep 0.05; done"]}
    """

SLOW_PLUGIN = """
    import time
    from pavilion.schedulers import Raw

    class Slow(Raw):
        '''One job per test, and handing it over takes a while.'''
        IS_CONCURRENT = False

        def __init__(self):
            super().__init__()
            self.name = "slow"

        def _kickoff(self, pav_cfg, job, *args, **kwargs):
            (job.path / "in_hand").touch()
            time.sleep(0.6)
            return super()._kickoff(pav_cfg, job, *args, **kwargs)
    """

REFUSING_PLUGIN = """
    from pavilion.errors import SchedulerPluginError
    from pavilion.schedulers import Raw

    class Refusing(Raw):
        '''Takes no jobs.'''
        def __init__(self):
            super().__init__()
            self.name = "refusing"

        def _kickoff(self, *args, **kwargs):
            raise SchedulerPluginError("The queue is closed.")
    """
