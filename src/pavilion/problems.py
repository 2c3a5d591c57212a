"""Everything that is wrong with suites, collected so that it can be reported at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import yaml_config as yc
from pavilion.errors import ConfigError

# More than anybody fixes before trying again.
SHOWN = 50
# How the source of a value from the command line starts.
OVERRIDE = "the override "


class Problem(NamedTuple):
    """One thing that is wrong, and where it is."""

    # A file, or 'the override ...'.
    source: str
    # From 1; 0 where there is none.
    line: int
    # Dotted, the name of the test first.
    key: str
    text: str

    @property
    def owner(self) -> str:
        """The test that it is in; '' where there is none."""
        return self.key.partition(".")[0] if self.line else ""

    @property
    def below(self) -> str:
        """The key without the test."""
        return self.key.partition(".")[2] if self.line else self.key

    def __str__(self) -> str:
        where = f"{self.source}:{self.line}" if self.line else self.source
        return ": ".join(part for part in (where, self.key, self.text) if part)


class Problems:
    """Problems, each once, with the tests that have them.

    - ``all_found``: whether there are no others
    """

    def __init__(self) -> None:
        self._tests: dict[Problem, dict[str, None]] = {}
        self.all_found = True
        self._known: dict[tuple[str, int, str, str], Problem] = {}

    def __len__(self) -> int:
        return len(self._tests)

    def add(self, problem: Problem, test: str | None = None) -> None:
        """Add a problem.

        :param test: The test that has it, where the key does not say.
        """
        # What follows the first sentence, such as a list of variables, may differ.
        first = problem.text.partition(". ")[0]
        problem = self._known.setdefault(
            (problem.source, problem.line, problem.key, first), problem
        )
        tests = self._tests.setdefault(problem, {})
        if test is not None:
            tests[test] = None

    def add_error(self, error: yc.ConfigError, source: str) -> None:
        """Add what an element or the YAML reader found.

        :param source: Where it is from, as far as the error does not say.
        """
        place = ""
        if isinstance(error, yc.YamlError) and error.line is not None and error.column is not None:
            place = f"column {error.column}: "
        self.add(
            Problem(error.file or source, error.line or 0, error.key, place + error.explanation)
        )

    def raise_any(self, headline: str | None = None) -> None:
        """Report all of them.

        :param headline: What cannot be used because of them; by default, the suites.
        :raises ConfigError: When there are any.
        """
        if not self._tests:
            return
        sources = list(dict.fromkeys(problem.source for problem in self._tests))
        ordered = sorted(
            self._tests, key=lambda problem: (sources.index(problem.source), problem.line)
        )
        groups: dict[tuple[str, str, str], list[Problem]] = {}
        for problem in ordered:
            # What several tests have in the same words is one mistake to a user.
            groups.setdefault((problem.source, problem.below, problem.text), []).append(problem)
        if headline is None:
            files = [source for source in sources if not source.startswith(OVERRIDE)]
            headline = (
                f"The suite {files[0]} cannot be used"
                if len(files) == 1
                else f"{len(files)} suites cannot be used"
                if files
                else "The tests cannot be used"
            )
        lines = [self._line(group) for group in list(groups.values())[:SHOWN]]
        least = "" if self.all_found else "at least "
        if len(groups) > SHOWN:
            lines.append(f"and {least}{len(groups) - SHOWN} more problems.")
        if len(groups) > 1:
            headline += f"; {least}{len(groups)} problems were found"
        raise ConfigError(headline, prior_error=ConfigError("\n".join(lines)))

    def _line(self, group: Sequence[Problem]) -> str:
        """The same problem of several tests, with its other places and the tests that have it."""
        first, *others = group
        owners = {problem.owner for problem in group}
        tests = dict.fromkeys(problem.owner for problem in others)
        tests.update(dict.fromkeys(test for problem in group for test in self._tests[problem]))
        names = [test for test in tests if test and (others or test not in owners)]
        names = [test for test in names if test != first.owner]
        if not names:
            return str(first)
        lines = [str(line) for line in dict.fromkeys(problem.line for problem in others) if line]
        where = f"In {'test' if len(names) == 1 else 'tests'} {name_list(names)}"
        if lines:
            where = f"Also in {'test' if len(names) == 1 else 'tests'} {name_list(names)}"
            where += f": {'line' if len(lines) == 1 else 'lines'} {name_list(lines)}"
        # An excerpt of the file stays last.
        text, end, excerpt = str(first).partition("\n")
        return f"{text} ({where}.){end}{excerpt}"


def name_list(names: Sequence[str], limit: int = 4) -> str:
    """Some names of tests, for messages: 'a, b, c, d and 12 more'."""
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more
