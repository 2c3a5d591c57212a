"""Which files may be loaded as code: those that only trusted people may write to.

These are this user, root, whoever owns the config directories that the settings name, and the
members of the group that the settings name as ``trusted_group``.  For plugins that were installed
with pip, these are also the owners of the Python and the Pavilion that are running, and the groups
that may write there: they decide what runs in any case.  A file is only as safe as the directories
that lead to it, so they are looked at, too.
"""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path


class TrustedCode:
    """Judges files and directories of plugins.

    :param roots: The config directories: their owners are trusted.
    :param group: The name of a group whose members are trusted.
    :param running: Directories that this program itself is run from: whoever may write there is
        trusted, except everyone.
    """

    def __init__(
        self, roots: Iterable[Path], group: str | None = None, running: Iterable[Path] = ()
    ) -> None:
        # The members of root's own group are as good as root.
        self._users, self._groups = {0, os.geteuid()}, {0}
        for root in roots:
            # If it is not there, there is nothing in it that could be loaded.
            with contextlib.suppress(OSError):
                self._users.add(root.stat().st_uid)
        self._owner_of = "the config directory"
        for folder in running:
            self._owner_of = "a config directory, Python or Pavilion"
            with contextlib.suppress(OSError):
                info = folder.stat()
                self._users.add(info.st_uid)
                if info.st_mode & stat.S_IWGRP:
                    self._groups.add(info.st_gid)
        try:
            self._groups.update([grp.getgrnam(group).gr_gid] if group else [])
        except KeyError:
            # This host does not have the group, so nobody here is a member of it.
            pass
        self._ways: dict[Path, str] = {}

    def problem(self, path: Path) -> str:
        """Why code from a file or directory must not be loaded; '' when it may be.

        :param path: A module, the directory of a package, or one that is to be searched.
        :raises OSError: When it cannot be looked at.
        """
        path = path.resolve()
        problem = self._problem_of(path, path.stat()) or self._problem_of_way(path)
        if problem:
            return problem
        if path.is_dir():
            return self._first_problem(_below(path)) if (path / "__init__.py").is_file() else ""
        return self._first_problem(_compiled(path))

    def _first_problem(self, paths: Iterable[Path]) -> str:
        for path in paths:
            problem = self._problem_of(path, path.stat())
            if problem:
                return problem
        return ""

    def _problem_of_way(self, path: Path) -> str:
        """What is wrong with the directories that lead to a path."""
        parents = list(path.parents)
        # The directory that it is in: whoever may make a file there may make one that is imported.
        if not path.is_dir():
            problem = self._problem_of(parents[0], parents[0].stat())
            if problem:
                return problem
        for parent in parents:
            if parent not in self._ways:
                self._ways[parent] = self._problem_of_parent(parent)
            if self._ways[parent]:
                return self._ways[parent]
        return ""

    def _problem_of_parent(self, path: Path) -> str:
        """In a directory such as /tmp, others cannot replace what is there by files of theirs.

        Who owns the directories on the way is not looked at: inside containers they often seem
        to be somebody else's.
        """
        info = path.stat()
        return "" if info.st_mode & stat.S_ISVTX else self._problem_of_mode(path, info)

    def _problem_of(self, path: Path, info: os.stat_result) -> str:
        if info.st_uid not in self._users:
            return (
                f"{path} belongs to user {_user_name(info.st_uid)}, who is neither you nor "
                f"root nor the owner of {self._owner_of}, so its code is not loaded."
            )
        return self._problem_of_mode(path, info)

    def _problem_of_mode(self, path: Path, info: os.stat_result) -> str:
        if info.st_mode & stat.S_IWOTH:
            return (
                f"Everyone may write to {path}, so its code is not loaded. 'chmod o-w' changes "
                "that."
            )
        if (
            info.st_mode & stat.S_IWGRP
            and info.st_gid not in self._groups
            and not _is_private(info.st_gid, info.st_uid)
        ):
            name = _group_name(info.st_gid)
            return (
                f"All members of the group {name} may write to {path}, so its code is not "
                f"loaded. 'chmod g-w' changes that; or put 'trusted_group: {name}' into the "
                "settings, if you trust them all as you trust yourself."
            )
        return ""


def _below(folder: Path) -> Iterator[Path]:
    """All that is in a package, and may be imported with it."""
    for path in sorted(folder.rglob("*")):
        if path.is_dir() or path.suffix in (".py", ".pyc", ".so"):
            yield path


def _compiled(source: Path) -> Iterator[Path]:
    """What Python may load in place of a source."""
    cache = source.parent / "__pycache__"
    if cache.is_dir():
        yield cache
        yield from sorted(cache.glob(f"{source.stem}.*.pyc"))


def _is_private(gid: int, uid: int) -> bool:
    """Whether a group is one that many systems make for a single user, with no other members."""
    try:
        user, group = pwd.getpwuid(uid), grp.getgrgid(gid)
    except KeyError:
        return False
    return (
        user.pw_gid == gid
        and user.pw_name == group.gr_name
        and not set(group.gr_mem) - {user.pw_name}
    )


def _user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"number {uid}"


def _group_name(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)
