"""What tests say of their nodes: verdicts, order and groups."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from pavilion.machine_map import ink_on
from pavilion.node_results import (
    ALL_PASSED,
    ERROR,
    FAILED,
    MIXED,
    NO_TEST,
    NOT_REACHED,
    PASSED,
    SUSPECT,
    UNFINISHED,
    VERDICTS,
    Absence,
    NodeResults,
    TestOutcome,
    grouped,
    node_results,
)
from pavilion.series_map import RESULTS

NAMES = [f"n{number}" for number in range(1, 13)]


def outcomes(*rows: tuple[str, str]) -> list[TestOutcome]:
    """Tests from ('n1 n2', FAILED)."""
    return [
        TestOutcome(f"s1.{number}", f"t.{number}", str(100 + number), nodes.split(), outcome, "why")
        for number, (nodes, outcome) in enumerate(rows, 1)
    ]


def order(results: NodeResults) -> list[str]:
    return [node.name for node in results.nodes]


TESTS = st.lists(
    st.tuples(
        st.lists(st.sampled_from(NAMES), max_size=4).map(" ".join),
        st.sampled_from([PASSED, FAILED, ERROR, UNFINISHED]),
    ),
    max_size=25,
)


@given(tests=TESTS, meant=st.lists(st.sampled_from(NAMES)), out=st.sets(st.sampled_from(NAMES)))
def test_every_node_has_the_verdict_of_its_own_tests(
    tests: list[tuple[str, str]], meant: list[str], out: set[str]
) -> None:
    made = outcomes(*tests)
    absences = {name: Absence("down", True) for name in out}
    results = node_results(made, meant, absences)
    known = {name for test in made for name in test.nodes}
    # Each once, none invented, none lost.
    assert Counter(order(results)) == Counter(known | set(meant) | out)
    assert [test.id for test in results.elsewhere] == [test.id for test in made if not test.nodes]
    for node in results.nodes:
        mine = [test for test in made if node.name in test.nodes]
        counts = Counter(test.outcome for test in mine)
        assert (node.passed, node.failed, node.errors, node.unfinished) == (
            counts[PASSED],
            counts[FAILED],
            counts[ERROR],
            counts[UNFINISHED],
        )
        failed = bool(counts[FAILED] or counts[ERROR])
        passed = bool(counts[PASSED])
        assert (
            node.verdict
            == {
                (True, False): SUSPECT,
                (True, True): MIXED,
                (False, True): ALL_PASSED,
                (False, False): NOT_REACHED,
            }[failed, passed]
        )
        assert [test.id for test in node.tests()] == [test.id for test in mine]
        failing = [test.id for test in mine if test.outcome in (FAILED, ERROR)]
        assert [test.id for test in node.failing()] == failing
        last = failing or [test.id for test in mine]
        assert [test.id for test in node.last_tests(3)] == last[::-1][:3]
        assert bool(node.why) == (node.verdict == NOT_REACHED)
        assert node.left_out == (node.name in out and not mine)
    ranks = [VERDICTS.index(node.verdict) for node in results.nodes]
    assert ranks == sorted(ranks)
    # Groups are the nodes again, in the same order as far as they are single.
    for groups in (grouped(results), grouped(results, alike=1, single=2)):
        assert Counter(name for group in groups for name in group.names) == Counter(order(results))
        for group in groups:
            assert len({node.verdict for node in group.nodes}) == 1
            assert len({node.why for node in group.nodes}) == 1


@given(
    bad=st.sampled_from(NAMES),
    sets=st.lists(st.sets(st.sampled_from(NAMES), min_size=1), min_size=1),
)
def test_the_only_bad_node_comes_first(bad: str, sets: list[set[str]]) -> None:
    """Whatever else ran where, unless its partners were the same every time."""
    sets.append({bad})
    made = outcomes(
        *((" ".join(sorted(names)), FAILED if bad in names else PASSED) for names in sets)
    )
    results = node_results(made)
    first = results.nodes[0]
    assert first.name == bad
    assert first.verdict == SUSPECT
    for node in results.nodes[1:]:
        mine = {test.id for test in node.failing()}
        always_together = mine == {test.id for test in first.failing()}
        if node.failures and not always_together:
            assert node.only_with == [bad]


def test_a_node_that_failed_only_with_a_suspect_comes_after_it() -> None:
    results = node_results(
        outcomes(("n3 n1", FAILED), ("n3 n2", FAILED), ("n3 n4", ERROR), ("n4 n5", PASSED))
    )
    assert order(results) == ["n3", "n1", "n2", "n4", "n5"]
    assert [node.only_with for node in results.nodes] == [[], ["n3"], ["n3"], ["n3"], []]
    assert [node.verdict for node in results.nodes[:4]] == [SUSPECT, SUSPECT, SUSPECT, MIXED]


def test_shares_count_more_than_numbers_and_fewer_partners_more_than_many() -> None:
    often = node_results(
        outcomes(
            *[("n1", FAILED)] * 3, *[("n1", PASSED)] * 7, *[("n2", FAILED)] * 2, ("n2", PASSED)
        )
    )
    assert order(often) == ["n2", "n1"]
    # Who failed alone is more suspect than four who failed together.
    alone = node_results(outcomes(("n1 n2 n3 n4", FAILED), ("n9", FAILED)))
    assert order(alone) == ["n9", "n1", "n2", "n3", "n4"]


def test_why_nodes_were_not_reached() -> None:
    made = [
        TestOutcome("s1.1", "a", "7", ["n1"], UNFINISHED, "cancelled: by me"),
        TestOutcome("s1.2", "b", None, ["n1", "n2"], UNFINISHED, "no such account"),
        TestOutcome("s1.3", "c", None, ["n1"], UNFINISHED, "no such account"),
        TestOutcome("s1.4", "d", "9", ["n5"], PASSED),
    ]
    out = {"n4": Absence("not up: no power", True), "n5": Absence("not up", True)}
    results = node_results(made, ["n2", "n3"], out)
    assert {node.name: node.why for node in results.nodes} == {
        "n1": "s1.1 (job 7): cancelled: by me; s1.2 and 1 more: no such account",
        "n2": "s1.2: no such account",
        "n3": NO_TEST,
        "n4": "not up: no power",
        "n5": "",
    }
    assert results.summary == "5 nodes: 0 suspect, 1 passed, 4 not reached (1 left out)"
    assert not results.all_good


def test_what_is_left_out_on_purpose_is_no_fault() -> None:
    made = outcomes(("n1", PASSED))
    assert node_results(made, ["n1"], {"n2": Absence("in exclude_nodes", False)}).all_good
    assert not node_results(made, ["n1"], {"n2": Absence("not up", True)}).all_good
    assert not node_results(made, ["n1", "n2"]).all_good
    assert not node_results([*made, *outcomes(("n1", UNFINISHED))]).all_good
    # Nobody knows where it was to run.
    assert not node_results([*made, *outcomes(("", UNFINISHED))]).all_good


def test_many_nodes_are_few_lines() -> None:
    names = [f"node{number:05}" for number in range(1, 10_001)]
    passed = [(name, PASSED) for name in names]
    groups = grouped(node_results(outcomes(*passed, ("node00007", FAILED))))
    assert [len(group.nodes) for group in groups] == [1, 9999]
    assert groups[0].names == ["node00007"]
    # All failed in the same test: nothing tells them apart.
    groups = grouped(node_results(outcomes((" ".join(names), FAILED))))
    assert [len(group.nodes) for group in groups] == [10_000]
    # Each failed on its own: the first ones, and the rest.
    groups = grouped(node_results(outcomes(*((name, FAILED) for name in names))))
    assert [len(group.nodes) for group in groups] == [1] * 40 + [9960]
    assert groups[-1].names == names[40:]
    # Who failed in the same tests with only a few others has a line.
    groups = grouped(node_results(outcomes((" ".join(names[:8]), FAILED))))
    assert [len(group.nodes) for group in groups] == [1] * 8


def test_tests_on_the_same_nodes_are_counted_together() -> None:
    """The work must not grow with tests times nodes where all have the same nodes."""
    names = tuple(f"node{number}" for number in range(1, 10_001))
    made = [TestOutcome(f"s1.{n}", "t", None, names, FAILED) for n in range(1, 1001)]
    results = node_results(made)
    assert results.nodes[0].failed == 1000
    assert all(node.same_tests == results.nodes[0].same_tests for node in results.nodes)
    assert len(results.nodes[0].same_tests) == 1


# How the eye of those without red or green cones sees linear red, green and blue (Viénot, 1999).
BLIND = {
    "protan": [(0.1124, 0.8876, 0.0), (0.1124, 0.8876, 0.0), (0.0040, -0.0040, 1.0)],
    "deutan": [(0.2927, 0.7073, 0.0), (0.2927, 0.7073, 0.0), (-0.0223, 0.0223, 1.0)],
    "all": [(1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)],
}


def lab(linear: list[float]) -> tuple[float, float, float]:
    """CIE Lab of linear red, green and blue."""
    red, green, blue = linear
    xyz = (
        (0.4124 * red + 0.3576 * green + 0.1805 * blue) / 0.9505,
        0.2126 * red + 0.7152 * green + 0.0722 * blue,
        (0.0193 * red + 0.1192 * green + 0.9505 * blue) / 1.089,
    )
    x, y, z = (v ** (1 / 3) if v > 0.008856 else 7.787 * v + 16 / 116 for v in xyz)
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


def test_results_can_be_told_apart_by_the_colour_blind() -> None:
    for matrix in BLIND.values():
        seen = []
        for _, color in RESULTS.values():
            linear = [((v / 255 + 0.055) / 1.055) ** 2.4 for v in color]
            seen.append(lab([sum(a * b for a, b in zip(row, linear)) for row in matrix]))
        distances = [
            sum((a - b) ** 2 for a, b in zip(one, other)) ** 0.5
            for number, one in enumerate(seen)
            for other in seen[:number]
        ]
        assert min(distances) > 20
    assert len({mark for mark, _ in RESULTS.values()}) == len(RESULTS)
    assert {ink_on(color) for _, color in RESULTS.values()} == {(0, 0, 0), (255, 255, 255)}
