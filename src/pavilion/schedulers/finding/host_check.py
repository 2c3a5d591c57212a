"""What there is of a scheduler on this host, for a host's diagnosis."""

from __future__ import annotations

from typing import NamedTuple


class Finding(NamedTuple):
    """Something that was found of a scheduler on this host."""

    name: str
    """What was looked at, such as 'raw queue'."""
    value: str
    """What was found."""
    advice: str = ""
    """What to do about it, when it keeps jobs from being run; then it counts as a problem."""


class HostCheck(NamedTuple):
    """What a plugin can say about its scheduler on this host, beside whether it is available."""

    findings: tuple[Finding, ...] = ()
    installed: bool = False
    """Whether the scheduler is installed here, so that it is a problem if it is not available."""
    advice: str = ""
    """What to do if it is not available."""
