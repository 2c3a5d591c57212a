"""What Slurm's words for the states of nodes and jobs mean.

Slurm writes a node's state in several ways: scontrol and sinfo's StateComplete give a base state
and flags ('IDLE+DRAIN'), sinfo's short forms a word with marks ('drained*'), and releases up to
20.11 glue marks to names ('DOWN*+CLOUD'). All of them become a base state and a set of flags,
each under one name. The same holds for jobs, whose short codes are read as well.

Words that are not known here do no harm: a node with one is not available, a job with one still
counts as active. Each such word is logged once per process.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from enum import Enum
from functools import lru_cache
from typing import NamedTuple

from pavilion.status_file import STATES

from ...near_matches import near_matches

_LOG = logging.getLogger(__name__)
_warned: set[str] = set()


def _warn_once(what: str, word: str) -> None:
    if (key := f"{what} {word}") not in _warned:
        _warned.add(key)
        _LOG.warning("Slurm uses a %s that is not known here: '%s'.", what, word)


def reset_warnings() -> None:
    """Forget which unknown words were logged already."""
    _warned.clear()
    parse_node_state.cache_clear()
    has_reason.cache_clear()
    parse_job_state.cache_clear()


# --- Nodes ---

NODE_BASES = frozenset(["UNKNOWN", "DOWN", "IDLE", "ALLOCATED", "ERROR", "MIXED", "FUTURE"])
# Flags, and what they mean for the node in plain words.
NODE_FLAGS: dict[str, str] = {
    "DRAIN": "drained by an administrator",
    "NOT_RESPONDING": "not responding",
    "FAIL": "expected to fail soon",
    "MAINTENANCE": "in maintenance",
    "RESERVED": "reserved",
    "POWERED_DOWN": "powered down",
    "POWER_DOWN": "about to be powered down",
    "POWERING_DOWN": "powering down",
    "POWERING_UP": "powering up",
    "POWER_UP": "about to be powered up",
    "REBOOT_REQUESTED": "waiting for a reboot",
    "REBOOT_ISSUED": "rebooting",
    "CANCEL_REBOOT": "waiting for the end of a reboot",
    "INVALID_REG": "not registered correctly with Slurm",
    "PERFCTRS": "used for performance counters",
    "BLOCKED": "blocked by an exclusive job on the same hardware",
    "UNDRAIN": "being undrained",
    "RESUME": "being resumed",
    "DYNAMIC_FUTURE": "not there yet",
    "EXTERNAL": "not run by Slurm",
    "COMPLETING": "still cleaning up after a job",
    "PLANNED": "planned for a waiting job",
    "CLOUD": "in a cloud",
    "DYNAMIC_NORM": "added while Slurm ran",
}
# These say nothing against giving a job to the node, now or later.  A node that waits for a reboot
# is busy until then, and one that is blocked until the job on its hardware ends.
HARMLESS_FLAGS = frozenset(
    ["PLANNED", "COMPLETING", "CLOUD", "DYNAMIC_NORM", "REBOOT_REQUESTED", "BLOCKED"]
)
# And these nothing against giving it a job right now.
HARMLESS_NOW_FLAGS = frozenset(["CLOUD", "DYNAMIC_NORM"])
# Of power saving: Slurm wakes such a node for a job.
POWER_FLAGS = frozenset(["POWERED_DOWN", "POWER_DOWN", "POWERING_DOWN", "POWERING_UP", "POWER_UP"])
# Those that come up at once when a job requests them, or do already.
_POWER_NOW_FLAGS = frozenset(["POWERED_DOWN", "POWERING_UP", "POWER_UP"])
# While a node goes down or comes up, it does not answer; that is normal.
_IN_TRANSIT = frozenset(["POWERING_DOWN", "POWERING_UP"])

_BASE_WORDS: dict[str, str] = {
    "UNKNOWN": "not heard of since the controller started",
    "DOWN": "down",
    "IDLE": "idle",
    "ALLOCATED": "in use",
    "ERROR": "in an error state",
    "MIXED": "partly in use",
    "FUTURE": "not there yet",
}

# sinfo's marks behind a word (man sinfo, NODE STATE CODES).
_MARKS: dict[str, str] = {
    "*": "NOT_RESPONDING",
    "~": "POWERED_DOWN",
    "#": "POWERING_UP",
    "!": "POWER_DOWN",
    "%": "POWERING_DOWN",
    "$": "MAINTENANCE",
    "@": "REBOOT_REQUESTED",
    "^": "REBOOT_ISSUED",
    "-": "PLANNED",
    "+": "COMPLETING",
}

# Words that stand for something else: a name of their own for a flag, short forms, and words of
# sinfo that put base and flag in one. The words after the name are flags.
_NODE_ALIASES: dict[str, tuple[str | None, str | None]] = {
    "UNK": ("UNKNOWN", None),
    "ALLOC": ("ALLOCATED", None),
    "MIX": ("MIXED", None),
    "ERR": ("ERROR", None),
    "FUTR": ("FUTURE", None),
    "MAINT": (None, "MAINTENANCE"),
    "RESV": (None, "RESERVED"),
    "RES": (None, "RESERVED"),
    "COMP": (None, "COMPLETING"),
    "PLND": (None, "PLANNED"),
    "DRAINED": (None, "DRAIN"),
    "DRAINING": ("ALLOCATED", "DRAIN"),
    "DRNG": ("ALLOCATED", "DRAIN"),
    "FAILING": ("ALLOCATED", "FAIL"),
    "FAILG": ("ALLOCATED", "FAIL"),
    "NO_RESPOND": (None, "NOT_RESPONDING"),
    "NR": (None, "NOT_RESPONDING"),
    # Up to 20.11, scontrol wrote POWER for a node that is off.
    "POWER": (None, "POWERED_DOWN"),
    "POWER_SAVING": (None, "POWERED_DOWN"),
    "POWERED": (None, "POWERED_DOWN"),
    "POW_DN": (None, "POWERED_DOWN"),
    "POWERED_DN": (None, "POWERED_DOWN"),
    "POWRING_DN": (None, "POWERING_DOWN"),
    "POW_UP": (None, "POWERING_UP"),
    "REBOOT": (None, "REBOOT_REQUESTED"),
    "BOOT": (None, "REBOOT_ISSUED"),
    "INVAL": (None, "INVALID_REG"),
    "NPC": (None, "PERFCTRS"),
    "CANC_R": (None, "CANCEL_REBOOT"),
    "EXT": (None, "EXTERNAL"),
    "RESM": (None, "RESUME"),
    "BLOCK": (None, "BLOCKED"),
    # As older lists of states in configurations have it.
    "DYNAMIC_NORMAL": (None, "DYNAMIC_NORM"),
}


class NodeState(NamedTuple):
    """A node's state: the base, the flags by their names here, and words that are not known."""

    base: str
    flags: frozenset[str]
    unknown: frozenset[str]

    def names(self) -> tuple[str, ...]:
        """Base and flags, in a fixed order, such as ('IDLE', 'DRAIN')."""
        return (self.base, *sorted(self.flags | self.unknown))


class Usability(NamedTuple):
    """Whether a node can be used at all, whether right now, and if not, why.

    ``why`` tells, where it is up but not available, why it is not available; it is '' for a node
    that is both.
    """

    up: bool
    available: bool
    why: str

    @property
    def cause(self) -> str:
        """The same without Slurm's own word: 'powered down'."""
        return self.why.rpartition(" (")[0]


@lru_cache(maxsize=4096)
def parse_node_state(text: str) -> NodeState:
    """Read a node's state in any of Slurm's notations. Never fails.

    Upper and lower case are the same. A word that is sinfo's own for an idle node with a flag
    ('maint', 'drained') becomes that flag, on base IDLE.
    """
    base = ""
    flags: set[str] = set()
    unknown: set[str] = set()
    words = text.strip().upper().split("+")
    if len(words) > 1 and not words[-1]:
        # 'ALLOCATED+' is a word with the mark '+'.
        flags.add(_MARKS["+"])
    for word in words:
        name = word.rstrip("*~#!%$@^-").strip()
        flags.update(_MARKS[mark] for mark in word.strip()[len(name) :] if mark in _MARKS)
        if name:
            word_base, flag = _node_word(name)
            base = base or word_base or ""
            if flag:
                (flags if flag in NODE_FLAGS else unknown).add(flag)
    for word in unknown:
        _warn_once("node state", word)
    if not base:
        # Flags alone are sinfo's words for nodes that no job uses. An unknown word alone may
        # be a base that came with a later release.
        base = "IDLE" if flags and not unknown else "UNKNOWN"
    return NodeState(base, frozenset(flags), frozenset(unknown))


@lru_cache(maxsize=4096)
def node_state_names(text: str) -> tuple[str, ...]:
    """Base and flags of a node's state in any of Slurm's notations."""
    return parse_node_state(text).names()


# What comes with a reason for it: somebody, or the controller, set it and said why. On any other
# node a reason is an old one: 25.11 keeps it when the node is resumed.
_WITH_REASON = frozenset(
    [
        "DOWN",
        "ERROR",
        "DRAIN",
        "FAIL",
        "INVALID_REG",
        "REBOOT_REQUESTED",
        "REBOOT_ISSUED",
        "CANCEL_REBOOT",
        "UNDRAIN",
    ]
)


@lru_cache(maxsize=4096)
def has_reason(text: str) -> bool:
    """Whether the reason of a node with this state says why it is in that state."""
    base, flags, unknown = parse_node_state(text)
    return bool(unknown or _WITH_REASON & (flags | {base}))


def _node_word(word: str) -> tuple[str | None, str | None]:
    """The (base, flag) that a word stands for."""
    if word in _NODE_ALIASES:
        return _NODE_ALIASES[word]
    return (word, None) if word in NODE_BASES else (None, word)


@lru_cache(maxsize=256)
def _state_names(words: tuple[str, ...]) -> frozenset[str]:
    """Names in a configured list, under the names that are used here."""
    names: set[str] = set()
    for word in words:
        base, flag = _node_word(word.strip().upper())
        # 'DRAINING' in a list is about the flag; its base stands for itself.
        names.add(flag or base or "")
    # Who takes nodes on their way takes those that are about to go there.
    names.update(before for before, on_the_way in _ABOUT_TO.items() if on_the_way in names)
    return frozenset(names)


def node_usable(
    state: NodeState,
    up_states: Iterable[str],
    avail_states: Iterable[str],
    reserved_states: Iterable[str],
    in_reservation: bool = False,
    in_maintenance: bool = False,
    wakes: bool = False,
) -> Usability:
    """Decide whether a node can be used.

    A node is up when its base and each of its flags is in ``up_states``, or the flag is harmless
    (see HARMLESS_FLAGS), or it is in ``reserved_states`` and the test has a reservation. It is
    available when it is up and the same is true of ``avail_states``; a node that is COMPLETING is
    not. MAINTENANCE counts only in a reservation with flag MAINT that holds the node, and there
    always. A flag that is not known, nor listed, makes it not available.

    :param up_states: Configured names, in any of Slurm's spellings.
    :param in_reservation: Whether the test names a reservation.
    :param in_maintenance: Whether that one has the flag MAINT and holds this node.
    :param wakes: Whether nodes that power saving has shut down, or is about to, can be used: Slurm
        wakes them for a job.  A node that is powered down and does not respond, or is down, is
        broken.
    """
    reserved = _state_names(tuple(reserved_states)) if in_reservation else frozenset()
    if in_maintenance:
        reserved |= {"MAINTENANCE", "RESERVED"}
    up_names = _state_names(tuple(up_states)) - {"MAINTENANCE"}
    if wakes:
        up_names |= POWER_FLAGS
    flags = state.flags
    if flags & _IN_TRANSIT and "POWERED_DOWN" not in flags:
        flags -= {"NOT_RESPONDING"}
    bad = _first_bad(state.base, flags, up_names | reserved | HARMLESS_FLAGS)
    if bad:
        return Usability(False, False, _why(bad))
    names = _state_names(tuple(avail_states)) - {"MAINTENANCE"}
    if wakes:
        names |= _POWER_NOW_FLAGS
    bad = _first_bad(state.base, flags | state.unknown, names | reserved | HARMLESS_NOW_FLAGS)
    return Usability(True, not bad, _why(bad))


def _first_bad(base: str, flags: frozenset[str], allowed: frozenset[str]) -> str:
    """The base or flag that is not allowed and says most; '' when all are."""
    bad = flags - allowed
    if base not in allowed and bad <= POWER_FLAGS:
        # A node that is down stays so when it is woken.
        return base
    if bad:
        # The order of the table is that of weight.
        return min(bad, key=lambda flag: (_FLAG_ORDER.get(flag, len(_FLAG_ORDER)), flag))
    return "" if base in allowed else base


_ABOUT_TO = {"POWER_DOWN": "POWERING_DOWN", "POWER_UP": "POWERING_UP"}
_FLAG_ORDER = {flag: place for place, flag in enumerate(NODE_FLAGS)}


def _why(name: str) -> str:
    if not name:
        return ""
    words = NODE_FLAGS.get(name) or _BASE_WORDS.get(name)
    return f"{words} ({name})" if words else f"in a state that is not known here ({name})"


def unknown_state(name: str) -> str | None:
    """What is wrong with a name in a configured list of states; None when Slurm has such a
    state."""
    word = name.strip().upper()
    known = {*NODE_BASES, *NODE_FLAGS, *_NODE_ALIASES}
    if word in known:
        return None
    near = near_matches(word, sorted(known), 2)
    hint = f" Did you mean {' or '.join(near)}?" if near else ""
    return (
        f"Slurm has no node state {name!r}.{hint} Known states: "
        f"{', '.join(sorted({*NODE_BASES, *NODE_FLAGS}))}."
    )


class NodeRules:
    """The configured lists of states, and the judgement of each state text made only once.

    :param up_states: See :func:`node_usable`, as for the others.
    """

    def __init__(
        self,
        up_states: Iterable[str],
        avail_states: Iterable[str],
        reserved_states: Iterable[str],
        wakes: bool = False,
    ) -> None:
        self._wakes = wakes
        self._lists = (tuple(up_states), tuple(avail_states), tuple(reserved_states))
        self._known: dict[tuple[str, bool, bool], Usability] = {}

    def judge(
        self, state: str, in_reservation: bool = False, in_maintenance: bool = False
    ) -> Usability:
        """Judge a node by its state as Slurm writes it."""
        key = (state, in_reservation, in_maintenance)
        try:
            return self._known[key]
        except KeyError:
            up, avail, reserved = self._lists
            result = node_usable(
                parse_node_state(state),
                up,
                avail,
                reserved,
                in_reservation,
                in_maintenance,
                self._wakes,
            )
            self._known[key] = result
            return result


# --- Jobs ---


class Phase(Enum):
    """Where a job is in its life."""

    WAITING = "waiting"
    ACTIVE = "active"
    DONE = "done"
    CANCELLED = "cancelled"
    FAILED = "failed"


# DONE is SCHED_ERROR to a test that did not end by itself: its job is gone.
PAVILION_STATES: dict[Phase, str] = {
    Phase.WAITING: STATES.SCHEDULED,
    Phase.ACTIVE: STATES.SCHED_RUNNING,
    Phase.DONE: STATES.SCHED_ERROR,
    Phase.CANCELLED: STATES.SCHED_CANCELLED,
    Phase.FAILED: STATES.SCHED_ERROR,
}

# Base states first, then the flags that squeue shows in their place (man squeue).
_JOB_PHASES: dict[str, Phase] = {
    "PENDING": Phase.WAITING,
    "RUNNING": Phase.ACTIVE,
    "SUSPENDED": Phase.ACTIVE,
    "COMPLETED": Phase.DONE,
    "CANCELLED": Phase.CANCELLED,
    "FAILED": Phase.FAILED,
    "TIMEOUT": Phase.FAILED,
    "NODE_FAIL": Phase.FAILED,
    "PREEMPTED": Phase.FAILED,
    "BOOT_FAIL": Phase.FAILED,
    "DEADLINE": Phase.FAILED,
    "OUT_OF_MEMORY": Phase.FAILED,
    "COMPLETING": Phase.ACTIVE,
    "CONFIGURING": Phase.WAITING,
    "STAGE_OUT": Phase.ACTIVE,
    "SIGNALING": Phase.ACTIVE,
    "RESIZING": Phase.ACTIVE,
    "STOPPED": Phase.ACTIVE,
    "EXPEDITING": Phase.WAITING,
    "REQUEUED": Phase.WAITING,
    "REQUEUE_FED": Phase.WAITING,
    "REQUEUE_HOLD": Phase.WAITING,
    "SPECIAL_EXIT": Phase.WAITING,
    "RESV_DEL_HOLD": Phase.WAITING,
    "POWER_UP_NODE": Phase.WAITING,
    "LAUNCH_FAILED": Phase.ACTIVE,
    "RECONFIG_FAIL": Phase.ACTIVE,
    "UPDATE_DB": Phase.ACTIVE,
    # In a federation: another cluster took the job, where it goes on.
    "REVOKED": Phase.ACTIVE,
}
JOB_STATES = tuple(_JOB_PHASES)
# Flags that do not say anything about whether the job has ended: the base does.
_SIDE_FLAGS = frozenset(["UPDATE_DB", "LAUNCH_FAILED", "RECONFIG_FAIL", "POWER_UP_NODE"])

JOB_CODES: dict[str, str] = {
    "BF": "BOOT_FAIL",
    "CA": "CANCELLED",
    "CD": "COMPLETED",
    "CF": "CONFIGURING",
    "CG": "COMPLETING",
    "DL": "DEADLINE",
    "EX": "EXPEDITING",
    "F": "FAILED",
    "LF": "LAUNCH_FAILED",
    "NF": "NODE_FAIL",
    "OOM": "OUT_OF_MEMORY",
    "PD": "PENDING",
    "PR": "PREEMPTED",
    "PU": "POWER_UP_NODE",
    "R": "RUNNING",
    "RC": "RECONFIG_FAIL",
    "RD": "RESV_DEL_HOLD",
    "RF": "REQUEUE_FED",
    "RH": "REQUEUE_HOLD",
    "RQ": "REQUEUED",
    "RS": "RESIZING",
    "RV": "REVOKED",
    "S": "SUSPENDED",
    "SE": "SPECIAL_EXIT",
    "SI": "SIGNALING",
    "SO": "STAGE_OUT",
    "ST": "STOPPED",
    "TO": "TIMEOUT",
    "UD": "UPDATE_DB",
}


class JobState(NamedTuple):
    """A job's state.

    :param name: Slurm's long word; with several, the one that counts. The word itself when it
        is not known.
    :param flags: The other words.
    :param phase: What it means.
    :param by: The user id of who cancelled it, where Slurm says so; otherwise ''.
    """

    name: str
    flags: frozenset[str]
    phase: Phase
    by: str

    @property
    def is_over(self) -> bool:
        """Whether it will not run any more, nor does now."""
        return self.phase in (Phase.DONE, Phase.CANCELLED, Phase.FAILED)

    @property
    def pavilion_state(self) -> str:
        """SCHEDULED, SCHED_RUNNING, SCHED_ERROR or SCHED_CANCELLED."""
        return PAVILION_STATES[self.phase]


@lru_cache(maxsize=1024)
def parse_job_state(text: str) -> JobState:
    """Read a job's state: a word, a short code, 'CANCELLED by 1000', or 'COMPLETED+COMPLETING'.

    Never fails. A word that is not known counts as active, so that nobody's test is ended by it.
    """
    main, _, by = text.strip().upper().partition(" BY ")
    parts = [word.strip() for word in main.replace(",", "+").split("+")]
    words = [JOB_CODES.get(word, word) for word in parts if word] or ["UNKNOWN"]
    for word in words:
        if word not in _JOB_PHASES:
            _warn_once("job state", word)
    name = min(words, key=_weight)
    phase = _JOB_PHASES.get(name, Phase.ACTIVE)
    return JobState(name, frozenset(words) - {name}, phase, by.strip())


def _weight(word: str) -> int:
    """The word that counts has the least: a job that has ended and is COMPLETING has not ended yet."""
    phase = _JOB_PHASES.get(word)
    if phase is None:
        return 0
    if word in _SIDE_FLAGS:
        return 5
    if phase is Phase.ACTIVE and word != "RUNNING":
        return 1
    if phase is Phase.WAITING and word != "PENDING":
        return 2
    return 3 if phase is not Phase.WAITING else 4
