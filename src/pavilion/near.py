"""Known names that may have been meant by a misspelled one.

They are found by a module of the schedulers, which have to be complete without this host.  It is
imported when there is a mistake to report, because the lowest modules of the host need it as well.
"""

from __future__ import annotations

from collections.abc import Iterable


def near_matches(
    word: object, known: Iterable[object], count: int = 1, cutoff: float = 0.6
) -> list[str]:
    """See pavilion.schedulers.near_matches."""
    from pavilion.schedulers import near_matches

    return near_matches.near_matches(word, known, count, cutoff)


def did_you_mean(
    word: object,
    known: Iterable[object],
    count: int = 1,
    cutoff: float = 0.6,
    start: str = " Did",
) -> str:
    """See pavilion.schedulers.near_matches."""
    from pavilion.schedulers import near_matches

    return near_matches.did_you_mean(word, known, count, cutoff, start)
