"""What there is of Slurm on this host, for 'doctor'."""

from __future__ import annotations

import os
import shutil

from ...finding.host_check import Finding, HostCheck
from ...talk.commands import CommandRunner
from .queries import COMMANDS

# Seconds that a command gets to print its version.
VERSION_PATIENCE = 5.0


def check_host() -> HostCheck:
    """Where Slurm's commands are, and their version."""
    paths = {name: shutil.which(name) for name in COMMANDS}
    found = [path for path in paths.values() if path]
    missing = [name for name, path in paths.items() if not path]
    if not found:
        return HostCheck(
            advice=(
                "If this host has Slurm: load its module, or add the directory of its commands to "
                "PATH."
            )
        )
    places = ", ".join(sorted({os.path.dirname(path) for path in found}))  # noqa: PTH120
    text = f"in {places}" + (f"; missing: {', '.join(missing)}" if missing else "")
    result = CommandRunner(timeout=VERSION_PATIENCE).run([found[-1], "--version"])
    # What is wrong with a command that fails is what keeps Slurm from being available.
    version = result.stdout if result.ok else "unknown: see above"
    return HostCheck(
        (Finding("Slurm's commands", text), Finding("Slurm's version", version)),
        installed=not missing,
        advice="Find out what is wrong with Slurm. Start with 'scontrol ping' and 'sinfo'.",
    )
