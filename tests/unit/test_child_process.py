"""Child processes, in each of the ways of awaiting them that systems have."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from pavilion.schedulers.talk import child_process
from pavilion.schedulers.talk.child_process import ChildProcess
from polling import until

SOURCES = Path(child_process.__file__).resolve().parents[3]
DEADLINE = 20.0


@pytest.fixture(params=["as it is", "no handle"], autouse=True)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """How processes are awaited; the first of these depends on the kernel."""
    if request.param == "no handle":
        monkeypatch.setattr(child_process, "process_handle", lambda pid: None)
    return str(request.param)


def start(
    *args: str,
    env: dict[str, str] | None = None,
    stdin: bytes | None = None,
    max_output: int = 1 << 20,
) -> ChildProcess:
    return ChildProcess(args, env, stdin, None, max_output)


def output(*args: str, **kwargs: Any) -> str:
    process = start(*args, **kwargs)
    process.finish(DEADLINE)
    assert process.returncode == 0, process.stderr
    return process.stdout


def open_files() -> list[str]:
    return sorted(os.listdir("/proc/self/fd"))  # noqa: PTH208 (leaves less open itself)


def test_a_process_is_read_to_its_end(way: str) -> None:
    process = start("/bin/sh", "-c", "cat; echo err >&2; exit 3", stdin=b"in")
    assert 0 <= process.finish(DEADLINE) < DEADLINE
    assert (process.stdout, process.stderr, process.returncode) == ("in", "err\n", 3)
    assert not process.printed_too_much


def test_more_goes_in_and_out_than_a_pipe_holds() -> None:
    data = b"x" * 300_000
    assert output("cat", stdin=data) == data.decode()


def test_signals_are_negative_codes() -> None:
    process = start("/bin/sh", "-c", "kill -TERM $$")
    process.finish(DEADLINE)
    assert process.returncode == -15


def test_time_is_up() -> None:
    process = start("/bin/sh", "-c", "echo begun; exec sleep 60")
    assert 0.3 <= process.finish(0.3) < DEADLINE
    assert (process.returncode, process.stdout) == (None, "begun\n")
    assert not Path(f"/proc/{process.pid}").exists()


@pytest.mark.parametrize("closes", ["", "exec >&- 2>&-; "])
def test_one_that_is_watched_is_stopped_when_told_so(
    monkeypatch: pytest.MonkeyPatch, closes: str
) -> None:
    monkeypatch.setattr(child_process, "_WATCH_PAUSE", 0.01)
    seen: list[str] = []

    def watch(stderr: str) -> bool:
        seen.append(stderr)
        return stderr != "full\n" or len(seen) < 5

    process = start("/bin/sh", "-c", f"echo full >&2; {closes}exec sleep 60")
    assert process.finish(DEADLINE, watch) < DEADLINE
    assert (process.returncode, process.stderr) == (None, "full\n")
    assert len(seen) >= 5
    assert not Path(f"/proc/{process.pid}").exists()


def test_one_that_is_watched_ends_by_itself() -> None:
    process = start("/bin/sh", "-c", "echo done >&2; exit 4")
    process.finish(DEADLINE, lambda stderr: True)
    assert (process.returncode, process.stderr) == (4, "done\n")


def test_one_that_has_ended_is_read_also_when_its_time_is_up() -> None:
    process = start("/bin/sh", "-c", "yes | head -c 50000; yes x | head -c 50000 >&2")
    stat = Path(f"/proc/{process.pid}/stat")
    until(lambda: stat.read_text().rpartition(")")[2].split()[0] == "Z", "its end")
    process.finish(0.000001)
    assert process.returncode == 0
    assert (len(process.stdout), len(process.stderr)) == (50_000, 50_000)


def test_a_daemon_that_goes_on_to_print_is_not_read_for_long() -> None:
    process = start("/bin/sh", "-c", "while :; do echo again; done & sleep 0.2", max_output=1 << 40)
    try:
        assert process.finish(1.0) < DEADLINE
        assert process.returncode == 0 and process.stdout.startswith("again\n")
    finally:
        os.killpg(process.pid, signal.SIGKILL)


def test_it_prints_too_much() -> None:
    process = start("yes", max_output=1000)
    process.finish(DEADLINE)
    assert process.printed_too_much and process.returncode is None


def test_it_closes_its_output_and_goes_on(tmp_path: Path) -> None:
    """It is not taken for ended; here it ends some time after finish() has seen that."""
    go = tmp_path / "go"
    waits = 'exec >&- 2>&-; until [ -e "$0" ]; do sleep 0.05; done; exit 4'
    process = start("/bin/sh", "-c", waits, str(go))
    starter = threading.Timer(0.3, go.touch)
    starter.start()
    process.finish(DEADLINE)
    starter.join()
    assert process.returncode == 4


def test_it_leaves_a_daemon_with_its_pipes() -> None:
    process = start("/bin/sh", "-c", "sleep 30 & echo left")
    assert process.finish(DEADLINE) < DEADLINE
    assert (process.returncode, process.stdout) == (0, "left\n")


def test_it_is_the_leader_of_a_session_of_its_own() -> None:
    pid, session = output("/bin/sh", "-c", "cut -d' ' -f1,6 /proc/$$/stat; :").split()
    process = start("/bin/sh", "-c", "echo $$")
    process.finish(DEADLINE)
    assert pid == session and int(process.stdout) == process.pid


def test_it_gets_none_of_our_files() -> None:
    ours, end = os.pipe()
    os.set_inheritable(end, True)
    try:
        listed = output("ls", "-l", "/proc/self/fd")
    finally:
        os.close(ours)
        os.close(end)
    # 3 is the folder itself, which ls has open.
    names = [line.split(" -> ")[0].split()[-1] for line in listed.splitlines()[1:]]
    assert names == ["0", "1", "2", "3"]
    assert f"0 -> {os.devnull}" in listed


def test_it_does_not_ignore_the_signals_that_python_ignores() -> None:
    line = next(
        line
        for line in output("cat", "/proc/self/status").splitlines()
        if line.startswith("SigIgn:")
    )
    ignored = int(line.split()[1], 16)
    assert not ignored & (1 << 13 - 1) and not ignored & (1 << 25 - 1)  # SIGPIPE, SIGXFSZ


def test_its_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_NAME", "some value")
    assert "SOME_NAME=some value\n" in output("env")
    mine = {"PATH": os.environ["PATH"], "OTHER": "\udcff"}
    assert output("env", env=mine).splitlines()[:2] == [f"PATH={mine['PATH']}", "OTHER=\\xff"]


def test_a_command_is_looked_up_in_its_own_path(tmp_path: Path) -> None:
    command = tmp_path / "sinfo-of-the-test"
    command.write_text("#!/bin/sh\necho found\n")
    command.chmod(0o755)
    assert output(command.name, env={"PATH": f"{tmp_path}:/bin:/usr/bin"}) == "found\n"
    with pytest.raises(FileNotFoundError):
        start(command.name)


def test_what_is_odd_in_path_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "loop").symlink_to("loop")
    for name, text in (("junk", ""), ("good", "#!/bin/sh\necho good\n")):
        command = tmp_path / name / "squeue"
        command.parent.mkdir()
        command.write_text(text)
        command.chmod(0o755)
    for odd in (tmp_path / "loop", tmp_path / "junk", f"/{'x' * 300}"):
        monkeypatch.setenv("PATH", f"{odd}:{tmp_path / 'good'}:{os.environ['PATH']}")
        assert output("squeue") == "good\n"


def test_an_odd_variable_is_no_obstacle() -> None:
    assert output("echo", "hi", env={"": "odd", "PATH": os.environ["PATH"]}) == "hi\n"


def test_an_interrupt_before_it_is_waited_for_leaves_nothing_open() -> None:
    before = open_files()
    process = start("true")
    status = Path(f"/proc/{process.pid}/status")
    until(lambda: "State:\tZ" in status.read_text(), "its end")
    del process
    gc.collect()
    assert open_files() == before and not status.exists()


@pytest.mark.parametrize(
    ("args", "error"),
    [
        (("no-such-command-here",), FileNotFoundError),
        (("/no/such/command",), FileNotFoundError),
        (("./plain-file",), PermissionError),
        (("echo", "a\0b"), ValueError),
    ],
)
def test_what_cannot_be_started(
    args: tuple[str, ...], error: type[Exception], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "plain-file").write_text("text")
    monkeypatch.chdir(tmp_path)
    before = open_files()
    with pytest.raises(error):
        start(*args)
    assert open_files() == before


@pytest.mark.parametrize("stdin", [None, b"text"])
def test_no_file_stays_open(stdin: bytes | None) -> None:
    before = open_files()
    output("cat", stdin=stdin)
    start("/bin/sh", "-c", "sleep 30 & exit 0", stdin=stdin).finish(DEADLINE)
    start("sleep", "30", stdin=stdin).finish(0.1)
    assert open_files() == before


ODD_PARENT = """
import os, signal, sys
from pavilion.schedulers.talk import child_process
if sys.argv[3] == "no handle":
    child_process.process_handle = lambda pid: None
if sys.argv[1] == "reaped":
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
else:
    for number in map(int, sys.argv[1]):
        os.close(number)
process = child_process.ChildProcess(
    ("/bin/sh", "-c", "cat; echo out; echo err >&2"), None, b"in ", None, 1000)
process.finish(20.0)
open(sys.argv[2], "w").write(repr((process.returncode, process.stdout, process.stderr)))
"""


@pytest.mark.parametrize("how", ["0", "1", "2", "012", "reaped"])
def test_a_parent_without_standard_files_or_that_has_its_children_reaped(
    how: str, way: str, tmp_path: Path
) -> None:
    done = tmp_path / "done"
    subprocess.run(
        [sys.executable, "-c", ODD_PARENT, how, done, way],
        check=True,
        timeout=300,
        env={**os.environ, "PYTHONPATH": str(SOURCES)},
    )
    assert done.read_text() == repr((0, "in out\n", "err\n"))
