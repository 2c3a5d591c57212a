"""A private real Slurm on the loopback interface, for tests.

One ``slurmctld`` and one ``slurmd`` per node, all in a folder of their own and on ports of their
own, so that several can live side by side and none touches a Slurm that the machine may have.
Everything is stopped by the process ids that were started here.
"""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import janitor
from munged import Munged

START_SECONDS = 40.0
STOP_SECONDS = 10.0
_DAEMON_DIRECTORIES = ("/usr/sbin", "/usr/local/sbin", "/sbin")
_SLURM_DAEMONS = ("slurmctld", "slurmd", "slurmdbd")
# Names the installation to take, where it is not the one in PATH: see use_installation().
PREFIX_VARIABLE = "TEST_SLURM_PREFIX"

_CONF = """\
ClusterName=t
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
StateSaveLocation={dir}/state
SlurmdSpoolDir={dir}/spool/%n
SlurmctldPidFile={dir}/slurmctld.pid
SlurmdPidFile={dir}/slurmd.%n.pid
SlurmctldLogFile={dir}/slurmctld.log
SlurmdLogFile={dir}/slurmd.%n.log
ProctrackType=proctrack/pgid
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=2
MpiDefault=none
{accounting}
JobAcctGatherType=jobacct_gather/none
SlurmdParameters=config_overrides
SchedulerParameters=sched_min_interval=0,bf_interval=2
MinJobAge={min_job_age}
MessageTimeout={message_timeout}
KillWait={kill_wait}
SlurmdTimeout={slurmd_timeout}
Prolog={dir}/prolog
"""

_NO_ACCOUNTING = "AccountingStorageType=accounting_storage/none"
_ACCOUNTING = """\
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort={port}"""
_SLURMDBD_CONF = """\
AuthType=auth/munge
DbdHost=localhost
DbdAddr=127.0.0.1
DbdPort={port}
SlurmUser=root
StorageType=accounting_storage/mysql
StorageHost=localhost
StorageLoc=slurm_acct_db
StorageUser=root
LogFile={dir}/slurmdbd.log
PidFile={dir}/slurmdbd.pid
"""
# The tables of MariaDB itself.  Its mariadb-install-db needs two more packages.
_DATABASE_TABLES = Path("/usr/share/mysql/mysql_system_tables.sql")


class RealSlurmError(Exception):
    """The private Slurm could not be started, or did not reach a state in time."""


def use_installation(prefix: Path) -> None:
    """Take Slurm's commands and daemons from ``bin`` and ``sbin`` in a directory, in this process
    and those that it starts.

    :raises RealSlurmError: When they are not there.
    """
    missing = [
        path
        for path in ("bin/sbatch", "bin/squeue", "bin/scontrol", "sbin/slurmctld", "sbin/slurmd")
        if not os.access(prefix / path, os.X_OK)
    ]
    if missing:
        raise RealSlurmError(
            f"{prefix} is not an installation of Slurm: there is no {', '.join(missing)} in it"
        )
    prefix = prefix.absolute()
    os.environ[PREFIX_VARIABLE] = str(prefix)
    os.environ["PATH"] = os.pathsep.join(
        [f"{prefix}/bin", f"{prefix}/sbin", os.environ.get("PATH", os.defpath)]
    )


def find_daemon(name: str) -> str | None:
    """The path of a daemon; they are often outside the search path of a common user."""
    prefix = os.environ.get(PREFIX_VARIABLE)
    if prefix and name in _SLURM_DAEMONS:
        # No mixture of two releases.
        return shutil.which(name, path=f"{prefix}/sbin")
    directories = os.pathsep.join([os.environ.get("PATH", ""), *_DAEMON_DIRECTORIES])
    return shutil.which(name, path=directories)


def why_not_available() -> str:
    """Why a real Slurm cannot be started here; '' when it can."""
    missing = [name for name in ("sbatch", "squeue", "scontrol") if shutil.which(name) is None]
    missing += [name for name in ("slurmctld", "slurmd", "munged") if find_daemon(name) is None]
    if missing:
        return f"not installed: {', '.join(missing)} (packages slurm-wlm and munge)"
    if os.geteuid() != 0:
        return "a private Slurm is started as root only"
    return ""


def why_no_accounting() -> str:
    """Why a real slurmdbd cannot be started here; '' when it can."""
    missing = [name for name in ("mariadbd", "slurmdbd") if find_daemon(name) is None]
    missing += [] if _DATABASE_TABLES.exists() else [str(_DATABASE_TABLES)]
    if shutil.which("sacct") is None:
        missing.append("sacct")
    # The package puts it into /usr/lib/x86_64-linux-gnu/slurm-wlm, by a link.
    plugin, prefix = "accounting_storage_mysql.so", Path(os.environ.get(PREFIX_VARIABLE) or "/usr")
    if not [*prefix.glob(f"lib*/slurm*/{plugin}"), *prefix.glob(f"lib*/*/slurm*/{plugin}")]:
        missing.append(plugin)
    if missing:
        return (
            f"not installed: {', '.join(missing)} (packages mariadb-server-core, slurmdbd and "
            "slurm-wlm-mysql-plugin)"
        )
    return why_not_available()


def free_ports(count: int) -> int:
    """The first of ``count`` ports in a row that nobody listens on."""
    rng = random.Random()
    for _ in range(200):
        first = rng.randrange(21000, 26600 - count)
        if all(_port_is_free(port) for port in range(first, first + count)):
            return first
    raise RealSlurmError(f"no {count} free ports in a row between 21000 and 26600")


def _port_is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


class RealSlurm:
    """A Slurm with 4-CPU nodes node01, node02, ... in ``folder``; a context manager.

    Partitions: ``main`` (default, 60 minutes at most) on all nodes but the last two, ``alt`` on
    the last four, ``secret`` (hidden) on the last two. All nodes have feature ``a``, those of
    odd number ``odd`` too.

    :param accounting: Whether it records jobs: with a slurmdbd, and a MariaDB that nobody else
        can reach. See :func:`why_no_accounting`.
    """

    kind = "real"

    def __init__(
        self,
        folder: Path,
        *,
        nodes: int = 8,
        min_job_age: int = 10,
        message_timeout: int = 5,
        kill_wait: int = 2,
        slurmd_timeout: int = 10,
        extra_conf: str = "",
        accounting: bool = False,
    ) -> None:
        if nodes < 4:
            raise ValueError("a private Slurm has 4 nodes or more")
        self.folder = folder
        self.conf = folder / "slurm.conf"
        self.node_names = [f"node{number:02d}" for number in range(1, nodes + 1)]
        self._settings = {
            "min_job_age": min_job_age,
            "message_timeout": message_timeout,
            "kill_wait": kill_wait,
            "slurmd_timeout": slurmd_timeout,
        }
        self._extra_conf = extra_conf
        self._accounting = accounting
        self._daemons: dict[str, subprocess.Popen[bytes]] = {}
        self._munged: Munged | None = None
        # In case that this process ends without having called stop().
        self._janitor: subprocess.Popen[bytes] | None = None

    # -- start and stop ----------------------------------------------------------------------

    def __enter__(self) -> RealSlurm:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start the daemons and wait until all nodes are idle.

        :raises RealSlurmError: with the end of the controller's log; nothing is left running.
        """
        reason = why_no_accounting() if self._accounting else why_not_available()
        if reason:
            raise RealSlurmError(reason)
        try:
            daemon = find_daemon("munged")
            assert daemon is not None
            self._munged = Munged(daemon)
            self._munged.acquire()
            self._write_conf()
            self._janitor = subprocess.Popen(
                [sys.executable, "-I", janitor.__file__, str(self.conf)],
                stdin=subprocess.PIPE,
                start_new_session=True,
            )
            if self._accounting:
                self._start_accounting()
            self.start_controller()
            for name in self.node_names:
                self.start_node(name)
            self.wait_idle()
        except BaseException:
            self.stop()
            raise

    def _write_conf(self) -> None:
        for name in ("state", "spool", "log"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        names, host = self.node_names, socket.gethostname().split(".")[0]
        port = free_ports(len(names) + 2)
        accounting = _NO_ACCOUNTING
        if self._accounting:
            accounting = _ACCOUNTING.format(port=port + len(names) + 1)
            secret = self.folder / "slurmdbd.conf"
            secret.touch(mode=0o600)
            secret.write_text(_SLURMDBD_CONF.format(port=port + len(names) + 1, dir=self.folder))
        lines = [
            _CONF.format(
                host=host, port=port, dir=self.folder, accounting=accounting, **self._settings
            )
        ]
        for offset, name in enumerate(names, start=1):
            features = "a,odd" if offset % 2 else "a"
            lines.append(
                f"NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 "
                f"Port={port + offset} CPUs=4 RealMemory=2000 Feature={features} "
                "State=UNKNOWN\n"
            )
        lines.append(
            f"PartitionName=main Nodes={','.join(names[:-2])} Default=YES MaxTime=60 "
            "State=UP\n"
            f"PartitionName=alt Nodes={','.join(names[-4:])} State=UP\n"
            f"PartitionName=secret Nodes={','.join(names[-2:])} Hidden=YES State=UP\n"
        )
        lines.append(self._extra_conf)
        self.conf.write_text("".join(lines))
        prolog = self.folder / "prolog"
        prolog.write_text(f"#!/bin/sh\ntest ! -e '{self.folder}/prolog-fails'\n")
        prolog.chmod(0o755)

    def _start_accounting(self) -> None:
        """Start a database and slurmdbd on it; about 5 s. Nobody else gets at the database: it
        listens on a socket in a directory of root's, and on no port."""
        private = self.folder / "database"
        private.mkdir(mode=0o700)
        options = [
            "mariadbd",
            "--no-defaults",
            "--user=root",
            "--skip-grant-tables",
            f"--datadir={private}",
            "--innodb-buffer-pool-size=32M",
            "--innodb-log-file-size=8M",
            "--innodb-flush-log-at-trx-commit=0",
        ]
        daemon = find_daemon("mariadbd")
        assert daemon is not None
        made = subprocess.run(
            [daemon, *options[1:], "--bootstrap"],
            text=True,
            cwd=private,
            input=f"create database mysql;\nuse mysql;\n{_DATABASE_TABLES.read_text()}",
            capture_output=True,
            check=False,
        )
        if made.returncode != 0:
            raise RealSlurmError(f"the database could not be made: {made.stderr[-2000:]}")
        server = private / "socket"
        self._start_daemon(
            "mariadbd",
            [*options, "--skip-networking", f"--socket={server}", f"--pid-file={private}/pid"],
        )
        self.wait_until(server.exists, "mariadbd is up")
        self._start_daemon("slurmdbd", ["slurmdbd", "-D"], MYSQL_UNIX_PORT=str(server))
        # It knows clusters that it was told of, and those whose controller has registered.
        self.wait_until(
            lambda: self.run("sacctmgr", "-n", "show", "cluster").returncode == 0, "slurmdbd is up"
        )

    def _start_daemon(self, key: str, argv: list[str], **variables: str) -> None:
        path = find_daemon(argv[0])
        assert path is not None
        with (self.folder / "log" / f"{key}.out").open("ab") as output:
            self._daemons[key] = subprocess.Popen(
                [path, *argv[1:]],
                env={**self.env(), **variables},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=self.folder,
            )

    def start_node(self, name: str, *options: str) -> None:
        """Start the daemon of a node."""
        self._start_daemon(name, ["slurmd", "-D", *options, "-N", name])

    def end_node(self, name: str) -> None:
        """End the daemon of a node, if it runs."""
        if name in self._daemons:
            _end([self._daemons.pop(name)])

    def stop(self) -> None:
        """End all that was started, jobs and their left-over step managers too."""
        for daemon in self._daemons.values():
            _send(daemon.pid, signal.SIGCONT)
        # The controller first: it must not start a job anew when its node goes away. The database
        # last: slurmdbd has something to write at its end.
        nodes = [key for key in self._daemons if key not in ("slurmctld", "mariadbd")]
        for keys in (["slurmctld"], nodes, ["mariadbd"]):
            _end([self._daemons.pop(key) for key in keys if key in self._daemons])
        for pid in self.leftovers():
            _send(pid, signal.SIGKILL)
        if self._munged is not None:
            self._munged.release()
            self._munged = None
        if self._janitor is not None:
            self._janitor.communicate(b"all is well\n")
            self._janitor = None

    def leftovers(self) -> list[int]:
        """Processes of this cluster besides the daemons: step managers, jobs, their children."""
        ours = {os.getpid(), os.getppid(), *(daemon.pid for daemon in self._daemons.values())}
        return janitor.processes(self.conf, ours, ["slurmstepd"])

    # -- commands ----------------------------------------------------------------------------

    def env(self, base: Mapping[str, str] | None = None) -> dict[str, str]:
        """The environment to run commands in: ``base`` (the present one) and SLURM_CONF."""
        environment = dict(os.environ if base is None else base)
        return {**environment, "SLURM_CONF": str(self.conf), "LC_ALL": "C"}

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
        """Run a command to its end, as another user if one is named; never raises for its rc.

        ``env`` is added to the environment ``base``, the present one if None.
        """
        if user is not None:
            argv = ("runuser", "-u", user, "--", *argv)
        return subprocess.run(
            argv,
            env={**self.env(base), **(env or {})},
            cwd=cwd,
            input=input,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            check=False,
        )

    def ok(self, *argv: str, **options: object) -> str:
        """Run a command that must succeed; its standard output.

        :raises RealSlurmError: with the command's standard error.
        """
        result = self.run(*argv, **options)  # type: ignore[arg-type]
        if result.returncode != 0:
            raise RealSlurmError(f"{' '.join(argv)}: rc {result.returncode}: {result.stderr}")
        return result.stdout

    # -- waiting -----------------------------------------------------------------------------

    def wait_until(
        self,
        condition: Callable[[], bool],
        what: str,
        seconds: float = START_SECONDS,
    ) -> None:
        """Poll until ``condition()``; :raises RealSlurmError: when it does not come in time."""
        deadline = time.monotonic() + seconds
        while not condition():
            dead = [key for key, daemon in self._daemons.items() if daemon.poll() is not None]
            if dead or time.monotonic() > deadline:
                ended = f" (ended: {', '.join(dead)})" if dead else ""
                raise RealSlurmError(f"{what}: not within {seconds:g} s{ended}\n{self.log_end()}")
            time.sleep(0.1)

    def log_end(self, lines: int = 30) -> str:
        """The last lines of the controller's log."""
        try:
            text = (self.folder / "slurmctld.log").read_text(errors="replace")
        except OSError as error:
            return f"no log: {error}"
        return "\n".join(text.splitlines()[-lines:])

    def node_state(self, name: str) -> str:
        """The node's state as ``scontrol show node`` writes it; '' when it cannot be told."""
        text = self.run("scontrol", "-o", "-a", "show", "node", name).stdout
        return next((word[6:] for word in text.split() if word.startswith("State=")), "")

    def wait_idle(
        self,
        nodes: Sequence[str] | None = None,
        seconds: float = START_SECONDS,
    ) -> None:
        """Wait until all (these) nodes are idle, with no flags."""
        wanted = set(self.node_names if nodes is None else nodes)

        def idle() -> bool:
            rows = self.run("sinfo", "-a", "-N", "-h", "-o", "%N %T").stdout.split("\n")
            return wanted <= {row.split()[0] for row in rows if row.endswith(" idle")}

        self.wait_until(idle, f"nodes idle: {', '.join(sorted(wanted))}", seconds)

    # -- conditions to bring about -----------------------------------------------------------

    def drain(self, name: str, reason: str = "test") -> None:
        self.ok("scontrol", "update", f"nodename={name}", "state=drain", f"reason={reason}")

    def resume(self, name: str) -> None:
        self.ok("scontrol", "update", f"nodename={name}", "state=resume")

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
        self.ok("scontrol", "delete", f"reservationname={name}")

    def freeze(self) -> None:
        """Stop the controller from answering: commands run into their time-outs."""
        _send(self._daemons["slurmctld"].pid, signal.SIGSTOP)

    def thaw(self) -> None:
        _send(self._daemons["slurmctld"].pid, signal.SIGCONT)

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """The controller is frozen within the block."""
        self.freeze()
        try:
            yield
        finally:
            self.thaw()

    def stop_controller(self) -> None:
        """End the controller in good order: connections are refused. Jobs run on."""
        _end([self._daemons.pop("slurmctld")])

    def wait_saved(self) -> None:
        """Wait until the controller has saved the jobs as they are now, which takes up to some
        seconds, and longer on a busy machine."""
        # It saves all jobs together: where this one is in the file, all that happened before is, too.
        name = f"saved-{time.monotonic_ns()}"
        printed = self.ok("sbatch", "--parsable", "--hold", f"--job-name={name}", "--wrap=true")
        saved = self.folder / "state" / "job_state"
        self.wait_until(lambda: name.encode() in saved.read_bytes(), "the controller saves")
        self.ok("scancel", printed.strip())

    def kill_controller(self) -> None:
        """End the controller at once. It saves its state every few seconds only: of what happened
        right before (see :meth:`wait_saved`) it will know nothing when it is started again."""
        daemon = self._daemons.pop("slurmctld")
        daemon.kill()
        daemon.wait()

    def start_controller(self) -> None:
        """Start the controller (anew; it reads back its saved state) and wait for it."""
        self._start_daemon("slurmctld", ["slurmctld", "-D"])
        self.wait_until(lambda: "is UP" in self.run("scontrol", "ping").stdout, "slurmctld is up")

    @contextmanager
    def down(self) -> Iterator[None]:
        """There is no controller within the block."""
        self.stop_controller()
        try:
            yield
        finally:
            self.start_controller()

    def setting(self, name: str) -> float:
        """The present value of 'kill_wait' or 'min_job_age', in seconds."""
        return self._settings[name]

    def set_setting(self, name: str, seconds: float) -> None:
        """Change it in the running cluster, daemons of the nodes included."""
        key = {"kill_wait": "KillWait", "min_job_age": "MinJobAge"}[name]
        text, count = re.subn(
            rf"^{key}=.*$", f"{key}={seconds:g}", self.conf.read_text(), flags=re.MULTILINE
        )
        assert count == 1
        self.conf.write_text(text)
        self._settings[name] = int(seconds)
        self.ok("scontrol", "reconfigure")

    def fail_prolog(self, fails: bool) -> None:
        """Let the script that runs before each job fail, or not."""
        switch = self.folder / "prolog-fails"
        if fails:
            switch.touch()
        else:
            switch.unlink(missing_ok=True)

    def freeze_node(self, name: str) -> None:
        """Stop a node's daemon from answering (the controller pings once a minute)."""
        _send(self._daemons[name].pid, signal.SIGSTOP)

    def thaw_node(self, name: str) -> None:
        _send(self._daemons[name].pid, signal.SIGCONT)


def _send(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass  # it ended already


def _end(daemons: list[subprocess.Popen[bytes]]) -> None:
    """Ask all to end, wait, and kill what is left."""
    for daemon in daemons:
        daemon.terminate()
    deadline = time.monotonic() + STOP_SECONDS
    for daemon in daemons:
        try:
            daemon.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            daemon.kill()
            daemon.wait()


if prefix_given := os.environ.get(PREFIX_VARIABLE):
    use_installation(Path(prefix_given))

if __name__ == "__main__":
    # For tools/test.sh: whether one can be started here.
    if why_not := why_not_available():
        print(why_not, file=sys.stderr)
    sys.exit(bool(why_not))
