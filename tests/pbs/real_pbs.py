"""A private real OpenPBS on this machine, for tests.

One ``pbs_server`` with its PostgreSQL, one ``pbs_sched``, one ``pbs_comm``, and a ``pbs_mom`` for
each node.  They are in a network of their own, where each has a host name and an address: PBS
refuses those of the loopback network.  So several can live side by side, and none touches a PBS that
the machine may have.  Programs of that network see the same files and users, but for /etc/hosts,
/mnt and what a login shell reads.  Everything is stopped by the process ids that were started here.
"""

from __future__ import annotations

import os
import pwd
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

_HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(_HERE.parent / "slurm"))

import janitor  # noqa: E402
from installed_pbs import (  # noqa: E402
    SCHEMA,
    database_user,
    installation,
    postgres,
    why_not_available,
)

START_SECONDS = 60.0
SERVER = "server1"
# The network is private, so its ports are too.  Each node has two from the last one on.
_BATCH_PORT, _DATA_PORT, _COMM_PORT, _NODE_PORTS = 15001, 15007, 17001, 15100
# Where the daemons see their directories: PBS refuses paths below a directory that all may write to,
# such as that for temporary files.
_HOMES = Path("/mnt")
# What the shell of a user does at login is none of our business, but may take long, and is left
# half done when a job is killed.
_LOGIN_FILES = (".profile", ".bash_profile", ".bash_login", ".bashrc")
# $1: a file with the names of hosts, $2: the directories, $3: the name of this host, $4: files that
# are to be empty; the rest: the addresses.  It ends with its standard input.
_NETWORK = """\
set -e
mount --bind "$1" /etc/hosts
mount --bind "$2" {homes}
hostname "$3"
for file in $4; do [ ! -e "$file" ] || mount --bind /dev/null "$file"; done
shift 4
ip link set lo up
for address; do ip addr add "$address/32" dev lo; done
echo ready
exec cat
"""
_WRAPPER = """\
#!/bin/sh
exec nsenter -t {pid} -m -n -u --wd="$(pwd)" {program} "$@"
"""
# Directories and their modes, as PBS's own script makes them.
_SERVER_DIRECTORIES = {
    **{"server_logs": 0o755, "spool": 0o1777, "server_priv": 0o750, "comm_logs": 0o755},
    **{"server_priv/accounting": 0o755, "server_priv/jobs": 0o750, "server_priv/users": 0o750},
    **{"server_priv/hooks": 0o750, "server_priv/hooks/tmp": 0o750},
    **{"sched_logs": 0o755, "sched_priv": 0o750},
}
_NODE_DIRECTORIES = {
    **{"aux": 0o755, "checkpoint": 0o700, "mom_logs": 0o755, "mom_priv": 0o751},
    **{"mom_priv/jobs": 0o751, "mom_priv/hooks": 0o750, "mom_priv/hooks/tmp": 0o750},
    **{"spool": 0o1777, "undelivered": 0o1777},
}
# Output is copied as files, and limits are looked at often. (With 1 s at most, jobs stay in substate
# 41, as their sessions are not reported.)
_NODE_CONFIGURATION = "$usecp *:/ /\n$min_check_poll 1\n$max_check_poll 10\n"
# There is one licence: jobs that request more can never run.
_SETTINGS = """\
create resource licences type=long
set server resources_available.licences = 1
set server acl_roots = root@*
set server acl_roots += root
set server flatuid = True
set server scheduling = True
set server scheduler_iteration = 20
set server node_fail_requeue = 10
set server job_history_enable = {history}
create queue workq
set queue workq queue_type = Execution
set queue workq enabled = True
set queue workq started = True
set queue workq kill_delay = 2
set server default_queue = workq
create queue stopped
set queue stopped queue_type = Execution
set queue stopped enabled = True
set queue stopped started = False
"""


class RealPbsError(Exception):
    """The private PBS could not be started, or did not reach a state in time."""


class RealPbs:
    """A PBS with nodes n1, n2, ... in ``folder``; a context manager.

    Queues: ``workq``, the default, and ``stopped``, whose jobs wait for ever.

    :param folder: A directory that is used up.  Every user must be able to enter it.
    :param slots: The CPUs that each node is said to have.
    :param history: Whether the server lists jobs that ended.
    """

    kind = "real"

    def __init__(
        self, folder: Path, *, nodes: int = 3, slots: int = 8, history: bool = True
    ) -> None:
        self.folder = folder
        self.homes = folder / "homes"
        self.conf = folder / "pbs.conf"
        self.nodes = [f"n{number}" for number in range(1, nodes + 1)]
        self._slots = slots
        self._history = history
        # Tests may change PATH meanwhile.
        self._path = os.environ.get("PATH", os.defpath)
        self._nsenter = shutil.which("nsenter") or "nsenter"
        self._network: subprocess.Popen[bytes] | None = None
        self._daemons: dict[str, subprocess.Popen[bytes]] = {}
        # In case that this process ends without having called stop().
        self._janitor: subprocess.Popen[bytes] | None = None

    # -- start and stop ----------------------------------------------------------------------

    def __enter__(self) -> RealPbs:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start the daemons and wait until jobs can be submitted.

        :raises RealPbsError: With the end of the server's log; nothing is left running.
        """
        reason = why_not_available()
        if reason:
            raise RealPbsError(reason)
        place, programs = installation(), postgres()
        assert place is not None and programs is not None
        self.exec, self._programs, self._user = place, programs, database_user()
        try:
            self._janitor = subprocess.Popen(
                [sys.executable, "-I", janitor.__file__, str(self.conf), "pbs"],
                stdin=subprocess.PIPE,
                start_new_session=True,
            )
            self._write_homes()
            self._start_network()
            self._start_database()
            self._start_daemon("pbs_comm", "sbin/pbs_comm", "-N")
            self.start_server("-t", "create")
            self._configure()
            self._start_daemon("pbs_sched", "sbin/pbs_sched", "-N")
            for node in self.nodes:
                self.start_node(node)
            self.wait_for_nodes()
        except BaseException:
            self.stop()
            raise

    def _write_homes(self) -> None:
        self.homes.mkdir()
        self._make_home("server", _SERVER_DIRECTORIES)
        self.conf.write_text(
            f"PBS_EXEC={self.exec}\n"
            f"PBS_HOME={_HOMES}/server\n"
            f"PBS_SERVER={SERVER}\n"
            f"PBS_BATCH_SERVICE_PORT={_BATCH_PORT}\n"
            f"PBS_BATCH_SERVICE_PORT_DIS={_BATCH_PORT}\n"
            "PBS_DATA_SERVICE_HOST=127.0.0.1\n"
            f"PBS_DATA_SERVICE_PORT={_DATA_PORT}\n"
            f"PBS_COMM_NAME={SERVER}:{_COMM_PORT}\n"
            f"PBS_LEAF_ROUTERS={SERVER}:{_COMM_PORT}\n"
            "PBS_CORE_LIMIT=0\n"
            f"PBS_CP={shutil.which('cp')}\n"
        )
        for name in ("sched_config", "dedicated", "holidays", "resource_group"):
            target = "dedicated_time" if name == "dedicated" else name
            source = self.exec / "etc" / f"pbs_{name}"
            text = source.read_text().replace('resources: "ncpus,', 'resources: "licences, ncpus,')
            (self.homes / "server" / "sched_priv" / target).write_text(text)
        user = self.homes / "server" / "server_priv" / "db_user"
        user.write_text(self._user)
        user.chmod(0o600)
        for node in self.nodes:
            home = self._make_home(node, _NODE_DIRECTORIES)
            (home / "mom_priv" / "config").write_text(
                f"$clienthost {SERVER}\n{_NODE_CONFIGURATION}"
            )

    def _make_home(self, name: str, modes: Mapping[str, int]) -> Path:
        home = self.homes / name
        for path, mode in {"": 0o755, **modes}.items():
            (home / path).mkdir()
            (home / path).chmod(mode)
        # By the second variable processes of jobs are known to be of this PBS.
        (home / "pbs_environment").write_text(
            f"PATH=/usr/local/bin:/usr/bin:/bin\nPBS_CONF_FILE={self.conf}\n"
        )
        return home

    def _start_network(self) -> None:
        addresses = [f"10.77.0.{number}" for number in range(1, len(self.nodes) + 2)]
        hosts = self.folder / "hosts"
        names = zip(addresses, (SERVER, *self.nodes))
        hosts.write_text(
            "127.0.0.1 localhost\n" + "".join(f"{where} {name}\n" for where, name in names)
        )
        script = ["sh", "-c", _NETWORK.format(homes=_HOMES), "sh"]
        home = Path(pwd.getpwuid(os.geteuid()).pw_dir)
        login_files = " ".join(str(home / name) for name in _LOGIN_FILES)
        arguments = [str(hosts), str(self.homes), SERVER, login_files, *addresses]
        self._network = subprocess.Popen(
            ["unshare", "-m", "-n", "-u", *script, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        assert self._network.stdout is not None
        if self._network.stdout.readline() != b"ready\n":
            raise RealPbsError("the network could not be made")
        wrappers = self.folder / "bin"
        wrappers.mkdir()
        for program in (self.exec / "bin").iterdir():
            wrapper = wrappers / program.name
            wrapper.write_text(
                _WRAPPER.format(pid=self._network.pid, program=shlex.quote(str(program)))
            )
            wrapper.chmod(0o755)

    def _inside(self, directory: Path, *argv: str) -> list[str]:
        """A command in the network of this PBS."""
        assert self._network is not None
        where = ("-t", str(self._network.pid), "-m", "-n", "-u", f"--wd={directory}")
        return [self._nsenter, *where, "/usr/bin/env", *argv]

    def _start_database(self) -> None:
        """A PostgreSQL that only this machine can reach, with the tables of PBS."""
        data = self.homes / "server" / "datastore"
        data.mkdir()
        shutil.chown(data, self._user)
        data.chmod(0o700)
        options = ("-A", "trust", "-U", self._user, "-E", "SQL_ASCII", "--locale=C", "--no-sync")
        self._database("initdb", "-D", str(data), *options)
        with (data / "postgresql.conf").open("a") as file:
            file.write(
                f"port = {_DATA_PORT}\nlisten_addresses = '127.0.0.1'\nfsync = off\n"
                f"unix_socket_directories = '{data}'\n"
            )
        self._daemons["postgres"] = self._popen(
            "postgres", *self._as_user("postgres", "-D", str(data))
        )
        where = ("-h", "127.0.0.1", "-p", str(_DATA_PORT), "-U", self._user)
        self.wait_until(
            lambda: self.run(str(self._programs / "pg_isready"), *where[:4]).returncode == 0,
            "PostgreSQL is up",
        )
        self._database("createdb", *where, "pbs_datastore")
        schema = self.folder / "schema.sql"
        schema.write_text((self.exec / SCHEMA).read_text())
        self._database("psql", *where, "-q", "-d", "pbs_datastore", "-f", str(schema))

    def _as_user(self, program: str, *argv: str) -> list[str]:
        return ["runuser", "-u", self._user, "--", str(self._programs / program), *argv]

    def _database(self, *argv: str) -> None:
        self.ok(*self._as_user(*argv))

    def _popen(
        self, name: str, *argv: str, env: Mapping[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        with (self.folder / f"{name}.out").open("ab") as output:
            return subprocess.Popen(
                self._inside(self.folder, *argv),
                env={**self.env(), **(env or {})},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=self.folder,
                start_new_session=True,
            )

    def _start_daemon(self, name: str, program: str, *argv: str, **env: str) -> None:
        libraries = f"{self.exec / 'lib'}:{os.environ.get('LD_LIBRARY_PATH', '')}".rstrip(":")
        variables = {"LD_LIBRARY_PATH": libraries, "PGSQL_BIN": str(self._programs), **env}
        self._daemons[name] = self._popen(name, str(self.exec / program), *argv, env=variables)

    def start_server(self, *argv: str) -> None:
        """Start the server (anew; it reads back its saved state) and wait for it."""
        self._start_daemon("pbs_server", "sbin/pbs_server.bin", "-N", *argv)
        self.wait_until(lambda: self.run("qstat", "-B").returncode == 0, "pbs_server is up")

    def start_node(self, node: str) -> None:
        """Start the daemon of a node (anew; jobs that run are taken up again: '-p')."""
        port = _NODE_PORTS + 2 * self.nodes.index(node)
        home = str(_HOMES / node)
        self._start_daemon(
            node,
            "sbin/pbs_mom",
            "-N",
            "-p",
            PBS_HOME=home,
            PBS_MOM_HOME=home,
            PBS_MOM_NODE_NAME=node,
            PBS_LEAF_NAME=node,
            PBS_MOM_SERVICE_PORT=str(port),
            PBS_MANAGER_SERVICE_PORT=str(port + 1),
            PBS_ENVIRONMENT=f"{home}/pbs_environment",
        )

    def _configure(self) -> None:
        lines = [_SETTINGS.format(history=self._history)]
        for number, node in enumerate(self.nodes):
            lines.append(
                f"create node {node} Port={_NODE_PORTS + 2 * number}, "
                f"resources_available.ncpus={self._slots}, resources_available.mem=16gb\n"
            )
        self.qmgr("".join(lines))

    def stop(self) -> None:
        """End all that was started, jobs too.  Nothing that the daemons could save is needed."""
        for name in list(self._daemons):
            if name != "postgres":
                self._kill(name)
        janitor.end_processes(self.conf, "pbs")
        for daemon in self._daemons.values():
            daemon.wait()
        self._daemons.clear()
        shutil.rmtree(self.homes, ignore_errors=True)
        if self._network is not None:
            self._network.communicate()
            self._network = None
        if self._janitor is not None:
            self._janitor.communicate(b"all is well\n")
            self._janitor = None

    def leftovers(self) -> list[int]:
        """Processes of this PBS: daemons, jobs, their children."""
        return janitor.processes(self.conf, kind="pbs")

    def _kill(self, name: str) -> None:
        daemon = self._daemons.pop(name)
        daemon.kill()
        daemon.wait()

    # -- commands ----------------------------------------------------------------------------

    def variables(self) -> dict[str, str]:
        """The environment variables by which commands find this PBS, PATH among them."""
        return {
            "PBS_CONF_FILE": str(self.conf),
            "PBS_EXEC": str(self.exec),
            "PATH": f"{self.folder / 'bin'}:{self._path}",
        }

    def env(self, base: Mapping[str, str] | None = None) -> dict[str, str]:
        """The environment to run commands in: ``base`` (the present one), without the variables
        of another PBS, and ours."""
        environment = dict(os.environ if base is None else base)
        for name in [name for name in environment if name.startswith("PBS_")]:
            del environment[name]
        return {**environment, **self.variables()}

    def run(
        self,
        *argv: str,
        user: str | None = None,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        given: str = "",
        timeout: float = 60.0,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command to its end, as another user if one is named; never raises for its rc.

        :param given: What it reads from its standard input.
        """
        if user is not None:
            argv = ("runuser", "-u", user, "--", *argv)
        return subprocess.run(
            self._inside(cwd or self.folder, *argv),
            env={**self.env(), "PATH": f"{self.exec / 'bin'}:{self._path}", **(env or {})},
            input=given,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            check=False,
        )

    def ok(self, *argv: str, cwd: Path | None = None, given: str = "") -> str:
        """Run a command that must succeed; its standard output.

        :raises RealPbsError: With all that the command said.
        """
        result = self.run(*argv, cwd=cwd, given=given)
        if result.returncode != 0:
            raise RealPbsError(
                f"{' '.join(argv)}: rc {result.returncode}: {result.stdout}{result.stderr}"
            )
        return result.stdout

    def qmgr(self, directives: str) -> str:
        """Change or list settings, as in ``set server scheduling = False``."""
        return self.ok("qmgr", given=directives.rstrip("\n") + "\n")

    def submit(self, script: str = "exec sleep 300", *options: str, user: str | None = None) -> str:
        """Submit a job with this bash script; its id."""
        argv = ("qsub", "-j", "oe", "-o", "/dev/null", *options)
        done = self.run(*argv, user=user, given=f"#!/bin/bash\n{script}\n")
        if done.returncode != 0:
            raise RealPbsError(f"{shlex.join(argv)}: rc {done.returncode}: {done.stderr}")
        return done.stdout.strip()

    def jobs(self) -> dict[str, dict[str, str]]:
        """All jobs that the server lists, with all that it says about them."""
        answer = self.run("qstat", "-x", "-f", "-w")
        if "not configured to maintain job history" in answer.stderr:
            answer = self.run("qstat", "-f", "-w")
        found = {}
        for text in re.split("^Job Id: ", answer.stdout, flags=re.MULTILINE)[1:]:
            job_id, _, rest = text.partition("\n")
            found[job_id] = dict(re.findall("^    ([\\w.]+) = (.*)$", rest, re.MULTILINE))
        return found

    def state(self, job_id: str) -> str:
        """The state of a job, as in 'R'; '' when it is not listed."""
        return self.jobs().get(job_id, {}).get("job_state", "")

    def node_states(self) -> dict[str, str]:
        """The states of the nodes, as in {'n1': 'free'}."""
        rows = re.findall(r"^(\S+)\n(?: +.*\n)*? +state = (.*)$", self._nodes(), re.MULTILINE)
        return dict(rows)

    def _nodes(self) -> str:
        return self.run("pbsnodes", "-av").stdout

    # -- waiting -----------------------------------------------------------------------------

    def wait_until(
        self, condition: Callable[[], bool], what: str, seconds: float = START_SECONDS
    ) -> None:
        """Poll until ``condition()``; :raises RealPbsError: when it does not come in time."""
        deadline = time.monotonic() + seconds
        while not condition():
            dead = [key for key, daemon in self._daemons.items() if daemon.poll() is not None]
            if dead or time.monotonic() > deadline:
                ended = f" (ended: {', '.join(dead)})" if dead else ""
                raise RealPbsError(f"{what}: not within {seconds:g} s{ended}\n{self.log_end()}")
            time.sleep(0.1)

    def wait_for_nodes(self) -> None:
        """Wait until all nodes can have jobs, as they had before the server was restarted."""

        def are_up() -> bool:
            states = self.node_states()
            words = {word for state in states.values() for word in state.split(",")}
            return len(states) == len(self.nodes) and not words & {"down", "state-unknown"}

        self.wait_until(are_up, "all nodes are up")

    def log_end(self, lines: int = 30) -> str:
        """The last lines of what the daemons say."""
        text = ""
        logs = (*self.folder.glob("*.out"), *self.homes.glob("*/*_logs/*"))
        for log in logs:
            said = log.read_text(errors="replace").splitlines()[-lines:]
            text += "\n".join([f"== {log.name}", *said, ""])
        return text

    # -- conditions to bring about -----------------------------------------------------------

    def set_history(self, on: bool) -> None:
        """Whether the server lists jobs that ended; it forgets those that it had."""
        self.qmgr(f"set server job_history_enable = {on}")

    def server_pid(self) -> int:
        """The process id of the server."""
        return self._daemons["pbs_server"].pid

    def kill_server(self) -> None:
        """End the server at once, as kill -9 does.  Jobs run on."""
        self._kill("pbs_server")

    def kill_node(self, node: str) -> None:
        """End the daemon of a node at once.  Jobs run on; their ends are not noticed."""
        self._kill(node)

    @contextmanager
    def down(self) -> Iterator[None]:
        """There is no server within the block.

        Jobs that have just begun would be started again after it: before, it waits until the server
        knows that they run.
        """
        self.wait_until(
            lambda: all(job["substate"] != "41" for job in self.jobs().values()),
            "no job is about to begin",
        )
        self.kill_server()
        try:
            yield
        finally:
            self.start_server()
            self.wait_for_nodes()

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """The server does not answer within the block: commands hang without end."""
        pid = self.server_pid()
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)
            self.wait_for_nodes()

    @contextmanager
    def setting(self, name: str, value: str) -> Iterator[None]:
        """The server has a value of a setting within the block, which it has not otherwise."""
        self.qmgr(f"set server {name} = {value}")
        try:
            yield
        finally:
            self.qmgr(f"unset server {name}")

    def forget_ended(self) -> None:
        """Have the server forget all jobs that ended."""
        self.set_history(False)
        self.set_history(self._history)

    def clean(self) -> None:
        """No jobs: as at the start."""
        for job_id, job in self.jobs().items():
            if job["job_state"] not in ("F", "X", "M"):
                # One id a call: several may crash the server.
                self.run("qdel", "-W", "force", job_id)
        self.wait_until(
            lambda: all(job["job_state"] in ("F", "X", "M") for job in self.jobs().values()),
            "no jobs",
        )
        self.forget_ended()
