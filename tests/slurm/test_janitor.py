"""A private real Slurm ends with the tests, however these are ended."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import janitor
import pytest
from clusters import wait_until
from real_slurm import why_not_available

from open_directory import open_directory

START = """
import sys
from pathlib import Path
from real_slurm import RealSlurm
cluster = RealSlurm(Path(sys.argv[1]), nodes=4)
cluster.start()
cluster.ok("sbatch", "-o", "/dev/null", "--wrap", "sleep 300")
print("started", flush=True)
sys.stdin.read()
"""


def test_a_test_process_that_is_killed_leaves_no_cluster_behind(
    request: pytest.FixtureRequest,
) -> None:
    if request.config.getoption("--slurm") == "fake":
        pytest.skip("needs a real Slurm; --slurm=real runs it")
    if reason := why_not_available():
        pytest.skip(f"needs a real Slurm, and that cannot be started here: {reason}")
    with open_directory("test-janitor-") as path:
        process = subprocess.Popen(
            [sys.executable, "-c", START, str(path)],
            cwd=Path(__file__).parent,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"started\n"
            conf = path / "slurm.conf"
            wait_until(lambda: len(janitor.processes(conf)) > 5, "daemons and a job")
        finally:
            process.send_signal(signal.SIGKILL)
            process.communicate()
        wait_until(lambda: not janitor.processes(conf), "all have ended")
        wait_until(lambda: not path.exists(), "its directory is removed")
