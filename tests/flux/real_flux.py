"""A private real Flux instance on this machine, for tests.

A few brokers on one host that take themselves for nodes node1, node2, ..., in a directory of their
own, so that several instances can live side by side and none touches a Flux that the machine may
have.  Everything is ended by the process ids that were started here, and by a mark in the
environment of brokers and jobs.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

_HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(_HERE.parent / "slurm"))

import janitor  # noqa: E402

START_SECONDS = 60.0
# Of a socket, on Linux, with the zero byte at its end.
_MAX_PATH = 108
# Brokers have it, and so have jobs, whose environment is that of the command that submits them.
MARK = janitor.KINDS["flux"].place

_CONFIGURATION = """\
[resource]
noverify = true
[[resource.config]]
hosts = "node[1-{nodes}]"
cores = "0-{last_core}"
[[resource.config]]
hosts = "node[{before}-{nodes}]"
gpus = "0-1"
[[resource.config]]
hosts = "node[1-{before}]"
properties = ["batch"]
[[resource.config]]
hosts = "node{nodes}"
properties = ["debug", "big"]
[queues.batch]
requires = ["batch"]
policy.limits.duration = "2h"
[queues.debug]
requires = ["debug"]
policy.limits.duration = "30m"
policy.limits.job-size.max.nnodes = 1
[policy.jobspec.defaults.system]
queue = "batch"
duration = "30m"
[ingest.validator]
plugins = {validators}
"""


class RealFluxError(Exception):
    """The private instance could not be started, or did not reach a state in time."""


def why_not_available() -> str:
    """Why a real Flux cannot be started here; '' when it can."""
    if shutil.which("flux") is None:
        return "not installed: flux (flux-core 0.49 or later)"
    # Another program, for Kubernetes, has the same name.
    done = subprocess.run(
        ["flux", "--version"], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if "libflux-core" not in done.stdout:
        said = next(iter((done.stdout or done.stderr).splitlines()), "nothing")
        return f"the program flux in PATH is not that of flux-core: its --version prints {said!r}"
    return ""


class RealFlux:
    """A Flux instance of some brokers in ``directory``; a context manager.

    Queues: ``batch`` (the default; at most 2 hours, 30 minutes without a time limit) on all nodes
    but the last, and ``debug`` (at most 30 minutes, one node) on the last, which has the property
    ``big`` too.  The last two nodes have two GPUs.

    :param directory: A directory that is used up.  Its path must be short: sockets are in it.
    :param nodes: How many brokers.
    :param cores: How many each node has, whatever the machine has.
    :param feasibility: Whether requests that no node can meet are refused, in place of accepted.
    """

    kind = "real"

    def __init__(
        self, directory: Path, *, nodes: int = 4, cores: int = 16, feasibility: bool = True
    ) -> None:
        if nodes < 3:
            raise ValueError("a private Flux instance has 3 nodes or more")
        self.directory = directory
        self.node_names = [f"node{number}" for number in range(1, nodes + 1)]
        self._cores = cores
        self._validators = ["jobspec", *(["feasibility"] if feasibility else [])]
        # Tests put programs before the commands.
        self._path = os.environ.get("PATH", os.defpath)
        self._start: subprocess.Popen[bytes] | None = None
        # In case that this process ends without having called stop().
        self._janitor: subprocess.Popen[bytes] | None = None

    @property
    def _place(self) -> Path:
        """Where the brokers' sockets are; what marks all processes."""
        return self.directory / "run"

    @property
    def socket_path(self) -> Path:
        """Where commands find the first broker."""
        return self._place / "local-0"

    # --- Start and stop ---

    def __enter__(self) -> RealFlux:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start the brokers and wait until jobs can be submitted.

        :raises RealFluxError: With the end of what they printed; nothing is left running.
        """
        reason = why_not_available()
        if reason:
            raise RealFluxError(reason)
        if len(os.fsencode(self.socket_path)) >= _MAX_PATH:
            raise RealFluxError(f"the path of a socket would be too long: {self.socket_path}")
        try:
            self._janitor = subprocess.Popen(
                [sys.executable, "-I", janitor.__file__, str(self._place), "flux"],
                stdin=subprocess.PIPE,
                start_new_session=True,
            )
            for name in ("run", "state"):
                (self.directory / name).mkdir()
            nodes = len(self.node_names)
            (self.directory / "flux.toml").write_text(
                _CONFIGURATION.format(
                    nodes=nodes,
                    before=nodes - 1,
                    last_core=self._cores - 1,
                    validators=json.dumps(self._validators),
                )
            )
            self.start_brokers()
        except BaseException:
            self.stop()
            raise

    def start_brokers(self) -> None:
        """Start the brokers, for the first time or anew; they read back what they saved."""
        nodes = len(self.node_names)
        with (self.directory / "flux.out").open("ab") as output:
            self._start = subprocess.Popen(
                [
                    *("flux", "start", f"--test-size={nodes}", f"--test-hosts=node[1-{nodes}]"),
                    *(f"--test-rundir={self._place}", "--test-exit-mode=leader"),
                    f"--config-path={self.directory / 'flux.toml'}",
                    f"--setattr=statedir={self.directory / 'state'}",
                    # They end when this does.
                    *("sleep", "infinity"),
                ],
                # Brokers run login shells, which would read the user's profile.
                env={**self._environment(), "HOME": str(self.directory)},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=self.directory,
                start_new_session=True,
            )
        self.wait_until(self._can_start_queues, "queues are started")
        self.wait_until(lambda: not self.nodes("down"), "all nodes are up")

    def _can_start_queues(self) -> bool:
        """Queues of a new instance are stopped."""
        if not self.socket_path.exists():
            return False
        return self.run("flux", "queue", "start", "--all", "--quiet").returncode == 0

    def stop(self) -> None:
        """End all that was started, jobs too.  Nothing that the brokers could save is needed."""
        self.kill()
        janitor.end_processes(self._place, "flux")
        if self._janitor is not None:
            self._janitor.communicate(b"all is well\n")
            self._janitor = None

    def leftovers(self) -> list[int]:
        """Processes of this instance: brokers, shells, jobs, their children."""
        return janitor.processes(self._place, kind="flux")

    # --- Commands ---

    def variables(self) -> dict[str, str]:
        """The environment variables by which commands are found and find this instance, and the
        mark."""
        uri = f"local://{self.socket_path}"
        return {"PATH": self._path, "FLUX_URI": uri, MARK: str(self._place)}

    def _environment(self) -> dict[str, str]:
        """The environment of brokers, which make the address."""
        return {key: value for key, value in self.env().items() if key != "FLUX_URI"}

    def env(self, base: Mapping[str, str] | None = None) -> dict[str, str]:
        """The environment to run commands in: ``base`` (the present one) without what changes
        commands, and our variables."""
        environment = os.environ if base is None else base
        kept = {key: value for key, value in environment.items() if not key.startswith("FLUX_")}
        return {**kept, **self.variables()}

    def run(
        self,
        *argv: str,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        timeout: float = 60.0,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command to its end; never raises for its exit code."""
        return subprocess.run(
            argv,
            env={**self.env(), **(env or {})},
            cwd=cwd or self.directory,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            encoding="utf-8",
            errors="replace",
            timeout=timeout,
            check=False,
        )

    def ok(self, *argv: str, cwd: Path | None = None) -> str:
        """Run a command that must succeed; its standard output.

        :raises RealFluxError: With all that the command printed.
        """
        result = self.run(*argv, cwd=cwd)
        if result.returncode != 0:
            raise RealFluxError(
                f"{' '.join(argv)}: rc {result.returncode}: {result.stdout}{result.stderr}"
            )
        return result.stdout

    def jobs(self, *options: str) -> list[tuple[str, str, str]]:
        """Id in decimal, state and name of all jobs, those that ended too; the youngest first.

        :param options: Further ones of ``flux jobs``.
        """
        form = "{id.dec}|{state}|{name}"
        rows = self.ok("flux", "jobs", "-a", "-c", "0", *options, "-no", form).splitlines()
        return [(words[0], words[1], words[2]) for words in (row.split("|", 2) for row in rows)]

    def nodes(self, state: str) -> list[str]:
        """The names of the nodes in one of the states free, allocated and down."""
        text = self.ok("flux", "resource", "list", "-s", state, "-no", "{nodelist}")
        words = [word for line in text.splitlines() for word in [line.strip()] if word]
        if not words:
            return []
        return self.ok("flux", "hostlist", "-e", *words).split()

    def submit(self, *options: str, work: str = "sleep 1000") -> str:
        """Submit a job that no test of ours has; its id in decimal."""
        script = self.directory / "work.sh"
        script.write_text(f"#!/bin/bash\n{work}\n")
        batch = ("flux", "batch", "-n1", "--output=/dev/null", "--job-name=foreign", *options)
        return self.ok(
            "flux", "job", "id", "--to=dec", self.ok(*batch, str(script)).strip()
        ).strip()

    # --- Waiting ---

    def wait_until(
        self, condition: Callable[[], bool], what: str, seconds: float = START_SECONDS
    ) -> None:
        """Poll until ``condition()``; :raises RealFluxError: when it does not come in time."""
        deadline = time.monotonic() + seconds
        while not condition():
            dead = self._start is not None and self._start.poll() is not None
            if dead or time.monotonic() > deadline:
                ended = " (flux start has ended)" if dead else ""
                raise RealFluxError(f"{what}: not within {seconds:g} s{ended}\n{self.log_end()}")
            time.sleep(0.1)

    def log_end(self, lines: int = 30) -> str:
        """The last lines of what the brokers printed."""
        try:
            text = (self.directory / "flux.out").read_text(errors="replace")
        except OSError as error:
            return f"no log: {error}"
        return "\n".join(text.splitlines()[-lines:])

    # --- Conditions to bring about ---

    def broker(self, node: str = "node1") -> int:
        """The process id of a node's broker.

        :raises RealFluxError: When there is none.
        """
        assert self._start is not None
        for pid in janitor.processes(self._place, names=_names(node), kind="flux"):
            with contextlib.suppress(OSError):
                stat = Path(f"/proc/{pid}/stat").read_text()
                # Sub-instances, which are jobs, have brokers of the same names.
                if int(stat.rpartition(")")[2].split()[1]) == self._start.pid:
                    return pid
        raise RealFluxError(f"there is no broker of {node}\n{self.log_end()}")

    def kill(self) -> None:
        """End all brokers at once, as kill -9 does.  Their jobs end with them, and what happened
        since the last orderly stop is forgotten."""
        if self._start is None:
            return
        for node in self.node_names:
            with contextlib.suppress(RealFluxError, ProcessLookupError):
                os.kill(self.broker(node), signal.SIGKILL)
        self._start.kill()
        self._start.wait()
        self._start = None

    def shut_down(self) -> None:
        """Stop the instance in order: jobs that run are cancelled, those that wait are kept."""
        assert self._start is not None
        os.kill(self.broker(), signal.SIGTERM)
        self._start.wait(START_SECONDS)
        self._start = None

    def lose(self, node: str) -> None:
        """End the broker of a node at once.  It cannot be started again."""
        os.kill(self.broker(node), signal.SIGKILL)
        self.wait_until(lambda: node in self.nodes("down"), f"{node} is down")

    @contextmanager
    def down(self) -> Iterator[None]:
        """No command gets a connection within the block; jobs go on.

        Where the socket was is another that nobody reads, as a broker leaves one when it is killed.
        """
        away = self.socket_path.with_name("away")
        self.socket_path.rename(away)
        try:
            with socket.socket(socket.AF_UNIX) as dead:
                dead.bind(str(self.socket_path))
            yield
        finally:
            away.replace(self.socket_path)

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """The first broker does not answer within the block: commands hang without end."""
        pid = self.broker()
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)

    @contextmanager
    def queue_stopped(self, queue: str, reason: str = "maintenance") -> Iterator[None]:
        """Within the block jobs of a queue are accepted, and wait."""
        self.ok("flux", "queue", "stop", "-m", reason, queue)
        try:
            yield
        finally:
            self.ok("flux", "queue", "start", queue)

    @contextmanager
    def queue_disabled(self, queue: str, reason: str = "going away") -> Iterator[None]:
        """Within the block a queue refuses jobs."""
        self.ok("flux", "queue", "disable", "-m", reason, queue)
        try:
            yield
        finally:
            self.ok("flux", "queue", "enable", queue)

    @contextmanager
    def drained(self, *nodes: str, reason: str = "broken fan") -> Iterator[None]:
        """Nodes are drained within the block."""
        for node in nodes:
            self.ok("flux", "resource", "drain", node, reason)
        try:
            yield
        finally:
            for node in nodes:
                self.ok("flux", "resource", "undrain", node)

    def forget_ended(self) -> None:
        """Have Flux forget all jobs that ended."""
        self.ok("flux", "job", "purge", "--force", "--num-limit=0")

    def clean(self) -> None:
        """No jobs but those that ended: as at the start."""

        def ended() -> bool:
            left = [job for job, state, _ in self.jobs() if state != "INACTIVE"]
            if left:
                # rc 1 when one of them has ended meanwhile.
                self.run("flux", "cancel", *left)
            return not left

        self.wait_until(ended, "all jobs ended")


def _names(node: str) -> list[str]:
    return [f"flux-broker-{int(node[4:]) - 1}"]


if __name__ == "__main__":
    # For tools/test.py: whether one can be started here.
    if why_not := why_not_available():
        print(why_not, file=sys.stderr)
    sys.exit(bool(why_not))
