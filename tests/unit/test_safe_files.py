"""Files in directories that others may write to: only plain files of the right owner, in bounds."""

from __future__ import annotations

import os
import socket
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable

import pytest

from pavilion import files
from pavilion.errors import JobError, TestRunError
from pavilion.jobs import Job
from pavilion.schedulers.talk import safe_files
from pavilion.schedulers.talk.safe_files import UnsafeFileError, is_mine
from pavilion.scriptcomposer import ScriptComposer
from pavilion.status_file import StatusFile

OTHER = 12345
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can make files of others")

READERS: dict[str, Callable[[Path], Any]] = {
    "read_bytes": safe_files.read_bytes,
    "read_tail": lambda path: safe_files.read_tail(path, 100),
    "read_start": lambda path: safe_files.read_start(path, 100),
    "quotable_tail": lambda path: safe_files.quotable_tail(path, 100),
    "read_json": files.read_json,
    "open_log": lambda path: files.open_log(path).close(),
    "job info": lambda path: Job(path.parent)._record(),
}
WRITERS: dict[str, Callable[[Path], Any]] = {
    "append": lambda path: os.close(safe_files.open_to_append(path)[0]),
    "write": lambda path: os.close(safe_files.open_to_write(path)[0]),
    "mark": safe_files.make_mark,
    "status": lambda path: StatusFile(path).set("CREATED", "x"),
    "script": lambda path: ScriptComposer().write(path),
}


@pytest.fixture(autouse=True)
def soon() -> Iterator[None]:
    """A test that waits for the other end of a pipe fails, and does not hang."""
    main = threading.main_thread().ident
    assert main is not None
    over = threading.Event()

    def interrupt() -> None:
        if not over.wait(20):
            import signal

            signal.pthread_kill(main, signal.SIGINT)

    watch = threading.Thread(target=interrupt, daemon=True)
    watch.start()
    yield
    over.set()
    watch.join()


def plant(kind: str, path: Path, elsewhere: Path) -> None:
    """Put something into the place of a file."""
    elsewhere.write_text("precious\n")
    if kind == "link":
        path.symlink_to(elsewhere)
    elif kind == "dangling":
        path.symlink_to(elsewhere.with_name("new"))
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as sock:
            # The path of a socket has to be short.
            here = Path.cwd()
            os.chdir(path.parent)
            try:
                sock.bind(path.name)
            finally:
                os.chdir(here)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    else:
        path.mkdir()


KINDS = ["link", "dangling", "pipe", "socket", "device", "directory"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("reader", READERS)
def test_readers_take_regular_files_only(reader: str, kind: str, tmp_path: Path) -> None:
    folder = tmp_path / "job"
    folder.mkdir()
    path = folder / "tests.json"
    plant(kind, path, tmp_path / "elsewhere")
    with pytest.raises((UnsafeFileError, JobError)) as caught:
        READERS[reader](path)
    assert "not a regular file" in str(caught.value)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("writer", WRITERS)
def test_writers_follow_no_link_and_wait_for_nothing(
    writer: str, kind: str, tmp_path: Path
) -> None:
    folder = tmp_path / "test"
    folder.mkdir()
    path = folder / "status"
    plant(kind, path, tmp_path / "elsewhere")
    with pytest.raises((OSError, TestRunError)):
        WRITERS[writer](path)
    assert (tmp_path / "elsewhere").read_text() == "precious\n"
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("writer", WRITERS)
def test_a_hard_link_is_not_written_to(writer: str, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text("precious\n")
    os.link(tmp_path / "elsewhere", tmp_path / "status")
    with pytest.raises((UnsafeFileError, TestRunError), match="hard links"):
        WRITERS[writer](tmp_path / "status")
    assert (tmp_path / "elsewhere").read_text() == "precious\n"


def test_a_hard_link_is_not_quoted(tmp_path: Path) -> None:
    (tmp_path / "id_rsa").write_text("precious\n")
    os.link(tmp_path / "id_rsa", tmp_path / "sched.log")
    with pytest.raises(UnsafeFileError, match="hard links"):
        safe_files.quotable_tail(tmp_path / "sched.log", 100)


def test_a_link_is_replaced_and_not_followed_by_what_is_written_at_once(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text("precious\n")
    (tmp_path / "info.json").symlink_to("elsewhere")
    files.write_own_json(tmp_path / "info.json", {"id": 1})
    assert (tmp_path / "elsewhere").read_text() == "precious\n"
    assert files.read_json(tmp_path / "info.json") == {"id": 1}


def test_a_new_file_takes_no_link_for_free(tmp_path: Path) -> None:
    (tmp_path / "tests.json").symlink_to("elsewhere")
    with pytest.raises(FileExistsError):
        safe_files.write_new(tmp_path / "tests.json", b"x")
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize("limit", [0, 1, 9, 10])
def test_limits_of_size(limit: int, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * limit)
    assert safe_files.read_bytes(path, limit) == b"x" * limit
    path.write_bytes(b"x" * (limit + 1))
    with pytest.raises(UnsafeFileError, match=f"the maximum is {limit}"):
        safe_files.read_bytes(path, limit)


def test_a_huge_file_costs_nothing(tmp_path: Path) -> None:
    path = tmp_path / "test.json"
    with path.open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(UnsafeFileError, match="1099511627776 bytes"):
        files.read_json(path)
    assert safe_files.read_tail(path, 10) == bytes(10)
    assert StatusFile(path).current().state == "UNKNOWN"
    assert StatusFile(path).history() == []


def test_files_of_proc_have_no_size_and_are_read(tmp_path: Path) -> None:
    assert b"Linux" in safe_files.read_bytes("/proc/version")


def test_what_is_too_big_to_be_read_again_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(safe_files, "MAX_FILE_SIZE", 100)
    with pytest.raises(UnsafeFileError, match="at most 100 are allowed"):
        files.write_own_json(tmp_path / "file", ["x" * 200])
    assert list(tmp_path.iterdir()) == []


def test_a_file_the_user_named_may_be_a_link_but_not_a_pipe(tmp_path: Path) -> None:
    (tmp_path / "suite").write_text("x")
    (tmp_path / "link").symlink_to("suite")
    os.mkfifo(tmp_path / "pipe")
    assert files.read_user_file(tmp_path / "link") == b"x"
    for path in (tmp_path / "pipe", Path("/dev/zero"), tmp_path):
        with pytest.raises(UnsafeFileError, match="not a regular file"):
            files.read_user_file(path)
    with pytest.raises(UnsafeFileError, match="the maximum is 0"):
        files.read_user_file(tmp_path / "link", 0)


@pytest.mark.parametrize("umask", [0, 0o002, 0o022, 0o077])
def test_nobody_else_may_write_whatever_the_umask_says(umask: int, tmp_path: Path) -> None:
    before = os.umask(umask)
    try:
        safe_files.make_directory(tmp_path / "s1")
        files.write_own_json(tmp_path / "s1" / "test.json", {})
        StatusFile(tmp_path / "s1" / "status").set("CREATED", "x")
        safe_files.make_mark(tmp_path / "s1" / "RUN_COMPLETE")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "s1").stat().st_mode) == 0o755 & ~umask
    for path in (tmp_path / "s1").iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o644 & ~umask, path


def test_whose_a_directory_is(tmp_path: Path) -> None:
    (tmp_path / "s1").mkdir()
    (tmp_path / "file").touch()
    (tmp_path / "own link").symlink_to("s1")
    assert is_mine(tmp_path / "s1")
    # Pavilion has such ones.
    assert is_mine(tmp_path / "own link")
    assert not is_mine(tmp_path / "file")
    assert not is_mine(tmp_path / "none")


@needs_root
def test_whose_a_directory_of_others_is(tmp_path: Path) -> None:
    (tmp_path / "s1").mkdir()
    (tmp_path / "mine").mkdir()
    (tmp_path / "their link").symlink_to("mine")
    (tmp_path / "to theirs").symlink_to("s1")
    os.chown(tmp_path / "s1", OTHER, OTHER)
    os.lchown(tmp_path / "their link", OTHER, OTHER)
    assert not is_mine(tmp_path / "s1")
    assert not is_mine(tmp_path / "their link")
    assert not is_mine(tmp_path / "to theirs")


@needs_root
@pytest.mark.parametrize("writer", ["append", "mark", "status"])
def test_nothing_is_written_in_the_directory_of_another(writer: str, tmp_path: Path) -> None:
    folder = tmp_path / "s1.1"
    folder.mkdir()
    (folder / "old").write_text("x\n")
    os.chown(folder, OTHER, OTHER)
    for name in ("new", "old"):
        with pytest.raises((UnsafeFileError, TestRunError), match="another user"):
            WRITERS[writer](folder / name)
    with pytest.raises(UnsafeFileError, match="another user"):
        files.write_own_json(folder / "info.json", {})
    assert [path.name for path in folder.iterdir()] == ["old"]
    assert (folder / "old").read_text() == "x\n"


@needs_root
def test_a_file_of_another_in_ones_own_directory(tmp_path: Path) -> None:
    path = tmp_path / "info.json"
    path.write_text("{}\n")
    os.chown(path, OTHER, OTHER)
    for reader in ("read_json", "read_tail", "quotable_tail"):
        with pytest.raises(UnsafeFileError, match=str(OTHER)):
            READERS[reader](path)
    with pytest.raises(TestRunError, match=str(OTHER)):
        StatusFile(path).set("CREATED", "x")
    assert path.read_text() == "{}\n"


@needs_root
def test_what_a_colleague_wrote_may_be_read_but_not_quoted(tmp_path: Path) -> None:
    folder = tmp_path / "s1.1"
    folder.mkdir()
    (folder / "status").write_text("1.0 RUNNING yes\n")
    for path in (folder / "status", folder):
        os.chown(path, OTHER, OTHER)
    assert StatusFile(folder / "status").current().state == "RUNNING"
    with pytest.raises(UnsafeFileError, match="another user"):
        safe_files.quotable_tail(folder / "status", 10)


@needs_root
def test_a_file_system_that_changes_owners_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: OTHER)
    with pytest.raises(UnsafeFileError, match="changes the owners of files"):
        safe_files.make_directory(tmp_path / "s1")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("when", ["inf", "nan", "1e300", "-1", "1e12"])
def test_a_state_of_no_time_is_not_one(when: str, tmp_path: Path) -> None:
    (tmp_path / "status").write_text(f"1.5 RUNNING a\n{when} COMPLETE b\n")
    assert StatusFile(tmp_path / "status").current().state == "RUNNING"


@pytest.mark.parametrize("text", ["[" * 100_000, "9" * 5000, "{", "nul"])
def test_bad_json_is_a_value_error_soon(text: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text(text)
    with pytest.raises(ValueError, match="JSON") as caught:
        files.read_json(tmp_path / "file")
    assert len(str(caught.value)) < 500
