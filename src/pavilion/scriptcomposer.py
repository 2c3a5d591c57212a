"""Composing shell scripts, with everything quoted that needs it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from pavilion.errors import quoted
from pavilion.files import write_script

# What the shell takes as the name of an environment variable.
ENV_NAME_RE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
# A '$' that is not the start of $NAME or ${NAME}.
_OTHER_DOLLAR = r"\$(?![A-Za-z_]|\{[A-Za-z_][A-Za-z0-9_]*\})"


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
        """Add shell code as it is: one line or several, or a list of such.

        :raises ValueError: For a null character, which shells leave out.
        """
        if isinstance(command, str):
            command = [command]
        for text in command:
            if "\0" in text:
                raise ValueError(f"A command must not contain a null character: {quoted(text)}.")
            # Not splitlines(): for a shell, a form feed or U+2028 in a quoted string ends no line.
            self._lines += text.removesuffix("\n").split("\n")

    def env_change(self, env: Mapping[str, str | None]) -> None:
        """Set environment variables; a value of None unsets one.

        Values are put in double quotes, so ``$NAME`` and ``${NAME}`` in them are expanded by the
        shell; everything else is kept as it is.

        :raises ValueError: For a name that the shell would not take, and a value with a null
            character.
        """
        for name, value in env.items():
            if not ENV_NAME_RE.match(name):
                raise ValueError(
                    f"{name!r} cannot be the name of an environment variable: "
                    "letters, digits and '_', not starting with a digit."
                )
            if value is None:
                self._lines.append(f"unset {name}")
            elif "\0" in value:
                raise ValueError(
                    f"The value of the environment variable {name} must not contain a "
                    f"null character: {value!r}."
                )
            else:
                self._lines.append(f"export {name}={double_quote(value)}")

    def get_lines(self) -> list[str]:
        """All lines of the script, the header's first."""
        return [*self.header.get_lines(), *self._lines]

    def write(self, path: str | Path) -> None:
        """Write the script and make it executable for those who may read it.

        :raises OSError: When it cannot be written.
        """
        write_script(path, "\n".join(self.get_lines()) + "\n")


def quote(text: str | Path) -> str:
    """One shell word that means exactly this text."""
    return shlex.quote(str(text))


def double_quote(text: str) -> str:
    """The text in double quotes: ``$NAME`` and ``${NAME}`` are expanded, nothing is executed."""
    text = re.sub(r'([\\"`])', r"\\\1", text)
    # Other forms may run commands ('$(...)', and indices in '${a[...]}' and '$[...]').
    return '"' + re.sub(_OTHER_DOLLAR, r"\\$", text) + '"'
