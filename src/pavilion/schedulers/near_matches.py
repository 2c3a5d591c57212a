"""Known names that may have been meant by a misspelled one, for messages."""

from __future__ import annotations

from collections.abc import Iterable


def near_matches(
    word: object, known: Iterable[object], count: int = 1, cutoff: float = 0.6
) -> list[str]:
    """The known names that are spelled like a word, the nearest first.

    :param count: The most names to return.
    :param cutoff: How alike they must be, from 0 to 1.
    """
    # Only needed for messages.
    import difflib

    return difflib.get_close_matches(str(word), list(map(str, known)), n=count, cutoff=cutoff)


def did_you_mean(
    word: object,
    known: Iterable[object],
    count: int = 1,
    cutoff: float = 0.6,
    start: str = " Did",
) -> str:
    """The question whether a near match was meant, to be appended to a message:
    " Did you mean 'nodes' or 'min_nodes'?".

    :param start: Its first word, after what separates it from the message: '; did'.
    :returns: '' when no known name is spelled like the word.
    """
    near = near_matches(word, known, count, cutoff)
    return f"{start} you mean {' or '.join(map(repr, near))}?" if near else ""
