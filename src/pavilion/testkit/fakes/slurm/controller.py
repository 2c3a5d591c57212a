"""What the fake Slurm's controller decides: power saving, arrays, reasons, where a job runs."""

# A command starts in less time without pathlib.
# ruff: noqa: PTH123

from __future__ import annotations

import signal
import socket
from itertools import chain

from ..engine import controller as engine
from ..engine import faults, stepmanager
from ..engine.machine import Machine
from ..engine.store import Row, Store
from . import (
    arrays,
    dependency,
    filenames,
    gres,
    jobenv,
    placement,
    power,
    releases,
    submission,
    topology,
)
from .times import stamp

_A_YEAR = 365 * 24 * 60  # minutes: what the backfill scheduler makes of no limit
_NO_OUTPUT_SIGNAL = 53  # what Slurm reports when the output file cannot be opened


class Controller(engine.Controller):
    """The controller of a fake Slurm."""

    STYLE = stepmanager.Style(
        pid_variable="SLURM_TASK_PID",
        not_executed="slurmstepd: error: execve(): {path}: {reason}",
        no_output=(0, _NO_OUTPUT_SIGNAL),
    )

    def __init__(self, folder: str, fifo: int) -> None:
        super().__init__(folder, fifo)
        self._off: set[str] = set()  # nodes that must boot before a job can run there
        self._prolog_fails = False

    @classmethod
    def has_work(cls, folder: str) -> bool:
        """Whether there is a job that has not ended, or a node on its way up or down."""
        store = Store(folder)
        try:
            return bool(store.jobs(active_only=True)) or power.is_moving(store)
        finally:
            store.close()

    def refresh(self, held: faults.Faults) -> None:
        """A partition may have changed its state; a fault may change the release."""
        super().refresh(held)
        if "release" in held:
            self.description["release"] = held["release"]["version"]
        self.release = releases.of(self.description)
        self._prolog_fails = "prolog_fails" in held

    def advance_nodes(self, active: list[Row], now: float) -> bool:
        """Whether any node is on its way up or down."""
        self._off = set()
        if not self.description["saves_power"]:
            return False
        moving = power.advance(self.store, self.settings, self.description["started"], active, now)
        self._off = {row["name"] for row in self.store.powered_nodes() if power.is_off(row)}
        return moving

    # -- jobs that run -----------------------------------------------------------------------

    def configure(self, job: Row, down: set[str], now: float) -> bool:
        """A job that waits for its nodes to boot; whether they have."""
        if job["completing"]:  # cancelled meanwhile
            job["configuring"] = False
            self.finish(job, stepmanager.Exit(0, 0, now), now)
        elif down & set(job["alloc"]):
            job["configuring"] = False
            self._lose_node(job, down, None, now)
        elif not self._off & set(job["alloc"]):
            job.update(configuring=False, start=now, scheduled=now)
            return True
        return False

    def lost_exit(self, now: float) -> stepmanager.Exit:
        """Its processes got a signal once; that is no longer said."""
        number = signal.SIGHUP if self.release >= releases.MODERN else signal.SIGTERM
        return stepmanager.Exit(0, number, now)

    def end_note(self, job: Row, now: float) -> str:
        """The line that slurmstepd writes into the job's output."""
        why = {
            "TIMEOUT": " DUE TO TIME LIMIT",
            "NODE_FAIL": " DUE TO NODE FAILURE, SEE SLURMCTLD LOG FOR DETAILS",
        }.get(job["state"], "")
        if job["requeuing"] and job["state"] != "NODE_FAIL":
            why = " DUE TO JOB REQUEUE"
        node = next(iter(job["alloc"]))
        return (
            f"slurmstepd-{node}: error: *** JOB {job['id']} ON {node} CANCELLED AT "
            f"{stamp(now, {})}{why} ***\n"
        )

    def finish(self, job: Row, ended: stepmanager.Exit, now: float) -> None:
        """Record the end of a job's run; one release shows no exit code of a cancelled job."""
        if job["state"] == "CANCELLED" and self.release == (25, 11):
            ended = ended._replace(code=0, signal=0)
        super().finish(job, ended, now)

    def put_back(self, job: Row, now: float) -> None:
        """Make a job that ran wait again."""
        put_back(job, now, self.settings["requeue_seconds"])

    def end_reason(self, ended: stepmanager.Exit) -> str:
        """The reason of a job that failed."""
        if not ended.signal:
            return "NonZeroExitCode"
        if self.release < releases.MODERN:
            return "JobLaunchFailure"
        return f"RaisedSignal:{ended.signal}({signal.strsignal(ended.signal) or 'Unknown'})"

    # -- jobs that wait ----------------------------------------------------------------------

    def consider(self, machine: Machine, job: Row, blocked: set[str], now: float) -> list[Row]:
        """Start a job, or as many of an array's tasks as may run, if it is time and there is room."""
        return self._start_tasks(machine, job, blocked, now) if self.is_eligible(job, now) else []

    def _start_tasks(self, machine: Machine, job: Row, blocked: set[str], now: float) -> list[Row]:
        """Start a job, or as many of an array's waiting tasks as may run; what was started."""
        started: list[Row] = []
        if job["unchecked"]:
            if submission.impossible(machine, job) is not None:
                job.update(reason="BadConstraints", priority=0)
                return []
            job["unchecked"] = False
        while job["state"] == "PENDING":
            if not arrays.has_room(chain(machine.jobs, started), job):
                job.update(reason="JobArrayTaskLimit", eligible=None)
                break
            trial = {**job} if arrays.waiting(job) else job
            if not self.try_start(machine, trial, blocked, now):
                job["reason"] = trial["reason"]
                break
            started.append(job if trial is job else self._own_record(job, trial))
        return started

    def _own_record(self, job: Row, trial: Row) -> Row:
        """The record of an array's task that starts as the trial did."""
        own = arrays.split(self.store, job, arrays.waiting(job)[0])
        own.update(
            {
                key: trial[key]
                for key in (
                    "state",
                    "reason",
                    "alloc",
                    "gpus",
                    "start",
                    "end",
                    "scheduled",
                    "eligible",
                    "limit",
                    "partition",
                    "reservation_used",
                    "configuring",
                )
            }
        )
        filenames.name(own, self.release)
        own["evaluated"] = own["start"]
        self.store.save_job(own)
        return own

    def is_eligible(self, job: Row, now: float) -> bool:
        """Whether the job is not held, and its time and its dependencies have come."""
        if job["hold"]:
            if not job["reason"].startswith(("JobHeld", "launch failed", "job requeued")):
                job["reason"] = "JobHeldUser" if job["hold"] == "user" else "JobHeldAdmin"
            return False
        if job["begin"] and job["begin"] > now:
            job["reason"] = "BeginTime"
            return False
        if job["dependency"]:
            job["reason"] = dependency.reason(self.store, job)
            return not job["reason"]
        return True

    def place(self, machine: Machine, job: Row, blocked: set[str]) -> dict[str, int] | None:
        """The nodes in the first of its partitions with room."""
        for each in placement.in_each_partition(job):
            chosen, reason = placement.place(machine, each)
            if chosen is not None:
                job["partition"] = each["partition"]
                job["limit"] = job["limit"] or _A_YEAR
                return chosen
        if reason == "Resources" and job["partition"] in blocked:
            reason = "Priority"
        elif reason == "Resources":
            blocked.add(job["partition"])
        job["reason"] = reason
        return None

    def settle(self, machine: Machine, job: Row) -> None:
        """Its GPUs, its reservation, the paths of its output."""
        chosen: dict[str, int] = job["alloc"]
        job["eligible"] = job["eligible"] or job["start"]
        job["gpus"] = gres.assign(machine, job, placement.tasks_by_node(job))
        for name, numbers in job["gpus"].items():
            chosen[name] = max(chosen[name], job["gres"]["cpus"] * len(numbers))
        job["reservation_used"] = next(
            (
                name
                for name in placement.reservation_names(job)
                if set(chosen) <= set((machine.reservation(name) or {"nodes": ()})["nodes"])
            ),
            "",
        )
        filenames.name(job, self.release)

    def launch(self, job: Row) -> None:
        """Start the script, unless the node's Prolog fails."""
        if self._prolog_fails:
            self._fail_launch(job, job["scheduled"])
            return
        super().launch({**job, "make_directories": self.release >= releases.MAKES_DIRECTORIES})

    def environment(self, job: Row, submitted: dict[str, str]) -> dict[str, str]:
        """The environment of the batch script."""
        name = self.description["name"]
        environment = jobenv.batch(job, name, socket.gethostname(), submitted)
        if self.description["switches"]:
            place, pattern = topology.address(self.description, next(iter(job["alloc"])))
            environment.update(SLURM_TOPOLOGY_ADDR=place, SLURM_TOPOLOGY_ADDR_PATTERN=pattern)
        return environment

    def _fail_launch(self, job: Row, now: float) -> None:
        """What a failing Prolog leads to: the node is drained, and the job waits, held; one that
        is not to be requeued is cancelled."""
        node = next(iter(job["alloc"]))
        with self.store.transaction():
            flags = next(row["flags"] for row in self.store.nodes() if row["name"] == node)
            self.store.update_node(
                node,
                flags=" ".join({*flags.split(), "DRAIN"}),
                reason="Prolog error",
                reason_user="root",
                reason_time=now,
            )
            if job["requeue"]:
                job.update(hold="admin", priority=0, restarts_after=job["restarts"] + 1)
                self.put_back(job, now)
                job["reason"] = "launch failed requeued held"
            else:
                job.update(
                    state="CANCELLED",
                    reason="None",
                    completing=False,
                    end=now,
                    exit_code=0,
                    exit_signal=0,
                )
            self.store.save_job(job)
        if job["kind"] == "batch":
            try:
                with open(job["paths"]["std_out"], "a") as output:
                    output.write("Error running slurm prolog: 1\n")
            except OSError:
                pass


def put_back(job: Row, now: float, delay: float) -> None:
    """As the engine's; a job that is held says so."""
    engine.put_back(job, now, delay)
    if job["hold"]:
        job["reason"] = "job requeued in held state"
