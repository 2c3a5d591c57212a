"""Inside: all checks of plugins on this host, each in a process forked from one that is ready.

Usage: run_checks.py PLUGINS_FOLDER.  Prints a JSON object: name of the check -> '', or why it
failed.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from pathlib import Path

import plugin_checks
from host import Site


class CheckSite(Site):
    """A site whose plugins are in a folder."""

    def load(self, name):
        return super().load(name, *plugin_checks.plugin_files(Path(sys.argv[1]), name))


def run(name, folder):
    """Run a check in a process of its own."""
    report = folder / f"{name}.txt"
    pid = os.fork()
    if pid == 0:
        try:
            plugin_checks.CHECKS[name](CheckSite(folder / name))
            report.write_text("")
        except BaseException:
            report.write_text(traceback.format_exc())
        os._exit(0)
    os.waitpid(pid, 0)
    return report.read_text()


def main():
    folder = Path.cwd() / f"checks-{os.getpid()}"
    folder.mkdir()
    print(json.dumps({name: run(name, folder) for name in plugin_checks.CHECKS}))


if __name__ == "__main__":
    main()
