"""A made-up Pavilion checkout: the strict host of the contract tests, and old schedulers."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SRC = ROOT / "src"
HOST = ROOT / "tests" / "contract" / "host26"
_NO_CACHES = shutil.ignore_patterns("__pycache__")

# The folder before: it knows three schedulers, and little more.
OLD = """
    '''The old schedulers.'''
    from pavilion.errors import SchedulerPluginError

    AGE = "old"
    _PLUGINS = {}


    class SchedulerPlugin:
        @classmethod
        def register_core_plugins(cls):
            _PLUGINS.update(raw=cls(), slurm=cls(), flux=cls())


    def list_plugins():
        return sorted(_PLUGINS)


    def get_plugin(name):
        return _PLUGINS.get(name)


    def validate_config(config):
        return {"nodes": int(config["nodes"])}
    """

FLUX = """
    '''A plugin that we do not bundle.'''
    from ..basic import SchedulerPluginBasic


    class Flux(SchedulerPluginBasic):
        def __init__(self):
            super().__init__("flux", "Not one of ours.")

        def _available(self):
            return False
    """

PAV = """\
    #!{python}
    import os, sys, time
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    sys.path.insert(0, os.path.join(root, "lib"))
    from pavilion import schedulers
    ours = not hasattr(schedulers, "AGE")
    # The first call hangs, when that is asked for.
    if ours and os.path.exists(os.path.join(root, "hang")) and not os.path.exists(
            os.path.join(root, "hanging")):
        open(os.path.join(root, "hanging"), "w").close()
        time.sleep(60)
    if ours and os.path.exists(os.path.join(root, "break")):
        sys.exit("no, thanks")
    assert sys.argv[1:] == ["show", "sched"]
    schedulers.SchedulerPlugin.register_core_plugins()
    for name in schedulers.list_plugins():
        print("|", name, "|")
    """


def write(path: Path, text: str) -> Path:
    """Write a text that is indented here."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(textwrap.dedent(text).lstrip("\n"), encoding="utf-8")
    return path


def make_checkout(root: Path, version: str = "2.6.1") -> Path:
    """Make a checkout in a folder."""
    package = root / "lib" / "pavilion"
    shutil.copytree(HOST, package, ignore=_NO_CACHES)
    shutil.copytree(SRC / "yaml_config", root / "lib" / "yaml_config", ignore=_NO_CACHES)
    make_old_folder(package / "schedulers")
    write(root / "RELEASE.md",
          f"# Release Notes\n\n## {version}\n\n- Python 3.11 works.\n\n## 2.3\n")
    pav = write(root / "bin" / "pav", PAV.format(python=sys.executable))
    pav.chmod(0o755)
    return root


def make_old_folder(folder: Path) -> None:
    """Make the schedulers folder of before."""
    write(folder / "__init__.py", OLD)
    write(folder / "plugins" / "__init__.py", "")
    write(folder / "plugins" / "flux.py", FLUX)
    for name in ("raw", "slurm", "flux"):
        write(folder / "plugins" / f"{name}.yapsy-plugin",
              f"[Core]\nName = {name}\nModule = {name}\n")


def tree(folder: Path) -> dict[str, str]:
    """All below a folder: links with their text, files with their content.  No caches."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_symlink():
            found[name] = f"-> {path.readlink()}"
        elif path.is_file() and "__pycache__" not in path.parts:
            found[name] = path.read_bytes().decode("latin-1")
    return found


def schedulers_names(root: Path) -> list[str]:
    """What is in lib/pavilion that has to do with the schedulers folder."""
    return sorted(path.name for path in (root / "lib" / "pavilion").iterdir()
                  if "schedulers" in path.name)


def show_sched(root: Path) -> list[str]:
    """The schedulers that the checkout's own pav lists."""
    done = subprocess.run([root / "bin" / "pav", "show", "sched"], capture_output=True,
                          text=True, timeout=30, check=False,
                          env=dict(os.environ, PYTHONDONTWRITEBYTECODE="1"))
    assert done.returncode == 0, done.stderr
    return done.stdout.replace("|", " ").split()
