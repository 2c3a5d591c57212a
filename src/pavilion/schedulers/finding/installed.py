"""Plugins that were installed with pip: entry points name the packages that contain them.

An entry point of the group ``pavilion.schedulers`` has a package as its value::

    [project.entry-points."pavilion.schedulers"]
    mysched = "mysched_plugin"

The package's directory is searched for ``.yapsy-plugin`` files, like the ``plugins/`` of a config
directory.  Each process does this when it loads plugins, on the nodes, too.  So only what concerns
this group is read thoroughly: ``importlib.metadata`` alone takes a tenth of the time that all other
imports take together, and is imported where there is such an entry point.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import TYPE_CHECKING, Callable, NamedTuple

from ..near_matches import did_you_mean
from ..talk.safe_files import UnsafeFileError, read_bytes, read_linked
from .discovery import INFO_EXTENSION, PluginFinder, Refusal, import_member

if TYPE_CHECKING:
    from importlib.metadata import PathDistribution

GROUP = "pavilion.schedulers"
# The maximum size of an entry_points.txt, in bytes.
MAX_FILE_SIZE = 1024 * 1024


class PackageEntry(NamedTuple):
    """An entry point, and the package that it names.

    :param distribution: What pip installed, with its version: 'mysched-plugin 1.0'.
    :param name: The name of the entry point; '' when none could be read.
    :param package: The package, as a dotted name.
    :param directories: Those of the package; more than one for a namespace package.
    """

    distribution: str
    name: str = ""
    package: str = ""
    directories: tuple[Path, ...] = ()

    def __str__(self) -> str:
        point = f", entry point {self.name!r}" if self.name else ""
        return f"distribution {self.distribution}{point}"

    def contains(self, path: Path) -> bool:
        """Whether a file or directory is in the package, by its name or by what it leads to."""
        return any(
            directory in (path, *path.parents) or directory.resolve() in path.resolve().parents
            for directory in self.directories
        )


class InstalledPluginFinder(PluginFinder):
    """Finds the plugins of all packages that entry points name.

    What it refuses, it refuses with the distribution and the entry point.

    :param categories: Category name -> the base class of its plugins.
    :param guard: Returns why code of a file or directory must not be loaded; '' when it may be.
    """

    def __init__(self, categories: Mapping[str, type], guard: Callable[[Path], str]) -> None:
        super().__init__((), categories, guard=guard, origin=self._origin_of)
        self._entries: list[PackageEntry] = []

    def find(self) -> PluginFinder:
        """Search the packages and instantiate the plugins.  Never raises for a broken one."""
        if not self.read_entries():
            return self
        for entry in self._entries:
            self._folders += entry.directories
            self._packages.update((each.resolve(), entry.package) for each in entry.directories)
        super().find()
        found = [plugin.file for plugin in self.loaded] + [bad.file for bad in self.refused]
        for entry in self._entries:
            if not any(map(entry.contains, found)):
                self.refuse(
                    entry.directories[0],
                    f"The package {entry.package!r} has no .{INFO_EXTENSION} file. Such files have "
                    "to be included when the distribution is built, as package data.",
                )
        return self

    def read_entries(self) -> Sequence[PackageEntry]:
        """The entry points whose packages are there, sorted; the others are refused."""
        for file in sorted(_entry_files(), key=lambda file: file.parent.name.lower()):
            self._read(file)
        return self._entries

    def refuse(
        self,
        file: Path,
        reason: str,
        error: BaseException | None = None,
        module: Path | None = None,
    ) -> None:
        """Record that a plugin, a package or an entry point cannot be used."""
        entry = self._entry_of(file)
        super().refuse(file, reason if entry is None else f"In {entry}: {reason}", error, module)

    def _origin_of(self, path: Path) -> str:
        entry = self._entry_of(path)
        return f"package {entry.distribution}" if entry else ""

    def _entry_of(self, path: Path) -> PackageEntry | None:
        return next((entry for entry in self._entries if entry.contains(path)), None)

    def _read(self, file: Path) -> None:
        """Add the entry points of a distribution, given its ``entry_points.txt``."""
        from importlib.metadata import PathDistribution

        dist = PathDistribution(file.parent)
        entry = PackageEntry(_label(dist, file))
        try:
            self.check(file)
            points = sorted(
                (point.name, point.value) for point in dist.entry_points if point.group == GROUP
            )
        except Exception as exc:
            # Each Python has its own errors for a file that is not valid.
            self.refuse(file, f"In {entry}: {_why(exc)}", exc)
            return
        for name, value in points:
            entry = entry._replace(name=name, package=value.partition("[")[0].strip())
            try:
                self._entries.append(entry._replace(directories=self._locate(entry.package, dist)))
            except Exception as exc:
                # Finders of modules may raise anything.
                self.refuse(file, f"In {entry}: {_why(exc)}", exc)

    def _locate(self, package: str, dist: PathDistribution) -> tuple[Path, ...]:
        """The directories of a package, which is not imported; packages that it is in are.

        :raises Refusal: When it is not there, is not a package, or must not be imported.
        """
        parts = package.split(".")
        if not all(part.isidentifier() for part in parts):
            raise Refusal(
                f"{package!r} is not the name of a package. It must name the package that has the "
                f".{INFO_EXTENSION} file, such as 'mysched_plugin'."
            )
        for number in range(1, len(parts)):
            outer = ".".join(parts[:number])
            init = _spec(outer, dist).origin
            if init is not None:
                self.check(Path(init))
            import_member(outer, Path(init or outer))
        spec = _spec(package, dist)
        folders = tuple(map(Path, spec.submodule_search_locations or ()))
        for folder in folders:
            if not folder.is_dir():
                raise Refusal(f"{folder} is not a directory; it may be in a zip file.")
            # What is in a regular package is looked at when it is searched.
            for file in sorted(folder.rglob("*.py")) if spec.origin is None else ():
                self.check(file)
        return folders


def _why(exc: Exception) -> str:
    return str(exc) if isinstance(exc, Refusal) else f"It cannot be read: {exc!r}."


def _label(dist: PathDistribution, file: Path) -> str:
    try:
        name, version = dist.metadata["Name"], dist.version
    except Exception:
        # Some Pythons raise if the file that says so is missing, others return None.
        name = version = None
    return f"{name} {version}" if name and version else file.parent.name.rpartition(".")[0]


# ------------------------------------------------------------------- the files of entry points


def _entry_files() -> Iterator[Path]:
    """The ``entry_points.txt`` of each distribution that mentions the group.

    As in importing, the first distribution of a name on sys.path counts.
    """
    seen: set[str] = set()
    for folder in sys.path:
        try:
            # An empty one is the current directory.
            path = Path(folder).absolute()
            changed = path.stat().st_mtime_ns
        except OSError:
            continue
        for name, file in _distributions(path, changed):
            if file is not None and name not in seen:
                yield file
            seen.add(name)


@functools.lru_cache(maxsize=64)
def _distributions(folder: Path, changed: int) -> tuple[tuple[str, Path | None], ...]:
    """The names of the distributions in a directory, each with its ``entry_points.txt`` if that
    mentions the group.

    :param changed: The directory's modification time: pip changes it.
    """
    try:
        # Much faster than Path.iterdir().
        with os.scandir(folder) as entries:
            names = sorted(entry.name for entry in entries if entry.name.endswith("-info"))
    except OSError:
        # Not a directory, but a zip file.
        return ()
    found = []
    for name in names:
        stem, _, extension = name.rpartition(".")
        if extension in ("dist-info", "egg-info"):
            file = f"{folder}/{name}/entry_points.txt"
            key = re.sub(r"[-_.]+", "-", stem.partition("-")[0]).lower()
            found.append((key, Path(file) if _mentions_group(file) else None))
    return tuple(found)


def _mentions_group(file: str) -> bool:
    try:
        try:
            return GROUP.encode() in read_bytes(file, MAX_FILE_SIZE, owners=False)
        except UnsafeFileError:
            # Some installers make links.  Following them takes longer, and is rarely needed.
            return GROUP.encode() in read_linked(file, MAX_FILE_SIZE)
    except OSError:
        # Most distributions have no such file.
        return False


# ------------------------------------------------------------------------------- the packages


def _spec(package: str, dist: PathDistribution) -> ModuleSpec:
    """Where a package is.  The packages that it is in are imported.

    :raises Refusal: When it is not there, or is not a package.
    """
    spec = importlib.util.find_spec(package)
    if spec is None:
        hint = did_you_mean(package, _packages_of(dist))
        raise Refusal(f"There is no package {package!r}.{hint}")
    if spec.submodule_search_locations is None:
        raise Refusal(
            f"{package!r} is a module, not a package. It must name the package that has the "
            f".{INFO_EXTENSION} file."
        )
    return spec


def _packages_of(dist: PathDistribution) -> list[str]:
    """The packages that a distribution has, as far as it says."""
    files = dist.files or ()
    return [".".join(file.parts[:-1]) for file in files if file.name == "__init__.py"]
