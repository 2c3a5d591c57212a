"""Jobs as local processes: tell them apart, look at them, end them.

A pid alone says little: pids are used again, and a record may come from another host or from before
a reboot. A job is therefore known by host, boot, pid and start time, and all of its processes carry
the job's unique id in their environment. Where it is not certain that a process belongs to a job,
it is never signalled.
"""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from ...talk.procfs import ProcessStat, process_start_time, read_boot_id, read_stat
from .job_queue import RawError

JOB_VARIABLE = "PAV_RAW_JOB"
# The first and the longest pause between looks at processes that were told to end, in seconds.
END_PAUSES = (0.01, 0.2)


# --- Identity ---


@dataclass(frozen=True)
class ProcessIdentity:
    """What a job's first process is known by.

    `boot_id` and `start_time` (clock ticks since boot) are None in records of older versions.
    """

    pid: int
    uniq_id: str
    host: str
    boot_id: str | None = None
    start_time: int | None = None

    def to_info(self) -> dict[str, str]:
        """As text values for a JobInfo; what is not known is left out."""
        values = {
            "pid": self.pid,
            "uniq_id": self.uniq_id,
            "host": self.host,
            "boot_id": self.boot_id,
            "start_time": self.start_time,
        }
        return {key: str(value) for key, value in values.items() if value is not None}

    @classmethod
    def from_info(cls, info: Mapping[str, object]) -> ProcessIdentity:
        """From a JobInfo; other keys are ignored, and numbers may be text or int.

        :raises RawError: When a value is missing or makes no sense.
        """
        pid = _info_number(info, "pid")
        # kill() gives 0 and -1 a meaning of their own, and 1 is never a job.
        if pid is None or pid <= 1:
            raise RawError(
                f"The job record has the pid {info.get('pid')!r}; a job's pid is a "
                f"number greater than 1."
            )
        texts = {}
        for key in ("uniq_id", "host"):
            value = info.get(key)
            if not isinstance(value, (str, int)) or isinstance(value, bool) or value == "":
                raise RawError(f"The job record of pid {pid} has no {key!r} (found {value!r}).")
            texts[key] = str(value)
        boot_id = info.get("boot_id")
        return cls(
            pid,
            texts["uniq_id"],
            texts["host"],
            None if boot_id in (None, "") else str(boot_id),
            _info_number(info, "start_time"),
        )


def _info_number(info: Mapping[str, object], key: str) -> int | None:
    """A whole number of a job record; None when the key is missing or empty."""
    value = info.get(key)
    if value is None or value == "":
        return None
    text = str(value).strip() if isinstance(value, (str, int)) else ""
    if isinstance(value, bool) or not (text.isascii() and text.isdigit()):
        raise RawError(f"The job record has {key!r} {value!r}, which is not a whole number.")
    return int(text)


def _is_this_host(host: str) -> bool:
    """Whether a recorded name is this host's; the short and the full form count as the same."""
    recorded, here = host.lower(), socket.gethostname().lower()
    if "." in recorded and "." in here:
        return recorded == here
    return recorded.split(".")[0] == here.split(".")[0]


def _marker(pid: int) -> str | None:
    """The job id in the environment that a process was started with; None when it has none.

    A process has none, too, for the moments in which it ends or starts another program.

    :raises OSError: When the environment cannot be read.
    """
    prefix = JOB_VARIABLE.encode("ascii") + b"="
    try:
        environment = Path(f"/proc/{pid}/environ").read_bytes()
    except ProcessLookupError:
        return None
    for entry in environment.split(b"\0"):
        if entry.startswith(prefix):
            return entry[len(prefix) :].decode("utf-8", "replace")
    return None


# --- Look ---

# Seconds before each look at a process that does not carry the job's id, which may be because it
# ends, or starts another program, at that moment.
LOOK_PAUSES = (0.0, 0.01, 0.05)


class Liveness(Enum):
    """Whether a job's first process runs."""

    RUNNING = "running"
    OVER = "over"
    CANNOT_TELL = "cannot tell"


@dataclass(frozen=True)
class Look:
    """The answer of `look`: a verdict, and a sentence that says how it was reached."""

    liveness: Liveness
    note: str


def look(identity: ProcessIdentity) -> Look:
    """Tell whether the first process of a job runs. Never raises, and signals nothing."""
    if not _is_this_host(identity.host):
        return Look(
            Liveness.CANNOT_TELL,
            f"The job runs on the host {identity.host}, and this is {socket.gethostname()}.",
        )
    try:
        if identity.boot_id is not None and identity.boot_id != read_boot_id():
            return Look(
                Liveness.OVER, f"The host {identity.host} was rebooted since the job was started."
            )
        for pause in LOOK_PAUSES:
            time.sleep(pause)
            found = read_stat(identity.pid)
            if found is None:
                return _look_at_missing(identity.pid)
            seen = _compare(identity, found)
            if seen.liveness is not Liveness.CANNOT_TELL:
                break
        return seen
    except (OSError, ValueError) as err:
        return Look(
            Liveness.CANNOT_TELL, f"Cannot read about the process {identity.pid} in /proc: {err}"
        )


def _look_at_missing(pid: int) -> Look:
    """A process that /proc does not show may have ended, or be hidden (mount option hidepid)."""
    if read_stat(os.getpid()) is None:
        return Look(Liveness.CANNOT_TELL, "/proc does not show the processes of this host.")
    try:
        os.kill(pid, 0)  # Signal 0 only asks.
    except ProcessLookupError:
        return Look(Liveness.OVER, f"The process {pid} has ended.")
    except PermissionError:
        pass
    if read_stat(pid) is None:
        return Look(Liveness.CANNOT_TELL, f"/proc does not show the process {pid}, which exists.")
    return Look(Liveness.CANNOT_TELL, f"The process {pid} started a moment ago.")


def _compare(identity: ProcessIdentity, found: ProcessStat) -> Look:
    """Compare a record with the process that has its pid now."""
    pid = identity.pid
    if identity.start_time is not None and identity.start_time != found.start_time:
        return Look(Liveness.OVER, f"The process {pid} has ended; another process has its pid now.")
    if not found.alive:
        # Whoever it was: a job with this pid has ended.
        return Look(Liveness.OVER, f"The process {pid} has ended.")
    if identity.start_time is not None and identity.boot_id is not None:
        return Look(Liveness.RUNNING, f"The process {pid} runs.")
    marker = _marker(pid)
    if marker == identity.uniq_id:
        return Look(Liveness.RUNNING, f"The process {pid} runs.")
    if marker is not None:
        return Look(Liveness.OVER, f"The process {pid} has ended; another job has its pid now.")
    return Look(
        Liveness.CANNOT_TELL,
        f"The job record has no start time, and the process {pid} "
        f"does not carry the job's id ({JOB_VARIABLE}).",
    )


# --- Members ---


@dataclass(frozen=True)
class _Census:
    """The living processes of a job, and those of them that must be left alone: this process and its
    ancestors.

    A job's processes are those with its id in their environment, wherever they went, and those in
    its session or process group. The session counts only when it is proven to be the job's: its
    first process is there, or a process in it has the job's id. (The number alone proves nothing
    once the first process is gone: each daemon lives in a session without a leader.)
    """

    members: tuple[ProcessStat, ...]
    spared: tuple[ProcessStat, ...]
    # The group's number is the job's: some member proves it.
    group_proven: bool


def survivors(identity: ProcessIdentity, snapshot: Snapshot) -> list[int]:
    """The pids of all processes that a job has in a snapshot, sorted; this one included.

    A job whose first process is gone has ended when there are none.  The snapshot must be from
    afterwards, see `Snapshot.shows_end_of`.
    """
    census = _census_of(identity, snapshot)
    return sorted(process.pid for process in (*census.members, *census.spared))


class Snapshot:
    """All processes of this host at one moment, with the job ids that they carry.

    It takes a hundredth of a second for some hundred processes, and serves any number of jobs.

    :raises RawError: When /proc cannot be read.
    """

    def __init__(self) -> None:
        try:
            self.boot_id = read_boot_id()
            self.processes = _scan()
        except OSError as err:
            raise RawError(f"Cannot read the list of processes in /proc: {err}") from err
        self.markers = {
            process.pid: _marker_or_none(process.pid)
            for process in self.processes.values()
            if process.alive
        }

    def shows_end_of(self, identity: ProcessIdentity) -> bool:
        """Whether it was taken when the job's first process was gone."""
        leader = self.processes.get(identity.pid)
        return (
            leader is None
            or not leader.alive
            or identity.start_time not in (None, leader.start_time)
        )


def _census_of(
    identity: ProcessIdentity, snapshot: Snapshot, group_proven: bool = False
) -> _Census:
    """A job's processes in a snapshot of its host.

    :param group_proven: Whether an earlier census has proven that the group is the job's.
    """
    if identity.boot_id is not None and identity.boot_id != snapshot.boot_id:
        return _Census((), (), False)
    processes, markers = snapshot.processes, snapshot.markers
    earliest = identity.start_time or 0
    candidates = [
        process
        for process in processes.values()
        if process.alive and process.start_time >= earliest
    ]
    marked = [process for process in candidates if markers[process.pid] == identity.uniq_id]

    leader = processes.get(identity.pid)
    if leader is not None:
        group_proven = _is_leader(identity, leader, markers.get(leader.pid))
    elif not group_proven:
        group_proven = any(identity.pid in (process.session, process.pgrp) for process in marked)
    found = {process.pid: process for process in marked}
    if group_proven:
        found.update(
            (process.pid, process)
            for process in candidates
            if identity.pid in (process.session, process.pgrp)
        )
    kin = _self_and_ancestors(processes)
    ordered = [found[pid] for pid in sorted(found)]
    return _Census(
        tuple(process for process in ordered if process.pid not in kin),
        tuple(process for process in ordered if process.pid in kin),
        group_proven,
    )


def _scan() -> dict[int, ProcessStat]:
    processes = {}
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            try:
                found = read_stat(int(entry.name))
            except PermissionError:
                continue  # Another user's, on a host that hides them.
            if found is not None:
                processes[found.pid] = found
    return processes


def _marker_or_none(pid: int) -> str | None:
    try:
        return _marker(pid)
    except OSError:
        return None  # Gone, or another user's.


def _is_leader(identity: ProcessIdentity, process: ProcessStat, marker: str | None) -> bool:
    if identity.start_time is not None and identity.boot_id is not None:
        return process.start_time == identity.start_time
    return process.alive and marker == identity.uniq_id


def _self_and_ancestors(processes: Mapping[int, ProcessStat]) -> set[int]:
    kin: set[int] = set()
    pid = os.getpid()
    while pid > 0 and pid not in kin:
        kin.add(pid)
        pid = processes[pid].ppid if pid in processes else 0
    return kin


# --- End ---


class _Ending:
    """Signals to one job's processes, and the memory of what was sent to whom."""

    def __init__(self, identity: ProcessIdentity) -> None:
        self.identity = identity
        self.denied: set[tuple[int, int]] = set()
        self.census = _census_of(identity, Snapshot())

    def drive(self, signum: signal.Signals, wait: float) -> None:
        """Send a signal to all members, also to those that appear meanwhile, until none is left."""
        sent: set[tuple[int, int]] = set()
        deadline = time.monotonic() + wait
        pause, longest = END_PAUSES
        while True:
            fresh = [
                process
                for process in self.census.members
                if (process.pid, process.start_time) not in sent
            ]
            self._send(fresh, signum)
            sent.update((process.pid, process.start_time) for process in fresh)
            remaining = deadline - time.monotonic()
            if self.done() or remaining <= 0:
                return
            time.sleep(min(pause, remaining))
            pause = min(pause * 2, longest)
            self.census = _census_of(self.identity, Snapshot(), self.census.group_proven)

    def done(self) -> bool:
        """Whether none is left that we may signal."""
        return all(
            (process.pid, process.start_time) in self.denied for process in self.census.members
        )

    def _send(self, processes: Sequence[ProcessStat], signum: signal.Signals) -> None:
        group = self.identity.pid
        # One signal to the whole group leaves no gap for a fork. Not when we are in it ourselves.
        safe = self.census.group_proven and not any(p.pgrp == group for p in self.census.spared)
        told = (
            safe
            and any(process.pgrp == group for process in processes)
            and self._signal_group(group, signum)
        )
        for process in processes:
            # A group signal succeeds when it reached one process, so KILL goes to each one too.
            if not told or process.pgrp != group or signum is signal.SIGKILL:
                self._signal_one(process, signum)

    @staticmethod
    def _signal_group(group: int, signum: signal.Signals) -> bool:
        """Signal the group, and tell whether that reached anyone."""
        try:
            os.killpg(group, signum)
        except (ProcessLookupError, PermissionError):
            return False
        if signum is not signal.SIGKILL:
            try:
                os.killpg(group, signal.SIGCONT)  # A stopped process acts on TERM only then.
            except (ProcessLookupError, PermissionError):
                pass  # TERM has ended those that we may signal.
        return True

    def _signal_one(self, process: ProcessStat, signum: signal.Signals) -> None:
        try:
            if process_start_time(process.pid) != process.start_time:
                return  # It ended since the scan.
            os.kill(process.pid, signum)
            if signum is not signal.SIGKILL:
                os.kill(process.pid, signal.SIGCONT)
        except ProcessLookupError:
            pass
        except PermissionError:
            self.denied.add((process.pid, process.start_time))


def end_job(
    identity: ProcessIdentity, term_wait: float = 5.0, kill_wait: float = 5.0
) -> str | None:
    """End all processes of a job: TERM, and after a while KILL.

    :param identity: The job. Nothing is signalled unless it is proven to be the job's.
    :param term_wait: Seconds that the processes have to end by themselves.
    :param kill_wait: Seconds to wait for the killed ones to be gone.
    :returns: None when nothing of the job is left; otherwise what is, and why.
    :raises RawError: When /proc cannot be read.
    """
    seen = look(identity)
    if seen.liveness is Liveness.CANNOT_TELL:
        return seen.note
    ending = _Ending(identity)
    ending.drive(signal.SIGTERM, term_wait)
    if ending.census.members:
        ending.drive(signal.SIGKILL, kill_wait)
    left = ending.census.members
    pids = ", ".join(str(process.pid) for process in (*left, *ending.census.spared))
    if not pids:
        return None
    if not left:
        return (
            "This command runs inside the job; its own process and those above it are left alone: "
            f"{pids}."
        )
    if ending.done():
        return f"You may not signal these processes of the job: {pids}. Are they another user's?"
    return f"These processes of the job did not end even after SIGKILL: {pids}."
