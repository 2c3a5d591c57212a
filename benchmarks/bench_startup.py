"""What it costs to start: importing the package and activating the bundled plugins.

Compared, in the same run, with importing what it depends on (yaml and yapsy's plugin manager).
Each is measured in a fresh process; shown is the best of several.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile

RUNS = 15
CACHE = tempfile.TemporaryDirectory()

# Yapsy's own imports need a stand-in for 'imp' on newer Pythons; the comparison gets it too.
BARE = "import yaml, pavilion.errors; import yapsy.PluginManager"
BARE_NEW = """
import sys, types, yaml
for name in ('imp', 'distutils', 'distutils.version'):
    sys.modules[name] = types.ModuleType(name)
sys.modules['distutils.version'].StrictVersion = object
import yapsy.PluginManager
"""
OURS = "from pavilion import schedulers; schedulers.register_core_plugins()"


def best(code: str) -> float:
    """The shortest time, in seconds, of a fresh process running some code."""
    timed = (
        "import time, warnings; warnings.simplefilter('ignore'); "
        f"start = time.perf_counter(); exec({code!r}); "
        "print(time.perf_counter() - start)"
    )
    # As after an installation: with compiled files, wherever this tree is and whoever owns it.
    env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    env["PYTHONPYCACHEPREFIX"] = CACHE.name
    return min(
        float(
            subprocess.run(
                [sys.executable, "-c", timed],
                check=True,
                text=True,
                env=env,
                stdout=subprocess.PIPE,
            ).stdout
        )
        for _ in range(RUNS)
    )


def main() -> None:
    """Measure and print."""
    bare = best(BARE if sys.version_info < (3, 12) else BARE_NEW)
    ours = best(OURS)
    print(f"import yaml and yapsy.PluginManager:       {bare * 1000:6.1f} ms")
    print(
        f"import pavilion.schedulers, core plugins:  {ours * 1000:6.1f} ms  "
        f"({ours / bare:.2f} times)"
    )


if __name__ == "__main__":
    main()
