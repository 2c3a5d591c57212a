"""The commands that the batch family runs, and how their failures are reported."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, cast

import pytest

from pavilion.schedulers import BatchJob, CommandResult, JobState
from pavilion.schedulers.batch.client import BatchClient
from pavilion.schedulers.batch.dialect import REASON_KEY, Dialect
from pavilion.schedulers.batch.stuck import AT_ONCE, PAUSE, REST, StuckReasons
from pavilion.schedulers.lifecycle.job_table import JobRecord, QueryFailed
from pavilion.schedulers.talk.commands import Failure


class Toy(Dialect):
    TITLE = "Toy"
    COMMANDS = ("list",)
    STATES = {"R": JobState.ACTIVE, "H": JobState.STUCK}
    FAILURES = {Failure.PERMANENT: ["bad queue"], Failure.TRANSIENT: ["busy"]}

    def ping_command(self) -> list[str] | None:
        return ["ping"]

    def jobs_command(self, user: str | None) -> list[str]:
        return ["list", "everybody" if user is None else user]

    def parse_jobs(self, text: str) -> Iterable[BatchJob]:
        return []

    def details_command(self, job_id: str) -> list[str] | None:
        return ["why", job_id]

    def parse_details(self, text: str) -> str:
        return text.strip()

    def hint(self, result: CommandResult) -> str:
        return "look at it" if "bad queue" in result.stderr else ""


def result(argv: Sequence[str], stderr: str = "", code: int | None = 0, stdout: str = "") -> Any:
    return CommandResult(tuple(argv), code, stdout, stderr, 0.1, timed_out=code is None)


class Runner:
    """Answers every command in the same way, and notes it."""

    def __init__(self, stderr: str = "", code: int | None = 0, stdout: str = "") -> None:
        self.answer = (stderr, code, stdout)
        self.argvs: list[list[str]] = []

    def run(self, argv: Sequence[str], timeout: float | None = None) -> CommandResult:
        self.argvs.append(list(argv))
        return cast("CommandResult", result(argv, *self.answer))


def client(runner: Runner) -> BatchClient:
    made = BatchClient(Toy())
    made.querying = cast("Any", runner)
    return made


# --- Failures in words ---


@pytest.mark.parametrize(
    ("stderr", "code", "message"),
    [
        # What the scheduler says decides; the command is of no use then.
        ("bad queue: x", 1, "It failed (here): bad queue: x. Hint: look at it."),
        ("bad queue.\n", 1, "It failed (here): bad queue. Hint: look at it."),
        # One that may pass, or says nothing, is shown whole.
        ("busy", 1, "It failed (here): busy ['sub 1' failed with exit code 1: busy]."),
        ("", 3, "It failed (here) ['sub 1' failed with exit code 3, and printed nothing]."),
        ("odd", 0, "It failed (here): odd ['sub 1' succeeded: odd]."),
    ],
)
def test_a_failure_says_what_was_tried_and_what_came_of_it(
    stderr: str, code: int, message: str
) -> None:
    error = BatchClient(Toy()).failed("It failed", result(["sub", "1"], stderr, code), " (here)")
    assert str(error) == message


def test_a_long_answer_is_cut() -> None:
    error = BatchClient(Toy()).failed("It failed", result(["sub"], "bad queue " + "x" * 400, 1))
    assert str(error).endswith("xxx.... Hint: look at it.")


# --- Queries ---


def test_a_user_is_known_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    runner = Runner()
    client(runner).jobs("0")
    # A uid that this host has no name for, and records of other programs.
    client(runner).jobs(str(2**31 - 5))
    client(runner).jobs("nobody knows")
    client(runner).jobs(None)
    assert runner.argvs == [["list", "root"], *[["list", "everybody"]] * 3]


def test_a_list_that_fails_says_so() -> None:
    with pytest.raises(QueryFailed, match=r"^'list root' failed with exit code 1: busy$"):
        client(Runner("busy", 1)).jobs("0")


def test_a_list_that_fails_says_of_which_instance() -> None:
    made = BatchClient(type("Several", (Toy,), {"INSTANCE": "TOY_AT"})())
    runner: Any = Runner("busy", 1)
    made.querying = runner
    runner.with_variable = lambda name, value: runner
    with pytest.raises(QueryFailed, match=r": busy \(TOY_AT=/run/other\)$"):
        made.jobs("0", "/run/other")
    with pytest.raises(QueryFailed, match=r": busy$"):
        made.jobs("0")
    # A cluster is in the command already.
    with pytest.raises(QueryFailed, match=r": busy$"):
        client(Runner("busy", 1)).jobs("0", "east")


def test_a_scheduler_that_does_not_answer() -> None:
    assert client(Runner()).problem() is None
    problem = client(Runner("busy", 1)).problem()
    assert problem == "Toy does not answer. 'ping' failed with exit code 1: busy"


def test_an_instance_is_named_only_where_there_are_several(monkeypatch: pytest.MonkeyPatch) -> None:
    assert BatchClient(Toy()).instance() == ""
    several = type("Several", (Toy,), {"INSTANCE": "TOY_AT"})()
    monkeypatch.delenv("TOY_AT", raising=False)
    default = BatchClient(several).instance()
    assert default
    monkeypatch.setenv("TOY_AT", "/run/toy")
    assert BatchClient(several).instance() == "/run/toy"
    # Queries go there, or to the default one, whatever this process has set.
    made = BatchClient(several)
    assert made.querying_at("/run/other").environment()["TOY_AT"] == "/run/other"
    assert "TOY_AT" not in made.querying_at(default).environment()
    assert made.querying_at("") is made.querying


# --- Why jobs are stuck ---


class Stuck:
    """Reasons of stuck jobs, with the time that a test says it is."""

    def __init__(self, runner: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
        self.runner = runner
        self.now = 1000.0
        self.reasons = StuckReasons(Toy(), runner.run)
        monkeypatch.setattr("pavilion.schedulers.batch.stuck.time.monotonic", lambda: self.now)

    def of(self, job_id: str, state: str = "H", reason: str = "") -> str:
        data = {REASON_KEY: reason} if reason else {}
        return self.reasons.reason(JobRecord(job_id, state, data))


def test_a_reason_is_queried_once(monkeypatch: pytest.MonkeyPatch) -> None:
    stuck = Stuck(Runner(stdout="no disk\n"), monkeypatch)
    assert [stuck.of("7"), stuck.of("7")] == ["no disk"] * 2
    assert stuck.runner.argvs == [["why", "7"]]


def test_jobs_that_run_and_those_whose_reason_is_listed_cost_no_query(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stuck = Stuck(Runner(stdout="no disk\n"), monkeypatch)
    assert [stuck.of("7", "R"), stuck.of("7", "R", "x"), stuck.of("7", "H", "x")] == [""] * 3
    assert stuck.runner.argvs == []


def test_after_a_failure_no_job_is_asked_about_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    stuck = Stuck(Runner("busy", 1), monkeypatch)
    assert [stuck.of("7"), stuck.of("7"), stuck.of("8")] == [""] * 3
    assert stuck.runner.argvs == [["why", "7"]]
    stuck.now += PAUSE
    assert stuck.of("8") == ""
    assert stuck.runner.argvs == [["why", "7"], ["why", "8"]]


def test_of_many_stuck_jobs_some_are_asked_about_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    stuck = Stuck(Runner(stdout="no disk\n"), monkeypatch)
    for _ in range(3):
        for number in range(2 * AT_ONCE):
            stuck.of(str(number))
    assert len(stuck.runner.argvs) == AT_ONCE
    stuck.now += REST
    assert all(stuck.of(str(number)) == "no disk" for number in range(2 * AT_ONCE))
    assert len(stuck.runner.argvs) == 2 * AT_ONCE
