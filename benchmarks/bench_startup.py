"""What it costs to start: importing the package and activating the bundled plugins.

Compared, in the same run, with importing what it depends on (yaml and yapsy's plugin manager), and
with a copy of the package that bundles slurm and raw only.  Each is measured in a fresh process, in
turn; shown is the best of several.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pavilion.schedulers

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


def once(code: str, path: str | None = None) -> float:
    """The time, in seconds, of a fresh process running some code, with modules of this directory."""
    timed = (
        "import time, warnings; warnings.simplefilter('ignore'); "
        f"start = time.perf_counter(); exec({code!r}); "
        "print(time.perf_counter() - start)"
    )
    # As after an installation: with compiled files, wherever this tree is and whoever owns it.
    env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    env["PYTHONPYCACHEPREFIX"] = CACHE.name
    if path is not None:
        env["PYTHONPATH"] = path
    done = subprocess.run(
        [sys.executable, "-c", timed], check=True, text=True, env=env, stdout=subprocess.PIPE
    )
    return float(done.stdout)


def copies(directory: Path) -> tuple[Path, Path]:
    """Copies of the package as it is, and with no other bundled plugins than slurm and raw."""
    source = Path(pavilion.schedulers.__file__).parents[1]
    whole, small = directory / "whole", directory / "small"
    for copy in (whole, small):
        shutil.copytree(source, copy / "pavilion", ignore=shutil.ignore_patterns("__pycache__"))
    schedulers = small / "pavilion" / "schedulers"
    text = (schedulers / "__init__.py").read_text()
    for file in (schedulers / "plugins").glob("*.yapsy-plugin"):
        if file.stem in ("slurm", "raw"):
            continue
        file.unlink()
        file.with_suffix(".py").unlink()
        exported = re.search(rf"from \.plugins\.{file.stem} import (\w+)\n", text)
        if exported is not None:
            text = text.replace(exported[0], "").replace(f'    "{exported[1]}",\n', "")
    (schedulers / "__init__.py").write_text(text)
    return whole, small


def main() -> None:
    """Measure and print."""
    bare_code = BARE if sys.version_info < (3, 12) else BARE_NEW
    with tempfile.TemporaryDirectory() as directory:
        whole, small = map(str, copies(Path(directory)))
        rows = [(once(bare_code), once(OURS, whole), once(OURS, small)) for _ in range(RUNS + 1)][
            1:
        ]
    bare, ours, two = (min(column) for column in zip(*rows))
    print(f"import yaml and yapsy.PluginManager:       {bare * 1000:6.1f} ms")
    print(
        f"import pavilion.schedulers, core plugins:  {ours * 1000:6.1f} ms  "
        f"({ours / bare:.2f} times)"
    )
    print(
        f"  with slurm and raw only:                 {two * 1000:6.1f} ms  "
        f"(all of them: {ours / two:.2f} times)"
    )


if __name__ == "__main__":
    main()
