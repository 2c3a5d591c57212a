"""What a command of the fake Flux runs in: which instance it talks to, and how it says no."""

# A command starts in less time without pathlib.
# ruff: noqa: PTH110, PTH118, PTH119, PTH120

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar

from ..engine import context as engine
from ..engine import wakeup
from ..engine.store import STATE_FILE, Row
from . import ids

RELEASE = "0.88.0"
SYSTEM = "/run/flux/local"
SOCKET = "local-0"
# Commands that are written in C; they begin their messages otherwise.
_IN_C = ("uptime", "getattr", "kvs", "job")


class FluxError(Exception):
    """What a command prints before it ends with 1."""


class Context(engine.Context):
    """One run of one command: 'flux jobs', 'flux batch', ...

    FLUX_URI says which fake instance it talks to, whichever one the program belongs to.
    """

    TITLE = "Flux"
    COMMANDS = ("flux",)
    NOTED = ("FLUX_", *engine.Context.NOTED)
    USER_VARIABLE = "FAKE_FLUX_USER"
    REFUSAL: ClassVar[type[Exception]] = FluxError

    def __init__(
        self, folder: str, command: str, words: list[str], environment: dict[str, str]
    ) -> None:
        self.name, rest = (words[0], words[1:]) if words else ("", [])
        uri = environment.get("FLUX_URI", "")
        self.socket = uri[len("local://") :] if uri.startswith("local://") else uri or SYSTEM
        place = os.path.dirname(self.socket)
        # The job whose own instance that is; '' for the one at the top.
        self.own_job = ""
        if os.path.basename(place).startswith("job-"):
            place, _, self.own_job = place.rpartition("/job-")
        if os.path.exists(os.path.join(place, wakeup.NAME)):
            folder = place
        self.is_there = place == folder and os.path.exists(os.path.join(folder, STATE_FILE))
        super().__init__(folder, f"{command} {self.name}".rstrip(), rest, environment)

    def version(self) -> str | None:
        """For 'flux --version'."""
        if self.name not in ("--version", "-V"):
            return None
        return f"commands:    \t\t{RELEASE}\nlibflux-core:\t\t{RELEASE}"

    def fail(self, text: str) -> FluxError:
        """An error in this command's words."""
        return FluxError(f"flux-{self.name}: ERROR: {text}")

    def _unreachable(self, python: str, errno: str) -> FluxError:
        if self.name in _IN_C:
            return FluxError(f"flux: flux_open: {errno}")
        return self.fail(f"Unable to connect to Flux: {python}")

    def no_contact(self) -> Exception:
        """The broker has gone."""
        return self._unreachable("Connection refused", "Connection refused")

    def passing(self, text: str) -> Exception:
        """A trouble that passes."""
        return self.fail(text)

    def connect(self) -> None:
        """Reach the instance that FLUX_URI names.

        :raises FluxError: when there is none.
        """
        self.ask(self.name)
        job = self.job_of_instance()
        if not self.is_there or (self.own_job and (job is None or job["state"] != "RUNNING")):
            raise self._unreachable(
                f"broker socket {self.socket} was not found", "No such file or directory"
            )

    def job_of_instance(self) -> Row | None:
        """The job whose instance this is; None at the top."""
        return self.find(int(self.own_job)) if self.own_job.isdigit() else None

    @contextmanager
    def change(self, rpc: str) -> Iterator[None]:
        """As the engine's; what was sent to a frozen broker never arrives."""
        self.ask(rpc)
        with self.store.transaction():
            yield
        wakeup.ensure_controller(self.folder)

    # -- jobs --------------------------------------------------------------------------------

    def spell(self, number: int) -> str:
        """An id, as this command writes it."""
        only = self.environment.get("LC_ALL") == "C" or "FLUX_F58_FORCE_ASCII" in self.environment
        return ids.f58(number, ascii_only=only)

    def find(self, number: int) -> Row | None:
        """The job with this id of Flux; None if there is none."""
        found = (job for job in self.store.jobs() if job["flux_id"] == number)
        return next(found, None)
