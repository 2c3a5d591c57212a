"""What the failure of a scheduler's command means, by a table.

Unclear is the default.  A refusal is believed only where its text, or its exit code, is known as
one.  Any other failure may have done its work all the same: a submission is looked up, a query is
repeated.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import PurePath
from typing import NamedTuple, Union

from ..talk.commands import CommandResult, Failure

# A string that the message contains (upper and lower case are the same), a regular expression that
# is found in it, or (command, exit code).
Sign = Union[str, "re.Pattern[str]", "tuple[str, int]"]


class Failures(NamedTuple):
    """How failures are told apart.

    :param texts: (what it means, a regular expression), the first that is found counts.
    :param codes: (command, exit code) -> what it means, where no text is found.
    """

    texts: tuple[tuple[Failure, re.Pattern[str]], ...] = ()
    codes: Mapping[tuple[str, int], Failure] = {}

    def kind_of_text(self, text: str) -> Failure | None:
        """What a message means; None for one that is not known."""
        return next((kind for kind, pattern in self.texts if pattern.search(text)), None)

    def kind(self, result: CommandResult) -> Failure | None:
        """What kind of failure a result is; None for a command that succeeded.

        A command that does not exist is PERMANENT.  One that was stopped at its timeout, and one
        whose message is not known, is TRANSIENT: whether it did its work is not known.
        """
        if result.returncode is None:
            return Failure.TRANSIENT if was_started(result) else Failure.PERMANENT
        if result.ok:
            return None
        # Some print their reasons on stdout.
        known = self.kind_of_text(f"{result.stderr}\n{result.stdout}")
        if known is not None:
            return known
        command = PurePath(result.argv[0]).name if result.argv else ""
        return self.codes.get((command, result.returncode), Failure.TRANSIENT)


def failures(table: Mapping[Failure, Iterable[Sign]]) -> Failures:
    """A plugin's FAILURES, compiled: the kinds in the order of the table.

    :raises TypeError: For a sign that is neither a string, a regular expression nor a pair.
    """
    texts: list[tuple[Failure, re.Pattern[str]]] = []
    codes: dict[tuple[str, int], Failure] = {}
    if not isinstance(table, Mapping):
        raise TypeError(f"FAILURES must be a dictionary, not {table!r}.")
    for kind, signs in table.items():
        if not isinstance(kind, Failure):
            raise TypeError(
                f"The keys of FAILURES must be Failures, as Failure.DENIED, not {kind!r}."
            )
        if isinstance(signs, str) or not isinstance(signs, Iterable):
            raise TypeError(f"FAILURES[{kind}] must be a list of signs, not {signs!r}.")
        for sign in signs:
            if isinstance(sign, str):
                texts.append((kind, re.compile(re.escape(sign), re.IGNORECASE)))
            elif isinstance(sign, re.Pattern):
                texts.append((kind, sign))
            elif isinstance(sign, tuple) and len(sign) == 2 and isinstance(sign[1], int):
                codes[sign] = kind
            else:
                raise TypeError(
                    f"FAILURES[{kind}] has {sign!r}; expected a string, a regular expression, or "
                    "(command, exit code)."
                )
    return Failures(tuple(texts), codes)


def was_started(result: CommandResult) -> bool:
    """Whether a command was started at all: one that was not surely did nothing."""
    return result.returncode is not None or result.timed_out or result.duration > 0
