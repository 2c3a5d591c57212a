"""How commands start and wake the one controller process of a cluster.

The controller holds a lock file and reads a FIFO; a byte in the FIFO wakes it. A command that
finds no reader at the FIFO starts a controller. Two that start at once do no harm: the second
finds the lock taken and ends.
"""

# A command starts in less time without pathlib.
# ruff: noqa: PTH100, PTH110, PTH118, PTH120, PTH123

from __future__ import annotations

import os
import sys

FIFO = "controller.fifo"
LOCK = "controller.lock"
LOG = "controller.log"
NAME = "fake"  # contains the name of the fake: that of a package


def wake(folder: str) -> bool:
    """Poke the controller; False when none runs."""
    try:
        handle = os.open(os.path.join(folder, FIFO), os.O_WRONLY | os.O_NONBLOCK)
    except OSError:  # no reader, or no such cluster any more
        return False
    try:
        os.write(handle, b".")
    except OSError:
        pass  # the pipe is full: it is awake already
    finally:
        os.close(handle)
    return True


def ensure_controller(folder: str) -> None:
    """Start the controller unless one runs. It ends by itself when there is nothing to do."""
    if wake(folder) or not os.path.exists(os.path.join(folder, FIFO)):
        return
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        return
    try:
        os.setsid()
        if os.fork() == 0:
            _become_controller(folder)
    finally:
        os._exit(0)


def _become_controller(folder: str) -> None:
    """Replace this process, with nothing of the command's open files left."""
    null = os.open(os.devnull, os.O_RDWR)
    # The file is there as long as the cluster is; nothing is to be made in a directory that is
    # being removed.
    log = os.open(os.path.join(folder, LOG), os.O_WRONLY | os.O_APPEND)
    os.dup2(null, 0)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.closerange(3, 256)
    os.chdir("/")
    with open(os.path.join(folder, NAME), encoding="utf-8") as file:
        fake = file.read().strip()
    launcher = os.path.join(
        os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "launch.py"
    )
    os.execv(sys.executable, [sys.executable, "-I", "-S", launcher, fake, "controller", folder])
