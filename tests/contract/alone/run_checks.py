"""Inside: all checks of plugins on this host, each in a process forked from one that is ready.

Usage: run_checks.py MODULE [PLUGINS_FOLDER].  Prints a JSON object: name of each check of the
module -> '', or why it failed.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import traceback
from pathlib import Path

from host import Site

CHECKS = importlib.import_module(sys.argv[1])


class CheckSite(Site):
    """A site whose plugins are in a folder."""

    def load(self, name):
        return super().load(name, *CHECKS.plugin_files(Path(sys.argv[2]), name))


def run(name, folder):
    """Run a check in a process of its own."""
    report = folder / f"{name}.txt"
    pid = os.fork()
    if pid == 0:
        try:
            CHECKS.CHECKS[name](CheckSite(folder / name))
            report.write_text("")
        except BaseException:
            report.write_text(traceback.format_exc())
        os._exit(0)
    os.waitpid(pid, 0)
    return report.read_text()


def main():
    folder = Path.cwd() / f"checks-{os.getpid()}"
    folder.mkdir()
    print(json.dumps({name: run(name, folder) for name in CHECKS.CHECKS}))


if __name__ == "__main__":
    main()
