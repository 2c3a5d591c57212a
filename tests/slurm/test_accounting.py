"""What sacct says of jobs that the controller has forgotten, and how seldom it is run.

The rows in accounting.txt are those of a real slurmdbd; see tests/data/slurm/README.md.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from clusters import Slurm as Cluster
from clusters import wait_until
from plugin_tools import Site, info, job_list, result, site_of
from real_slurm import RealSlurm

from contract.fakes import FakeTest, active
from pavilion.jobs import Job, JobInfo
from pavilion.schedulers import Slurm
from pavilion.schedulers.lifecycle import identity
from pavilion.schedulers.lifecycle.job_table import JobTable
from pavilion.schedulers.plugins.slurm import accounting, client, queries
from pavilion.schedulers.plugins.slurm.accounting import Accounted, Accounting, absent_status
from pavilion.schedulers.plugins.slurm.parsing import UnreadableAnswer
from pavilion.schedulers.plugins.slurm.queries import ACCOUNTING_FIELDS, FIELD_END
from pavilion.schedulers.plugins.slurm.record import SlurmRecord, make_record, read_record
from pavilion.schedulers.talk.commands import CommandResult
from pavilion.sys_vars import get_vars

DATA = Path(__file__).parents[1] / "data" / "slurm" / "22.05.8"
FIELDS = tuple(ACCOUNTING_FIELDS.values())
CAPTURED = (DATA / "accounting.txt").read_text()
# Slurm's local time of the first submissions in it.
WHEN = time.mktime((2026, 11, 26, 21, 55, 28, 0, 0, -1))


def token(number: int) -> str:
    return f"pav-{number:016x}"


def record(job_id: str = "17", number: int = 1, **more: Any) -> SlurmRecord:
    """The record of a job, with the token of that number."""
    given = {"cluster": "", "token": token(number), "user": "0", "when": WHEN, **more}
    return SlurmRecord(job_id, **given)


def found(job_id: str, number: int, **more: Any) -> accounting.JobRecord | None:
    return accounting.find_job(
        accounting.parse_rows(CAPTURED, FIELDS), record(job_id, number, **more)
    )


def status_of(job_id: str, number: int) -> tuple[str, str]:
    job = found(job_id, number)
    assert job is not None
    status = absent_status(f"job {job_id}", "It is gone.", Accounted(job))
    return status.state, status.note


# --- What sacct prints ---


@pytest.mark.parametrize(
    ("job_id", "number", "state", "note"),
    [
        (
            "1",
            1,
            "SCHED_ERROR",
            "Job 1 ended normally (COMPLETED) on node01 at 2026-11-26T21:55:28.",
        ),
        (
            "2",
            2,
            "SCHED_ERROR",
            "Job 2 failed (FAILED) on node01 at 2026-11-26T21:55:28. Exit code 3.",
        ),
        (
            "3",
            3,
            "SCHED_ERROR",
            "Job 3 failed (FAILED) on node01 at 2026-11-26T21:55:28. Killed by signal 9 (SIGKILL).",
        ),
        (
            "4",
            4,
            "SCHED_ERROR",
            "Job 4 was stopped at its time limit of 00:01:00 (TIMEOUT) on node01 "
            "at 2026-11-26T21:56:35.",
        ),
        ("5", 5, "SCHED_CANCELLED", "Job 5 was cancelled by user 0 (CANCELLED) on node01 at "),
        ("6", 0x10, "SCHED_CANCELLED", "Job 6 was cancelled by user 65534 (CANCELLED) on node01 "),
        ("6", 6, "SCHED_ERROR", "Slurm could not start its script (exit 0:53)"),
        (
            "7",
            7,
            "SCHED_CANCELLED",
            "Job 7 was cancelled by user 0 (CANCELLED) at 2026-11-26T22:00:11",
        ),
        (
            "10",
            10,
            "SCHED_ERROR",
            "Job 10 failed (FAILED) on node[02-03] at 2026-11-26T21:55:30. Exit code 4.",
        ),
        # Line ends in its name and in the path of its script.
        ("11", 11, "SCHED_ERROR", "Job 11 failed (FAILED) on node01 at"),
        ("13", 12, "SCHED_ERROR", "Its parts: 3 FAILED."),
        (
            "14",
            13,
            "SCHED_CANCELLED",
            "Job 14 was cancelled by user 0 (CANCELLED) at "
            "2026-11-26T22:00:11. It was requeued once.",
        ),
        (
            "17",
            14,
            "SCHED_ERROR",
            "Job 17 was lost: one of its nodes failed (NODE_FAIL) on node03 at ",
        ),
        # The token at the end of its name.
        ("5", 15, "SCHED_ERROR", "Job 5 failed (FAILED) on node01 at 2026-11-26T22:04:38."),
        (
            "7",
            17,
            "SCHED_WARNING",
            "Slurm does not list job 7 (any more). It is gone. But in "
            "Slurm's accounting, which may be late, it is still RUNNING on node01.",
        ),
    ],
)
def test_fates(job_id: str, number: int, state: str, note: str) -> None:
    shown = status_of(job_id, number)
    assert shown[0] == state and note in shown[1]
    assert ("By Slurm's accounting" in shown[1]) == (state != "SCHED_WARNING")


@pytest.mark.parametrize(
    ("job_id", "number"), [("1", 0xBAD), ("1", 2), ("2", 1), ("99", 1), ("11", 0x1F1)]
)
def test_rows_of_others_are_not_trusted(job_id: str, number: int) -> None:
    assert found(job_id, number) is None


def test_an_id_that_was_given_out_again() -> None:
    ours, other = found("1", 1), found("1", 0x1F1)
    assert ours is not None and other is not None
    assert (ours.state, other.state) == ("COMPLETED", "FAILED")
    # Nor does a part of a token do.
    assert found("1", 0, token=token(1)[:-1]) is None
    assert found("1", 0, token="") is None


def test_a_job_whose_id_is_not_known() -> None:
    job = found("", 2)
    assert job is not None and (job.job_id, job.state) == ("2", "FAILED")
    # Of two jobs of one submission the first one is ours.
    rows = accounting.parse_rows(CAPTURED, FIELDS)
    twins = [{**row, "id": job_id} for job_id in ("21", "9") for row in rows if row["id"] == "3"]
    job = accounting.find_job(twins[::2], record("", 3))
    assert job is not None and job.job_id == "9"


def test_records_without_a_token() -> None:
    named = {"token": "", "job_name": "t OK"}
    job = found("1", 0, **named)
    assert job is not None and job.state == "COMPLETED"
    assert found("1", 0, token="", job_name="other") is None
    for seconds in (-3600, 3600):
        assert found("1", 0, when=WHEN + seconds, **named) is None
    assert found("1", 0, when=0.0, **named) is None
    assert found("", 0, **named) is None
    # A token that the row lacks, where it could show it.
    assert found("1", 2, job_name="t ok") is None


def test_before_21_08_the_name_is_all_there_is() -> None:
    fields = FIELDS[:-1]
    text = "".join(
        f"{FIELD_END.join(line.split(FIELD_END)[:12])}{FIELD_END}\n"
        for line in CAPTURED.splitlines()[:4]
    )
    rows = accounting.parse_rows(text, fields)
    assert "submit_line" not in rows[0]
    job = accounting.find_job(rows, record("2", 2, job_name="t three"))
    assert job is not None and job.state == "FAILED"
    assert accounting.find_job(rows, record("2", 2, job_name="t two")) is None


@pytest.mark.parametrize(
    "text", ["", "\n", "slurm: hello\n", CAPTURED[:700], CAPTURED.partition("\n")[2]]
)
def test_answers_that_are_none(text: str) -> None:
    with pytest.raises(UnreadableAnswer):
        accounting.parse_rows(text, FIELDS)


def test_banners_and_rows_with_separators_are_passed_over() -> None:
    rows = accounting.parse_rows(f"Welcome!\n{CAPTURED}", FIELDS)
    assert len(rows) == 24 and not any(row["id"] == "12" for row in rows)
    assert rows[6]["nodes"] == "" and rows[6]["start"] == ""


@pytest.mark.parametrize(
    ("elapsed", "limit", "long"),
    [("600", "1", False), ("661", "1", True), ("99999999", "UNLIMITED", False), ("", "", False)],
)
def test_a_job_that_ran_too_long_is_lost(elapsed: str, limit: str, long: bool) -> None:
    assert accounting.ran_too_long({"elapsed": elapsed, "limit_minutes": limit}) is long


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (
            "9:0",
            "Exit code 9. Up to Slurm 25.05, sacct writes 137 (one of its commands got SIGKILL) in the "
            "same way.",
        ),
        ("11:0", "sacct writes 139 (one of its commands got SIGSEGV) in the same way."),
        ("3:0", "Exit code 3. (By"),
        ("0:9", "Killed by signal 9 (SIGKILL). (By"),
        ("0:0", "node01. (By"),
        ("", "node01. (By"),
    ],
)
def test_exit_codes_of_which_sacct_took_128_away(code: str, words: str) -> None:
    job = accounting.find_job([row("17", 1, exit_code=code)], record())
    assert words in absent_status("job 17", "", Accounted(job)).note


# --- How it is queried ---


def rows_of(*rows: Mapping[str, str]) -> CommandResult:
    """sacct's answer with these rows."""
    lines = [dict(zip(ACCOUNTING_FIELDS, FIELDS)), *rows]
    return result(
        "".join(
            FIELD_END.join(row.get(key, "") for key in ACCOUNTING_FIELDS) + f"{FIELD_END}\n"
            for row in lines
        ),
        argv=("sacct",),
    )


def row(job_id: str, number: int, state: str = "FAILED", **more: str) -> dict[str, str]:
    """A row of a job with the token of that number."""
    return {
        "id": job_id,
        "state": state,
        "exit_code": "3:0",
        "nodes": "node01",
        "name": "n",
        "submit": "2026-11-26T21:55:28",
        "submit_line": f"sbatch --parsable --comment={token(number)} x",
        **more,
    }


DISABLED = result("", "Slurm accounting storage is disabled\n", 1)
DOWN = result(
    "",
    "sacct: error: Sending PersistInit msg: Connection refused\n"
    "sacct: error: Problem talking to the database: Connection refused\n",
    1,
)
MISSING = result("", "sacct was not found in PATH", None)
HANGS = result("", "", None, timed_out=True)


class Books:
    """An Accounting on given answers, and a clock."""

    def __init__(self, *answers: CommandResult) -> None:
        self.answers = list(answers)
        self.argvs: list[list[str]] = []
        self.time = 1000.0
        self.accounting = Accounting(self._run, lambda: self.time, lambda: WHEN + 100)

    def _run(self, argv: list[str], timeout: float) -> CommandResult:
        assert timeout == 20.0
        self.argvs.append(argv)
        return self.answers.pop(0)

    def look_up(self, job: SlurmRecord, *others: SlurmRecord, cluster: str = "") -> Accounted:
        return self.accounting.look_up(job, cluster, lambda: others)

    def option(self, name: str, call: int = -1) -> str:
        argv = self.argvs[call]
        return argv[argv.index(name) + 1] if name in argv else ""


def test_one_call_for_all() -> None:
    jobs = [record(str(number), number, when=WHEN - number) for number in range(1, 51)]
    books = Books(rows_of(*(row(str(number), number) for number in range(1, 51))))
    for job in jobs:
        known = books.look_up(job, *jobs).job
        assert known is not None and known.job_id == job.job_id
    assert len(books.argvs) == 1
    assert sorted(books.option("-j").split(","), key=int) == [job.job_id for job in jobs]
    assert books.option("-u") == "0" and books.option("-S") == "now-3750seconds"
    assert not any(arg.startswith("--clusters") for arg in books.argvs[0])
    # What is over stays over.
    books.time += 1e6
    assert books.look_up(jobs[0]).job is not None and len(books.argvs) == 1


def test_others_are_not_looked_for_without_need() -> None:
    books = Books(rows_of(row("17", 1)))
    asked: list[int] = []

    def others() -> list[SlurmRecord]:
        asked.append(1)
        return [record("17", 1)]

    for _ in range(3):
        assert books.accounting.look_up(record(), "", others).job is not None
    assert len(asked) == 1 and books.option("-j") == "17"


def test_a_job_without_an_id_needs_all_jobs_of_the_user() -> None:
    books = Books(rows_of(row("8", 2), row("17", 1)))
    job = books.look_up(record("", 2), record()).job
    assert job is not None and job.job_id == "8"
    assert "-j" not in books.argvs[0] and books.option("-S") == "now-3700seconds"
    assert books.look_up(record()).job is not None and len(books.argvs) == 1


def test_the_time_bounds_what_is_queried() -> None:
    books = Books(*[rows_of()] * 2)
    # Not known since when: the ids are bound enough.
    books.look_up(record(when=0.0), record("18", 2))
    assert books.option("-S") == "" and books.option("-j") == "17,18"
    books.look_up(record("", 3), record("19", 4, when=0.0))
    assert books.option("-S") == "now-3700seconds" and books.option("-j") == ""


def test_jobs_on_another_cluster() -> None:
    books = Books(rows_of(row("17", 1)), rows_of())
    assert books.look_up(record(), cluster="other").job is not None
    assert "--clusters=other" in books.argvs[0]
    assert books.look_up(record()).job is None
    assert len(books.argvs) == 2


@pytest.mark.parametrize(
    ("answer", "note"),
    [(DISABLED, ""), (MISSING, ""), (HANGS, "Slurm's accounting gave no answer within 20 s.")],
)
def test_it_is_switched_off_for_the_process(answer: CommandResult, note: str) -> None:
    books = Books(answer)
    for number in range(1, 4):
        books.time += 1e6
        assert books.look_up(record(str(number), number)) == Accounted(None, note)
    assert len(books.argvs) == 1


@pytest.mark.parametrize("answer", [DOWN, result("garbage\n"), result("", "", 2)])
def test_failures_back_off_and_are_quiet(
    answer: CommandResult, caplog: pytest.LogCaptureFixture
) -> None:
    books = Books(answer, rows_of(row("17", 1)))
    for number in range(1, 20):
        known = books.look_up(record(str(number), number))
        assert known.job is None and "could not be queried: " in known.note
        books.time += 3
    assert len(books.argvs) == 1 and not caplog.records
    books.time += 3
    assert books.look_up(record()).job is not None


def test_a_job_that_is_not_found_is_looked_up_again_later() -> None:
    books = Books(rows_of(row("17", 2)), rows_of(row("17", 2), row("17", 1)))
    assert "does not have it" in books.look_up(record()).note
    books.time += 59
    assert books.look_up(record()).job is None and len(books.argvs) == 1
    books.time += 2
    assert books.look_up(record()).job is not None


def test_an_accounting_that_lags() -> None:
    books = Books(*[rows_of(row("17", 1, "RUNNING"))] * 11, rows_of(row("17", 1)))
    for _ in range(20):
        known = books.look_up(record())
        assert absent_status("job 17", "", known).state == "SCHED_WARNING"
        books.time += 30
    assert len(books.argvs) == 10
    # It is not waited for for ever: Slurm loses jobs.
    books.time += 30
    status = absent_status("job 17", "", books.look_up(record()))
    assert status.state == "SCHED_ERROR"
    assert "it is RUNNING on node01 and never ended" in status.note
    books.time += 60
    assert absent_status("job 17", "", books.look_up(record())).note.startswith("Job 17 failed")


def test_a_job_over_its_time_limit_for_long_is_lost_at_once() -> None:
    books = Books(rows_of(row("17", 1, "RUNNING", elapsed="5000", limit_minutes="60")))
    assert books.look_up(record()).is_lost


def test_a_slurm_before_21_08() -> None:
    refusal = result("", 'sacct: error: Invalid field requested: "SubmitLine"\n', 1)
    lines = rows_of(row("17", 1, comment=token(1))).stdout.splitlines()
    old = result(
        "".join(f"{FIELD_END.join(line.split(FIELD_END)[:12])}{FIELD_END}\n" for line in lines)
    )
    books = Books(refusal, old, old)
    assert books.look_up(record()).job is not None
    assert books.look_up(record("18", 2)).job is None
    assert [FIELDS[-1] in books.option("-o", call) for call in range(3)] == [True, False, False]


@pytest.mark.parametrize(
    "job",
    [
        record(token=""),
        record(token="", job_name="n", when=0.0),
        record("", token=token(1), when=0.0),
    ],
)
def test_jobs_that_could_not_be_told_from_others_are_not_looked_up(job: SlurmRecord) -> None:
    books = Books(rows_of(row("18", 2)))
    assert books.look_up(job) == Accounted(None)
    assert not books.argvs
    books.look_up(record("18", 2), job)
    assert books.option("-j") == "18"


def test_the_command() -> None:
    argv = queries.accounting(["17", "18_2"], "1000", "", 60)(FIELDS)
    assert argv[:5] == [
        "sacct",
        "--allocations",
        "--duplicates",
        "--parsable",
        f"--delimiter={FIELD_END}",
    ]
    assert argv[5:] == [
        "-u",
        "1000",
        "-j",
        "17,18_2",
        "-S",
        "now-60seconds",
        "-o",
        ",".join(FIELDS),
    ]
    with pytest.raises(ValueError, match="Not a Slurm job id"):
        queries.accounting(["17 -a"], None, "", None)
    # Free text comes last.
    assert list(ACCOUNTING_FIELDS)[-3:] == ["name", "comment", "submit_line"]


def test_the_name_is_in_the_record(tmp_path: Path) -> None:
    job_info = make_record("here", "17", "", token(1), "/jobs/1/kickoff.sbatch", job_name="n")
    assert read_record(job_info).job_name == "n"
    old = JobInfo({key: value for key, value in job_info.items() if key != "name"})
    assert read_record(old) == read_record(job_info)._replace(job_name="")
    job = Job(tmp_path)
    identity.save_identity(Slurm(), job, job_info)
    assert set(job.info) == {"id", "sys_name"} and identity.load_identity(job) == job_info


# --- In the plugin ---


class Forgetful:
    """The commands of a Slurm that lists no jobs, and has some in its accounting."""

    def __init__(self, books: Callable[[list[str]], CommandResult]) -> None:
        self.books = books
        self.argvs: list[list[str]] = []

    def run(self, argv: list[str], *_: Any, **__: Any) -> CommandResult:
        self.argvs.append(argv)
        return job_list() if argv[0] == "squeue" else self.books(argv)

    @property
    def calls(self) -> list[list[str]]:
        """The calls of sacct."""
        return [argv for argv in self.argvs if argv[0] == "sacct"]


def quick_table(
    self: client.SlurmClient,
    user: str | None,
    cache_file: Path | None,
    max_age: float,
    cluster: str = "",
) -> JobTable:
    """A table that believes quickly that a job is gone."""
    return JobTable(
        lambda: self.jobs(user, cluster),
        is_over=self.dialect.is_over,
        cache_file=cache_file,
        max_age=max_age,
        grace=0.0,
        absence_gap=0.0,
    )


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client.SlurmClient, "job_table", quick_table)


class Host:
    """A working directory with jobs of this user, which Slurm has forgotten."""

    def __init__(self, folder: Path, books: Callable[[list[str]], CommandResult]) -> None:
        self.pav_cfg: Any = {"working_dir": folder}
        self.jobs = folder / "jobs"
        self.jobs.mkdir()
        self.slurm = Forgetful(books)
        self.plugin = self.new_plugin()

    def new_plugin(self) -> Slurm:
        """The plugin in another process."""
        plugin = Slurm()
        plugin.JOB_TABLE_AGE = 0.0  # type: ignore[misc]
        plugin._client.querying = self.slurm  # type: ignore[assignment]
        return plugin

    def add(self, number: int, **more: str) -> JobInfo:
        """A job with its directory and record."""
        path = self.jobs / f"{number:04d}"
        path.mkdir()
        given = make_record(
            str(get_vars(True)["sys_name"]),
            str(number),
            "",
            token(number),
            str(path / "kickoff.sbatch"),
            job_name="n",
        )
        job_info = JobInfo({**given, **more})
        identity.save_identity(self.plugin, Job(path), job_info)
        (path / "kickoff.log").touch()
        return job_info

    def status(self, job_info: JobInfo, plugin: Slurm | None = None) -> tuple[str, str]:
        plugin = plugin or self.plugin
        for table in plugin._tables.values():
            table.expire()  # An answer serves for longer where the machine is slow.
        status = plugin._job_status(self.pav_cfg, job_info)
        assert status is not None
        return status.state, status.note


def in_books(*rows: Mapping[str, str]) -> Callable[[list[str]], CommandResult]:
    """What sacct says, of the jobs that it is asked about."""

    def answer(argv: list[str]) -> CommandResult:
        ids = argv[argv.index("-j") + 1].split(",")
        return rows_of(*(one for one in rows if one["id"] in ids))

    return answer


@pytest.mark.usefixtures("quick")
def test_what_is_shown_comes_from_the_accounting(tmp_path: Path) -> None:
    host = Host(
        tmp_path,
        in_books(
            row("1", 1),
            row("2", 2, "CANCELLED by 1000", exit_code="0:0"),
            row("3", 0xBAD, "COMPLETED"),
            row("4", 4, "RUNNING", exit_code="0:0"),
        ),
    )
    jobs = [host.add(number) for number in range(1, 6)]
    # One answer without a job is too little to look it up.
    assert {host.status(job)[0] for job in jobs[:1]} == {"SCHEDULED"} and not host.slurm.calls
    shown = [host.status(job) for job in jobs for _ in range(2)][1::2]
    assert [state for state, _ in shown] == [
        "SCHED_ERROR",
        "SCHED_CANCELLED",
        "SCHED_ERROR",
        "SCHED_WARNING",
        "SCHED_ERROR",
    ]
    assert "Job 1 failed (FAILED) on node01. Exit code 3." in shown[0][1]
    assert "Job 2 was cancelled by user 1000" in shown[1][1]
    for number in (3, 5):
        assert f"Slurm does not list job {number} (any more)." in shown[number - 1][1]
        assert "Slurm's accounting does not have it" in shown[number - 1][1]


@pytest.mark.usefixtures("quick")
def test_one_call_serves_all_jobs_of_a_process(tmp_path: Path) -> None:
    host = Host(tmp_path, in_books(*(row(str(number), number) for number in range(1, 31))))
    jobs = [host.add(number) for number in range(1, 31)]
    first = [host.status(job) for job in jobs]
    assert {state for state, _ in first} == {"SCHEDULED"} and not host.slurm.calls
    assert all("Exit code 3" in host.status(job)[1] for job in jobs)
    assert len(host.slurm.calls) == 1


@pytest.mark.usefixtures("quick")
def test_one_call_serves_all_jobs_of_a_process_that_just_began(tmp_path: Path) -> None:
    host = Host(tmp_path, in_books(*(row(str(number), number) for number in range(1, 31))))
    jobs = [host.add(number) for number in range(1, 31)]
    # Of no concern: another user's, another system's, of another day, damaged.
    host.add(31, user="4242")
    host.add(32, sys_name="elsewhere")
    host.add(33, when="1000")
    host.add(34, when="soon")
    (host.jobs / "empty").mkdir()
    (host.jobs / "file").touch()
    for job in jobs:
        host.status(job)
    assert not host.slurm.calls
    for table in host.plugin._tables.values():
        table.share()
    other = host.new_plugin()
    assert all("Exit code 3" in host.status(job, other)[1] for job in jobs)
    assert len(host.slurm.calls) == 1
    ids = host.slurm.calls[0][host.slurm.calls[0].index("-j") + 1]
    assert sorted(map(int, ids.split(","))) == list(range(1, 31))


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("answer", [DISABLED, DOWN, HANGS])
def test_without_accounting_it_is_as_ever(tmp_path: Path, answer: CommandResult) -> None:
    host = Host(tmp_path, lambda argv: answer)
    jobs = [host.add(number) for number in range(1, 6)]
    for job in jobs:
        host.status(job)
        state, note = host.status(job)
        assert state == "SCHED_ERROR" and "Slurm does not list job" in note
    assert len(host.slurm.calls) == 1


@pytest.mark.usefixtures("quick")
def test_an_accounting_says_that_a_job_was_not_launched(tmp_path: Path) -> None:
    host = Host(tmp_path, in_books(row("1", 1, "CANCELLED by 0", exit_code="0:0")))
    job = host.add(1)
    (host.jobs / "0001" / "kickoff.log").unlink()
    (host.jobs / "0001" / "sched.log").write_text(
        "slurmstepd: error: Prolog failed with status 1:0\n"
    )
    host.slurm.books = lambda argv, of=host.slurm.books: (
        of(argv) if argv[0] == "sacct" else result("", "", 1)
    )
    host.status(job)
    assert "could not be launched" in host.status(job)[1]


# --- On a real slurmdbd ---


class Recorded(NamedTuple):
    """A site on a Slurm with accounting, and a test that was begun early, with a time limit."""

    cluster: Cluster
    site: Site
    limited: FakeTest

    def ask(self, plugin: Slurm, *tests: FakeTest) -> list[tuple[str, str]]:
        """The state and the note of each test, once it is over."""
        plugin.JOB_TABLE_AGE = 0.2  # type: ignore[misc]
        plugin.JOB_END_GRACE = 0.0
        found: list[tuple[str, str]] = []
        with active(plugin):
            for test in tests:
                wait_until(
                    lambda test=test: plugin.job_status(self.site.pav_cfg, test) and test.complete,
                    "it is over",
                )
                status = test.status.current()
                found.append((status.state, status.note))
        return found

    def wait_purged(self, seconds: float, *tests: FakeTest) -> None:
        """Wait until the controller has forgotten the jobs of tests; the plugin does not see it."""
        ids = [info(test)["id"] for test in tests]
        wait_until(lambda: not any(map(self.cluster.state, ids)), "purged", seconds)


@pytest.fixture(scope="session")
def recorded(accounting_cluster: RealSlurm) -> Iterator[Recorded]:
    cluster = Cluster(accounting_cluster, accounting_cluster.folder)
    with pytest.MonkeyPatch.context() as patch, site_of(cluster, patch) as site:
        limited = site.start({"slurm": {"sbatch_extra": ["--time=1"]}}, work="sleep 300")
        cluster.kept.add(info(limited)["id"])
    # Not with the environment patched: it is that of all other tests, too.
    yield Recorded(cluster, site, limited)


@pytest.fixture
def at_recorded(recorded: Recorded, monkeypatch: pytest.MonkeyPatch) -> Recorded:
    monkeypatch.setenv("SLURM_CONF", str(recorded.cluster.conf))
    monkeypatch.setattr(client.SlurmClient, "job_table", quick_table)
    return recorded


def test_purged_jobs_of_a_real_slurm(
    at_recorded: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    with site_of(at_recorded.cluster, monkeypatch, "purged") as site:
        tests = [site.start(work=work) for work in ("exit 3", "exit 137", "true", "sleep 100")]
        cancelled = info(tests[-1])["id"]
        at_recorded.cluster.wait_state(cancelled, "RUNNING")
        at_recorded.cluster.ok("scancel", cancelled)
        at_recorded.wait_purged(40, *tests)
        # What the process that submitted them does at its end. Another one is asked.
        for table in site.plugin._tables.values():
            table.share()
        plugin = Slurm()
        shown = at_recorded._replace(site=site).ask(plugin, *tests)
    for (state, note), test, words in zip(
        shown,
        tests,
        (
            # 9:0 up to Slurm 25.05, 137:0 from 25.11 on.
            "failed (FAILED) on node0",
            " 137 (one of its commands got SIGKILL)",
            "ended normally",
            f"was cancelled by user {os.getuid()} (CANCELLED) on node0",
        ),
    ):
        assert f"Job {info(test)['id']} " in note and words in note
        assert "By Slurm's accounting" in note
        assert state == ("SCHED_CANCELLED" if test is tests[-1] else "SCHED_ERROR")
    assert "Exit code 3." in shown[0][1]
    assert plugin._client.querying.count("sacct") == 1


@pytest.mark.usefixtures("late")
def test_a_time_limit_that_nobody_saw(at_recorded: Recorded) -> None:
    at_recorded.wait_purged(150, at_recorded.limited)
    ((state, note),) = at_recorded.ask(Slurm(), at_recorded.limited)
    assert state == "SCHED_ERROR"
    assert "was stopped at its time limit of 00:01:00 (TIMEOUT) on node0" in note
