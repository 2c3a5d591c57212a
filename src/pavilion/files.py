"""Writing small files so that a reader never sees half of one.

json is imported where it is used: every plugin imports this, and most uses of one write nothing.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any


def write_atomic(path: Path, text: str, sync: bool = False) -> None:
    """Replace a file's content in one step.

    :param sync: Wait until the content is on disk.  For what must survive a crash of the
        machine, such as the id of a submitted job.
    :raises OSError: When it cannot be written.  The old content is still there then.
    """
    # As text, and without the layers of open(): this is done for every job and every test.
    folder, name = os.path.split(path)
    temp = os.path.join(folder, f".{name}.{os.getpid()}.{os.urandom(4).hex()}")  # noqa: PTH118
    try:
        write_new(temp, text, sync)
        os.replace(temp, path)  # noqa: PTH105
    except FileExistsError:
        # Another's, however unlikely.
        raise
    except BaseException:
        # What it was about is the first error, not that there is nothing to tidy up.
        with contextlib.suppress(OSError):
            os.unlink(temp)  # noqa: PTH108
        raise


def write_new(path: str | os.PathLike[str], text: str, sync: bool = False) -> None:
    """Write a file that does not exist yet.

    :param sync: As in write_atomic.
    :raises FileExistsError: When it exists.
    :raises OSError: When it cannot be written.  A part of it may be there.
    """
    # The kernel applies the umask; tempfile's 0600 would shut out the rest of the group.
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        write_all(fd, text)
        if sync:
            os.fsync(fd)
    finally:
        os.close(fd)


def write_all(fd: int, text: str) -> None:
    """Write text to an open file.  :raises OSError: When not all of it can be written."""
    data = memoryview(text.encode("utf-8", "surrogateescape"))
    while data:
        data = data[os.write(fd, data):]


def write_json(path: Path, data: Any, sync: bool = False) -> None:
    """Replace a file's content by this data as JSON.  :raises OSError: as write_atomic."""
    import json
    write_atomic(path, json.dumps(data, separators=(",", ":")) + "\n", sync=sync)


def read_json(path: Path) -> Any:
    """The data in a JSON file.

    :raises OSError: When it cannot be read.
    :raises ValueError: When it holds no JSON; the message names the file.
    """
    import json
    data = path.read_bytes()
    try:
        return json.loads(data.decode("utf-8", "surrogateescape"))
    except ValueError as exc:
        raise ValueError(f"{path} holds no valid JSON: {exc}") from exc
    except RecursionError as exc:
        raise ValueError(f"{path} holds JSON that is nested too deeply.") from exc
