"""Yapsy on every supported Python.

Yapsy 1.12.2, the newest release, imports two modules that Python 3.12 removed: ``imp`` and
``distutils.version``.  Where they are missing, small modules of our own stand in for them while yapsy
is imported.  They only contain what yapsy uses.  Yapsy keeps its references to them, so a plain yapsy
PluginManager of a host program works as well.
"""

from __future__ import annotations

import functools
import importlib.util
import re
import sys
import warnings
from pathlib import Path
from types import ModuleType
from typing import Any

_PY_SOURCE, _PKG_DIRECTORY = 1, 5


def _load_module(name: str, file: Any, filename: str, details: tuple[str, str, int]) -> ModuleType:
    """Load a module from a source file, or a package from its directory, under a given name."""
    path = Path(filename)
    return load_file(name, path / "__init__.py" if details[2] == _PKG_DIRECTORY else path)


def load_file(name: str, source: Path) -> ModuleType:
    """Run a Python file as the module with this name, or an ``__init__.py`` as a package.

    :raises ImportError: When it is not a Python file.  Exceptions of the module itself are raised as
        they are.
    """
    folder = [str(source.parent)] if source.name == "__init__.py" else None
    spec = importlib.util.spec_from_file_location(name, source, submodule_search_locations=folder)
    if spec is None or spec.loader is None:
        raise ImportError(f"{source} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        sys.modules.pop(name, None)
        raise
    return module


@functools.total_ordering
class _StrictVersion:
    """A version such as '1.2' or '1.2.3a1', which can be compared."""

    _FORM = re.compile(r"(\d+)\.(\d+)(?:\.(\d+))?(?:([ab])(\d+))?\Z")

    def __init__(self, text: str) -> None:
        match = self._FORM.match(text)
        if match is None:
            raise ValueError(f"invalid version number '{text}'")
        major, minor, patch, kind, number = match.groups()
        self._text = text
        # A version without a pre-release part comes after those with 'a' and 'b'.
        self._key = (int(major), int(minor), int(patch or 0), kind or "c", int(number or 0))

    def __str__(self) -> str:
        return self._text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _StrictVersion) and self._key == other._key

    def __lt__(self, other: _StrictVersion) -> bool:
        return self._key < other._key

    def __hash__(self) -> int:
        return hash(self._key)


def _stand_ins() -> dict[str, Any]:
    """Replacements for modules that this Python lacks, or that it takes long to import."""
    # Yapsy tries this first.  It is a class, not a module, so that this fails on every Python; with
    # None it does so before Python has imported importlib.abc and, with it, all that reads packages'
    # resources, which takes a tenth of the time that importing everything does.
    modules: dict[str, Any] = {"importlib.abc.Loader": None}
    if sys.version_info >= (3, 12) and importlib.util.find_spec("imp") is None:
        modules["imp"] = ModuleType("imp")
        vars(modules["imp"]).update(
            load_module=_load_module, PY_SOURCE=_PY_SOURCE, PKG_DIRECTORY=_PKG_DIRECTORY
        )
    if "distutils" not in sys.modules:
        # Where setuptools is installed, it provides distutils, but imports all of itself with it:
        # that takes longer than everything else together.
        modules["distutils"] = ModuleType("distutils")
        modules["distutils.version"] = ModuleType("distutils.version")
        vars(modules["distutils.version"])["StrictVersion"] = _StrictVersion
    return modules


def _import_yapsy() -> None:
    added = _stand_ins()
    sys.modules.update(added)
    try:
        with warnings.catch_warnings():
            # The warnings are about imp, distutils and yapsy's string escapes, and concern only its
            # authors.
            warnings.simplefilter("ignore")
            import yapsy.PluginFileLocator
            import yapsy.PluginManager  # noqa: F401
    finally:
        for name in added:
            sys.modules.pop(name, None)


_import_yapsy()

from yapsy.IPlugin import IPlugin  # noqa: E402
from yapsy.PluginFileLocator import PluginFileAnalyzerWithInfoFile, PluginFileLocator  # noqa: E402
from yapsy.PluginManager import PluginManager  # noqa: E402

__all__ = [
    "load_file",
    "IPlugin",
    "PluginFileAnalyzerWithInfoFile",
    "PluginFileLocator",
    "PluginManager",
]
