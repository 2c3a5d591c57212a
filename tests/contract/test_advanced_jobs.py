"""From tests to jobs of an advanced scheduler: sharing, nodes, kickoffs, what is stored."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dummy_plugin import Dummy, FakeMachine, Kickoff, TestMaker, active, make_pav_cfg
from pavilion.config import PavConfig
from pavilion.errors import SchedulerPluginError
from pavilion.schedulers import SchedulerPluginAdvanced
from pavilion.test_run import TestRun


@pytest.fixture
def plugin() -> Iterator[Dummy]:
    with active(Dummy()) as dummy:
        yield dummy


@pytest.fixture
def pav_cfg(tmp_path: Path) -> PavConfig:
    return make_pav_cfg(tmp_path)


@pytest.fixture
def make_test(pav_cfg: PavConfig) -> TestMaker:
    return TestMaker(pav_cfg)


def jobs_of(plugin: Dummy, tests: list[TestRun]) -> list[list[int]]:
    """The indices of the tests in each job, in the order of the kickoffs."""
    ids = [test.id for test in tests]
    return [[ids.index(test_id) for test_id in kickoff.test_ids] for kickoff in plugin.kickoffs]


def node_lists(plugin: Dummy) -> list[list[str]]:
    lists = [kickoff.nodes for kickoff in plugin.kickoffs]
    assert None not in lists
    return lists  # type: ignore[return-value]


# -------------------------------------------------------------------------------------- sharing


def test_without_sharing_each_test_gets_its_own_job(
    plugin: Dummy, pav_cfg: PavConfig, make_test: TestMaker
) -> None:
    tests = make_test.many(3, share_allocation="false", nodes="2")
    assert plugin.schedule_tests(pav_cfg, tests) == []
    assert jobs_of(plugin, tests) == [[0], [1], [2]]
    # The scheduler is free to pick the nodes.
    assert [(kickoff.nodes, kickoff.node_range) for kickoff in plugin.kickoffs] == [
        (None, (2, 2))
    ] * 3


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        # floor(16 usable / 4) jobs, dealt in turn.
        ({"nodes": "4"}, [[0, 4, 8], [1, 5, 9], [2, 6], [3, 7]]),
        ({"nodes": "25%"}, [[0, 4, 8], [1, 5, 9], [2, 6], [3, 7]]),
        ({"nodes": "7", "min_nodes": "2"}, [[0, 2, 4, 6, 8], [1, 3, 5, 7, 9]]),
        ({"nodes": "4", "across_nodes": "node[01-09]"}, [[0, 2, 4, 6, 8], [1, 3, 5, 7, 9]]),
        ({"nodes": "all"}, [[*range(10)]]),
        ({"nodes": "4", "share_allocation": "max"}, [[*range(10)]]),
        # No maximum.
        ({"tasks": "4"}, [[*range(10)]]),
        ({"nodes": "2", "chunking": {"size": "16"}}, [[*range(10)]]),
        ({"nodes": "2", "chunking": {"size": "8"}}, [[0, 2, 4, 6, 8], [1, 3, 5, 7, 9]]),
    ],
)
def test_how_ten_tests_that_are_alike_share(
    plugin: Dummy,
    pav_cfg: PavConfig,
    make_test: TestMaker,
    schedule: dict[str, Any],
    expected: list[list[int]],
) -> None:
    tests = make_test.many(10, **schedule)
    assert plugin.schedule_tests(pav_cfg, tests) == []
    assert jobs_of(plugin, tests) == expected


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("partition", "gpu"),
        ("qos", "high"),
        ("account", "me"),
        ("core_spec", "2"),
        ("reservation", "maint"),
        ("node_state", "available"),
        ("nodes", "3"),
        ("min_nodes", "1"),
        ("tasks", "9"),
        ("tasks_per_node", "2"),
        ("min_tasks_per_node", "1"),
        ("include_nodes", "node04"),
        ("exclude_nodes", "node05"),
        ("across_nodes", "node[01-12]"),
        ("share_allocation", "max"),
        ("chunking", {"size": "8"}),
    ],
)
def test_tests_that_differ_in_what_is_asked_for_do_not_share(
    plugin: Dummy, pav_cfg: PavConfig, make_test: TestMaker, key: str, value: Any
) -> None:
    plugin.machine.change("node[01-16]", partitions=["main", "gpu"], reservations=["maint"])
    base: dict[str, Any] = {"nodes": "2"}
    tests = [make_test(**base), make_test(**{**base, key: value}), make_test(**base)]
    tests += make_test.many(20, **base)

    assert plugin.schedule_tests(pav_cfg, tests) == []

    assert len(plugin.kickoff_of(tests[1]).test_ids) == 1
    assert all(len(plugin.kickoff_of(test).test_ids) > 1 for test in (tests[0], tests[2]))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("wrapper", "gdb"),
        ("time_limit", "5"),
        ("mpirun_opts", {"bind_to": "core"}),
        ("cluster_info", {"cpus": "2"}),
    ],
)
def test_what_does_not_concern_the_allocation_may_differ(
    plugin: Dummy, pav_cfg: PavConfig, make_test: TestMaker, key: str, value: Any
) -> None:
    alike: dict[str, Any] = {"nodes": "1", "share_allocation": "max"}
    tests = [make_test(**alike), make_test(**alike, **{key: value})]
    assert plugin.schedule_tests(pav_cfg, tests) == []
    assert len(plugin.kickoffs) == 1


class SharesByStates(Dummy):
    """A plugin with a section of its own that concerns the allocation."""

    JOB_SHARE_KEY_ATTRS = [*SchedulerPluginAdvanced.JOB_SHARE_KEY_ATTRS, "dummy.up_states"]


@pytest.mark.parametrize(("cls", "jobs"), [(Dummy, 1), (SharesByStates, 2)])
def test_a_subclass_may_add_keys_that_must_be_equal(
    cls: type[Dummy], jobs: int, pav_cfg: PavConfig, make_test: TestMaker
) -> None:
    with active(cls()) as plugin:
        base = plugin.gen_job_share_key(_config({}), 1, 1)
        other = plugin.gen_job_share_key(_config({"dummy": {"up_states": "IDLE"}}), 1, 1)
        assert len({base, other}) == jobs
        assert base[:2] == (1, 1)


def _config(section: dict[str, Any]) -> dict[str, Any]:
    from pavilion.schedulers import validate_config

    return validate_config(section)


def test_a_share_key_that_names_no_config_key_is_an_error_of_the_tests(
    plugin: Dummy, pav_cfg: PavConfig, make_test: TestMaker
) -> None:
    plugin.JOB_SHARE_KEY_ATTRS = ["partition", "dummy.feature"]
    test = make_test()
    errors = plugin.schedule_tests(pav_cfg, [test])
    assert [error.tests for error in errors] == [[test]]
    assert "'dummy.feature'" in errors[0].pformat()


def test_the_time_limit_of_a_job_is_the_longest_of_its_own_tests(
    plugin: Dummy, pav_cfg: PavConfig, make_test: TestMaker
) -> None:
    tests = [make_test(nodes="8", time_limit=limit) for limit in ("1", "7", "3", "2")]
    other = make_test(nodes="4", time_limit="24")

    assert plugin.schedule_tests(pav_cfg, [*tests, other]) == []

    assert jobs_of(plugin, [*tests, other]) == [[0, 2], [1, 3], [4]]
    assert [kickoff.config["time_limit"] for kickoff in plugin.kickoffs] == [3, 7, 24]
    assert [
        "--time 3" in plugin.kickoffs[0].script,
        "--time 7" in plugin.kickoffs[1].script,
        "--time 24" in plugin.kickoffs[2].script,
    ] == [True] * 3


def test_names_of_jobs_list_up_to_four_tests(
    plugin: Dummy, pav_cfg: PavConfig, make_test: TestMaker
) -> None:
    many = [make_test(name=f"s.t{number}", share_allocation="max") for number in range(5)]
    plugin.schedule_tests(pav_cfg, [*many, make_test(name="s.alone", nodes="2")])
    assert [kickoff.job_name for kickoff in plugin.kickoffs] == [
        "pav_s.t0,s.t1,s.t2,s.t3 ...",
        "pav_s.alone",
    ]


def test_all_tests_of_a_job_are_in_its_script_and_know_it(
    plugin: Dummy, pav_cfg: PavConfig, make_test: TestMaker
) -> None:
    tests = make_test.many(3, share_allocation="max")
    plugin.schedule_tests(pav_cfg, tests)
    (kickoff,) = plugin.kickoffs
    assert "pav _run s1.1 s1.2 s1.3" in kickoff.script.splitlines()
    assert "Starting 3 tests" in kickoff.script
    for test in tests:
        assert test.job is not None
        assert test.job.name == kickoff.job.name
        assert test.job.info == {"id": "1"}
        assert test.status.current().state == "SCHEDULED"


# ---------------------------------------------------------------------------------------- nodes


def test_tests_of_a_chunk_get_disjoint_nodes_and_then_the_least_used(
    plugin: Dummy, pav_cfg: PavConfig, make_test: TestMaker
) -> None:
    tests = [
        make_test(chunk="1", nodes="3", share_allocation="false", chunking={"size": "8"})
        for _ in range(3)
    ]
    assert plugin.schedule_tests(pav_cfg, tests) == []
    assert node_lists(plugin) == [
        ["node09", "node10", "node11"],
        ["node12", "node13", "node14"],
        ["node09", "node15", "node16"],
    ]


def test_shared_jobs_across_the_machine_get_disjoint_nodes(
    plugin: Dummy, pav_cfg: PavConfig, make_test: TestMaker
) -> None:
    tests = make_test.many(8, nodes="5", across_nodes="node[01-16]")
    assert plugin.schedule_tests(pav_cfg, tests) == []
    used = [name for names in node_lists(plugin) for name in names]
    assert len(plugin.kickoffs) == 3
    assert len(used) == len(set(used)) == 15


def test_include_nodes_are_in_every_job_and_count(
    plugin: Dummy, pav_cfg: PavConfig, make_test: TestMaker
) -> None:
    tests = make_test.many(
        2,
        nodes="3",
        share_allocation="false",
        include_nodes="node05",
        chunking={"size": "8"},
        chunk="0",
    )
    assert plugin.schedule_tests(pav_cfg, tests) == []
    assert node_lists(plugin) == [["node01", "node02", "node05"], ["node03", "node04", "node05"]]


def test_include_nodes_go_to_the_scheduler_where_it_picks_the_others(
    plugin: Dummy, pav_cfg: PavConfig, make_test: TestMaker
) -> None:
    test = make_test(nodes="3", include_nodes="node05", exclude_nodes="node[01-02]")
    assert plugin.schedule_tests(pav_cfg, [test]) == []
    (kickoff,) = plugin.kickoffs
    assert (kickoff.nodes, kickoff.node_range) == (None, (3, 3))
    assert "#DUMMY --include node05" in kickoff.script
    assert "#DUMMY --exclude node01,node02" in kickoff.script


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_laws_of_placement(tmp_path: Path, data: st.DataObject) -> None:
    """Over random machines and tests, hostile ones among them."""
    folder = tmp_path / str(len(list(tmp_path.iterdir())))
    folder.mkdir()
    pav_cfg = make_pav_cfg(folder)
    make = TestMaker(pav_cfg)
    machine = FakeMachine(data.draw(st.integers(1, 12), label="nodes"))
    tests = [
        make(chunk=data.draw(st.sampled_from(["any", "0", "1", "7"])), **data.draw(_SCHEDULES))
        for _ in range(data.draw(st.integers(1, 6)))
    ]
    with active(Dummy(machine)) as plugin:
        errors = plugin.schedule_tests(pav_cfg, tests)
        started = [test_id for kickoff in plugin.kickoffs for test_id in kickoff.test_ids]
        refused = [test.id for error in errors for test in error.tests]

        assert sorted(started + refused) == sorted(test.id for test in tests)
        for test in tests:
            assert (test.job is None) == test.complete == (test.id in refused)
        for kickoff in plugin.kickoffs:
            _check_job(plugin, kickoff)


_SCHEDULES = st.fixed_dictionaries(
    {
        "nodes": st.sampled_from([None, "1", "2", "5", "all", "50%"]),
        "min_nodes": st.sampled_from([None, "1", "3"]),
        "share_allocation": st.sampled_from(["true", "false", "max"]),
        "across_nodes": st.sampled_from([[], ["node[01-03]"], ["node[02-40]"]]),
        "include_nodes": st.sampled_from([[], ["node02"], ["node99"]]),
        "exclude_nodes": st.sampled_from([[], ["node01"]]),
        "chunking": st.fixed_dictionaries(
            {
                "size": st.sampled_from(["0", "1", "3", "50%"]),
                "node_selection": st.sampled_from(["contiguous", "rand_dist"]),
                "extra": st.sampled_from(["backfill", "discard"]),
            }
        ),
    }
)


def _check_job(plugin: Dummy, kickoff: Kickoff) -> None:
    config = kickoff.config
    usable = plugin.get_initial_vars(config)
    assert (kickoff.nodes is None) != (kickoff.node_range is None)
    assert (kickoff.nodes is None) == config["flex_scheduled"]
    if kickoff.nodes is None:
        return
    assert len(set(kickoff.nodes)) == len(kickoff.nodes) >= 1
    assert set(config["include_nodes"]) <= set(kickoff.nodes)
    assert any(set(kickoff.nodes) <= set(chunk) for chunk in usable._chunks)
    assert set(kickoff.job.load_sched_data()) == set(kickoff.nodes)


# -------------------------------------------------------------------------------- too few nodes


def test_too_few_nodes_are_an_error_of_that_test_alone(
    plugin: Dummy, pav_cfg: PavConfig, make_test: TestMaker
) -> None:
    plugin.machine.change("node[01-12]", states=["DOWN"])
    bad, good = make_test(nodes="5"), make_test(nodes="4")

    errors = plugin.schedule_tests(pav_cfg, [bad, good])

    assert [error.tests for error in errors] == [[bad]]
    note = bad.status.current().note
    assert "Requested at least 5, but only 4 of 16 remain." in note
    assert "not up: 12 (node[01-12])" in note
    assert bad.status.current().state == "SCHED_ERROR"
    assert bad.complete
    assert good.status.current().state == "SCHEDULED"


def test_without_any_usable_node_nothing_is_left_to_the_scheduler(
    plugin: Dummy, pav_cfg: PavConfig, make_test: TestMaker
) -> None:
    plugin.machine.change("node[01-16]", states=["DOWN"])
    tests = [make_test(), make_test(tasks="4"), make_test(nodes="50%", share_allocation="false")]
    errors = plugin.schedule_tests(pav_cfg, tests)
    assert [error.tests for error in errors] == [[test] for test in tests]
    assert all("not up: 16 (node[01-16])" in error.pformat() for error in errors)
    assert plugin.kickoffs == []


def test_min_nodes_are_enough(plugin: Dummy, pav_cfg: PavConfig, make_test: TestMaker) -> None:
    test = make_test(nodes="32", min_nodes="10")
    assert plugin.schedule_tests(pav_cfg, [test]) == []
    assert plugin.kickoffs[0].node_range == (10, 16)


# ------------------------------------------------------------------------------------- kickoffs


def _refuse_second(kickoff: Kickoff) -> None:
    if "s1.2" in kickoff.test_ids:
        raise SchedulerPluginError("Invalid account.")


def test_a_kickoff_that_fails_is_an_error_of_its_tests_and_the_others_go_on(
    plugin: Dummy, pav_cfg: PavConfig, make_test: TestMaker
) -> None:
    plugin.on_kickoff = _refuse_second
    tests = make_test.many(8, nodes="4")

    errors = plugin.schedule_tests(pav_cfg, tests)

    assert [error.tests for error in errors] == [[tests[1], tests[5]]]
    assert "Invalid account." in str(errors[0])
    assert jobs_of(plugin, tests) == [[0, 4], [2, 6], [3, 7]]
    states = [test.status.current().state for test in tests]
    assert states == ["SCHEDULED", "SCHED_ERROR", "SCHEDULED", "SCHEDULED"] * 2
    assert [test.complete for test in tests] == [False, True, False, False] * 2


@pytest.mark.parametrize("exc", [OSError("No space left"), KeyError("id"), ValueError("bad")])
def test_unforeseen_failures_of_a_kickoff_are_told_with_the_plugin(
    plugin: Dummy, pav_cfg: PavConfig, make_test: TestMaker, exc: Exception
) -> None:
    def fail(kickoff: Kickoff) -> None:
        raise exc

    plugin.on_kickoff = fail
    tests = make_test.many(2, share_allocation="false")
    errors = plugin.schedule_tests(pav_cfg, tests)
    assert [error.tests for error in errors] == [[tests[0]], [tests[1]]]
    assert str(exc) in errors[0].pformat()


def _most_at_once(pav_cfg: PavConfig, tests: list[TestRun], cls: type[Dummy]) -> int:
    """How many kickoffs are under way at the same time."""
    lock = threading.Lock()
    under_way, most = 0, 0
    # Gives others the time to come in as well.
    barrier = threading.Barrier(3)

    def meet(kickoff: Kickoff) -> None:
        nonlocal under_way, most
        with lock:
            under_way += 1
            most = max(most, under_way)
        try:
            barrier.wait(10 if cls.KICKOFFS_AT_ONCE > 1 else 0.05)
        except threading.BrokenBarrierError:
            pass
        with lock:
            under_way -= 1

    with active(cls()) as plugin:
        plugin.on_kickoff = meet
        assert plugin.schedule_tests(pav_cfg, tests) == []
    return most


class ThreeAtOnce(Dummy):
    """Allows several kickoffs at a time."""

    KICKOFFS_AT_ONCE = 3


def test_several_kickoffs_are_under_way_at_once_where_the_plugin_allows_it(
    pav_cfg: PavConfig, make_test: TestMaker
) -> None:
    tests = make_test.many(6, share_allocation="false")
    assert _most_at_once(pav_cfg, tests, ThreeAtOnce) == 3


def test_one_kickoff_at_a_time_is_the_rule(pav_cfg: PavConfig, make_test: TestMaker) -> None:
    tests = make_test.many(3, share_allocation="false")
    assert _most_at_once(pav_cfg, tests, Dummy) == 1


def test_errors_of_kickoffs_at_once_stay_with_their_tests(
    pav_cfg: PavConfig, make_test: TestMaker
) -> None:
    tests = make_test.many(9, share_allocation="false")
    with active(ThreeAtOnce()) as plugin:
        plugin.on_kickoff = _refuse_second
        errors = plugin.schedule_tests(pav_cfg, tests)
        assert [error.tests for error in errors] == [[tests[1]]]
        assert len(plugin.kickoffs) == 8
        for test in tests:
            if test is not tests[1]:
                assert test.job is not None
                assert test.job.info["id"] == str(
                    plugin.kickoffs.index(plugin.kickoff_of(test)) + 1
                )


def test_a_dry_run_starts_nothing_and_makes_no_job(
    plugin: Dummy, pav_cfg: PavConfig, make_test: TestMaker
) -> None:
    tests = make_test.many(4, nodes="8")
    plan = plugin.plan_tests(tests)
    assert [len(job.tests) for job in plan.jobs] == [2, 2]
    assert plugin.kickoffs == []
    assert list((pav_cfg.working_dir / "jobs").iterdir()) == []
    assert all(test.job is None for test in tests)


# ------------------------------------------------------------------------- what is stored of it


def _bytes_on_disk(kickoffs: list[Kickoff]) -> int:
    """The size of the node data of all jobs; a file with several names counts once."""
    files = [(kickoff.job.path / kickoff.job.NODE_INFO_FN).stat() for kickoff in kickoffs]
    return sum({info.st_ino: info.st_size for info in files}.values())


def test_jobs_that_may_get_any_node_share_one_file(
    plugin: Dummy, pav_cfg: PavConfig, make_test: TestMaker
) -> None:
    plugin.schedule_tests(pav_cfg, make_test.many(2, share_allocation="false"))
    for_two = _bytes_on_disk(plugin.kickoffs)
    plugin.kickoffs.clear()
    plugin.schedule_tests(pav_cfg, make_test.many(20, share_allocation="false"))

    assert _bytes_on_disk(plugin.kickoffs) == for_two
    for kickoff in plugin.kickoffs:
        assert list(kickoff.job.load_sched_data()) == list(plugin.machine.nodes)


def test_jobs_with_nodes_store_the_data_of_those_only(
    pav_cfg: PavConfig, make_test: TestMaker
) -> None:
    with active(Dummy(FakeMachine(500))) as plugin:
        tests = make_test.many(50, nodes="2", share_allocation="false", chunking={"size": "100"})
        assert plugin.schedule_tests(pav_cfg, tests) == []
        for kickoff in plugin.kickoffs:
            assert list(kickoff.job.load_sched_data()) == kickoff.nodes
        data = plugin.kickoffs[0].job.load_sched_data()
        assert data["node001"]["cpus"] == 8
        assert _bytes_on_disk(plugin.kickoffs) < 50 * 2 * 400


def test_jobs_of_different_filters_get_the_data_of_their_own_nodes(
    plugin: Dummy, pav_cfg: PavConfig, make_test: TestMaker
) -> None:
    plugin.machine.change("node[09-16]", partitions=["gpu"])
    tests = [make_test(partition="gpu"), make_test(partition="main"), make_test(partition="gpu")]
    plugin.schedule_tests(pav_cfg, tests)
    for test, first in zip(tests, ("node09", "node01", "node09")):
        assert next(iter(plugin.kickoff_of(test).job.load_sched_data())) == first


def test_where_hard_links_cannot_be_made_each_job_has_its_own_file(
    plugin: Dummy, pav_cfg: PavConfig, make_test: TestMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: Any, **kwargs: Any) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    tests = make_test.many(3, share_allocation="false")
    assert plugin.schedule_tests(pav_cfg, tests) == []
    for kickoff in plugin.kickoffs:
        assert len(kickoff.job.load_sched_data()) == 16
