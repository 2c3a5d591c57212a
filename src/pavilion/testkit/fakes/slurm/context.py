"""What a command of the fake Slurm runs in: its users, its release, its words for no answer."""

from __future__ import annotations

from typing import ClassVar

from ..engine import context as engine
from ..engine.store import Row
from . import releases
from .errors import NO_CONTACT, TIMED_OUT, UNEXPECTED, Error, SlurmError


class Context(engine.Context):
    """One run of one command."""

    TITLE = "Slurm"
    COMMANDS = ("sbatch", "squeue", "scancel", "scontrol", "sinfo", "srun", "sacct", "sdiag")
    NOTED = (
        *("SLURM_", "SBATCH_", "SQUEUE_", "SINFO_", "SCANCEL_", "SCONTROL_", "SACCT_", "SRUN_"),
        *("SALLOC_", *engine.Context.NOTED),
    )
    USER_VARIABLE = "FAKE_SLURM_USER"
    REFUSAL: ClassVar[type[Exception]] = SlurmError

    def version(self) -> str | None:
        """Slurm's name for its release, for --version."""
        asked = self.words in (["--version"], ["-V"])
        return releases.version_line(self.release) if asked else None

    def adapt(self, description: Row) -> None:
        """A fault may change the release."""
        if "release" in self.faults:
            description["release"] = self.faults["release"]["version"]

    def no_contact(self) -> Exception:
        """The error of a client that finds no controller."""
        return SlurmError(NO_CONTACT)

    def timed_out(self) -> Exception:
        """The error of a client that has waited for MessageTimeout."""
        return SlurmError(TIMED_OUT)

    def passing(self, text: str) -> Exception:
        """An answer that the client does not expect."""
        return SlurmError(Error(UNEXPECTED.number, text))

    def before_answer(self) -> None:
        """Hold the call back while the user's bucket is empty."""
        fault = self.faults.get("rate_limit")
        if fault is None:
            return
        from .rate_limit import take

        if not take(self.folder, self.user[0], fault):
            raise self.passing(fault["text"])

    @property
    def release(self) -> tuple[int, int]:
        """The Slurm release whose words are used, like (22, 5)."""
        return releases.of(self.description)

    @property
    def nodes_are_private(self) -> bool:
        """Whether PrivateData keeps the nodes from this user."""
        return "nodes" in self.description["private_data"] and not self.is_administrator

    @property
    def gap(self) -> str:
        """What is between 'error:' and the error in some messages of scontrol."""
        return "" if self.release >= releases.MODERN else " "

    def is_reachable(self, command: str, clusters: str) -> bool:
        """Whether the clusters of the option -M are known; says so if not, as 22.05 does.

        Names of clusters come from slurmdbd: there is one when the fault 'cluster' is on.
        """
        known = {self.description["name"], self.faults.get("cluster", {}).get("name")}
        if not clusters or ("cluster" in self.faults and known.issuperset(clusters.split(","))):
            return True
        if "cluster" not in self.faults:
            self.err(f"{command}: error: Problem talking to database")
        self.err(
            f"{command}: error: '{clusters}' can't be reached now, or it is an invalid entry "
            "for --cluster.  Use 'sacctmgr list clusters' to see available clusters."
        )
        return False
