"""Handing tests to their schedulers, as users see it: what is waited for, and how it ends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pavilion.handing_over import Kickoff
from pavilion.preview import name_list

from .interrupts import KickoffGuard
from .output import one_line, tell
from .patience import LOOK_PAUSE, Deadline, SlowCalls

# Seconds that jobs in hand get when handing over must end: after --timeout, and after Ctrl-C.
TIMEOUT_PATIENCE = 6.0
INTERRUPT_PATIENCE = 10.0
# Seconds that starting gets in any case: a short --timeout is meant for the tests.
LEAST = 5.0

INTERRUPTED = "Interrupted before it was handed to its scheduler."
OUT_OF_TIME = "It was not handed to its scheduler before the time of --timeout was up."


def hand_over(kickoff: Kickoff, guard: KickoffGuard, deadline: Deadline) -> bool:
    """Hand tests over, and report what is waited for.

    After an interrupt, or when the time is up, it ends: what can be given up is given up, and jobs in
    hand get some seconds.

    :returns: Whether handing over has ended: with jobs in hand, it may not have.
    :raises KeyboardInterrupt: At the second Ctrl-C.
    """
    kickoff.start()
    reasons, slow = _Reasons(), SlowCalls()
    why, patience = "", Deadline(None)
    try:
        while not kickoff.wait(LOOK_PAUSE):
            for line in [*reasons.news(kickoff.reasons()), *slow.news()]:
                tell(line)
            if guard.number is not None and why != INTERRUPTED:
                why, patience = INTERRUPTED, Deadline(INTERRUPT_PATIENCE)
            elif deadline.over and not why:
                why, patience = OUT_OF_TIME, Deadline(TIMEOUT_PATIENCE)
            if why:
                kickoff.stop(why)
                if patience.over:
                    return False
        return True
    finally:
        if guard.number is not None:
            why = INTERRUPTED
        if why:
            kickoff.settle(why)
        for problem in kickoff.problems:
            tell(problem.pformat())


class _Reasons:
    """What jobs are waiting for, each reason reported once."""

    def __init__(self) -> None:
        self._told: set[str] = set()

    def news(self, reasons: Mapping[str, Sequence[str]]) -> list[str]:
        new = {text: ids for text, ids in reasons.items() if text not in self._told}
        self._told.update(new)
        return [one_line(f"{name_list(list(ids), 1)}: {text}") for text, ids in new.items()]
