"""Built-in schedulers of a checkout that we do not bundle.  The swap keeps them.

Pavilion imports its own schedulers by name.  Ours are found through ``.yapsy-plugin`` files, so each
one that is kept gets such a file: in the ``plugins`` of a copy, or in a directory next to a link (see
Checkout.kept), which ``pavilion.schedulers.plugins`` also searches.  Where we bundle one of the same
name, as flux and pbs, ours takes its place, also beside one that an earlier version kept.
"""

from __future__ import annotations

import configparser
import filecmp
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from .checkout import SOURCE, Checkout, DropinError
from .disk import Disk, Files, read_marker

INFO_SUFFIX = ".yapsy-plugin"


@dataclass(frozen=True)
class Kept:
    """A scheduler that is kept.

    :param name: Its name, as in 'pav show sched'.
    :param module: Its module or package; None when there is no such file.
    :param broken: The steps at which it fails with the checkout's own directory -> why.
    """

    name: str
    module: Path | None
    broken: Mapping[str, str] = field(default_factory=dict)

    @property
    def files(self) -> dict[str, Path | str]:
        """The files that it needs in a plugins directory."""
        if self.module is None:
            return {}
        stem, suffix = self.module.stem, self.module.suffix
        # One of our own modules or packages with that name must not be overwritten, or hide it.
        ours = SOURCE / "plugins"
        while (ours / stem).exists() or (ours / f"{stem}.py").exists():
            stem = f"{stem}_{self.name}"
        info = f"[Core]\nName = {self.name}\nModule = {stem}\n"
        return {f"{stem}{suffix}": self.module, f"{self.name}{INFO_SUFFIX}": info}


def unusable(plugins: Iterable[Kept], broken: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """The schedulers that work with Pavilion's own directory but not with ours, and why.

    :param broken: What does not work with our directory (see inside.Smoke).
    """
    found = {}
    for plugin in plugins:
        reasons = [
            reason
            for step, reason in broken.get(plugin.name, {}).items()
            if step not in plugin.broken
        ]
        if reasons:
            found[plugin.name] = " ".join(reasons)
    return found


def bundled() -> set[str]:
    """The names of our own schedulers."""
    return {path.stem for path in (SOURCE / "plugins").glob(f"*{INFO_SUFFIX}")}


def files_of(plugins: Iterable[Kept]) -> dict[str, Path | str]:
    """The files that some schedulers need in a plugins directory."""
    return {name: item for plugin in plugins for name, item in plugin.files.items()}


def kept_in(folder: Path) -> list[Kept]:
    """The schedulers in a plugins directory that are not ours."""
    found = []
    for info in sorted(folder.glob(f"*{INFO_SUFFIX}")):
        if info.stem in bundled():
            continue
        parser = configparser.ConfigParser(interpolation=None)
        try:
            parser.read_string(info.read_text(encoding="utf-8"))
            name, module = parser["Core"]["Name"].strip(), parser["Core"]["Module"].strip()
        except (OSError, ValueError, KeyError, configparser.Error):
            continue
        path = folder / module.removesuffix(".py")
        source = path.with_name(f"{path.name}.py")
        found.append(Kept(name, path if path.is_dir() else source if source.is_file() else None))
    return found


def holds(folder: Path, plugins: Iterable[Kept]) -> bool:
    """Whether a plugins directory contains exactly these schedulers, unchanged, in addition to
    ours."""
    wanted = files_of(plugins)
    infos = {path.name for path in folder.glob(f"*{INFO_SUFFIX}") if path.stem not in bundled()}
    return infos == {name for name in wanted if name.endswith(INFO_SUFFIX)} and all(
        _same(folder / name, item) for name, item in wanted.items()
    )


def _same(path: Path, item: Path | str) -> bool:
    try:
        if isinstance(item, str):
            # A site may have written a more detailed one.
            return path.is_file()
        return same_tree(path, item) if item.is_dir() else filecmp.cmp(path, item, shallow=False)
    except OSError:
        return False


def same_tree(one: Path, other: Path) -> bool:
    """Whether two directories have the same files with the same content."""
    first, second = tree_files(one), tree_files(other)
    return first.keys() == second.keys() and all(
        filecmp.cmp(path, second[name], shallow=False) for name, path in first.items()
    )


def tree_files(folder: Path) -> dict[str, Path]:
    """The files below a directory, without caches: relative path -> path."""
    return {
        str(path.relative_to(folder)): path
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


class KeptDirectory:
    """The directory with the checkout's own schedulers next to a link, which is exchanged together
    with the link.

    During a change, there may be two of these directories.  They are identified by their tokens,
    wherever they are.  All methods raise OSError.
    """

    def __init__(self, checkout: Checkout, disk: Disk) -> None:
        self._disk = disk
        self._place = checkout.kept
        self._new, self._aside, self.making, self._trash = map(
            checkout.hidden, ("kept-new", "kept-aside", "kept-making", "trash")
        )

    @property
    def token(self) -> str | None:
        """The token of the directory that is in place; None when there is none of ours."""
        return self._token(self._place)

    @staticmethod
    def _token(path: Path) -> str | None:
        marker = None if path.is_symlink() else read_marker(path)
        return None if marker is None else str(marker["token"])

    def build(self, token: str, files: Files) -> None:
        """Create the directory, but do not put it in place yet.

        :raises DropinError: When something that is not ours is in its place.
        """
        if os.path.lexists(self._place) and self.token is None:
            raise DropinError(f"{self._place} is in the way: it was not made by pav-sched.")
        self._disk.fill(self.making, {"token": token}, files)
        self._disk.rename(self.making, self._new)

    def put(self, token: str | None) -> None:
        """Put the directory with this token in place.  For None, and for a directory that no longer
        exists, do nothing."""
        if token is None or self.token == token:
            return
        home = next((path for path in (self._new, self._aside) if self._token(path) == token), None)
        if home is None:
            return
        if not os.path.lexists(self._place):
            self._disk.rename(home, self._place)
        elif not self._disk.exchange(home, self._place):
            other = self._aside if home == self._new else self._new
            self._disk.rename(self._place, other)
            self._disk.rename(home, self._place)

    def discard_others(self, token: str | None) -> None:
        """Remove all of these directories except the one with this token."""
        for path in (self._place, self._new, self._aside):
            found = self._token(path)
            if found is not None and found != token:
                if os.path.lexists(self._trash):
                    self._disk.remove(self._trash)
                self._disk.rename(path, self._trash)
                self._disk.remove(self._trash)
