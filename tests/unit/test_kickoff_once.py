"""A kickoff script whose scheduler may run it again: it runs once."""

from __future__ import annotations

import subprocess
from pathlib import Path

from contract.fakes import FakePavConfig
from pavilion.schedulers import KickoffScriptHeader, validate_config
from pavilion.schedulers.kickoff import compose_stub


def script(folder: Path, once: bool) -> Path:
    """A script that notes each run in a file."""
    header = KickoffScriptHeader("name", validate_config({}))
    header.once = once
    made = compose_stub(FakePavConfig(folder, folder), header, folder / "kickoff.log")  # type: ignore[arg-type]
    made.command("echo run >>runs; echo said")
    path = folder / "kickoff.sh"
    made.write(path)
    return path


def run(path: Path) -> subprocess.CompletedProcess[str]:
    """Run a copy of the script, as schedulers do."""
    copy = path.with_name("copy.sh")
    copy.write_text(path.read_text())
    return subprocess.run(
        ["bash", str(copy)], cwd=path.parent, capture_output=True, text=True, check=False
    )


def test_a_second_run_ends_at_once_and_says_why(tmp_path: Path) -> None:
    folder = tmp_path / 'it\'s a "job"'
    folder.mkdir()
    path = script(folder, True)
    assert run(path).returncode == 0
    again = run(path)
    assert again.returncode == 75 and "a second time" in again.stdout
    assert (folder / "runs").read_text() == "run\n"
    # The log of the first one is still there.
    assert "said" in (folder / "kickoff.log").read_text()


def test_without_a_mark_it_runs(tmp_path: Path) -> None:
    path = script(tmp_path, True)
    # In its place there is something else: whether it has run is not known then.
    (tmp_path / "begun").write_text("")
    assert run(path).returncode == 0
    assert (tmp_path / "runs").read_text() == "run\n"


def test_other_scripts_may_run_again(tmp_path: Path) -> None:
    path = script(tmp_path, False)
    assert [run(path).returncode for _ in range(2)] == [0, 0]
    assert (tmp_path / "runs").read_text() == "run\nrun\n"
