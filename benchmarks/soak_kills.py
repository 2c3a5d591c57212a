"""A run that is killed at any moment: what becomes of its tests?  On the fake Slurm.

Starts ``pav-sched run`` 30 times for each kind of scheduler, kills it with SIGKILL at a random
moment, and lets ``pav-sched wait`` see what there is to see, as a user would from another terminal.
Each script writes a line when it begins, so what really ran is known.  Counts tests that are

- lost: without a final state,
- doubled: whose script ran more than once,
- misreported: PASS without having run, or another end although the script ran to its end,
- left running: of which a process is there after all tests have ended.

The kinds: the scheduler as it is; *slow*, where squeue takes two seconds; *noisy*, where each
command complains about its configuration; *unclear*, where every third sbatch submits the job and
says that it did not; *shared*, where the working directory is shared with a group.

    python benchmarks/soak_kills.py [--rounds 30] [--seed 1]
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Collection
from pathlib import Path

KINDS = ("plain", "slow", "noisy", "unclear", "shared")
TESTS = 6
SUITE = """
_base:
  scheduler: slurm
  schedule: {nodes: 1, share_allocation: false}
  run:
    cmds: ['echo "$PAV_TEST_ID" >> "$KILLS_RAN"', 'sleep 0.5',
           'echo "$PAV_TEST_ID" >> "$KILLS_ENDED"']
"""
COMPLAINT = "error: DefMemPerCPU ignored, since it's mutually exclusive with DefMemPerNode"


def wrappers(kinds: Collection[str], folder: Path) -> None:
    """Make commands that come before Slurm's own, for these kinds of a scheduler."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("sbatch", "squeue", "scancel", "scontrol", "sinfo"):
        real = shutil.which(name)
        lines = ["#!/bin/bash"]
        if "noisy" in kinds:
            lines.append(f'echo "{name}: {COMPLAINT}" >&2')
        if "slow" in kinds and name == "squeue":
            lines.append("sleep 2")
        if "unclear" in kinds and name == "sbatch":
            lines += [
                f'if [ $((RANDOM % 3)) = 0 ]; then {real} "$@" >/dev/null',
                'echo "sbatch: error: Batch job submission failed: Stale file handle" >&2',
                "exit 1; fi",
            ]
        lines.append(f'exec {real} "$@"')
        (folder / name).write_text("\n".join(lines) + "\n")
        (folder / name).chmod(0o755)


def one_round(
    kind: str, number: int, root: Path, rng: random.Random, env: dict[str, str]
) -> Counter[str]:
    """Start, kill, wait, count."""
    argv = [
        sys.executable,
        "-m",
        "pavilion.cli",
        "--working-dir",
        str(root / "work"),
        "--config-dir",
        str(root / "config"),
    ]
    run = subprocess.Popen(
        [*argv, "run", "kills"],
        env=env,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    time.sleep(rng.uniform(0.2, 3.5))
    try:
        os.kill(run.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    run.wait()
    series = root / "work" / "series" / f"s{number}"
    found: Counter[str] = Counter(runs=1)
    if not (series / "series.json").exists():
        # Killed before there was anything.
        found["before"] += 1
        return found
    subprocess.run(
        [*argv, "wait", series.name, "--timeout", "120"],
        env=env,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    shown = subprocess.run(
        [*argv, "status", series.name, "--json"],
        env=env,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    ran, ended = (
        Counter(Path(env[name]).read_text().split()) for name in ("KILLS_RAN", "KILLS_ENDED")
    )
    for test in json.loads(shown.stdout or '{"tests": []}')["tests"]:
        found["tests"] += 1
        name, result = test["id"], test.get("result")
        found["lost"] += not result
        if not result:
            print(f"{kind}, round {number}: {json.dumps(test)}", file=sys.stderr)
        found["doubled"] += ran[name] > 1
        found["misreported"] += (result == "PASS") != (ended[name] > 0)
        found["passed"] += result == "PASS"
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            try:
                variables = (process / "environ").read_bytes()
            except OSError:
                continue
            found["left running"] += f"PAV_TEST_ID={series.name}.".encode() in variables and (
                env["KILLS_RAN"].encode() in variables
            )
    return found


def inside(kinds: list[str], rounds: int, seed: int) -> None:
    """Within a fake Slurm: all rounds; prints a table."""
    columns = (
        "runs",
        "before",
        "tests",
        "passed",
        "lost",
        "doubled",
        "misreported",
        "left running",
    )
    print(f"| scheduler | {' | '.join(columns)} |")
    print(f"| --- |{' --- |' * len(columns)}")
    for kind in kinds:
        rng = random.Random(f"{seed} {kind}")
        root = Path(tempfile.mkdtemp(prefix="kills-"))
        for name in ("config/suites", "work"):
            (root / name).mkdir(parents=True)
        if kind == "shared":
            (root / "work").chmod(0o2775)
        (root / "config" / "suites" / "kills.yaml").write_text(
            SUITE + "".join(f"t{number}: {{inherits_from: _base}}\n" for number in range(TESTS))
        )
        wrappers([kind], root / "bin")
        env = dict(
            os.environ,
            PATH=f"{root / 'bin'}:{os.environ['PATH']}",
            KILLS_RAN=str(root / "ran"),
            KILLS_ENDED=str(root / "ended"),
        )
        for name in ("ran", "ended"):
            (root / name).touch()
        total: Counter[str] = Counter()
        made = 0
        for _ in range(rounds):
            found = one_round(kind, made + 1, root, rng, env)
            made += not found["before"]
            total += found
        print(f"| {kind} | {' | '.join(str(total[name]) for name in columns)} |", flush=True)
        shutil.rmtree(root, ignore_errors=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kinds", default=",".join(KINDS))
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.inside:
        inside(args.kinds.split(","), args.rounds, args.seed)
        return 0
    return subprocess.run(
        [
            sys.executable,
            "-m",
            "pavilion.testkit",
            "fake-slurm",
            "--nodes",
            "8",
            "--",
            sys.executable,
            __file__,
            *sys.argv[1:],
            "--inside",
        ]
    ).returncode


if __name__ == "__main__":
    sys.exit(main())
