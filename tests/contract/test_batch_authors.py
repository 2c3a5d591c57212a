"""Mistakes that authors of batch plugins make: each is named, and costs nobody a job."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from fakes import FakeHost, active

from pavilion.jobs import JobInfo
from pavilion.schedulers import (
    BatchJob,
    CommandResult,
    Directive,
    Environment,
    Failure,
    JobState,
    KickoffScriptHeader,
    SchedulerPluginBatch,
    Submission,
    UnreadableAnswer,
    find_token,
    word,
)
from pavilion.schedulers.batch import client, history, submitting
from pavilion.schedulers.lifecycle.identity import load_identity, save_identity
from pavilion.schedulers.lifecycle.job_table import JobTable
from polling import until

# A scheduler of three commands that runs nothing: each job is a line in a file.
_SUB = """#!/bin/bash
echo sub >> "$SPOOL/calls"
id=$((100 + $(wc -l < "$SPOOL/jobs")))
echo "$id Q $1" >> "$SPOOL/jobs"
echo "Job <$id> is submitted."
"""
_LIST = """#!/bin/bash
cat "$SPOOL/jobs"; echo END
"""
_DEL = """#!/bin/bash
echo "del $*" >> "$SPOOL/calls"
for id; do sed -i "s/^$id Q /$id X /" "$SPOOL/jobs"; done
"""


_HIST = """#!/bin/bash
echo "hist $*" >> "$SPOOL/calls"
cat "$SPOOL/ended"
"""


class Right(SchedulerPluginBatch):
    """A plugin without mistakes."""

    COMMANDS: Any = ("q-sub", "q-list", "q-del")
    STATES: Any = {"Q": JobState.WAITING, "X": JobState.CANCELLED}
    JOB_TABLE_AGE = 0.0

    def __init__(self) -> None:
        super().__init__("right", "For tests.")

    def submit_command(self, submission: Submission) -> Any:
        return ["q-sub", submission.token, os.fspath(submission.script)]

    def parse_submission(self, result: CommandResult) -> Any:
        return result.stdout.split("<")[1].split(">")[0]

    def jobs_command(self, user: str | None) -> list[str]:
        return ["q-list"]

    def parse_jobs(self, text: str) -> Iterator[BatchJob]:
        *lines, last = text.splitlines()
        if last != "END":
            raise UnreadableAnswer("it is cut off")
        for line in lines:
            job_id, state, comment = line.split(" ", 2)
            yield BatchJob(job_id, state, find_token(comment))

    def cancel_command(self, job_ids: Sequence[str]) -> Any:
        return ["q-del", *job_ids]

    def _get_alloc_nodes(self, job: Any) -> list[str]:
        return ["here"]


class Bench:
    """The scheduler, and a host."""

    def __init__(self, directory: Path) -> None:
        self.host = FakeHost(directory)
        self.spool = directory / "spool"
        self.spool.mkdir()
        for name in ("calls", "jobs"):
            (self.spool / name).touch()

    def plugin(self, **parts: Any) -> SchedulerPluginBatch:
        """A plugin with these parts in place of the right ones."""
        made: SchedulerPluginBatch = type("Wrong", (Right,), parts)()
        return made

    def start(self, plugin: SchedulerPluginBatch, **schedule: Any) -> tuple[Any, str]:
        """Start a test; it, and the error, on one line."""
        test = self.host.test(schedule, scheduler=plugin.name)
        errors = plugin.schedule_tests(self.host.pav_cfg, [test])
        return test, " ".join(" ".join(error.pformat() for error in errors).split())

    def calls(self) -> list[str]:
        return (self.spool / "calls").read_text().splitlines()


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    made = Bench(tmp_path / "host")
    programs = tmp_path / "bin"
    programs.mkdir()
    scripts = {"q-sub": _SUB, "q-list": _LIST, "q-del": _DEL, "q-hist": _HIST}
    for name, text in scripts.items():
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.setenv("SPOOL", str(made.spool))
    monkeypatch.setattr(submitting, "CONFIRM_PAUSE", 0.01)
    monkeypatch.setattr(client, "LOCK_WAIT", 1.0)
    return made


def test_without_a_mistake_it_works(bench: Bench) -> None:
    plugin = bench.plugin()
    assert plugin.available(), plugin.unavailable_reason
    test, error = bench.start(plugin)
    assert error == "" and bench.calls() == ["sub"]
    assert plugin.job_status(bench.host.pav_cfg, test).state == "SCHEDULED"
    assert plugin.cancel(load_identity(test.job)) is None  # type: ignore[arg-type]
    assert plugin.job_status(bench.host.pav_cfg, test).state == "SCHED_CANCELLED"


def test_without_a_list_of_nodes_they_are_counted(bench: Bench) -> None:
    """A share of the nodes is one of those that the section says there are."""
    nodes = Directive("--nodes", ("nodes", "min_nodes"), lambda it: f"{it.node_min}-{it.node_max}")
    plugin = bench.plugin(DIRECTIVE_PREFIX="#Q", DIRECTIVES=(nodes,))
    with active(plugin):
        machine = {"node_count": "40", "cpus": "16"}
        test, error = bench.start(plugin, nodes="50%", min_nodes="10%", cluster_info=machine)
        assert error == ""
        assert "\n#Q --nodes 4-20\n" in test.job.kickoff_path.read_text()
        variables = plugin.get_initial_vars(test.config["schedule"])
        assert [variables[name] for name in ("nodes", "min_cpus")] == ["40", "16"]
        assert not bench.plugin()._has_inventory()


class Remembering(Right):
    """With an accounting, which is a file."""

    STATES: Any = {**Right.STATES, "F": JobState.FINISHED}
    JOB_END_GRACE = 0.0

    def history_command(self, job_ids: Sequence[str]) -> list[str] | None:
        return ["q-hist", *job_ids]

    def parse_history(self, text: str) -> list[BatchJob]:
        return [BatchJob(*line.split()) for line in text.splitlines()]


@pytest.fixture
def forgetful(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """The scheduler's list lacks a job: it is gone, however new it is."""
    for name in ("grace", "absence_gap"):
        monkeypatch.setitem(JobTable.__init__.__kwdefaults__, name, 0.0)
    (bench.spool / "ended").touch()
    return bench


def test_a_job_that_left_the_list_has_not_ended_before_the_accounting_says_how(
    forgetful: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some schedulers record the end of a job seconds after they forget it."""
    monkeypatch.setattr(history, "PAUSE", 0.0)
    plugin = Remembering()
    test, error = forgetful.start(plugin)
    assert error == ""
    (forgetful.spool / "jobs").write_text("")

    def status() -> Any:
        return plugin.job_status(forgetful.host.pav_cfg, test)

    late = until(lambda: [it for it in [status()] if "accounting" in it.note], "looked up")[0]
    assert late.state == "SCHEDULED"
    assert late.note.endswith("Its accounting has no record of it yet.")
    assert not test.complete
    info = load_identity(test.job)
    assert info is not None
    (forgetful.spool / "ended").write_text(f"{info['id']} F {info['token']}\n")
    ended = until(lambda: [it for it in [status()] if it.state != "SCHEDULED"], "recorded")[0]
    assert ended.state == "SCHED_ERROR"
    assert ended.note.startswith("Job 100 has ended (F). (By right's accounting.)")


def test_the_ends_of_many_jobs_cost_one_command(forgetful: Bench) -> None:
    plugin = Remembering()
    tests = [forgetful.start(plugin)[0] for _ in range(5)]
    for test in tests:
        assert plugin.job_status(forgetful.host.pav_cfg, test).state == "SCHEDULED"
    records = [load_identity(test.job) for test in tests]
    ended = "".join(f"{record['id']} F {record['token']}\n" for record in records if record)
    (forgetful.spool / "ended").write_text(ended)
    (forgetful.spool / "jobs").write_text("")

    def states() -> set[str]:
        pav_cfg = forgetful.host.pav_cfg
        return {plugin.job_status(pav_cfg, test).state for test in tests}

    until(lambda: states() == {"SCHED_ERROR"}, "all have ended")
    asked = [sorted(call.split()) for call in forgetful.calls() if call.startswith("hist")]
    assert asked == [["100", "101", "102", "103", "104", "hist"]]


def test_a_job_that_is_not_listed_yet_has_not_ended(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A busy scheduler lists a job seconds after it accepted it; in any process."""
    monkeypatch.setitem(JobTable.__init__.__kwdefaults__, "absence_gap", 0.0)
    test, error = bench.start(bench.plugin())
    assert error == ""
    (bench.spool / "jobs").write_text("")
    for plugin in (bench.plugin(), bench.plugin()):
        for _ in range(3):
            status = plugin.job_status(bench.host.pav_cfg, test)
            assert status.state == "SCHEDULED"
            assert status.note.endswith("the scheduler does not list it yet.")
    assert not test.complete


@pytest.mark.parametrize(("whose", "cancels"), [(os.getuid(), ["del 101"]), (12345, [])])
def test_a_second_job_of_a_test_is_cancelled_by_its_user(
    bench: Bench, whose: int, cancels: list[str]
) -> None:
    """Anybody may look at a test, but only its own user may cancel jobs of it."""
    test, error = bench.start(bench.plugin())
    assert error == ""
    info = load_identity(test.job)
    assert info is not None
    save_identity(bench.plugin(), test.job, JobInfo({**info, "user": str(whose)}))
    jobs = bench.spool / "jobs"
    jobs.write_text(jobs.read_text() + jobs.read_text().replace("100 Q", "101 Q"))
    assert bench.plugin().job_status(bench.host.pav_cfg, test).state == "SCHEDULED"
    assert bench.calls() == ["sub", *cancels]


class OwnHeader(KickoffScriptHeader):
    def _kickoff_lines(self) -> list[str]:
        return [f"#MINE {self._sched_vars['min_cpus']}"]


def test_a_header_of_ones_own(bench: Bench) -> None:
    """In place of a table of directives."""
    plugin = bench.plugin(KICKOFF_SCRIPT_HEADER_CLASS=OwnHeader)
    with active(plugin):
        test, error = bench.start(plugin, cluster_info={"node_count": "40", "cpus": "16"})
    assert error == ""
    assert "\n#MINE 16\n" in test.job.kickoff_path.read_text()


# --- Tables ---


def _key(*keys: Any) -> Directive:
    return Directive("--x", *keys, lambda request: "1")


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ({"COMMANDS": "q-sub"}, "COMMANDS must be a list of strings, not 'q-sub'."),
        ({"USED_KEYS": "nodes"}, "USED_KEYS must be a list of strings, not 'nodes'."),
        ({"USED_KEYS": ["node"]}, "USED_KEYS name 'node', which is not a key of the schedule"),
        ({"ENVIRONMENT": {"drop": ["Q_"]}}, "ENVIRONMENT must be an Environment, not {"),
        ({"ENVIRONMENT": Environment("Q_")}, "drop of ENVIRONMENT must be a list of names"),
        ({"ENVIRONMENT": Environment(keep=[""])}, "keep of ENVIRONMENT must be a list of names"),
        ({"STATES": ["Q"]}, "STATES must be a dictionary, not ['Q']."),
        ({"STATES": {"Q": "SCHEDULED"}}, "STATES['Q'] must be one of JobState.WAITING, "),
        ({"FAILURES": [Failure.DENIED]}, "FAILURES must be a dictionary, not ["),
        ({"FAILURES": {"DENIED": ["no"]}}, "The keys of FAILURES must be Failures, as "),
        ({"FAILURES": {Failure.DENIED: "no"}}, "must be a list of signs, not 'no'."),
        ({"FAILURES": {Failure.DENIED: 7}}, "must be a list of signs, not 7."),
        ({"FAILURES": {Failure.DENIED: ("q-sub", 7)}}, "has 7; expected a string"),
        ({"JOB_ID": "[0-9"}, "JOB_ID must be a regular expression, not '[0-9'"),
        ({"CANCEL_BATCH": 0}, "CANCEL_BATCH must be a whole number, at least 1, not 0."),
        ({"QUERY_TIMEOUT": "60"}, "QUERY_TIMEOUT must be a number of seconds, at least"),
        ({"DIRECTIVES": _key(("nodes",))}, "DIRECTIVES must be a list of Directives, not"),
        ({"DIRECTIVES": ["--x"]}, "DIRECTIVES has '--x', which is not a Directive."),
        ({"DIRECTIVES": [_key("nodes")]}, "must be a tuple of strings, not 'nodes'."),
        ({"DIRECTIVES": [_key(("nodse",))]}, "name 'nodse', which is not a key of the schedule "),
        ({"DIRECTIVES": [_key(("nodse",))]}, "Did you mean 'nodes'?"),
        ({"DIRECTIVE_PREFIX": ""}, "DIRECTIVE_PREFIX must be a string that begins with '#'"),
        ({"DIRECTIVE_PREFIX": "Q "}, "DIRECTIVE_PREFIX must be a string that begins with '#'"),
    ],
)
def test_a_table_that_cannot_be_used_is_named(
    bench: Bench, parts: dict[str, Any], said: str
) -> None:
    rest = {"DIRECTIVE_PREFIX": "#Q", "DIRECTIVES": [_key(("nodes", "min_nodes"))]}
    plugin = bench.plugin(**{**rest, **parts})
    assert not plugin.available()
    reason = str(plugin.unavailable_reason)
    assert said in reason
    # With the plugin, its class and its file.
    assert reason.startswith("The scheduler plugin 'right' (Wrong in ") and __file__ in reason


def test_a_key_of_its_own_section_that_is_not_there(bench: Bench) -> None:
    import yaml_config as yc

    def section(self: Any) -> Any:
        return [yc.StrElem("priority")], {}, {}

    for key, works in (("right.priority", True), ("right", True), ("right.prio", False)):
        plugin = bench.plugin(
            _get_config_elems=section,
            DIRECTIVE_PREFIX="#Q",
            DIRECTIVES=[Directive.from_key("--p", key, word)],
        )
        with active(plugin):
            assert plugin.available() is works, plugin.unavailable_reason
            assert works or "Did you mean 'right.priority'?" in str(plugin.unavailable_reason)


def test_a_value_that_nobody_checked_does_not_end_its_line(bench: Bench) -> None:
    plugin = bench.plugin(
        DIRECTIVE_PREFIX="#Q",
        DIRECTIVES=[Directive("--account", ("account",), lambda it: it.config["account"])],
    )
    test, error = bench.start(plugin, account="a\nrm -rf x")
    assert "schedule.account" in error and "a line end" in error
    assert test.complete and bench.calls() == []


# --- Submitting ---


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (
            lambda to: f"q-sub {to.token}",
            "submit_command() must return a list of arguments, not 'q",
        ),
        (lambda to: None, "submit_command() must return a list of arguments, not None"),
        (lambda to: [], "submit_command() must return a list of arguments, not []"),
        (lambda to: ["q-sub", to.token, 5], "submit_command() returned 5 in its list"),
        (lambda to: ["q-sub", "x"], "submit_command() does not put submission.token into the job"),
    ],
)
def test_a_submit_command_that_is_none(bench: Bench, answer: Any, said: str) -> None:
    """At once, and not after a search for a job that there cannot be."""
    plugin = bench.plugin(submit_command=lambda self, submission: answer(submission))
    test, error = bench.start(plugin)
    assert said in error and "'right'" in error and __file__ in error
    assert test.complete and test.status.current().state == "SCHED_ERROR"
    assert bench.calls() == []


def _raise(result: CommandResult) -> str:
    raise KeyError("id")


PARSERS: dict[str, Any] = {
    "a number": (lambda result: 100, "must return a string, a Submitted or None, not 100"),
    "it fails": (_raise, "parse_submission() failed with KeyError: 'id'"),
    "another id": (lambda result: "<100>", "the job id '<100>' does not match JOB_ID, '[0-9]+'"),
}


@pytest.mark.parametrize("what", PARSERS)
def test_an_answer_that_is_not_understood_is_shown_and_the_job_is_found(
    bench: Bench, what: str
) -> None:
    parser, said = PARSERS[what]
    test, error = bench.start(bench.plugin(parse_submission=lambda self, result: parser(result)))
    assert error == "" and bench.calls() == ["sub"]
    assert load_identity(test.job)["id"] == "100"  # type: ignore[index]
    [note] = [it.note for it in test.status.fake_history if "q-sub printed" in it.note]
    assert said in note


def test_a_command_that_succeeded_is_not_run_again(bench: Bench) -> None:
    """Its answer is not understood, and the list of jobs does not show the token."""
    plugin = bench.plugin(
        parse_submission=lambda self, result: None,
        parse_jobs=lambda self, text: [BatchJob("7", "Q")],
    )
    test, error = bench.start(plugin)
    # It may be there, so its test goes on.
    assert error == "" and not test.complete and bench.calls() == ["sub"]
    token = load_identity(test.job)["token"]  # type: ignore[index]
    assert token in plugin.job_status(bench.host.pav_cfg, test).note or not test.complete


# --- The list of jobs ---


def test_a_whole_comment_in_place_of_the_token(bench: Bench) -> None:
    def parse_jobs(self: Any, text: str) -> list[BatchJob]:
        rows = [line.split(" ", 2) for line in text.splitlines()[:-1]]
        return [BatchJob(job_id, state, f"my {comment}") for job_id, state, comment in rows]

    plugin = bench.plugin(parse_jobs=parse_jobs)
    test, _ = bench.start(plugin)
    status = plugin.job_status(bench.host.pav_cfg, test)
    assert status.note == "Job 100 waits (Q)."
    assert plugin.cancel(load_identity(test.job)) is None  # type: ignore[arg-type]


def test_one_node_as_a_string(bench: Bench) -> None:
    plugin = bench.plugin(
        parse_jobs=lambda self, text: [
            BatchJob("100", "Q", find_token(text), nodes="node7"),  # type: ignore[arg-type]
        ]
    )
    test, _ = bench.start(plugin)
    assert "on node7" in plugin.job_status(bench.host.pav_cfg, test).note


# --- Cancelling ---


@pytest.mark.parametrize(
    ("part", "said"),
    [
        ({"cancel_command": lambda self, ids: "q-del 100"}, "must be a list of arguments"),
        ({"cancel_command": lambda self, ids: ["q-del", 100]}, "The argument 100 of the command"),
        ({"cancel_command": lambda self, ids: 1 / 0}, "ZeroDivisionError"),
    ],
)
def test_a_cancel_command_that_is_none(bench: Bench, part: dict[str, Any], said: str) -> None:
    plugin = bench.plugin(**part)
    test, _ = bench.start(plugin)
    info = load_identity(test.job)
    assert info is not None
    elsewhere = JobInfo(info, sys_name="elsewhere")
    message, other = plugin.cancel_jobs([info, elsewhere])
    assert said in str(message) and "'right'" in str(message) and __file__ in str(message)
    # What is known of other jobs is not lost.
    assert "'elsewhere'" in str(other)


@pytest.mark.parametrize("answer", [None, ["100"], "100"])
def test_an_answer_about_cancels_that_is_none(bench: Bench, answer: Any) -> None:
    """Whether the jobs are gone is looked up all the same."""
    plugin = bench.plugin(parse_cancel=lambda self, result: answer)
    test, _ = bench.start(plugin)
    assert plugin.cancel(load_identity(test.job)) is None  # type: ignore[arg-type]
    assert bench.calls() == ["sub", "del 100"]


def test_a_list_command_that_is_none_is_named_before_a_job_is_submitted(bench: Bench) -> None:
    """Otherwise the job could not be found, and its state would never be known."""
    _, error = bench.start(bench.plugin(jobs_command=lambda self, user: "q-list"))
    assert "jobs_command() must return a list of arguments, not 'q-list'" in error
    assert __file__ in error
    assert bench.calls() == []


def test_a_list_command_is_checked_for_the_user_whose_jobs_are_listed(bench: Bench) -> None:
    """One that cannot list everybody's jobs is good enough for those of a known user."""
    plugin = bench.plugin(jobs_command=lambda self, user: ["q-list", "-u", user])
    test, error = bench.start(plugin)
    assert error == ""
    assert plugin.job_status(bench.host.pav_cfg, test).state == "SCHEDULED"


# --- What a failure is ---


@pytest.mark.parametrize("wrong", [lambda self, result: False, _raise], ids=["no answer", "fails"])
def test_a_job_is_not_lost_because_classify_is_wrong(bench: Bench, wrong: Any) -> None:
    # The queries of such a plugin fail, too: another object is used for them.
    test, error = bench.start(bench.plugin(classify=wrong))
    assert error == "" and bench.calls().count("sub") == 1
    assert bench.plugin().job_status(bench.host.pav_cfg, test).state == "SCHEDULED"
