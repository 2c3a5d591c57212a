"""A full disk: nothing half-written is left that later commands trip over, and all tests end."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from series_tools import PATIENCE, create, kick_off, kill_all, pav_argv, pav_env, processes

from pavilion.config import PavConfig
from pavilion.series import Series
from polling import until


@pytest.fixture(autouse=True)
def _leave_nothing_behind(pav_cfg: PavConfig) -> Iterator[None]:
    yield
    kill_all()


class FullDisk:
    """A working folder on a file system that can be filled: a tmpfs, or an imitation."""

    def __init__(self, folder: Path, kind: str) -> None:
        self.folder = folder
        self.kind = kind

    def fill(self) -> None:
        if self.kind == "rlimit":
            return
        with (self.folder / "filler").open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(b"x" * 4096)
            except OSError:
                pass

    def free(self) -> None:
        (self.folder / "filler").unlink(missing_ok=True)

    def run(self, argv: Sequence[str], env: dict[str, str]) -> str:
        """Run a program for which the disk is full; gives what it prints."""
        if self.kind == "rlimit":
            # No file can grow above 0 bytes; pipes are not concerned.
            argv = ["bash", "-c", 'ulimit -f 0; exec "$@"', "bash", *argv]
            # What is measured has to be written, too.
            env = {key: value for key, value in env.items() if not key.startswith("COVERAGE")}
        return subprocess.run(
            argv,
            env=env,
            text=True,
            stdout=subprocess.PIPE,
            check=False,
            stderr=subprocess.STDOUT,
            timeout=PATIENCE,
        ).stdout


@pytest.fixture(params=["tmpfs", "rlimit"])
def full_disk(
    request: pytest.FixtureRequest, pav_cfg: PavConfig, tmp_path: Path
) -> Iterator[FullDisk]:
    """The kind is a part of the test's name: tmpfs is a real full disk, rlimit an imitation."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = shutil.which("mount")
    if request.param == "tmpfs" and (
        mount is None
        or subprocess.run(
            [mount, "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)],
            capture_output=True,
            check=False,
        ).returncode
        != 0
    ):
        pytest.skip(
            "NO REAL FULL DISK: no tmpfs can be mounted here (that needs root). The "
            "same tests run with an imitation by RLIMIT_FSIZE."
        )
    try:
        pav_cfg.working_dir = folder / "work"
        pav_cfg.make_working_dir()
        yield FullDisk(folder, request.param)
    finally:
        if request.param == "tmpfs":
            subprocess.run(["umount", "-l", str(folder)], check=True)


CREATE = """
import sys
from pathlib import Path
from pavilion.config import load_config
from pavilion.errors import PavilionError
from pavilion.plugins import load_plugins
from pavilion.resolve import resolve_test
from pavilion.series import Series
from pavilion.suites import select_tests
cfg = load_config(working_dir=Path(sys.argv[1]), config_dirs=[Path(sys.argv[2])])
load_plugins(cfg)
runs = [run for test in select_tests(cfg, "suite") for run in resolve_test(test)]
try:
    print("made", Series.create(cfg, runs).id)
except PavilionError as exc:
    print("refused:", exc.pformat())
"""


def test_no_series_is_made_on_a_full_disk(
    pav_cfg: PavConfig, full_disk: FullDisk, tmp_path: Path
) -> None:
    before = create(pav_cfg, "a: {run: {cmds: ['true']}}")
    full_disk.fill()
    out = full_disk.run(
        [sys.executable, "-B", "-c", CREATE, str(pav_cfg.working_dir), str(tmp_path / "config")],
        dict(os.environ),
    )
    assert "refused: " in out, out
    assert "Traceback" not in out
    assert str(pav_cfg.working_dir) in out
    assert [path.name for path in (pav_cfg.working_dir / "series").iterdir()] == [before.id]
    full_disk.free()
    # What comes later does not trip over anything.
    assert create(pav_cfg, "a: {run: {cmds: ['true']}}").id == "s2"


def test_a_test_that_meets_a_full_disk_is_an_error_and_is_over(
    pav_cfg: PavConfig, full_disk: FullDisk
) -> None:
    series = create(
        pav_cfg,
        """
        a: {run: {cmds: ['echo {{host_name}}']}}
        b: {run: {cmds: ['echo b']}}
        """,
    )
    full_disk.fill()
    out = full_disk.run(pav_argv(series), dict(pav_env(series), PYTHONDONTWRITEBYTECODE="1"))
    assert "Traceback" not in out, out
    for test in series.tests:
        assert f"Test {test.id}: " in out
        assert test.complete
        assert test.result == "ERROR"
    full_disk.free()
    for test in Series.load(pav_cfg, series.id).tests:
        assert test.result == "ERROR"
        # The status file is whole: nothing half-written is taken for a state.
        assert test.status.current().state in ("CREATED", "PREPPING_RUN", "RUNNING", "RUN_ERROR")


@pytest.mark.parametrize("full_disk", ["tmpfs"], indirect=True)
def test_a_disk_that_gets_full_in_mid_run(pav_cfg: PavConfig, full_disk: FullDisk) -> None:
    series = kick_off(
        pav_cfg,
        """
        a:
          run:
            cmds:
              - touch started
              - while [ ! -e ../go ]; do sleep 0.05; done
              - yes
        """,
    )
    test = series.tests[0]
    until((test.path / "work" / "started").exists, "the start of the test")
    (test.path / "go").touch()
    # Its output fills the disk, so its end cannot be recorded.
    assert series.wait(timeout=PATIENCE)
    assert test.result == "ERROR"
    test.run_log.unlink()
    until(lambda: not processes(), "the end of the job")
    assert _finish_again(pav_cfg, series) == "ERROR"


def _finish_again(pav_cfg: PavConfig, series: Series) -> str | None:
    """The result as a later command sees it."""
    (test,) = Series.load(pav_cfg, series.id).tests
    json.loads((test.path / "test.json").read_text())
    assert not [path for path in test.path.iterdir() if path.name.startswith(".")]
    return test.result
