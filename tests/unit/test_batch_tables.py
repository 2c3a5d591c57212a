"""The tables of the batch family: failures, states, header lines, schedule keys; and records."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pavilion.errors import SchedulerPluginError
from pavilion.schedulers import (
    BatchJob,
    CommandResult,
    Directive,
    Failure,
    JobState,
    Request,
    SchedulerPluginBatch,
    UnreadableAnswer,
    validate_config,
)
from pavilion.schedulers.batch.dialect import Dialect, by_identity, job_order, with_token
from pavilion.schedulers.batch.directives import (
    NAME_LIMIT,
    checked,
    number,
    quoted,
    render,
    safe_job_name,
    word,
)
from pavilion.schedulers.batch.failures import failures, was_started
from pavilion.schedulers.batch.history import LATE, PAUSE, Ended, History
from pavilion.schedulers.batch.notes import job_note
from pavilion.schedulers.batch.record import (
    BatchRecord,
    JobRecordError,
    file_word,
    make_record,
    read_record,
)
from pavilion.schedulers.batch.supported import unused_key, with_numbers
from pavilion.schedulers.batch.words import find_token

TOKEN = "pav-0123456789abcdef"
OTHER = "pav-fedcba9876543210"
# Of the jobs 17 and 18 in the tests of the accounting.
T17, T18 = "pav-0000000000000017", "pav-0000000000000018"


def result(
    stdout: str = "",
    stderr: str = "",
    code: int | None = 0,
    argv: Sequence[str] = ("sub", "x"),
    *,
    duration: float = 0.1,
    timed_out: bool = False,
) -> CommandResult:
    return CommandResult(tuple(argv), code, stdout, stderr, duration, timed_out)


class Toy(Dialect):
    """A scheduler that does not exist."""

    TITLE = "Toy"
    COMMANDS = ("sub", "list", "kill")
    DIRECTIVE_PREFIX = "#TOY"
    DIRECTIVES = (
        Directive(
            "--queue", ("partition",), lambda it: quoted("partition", it.config["partition"])
        ),
        Directive("--hold", (), lambda it: ""),
        Directive("--size", ("nodes", "min_nodes"), lambda it: str(it.node_min), ("size",)),
        Directive("--name", (), lambda it: safe_job_name(it.job_name)),
    )
    FAILURES = {
        Failure.UNKNOWN_JOB: ["no such job"],
        Failure.DENIED: ["Not Yours"],
        Failure.TRANSIENT: [re.compile(r"^busy", re.MULTILINE)],
        Failure.PERMANENT: ["bad queue", ("sub", 7)],
        Failure.QUEUE_FULL: [("sub", 8)],
    }
    STATES = {
        "Q": JobState.WAITING,
        "H": JobState.STUCK,
        "R": JobState.ACTIVE,
        "E": JobState.ENDING,
        "F": JobState.FINISHED,
        "X": JobState.CANCELLED,
    }
    WORDS = {"Q": "queued", "depend": "another job must end first"}

    def history_command(self, job_ids: Sequence[str]) -> list[str] | None:
        return ["history", *job_ids]

    def parse_history(self, text: str) -> Iterable[BatchJob]:
        if not text.endswith("end\n"):
            raise UnreadableAnswer("its end is missing")
        return [BatchJob(*line.split(",")) for line in text.splitlines()[:-1]]


class ToyPlugin(Toy, SchedulerPluginBatch):
    USED_KEYS = ("exclude_nodes",)

    def __init__(self) -> None:
        super().__init__("toy", "A toy.")


# --- Failures ---


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (result("17\n"), None),
        (result(stderr="NO SUCH JOB: 7", code=1), Failure.UNKNOWN_JOB),
        (result("not yours\n", code=1), Failure.DENIED),
        (result(stderr="x\nbusy, bad queue", code=1), Failure.TRANSIENT),
        (result(stderr="bad queue", code=1), Failure.PERMANENT),
        (result(code=7), Failure.PERMANENT),
        (result(code=8), Failure.QUEUE_FULL),
        (result(code=8, argv=("/usr/bin/sub",)), Failure.QUEUE_FULL),
        # The same code of another command says nothing, and a message goes before a code.
        (result(code=8, argv=("list",)), Failure.TRANSIENT),
        (result(stderr="no such job", code=8), Failure.UNKNOWN_JOB),
        (result(stderr="anything else", code=1), Failure.TRANSIENT),
        (result(code=-9), Failure.TRANSIENT),
        (result("bad queue", code=0), None),
        (result(code=None, timed_out=True, stderr="bad queue"), Failure.TRANSIENT),
        # It printed too much, and was stopped: it may have done its work.
        (result(code=None, stderr="too much"), Failure.TRANSIENT),
        (result(code=None, stderr="no such command", duration=0.0), Failure.PERMANENT),
    ],
)
def test_what_failures_mean(answer: CommandResult, kind: Failure | None) -> None:
    assert Toy().classify(answer) is kind


def test_a_command_that_was_not_started_did_nothing() -> None:
    assert not was_started(result(code=None, duration=0.0))
    assert was_started(result(code=None, duration=60.0, timed_out=True))
    assert was_started(result(code=1))


@pytest.mark.parametrize("bad", ["text", [5], [("sub", "7")], [b"x"]])
def test_a_table_of_failures_that_is_none(bad: Any) -> None:
    with pytest.raises(TypeError, match="FAILURES"):
        failures({Failure.DENIED: bad})


def test_what_a_command_said_is_one_line() -> None:
    said = result("on stdout", "first   line\n\nsecond\nfirst line\n", 1)
    assert Toy().summary(said) == "first line; second"
    assert Toy().summary(result("on stdout\n", code=1)) == "on stdout"
    assert len(Toy().summary(result(stderr="x" * 5000, code=1))) == 303


# --- Jobs ---


def job(job_id: str, state: str = "R", token: str = "", **more: Any) -> BatchJob:
    return BatchJob(job_id, state, token, **more)


def records(*jobs: BatchJob) -> dict[str, Any]:
    toy = Toy()
    return by_identity(map(toy.record, jobs), toy.token_of, toy.is_over)


def test_jobs_are_known_by_their_token() -> None:
    found = records(job("9", token=TOKEN), job("5"), job("7", token=OTHER))
    assert {key: record.job_id for key, record in found.items()} == {
        TOKEN: "9",
        "5": "5",
        OTHER: "7",
    }


def test_of_two_jobs_with_a_token_the_older_one_counts() -> None:
    found = records(job("10", token=TOKEN), job("9", token=TOKEN), job("8", "F", OTHER))
    assert found[TOKEN].job_id == "9" and with_token(found, TOKEN) == ["9", "10"]
    # One that has ended needs no cancelling.
    found = records(job("9", token=TOKEN), job("10", "X", TOKEN))
    assert with_token(found, TOKEN) == ["9"] and with_token(found, OTHER) == []


def test_a_job_that_is_listed_twice_is_not_its_own_twin() -> None:
    """As where an option of the site has a line for each task: cancelling the twin would end it."""
    found = records(job("9", token=TOKEN), job("9", token=TOKEN), job("10", token=TOKEN))
    assert found[TOKEN].data.get("twins") == "10"
    assert "twins" not in records(job("9", token=TOKEN), job("9", token=TOKEN))[TOKEN].data


def test_a_job_of_another_script_is_no_twin_although_it_has_our_token() -> None:
    """A test may submit jobs with its environment, and the token may be in that."""

    def of(job_id: str, **data: str) -> BatchJob:
        return BatchJob(job_id, "R", TOKEN, data=data)

    found = records(of("9", script="/a/kickoff.sh"), of("10"), of("11", script="/b/x.sh"))
    assert "twins" not in found[TOKEN].data
    assert set(found) == {TOKEN, "10", "11"}
    found = records(of("9", script="/a/kickoff.sh"), of("10", script="/a/kickoff.sh"))
    assert found[TOKEN].data["twins"] == "10"


@given(
    st.lists(
        st.tuples(
            st.integers(1, 30).map(str),
            st.sampled_from("QHREFX"),
            st.sampled_from(["", TOKEN, OTHER]),
        ),
        unique_by=lambda row: row[0],
    )
)
def test_no_job_is_lost_by_that(rows: list[tuple[str, str, str]]) -> None:
    found = records(*(job(*row) for row in rows))
    listed = [job_id for key in found for job_id in with_token(found, key)]
    assert len(listed) == len(set(listed))
    alive = {row[0] for row in rows if not Toy.STATES[row[1]].is_over}
    assert alive <= set(listed) <= {row[0] for row in rows}
    for key, record in found.items():
        assert key in (record.job_id, Toy().token_of(record))


def test_a_job_is_stored_and_read() -> None:
    toy = Toy()
    record = toy.record(
        job("7", "F", TOKEN, reason="depend", exit_code="3", nodes=["a", "b"], data={"x": "1"})
    )
    assert (toy.token_of(record), toy.nodes_of(record), toy.is_over(record)) == (
        TOKEN,
        ["a", "b"],
        True,
    )
    assert record.data["x"] == "1"
    assert toy.nodes_of(toy.record(job("7"))) == [] and toy.token_of(toy.record(job("7"))) == ""


def test_a_state_that_is_not_known_is_not_an_end() -> None:
    record = Toy().record(job("7", "?"))
    assert Toy().state_of(record) is JobState.ACTIVE and not Toy().is_over(record)
    assert "a state that is not known here (?)" in job_note(Toy(), record)


@pytest.mark.parametrize(
    ("listed", "note"),
    [
        (
            job("7", "Q", reason="depend"),
            "Job 7 waits (queued): depend: another job must end first.",
        ),
        (job("7", "Q"), "Job 7 waits (queued)."),
        (job("7", "R", nodes=["n2", "n1"]), "Job 7 is active (R) on n[1-2]."),
        (job("7", "E"), "Job 7 is being ended (E)."),
        (job("7", "F", exit_code="3", reason="limit."), "Job 7 has ended (F), exit code 3: limit."),
        (job("7", "F", exit_code="0", nodes=["n1"]), "Job 7 has ended (F), exit code 0."),
        (job("7", "X"), "Job 7 was cancelled (X)."),
        (
            job("7", "H", reason="no such\ndirectory"),
            "Job 7 is stuck (H): no such directory. It stays in the queue until somebody "
            "intervenes, and can be cancelled.",
        ),
    ],
)
def test_notes(listed: BatchJob, note: str) -> None:
    assert job_note(Toy(), Toy().record(listed)) == note


def test_tokens_in_names() -> None:
    assert find_token(f"x-{TOKEN}") == TOKEN and find_token("x-pav-12") == ""
    # A user's part of a name comes first.
    assert find_token(f"{OTHER}-{TOKEN}") == TOKEN


# --- Header lines ---


def request(**config: Any) -> Request:
    return Request("a b", {"partition": None, **config}, 2, 2)


def test_lines_are_those_of_the_table() -> None:
    lines = render("#TOY", Toy.DIRECTIVES, request(partition="main"))
    assert lines == ['#TOY --queue "main"', "#TOY --hold", "#TOY --size 2", "#TOY --name a__b"]
    lines = render("#TOY", Toy.DIRECTIVES, request(), given=["size"])
    assert lines == ["#TOY --hold", "#TOY --name a__b"]


def test_more_nodes_than_the_job_may_have() -> None:
    wrong = Request("x", {}, 1, 1, include_nodes=("n1", "n2"))
    with pytest.raises(SchedulerPluginError, match=r"at most 1 nodes cannot have all 2 .*n\[1-2\]"):
        render("#TOY", (), wrong)


@given(st.text())
def test_no_value_ends_its_line_or_its_quotes(text: str) -> None:
    for make in (checked, quoted, word):
        try:
            made = make("partition", text)
        except SchedulerPluginError as exc:
            assert "schedule.partition" in str(exc) and exc.data == {"key": "partition"}
            continue
        if made is not None:
            inner = made[1:-1] if make is quoted else made
            assert inner == text.strip() and inner.isprintable()
            assert not set(inner) & set("\"'\\")
            assert make is not word or not set(inner) & set(" \t")


@given(st.text(), st.sampled_from(["", TOKEN]))
def test_names_are_harmless(name: str, token: str) -> None:
    made = safe_job_name(name, token)
    assert re.fullmatch(r"[A-Za-z0-9_.,:;+@=-]+", made) and not made.startswith("-")
    assert len(made) <= NAME_LIMIT and made.endswith(token)
    assert not token or find_token(made) == token


def test_numbers() -> None:
    assert [number("core_spec", value) for value in (None, " ", 3, " 04 ")] == [
        None,
        None,
        "3",
        "04",
    ]
    for bad in ("-1", "1.5", "x", "\u0661"):
        with pytest.raises(SchedulerPluginError, match=r"schedule\.core_spec: it must be a number"):
            number("core_spec", bad)


# --- Schedule keys ---


@pytest.mark.parametrize(
    ("schedule", "key"),
    [
        ({}, None),
        ({"partition": "main", "nodes": "2", "min_nodes": "1"}, None),
        ({"exclude_nodes": "n1"}, None),
        ({"tasks_per_node": "4", "share_allocation": "false", "wrapper": "time"}, None),
        ({"chunking": {"node_selection": "random"}}, None),
        ({"qos": "high"}, "qos"),
        ({"account": "a"}, "account"),
        ({"reservation": "r"}, "reservation"),
        ({"core_spec": "1"}, "core_spec"),
        ({"time_limit": "2"}, "time_limit"),
        ({"include_nodes": "n1"}, "include_nodes"),
        ({"across_nodes": "n1"}, "across_nodes"),
        ({"chunking": {"size": "2"}}, "chunking"),
    ],
)
def test_a_key_without_effect_is_an_error(schedule: dict[str, Any], key: str | None) -> None:
    problem = unused_key(ToyPlugin(), validate_config(schedule))
    if key is None:
        assert problem is None
    else:
        assert problem is not None and problem.data == {"key": f"schedule.{key}"}
        assert f"schedule.{key} is set" in str(problem) and "'toy'" in str(problem)
        assert "partition" in str(problem).partition("These keys are used")[2]


def test_a_plugin_that_can_request_nodes_may_choose_them() -> None:
    class Chooses(ToyPlugin):
        USED_KEYS = ("include_nodes",)

    schedule = validate_config({"chunking": {"size": "2"}, "across_nodes": "n[1-4]"})
    assert unused_key(Chooses(), schedule) is None


def test_shares_of_nodes_that_are_only_counted() -> None:
    config = validate_config({"nodes": "all", "min_nodes": "7%"})
    made = with_numbers(config, 100)
    assert (made["nodes"], made["min_nodes"], config["nodes"]) == (100, 7, 1.0)
    plain = validate_config({"nodes": "3"})
    assert with_numbers(plain, 100) is plain


# --- Records ---


def is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()


def test_a_record_is_read_as_it_was_written() -> None:
    info = make_record("here", "17", "east", TOKEN, "/x/kickoff", 5.0, "name")
    assert info["id"] == "17;east"
    record = read_record(info, is_number, "Toy")
    assert record[:3] == ("17", "east", TOKEN) and record[4:] == (5.0, "/x/kickoff", "name", "")
    info = make_record("here", "17", "", TOKEN, "/x", instance="local:///run/a b")
    assert info["id"] == "17" and read_record(info, is_number, "Toy").instance == "local:///run/a b"
    assert (record.key, record.name) == (TOKEN, "job 17")


@pytest.mark.parametrize(("cluster", "word"), [("", ""), ("east", "east"), ("a.b-c_1", "a.b-c_1")])
def test_names_of_clusters_in_names_of_files(cluster: str, word: str) -> None:
    assert file_word(cluster) == word
    # An address becomes a digest: it may contain any character, and be long.
    address = file_word(f"local:///run/{cluster}")
    assert re.fullmatch("[0-9a-f]{16}", address) and address != file_word("local:///run/other")


def test_ids_of_twenty_digits_are_sorted_by_their_age() -> None:
    ids = ["999999999999999999", "1000000000000000001", "1000000000000000010", "9"]
    assert sorted(ids, key=job_order) == [ids[3], *ids[:3]]


def test_ids_without_a_number_have_an_order_too() -> None:
    assert sorted(["2", "f1B", "[]", "1"], key=job_order) == ["[]", "f1B", "1", "2"]


def test_a_record_of_a_token_alone() -> None:
    record = read_record(make_record("here", "", "east", TOKEN, "/x"), is_number, "Toy")
    assert (record.job_id, record.cluster, record.key) == ("", "east", TOKEN)
    assert record.name == f"a job with the token {TOKEN}"


@pytest.mark.parametrize(
    "bad",
    [
        {},
        {"id": ""},
        {"id": "17 -x"},
        {"id": "17", "when": "-1"},
        {"id": "17", "when": "x"},
        {"id": "17", "when": "nan"},
        {"id": "17", "cluster": "a b"},
        {"id": "17;a b"},
    ],
)
def test_a_record_that_makes_no_sense(bad: dict[str, str]) -> None:
    with pytest.raises(JobRecordError, match="The record of a Toy job is damaged"):
        read_record(bad, is_number, "Toy")


# --- Accounting ---


LATE_RECORD = Ended(None, is_late=True, note="Its accounting has no record of it yet.")


class Books:
    """A history with scripted answers, and its own clock."""

    def __init__(self, *answers: CommandResult) -> None:
        self.time = 0.0
        self.argvs: list[Sequence[str]] = []
        self._answers = list(answers)
        self.history = History(Toy(), self._run, lambda: self.time)

    def _run(self, argv: Sequence[str], timeout: float) -> CommandResult:
        self.argvs.append(argv)
        return self._answers.pop(0)

    def look_up(self, *ids: str) -> Ended:
        first, *others = (BatchRecord(job_id, "", f"pav-{job_id:0>16}", "0", 0.0) for job_id in ids)
        return self.history.look_up(first, lambda: others)


def test_many_ends_for_one_command() -> None:
    books = Books(result(f"17,F,{T17}\n18,X,{T18}\nend\n"))
    assert books.look_up("17", "18").job == Toy().record(job("17", "F", T17))
    found = books.look_up("18").job
    assert found is not None and found.state == "X"
    assert books.argvs == [["history", "17", "18"]]


def test_accounting_that_takes_one_id_at_a_time() -> None:
    class OneByOne(Toy):
        def history_command(self, job_ids: Sequence[str]) -> list[str] | None:
            return ["history", *job_ids] if len(job_ids) == 1 else None

    books = Books(result(f"17,F,{T17}\nend\n"))
    books.history = History(OneByOne(), books._run, lambda: books.time)
    assert books.look_up("17", "18").job is not None
    assert books.argvs == [["history", "17"]]


def test_without_accounting_nothing_is_run() -> None:
    class Forgetful(Toy):
        def history_command(self, job_ids: Sequence[str]) -> list[str] | None:
            return None

    books = Books()
    books.history = History(Forgetful(), books._run, lambda: books.time)
    assert books.look_up("17", "18") == Ended(None) and books.argvs == []


def test_a_job_that_is_recorded_late() -> None:
    books = Books(result("end\n"), result(f"17,F,{T17}\nend\n"))
    assert books.look_up("17") == LATE_RECORD
    books.time = PAUSE / 2
    assert books.look_up("17") == LATE_RECORD and len(books.argvs) == 1
    books.time = PAUSE
    assert books.look_up("17").job is not None


def test_a_job_that_is_not_recorded_at_all() -> None:
    books = Books(*[result("end\n")] * 20)
    while books.time < LATE:
        assert books.look_up("17").is_late
        books.time += PAUSE
    ended = books.look_up("17")
    assert (ended.job, ended.is_late) == (None, False) and "does not know the job" in ended.note
    # And it is not queried for ever.
    for _ in range(50):
        books.time += PAUSE
        books.look_up("17")
    assert len(books.argvs) <= 2 * LATE / PAUSE + 1


def test_a_job_of_somebody_else_with_that_id() -> None:
    books = Books(result(f"17,F,{OTHER}\nend\n"))
    assert books.look_up("17") == LATE_RECORD


def test_an_older_job_without_a_token_is_not_taken_for_ours() -> None:
    """The scheduler's counter began anew, say; our job's record is not written yet."""
    older = "17,F,\n"
    books = Books(result(f"{older}end\n"), result(f"{older}17,X,{T17}\n{older}end\n"))
    assert books.look_up("17") == LATE_RECORD
    books.time = PAUSE
    found = books.look_up("17").job
    assert found is not None and found.state == "X"


def test_a_job_whose_token_was_replaced_is_believed_in_the_end() -> None:
    books = Books(*[result("17,F,\nend\n")] * 20)
    while books.time < LATE:
        assert books.look_up("17").is_late
        books.time += PAUSE
    found = books.look_up("17").job
    assert found is not None and found.state == "F"


def test_two_of_our_jobs_that_had_the_same_id() -> None:
    books = Books(result(f"17,F,{T17}\n17,X,{T18}\nend\n"))
    first, second = (BatchRecord("17", "", key, "0", 0.0) for key in (T17, T18))
    found = [
        books.history.look_up(record, lambda: [first, second]).job for record in (first, second)
    ]
    assert [job and job.state for job in found] == ["F", "X"]
    assert len(books.argvs) == 1


def test_a_process_that_just_began_need_not_wait_for_a_record_that_is_not_coming() -> None:
    """Each call of 'status' is a process of its own, and the job has been gone for an hour."""
    books = Books(result("end\n"), result(f"18,F,{T18}\nend\n"))
    first, second = (BatchRecord(key[-2:], "", key, "0", 0.0) for key in (T17, T18))
    ended = books.history.look_up(first, list, 3600.0)
    assert not ended.is_late and "does not know the job" in ended.note
    # Of another one nothing was queried yet, so nothing is known.
    late = books.history.look_up(second, list, 3600.0)
    assert late.is_late and "has not been queried about it yet" in late.note
    books.time += PAUSE
    assert books.history.look_up(second, list, 3600.0).job is not None


def test_a_job_that_is_looked_up_again_after_a_long_time() -> None:
    books = Books(result("end\n"), result("end\n"))
    assert books.look_up("17").is_late
    books.time = 3 * LATE
    assert "does not know the job" in books.look_up("17").note


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (result(f"17,F,{T17}\n"), "its end is missing"),
        (result("", "no database", 1), "its end is missing"),
        (result("end\n", "no database", 1), "no database"),
    ],
)
def test_accounting_that_does_not_answer(answer: CommandResult, said: str) -> None:
    books = Books(answer, answer)
    assert books.look_up("17").is_late
    books.time = LATE
    assert said in books.look_up("17").note


def test_without_an_id_nothing_is_looked_up() -> None:
    books = Books()
    nameless = BatchRecord("", "", TOKEN, "0", 0.0)
    assert books.history.look_up(nameless, list) == Ended(None)


# --- Lines of the user's own options ---


def test_lists_and_options_with_an_equals_sign() -> None:
    table = (
        Directive("--name=", (), lambda to: to.job_name),
        Directive("--both", (), lambda to: ["1", "2"]),
        Directive("", (), lambda to: []),
        Directive.own_lines("toy.extra", r"--(dry-run|help)\b"),
    )
    request = Request("a", {"toy": {"extra": [" -x 1", "--helpful"]}}, 1, 1)
    assert render("#T", table, request) == [
        *("#T --name=a", "#T --both 1", "#T --both 2", "#T -x 1", "#T --helpful")
    ]
    for line in ("--dry-run", "--help=x", "-a\nrm", "-a\x1b[m"):
        bad = Request("a", {"toy": {"extra": [line]}}, 1, 1)
        with pytest.raises(SchedulerPluginError, match=r"schedule\.toy\.extra"):
            render("#T", table, bad)
