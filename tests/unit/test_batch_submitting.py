"""Submitting a job: what follows from each answer, with a scheduler that answers as written down and
a clock that nobody waits for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from fake_time import FakeTime
from pavilion.schedulers import SchedulerPluginError, Submission, Submitted
from pavilion.schedulers.batch import submitting
from pavilion.schedulers.batch.client import BatchClient
from pavilion.schedulers.batch.dialect import TOKEN_KEY, Dialect
from pavilion.schedulers.batch.submitting import Submitter
from pavilion.schedulers.lifecycle.handover import Handover, HandoverStopped
from pavilion.schedulers.lifecycle.job_table import JobRecord, QueryFailed
from pavilion.schedulers.talk.commands import CommandResult, Failure

TOKEN = "pav-0123456789abcdef"
ACCEPTED = ("7\n", 0)
BUSY = ("busy\n", 1)
FULL = ("full\n", 1)
REFUSED = ("bad queue\n", 1)


class Toy(Dialect):
    TITLE = "Toy"
    COMMANDS = ("sub",)
    FAILURES = {
        Failure.TRANSIENT: ["busy"],
        Failure.QUEUE_FULL: ["full"],
        Failure.PERMANENT: ["bad queue"],
    }

    def parse_submission(self, result: CommandResult) -> str | None:
        return result.stdout.strip()

    def keeps_trying(self, stderr: str) -> bool:
        return "retrying" in stderr


class Way(Handover):
    """Notes what is reported, waits by the clock, and gives up when the test says so."""

    def __init__(self, time: FakeTime) -> None:
        super().__init__()
        self.time = time
        self.reports: list[str] = []
        self.give_up_at = float("inf")

    def report(self, text: str) -> None:
        if text not in self.reports[-1:]:
            self.reports.append(text)

    @property
    def stopped(self) -> bool:
        return self.time.now >= self.give_up_at

    def pause(self, seconds: float) -> bool:
        if not self.stopped:
            self.time.sleep(seconds)
        return not self.stopped


class Scheduler:
    """A client of a scheduler that gives these answers to its submit commands, and these to
    queries.

    :param answers: What the submit commands print, and their exit codes; the last one again and
        again.
    :param lists: The ids of the jobs with our token in the answers to queries, by turns; None for a
        query that fails.  The last one again and again.
    """

    def __init__(
        self, answers: Sequence[tuple[str, int]], lists: Sequence[Sequence[str] | None] = ([],)
    ) -> None:
        self.time = FakeTime()
        self.way = Way(self.time)
        self.client = BatchClient(Toy())
        self.client.submitting = self  # type: ignore[assignment]
        self.client.recent = self  # type: ignore[assignment]
        self.client.cancel = self._cancel  # type: ignore[method-assign]
        self._answers, self._lists = list(answers), list(lists)
        self.submitted = self.queries = 0
        self.cancelled: list[str] = []
        # What a command prints on stderr until then, and for how many seconds it runs.
        self.stderr, self.lasts = "", 0.0
        self.stopped_early = False

    # In place of the runner of commands

    def run(self, argv: Sequence[str], output: Path, watch: Callable[[str], bool]) -> CommandResult:
        self.submitted += 1
        end = self.time.now + self.lasts
        while self.time.now < end:
            if not watch(self.stderr):
                self.stopped_early = True
                return CommandResult(tuple(argv), None, "", self.stderr, 1.0, timed_out=True)
            self.time.sleep(0.5)
        said, code = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        return CommandResult(
            tuple(argv), code, *((said, "") if code == 0 else ("", said)), 1.0, timed_out=False
        )

    # In place of the jobs that submitters share

    def now(self) -> float:
        return self.time.now

    def since(self, moment: float, cluster: str) -> Mapping[str, JobRecord]:
        assert moment == self.time.now, "an answer from before the submission"
        self.queries += 1
        ids = self._lists.pop(0) if len(self._lists) > 1 else self._lists[0]
        if ids is None:
            raise QueryFailed("nobody answers")
        if not ids:
            return {}
        first, *twins = ids
        data = {TOKEN_KEY: TOKEN, **({"twins": " ".join(twins)} if twins else {})}
        return {TOKEN: JobRecord(first, "R", data)}

    def _cancel(self, job_ids: Sequence[str], cluster: str = "") -> list[CommandResult]:
        self.cancelled += job_ids
        return []

    # What the test does

    def submit(self, folder: Path) -> Submitted:
        return Submitter(self.client, self.way, self.time.sleep, self.time.clock).hand_over(
            ["sub", "script"], submission(folder), folder / "submit.log"
        )


def submission(folder: Path) -> Submission:
    return Submission(folder / "kickoff.sh", folder / "kickoff.log", TOKEN)


# --- What is accepted, and what is not ---


def test_an_accepted_job_costs_one_command(tmp_path: Path) -> None:
    toy = Scheduler([ACCEPTED])
    assert toy.submit(tmp_path) == Submitted("7", "", TOKEN)
    assert (toy.submitted, toy.queries, toy.time.slept) == (1, 0, [])


def test_a_refused_job_is_not_tried_again(tmp_path: Path) -> None:
    toy = Scheduler([REFUSED])
    with pytest.raises(
        SchedulerPluginError, match=r"^Toy did not accept the job \(.*\): bad queue"
    ):
        toy.submit(tmp_path)
    assert (toy.submitted, toy.queries) == (1, 0)


def test_a_failure_that_passes_is_tried_three_times_in_all(tmp_path: Path) -> None:
    toy = Scheduler([BUSY])
    with pytest.raises(SchedulerPluginError, match=r"did not accept the job in 3 tries .*: busy"):
        toy.submit(tmp_path)
    assert toy.submitted == 3
    # Two answers without the job, and time for it between them, before each new try.
    assert toy.queries == 6
    assert [wait for wait in toy.time.slept if wait >= 2.0] == [2.0, 2.0, 2.0]
    assert toy.way.reports == [
        "What sub printed does not show whether Toy accepted the job, so Toy's list of jobs is "
        "searched for it."
    ]


def test_a_job_that_is_listed_after_an_unclear_answer_is_adopted(tmp_path: Path) -> None:
    toy = Scheduler([BUSY], [["8"]])
    assert toy.submit(tmp_path) == Submitted("8", "", TOKEN)
    assert (toy.submitted, toy.queries) == (1, 1)


def test_one_list_that_lacks_the_job_is_not_enough(tmp_path: Path) -> None:
    toy = Scheduler([BUSY], [[], ["8"]])
    assert toy.submit(tmp_path).job_id == "8"
    assert toy.submitted == 1


def test_a_query_that_fails_between_two_that_lack_the_job_starts_the_count_anew(
    tmp_path: Path,
) -> None:
    toy = Scheduler([BUSY], [[], None, [], ["8"]])
    assert toy.submit(tmp_path).job_id == "8"
    assert (toy.submitted, toy.queries) == (1, 4)


def test_without_any_answer_it_is_not_submitted_again(tmp_path: Path) -> None:
    toy = Scheduler([BUSY], [None])
    assert toy.submit(tmp_path) == Submitted("", "", TOKEN)
    assert toy.submitted == 1
    # For half a minute, more and more slowly.
    assert toy.time.slept == [1.0, 2.0, 4.0, 8.0, 16.0]


def test_a_script_that_has_begun_was_submitted_whatever_the_list_says(tmp_path: Path) -> None:
    (tmp_path / "kickoff.log").touch()
    toy = Scheduler([BUSY])
    assert toy.submit(tmp_path) == Submitted("", "", TOKEN)
    assert toy.submitted == 1


def test_other_files_of_the_job_do_not_count_as_its_beginning(tmp_path: Path) -> None:
    (tmp_path / "kickoff.sh").touch()
    toy = Scheduler([BUSY, ACCEPTED])
    assert toy.submit(tmp_path).job_id == "7"
    assert toy.submitted == 2


def test_of_two_jobs_of_one_test_the_older_stays(tmp_path: Path) -> None:
    """The first command did submit it after all, and the list was slow to say so."""
    toy = Scheduler([BUSY, ("12\n", 0)], [[], [], ["9", "12"]])
    assert toy.submit(tmp_path).job_id == "9"
    assert toy.cancelled == ["12"]


def test_a_second_submission_stands_when_the_list_shows_one_job(tmp_path: Path) -> None:
    toy = Scheduler([BUSY, ("12\n", 0)], [[], [], ["12"]])
    assert toy.submit(tmp_path).job_id == "12"
    assert toy.cancelled == []


def test_a_second_submission_stands_when_nobody_answers(tmp_path: Path) -> None:
    toy = Scheduler([BUSY, ("12\n", 0)], [[], [], None])
    assert toy.submit(tmp_path).job_id == "12"


class Wrong(Toy):
    """An author's mistake: what it says of failures is an error itself."""

    def classify(self, result: CommandResult) -> Failure | None:
        raise KeyError("x")


def test_where_failures_are_not_understood_the_exit_code_decides(tmp_path: Path) -> None:
    toy = Scheduler([ACCEPTED])
    toy.client.dialect = Wrong()
    assert toy.submit(tmp_path) == Submitted("7", "", TOKEN)
    toy = Scheduler([REFUSED], [["8"]])
    toy.client.dialect = Wrong()
    assert toy.submit(tmp_path).job_id == "8"
    assert (toy.submitted, toy.queries) == (1, 1)
    assert "(Wrong.classify() failed with KeyError: 'x')" in toy.way.reports[0]


# --- Waiting ---


def test_a_full_queue_is_waited_for_and_then_the_job_is_submitted(tmp_path: Path) -> None:
    toy = Scheduler([FULL, FULL, ACCEPTED])
    assert toy.submit(tmp_path).job_id == "7"
    # Nothing is unclear about it, so nobody is asked.
    assert (toy.time.slept, toy.queries) == ([30.0, 30.0], 0)
    assert toy.way.reports == [
        "Toy accepts no more jobs at the moment: its queue is full, or a limit on submitted jobs is "
        "reached. The submission is retried for 10 minutes."
    ]


def test_a_queue_that_stays_full_is_waited_for_ten_minutes(tmp_path: Path) -> None:
    toy = Scheduler([FULL])
    with pytest.raises(
        SchedulerPluginError, match=r"after waiting for room in the queue for 10 minutes.*: full"
    ):
        toy.submit(tmp_path)
    assert sum(toy.time.slept) == 600.0


def test_giving_up_while_the_queue_is_full(tmp_path: Path) -> None:
    toy = Scheduler([FULL])
    toy.way.give_up_at = toy.time.now + 45.0
    with pytest.raises(HandoverStopped, match=r"given up while Toy did not accept it \(full\)\."):
        toy.submit(tmp_path)
    assert toy.submitted == 2


def test_giving_up_after_an_unclear_answer_is_certain_that_there_is_no_job(tmp_path: Path) -> None:
    toy = Scheduler([BUSY], [[]])
    toy.way.give_up_at = 0.0
    with pytest.raises(HandoverStopped, match=r"given up while Toy did not accept it \(busy\)\."):
        toy.submit(tmp_path)
    assert (toy.submitted, toy.queries) == (1, 2)


def test_giving_up_before_anybody_answers_leaves_the_job_to_be_found(tmp_path: Path) -> None:
    toy = Scheduler([BUSY], [[], None])
    toy.way.give_up_at = 0.0
    assert toy.submit(tmp_path) == Submitted("", "", TOKEN)
    assert toy.queries == 2


def test_a_command_that_is_silent_is_reported_after_five_seconds(tmp_path: Path) -> None:
    toy = Scheduler([ACCEPTED])
    toy.lasts = 4.5
    toy.submit(tmp_path)
    assert toy.way.reports == []
    toy.lasts = 6.0
    toy.submit(tmp_path)
    assert toy.way.reports == ["sub was started and has not answered yet."]


def test_a_command_that_retries_by_itself_is_reported_as_a_full_queue(tmp_path: Path) -> None:
    toy = Scheduler([ACCEPTED])
    toy.lasts, toy.stderr = 1.0, "retrying"
    toy.submit(tmp_path)
    assert toy.way.reports == [submitting.full_note("Toy")]


@pytest.mark.parametrize(("stderr", "seconds"), [("", 2.0), ("retrying", 0.0)])
def test_giving_up_while_the_command_runs(tmp_path: Path, stderr: str, seconds: float) -> None:
    """One that may be done any moment gets two seconds, one that sleeps gets none."""
    toy = Scheduler([ACCEPTED])
    toy.lasts, toy.stderr = 60.0, stderr
    came = toy.time.now
    toy.way.give_up_at = came + 10.0
    with pytest.raises(HandoverStopped):
        toy.submit(tmp_path)
    assert toy.stopped_early
    # The rest is the search for the job.
    assert toy.time.now - came == pytest.approx(10.0 + seconds + submitting.CONFIRM_PAUSE)


@pytest.fixture
def busy() -> Iterator[Scheduler]:
    """With all places for submit commands taken."""
    toy = Scheduler([ACCEPTED])
    places = toy.client.dialect.SUBMIT_AT_ONCE
    for _ in range(places):
        toy.client.submit_slots.acquire()
    yield toy


def test_a_job_whose_turn_does_not_come_says_so_after_five_seconds(
    busy: Scheduler, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(submitting, "TURN_POLL", 0.01)
    said: list[float] = []
    came = busy.time.now

    class Waiting(Way):
        def report(self, text: str) -> None:
            assert text == submitting.TURN
            said.append(self.time.now - came)

        @property
        def stopped(self) -> bool:
            self.time.sleep(1.0)
            return self.time.now - came > 7.0

    busy.way = Waiting(busy.time)
    with pytest.raises(HandoverStopped, match="other jobs were still ahead of it"):
        busy.submit(tmp_path)
    assert said == [5.0, 6.0, 7.0]
    assert busy.submitted == 0


def test_a_place_is_free_again_after_each_command(tmp_path: Path) -> None:
    toy = Scheduler([ACCEPTED])
    for _ in range(2 * toy.client.dialect.SUBMIT_AT_ONCE):
        toy.submit(tmp_path)
    assert toy.submitted == 2 * toy.client.dialect.SUBMIT_AT_ONCE


# --- The log ---


def test_the_log_begins_with_the_token_and_the_instance(tmp_path: Path) -> None:
    log = tmp_path / "submit.log"
    submitting.begin_log(log, TOKEN, "local:///run/flux")
    assert log.read_text() == f"token: {TOKEN}\ninstance: local:///run/flux\n"
    assert submitting.read_token(log) == (TOKEN, log.stat().st_mtime)
    assert submitting.read_instance(log) == "local:///run/flux"


def test_without_an_instance_there_is_no_line_for_it(tmp_path: Path) -> None:
    log = tmp_path / "submit.log"
    submitting.begin_log(log, TOKEN)
    assert log.read_text() == f"token: {TOKEN}\n"
    with log.open("a") as file:
        file.write("$ sub instance: x\n")
    assert submitting.read_instance(log) == ""


@pytest.mark.parametrize(
    "text", ["", "token: \n", "token: pav-0123\n", f"TOKEN: {TOKEN}\n", f"x\ntoken: {TOKEN}\n"]
)
def test_a_log_without_a_token_is_of_a_job_that_was_not_handed_over(
    tmp_path: Path, text: str
) -> None:
    log = tmp_path / "submit.log"
    log.write_text(text)
    assert submitting.read_token(log) == ("", 0.0)


def test_a_log_that_is_not_there(tmp_path: Path) -> None:
    assert submitting.read_token(tmp_path / "submit.log") == ("", 0.0)
    assert submitting.read_instance(tmp_path / "submit.log") == ""


def test_a_log_that_cannot_be_written_is_no_submission(tmp_path: Path) -> None:
    with pytest.raises(SchedulerPluginError, match=r"not submitted: its log .* cannot be written"):
        submitting.begin_log(tmp_path / "none" / "submit.log", TOKEN)


def test_no_file_stays_open(tmp_path: Path) -> None:
    submitting.begin_log(tmp_path / "first.log", TOKEN)
    before = len(list(Path("/proc/self/fd").iterdir()))
    for number in range(5):
        submitting.begin_log(tmp_path / f"{number}.log", TOKEN)
        submitting.read_token(tmp_path / f"{number}.log")
        submitting.read_instance(tmp_path / f"{number}.log")
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_tokens_are_all_different() -> None:
    assert len({submitting.new_token() for _ in range(100)}) == 100
