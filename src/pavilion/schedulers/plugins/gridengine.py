"""The gridengine scheduler plugin, for the descendants of Sun Grid Engine.

Measured on 8.1.9; see docs/gridengine.md.  What its commands do that others do not:

- The bulk list of jobs shows names whole, and nothing else that could carry a token.
- A job that has ended is not listed any more.  The accounting file has it, up to 15 s late.
- ``qsub`` may print a warning, end with 1, and take the job.  Reasons are on stdout or stderr.
- While the qmaster is frozen, commands hang without end.
- Options in ``~/.sge_request`` and ``~/.sge_qstat`` change what is submitted and listed.
"""

from __future__ import annotations

import os
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from pavilion.types import NodeInfo

from ..batch.dialect import Environment
from ..batch.words import (
    BatchJob,
    JobState,
    Submission,
    UnreadableAnswer,
    find_token,
)
from ..talk.commands import CommandResult, Failure

# Words of ours for the states of jobs, made of Grid Engine's letters.
QUEUED, HELD, IN_ERROR, RUNNING, SUSPENDED, DELETING = (
    "queued",
    "held",
    "error",
    "running",
    "suspended",
    "being deleted",
)
ENDED, FAILED, KILLED = "ended", "failed", "killed"
# The letters that decide, in this order; the state of a job is several, as in 'Eqw' or 'hr'.
_LETTERS = (
    ("d", DELETING),
    ("z", ENDED),
    ("E", IN_ERROR),
    ("sST", SUSPENDED),
    ("rt", RUNNING),
    ("h", HELD),
    ("qw", QUEUED),
)
# A queue in one of these states runs nothing: unknown, disabled, in error, ambiguous, orphaned.
_QUEUE_UNUSABLE = "udDEco"
# With one of these it starts nothing for the moment: over its load limit, or suspended.
_QUEUE_BUSY = "aAsSC"
_SIZES = {"": 1, "K": 1024, "M": 1024**2, "G": 1024**3, "T": 1024**4}
_CUT = "the answer is cut off, or is not one"


# --- What the commands print ---


def word_of(letters: str) -> str:
    """The word for a job's state, as in 'Eqw'; the letters themselves when they are not known."""
    for some, word in _LETTERS:
        if set(some) & set(letters):
            return word
    return letters


def parse_job_id(text: str) -> str | None:
    """The id of a job that ``qsub -terse`` has just submitted; None when it is not shown."""
    found = re.search(r"^([0-9]+)\s*$|^Your job ([0-9]+) \(", text, re.MULTILINE)
    return None if found is None else found[1] or found[2]


def _xml(text: str, root: str) -> ET.Element:
    """The root of an answer.

    :raises UnreadableAnswer: For anything but a whole answer with this root.
    """
    try:
        # Names of jobs may hold what XML may not.
        found = ET.fromstring(re.sub(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]", "?", text))
    except ET.ParseError as exc:
        raise UnreadableAnswer(f"{_CUT} ({exc})") from exc
    if found.tag != root:
        raise UnreadableAnswer(f"{_CUT}: it begins with <{found.tag}>")
    return found


def parse_job_list(text: str) -> Iterator[BatchJob]:
    """The jobs that ``qstat -xml -r`` lists.

    :raises UnreadableAnswer: When it is not whole.
    """
    for row in _xml(text, "job_info").iter("job_list"):
        job_id, letters = row.findtext("JB_job_number"), row.findtext("state")
        if not job_id or not letters:
            raise UnreadableAnswer("a job has no number, or no state")
        queue = row.findtext("queue_name") or ""
        name = row.findtext("full_job_name") or row.findtext("JB_name") or ""
        yield BatchJob(
            job_id,
            word_of(letters),
            token=find_token(name),
            nodes=[queue.partition("@")[2]] if "@" in queue else [],
            data={"letters": letters, "queue": queue, "name": name},
        )


def parse_error_reason(text: str) -> str:
    """Why a job is in error, or waits, from ``qstat -j``; '' where it does not say."""
    reasons = re.findall(r"^error reason +[0-9]+: +(.*)$", text, re.MULTILINE)
    if not reasons:
        _, _, reasons_text = text.partition("\nscheduling info:")
        reasons = reasons_text.splitlines()
    shown = [re.sub(r"^[0-9/]+ [0-9:]+ \[[0-9:]+\]: ", "", line.strip()) for line in reasons]
    return "; ".join(dict.fromkeys(line for line in shown if line))


def parse_accounting(text: str) -> Iterator[BatchJob]:
    """The jobs that ``qacct -j`` shows; of those that ran several times, the last run counts.

    :raises UnreadableAnswer: When it is not whole.
    """
    for block in re.split(r"^=+$", text, flags=re.MULTILINE)[1:]:
        row: dict[str, str] = {}
        for line in block.splitlines():
            key, _, value = line.partition(" ")
            row[key] = value.strip()
        try:
            code, reason = row["failed"], row["failed"].partition(":")[2].strip()
            exit_code = row["exit_status"].split()[0]
            job_id, name, host = row["jobnumber"], row["jobname"], row["hostname"]
        except (KeyError, IndexError) as exc:
            raise UnreadableAnswer(f"{_CUT}: {exc} is missing") from exc
        number = code.split(":")[0].strip()
        # 100: the job was ended by a signal; so are those that qdel ends.
        state = ENDED if number == "0" else KILLED if number == "100" else FAILED
        yield BatchJob(
            job_id,
            state,
            token=find_token(name),
            reason=reason,
            exit_code=exit_code,
            nodes=[host],
            data={"name": name, "end": row.get("end_time", "")},
        )


def parse_hosts(text: str) -> Iterator[NodeInfo]:
    """The hosts that ``qhost -xml -q`` lists, as nodes.

    Its CPUs are the slots of its largest queue.  A host without a queue cannot run jobs.

    :raises UnreadableAnswer: When it is not whole.
    """
    for host in _xml(text, "qhost").iter("host"):
        name = host.get("name")
        if name is None:
            raise UnreadableAnswer("a host has no name")
        if name == "global":
            continue
        values = {value.get("name"): value.text or "" for value in host.iter("hostvalue")}
        queues = {
            queue.get("name", ""): {
                value.get("name"): value.text or "" for value in queue.iter("queuevalue")
            }
            for queue in host.iter("queue")
        }
        usable = {
            queue: row
            for queue, row in queues.items()
            if not set(_QUEUE_UNUSABLE) & set(row.get("state_string", ""))
        }
        free = [
            queue
            for queue, row in usable.items()
            if _number(row, "slots") > _number(row, "slots_used") + _number(row, "slots_resv")
            and not set(_QUEUE_BUSY) & set(row.get("state_string", ""))
        ]
        up = bool(usable) and values.get("load_avg", "-") != "-"
        yield {
            "name": name,
            "up": up,
            "available": up and bool(free),
            "cpus": max((_number(row, "slots") for row in (usable or queues).values()), default=0),
            "mem": _size(values.get("mem_total", "")),
            "partitions": sorted(usable),
            "states": sorted({row.get("state_string", "") for row in queues.values()} - {""}),
            "cause": "" if up else "no usable queue" if values.get("load_avg") != "-" else "down",
        }


def _number(row: Mapping[str | None, str], key: str) -> int:
    text = row.get(key, "")
    return int(text) if text.isascii() and text.isdigit() else 0


def _size(text: str) -> int:
    """Bytes, of a size as in '23.5G'; 0 when it is not known."""
    found = re.fullmatch(r"([0-9.]+)([KMGT]?)", text)
    return int(float(found[1]) * _SIZES[found[2]]) if found else 0
