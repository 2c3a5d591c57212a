"""Removing directories of this user, and nothing else: links and mounts are not followed."""

from __future__ import annotations

import os
import shutil
import stat
import time
from collections.abc import Iterator
from pathlib import Path

from pavilion.errors import PavilionError

# What a process that is just ending writes meanwhile may keep a directory from being removed.
_TRIES = 5
_PAUSE = 0.1
# How often somebody else, who removes the same, may be quicker.
_MEETINGS = 10_000


class RemovalError(PavilionError):
    """A directory could not be removed, or must not be."""


def is_own_directory(path: Path) -> bool:
    """Whether this is a directory of this user's, and not a link to one."""
    try:
        info = path.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(info.st_mode) and info.st_uid == os.geteuid()


def remove_tree(path: Path) -> None:
    """Remove a directory with all that is in it.  One that is not there (any more) is fine.

    Links in it are removed and not followed.  If a directory in it cannot be written to, its
    mode is changed.

    :raises RemovalError: When it is not a directory of this user's, when something is mounted in
        it, or when not all of it can be removed.
    """
    last: Exception | None = None
    tries = meetings = 0
    while tries < _TRIES and meetings < _MEETINGS and os.path.lexists(path):
        if not is_own_directory(path):
            raise RemovalError(f"{path} is not a directory of yours.")
        mounted = mounts_below(path)
        if mounted:
            raise RemovalError(f"Something is mounted on {mounted[0]}.")
        try:
            # It works with descriptors: a directory that is swapped for a link is not followed.
            shutil.rmtree(path)
        except FileNotFoundError as exc:
            # Somebody else removes it as well.
            last = exc
            meetings += 1
        except PermissionError as exc:
            last = exc
            tries += 1
            _make_writable(path)
        except (OSError, RecursionError) as exc:
            last = exc
            tries += 1
            time.sleep(_PAUSE)
    if os.path.lexists(path):
        raise RemovalError(f"{path} cannot be removed", prior_error=last)


def mounts_below(path: Path) -> list[str]:
    """The places in a directory, or the directory itself, that something is mounted on."""
    try:
        lines = Path("/proc/self/mountinfo").read_bytes().splitlines()
        root = os.fsencode(path.resolve())
    except OSError:
        return []
    places = [_unescaped(fields[4]) for line in lines if len(fields := line.split(b" ")) > 4]
    return [
        os.fsdecode(place)
        for place in places
        if place == root or place.startswith(root.rstrip(b"/") + b"/")
    ]


def _unescaped(text: bytes) -> bytes:
    r"""A path of mountinfo, where blanks are '\040'."""
    return text.decode("unicode_escape").encode("latin-1") if b"\\" in text else text


def _make_writable(path: Path) -> None:
    """Let this user write to all directories in a directory, as far as they are this user's."""
    todo = [os.fspath(path)]
    while todo:
        directory = todo.pop()
        try:
            # For a directory that must not be read, and never through a link.
            fd = os.open(directory, os.O_PATH | os.O_NOFOLLOW | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError:
            continue
        try:
            mode = stat.S_IMODE(os.fstat(fd).st_mode)
            if mode & stat.S_IRWXU != stat.S_IRWXU:
                os.chmod(f"/proc/self/fd/{fd}", mode | stat.S_IRWXU)  # noqa: PTH101
            with os.scandir(directory) as entries:
                todo += [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]
        except OSError:
            # If one is left as it is, removing it reports that.
            continue
        finally:
            os.close(fd)


class DiskUse:
    """How many bytes directories take, a file with several names counted once."""

    def __init__(self) -> None:
        self._seen: set[tuple[int, int]] = set()

    def of(self, path: Path) -> int:
        """The bytes that removing a directory would free, as far as it can be read."""
        total = 0
        for info in _all_in(os.fspath(path)):
            if info.st_nlink > 1 and not stat.S_ISDIR(info.st_mode):
                if (info.st_dev, info.st_ino) in self._seen:
                    continue
                self._seen.add((info.st_dev, info.st_ino))
            total += info.st_blocks * 512
        return total


def _all_in(path: str) -> Iterator[os.stat_result]:
    """A directory, and what is in it at any depth.  Links are not followed."""
    todo = [path]
    while todo:
        directory = todo.pop()
        try:
            yield os.lstat(directory)
            with os.scandir(directory) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        todo.append(entry.path)
                    else:
                        yield entry.stat(follow_symlinks=False)
        except OSError:
            # It must not be read, or is gone.
            continue
