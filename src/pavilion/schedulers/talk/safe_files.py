"""The only module that opens files of series, test runs and jobs.

A working directory may be shared with people we do not trust: they can create their own directories
in ``series/`` and ``jobs/``, with any content.  So these rules apply to reading and writing:

- Only regular files are opened: links are not followed, and there is no waiting for pipes and
  devices.  Links to directories are followed if this user made them.
- The number of bytes that are read is limited.
- A series, test run or job belongs to the owner of its directory.  Nobody else writes there, not
  even root: see :func:`is_mine`.
- A file is only written to if it belongs to this user and has no other name: a hard link may lead
  to a file elsewhere.
- A file is only read if it belongs to this user, to root or to the owner of its directory.
- A file is only copied into another one (:func:`quotable_tail`) if it may be written to.

A directory may be replaced by another one between its check and the opening of a file in it.  This is
harmless, because the file itself is checked after it was opened.

This module only uses the standard library, so that the host can use it for its own files.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from typing import Union

AnyPath = Union[str, "os.PathLike[str]"]

# The maximum number of bytes that are read from a file of ours, far more than any of them has.
MAX_FILE_SIZE = 32 * 1024 * 1024
# Everybody may read, only the owner may write; the umask may restrict this further.
FILE_MODE = 0o644
DIRECTORY_MODE = 0o755

_SAFELY = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class UnsafeFileError(OSError):
    """A file or directory does not fulfil the rules of this module, and was neither read nor
    written.

    ``strerror`` says what is wrong, as a clause that begins with 'it'.
    """

    def __init__(self, path: AnyPath, problem: str) -> None:
        super().__init__(errno.EPERM, problem, os.fspath(path))

    def __str__(self) -> str:
        return f"{self.filename}: {self.strerror}"


# --- Whose is it? ---


def is_mine(directory: AnyPath) -> bool:
    """Whether a series, test run or job belongs to this user; only its owner may write to it.

    :param directory: Its directory, or a link to it that this user made.  False for any other link,
        and for a directory that does not exist.
    """
    try:
        check_mine(directory)
    except OSError:
        return False
    return True


def check_mine(directory: AnyPath) -> None:
    """Check that this user may write to a directory.

    :raises UnsafeFileError: When it belongs to another user, or is not a directory.
    :raises OSError: When this cannot be determined, for example because it does not exist.
    """
    info = os.lstat(directory)
    if stat.S_ISLNK(info.st_mode) and info.st_uid == os.geteuid():
        # Pavilion refers to the directory of a job by a link in that of the test.
        info = os.stat(directory)  # noqa: PTH116
    if not stat.S_ISDIR(info.st_mode):
        raise UnsafeFileError(directory, f"it must be a directory, but is {kind_of(info)}")
    if info.st_uid != os.geteuid():
        raise UnsafeFileError(
            directory,
            f"it belongs to another user (uid {info.st_uid}), and only that user may write there",
        )


def kind_of(info: os.stat_result) -> str:
    """The kind of a file, in words with an article."""
    for is_kind, name in (
        (stat.S_ISREG, "a regular file"),
        (stat.S_ISDIR, "a directory"),
        (stat.S_ISLNK, "a link"),
        (stat.S_ISFIFO, "a named pipe"),
        (stat.S_ISSOCK, "a socket"),
    ):
        if is_kind(info.st_mode):
            return name
    return "a device"


# --- Reading ---


def open_regular(
    path: AnyPath, flags: int = os.O_RDONLY, mode: int = FILE_MODE
) -> tuple[int, os.stat_result]:
    """Open a regular file, without following a link or waiting for anything.

    :param flags: Those of ``os.open``.  Do not pass O_TRUNC: it takes effect before the file is
        checked.
    :param mode: The mode of a file that is created.
    :returns: Its descriptor, which the caller has to close, and its status.
    :raises UnsafeFileError: When it is not a regular file.
    :raises OSError: When it cannot be opened.
    """
    try:
        fd = os.open(path, flags | _SAFELY, mode)
    except OSError as exc:
        # A link, or a pipe without a reader.
        if exc.errno in (errno.ELOOP, errno.EMLINK, errno.ENXIO):
            raise _irregular(path) from exc
        raise
    try:
        info = os.fstat(fd)
        if not stat.S_ISREG(info.st_mode):
            raise UnsafeFileError(path, f"it is not a regular file but {kind_of(info)}")
    except BaseException:
        os.close(fd)
        raise
    return fd, info


def _irregular(path: AnyPath) -> UnsafeFileError:
    try:
        what = f" but {kind_of(os.lstat(path))}"
    except OSError:
        what = ""
    return UnsafeFileError(path, f"it is not a regular file{what}")


def open_to_read(path: AnyPath) -> tuple[int, os.stat_result]:
    """Open a regular file of this user, of root, or of the owner of its directory.

    :returns: As for :func:`open_regular`.
    :raises UnsafeFileError: When it is not a regular file, or belongs to another user.
    :raises OSError: When it cannot be opened.
    """
    fd, info = open_regular(path)
    try:
        if info.st_uid not in (os.geteuid(), 0):
            # The directory is only checked here, because most files belong to the user who reads
            # them.
            _check_reader(path, info)
    except BaseException:
        os.close(fd)
        raise
    return fd, info


def _check_reader(path: AnyPath, info: os.stat_result) -> None:
    owner = os.lstat(os.path.dirname(os.path.abspath(path))).st_uid  # noqa: PTH100, PTH120
    if info.st_uid != owner:
        raise UnsafeFileError(
            path,
            f"it belongs to the user with uid {info.st_uid}, but its directory belongs to the user "
            f"with uid {owner}",
        )


def read_bytes(path: AnyPath, limit: int = MAX_FILE_SIZE, owners: bool = True) -> bytes:
    """The content of a file; see :func:`open_to_read`.

    :param limit: The maximum size in bytes.
    :param owners: Whether to check the owner.
    :raises UnsafeFileError: When it is larger, or must not be read.
    :raises OSError: When it cannot be read.
    """
    fd, info = open_to_read(path) if owners else open_regular(path)
    try:
        # Reading one more byte shows whether the file has grown, usually with a single call.
        data = _read_up_to(fd, min(info.st_size, limit) + 1)
        if len(data) > info.st_size:
            data += _read_up_to(fd, limit + 1 - len(data))
    finally:
        os.close(fd)
    if len(data) > limit or info.st_size > limit:
        raise UnsafeFileError(
            path, f"it has {max(info.st_size, len(data))} bytes; the maximum is {limit}"
        )
    return data


def read_linked(path: AnyPath, limit: int = MAX_FILE_SIZE) -> bytes:
    """The content of a regular file that was named by the user, whoever owns it.  Links are followed.

    :param limit: The maximum size in bytes.
    :raises UnsafeFileError: When it is larger, or is not a regular file.
    :raises OSError: When it cannot be read.
    """
    return read_bytes(os.path.realpath(path), limit, owners=False)


def read_start(path: AnyPath, size: int) -> tuple[bytes, os.stat_result]:
    """The first bytes of a file, and its status.

    :param size: The maximum number of bytes.
    :raises UnsafeFileError, OSError: As for :func:`open_to_read`.
    """
    fd, info = open_to_read(path)
    try:
        return _read_up_to(fd, size), info
    finally:
        os.close(fd)


def read_tail(path: AnyPath, size: int) -> bytes:
    """The last bytes of a file.

    :param size: The maximum number of bytes.
    :raises UnsafeFileError, OSError: As for :func:`open_to_read`.
    """
    fd, info = open_to_read(path)
    try:
        return _tail(fd, info, size)
    finally:
        os.close(fd)


def quotable_tail(path: AnyPath, size: int) -> bytes:
    """The last bytes of a file of this user, to be copied into another file, which may be read by
    people who cannot read this one.

    :param size: The maximum number of bytes.
    :raises UnsafeFileError: When it, or its directory, does not belong to this user.
    :raises OSError: When it cannot be read.
    """
    _check_directory_of(path)
    fd, info = open_regular(path)
    try:
        _check_own(path, info)
        return _tail(fd, info, size)
    finally:
        os.close(fd)


def _tail(fd: int, info: os.stat_result, size: int) -> bytes:
    if info.st_size > size:
        os.lseek(fd, info.st_size - size, os.SEEK_SET)
    return _read_up_to(fd, size)


def _read_up_to(fd: int, size: int) -> bytes:
    data = os.read(fd, size)
    if not data or len(data) == size:
        return data
    # A short read usually means the end of the file.
    parts, left = [data], size - len(data)
    while left and data:
        data = os.read(fd, left)
        parts.append(data)
        left -= len(data)
    return b"".join(parts)


# --- Writing ---


def open_to_append(path: AnyPath, mode: int = FILE_MODE) -> tuple[int, os.stat_result]:
    """Open a file of this user for reading and appending.  It is created if it does not exist.

    :returns: As for :func:`open_regular`.
    :raises UnsafeFileError: When it, or its directory, does not belong to this user.
    :raises OSError: When it cannot be opened.
    """
    _check_directory_of(path)
    return _open_own(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, mode)


def open_to_write(path: AnyPath, mode: int = FILE_MODE) -> tuple[int, os.stat_result]:
    """Open a file of this user, in any directory, for writing, and truncate it.  It is created if it
    does not exist.

    :returns: As for :func:`open_regular`.
    :raises UnsafeFileError: When it does not belong to this user.
    :raises OSError: When it cannot be opened.
    """
    fd, info = _open_own(path, os.O_WRONLY | os.O_CREAT, mode)
    try:
        if info.st_size:
            os.ftruncate(fd, 0)
    except BaseException:
        os.close(fd)
        raise
    return fd, info


def _open_own(path: AnyPath, flags: int, mode: int) -> tuple[int, os.stat_result]:
    fd, info = open_regular(path, flags, mode)
    try:
        _check_own(path, info)
    except BaseException:
        os.close(fd)
        raise
    return fd, info


def _check_directory_of(path: AnyPath) -> None:
    check_mine(os.path.dirname(path) or ".")  # noqa: PTH120 (as text: done for every line)


def _check_own(path: AnyPath, info: os.stat_result) -> None:
    if info.st_uid != os.geteuid():
        raise UnsafeFileError(path, f"it belongs to another user (uid {info.st_uid})")
    if info.st_nlink > 1:
        raise UnsafeFileError(
            path, f"it has {info.st_nlink} names (hard links), so it may be a file from elsewhere"
        )


def write_all(fd: int, data: bytes) -> None:
    """Write to an open file.  :raises OSError: When not all of it can be written."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def write_new(
    path: AnyPath, data: bytes, sync: bool = False, mode: int = FILE_MODE, anywhere: bool = False
) -> None:
    """Write a file that does not exist yet.

    :param sync: Wait until the content is on disk.  Use it for data that must survive a crash of the
        machine, such as the id of a submitted job.
    :param anywhere: Also write to a directory of another user, where the permissions allow it.
    :raises FileExistsError: When it exists, even as a dangling link.
    :raises UnsafeFileError: When its directory does not belong to this user.
    :raises OSError: When it cannot be written.  A part of it may have been written.
    """
    if not anywhere:
        _check_directory_of(path)
    # The kernel applies the umask; tempfile's 0600 would shut out the rest of a group.
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _SAFELY, mode)
    try:
        write_all(fd, data)
        if sync:
            os.fsync(fd)
    finally:
        os.close(fd)


def write_atomic(
    path: AnyPath, data: bytes, sync: bool = False, mode: int = FILE_MODE, anywhere: bool = False
) -> None:
    """Replace a file's content in one step.  If there is a link, it is replaced, not followed.

    :param sync, anywhere: As in :func:`write_new`.
    :raises UnsafeFileError: When its directory does not belong to this user.
    :raises OSError: When it cannot be written.  Then the old content is kept.
    """
    # Without pathlib, and without the layers of open(): this is done for every job and every test.
    folder, name = os.path.split(path)
    temp = os.path.join(folder, f".{name}.{os.getpid()}.{os.urandom(4).hex()}")  # noqa: PTH118
    try:
        write_new(temp, data, sync, mode, anywhere)
        os.replace(temp, path)  # noqa: PTH105
    except FileExistsError:
        # The temporary file belongs to another process, however unlikely that is.
        raise
    except BaseException:
        # Report the first error, not a failure to remove the temporary file.
        with contextlib.suppress(OSError):
            os.unlink(temp)  # noqa: PTH108
        raise


def make_mark(path: AnyPath) -> None:
    """Create an empty file, if it does not exist yet.

    :raises UnsafeFileError: When its directory does not belong to this user, or the path is not a
        regular file of this user.
    :raises OSError: When it cannot be created.
    """
    os.close(open_to_append(path)[0])


def make_directory(path: AnyPath, mode: int = DIRECTORY_MODE) -> None:
    """Create a directory that this user may write to.

    :raises FileExistsError: When something of that name exists.
    :raises UnsafeFileError: When the file system assigns it to another user.
    :raises OSError: When it cannot be created.
    """
    os.mkdir(path, mode)  # noqa: PTH102
    try:
        check_mine(path)
    except UnsafeFileError as exc:
        os.rmdir(path)  # noqa: PTH106
        raise UnsafeFileError(
            path,
            f"it was just created by the user with uid {os.geteuid()}, but {exc.strerror}. The "
            "file system changes the owners of files; use another file system",
        ) from exc
