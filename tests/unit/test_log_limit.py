"""Logs that would fill a disk: what is kept of them, and that nobody who writes to them notices."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from pathlib import Path

import pytest

from pavilion.errors import ConfigError
from pavilion.log_limit import LeftLogs, LimitedLog, parse_size, size_text
from polling import until

LIMIT = 64 * 1024


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "run.log"


def opened(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL)


def lines(count: int, start: int = 0) -> bytes:
    return b"".join(b"line %07d\n" % number for number in range(start, start + count))


def test_a_short_log_stays_as_it_is(log: Path) -> None:
    fd = opened(log)
    limited = LimitedLog(fd, LIMIT)
    os.write(fd, lines(1000))
    limited.look()
    assert log.read_bytes() == lines(1000)
    assert limited.note == ""


def test_of_a_long_log_the_beginning_and_the_end_are_kept(log: Path) -> None:
    fd = opened(log)
    limited = LimitedLog(fd, LIMIT)
    for part in range(10):
        os.write(fd, lines(10_000, part * 10_000))
        limited.look()
        assert log.stat().st_size <= LIMIT
    os.write(fd, b"the end\n")
    head, mark, tail = re.split(rb"\n(\[pav-sched: .*\])\n\n", log.read_bytes())
    assert lines(100_000).startswith(head)
    assert len(head) >= LIMIT // 2 - 1
    assert tail.endswith(lines(1, 99_999) + b"the end\n")
    assert (lines(100_000) + b"the end\n").endswith(tail)
    assert len(tail) >= LIMIT // 4
    assert b"reached its limit of 64 KiB (setting log_limit)" in mark
    # Nothing is counted twice, and no mark is counted.
    assert limited.left_out == 13 * 100_000 - len(head) - (len(tail) - len(b"the end\n"))
    assert limited.note.startswith(size_text(limited.left_out))


def test_a_program_that_writes_meanwhile_goes_on(log: Path) -> None:
    """It neither ends nor loses its place, and its last line is there."""
    fd = opened(log)
    limited = LimitedLog(fd, LIMIT)
    script = "i=0; while [ $i -lt 60000 ]; do echo line $i; i=$((i+1)); done; echo done"
    process = subprocess.Popen(["/bin/sh", "-c", script], stdout=fd)

    def ended() -> bool:
        limited.look()
        return process.poll() is not None

    until(ended, "the end of the program", 60)
    limited.look()
    assert process.returncode == 0
    content = log.read_bytes()
    assert len(content) <= LIMIT
    assert content.startswith(b"line 0\nline 1\n")
    assert content.endswith(b"line 59999\ndone\n")
    assert b"\0" not in content


def test_a_log_that_was_just_cut_is_looked_at_as_often(log: Path) -> None:
    """Who filled it fast goes on to: it had a second to write a hundred times its limit."""
    fd = opened(log)
    limited = LimitedLog(fd, LIMIT)
    still = limited.look()
    os.write(fd, lines(100_000))
    assert limited.look() < still
    assert log.stat().st_size <= LIMIT


class FastWriter(LimitedLog):
    """A log to which more is written with each copy than is copied."""

    writes = 0

    def _write_mark(self, fd: int) -> int:
        self.writes += 1
        os.write(self._fd, lines(10_000, self.writes * 10_000))
        return super()._write_mark(fd)


def test_a_program_that_writes_faster_than_this_copies(log: Path) -> None:
    """What it writes is not copied as a whole, and the log is within its limit all the same."""
    fd = opened(log)
    limited = FastWriter(fd, LIMIT)
    os.write(fd, lines(10_000))
    limited.look()
    assert 1 < limited.writes < 20
    assert log.stat().st_size <= LIMIT
    assert lines(10_000).startswith(log.read_bytes().partition(b"\n[pav-sched: ")[0])
    # Every byte is either there or counted.
    mark = re.search(rb"\n\[pav-sched: .*\]\n\n", log.read_bytes())
    assert mark is not None
    kept = log.stat().st_size - len(mark[0])
    assert limited.left_out + kept == 13 * 10_000 * (limited.writes + 1)


def test_what_a_script_leaves_running_is_looked_after(log: Path, tmp_path: Path) -> None:
    other = LimitedLog(opened(tmp_path / "kickoff.log"), LIMIT)
    logs = LeftLogs(other)
    fd = opened(log)
    limited = LimitedLog(fd, LIMIT)
    process = subprocess.Popen(
        [
            "/bin/sh",
            "-c",
            "(while [ ! -e go ]; do sleep 0.01; done; seq 100000; sleep 60) & exit 0",
        ],
        stdout=fd,
        cwd=tmp_path,
        start_new_session=True,
    )
    assert process.wait() == 0
    logs.add(process.pid, limited)
    os.close(fd)
    assert logs.groups == [process.pid]
    (tmp_path / "go").touch()

    def cut() -> bool:
        logs.look()
        return bool(limited.left_out)

    until(cut, "the cut of its log", 60)
    assert log.stat().st_size <= LIMIT
    os.killpg(process.pid, signal.SIGKILL)
    until(lambda: not logs.groups, "the end of what was left", 60)
    logs.look()
    # A script that leaves nothing has nothing to look after.
    logs.add(process.pid, limited)
    assert logs.groups == []


def test_one_endless_line(log: Path) -> None:
    fd = opened(log)
    limited = LimitedLog(fd, LIMIT)
    os.write(fd, b"x" * 10 * LIMIT + b"y")
    limited.look()
    assert log.stat().st_size <= LIMIT
    assert log.read_bytes().endswith(b"xy")


def test_what_is_not_a_regular_file_is_left_alone() -> None:
    reader, writer = os.pipe()
    limited = LimitedLog(writer, LIMIT)
    os.write(writer, b"x")
    limited.look()
    assert os.read(reader, 2) == b"x"
    os.close(reader)
    os.close(writer)


def test_without_a_limit_everything_is_kept(log: Path) -> None:
    fd = opened(log)
    limited = LimitedLog(fd, None)
    os.write(fd, lines(100_000))
    limited.look()
    assert log.read_bytes() == lines(100_000)


def test_a_log_that_grows_is_looked_at_more_often(log: Path) -> None:
    fd = opened(log)
    limited = LimitedLog(fd, 1024 * LIMIT)
    still = limited.look()
    os.write(fd, b"x" * 1000 * LIMIT)
    assert limited.look() < still


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("100M", 100 * 1024**2),
        ("1.5 GiB", 3 * 512 * 1024**2),
        ("64k", LIMIT),
        ("2gb", 2 * 1024**3),
        ("none", None),
        (None, 100 * 1024**2),
    ],
)
def test_sizes(text: str | None, size: int | None) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["100", "0", "63k", "-1M", "1e3M", "M", "much", "1P", "1M2k"])
def test_sizes_that_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"with its unit .*'100M'.* or 'none'; not '"):
        parse_size(text)
