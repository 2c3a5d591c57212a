"""A thousand raw tests of ``true`` in shared jobs, through ``pav-sched run``.

Compared, in the same run, with starting a thousand shell scripts from Python one after the other:
what no runner can do without.  Also counted: files and bytes that are written per test.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TESTS = 1000


def bare(folder: Path) -> float:
    """Seconds for writing and starting as many scripts, four at a time as there is no waiting."""
    start = time.perf_counter()
    for number in range(TESTS):
        script = folder / f"{number}.sh"
        script.write_text("#!/bin/bash\ntrue\n", encoding="ascii")
        script.chmod(0o755)
        subprocess.run([script], check=True)
    return time.perf_counter() - start


def run(folder: Path, concurrent: str) -> float:
    """Seconds for the whole of ``pav-sched run``, its start included."""
    suite = folder / "thousand.yaml"
    suite.write_text(
        json.dumps(
            {
                "thousand": {
                    "variables": {"number": [str(number) for number in range(TESTS)]},
                    "permute_on": ["number"],
                    "concurrent": concurrent,
                    "run": {"cmds": ["true"]},
                }
            }
        ),
        encoding="ascii",
    )
    env = dict(os.environ, HOME=str(folder), PAV_RAW_QUEUE_DIR=str(folder / "queue"))
    start = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "pavilion.cli", "--working-dir", folder / "work", "run", suite],
        check=True,
        env=env,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    return time.perf_counter() - start


def written(folder: Path) -> tuple[int, int]:
    """The number of files (links included) and the bytes in them."""
    paths = [path for path in folder.rglob("*") if not path.is_dir() or path.is_symlink()]
    return len(paths), sum(path.lstat().st_size for path in paths)


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as temp:
        folder = Path(temp)
        scripts = folder / "bare"
        scripts.mkdir()
        floor = bare(scripts)
        print(
            f"{TESTS} scripts, bare:                     {floor:6.2f} s  "
            f"({floor / TESTS * 1000:.2f} ms each)"
        )
        for concurrent in ("1", "4"):
            place = folder / f"concurrent{concurrent}"
            place.mkdir()
            took = run(place, concurrent)
            over = (took - floor) / TESTS * 1000
            print(
                f"pav-sched run, {concurrent} test(s) at a time:      {took:6.2f} s  "
                f"(overhead {over:.2f} ms a test)"
            )
        files, size = written(folder / "concurrent1" / "work")
        print(
            f"written per test:                        {files / TESTS:6.1f} files, "
            f"{size / TESTS:.0f} bytes"
        )


if __name__ == "__main__":
    main()
