"""What a command runs in: its words, its environment, its output, and the way to the controller.

A fake has a subclass with its own words, in its module ``context``.
"""

# A command starts in less time without pathlib.
# ruff: noqa: PTH109, PTH110, PTH112, PTH118

from __future__ import annotations

import json
import os
import pwd
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

from . import faults, wakeup
from .machine import Machine
from .store import STATE_FILE, Row, Store

CALL_FILE = "calls.jsonl"
RPC_FILE = "rpcs.jsonl"
_POLL = 0.02


class NoAnswer(Exception):
    """The controller gave no answer, or one that says nothing: a fake has a subclass, or another
    exception, with its own words for it."""


class Context:
    """One run of one command."""

    TITLE: ClassVar[str] = ""
    # The names of its programs.
    COMMANDS: ClassVar[tuple[str, ...]] = ()
    # The beginnings of the names of variables that are noted with each call.
    NOTED: ClassVar[tuple[str, ...]] = ("LC_ALL", "LANG", "TZ", "FAKE_")
    # The variable by which a command is run as another user of the fake.
    USER_VARIABLE: ClassVar[str] = "FAKE_USER"
    # What a refusal by the controller is raised as, see change().
    REFUSAL: ClassVar[type[Exception]] = NoAnswer

    def __init__(
        self, folder: str, command: str, words: list[str], environment: dict[str, str]
    ) -> None:
        self.folder = folder
        self.command = command
        self.words = words
        self.environment = environment
        self.now = time.time()
        self.faults = faults.read(folder)
        self._output: list[str] = []
        self._store: Store | None = None
        self._description: Row | None = None
        self._machine: Machine | None = None
        self._unclear = False

    # -- who, where --------------------------------------------------------------------------

    @property
    def store(self) -> Store:
        """The state of the cluster."""
        if self._store is None:
            self._store = Store(self.folder)
        return self._store

    @property
    def description(self) -> Row:
        """The description of the cluster, as the faults leave it."""
        if self._description is None:
            self._description = self.store.description()
            self.adapt(self._description)
        return self._description

    @property
    def machine(self) -> Machine:
        """The machine as it was when it was first looked at."""
        if self._machine is None:
            self._machine = Machine(self.store, self.now, self.description)
        return self._machine

    def setting(self, name: str) -> Any:
        """A setting of the cluster, see ``description.SETTINGS``."""
        return self.description["settings"][name]

    @property
    def user(self) -> tuple[str, int, str, int]:
        """Name, id, group and group id of the user; ``USER_VARIABLE`` lets one act as another."""
        name = self.environment.get(self.USER_VARIABLE)
        try:
            entry = pwd.getpwnam(name) if name else pwd.getpwuid(os.getuid())
        except KeyError:
            return (name or str(os.getuid()), 99999 if name else os.getuid(), "nogroup", 99999)
        import grp  # only here: most commands never ask who the user is

        return (entry.pw_name, entry.pw_uid, grp.getgrgid(entry.pw_gid).gr_name, entry.pw_gid)

    @property
    def is_administrator(self) -> bool:
        """Root, and the user who made the cluster."""
        name, uid, _, _ = self.user
        return uid == 0 or name == self.description["owner"]

    def is_user(self, text: str) -> bool:
        """Whether a name or a user id is that of a user, of the machine or of the fake's jobs."""
        try:
            _ = pwd.getpwuid(int(text)) if text.isdigit() else pwd.getpwnam(text)
        except (KeyError, OverflowError):
            return any(text in (job["user"], str(job["uid"])) for job in self.store.jobs())
        return True

    # -- what a fake says in its own words ----------------------------------------------------

    def version(self) -> str | None:
        """What the command prints when it is called for its version; None when it is not."""
        return None

    def adapt(self, description: Row) -> None:
        """Change the description of the cluster as this fake's own faults require."""

    def no_contact(self) -> Exception:
        """What is raised when there is no controller."""
        return NoAnswer("there is no controller")

    def timed_out(self) -> Exception:
        """What is raised when the controller did not answer in time."""
        return NoAnswer("the controller does not answer")

    def passing(self, text: str) -> Exception:
        """What is raised for a trouble that passes (the fault 'transient')."""
        return NoAnswer(text)

    def before_answer(self) -> None:
        """What this fake does before a call to the controller is answered."""

    # -- output ------------------------------------------------------------------------------

    def out(self, text: str) -> None:
        """Add to standard output, which is written when the command ends."""
        self._output.append(text)

    def line(self, text: str = "") -> None:
        """Add a line to standard output, which is written when the command ends."""
        self._output.append(text + "\n")

    def err(self, text: str) -> None:
        """Write a line to standard error at once."""
        sys.stderr.write(text + "\n")
        sys.stderr.flush()

    def flush(self) -> None:
        """Write standard output, changed by the faults that are about it."""
        data = "".join(self._output).encode("utf-8", "surrogateescape")
        for name, fault in self.faults.items():
            if name in ("garbage", "truncated", "banner") and faults.concerns(fault, self.command):
                data = _spoil(name, fault, data)
        self._output.clear()
        sys.stdout.flush()
        try:
            os.write(1, b"")
            view = memoryview(data)
            while view:
                view = view[os.write(1, view) :]
        except BrokenPipeError:
            pass  # the reader has seen enough

    # -- records -----------------------------------------------------------------------------

    def note_call(self) -> None:
        """Write down that this command was called."""
        noted = {
            name: value for name, value in self.environment.items() if name.startswith(self.NOTED)
        }
        append_record(
            self.folder,
            CALL_FILE,
            {
                "time": self.now,
                "command": self.command,
                "args": self.words,
                "env": noted,
                "cwd": os.getcwd() if os.path.isdir(".") else "",
                "pid": os.getpid(),
                "user": self.user[0],
            },
        )

    # -- the controller ----------------------------------------------------------------------

    def ask(self, rpc: str, *, changes: bool = False) -> None:
        """One call to the controller: counted, and subject to the faults.

        With ``changes`` a frozen controller is not an error yet: see ``change``.
        :raises: what ``no_contact``, ``timed_out`` and ``passing`` make.
        """
        append_record(
            self.folder, RPC_FILE, {"rpc": rpc, "user": self.user[0], "time": time.time()}
        )
        if "down" in self.faults:
            time.sleep(self.setting("connect_seconds"))
            raise self.no_contact()
        self.before_answer()
        self._fail_now_and_then()
        if "frozen" in self.faults and changes:
            self._unclear = True
        elif "frozen" in self.faults:
            self._wait_for_thaw()
        wakeup.ensure_controller(self.folder)

    @contextmanager
    def change(self, rpc: str) -> Iterator[None]:
        """One call to the controller that changes what the block changes, all or nothing.

        :raises: as ``ask``. A frozen controller still does what it was sent, and a refusal does
            not reach the client.
        """
        self.ask(rpc, changes=True)
        try:
            with self.store.transaction():
                yield
        except self.REFUSAL:
            self._answered()
            raise
        self._answered()

    def _answered(self) -> None:
        # Not just woken: one that was about to end did not see what was changed.
        wakeup.ensure_controller(self.folder)
        if self._unclear:
            self._wait_for_thaw()

    def _wait_for_thaw(self) -> None:
        patience = self.setting("message_timeout")
        deadline = time.monotonic() + patience
        while not patience or time.monotonic() < deadline:
            if not os.path.exists(os.path.join(self.folder, STATE_FILE)):
                break  # the cluster has been removed
            if "frozen" not in faults.read(self.folder):
                self.now = time.time()
                return
            time.sleep(_POLL)
        raise self.timed_out()

    def _fail_now_and_then(self) -> None:
        fault = self.faults.get("transient")
        if fault is None or not faults.concerns(fault, self.command):
            return
        if self.store.count(f"transient {self.command}") in fault["at"]:
            raise self.passing(fault["text"])

    def hidden_by_fault(self, job: Row) -> bool:
        """Whether the fault 'unknown_job' hides this job."""
        fault = self.faults.get("unknown_job")
        if fault is None:
            return False
        if fault["younger_than"] and self.now - job["submit"] > fault["younger_than"]:
            return False
        return not fault["ids"] or str(job["id"]) in [str(each) for each in fault["ids"]]


def _spoil(name: str, fault: dict[str, Any], data: bytes) -> bytes:
    if name == "garbage":
        return b"\xff\xfe\x00 segv @ 0x7f|||\n=== {\x80\x81 \n"
    if name == "truncated":
        return data[: int(len(data) * fault["keep"])]
    banner = (fault["text"] + "\n").encode()
    if fault["stream"] == "stderr":
        os.write(2, banner)
        return data
    before = banner if fault["where"] in ("before", "both") else b""
    return before + data + (banner if fault["where"] in ("after", "both") else b"")


def append_record(folder: str, name: str, record: dict[str, Any]) -> None:
    """Add a line to a log: one write, so that lines of several processes do not mix."""
    line = (json.dumps(record) + "\n").encode("utf-8", "surrogateescape")
    handle = os.open(os.path.join(folder, name), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    try:
        os.write(handle, line)
    finally:
        os.close(handle)
