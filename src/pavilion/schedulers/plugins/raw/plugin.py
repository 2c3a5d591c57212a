"""The raw scheduler: jobs are processes of this host."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml_config as yc
from pavilion.errors import SchedulerPluginError
from pavilion.jobs import Job, JobInfo
from pavilion.status_file import STATES, TestStatusInfo
from pavilion.types import NodeInfo, NodeList, NodeRange

from ...basic import SchedulerPluginBasic
from ...config import min_int
from ...vars import SchedulerVariables, var_method
from .job_queue import (
    QUEUE_DIR_VARIABLE,
    QueueView,
    RawError,
    enqueue,
    queue_folder,
    read_queue,
)

# Starting and signalling processes takes modules that cost as much to import as all of Pavilion.
# They are imported where they are used, so that loading the plugin is quick.
if TYPE_CHECKING:
    from pavilion.config import PavConfig

    from ...finding.host_check import HostCheck
    from .processes import ProcessIdentity, Snapshot
    from .starting import Reaper

# The JobInfo keys of a job's place in the queue; only jobs with a limit have them.
TICKET, QUEUE = "ticket", "queue"
# How many pids a note lists.
SHOWN_PIDS = 8


class RawVars(SchedulerVariables):
    """The variables of the raw scheduler."""

    EXAMPLE = dict(
        SchedulerVariables.EXAMPLE,
        concurrent_default="100",
        test_cmd="",
        test_min_mem="62",
        test_nodes="1",
    )

    @var_method
    def concurrent_default(self) -> str:
        """How many tests of a shared job to run at the same time by default: 100, or what
        schedule.raw.concurrent says."""
        limit = self._sched_config.get("raw", {}).get("concurrent")
        return str(limit or 100)


class Raw(SchedulerPluginBasic):
    """Runs each job as a process of this host, in a session of its own.

    A job is known by host, boot id, pid and start time, so a recycled pid is never taken for
    it.  Only the host that runs a job can tell its state or cancel it.
    """

    VAR_CLASS = RawVars
    JOB_INFO_KEYS = ("pid", "uniq_id", "host")
    KICKOFF_ERRORS_ARE_FINAL = True
    # cancel() waits until all processes are gone.
    CONFIRM_CANCEL = 0.0
    JOB_SHARE_KEY_ATTRS = [*SchedulerPluginBasic.JOB_SHARE_KEY_ATTRS, "raw.concurrent"]

    # Looking at a process costs next to nothing.
    JOB_STATUS_TIMEOUT = 0.2
    # Job and tests write to this host's view of the file system.
    JOB_END_GRACE = 2.0
    # How long cancelled processes have to end by themselves, and then to be gone, in seconds.
    TERM_WAIT = 5.0
    KILL_WAIT = 5.0

    def __init__(self) -> None:
        super().__init__("raw", "Runs jobs as processes of this host.", self.PRIO_CORE)
        # Waits for the jobs that this process started; made for the first one.
        self._reaper: Reaper | None = None
        # Directory -> when the queue was looked at (monotonic seconds), and what it was.
        self._queue_views: dict[str | None, tuple[float, QueueView | None]] = {}
        # When the processes of this host were looked at (monotonic seconds), and what there was.
        self._snapshot: tuple[float, Snapshot] | None = None

    def _get_config_elems(self) -> tuple[list[yc.ConfigElement], dict[str, Any], dict[str, Any]]:
        """One key: the limit of simultaneous jobs."""
        return (
            [
                yc.StrElem(
                    "concurrent",
                    help_text=(
                        "How many raw jobs that set this limit may run at the same time on this host. "
                        "1: one after the other, in the order of their kickoff. Without it a job starts "
                        "at once."
                    ),
                )
            ],
            {"concurrent": min_int("schedule.raw.concurrent", 1, required=False)},
            {"concurrent": None},
        )

    def _available(self) -> bool:
        """Processes are there always; telling them apart needs Linux's /proc."""
        if Path("/proc/self/stat").exists():
            return True
        self.unavailable_reason = "It needs Linux's /proc to tell its jobs from other processes."
        return False

    def check_host(self) -> HostCheck:
        """The queue of the jobs that set a limit."""
        from ...finding.host_check import Finding, HostCheck

        try:
            view = read_queue()
        except RawError as exc:
            advice = f"Correct the directory, or name another with ${QUEUE_DIR_VARIABLE}."
            return HostCheck((Finding("raw queue", str(exc), advice),))
        jobs = "1 job" if len(view.waiting) == 1 else f"{len(view.waiting)} jobs"
        text = f"{queue_folder()}: {jobs} waiting, {len(view.running)} running"
        return HostCheck((Finding("raw queue", text),))

    def _kickoff(
        self,
        pav_cfg: PavConfig,
        job: Job,
        sched_config: dict[str, Any],
        job_name: str,
        nodes: NodeList | None = None,
        node_range: NodeRange | None = None,
    ) -> JobInfo:
        """Start the kickoff script, or a process that waits for its turn to become it."""
        uniq_id = os.urandom(5).hex()
        limit = sched_config["raw"]["concurrent"]
        script = [os.fspath(job.kickoff_path)]
        try:
            if limit is None:
                return self._start(script, job, uniq_id)
            with enqueue(limit, uniq_id) as place:
                info = self._start(place.command(script), job, uniq_id)
                place.hand_over(int(info["pid"]))
                info[TICKET], info[QUEUE] = place.number, place.folder
                return info
        except RawError as exc:
            raise SchedulerPluginError(
                f"The raw scheduler could not start job {job.name}", prior_error=exc
            ) from exc

    def _start(self, argv: list[str], job: Job, uniq_id: str) -> JobInfo:
        from .starting import Reaper, start_job

        identity, process = start_job(argv, job.sched_log, uniq_id)
        self._reaper = self._reaper or Reaper()
        self._reaper.add(process)
        return JobInfo(identity.to_info())

    def _job_status(self, pav_cfg: PavConfig, job_info: JobInfo) -> TestStatusInfo | None:
        """Look at the job's first process, and when that is gone, for others that it left.

        From another host: SCHED_WARNING, cannot tell.
        """
        from .processes import Liveness, look

        identity = _identity(job_info)
        found = look(identity)
        if found.liveness is Liveness.CANNOT_TELL:
            return TestStatusInfo(
                STATES.SCHED_WARNING,
                f"Cannot tell whether the raw job {identity.pid} runs. {found.note}",
            )
        if found.liveness is Liveness.OVER:
            how = f"{found.note}{self._exit_note(identity.pid)}"
            left = self._survivors(identity)
            if left:
                return TestStatusInfo(
                    STATES.SCHED_RUNNING,
                    f"The raw job has not ended. {how} These "
                    f"of its processes are still running: {_listed(left)}. Cancelling the "
                    "job ends them.",
                )
            return TestStatusInfo(STATES.SCHED_ERROR, f"The raw job has ended. {how}")
        note = self._waiting_note(job_info)
        if note is not None:
            return TestStatusInfo(STATES.SCHEDULED, note)
        return TestStatusInfo(
            STATES.SCHED_RUNNING, f"The raw job runs as process {identity.pid} of {identity.host}."
        )

    def _survivors(self, identity: ProcessIdentity) -> list[int]:
        """The pids of processes of a job whose first process is gone."""
        from .processes import Snapshot, survivors

        # One look at all processes serves all jobs of a poll, unless they have ended since.
        taken, snapshot = self._snapshot or (0.0, None)
        if (
            snapshot is None
            or not 0 <= time.monotonic() - taken < self.JOB_STATUS_TIMEOUT
            or not snapshot.shows_end_of(identity)
        ):
            taken = time.monotonic()
            try:
                snapshot = Snapshot()
            except RawError as exc:
                raise SchedulerPluginError(
                    "Cannot determine whether processes of a raw job are left", prior_error=exc
                ) from exc
            self._snapshot = taken, snapshot
        return survivors(identity, snapshot)

    def _exit_note(self, pid: int) -> str:
        """How a job that this process started ended."""
        code = None if self._reaper is None else self._reaper.returncode(pid)
        if code is None:
            return ""
        return f" It was killed by signal {-code}." if code < 0 else f" Its exit code was {code}."

    def _waiting_note(self, job_info: JobInfo) -> str | None:
        if TICKET not in job_info:
            return None
        # One look at the queue serves all jobs of a poll.
        folder = job_info.get(QUEUE)
        seen, view = self._queue_views.get(folder, (0.0, None))
        if view is None or not 0 <= time.monotonic() - seen < self.JOB_STATUS_TIMEOUT:
            seen = time.monotonic()
            try:
                view = read_queue(folder)
            except RawError as exc:
                raise SchedulerPluginError(
                    "The queue of raw jobs cannot be read", prior_error=exc
                ) from exc
            self._queue_views[folder] = seen, view
        return view.note(str(job_info.get("uniq_id")))

    def cancel(self, job_info: JobInfo) -> str | None:
        """End all processes of a job: TERM, and KILL for those that do not go.

        :returns: None when none is left, those of a job that had already ended included.
        """
        from .processes import end_job

        try:
            return end_job(_identity(job_info), self.TERM_WAIT, self.KILL_WAIT)
        except (RawError, SchedulerPluginError) as exc:
            return str(exc)

    def _get_alloc_nodes(self, job: Job) -> NodeList:
        """This host."""
        return [os.uname().nodename.split(".")[0]]

    def _get_alloc_job_id(self, job: Job) -> str | None:
        """The pid of the job's first process, whose session we are in."""
        return str(os.getsid(0))

    def _get_alloc_node_info(self, node_name: str) -> NodeInfo:
        """CPUs that this process may use, and memory in whole GiB (as Pavilion 2.6 has it)."""
        pages, page_size = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
        return {
            "cpus": len(os.sched_getaffinity(0)),
            "mem": pages * page_size // 1024**3,
        }


def _listed(pids: list[int]) -> str:
    text = ", ".join(str(pid) for pid in pids[:SHOWN_PIDS])
    return text if len(pids) <= SHOWN_PIDS else f"{text}, ... ({len(pids)} in all)"


def _identity(job_info: JobInfo) -> ProcessIdentity:
    from .processes import ProcessIdentity

    try:
        return ProcessIdentity.from_info(job_info)
    except RawError as exc:
        raise SchedulerPluginError("The record of a raw job is damaged", prior_error=exc) from exc
