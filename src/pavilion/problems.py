"""Everything that is wrong with suites, collected so that it can be reported at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import yaml_config as yc
from pavilion.errors import ConfigError

# More than anybody mends before the next look.
SHOWN = 50
# How the source of what was set on the command line starts.
OVERRIDE = "the override "


class Problem(NamedTuple):
    """One thing that is wrong, and where it stands."""

    # A file, or 'the override ...'.
    source: str
    # From 1; 0 where there is none.
    line: int
    # Dotted, the name of the test first.
    key: str
    text: str

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

        :param test: The test that has it, where the key does not tell.
        """
        # What follows the first sentence, such as which variables there are, may differ.
        first = problem.text.partition(". ")[0]
        problem = self._known.setdefault(
            (problem.source, problem.line, problem.key, first), problem
        )
        tests = self._tests.setdefault(problem, {})
        if test is not None:
            tests[test] = None

    def add_error(self, error: yc.ConfigError, source: str) -> None:
        """Add what an element or the YAML reader found.

        :param source: Where it is from, as far as the error does not tell.
        """
        place = ""
        if isinstance(error, yc.YamlError) and error.line is not None and error.column is not None:
            place = f"column {error.column}: "
        self.add(
            Problem(error.file or source, error.line or 0, error.key, place + error.explanation)
        )

    def raise_any(self, headline: str | None = None) -> None:
        """Report all of them.

        :param headline: What cannot be used because of them; without it, the suites.
        :raises ConfigError: When there are any.
        """
        if not self._tests:
            return
        sources = list(dict.fromkeys(problem.source for problem in self._tests))
        ordered = sorted(
            self._tests, key=lambda problem: (sources.index(problem.source), problem.line)
        )
        if headline is None:
            files = [source for source in sources if not source.startswith(OVERRIDE)]
            headline = (
                f"The suite {files[0]} cannot be used"
                if len(files) == 1
                else f"{len(files)} suites cannot be used"
                if files
                else "The tests cannot be used"
            )
        lines = [self._line(problem) for problem in ordered[:SHOWN]]
        least = "" if self.all_found else "at least "
        if len(ordered) > SHOWN:
            lines.append(f"and {least}{len(ordered) - SHOWN} more problems.")
        if len(ordered) > 1:
            headline += f"; {least}{len(ordered)} problems were found"
        raise ConfigError(headline, prior_error=ConfigError("\n".join(lines)))

    def _line(self, problem: Problem) -> str:
        others = [test for test in self._tests[problem] if test != problem.key.partition(".")[0]]
        if not others:
            return str(problem)
        return f"{problem} (In {'test' if len(others) == 1 else 'tests'} {name_list(others)}.)"


def name_list(names: Sequence[str], limit: int = 4) -> str:
    """Some names of tests, for messages: 'a, b, c, d and 12 more'."""
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more
