"""Directories like the one that pip installs into, with packages that have plugins."""

from __future__ import annotations

import textwrap
from pathlib import Path

GROUP = "pavilion.schedulers"
PLUGIN = """
    from pavilion.schedulers import SchedulerPluginBasic

    class {cls}(SchedulerPluginBasic):
        def __init__(self):
            super().__init__("{name}", "A plugin.", {priority})
    """


def plugin_code(name: str, priority: int = 10) -> str:
    """The module of a plugin that does nothing."""
    code = PLUGIN.format(cls=name.title().replace("_", ""), name=name, priority=priority)
    return textwrap.dedent(code)


def info_file(name: str) -> str:
    """Its .yapsy-plugin file."""
    return f"[Core]\nName = {name}\nModule = {name}\n"


class Site:
    """A directory on Python's path."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir(parents=True, exist_ok=True)

    def write(self, name: str, text: str = "") -> Path:
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))
        return path

    def package(self, package: str, *plugins: str, init: str | None = "") -> Path:
        """A package, as a dotted name, with these plugins.

        :param init: What its ``__init__.py`` has; None for a namespace package.
        """
        folder = self.path.joinpath(*package.split("."))
        folder.mkdir(parents=True, exist_ok=True)
        if init is not None:
            (folder / "__init__.py").write_text(textwrap.dedent(init))
        for name in plugins:
            (folder / f"{name}.py").write_text(plugin_code(name))
            (folder / f"{name}.yapsy-plugin").write_text(info_file(name))
        return folder

    def distribution(self, name: str, points: dict[str, str] | str, version: str = "1.0") -> Path:
        """What pip writes down of a distribution; the path of its ``entry_points.txt``.

        :param points: Entry points of our group: name -> value; or the text of the file.
        """
        if not isinstance(points, str):
            lines = [f"{key} = {value}" for key, value in points.items()]
            points = "\n".join([f"[{GROUP}]", *lines, ""])
        folder = f"{name.replace('-', '_')}-{version}.dist-info"
        self.write(
            f"{folder}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        )
        files = sorted(self.path.rglob("__init__.py"))
        record = "".join(f"{file.relative_to(self.path)},,\n" for file in files)
        self.write(f"{folder}/RECORD", record)
        return self.write(f"{folder}/entry_points.txt", points)
