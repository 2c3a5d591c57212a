"""Commands that fail in every way, for any scheduler: one program of the same name before each.

The programs are first in PATH.  Each notes its call, and then does what its fault says, a piece of
bash, in which ``real "$@"`` is the scheduler's own command.  So a real scheduler can be made to
lose its answers, too.
"""

from __future__ import annotations

import itertools
import os
import shlex
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

# Longer than any timeout in these tests.
FOREVER = 600
_PROGRAM = """\
#!/bin/bash
real() {{ {real} "$@"; }}
here={here}
printf -v call '%q ' {name} "$@"
echo "$call" >>"$here/calls"  # in one write: the lines of commands that run at once do not mix
for fault in "$here/{name}.fault" "$here/{name} $1.fault"; do
  [ -e "$fault" ] && . "$fault"
done
exec {real} "$@"
"""


class Faults:
    """Programs that stand before a scheduler's commands.

    :param here: A directory of their own.
    :param commands: The names of the commands: a program, or a program and its first argument where
        one program has several commands ('prog list').
    :param path: The PATH that the scheduler's commands are found in.
    """

    def __init__(self, here: Path, commands: Iterable[str], path: str) -> None:
        self.here = here
        self.path = f"{here}{os.pathsep}{path}"
        self._turns = itertools.count()
        here.mkdir()
        for name in dict.fromkeys(command.split()[0] for command in commands):
            real = shutil.which(name, path=path)
            assert real is not None, f"{name} is not in {path}"
            program = here / name
            program.write_text(
                _PROGRAM.format(real=shlex.quote(real), here=shlex.quote(str(here)), name=name)
            )
            program.chmod(0o755)

    # --- What was called ---

    def calls(self, command: str) -> list[str]:
        """How a command was called, oldest first, as in a shell."""
        try:
            lines = (self.here / "calls").read_text(errors="replace").splitlines()
        except FileNotFoundError:
            return []
        words = command.split()
        return [line for line in lines if line.split()[: len(words)] == words]

    def count(self, command: str) -> int:
        """How often a command was called."""
        return len(self.calls(command))

    # --- What to do in place of the command, or after it ---

    def set(self, command: str, body: str, times: int = 0) -> None:
        """Have a command run a piece of bash first.  Unless that ends it, it does its work then.

        :param times: How often; 0 is always.  Whoever comes first has it.
        """
        if times:
            turn = f'"$here/turn-{next(self._turns)}-$turn"'
            body = (
                f"for turn in $(seq {times}); do if mkdir {turn} 2>/dev/null; then\n{body}\n"
                "break; fi; done"
            )
        # In one step: commands may be starting.
        new = self.here / f"{command}.new"
        new.write_text(body + "\n")
        new.replace(self.here / f"{command}.fault")

    def clear(self, *commands: str) -> None:
        """No faults any more, of these commands or of all."""
        for path in [self.here / f"{name}.fault" for name in commands] or self.here.glob("*.fault"):
            path.unlink(missing_ok=True)

    @contextmanager
    def during(self, faults: Mapping[str, str]) -> Iterator[None]:
        """Commands have these faults within the block."""
        for command, body in faults.items():
            self.set(command, body)
        try:
            yield
        finally:
            self.clear(*faults)


# --- Faults ---


def fails(text: str = "something went wrong", code: int = 1, stdout: bool = False) -> str:
    """It does nothing, and fails."""
    return f"echo {shlex.quote(text)}{'' if stdout else ' >&2'}; exit {code}"


def hangs() -> str:
    """It does nothing, and does not end."""
    return f"exec sleep {FOREVER}"


def slow(seconds: float) -> str:
    """It takes its time."""
    return f"sleep {seconds}"


def done_but(what: str) -> str:
    """It does its work, its answer is lost, and something else comes of it."""
    return f'real "$@" >/dev/null 2>&1\n{what}'


def answers(text: str) -> str:
    """It does its work, and prints something else."""
    return done_but(f"printf %s {shlex.quote(text)}; exit 0")


def part(percent: int) -> str:
    """Its answer is cut off; a negative number is that of the bytes that are missing."""
    kept = f"$((size * {percent} / 100))" if percent > 0 else f"$((size - {-percent}))"
    return (
        'real "$@" >"$here/answer-$$"; size=$(stat -c %s "$here/answer-$$")\n'
        f'head -c {kept} "$here/answer-$$"; exit 0'
    )


def twice() -> str:
    """It does its work two times, and answers the second one only."""
    return 'real "$@" >/dev/null'


def kills_its_parent() -> str:
    """It does its work, and then the process that started it is gone."""
    return done_but("kill -9 $PPID; exit 0")


def writes_environment(file: Path) -> str:
    """It writes its environment, NUL-separated, to a file."""
    return f"env -0 >{shlex.quote(str(file))}"
