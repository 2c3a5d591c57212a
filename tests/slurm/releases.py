"""What releases of Slurm print where they differ.

Tests take the expected word from here, so that they pass on each release.  The fake prints what
22.05 does.  Measured on 22.05.8, 25.11.8 and 26.05.4: 25.11 may stand for a release before it.
"""

from __future__ import annotations

import re
from typing import Any

_JOB_START = (
    "JobId JobName UserId GroupId MCS_label Priority Nice Account QOS JobState Reason "
    "Dependency Requeue Restarts BatchFlag Reboot ExitCode RunTime TimeLimit TimeMin "
    "SubmitTime EligibleTime AccrueTime StartTime EndTime Deadline SuspendTime SecsPreSuspend "
    "LastSchedEval Scheduler Partition AllocNode:Sid ReqNodeList ExcNodeList NodeList "
    "BatchHost NumNodes NumCPUs NumTasks CPUs/Task ReqB:S:C:T "
)
_JOB_MIDDLE = (
    "Socks/Node NtasksPerN:B:S:C CoreSpec MinCPUsNode MinMemoryNode MinTmpDiskNode Features "
    "DelayBoot OverSubscribe "
)
_NODE_START = (
    "NodeName Arch CoresPerSocket CPUAlloc CPUEfctv CPUTot CPULoad AvailableFeatures "
    "ActiveFeatures Gres NodeAddr NodeHostName Port Version OS RealMemory AllocMem FreeMem "
    "Sockets Boards State ThreadsPerCore TmpDisk Weight Owner MCS_label Partitions BootTime "
    "SlurmdStartTime LastBusyTime "
)

# Subject -> the first release (year, month) that prints it -> what it prints.
DIFFERENCES: dict[str, dict[tuple[int, int], Any]] = {
    # -- jobs
    "keys of a job": {
        (22, 5): f"{_JOB_START}TRES {_JOB_MIDDLE}Contiguous Licenses Network Command WorkDir "
        "StdErr StdIn StdOut Power",
        (25, 11): f"{_JOB_START}ReqTRES AllocTRES {_JOB_MIDDLE}Contiguous Licenses LicensesAlloc "
        "Network Command SubmitLine WorkDir StdErr StdIn StdOut",
        (26, 5): f"{_JOB_START}ReqTRES AllocTRES {_JOB_MIDDLE}Exclusive Contiguous Licenses "
        "LicensesAlloc Network Command SubmitLine WorkDir StdErr StdIn StdOut",
    },
    "key of what a job has": {(22, 5): "TRES", (25, 11): "AllocTRES"},
    # -O exit_code: the status that wait() gives, or as everywhere else.
    "exit code of squeue": {
        (22, 5): lambda code, signal: str(code * 256 + signal),
        (25, 11): lambda code, signal: f"{code}:{signal}",
    },
    # -o %h, of a job that may share its nodes.
    "oversubscribe": {(22, 5): "OK", (26, 5): "NO"},
    "killed by SIGKILL": {(22, 5): "JobLaunchFailure", (25, 11): "RaisedSignal:9(Killed)"},
    "killed by SIGTERM": {(22, 5): "JobLaunchFailure", (25, 11): "RaisedSignal:15(Terminated)"},
    "no output": {(22, 5): "JobLaunchFailure", (25, 11): "RaisedSignal:53(Real-time signal 19)"},
    "log of a failing prolog": {(22, 5): "Error running slurm prolog: 1\n", (25, 11): ""},
    "exit code 137 of sacct": {
        (22, 5): "sacct writes 137 (one of its commands got SIGKILL)",
        (25, 11): "Exit code 137 (one of its commands got SIGKILL)",
    },
    "requested nodes are drained": {
        (22, 5): "ReqNodeNotAvail, UnavailableNodes:{}",
        (25, 11): "ReqNodeNotAvail, May be reserved for other job",
    },
    # In the note of a job that its account keeps out of a partition.
    "account not allowed": {
        (22, 5): "chemists allows chemistry not physics",
        (25, 11): "can never run as it is",
    },
    "end of a cancelled job": {
        (22, 5): ("0:15", "143:0", "0:9"),
        (25, 11): ("0:15", "143:0", "0:9", "0:0"),
    },
    # What is left of --output=a\\%j.txt.
    "log with backslashes": {(22, 5): "a\\%j.txt", (25, 11): "a%j.txt"},
    # Of '-J a\\ b c'.
    "a word too many": {(22, 5): "b", (25, 11): "c"},
    # -- nodes and reservations
    "numbers within a name": {(22, 5): "", (25, 11): "n08-ib\nn09-ib\n"},
    "keys of a node": {
        (22, 5): f"{_NODE_START}CfgTRES AllocTRES CapWatts CurrentWatts AveWatts ExtSensorsJoules "
        "ExtSensorsWatts ExtSensorsTemp",
        (25, 11): f"{_NODE_START}ResumeAfterTime CfgTRES AllocTRES CurrentWatts AveWatts",
        (26, 5): f"{_NODE_START}ResumeAfterTime SuspendTime CfgTRES AllocTRES CurrentWatts "
        "AveWatts",
    },
    "a resumed node keeps its reason": {(22, 5): False, (25, 11): True, (26, 5): False},
    "lists of a reservation": {
        (22, 5): " TRES=cpu=8 Users=root",
        (25, 11): " TRES=cpu=8 AllowedPartitions=(null) QOS=(null) Users=root",
    },
    "watts of a reservation": {(22, 5): " Watts=n/a", (25, 11): ""},
}

# What 22.05 gives (for a return code and a text) -> the first release that gives something else
# -> that.
REWORDED: dict[tuple[int, str], dict[tuple[int, int], tuple[int, str]]] = {
    (1, "invalid entity:foo for keyword:show \n"): {
        (25, 11): (1, "invalid entity:foo for keyword:show\n")
    },
    (1, "scontrol: unrecognized option '--json'\nTry \"scontrol --help\" for more information\n"): {
        (25, 11): (0, "")
    },
    (1, "sbatch: error: invalid number of nodes (-N 2-1)\n"): {(25, 11): (0, "")},
    (1, "slurm_update error: Invalid node state specified\n"): {
        (25, 11): (1, "slurm_update error: Invalid node state transition\n")
    },
    (
        1,
        "scontrol: error: Either Users/Groups and/or Accounts must be specified.  No reservation "
        "created.\n",
    ): {
        (25, 11): (
            1,
            "scontrol: error: Either Users/Groups, AllowedPartitions, QOS and/or "
            "Accounts must be specified.  No reservation created.\n",
        )
    },
    (
        1,
        "Invalid job id specified for job 99999\nslurm_suspend error: Invalid job id specified\n",
    ): {
        (25, 11): (
            1,
            "Invalid job id specified for job 99999\n"
            "slurm_suspend error:Invalid job id specified\n",
        )
    },
    (
        1,
        "Unexpected message received for job 99999\n"
        "slurm_suspend error: Unexpected message received\n",
    ): {
        (25, 11): (
            1,
            "Unexpected message received for job 99999\n"
            "slurm_suspend error:Unexpected message received\n",
        )
    },
    # Host lists: what scontrol prints.
    (0, "n]\n"): {(25, 11): (0, "")},
}


class Words:
    """What one release prints: ``words[subject]``, and ``words.of(...)`` for what 22.05 prints."""

    def __init__(self, release: tuple[int, int]) -> None:
        self.release = release

    def __getitem__(self, subject: str) -> Any:
        return self._latest(DIFFERENCES[subject])

    def of(self, code: int, text: str) -> tuple[int, str]:
        """A return code and a text of 22.05, as this release gives them."""
        given = code, text
        return self._latest({(0, 0): given, **REWORDED.get(given, {})})  # type: ignore[no-any-return]

    def _latest(self, since: dict[tuple[int, int], Any]) -> Any:
        return since[max(first for first in since if first <= self.release)]


def words_of(version: str) -> Words:
    """The words of the release that a command names with ``--version``."""
    match = re.match(r"slurm\S* (\d+)\.(\d+)", version)
    assert match, version
    return Words((int(match[1]), int(match[2])))
