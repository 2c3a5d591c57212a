"""Removing directories: links, modes, mounts, other users' files, and others at the same work."""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import pavilion.removing
from pavilion.removing import DiskUse, RemovalError, mounts_below, remove_tree

OTHER = 12345
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can make files of others")


def test_links_are_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").touch()
    tree = tmp_path / "tree"
    (tree / "sub").mkdir(parents=True)
    (tree / "link").symlink_to(outside)
    (tree / "sub" / "file").symlink_to(outside / "file")
    os.mkfifo(tree / "pipe")
    remove_tree(tree)
    assert not tree.exists()
    assert (outside / "file").exists()
    link = tmp_path / "link"
    link.symlink_to(outside)
    with pytest.raises(RemovalError, match="not a directory of yours"):
        remove_tree(link)
    assert (outside / "file").exists()
    # What is not there is fine.
    remove_tree(tree)


@pytest.fixture
def others_tree() -> Iterator[Path]:
    """A directory of another user, in a place that they can reach."""
    root = Path(tempfile.mkdtemp())
    os.chown(root, OTHER, OTHER)
    yield root
    shutil.rmtree(root)


def as_other(tree: Path) -> str:
    """Remove a directory as another user; gives the error, or nothing."""
    read, write = os.pipe()
    pid = os.fork()
    if not pid:
        code = 1
        try:
            os.setgroups([])
            os.setgid(OTHER)
            os.setuid(OTHER)
            try:
                remove_tree(tree)
            except RemovalError as exc:
                os.write(write, str(exc).encode())
            code = 0
        finally:
            os._exit(code)
    os.close(write)
    with os.fdopen(read, "rb") as file:
        text = file.read().decode()
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    return text


@needs_root
def test_modes_are_changed_where_that_is_needed(others_tree: Path) -> None:
    """As a user whom modes stop."""
    tree = others_tree / "tree"
    (tree / "a" / "b").mkdir(parents=True)
    (tree / "a" / "b" / "file").touch()
    for path in (tree, tree / "a", tree / "a" / "b", tree / "a" / "b" / "file"):
        os.chown(path, OTHER, OTHER)
    (tree / "a" / "b").chmod(0)
    (tree / "a").chmod(0o500)
    assert as_other(tree) == ""
    assert not tree.exists()


@needs_root
def test_what_another_user_made_is_reported(others_tree: Path) -> None:
    tree = others_tree / "tree"
    (tree / "foreign").mkdir(parents=True)
    (tree / "foreign" / "file").touch()
    os.chown(tree, OTHER, OTHER)
    assert "cannot be removed" in as_other(tree)
    assert (tree / "foreign" / "file").exists()
    os.chown(tree, 0, 0)
    assert "not a directory of yours" in as_other(tree)


def test_nothing_is_removed_where_something_is_mounted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # /proc is mounted everywhere.
    assert mounts_below(Path("/proc"))[0] == "/proc"
    assert "/proc" in mounts_below(Path("/"))
    assert mounts_below(tmp_path) == []
    tree = tmp_path / "tree"
    tree.mkdir()
    monkeypatch.setattr(pavilion.removing, "mounts_below", lambda path: [f"{path}/work"])
    with pytest.raises(RemovalError, match=r"mounted on .*/work"):
        remove_tree(tree)
    assert tree.exists()


def test_several_remove_the_same(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    for number in range(200):
        (tree / f"d{number}" / "sub").mkdir(parents=True)
    errors: list[Exception] = []

    def remove() -> None:
        try:
            remove_tree(tree)
        except Exception as exc:
            errors.append(exc)

    threads = [threading.Thread(target=remove) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # Whoever comes last sees that it is gone.
    remove_tree(tree)
    assert not tree.exists()
    assert [str(error) for error in errors] == []


def test_disk_use_counts_a_file_once(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    file = tmp_path / "file"
    file.write_bytes(b"x" * 100_000)
    alone = DiskUse().of(tmp_path)
    os.link(file, tmp_path / "sub" / "again")
    use = DiskUse()
    assert use.of(tmp_path) == alone >= 100_000
    assert use.of(tmp_path / "sub") < 100_000
