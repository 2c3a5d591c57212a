"""Capture what a command of a real Slurm prints, for the tests.

``tools/capture.py [--slurm-prefix DIR] [--before SHELL_COMMANDS] NAME -- COMMAND...``

Starts a private Slurm (as root), brings a condition about with shell commands, runs the command and
writes ``tests/data/slurm/RELEASE/NAME.txt``: command, exit code, standard output and error. In their
directory, which is called /cluster, there are ``ok.sh``, a job that does nothing, and ``long.sh``, one
that runs for five minutes. The host's name and its kernel are replaced. Example::

    tools/capture.py sbatch_bad_license -- sbatch -H --parsable -L nosuch:1 /cluster/ok.sh
"""

from __future__ import annotations

import argparse
import os
import shlex
import socket
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests" / "slurm"), str(ROOT / "src")]

from real_slurm import RealSlurm, RealSlurmError, use_installation  # noqa: E402

from pavilion.schedulers.plugins.slurm.queries import QUERY_SET  # noqa: E402

DATA = ROOT / "tests" / "data" / "slurm"
JOBS = {"ok.sh": "true", "long.sh": "sleep 300"}


def main() -> None:
    """Capture one answer."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--slurm-prefix", type=Path, metavar="DIR", help="another installation")
    parser.add_argument(
        "--before", default="", metavar="SHELL_COMMANDS", help="bring the condition about"
    )
    parser.add_argument("name", metavar="NAME", help="of the file, without .txt")
    parser.add_argument("command", nargs="+", metavar="COMMAND")
    args = parser.parse_args()
    try:
        if args.slurm_prefix is not None:
            use_installation(args.slurm_prefix)
        with tempfile.TemporaryDirectory(prefix="capture-") as name:
            place = Path(name)
            place.chmod(0o755)
            print("Starting a private Slurm (a few seconds)...", file=sys.stderr)
            with RealSlurm(place) as cluster:
                _capture(cluster, args.name, args.command, args.before)
    except RealSlurmError as error:
        sys.exit(str(error))


def _capture(cluster: RealSlurm, name: str, command: list[str], before: str) -> None:
    work = cluster.folder / "work"
    work.mkdir()
    for file, body in JOBS.items():
        (work / file).write_text(f"#!/bin/sh\n{body}\n")
    if before:
        print(cluster.ok("sh", "-ec", before.replace("/cluster", str(work)), cwd=work), end="")
    words = [word.replace("/cluster", str(work)) for word in command]
    done = cluster.run(*words, env=QUERY_SET, cwd=work)
    text = (
        f"$ {' '.join(command)}\nrc {done.returncode}\n"
        f"--- stdout\n{done.stdout}--- stderr\n{done.stderr}"
    )
    for found, instead in (
        (str(work), "/cluster"),
        (str(cluster.folder), "/cluster"),
        (socket.gethostname(), "host"),
        (os.uname().release, "6.1.0-18"),
    ):
        text = text.replace(found, instead)
    file = _directory(cluster.ok("sinfo", "--version").split()[-1]) / f"{name}.txt"
    is_new = not file.exists()
    file.parent.mkdir(exist_ok=True)
    file.write_text(text, encoding="utf-8")
    print(text)
    print(
        f"{'Made' if is_new else 'Replaced'} {file.relative_to(ROOT)}. Its line in README.md there:"
    )
    print(f"| {file.name} | `{shlex.join(command)}` | {before and f'after `{before}`'} |")


def _directory(version: str) -> Path:
    """That of a release: 22.05.8, or 25.11 for any of 25.11."""
    for path in DATA.iterdir():
        if path.is_dir() and f"{version}.".startswith(f"{path.name}."):
            return path
    return DATA / ".".join(version.split(".")[:2])


if __name__ == "__main__":
    main()
