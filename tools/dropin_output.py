"""Parsing the output of test runners: of ``python -m unittest -v``, of ``pytest -v`` and of
Pavilion's own ``run_tests``."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

OK, SKIPPED, FAILED, ERROR, MISSING = "ok", "skipped", "FAIL", "ERROR", "missing"
# How good an outcome is.
RANK = {OK: 2, SKIPPED: 1, FAILED: 0, ERROR: 0, MISSING: 0}


@dataclass
class Run:
    """A run of the tests.

    :param outcomes: Name of the test -> its outcome, a key of RANK.
    :param texts: Name of the test -> its message or traceback.
    :param seconds: The duration in seconds.
    :param log: The complete output.
    :param note: How it ended.
    """

    outcomes: dict[str, str] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    log: str = ""
    note: str = ""

    def add(self, test: str, outcome: str, text: str = "") -> None:
        """Record an outcome.  If a test has several, the worst one counts."""
        known = self.outcomes.get(test)
        if known is None or RANK[outcome] < RANK[known]:
            self.outcomes[test] = outcome
            self.texts[test] = text

    def of(self, test: str) -> str:
        """The outcome of a test."""
        return self.outcomes.get(test, MISSING)


_COLOURS = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_WORDS = {
    "ok": OK,
    "passed": OK,
    "expected failure": OK,
    "xfail": OK,
    "xfailed": OK,
    "fail": FAILED,
    "failed": FAILED,
    "unexpected success": FAILED,
    "xpass": OK,
    "error": ERROR,
    "skipped": SKIPPED,
    "skip": SKIPPED,
}
_OUTCOME = "|".join(sorted(_WORDS, key=len, reverse=True))
# tests/test_a.py::TestA::test_b PASSED    [ 50%]
_PYTEST = re.compile(
    rf"^(?P<test>\S+::.+?)\s+(?P<outcome>{_OUTCOME})\b"
    r"(?:\s+\(.*\))?(?:\s+\[\s*\d+%\])?$",
    re.IGNORECASE,
)
# [gw0] [ 50%] PASSED tests/test_a.py::TestA::test_b
_XDIST = re.compile(
    rf"^\[gw\d+\] \[\s*\d+%\] (?P<outcome>{_OUTCOME}) (?P<test>\S+::.+?)$", re.IGNORECASE
)
# test_b (tests.a.TestA)   or, since Python 3.11:   test_b (tests.a.TestA.test_b)
_UNITTEST = re.compile(r"^(?P<method>\w+) \((?P<where>[\w.<>]+)\)")
# The outcome is at the end of the test's line ('... ok'), or alone after what the test printed.
_END = re.compile(rf"(?:^|\.\.\. )(?P<outcome>{_OUTCOME})(?: ['\"].*)?$", re.IGNORECASE)
_DETAILS = re.compile(r"(?P<outcome>FAIL|ERROR): (?P<test>.*)$")


# The lines above the heading of each traceback at the end, and below it.
_DOUBLE, _SINGLE = re.compile(r"={5,}$"), re.compile(r"-{5,}$")
# How run_tests marks the tests that were not requested.
_NOT_ASKED_FOR = "skipped 'via cmdline'"


def parse_output(text: str) -> Run:
    """The outcomes in the output of a test runner."""
    run = Run()
    open_test = ""
    lines = [_COLOURS.sub("", raw).rstrip() for raw in text.splitlines()]
    # The summary after all tests.  What a test itself prints may look like part of it.
    heads = [
        number
        for number, line in enumerate(lines)
        if _DETAILS.match(line) and number and _DOUBLE.match(lines[number - 1])
    ]
    for line in lines[: heads[0]] if heads else lines:
        match = _PYTEST.match(line) or _XDIST.match(line)
        if match:
            run.add(match["test"], _WORDS[match["outcome"].lower()])
            continue
        match = _UNITTEST.match(line)
        if match:
            open_test = _name(match)
        end = _END.search(line)
        if open_test and end:
            if not line.endswith(_NOT_ASKED_FOR):
                run.add(open_test, _WORDS[end["outcome"].lower()], line)
            open_test = ""
    for start, end_of_it in zip(heads, [*heads[1:], len(lines)]):
        _add_details(run, lines[start:end_of_it])
    return run


def _add_details(run: Run, lines: list[str]) -> None:
    """Record the traceback of a test.  The summary also names tests that were never started."""
    match = _DETAILS.match(lines[0])
    found = match and _UNITTEST.match(match["test"])
    if not match or not found:
        return
    test, text = _name(found), []
    for line in lines[1:]:
        if re.match(r"Ran \d+ tests? in ", line):
            break
        if not _DOUBLE.match(line) and not _SINGLE.match(line):
            text.append(line)
    run.add(test, _WORDS[match["outcome"].lower()])
    run.texts[test] = "\n".join(text)


def _name(match: re.Match[str]) -> str:
    """The name of a test, the same for all Pythons."""
    where, method = match["where"].strip(), match["method"]
    return where if where.endswith(f".{method}") else f"{where}.{method}"
