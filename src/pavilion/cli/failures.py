"""Why a test failed, in a line: the last line of its log, and the command that shows the rest."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Callable

from pavilion.files import read_tail
from pavilion.schedulers.placement.hostlists import fold_short
from pavilion.status_file import STATES
from pavilion.test_run import ERROR, FAIL, TestRun

from .output import first_line, one_line

# How much of a log's end is read, and how many characters of its last line are shown.
TAIL = 4096
SHOWN = 120
# The command line for the user to go on with, for some words.
CommandLine = Callable[..., str]


def last_line(test: TestRun, record: Mapping[str, Any], has_results: bool) -> dict[str, Any]:
    """The log that says most about a failed test, for JSON: 'log' is its name for 'pav-sched log',
    'log_line' its last line that is not blank.  None if there is nothing to show.

    :param record: What is known about it: 'result', 'state'.
    :param has_results: Whether the test itself recorded its result.
    """
    job = test.job
    logs: dict[str, Path] = {}
    if record["result"] in (FAIL, ERROR) and record["state"] != STATES.CANCELLED:
        logs["run"] = test.run_log
        if job is not None and not has_results:
            # It may not have got that far: another log says what ended its job.
            logs.update(kickoff=job.kickoff_log, sched=job.sched_log)
    for name, path in logs.items():
        line = _last_line(path)
        if line:
            return {"log": name, "log_line": line}
    return {"log": None, "log_line": None}


def _last_line(path: Path) -> str:
    """The last line of a log that is not blank; '' if there is none, or it must not be read."""
    try:
        tail = read_tail(path, TAIL)
    except OSError:
        return ""
    lines = [line for line in tail.decode("utf-8", "replace").splitlines() if line.strip()]
    line = one_line(lines[-1]) if lines else ""
    return line if len(line) <= SHOWN else f"{line[:SHOWN]}..."


def note_of(record: dict[str, Any], command_line: CommandLine) -> str:
    """The note of a test on one line, as tables have it.

    :param record: What is known about it (see results.test_record).
    """
    note = one_line_note(record["note"])
    if record["result"] == FAIL:
        # The state's note starts with the result, which has a column of its own.
        note = note.partition(f"{FAIL}: ")[2] or note
    elif is_cancelled(record):
        note = f"{record['state']}: {note}"
    if record["log"] is None:
        return note
    command = command_line("log", record["log"], record["id"])
    return f"{note.rstrip('.')}: {record['log_line']} ({command})"


def one_line_note(note: str) -> str:
    """A note on one line: its first, and what caused that."""
    first, _, rest = note.strip().partition("\n")
    # Errors print their prior errors like this.
    cause = first_line(rest).strip() if rest.startswith("  ") else ""
    return f"{first.rstrip()}: {cause}" if cause else first.rstrip()


def is_cancelled(record: dict[str, Any]) -> bool:
    """Whether a test was cancelled before it had a result."""
    return bool(record["complete"]) and record["state"] in (
        STATES.CANCELLED,
        STATES.SCHED_CANCELLED,
    )


def job_and_nodes(record: dict[str, Any]) -> list[str]:
    """The columns JOB and NODES."""
    return [record["job_id"] or "", _folded(tuple(record["nodes"]))]


@functools.lru_cache(maxsize=16)
def _folded(nodes: tuple[str, ...]) -> str:
    # A thousand tests may have the same ten thousand nodes.
    return fold_short(nodes, count=False)


def about(record: dict[str, Any]) -> list[str]:
    """Where a test runs or ran and what its permutation chose, a line each, for the user."""
    nodes = f"on {fold_short(record['nodes'], 200)}" if record["nodes"] else "nodes not known"
    lines = ["no job yet" if record["job_id"] is None else f"job {record['job_id']}, {nodes}"]
    if record["job_id"] is None and record["nodes"]:
        lines = [f"no job yet, to run {nodes}"]
    if record["chunk"] is not None:
        known = f": {fold_short(record['chunk_nodes'], 200)}" if record["chunk_nodes"] else ""
        lines.append(f"chunk {record['chunk']}{known}")
    if record["permutation"]:
        lines.append(", ".join(map(_chosen, record["permutation"].items())))
    return [one_line(line) for line in lines]


def _chosen(item: tuple[str, Any]) -> str:
    name, value = item
    if isinstance(value, str):
        return f"{name}={value}"
    return " ".join(f"{name}.{key}={text}" for key, text in value.items())
