"""What became of jobs that Slurm's controller has forgotten, where the site records it.

The controller forgets a job MinJobAge seconds after its end.  Where there is accounting, slurmdbd
knows what ended it, and ``sacct`` shows it.  That is only additional evidence: it is never the
first source, and is used only for jobs that successive answers of squeue lacked and that are
certainly ours.  One call serves all of them.  A site without accounting costs one call per process.

What sacct prints was measured on Slurm 22.05.8 with slurmdbd and MariaDB:

- The row of the allocation (``-X``) has the script's exit code and all nodes of the job.  The
  rows of its steps say 'CANCELLED' of a script that got a signal, and name one node.
- The comment is recorded only with AccountingStoreFlags=job_comment; the command line of sbatch
  (SubmitLine, from 21.08) always is.  It is not quoted, and may hold line ends.
- Of an exit code of 128 and more, sacct takes 128 away: '9:0' is exit code 9, or 137. From 25.11
  on it does not (measured on 25.11).
- A requeued job has a row for each run, and an id that was given out again has the rows of all
  jobs that had it.  Without ``--duplicates`` only the newest of all is shown.
- A slurmdbd that was down learns what happened meanwhile some seconds after it is back: until
  then a job that has ended is 'RUNNING' in its records.
- 'Slurm accounting storage is disabled', rc 1, where there is none.  'Problem talking to the
  database', rc 1, where it does not answer: at once, or after 40 s.
"""

from __future__ import annotations

import math
import re
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from pavilion.jobs import Job
from pavilion.status_file import STATES, TestStatusInfo

from ...lifecycle.identity import IDENTITY_FN, RecordErrors, load_identity
from ...lifecycle.job_cache import JobRecord
from ...talk.commands import CommandResult
from . import queries
from .errors import summary
from .notes import job_note, parse_exit_code
from .parsing import UnreadableAnswer
from .queries import ACCOUNTING_FIELDS, FIELD_END
from .record import JobRecordError, SlurmRecord, read_record
from .states import Phase, parse_job_state

# Seconds that sacct gets.  With a slurmdbd that hangs it takes 40 (22.05.8).
TIMEOUT = 20.0
# Seconds until the same is looked up again: after a failure, and of a job that was not found or
# that has not ended in the accounting.
PAUSE = 60.0
# Seconds for which a job that is not listed is believed to go on because the accounting says so.
# Longer than that, it is a job that Slurm lost ('sacctmgr show runawayjobs' lists such).
LAG = 600.0
# Seconds before a submission that are looked at too: clocks differ, and sbatch may have waited.
MARGIN = 3600.0
# Seconds that Slurm's time of a submission may be before and after ours, of a job that has
# nothing but its name to know it by.  Ours is taken when sbatch returns.
SUBMIT_WITHIN = (900.0, 120.0)
# Jobs in one call; the others have to wait for the next.  An argument holds 128 KiB.
MOST = 10_000
# Seconds that looking for the records of other jobs may take.
SEARCH_SECONDS = 2.0
DAY = 24 * 3600.0

_DISABLED = re.compile(r"accounting storage is disabled", re.IGNORECASE)
_NO_FIELD = re.compile(r"Invalid field requested: \"?SubmitLine", re.IGNORECASE)
_NOTHING = frozenset(["", "None", "None assigned", "Unknown", "(null)"])
# Of several parts of a job, such as the tasks of an array, the first of these counts.
_PHASE_ORDER = (Phase.ACTIVE, Phase.WAITING, Phase.FAILED, Phase.CANCELLED, Phase.DONE)


class Accounted(NamedTuple):
    """What the accounting knows of a job.

    :param job: The job, with data as ``parsing.parse_jobs`` gives; None when nothing is known.
    :param note: Why nothing is known; '' where there is no accounting.
    :param is_lost: Whether a job that has not ended should have long since.
    """

    job: JobRecord | None
    note: str = ""
    is_lost: bool = False


# --- What sacct prints ---


def parse_rows(text: str, fields: Sequence[str]) -> list[dict[str, str]]:
    """Split the answer to ``queries.accounting`` into rows, in their order.

    Rows with another number of fields are passed over: somebody's job name holds a separator.

    :param fields: Slurm's names of the fields that were queried.
    :return: The values by our names (the keys of ACCOUNTING_FIELDS), '' for 'nothing'.
    :raises UnreadableAnswer: For text without the header line, or one that is cut off.
    """
    *records, rest = text.split(f"{FIELD_END}\n")
    if FIELD_END in rest:
        raise UnreadableAnswer("The output of sacct is cut off.")
    # A site may print something before the header.
    header = records[0].rpartition("\n")[2] if records else ""
    if header.lower().split(FIELD_END) != [field.lower() for field in fields]:
        raise UnreadableAnswer("The output of sacct does not begin with its header line.")
    names = {field: name for name, field in ACCOUNTING_FIELDS.items()}
    keys = [names[field] for field in fields]
    rows = [record.split(FIELD_END) for record in records[1:]]
    return [
        {key: "" if value in _NOTHING else value for key, value in zip(keys, row)}
        for row in rows
        if len(row) == len(keys)
    ]


def find_job(rows: Iterable[Mapping[str, str]], record: SlurmRecord) -> JobRecord | None:
    """The job of a record among the rows of sacct; None when it is not there.

    It is ours when the id is the record's, where that is known, and our token is in the
    comment, in the command line of sbatch, or at the end of the name.  See :func:`_is_named` for
    what cannot show a token.
    """
    parts: dict[str, list[Mapping[str, str]]] = {}
    for row in rows:
        base = re.match(r"[0-9]+", row["id"])
        if base is None or (record.job_id and record.job_id not in (base[0], row["id"])):
            continue
        if _has_token(row, record.token) or _is_named(row, record):
            parts.setdefault(row["id"], []).append(row)
    if not parts:
        return None
    # Of an unclear submission that was repeated, the oldest job is ours (see submit).
    first = min(parts, key=_base_id)
    return _join(
        [_newest(found) for job_id, found in parts.items() if _base_id(job_id) == _base_id(first)]
    )


def _base_id(job_id: str) -> int:
    """17 of '17', '17_3' and '17+1'."""
    return int(re.split(r"[_+]", job_id)[0])


def _has_token(row: Mapping[str, str], token: str) -> bool:
    if not token:
        return False
    line = f" {row.get('submit_line', '')} "
    return (
        row.get("comment") == token or row["name"].endswith(token) or f" --comment={token} " in line
    )


def _is_named(row: Mapping[str, str], record: SlurmRecord) -> bool:
    """Whether a row is ours by its id, its name and the time of its submission.

    For records without a token, and where the accounting cannot show one: before 21.08 it does
    not record sbatch's command line.
    """
    if not record.job_id or not record.job_name or not record.when:
        return False
    if record.token and ("submit_line" in row or row.get("comment")):
        return False
    try:
        submitted = time.mktime(time.strptime(row["submit"], "%Y-%m-%dT%H:%M:%S"))
    except ValueError:
        return False
    before, after = SUBMIT_WITHIN
    # The database may keep names in lower case.
    return (
        row["name"].lower() == record.job_name.lower()
        and record.when - before <= submitted <= record.when + after
    )


def _newest(runs: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """The last run of a job, of the rows with one id in sacct's order."""
    number, row = max(enumerate(runs), key=lambda run: (run[1]["submit"], run[0]))
    requeued = sum(
        parse_job_state(run["state"]).name == "REQUEUED"
        for place, run in enumerate(runs)
        if place != number
    )
    return {**row, "restarts": str(requeued)}


def _join(parts: Sequence[Mapping[str, str]]) -> JobRecord:
    """One record for the parts of a job: whatever still goes on counts, then the worst."""
    states = [parse_job_state(part["state"]) for part in parts]
    number = min(range(len(parts)), key=lambda i: (_PHASE_ORDER.index(states[i].phase), i))
    data = dict(parts[number])
    if len(parts) > 1:
        counts: dict[str, int] = {}
        for state in states:
            counts[state.name] = counts.get(state.name, 0) + 1
        data["tasks"] = ", ".join(f"{count} {name}" for name, count in sorted(counts.items()))
    job_id = data["id"] if len(parts) == 1 else str(_base_id(data["id"]))
    return JobRecord(job_id, states[number].name, data)


def ran_too_long(data: Mapping[str, str]) -> bool:
    """Whether a job that 'runs' has been over its time limit for longer than accounting lags."""
    try:
        return float(data["elapsed"]) > float(data["limit_minutes"]) * 60 + LAG
    except (KeyError, ValueError):
        # 'UNLIMITED', 'Partition_Limit'
        return False


# --- Records of other jobs ---


def records_beside(
    record: SlurmRecord, sys_name: str, seconds: float = SEARCH_SECONDS
) -> Iterator[SlurmRecord]:
    """The records of the jobs whose directories are next to that of a job, which the same user
    submitted on the same system within a day of it.

    A process that just began knows only the job whose state is queried first.  Without this, it
    would run sacct for each one of those that follow.

    :param sys_name: That system's name.
    :param seconds: How long to search, at most.
    """
    if not record.script:
        return
    give_up = time.monotonic() + seconds
    try:
        for path in Path(record.script).parent.parent.iterdir():
            if time.monotonic() > give_up:
                return
            found = _load(path, sys_name)
            if (
                found is not None
                and found.user == record.user
                and abs(found.when - record.when) < DAY
            ):
                yield found
    except OSError:
        return


def _load(path: Path, sys_name: str) -> SlurmRecord | None:
    """The record in a job's directory, if it is one of this system and with a token."""
    try:
        if not (path / IDENTITY_FN).exists():
            return None
        info = load_identity(Job(path))
        found = read_record(info) if info and info.get("sys_name") == sys_name else None
    except (*RecordErrors, JobRecordError, TypeError):
        return None
    return found if found is not None and found.token else None


# --- The conversation ---


class Accounting:
    """Queries sacct, as seldom as possible.  May be used from several threads.

    :param run: Runs a command, given a timeout in seconds.
    :param clock: Gives seconds.
    :param now: Gives seconds since the epoch.
    """

    def __init__(
        self,
        run: Callable[[list[str], float], CommandResult],
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._run = run
        self._clock = clock
        self._now = now
        self._lock = threading.Lock()
        self._fields = tuple(ACCOUNTING_FIELDS.values())
        # Why nothing is looked up, and until when.
        self._problem = ""
        self._again = -math.inf
        # (cluster, id, token) -> what is known, and until when.
        self._known: dict[tuple[str, str, str], tuple[Accounted, float]] = {}
        # ... and since when a job that squeue does not list has been going on in the accounting.
        self._going_on: dict[tuple[str, str, str], float] = {}

    def look_up(
        self, record: SlurmRecord, cluster: str, others: Callable[[], Iterable[SlurmRecord]] = tuple
    ) -> Accounted:
        """What is known about a job that squeue does not list.

        :param cluster: The job's cluster; '' for that of this host.
        :param others: Gives further jobs of the same user on the same cluster that are not listed;
            called when sacct is, whose answer serves for them too.
        """
        key = _key(record, cluster)
        with self._lock:
            if self._is_due(key) and _can_be_known(record) and self._clock() >= self._again:
                further = {
                    _key(other, cluster): other for other in others() if _can_be_known(other)
                }
                further.pop(key, None)
                # Those that were submitted together come together.
                near = sorted(
                    (other for its_key, other in further.items() if self._is_due(its_key)),
                    key=lambda other: abs(other.when - record.when),
                )
                self._query([record, *near[: MOST - 1]], cluster)
            if self._is_due(key):
                return Accounted(None, self._problem)
            return self._known[key][0]

    def _is_due(self, key: tuple[str, str, str]) -> bool:
        """Whether nothing is known about a job, or what is known is too old."""
        return key not in self._known or self._clock() >= self._known[key][1]

    def _query(self, records: Sequence[SlurmRecord], cluster: str) -> None:
        """Look jobs up, with one call, and note what came of it."""
        result = self._run_sacct(records, cluster)
        if result.returncode is None or _DISABLED.search(result.stderr):
            # There is no sacct, or no accounting; or it hangs, and that must not be waited for again.
            self._again = math.inf
            self._problem = (
                ""
                if not result.timed_out
                else f"Slurm's accounting gave no answer within {TIMEOUT:.0f} s."
            )
            return
        problem = "" if result.ok else summary(result.stderr) or f"rc {result.returncode}"
        rows: list[dict[str, str]] = []
        if not problem:
            try:
                rows = parse_rows(result.stdout, self._fields)
            except UnreadableAnswer as exc:
                problem = str(exc)
        if problem:
            self._again = self._clock() + PAUSE
            self._problem = f"Slurm's accounting could not be queried: {problem.rstrip('. ')}."
            return
        self._problem = ""
        by_id: dict[int, list[dict[str, str]]] = {}
        for row in rows:
            if re.match(r"[0-9]", row["id"]):
                by_id.setdefault(_base_id(row["id"]), []).append(row)
        for record in records:
            its = by_id.get(_base_id(record.job_id), []) if record.job_id else rows
            self._note(_key(record, cluster), find_job(its, record))

    def _run_sacct(self, records: Sequence[SlurmRecord], cluster: str) -> CommandResult:
        ids = [record.job_id for record in records]
        whens = [record.when for record in records]
        since: int | None = None
        # A job whose id is not known can only be looked for among all of its user's: of some time.
        if all(whens) or not all(ids):
            since = math.ceil(self._now() - min(filter(None, whens)) + MARGIN)
        argv_of = queries.accounting(
            ids if all(ids) else [], queries.named_user(records[0].user), cluster, since
        )
        result = self._run(argv_of(self._fields), TIMEOUT)
        if not result.ok and _NO_FIELD.search(result.stderr):
            # A release before 21.08.
            line = ACCOUNTING_FIELDS["submit_line"]
            self._fields = tuple(field for field in self._fields if field != line)
            result = self._run(argv_of(self._fields), TIMEOUT)
        return result

    def _note(self, key: tuple[str, str, str], job: JobRecord | None) -> None:
        now = self._clock()
        if job is None:
            self._known[key] = (
                Accounted(
                    None,
                    "Slurm's accounting does not have it, or not in a way that shows whose it is.",
                ),
                now + PAUSE,
            )
        elif parse_job_state(job.data["state"]).is_over:
            self._known[key] = Accounted(job), math.inf
        else:
            since = self._going_on.setdefault(key, now)
            is_lost = now - since > LAG or ran_too_long(job.data)
            self._known[key] = Accounted(job, is_lost=is_lost), now + PAUSE


def _key(record: SlurmRecord, cluster: str) -> tuple[str, str, str]:
    return cluster, record.job_id, record.token


def _can_be_known(record: SlurmRecord) -> bool:
    """Whether sacct's answer could be told to be about this job."""
    if record.job_id:
        return bool(record.token or (record.job_name and record.when))
    return bool(record.token and record.when)


# Signals that often end a command. Those whose numbers are common exit codes are not among them.
_SIGNALS = frozenset(
    [
        signal.SIGILL,
        signal.SIGABRT,
        signal.SIGBUS,
        signal.SIGFPE,
        signal.SIGKILL,
        signal.SIGSEGV,
        signal.SIGTERM,
        signal.SIGXCPU,
        signal.SIGXFSZ,
    ]
)


def _or_signal(data: Mapping[str, str]) -> str:
    """What else an exit code may be, of which sacct took 128 away: that of a shell whose command
    got a signal."""
    ended = parse_exit_code(data.get("exit_code", ""))
    if ended is None or ended.signal or ended.code not in _SIGNALS:
        return ""
    return (
        f" Up to Slurm 25.05, sacct writes {ended.code + 128} (one of its commands got "
        f"{signal.Signals(ended.code).name}) in the same way."
    )


def absent_status(name: str, note: str, accounted: Accounted) -> TestStatusInfo:
    """The status of a job that squeue does not list (any more).

    :param name: What to call it, such as 'job 17'.
    :param note: Why it is believed to be gone.
    """
    gone = f"Slurm does not list {name} (any more). {note}"
    job = accounted.job
    if job is None:
        return TestStatusInfo(STATES.SCHED_ERROR, f"{gone} {accounted.note}".rstrip())
    state = parse_job_state(job.data["state"])
    if state.is_over:
        return TestStatusInfo(
            state.pavilion_state,
            f"{job_note(job.job_id, job.data)}"
            f"{_or_signal(job.data)} (By Slurm's accounting; its controller "
            "does not list the job any more.)",
        )
    # Not job_note(): of what a job waits for, the accounting does not know.
    nodes = job.data.get("nodes")
    still = f"{state.name} on {nodes}" if nodes else state.name
    if accounted.is_lost:
        return TestStatusInfo(
            STATES.SCHED_ERROR,
            f"{gone} In Slurm's accounting it is {still} "
            "and never ended, like jobs that Slurm lost ('sacctmgr show "
            "runawayjobs' lists such).",
        )
    return TestStatusInfo(
        STATES.SCHED_WARNING,
        f"{gone} But in Slurm's accounting, which may be late, it is still {still}.",
    )
