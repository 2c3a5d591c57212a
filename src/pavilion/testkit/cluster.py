"""A fake scheduler for tests: what all of them have in common.

Make one, run commands against it, switch faults on, look at its calls.  The module ``slurm`` has
an example.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, TypeVar

from . import description as descriptions
from .fakes.engine import faults, stepmanager, wakeup
from .fakes.engine.context import CALL_FILE, Context
from .fakes.engine.machine import changed_state
from .fakes.engine.store import STATE_FILE, Row, Store

_STOP_SECONDS = 5.0
_Self = TypeVar("_Self", bound="FakeCluster")


class FakeClusterError(Exception):
    """The fake cannot be made or used like this."""


class Call(NamedTuple):
    """A command that was run: name, arguments, variables that matter, time, user, process id."""

    command: str
    args: tuple[str, ...]
    env: dict[str, str]
    time: float
    user: str
    pid: int


class FakeCluster:
    """A fake cluster in ``folder``, which is created if it does not exist.

    Either of ``nodes`` (the number of nodes, all alike, see ``description.of_size``), ``cluster`` (a YAML
    file) or ``description``. More keywords are settings, see ``description.SETTINGS``.
    """

    kind = "fake"
    # The package of ``fakes`` that has its commands.
    FAKE: ClassVar[str] = ""
    CONTEXT: ClassVar[type[Context]] = Context
    FAULTS: ClassVar[faults.Table] = faults.FAULTS
    ERROR: ClassVar[type[FakeClusterError]] = FakeClusterError
    # Settings that have other defaults than those of ``description.SETTINGS``.
    SETTINGS: ClassVar[Mapping[str, float]] = {}

    def __init__(
        self,
        folder: Path,
        *,
        nodes: int = 8,
        cpus: int = 4,
        cluster: Path | None = None,
        description: descriptions.Description | None = None,
        **settings: float,
    ) -> None:
        unknown = set(settings) - set(descriptions.SETTINGS)
        if unknown:
            raise self.ERROR(
                f"no such setting: {', '.join(sorted(unknown))}; there are: "
                f"{', '.join(descriptions.SETTINGS)}"
            )
        if description is None:
            description = (
                descriptions.of_size(nodes, cpus) if cluster is None else descriptions.load(cluster)
            )
        description.cluster["settings"].update({**self.SETTINGS, **settings})
        self.folder = folder.absolute()
        self.bin = self.folder / "bin"
        self._description = description

    # -- begin and end -----------------------------------------------------------------------

    def __enter__(self: _Self) -> _Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Make the directory, the state and the commands. No process is started yet.

        :raises FakeClusterError: when there is a cluster in the directory already.
        """
        if (self.folder / STATE_FILE).exists():
            raise self.ERROR(f"{self.folder} already contains a fake cluster")
        (self.folder / stepmanager.RUN_FOLDER).mkdir(parents=True)
        os.mkfifo(self.folder / wakeup.FIFO)
        (self.folder / wakeup.LOCK).touch()
        (self.folder / wakeup.LOG).touch()
        store = Store.create(str(self.folder), self._description.cluster, self._description.nodes)
        for reservation in self._description.reservations:
            store.save_reservation(reservation)
        store.close()
        (self.folder / wakeup.NAME).write_text(f"{self.FAKE}\n", encoding="utf-8")
        self._write_commands()

    def _write_commands(self) -> None:
        """Small shell scripts: quick to start, and free of the caller's Python settings."""
        self.bin.mkdir()
        launcher = Path(__file__).parent / "fakes" / "launch.py"
        for name in self.CONTEXT.COMMANDS:
            words = [sys.executable, "-I", "-S", str(launcher), self.FAKE, name, str(self.folder)]
            path = self.bin / name
            path.write_text(f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n', encoding="utf-8")
            path.chmod(0o755)

    def stop(self) -> None:
        """End all jobs and the controller, and remove the state. The log of calls stays."""
        if not (self.folder / STATE_FILE).exists():
            return
        leaders = []
        store = self._store()
        for job in store.jobs(active_only=True):
            leader = stepmanager.leader(str(self.folder), job)
            if leader is not None and stepmanager.read_exit(str(self.folder), job) is None:
                leaders.append(leader)
        store.close()
        # Without its state the controller ends; it takes its jobs with it.
        (self.folder / STATE_FILE).unlink()
        for leader in leaders:
            stepmanager.kill(leader)
        deadline = time.monotonic() + _STOP_SECONDS
        while wakeup.wake(str(self.folder)) and time.monotonic() < deadline:
            time.sleep(0.02)
        for name in (f"{STATE_FILE}-wal", f"{STATE_FILE}-shm", faults.FAULT_FILE, wakeup.FIFO):
            (self.folder / name).unlink(missing_ok=True)

    def remove(self) -> None:
        """Stop, and remove the directory."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    # -- run commands ------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """The cluster's name."""
        return str(self._description.cluster["name"])

    @property
    def node_names(self) -> list[str]:
        """The names of all nodes, in the order of their description."""
        return [node["name"] for node in self._description.nodes]

    def env(self, base: Mapping[str, str] | None = None) -> dict[str, str]:
        """``base`` (the present environment if None) with the fake's commands first in PATH."""
        environment = dict(os.environ if base is None else base)
        path = environment.get("PATH", os.defpath)
        return {
            **environment,
            "PATH": f"{self.bin}{os.pathsep}{path}",
            **self.variables(),
            "LC_ALL": "C",
        }

    def variables(self) -> dict[str, str]:
        """The variables by which its commands are configured."""
        return {}

    def run(
        self,
        *argv: str,
        user: str | None = None,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        input: str | None = None,
        timeout: float = 60.0,
        base: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command to its end; as another user of the fake if one is named.

        ``env`` is added to the environment ``base``, the present one if None.
        """
        environment = {**self.env(base), **(env or {})}
        if user is not None:
            environment[self.CONTEXT.USER_VARIABLE] = user
        command = shutil.which(argv[0], path=environment["PATH"]) or argv[0]
        return subprocess.run(
            [command, *argv[1:]],
            env=environment,
            cwd=cwd,
            input=input,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            check=False,
        )

    def calls(self, command: str | None = None) -> list[Call]:
        """The commands that were run, oldest first; only those of one name if it is given."""
        try:
            text = (self.folder / CALL_FILE).read_text(encoding="utf-8")
        except FileNotFoundError:
            return []
        records = [json.loads(line) for line in text.splitlines()]
        return [
            Call(
                each["command"],
                tuple(each["args"]),
                each["env"],
                each["time"],
                each["user"],
                each["pid"],
            )
            for each in records
            if command in (None, each["command"])
        ]

    # -- change the cluster ------------------------------------------------------------------

    def _store(self) -> Store:
        return Store(str(self.folder))

    def ok(self, *argv: str, **options: Any) -> str:
        """Run a command that must succeed; its standard output.

        :raises FakeClusterError: with the command's standard error.
        """
        result = self.run(*argv, **options)
        if result.returncode != 0:
            raise self.ERROR(f"{shlex.join(argv)}: rc {result.returncode}: {result.stderr}")
        return result.stdout

    def drain(self, node: str, reason: str = "test") -> None:
        """Drain a node, as the user who made the cluster and with no call in the log."""
        self._change_node(node, "DRAIN", reason)

    def resume(self, node: str) -> None:
        """Undo :meth:`drain`."""
        self._change_node(node, "RESUME", None)

    def _change_node(self, name: str, wish: str, reason: str | None) -> None:
        store = self._store()
        with store.transaction():
            row = self._node(store, name)
            base, flags = changed_state(row["base"], row["flags"].split(), wish)
            owner = self._description.cluster["owner"]
            store.update_node(
                name,
                base=base,
                flags=" ".join(flags),
                reason=reason,
                reason_user=reason and owner,
                reason_time=reason and time.time(),
            )
        store.close()
        wakeup.ensure_controller(str(self.folder))

    def _node(self, store: Store, name: str) -> Row:
        for row in store.nodes():
            if row["name"] == name:
                return row
        raise self.ERROR(f"there is no node '{name}'")

    def jobs(self) -> dict[str, Row]:
        """All jobs that are kept, by the engine's id: ``state``, ``alloc`` (CPUs by node), ..."""
        store = self._store()
        try:
            return {str(job["id"]): job for job in store.jobs()}
        finally:
            store.close()

    def lose_jobs(self) -> None:
        """The controller loses its state: it knows of no job, and gives all ids out again.

        What is recorded of ended jobs stays. Jobs that wait or run are ended, and are not.
        """
        store = self._store()
        for job in store.jobs(active_only=True):
            leader = stepmanager.leader(str(self.folder), job)
            if leader is not None:
                stepmanager.kill(leader)
        with store.transaction():
            for job in store.jobs():
                if self._description.cluster["accounting"]:
                    store.archive(job)
                store.delete_job(job["id"])
            store.reset_counter("job")
        store.close()

    def set_setting(self, name: str, value: float) -> None:
        """Change a setting of the running cluster, see ``description.SETTINGS``."""
        store = self._store()
        with store.transaction():
            description = store.description()
            description["settings"][name] = value
            store.set_meta("description", description)
        store.close()

    def change_job(self, job_id: str | int, **values: object) -> None:
        """Overwrite what is kept of a job."""
        store = self._store()
        with store.transaction():
            job = store.job(int(job_id))
            if job is None:
                raise self.ERROR(f"there is no job {job_id}")
            job.update(values)
            store.save_job(job)
        store.close()
        wakeup.ensure_controller(str(self.folder))

    # -- faults ------------------------------------------------------------------------------

    def set_fault(self, name: str, /, **settings: Any) -> None:
        """Switch a fault on.

        :raises BadFault: for an unknown fault or setting.
        """
        checked = faults.checked(name, settings, self.FAULTS)
        store = self._store()
        commands = checked.get("commands") or list(self.CONTEXT.COMMANDS)
        for counter in [f"{name} {command}" for command in commands] + [name]:
            store.reset_counter(counter)
        store.close()
        faults.write(str(self.folder), {**faults.read(str(self.folder)), name: checked})

    def clear_fault(self, *names: str) -> None:
        """Switch faults off, all of them if none is named."""
        left = {
            name: fault
            for name, fault in faults.read(str(self.folder)).items()
            if names and name not in names
        }
        faults.write(str(self.folder), left)
        wakeup.ensure_controller(str(self.folder))
