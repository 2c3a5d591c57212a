"""The files of the host: small ones that a reader never sees half of, and JSON.

All are opened by :mod:`pavilion.schedulers.talk.safe_files`, which has the rules of a shared working
directory.  It is there because the schedulers directory is complete on its own, and it is imported
where it is used because that package imports this one.
json is imported where it is used, too: every plugin imports this module, and most write nothing.
"""

from __future__ import annotations

import functools
import io
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    import json

# The most bytes of a file that a user wrote: a suite, or settings.
MAX_USER_FILE = 16 * 1024 * 1024
# More digits than any number that is stored has.
_MAX_DIGITS = 100


def write_new(path: str | os.PathLike[str], text: str, mode: int | None = None) -> None:
    """Write a file of a series, test run or job that does not exist yet.

    :param mode: The file's mode, before the umask; by default 0644.
    :raises FileExistsError: When it exists.
    :raises OSError: When it cannot be written.  A part of it may be there.
    """
    from pavilion.schedulers.talk import safe_files

    safe_files.write_new(path, _encode(text), mode=safe_files.FILE_MODE if mode is None else mode)


def write_script(path: str | os.PathLike[str], text: str) -> None:
    """Write a file and make it executable for those who may read it.

    A file that exists keeps the rest of its mode; so to get a certain mode, make it first.

    :raises OSError: When it cannot be written.
    """
    from pavilion.schedulers.talk import safe_files

    fd, info = safe_files.open_to_write(path, 0o666)
    try:
        safe_files.write_all(fd, _encode(text))
        mode = stat.S_IMODE(info.st_mode)
        os.fchmod(fd, mode | ((mode & 0o444) >> 2))
    finally:
        os.close(fd)


def _encode(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def write_own(path: Path, text: str, mode: int | None = None) -> None:
    """Replace the content of a file of a series, test run or job in one step.

    :param mode: The file's mode, before the umask; by default 0644.
    :raises OSError: When it cannot be written, as in a directory that is another user's.  The old
        content is still there then.
    """
    from pavilion.schedulers.talk import safe_files

    safe_files.write_atomic(
        path, _encode(text), mode=safe_files.FILE_MODE if mode is None else mode
    )


def write_own_json(path: Path, data: Any) -> None:
    """Replace the content of a file of a series, test run or job by this data as JSON.

    :raises OSError: as write_own; also when it is more than read_json would read.
    """
    write_own(path, _json(path, data))


def write_json(path: Path, data: Any, sync: bool = False) -> None:
    """Replace a file's content by this data as JSON, in one step and in any directory.

    :param sync: Wait until the content is on disk.  For what must survive a crash of the machine.
    :raises OSError: as write_own.
    """
    from pavilion.schedulers.talk import safe_files

    safe_files.write_atomic(path, _encode(_json(path, data)), sync, mode=0o666, anywhere=True)


def _json(path: Path, data: Any) -> str:
    import json

    from pavilion.schedulers.talk import safe_files

    text = json.dumps(data, separators=(",", ":")) + "\n"
    if len(text) > safe_files.MAX_FILE_SIZE:
        raise safe_files.UnsafeFileError(
            path,
            f"it would have {len(text)} bytes, and at most {safe_files.MAX_FILE_SIZE} are allowed",
        )
    return text


def read_json(path: Path) -> Any:
    """The data in a JSON file.

    :raises OSError: When it cannot, or must not, be read.
    :raises ValueError: When it is not valid JSON; the message names the file.
    """
    from pavilion.schedulers.talk import safe_files

    data = safe_files.read_bytes(path)
    try:
        return _decoder().decode(data.decode("utf-8", "surrogateescape"))
    except ValueError as exc:
        raise ValueError(f"{path} is not valid JSON: {exc}") from exc
    except RecursionError as exc:
        raise ValueError(f"The JSON in {path} is nested too deeply.") from exc


@functools.cache
def _decoder() -> json.JSONDecoder:
    import json

    return json.JSONDecoder(parse_int=_int)


def _int(text: str) -> int:
    # The time that int() takes grows with the square of the digits.
    if len(text) > _MAX_DIGITS:
        raise ValueError(f"a number of {len(text)} digits")
    return int(text)


def read_user_file(path: str | os.PathLike[str], limit: int = MAX_USER_FILE) -> bytes:
    """The content of a file that a user named; here, links are followed.

    :raises OSError: When it cannot be read, is not a regular file or has more than ``limit`` bytes.
    """
    from pavilion.schedulers.talk import safe_files

    return safe_files.read_linked(path, limit)


class _NamedBytes(io.BytesIO):
    """The content of a file, with the file's name."""

    name: str


def open_user_file(path: str | os.PathLike[str], limit: int = MAX_USER_FILE) -> BinaryIO:
    """The same as an open file, with a name."""
    file = _NamedBytes(read_user_file(path, limit))
    file.name = os.fspath(path)
    return file


MISSING = "does not exist"


def directory_problem(path: Path) -> str:
    """Why a directory cannot be listed: MISSING, or 'is ...'; '' when it can."""
    try:
        with os.scandir(path):
            return ""
    except FileNotFoundError:
        if path.is_symlink():
            return f"is a link to something that does not exist: {path.readlink()}"
        return MISSING
    except NotADirectoryError:
        return "is not a directory"
    except OSError as exc:
        return f"cannot be read: {exc.strerror or exc}"


def is_mine(directory: str | os.PathLike[str]) -> bool:
    """Whether a series, test run or job belongs to this user, who alone may write to it."""
    from pavilion.schedulers.talk import safe_files

    return safe_files.is_mine(directory)


def make_directory(path: str | os.PathLike[str]) -> None:
    """Make the directory of a series, test run or job.

    :raises FileExistsError: When something of that name is there.
    :raises OSError: When it cannot be made, or would not be this user's.
    """
    from pavilion.schedulers.talk import safe_files

    safe_files.make_directory(path)


def make_mark(path: str | os.PathLike[str]) -> None:
    """Make an empty file of a test run, if it is not there yet.

    :raises OSError: When it cannot be made, as in a directory that is another user's.
    """
    from pavilion.schedulers.talk import safe_files

    safe_files.make_mark(path)


def append_line(path: str | os.PathLike[str], line: bytes) -> None:
    """Add a line to a file of a test run, with one write.

    :param line: The line, without its end.
    :raises OSError: When not all of it can be written, or the file is not this user's.
    """
    from pavilion.schedulers.talk import safe_files

    fd, info = safe_files.open_to_append(path)
    try:
        # A writer that was killed, or a full disk, can leave a line without its end.  Starting
        # a new line keeps that from swallowing this one; should two writers do so at once, the
        # reader skips the blank line.
        end = info.st_size
        data = (b"" if not end or os.pread(fd, 1, end - 1) == b"\n" else b"\n") + line + b"\n"
        written = os.write(fd, data)
    finally:
        os.close(fd)
    if written != len(data):
        raise OSError(f"only {written} of {len(data)} bytes could be written (disk full?)")


def read_tail(path: str | os.PathLike[str], size: int) -> bytes:
    """The last bytes of a file of a test run or job.

    :raises OSError: When it cannot, or must not, be read.
    """
    from pavilion.schedulers.talk import safe_files

    return safe_files.read_tail(path, size)


def open_log(path: str | os.PathLike[str]) -> BinaryIO:
    """Open a log of a test run or job, to read it.

    :raises OSError: When it cannot, or must not, be read.
    """
    from pavilion.schedulers.talk import safe_files

    return os.fdopen(safe_files.open_to_read(path)[0], "rb")
