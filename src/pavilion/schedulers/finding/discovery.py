"""Finding plugins: ``*.yapsy-plugin`` files, with a yapsy PluginManager that reports problems.

Plain yapsy drops plugins that it cannot load, with at most a line in a log.  It also takes the first
suitable class in a module's namespace as the plugin, even an imported base class.  This manager
records the file and the reason for every plugin that it refuses, and continues with the others.  It
imports a plugin that is part of a package under its real name, so that its class exists only once.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping
from configparser import ConfigParser
from configparser import Error as ConfigParserError
from pathlib import Path
from types import ModuleType
from typing import Any, Callable, NamedTuple

from ..talk.safe_files import read_linked
from .yapsy_compat import (
    PluginFileAnalyzerWithInfoFile,
    PluginFileLocator,
    PluginManager,
    load_file,
)

INFO_EXTENSION = "yapsy-plugin"
# The maximum size of such a file, in bytes.
MAX_INFO_SIZE = 1024 * 1024


class LoadedPlugin(NamedTuple):
    """A plugin that was found and instantiated.

    :param file: The ``.yapsy-plugin`` file.
    :param origin: Where it comes from, for users: 'bundled', for example.
    """

    file: Path
    category: str
    plugin: Any
    origin: str = ""


class RefusedPlugin(NamedTuple):
    """A plugin file that could not be used.

    :param file: The ``.yapsy-plugin`` file, or the directory that cannot be read.
    :param reason: One or more sentences for the user.
    :param error: The exception that was the cause, if there was one.
    :param module: The module that was to be imported; None when it did not get that far.
    """

    file: Path
    reason: str
    error: BaseException | None = None
    module: Path | None = None


class PluginFinder(PluginManager):  # type: ignore[misc]
    """Finds and instantiates the plugins below some directories.

    :param folders: The directories, which are searched with everything below them.  Directories that
        do not exist are ignored.
    :param categories: Category name -> the base class of its plugins.
    :param packages: Directory -> name of the package that it is.  Modules there are imported as
        members of that package.
    :param guard: Returns why code of a file or directory must not be loaded; '' when it may be.
    :param origin: Returns where the plugin of a ``.yapsy-plugin`` file comes from, for users.

    After :meth:`find`, the results are in ``loaded`` and ``refused``.
    """

    def __init__(
        self,
        folders: Iterable[Path],
        categories: Mapping[str, type],
        packages: Mapping[Path, str] | None = None,
        guard: Callable[[Path], str] = lambda path: "",
        origin: Callable[[Path], str] = lambda path: "",
    ) -> None:
        self.loaded: list[LoadedPlugin] = []
        self.refused: list[RefusedPlugin] = []
        # The info file, module path and yapsy's PluginInfo of each plugin, between locating and
        # loading them.
        self._candidates: list[tuple[str, str, Any]] = []
        self._packages = {path.resolve(): name for path, name in (packages or {}).items()}
        self._folders = [Path(folder) for folder in folders]
        self._guard = guard
        self._origin = origin
        locator = PluginFileLocator(analyzers=[_InfoFileReader(self)])
        # Its own search follows links in circles, and silently ignores what it cannot read.
        locator.disableRecursiveScan()
        super().__init__(
            categories_filter=dict(categories),
            plugin_locator=locator,
            directories_list=[os.fspath(folder) for folder in self._folders],
        )

    def find(self) -> PluginFinder:
        """Search the directories and instantiate the plugins.  Never raises for a broken plugin."""
        seen: set[Path] = set()
        self.setPluginPlaces(
            [os.fspath(found) for folder in self._folders for found in self._walk(folder, seen)]
        )
        self.collectPlugins()
        return self

    def refuse(
        self,
        file: Path,
        reason: str,
        error: BaseException | None = None,
        module: Path | None = None,
    ) -> None:
        """Record that a plugin cannot be used.  The arguments are those of RefusedPlugin."""
        self.refused.append(RefusedPlugin(file, reason, error, module))

    def check(self, path: Path) -> None:
        """Check that code of a file or directory may be loaded.

        :raises Refusal: With the reason why not.
        """
        try:
            problem = self._guard(path)
        except (OSError, RuntimeError) as exc:
            raise Refusal(
                f"{path} cannot be read: {getattr(exc, 'strerror', None) or exc}."
            ) from exc
        if problem:
            raise Refusal(problem)

    def _walk(self, folder: Path, seen: set[Path]) -> Iterator[Path]:
        """A directory and all directories below it, following links, each once.

        Directories that cannot be read are refused.  Those that do not exist are left out.
        """
        try:
            real = folder.resolve()
            if real in seen:
                return
            seen.add(real)
            children = sorted(child for child in folder.iterdir() if child.is_dir())
        except FileNotFoundError:
            return
        except (OSError, RuntimeError) as exc:
            # Older Pythons raise RuntimeError for a link that leads to itself.
            reason = getattr(exc, "strerror", None) or str(exc)
            self.refuse(folder, f"The directory cannot be read: {reason}.", exc)
            return
        try:
            self.check(folder)
        except Refusal as exc:
            self.refuse(folder, str(exc))
            return
        yield folder
        for child in children:
            yield from self._walk(child, seen)

    def locatePlugins(self) -> Any:
        """Find the info files, in an order that does not depend on the file system."""
        found = super().locatePlugins()
        self._candidates.sort(key=lambda candidate: candidate[0])
        return found

    def loadPlugins(self, callback: Any = None, callback_after: Any = None) -> list[Any]:
        """Load what locatePlugins found, each plugin independently of the others."""
        candidates, self._candidates = self._candidates, []
        for info_file, module_path, info in candidates:
            if callback is not None:
                callback(info)
            try:
                category, plugin = self._load(Path(module_path))
            except Refusal as exc:
                self.refuse(Path(info_file), str(exc), exc.__cause__, _source(Path(module_path)))
                continue
            info.plugin_object = plugin
            info.categories.append(category)
            self.category_mapping[category].append(info)
            self._category_file_mapping[category].append(info_file)
            file = Path(info_file)
            self.loaded.append(LoadedPlugin(file, category, plugin, self._origin(file)))
            if callback_after is not None:
                callback_after(info)
        return [info for _, _, info in candidates]

    def _load(self, module_path: Path) -> tuple[str, Any]:
        module = self._import(module_path)
        category, cls = self._plugin_class(module)
        try:
            return category, cls()
        except (Exception, SystemExit) as exc:
            # Whether the call itself failed, or something in __init__.
            at = exc.__traceback__
            by_call = isinstance(exc, TypeError) and at is not None and at.tb_next is None
            hint = " A plugin's __init__ takes no arguments." if by_call else ""
            raise Refusal(
                f"Creating an object of its class {cls.__name__} failed: {_describe(exc)}.{hint}"
            ) from exc

    def _import(self, path: Path) -> ModuleType:
        """Import a plugin's module.  yapsy gives its path without '.py'."""
        package = self._package_of(path)
        return import_member(package, _source(path)) if package else _import_file(_source(path))

    def _package_of(self, path: Path) -> str | None:
        # The module itself may be a link to a file elsewhere, but is still a member.
        folder = path.parent.resolve()
        for package_folder, package in self._packages.items():
            if folder == package_folder or package_folder in folder.parents:
                parts = [*folder.relative_to(package_folder).parts, path.name]
                if parts[-1] == "__init__":
                    parts.pop()
                return ".".join((package, *parts))
        return None

    def _plugin_class(self, module: ModuleType) -> tuple[str, type]:
        """The one class in a module that is meant to be the plugin, with its category."""
        found: dict[type, str] = {}
        for value in vars(module).values():
            for category, base in self.categories_interfaces.items():
                if (
                    isinstance(value, type)
                    and issubclass(value, base)
                    and not _is_base(value, base)
                ):
                    found[value] = category
        # Classes defined here take precedence over imported ones; one that others derive from is a
        # base class.
        own = [cls for cls in found if cls.__module__ == module.__name__]
        classes = own or list(found)
        classes = [
            cls
            for cls in classes
            if not any(other is not cls and issubclass(other, cls) for other in classes)
        ]
        if not classes:
            bases = ", ".join(sorted(base.__name__ for base in self.categories_interfaces.values()))
            raise Refusal(
                f"No plugin class in {module.__file__}: it needs a class derived from {bases}."
            )
        if len(classes) > 1:
            names = ", ".join(sorted(cls.__name__ for cls in classes))
            raise Refusal(
                f"More than one plugin class in {module.__file__}: {names}. Put each of them "
                "into its own module, with its own .yapsy-plugin file."
            )
        return found[classes[0]], classes[0]


def _source(path: Path) -> Path:
    """The file of a module, from the path without '.py' that yapsy uses."""
    return path.with_name(path.name if path.name.endswith(".py") else path.name + ".py")


class Refusal(Exception):
    """Why a plugin cannot be used."""


class _InfoFileReader(PluginFileAnalyzerWithInfoFile):  # type: ignore[misc]
    """Reads ``.yapsy-plugin`` files, and records those that are not valid."""

    def __init__(self, finder: PluginFinder) -> None:
        super().__init__("info_ext", INFO_EXTENSION)
        self._finder = finder

    def getInfosDictFromPlugin(
        self, dirpath: str, filename: str
    ) -> tuple[dict[str, str] | None, ConfigParser | None]:
        """Name and module path of a plugin.  (None, None) makes yapsy ignore it."""
        path = Path(dirpath) / filename
        try:
            self._finder.check(path)
            parser = self._read(path)
            name = parser.get("Core", "Name").strip()
            module = parser.get("Core", "Module").strip()
            target = self._module_path(path, module)
            self._finder.check(target)
        except Refusal as exc:
            self._finder.refuse(path, str(exc), exc.__cause__)
            return None, None
        infos = {"name": name, "path": os.fspath(target)}
        if parser.has_section("Documentation"):
            infos.update(
                (key, parser.get("Documentation", key, raw=True))
                for key in ("author", "version", "website", "description")
                if parser.has_option("Documentation", key)
            )
        return infos, parser

    @staticmethod
    def _read(path: Path) -> ConfigParser:
        parser = ConfigParser(interpolation=None)
        try:
            # Some editors put a byte order mark at the start.
            text = read_linked(path, MAX_INFO_SIZE).decode("utf-8-sig")
            parser.read_string(text, source=str(path))
        except OSError as exc:
            raise Refusal(f"The file cannot be read: {exc.strerror}.") from exc
        except UnicodeDecodeError as exc:
            raise Refusal(f"The file is not UTF-8 text (byte {exc.start}).") from exc
        except ConfigParserError as exc:
            raise Refusal(f"The file is not a valid INI file: {exc.message}.") from exc
        for key in ("Name", "Module"):
            if not parser.has_option("Core", key) or not parser.get("Core", key).strip():
                raise Refusal(
                    f"There is no '{key}' in a section [Core]. The file needs a section [Core] "
                    "with Name and Module (the Python file next to it, without '.py')."
                )
        return parser

    @staticmethod
    def _module_path(path: Path, module: str) -> Path:
        """The path that yapsy uses for a module (its file without '.py') or a package (its
        directory).

        As with Python's own import, a directory is a package when it contains an __init__.py;
        otherwise a module of that name is used.
        """
        target = path.parent / module.removesuffix(".py")
        source = Path(f"{target}.py")
        try:
            if (target / "__init__.py").is_file():
                return target
            if source.is_file():
                return source
        except OSError as exc:
            raise Refusal(f"Its Module {module!r} cannot be read: {exc.strerror}.") from exc
        raise Refusal(
            f"Its Module {module!r} does not exist: expected the file {source} or a "
            f"package, {target}/__init__.py."
        )


def import_member(name: str, source: Path) -> ModuleType:
    """Import a module of a package under its real name.

    :param source: Its file.
    :raises Refusal: When that fails, or when it fails for a package that the module is in.
    """
    try:
        return importlib.import_module(name)
    except (Exception, SystemExit) as exc:
        raise _import_refusal(exc, _run_file(exc, source)) from exc


def _import_file(source: Path) -> ModuleType:
    """Run a file as a separate module, under a name that is unique to its path.

    :raises Refusal: When that fails.
    """
    digest = zlib.crc32(os.fspath(source.resolve()).encode("utf-8", "surrogateescape"))
    stem = source.parent.name if source.name == "__init__.py" else source.stem
    name = f"yapsy_loaded_plugin_{re.sub(r'[^A-Za-z0-9_]', '_', stem)}_{digest:08x}"
    try:
        return load_file(name, source)
    except (Exception, SystemExit) as exc:
        raise _import_refusal(exc, source) from exc


def _import_refusal(exc: BaseException, file: Path) -> Refusal:
    """Why a module cannot be imported.

    :param file: The file that was run.
    """
    if isinstance(exc, SyntaxError):
        where = f"line {exc.lineno} of {exc.filename}" if exc.lineno else f"{file}"
        return Refusal(f"Syntax error in {where}: {exc.msg}.")
    if isinstance(exc, UnicodeDecodeError):
        return Refusal(f"{file} is not UTF-8 text: {exc.reason}.")
    if isinstance(exc, ImportError):
        return Refusal(f"Importing {file} failed: {exc}.")
    if isinstance(exc, OSError):
        return Refusal(f"{file} cannot be read: {exc.strerror or exc}.")
    return Refusal(f"Running {file} failed: {_describe(exc)}.")


def _run_file(exc: BaseException, module: Path) -> Path:
    """The file that failed while a member of a package was imported: the module itself, or an
    ``__init__.py`` that is run before it."""
    at = exc.__traceback__
    while at is not None:
        name = at.tb_frame.f_code.co_filename
        if name not in (__file__, importlib.__file__) and not name.startswith("<"):
            return Path(name)
        at = at.tb_next
    return module


def _is_base(cls: type, base: type) -> bool:
    """Whether a class is only meant for plugins to derive from: the category's base class, or one
    that is marked as such (``IS_PLUGIN_BASE`` in its own body)."""
    return cls is base or bool(vars(cls).get("IS_PLUGIN_BASE"))


def _describe(exc: BaseException) -> str:
    return f"{type(exc).__name__}: {exc}" if str(exc) else type(exc).__name__
