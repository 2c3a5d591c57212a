"""The one process per cluster that starts, ends and forgets jobs.

Commands start it when they need it. It ends when no job waits, runs or is being ended, and when
the cluster's directory goes away; then it takes the jobs with it.
"""

# A command starts in less time without pathlib.
# ruff: noqa: PTH110, PTH118, PTH123

from __future__ import annotations

import fcntl
import os
import select
import signal
import socket
import sqlite3
import time
from itertools import chain

from . import (
    arrays,
    dependency,
    faults,
    filenames,
    gres,
    jobenv,
    placement,
    power,
    releases,
    stepmanager,
    submission,
    topology,
)
from .machine import Machine, is_purged
from .store import STATE_FILE, Row, Store
from .times import stamp
from .wakeup import FIFO, LOCK

_TICK = 0.2  # seconds between looks at the jobs when nobody wakes the controller
_PURGE_EACH = 1.0  # seconds; until then the commands do not show what is to be forgotten
_LINGER = 1.0  # seconds without work before it ends
_A_YEAR = 365 * 24 * 60  # minutes: what the backfill scheduler makes of no limit
_LOST_AFTER = 10.0  # seconds without a trace of its processes after which a job is given up
_FROZEN_TICK = 0.05


def main(folder: str) -> int:
    """Run until there is nothing to do. 0, also when another controller runs already."""
    while True:
        try:
            lock = open(os.path.join(folder, LOCK), "rb")  # noqa: SIM115 - closed below
        except FileNotFoundError:
            return 0  # the cluster has been removed
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return 0
            if not os.path.exists(os.path.join(folder, STATE_FILE)):
                return 0
            fifo = os.open(os.path.join(folder, FIFO), os.O_RDWR | os.O_NONBLOCK)
            try:
                Controller(folder, fifo).run()
            finally:
                os.close(fifo)
        # A command may have found the FIFO still open; its work must not be left lying.
        if not os.path.exists(os.path.join(folder, STATE_FILE)) or not _has_work(folder):
            return 0


def _has_work(folder: str) -> bool:
    store = Store(folder)
    try:
        return bool(store.jobs(active_only=True)) or power.is_moving(store)
    finally:
        store.close()


class Controller:
    """The state between two looks at the jobs; all that must last is in the store."""

    def __init__(self, folder: str, fifo: int) -> None:
        self.folder = folder
        self.store = Store(folder)
        self.description = self.store.description()
        self.release = releases.of(self.description)
        self.settings = self.description["settings"]
        self._fifo = fifo
        self._leaders: dict[int, int] = {}
        self._managers: set[int] = set()
        self._purged = 0.0
        self._machine: Machine | None = None
        self._off: set[str] = set()  # nodes that must boot before a job can run there

    def run(self) -> None:
        """Look at the jobs again and again until there are none."""
        idle_since = time.monotonic()
        while True:
            if not os.path.exists(os.path.join(self.folder, STATE_FILE)):
                self._end_with_folder()
                return
            held = faults.read(self.folder)
            if "frozen" in held or "down" in held:
                self._sleep(_FROZEN_TICK)
                idle_since = time.monotonic()
                continue
            try:
                busy = self.tick(time.time())
            except (sqlite3.OperationalError, FileNotFoundError):
                continue  # the directory is being removed, or a writer held the lock for too long
            if busy:
                idle_since = time.monotonic()
            elif time.monotonic() - idle_since > _LINGER:
                self.store.close()
                return
            self._sleep(_TICK)

    def _sleep(self, seconds: float) -> None:
        ready, _, _ = select.select([self._fifo], [], [], seconds)
        if ready:
            os.read(self._fifo, 65536)
        while True:  # reap the step managers that have ended
            try:
                pid = os.waitpid(-1, os.WNOHANG)[0]
            except ChildProcessError:
                return
            if pid == 0:
                return
            self._managers.discard(pid)

    def _end_with_folder(self) -> None:
        for leader in self._leaders.values():
            stepmanager.kill(leader)
        for manager in self._managers:
            os.kill(manager, signal.SIGTERM)  # not reaped yet, so the number is its own

    # -- one look ----------------------------------------------------------------------------

    def tick(self, now: float) -> bool:
        """Advance all jobs; whether there is anything left to wait for."""
        held = faults.read(self.folder)
        self.description = self.store.description()  # a partition may have changed its state
        if "release" in held:
            self.description["release"] = held["release"]["version"]
        self.release = releases.of(self.description)
        self.settings = self.description["settings"]
        with self.store.transaction():
            active = self.store.jobs(active_only=True)
            moving = self._advance_power(active, now)
            down = self.store.down_nodes()
            booted = [
                job for job in active if job["state"] != "PENDING" and self._advance(job, down, now)
            ]
            started = [*booted, *self._start(now)]
            if now - self._purged > _PURGE_EACH:
                self._purged = now
                self._purge(now)
        broken = "prolog_fails" in held
        for job in started:
            if broken:
                self._fail_launch(job, now)
            else:
                self._launch(job)
        return moving or bool(self.store.jobs(active_only=True))

    def _advance_power(self, active: list[Row], now: float) -> bool:
        """Whether any node is on its way up or down."""
        self._off = set()
        if not self.description["saves_power"]:
            return False
        moving = power.advance(self.store, self.settings, self.description["started"], active, now)
        self._off = {row["name"] for row in self.store.powered_nodes() if power.is_off(row)}
        return moving

    def _purge(self, now: float) -> None:
        for job in self.store.jobs():
            if is_purged(job, self.settings["min_job_age"], now):
                if self.description["accounting"]:
                    self.store.archive(job)
                self.store.delete_job(job["id"])

    # -- jobs that run -----------------------------------------------------------------------

    def _advance(self, job: Row, down: set[str], now: float) -> bool:
        """Look at a job that has been started; whether its nodes have booted now."""
        before = dict(job)
        ended = stepmanager.read_exit(self.folder, job)
        leader = stepmanager.leader(self.folder, job)
        if leader is not None:
            self._leaders[job["id"]] = leader
        booted = False
        if job.get("configuring"):
            booted = self._configure(job, down, now)
        elif ended is not None:
            self._finish(job, ended, now)
        elif leader is None and self._is_lost(job, now):
            self._finish(job, stepmanager.Exit(0, 9, now), now)
        elif job["completing"]:
            self._press(job, leader, now)
        elif down & set(job["alloc"]):
            self._lose_node(job, down, leader, now)
        elif self._over_limit(job, now):
            job.update(state="TIMEOUT", reason="TimeLimit", completing=True, end=now)
            self._press(job, leader, now)
        if job != before:
            self.store.save_job(job)
        return booted

    def _configure(self, job: Row, down: set[str], now: float) -> bool:
        """A job that waits for its nodes to boot; whether they have."""
        if job["completing"]:  # cancelled meanwhile
            job["configuring"] = False
            self._finish(job, stepmanager.Exit(0, 0, now), now)
        elif down & set(job["alloc"]):
            job["configuring"] = False
            self._lose_node(job, down, None, now)
        elif not self._off & set(job["alloc"]):
            job.update(configuring=False, start=now, scheduled=now)
            return True
        return False

    def _is_lost(self, job: Row, now: float) -> bool:
        """Whether a job without a process will never have one."""
        unclaimed = job["kind"] == "alloc" and job["completing"]  # srun did not get the answer
        return bool(unclaimed or now - job["scheduled"] > _LOST_AFTER)

    def _over_limit(self, job: Row, now: float) -> bool:
        if job["end_wish"]:
            return bool(now > job["end_wish"])
        limit = job["limit"]
        return limit is not None and now - job["start"] > limit * self.settings["minute"]

    def _lose_node(self, job: Row, down: set[str], leader: int | None, now: float) -> None:
        """A job whose node went down ends at once: nobody waits for its processes."""
        job.update(
            state="NODE_FAIL",
            reason="NodeDown",
            completing=True,
            end=now,
            failed_node=next(name for name in job["alloc"] if name in down),
        )
        self._note_end(job, leader, now)
        if leader is not None:
            stepmanager.kill(leader)
        if job["requeue"]:
            job.update(requeuing=True, restarts_after=job["restarts"] + 1)
        # Its processes got a signal once; that is no longer said.
        number = signal.SIGHUP if self.release >= releases.MODERN else signal.SIGTERM
        self._finish(job, stepmanager.Exit(0, number, now), now)

    def _press(self, job: Row, leader: int | None, now: float) -> None:
        """End a job's processes: SIGTERM, and SIGKILL when that has not helped in time."""
        if leader is None:
            return  # its manager is just starting it
        if not job["term_sent"]:
            job["term_sent"] = now
            self._note_end(job, leader, now)
            stepmanager.terminate(leader)
        elif now - job["term_sent"] > self.settings["kill_wait"]:
            if job["kill_sent"] and now - job["kill_sent"] > 1 and not stepmanager.is_alive(leader):
                self._finish(job, stepmanager.Exit(0, 9, now), now)  # its manager was killed
            else:
                job["kill_sent"] = job["kill_sent"] or now
                stepmanager.kill(leader)

    def _note_end(self, job: Row, leader: int | None, now: float) -> None:
        """The line that slurmstepd writes into the job's output."""
        why = {
            "TIMEOUT": " DUE TO TIME LIMIT",
            "NODE_FAIL": " DUE TO NODE FAILURE, SEE SLURMCTLD LOG FOR DETAILS",
        }.get(job["state"], "")
        if job["requeuing"] and job["state"] != "NODE_FAIL":
            why = " DUE TO JOB REQUEUE"
        node = next(iter(job["alloc"]))
        text = (
            f"slurmstepd-{node}: error: *** JOB {job['id']} ON {node} CANCELLED AT "
            f"{stamp(now, {})}{why} ***\n"
        )
        try:
            with open(stepmanager.log(job, leader), "a", encoding="utf-8") as file:
                file.write(text)
        except OSError:
            pass  # no such file: the note has no place to go

    def _finish(self, job: Row, ended: stepmanager.Exit, now: float) -> None:
        """Record the end of a job's run."""
        stepmanager.forget(self.folder, job)
        self.store.note_use(job["alloc"], now)
        self._leaders.pop(job["id"], None)
        if job["state"] == "CANCELLED" and self.release == (25, 11):
            ended = ended._replace(code=0, signal=0)
        job.update(exit_code=ended.code, exit_signal=ended.signal, term_sent=0.0, kill_sent=0.0)
        if job["requeuing"]:
            self.requeue(job, now)
            return
        if not job["completing"]:
            job["end"] = ended.when
            good = ended.code == 0 and ended.signal == 0
            job["state"] = "COMPLETED" if good else "FAILED"
            if not good:
                job["reason"] = (
                    self._signal_reason(ended.signal) if ended.signal else "NonZeroExitCode"
                )
        job["completing"] = False

    def _signal_reason(self, number: int) -> str:
        if self.release < releases.MODERN:
            return "JobLaunchFailure"
        return f"RaisedSignal:{number}({signal.strsignal(number) or 'Unknown'})"

    def requeue(self, job: Row, now: float) -> None:
        """Back to the queue, with the same id."""
        if self.description["accounting"]:
            self.store.archive({**job, "state": "REQUEUED"})
        put_back(job, now, self.settings["requeue_seconds"])

    # -- jobs that wait ----------------------------------------------------------------------

    def _start(self, now: float) -> list[Row]:
        active = self.store.jobs(active_only=True)
        waiting = [job for job in active if job["state"] == "PENDING"]
        if not waiting:
            return []
        state = (self.store, now, self.description, active)
        machine = self._machine = self._machine.later(*state) if self._machine else Machine(*state)
        started: list[Row] = []
        blocked: set[str] = set()
        for job in sorted(waiting, key=lambda job: (-job["priority"], job["id"])):
            before = dict(job)
            if self._is_eligible(job, now):
                started += self._start_tasks(machine, job, blocked, now)
            if job != before:
                job["evaluated"] = now
                self.store.save_job(job)
        return [job for job in started if not job["configuring"]]

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
            if not self._try_start(machine, trial, blocked, now):
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

    def _is_eligible(self, job: Row, now: float) -> bool:
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

    def _try_start(self, machine: Machine, job: Row, blocked: set[str], now: float) -> bool:
        for each in placement.in_each_partition(job):
            chosen, reason = placement.place(machine, each)
            if chosen is not None:
                job["partition"] = each["partition"]
                break
        if chosen is None:
            if reason == "Resources" and job["partition"] in blocked:
                reason = "Priority"
            elif reason == "Resources":
                blocked.add(job["partition"])
            job["reason"] = reason
            return False
        job["limit"] = job["limit"] or _A_YEAR
        job.update(
            state="RUNNING",
            reason="None",
            alloc=chosen,
            start=now,
            end=None,
            scheduled=now,
            eligible=job["eligible"] or now,
            configuring=any(machine.by_name[name].is_off for name in chosen),
        )
        job["gpus"] = gres.assign(machine, job, placement.tasks_by_node(job))
        for name, numbers in job["gpus"].items():
            chosen[name] = max(chosen[name], job["gres"]["cpus"] * len(numbers))
        for name, cpus in chosen.items():
            machine.allocate(name, cpus)
        job["reservation_used"] = next(
            (
                name
                for name in placement.reservation_names(job)
                if set(chosen) <= set((machine.reservation(name) or {"nodes": ()})["nodes"])
            ),
            "",
        )
        filenames.name(job, self.release)
        return True

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
                put_back(job, now, self.settings["requeue_seconds"])
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

    def _launch(self, job: Row) -> None:
        if job["kind"] != "batch":
            return  # srun starts the tasks itself
        script, submitted, arguments = self.store.script(job["id"])
        environment = jobenv.batch(job, self.description["name"], socket.gethostname(), submitted)
        job = {**job, "make_directories": self.release >= releases.MAKES_DIRECTORIES}
        if self.description["switches"]:
            place, pattern = topology.address(self.description, next(iter(job["alloc"])))
            environment.update(SLURM_TOPOLOGY_ADDR=place, SLURM_TOPOLOGY_ADDR_PATTERN=pattern)
        # A child must not share the open state file: it leaves by _exit and never uses it.
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        self._managers.add(stepmanager.launch(self.folder, job, script, environment, arguments))


def put_back(job: Row, now: float, delay: float) -> None:
    """Make a pending job of one that ran; ``delay`` in seconds until it may start again."""
    job.update(
        state="PENDING",
        reason="BeginTime",
        completing=False,
        requeuing=False,
        alloc={},
        gpus={},
        start=None,
        end=None,
        begin=now + delay,
        eligible=now + delay,
        exit_code=0,
        exit_signal=0,
        term_sent=0.0,
        kill_sent=0.0,
        restarts=job["restarts"] if job["restarts_after"] is None else job["restarts_after"],
        restarts_after=None,
        configuring=False,
    )
    if job["hold"]:
        job["reason"] = "job requeued in held state"
