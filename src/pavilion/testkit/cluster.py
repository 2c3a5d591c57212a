"""A fake Slurm for tests: make one, run commands against it, switch faults on, look at its calls.

::

    with FakeSlurm(tmp_path, nodes=8, min_job_age=1) as slurm:
        subprocess.run(["sbatch", "job.sh"], env=slurm.env())
        slurm.drain("node01", reason="broken")
        slurm.set_fault("frozen")
        assert [call.command for call in slurm.calls()] == ["sbatch"]
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from . import description as descriptions
from .fake_slurm import faults, jobtext, nodestate, stepmanager, wakeup
from .fake_slurm.context import CALL_FILE
from .fake_slurm.machine import Machine
from .fake_slurm.run import COMMANDS
from .fake_slurm.sdiag import counts
from .fake_slurm.store import STATE_FILE, Row, Store

_STOP_SECONDS = 5.0


class FakeSlurmError(Exception):
    """The fake cannot be made or used like this."""


class Call(NamedTuple):
    """A command that was run: name, arguments, variables that matter, time, user, process id."""

    command: str
    args: tuple[str, ...]
    env: dict[str, str]
    time: float
    user: str
    pid: int


class FakeSlurm:
    """A fake cluster in ``folder``, which is created if it does not exist.

    Either of ``nodes`` (the number of nodes, all alike, see ``description.of_size``), ``cluster`` (a YAML
    file) or ``description``. More keywords are settings, see ``description.SETTINGS``.
    """

    kind = "fake"

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
            raise FakeSlurmError(
                f"no such setting: {', '.join(sorted(unknown))}; there are: "
                f"{', '.join(descriptions.SETTINGS)}"
            )
        if description is None:
            description = (
                descriptions.of_size(nodes, cpus) if cluster is None else descriptions.load(cluster)
            )
        description.cluster["settings"].update(settings)
        self.folder = folder.absolute()
        self.bin = self.folder / "bin"
        self._description = description

    # -- begin and end -----------------------------------------------------------------------

    def __enter__(self) -> FakeSlurm:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Make the directory, the state and the commands. No process is started yet.

        :raises FakeSlurmError: when there is a cluster in the directory already.
        """
        if (self.folder / STATE_FILE).exists():
            raise FakeSlurmError(f"{self.folder} already contains a fake cluster")
        (self.folder / stepmanager.RUN_FOLDER).mkdir(parents=True)
        os.mkfifo(self.folder / wakeup.FIFO)
        (self.folder / wakeup.LOCK).touch()
        (self.folder / wakeup.LOG).touch()
        store = Store.create(str(self.folder), self._description.cluster, self._description.nodes)
        for reservation in self._description.reservations:
            store.save_reservation(reservation)
        store.close()
        # Something that SLURM_CONF can point to; nothing reads it.
        (self.folder / "slurm.conf").write_text(f"ClusterName={self.name}\n", encoding="utf-8")
        self._write_commands()

    def _write_commands(self) -> None:
        """Small shell scripts: quick to start, and free of the caller's Python settings."""
        self.bin.mkdir()
        launcher = Path(__file__).parent / "fake_slurm" / "launch.py"
        for name in COMMANDS:
            words = [sys.executable, "-I", "-S", str(launcher), name, str(self.folder)]
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
            "SLURM_CONF": str(self.folder / "slurm.conf"),
            "LC_ALL": "C",
        }

    def run(
        self,
        *argv: str,
        user: str | None = None,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        input: str | None = None,
        timeout: float = 60.0,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command to its end; as another user of the fake if one is named."""
        environment = {**self.env(), **(env or {})}
        if user is not None:
            environment["FAKE_SLURM_USER"] = user
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

    def rpcs(self) -> dict[str, int]:
        """How often the controller was called, by kind of call."""
        return counts(str(self.folder), "rpc")

    # -- change the cluster ------------------------------------------------------------------

    def _store(self) -> Store:
        return Store(str(self.folder))

    def ok(self, *argv: str, **options: Any) -> str:
        """Run a command that must succeed; its standard output.

        :raises FakeSlurmError: with the command's standard error.
        """
        result = self.run(*argv, **options)
        if result.returncode != 0:
            raise FakeSlurmError(f"{shlex.join(argv)}: rc {result.returncode}: {result.stderr}")
        return result.stdout

    def drain(self, node: str, reason: str = "test") -> None:
        """Drain a node, as the user who made the cluster and with no call in the log."""
        self._change_node(node, "DRAIN", reason)

    def resume(self, node: str) -> None:
        """Undo :meth:`drain`."""
        self._change_node(node, "RESUME", None)

    def _change_node(self, name: str, wish: str, reason: str | None) -> None:
        from .fake_slurm.change import changed_state

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

    def set_node_state(self, node: str, state: str, reason: str | None = None) -> None:
        """Any state, known to Slurm or not: 'DOWN+CLOUD+POWERED_DOWN', 'IDLE+BRAND_NEW'."""
        base, flags = nodestate.parse(state)
        store = self._store()
        with store.transaction():
            self._node(store, node)
            store.update_node(
                node,
                base=base,
                flags=" ".join(flags),
                reason=reason,
                changed=time.time(),
                reason_user=reason and "root",
                reason_time=reason and time.time(),
            )
        store.close()
        wakeup.ensure_controller(str(self.folder))

    def _node(self, store: Store, name: str) -> Row:
        for row in store.nodes():
            if row["name"] == name:
                return row
        raise FakeSlurmError(f"there is no node '{name}'")

    def node_state(self, node: str) -> str:
        """The node's state as ``scontrol show node`` writes it."""
        store = self._store()
        try:
            return Machine(store, time.time()).by_name[node].state()
        finally:
            store.close()

    def reserve(
        self,
        name: str,
        nodes: Sequence[str],
        *,
        flags: Sequence[str] = (),
        start: str = "now",
        minutes: int = 60,
        users: str = "root",
    ) -> None:
        """Make a reservation of nodes, for a list of users."""
        words = [
            f"reservationname={name}",
            f"nodes={','.join(nodes)}",
            f"starttime={start}",
            f"duration={minutes}",
            f"users={users}",
        ]
        if flags:
            words.append(f"flags={','.join(flags)}")
        self.ok("scontrol", "create", "reservation", *words)

    def unreserve(self, name: str) -> None:
        """Delete a reservation."""
        self.ok("scontrol", "delete", f"reservationname={name}")

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

    def jobs(self) -> dict[str, Row]:
        """All jobs that are kept, by id: ``state``, ``reason``, ``alloc`` (CPUs by node), ..."""
        store = self._store()
        try:
            return {str(job["id"]): {**job, "state": jobtext.state(job)} for job in store.jobs()}
        finally:
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
        """Overwrite what is kept of a job; ``state_shown`` is any word to show as its state."""
        store = self._store()
        with store.transaction():
            job = store.job(int(job_id))
            if job is None:
                raise FakeSlurmError(f"there is no job {job_id}")
            job.update(values)
            store.save_job(job)
        store.close()
        wakeup.ensure_controller(str(self.folder))

    # -- faults ------------------------------------------------------------------------------

    def set_fault(self, name: str, /, **settings: Any) -> None:
        """Switch a fault on.

        :raises BadFault: for an unknown fault or setting.
        """
        checked = faults.checked(name, settings)
        store = self._store()
        commands = checked.get("commands") or list(COMMANDS)
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
