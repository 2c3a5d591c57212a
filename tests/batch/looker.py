"""A process that looks at jobs: run by test_batch_cost.py.

usage: looker.py KIND DIRECTORY WORKING_DIR JOB ...  It prints the state of each job.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import slurm_option  # noqa: F401  (where the sites' classes are)
from batch.sites import site_classes
from contract.fakes import FakePavConfig, active
from pavilion.jobs import Job
from pavilion.schedulers.lifecycle.identity import load_identity


def main(kind: str, directory: Path, working_dir: Path, jobs: list[Path]) -> None:
    """Look at some jobs, once."""
    plugin = site_classes()[kind](directory).plugin()
    plugin.JOB_TABLE_AGE = 60.0
    pav_cfg = FakePavConfig(working_dir.parents[1] / "pav_root", working_dir)
    with active(plugin):
        for path in jobs:
            info = load_identity(Job(path))
            assert info is not None
            status = plugin._job_status(pav_cfg, info)  # type: ignore[arg-type]
            print(status and status.state)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), [Path(path) for path in sys.argv[4:]])
