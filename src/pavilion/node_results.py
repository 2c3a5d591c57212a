"""Results by node: which nodes passed, which are suspect, and which were not reached and why.

The work grows linearly with the nodes of the tests: tests on the same nodes are counted once, for
all of these nodes together.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

from pavilion.schedulers.placement import hostlists

# What came of a test on its nodes.
PASSED = "passed"
FAILED = "failed"
ERROR = "error"
# It did not finish there: it was cancelled, lost or never started, or has not ended yet.
UNFINISHED = "unfinished"

# What that means for a node, in the order in which they are listed.
SUSPECT = "suspect"
MIXED = "mixed"
NOT_REACHED = "not reached"
ALL_PASSED = "passed"
VERDICTS = (SUSPECT, MIXED, NOT_REACHED, ALL_PASSED)
# By whether it was in failing tests, and whether in passing ones.
_VERDICT_OF = {
    (True, False): SUSPECT,
    (True, True): MIXED,
    (False, False): NOT_REACHED,
    (False, True): ALL_PASSED,
}

NO_TEST = "no test was placed on it"


@dataclass(frozen=True, eq=False)
class TestOutcome:
    """What came of a test.

    - ``job``: the id of its job for its scheduler; None without
    - ``nodes``: the nodes it ran on, or was meant to run on
    - ``outcome``: PASSED, FAILED, ERROR or UNFINISHED
    - ``why``: for UNFINISHED: what kept it from finishing
    """

    __test__ = False

    id: str
    name: str
    job: str | None
    nodes: Sequence[str]
    outcome: str
    why: str = ""

    @property
    def label(self) -> str:
        """Its id, with that of its job: 's1.7 (job 58)'."""
        return self.id if self.job is None else f"{self.id} (job {self.job})"


class Absence(NamedTuple):
    """Why a node that tests meant was left out."""

    why: str
    # Whether it is missing: down, in use, unknown.
    missing: bool


_Placed = tuple[int, TestOutcome]


@dataclass(eq=False)
class _Place:
    """Tests on the same nodes."""

    nodes: list[str]
    # Each with its place in the order of all tests; then the failing ones alone.
    tests: list[_Placed] = field(default_factory=list)
    failing: list[_Placed] = field(default_factory=list)
    passed: int = 0
    failed: int = 0
    errors: int = 0
    unfinished: int = 0
    # The most failures of a node in these tests that never passed, and the first such node.
    worst: int = 0
    culprit: str = ""


@dataclass(eq=False)
class NodeResult:
    """What came of the tests on a node.

    - ``verdict``: SUSPECT (it failed and never passed), MIXED (both), ALL_PASSED or NOT_REACHED
    - ``passed``, ``failed``, ``errors``, ``unfinished``: how many of its tests
    - ``only_with``: the nodes that all of its failures are put down to; empty for a node with
      failures of its own
    - ``smallest``: how many nodes the smallest of its failing tests had
    - ``why``: why it was not reached
    - ``left_out``: whether it was left out from the start
    - ``missing``: for a node that was not reached: whether it should have been
    """

    name: str
    verdict: str = NOT_REACHED
    passed: int = 0
    failed: int = 0
    errors: int = 0
    unfinished: int = 0
    only_with: list[str] = field(default_factory=list)
    smallest: int = 0
    why: str = ""
    left_out: bool = False
    missing: bool = True
    _places: list[_Place] = field(default_factory=list, repr=False)

    @property
    def failures(self) -> int:
        """How many tests failed on it, errors included."""
        return self.failed + self.errors

    @property
    def share(self) -> float:
        """The share of failures among its finished tests."""
        return self.failures / max(1, self.failures + self.passed)

    def tests(self) -> list[TestOutcome]:
        """Its tests, in their order."""
        return _in_order(placed for place in self._places for placed in place.tests)

    def failing(self) -> list[TestOutcome]:
        """The tests that failed on it, errors included, in their order."""
        return _in_order(placed for place in self._places for placed in place.failing)

    def last_tests(self, count: int) -> list[TestOutcome]:
        """Some of its tests, the last first: failing ones if there are any."""
        found: list[_Placed] = []
        for place in self._places:
            found += (place.failing if self.failures else place.tests)[-count:]
        return _in_order(found)[: -count - 1 : -1]

    @cached_property
    def same_tests(self) -> tuple[int, ...]:
        """Equal for nodes that had the same tests: nothing tells them apart."""
        return tuple([id(place) for place in self._places])


@dataclass
class NodeResults:
    """The nodes, suspects first.

    - ``elsewhere``: tests whose nodes are not known
    """

    nodes: list[NodeResult]
    elsewhere: list[TestOutcome]

    def count(self, verdict: str) -> int:
        """How many nodes have a verdict."""
        return sum(node.verdict == verdict for node in self.nodes)

    @property
    def left_out(self) -> int:
        """How many nodes were left out from the start."""
        return sum(node.left_out for node in self.nodes)

    @property
    def summary(self) -> str:
        """'16 nodes: 2 suspect, 12 passed, 2 not reached (1 left out)'."""
        counts = [
            f"{self.count(verdict)} {verdict}"
            for verdict in (SUSPECT, MIXED, ALL_PASSED, NOT_REACHED)
            if self.count(verdict) or verdict != MIXED
        ]
        total = len(self.nodes)
        text = f"{total} {'node' if total == 1 else 'nodes'}: {', '.join(counts)}"
        return f"{text} ({self.left_out} left out)" if self.left_out else text

    @property
    def all_good(self) -> bool:
        """Whether every node that should have been reached was, and passed all of its tests, and
        whether the tests whose nodes are not known passed, too."""
        return all(test.outcome == PASSED for test in self.elsewhere) and all(
            node.verdict == ALL_PASSED and not node.unfinished
            if node.verdict != NOT_REACHED
            else not node.missing
            for node in self.nodes
        )


def node_results(
    tests: Iterable[TestOutcome],
    meant: Iterable[str] = (),
    left_out: Mapping[str, Absence] | None = None,
) -> NodeResults:
    """Work out what the tests say about their nodes.

    :param meant: Nodes that were to be tested, in addition to those of the tests.
    :param left_out: Nodes that were left out from the start, and why.
    """
    places, elsewhere = _places_of(tests)
    by_node: defaultdict[str, list[_Place]] = defaultdict(list)
    for place in places:
        for name in place.nodes:
            by_node[name].append(place)
    for name in (*meant, *(left_out or ())):
        by_node[name]
    nodes = {name: _counted(name, found) for name, found in by_node.items()}
    _find_culprits(places, nodes)
    # Nodes with the same tests have the same reason; there may be many of both.
    reasons: dict[tuple[int, ...], str] = {(): NO_TEST}
    for node in nodes.values():
        absence = (left_out or {}).get(node.name)
        if node.failures:
            _put_down(node)
        elif node.verdict == NOT_REACHED and absence is not None and not node._places:
            node.why, node.missing = absence
            node.left_out = True
        elif node.verdict == NOT_REACHED:
            if node.same_tests not in reasons:
                reasons[node.same_tests] = _why_unfinished(node.tests())
            node.why = reasons[node.same_tests]
    in_order = [nodes[name] for name in hostlists.natural_sorted(nodes)]
    return NodeResults(sorted(in_order, key=_rank), elsewhere)


def _in_order(placed: Iterable[_Placed]) -> list[TestOutcome]:
    return [test for _, test in sorted(placed, key=lambda item: item[0])]


def _places_of(tests: Iterable[TestOutcome]) -> tuple[list[_Place], list[TestOutcome]]:
    places: dict[tuple[str, ...], _Place] = {}
    elsewhere = []
    for number, test in enumerate(tests):
        if not test.nodes:
            elsewhere.append(test)
            continue
        key = tuple(test.nodes)
        place = places.get(key)
        if place is None:
            place = places[key] = _Place(list(dict.fromkeys(key)))
        place.tests.append((number, test))
        if test.outcome in (FAILED, ERROR):
            place.failing.append((number, test))
        place.passed += test.outcome == PASSED
        place.failed += test.outcome == FAILED
        place.errors += test.outcome == ERROR
        place.unfinished += test.outcome == UNFINISHED
    return list(places.values()), elsewhere


def _counted(name: str, places: list[_Place]) -> NodeResult:
    passed = sum([place.passed for place in places])
    failed = sum([place.failed for place in places])
    errors = sum([place.errors for place in places])
    verdict = _VERDICT_OF[failed + errors > 0, passed > 0]
    unfinished = sum([place.unfinished for place in places])
    return NodeResult(name, verdict, passed, failed, errors, unfinished, _places=places)


def _find_culprits(places: Iterable[_Place], nodes: Mapping[str, NodeResult]) -> None:
    for place in places:
        if not place.failing:
            continue
        for name in place.nodes:
            node = nodes[name]
            if not node.passed and node.failed + node.errors > place.worst:
                place.worst, place.culprit = node.failed + node.errors, name


def _put_down(node: NodeResult) -> None:
    """Find out whether all failures of a node are put down to others: to one in the same test that
    never passed either and failed more often, or that never passed while this one did."""
    failing = [place for place in node._places if place.failing]
    node.smallest = min([len(place.nodes) for place in failing])
    own = 0 if node.passed else node.failures
    for place in failing:
        if place.worst <= own:
            return
    node.only_with = list(dict.fromkeys(place.culprit for place in failing))


def _why_unfinished(tests: Iterable[TestOutcome]) -> str:
    """Why tests did not finish: each reason once."""
    reasons: dict[str, list[TestOutcome]] = {}
    for test in tests:
        reasons.setdefault(test.why, []).append(test)
    texts = []
    for why, same in reasons.items():
        more = f" and {len(same) - 1} more" if len(same) > 1 else ""
        texts.append(f"{same[0].label}{more}: {why}")
    return "; ".join(texts)


def _rank(node: NodeResult) -> tuple[object, ...]:
    """The order in which nodes are listed; equal ones stay in their natural order."""
    return (
        VERDICTS.index(node.verdict),
        bool(node.only_with),
        -node.share,
        -node.failures,
        node.smallest,
        node.left_out,
    )


# ---------------------------------------------------------------------------------------- folding


@dataclass
class NodeGroup:
    """Nodes with equal outcomes, in their order."""

    nodes: list[NodeResult]

    @property
    def first(self) -> NodeResult:
        """The node that stands for all of them."""
        return self.nodes[0]

    @property
    def names(self) -> list[str]:
        """The names of the nodes."""
        return [node.name for node in self.nodes]

    @property
    def alike(self) -> bool:
        """Whether all of them had the same tests."""
        same = self.first.same_tests
        return all(node.same_tests == same for node in self.nodes)

    def span(self, key: str) -> tuple[int, int]:
        """The least and the greatest of a count ('passed')."""
        counts = [getattr(node, key) for node in self.nodes]
        return min(counts), max(counts)


def grouped(results: NodeResults, alike: int = 8, single: int = 40) -> list[NodeGroup]:
    """Nodes with equal outcomes together, in the order of the first of them.

    Nodes that passed, or were not reached for the same reason, are one group.  Nodes with failures
    are groups of their own; but more than ``alike`` of them that failed in the same tests, so that
    nothing tells them apart, are one group, and after ``single`` groups so are those with equal
    numbers.
    """
    same: dict[object, int] = {}
    for node in results.nodes:
        if node.failures:
            same[_alike(node)] = same.get(_alike(node), 0) + 1
    groups: dict[object, NodeGroup] = {}
    shown: set[object] = set()
    for node in results.nodes:
        key: object
        if not node.failures:
            key = (node.verdict, node.why, bool(node.unfinished))
        else:
            key = _alike(node) if same[_alike(node)] > alike else node.name
            if key not in shown and len(shown) >= single:
                key = (node.verdict, node.passed, node.failed, node.errors, bool(node.only_with))
            else:
                shown.add(key)
        groups.setdefault(key, NodeGroup([])).nodes.append(node)
    return list(groups.values())


def _alike(node: NodeResult) -> object:
    return (node.verdict, node.same_tests, tuple(node.only_with))
