"""Start a command of a fake: ``python -I -S launch.py FAKE COMMAND CLUSTER_DIRECTORY ARGS...``.

FAKE is the name of a package beside this file.  The command 'controller' is the process that
starts and ends jobs.
"""

# A command starts in less time without pathlib.
# ruff: noqa: PTH100, PTH120

from __future__ import annotations

import os
import sys


def main() -> int:
    """Run the command that the arguments name; its return code."""
    # The directory above, so that this package is importable without the rest of Pavilion.
    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    from fakes.engine.run import main as run  # type: ignore[import-not-found,unused-ignore]

    code: int = run(*sys.argv[1:4], sys.argv[4:])
    return code


if __name__ == "__main__":
    sys.exit(main())
