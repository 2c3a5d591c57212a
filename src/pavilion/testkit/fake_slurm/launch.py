"""Start a command of the fake Slurm: ``python -I -S launch.py COMMAND CLUSTER_FOLDER ARGS...``."""

# A command starts in less time without pathlib.
# ruff: noqa: PTH100, PTH120

from __future__ import annotations

import os
import sys


def main() -> int:
    """Run the command named by the first argument; its return code."""
    # The directory above, so that this package is importable without the rest of Pavilion.
    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    from fake_slurm.run import main as run  # type: ignore[import-not-found,unused-ignore]

    code: int = run(sys.argv[1], sys.argv[2], sys.argv[3:])
    return code


if __name__ == "__main__":
    sys.exit(main())
