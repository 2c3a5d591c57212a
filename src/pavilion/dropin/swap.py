"""Exchanging the schedulers directory in a way that may be interrupted at any point.

These names are all in the same directory (see Checkout).  ``schedulers`` is what Pavilion uses.  The
new directory is built as *making*, and then renamed to *new*.  The two are exchanged, and the old one
becomes the backup.  Before anything changes, a record says what is to be removed if this is not
finished (*goner*).  So, however the work is interrupted, :meth:`Swap.recover` restores what was there.
The same code undoes a change that did not pass its test.  *making* and *trash* may always be deleted;
nothing else is deleted that is not ours.

The checkout's own schedulers that a link keeps are in a separate directory, which only our directory
searches.  It is put in place before ours, and removed after it (see KeptDirectory).
"""

from __future__ import annotations

import errno
import json
import os
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pavilion.schedulers.talk.locks import try_lock

from .checkout import SOURCE, Checkout, DropinError
from .disk import Disk, Files, read_marker
from .kept import KeptDirectory

LINKED = "linked"
LINKING, RELINKING, UNLINKING = "linking", "relinking", "unlinking"


@dataclass(frozen=True)
class Piece:
    """What distinguishes a link, or a copy of our directory, from others.

    :param kind: 'link', or 'copy' for a directory that we made.
    :param mark: The target of the link, or the token of the directory.
    """

    kind: str
    mark: str


def identify(path: Path) -> Piece | None:
    """Identify a link or a directory of ours; None for any other directory, and if there is none."""
    if path.is_symlink():
        return Piece("link", os.fspath(path.readlink()))
    marker = read_marker(path)
    return None if marker is None else Piece("copy", marker["token"])


def read_record(checkout: Checkout) -> dict[str, Any] | None:
    """The record of what was done, or is being done; None when there is none.

    :raises DropinError: When it is not valid.
    """
    try:
        data = json.loads(checkout.record.read_bytes())
        for key in ("goner", "installed", "replaced"):
            data[key] = None if data.get(key) is None else Piece(**data[key])
        # Older versions did not keep schedulers next to a link.
        data.setdefault("kept", None)
        data.setdefault("kept_before", None)
        data.setdefault("without", [])
        if data["state"] not in (LINKED, LINKING, RELINKING, UNLINKING):
            raise ValueError(f"there is no state {data['state']!r}")
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError, AttributeError) as exc:
        raise DropinError(
            f"{checkout.record} is not valid. Look at {checkout.active} and {checkout.backup}, put "
            "the right directory in place, and delete that file",
            prior_error=exc,
        ) from exc
    assert isinstance(data, dict)
    return data


@dataclass(frozen=True)
class State:
    """What the checkout's schedulers directory is.

    :param kind: 'original', 'link', 'copy', 'interrupted' or 'missing'.
    :param current: For a link: whether it leads to this installation.  For a copy: True.
    :param text: A description in words.
    """

    kind: str
    current: bool
    text: str

    @property
    def ours(self) -> bool:
        """Whether our schedulers are in that place."""
        return self.kind in ("link", "copy")


def read_state(checkout: Checkout) -> State:
    """What the schedulers directory is.  Changes nothing.

    :raises DropinError: When the record is not valid.
    """
    record = read_record(checkout)
    if record is not None and record["state"] != LINKED:
        return State("interrupted", False, f"{record['state']} was interrupted")
    active = checkout.active
    if not os.path.lexists(active):
        return State("missing", False, "missing")
    piece = identify(active)
    if piece is not None and piece.kind == "copy":
        version = (read_marker(active) or {}).get("version", "?")
        return State("copy", True, f"a copy of pavilion-schedulers {version}")
    if piece is not None:
        current = active.resolve() == SOURCE
        recorded = record is not None and record["installed"] == piece
        if current or recorded or (os.path.lexists(checkout.backup) and not active.exists()):
            broken = "" if active.exists() else ", which does not exist"
            return State("link", current, f"a link to {piece.mark}{broken}")
        return State("original", False, f"the checkout's own, a link to {piece.mark}")
    return State("original", False, "the checkout's own")


@contextmanager
def locked(checkout: Checkout) -> Iterator[None]:
    """Prevent others from changing the same checkout at the same time.

    :raises DropinError: When somebody is changing it, or the directory cannot be written to.
    """
    path = checkout.hidden("lock")
    try:
        # Not through a link, which could create or open a file of somebody else's choice.
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
    except OSError as exc:
        if exc.errno == errno.ELOOP:
            raise DropinError(
                f"{path} is a link, which pav-sched never makes. Find out where it came from, and "
                "remove it."
            ) from exc
        raise DropinError(
            f"{checkout.package} cannot be written to ({exc.strerror}). Run this as the owner of "
            "the checkout."
        ) from exc
    try:
        try:
            # The previous holder may have deleted the file: then the lock is on the wrong file.
            free = try_lock(fd) and os.path.samestat(os.fstat(fd), path.stat())
        except FileNotFoundError:
            free = False
        except OSError as exc:
            # Lustre is often mounted without locks. Two changes at the same time are unlikely, and
            # refusing to link would be worse.
            if exc.errno not in (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP):
                raise
            free = True
        if not free:
            raise DropinError(
                f"{checkout.root} is being changed by another pav-sched right now. "
                "Try again when that has finished."
            )
        try:
            yield
        finally:
            path.unlink(missing_ok=True)
    finally:
        os.close(fd)


def is_locked(checkout: Checkout) -> bool:
    """Whether a process is changing the checkout right now.  Changes nothing."""
    try:
        fd = os.open(checkout.hidden("lock"), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        return not try_lock(fd, shared=True)
    except OSError:
        return False
    finally:
        os.close(fd)


class Swap:
    """Changes one checkout.  Use it only while the checkout is :func:`locked`.

    All methods raise OSError and DropinError; then call :meth:`recover`.
    """

    def __init__(self, checkout: Checkout, disk: Disk | None = None) -> None:
        self._disk = disk or Disk()
        self._checkout = checkout
        self._active = checkout.active
        self._backup = checkout.backup
        self._new = checkout.hidden("new")
        self._aside = checkout.hidden("aside")
        self._making = checkout.hidden("making")
        self._trash = checkout.hidden("trash")
        self._kept = KeptDirectory(checkout, self._disk)

    def install(
        self,
        source: Path,
        version: str,
        copy: bool,
        kept: Files | None = None,
        without: Iterable[str] = (),
    ) -> None:
        """Replace what is in place by a link to a directory, or a copy of it.

        It takes effect at once, and becomes permanent with :meth:`commit`.

        :param source: The directory.
        :param version: The version of this package, for the record.
        :param copy: Make a copy instead of a link.
        :param kept: The files of the checkout's own schedulers that are kept.
        :param without: The names of those that are not kept, for the record.
        """
        kept = kept or {}
        record = read_record(self._checkout)
        before = identify(self._active) if read_state(self._checkout).ours else None
        piece = Piece("copy", uuid.uuid4().hex) if copy else Piece("link", os.fspath(source))
        if before is None and os.path.lexists(self._backup):
            raise DropinError(f"{self._backup} is in the way.")
        token = uuid.uuid4().hex if kept and not copy else None
        self._write(
            LINKING if before is None else RELINKING,
            goner=piece,
            installed=piece,
            replaced=before,
            version=version,
            previous=_plain(record),
            kept=token,
            kept_before=self._kept.token,
            without=sorted(without),
        )
        if token is not None:
            self._kept.build(token, kept)
            self._kept.put(token)
        if copy:
            self._disk.copy(source, self._making, {"token": piece.mark, "version": version}, kept)
        else:
            self._disk.symlink(piece.mark, self._making)
        self._disk.rename(self._making, self._new)
        self._exchange(self._new)
        if before is None:
            self._disk.rename(self._new, self._backup)

    def commit(self) -> None:
        """Make what was installed permanent."""
        record = read_record(self._checkout)
        assert record is not None
        self._write(
            LINKED,
            goner=None,
            previous=None,
            **{key: record[key] for key in ("installed", "replaced", "version", "kept", "without")},
        )
        self._tidy()

    def forget_backup(self) -> None:
        """Remove the backup, which equals the directory that is in place."""
        self._discard(self._backup)

    def forget_kept(self) -> None:
        """Remove the kept schedulers of a checkout whose own directory somebody else put back."""
        self._kept.discard_others(None)

    def restore(self) -> None:
        """Put the backup in place again."""
        if not os.path.lexists(self._backup):
            raise DropinError(f"{self._backup} does not exist.")
        if not os.path.lexists(self._active):
            self._disk.rename(self._backup, self._active)
            self._kept.discard_others(None)
            self._disk.remove(self._checkout.record)
            return
        self._write(
            UNLINKING,
            goner=identify(self._active),
            installed=None,
            replaced=None,
            version=None,
            previous=None,
        )
        self._exchange(self._backup)
        self.recover()

    def recover(self) -> str | None:
        """Undo an unfinished change, so that everything is as before.

        An interrupted :meth:`restore` is finished instead.

        :returns: What was interrupted: 'linking', 'relinking' or 'unlinking'; None when nothing was.
        """
        record = read_record(self._checkout)
        if record is None or record["state"] == LINKED:
            self._tidy()
            return None
        state, goner = record["state"], record["goner"]
        # Where the directory may be that should be in place, if it is not.
        homes = {
            LINKING: (self._new, self._aside, self._backup),
            RELINKING: (self._new, self._aside),
            UNLINKING: (self._backup, self._new, self._aside),
        }[state]
        if not os.path.lexists(self._active) or identify(self._active) == goner:
            self._put_back(homes, goner)
        for path in (self._new, self._aside, self._backup):
            if os.path.lexists(path) and identify(path) == goner:
                self._discard(path)
        for path in (self._new, self._aside):
            if os.path.lexists(path):
                raise DropinError(
                    f"{path} is left from a change that was interrupted, but was not made by "
                    f"pav-sched. Compare it with {self._active}, and remove it."
                )
        # The schedulers directory is put back first: without it, the kept ones are not used.
        self._kept.put(record["kept_before"])
        self._kept.discard_others(record["kept_before"])
        self._clear_leftovers()
        if record["previous"] is not None:
            self._disk.write_record(self._checkout.record, record["previous"])
        else:
            self._disk.remove(self._checkout.record)
        return str(state)

    def _put_back(self, homes: Iterable[Path], goner: Piece | None) -> None:
        for path in homes:
            if not os.path.lexists(path) or identify(path) == goner:
                continue
            if not os.path.lexists(self._active):
                self._disk.rename(path, self._active)
            elif not self._disk.exchange(path, self._active):
                self._clear(self._trash)
                self._disk.rename(self._active, self._trash)
                self._disk.rename(path, self._active)
            return
        raise DropinError(
            f"A change of {self._active} was interrupted, and the directory that was there before "
            f"was not found: it should be {self._backup}. Nothing was changed. Restore it, for "
            f"example with 'git checkout -- {self._active.relative_to(self._checkout.root)}', "
            f"and delete {self._checkout.record}."
        )

    def _exchange(self, other: Path) -> None:
        """Exchange the active directory with another one."""
        if self._disk.exchange(other, self._active):
            return
        # Between the first two renames, Pavilion finds no schedulers.
        self._disk.rename(self._active, self._aside)
        self._disk.rename(other, self._active)
        self._disk.rename(self._aside, other)

    def _tidy(self) -> None:
        """Remove what a finished change left behind."""
        record = read_record(self._checkout)
        replaced = None if record is None else record["replaced"]
        if replaced is not None and identify(self._new) == replaced:
            self._discard(self._new)
        if record is not None and read_state(self._checkout).ours:
            self._kept.discard_others(record["kept"])
        self._clear_leftovers()

    def _discard(self, path: Path) -> None:
        """Delete something of ours.  If that is interrupted, the rest is left as *trash*."""
        self._clear(self._trash)
        self._disk.rename(path, self._trash)
        self._disk.remove(self._trash)

    def _clear_leftovers(self) -> None:
        """Remove files that are never needed when no change is running."""
        record = self._checkout.record
        # The glob finds records that were not completely written.
        self._clear(
            self._making, self._kept.making, self._trash, *record.parent.glob(f".{record.name}.*")
        )

    def _clear(self, *paths: Path) -> None:
        for path in paths:
            if os.path.lexists(path):
                self._disk.remove(path)

    def _write(self, state: str, **values: Any) -> None:
        data = {"format": 1, "state": state, "when": time.strftime("%Y-%m-%d %H:%M:%S"), **values}
        self._disk.write_record(self._checkout.record, _plain(data) or {})


def _plain(record: dict[str, Any] | None) -> dict[str, Any] | None:
    """A record in the form that is written as JSON."""
    if record is None:
        return None
    return {
        key: asdict(value) if isinstance(value, Piece) else value for key, value in record.items()
    }
