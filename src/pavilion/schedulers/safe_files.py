"""Opening the files of series, test runs and jobs: the only place that does.

A working directory may be shared with people we do not trust: they may make directories of their
own in ``series/`` and ``jobs/``, with anything in them.  Hence the rules, for readers and writers:

- Links are not followed, pipes and devices are not waited for: only regular files are opened.
  Links to directories are followed where this user made them.
- What is read has a limit.
- A series, test run or job belongs to the owner of its directory.  Nobody else writes there, root
  included: see :func:`is_mine`.
- What is written to is a file of this user that has no other name: a hard link may be a way to a
  file elsewhere.
- What is read belongs to this user, to root or to the owner of its directory.
- What is copied into another file (:func:`quotable_tail`) has to fulfil the rules for writing.

A directory may be swapped for another between its check and the opening of a file in it.  That
gives nothing away: the file itself is checked after it was opened.

The module stands alone: nothing but the standard library, so that the host's files use it too.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from typing import Union

AnyPath = Union[str, "os.PathLike[str]"]

# The most bytes of a file of ours that are read at once: far more than any of them ever has.
MAX_FILE_SIZE = 32 * 1024 * 1024
# Whoever shares the directory may read, nobody else may write; the umask takes its share of this.
FILE_MODE = 0o644
DIRECTORY_MODE = 0o755

_SAFELY = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class UnsafeFileError(OSError):
    """A file or directory is not what it must be, and was neither read nor written.

    ``strerror`` says what is wrong, as the end of a sentence about it.
    """

    def __init__(self, path: AnyPath, problem: str) -> None:
        super().__init__(errno.EPERM, problem, os.fspath(path))

    def __str__(self) -> str:
        return f"{self.filename}: {self.strerror}"


# --- Whose is it? ---


def is_mine(directory: AnyPath) -> bool:
    """Whether a series, test run or job belongs to this user, who alone may write to it.

    :param directory: Its directory, or a link that this user made to one.  Other links are
        nobody's, and so is what is not there.
    """
    try:
        check_mine(directory)
    except OSError:
        return False
    return True


def check_mine(directory: AnyPath) -> None:
    """Check that a directory is one that this user may write to.

    :raises UnsafeFileError: When it belongs to another user, or is not a directory.
    :raises OSError: When it cannot be found out, as of one that does not exist.
    """
    info = os.lstat(directory)
    if stat.S_ISLNK(info.st_mode) and info.st_uid == os.geteuid():
        # Pavilion reaches the directory of a job by a link in that of the test.
        info = os.stat(directory)  # noqa: PTH116
    if not stat.S_ISDIR(info.st_mode):
        raise UnsafeFileError(directory, f"it must be a directory and is {kind_of(info)}")
    if info.st_uid != os.geteuid():
        raise UnsafeFileError(
            directory,
            f"it belongs to another user (number {info.st_uid}), and "
            "only that user may write there",
        )


def kind_of(info: os.stat_result) -> str:
    """What a path leads to, in words."""
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

    :param flags: Those of ``os.open``.  Do not pass O_TRUNC: it acts before the file is checked.
    :param mode: Of a file that is made.
    :returns: Its descriptor, which the caller closes, and what is known of it.
    :raises UnsafeFileError: When it is something else.
    :raises OSError: When it cannot be opened.
    """
    try:
        fd = os.open(path, flags | _SAFELY, mode)
    except OSError as exc:
        # A link; or a pipe that nobody reads from.
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

    :returns, raises: As :func:`open_regular`.
    """
    fd, info = open_regular(path)
    try:
        if info.st_uid not in (os.geteuid(), 0):
            # The directory is of interest only then: most of what is read is one's own.
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
            f"it belongs to user number {info.st_uid}, and its directory to user number {owner}",
        )


def read_bytes(path: AnyPath, limit: int = MAX_FILE_SIZE, owners: bool = True) -> bytes:
    """The content of a file; see :func:`open_to_read`.

    :param limit: The most bytes that it may have.
    :param owners: Whether it matters to whom it belongs.
    :raises UnsafeFileError: When it has more, or must not be read.
    :raises OSError: When it cannot be read.
    """
    fd, info = open_to_read(path) if owners else open_regular(path)
    try:
        # One byte more than it had tells whether it grew meanwhile, mostly with one call.
        data = _read_up_to(fd, min(info.st_size, limit) + 1)
        if len(data) > info.st_size:
            data += _read_up_to(fd, limit + 1 - len(data))
    finally:
        os.close(fd)
    if len(data) > limit or info.st_size > limit:
        raise UnsafeFileError(
            path, f"it has {max(info.st_size, len(data))} bytes, and at most {limit} are read"
        )
    return data


def read_linked(path: AnyPath, limit: int = MAX_FILE_SIZE) -> bytes:
    """The content of a regular file that a user named, whoever owns it: links are followed here.

    :param limit: The most bytes that it may have.
    :raises UnsafeFileError: When it has more, or is something else.
    :raises OSError: When it cannot be read.
    """
    return read_bytes(os.path.realpath(path), limit, owners=False)


def read_start(path: AnyPath, size: int) -> tuple[bytes, os.stat_result]:
    """The first bytes of a file, and what is known of it.  :raises OSError: as read_bytes."""
    fd, info = open_to_read(path)
    try:
        return _read_up_to(fd, size), info
    finally:
        os.close(fd)


def read_tail(path: AnyPath, size: int) -> bytes:
    """The last bytes of a file.  :raises OSError: as read_bytes."""
    fd, info = open_to_read(path)
    try:
        return _tail(fd, info, size)
    finally:
        os.close(fd)


def quotable_tail(path: AnyPath, size: int) -> bytes:
    """The last bytes of a file of this user's, to be copied into another file.

    That other file may be read by people who cannot read this one.

    :raises UnsafeFileError: When it, or its directory, is not this user's.
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
    # A short read: mostly the end of the file.
    parts, left = [data], size - len(data)
    while left and data:
        data = os.read(fd, left)
        parts.append(data)
        left -= len(data)
    return b"".join(parts)


# --- Writing ---


def open_to_append(path: AnyPath, mode: int = FILE_MODE) -> tuple[int, os.stat_result]:
    """Open a file of this user's to add to it, and to read; it is made when it is missing.

    :returns: As :func:`open_regular`.
    :raises UnsafeFileError: When it, or its directory, is not this user's.
    :raises OSError: When it cannot be opened.
    """
    _check_directory_of(path)
    return _open_own(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, mode)


def open_to_write(path: AnyPath, mode: int = FILE_MODE) -> tuple[int, os.stat_result]:
    """Open a file of this user's, in any directory, and empty it; it is made when it is missing.

    :returns: As :func:`open_regular`.
    :raises UnsafeFileError: When it is not this user's.
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
        raise UnsafeFileError(path, f"it belongs to another user (number {info.st_uid})")
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

    :param sync: Wait until the content is on disk.  For what must survive a crash of the
        machine, such as the id of a submitted job.
    :param anywhere: Also in the directory of another user, where that is allowed.
    :raises FileExistsError: When it exists, be it as a link that leads nowhere.
    :raises UnsafeFileError: When its directory is not this user's.
    :raises OSError: When it cannot be written.  A part of it may be there.
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
    """Replace a file's content in one step.  A link in its place is replaced, not followed.

    :param sync, anywhere: As in :func:`write_new`.
    :raises UnsafeFileError: When its directory is not this user's.
    :raises OSError: When it cannot be written.  The old content is still there then.
    """
    # As text, and without the layers of open(): this is done for every job and every test.
    folder, name = os.path.split(path)
    temp = os.path.join(folder, f".{name}.{os.getpid()}.{os.urandom(4).hex()}")  # noqa: PTH118
    try:
        write_new(temp, data, sync, mode, anywhere)
        os.replace(temp, path)  # noqa: PTH105
    except FileExistsError:
        # Another's, however unlikely.
        raise
    except BaseException:
        # What it was about is the first error, not that there is nothing to tidy up.
        with contextlib.suppress(OSError):
            os.unlink(temp)  # noqa: PTH108
        raise


def make_mark(path: AnyPath) -> None:
    """Make an empty file, if it is not there yet.

    :raises UnsafeFileError: When its directory is not this user's, or something else is there.
    :raises OSError: When it cannot be made.
    """
    os.close(open_to_append(path)[0])


def make_directory(path: AnyPath, mode: int = DIRECTORY_MODE) -> None:
    """Make a directory that is this user's to write to.

    :raises FileExistsError: When something of that name is there.
    :raises UnsafeFileError: When the file system gives it to somebody else.
    :raises OSError: When it cannot be made.
    """
    os.mkdir(path, mode)  # noqa: PTH102
    try:
        check_mine(path)
    except UnsafeFileError as exc:
        os.rmdir(path)  # noqa: PTH106
        raise UnsafeFileError(
            path,
            f"it was just made by user number {os.geteuid()}, but "
            f"{exc.strerror}. The file system changes the owners of files; "
            "use another one",
        ) from exc
