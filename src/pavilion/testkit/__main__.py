"""``python -m pavilion.testkit``: run a command against a fake scheduler; set faults."""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .cluster import FakeCluster, FakeClusterError
from .description import DescriptionError
from .fakes.engine import faults, wakeup
from .fakes.engine.store import STATE_FILE
from .flux import FakeFlux
from .pbs import FakePbs
from .slurm import FakeSlurm

# The fakes, by the name of their package.
FAKES: dict[str, type[FakeCluster]] = {made.FAKE: made for made in (FakeSlurm, FakePbs, FakeFlux)}


def main(argv: Sequence[str] | None = None) -> int:
    """The return code: that of the command for ``fake-...``, otherwise 0; 2 for wrong usage."""
    words = list(sys.argv[1:] if argv is None else argv)
    options = _parser().parse_args(words)
    try:
        return int(options.function(options))
    except (FakeClusterError, DescriptionError, faults.BadFault, OSError) as error:
        print(f"testkit: {error}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m pavilion.testkit", description="Fake schedulers that run jobs."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, made in FAKES.items():
        title = made.CONTEXT.TITLE
        fake = commands.add_parser(f"fake-{name}", help=f"run a command against a fake {title}")
        fake.add_argument(
            "--nodes", type=int, default=8, help="the number of nodes, all alike (default 8)"
        )
        fake.add_argument("--cpus", type=int, default=4, help="CPUs of each node (default 4)")
        fake.add_argument("--cluster", type=Path, help="a YAML file that describes the cluster")
        fake.add_argument(
            "--dir",
            type=Path,
            help="the cluster's directory, kept afterwards (default: one that is removed)",
        )
        fake.add_argument("command", nargs="+", help="the command to run, after '--'")
        fake.set_defaults(function=_run, fake=name)
    fault = commands.add_parser(
        "fault",
        help="switch a fault of a running cluster on or off",
        description="\n".join(_faults_of(made) for made in FAKES.values()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    fault.add_argument("dir", type=Path, help="the cluster's directory")
    fault.add_argument("name", help="a fault, or 'none' to switch all off")
    fault.add_argument(
        "settings", nargs="*", metavar="KEY=VALUE", help="values are JSON or plain strings"
    )
    fault.add_argument("--off", action="store_true", help="switch this fault off")
    fault.set_defaults(function=_fault)
    return parser


def _faults_of(made: type[FakeCluster]) -> str:
    listed = "\n".join(
        f"  {name:<19} {text} {json.dumps(settings) if settings else ''}"
        for name, (text, settings) in made.FAULTS.items()
    )
    return f"Faults of the fake {made.CONTEXT.TITLE}, and their settings with defaults:\n{listed}"


def _run(options: argparse.Namespace) -> int:
    directory = options.dir or Path(tempfile.mkdtemp(prefix=f"fake-{options.fake}-"))
    made = FAKES[options.fake]
    try:
        cluster = made(directory, nodes=options.nodes, cpus=options.cpus, cluster=options.cluster)
        with cluster:
            return _run_command(cluster, options.command)
    finally:
        if options.dir is None:
            shutil.rmtree(directory, ignore_errors=True)


def _run_command(cluster: FakeCluster, command: list[str]) -> int:
    """Run to the end; signals are left to the command, and we end when it ends."""
    environment = cluster.env()
    path = shutil.which(command[0], path=environment["PATH"])
    if path is None:
        print(f"testkit: no such command: {command[0]}", file=sys.stderr)
        return 127
    environment["LC_ALL"] = ""  # the user's own locale, not the one that tests need
    with subprocess.Popen([path, *command[1:]], env=environment) as process:
        previous = signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, lambda *_: process.terminate())
        try:
            code = process.wait()
        finally:
            signal.signal(signal.SIGINT, previous)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
    return code if code >= 0 else 128 - code


def _fault(options: argparse.Namespace) -> int:
    folder = str(options.dir)
    if not (options.dir / STATE_FILE).exists():
        raise FakeClusterError(f"{folder} is not the directory of a running fake cluster")
    table = FAKES[(options.dir / wakeup.NAME).read_text(encoding="utf-8").strip()].FAULTS
    held = faults.read(folder)
    if options.name == "none":
        held = {}
    elif options.off:
        faults.checked(options.name, {}, table)
        held.pop(options.name, None)
    else:
        held[options.name] = faults.checked(
            options.name, dict(_pair(text) for text in options.settings), table
        )
    faults.write(folder, held)
    wakeup.ensure_controller(folder)
    return 0


def _pair(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not equals:
        raise faults.BadFault(f"a setting is KEY=VALUE, not '{text}'")
    try:
        return key, json.loads(value)
    except ValueError:
        return key, value.split(",") if key == "commands" else value


if __name__ == "__main__":
    sys.exit(main())
