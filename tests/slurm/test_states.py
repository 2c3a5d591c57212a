"""States of nodes and jobs: how they are read, and what they mean."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pavilion.schedulers.plugins.slurm.states import (
    JOB_CODES,
    JOB_STATES,
    NODE_BASES,
    NODE_FLAGS,
    NodeRules,
    Phase,
    node_usable,
    parse_job_state,
    parse_node_state,
    reset_warnings,
)

UP = ["ALLOCATED", "COMPLETING", "PLANNED", "MAINTENANCE", "IDLE", "MAINT", "MIXED"]
AVAILABLE = ["IDLE", "MAINT", "MAINTENANCE", "PLANNED"]
RESERVED = ["RESERVED"]


@pytest.fixture(autouse=True)
def _fresh_warnings() -> Iterator[None]:
    reset_warnings()
    yield
    reset_warnings()


# --- Reading nodes' states ---


@pytest.mark.parametrize(
    ("text", "base", "flags"),
    [
        # scontrol and StateComplete [seen on 22.05.8].
        ("IDLE", "IDLE", ""),
        ("IDLE+DRAIN", "IDLE", "DRAIN"),
        ("MIXED+DRAIN", "MIXED", "DRAIN"),
        ("IDLE+NOT_RESPONDING", "IDLE", "NOT_RESPONDING"),
        ("DOWN+NOT_RESPONDING", "DOWN", "NOT_RESPONDING"),
        ("IDLE+RESERVED", "IDLE", "RESERVED"),
        ("IDLE+MAINTENANCE+RESERVED", "IDLE", "MAINTENANCE RESERVED"),
        ("idle+completing+maintenance+reserved", "IDLE", "COMPLETING MAINTENANCE RESERVED"),
        ("idle+maintenance+reserved+planned", "IDLE", "MAINTENANCE RESERVED PLANNED"),
        ("unknown+drain", "UNKNOWN", "DRAIN"),
        # Clouds and power saving, 21.08 and later.
        ("DOWN+CLOUD+POWERED_DOWN", "DOWN", "CLOUD POWERED_DOWN"),
        ("IDLE+CLOUD+POWERING_UP", "IDLE", "CLOUD POWERING_UP"),
        ("IDLE+DYNAMIC_NORM", "IDLE", "DYNAMIC_NORM"),
        ("DOWN+INVALID_REG", "DOWN", "INVALID_REG"),
        ("IDLE+BLOCKED", "IDLE", "BLOCKED"),
        # 20.11: marks glued to names, and other names.
        ("DOWN*+CLOUD", "DOWN", "NOT_RESPONDING CLOUD"),
        ("MIXED#", "MIXED", "POWERING_UP"),
        ("IDLE~", "IDLE", "POWERED_DOWN"),
        ("IDLE+CLOUD+POWER", "IDLE", "CLOUD POWERED_DOWN"),
        ("DOWN*+DRAIN", "DOWN", "NOT_RESPONDING DRAIN"),
        # sinfo's long and short words, and each mark.
        ("drained*", "IDLE", "DRAIN NOT_RESPONDING"),
        ("draining", "ALLOCATED", "DRAIN"),
        ("drng", "ALLOCATED", "DRAIN"),
        ("maint", "IDLE", "MAINTENANCE"),
        ("resv", "IDLE", "RESERVED"),
        ("reserved", "IDLE", "RESERVED"),
        ("alloc", "ALLOCATED", ""),
        ("allocated+", "ALLOCATED", "COMPLETING"),
        ("mix", "MIXED", ""),
        ("mix-", "MIXED", "PLANNED"),
        ("plnd", "IDLE", "PLANNED"),
        ("comp", "IDLE", "COMPLETING"),
        ("idle!", "IDLE", "POWER_DOWN"),
        ("idle%", "IDLE", "POWERING_DOWN"),
        ("idle$", "IDLE", "MAINTENANCE"),
        ("idle@", "IDLE", "REBOOT_REQUESTED"),
        ("idle^", "IDLE", "REBOOT_ISSUED"),
        ("no_respond", "IDLE", "NOT_RESPONDING"),
        ("unk*", "UNKNOWN", "NOT_RESPONDING"),
        ("futr", "FUTURE", ""),
        ("failg", "ALLOCATED", "FAIL"),
        ("inval", "IDLE", "INVALID_REG"),
    ],
)
def test_node_state(text: str, base: str, flags: str) -> None:
    state = parse_node_state(text)
    assert (state.base, set(state.flags)) == (base, set(flags.split()))
    assert not state.unknown


@given(st.text(max_size=30))
def test_any_text_is_a_node_state(text: str) -> None:
    state = parse_node_state(text)
    assert state.base in NODE_BASES
    assert state.flags <= set(NODE_FLAGS)


@given(st.sampled_from(sorted(NODE_BASES)), st.sets(st.sampled_from(sorted(NODE_FLAGS))))
def test_base_and_flags_are_read_back(base: str, flags: set[str]) -> None:
    state = parse_node_state("+".join([base, *flags]))
    assert (state.base, state.flags) == (base, flags)


# --- Whether nodes can be used ---


def usable(text: str, **kwargs: bool) -> tuple[bool, bool]:
    result = node_usable(parse_node_state(text), UP, AVAILABLE, RESERVED, **kwargs)
    assert bool(result.why) == (not (result.up and result.available))
    return result.up, result.available


@pytest.mark.parametrize(
    ("text", "up", "available"),
    [
        ("IDLE", True, True),
        ("ALLOCATED", True, False),
        ("MIXED", True, False),
        ("IDLE+PLANNED", True, True),
        ("MIXED+PLANNED", True, False),
        ("IDLE+COMPLETING", True, False),
        ("allocated+", True, False),
        ("IDLE+CLOUD", True, True),
        ("IDLE+DYNAMIC_NORM", True, True),
        ("IDLE+DRAIN", False, False),
        ("drained", False, False),
        ("MIXED+DRAIN", False, False),
        ("IDLE+NOT_RESPONDING", False, False),
        ("DOWN", False, False),
        ("DOWN*+CLOUD", False, False),
        ("IDLE+CLOUD+POWERED_DOWN", False, False),
        ("MIXED#", False, False),
        ("UNKNOWN", False, False),
        ("FUTURE", False, False),
        ("IDLE+REBOOT_ISSUED", False, False),
        ("IDLE+FAIL", False, False),
        ("IDLE+INVALID_REG", False, False),
        ("IDLE+RESERVED", False, False),
        ("IDLE+MAINTENANCE", False, False),
        ("IDLE+MAINTENANCE+RESERVED", False, False),
        ("NEW_IN_26", False, False),
    ],
)
def test_without_a_reservation(text: str, up: bool, available: bool) -> None:
    assert usable(text) == (up, available)


def test_reserved_nodes_only_with_a_reservation() -> None:
    assert usable("IDLE+RESERVED", in_reservation=True) == (True, True)
    assert usable("ALLOCATED+RESERVED", in_reservation=True) == (True, False)
    assert usable("IDLE+RESERVED+DRAIN", in_reservation=True) == (False, False)


def test_nodes_in_maintenance_exactly_in_its_reservation() -> None:
    state = "IDLE+MAINTENANCE+RESERVED"
    assert usable(state, in_reservation=True) == (False, False)
    assert usable(state, in_reservation=True, in_maintenance=True) == (True, True)
    assert usable("MAINT", in_reservation=True, in_maintenance=True) == (True, True)
    assert usable("IDLE+MAINTENANCE+DRAIN", in_reservation=True, in_maintenance=True) == (
        False,
        False,
    )


def test_configured_names_may_have_any_spelling() -> None:
    state = parse_node_state("IDLE+POWERED_DOWN+CLOUD")
    assert node_usable(state, ["idle", "power"], ["Idle", "powered_down"], []) == (True, True, "")
    draining = parse_node_state("ALLOCATED+DRAIN")
    assert node_usable(draining, ["alloc", "drained"], [], []).up


def test_why_says_the_weightiest_in_plain_words() -> None:
    def why(text: str) -> str:
        return node_usable(parse_node_state(text), UP, AVAILABLE, RESERVED).why

    assert why("DOWN+DRAIN+NOT_RESPONDING") == "drained by an administrator (DRAIN)"
    assert why("DOWN+NOT_RESPONDING") == "not responding (NOT_RESPONDING)"
    assert why("DOWN") == "down (DOWN)"
    assert why("MIXED") == "partly in use (MIXED)"
    assert why("IDLE") == ""


def test_an_unknown_flag_makes_unavailable_and_is_logged_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING):
        assert usable("IDLE+SHINY") == (True, False)
        assert usable("MIXED+SHINY") == (True, False)
        assert usable("DOWN+SHINY") == (False, False)
    assert [record.getMessage() for record in caplog.records] == [
        "Slurm uses a node state that is not known here: 'SHINY'."
    ]
    # It can be allowed by name.
    state = parse_node_state("IDLE+SHINY")
    assert node_usable(state, UP, [*AVAILABLE, "shiny"], RESERVED).available


@given(
    st.sampled_from(sorted(NODE_BASES)),
    st.sets(st.sampled_from(sorted(NODE_FLAGS))),
    st.booleans(),
    st.booleans(),
)
def test_available_nodes_are_up(base: str, flags: set[str], reserved: bool, maint: bool) -> None:
    result = node_usable(
        parse_node_state("+".join([base, *flags])), UP, AVAILABLE, RESERVED, reserved, maint
    )
    assert result.up or not result.available
    if flags & {"DRAIN", "NOT_RESPONDING", "FAIL", "POWERED_DOWN"}:
        assert not result.up


def test_rules_judge_like_the_function() -> None:
    rules = NodeRules(UP, AVAILABLE, RESERVED)
    for text in ("IDLE", "idle+drain", "IDLE+RESERVED", "IDLE"):
        for reserved in (False, True):
            assert rules.judge(text, reserved) == node_usable(
                parse_node_state(text), UP, AVAILABLE, RESERVED, reserved
            )


known_words = st.sampled_from(sorted(NODE_BASES | set(NODE_FLAGS)))
# Words that a later release may have.
new_words = st.from_regex(r"[A-Z][A-Z0-9_]{1,15}", fullmatch=True).filter(
    lambda word: not parse_node_state(word).flags and parse_node_state(word).unknown
)


@given(
    st.lists(known_words, max_size=4),
    new_words,
    st.lists(known_words, max_size=4),
    st.booleans(),
    st.booleans(),
    st.booleans(),
)
def test_a_new_word_never_frees_a_node(
    before: list[str], word: str, after: list[str], lower: bool, reserved: bool, maint: bool
) -> None:
    text = "+".join([*before, word, *after])
    result = node_usable(
        parse_node_state(text.lower() if lower else text), UP, AVAILABLE, RESERVED, reserved, maint
    )
    assert not result.available and result.why


@given(st.text(max_size=30), st.booleans(), st.booleans())
def test_only_words_that_are_known_free_a_node(text: str, reserved: bool, maint: bool) -> None:
    state = parse_node_state(text)
    result = node_usable(state, UP, AVAILABLE, RESERVED, reserved, maint)
    assert not result.available or (not state.unknown and state.base == "IDLE")


def test_words_of_sinfo_for_reboots_and_nodes_that_slurm_does_not_run() -> None:
    assert parse_node_state("canc_r").flags == {"CANCEL_REBOOT"}
    assert parse_node_state("ext").flags == {"EXTERNAL"}
    # What Slurm prints for a state that it does not know itself.
    assert not usable("INVALID")[0] and not usable("?")[0]


# --- Jobs' states ---


@pytest.mark.parametrize(
    ("text", "phase"),
    [
        ("PENDING", Phase.WAITING),
        ("CONFIGURING", Phase.WAITING),
        ("REQUEUED", Phase.WAITING),
        ("REQUEUE_HOLD", Phase.WAITING),
        ("REQUEUE_FED", Phase.WAITING),
        ("SPECIAL_EXIT", Phase.WAITING),
        ("RESV_DEL_HOLD", Phase.WAITING),
        ("RUNNING", Phase.ACTIVE),
        ("SUSPENDED", Phase.ACTIVE),
        ("COMPLETING", Phase.ACTIVE),
        ("STAGE_OUT", Phase.ACTIVE),
        ("SIGNALING", Phase.ACTIVE),
        ("RESIZING", Phase.ACTIVE),
        ("STOPPED", Phase.ACTIVE),
        ("COMPLETED", Phase.DONE),
        ("CANCELLED", Phase.CANCELLED),
        ("FAILED", Phase.FAILED),
        ("TIMEOUT", Phase.FAILED),
        ("NODE_FAIL", Phase.FAILED),
        ("PREEMPTED", Phase.FAILED),
        ("BOOT_FAIL", Phase.FAILED),
        ("DEADLINE", Phase.FAILED),
        ("OUT_OF_MEMORY", Phase.FAILED),
        # Several words: what goes on counts more than the base.
        ("COMPLETED+COMPLETING", Phase.ACTIVE),
        ("CANCELLED+COMPLETING", Phase.ACTIVE),
        ("PENDING+REQUEUE_HOLD", Phase.WAITING),
        ("FAILED,REQUEUED", Phase.WAITING),
        ("COMPLETED+UPDATE_DB", Phase.DONE),
        ("PENDING+LAUNCH_FAILED", Phase.WAITING),
        # sacct.
        ("CANCELLED by 1000", Phase.CANCELLED),
        ("CANCELLED+", Phase.CANCELLED),
    ],
)
def test_job_phase(text: str, phase: Phase) -> None:
    state = parse_job_state(text)
    assert state.phase is phase
    assert state.is_over == (phase in (Phase.DONE, Phase.CANCELLED, Phase.FAILED))
    assert parse_job_state(text.lower()).phase is phase


@pytest.mark.parametrize(
    ("text", "pavilion_state"),
    [
        ("PENDING", "SCHEDULED"),
        ("RUNNING", "SCHED_RUNNING"),
        ("COMPLETING", "SCHED_RUNNING"),
        ("CANCELLED", "SCHED_CANCELLED"),
        ("TIMEOUT", "SCHED_ERROR"),
        ("COMPLETED", "SCHED_ERROR"),
    ],
)
def test_pavilion_state(text: str, pavilion_state: str) -> None:
    assert parse_job_state(text).pavilion_state == pavilion_state


@pytest.mark.parametrize(("code", "name"), sorted(JOB_CODES.items()))
def test_short_codes_mean_the_same(code: str, name: str) -> None:
    assert parse_job_state(code) == parse_job_state(name)
    assert name in JOB_STATES


def test_every_state_has_a_code() -> None:
    assert set(JOB_STATES) == set(JOB_CODES.values())


def test_who_cancelled() -> None:
    state = parse_job_state("CANCELLED by 1000")
    assert (state.name, state.by) == ("CANCELLED", "1000")


def test_an_unknown_job_state_is_active_and_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        for text in ("HIBERNATING", "HIBERNATING+COMPLETED", "hibernating"):
            assert not parse_job_state(text).is_over
    assert len(caplog.records) == 1


@given(st.text(max_size=30))
def test_any_text_is_a_job_state(text: str) -> None:
    assert isinstance(parse_job_state(text).phase, Phase)


@given(
    st.lists(st.sampled_from(sorted(JOB_STATES)), max_size=3),
    st.from_regex(r"[A-Z][A-Z0-9_]{2,15}", fullmatch=True).filter(
        lambda word: word not in JOB_STATES and word not in JOB_CODES
    ),
    st.sampled_from(["+", ","]),
)
def test_a_new_word_never_ends_a_job(known: list[str], word: str, sign: str) -> None:
    assert parse_job_state(sign.join([*known, word])).phase is Phase.ACTIVE
    assert parse_job_state(sign.join([word, *known])).phase is Phase.ACTIVE


@given(st.text(max_size=30))
def test_only_words_that_are_known_end_a_job(text: str) -> None:
    state = parse_job_state(text)
    assert not state.is_over or {state.name, *state.flags} <= set(JOB_STATES)
