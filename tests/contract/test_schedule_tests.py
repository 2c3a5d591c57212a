"""Placing tests into jobs and starting these: the basic family (the contract, sections 3, 4, 8)."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path
from typing import Any

import pytest
from fakes import ConcurrentSched, FakeHost, FakeSched, FakeTest
from hypothesis import given, settings
from hypothesis import strategies as st

from pavilion.errors import SchedulerPluginError
from pavilion.jobs import Job, JobInfo
from pavilion.schedulers.config import validate_config
from pavilion.schedulers.lifecycle import handover
from pavilion.schedulers.lifecycle.handover import HandoverStopped
from pavilion.schedulers.lifecycle.submission import start_jobs
from pavilion.schedulers.lifecycle.whereabouts import Placement, load_placement
from pavilion.schedulers.placement.planning import PlannedJob
from pavilion.status_file import STATES


@pytest.fixture
def host(tmp_path: Path) -> FakeHost:
    return FakeHost(tmp_path)


def jobs_of(plugin: FakeSched) -> list[list[str]]:
    """The ids of the tests of each job, in the order of their kickoff."""
    return [
        [test_id for _, test_id in kickoff[0].get_test_id_pairs()] for kickoff in plugin.kickoffs
    ]


def schedule(plugin: FakeSched, host: FakeHost, *sections: dict[str, Any]) -> list[FakeTest]:
    tests = [host.test(section) for section in sections]
    assert plugin.schedule_tests(host.pav_cfg, tests) == []
    return tests


# --------------------------------------------------------------------------------------- placement


def test_without_concurrency_each_test_gets_its_own_job(host: FakeHost) -> None:
    plugin = FakeSched()
    tests = schedule(plugin, host, {}, {}, {"share_allocation": "max"})
    assert jobs_of(plugin) == [["s1.1"], ["s1.2"], ["s1.3"]]
    assert len({test.job.name for test in tests}) == 3  # type: ignore[union-attr]


def test_with_concurrency_tests_that_ask_for_the_same_share_a_job(host: FakeHost) -> None:
    plugin = ConcurrentSched()
    tests = schedule(plugin, host, {}, {}, {})
    assert jobs_of(plugin) == [["s1.1", "s1.2", "s1.3"]]
    assert len({test.job.name for test in tests}) == 1  # type: ignore[union-attr]
    assert "pav _run s1.1 s1.2 s1.3" in plugin.kickoffs[0][0].kickoff_path.read_text()


def test_tests_that_do_not_share_get_their_own_job(host: FakeHost) -> None:
    plugin = ConcurrentSched()
    schedule(plugin, host, {}, {"share_allocation": "false"}, {}, {"share_allocation": "false"})
    assert jobs_of(plugin) == [["s1.1", "s1.3"], ["s1.2"], ["s1.4"]]


@pytest.mark.parametrize("key", ["partition", "account", "qos", "reservation"])
def test_tests_that_ask_for_something_else_never_share(host: FakeHost, key: str) -> None:
    plugin = ConcurrentSched()
    schedule(plugin, host, {key: "a"}, {key: "b"}, {key: "a"}, {})
    assert jobs_of(plugin) == [["s1.1", "s1.3"], ["s1.2"], ["s1.4"]]
    assert [kickoff[1][key] for kickoff in plugin.kickoffs] == ["a", "b", None]


def test_tests_with_other_numbers_of_nodes_never_share(host: FakeHost) -> None:
    plugin = ConcurrentSched()
    schedule(
        plugin,
        host,
        {"nodes": "2"},
        {"nodes": "4", "min_nodes": "2"},
        {"nodes": "2"},
        {"tasks": "2"},
        {"nodes": "all", "cluster_info": {"node_count": "2"}},
    )
    assert jobs_of(plugin) == [["s1.1", "s1.3", "s1.5"], ["s1.2"], ["s1.4"]]
    assert [kickoff[3:] for kickoff in plugin.kickoffs] == [
        (None, (2, 2)),
        (None, (2, 4)),
        (None, (1, None)),
    ]


def test_a_shared_job_gets_the_longest_time_limit_of_its_own_tests(host: FakeHost) -> None:
    plugin = ConcurrentSched()
    schedule(
        plugin,
        host,
        {"time_limit": "2"},
        {"time_limit": "5"},
        {"time_limit": "3"},
        {"time_limit": "99", "partition": "other"},
    )
    assert [kickoff[1]["time_limit"] for kickoff in plugin.kickoffs] == [5, 99]


def test_the_nodes_that_a_test_names_are_the_schedulers_affair(host: FakeHost) -> None:
    plugin = ConcurrentSched()
    sections: list[dict[str, Any]] = [
        {"include_nodes": "n[1-3]"},
        {"nodes": "2", "include_nodes": "n[1-3]", "chunking": {"size": "4"}},
        {"min_nodes": "2"},
    ]
    tests = [host.test(section) for section in sections]
    plan = plugin.plan_tests(tests)  # type: ignore[arg-type]
    assert plan.errors == []
    assert [job.node_range for job in plan.jobs] == [(1, 1), (2, 2), (2, None)]
    assert [(job.nodes, job.chunk) for job in plan.jobs] == [(None, None)] * 3


SECTIONS = st.fixed_dictionaries(
    {},
    optional={
        "nodes": st.sampled_from(["1", "2", "50%", "0"]),
        "partition": st.sampled_from(["a", "b"]),
        "share_allocation": st.sampled_from(["true", "false", "max"]),
        "time_limit": st.sampled_from(["1", "2", "x"]),
    },
)


@settings(max_examples=60, deadline=None)
@given(st.lists(SECTIONS, max_size=12), st.booleans())
def test_every_test_is_in_one_job_or_in_one_error(
    sections: list[dict[str, str]], concurrent: bool
) -> None:
    plugin = ConcurrentSched() if concurrent else FakeSched()
    tests = [FakeTest(Path("/none"), number, section) for number, section in enumerate(sections)]
    plan = plugin.plan_tests(tests)  # type: ignore[arg-type]
    placed = [test.name for job in plan.jobs for test in job.tests]
    failed = [test.name for error in plan.errors for test in error.tests]
    assert sorted(placed + failed) == sorted(test.name for test in tests)
    assert all(job.tests for job in plan.jobs)
    wrong = [
        section.get("nodes") == "0" or section.get("time_limit") == "x" for section in sections
    ]
    assert failed == [test.name for test, is_wrong in zip(tests, wrong) if is_wrong]
    for job in plan.jobs:
        assert len({test.config["schedule"].get("partition") for test in job.tests}) == 1
        assert (job.nodes is None) != (job.node_range is None)
        if not concurrent:
            assert len(job.tests) == 1


def test_no_tests_is_no_work(host: FakeHost) -> None:
    plugin = FakeSched()
    assert plugin.schedule_tests(host.pav_cfg, []) == []
    assert plugin.kickoffs == []


# ---------------------------------------------------------------------------------------- kickoff


def test_what_a_kickoff_is_given(host: FakeHost) -> None:
    plugin = ConcurrentSched()
    tests = schedule(plugin, host, {"nodes": "2", "time_limit": "3"}, {"nodes": "2"})
    job, config, name, nodes, node_range = plugin.kickoffs[0]
    assert name == "pav-fake-s1-runs"
    assert config["time_limit"] == 3
    assert (nodes, node_range) == (None, (2, 2))
    assert job.path.parent == host.pav_cfg.working_dir / "jobs"
    for test in tests:
        assert test.job is job or test.job.path == job.path  # type: ignore[union-attr]
        assert test.fake_states == [STATES.SCHEDULED]
        assert not test.complete
        assert "fake" in test.status.current().note
    assert dict(job.info) == {"id": "0"}


def test_the_job_is_ready_when_it_is_handed_over(host: FakeHost) -> None:
    seen = []

    def look(number: int, job: Any) -> JobInfo:
        # A scheduler may start the script before _kickoff() is back.
        seen.append(
            (
                job.kickoff_path.read_text().splitlines()[-1],
                [test.job is not None for test in tests],
                [test.fake_states for test in tests],
            )
        )
        return JobInfo(id="1")

    plugin, tests = ConcurrentSched(), host.tests(2)
    plugin.on_kickoff = look
    assert plugin.schedule_tests(host.pav_cfg, tests) == []
    assert seen == [("pav _run s1.1 s1.2", [True, True], [[STATES.SCHEDULED]] * 2)]


def test_every_test_of_a_job_says_when_it_was_accepted_and_under_what_id(host: FakeHost) -> None:
    notes: list[list[str]] = []

    def look(number: int, job: Any) -> JobInfo:
        notes.extend([info.note for info in test.status.fake_history[1:]] for test in tests)
        return JobInfo(id="58")

    plugin, tests = ConcurrentSched(), host.tests(3)
    plugin.on_kickoff = look
    assert plugin.schedule_tests(host.pav_cfg, tests) == []
    job = tests[0].job
    assert job is not None
    # Before it is accepted there is no id to tell, and nothing says that it was.
    before = f"Being handed to the fake scheduler. The job's directory is {job.name}."
    assert notes == [[before]] * 3
    for test in tests:
        told = [(info.state, info.note) for info in test.status.fake_history[1:]]
        assert told == [
            (STATES.SCHEDULED, before),
            (STATES.SCHEDULED, "Accepted by fake as job 58."),
        ]


def test_a_plugin_without_an_id_of_its_own_tells_what_comes_first(host: FakeHost) -> None:
    plugin = FakeSched()
    plugin.on_kickoff = lambda number, job: {"pid": 4711, "host": "login1"}
    test = schedule(plugin, host, {})[0]
    assert test.fake_accepted == ["Accepted by fake as job 4711."]


@pytest.mark.parametrize("odd", ["", "pav-0123456789abcdef", "a\nb", "x" * 300])
def test_what_is_not_an_id_is_not_told_as_one(host: FakeHost, odd: str) -> None:
    plugin = FakeSched()
    plugin.on_kickoff = lambda number, job: {"id": odd, "token": "t"}
    test = schedule(plugin, host, {})[0]
    assert test.fake_accepted == []
    assert test.fake_states == [STATES.SCHEDULED]


def test_a_job_that_was_refused_was_not_accepted(host: FakeHost) -> None:
    plugin, test = FakeSched(), host.test()

    def refuse(number: int, job: Any) -> JobInfo:
        raise SchedulerPluginError("No such partition.")

    plugin.on_kickoff = refuse
    assert len(plugin.schedule_tests(host.pav_cfg, [test])) == 1
    assert test.fake_accepted == []


def test_a_test_that_has_started_or_ended_keeps_its_own_last_line(host: FakeHost) -> None:
    plugin, tests = ConcurrentSched(), host.tests(3)

    def begin(number: int, job: Any) -> JobInfo:
        tests[0].status.set(STATES.RUNNING, "Running run.sh.")
        tests[1].status.set(STATES.CANCELLED, "By a user.")
        return JobInfo(id="58")

    plugin.on_kickoff = begin
    assert plugin.schedule_tests(host.pav_cfg, tests) == []
    assert [test.status.current().state for test in tests] == [
        STATES.RUNNING,
        STATES.CANCELLED,
        STATES.SCHEDULED,
    ]
    assert tests[2].fake_accepted == ["Accepted by fake as job 58."]


def test_a_status_that_cannot_be_written_loses_no_accepted_job(host: FakeHost) -> None:
    plugin, tests = ConcurrentSched(), host.tests(2)

    def fill_the_disk(number: int, job: Any) -> JobInfo:
        tests[0].status.fake_fail = OSError(28, "No space left on device")
        return JobInfo(id="58")

    plugin.on_kickoff = fill_the_disk
    assert plugin.schedule_tests(host.pav_cfg, tests) == []
    assert not any(test.complete for test in tests)
    assert tests[1].fake_accepted == ["Accepted by fake as job 58."]


def test_the_nodes_and_the_chunk_of_a_job_are_known_before_it_is_handed_over(
    host: FakeHost,
) -> None:
    placed = []

    def look(number: int, job: Any) -> JobInfo:
        placed.append(load_placement(job))
        return JobInfo(id="58")

    plugin = FakeSched()
    plugin.on_kickoff = look
    planned = PlannedJob(
        list(host.tests(1)),  # type: ignore[arg-type]
        validate_config({}),
        nodes=["n10", "n2"],
        chunk=3,
        chunk_nodes=["n10", "n2", "n1"],
    )
    assert start_jobs(plugin, host.pav_cfg, [planned], 1) == []  # type: ignore[arg-type]
    assert placed == [Placement(["n2", "n10"], 3, ["n1", "n2", "n10"])]


def test_the_identity_can_be_read_by_others(host: FakeHost) -> None:
    plugin = FakeSched()
    plugin.on_kickoff = lambda number, job: {"id": "17.server", "sys_name": "here"}
    test = schedule(plugin, host, {})[0]
    assert test.job is not None
    stored = json.loads((test.job.path / test.job.INFO_FN).read_text())
    assert stored == {"id": "17.server", "sys_name": "here"}


@pytest.mark.parametrize("at_once", [1, 4])
def test_jobs_are_started_in_order_or_several_at_a_time(host: FakeHost, at_once: int) -> None:
    class Sched(FakeSched):
        KICKOFFS_AT_ONCE = at_once

    plugin = Sched()
    tests = schedule(plugin, host, *[{} for _ in range(12)])
    assert sorted(jobs_of(plugin)) == sorted([str(test.id)] for test in tests)
    if at_once == 1:
        assert jobs_of(plugin) == [[str(test.id)] for test in tests]


# ----------------------------------------------------------------------------------------- failures


def failing(*numbers: int, exc: Exception) -> Any:
    """A kickoff that fails for these jobs."""

    def kickoff(number: int, job: Any) -> JobInfo:
        if number in numbers:
            raise exc
        return JobInfo(id=str(number))

    return kickoff


@pytest.mark.parametrize("at_once", [1, 3])
def test_failed_kickoffs_concern_exactly_their_tests(host: FakeHost, at_once: int) -> None:
    class Sched(ConcurrentSched):
        KICKOFFS_AT_ONCE = at_once

    def kickoff(number: int, job: Any) -> JobInfo:
        ids = [test_id for _, test_id in job.get_test_id_pairs()]
        if "s1.1" in ids or "s1.3" in ids:
            raise SchedulerPluginError(f"queue of {ids[0]} is closed")
        return JobInfo(id=str(number))

    plugin = Sched()
    plugin.on_kickoff = kickoff
    tests = [host.test({"partition": name}) for name in "abcabcd"]
    errors = plugin.schedule_tests(host.pav_cfg, tests)

    assert [[str(test.id) for test in error.tests] for error in errors] == [
        ["s1.1", "s1.4"],
        ["s1.3", "s1.6"],
    ]
    assert [error.msg for error in errors] == ["queue of s1.1 is closed", "queue of s1.3 is closed"]
    refused = [test for error in errors for test in error.tests]
    for test in tests:
        assert test.complete == (test in refused)
        assert test.fake_states[-1] == (STATES.SCHED_ERROR if test in refused else STATES.SCHEDULED)
        if test in refused:
            assert "is closed" in test.status.current().note
            assert test.fake_ended == 1


def test_wrong_sections_concern_exactly_their_tests(host: FakeHost) -> None:
    plugin = ConcurrentSched()
    plugin.on_kickoff = failing(0, exc=SchedulerPluginError("closed"))
    tests = [
        host.test(section)
        for section in ({}, {"nodes": "0"}, {"node": "1"}, {}, {"partition": "a"})
    ]
    errors = plugin.schedule_tests(host.pav_cfg, tests)
    assert sorted([[str(test.id) for test in error.tests] for error in errors]) == [
        ["s1.1", "s1.4"],
        ["s1.2"],
        ["s1.3"],
    ]
    text = "\n".join(error.pformat() for error in errors)
    assert "schedule.nodes" in text
    assert "'node'" in text
    assert [str(test.id) for test in tests if not test.complete] == ["s1.5"]


@pytest.mark.parametrize(
    ("exc", "parts"),
    [
        (OSError(28, "No space left on device"), ["No space left", "suite.test1"]),
        (ValueError("bad id"), ["'fake'", "fakes.py", "ValueError", "bad id", "suite.test1"]),
        (NotImplementedError("_kickoff() is missing"), ["_kickoff() is missing"]),
        # As the guide for plugin authors writes it: the prior error by position.
        (SchedulerPluginError("qsub failed", OSError("not found")), ["qsub failed", "not found"]),
        (SchedulerPluginError("qsub failed", prior_error=OSError("gone")), ["qsub failed", "gone"]),
    ],
)
def test_whatever_a_kickoff_raises_is_an_error_of_its_tests(
    host: FakeHost, exc: Exception, parts: list[str]
) -> None:
    plugin = FakeSched()
    plugin.on_kickoff = failing(0, exc=exc)
    tests = host.tests(2)
    errors = plugin.schedule_tests(host.pav_cfg, tests)
    assert [error.tests for error in errors] == [[tests[0]]]
    assert isinstance(errors[0], SchedulerPluginError)
    for part in parts:
        assert part in errors[0].pformat()
        assert part in tests[0].status.current().note
    assert not tests[1].complete


def test_the_prior_error_in_the_place_of_the_tests_is_found(host: FakeHost) -> None:
    # In Pavilion the second position is 'tests', and that is where it ends up.
    exc = SchedulerPluginError("qsub failed")
    exc.tests = OSError("not found")  # type: ignore[assignment]
    plugin, test = FakeSched(), host.test()
    plugin.on_kickoff = failing(0, exc=exc)
    errors = plugin.schedule_tests(host.pav_cfg, [test])
    assert errors[0].tests == [test]
    assert "not found" in errors[0].pformat()


def test_tests_that_the_plugin_puts_into_its_error_do_not_count(host: FakeHost) -> None:
    plugin = FakeSched()
    tests = host.tests(2)
    plugin.on_kickoff = failing(0, exc=SchedulerPluginError("closed", tests=tests))
    errors = plugin.schedule_tests(host.pav_cfg, tests)
    assert [error.tests for error in errors] == [[tests[0]]]


@pytest.mark.parametrize("result", [None, "1234", 1234, {}, ["1234"], True])
def test_a_kickoff_that_gives_nonsense_is_an_error_naming_the_plugin(
    host: FakeHost, result: Any
) -> None:
    plugin = FakeSched()
    plugin.on_kickoff = lambda number, job: result
    test = host.test()
    errors = plugin.schedule_tests(host.pav_cfg, [test])
    assert [error.tests for error in errors] == [[test]]
    text = errors[0].pformat()
    assert "JobInfo" in text
    assert repr(result) in text
    assert "fakes.py" in text
    assert test.complete
    assert test.fake_states[-1] == STATES.SCHED_ERROR


@pytest.mark.parametrize(("answer", "errors"), [(None, 0), ("no permission", 1)])
def test_a_job_whose_tests_were_cancelled_meanwhile(
    host: FakeHost, answer: str | None, errors: int
) -> None:
    plugin = ConcurrentSched()
    plugin.on_cancel = lambda info: answer
    tests = host.tests(2)

    def end_tests(state: str) -> JobInfo:
        for test in tests:
            test.status.set(state, "While it was handed over.")
            test.set_run_complete()
        return JobInfo(id="17")

    plugin.on_kickoff = lambda number, job: end_tests("CANCELLED")
    found = plugin.schedule_tests(host.pav_cfg, tests)
    assert [info["id"] for info in plugin.cancelled] == ["17"]
    assert [error.tests for error in found] == [tests] * errors
    assert all("may still be running: no permission" in str(error) for error in found)
    # Those that ended by themselves meanwhile are none of that.
    plugin.cancelled.clear()
    tests = host.tests(2)

    plugin.on_kickoff = lambda number, job: end_tests("COMPLETE")
    assert plugin.schedule_tests(host.pav_cfg, tests) == []
    assert plugin.cancelled == []


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (lambda info: None, "It was cancelled."),
        (
            lambda info: "no permission",
            "Cancelling it failed (no permission), so it may still run.",
        ),
        (lambda info: 1 // 0, "ZeroDivisionError"),
    ],
)
def test_a_job_whose_identity_cannot_be_stored_is_cancelled(
    host: FakeHost, answer: Any, text: str
) -> None:
    plugin = ConcurrentSched()
    plugin.on_kickoff = lambda number, job: JobInfo(id="17", handle=object())
    plugin.on_cancel = answer
    tests = host.tests(2)
    errors = plugin.schedule_tests(host.pav_cfg, tests)
    assert [info["id"] for info in plugin.cancelled] == ["17"]
    assert [error.tests for error in errors] == [tests]
    assert text in str(errors[0])
    assert "17" in str(errors[0])
    assert all(test.complete for test in tests)


def test_a_test_whose_job_cannot_be_recorded_is_not_started(host: FakeHost) -> None:
    plugin, tests = ConcurrentSched(), host.tests(2)
    tests[1].fake_job_fail = OSError(30, "Read-only file system")
    errors = plugin.schedule_tests(host.pav_cfg, tests)
    assert [error.tests for error in errors] == [tests]
    assert "Read-only file system" in errors[0].pformat()
    assert plugin.kickoffs == []
    assert all(test.complete for test in tests)


def test_a_status_that_cannot_be_written_hides_no_error(host: FakeHost) -> None:
    plugin, tests = FakeSched(), host.tests(3)
    tests[1].status.fake_fail = OSError(28, "No space left on device")
    errors = plugin.schedule_tests(host.pav_cfg, tests)
    assert [error.tests for error in errors] == [[tests[1]]]
    assert "No space left" in errors[0].pformat()
    # Nobody waits for it.
    assert [test.complete for test in tests] == [False, True, False]
    assert [len(kickoff[0].get_test_id_pairs()) for kickoff in plugin.kickoffs] == [1, 1]


# ------------------------------------------------------------------------------- on its way


def test_what_a_job_waits_for_is_in_the_status_of_its_tests_once(host: FakeHost) -> None:
    plugin, tests = ConcurrentSched(), host.tests(2)
    shown = []

    def kickoff(number: int, job: Any) -> JobInfo:
        for text in ("The queue is full.", "The queue is full.", "Looks for it."):
            plugin.report(job, text)
        shown.extend([way.text for way in plugin.handovers()])
        shown.append(plugin.job_status(host.pav_cfg, tests[0]).note)  # type: ignore[arg-type]
        # One that has started meanwhile has a state of its own.
        tests[1].status.set(STATES.RUNNING, "Running.")
        plugin.report(job, "Once more.")
        return JobInfo(id="1")

    plugin.on_kickoff = kickoff
    assert plugin.schedule_tests(host.pav_cfg, tests) == []
    assert shown == ["Looks for it."] * 2
    first, second = ([info.note for info in test.status.fake_history[2:]] for test in tests)
    accepted = "Accepted by fake as job 1."
    assert first == ["The queue is full.", "Looks for it.", "Once more.", accepted]
    assert second == ["The queue is full.", "Looks for it.", "Running."]
    assert plugin.handovers() == []


def test_a_reason_that_cannot_be_written_is_no_failure(host: FakeHost) -> None:
    plugin, test = FakeSched(), host.test()

    def kickoff(number: int, job: Any) -> JobInfo:
        test.status.fake_fail = OSError(28, "No space left on device")
        plugin.report(job, "The queue is full.")
        test.status.fake_fail = None
        return JobInfo(id="1")

    plugin.on_kickoff = kickoff
    assert plugin.schedule_tests(host.pav_cfg, [test]) == []


def _waiting(plugin: FakeSched, began: threading.Event) -> Any:
    """A kickoff that waits until it is told to give up."""

    def kickoff(number: int, job: Any) -> JobInfo:
        began.set()
        if plugin.pause(job, 60):
            return JobInfo(id=str(number))
        raise HandoverStopped("Given up while the queue was full.")

    return kickoff


@pytest.mark.parametrize("at_once", [1, 2])
def test_handing_over_can_be_ended(host: FakeHost, at_once: int) -> None:
    class Sched(FakeSched):
        KICKOFFS_AT_ONCE = at_once

    plugin, tests, began = Sched(), host.tests(4), threading.Event()
    plugin.on_kickoff = _waiting(plugin, began)
    results: list[Any] = []
    thread = threading.Thread(
        target=lambda: results.extend(plugin.schedule_tests(host.pav_cfg, tests))
    )
    thread.start()
    assert began.wait(20)
    plugin.stop_kickoffs()
    thread.join(20)
    assert not thread.is_alive()
    # Each test is in an error, and none is without an end.
    assert [error.tests for error in results] == [[test] for test in tests]
    assert [test.fake_states[-1] for test in tests] == [STATES.SCHED_CANCELLED] * 4
    assert 1 <= len(plugin.kickoffs) <= at_once
    # The next time is another time.
    plugin.on_kickoff = lambda number, job: JobInfo(id="1")
    assert plugin.schedule_tests(host.pav_cfg, [host.test()]) == []


def test_a_job_whose_tests_are_cancelled_is_not_waited_with(
    host: FakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So it can be ended in a host that knows nothing of all this."""
    monkeypatch.setattr(handover, "CANCEL_POLL", 0.01)
    plugin, tests, began = ConcurrentSched(), host.tests(2), threading.Event()
    plugin.on_kickoff = _waiting(plugin, began)
    thread = threading.Thread(target=plugin.schedule_tests, args=(host.pav_cfg, tests))
    thread.start()
    assert began.wait(20)
    for test in tests:
        assert thread.is_alive()
        test.status.set("CANCELLED", "By a user.")
        test.set_run_complete()
    thread.join(20)
    assert not thread.is_alive()
    # That stays their last word.
    assert [test.fake_states[-1] for test in tests] == ["CANCELLED"] * 2


def test_a_job_that_waits_for_long_gives_signs_of_life(
    host: FakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else another process would take it for one that was lost on its way."""
    monkeypatch.setattr(handover, "SIGN_PAUSE", 0.0)
    plugin, test = FakeSched(), host.test()

    def kickoff(number: int, job: Any) -> JobInfo:
        os.utime(job.path, (1, 1))
        assert plugin.pause(job, 0.01)
        shown.append(plugin.job_status(host.pav_cfg, test).state)  # type: ignore[arg-type]
        return JobInfo(id="1")

    shown: list[str] = []
    plugin.on_kickoff = kickoff
    assert plugin.schedule_tests(host.pav_cfg, [test]) == []
    assert shown == [STATES.SCHEDULED] and not test.complete


def test_without_a_host_nobody_is_told_and_nobody_ends_it(host: FakeHost) -> None:
    plugin = FakeSched()
    job = Job.new(host.pav_cfg, host.tests(1))  # type: ignore[arg-type]
    plugin.report(job, "The queue is full.")
    assert plugin.pause(job, 0.01)
    plugin.stop_kickoffs()


@pytest.mark.parametrize("at_once", [1, 2])
def test_an_interrupt_leaves_each_test_with_an_end_or_a_job(host: FakeHost, at_once: int) -> None:
    class Sched(FakeSched):
        KICKOFFS_AT_ONCE = at_once

        def _recover_identity(self, job: Any) -> JobInfo | None:
            # The first job left a mark.
            return JobInfo(id="by its mark") if job is self.kickoffs[0][0] else None

    plugin, tests = Sched(), host.tests(4)
    both = threading.Barrier(at_once)

    def kickoff(number: int, job: Any) -> JobInfo:
        both.wait(20)
        raise KeyboardInterrupt

    plugin.on_kickoff = kickoff
    with pytest.raises(KeyboardInterrupt):
        plugin.schedule_tests(host.pav_cfg, tests)
    by_state = sorted(test.fake_states[-1] for test in tests)
    assert by_state == sorted(
        ["SCHEDULED", *["SCHED_ERROR"] * (at_once - 1), *["SCHED_CANCELLED"] * (4 - at_once)]
    )
    first = next(test for test in tests if not test.complete)
    assert first.job is not None and dict(first.job.info) == {"id": "by its mark"}
    assert plugin.handovers() == []


def test_methods_at_work_are_known(host: FakeHost) -> None:
    plugin = FakeSched()
    seen = []

    def look(*_: Any) -> Any:
        seen.append([(call.scheduler, call.method) for call in handover.calls_at_work()])
        return JobInfo(id="1")

    plugin.on_kickoff = plugin.on_query = look
    test = schedule(plugin, host, {})[0]
    plugin.job_status(host.pav_cfg, test)  # type: ignore[arg-type]
    assert seen == [[("fake", "_kickoff")], [("fake", "_job_status")]]
    assert handover.calls_at_work() == []
