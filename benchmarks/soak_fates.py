"""How the tests of the soak are expected to end, and how they did end."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from pavilion.schedulers.plugins.slurm.submit import read_token
from pavilion.status_file import STATES
from pavilion.test_run import TestRun

# States that end a test.
FINAL = frozenset([STATES.COMPLETE, STATES.CANCELLED, STATES.SCHED_ERROR, STATES.SCHED_CANCELLED])
STARTS_FN = "starts"
GO_FN = "go"
# Each start of a script leaves a line: the node it is on.
_MARK = f'echo "$SLURMD_NODENAME" >> ../{STARTS_FN}'
LONG = "sleep 300"


class Kind(NamedTuple):
    """Tests that are meant to end in the same way."""

    name: str
    fate: str
    # Of 500 tests.
    share: int
    cmds: Sequence[str]
    # How often its script may start.
    starts: frozenset[int] = frozenset([1])
    timeout: str = ""
    sbatch: Sequence[str] = ()
    partition: str = ""


_ONCE, _NEVER, _PERHAPS = frozenset([1]), frozenset([0]), frozenset([0, 1])
# $PPID is 'pav _run', and that one's parent the kickoff script.
_KILL_JOB = 'kill -9 "$(ps -o ppid= -p $PPID | tr -d " ")" $PPID'

PASSES = Kind("passes", "pass", 150, ["sleep 1"])
FAILS = Kind("fails", "fail", 60, ["sleep 0.5", "exit 3"])
SCRIPT_KILLED = Kind("its script gets kill -9", "killed", 40, ["kill -9 $$"])
TIMES_OUT = Kind("reaches run.timeout", "run.timeout", 40, [LONG], timeout="2")
LIMIT = Kind("reaches the job's time limit", "time limit", 20, [LONG], sbatch=["--time=1"])
CANCELLED = Kind("cancelled while it runs", "cancelled", 40, [LONG])
CANCELLED_HELD = Kind(
    "cancelled while it waits", "cancelled", 20, ["true"], _NEVER, sbatch=["--hold"]
)
SCANCELLED = Kind("scancel while it runs", "scancel", 40, [LONG])
SCANCELLED_HELD = Kind("scancel while it waits", "scancel", 20, ["true"], _NEVER, sbatch=["--hold"])
DRAINED = Kind(
    "its node is drained", "pass", 15, [f"while [ ! -e ../{GO_FN} ]; do sleep 0.2; done", "sleep 1"]
)
NODE_DOWN = Kind("its node goes down", "node failed", 20, [LONG], _PERHAPS, partition="secret")
# {hold}: a file; while it is there, no job dies.
JOB_KILLED = Kind(
    "its job gets kill -9", "job died", 35, ["while [ -e {hold} ]; do sleep 0.2; done", _KILL_JOB]
)
KINDS = (
    PASSES,
    FAILS,
    SCRIPT_KILLED,
    TIMES_OUT,
    LIMIT,
    CANCELLED,
    CANCELLED_HELD,
    SCANCELLED,
    SCANCELLED_HELD,
    DRAINED,
    NODE_DOWN,
    JOB_KILLED,
)
# Tests that wait, and those that run, until something is done about them.
HELD = (CANCELLED_HELD, SCANCELLED_HELD)
LASTING = (LIMIT, CANCELLED, SCANCELLED, NODE_DOWN, JOB_KILLED)


def commands(kind: Kind, hold: Path) -> list[str]:
    """The commands of a test of this kind."""
    return [_MARK, *(line.replace("{hold}", f"'{hold}'") for line in kind.cmds)]


def portions(count: int) -> list[Kind]:
    """The kinds of this many tests: each at least once, otherwise by their shares."""
    kinds = [
        kind
        for kind in KINDS
        if kind is not PASSES
        for _ in range(max(1, round(kind.share * count / 500)))
    ]
    if len(kinds) >= count:
        raise ValueError(f"A soak has at least {len(kinds) + 1} tests, not {count}.")
    return kinds + [PASSES] * (count - len(kinds))


def starts(test: TestRun) -> list[str]:
    """The nodes that the test's script was started on, once for each start."""
    try:
        return (test.path / STARTS_FN).read_text(encoding="utf-8").split()
    except FileNotFoundError:
        return []


_COMPLETE_NOTES = (
    ("PASS", "pass"),
    ("FAIL: Exit code", "fail"),
    ("FAIL: Killed by SIGKILL", "killed"),
    ("FAIL: The test ran longer", "run.timeout"),
)
_JOB_WORDS = (("(TIMEOUT", "time limit"), ("(NODE_FAIL", "node failed"), ("(FAILED", "job died"))


def fate(test: TestRun) -> str:
    """What became of a test, in a word or two; its last note where it is not a known one."""
    if not test.complete:
        return "no end"
    last = test.status.current()
    if last.state == STATES.COMPLETE:
        found = next((word for start, word in _COMPLETE_NOTES if last.note.startswith(start)), "")
    elif last.state == STATES.SCHED_ERROR:
        found = next((word for part, word in _JOB_WORDS if part in last.note), "")
    else:
        found = {STATES.CANCELLED: "cancelled", STATES.SCHED_CANCELLED: "scancel"}.get(
            last.state, ""
        )
    return found or f"{last.state}: {re.sub(r'[0-9]+', 'N', last.note.splitlines()[0])[:80]}"


class SeenJob(NamedTuple):
    """A job as Slurm listed it."""

    token: str
    name: str
    state: str
    is_over: bool
    restarts: str


class Outcome(NamedTuple):
    """The result of a soak.  ``problems``: everything that is not as expected."""

    table: str
    problems: list[str]
    tests: int
    jobs: int

    @property
    def ok(self) -> bool:
        return not self.problems


def judge(tests: Sequence[tuple[TestRun, Kind]], seen: Mapping[str, SeenJob]) -> Outcome:
    """Compare what was expected with what is recorded, and with what Slurm listed.

    :param seen: All jobs that Slurm ever listed, by id, as they were listed last.
    """
    problems: list[str] = []
    counts: Counter[tuple[str, str, str]] = Counter()
    by_token: dict[str, list[str]] = {}
    for job_id, job in seen.items():
        by_token.setdefault(job.token, []).append(job_id)
        if not job.is_over:
            problems.append(f"job {job_id} ({job.name}) goes on: {job.state}")
        if job.restarts not in ("", "0"):
            problems.append(f"job {job_id} ({job.name}) was started again")
    for test, kind in tests:
        got = fate(test)
        counts[kind.name, kind.fate, got] += 1
        problems += [
            f"{test.id} ({kind.name}): {problem}"
            for problem in _problems(test, kind, got, by_token)
        ]
    problems += [f"job {job_id} belongs to no test" for ids in by_token.values() for job_id in ids]
    return Outcome(_table(counts), problems, len(tests), len(seen))


def _problems(test: TestRun, kind: Kind, got: str, by_token: dict[str, list[str]]) -> Iterable[str]:
    """What is wrong with a test; takes its jobs out of ``by_token``."""
    if got != kind.fate:
        yield f"expected: {kind.fate}, got: {got}"
    ends = [info.state for info in test.status.history() if info.state in FINAL]
    if len(ends) != 1:
        yield f"it ended {len(ends)} times: {', '.join(ends)}"
    if len(starts(test)) not in kind.starts:
        yield f"its script was started {len(starts(test))} times"
    job = test.job
    if job is None:
        yield "it has no job"
        return
    token, _ = read_token(job.path)
    ids = by_token.pop(token, [])
    recorded = str(job.info.get("id") or "")
    if len(ids) != 1:
        yield f"Slurm had {len(ids)} jobs for it: {', '.join(ids)}"
    elif recorded not in ("", ids[0]):
        yield f"its job is {ids[0]}, and {recorded} is recorded"


def _table(counts: Mapping[tuple[str, str, str], int]) -> str:
    """A table in Markdown: a line for each expected and actual outcome."""
    order = {kind.name: number for number, kind in enumerate(KINDS)}
    rows = [("what happens to the test", "expected", "got", "tests", "")]
    rows += [
        (name, meant, got, str(count), "" if meant == got else "WRONG")
        for (name, meant, got), count in sorted(
            counts.items(), key=lambda item: (order[item[0][0]], item[0][2])
        )
    ]
    rows.append(("all", "", "", str(sum(counts.values())), ""))
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths)) + " |"
        for row in rows
    ]
    lines.insert(1, "| " + " | ".join("-" * max(width, 3) for width in widths) + " |")
    return "\n".join(lines)
