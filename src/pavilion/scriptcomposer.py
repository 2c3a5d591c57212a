"""Composing shell scripts, with everything quoted that needs it."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

_NAME_RE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")


class ScriptHeader:
    """The first lines of a script: the shebang, and what a subclass adds below it.

    :param shebang: The interpreter line, '#!' included.
    """

    def __init__(self, shebang: str | None = "#!/bin/bash") -> None:
        self.shebang = shebang or "#!/bin/bash"

    @property
    def shebang(self) -> str:
        """The interpreter line."""
        return self._shebang

    @shebang.setter
    def shebang(self, value: str) -> None:
        if not value.startswith("#!") or "\n" in value:
            raise ValueError(f"A shebang is one line that starts with '#!', not {value!r}.")
        self._shebang = value

    def get_lines(self) -> list[str]:
        """The header's lines, the shebang first."""
        return [self.shebang]


class ScriptComposer:
    """A script under construction.

    :param header: The script's header; '#!/bin/bash' alone when left out.
    """

    def __init__(self, header: ScriptHeader | None = None) -> None:
        self.header = header or ScriptHeader()
        self._lines: list[str] = []

    def comment(self, text: str) -> None:
        """Add a comment; each line of the text becomes one."""
        self._lines += [f"# {line}".rstrip() for line in text.splitlines() or [""]]

    def newline(self) -> None:
        """Add an empty line."""
        self._lines.append("")

    def command(self, command: str | Sequence[str]) -> None:
        """Add shell code as it is: one line or several, or a list of such."""
        if isinstance(command, str):
            command = [command]
        for text in command:
            self._lines += text.splitlines() or [""]

    def env_change(self, env: Mapping[str, str | None]) -> None:
        """Set environment variables; a value of None unsets one.

        Values stand in double quotes, so ``$NAME`` in them is expanded by the shell; quotes and
        backslashes are kept as they are.

        :raises ValueError: For a name that the shell would not take.
        """
        for name, value in env.items():
            if not _NAME_RE.match(name):
                raise ValueError(f"{name!r} cannot be the name of an environment variable: "
                                 "letters, digits and '_', not starting with a digit.")
            if value is None:
                self._lines.append(f"unset {name}")
            else:
                self._lines.append(f"export {name}={double_quote(value)}")

    def get_lines(self) -> list[str]:
        """All lines of the script, the header's first."""
        return [*self.header.get_lines(), *self._lines]

    def write(self, path: str | Path) -> None:
        """Write the script and make it executable for those who may read it.

        :raises OSError: When it cannot be written.
        """
        target = Path(path)
        with target.open("w", encoding="utf-8", errors="surrogateescape") as file:
            file.write("\n".join(self.get_lines()) + "\n")
            mode = os.fstat(file.fileno()).st_mode
            os.fchmod(file.fileno(), mode | ((mode & 0o444) >> 2))


def quote(text: str | Path) -> str:
    """One shell word that means exactly this text."""
    return shlex.quote(str(text))


def double_quote(text: str) -> str:
    """The text in double quotes: ``$NAME`` and ``${NAME}`` are expanded, nothing is executed."""
    text = re.sub(r'([\\"`])', r"\\\1", text)
    # A command substitution would run; a plain expansion may stay.
    return '"' + re.sub(r"\$(?=\()", r"\\$", text) + '"'
