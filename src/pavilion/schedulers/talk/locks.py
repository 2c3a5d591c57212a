"""Locks on open files, which end with the process that holds them.

They concern only processes that use them.  Some file systems have none, as well as network file
systems without a lock server.
"""

from __future__ import annotations

import fcntl


def try_lock(fd: int, shared: bool = False) -> bool:
    """Lock an open file, without waiting.

    :param shared: Let others hold it as well, if they also share it.
    :returns: False when somebody else holds the lock.
    :raises OSError: When the file cannot be locked at all.
    """
    try:
        fcntl.flock(fd, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def unlock(fd: int) -> None:
    """Release a lock.  To close the file is not enough if a process that was forked in the meantime
    has it open, too.

    :raises OSError: When the file cannot be unlocked.
    """
    fcntl.flock(fd, fcntl.LOCK_UN)
