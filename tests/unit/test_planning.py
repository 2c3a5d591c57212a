"""Placement: the rules by example, and the laws over random machines and tests."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pavilion.schedulers.placement import hostlists
from pavilion.schedulers.placement.chunking import make_chunks
from pavilion.schedulers.placement.planning import ChunkUsage, Plan, PlannedJob, TestRequest, plan

NODES = [f"n{number}" for number in range(1, 13)]


def request(key: Any, **options: Any) -> TestRequest:
    """One test on an unchunked machine of 12 nodes, with nodes by name."""
    values: dict[str, Any] = {
        "name": f"test{key}",
        "config": {},
        "chunks_id": "all",
        "chunks": [NODES],
        "min_nodes": 2,
        "max_nodes": 2,
    }
    values.update(options)
    return TestRequest(key=key, **values)


def requests(count: int, **options: Any) -> list[TestRequest]:
    return [request(number, **options) for number in range(count)]


def chunked(size: int, **options: Any) -> dict[str, Any]:
    return {"chunked": True, "chunks": make_chunks(NODES, size), "chunks_id": size, **options}


def message(placed: Plan) -> str:
    """The one error of a plan without jobs."""
    assert placed.jobs == []
    (error,) = placed.errors
    return error.message


class TestChunks:
    """Which chunk a test gets."""

    def test_any_takes_the_least_used_and_lowest(self) -> None:
        tests = requests(5, share=False, **chunked(4))
        tests.insert(0, request("fixed", share=False, chunk=0, **chunked(4)))
        assert [job.chunk for job in plan(tests).jobs] == [0, 1, 2, 0, 1, 2]

    def test_a_number_takes_that_chunk(self) -> None:
        tests = [request(number, chunk=number, **chunked(4)) for number in (2, 0)]
        tests.append(request("text", chunk="1", **chunked(4)))
        jobs = plan(tests).jobs
        assert [job.chunk for job in jobs] == [2, 0, 1]
        assert [job.nodes for job in jobs] == [["n9", "n10"], ["n1", "n2"], ["n5", "n6"]]

    def test_usage_carries_over(self) -> None:
        usage = ChunkUsage()
        places = [
            (job.chunk, job.nodes)
            for number in range(7)
            for job in plan([request(number, **chunked(4))], usage).jobs
        ]
        assert [chunk for chunk, _ in places] == [0, 1, 2, 0, 1, 2, 0]
        assert places[0][1] == ["n1", "n2"]
        assert places[3][1] == ["n3", "n4"]

    @pytest.mark.parametrize("chunk", [3, -1, "3"])
    def test_out_of_range_is_an_error_of_that_test_alone(self, chunk: Any) -> None:
        tests = [request("bad", chunk=chunk, **chunked(4)), request("good", **chunked(4))]
        placed = plan(tests)
        assert [(job.tests, job.chunk) for job in placed.jobs] == [(["good"], 0)]
        (error,) = placed.errors
        assert error.tests == ["bad"]
        assert "there are 3 chunks, numbered 0 to 2" in error.message

    @pytest.mark.parametrize("chunk", ["some", None, float("inf")])
    def test_not_a_number(self, chunk: Any) -> None:
        assert "must be 'any' or a number" in message(plan([request(1, chunk=chunk)]))

    def test_numbers_without_chunking(self) -> None:
        assert plan([request(1, chunk=0)]).jobs[0].chunk is None
        assert "chunking is off" in message(plan([request(1, chunk=1)]))

    def test_tests_with_errors_do_not_move_the_others(self) -> None:
        tests = [request("bad", min_nodes=5, max_nodes=5, **chunked(4))]
        tests += requests(2, share=False, **chunked(4))
        assert [job.chunk for job in plan(tests).jobs] == [0, 1]


class TestSharing:
    """Which tests get one job."""

    def test_share_uses_the_whole_machine(self) -> None:
        jobs = plan(requests(14, max_nodes=4)).jobs
        assert [job.tests for job in jobs] == [
            [0, 3, 6, 9, 12],
            [1, 4, 7, 10, 13],
            [2, 5, 8, 11],
        ]
        assert [job.nodes for job in jobs] == [NODES[:4], NODES[4:8], NODES[8:]]
        assert {job.mode for job in jobs} == {"shared"}

    def test_no_job_without_tests(self) -> None:
        jobs = plan(requests(2, max_nodes=3)).jobs
        assert [job.tests for job in jobs] == [[0], [1]]
        assert {job.mode for job in jobs} == {"own"}

    def test_max_makes_one_job(self) -> None:
        (job,) = plan(requests(14, share="max")).jobs
        assert job.tests == list(range(14))
        assert job.nodes == ["n1", "n2"]

    def test_no_maximum_makes_one_job_with_all_nodes(self) -> None:
        (job,) = plan(requests(3, max_nodes=None)).jobs
        assert job.nodes == NODES

    def test_a_chunked_group_makes_one_job_per_chunk(self) -> None:
        jobs = plan(requests(7, **chunked(4))).jobs
        assert [(job.chunk, job.tests) for job in jobs] == [
            (0, [0, 3, 6]),
            (1, [1, 4]),
            (2, [2, 5]),
        ]

    def test_without_sharing_each_test_has_its_own_job(self) -> None:
        jobs = plan(requests(7, share=False)).jobs
        assert [job.tests for job in jobs] == [[number] for number in range(7)]
        assert {job.mode for job in jobs} == {"own"}
        assert Counter(node for job in jobs for node in job.nodes or []) == {
            **dict.fromkeys(NODES, 1),
            "n1": 2,
            "n2": 2,
        }

    @pytest.mark.parametrize(
        "other",
        [
            {"share_key": "other"},
            {"min_nodes": 1},
            {"max_nodes": 3},
            {"share": False},
            {"share": True},
            {"chunks_id": "others"},
            {"flexible": True},
        ],
    )
    def test_different_tests_never_share(self, other: dict[str, Any]) -> None:
        tests = [request(1, share="max"), request(2, **{"share": "max", **other})]
        assert [job.tests for job in plan(tests).jobs] == [[1], [2]]

    def test_the_time_limit_is_the_largest_of_its_own_tests(self) -> None:
        tests = [
            request(1, time_limit=2, config={"time_limit": 2, "tag": "a"}),
            request(2, time_limit=5, config={"time_limit": 5, "tag": "b"}),
            request(3, time_limit=5, config={"time_limit": 5, "tag": "c"}),
        ]
        (job,) = plan([replace(one, share="max") for one in tests]).jobs
        assert (job.time_limit, job.config) == (5, {"time_limit": 5, "tag": "a"})
        limits = [job.time_limit for job in plan(tests).jobs]
        assert limits == [2, 5, 5]


class TestNodes:
    """Which nodes a job gets."""

    def test_flexible_tests_leave_the_choice_to_the_scheduler(self) -> None:
        tests = requests(13, flexible=True, min_nodes=1, max_nodes=4)
        jobs = plan(tests).jobs
        assert [(job.nodes, job.node_range) for job in jobs] == [(None, (1, 4))] * 3

    def test_flexible_tests_need_no_inventory(self) -> None:
        placed = plan(requests(3, flexible=True, chunks=[], max_nodes=None))
        assert [(job.node_range, job.tests) for job in placed.jobs] == [((2, None), [0, 1, 2])]
        assert "Insufficient nodes" in message(plan(requests(1, chunks=[])))
        assert "Insufficient nodes" in message(plan(requests(1, chunked=True, chunks=[])))

    def test_flexible_tests_with_too_few_usable_nodes(self) -> None:
        text = message(
            plan(
                [
                    request(
                        1,
                        flexible=True,
                        min_nodes=13,
                        max_nodes=13,
                        left_out={"not up": ["n13", "n14"]},
                    )
                ]
            )
        )
        assert text == (
            "Insufficient nodes. Requested at least 13, but only 12 of 14 remain. "
            "Left out: not up: 2 (n[13-14])."
        )

    def test_equal_errors_are_told_once(self) -> None:
        placed = plan(requests(3, min_nodes=13, max_nodes=20))
        assert [error.tests for error in placed.errors] == [[0, 1, 2]]

    def test_too_small_chunks(self) -> None:
        tests = requests(1, **chunked(4, min_nodes=5, max_nodes=None))
        assert "Requested at least 5, but the chunks have only 4 nodes" in message(plan(tests))

    def test_as_many_nodes_as_there_are_up_to_the_maximum(self) -> None:
        sizes = [
            len(plan([request(1, min_nodes=2, max_nodes=most)]).jobs[0].nodes or [])
            for most in (2, 5, 20, None)
        ]
        assert sizes == [2, 5, 12, 12]

    def test_bad_numbers(self) -> None:
        assert "min_nodes (3) is more than nodes (2)" in message(plan([request(1, min_nodes=3)]))

    def test_include_nodes_are_in_every_job_and_count(self) -> None:
        tests = requests(
            4, share=False, min_nodes=3, max_nodes=3, config={"include_nodes": ["n10", "n2"]}
        )
        assert [job.nodes for job in plan(tests).jobs] == [
            ["n1", "n2", "n10"],
            ["n2", "n3", "n10"],
            ["n2", "n4", "n10"],
            ["n2", "n5", "n10"],
        ]

    def test_include_nodes_alone(self) -> None:
        test = request(1, config={"include_nodes": ["n4", "n2", "n4"]})
        assert plan([test]).jobs[0].nodes == ["n2", "n4"]
        test = request(
            1, min_nodes=1, max_nodes=None, flexible=True, config={"include_nodes": ["n4", "n2"]}
        )
        assert plan([test]).jobs[0].node_range == (2, None)

    def test_include_nodes_that_do_not_fit(self) -> None:
        include = {"include_nodes": ["n1", "n2", "n3"]}
        assert "names 3 nodes (n[1-3])" in message(plan([request(1, config=include)]))

    def test_include_nodes_that_are_not_there(self) -> None:
        config = {"include_nodes": ["n99"]}
        assert "not usable: n99" in message(plan([request(1, config=config)]))
        left_out = {"in include_nodes, but not up": ["n99"]}
        text = message(plan([request(1, config=config, left_out=left_out)]))
        assert text == "include_nodes names nodes that cannot be used: n99 (not up)."

    def test_a_seed_moves_the_start(self) -> None:
        starts = {
            tuple(plan([request(1)], rng=random.Random(seed)).jobs[0].nodes or ())
            for seed in range(50)
        }
        assert len(starts) > 8
        assert all(names == tuple(hostlists.natural_sorted(names)) for names in starts)

    def test_one_key_twice_is_a_mistake(self) -> None:
        with pytest.raises(ValueError, match="twice"):
            plan([request(1), request(1)])


# --- Laws ---

ODD_NAMES = st.sampled_from(
    [f"n{number}" for number in range(20)] + ["n01", "n007", "login", "x1c0", "x1c10", "a b", "é"]
)


@st.composite
def chunk_sets(draw: st.DrawFn) -> dict[str, Any]:
    """A machine with duplicates, gaps and odd names; chunked or not; with nodes to include."""
    names = draw(st.lists(ODD_NAMES, max_size=25))
    distinct = len(set(names))
    size = draw(st.integers(0, distinct))
    most_include = size - 1 if size else distinct
    include = draw(
        st.lists(st.sampled_from(names), max_size=min(3, max(0, most_include)))
        if names
        else st.just([])
    )
    selection = draw(st.sampled_from(["contiguous", "random", "distributed", "rand_dist"]))
    chunks = make_chunks(names, size, selection, "backfill", include, random.Random(1))
    if not size and names:
        chunks = [names]  # With its duplicates.
    hostile = draw(st.sampled_from([[], [], [], ["gone"]]))
    return {"chunks": chunks, "chunked": bool(size), "config": {"include_nodes": include + hostile}}


@st.composite
def request_lists(draw: st.DrawFn) -> list[TestRequest]:
    sets = draw(st.lists(chunk_sets(), min_size=1, max_size=3))
    tests = []
    for key in range(draw(st.integers(0, 25))):
        number = draw(st.integers(0, len(sets) - 1))
        limit = draw(st.integers(1, 5))
        chosen = dict(sets[number])
        chosen["config"] = {**chosen["config"], "time_limit": limit, "tag": key}
        if draw(st.integers(0, 9)) == 0:
            chosen["chunks"] = []
        tests.append(
            TestRequest(
                key=key,
                name=f"t{key}",
                chunks_id=number,
                **chosen,
                chunk=draw(st.sampled_from(["any", "any", "any", 0, 1, 7, -1, "x"])),
                flexible=not chosen["chunked"] and draw(st.booleans()),
                min_nodes=draw(st.sampled_from([0, 1, 1, 2, 3, 30])),
                max_nodes=draw(st.sampled_from([None, 1, 2, 3, 4, 40])),
                share=draw(st.sampled_from([True, False, "max"])),
                share_key=draw(st.sampled_from([("a",), ("b",)])),
                time_limit=limit,
            )
        )
    return tests


@settings(max_examples=250, deadline=None)
@given(request_lists(), st.none() | st.integers(0, 3))
def test_laws(tests: list[TestRequest], seed: int | None) -> None:
    def make() -> Plan:
        return plan(tests, rng=None if seed is None else random.Random(seed))

    placed = make()
    assert make() == placed
    by_key = {test.key: test for test in tests}

    # Every test is in exactly one job or in exactly one error.
    keys = [key for job in placed.jobs for key in job.tests]
    keys += [key for error in placed.errors for key in error.tests]
    assert sorted(keys) == sorted(by_key)
    for job in placed.jobs:
        check_job(job, [by_key[key] for key in job.tests])
    check_disjoint(placed, by_key)


def check_job(job: PlannedJob, members: list[TestRequest]) -> None:
    """The laws of a single job."""
    first = members[0]
    assert job.tests and job.tests == sorted(job.tests)
    assert job.mode == ("own" if len(members) == 1 else "shared")
    for attribute in ("share_key", "share", "min_nodes", "max_nodes", "chunks_id"):
        assert len({getattr(test, attribute) for test in members}) == 1
    assert len(members) == 1 or first.share
    assert job.time_limit == max(test.time_limit for test in members)
    assert job.config["time_limit"] == job.time_limit
    assert job.config["tag"] == job.tests[0]

    assert (job.nodes is None) != (job.node_range is None)
    assert (job.chunk is None) != first.chunked
    include = set(first.config["include_nodes"])
    least = max(first.min_nodes, len(include), 1)
    if job.node_range is not None:
        assert first.flexible
        most = first.max_nodes
        if most is not None and first.chunks:
            usable = len(set(first.chunks[job.chunk or 0]))
            most = max(least, min(most, usable))
        assert job.node_range == (least, most)
        assert first.max_nodes is None or least <= first.max_nodes
        return
    assert job.nodes is not None
    chunk = set(first.chunks[job.chunk or 0])
    assert include <= set(job.nodes) <= chunk
    assert job.nodes == hostlists.natural_sorted(set(job.nodes))
    assert least <= len(job.nodes)
    assert len(job.nodes) == min(len(chunk), first.max_nodes or len(chunk))
    for test in members:
        assert test.chunk in ("any", job.chunk or 0)


def check_disjoint(placed: Plan, by_key: dict[Any, TestRequest]) -> None:
    """No two jobs of a chunk share nodes while there are unused ones; use stays even."""
    used: dict[Any, Counter[str]] = {}
    for job in placed.jobs:
        first = by_key[job.tests[0]]
        if job.nodes is None:
            continue
        include = set(first.config["include_nodes"])
        others = set(first.chunks[job.chunk or 0]) - include
        counts = used.setdefault((first.chunks_id, job.chunk), Counter())
        counts.update(set(job.nodes) - include)
        assert max((counts[name] for name in others), default=0) <= 1 + min(
            (counts[name] for name in others), default=0
        )


@settings(max_examples=50, deadline=None)
@given(st.lists(st.sampled_from(["any", "any", 0, 1, 2]), max_size=30))
def test_any_always_takes_the_least_used_chunk(chunks: list[Any]) -> None:
    usage = ChunkUsage()
    used = [0, 0, 0]
    for number, chunk in enumerate(chunks):
        (job,) = plan([request(number, chunk=chunk, **chunked(4))], usage).jobs
        expected = used.index(min(used)) if chunk == "any" else chunk
        assert job.chunk == expected
        used[expected] += 1


def test_plans_do_not_depend_on_the_hash_seed() -> None:
    code = (
        "import random\n"
        "from pavilion.schedulers.placement.chunking import make_chunks\n"
        "from pavilion.schedulers.placement.planning import TestRequest, plan\n"
        "nodes = [f'n{i}' for i in range(30)]\n"
        "chunks = make_chunks(nodes, 8, 'random', 'backfill', ['n3', 'n5'], random.Random(5))\n"
        "tests = [TestRequest(key=f's1.{i}', name='t', config={'include_nodes': ['n5', 'n3']},\n"
        "         chunks_id='c', chunks=chunks, chunked=True, min_nodes=3, max_nodes=4,\n"
        "         share=i % 3 > 0, share_key=('k', i % 2)) for i in range(40)]\n"
        "print(plan(tests, rng=random.Random(7)))\n"
    )
    results = set()
    for hash_seed in ("0", "1", "77"):
        env = {**os.environ, "PYTHONHASHSEED": hash_seed}
        done = subprocess.run(
            [sys.executable, "-c", code],
            env=env,
            capture_output=True,
            text=True,
            check=True,
            cwd=Path(__file__).parent,
        )
        results.add(done.stdout)
    assert len(results) == 1
    assert "PlannedJob" in results.pop()
