"""Choose the tests that 'make quick' leaves out, from reports of runs of all tests.

``tools/slow_tests.py REPORT.xml... > tests/slow_tests.txt``, with what 'make test' leaves in
``.test-results``. Those test functions are kept that take the least time per test, until the budget is
used up.
"""

from __future__ import annotations

import collections
import re
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

# Seconds of tests, which two processes share. Starting and collecting take ten more.
BUDGET = 70.0
# A function of many quick tests is worth more than its time.
PER_TEST = 0.35

HEADER = """\
# What 'make quick' leaves out. Written by tools/slow_tests.py, from the times of a run of all tests.
"""


def main(reports: list[str]) -> None:
    """Print the list."""
    times: dict[str, list[float]] = collections.defaultdict(list)
    for report in reports:
        for case in ET.parse(report).getroot().iter("testcase"):
            name, where = case.get("name", ""), case.get("classname") or ""
            path = _path(where)
            if path:
                function = re.sub(r"\[.*", "", name, flags=re.DOTALL)
                times[path.format(function)].append(float(case.get("time", 0)))
    kept, used = set(), 0.0
    for function in sorted(times, key=lambda name: sum(times[name]) / len(times[name])):
        total = sum(times[function])
        if total / len(times[function]) > PER_TEST or used + total > BUDGET:
            continue
        kept.add(function)
        used += total
    files = collections.defaultdict(list)
    for function in times:
        files[function.partition("::")[0]].append(function)
    print(HEADER, end="")
    for file, functions in sorted(files.items()):
        slow = sorted(set(functions) - kept)
        # Little would be left of it: not worth reading the file.
        whole = sum(len(times[name]) for name in functions)
        if sum(len(times[name]) for name in slow) > 0.7 * whole:
            print(file)
        else:
            print(*slow, sep="\n", end="\n" if slow else "")
    tests = sum(map(len, times.values()))
    count = sum(len(times[name]) for name in kept)
    print(f"kept: {count} of {tests} tests, {used:.0f} seconds", file=sys.stderr)


def _path(where: str) -> str:
    """The node id of a class of tests or a module, with a place for the function."""
    words = where.split(".")
    for count in range(len(words), 0, -1):
        path = Path(*words[:count]).with_suffix(".py")
        if path.exists():
            return "::".join([str(path), *words[count:], "{}"])
    return ""


if __name__ == "__main__":
    main(sys.argv[1:])
