"""Status files: an append-only history for several writers, whatever happens to the file."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pavilion.errors import TestRunError
from pavilion.status_file import STATES, StatusFile, TestStatusInfo

KNOWN = st.sampled_from(STATES.list())


@pytest.fixture
def status(tmp_path: Path) -> StatusFile:
    return StatusFile(tmp_path / "status")


# ---------------------------------------------------------------------------------- the states


def test_a_state_is_its_own_name() -> None:
    for name in STATES.list():
        assert getattr(STATES, name) == name
        assert STATES.help(name).endswith(".")


@pytest.mark.parametrize(
    "name",
    [
        "SCHEDULED",
        "SCHED_ERROR",
        "SCHED_CANCELLED",
        "SCHED_STARTUP",
        "SCHED_RUNNING",
        "SCHED_WARNING",
        "RUNNING",
        "COMPLETE",
    ],
)
def test_states_that_plugins_and_core_use_are_there(name: str) -> None:
    assert name in STATES.list()


def test_a_misspelt_state_is_an_error_that_lists_them() -> None:
    with pytest.raises(AttributeError, match=r"SCHEDULD.*SCHEDULED"):
        STATES.SCHEDULD  # noqa: B018
    with pytest.raises(KeyError):
        STATES.help("SCHEDULD")


def test_a_status_has_state_note_and_time() -> None:
    before = time.time()
    info = TestStatusInfo(STATES.SCHEDULED, "Waits.")
    assert before <= info.when <= time.time()
    assert TestStatusInfo("SCHEDULED", "Waits.", 12).as_dict() == {
        "state": "SCHEDULED",
        "note": "Waits.",
        "when": 12.0,
    }
    assert info == TestStatusInfo("SCHEDULED", "Waits.", info.when)
    assert info != TestStatusInfo("RUNNING", "Waits.", info.when)
    assert info != "SCHEDULED"


# --------------------------------------------------------------------------- writing and reading


def test_what_set_returns_is_what_current_reads(status: StatusFile) -> None:
    first = status.set(STATES.CREATED, "Made.")
    second = status.set(STATES.SCHEDULED, "Waits.")
    assert status.current() == second
    assert status.history() == [first, second]


def test_no_file_is_state_unknown(status: StatusFile) -> None:
    assert status.current().state == "UNKNOWN"
    assert "status" in status.current().note
    assert status.history() == []


def test_an_empty_file_is_state_unknown(status: StatusFile) -> None:
    status.path.touch()
    assert status.current().state == "UNKNOWN"


def test_what_cannot_be_read_is_state_unknown_and_says_why(status: StatusFile) -> None:
    # A folder in its place: that is unreadable for root as well.
    status.path.mkdir()
    info = status.current()
    assert info.state == "UNKNOWN"
    assert "directory" in info.note
    assert status.history() == []


def test_what_cannot_be_written_is_an_error_with_the_path(status: StatusFile) -> None:
    status.path.mkdir()
    with pytest.raises(TestRunError, match=f"RUNNING.*{status.path}"):
        status.set(STATES.RUNNING, "x")


def test_a_folder_that_is_gone_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(TestRunError, match="No such file"):
        StatusFile(tmp_path / "gone" / "status").set(STATES.RUNNING, "x")


def test_an_unknown_state_is_recorded_as_invalid_with_its_name(status: StatusFile) -> None:
    info = status.set("HAPPY", "so it is")
    assert info.state == "INVALID"
    assert "'HAPPY'" in info.note
    assert "so it is" in info.note
    assert status.current() == info


@given(notes=st.lists(st.tuples(KNOWN, st.text(max_size=80)), min_size=1, max_size=6))
@settings(max_examples=60, deadline=None)
def test_any_note_comes_back_as_it_was(
    tmp_path_factory: pytest.TempPathFactory, notes: list[tuple[str, str]]
) -> None:
    status = StatusFile(tmp_path_factory.mktemp("notes") / "status")
    for state, note in notes:
        status.set(state, note)
    # What UTF-8 does not have is written as an escape.
    readable = [(state, note.encode("utf-8", "backslashreplace").decode()) for state, note in notes]
    assert [(info.state, info.note) for info in status.history()] == readable
    assert status.path.read_bytes().count(b"\n") == len(notes)


@pytest.mark.parametrize(
    "note",
    [
        "two\nlines",
        "cr\r\nlf",
        "a \\n that is text",
        "ends in \\",
        "\\\\n",
        "",
        " ",
        "tab\tand \x0b\x0c\x1c\x85\u2028 are no newlines",
    ],
)
def test_notes_with_newlines_stay_on_one_line(status: StatusFile, note: str) -> None:
    status.set(STATES.RUNNING, note)
    status.set(STATES.COMPLETE, "end")
    assert [info.note for info in status.history()] == [note, "end"]
    assert status.path.read_bytes().count(b"\n") == 2


# --------------------------------------------------------------------------------- long notes


@pytest.mark.parametrize("char", ["x", "é", "€", "😀"])
@pytest.mark.parametrize("offset", range(4))
def test_a_long_note_is_cut_at_a_whole_character(
    status: StatusFile, char: str, offset: int
) -> None:
    note = "a" * offset + char * 5000
    info = status.set(STATES.RUNNING, note)
    line = status.path.read_bytes()
    assert StatusFile.LINE_MAX - 4 < len(line) <= StatusFile.LINE_MAX
    line.decode("utf-8", "strict")
    read = status.current()
    assert read.note.endswith("...")
    assert note.startswith(read.note[:-3])
    assert read.when == info.when


def test_the_longest_line_is_4096_bytes_and_is_not_cut(status: StatusFile) -> None:
    empty = len(f"{time.time():.6f} RUNNING \n")
    status.set(STATES.RUNNING, "x" * (4096 - empty))
    assert len(status.path.read_bytes()) == 4096
    assert status.current().note == "x" * (4096 - empty)


@pytest.mark.parametrize("offset", range(3))
def test_a_cut_does_not_leave_half_an_escape(status: StatusFile, offset: int) -> None:
    note = "a" * offset + "\n\\" * 4000
    status.set(STATES.RUNNING, note)
    read = status.current().note
    assert note.startswith(read[:-3])
    status.set(STATES.COMPLETE, "next")
    assert status.current().state == "COMPLETE"


# ------------------------------------------------------------------------------ damaged files


def test_a_torn_last_line_does_not_count(status: StatusFile) -> None:
    good = status.set(STATES.SCHEDULED, "Waits.")
    with status.path.open("ab") as file:
        file.write(b"1700000000.000000 RUNN")
    assert status.current() == good
    assert status.history() == [good]


def test_a_torn_line_does_not_swallow_the_next_one(status: StatusFile) -> None:
    good = status.set(STATES.SCHEDULED, "Waits.")
    with status.path.open("ab") as file:
        file.write(b"1700000000.000000 RUNNING Half of a no")
    last = status.set(STATES.COMPLETE, "End.")
    assert status.current() == last
    history = status.history()
    assert history[0] == good
    assert history[-1] == last


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"nonsense",
        b"not-a-time RUNNING x",
        b"1700000000.0",
        b"1700000000.0 HAPPY x",
        b"\xff\xfe\x00",
        b"\0" * 100,
    ],
)
def test_lines_that_are_not_ours_are_left_out(status: StatusFile, line: bytes) -> None:
    first = status.set(STATES.SCHEDULED, "Waits.")
    with status.path.open("ab") as file:
        file.write(line + b"\n")
    assert status.current() == first
    second = status.set(STATES.RUNNING, "Runs.")
    assert status.history() == [first, second]


def test_bytes_that_are_no_text_do_not_hide_a_state(status: StatusFile) -> None:
    status.path.write_bytes(b"1700000000.0 RUNNING caf\xe9\n")
    assert status.current() == TestStatusInfo("RUNNING", "caf\ufffd", 1700000000.0)


def test_the_newest_state_of_a_long_history_is_found(status: StatusFile) -> None:
    for number in range(50):
        status.set(STATES.RUNNING, f"{number} " + "x" * 1000)
    assert status.current().note.startswith("49 ")
    with status.path.open("ab") as file:
        file.write(b"1700000000.0 COMPLETE " + b"y" * 4000)
    assert status.current().note.startswith("49 ")
    assert len(status.history()) == 50


# ------------------------------------------------------------------------------ several writers

WRITER = """
import sys
from pathlib import Path
from pavilion.status_file import STATES, StatusFile
status, name = StatusFile(Path(sys.argv[1])), sys.argv[2]
print("ready", flush=True)
sys.stdin.readline()
for number in range(150):
    status.set(STATES.RUNNING, f"{name} {number} " + "€\\n" * (number * 13 % 900))
"""


def test_several_writers_do_not_tear_each_others_lines(status: StatusFile) -> None:
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(status.path), f"w{number}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(4)
    ]
    try:
        for writer in writers:
            assert writer.stdout is not None
            assert writer.stdout.readline() == "ready\n"
        for writer in writers:
            assert writer.stdin is not None
            writer.stdin.write("go\n")
            writer.stdin.flush()
        while any(writer.poll() is None for writer in writers):
            # A reader among them sees whole states only.
            assert status.current().state in ("RUNNING", "UNKNOWN")
    finally:
        for writer in writers:
            writer.communicate(timeout=120)
    assert [writer.returncode for writer in writers] == [0] * 4
    seen: dict[str, list[int]] = {}
    for info in status.history():
        name, number, rest = info.note.split(" ", 2)
        seen.setdefault(name, []).append(int(number))
        assert rest.removesuffix("...").replace("€\n", "") in ("", "€")
    assert seen == {f"w{number}": list(range(150)) for number in range(4)}
