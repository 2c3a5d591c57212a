"""What Linux says about processes, in /proc.

A pid alone says little, because pids are used again.  A process is known by its pid and its start
time, within one boot of its host.
"""

# Scripts that wait in large numbers import this module without its package, so it imports little.
# ruff: noqa: PTH123

from __future__ import annotations

__all__ = ["ProcessStat", "process_runs", "process_start_time", "read_boot_id", "read_stat"]


class ProcessStat:
    """One line of /proc/PID/stat, as far as it is needed here."""

    __slots__ = ("pgrp", "pid", "ppid", "session", "start_time", "state", "threads")

    def __init__(self, pid: int, text: bytes) -> None:
        """:raises ValueError: When the line is not what proc(5) describes."""
        # The second field is the command in parentheses, and may itself contain blanks and ')'.
        fields = text[text.rindex(b")") + 1 :].split()
        if len(fields) < 20:
            raise ValueError(f"/proc/{pid}/stat has only {len(fields) + 2} fields")
        self.pid = pid
        self.state = fields[0].decode("ascii")
        self.ppid = int(fields[1])
        self.pgrp = int(fields[2])
        self.session = int(fields[3])
        self.threads = int(fields[17])
        self.start_time = int(fields[19])

    @property
    def alive(self) -> bool:
        """Whether the process still runs.  One that only waits to be reaped does not."""
        # 'Z' with more than one thread: the main thread has ended and others are still running.
        return self.state not in ("Z", "X", "x") or (self.state == "Z" and self.threads > 1)


def read_stat(pid: int) -> ProcessStat | None:
    """Read /proc/PID/stat; None when there is no such process.

    :raises OSError: When it cannot be read for another reason.
    """
    try:
        with open(f"/proc/{pid}/stat", "rb") as stat_file:
            return ProcessStat(pid, stat_file.read())
    except (FileNotFoundError, ProcessLookupError):
        return None


def process_start_time(pid: int) -> int | None:
    """The start time of a process in clock ticks since boot; None when there is no such process.

    :raises OSError: As for :func:`read_stat`.
    """
    found = read_stat(pid)
    return None if found is None else found.start_time


def process_runs(pid: int, start_time: int) -> bool:
    """Whether the process that had this pid and start time, in this boot, still runs.

    :raises OSError: As for :func:`read_stat`.
    """
    found = read_stat(pid)
    return found is not None and found.alive and found.start_time == start_time


def read_boot_id() -> str:
    """The random id that the kernel gave this boot of the host.

    :raises OSError: When it cannot be read.
    """
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as boot_file:
        return boot_file.read().strip()
