"""Stops a change of a checkout at each step in turn, by killing the process that makes it.

    killed_swaps.py SOURCE MODEL ACTION EXCHANGES

SOURCE is the directory to install, with a scheduler of the checkout's own. For each step of the
change the checkout MODEL is copied, beside it and named with the step's number, and the process is
killed there. The last copy is the one that was not stopped. EXCHANGES is 'yes' where names can be
exchanged.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pavilion.dropin import Checkout, unlink
from pavilion.dropin.disk import Disk, Files
from pavilion.dropin.swap import Swap, locked

# A scheduler of the checkout's own, and of which change it is.
KEPT = {"lsf.py": "# of the second link", "lsf.yapsy-plugin": "[Core]\nName = lsf\n"}


class Mortal(Disk):
    """Is killed at the n-th step; a step that is not done at once counts twice."""

    def __init__(self, exchanges: bool, steps: int) -> None:
        self._exchanges = exchanges
        self._left = steps

    def _dies(self) -> bool:
        self._left -= 1
        return self._left == 0

    def _step(self) -> None:
        if self._dies():
            os.kill(os.getpid(), signal.SIGKILL)

    def sync(self, folder: Path) -> None:
        """The machine lives on, and this takes long."""

    def rename(self, old: Path, new: Path) -> None:
        self._step()
        super().rename(old, new)

    def exchange(self, one: Path, other: Path) -> bool:
        if not self._exchanges:
            return False
        self._step()
        return super().exchange(one, other)

    def symlink(self, target: str, path: Path) -> None:
        self._step()
        super().symlink(target, path)

    def fill(self, path: Path, marker: Mapping[str, Any], files: Files) -> None:
        self._step()
        if self._dies():
            path.mkdir()
            (path / "half").write_text("of it")
            os.kill(os.getpid(), signal.SIGKILL)
        super().fill(path, marker, files)

    def copy(self, source: Path, path: Path, marker: Mapping[str, Any], more: Files) -> None:
        self._step()
        if self._dies():
            path.mkdir()
            shutil.copy(source / "__init__.py", path)
            os.kill(os.getpid(), signal.SIGKILL)
        super().copy(source, path, marker, more)

    def remove(self, path: Path) -> None:
        self._step()
        if path.is_dir() and not path.is_symlink() and self._dies():
            for file in sorted(path.iterdir())[:-1]:  # the marker first
                file.unlink() if file.is_file() else shutil.rmtree(file)
            os.kill(os.getpid(), signal.SIGKILL)
        super().remove(path)

    def write_record(self, path: Path, data: Mapping[str, Any]) -> None:
        self._step()
        if self._dies():
            path.with_name(f".{path.name}.1.abcd").write_text("{half of")
            os.kill(os.getpid(), signal.SIGKILL)
        super().write_record(path, data)


def change(source: Path, checkout: Checkout, action: str, disk: Disk) -> None:
    """What link and unlink do to the disk."""
    if action == "unlink":
        unlink(checkout, disk)
        return
    with locked(checkout):
        swap = Swap(checkout, disk)
        swap.recover()
        swap.install(source, "1", copy=action == "copy", kept=KEPT)
        if action == "fail":
            swap.recover()
        else:
            swap.commit()


def main() -> None:
    """Each in a process of its own."""
    source, model, action, exchanges = sys.argv[1:]
    killed, step = True, 0
    while killed:
        step += 1
        folder = Path(model).with_name(str(step))
        shutil.copytree(model, folder, symlinks=True)
        pid = os.fork()
        if pid == 0:
            change(Path(source), Checkout(folder), action, Mortal(exchanges == "yes", step))
            os._exit(0)
        _, status = os.waitpid(pid, 0)
        killed = os.WIFSIGNALED(status)
        if status != 0 and not killed:
            raise RuntimeError(f"{action} failed in {folder}")


if __name__ == "__main__":
    main()
