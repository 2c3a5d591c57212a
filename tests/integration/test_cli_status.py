"""``pav-sched status`` and ``wait``."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from cli_tools import SLEEPER, Cli


def test_table(finished: Cli) -> None:
    done = finished("status")
    assert done.code == 0
    assert done.out.splitlines()[0] == "ID\tNAME\tSTATE\tRESULT\tAGE\tJOB\tNODES\tNOTE"
    assert [row[:4] for row in done.rows] == [
        ["s1.1", "suite.good", "COMPLETE", "PASS"],
        ["s1.2", "suite.bad", "COMPLETE", "FAIL"],
    ]
    assert done.rows[1][-1].startswith("Exit code 3: no end of line (pav-sched ")


def test_ids(finished: Cli) -> None:
    assert [row[0] for row in finished("status", "s1.2", "s1").rows] == ["s1.2", "s1.1"]


def test_verbose(finished: Cli) -> None:
    done = finished("status", "s1.1", "-v")
    info = finished.job_info("s1.1")
    head, place, *history = done.out.splitlines()
    assert head == "s1.1 suite.good (raw) PASS"
    assert place == f"  job {info['pid']}, on {info['host'].partition('.')[0]}"
    states = [line.split()[2] for line in history]
    assert states[:3] == ["CREATED", "SCHEDULED", "SCHEDULED"]
    assert history[1].split(None, 3)[3].startswith("Being handed to the raw scheduler.")
    assert history[2].split(None, 3)[3] == f"Accepted by raw as job {info['pid']}."
    assert states[-1] == "COMPLETE"


def test_json(finished: Cli) -> None:
    plain = finished("status", "s1.1", "--json").json["tests"][0]
    assert plain["complete"] is True
    assert plain["note"] == "PASS: Exit code 0."
    assert "history" not in plain
    verbose = finished("status", "s1.1", "--json", "-v").json["tests"][0]
    assert verbose["history"][0]["state"] == "CREATED"
    assert verbose["history"][-1] == {key: plain[key] for key in ("state", "note", "when")}


def test_running(cli: Cli) -> None:
    cli.suite(SLEEPER)
    cli("run", "suite", "--detach")
    cli.wait_for_file(cli.test_path("s1.2") / "work" / "started")
    tests = cli("status", "--json").json["tests"]
    assert tests[1]["state"] == "RUNNING"
    assert tests[1]["result"] is None
    assert [row[3] for row in cli("status").rows] == ["", ""]


def test_latest_series_is_that_of_the_highest_number(cli: Cli) -> None:
    cli.suite("test: {run: {cmds: ['true']}}")
    for number in range(1, 10):
        (cli.work / "series" / f"s{number}").mkdir(parents=True)
    assert cli("run", "suite").code == 0
    assert [row[0] for row in cli("status").rows] == ["s10.1"]


def test_nothing_yet(cli: Cli) -> None:
    done = cli("status")
    assert done.code == 0
    assert "no series yet" in done.err
    assert cli("status", "--json").json["tests"] == []
    assert cli("wait").code == 2


@pytest.mark.parametrize(
    ("test_id", "word"),
    [
        ("s9", "no series s9"),
        ("s1.9", "no test run s1.9"),
        ("hello", "not an id"),
        ("s01", "s01"),
        ("s1.x", "s1.x"),
        ("s1/../s1", "s1/../s1"),
    ],
)
def test_unknown_id(finished: Cli, test_id: str, word: str) -> None:
    for command in ("status", "wait"):
        done = finished(command, test_id, "s1.1")
        assert done.code == 2
        assert done.err.startswith("pav-sched: error: ")
        assert word in done.err
        # 'status' tells what can be told.
        assert [row[0] for row in done.rows] == (["s1.1"] if command == "status" else [])


def test_wait_exit_codes(finished: Cli) -> None:
    assert finished("wait").code == 1
    assert finished("wait", "s1.1").code == 0
    data = finished("wait", "s1.2", "--json")
    assert data.code == 1
    assert data.json["summary"]["failed"] == 1


def test_wait_without_the_plugin(cli: Cli) -> None:
    """It would never hear of the end of the job."""
    cli.plugin(
        "other",
        """
        from pavilion.schedulers import Raw

        class Other(Raw):
            def __init__(self):
                super().__init__()
                self.name = "other"
        """,
    )
    cli.suite("test: {scheduler: other, run: {cmds: ['sleep 20']}}")
    cli("run", "suite", "--detach")
    done = cli("--working-dir", cli.work, "wait", bare=True)
    assert done.code == 2
    assert "'other'" in done.err
    assert "--config-dir" in done.err


def test_reader_that_goes_away(finished: Cli) -> None:
    """``pav-sched status | head -1`` is no error."""
    read, write = os.pipe()
    process = subprocess.Popen(
        finished.argv("status", "--json"), stdout=write, stderr=subprocess.PIPE, env=finished.env
    )
    os.close(read)
    os.close(write)
    assert process.communicate(timeout=120)[1] == b""
    assert process.returncode == 141


def test_full_disk_is_told(finished: Cli) -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            finished.argv("status"),
            stdout=full,
            stderr=subprocess.PIPE,
            env=finished.env,
            timeout=120,
        )
    assert done.returncode != 0
    assert b"No space left" in done.stderr


def test_rich_is_not_loaded_for_pipes(finished: Cli) -> None:
    argv = finished.argv("status", "--json")
    done = subprocess.run(
        [argv[0], "-X", "importtime", *argv[1:]],
        capture_output=True,
        text=True,
        env=finished.env,
        timeout=120,
    )
    assert "pavilion.cli.status" in done.stderr
    assert " rich" not in done.stderr


@pytest.mark.parametrize("columns", [60, 200])
def test_terminal(finished: Cli, columns: int) -> None:
    """On a terminal the table fits, and no column is dropped."""
    import fcntl
    import pty
    import struct
    import termios
    import time

    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    env = {key: value for key, value in finished.env.items() if key not in ("COLUMNS", "LINES")}
    process = subprocess.Popen(
        finished.argv("show", "sched", "--vars", "raw"),
        stdout=slave,
        stderr=slave,
        env=dict(env, TERM="xterm", NO_COLOR="1"),
    )
    os.close(slave)
    text = b""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            block = os.read(master, 65536)
        except OSError:
            # The other end was closed.
            break
        text += block
    os.close(master)
    assert process.wait(timeout=120) == 0
    lines = text.decode().replace("\x1b[1m", "").replace("\x1b[0m", "").splitlines()
    assert lines[0].split() == ["NAME", "DEFERRED", "EXAMPLE", "HELP"]
    assert "\x1b[3" not in text.decode()
    assert max(map(len, lines)) <= columns
