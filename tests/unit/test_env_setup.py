"""Lines of env_setup that fail: which do, and what is told about them."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from pavilion.env_setup import VARIABLE, Failure, note_of, take_failures, watched
from pavilion.test_run import kickoff_shebang


def failures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *lines: str) -> list[Failure]:
    """What is noted of these lines at the start of a kickoff script."""
    log, script = tmp_path / "kickoff.log", tmp_path / "kickoff.sh"
    script.write_text("\n".join(["#!/bin/bash", f"exec >{log} 2>&1", *watched(lines)]))
    with script.open("a") as file:
        file.write(f'\nprintf %s "${{{VARIABLE}-}}" >{tmp_path / "noted"}\necho "the last line"\n')
    subprocess.run(["bash", script], check=True, cwd=tmp_path)
    assert log.read_text().endswith("the last line\n")
    monkeypatch.setenv(VARIABLE, (tmp_path / "noted").read_text())
    found = take_failures(log)
    assert VARIABLE not in os.environ
    return found


@pytest.mark.parametrize(
    "lines",
    [
        ["export A=b", "cd /"],
        ["false || true", "if false; then", "  true", "fi", "! true", "false && true"],
        ["set -u", 'echo "${HOME}"'],
        [
            "A='two",
            "lines'",
            "cat <<EOF",
            "  'text'",
            "EOF",
            'case "$A" in',
            "  x) true ;;",
            "esac",
        ],
        ["printf 'false\\ntrue\\n' >some.sh", "source ./some.sh", ". ./some.sh"],
        ["f() { false; true; }", "f", "echo $(false; echo x)"],
        ["true \\", "  and more", "{ true; }"],
    ],
)
def test_lines_that_do_not_fail(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lines: list[str]
) -> None:
    assert failures(tmp_path, monkeypatch, *lines) == []


@pytest.mark.parametrize(
    ("lines", "code", "command"),
    [
        (["no_such_command load gcc"], 127, "no_such_command load gcc"),
        (["echo fine", "cd /no/such/directory", "echo fine"], 1, "cd /no/such/directory"),
        (["if true; then", "  false", "fi"], 1, "false"),
        (["source ./no_such_file"], 1, "source ./no_such_file"),
        (["printf 'return 3\\n' >some.sh", "source ./some.sh"], 3, "source ./some.sh"),
        (["module() { return 5; }", "module load 'a b'"], 5, "module load 'a b'"),
        (["set -o pipefail", "false | true"], 1, "false | true"),
        (["(exit 4)"], 4, "(exit 4)"),
        (["false 'a", "b'"], 1, "false 'a b'"),
    ],
)
def test_lines_that_fail(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lines: list[str], code: int, command: str
) -> None:
    (found,) = failures(tmp_path, monkeypatch, *lines)
    assert (found.code, found.command) == (code, command)


def test_a_loop_that_fails_all_the_time_is_noted_a_few_times(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The environment of programs has a limit: nothing more could be started after it."""
    found = failures(
        tmp_path, monkeypatch, "set -u", f"for i in {{1..5000}}; do {'false;' * 99} done"
    )
    assert 5 < len(found) < 100
    assert "and 15 more" in note_of([Failure(1, str(number)) for number in range(20)])


@pytest.mark.parametrize("noted", ["\u00b2 x\n", "x", "1 a\x0b2 b\n"])
def test_notes_that_look_odd(monkeypatch: pytest.MonkeyPatch, noted: str) -> None:
    monkeypatch.setenv(VARIABLE, noted)
    assert len(take_failures(None)) == (noted[0] == "1")


@pytest.mark.parametrize(
    ("own", "kickoff"),
    [
        (None, "#!/bin/bash"),
        ("#!/bin/bash -l", "#!/bin/bash -l"),
        ("#! /usr/bin/bash", "#! /usr/bin/bash"),
        ("#!/usr/bin/env -S bash -l", "#!/usr/bin/env -S bash -l"),
        ("#!/usr/bin/env bash", "#!/usr/bin/env bash"),
        ("#!/bin/sh", "#!/bin/bash"),
        ("#!/opt/bash/bin/ksh", "#!/bin/bash"),
        ("#!/usr/bin/env python3", "#!/bin/bash"),
    ],
)
def test_kickoff_scripts_are_run_by_bash(own: str | None, kickoff: str) -> None:
    assert kickoff_shebang({"run": {"shebang": own}}) == kickoff


def test_the_output_of_each_is_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = failures(tmp_path, monkeypatch, "ls /no/a", "ls /no/b", "false")
    assert ["/no/a" in each.output for each in found] == [True, False, False]
    assert ["/no/b" in each.output for each in found] == [False, True, False]
    note = note_of(found)
    assert "'ls /no/a' ended with exit code 2 and printed: ls: " in note
    assert "'false' ended with exit code 1." in note
    assert "'|| true'" in note


def test_many_failures_are_not_all_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = failures(tmp_path, monkeypatch, *(f"ls /no/{number}" for number in range(20)))
    assert len(found) == 20
    assert note_of(found).partition("\n")[0].endswith("; and 15 more.")


def test_other_shells_run_the_lines_as_they_are(tmp_path: Path) -> None:
    script = "\n".join(watched(["export A=b", "false", "echo $A"]))
    for shell in ("sh", "bash --posix"):
        done = subprocess.run(
            [*shell.split(), "-c", script], capture_output=True, text=True, cwd=tmp_path
        )
        assert (done.returncode, done.stdout) == (0, "b\n"), done.stderr


def test_without_lines_there_is_nothing_to_watch() -> None:
    assert watched([]) == []
