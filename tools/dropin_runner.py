"""Runs unittest modules and writes each test's outcome to a file: dropin_runner.py FILE PATTERN...

Started by dropin.py in the ``test`` directory of a checkout, with the checkout's Python. The modules
are those in ``tests`` (or in this directory) whose names match one of the patterns. A line of JSON is
added to FILE for each test as soon as it has ended: its name, its outcome, and its message.
"""

from __future__ import annotations

import fnmatch
import json
import os
import sys
import unittest
from typing import Any, TextIO


class Recorder(unittest.TextTestResult):
    """Records outcomes in a file."""

    out: TextIO

    def record(self, test: Any, outcome: str, text: str = "") -> None:
        json.dump({"test": str(test.id()), "outcome": outcome, "text": text}, self.out)
        self.out.write("\n")
        self.out.flush()

    def addSuccess(self, test: Any) -> None:
        super().addSuccess(test)
        self.record(test, "ok")

    def addFailure(self, test: Any, err: Any) -> None:
        super().addFailure(test, err)
        self.record(test, "FAIL", self.failures[-1][1])

    def addError(self, test: Any, err: Any) -> None:
        super().addError(test, err)
        self.record(test, "ERROR", self.errors[-1][1])

    def addSkip(self, test: Any, reason: str) -> None:
        super().addSkip(test, reason)
        self.record(test, "skipped", reason)

    def addExpectedFailure(self, test: Any, err: Any) -> None:
        super().addExpectedFailure(test, err)
        self.record(test, "ok", "failed as expected")

    def addUnexpectedSuccess(self, test: Any) -> None:
        super().addUnexpectedSuccess(test)
        self.record(test, "FAIL", "passed, which was not expected")

    def addSubTest(self, test: Any, subtest: Any, err: Any) -> None:
        super().addSubTest(test, subtest, err)
        if err is not None:
            # Recorded under the test's own name, because the names of subtests differ between runs.
            failed = issubclass(err[0], test.failureException)
            self.record(test, "FAIL" if failed else "ERROR", f"{subtest}: {err[1]}")


def find_modules(patterns: list[str]) -> list[str]:
    """The names of the test modules to import from the current directory."""
    folder = "tests" if os.path.isdir("tests") else "."  # noqa: PTH112 - as short as it can be
    names = []
    for entry in sorted(os.listdir(folder)):  # noqa: PTH208
        stem, suffix = os.path.splitext(entry)  # noqa: PTH122
        if (
            suffix == ".py"
            and stem != "__init__"
            and any(fnmatch.fnmatch(stem, pattern) for pattern in patterns)
        ):
            names.append(stem if folder == "." else f"{folder}.{stem}")
    return names


def main() -> None:
    """Run the tests.  The exit code is 0, whatever their outcomes."""
    out_file, *patterns = sys.argv[1:]
    sys.path[0] = os.getcwd()  # noqa: PTH109
    names = find_modules(patterns)
    print("Modules:", *names)
    suite = unittest.defaultTestLoader.loadTestsFromNames(names)
    with open(out_file, "a", encoding="utf-8") as out:  # noqa: PTH123
        Recorder.out = out
        unittest.TextTestRunner(resultclass=Recorder, verbosity=2).run(suite)


if __name__ == "__main__":
    main()
