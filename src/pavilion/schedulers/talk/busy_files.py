"""Execute a file that this program has just written.

A file that anyone has open for writing cannot be executed (ETXTBSY).  A process that another thread
forks while the file is written has it open, too, until it executes its own program.
"""

# Scripts that wait in large numbers import this module without its package, so it imports little.

from __future__ import annotations

import errno
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    T = TypeVar("T")

# Seconds to wait for other processes to close a file, and between two attempts.
BUSY_WAIT = 10.0
BUSY_PAUSE = 0.005


def when_not_busy(execute: Callable[[], T]) -> T:
    """Call what executes a file, and again while the file is busy, for up to ten seconds.

    :raises OSError: What it raises; ETXTBSY only if the file is busy for longer than that.
    """
    deadline = time.monotonic() + BUSY_WAIT
    while True:
        try:
            return execute()
        except OSError as exc:
            if exc.errno != errno.ETXTBSY or time.monotonic() >= deadline:
                raise
        time.sleep(BUSY_PAUSE)
