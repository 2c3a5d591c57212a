"""A private real Grid Engine on the loopback interface, for tests.

One ``sge_qmaster`` and one ``sge_execd``, with a root directory and ports of their own, so that
several can live side by side and none touches a Grid Engine that the machine may have.  Everything
is stopped by the process ids that were started here.
"""

from __future__ import annotations

import os
import re
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
from real_slurm import RealSlurmError, free_ports  # noqa: E402

START_SECONDS = 40.0
# Where Debian's packages have the programs and the descriptions to start from.
_BINARIES = Path("/usr/lib/gridengine")
_SHARE = Path("/usr/share/gridengine")
_COMMANDS = ("qsub", "qstat", "qdel", "qhost", "qconf", "qacct")
_NEEDED = ("sge_qmaster", "sge_execd", "sge_shepherd", "spoolinit", "spooldefaults")

_BOOTSTRAP = """\
admin_user              root
default_domain          none
ignore_fqdn             false
spooling_method         berkeleydb
spooling_lib            libspoolb
spooling_params         {spool}/db
binary_path             {binaries}
qmaster_spool_dir       {spool}/qmaster
security_mode           none
listener_threads        2
worker_threads          2
scheduler_threads       1
"""
_PARALLEL_ENVIRONMENT = """\
pe_name            {name}
slots              999
user_lists         NONE
xuser_lists        NONE
start_proc_args    NONE
stop_proc_args     NONE
allocation_rule    {rule}
control_slaves     TRUE
job_is_first_task  TRUE
urgency_slots      min
accounting_summary FALSE
qsort_args         NONE
"""
# smp: all slots on one host. mpi: on as few hosts as possible. pairs: two on each.
PARALLEL_ENVIRONMENTS = {"smp": "$pe_slots", "mpi": "$fill_up", "pairs": "2"}
_QUEUE = {
    "hostlist": "localhost",
    "shell": "/bin/bash",
    "shell_start_mode": "unix_behavior",
    "pe_list": " ".join(PARALLEL_ENVIRONMENTS),
    "load_thresholds": "NONE",
    "notify": "00:00:05",
}


class RealGridEngineError(Exception):
    """The private Grid Engine could not be started, or did not reach a state in time."""


def why_not_available() -> str:
    """Why a real Grid Engine cannot be started here; '' when it can."""
    missing = [name for name in _COMMANDS if shutil.which(name) is None]
    missing += [name for name in _NEEDED if not os.access(_BINARIES / name, os.X_OK)]
    if missing:
        return (
            f"not installed: {', '.join(missing)} (packages gridengine-master, gridengine-exec "
            "and gridengine-client)"
        )
    if os.geteuid() != 0:
        return "a private Grid Engine is started as root only"
    return ""


class RealGridEngine:
    """A Grid Engine with one host, 'localhost', in ``folder``; a context manager.

    Queues: ``all.q`` (8 slots unless said otherwise) and ``small.q`` (2 slots).  Parallel
    environments: see PARALLEL_ENVIRONMENTS.  The scheduler runs every second.

    :param folder: A directory that is used up.  Every user must be able to enter it.
    :param finished_jobs: How many ended jobs ``qstat -s z`` lists.
    :param flush_seconds: How late the accounting is written.
    """

    kind = "real"

    def __init__(
        self, folder: Path, *, slots: int = 8, finished_jobs: int = 0, flush_seconds: int = 2
    ) -> None:
        self.folder = folder
        self.root = folder / "root"
        self._slots = slots
        self._configuration = {
            "execd_spool_dir": str(self._spool / "execd"),
            "mailer": "/bin/true",
            "min_uid": "0",
            "min_gid": "0",
            "shell_start_mode": "unix_behavior",
            "load_report_time": "00:00:02",
            "finished_jobs": str(finished_jobs),
            "reporting_params": "accounting=true reporting=false joblog=false "
            f"flush_time=00:00:{flush_seconds:02d} accounting_flush_time=00:00:{flush_seconds:02d}",
        }
        self._ports = (0, 0)
        self._daemons: dict[str, subprocess.Popen[bytes]] = {}
        # In case that this process ends without having called stop().
        self._janitor: subprocess.Popen[bytes] | None = None

    @property
    def _spool(self) -> Path:
        return self.root / "default" / "spool"

    # -- start and stop ----------------------------------------------------------------------

    def __enter__(self) -> RealGridEngine:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start the daemons and wait until jobs can be submitted.

        :raises RealGridEngineError: With the end of the qmaster's log; nothing is left running.
        """
        reason = why_not_available()
        if reason:
            raise RealGridEngineError(reason)
        try:
            self._ports = self._free_ports()
            self._janitor = subprocess.Popen(
                [sys.executable, "-I", janitor.__file__, str(self.root), "gridengine"],
                stdin=subprocess.PIPE,
                start_new_session=True,
            )
            self._write_root()
            self.start_qmaster()
            self._configure()
            self.start_execd()
            self.wait_until(self._host_is_up, "the host is up")
            self._add_queue("all.q", self._slots)
            self._add_queue("small.q", 2)
        except BaseException:
            self.stop()
            raise

    @staticmethod
    def _free_ports() -> tuple[int, int]:
        try:
            first = free_ports(2)
        except RealSlurmError as error:
            raise RealGridEngineError(str(error)) from error
        return first, first + 1

    def _write_root(self) -> None:
        """What Debian's packages do for the Grid Engine of a machine, in a directory of ours."""
        common = self.root / "default" / "common"
        for made in (common, self._spool / "qmaster", self._spool / "execd", self._spool / "db"):
            made.mkdir(parents=True)
        arch = subprocess.run(
            [str(_SHARE / "util" / "arch")], capture_output=True, text=True, check=True
        ).stdout.strip()
        for name in ("bin", "lib", "utilbin"):
            (self.root / name).mkdir()
            (self.root / name / arch).symlink_to(_BINARIES)
        (self.root / "util").symlink_to(_SHARE / "util")
        (common / "bootstrap").write_text(_BOOTSTRAP.format(spool=self._spool, binaries=_BINARIES))
        (common / "act_qmaster").write_text("localhost\n")
        # The names of this host, which the daemons must not take for different hosts.
        known = [socket.gethostname(), socket.getfqdn(), *_names_of_loopback()]
        names = dict.fromkeys(name for name in known if name != "localhost")
        (common / "host_aliases").write_text(f"localhost {' '.join(names)}\n")
        configuration = self.folder / "configuration"
        text = (_SHARE / "default-configuration").read_text()
        configuration.write_text(_with_values(text, self._configuration))
        resources = _SHARE / "util" / "resources"
        for argv in (
            ["spoolinit", "berkeleydb", "libspoolb", str(self._spool / "db"), "init"],
            ["spooldefaults", "configuration", str(configuration)],
            ["spooldefaults", "complexes", str(resources / "centry")],
            ["spooldefaults", "usersets", str(resources / "usersets")],
            ["spooldefaults", "managers", "root"],
        ):
            self.ok(str(_BINARIES / argv[0]), *argv[1:])

    def _configure(self) -> None:
        self.ok("qconf", "-as", "localhost")
        often = {"schedule_interval": "0:0:1", "flush_submit_sec": "1", "flush_finish_sec": "1"}
        self._take("-Msconf", "scheduler", _with_values(self.ok("qconf", "-ssconf"), often))
        for name, rule in PARALLEL_ENVIRONMENTS.items():
            self._take("-Ap", name, _PARALLEL_ENVIRONMENT.format(name=name, rule=rule))

    def _add_queue(self, name: str, slots: int) -> None:
        template = self.ok("qconf", "-sq")
        values = {**_QUEUE, "qname": name, "slots": str(slots)}
        self._take("-Aq", name, _with_values(template, values))

    def _take(self, option: str, name: str, description: str, ending: str = ".txt") -> None:
        """Give qconf the description of something.  The name of the file may matter to it."""
        file = self.folder / f"{name}{ending}"
        file.write_text(description)
        self.ok("qconf", option, str(file))

    def _host_is_up(self) -> bool:
        row = re.search(r"^localhost +(\S+) +(\S+)", self.run("qhost").stdout, re.MULTILINE)
        return row is not None and row[2] != "-"

    def _start_daemon(self, name: str) -> None:
        with (self.folder / f"{name}.out").open("ab") as output:
            self._daemons[name] = subprocess.Popen(
                [str(_BINARIES / name)],
                # Not in the background.
                env={**self.env(), "SGE_ND": "1"},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=self.folder,
                start_new_session=True,
            )

    def start_qmaster(self) -> None:
        """Start the qmaster (anew; it reads back its saved state) and wait for it."""
        self._start_daemon("sge_qmaster")
        self.wait_until(lambda: self.run("qconf", "-sh").returncode == 0, "sge_qmaster is up")

    def start_execd(self) -> None:
        """Start the execution daemon (anew; jobs that run are taken up again)."""
        self._start_daemon("sge_execd")

    def stop(self) -> None:
        """End all that was started, jobs too.  Nothing that the daemons could save is needed."""
        for name in list(self._daemons):
            self._kill(name)
        janitor.end_processes(self.root, "gridengine")
        shutil.rmtree(self.root, ignore_errors=True)
        if self._janitor is not None:
            self._janitor.communicate(b"all is well\n")
            self._janitor = None

    def leftovers(self) -> list[int]:
        """Processes of this Grid Engine: daemons, shepherds, jobs, their children."""
        return janitor.processes(self.root, kind="gridengine")

    def _kill(self, name: str) -> None:
        daemon = self._daemons.pop(name)
        daemon.kill()
        daemon.wait()

    # -- commands ----------------------------------------------------------------------------

    def variables(self) -> dict[str, str]:
        """The environment variables by which commands find this Grid Engine."""
        qmaster, execd = self._ports
        return {
            "SGE_ROOT": str(self.root),
            "SGE_CELL": "default",
            "SGE_QMASTER_PORT": str(qmaster),
            "SGE_EXECD_PORT": str(execd),
        }

    def env(self, base: Mapping[str, str] | None = None) -> dict[str, str]:
        """The environment to run commands in: ``base`` (the present one) and our variables."""
        environment = dict(os.environ if base is None else base)
        return {**environment, **self.variables()}

    def run(
        self,
        *argv: str,
        user: str | None = None,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        timeout: float = 60.0,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command to its end, as another user if one is named; never raises for its rc."""
        if user is not None:
            argv = ("runuser", "-u", user, "--", *argv)
        return subprocess.run(
            argv,
            env={**self.env(), **(env or {})},
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            check=False,
        )

    def ok(self, *argv: str, cwd: Path | None = None) -> str:
        """Run a command that must succeed; its standard output.

        :raises RealGridEngineError: With all that the command said.
        """
        result = self.run(*argv, cwd=cwd)
        if result.returncode != 0:
            raise RealGridEngineError(
                f"{' '.join(argv)}: rc {result.returncode}: {result.stdout}{result.stderr}"
            )
        return result.stdout

    def state(self, job_id: str) -> str:
        """The state of a job in qstat, as in 'r'; '' when it is not listed."""
        for line in self.run("qstat", "-u", "*").stdout.splitlines():
            words = line.split()
            if words and words[0] == job_id:
                return words[4]
        return ""

    # -- waiting -----------------------------------------------------------------------------

    def wait_until(
        self, condition: Callable[[], bool], what: str, seconds: float = START_SECONDS
    ) -> None:
        """Poll until ``condition()``; :raises RealGridEngineError: when it does not come in time."""
        deadline = time.monotonic() + seconds
        while not condition():
            dead = [key for key, daemon in self._daemons.items() if daemon.poll() is not None]
            if dead or time.monotonic() > deadline:
                ended = f" (ended: {', '.join(dead)})" if dead else ""
                raise RealGridEngineError(
                    f"{what}: not within {seconds:g} s{ended}\n{self.log_end()}"
                )
            time.sleep(0.1)

    def log_end(self, lines: int = 30) -> str:
        """The last lines of what the qmaster says."""
        text = ""
        for log in (self.folder / "sge_qmaster.out", self._spool / "qmaster" / "messages"):
            try:
                text += log.read_text(errors="replace")
            except OSError as error:
                text += f"no log: {error}\n"
        return "\n".join(text.splitlines()[-lines:])

    # -- conditions to bring about -----------------------------------------------------------

    def kill_qmaster(self) -> None:
        """End the qmaster at once, as kill -9 does.  Jobs run on."""
        self._kill("sge_qmaster")

    def kill_execd(self) -> None:
        """End the execution daemon at once.  Jobs run on; their ends are not noticed."""
        self._kill("sge_execd")

    @contextmanager
    def down(self) -> Iterator[None]:
        """There is no qmaster within the block."""
        self.kill_qmaster()
        try:
            yield
        finally:
            self.start_qmaster()

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """The qmaster does not answer within the block: commands hang without end."""
        pid = self._daemons["sge_qmaster"].pid
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)

    @contextmanager
    def queue_setting(self, queue: str, name: str, value: str) -> Iterator[None]:
        """A queue has another value of a setting within the block."""
        before = re.search(rf"^{name} +(.*)$", self.ok("qconf", "-sq", queue), re.MULTILINE)
        assert before is not None
        self.ok("qconf", "-rattr", "queue", name, value, queue)
        try:
            yield
        finally:
            self.ok("qconf", "-rattr", "queue", name, before[1], queue)

    @contextmanager
    def setting(self, name: str, value: str) -> Iterator[None]:
        """The global configuration has another value within the block."""
        before = self.ok("qconf", "-sconf").replace("#global:\n", "")
        self._take("-Mconf", "global", _with_values(before, {name: value}), ending="")
        try:
            yield
        finally:
            self._take("-Mconf", "global", before, ending="")

    def clean(self) -> None:
        """No jobs: as at the start."""
        # rc 1 when there is none.
        self.run("qdel", "-f", "-u", "*")
        self.wait_until(lambda: not self.run("qstat", "-u", "*").stdout.strip(), "no jobs")


def _names_of_loopback() -> list[str]:
    try:
        name, aliases, _ = socket.gethostbyaddr("127.0.0.1")
    except OSError:
        return []
    return [name, *aliases]


def _with_values(description: str, values: Mapping[str, str]) -> str:
    """A description, of lines 'name value', with other values."""
    description = description.replace("\\\n", " ")
    for name, value in values.items():
        # A function, because replacements may not hold backslashes.
        line = f"{name} {value}"
        description, count = re.subn(
            rf"^{name}\s.*$", lambda _, line=line: line, description, flags=re.MULTILINE
        )
        assert count == 1, name
    return description


if __name__ == "__main__":
    # For tools/test.py: whether one can be started here.
    if why_not := why_not_available():
        print(why_not, file=sys.stderr)
    sys.exit(bool(why_not))
