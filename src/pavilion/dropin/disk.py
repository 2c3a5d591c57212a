"""The changes that are made to a checkout, each as small as possible."""

from __future__ import annotations

import ctypes
import errno
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Union

from pavilion.files import write_json

# A file in a directory that we made, which says what the directory is.
MARKER = ".pavilion-schedulers.json"
# Name in a directory -> the file or directory to copy, or the string to write.
Files = Mapping[str, Union[Path, str]]

_NO_CACHES = shutil.ignore_patterns("__pycache__", "*.pyc")
_AT_FDCWD = -100
_RENAME_EXCHANGE = 2
# The errors of kernels, C libraries and file systems that cannot exchange names.
_CANNOT = {errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP, errno.ENOTTY}


class Disk:
    """Changes files.  If a method is interrupted, it leaves either the old or the new state; the
    exceptions are ``copy``, ``fill`` and ``remove``.

    All methods raise OSError.
    """

    def rename(self, old: Path, new: Path) -> None:
        """Rename something; the new name must not exist."""
        if os.path.lexists(new):
            raise FileExistsError(errno.EEXIST, "already exists", str(new))
        old.rename(new)
        self.sync(new.parent)

    def exchange(self, one: Path, other: Path) -> bool:
        """Exchange two names in one step.

        :returns: False, and nothing was done, if the system does not support this.
        """
        renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
        if renameat2 is None:
            return False
        if (
            renameat2(
                _AT_FDCWD,
                os.fsencode(one),
                _AT_FDCWD,
                os.fsencode(other),
                ctypes.c_uint(_RENAME_EXCHANGE),
            )
            == 0
        ):
            self.sync(one.parent)
            return True
        code = ctypes.get_errno()
        if code in _CANNOT:
            return False
        raise OSError(code, os.strerror(code), str(one), None, str(other))

    def symlink(self, target: str, path: Path) -> None:
        """Make a link."""
        path.symlink_to(target)

    def copy(self, source: Path, path: Path, marker: Mapping[str, Any], more: Files) -> None:
        """Copy a directory.

        :param marker: The content of its marker file.
        :param more: Further files for its ``plugins``.
        """
        shutil.copytree(source, path, ignore=_NO_CACHES)
        if more:
            add_files(path / "plugins", more)
        write_json(path / MARKER, marker, sync=True)

    def fill(self, path: Path, marker: Mapping[str, Any], files: Files) -> None:
        """Create a directory with some files.

        :param marker: The content of its marker file.
        """
        path.mkdir()
        add_files(path, files)
        write_json(path / MARKER, marker, sync=True)

    def remove(self, path: Path) -> None:
        """Remove a link, file or directory, if it exists."""
        if path.is_symlink() or not path.is_dir():
            path.unlink(missing_ok=True)
        else:
            shutil.rmtree(path)

    def write_record(self, path: Path, data: Mapping[str, Any]) -> None:
        """Replace a record."""
        write_json(path, data, sync=True)
        self.sync(path.parent)

    def sync(self, folder: Path) -> None:
        """Write the names in a directory to disk."""
        fd = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(fd)
        except OSError as exc:
            # Not all file systems can do that for directories.
            if exc.errno not in (errno.EINVAL, errno.EBADF, errno.EOPNOTSUPP):
                raise
        finally:
            os.close(fd)


def add_files(folder: Path, files: Files) -> None:
    """Copy or write files into a directory.

    :raises FileExistsError: When it already contains one of them.
    :raises OSError: When a file cannot be read or written.
    """
    for name, item in files.items():
        target = folder / name
        if os.path.lexists(target):
            raise FileExistsError(errno.EEXIST, "already exists", str(target))
        if isinstance(item, str):
            target.write_text(item, encoding="utf-8")
        elif item.is_dir():
            shutil.copytree(item, target, ignore=_NO_CACHES)
        else:
            shutil.copy2(item, target)


def read_marker(folder: Path) -> dict[str, Any] | None:
    """The content of the marker of a directory; None for a directory that is not ours."""
    try:
        data = json.loads((folder / MARKER).read_bytes())
    except (OSError, ValueError):
        return None
    return data if isinstance(data, dict) and isinstance(data.get("token"), str) else None
