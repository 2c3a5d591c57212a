"""One interface for tests to every scheduler that has a plugin of the batch family.

A :class:`BatchSite` starts a scheduler, shows its own view of its jobs, and brings conditions about.
What not every scheduler can do is a :class:`Can`: a site declares which of these it has, and tests
say which they need.  A site for a new plugin is a class here, or in a module beside this one, and a
line in :func:`site_classes`.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import Any, NamedTuple

from pavilion.schedulers.batch import SchedulerPluginBatch

TIMEOUT = 120.0


class Can(Enum):
    """What a scheduler has, or what a site can bring about."""

    LIST_NODES = "its nodes are listed, and jobs run on nodes that are chosen for them"
    HAVE_SEVERAL_NODES = "it has more than one node here"
    LIST_ENDED = "it lists jobs for a while after they ended"
    FORGET = "it can be made to forget jobs that ended (FORGET without LIST_ENDED: at once)"
    TELL_HISTORY = "its accounting has the ends of jobs that it no longer lists"
    TELL_CANCELLED = "it distinguishes jobs that were cancelled from those that ended"
    GET_STUCK = "its jobs may be stuck: queued, until somebody intervenes"
    HOLD = "a job can be made to wait"
    STOP = "its daemon can be stopped, and started again"
    FREEZE = "it can be made to answer nobody, until it goes on"
    LIMIT = "it can be made to limit the number of jobs"
    DENY = "it knows users, and denies them to cancel each other's jobs"
    OBEY_VARIABLES = "environment variables change what its commands do"
    SAY_WHICH_SCRIPT = "it shows which script a job came from"


class Listed(NamedTuple):
    """A job, as the scheduler itself shows it."""

    job_id: str
    token: str
    has_ended: bool


class Said(NamedTuple):
    """What a command prints when it fails."""

    text: str
    code: int = 1
    on_stdout: bool = False


class Stuck(NamedTuple):
    """How a job gets stuck: one with this schedule section, after something is done to its script,
    and what parts its note has then."""

    schedule: Mapping[str, Any]
    parts: Sequence[str]
    spoil: Callable[[Path], None] = lambda script: None


class BatchSite:
    """A scheduler, and the plugin for it.  A context manager; ``directory`` is used up."""

    kind = ""
    can: frozenset[Can] = frozenset()
    # The commands that submit, list jobs, cancel, list nodes, and show that the scheduler answers;
    # each is a program, or a program and its first argument ('prog list').
    submit = jobs = cancel = nodes = ping = ""
    # The one that shows how jobs ended (Can.TELL_HISTORY).
    history = ""
    # Further commands that the plugin runs.
    others: Sequence[str] = ()
    # What its commands print when the queue is full, and for the job 'ID' of another user.
    full = Said("")
    denied = Said("")
    # What its submit command prints for a request that is wrong.
    refusal = Said("")
    # A part of the reason why it refuses a job, see refusing().
    refused_why = ""
    # Schedule keys that it supports, each with a value that is valid at this site.
    samples: Mapping[str, Any] = {}
    # Paths of directories in which it cannot run jobs, as regular expressions: these are refused.
    unusable_paths: Sequence[str] = ()
    # What a schedule section must have for jobs of which several fit on the machine.
    small: Mapping[str, Any] = {}

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    @staticmethod
    def why_not() -> str:
        """Why it cannot be started here; '' when it can."""
        return ""

    def __enter__(self) -> BatchSite:
        raise NotImplementedError

    def __exit__(self, *_: object) -> None:
        raise NotImplementedError

    def variables(self) -> dict[str, str]:
        """The environment variables by which commands find this scheduler, PATH among them."""
        raise NotImplementedError

    def plugin(self) -> SchedulerPluginBatch:
        """A new plugin object."""
        raise NotImplementedError

    def listed(self) -> list[Listed]:
        """All jobs that the scheduler shows."""
        raise NotImplementedError

    @contextmanager
    def refusing(self) -> Iterator[Mapping[str, Any]]:
        """Within the block, jobs with this schedule section are refused, by the scheduler itself."""
        raise NotImplementedError
        yield {}

    def foreign(self) -> str:
        """Start a job of somebody else's, which goes on; its id."""
        raise NotImplementedError

    def cancel_outside(self, *job_ids: str) -> None:
        """Cancel jobs without the plugin."""
        self.ok(*self.cancel.split(), *job_ids)

    def waiting(self) -> Mapping[str, Any]:
        """The schedule section of a job that waits (Can.HOLD)."""
        raise NotImplementedError

    def forget_ended(self) -> None:
        """Have the scheduler forget all jobs that ended (Can.FORGET)."""
        raise NotImplementedError

    @contextmanager
    def down(self) -> Iterator[None]:
        """The scheduler refuses connections within the block (Can.STOP)."""
        raise NotImplementedError
        yield

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """The scheduler answers nobody within the block (Can.FREEZE)."""
        raise NotImplementedError
        yield

    @contextmanager
    def limited(self, jobs: int) -> Iterator[None]:
        """The scheduler takes no more than so many jobs within the block (Can.LIMIT)."""
        raise NotImplementedError
        yield

    @contextmanager
    def stuck(self) -> Iterator[Stuck]:
        """Within the block jobs can get stuck (Can.GET_STUCK)."""
        raise NotImplementedError
        yield Stuck({}, [])

    def clean(self) -> None:
        """End all jobs, also those of others."""
        raise NotImplementedError

    # --- Commands ---

    @property
    def commands(self) -> list[str]:
        """The names of all commands."""
        named = (
            self.submit,
            self.jobs,
            self.cancel,
            self.nodes,
            self.ping,
            self.history,
            *self.others,
        )
        return [name for name in dict.fromkeys(named) if name]

    def run(self, *argv: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run a command of the scheduler, without any faults."""
        env = {**os.environ, **self.variables(), **variables}
        return subprocess.run(
            ["/usr/bin/env", *argv],
            env=env,
            cwd=self.directory,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=TIMEOUT,
            check=False,
        )

    def ok(self, *argv: str) -> str:
        """Run a command that must succeed; what it printed."""
        done = self.run(*argv)
        assert done.returncode == 0, f"{argv}: {done.stdout}{done.stderr}"
        return done.stdout


def site_classes() -> dict[str, type[BatchSite]]:
    """All sites, by their kind."""
    from batch.flux_sites import FakeFluxSite
    from batch.gridengine_site import GridEngineSite
    from batch.minibatch_site import MinibatchSite
    from batch.pbs_sites import FakePbsSite, PbsWithoutHistorySite
    from batch.real_flux_site import RealFluxSite
    from batch.real_pbs_site import RealPbsSite
    from batch.slurm_sites import FakeSlurmSite, RealSlurmSite

    made_up = (FakeSlurmSite, FakeFluxSite, MinibatchSite, FakePbsSite, PbsWithoutHistorySite)
    real = (RealSlurmSite, GridEngineSite, RealPbsSite, RealFluxSite)
    return {made.kind: made for made in (*made_up, *real)}
