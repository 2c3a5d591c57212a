"""The part of 'doctor' about the working directory: what it can do, and what was left in it."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from .base import Session
from .doctor_site import has_settings
from .findings import Section

# Less than this is too little: bytes, and files that can still be made.
LITTLE_SPACE = 1 << 30
FEW_FILES = 10_000
# Seconds that clocks of host and file server may differ.
SKEW = 5.0
# How many of this user's newest series are checked.
MOST_SERIES = 200

_SHARED = re.compile(
    r"(?:nfs\d?|lustre|gpfs|beegfs|cifs|smb\d|ceph|glusterfs|fuse\..*|panfs|afs|9p|orangefs|wekafs)\Z"
)
_MEMORY = ("tmpfs", "ramfs")
CLEAN = "'pav-sched clean' shows what can be removed."
CHOOSE = "Choose another one with --working-dir, or working_dir in the settings."


def working_dir(section: Section, session: Session) -> None:
    """Whether tests can be kept in the working directory."""
    section.trying = "settings"
    if not has_settings(section, session):
        return
    path = session.pav_cfg.working_dir
    section.trying = "directory"
    there = _nearest(path)
    if there is None or not there.is_dir():
        section.problem("directory", f"{path}: {there or path} is not a directory", CHOOSE)
        return
    if there == path:
        section.ok("directory", path)
    else:
        section.ok("directory", f"{path} (not there yet; the first run makes it in {there})")
    with section.attempt("access"):
        _access(section, there, session)
    with section.attempt("file system"):
        _file_system(section, there)
    with section.attempt("free space"):
        _space(section, there)
    with section.attempt("writable", CHOOSE), _scratch(there) as folder:
        section.ok("writable", "yes")
        for name, check in (
            ("locks", _locks),
            ("links", _links),
            ("rename", _rename),
            ("modes", _modes),
            ("clock", _clock),
        ):
            with section.attempt(name, CHOOSE):
                check(section, folder)


def _nearest(path: Path) -> Path | None:
    """The directory, or the nearest above it that is there."""
    for candidate in (path, *path.parents):
        if os.path.lexists(candidate):
            return candidate
    return None


def _access(section: Section, path: Path, session: Session) -> None:
    for folder in (path, path / "series", path / "jobs"):
        if not folder.is_dir() or (folder != path and path != session.pav_cfg.working_dir):
            continue
        info = folder.stat()
        text = (
            f"{folder}: owner {_owner(info.st_uid)}, group {info.st_gid}, mode "
            f"{stat.S_IMODE(info.st_mode):04o}"
        )
        if not os.access(folder, os.W_OK | os.X_OK):
            section.problem("access", f"{text}: you cannot write there", CHOOSE)
        elif path == session.pav_cfg.working_dir and (
            info.st_mode & stat.S_IWOTH and not info.st_mode & stat.S_ISVTX
        ):
            section.problem(
                "access",
                f"{text}: everyone may move what is in it",
                "'chmod +t' lets users move only their own files; 'chmod o-w' shuts others out.",
            )
        else:
            section.ok("access", text)


def _owner(uid: int) -> str:
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"number {uid}"


class Mount(NamedTuple):
    """Where a file system is, of which type, with which options."""

    point: str
    kind: str
    source: str
    options: list[str]


def mount_of(path: Path, text: str) -> Mount | None:
    """The file system that a path is on.

    :param path: Without links.
    :param text: What /proc/self/mountinfo says.
    """
    found: Mount | None = None
    for line in text.splitlines():
        before, _, after = line.partition(" - ")
        fields, rest = before.split(" "), after.split(" ")
        if len(fields) < 6 or len(rest) < 2:
            continue
        point = _unescaped(fields[4])
        inside = point == "/" or str(path) == point or str(path).startswith(f"{point}/")
        # Of several at one place, the last one is on top.
        if inside and (found is None or len(point) >= len(found.point)):
            found = Mount(point, rest[0], _unescaped(rest[1]), fields[5].split(","))
    return found


def _unescaped(text: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), text)


def _file_system(section: Section, path: Path) -> None:
    text = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="surrogateescape")
    mount = mount_of(path.resolve(), text)
    if mount is None:
        section.warn("file system", "unknown", "/proc/self/mountinfo does not list it.")
        return
    shown = f"{mount.kind} ({mount.source} at {mount.point})"
    if "ro" in mount.options:
        section.problem("file system", f"{shown}, read-only", CHOOSE)
    elif mount.kind in _MEMORY:
        section.warn(
            "file system",
            f"{shown}, in memory",
            "Results are lost at a restart, and no other host sees them.",
        )
    elif _SHARED.match(mount.kind):
        section.ok("file system", f"{shown}, shared between hosts")
    else:
        section.ok("file system", f"{shown}, local to this host: nodes of a cluster may not see it")


def _space(section: Section, path: Path) -> None:
    free = shutil.disk_usage(path).free
    text = f"{_size(free)} ({path})"
    if free < LITTLE_SPACE:
        section.warn("free space", text, f"Logs of tests may fill it. {CLEAN}")
    else:
        section.ok("free space", text)
    info = os.statvfs(path)
    if not info.f_files:
        # File systems that create inodes as they are needed.
        section.ok("free inodes", "no limit")
    elif info.f_favail < FEW_FILES:
        section.warn("free inodes", info.f_favail, f"A test makes about ten files. {CLEAN}")
    else:
        section.ok("free inodes", info.f_favail)


def _size(number: float) -> str:
    for unit in ("B", "KiB", "MiB", "GiB"):
        if number < 1024:
            return f"{number:.4g} {unit}"
        number /= 1024
    return f"{number:.4g} TiB"


@contextlib.contextmanager
def _scratch(path: Path) -> Iterator[Path]:
    """A directory of our own in it, which is removed at the end."""
    folder = Path(tempfile.mkdtemp(prefix=".doctor.", dir=path))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _locks(section: Section, folder: Path) -> None:
    """Lock a file as the job table does, and see whether that locks others out."""
    from pavilion.schedulers.talk.locks import try_lock

    path = folder / "lock"
    with path.open("w") as first, path.open("w") as second:
        try_lock(first.fileno())
        if try_lock(second.fileno()):
            section.problem("locks", "flock does not lock others out", CHOOSE)
        else:
            section.ok("locks", "flock works")


def _links(section: Section, folder: Path) -> None:
    (folder / "link").symlink_to("target")
    target = os.readlink(folder / "link")  # noqa: PTH115 (as the code that needs it)
    if target != "target":
        section.problem("links", f"a link to 'target' leads to {target!r}", CHOOSE)
    else:
        section.ok("links", "symbolic links work")


def _rename(section: Section, folder: Path) -> None:
    old, new = folder / "old", folder / "new"
    old.write_text("old", encoding="utf-8")
    new.write_text("new", encoding="utf-8")
    new.replace(old)
    if old.read_text(encoding="utf-8") != "new" or new.exists():
        section.problem("rename", "a file cannot be replaced in one step", CHOOSE)
    else:
        section.ok("rename", "replaces a file in one step")


def _modes(section: Section, folder: Path) -> None:
    path = folder / "script"
    path.touch()
    path.chmod(0o750)
    info = path.stat()
    if stat.S_IMODE(info.st_mode) != 0o750:
        section.problem(
            "modes", f"chmod 0750 gives {stat.S_IMODE(info.st_mode):04o}: they are not kept", CHOOSE
        )
    elif info.st_uid != os.geteuid():
        section.problem(
            "modes", f"what you make belongs to user number {info.st_uid}, not to you", CHOOSE
        )
    else:
        section.ok("modes", "owners and permissions are kept")


def _clock(section: Section, folder: Path) -> None:
    before = time.time()
    path = folder / "clock"
    path.touch()
    made, after = path.stat().st_mtime, time.time()
    skew = made - after if made > after else min(0.0, made - before)
    if abs(skew) > SKEW:
        section.warn(
            "clock",
            f"the file system is {abs(skew):.0f} seconds {'ahead' if skew > 0 else 'behind'}",
            "Set the clocks of this host and of the file server (NTP).",
        )
    else:
        section.ok("clock", "the file system and this host agree")


def series(section: Section, session: Session) -> None:
    """What earlier commands left behind."""
    section.trying = "settings"
    if not has_settings(section, session):
        return
    from pavilion.files import is_mine
    from pavilion.starter import STARTING_FN, Starter

    section.trying = "series"
    folder = session.pav_cfg.working_dir / "series"
    if not folder.is_dir():
        section.ok("series", "none yet")
        return
    with section.attempt("series", "Check the permissions of the directory."):
        names = [path.name for path in folder.iterdir()]
        names = [name for name in names if re.fullmatch(r"s[1-9]\d{0,8}", name)]
        names.sort(key=lambda name: int(name[1:]), reverse=True)
        mine = [name for name in names[: 10 * MOST_SERIES] if is_mine(folder / name)]
        section.ok("series", f"{len(names)}, of which {len(mine)} are yours")
        stale, cut = [], []
        for name in mine[:MOST_SERIES]:
            path = folder / name
            if not (path / "series.json").exists():
                cut.append(name)
                continue
            if not os.path.lexists(path / STARTING_FN):
                continue
            starter = Starter.load(path)
            if starter is not None and starter.gone(path):
                stale.append(name)
        if stale:
            section.warn(
                "stopped runs",
                f"{', '.join(stale)}: the process that started the tests was stopped too early",
                f"'pav-sched status {stale[0]}' ends the tests that got no job.",
            )
        if cut:
            section.warn(
                "half-made series",
                f"{len(cut)}: {', '.join(cut[:5])}{', ...' if len(cut) > 5 else ''}",
                "A run was stopped while it made them, or is making one now. 'clean' removes them.",
            )
        if not stale and not cut:
            section.ok("leftovers", "none")
