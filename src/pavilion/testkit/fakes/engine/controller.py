"""The one process per cluster that starts, ends and forgets jobs.

Commands start it when they need it. It ends when no job waits, runs or is being ended, and when
the cluster's directory goes away; then it takes the jobs with it.

A fake has a subclass in its module ``controller``, which says what its scheduler decides.
"""

# A command starts in less time without pathlib.
# ruff: noqa: PTH110, PTH118, PTH123

from __future__ import annotations

import fcntl
import os
import select
import signal
import sqlite3
import time
from typing import ClassVar

from . import faults, stepmanager
from .machine import Machine, is_purged
from .store import STATE_FILE, Row, Store
from .wakeup import FIFO, LOCK

_TICK = 0.2  # seconds between looks at the jobs when nobody wakes the controller
_PURGE_EACH = 1.0  # seconds; until then the commands do not show what is to be forgotten
_LINGER = 1.0  # seconds without work before it ends
_LOST_AFTER = 10.0  # seconds without a trace of its processes after which a job is given up
_FROZEN_TICK = 0.05


def main(folder: str, made: type[Controller]) -> int:
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
                made(folder, fifo).run()
            finally:
                os.close(fifo)
        # A command may have found the FIFO still open; its work must not be left lying.
        if not os.path.exists(os.path.join(folder, STATE_FILE)) or not made.has_work(folder):
            return 0


class Controller:
    """The state between two looks at the jobs; all that must last is in the store."""

    # How scripts are started.
    STYLE: ClassVar[stepmanager.Style] = stepmanager.Style()

    def __init__(self, folder: str, fifo: int) -> None:
        self.folder = folder
        self.store = Store(folder)
        self.description = self.store.description()
        self.settings = self.description["settings"]
        self._fifo = fifo
        self._leaders: dict[int, int] = {}
        self._managers: set[int] = set()
        self._purged = 0.0
        self._machine: Machine | None = None

    # -- what a fake decides -----------------------------------------------------------------

    @classmethod
    def has_work(cls, folder: str) -> bool:
        """Whether there is anything to wait for."""
        store = Store(folder)
        try:
            return bool(store.jobs(active_only=True))
        finally:
            store.close()

    def refresh(self, held: faults.Faults) -> None:
        """Read the description again, which may have changed, or be changed by a fault."""
        self.description = self.store.description()
        self.settings = self.description["settings"]

    def advance_nodes(self, active: list[Row], now: float) -> bool:
        """Advance the nodes; whether any of them is on its way to another state."""
        return False

    def configure(self, job: Row, down: set[str], now: float) -> bool:
        """Advance a job whose nodes must boot before it runs; whether they have."""
        job.update(configuring=False, start=now, scheduled=now)
        return True

    def place(self, machine: Machine, job: Row, blocked: set[str]) -> dict[str, int] | None:
        """The CPUs by node that the job gets now; None, with its reason set, while it gets none.

        :param blocked: Partitions in which a job of higher priority waits; to be added to.
        """
        raise NotImplementedError

    def settle(self, machine: Machine, job: Row) -> None:
        """Fill in what follows from the nodes that the job got."""

    def environment(self, job: Row, submitted: dict[str, str]) -> dict[str, str]:
        """The environment of the job's script."""
        raise NotImplementedError

    def is_eligible(self, job: Row, now: float) -> bool:
        """Whether a job that waits may start now, if there is room."""
        return not job["hold"] and not (job["begin"] and job["begin"] > now)

    def end_reason(self, ended: stepmanager.Exit) -> str:
        """The reason of a job that ended by itself, and not well."""
        return ""

    def end_note(self, job: Row, now: float) -> str:
        """What the scheduler writes into the output of a job that it ends; '' for nothing."""
        return ""

    def lost_exit(self, now: float) -> stepmanager.Exit:
        """How a job ended whose node was lost."""
        return stepmanager.Exit(0, signal.SIGTERM, now)

    def launch(self, job: Row) -> None:
        """Start the script of a job that has got its nodes."""
        if job["kind"] != "batch":
            return  # the command that wants the allocation starts its tasks itself
        script, submitted, arguments = self.store.script(job["id"])
        environment = self.environment(job, submitted)
        # A child must not share the open state file: it leaves by _exit and never uses it.
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        self._managers.add(
            stepmanager.launch(self.folder, job, script, environment, arguments, self.STYLE)
        )

    # -- the loop ----------------------------------------------------------------------------

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
        self.refresh(faults.read(self.folder))
        with self.store.transaction():
            active = self.store.jobs(active_only=True)
            moving = self.advance_nodes(active, now)
            down = self.store.down_nodes()
            booted = [
                job for job in active if job["state"] != "PENDING" and self._advance(job, down, now)
            ]
            started = [*booted, *self._start(now)]
            if now - self._purged > _PURGE_EACH:
                self._purged = now
                self._purge(now)
        for job in started:
            self.launch(job)
        return moving or bool(self.store.jobs(active_only=True))

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
            booted = self.configure(job, down, now)
        elif ended is not None:
            self.finish(job, ended, now)
        elif leader is None and self._is_lost(job, now):
            self.finish(job, stepmanager.Exit(0, 9, now), now)
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
        self.finish(job, self.lost_exit(now), now)

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
                self.finish(job, stepmanager.Exit(0, 9, now), now)  # its manager was killed
            else:
                job["kill_sent"] = job["kill_sent"] or now
                stepmanager.kill(leader)

    def _note_end(self, job: Row, leader: int | None, now: float) -> None:
        text = self.end_note(job, now)
        try:
            with open(stepmanager.log(job, leader), "a", encoding="utf-8") as file:
                file.write(text)
        except OSError:
            pass  # no such file: the note has no place to go

    def finish(self, job: Row, ended: stepmanager.Exit, now: float) -> None:
        """Record the end of a job's run."""
        stepmanager.forget(self.folder, job)
        self.store.note_use(job["alloc"], now)
        self._leaders.pop(job["id"], None)
        job.update(exit_code=ended.code, exit_signal=ended.signal, term_sent=0.0, kill_sent=0.0)
        if job["requeuing"]:
            self.requeue(job, now)
            return
        if not job["completing"]:
            job["end"] = ended.when
            good = ended.code == 0 and ended.signal == 0
            job["state"] = "COMPLETED" if good else "FAILED"
            if not good:
                job["reason"] = self.end_reason(ended)
        job["completing"] = False

    def requeue(self, job: Row, now: float) -> None:
        """Back to the queue, with the same id."""
        if self.description["accounting"]:
            self.store.archive({**job, "state": "REQUEUED"})
        self.put_back(job, now)

    def put_back(self, job: Row, now: float) -> None:
        """Make a job that ran wait again."""
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
            started += self.consider(machine, job, blocked, now)
            if job != before:
                job["evaluated"] = now
                self.store.save_job(job)
        return [job for job in started if not job["configuring"]]

    def consider(self, machine: Machine, job: Row, blocked: set[str], now: float) -> list[Row]:
        """Start a job that waits, if it may start and there is room; the jobs that were started."""
        if self.is_eligible(job, now) and self.try_start(machine, job, blocked, now):
            return [job]
        return []

    def try_start(self, machine: Machine, job: Row, blocked: set[str], now: float) -> bool:
        """Give a job its nodes, if there is room; whether it got them."""
        chosen = self.place(machine, job, blocked)
        if chosen is None:
            return False
        job.update(
            state="RUNNING",
            reason="None",
            alloc=chosen,
            start=now,
            end=None,
            scheduled=now,
            configuring=any(machine.by_name[name].is_off for name in chosen),
        )
        self.settle(machine, job)
        for name, cpus in job["alloc"].items():
            machine.allocate(name, cpus)
        return True


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
