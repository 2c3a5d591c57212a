"""Job, nodes, permutation, and the last line of a failed test's log, as the command line has them."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import struct
import subprocess
import termios
import time

import pytest
from cli_tools import SLEEPER, Cli


def on_terminal(cli: Cli, width: int, *args: str) -> list[str]:
    """The lines that a command prints on a terminal."""
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 40, width, 0, 0))
    env = {key: value for key, value in cli.env.items() if key not in ("COLUMNS", "LINES")}
    process = subprocess.Popen(
        cli.argv(*args),
        stdout=follower,
        stderr=subprocess.DEVNULL,
        stdin=subprocess.DEVNULL,
        env=dict(env, TERM="dumb-not", NO_COLOR="1"),
    )
    os.close(follower)
    text, deadline = b"", time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            text += os.read(leader, 65536)
        except OSError:
            # The other end was closed.
            break
    os.close(leader)
    assert process.wait(timeout=30) in (0, 1)
    return text.decode().replace("\x1b[1m", "").replace("\x1b[0m", "").splitlines()


def test_raw_jobs_have_an_id_and_nodes_too(finished: Cli) -> None:
    tests = finished("status", "--json").json["tests"]
    host = os.uname().nodename.partition(".")[0]
    for test in tests:
        assert test["job_id"] == finished.job_info(test["id"])["pid"]
        assert (test["nodes"], test["chunk"], test["permutation"]) == ([host], None, {})
        for file in ("results.json", "test.json"):
            stored = json.loads((finished.test_path(test["id"]) / file).read_text())
            assert (stored["job_id"], stored["nodes"]) == (test["job_id"], [host])


def test_a_running_test_has_them_already(cli: Cli) -> None:
    cli.suite(SLEEPER)
    cli("run", "suite", "--detach")
    cli.wait_for_file(cli.test_path("s1.2") / "work" / "started")
    test = cli("status", "--json").json["tests"][1]
    assert test["state"] == "RUNNING"
    assert (test["job_id"], len(test["nodes"])) == (cli.job_info("s1.2")["pid"], 1)


def test_where_there_is_room_tables_have_both(finished: Cli) -> None:
    for args in (("status",), ("wait", "s1")):
        titles = on_terminal(finished, 200, *args)[0].split()
        assert titles[-3:] == ["JOB", "NODES", "NOTE"], titles
        # Never at the cost of what matters more.
        narrow = on_terminal(finished, 60, *args)
        assert not {"JOB", "NODES"} & set(narrow[0].split())
        assert {"ID", "NAME", "RESULT", "NOTE"} <= set(narrow[0].split())
        assert any("suite.good" in line and "PASS" in line for line in narrow)
        assert max(map(len, narrow)) <= 60


def test_results_on_a_terminal_show_the_whole_note(finished: Cli) -> None:
    text = "".join(on_terminal(finished, 100, "wait", "s1")).replace(" ", "")
    assert "Exitcode3:noendofline(pav-sched" in text


LOGS = {
    "plain": ("echo one; echo two", "two"),
    "blank lines at the end": ("echo one; echo; echo '   '", "one"),
    "binary": (r"printf 'x\n\000\377\033[31mred\n'", "\\x00\ufffd\\x1b[31mred"),
    "one endless line": ("head -c 3000000 /dev/zero | tr '\\0' y", "y" * 120 + "..."),
    "a tab and a carriage return": (r"printf 'a\tb  c\r\n'", "a b c"),
}


@pytest.mark.parametrize("case", LOGS)
def test_a_failed_row_ends_with_the_last_line_of_its_log(cli: Cli, case: str) -> None:
    command, last = LOGS[case]
    body = cli.root / "body.sh"
    body.write_text(command)
    cli.suite(f"test: {{run: {{cmds: ['bash \"{body}\"', 'exit 1']}}}}")
    done = cli("run", "suite")
    (row,) = done.rows
    assert row[-1].startswith(f"Exit code 1: {last} (pav-sched --working-dir ")
    assert row[-1].endswith(" log run s1.1)")
    assert cli("status").rows[0][-1] == row[-1]
    test = cli("status", "--json").json["tests"][0]
    assert (test["log"], test["log_line"]) == ("run", last)


def test_a_row_without_anything_to_show_has_no_command(cli: Cli) -> None:
    cli.suite("""
        quiet: {run: {cmds: ['exit 1']}}
        good: {run: {cmds: ['echo fine']}}
        """)
    assert [row[-1] for row in cli("run", "suite").rows] == ["Exit code 1.", ""]


@pytest.mark.parametrize("what", ["pipe", "link", "directory", "nothing"])
def test_a_log_that_is_none_is_not_read(cli: Cli, what: str) -> None:
    cli.suite("test: {run: {cmds: ['echo secret', 'exit 1']}}")
    cli("run", "suite")
    path = cli.test_path("s1.1") / "run.log"
    path.unlink()
    secret = cli.root / "secret"
    secret.write_text("secret\n")
    if what == "pipe":
        os.mkfifo(path)
    elif what == "link":
        path.symlink_to(secret)
    elif what == "directory":
        path.mkdir()
    done = cli("wait", "s1")
    assert done.code == 1
    assert done.rows[0][-1] == "Exit code 1."


def test_an_error_shows_where_its_job_died(cli: Cli) -> None:
    cli.suite("test: {run: {cmds: ['true']}}")
    site = cli.root / "site.yaml"
    site.write_text("env_setup: ['echo module: command not found', 'kill -9 $$']\n")
    done = cli("--config-file", site, "run", "suite")
    (row,) = done.rows
    assert row[3] == "ERROR"
    assert ": module: command not found (pav-sched --config-file " in row[-1]
    assert row[-1].endswith(" log kickoff s1.1)")


def test_who_cancels_a_test_knows_why(cli: Cli) -> None:
    cli.suite("test: {run: {cmds: ['echo going', 'touch started', 'sleep 60']}}")
    cli("run", "suite", "--detach")
    cli.wait_for_file(cli.test_path("s1.1") / "work" / "started")
    cli("cancel", "s1")
    assert "going" not in cli("wait", "s1").rows[0][-1]


DAMAGED = [
    '{"result": "FAIL", "note": "n", "job_id": 58, "nodes": "node1", "chunk": "x"}',
    '{"result": "FAIL", "note": "n", "job_id": ["1"], "nodes": {"a": 1}, "chunk": [1]}',
    '{"result": "FAIL", "note": "n", "nodes": [1, null], "permutation": 7, "chunk_nodes": 3}',
    '{"result": "FAIL", "note": "n", "job_id": "", "nodes": [""], "chunk": -5}',
]


@pytest.mark.parametrize("text", DAMAGED)
def test_results_that_somebody_made_up_are_shown_as_far_as_they_make_sense(
    cli: Cli, text: str
) -> None:
    cli.suite("test: {variables: {n: [7]}, permute_on: n, run: {cmds: ['exit 1']}}")
    cli("run", "suite")
    (cli.test_path("s1.1") / "results.json").write_text(text)
    record = json.loads((cli.test_path("s1.1") / "test.json").read_text())
    shown = cli("status", "--json").json["tests"][0]
    # The other record is whole.
    for key in ("job_id", "nodes", "chunk", "permutation"):
        assert shown[key] == record[key]
    path = cli.test_path("s1.1") / "test.json"
    odd = {"job_id": {}, "nodes": 3, "chunk": "1", "permutation": {"n": ["7"], "m": "1"}}
    path.write_text(json.dumps({**record, **odd}))
    (cli.test_path("s1.1") / "job" / "info.json").write_text('["no record"]')
    shown = cli("status", "--json").json["tests"][0]
    assert (shown["job_id"], shown["nodes"], shown["chunk"]) == (None, [], None)
    assert shown["permutation"] == {"m": "1"}
    assert cli("status", "-v").out.splitlines()[1:3] == ["  no job yet", "  m=1"]


def test_names_and_ids_cannot_make_a_terminal_do_things(cli: Cli) -> None:
    cli.suite("test: {run: {cmds: ['exit 1']}}")
    cli("run", "suite")
    path = cli.test_path("s1.1") / "results.json"
    results = json.loads(path.read_text())
    results.update(nodes=["n\x1b[31m1", "n\n2"], job_id="5\x1b[2J8", chunk=1)
    path.write_text(json.dumps(results))
    for args in (("status",), ("status", "-v"), ("wait", "s1"), ("log", "s1.1")):
        done = cli(*args)
        assert "\x1b" not in done.out + done.err
        assert "\n2" not in done.out


def test_records_from_before_there_was_any_of_this(cli: Cli) -> None:
    cli.suite("test: {run: {cmds: ['true']}}")
    cli("run", "suite")
    for file in ("results.json", "test.json"):
        path = cli.test_path("s1.1") / file
        record = json.loads(path.read_text())
        for key in ("job_id", "nodes", "chunk", "chunk_nodes", "permutation"):
            del record[key]
        path.write_text(json.dumps(record))
    shown = cli("status", "--json").json["tests"][0]
    # The job's own record is there since ever.
    assert shown["job_id"] == cli.job_info("s1.1")["pid"]
    assert (shown["nodes"], shown["permutation"]) == ([], {})
    assert cli("status").code == 0


def test_showing_a_series_that_is_over_writes_nothing(finished: Cli) -> None:
    before = {path: path.stat().st_mtime_ns for path in finished.work.rglob("*") if path.is_file()}
    assert finished("status", "-v").code == 0
    after = {path: path.stat().st_mtime_ns for path in finished.work.rglob("*") if path.is_file()}
    assert after == before
