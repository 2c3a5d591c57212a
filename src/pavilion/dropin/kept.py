"""Built-in schedulers of a checkout that we do not bundle: flux, for one.  The swap keeps them.

Pavilion imports its own by name. Ours are found by ``.yapsy-plugin`` files, so each one that is
kept gets one: in the ``plugins`` of a copy, or in a directory beside a link (see Checkout.kept),
which ``pavilion.schedulers.plugins`` looks into.
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
    :param broken: What does not work of it in the checkout's own directory -> why.
    """

    name: str
    module: Path | None
    broken: Mapping[str, str] = field(default_factory=dict)

    @property
    def files(self) -> dict[str, Path | str]:
        """What it needs in a plugins directory."""
        if self.module is None:
            return {}
        stem, suffix = self.module.stem, self.module.suffix
        # Another plugin of that module is ours, and must not be overwritten.
        while (SOURCE / "plugins" / f"{stem}{suffix}").exists():
            stem = f"{stem}_{self.name}"
        info = f"[Core]\nName = {self.name}\nModule = {stem}\n"
        return {f"{stem}{suffix}": self.module, f"{self.name}{INFO_SUFFIX}": info}


def unusable(plugins: Iterable[Kept], broken: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """The schedulers that ours makes unusable, and why.

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
    """What some schedulers need in a plugins directory."""
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
    """Whether a plugins directory has these schedulers, as they are, and no others but ours."""
    wanted = files_of(plugins)
    infos = {path.name for path in folder.glob(f"*{INFO_SUFFIX}") if path.stem not in bundled()}
    return infos == {name for name in wanted if name.endswith(INFO_SUFFIX)} and all(
        _same(folder / name, item) for name, item in wanted.items()
    )


def _same(path: Path, item: Path | str) -> bool:
    try:
        if isinstance(item, str):
            # A site may have written its own, with more in it.
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
    """The files below a directory, without caches."""
    return {
        str(path.relative_to(folder)): path
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


class KeptDirectory:
    """The checkout's own schedulers beside a link, which change places as the link does.

    There may be two of them during a change. Their tokens tell which is which, wherever they are.
    All methods raise OSError.
    """

    def __init__(self, checkout: Checkout, disk: Disk) -> None:
        self._disk = disk
        self._place = checkout.kept
        self._new, self._aside, self.making, self._trash = map(
            checkout.hidden, ("kept-new", "kept-aside", "kept-making", "trash")
        )

    @property
    def token(self) -> str | None:
        """That of the one in its place; None when there is none of ours."""
        return self._token(self._place)

    @staticmethod
    def _token(path: Path) -> str | None:
        marker = None if path.is_symlink() else read_marker(path)
        return None if marker is None else str(marker["token"])

    def build(self, token: str, files: Files) -> None:
        """Make one, not in its place yet.

        :raises DropinError: When something else is in its place.
        """
        if os.path.lexists(self._place) and self.token is None:
            raise DropinError(f"{self._place} is in the way: it is not ours.")
        self._disk.fill(self.making, {"token": token}, files)
        self._disk.rename(self.making, self._new)

    def put(self, token: str | None) -> None:
        """Have the one with this token in its place.  None, and one that is gone: do nothing."""
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
        """Remove all but the one with this token."""
        for path in (self._place, self._new, self._aside):
            found = self._token(path)
            if found is not None and found != token:
                if os.path.lexists(self._trash):
                    self._disk.remove(self._trash)
                self._disk.rename(path, self._trash)
                self._disk.remove(self._trash)
