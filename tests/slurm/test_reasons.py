"""Why jobs wait and how they ended, in plain words."""

from __future__ import annotations

import time

import pytest
from captures import DATA
from hypothesis import given
from hypothesis import strategies as st

from pavilion.schedulers.plugins.slurm.notes import Exit, job_note, parse_exit_code
from pavilion.schedulers.plugins.slurm.reasons import (
    Reason,
    Wait,
    explain_end,
    explain_reason,
    raised_signal,
)
from pavilion.schedulers.plugins.slurm.states import JOB_STATES

# Name, first and last release.
NAMES = [
    line.split()[0]
    for line in (DATA / "reasons.txt").read_text().splitlines()
    if not line.startswith("#")
]
# 2026-01-01T03:04:05 here. The jobs of these tests are expected to start a day later.
NOW = time.mktime((2026, 1, 1, 3, 4, 5, 0, 0, -1))
DAY = 24 * 3600.0
UNKNOWN = "Slurm's reason is not known here"
NEVER = [
    "AccountNotAllowed",
    "BadConstraints",
    "DeadLine",
    "DependencyNeverSatisfied",
    "InvalidAccount",
    "InvalidQOS",
    "MaxMemPerLimit",
    "PartitionConfig",
    "PartitionNodeLimit",
    "PartitionTimeLimit",
    "QOSNotAllowed",
]
ADMIN = [
    "BlockMaxError",
    "BurstBufferOperation",
    "FrontEndDown",
    "JobHeldAdmin",
    "JobHeldUser",
    "JobHoldMaxRequeue",
    "NodeDown",
    "PartitionDown",
    "PartitionInactive",
    "ReservationDeleted",
    "ReservationInvalid",
    "SystemFailure",
]


# --- Pending reasons ---


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("Priority", Wait.WAITING),
        ("Resources", Wait.WAITING),
        ("Reservation", Wait.WAITING),
        ("ReqNodeNotAvail", Wait.WAITING),
        ("BeginTime", Wait.WAITING),
        ("Dependency", Wait.WAITING),
        ("ReqNodeNotAvail, May be reserved for other job", Wait.WAITING),
        ("JobArrayTaskLimit", Wait.WAITING),
        ("None", Wait.WAITING),
        ("Licenses", Wait.WAITING),
        (
            "Nodes required for job are DOWN, DRAINED or reserved for jobs in higher priority "
            "partitions",
            Wait.WAITING,
        ),
        ("QOSMaxJobsPerUserLimit", Wait.WAITING),
        ("AssocGrpCpuLimit", Wait.WAITING),
        ("QOSGrpNodeLimit", Wait.WAITING),
        ("AssocMaxJobsLimit", Wait.WAITING),
        ("ReqNodeNotAvail, UnavailableNodes:node01", Wait.ADMIN),
        ("ReqNodeNotAvail,_UnavailableNodes:node[01-02]", Wait.ADMIN),
        ("ReqNodeNotAvail,UnavailableNodes:node01", Wait.ADMIN),
        ("launch failed requeued held", Wait.ADMIN),
        ("launch_failed_requeued_held", Wait.ADMIN),
        ("job requeued in held state", Wait.ADMIN),
        ("JobHeldAdmin", Wait.ADMIN),
        ("JobHeldUser", Wait.ADMIN),
        ("JobHoldMaxRequeue", Wait.ADMIN),
        ("PartitionDown", Wait.ADMIN),
        ("some new held reason", Wait.ADMIN),
        ("PartitionNodeLimit", Wait.NEVER),
        ("PartitionTimeLimit", Wait.NEVER),
        ("PartitionConfig", Wait.NEVER),
        ("BadConstraints", Wait.NEVER),
        ("DependencyNeverSatisfied", Wait.NEVER),
        ("InvalidAccount", Wait.NEVER),
        ("InvalidQOS", Wait.NEVER),
        ("QOSMaxNodePerJobLimit", Wait.NEVER),
        ("AssocMaxWallDurationPerJobLimit", Wait.NEVER),
        ("QOSMinCpuNotSatisfied", Wait.NEVER),
        ("SomethingNewIn26", Wait.WAITING),
    ],
)
def test_reason_kind(text: str, kind: Wait) -> None:
    assert explain_reason(text).kind is kind


@pytest.mark.parametrize("name", NAMES)
def test_every_name_that_slurm_has(name: str) -> None:
    reason = explain_reason(name)
    assert reason.text == name and reason.words != UNKNOWN
    of_one_job = "PerJob" in name or "PerNode" in name or name.startswith("QOSMin")
    assert reason.kind is (
        Wait.NEVER if name in NEVER or of_one_job else Wait.ADMIN if name in ADMIN else Wait.WAITING
    )


def test_all_names_are_there() -> None:
    assert len(NAMES) == len(set(NAMES)) == 221
    assert set(NEVER) | set(ADMIN) <= set(NAMES)


@pytest.mark.parametrize(
    ("text", "kind", "words"),
    [
        (
            "Reservation g2019011_1 was deleted",
            Wait.ADMIN,
            "its reservation 'g2019011_1' was deleted",
        ),
        ("Reservation a b was deleted", Wait.ADMIN, "its reservation 'a b' was deleted"),
        ("Reservation r_1 is invalid", Wait.ADMIN, "its reservation 'r_1' is no longer valid"),
        (
            "ReqNodeNotAvail, UnavailableNodes:n_1,n_2",
            Wait.ADMIN,
            "nodes it requests are down, drained or not responding: n_1,n_2",
        ),
        (
            "ReqNodeNotAvail, Reserved for maintenance",
            Wait.WAITING,
            "nodes it requests are reserved for maintenance",
        ),
        (
            "License request 'my_tool:3' is no longer valid, holding job",
            Wait.ADMIN,
            "the licenses 'my_tool:3' no longer exist, and it is held",
        ),
        (
            "Job's account not permitted to use this partition (long_q allows a_1 not b_2)",
            Wait.NEVER,
            "its account may not use the partition",
        ),
        (
            "Job's QOS not permitted to use this partition (long_q denies a_1 including b_2)",
            Wait.NEVER,
            "its QOS may not use the partition",
        ),
        (
            "uid 1000 not in group permitted to use this partition (x_y). groups allowed: a_b",
            Wait.NEVER,
            "its user's group may not use the partition",
        ),
        (
            "launch failure limit exceeded requeued held",
            Wait.ADMIN,
            "it could not be started on its nodes too often and is held",
        ),
        (
            "user env retrieval failed requeued held",
            Wait.ADMIN,
            "its user's environment could not be retrieved on its node, and it is held",
        ),
        (
            "job requeued in special exit state",
            Wait.ADMIN,
            "it was requeued because of its exit code and is held",
        ),
        (
            "burst_buffer/lua: JobHeldAdmin: pool x_y is gone",
            Wait.ADMIN,
            "an operation of its burst buffer failed",
        ),
        ("RaisedSignal:9(Killed)", Wait.WAITING, "its last run was ended by a signal"),
    ],
)
def test_free_text(text: str, kind: Wait, words: str) -> None:
    assert explain_reason(text) == Reason(text, kind, words)
    # squeue's list of nodes has it in parentheses.
    assert explain_reason(f"({text})") == Reason(text, kind, words)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Reservation_g2019011_1_was_deleted", "Reservation g2019011_1 was deleted"),
        ("ReqNodeNotAvail,_UnavailableNodes:n_1", "ReqNodeNotAvail, UnavailableNodes:n_1"),
        ("job_requeued_in_held_state", "job requeued in held state"),
    ],
)
def test_scontrol_writes_an_underscore_for_each_blank(text: str, shown: str) -> None:
    """Those of names stay."""
    reason = explain_reason(text)
    assert (reason.text, reason.kind) == (shown, Wait.ADMIN)


@pytest.mark.parametrize(
    ("text", "kind", "words"),
    [
        # squeue joins the reasons of an array's tasks. Some of it may run as long as one may.
        ("Resources,Priority", Wait.WAITING, "the nodes it needs are in use"),
        ("JobHeldUser,Priority", Wait.WAITING, "jobs with higher priority are ahead of it"),
        (
            "ReqNodeNotAvail, UnavailableNodes:n1,JobHeldUser",
            Wait.ADMIN,
            "nodes it requests are down, drained or not responding: n1",
        ),
        ("BadConstraints,JobHeldAdmin", Wait.ADMIN, "it is held by an administrator"),
        # Names that come with a detail that nobody has seen yet.
        ("BadConstraints: 3 GPUs", Wait.NEVER, "no nodes have what it requests"),
        (
            "ReqNodeNotAvail, Something new",
            Wait.WAITING,
            "nodes it requests are in use or reserved",
        ),
        (
            "ReqNodeNotAvail(Unavailable:n1)",
            Wait.ADMIN,
            "nodes it requests are down, drained or not responding: n1",
        ),
        ("Something_new, held_by x_y", Wait.ADMIN, "it is held"),
        ("Something_new", Wait.WAITING, UNKNOWN),
        ("", Wait.WAITING, UNKNOWN),
    ],
)
def test_several_reasons_and_unknown_ones(text: str, kind: Wait, words: str) -> None:
    assert explain_reason(text) == Reason(text, kind, words)


@given(
    st.one_of(
        st.text(max_size=40),
        st.lists(
            st.sampled_from(
                [*NAMES, "Reservation", "was deleted", "{}", "{0}", "_", ",", " ", "(", ")", ":"]
            ),
            max_size=5,
        ).map("".join),
    ),
    st.sampled_from(JOB_STATES),
    st.sampled_from(["", "N/A", "2026-01-01T00:00:00"]),
    st.text(max_size=8),
)
def test_any_reason_is_told(text: str, state: str, start: str, exit_code: str) -> None:
    assert isinstance(explain_reason(text).kind, Wait)
    note = job_note("7", {"state": state, "reason": text, "start": start, "exit_code": exit_code})
    assert note.startswith("Job 7 ")


@given(
    st.sampled_from(NAMES),
    st.sampled_from(
        ["PENDING", "REQUEUE_HOLD", "SPECIAL_EXIT", "RESV_DEL_HOLD", "EXPEDITING", "REQUEUED"]
    ),
)
def test_a_job_with_an_expected_start_needs_nobody(name: str, state: str) -> None:
    data = {"state": state, "reason": name, "start": "2026-01-02T03:04:05"}
    note = job_note("7", data, NOW)
    assert "needs an administrator" not in note and "can never run" not in note


@pytest.mark.parametrize(
    ("reason", "state", "words"),
    [
        ("ReservationInvalid", "PENDING", "needs an administrator"),
        ("PartitionTimeLimit", "PENDING", "can never run"),
        ("Reservation r was deleted", "RESV_DEL_HOLD", "needs an administrator"),
    ],
)
def test_a_start_that_is_long_past_is_not_expected_any_more(
    reason: str, state: str, words: str
) -> None:
    data = {"state": state, "reason": reason, "start": "2026-01-02T03:04:05"}
    assert words not in job_note("7", data, NOW + DAY)
    late = job_note("7", data, NOW + 2 * DAY)
    assert words in late and "Expected start" not in late


def test_blanks_and_underscores_are_the_same() -> None:
    assert explain_reason("Nodes_required_for_job_are_DOWN,_DRAINED_or_reserved") == explain_reason(
        "Nodes required for job are DOWN, DRAINED or reserved"
    )


def test_reason_words_name_the_nodes() -> None:
    assert explain_reason("ReqNodeNotAvail,_UnavailableNodes:n1,n2").words.endswith(": n1,n2")


def test_limits_are_told_in_words() -> None:
    assert (
        explain_reason("QOSMaxNodePerJobLimit").words
        == "it requests more than its QOS allows a job (Node Per Job)"
    )
    assert (
        explain_reason("AssocGrpCPUMinutesLimit").words
        == "its account has reached a limit (CPU Minutes)"
    )


# --- Notes ---


@pytest.mark.parametrize(
    ("text", "ended"),
    [
        ("0", Exit(0, 0)),
        ("768", Exit(3, 0)),
        ("9", Exit(0, 9)),
        ("15", Exit(0, 15)),
        ("4021", Exit(0, 53)),
        ("36608", Exit(143, 0)),
        ("0:53", Exit(0, 53)),
        ("143:0", Exit(143, 0)),
        ("3:0", Exit(3, 0)),
        ("1", Exit(0, 1)),
        ("0:1", Exit(0, 1)),
        ("139", Exit(0, 11)),
        ("1_0:0", None),
        (":", None),
        ("", None),
        ("N/A", None),
        ("x:y", None),
        ("-1", None),
        ("99999999", None),
    ],
)
def test_exit_code(text: str, ended: Exit | None) -> None:
    assert parse_exit_code(text) == ended


@pytest.mark.parametrize(
    ("data", "note"),
    [
        (
            {"state": "PENDING", "reason": "Resources", "start": "2026-01-02T03:04:05"},
            "Job 7 is waiting: the nodes it needs are in use (Resources). Expected start: "
            "2026-01-02T03:04:05.",
        ),
        (
            {"state": "PENDING", "reason": "ReqNodeNotAvail, UnavailableNodes:n1", "start": ""},
            "Job 7 is waiting and needs an administrator: nodes it requests are down, drained or not "
            "responding: n1 (ReqNodeNotAvail, UnavailableNodes:n1).",
        ),
        (
            {"state": "PENDING", "reason": "PartitionTimeLimit", "start": "N/A"},
            "Job 7 is waiting but can never run as it is: its time limit is over that of its partition "
            "(PartitionTimeLimit).",
        ),
        (
            {"state": "PENDING", "reason": "BeginTime", "restarts": "2"},
            "Job 7 is waiting: its earliest start time has not been reached (BeginTime). It was requeued 2 "
            "times.",
        ),
        (
            {"state": "R", "nodes": "n[1-2]", "start": "2026-01-02T03:04:05", "restarts": "1"},
            "Job 7 is running (RUNNING) on n[1-2], started 2026-01-02T03:04:05. It was requeued once.",
        ),
        (
            {
                "state": "TIMEOUT",
                "reason": "TimeLimit",
                "time_limit": "1:00",
                "exit_code": "143:0",
                "nodes": "n1",
                "end": "2026-01-02T03:04:05",
            },
            "Job 7 was stopped at its time limit of 1:00 (TIMEOUT) on n1 at 2026-01-02T03:04:05. Exit "
            "code 143 (one of its commands got SIGTERM).",
        ),
        (
            {"state": "FAILED", "reason": "NonZeroExitCode", "exit_code": "768", "nodes": "n1"},
            "Job 7 failed (FAILED) on n1. Exit code 3.",
        ),
        (
            {"state": "FAILED", "reason": "JobLaunchFailure", "exit_code": "0:9"},
            "Job 7 failed (FAILED, JobLaunchFailure). Killed by signal 9 (SIGKILL).",
        ),
        (
            {"state": "FAILED", "exit_code": "4021"},
            "Job 7 failed (FAILED). Slurm could not start its script (exit 0:53); usually because "
            "the directory of its output file is missing or not writable.",
        ),
        (
            {"state": "NODE_FAIL", "reason": "NodeDown", "nodes": "n4", "exit_code": "0"},
            "Job 7 was lost: one of its nodes failed (NODE_FAIL, NodeDown) on n4.",
        ),
        (
            {"state": "OUT_OF_MEMORY", "reason": "OutOfMemory", "exit_code": "0:125"},
            "Job 7 was killed: it ran out of memory (OUT_OF_MEMORY, OutOfMemory).",
        ),
        # 23.02 and later: the reason names the signal.
        (
            {"state": "FAILED", "reason": "RaisedSignal:9(Killed)", "exit_code": "0:9"},
            "Job 7 failed (FAILED). Killed by signal 9 (SIGKILL).",
        ),
        (
            {"state": "FAILED", "reason": "RaisedSignal:1(Hangup)", "exit_code": "0:1"},
            "Job 7 failed (FAILED). Killed by signal 1 (SIGHUP).",
        ),
        (
            {"state": "FAILED", "reason": "RaisedSignal:64(Real-time signal 30)", "exit_code": ""},
            "Job 7 failed (FAILED). Killed by signal 64.",
        ),
        ({"state": "FAILED", "reason": "RaisedSignal"}, "Job 7 failed (FAILED, RaisedSignal)."),
        # Ends by the controller, which writes a bare 1 ('0:1'): nobody sent a signal.
        (
            {"state": "FAILED", "reason": "JobLaunchFailure", "exit_code": "0:1", "nodes": "n1"},
            "Job 7 failed: it could not be launched (FAILED, JobLaunchFailure) on n1.",
        ),
        (
            {"state": "FAILED", "reason": "SystemFailure", "exit_code": "1"},
            "Job 7 failed: Slurm, the file system or the network failed (FAILED, SystemFailure).",
        ),
        (
            {"state": "NODE_FAIL", "reason": "NodeDown", "exit_code": "0:15", "nodes": "n1"},
            "Job 7 was lost: one of its nodes failed (NODE_FAIL, NodeDown) on n1.",
        ),
        (
            {"state": "NODE_FAIL", "reason": "PartitionDown", "exit_code": "0:1", "nodes": "n1"},
            "Job 7 was lost: its partition was set to down (NODE_FAIL, PartitionDown) on n1.",
        ),
        (
            {"state": "BOOT_FAIL", "exit_code": "0:1"},
            "Job 7 could not run: its nodes did not boot (BOOT_FAIL).",
        ),
        (
            {"state": "CANCELLED", "exit_code": "0:15", "reason": "Priority"},
            "Job 7 was cancelled (CANCELLED).",
        ),
        (
            {"state": "CANCELLED", "exit_code": "0:15", "nodes": "n1"},
            "Job 7 was cancelled (CANCELLED) on n1. Killed by signal 15 (SIGTERM).",
        ),
        (
            {"state": "CANCELLED by 0", "reason": "DependencyNeverSatisfied", "exit_code": "0:1"},
            "Job 7 was cancelled by user 0: it depends on a job that did not end as required (CANCELLED, "
            "DependencyNeverSatisfied).",
        ),
        (
            {
                "state": "TIMEOUT",
                "reason": "Reservation g_1, which this job was running under, has ended",
                "time_limit": "1:00",
                "exit_code": "0:0",
                "nodes": "n1",
            },
            "Job 7 was stopped: its reservation 'g_1' ended (TIMEOUT, Reservation g_1, which this job "
            "was running under, has ended) on n1.",
        ),
        (
            {
                "state": "TIMEOUT",
                "reason": "Job is at or exceeds QOS my_qos's group wall limit of 5 with 6",
            },
            "Job 7 was stopped: it reached a limit of its QOS (TIMEOUT, Job is at or exceeds QOS my_qos's "
            "group wall limit of 5 with 6).",
        ),
        (
            {"state": "FAILED", "reason": "New_in 26", "exit_code": "3:0"},
            "Job 7 failed (FAILED, New_in 26). Exit code 3.",
        ),
        (
            {"state": "RESV_DEL_HOLD", "reason": "Reservation g_1 was deleted"},
            "Job 7 is held: its reservation was deleted or is no longer valid; it needs an "
            "administrator (RESV_DEL_HOLD): its reservation 'g_1' was deleted (Reservation g_1 was "
            "deleted).",
        ),
        (
            {"state": "PENDING", "reason": "JobHeldUser", "start": "2026-01-02T03:04:05"},
            "Job 7 is waiting: it is held; 'scontrol release' releases it (JobHeldUser). Expected "
            "start: 2026-01-02T03:04:05.",
        ),
        ({"state": "CANCELLED by 1000"}, "Job 7 was cancelled by user 1000 (CANCELLED)."),
        ({"state": "COMPLETED", "exit_code": "0"}, "Job 7 ended normally (COMPLETED)."),
        (
            {"state": "REQUEUE_HOLD", "reason": "launch failed requeued held"},
            "Job 7 was requeued and is held; it needs an administrator (REQUEUE_HOLD): it could not be "
            "started on its node (often because the prolog failed) and is held (launch failed requeued "
            "held).",
        ),
        ({"state": "NOVEL"}, "Job 7 is in a state that is not known here (NOVEL)."),
    ],
)
def test_note(data: dict[str, str], note: str) -> None:
    assert job_note("7", data, NOW) == note


@pytest.mark.parametrize("state", JOB_STATES)
def test_every_state_has_a_note(state: str) -> None:
    note = job_note("7", {"state": state, "reason": "None"})
    assert note.startswith("Job 7 ") and note.endswith(".")
    assert "not known here" not in note


ENDS = (
    "JobLaunchFailure",
    "SystemFailure",
    "InactiveLimit",
    "BadConstraints",
    "PartitionDown",
    "DependencyNeverSatisfied",
    "InvalidAccount",
    "InvalidQOS",
    "BurstBufferOperation",
)
SAID_BY_THE_STATE = (
    "NonZeroExitCode",
    "TimeLimit",
    "NodeDown",
    "OutOfMemory",
    "RaisedSignal",
    "RaisedSignal:9(Killed)",
    "DeadLine",
    "None",
    "",
)


def test_words_of_ends() -> None:
    assert all(explain_end(name) for name in ENDS)
    assert [explain_end(name) for name in SAID_BY_THE_STATE] == [""] * len(SAID_BY_THE_STATE)
    # What a job last waited for, or nobody knows.
    assert [explain_end(name) for name in ("Priority", "JobHeldUser", "New: 5")] == [None] * 3
    assert explain_end("(Unable to load job batch script)") == "Slurm lost its script"


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("RaisedSignal:9(Killed)", 9),
        ("RaisedSignal", 0),
        ("RaisedSignal:x", 0),
        ("", 0),
        ("RaisedSignal:9999(x)", 0),
    ],
)
def test_raised_signal(text: str, number: int) -> None:
    assert raised_signal(text) == number
