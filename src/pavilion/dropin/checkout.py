"""A Pavilion checkout: where it is, which version it has, and which Python it runs with."""

from __future__ import annotations

import os
import re
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from pavilion.errors import PavilionError

# The directory that replaces the checkout's.
SOURCE = Path(__file__).resolve().parent.parent / "schedulers"
SUPPORTED = (2, 6)

# Files that may contain the version, the best first.  VERSION.txt is not one of them: it says 2.0 in
# every release of Pavilion 2.
VERSION_FILES = (
    "RELEASE.txt",
    "RELEASE.md",
    "VERSION",
    "lib/pavilion/VERSION",
    "lib/pavilion/version.py",
    "lib/pavilion/__init__.py",
    "pyproject.toml",
    "setup.py",
    "setup.cfg",
    "CHANGELOG.md",
)
_NUMBER = r"v?(\d+\.\d+(?:\.\d+)*)"
_VERSIONS = [
    re.compile(text, re.MULTILINE | re.IGNORECASE)
    for text in (
        # The history below that line may begin with a version that is not released yet.
        rf"^[ ]*release[ ]*=[ ]*[\"']?{_NUMBER}\b",
        # '## Pavilion 2.6.1', '# Release 2.6'; but not a heading such as '# Needs Python 3.9'.
        rf"^\#+[ ]*(?:pavilion[ ]?2?)?[ :]*(?:release|version)?(?:[ ]notes)?[ :]*\[?{_NUMBER}\b",
        rf"^[ ]*(?:__version__|version)\s*[:=]\s*[\"']?{_NUMBER}\b",
        rf"\b(?:pavilion|release|version)[ :]+{_NUMBER}\b",
        rf"\A\s*{_NUMBER}\s*\Z",
    )
]


class DropinError(PavilionError):
    """A checkout cannot be found, read or changed as asked."""


@dataclass(frozen=True)
class Checkout:
    """A checkout, and the paths that we use in it.

    :param root: Its directory, with links resolved.
    """

    root: Path

    @property
    def lib(self) -> Path:
        """The directory of the checkout's Python code."""
        return self.root / "lib"

    @property
    def package(self) -> Path:
        """The directory in which we make changes."""
        return self.lib / "pavilion"

    @property
    def active(self) -> Path:
        """The schedulers directory that Pavilion uses."""
        return self.package / "schedulers"

    @property
    def backup(self) -> Path:
        """The checkout's own schedulers directory, while it is replaced by ours."""
        return self.package / "schedulers.before-pavilion-schedulers"

    @property
    def pav(self) -> Path:
        """Pavilion's own command."""
        return self.root / "bin" / "pav"

    def hidden(self, suffix: str) -> Path:
        """The path of a file or directory of ours, next to the schedulers directory."""
        return self.package / f".schedulers.pavilion-schedulers.{suffix}"

    @property
    def kept(self) -> Path:
        """The directory with the checkout's own schedulers that are kept next to a link to ours.

        ``pavilion.schedulers.plugins`` also uses this name.
        """
        return self.hidden("kept")

    @property
    def record(self) -> Path:
        """The file that records what was done, or is being done."""
        return self.hidden("json")


def find_checkout(path: str | Path) -> Checkout:
    """The checkout whose root is a path, or that contains it.

    :raises DropinError: When there is none.
    """
    # Links are not resolved: inside a linked schedulers directory they lead out of the checkout.
    start = Path(os.path.normpath(Path(path).expanduser().absolute()))
    if not os.path.lexists(start):
        raise DropinError(f"{start} does not exist. Give the root of a Pavilion checkout.")
    for folder in (start, *start.parents):
        found = Checkout(folder)
        if any(map(os.path.lexists, (found.active, found.backup, found.record))):
            found = Checkout(folder.resolve())
            if found.active.parent.resolve() == SOURCE.parent:
                raise DropinError(
                    f"{found.package} is this package itself, not a Pavilion checkout."
                )
            return found
    raise DropinError(
        f"{start} is not a Pavilion checkout: there is no lib/pavilion/schedulers in it or in a "
        "directory above it. Give the directory that has 'lib' and 'bin'."
    )


@dataclass(frozen=True)
class Version:
    """A version, and the file in which it was found.

    :param text: The version, such as '2.6.1'; None when it was not found.
    :param file: The file; None when the version was not found.
    """

    text: str | None = None
    file: Path | None = None

    @property
    def supported(self) -> bool | None:
        """Whether our directory is made for this version; None when the version is not known."""
        if self.text is None:
            return None
        return _key(self.text)[:2] == SUPPORTED


def find_version(checkout: Checkout) -> Version:
    """The version, if a file of the checkout contains it (see VERSION_FILES)."""
    for name in VERSION_FILES:
        file = checkout.root / name
        try:
            text = file.read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue
        for pattern in _VERSIONS:
            found = pattern.findall(text)
            if found:
                # Release notes may start or end with the newest version.
                return Version(max(found, key=_key), file)
    return Version()


def _key(text: str) -> tuple[int, ...]:
    return tuple(map(int, text.split(".")))


@dataclass(frozen=True)
class Interpreter:
    """The Python that a checkout runs with.

    :param path: Its executable.
    :param how: How it was found, for messages.
    """

    path: Path
    how: str


def find_python(checkout: Checkout, given: str | Path | None = None) -> Interpreter:
    """The Python that Pavilion most likely runs with.

    :param given: The program that the user named.
    :raises DropinError: When it is not found.
    """
    if given is not None:
        found = shutil.which(Path(given).expanduser())
        if found is None:
            raise DropinError(f"--python {given}: there is no such program.")
        return Interpreter(Path(found).absolute(), "given with --python")
    environments = [*checkout.root.glob("*/pyvenv.cfg"), *checkout.root.glob(".*/pyvenv.cfg")]
    for marker in sorted(environments):
        python = marker.parent / "bin" / "python3"
        if os.access(python, os.X_OK):
            return Interpreter(python, "the checkout's virtual environment")
    named = _shebang(checkout.pav)
    if named is not None:
        return Interpreter(named, "the first line of bin/pav")
    found = shutil.which("python3", path=outer_path()) or shutil.which("python3")
    if found is None:
        raise DropinError(
            "There is no python3 in PATH. Name the Python that runs this Pavilion with --python."
        )
    return Interpreter(Path(found), "python3 in PATH")


def _shebang(script: Path) -> Path | None:
    """The Python whose path is in the first line of a script; None when there is none."""
    try:
        with script.open("rb") as file:
            first = file.readline(4096).decode("utf-8", "replace")
    except OSError:
        return None
    words = first[2:].split() if first.startswith("#!") else []
    if not words or "python" not in Path(words[0]).name:
        return None
    path = Path(words[0])
    return path if os.access(path, os.X_OK) else None


def outer_path() -> str:
    """PATH without the virtual environment of this program, which is not Pavilion's."""
    folders = os.environ.get("PATH", os.defpath).split(os.pathsep)
    if sys.prefix != sys.base_prefix:
        own = Path(sys.prefix, "bin")
        folders = [folder for folder in folders if Path(folder) != own]
    return os.pathsep.join(folders)


def module_path(checkout: Checkout) -> list[Path]:
    """The directories of the checkout's modules: ``lib``, and those needed in ``lib/sub_repos``."""
    found = [checkout.lib]
    for name in ("yaml_config", "yapsy", "hostlist"):
        if any((checkout.lib / entry).exists() for entry in (name, f"{name}.py")):
            continue
        for depth in ("*", "*/*", "*/*/*"):
            hits = sorted(
                [
                    *checkout.lib.glob(f"sub_repos/{depth}/{name}/__init__.py"),
                    *checkout.lib.glob(f"sub_repos/{depth}/{name}.py"),
                ]
            )
            if hits:
                folder = hits[0].parent.parent if hits[0].name == "__init__.py" else hits[0].parent
                if folder not in found:
                    found.append(folder)
                break
    return found
