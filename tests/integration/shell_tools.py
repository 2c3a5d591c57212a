"""Typing into a real shell, on a terminal of its own."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import sys
from pathlib import Path
from typing import Any, Callable

from polling import until

PATIENCE = 60.0
# How each is started without anybody's settings, and how it takes our script.
SHELLS = {
    "bash": (
        ["bash", "--norc", "--noprofile", "-i"],
        'eval "$(pav-sched completion bash)"',
    ),
    "zsh": (
        ["zsh", "-f", "-i"],
        'autoload -Uz compinit; compinit -u -D; eval "$(pav-sched completion zsh)"',
    ),
    "fish": (["fish", "--no-config", "-i"], "pav-sched completion fish | source"),
}


class Terminal:
    """A shell, and what it shows.

    The command ``pav-sched`` in it completes as the real one does, and else writes down its
    arguments.

    :param folder: Where it may put things; the home directory is in there.
    :param cwd: Where the shell starts.
    """

    def __init__(self, shell: str, folder: Path, cwd: Path) -> None:
        self.said = folder / "arguments"
        self.shown = b""
        commands = folder / "bin"
        commands.mkdir()
        command = commands / "pav-sched"
        record = f"import json,sys; open({str(self.said)!r}, 'w').write(json.dumps(sys.argv[1:]))"
        command.write_text(
            "#!/bin/sh\n"
            f'case $1 in _complete|completion) exec "{sys.executable}" -m pavilion.cli "$@";; esac\n'
            f'exec "{sys.executable}" -c "{record}" "$@"\n',
            encoding="utf-8",
        )
        command.chmod(0o755)
        argv, setup = SHELLS[shell]
        env = {
            "PATH": f"{commands}:{os.environ['PATH']}",
            "HOME": str(folder / "home"),
            "TERM": "xterm",
            "LC_ALL": "C.UTF-8",
        }
        self.pid, self.fd = pty.fork()
        if not self.pid:
            try:
                os.chdir(cwd)
                os.execvpe(argv[0], argv, env)
            finally:
                os._exit(127)
        # In two parts, so that the echo of the command is not taken for what it prints.
        self.type(f"{setup}; echo rea''dy\r")
        self.wait_for(lambda: b"ready" in self.shown, "the shell taking the script")

    def type(self, keys: str) -> None:
        os.write(self.fd, keys.encode())

    def wait_for(self, condition: Callable[[], Any], what: str) -> Any:
        def look() -> Any:
            # A shell that cannot print anything does not go on.
            if select.select([self.fd], [], [], 0.02)[0]:
                self.shown += os.read(self.fd, 65536)
            return condition()

        try:
            return until(look, what, PATIENCE)
        except (AssertionError, OSError) as exc:
            raise AssertionError(f"{exc}; on the terminal: {self.shown[-2000:]!r}") from exc

    def arguments(self, keys: str) -> list[str]:
        """What the program gets when these keys, and Return, are pressed."""
        self.said.unlink(missing_ok=True)
        self.type(f"{keys}\r")
        self.wait_for(
            lambda: self.said.exists() and self.said.stat().st_size, f"the command run by {keys!r}"
        )
        found: list[str] = json.loads(self.said.read_text(encoding="utf-8"))
        return found

    def close(self) -> None:
        os.close(self.fd)
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
