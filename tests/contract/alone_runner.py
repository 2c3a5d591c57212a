"""The schedulers folder alone with a host that has what it may use, in a process of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

HERE = Path(__file__).resolve().parent
SRC = HERE.parent.parent / "src"
FOLDER = SRC / "pavilion" / "schedulers"
PLUGINS = HERE / "plugins"
# On a loaded machine one run of all checks takes a minute.
PATIENCE = 300.0
_NO_CACHES = shutil.ignore_patterns("__pycache__")


class Alone:
    """A folder with a copy of ``schedulers`` and of ``host26`` as ``pavilion``.

    :param beside: Plugin files to put beside the bundled ones.
    """

    def __init__(self, root: Path, beside: Iterable[Path] = ()) -> None:
        self.root = root
        self.lib = root / "lib"
        self.schedulers = self.lib / "pavilion" / "schedulers"
        shutil.copytree(HERE / "host26", self.lib / "pavilion", ignore=_NO_CACHES)
        shutil.copytree(FOLDER, self.schedulers, ignore=_NO_CACHES)
        shutil.copytree(SRC / "yaml_config", self.lib / "yaml_config", ignore=_NO_CACHES)
        # Beside the host, because it is not a part of the directory that sites copy.
        shutil.copytree(SRC / "pavilion" / "testkit", self.lib / "testkit", ignore=_NO_CACHES)
        shutil.copy(HERE / "alone" / "guard.py", self.lib / "sitecustomize.py")
        for file in [*(HERE / "alone").glob("*.py"), *HERE.glob("*_checks.py")]:
            if file.name != "guard.py":
                shutil.copy(file, self.lib)
        for file in beside:
            shutil.copy(file, self.schedulers / "plugins")
        self.log = root / "refused.txt"

    def env(self, **more: str) -> dict[str, str]:
        """The environment of a process in which nothing else can be imported."""
        env = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("PAV_", "PYTHON", "SLURM_", "COVERAGE"))
        }
        return {
            **env,
            "PYTHONPATH": str(self.lib),
            "ALONE_LOG": str(self.log),
            "HOME": str(self.root),
            "PAV_RAW_QUEUE_DIR": str(self.root / "queue"),
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
            **more,
        }

    def python(self, *argv: str, **env: str) -> subprocess.CompletedProcess[str]:
        """Run Python with these arguments."""
        return subprocess.run(
            [sys.executable, "-W", "error", *argv],
            env=self.env(**env),
            cwd=self.root,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )

    def refused(self) -> list[str]:
        """What was imported that may not be."""
        return self.log.read_text().splitlines() if self.log.exists() else []

    def check(self, *argv: str, **env: str) -> str:
        """Run Python; what it printed.  It must succeed and import nothing else."""
        done = self.python(*argv, **env)
        assert not self.refused(), f"imported: {', '.join(self.refused())}\n{done.stderr}"
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
        return done.stdout
