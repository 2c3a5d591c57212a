"""The base class of the batch family: no scheduler in disguise, and kind to its authors."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from pavilion.schedulers import (
    BatchJob,
    CommandResult,
    Directive,
    Environment,
    JobState,
    Request,
    SchedulerPluginBatch,
    SchedulerPluginError,
    Submission,
    UnreadableAnswer,
    validate_config,
    word,
)
from pavilion.schedulers.batch import JobRecord
from pavilion.schedulers.batch.dialect import Dialect

TOKEN = "pav-0123456789abcdef"


class Whole(SchedulerPluginBatch):
    """As short as a plugin can be."""

    COMMANDS = ("true",)
    STATES = {"over": JobState.FINISHED}

    def __init__(self) -> None:
        super().__init__("whole", "For tests.")

    def submit_command(self, submission: Submission) -> list[str]:
        return ["true"]

    def parse_submission(self, result: CommandResult) -> str | None:
        return result.stdout

    def jobs_command(self, user: str | None) -> list[str]:
        return ["true"]

    def parse_jobs(self, text: str) -> Iterator[BatchJob]:
        for line in text.splitlines():
            yield BatchJob(*line.split())  # type: ignore[arg-type]

    def cancel_command(self, job_ids: Sequence[str]) -> list[str]:
        return ["true"]

    def _get_alloc_nodes(self, job: Any) -> list[str]:
        return ["here"]


def test_a_plugin_that_is_whole_is_available() -> None:
    assert Whole().available(), Whole().unavailable_reason


@pytest.mark.parametrize(
    "part",
    [
        *("COMMANDS", "STATES", "submit_command", "parse_submission", "jobs_command"),
        *("parse_jobs", "cancel_command", "_get_alloc_nodes"),
    ],
)
def test_a_part_that_is_missing_is_named(part: str) -> None:
    own = {name: value for name, value in vars(Whole).items() if name != part}
    plugin = type("Lacking", (SchedulerPluginBatch,), {**own, "__init__": _init})()
    assert not plugin.available()
    assert re.search(rf"does not (set|define) {part}\b", str(plugin.unavailable_reason))


@pytest.mark.parametrize(
    ("part", "what"),
    [
        (
            "STATES",
            "set STATES, which says what the scheduler's words for the states of jobs mean.",
        ),
        ("jobs_command", "define jobs_command(), which says how jobs are listed."),
    ],
)
def test_what_is_missing_and_where_it_belongs(part: str, what: str) -> None:
    assert str(Whole()._lacks(part)) == (
        f"The scheduler plugin 'whole' (Whole in {__file__}) does not {what}"
    )
    assert str(Toy()._lacks(part)) == f"The scheduler plugin 'Toy' (Toy) does not {what}"


class Toy(Dialect):
    """A dialect alone has no file that is known."""


def test_what_a_scheduler_says_of_itself_by_default() -> None:
    """Nothing: no advice about its failures, and no submissions that go on by themselves."""
    failed = CommandResult(("true",), 1, "", "no", 0.1, timed_out=False)
    assert (Whole().hint(failed), Whole().keeps_trying("no")) == ("", False)
    assert Whole().ping_command() is None


def _init(self: SchedulerPluginBatch) -> None:
    SchedulerPluginBatch.__init__(self, "lacking", "For tests.")


@pytest.mark.parametrize(
    ("command", "parser"),
    [
        ("nodes_command", "parse_nodes"),
        ("history_command", "parse_history"),
        ("details_command", "parse_details"),
    ],
)
def test_half_of_a_pair_is_not_enough(command: str, parser: str) -> None:
    plugin = type("Half", (Whole,), {command: lambda self, *args: ["true"]})()
    assert not plugin.available()
    assert f"does not define {parser}()" in str(plugin.unavailable_reason)


def test_states_may_be_a_method_in_place_of_a_table() -> None:
    def state_of(self: Any, job: Any) -> JobState:
        return JobState.ACTIVE

    assert type("ByMethod", (Whole,), {"STATES": {}, "state_of": state_of})().available()


@pytest.mark.parametrize("text", ["17", "17 over t r e n d and more", "x" * 5])
def test_a_parser_that_fails_in_any_way_makes_an_answer_unreadable(text: str) -> None:
    with pytest.raises(UnreadableAnswer, match=r"Whole\.parse_jobs\(\) failed with TypeError: "):
        Whole().read_jobs("parse_jobs", text)


def test_a_job_of_ours_with_an_id_that_cannot_be_one_makes_an_answer_unreadable() -> None:
    plugin = Whole()
    with pytest.raises(UnreadableAnswer, match=r"'17\.server' does not match JOB_ID, '\[0-9\]\+'"):
        plugin.read_jobs("parse_jobs", f"17.server over {TOKEN}")
    # Other people's jobs are no matter of ours.
    assert [job.job_id for job in plugin.read_jobs("parse_jobs", "17[].server over")] == [
        "17[].server"
    ]


def test_exit_codes_may_be_numbers_and_zero_counts() -> None:
    plugin = Whole()
    assert plugin.record(BatchJob("1", "over", exit_code=0)).data == {"exit_code": "0"}
    assert plugin.record(BatchJob("1", "over", exit_code=None)).data == {}


def _request(**config: Any) -> Request:
    return Request("a", validate_config(config), 1, 1)


def test_a_directive_from_a_key() -> None:
    part = Directive.from_key("-q", "partition", word)
    assert part.keys == ("partition",)
    assert part.value(_request(partition="night")) == "night"
    assert part.value(_request()) is None
    digits = Directive.from_key("-r", "reservation", "[0-9]+")
    assert digits.value(_request(reservation="12")) == "12"
    with pytest.raises(SchedulerPluginError, match=r"schedule\.reservation"):
        digits.value(_request(reservation="x2"))
    own = Directive.from_key("-p", "mysched.priority", word)
    request = _request()._replace(config={"mysched": {"priority": 3}})
    assert own.value(request) == "3"
    assert own.value(_request()) is None


def test_tests_that_differ_in_a_key_of_a_directive_do_not_share_a_job() -> None:
    class Own(Whole):
        DIRECTIVES = (Directive.from_key("-p", "whole.priority", word),)
        USED_KEYS = ("whole.project",)

    def key(**section: str) -> Any:
        return Own().gen_job_share_key({**validate_config({}), "whole": section}, 1, 1)

    same = key(priority="1", project="a")
    assert same == key(priority="1", project="a", other="x")
    assert same != key(priority="2", project="a")
    assert same != key(priority="1", project="b")
    Own.USED_KEYS = ("whole",)  # type: ignore[assignment]
    assert same != key(priority="1", project="a", other="x")
    assert key(priority="1") != key(priority="1", other="x")


def test_answers_are_of_the_place_that_the_kept_variables_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Somewhere(Whole):
        ENVIRONMENT = Environment(drop=["MYSCHED_"], keep=["MYSCHED_SERVER"])

    monkeypatch.setenv("MYSCHED_SERVER", "one")
    first = Somewhere().source()
    assert first == Somewhere().source()
    monkeypatch.setenv("MYSCHED_SERVER", "two")
    assert first != Somewhere().source()


def test_no_value_of_a_kept_variable_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may be a password, and the file with the answers can be read by others."""

    class Somewhere(Whole):
        ENVIRONMENT = Environment(keep=["MYSCHED_KEY"])

    monkeypatch.setenv("MYSCHED_KEY", "secret-\udcff")
    assert "secret" not in Somewhere().source()


def test_a_failed_query_for_details_is_not_repeated_for_each_job(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A hundred stuck jobs may not cost a hundred timeouts in each poll."""

    class Detailed(Whole):
        STATES = {"stuck": JobState.STUCK}

        def details_command(self, job_id: str) -> list[str]:
            return ["details", job_id]

        def parse_details(self, text: str) -> str:
            return text.strip()

    plugin = Detailed()
    answers = [CommandResult(("details",), None, "", "", 60.0, True)]
    asked: list[str] = []

    def run(argv: list[str], timeout: float | None = None) -> CommandResult:
        asked.append(argv[1])
        return answers[0]

    monkeypatch.setattr(plugin._client.querying, "run", run)
    jobs = [JobRecord(str(number), "stuck", {}) for number in range(1, 101)]
    for _ in range(3):
        assert [plugin._stuck.reason(job) for job in jobs] == [""] * 100
    assert asked == ["1"]
    # Some time later: each job once, and not all of them in one poll.
    asked.clear()
    answers[0] = CommandResult(("details",), 0, "no such directory\n", "", 0.1, False)
    for polls in range(1, 6):
        plugin._stuck._again = 0.0
        for _ in range(3):
            known = [plugin._stuck.reason(job) for job in jobs]
        assert known.count("no such directory") == 20 * polls == len(asked)
    plugin._stuck._again = 0.0
    assert {plugin._stuck.reason(job) for job in jobs} == {"no such directory"}
    assert len(asked) == len(set(asked)) == 100
