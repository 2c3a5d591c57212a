"""What a command of the fake PBS runs in: its users, its words for no answer, which jobs it knows."""

# A command starts in less time without pathlib.

from __future__ import annotations

import getopt
import re
from collections.abc import Callable, Sequence
from typing import ClassVar

from ..engine import context as engine
from ..engine.machine import visible_jobs
from ..engine.options import Unsupported
from ..engine.store import Row
from . import errors
from .errors import PbsError

VERSION = "23.06.06"


class Context(engine.Context):
    """One run of one command."""

    TITLE = "PBS"
    COMMANDS = ("qsub", "qstat", "qselect", "qdel", "pbsnodes", "qhold", "qrls")
    NOTED = ("PBS_", *engine.Context.NOTED)
    USER_VARIABLE = "FAKE_PBS_USER"
    REFUSAL: ClassVar[type[Exception]] = PbsError

    def version(self) -> str | None:
        """The line of --version."""
        return f"pbs_version = {VERSION}" if self.words == ["--version"] else None

    def no_contact(self) -> Exception:
        """The error of a client that finds no server."""
        code = errors.NO_CONTACT_CODES.get(self.command, 162)
        if self.command == "qdel":
            text = f"Couldn't connect to cluster: {self.server}"
        else:
            number = ", error=15010" if self.command == "pbsnodes" else " (errno=15010)"
            text = f"{self.command}: cannot connect to server {self.server}{number}"
        return PbsError(f"{errors.NO_CONTACT}\n{text}", code)

    def timed_out(self) -> Exception:
        """A client waits for ever; where the setting says otherwise, it ends as without a server."""
        return self.no_contact()

    def passing(self, text: str) -> Exception:
        """An answer that says nothing."""
        return PbsError(f"{self.command}: {text}", 183)

    # -- names -------------------------------------------------------------------------------

    @property
    def server(self) -> str:
        """The server's name."""
        return str(self.description["name"])

    @property
    def owner(self) -> str:
        """The user as the owner of jobs: 'user@host'."""
        return f"{self.user[0]}@{self.server}"

    def id_of(self, job: Row) -> str:
        """A job's whole id."""
        return f"{job['id']}.{self.server}"

    # -- jobs --------------------------------------------------------------------------------

    @property
    def has_history(self) -> bool:
        """Whether jobs that ended are known."""
        return "no_history" not in self.faults

    def jobs(self) -> list[Row]:
        """The jobs that the server knows, those that ended included, by id."""
        known = [job for job in self.machine_jobs() if not self.hidden_by_fault(job)]
        return [job for job in known if self.has_history or not has_ended(job)]

    def machine_jobs(self) -> list[Row]:
        """All jobs, whether they are known or not."""
        return visible_jobs(self.store, self.description, self.now)

    def named(self, word: str) -> int:
        """The number of a job's id.

        :raises PbsError: for what is not an id, or one of another server.
        """
        match = re.fullmatch(r"([0-9]+)(?:\.([\w.-]+))?", word)
        if re.match(r"[0-9]+\[", word):
            raise Unsupported(f"{self.command}: job arrays")
        if match is None or match[2] not in (None, self.server):
            raise PbsError(f"{self.command}: illegally formed job identifier: {word}", 1)
        return int(match[1])

    # -- command lines -----------------------------------------------------------------------

    def options(
        self, words: Sequence[str], supported: str, others: str
    ) -> tuple[list[tuple[str, str]], list[str]]:
        """Options in their order, and operands, which follow them.

        :param supported: As for getopt.
        :param others: What else the real command has, and the fake has not.
        :raises PbsError: for an option that there is not.
        """
        try:
            found, operands = getopt.getopt(list(words), supported + others)
        except getopt.GetoptError as error:
            problem = f"{self.command}: invalid option -- '{error.opt[:1]}'"
            if "requires argument" in error.msg:
                problem = f"{self.command}: option requires an argument -- '{error.opt[:1]}'"
            raise errors.usage(self.command, problem) from error
        for option, _ in found:
            if option[1] not in supported:
                raise Unsupported(f"{self.command}: option {option}")
        return found, operands


def has_ended(job: Row) -> bool:
    """Whether a job is in the history."""
    return job["state"] not in ("PENDING", "RUNNING", "SUSPENDED") and not job["completing"]


def guarded(function: Callable[[Context], int]) -> Callable[[Context], int]:
    """A command that prints its failure, and ends with the code of that."""

    def run(context: Context) -> int:
        try:
            return function(context)
        except PbsError as error:
            context.err(error.text)
            return error.code

    run.__doc__ = function.__doc__
    return run
