"""What came of cancelling jobs, from what the cancel command said and what the list shows after it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

import pytest

from fake_time import FakeTime
from pavilion.schedulers import CommandResult, JobState
from pavilion.schedulers.batch.cancelling import Cancelled, CancelOutcome, cancel_jobs
from pavilion.schedulers.batch.client import BatchClient
from pavilion.schedulers.batch.dialect import Dialect
from pavilion.schedulers.lifecycle.job_table import JobRecord, Lookup, Presence
from pavilion.schedulers.talk.commands import Failure

GONE = "gone"
SILENT = "no answer"


class Toy(Dialect):
    TITLE = "Toy"
    COMMANDS = ("kill",)
    STATES = {
        "R": JobState.ACTIVE,
        "E": JobState.ENDING,
        "F": JobState.FINISHED,
        "X": JobState.CANCELLED,
    }
    FAILURES = {
        Failure.TRANSIENT: ["busy"],
        Failure.DENIED: ["not yours"],
        Failure.UNKNOWN_JOB: ["no such job"],
        Failure.PERMANENT: ["never"],
    }
    CANCEL_BATCH = 2

    def cancel_command(self, job_ids: Sequence[str]) -> list[str]:
        return ["kill", *job_ids]

    def parse_cancel(self, result: CommandResult) -> Mapping[str, Failure] | None:
        named = [line for line in result.stderr.splitlines() if line.startswith("job ")]
        return {line.split()[1]: Failure[line.split()[2]] for line in named}


class Table:
    """A job table that shows, look by look, these states: a state's word, GONE or SILENT.

    :param looks: Id -> its states.  The last one again and again.
    """

    def __init__(self, looks: Mapping[str, Sequence[str]]) -> None:
        self._looks = {job_id: list(states) for job_id, states in looks.items()}
        self.asked = 0
        self.expired = 0

    def lookup_many(self, keys: Iterable[str]) -> dict[str, Lookup]:
        # Nothing newer is seen without that.
        assert self.asked == self.expired
        self.asked += 1
        return {key: self._lookup(key) for key in keys}

    def _lookup(self, key: str) -> Lookup:
        states = self._looks[key]
        state = states.pop(0) if len(states) > 1 else states[0]
        if state == SILENT:
            return Lookup(Presence.CANNOT_TELL, None, "Nobody answers.", math.inf, False)
        if state == GONE:
            return Lookup(Presence.ABSENT, None, "It is not listed.", 0.0)
        return Lookup(Presence.FOUND, JobRecord(key, state, {}), "", 0.0)

    def expire(self) -> None:
        self.expired += 1


class Runner:
    """Answers cancel commands as given, and the last one again and again.

    :param answers: What they print on stderr, and their exit codes; None for one that hangs.
    """

    def __init__(self, *answers: tuple[str, int] | None) -> None:
        self._answers = list(answers)
        self.argvs: list[list[str]] = []

    def run(self, argv: Sequence[str], timeout: float | None = None) -> CommandResult:
        self.argvs.append(list(argv))
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if answer is None:
            return CommandResult(tuple(argv), None, "", "", 30.0, timed_out=True)
        return CommandResult(tuple(argv), answer[1], "", answer[0], 0.1, timed_out=False)


class Case:
    """Cancels jobs with the clock of nobody who waits."""

    def __init__(
        self, looks: Mapping[str, Sequence[str]], *answers: tuple[str, int] | None
    ) -> None:
        self.table = Table(looks)
        self.runner = Runner(*(answers or [("", 0)]))
        self.client = BatchClient(Toy())
        self.client.querying = cast("Any", self.runner)
        self.jobs = {job_id: job_id for job_id in looks}
        self.time = FakeTime()

    def cancel(self, wait: float = 10.0) -> dict[str, CancelOutcome]:
        outcomes = cancel_jobs(
            self.client,
            cast("Any", self.table),
            self.jobs,
            wait,
            sleep=self.time.sleep,
            clock=self.time.clock,
        )
        assert all(seconds > 0 for seconds in self.time.slept)
        return outcomes


def one(before: str, after: Sequence[str], *answers: tuple[str, int] | None) -> CancelOutcome:
    """What came of cancelling one job."""
    return Case({"7": [before, *after]}, *answers).cancel()["7"]


@pytest.mark.parametrize(
    ("before", "after", "what"),
    [
        ("R", ["X"], Cancelled.CANCELLED),
        ("R", ["R", "R", "X"], Cancelled.CANCELLED),
        # Its processes are being ended: nothing else is to be done about it.
        ("R", ["E"], Cancelled.CANCELLED),
        ("R", [GONE], Cancelled.CANCELLED),
        ("F", ["F"], Cancelled.ALREADY_OVER),
        ("X", ["X"], Cancelled.ALREADY_OVER),
        (GONE, [GONE], Cancelled.NOT_FOUND),
        (SILENT, [GONE], Cancelled.NOT_FOUND),
        (SILENT, ["X"], Cancelled.CANCELLED),
        # A list that fails says nothing; the next one may.
        ("R", [SILENT, "X"], Cancelled.CANCELLED),
    ],
)
def test_what_the_list_shows(before: str, after: list[str], what: Cancelled) -> None:
    assert one(before, after) == CancelOutcome(what, None)


def test_a_job_that_does_not_go() -> None:
    case = Case({"7": ["R"]})
    assert case.cancel(wait=10.0) == {
        "7": CancelOutcome(
            Cancelled.STILL_THERE,
            "Toy accepted the request to cancel job 7, but still shows it 10 seconds later. "
            "Its state is R.",
        )
    }
    # One command, however long it takes.
    assert case.runner.argvs == [["kill", "7"]]
    assert sum(case.time.slept) >= 10.0


def test_whether_it_went_cannot_be_told_without_an_answer() -> None:
    assert one("R", [SILENT]) == CancelOutcome(
        Cancelled.UNREACHABLE,
        "Toy accepted the request to cancel job 7, but whether the job has ended is not known: "
        "Nobody answers.",
    )


@pytest.mark.parametrize(
    ("said", "outcome"),
    [
        ("not yours", CancelOutcome(Cancelled.DENIED, "You may not cancel job 7: not yours.")),
        ("never", CancelOutcome(Cancelled.STILL_THERE, "Job 7 could not be cancelled: never.")),
        (
            "busy",
            CancelOutcome(
                Cancelled.UNREACHABLE,
                "Toy did not answer, so job 7 may still be running: busy. Try again later.",
            ),
        ),
    ],
)
def test_what_the_command_says(said: str, outcome: CancelOutcome) -> None:
    case = Case({"7": ["R"]}, (said, 1))
    assert case.cancel() == {"7": outcome}
    # Nothing was begun, so nothing is waited for.
    assert case.time.slept == []


def test_a_command_whose_answer_was_lost_may_have_worked() -> None:
    assert one("R", ["X"], ("busy", 1)) == CancelOutcome(Cancelled.CANCELLED, None)
    assert one("R", ["X"], None) == CancelOutcome(Cancelled.CANCELLED, None)


def test_an_unknown_job_is_looked_for() -> None:
    assert one("R", [GONE], ("no such job", 1)) == CancelOutcome(Cancelled.CANCELLED, None)
    assert one(GONE, [GONE], ("no such job", 1)) == CancelOutcome(Cancelled.NOT_FOUND, None)


def test_each_job_has_an_outcome_of_its_own() -> None:
    looks = {"1": ["R", "X"], "2": ["R"], "3": ["F"], "4": ["R"], "5": ["R", "R", GONE]}
    case = Case(looks, ("job 2 DENIED", 1), ("job 4 TRANSIENT\njob 9 DENIED", 1), ("", 0))
    assert {key: outcome.what for key, outcome in case.cancel().items()} == {
        "1": Cancelled.CANCELLED,
        "2": Cancelled.DENIED,
        "3": Cancelled.ALREADY_OVER,
        "4": Cancelled.UNREACHABLE,
        "5": Cancelled.CANCELLED,
    }
    assert case.runner.argvs == [["kill", "1", "2"], ["kill", "3", "4"], ["kill", "5"]]


def test_a_failure_without_a_name_is_that_of_all_jobs_of_the_command() -> None:
    case = Case({"1": ["R"], "2": ["R"], "3": ["R", "X"]}, ("not yours", 1), ("", 0))
    assert [outcome.what for outcome in case.cancel().values()] == [
        Cancelled.DENIED,
        Cancelled.DENIED,
        Cancelled.CANCELLED,
    ]


def test_a_command_that_fails_after_one_that_did_not() -> None:
    case = Case({"1": ["R", "X"], "2": ["R", "X"], "3": ["R"]}, ("", 0), ("not yours", 1))
    assert [outcome.what for outcome in case.cancel().values()] == [
        Cancelled.CANCELLED,
        Cancelled.CANCELLED,
        Cancelled.DENIED,
    ]


def test_a_job_that_a_command_names_as_unknown_is_looked_for() -> None:
    case = Case({"1": ["R", "X"], "2": ["R", GONE]}, ("job 2 UNKNOWN_JOB", 1))
    assert {outcome.what for outcome in case.cancel().values()} == {Cancelled.CANCELLED}


def test_two_records_of_one_job_cost_one_id() -> None:
    case = Case({"7": ["R", "X"], "pav-1": ["R", "X"]})
    case.jobs = {"7": "7", "pav-1": "7"}
    assert {outcome.what for outcome in case.cancel().values()} == {Cancelled.CANCELLED}
    assert case.runner.argvs == [["kill", "7"]]


def test_what_is_no_id_is_never_part_of_a_command() -> None:
    case = Case({"--all": ["R"]})
    with pytest.raises(ValueError, match=r"^Not the id of a Toy job: '--all'\.$"):
        case.cancel()
    assert case.runner.argvs == []
