"""Run all benchmarks, or those that are named, each in a process of its own.

``python benchmarks/run.py [name ...]``
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent


def main(names: list[str]) -> int:
    """Run those whose file names contain one of the names; all without names."""
    failed = 0
    for file in sorted(HERE.glob("bench_*.py")):
        if names and not any(name in file.stem for name in names):
            continue
        print(f"\n== {file.stem}", flush=True)
        failed |= subprocess.run([sys.executable, str(file)]).returncode
    return failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
