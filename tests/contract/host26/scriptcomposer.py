"""Shell scripts.  Nothing is quoted here, and nothing is checked."""

from __future__ import annotations


class ScriptHeader:
    """The first lines of a script."""

    def __init__(self, shebang="#!/bin/bash"):
        self._shebang = None
        self.shebang = shebang

    @property
    def shebang(self):
        return self._shebang

    @shebang.setter
    def shebang(self, value):
        self._shebang = value

    def get_lines(self):
        """The lines."""
        return [self.shebang if self.shebang[:2] == "#!" else f"#!{self.shebang}"]


class ScriptComposer:
    """A script under construction."""

    def __init__(self, header=None):
        self.header = ScriptHeader() if header is None else header
        self._script_lines = []

    def comment(self, comment):
        self._script_lines.append(f"# {comment}")

    def newline(self):
        self._script_lines.append("")

    def command(self, command):
        """Anything but a string or a list of strings is dropped, or breaks write()."""
        if isinstance(command, list):
            self._script_lines.extend(command)
        elif isinstance(command, str):
            self._script_lines.append(command)

    def env_change(self, env_dict):
        """Values with a blank in them are put into quotes; do not rely on that."""
        for name, value in env_dict.items():
            if value is None:
                self._script_lines.append(f"unset {name}")
                continue
            text = str(value).strip()
            if text and text[0] not in "\"'" and " " in text:
                value = f'"{text}"'
            self._script_lines.append(f"export {name}={value}")

    def write(self, path):
        with path.open("w") as file:
            file.write("\n".join(self.header.get_lines()) + "\n\n")
            file.write("\n".join(self._script_lines) + "\n")
        path.chmod(path.stat().st_mode | 0o110)
