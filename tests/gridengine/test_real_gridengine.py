"""The private Grid Engine that the other tests use: started, stopped, and nothing left of it."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import janitor
from real_gridengine import RealGridEngine

from open_directory import open_directory
from polling import until

START = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from real_gridengine import RealGridEngine
cluster = RealGridEngine(Path(sys.argv[1]))
cluster.start()
cluster.ok("qsub", "-b", "y", "-o", "/dev/null", "-j", "y", "sleep", "300")
print("started", flush=True)
sys.stdin.read()
"""


def test_two_of_them_live_side_by_side(gridengine: RealGridEngine) -> None:
    with open_directory("test-gridengine-") as path:
        with RealGridEngine(path) as other:
            job = other.ok("qsub", "-terse", "-b", "y", "-h", "sleep", "1").strip()
            assert other.state(job) == "hqw"
            assert gridengine.state(job) == ""
            root = other.root
        assert not janitor.processes(root, kind="gridengine")
        assert not root.exists()


def test_a_test_process_that_is_killed_leaves_no_grid_engine_behind(
    gridengine: RealGridEngine,
) -> None:
    with open_directory("test-gridengine-") as path:
        process = subprocess.Popen(
            [sys.executable, "-c", START, str(path), str(Path(__file__).parent)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"started\n"
            root = path / "root"
            # The daemons, and the shepherd and the process of the job.
            until(lambda: len(janitor.processes(root, kind="gridengine")) > 3, "a job runs")
        finally:
            process.send_signal(signal.SIGKILL)
            process.communicate()
        until(lambda: not janitor.processes(root, kind="gridengine"), "all have ended")
        until(lambda: not path.exists(), "its directory is removed")
