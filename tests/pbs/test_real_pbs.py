"""The private OpenPBS that the other tests use: started, stopped, and nothing left of it."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import janitor
import pytest
from installed_pbs import installation, why_not_available
from real_pbs import RealPbs

from open_directory import open_directory
from polling import until

START = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from real_pbs import RealPbs
cluster = RealPbs(Path(sys.argv[1]))
cluster.start()
cluster.submit("sleep 300")
print("started", flush=True)
sys.stdin.read()
"""


def test_two_of_them_live_side_by_side(pbs: RealPbs) -> None:
    with open_directory("test-pbs-") as path:
        with RealPbs(path, nodes=2) as other:
            job = other.submit("sleep 1", "-h", "-N", "elsewhere")
            assert other.state(job) == "H"
            assert not [about for about in pbs.jobs().values() if about["Job_Name"] == "elsewhere"]
            assert other.node_states() == {"n1": "free", "n2": "free"}
            assert len(pbs.node_states()) == 3
        assert not other.leftovers()
        assert not other.homes.exists()


def test_a_job_on_two_nodes(pbs: RealPbs) -> None:
    out = pbs.folder / "out"
    options = ("-l", "select=2:ncpus=2:mpiprocs=2", "-l", "place=scatter", "-o", str(out))
    job = pbs.submit("cat $PBS_NODEFILE", *options)
    pbs.wait_until(lambda: pbs.state(job) == "F", "it ended")
    assert out.read_text().split() == ["n1", "n1", "n2", "n2"]


def test_a_test_process_that_is_killed_leaves_no_pbs_behind(pbs: RealPbs) -> None:
    with open_directory("test-pbs-") as path:
        process = subprocess.Popen(
            [sys.executable, "-c", START, str(path), str(Path(__file__).parent)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"started\n"
            conf = path / "pbs.conf"
            # Six daemons, the database, and the process of the job.
            until(lambda: len(janitor.processes(conf, kind="pbs")) > 7, "a job runs")
        finally:
            process.send_signal(signal.SIGKILL)
            process.communicate()
        until(lambda: not janitor.processes(conf, kind="pbs"), "all have ended")
        until(lambda: not path.exists(), "its directory is removed")


# --- Where there is none ---


def test_where_it_is_not_installed_that_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PBS_EXEC", str(tmp_path))
    assert f"PBS_EXEC is {tmp_path}, and there is no OpenPBS" in why_not_available()
    assert "no bin/qsub, bin/qstat, " in why_not_available()
    monkeypatch.delenv("PBS_EXEC")
    monkeypatch.setenv("PATH", "/nonexistent")
    assert "no PBS_EXEC is set, and there is no qsub in PATH" in why_not_available()


def test_a_qsub_of_another_scheduler_is_not_taken_for_that_of_pbs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "qsub").touch(mode=0o755)
    monkeypatch.delenv("PBS_EXEC", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    assert installation() == tmp_path
    assert "the qsub in PATH is not that of an OpenPBS server" in why_not_available()
    assert "PBS_EXEC is not set" in why_not_available()
