"""What there is of a scheduler on this host, for 'doctor': its commands, and their version."""

from __future__ import annotations

import os
import shutil

from ..finding.host_check import Finding, HostCheck
from ..talk.commands import CommandRunner
from .dialect import Dialect

# Seconds that a command gets to print its version.
VERSION_PATIENCE = 5.0


def check_host(dialect: Dialect) -> HostCheck:
    """Where a scheduler's commands are, and their version."""
    title = dialect.title
    paths = {name: shutil.which(name) for name in dialect.COMMANDS}
    found = [path for path in paths.values() if path]
    missing = [name for name, path in paths.items() if not path]
    if not found:
        return HostCheck(
            advice=(
                f"If this host has {title}: load its module, or add the directory of its commands "
                "to PATH."
            )
        )
    places = ", ".join(sorted({os.path.dirname(path) for path in found}))  # noqa: PTH120
    text = f"in {places}" + (f"; missing: {', '.join(missing)}" if missing else "")
    findings = [Finding(f"{title}'s commands", text)]
    command = dialect.version_command()
    if command is not None and command[0] not in missing:
        result = CommandRunner(timeout=VERSION_PATIENCE).run(command)
        # What is wrong with a command that fails is what keeps the scheduler from being available.
        lines = result.stdout.splitlines() if result.ok else []
        findings.append(Finding(f"{title}'s version", lines[0] if lines else "unknown: see above"))
    ping = dialect.ping_command()
    start = " and ".join(
        f"'{' '.join(argv)}'" for argv in (ping, dialect.START_WITH) if argv is not None
    )
    return HostCheck(
        tuple(findings),
        installed=not missing,
        advice=f"Find out what is wrong with {title}." + (f" Start with {start}." if start else ""),
    )
