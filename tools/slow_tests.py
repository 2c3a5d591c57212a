"""Choose the tests that 'make quick' leaves out, from the report of a run of all tests.

``tools/slow_tests.py REPORT.xml > tests/slow_tests.txt``, with what 'make test' leaves in
``.test-results``. In each directory those test functions are kept that take the least time per test,
until its budget is used up: so there are some of each.
"""

from __future__ import annotations

import collections
import re
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

# Seconds of tests by directory. Two processes share them, and need ten more to start.
BUDGETS = {"unit": 30.0, "contract": 22.0, "integration": 18.0, "slurm": 12.0}
# A file of which less is left is not read at all.
WORTH_READING = 0.15

HEADER = """\
# What 'make quick' leaves out. Written by tools/slow_tests.py, from the times of a run of all tests.
"""


def main(report: str) -> None:
    """Print the list."""
    times: dict[str, list[float]] = collections.defaultdict(list)
    for case in ET.parse(report).getroot().iter("testcase"):
        path = _path(case.get("classname") or "")
        if path:
            function = re.sub(r"\[.*", "", case.get("name", ""), flags=re.DOTALL)
            times[f"{path}::{function}"].append(float(case.get("time", 0)))
    kept: set[str] = set()
    for directory, budget in BUDGETS.items():
        here = [name for name in times if name.startswith(f"tests/{directory}/")]
        used = 0.0
        for name in sorted(here, key=lambda name: sum(times[name]) / len(times[name])):
            used += sum(times[name])
            if used > budget:
                break
            kept.add(name)
    files = collections.defaultdict(list)
    for name in times:
        files[name.partition("::")[0]].append(name)
    print(HEADER, end="")
    for file, names in sorted(files.items()):
        slow = sorted(set(names) - kept)
        left = sum(len(times[name]) for name in kept.intersection(names))
        if left < WORTH_READING * sum(len(times[name]) for name in names):
            print(file)
            kept.difference_update(names)
        else:
            print("".join(f"{name}\n" for name in slow), end="")
    for directory in BUDGETS:
        here = [name for name in times if name.startswith(f"tests/{directory}/")]
        count = sum(len(times[name]) for name in kept.intersection(here))
        seconds = sum(sum(times[name]) for name in kept.intersection(here))
        total = sum(len(times[name]) for name in here)
        print(f"{directory}: {count} of {total} tests are kept, {seconds:.0f} s", file=sys.stderr)


def _path(where: str) -> str:
    """The node id of a module or of a class of tests, from its dotted name."""
    words = where.split(".") if where else []
    for count in range(len(words), 0, -1):
        path = Path(*words[:count]).with_suffix(".py")
        if path.exists():
            return "::".join([str(path), *words[count:]])
    return ""


if __name__ == "__main__":
    main(sys.argv[1])
