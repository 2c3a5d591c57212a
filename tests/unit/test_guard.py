"""The guard of a job: whoever is killed or told to stop, nothing that the job started goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pavilion.schedulers.lifecycle import guard
from polling import until

# Like Pavilion's own: a shell that stays, a program that does nothing about signals, and a script
# in a session of its own.
PAV = """#!/bin/bash
echo $$ >shell.pid
{python} -c '
import os, subprocess
open("python.pid", "w").write(f"{{os.getpid()}}\\n")
exit(subprocess.Popen(["./script"], start_new_session=True).wait())
'
"""
DEAF = "trap '' TERM INT HUP; echo $$ >{name}.pid; while :; do sleep 0.1; done"
# All ways to get out of reach that a script has.  Some take the mark of these tests off.
SCRIPT = f"""#!/bin/bash
sleep 300 &
(setsid sleep 300 &)
setsid bash -c "{DEAF.format(name="deaf").replace("$", chr(92) + "$")}" &
(env -i PATH="$PATH" setsid bash -c "{DEAF.format(name="lost").replace("$", chr(92) + "$")}" &)
(env -i PATH="$PATH" setsid bash -c '(exec setsid sleep 300) & echo $! >twice.pid; exit') &
until [ -s deaf.pid ] && [ -s lost.pid ] && [ -s twice.pid ]; do sleep 0.02; done
echo $$ >script.pid
wait
"""
NAMES = ("shell", "python", "script", "deaf", "lost", "twice")


class Job:
    """A job in a directory of its own.  It is marked, so that all of it is found again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.mark = uuid.uuid4().hex
        self.process: subprocess.Popen[str] | None = None
        self.said = ""

    def start(self, *argv: str, **env: str) -> subprocess.Popen[str]:
        self.process = subprocess.Popen(
            [sys.executable, "-I", "-S", guard.__file__, *argv],
            cwd=self.folder,
            text=True,
            env={**os.environ, "TEST_GUARD": self.mark, **env},
            start_new_session=True,
            stderr=subprocess.PIPE,
        )
        return self.process

    def write(self, name: str, text: str) -> str:
        path = self.folder / name
        path.write_text(text)
        path.chmod(0o755)
        return f"./{name}"

    def start_all(self) -> dict[str, int]:
        """Start the script with all its processes; those with names."""
        self.write("script", SCRIPT)
        leader = self.start(self.write("pav", PAV.format(python=sys.executable)))
        until((self.folder / "script.pid").exists, "the script")
        pids = {name: self.pid(name) for name in NAMES}
        shell = guard._read_process(pids["shell"])
        assert shell is not None
        return {**pids, "leader": leader.pid, "keeper": shell.ppid}

    def pid(self, name: str) -> int:
        path = self.folder / f"{name}.pid"
        return int(until(lambda: path.exists() and path.read_text().strip(), name))

    def living(self) -> list[int]:
        """All processes of this job; also those without the mark, by what they work in."""
        return [
            pid
            for pid in guard.all_processes()
            if pid != os.getpid()
            and (
                guard.read_environment(pid).get(b"TEST_GUARD") == self.mark.encode()
                or _cwd(pid) == str(self.folder)
            )
        ]

    def finish(self) -> tuple[int, str]:
        """Wait for the leader's end; its exit code, and what the guard said."""
        assert self.process is not None
        if self.process.returncode is None:
            self.said = self.process.communicate(timeout=120)[1]
        return self.process.returncode, self.said


def _cwd(pid: int) -> str:
    try:
        return os.readlink(f"/proc/{pid}/cwd")  # noqa: PTH115
    except OSError:
        return ""


@pytest.fixture
def jobs(tmp_path: Path) -> Iterator[Callable[[str], Job]]:
    """Makes jobs by name."""
    made: list[Job] = []

    def make(name: str) -> Job:
        (tmp_path / name).mkdir()
        made.append(Job(tmp_path / name))
        return made[-1]

    yield make
    for job in made:
        while left := job.living():
            for pid in left:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    continue
        if job.process is not None and job.process.returncode is None:
            job.process.communicate(timeout=120)


@pytest.fixture
def job(jobs: Callable[[str], Job]) -> Job:
    return jobs("job")


ENDS = {
    "leader killed": ("leader", signal.SIGKILL, -signal.SIGKILL),
    "keeper killed": ("keeper", signal.SIGKILL, 137),
    "shell killed": ("shell", signal.SIGKILL, 137),
    "python killed": ("python", signal.SIGKILL, 137),
    "script killed": ("script", signal.SIGKILL, 256 - signal.SIGKILL),
    # As a scheduler does it.
    "terminated": ("leader", signal.SIGTERM, 128 + signal.SIGTERM),
    "interrupted": ("leader", signal.SIGINT, 128 + signal.SIGINT),
    "hung up": ("leader", signal.SIGHUP, 128 + signal.SIGHUP),
}


def test_nothing_goes_on_when_the_job_ends(jobs: Callable[[str], Job]) -> None:
    """Whoever is killed or told to stop.  All at the same time, as some take seconds."""
    started = {end: jobs(end) for end in ENDS}
    pids = {end: job.start_all() for end, job in started.items()}
    for end, (victim, number, _) in ENDS.items():
        os.kill(pids[end][victim], number)
    # The keeper is not waited for by whoever waits for the leader.
    started["leader killed"].finish()
    until(lambda: not started["leader killed"].living(), "the end of all processes", 2)
    for end, (_, _, code) in ENDS.items():
        assert (end, started[end].finish()[0]) == (end, code)
        assert (end, started[end].living()) == (end, [])


def test_nothing_goes_on_when_the_patience_of_a_scheduler_ends(job: Job) -> None:
    job.write("script", SCRIPT.replace("wait\n", "trap '' TERM; while :; do sleep 0.1; done\n"))
    job.start(
        job.write(
            "deaf",
            f"#!/bin/bash\ntrap '' TERM\n{sys.executable} -c 'import subprocess"
            '; subprocess.call(["./script"], start_new_session=True)\'\n'
            "while :; do sleep 0.1; done\n",
        )
    )
    until((job.folder / "script.pid").exists, "the script")
    assert job.process is not None
    os.killpg(job.process.pid, signal.SIGTERM)
    with pytest.raises(subprocess.TimeoutExpired):
        job.process.wait(0.5)
    os.killpg(job.process.pid, signal.SIGKILL)
    assert job.finish()[0] == -signal.SIGKILL
    until(lambda: not job.living(), "the end of all processes", 2)


@pytest.mark.parametrize(
    ("script", "code"), [("exit 0", 0), ("exit 7", 7), ("kill -SEGV $$", 128 + signal.SIGSEGV)]
)
def test_the_commands_exit_code_is_passed_on(job: Job, script: str, code: int) -> None:
    job.start("/bin/sh", "-c", script)
    assert job.finish() == (code, "")


def test_the_command_is_as_without_a_guard(job: Job) -> None:
    """Its arguments, environment, handles, and what it does at signals."""
    job.start(
        "/bin/sh",
        "-c",
        'printf "%s\\n" "$@" >args; echo $PPID >parent; '
        "ls -l /proc/self/fd | grep -c ' -> ' >handles; "
        "grep -e SigBlk -e SigIgn /proc/self/status >signals",
        "sh",
        "a b",
        "",
        "-c",
    )
    assert job.finish() == (0, "")
    assert (job.folder / "args").read_text() == "a b\n\n-c\n"
    assert job.process is not None
    assert int((job.folder / "parent").read_text()) != job.process.pid
    # Three, and the one that 'ls' reads the directory with.
    assert (job.folder / "handles").read_text() == "4\n"
    for line in (job.folder / "signals").read_text().splitlines():
        mask = int(line.split()[1], 16)
        assert not mask & sum(
            1 << number - 1
            for number in (signal.SIGPIPE, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD)
        )


@pytest.mark.parametrize(("name", "code"), [("missing", 127), ("directory", 126)])
def test_a_command_that_cannot_be_started_is_told(job: Job, name: str, code: int) -> None:
    (job.folder / "directory").mkdir()
    job.start(f"./{name}")
    found, said = job.finish()
    assert found == code
    assert f"cannot start ./{name}: " in said


def test_what_tests_leave_behind_is_told_and_ended(job: Job) -> None:
    job.start("/bin/sh", "-c", "sleep 300 & echo $! >left.pid; exit 3")
    assert job.finish() == (
        3,
        f"pav guard: ending processes that the tests left running: {job.pid('left')}.\n",
    )
    assert job.living() == []


def test_other_raw_jobs_go_on(job: Job) -> None:
    """A test may start raw jobs, and need not wait for them."""
    job.start(
        "/bin/sh",
        "-c",
        "(PAV_RAW_JOB=other setsid sh -c 'sleep 300 & echo >ready; wait' 2>sink & "
        "echo $! >other.pid); until [ -s ready ]; do sleep 0.02; done; sleep 300 &",
        PAV_RAW_JOB="own",
    )
    code, said = job.finish()
    assert code == 0
    assert said.count(",") == 0
    other = job.pid("other")
    processes = guard.all_processes()
    assert other in processes
    assert len([pid for pid in job.living() if processes[pid].session == other]) == 2
    assert len(job.living()) == 2


def test_orphans_are_not_left_as_zombies(job: Job) -> None:
    job.start(
        "/bin/bash",
        "-c",
        "for i in {1..20}; do (sleep 0.01 &); done; sleep 0.3; "
        "ps -o stat= --ppid $PPID | grep -c Z >zombies; exit 0",
    )
    assert job.finish() == (0, "")
    assert (job.folder / "zombies").read_text() == "0\n"
