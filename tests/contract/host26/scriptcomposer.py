"""Shell scripts.  Nothing is quoted here."""

from __future__ import annotations


class ScriptHeader:
    """The first lines of a script."""

    def __init__(self, shebang="#!/bin/bash"):
        if not shebang.startswith("#!"):
            raise ValueError(f"no shebang: {shebang!r}")
        self.shebang = shebang

    def get_lines(self):
        """The lines."""
        return [self.shebang]


class ScriptComposer:
    """A script under construction."""

    def __init__(self, header=None):
        if header is not None and not isinstance(header, ScriptHeader):
            raise TypeError(f"no header: {header!r}")
        self._host_header = header or ScriptHeader()
        self._host_lines = []

    def comment(self, comment):
        self._host_lines.append(f"# {comment}")

    def newline(self):
        self._host_lines.append("")

    def command(self, command):
        if isinstance(command, str):
            command = [command]
        if not isinstance(command, list) or not all(isinstance(line, str) for line in command):
            raise TypeError(f"a command is text or a list of it, not {command!r}")
        self._host_lines.extend(command)

    def env_change(self, env_dict):
        """Values are put in as they are; do not rely on their quoting."""
        for name, value in env_dict.items():
            self._host_lines.append(f"unset {name}" if value is None else f"export {name}={value}")

    def write(self, path):
        path.write_text("\n".join([*self._host_header.get_lines(), *self._host_lines, ""]))
        path.chmod(0o755)
