"""Ends that cannot be written down: told, and not waited for without an end."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_tools import SLEEPER, Cli, wait_until


@pytest.fixture
def mounted(cli: Cli) -> Iterator[Path]:
    """A small file system as the working directory."""
    cli.work.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(cli.work)]
    if (
        shutil.which("mount") is None
        or subprocess.run(command, capture_output=True, check=False).returncode != 0
    ):
        pytest.skip("no tmpfs can be mounted here (that needs root)")
    yield cli.work
    cli.kill_all()
    subprocess.run(["umount", "-l", str(cli.work)], check=True)


def _lose_job(cli: Cli) -> None:
    """Start a test, and kill its job."""
    cli.suite(SLEEPER)
    assert cli("run", "suite.first", "--detach").code == 0
    cli.wait_for_file(cli.test_path("s1.1") / "work" / "started")
    os.killpg(int(cli.job_info("s1.1")["pid"]), signal.SIGKILL)
    wait_until(lambda: not cli.processes(), "the end of the job")


def _remount(folder: Path, option: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{option}", str(folder)], check=True)


@pytest.mark.parametrize("option", ["ro", "nr_inodes=1"])
def test_an_end_that_cannot_be_recorded(cli: Cli, mounted: Path, option: str) -> None:
    """A read-only view; and a disk on which a line can be added and no file can be made."""
    _lose_job(cli)
    if option != "ro":
        used = os.statvfs(mounted)
        option = f"nr_inodes={used.f_files - used.f_ffree}"
    _remount(mounted, option)
    shown = wait_until(
        lambda: [
            test for test in cli("status", "--json").json["tests"] if test["state"] == "SCHED_ERROR"
        ],
        "the end in 'status'",
    )
    assert (shown[0]["result"], shown[0]["recorded"]) == ("ERROR", False)
    assert "could not be recorded" in shown[0]["note"]
    process = cli.start("wait")
    out, err = process.communicate(timeout=40)
    assert process.returncode == 1
    assert "pav-sched: error: s1.1: the end is not recorded" in err
    assert out.splitlines()[1].split("\t")[3] == "ERROR"
    lines = (cli.test_path("s1.1") / "status").read_text().splitlines()
    assert sum("SCHED_ERROR" in line for line in lines) == (0 if option == "ro" else 1)
    _remount(mounted, "rw" if option == "ro" else "nr_inodes=1000")
    wait_until(lambda: cli("status", "--json").json["tests"][0]["recorded"], "the record")
    lines = (cli.test_path("s1.1") / "status").read_text().splitlines()
    assert sum("SCHED_ERROR" in line for line in lines) == 1


def test_a_result_without_a_last_state_is_kept(cli: Cli) -> None:
    """The job was killed between two writes."""
    _lose_job(cli)
    (cli.test_path("s1.1") / "results.json").write_text(
        json.dumps({"result": "PASS", "note": "Exit code 0.", "return_value": 0})
    )
    done = cli("wait", "--json")
    assert done.code == 0
    assert (done.json["tests"][0]["state"], done.json["tests"][0]["note"]) == (
        "COMPLETE",
        "PASS: Exit code 0.",
    )


@pytest.mark.parametrize("what", ["test", "job"])
def test_files_that_are_deleted_while_they_are_waited_for(cli: Cli, what: str) -> None:
    cli.suite(SLEEPER)
    assert cli("run", "suite.first", "--detach").code == 0
    cli.wait_for_file(cli.test_path("s1.1") / "work" / "started")
    process = cli.start("wait")
    wait_until(lambda: process.poll() is None, "its start")
    path = cli.test_path("s1.1")
    gone = path if what == "test" else (path / "job").resolve()
    # Not before the test was loaded: it would be an error of another kind.
    wait_until(lambda: _is_waiting(process.pid), "the wait")
    # At once: its runner writes to it.
    gone.rename(cli.root / "gone")
    _, err = process.communicate(timeout=40)
    assert process.returncode == 1
    assert "does not exist any more" in err and str(gone) in err


def _is_waiting(pid: int) -> bool:
    """Whether a process has more than its main thread: it asks about the job."""
    return len(list(Path(f"/proc/{pid}/task").iterdir())) > 1
