"""A process that starts a test: run by test_batch_submit.py, which has it killed.

usage: starter.py KIND DIRECTORY TEST.  The scheduler of this kind has been started in DIRECTORY, and
TEST is the directory of a test in a host's working directory.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import slurm_option  # noqa: F401  (where the sites' classes are)
from batch.sites import site_classes
from contract.fakes import FakePavConfig, FakeTest, active


def main(kind: str, directory: Path, path: Path) -> None:
    """Start a test of which there is a directory."""
    host = path.parents[3]
    site = site_classes()[kind](directory)
    plugin = site.plugin()
    test = FakeTest(path, int(path.name.partition(".")[2]), {}, scheduler=plugin.name)
    pav_cfg = FakePavConfig(host.with_name("pav_root"), host / "working_dir")
    with active(plugin):
        errors = plugin.schedule_tests(pav_cfg, [test])  # type: ignore[arg-type,list-item]
    print(*(error.pformat() for error in errors), file=sys.stderr)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
