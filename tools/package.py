"""Build the package, install it into an empty environment, and use it from there.

``tools/package.py [DIRECTORY]``: the wheel and the source distribution are left in DIRECTORY (``dist``).
The wheel is made from the source distribution, so that both are complete or none is. Needs the
package ``build``.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PATIENCE = 300.0
SUITE = """\
hello:
  scheduler: {scheduler}
  schedule: {{nodes: {nodes}}}
  run:
    cmds: ['{{{{test_cmd}}}} hostname', 'echo "hello from {{{{sys.sys_name}}}}"']
"""


def main(target: Path) -> None:
    """Build and try; ends the process where something is wrong."""
    files = _files()
    with tempfile.TemporaryDirectory(prefix="package-") as name:
        place = Path(name)
        # Nothing that lies about in the checkout gets in, and nothing is left there.
        source = place / "source"
        for file in files:
            (source / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / file, source / file)
        print(
            "Building the source distribution, and the wheel from it (about 20 seconds)...",
            flush=True,
        )
        _run([sys.executable, "-m", "build", "--outdir", str(place / "dist"), str(source)], place)
        (sdist,) = (place / "dist").glob("*.tar.gz")
        (wheel,) = (place / "dist").glob("*.whl")
        _check_files(files, sdist, wheel)
        _try(place, wheel)
        target.mkdir(parents=True, exist_ok=True)
        for built in (sdist, wheel):
            shutil.copy2(built, target / built.name)
            print(f"  {target / built.name}")


def _files() -> list[str]:
    """What git has of the checkout; without git, what is there."""
    try:
        # CI systems check out as another user than they build as, which git would refuse.
        listed = ["git", "-c", "safe.directory=*", "ls-files", "-z"]
        done = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True)
        return [name for name in done.stdout.split("\0") if name and (ROOT / name).is_file()]
    except (OSError, subprocess.CalledProcessError):
        found = [*ROOT.glob("*.*"), ROOT / "LICENSE", *(ROOT / "src").rglob("*")]
        return [
            str(path.relative_to(ROOT))
            for path in found
            if path.is_file()
            and not {"__pycache__"} & {*path.parts}
            and "egg-info" not in str(path)
        ]


def _run(words: list[str], cwd: Path, env: dict[str, str] | None = None) -> str:
    """Run a command that must succeed; its standard output."""
    done = subprocess.run(
        words,
        cwd=cwd,
        env=env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    if done.returncode != 0:
        sys.exit(
            f"{' '.join(words)}\nended with {done.returncode}:\n"
            f"{done.stdout[-4000:]}{done.stderr[-4000:]}"
        )
    return done.stdout


def _check_files(files: list[str], sdist: Path, wheel: Path) -> None:
    """All of src is in both, and nothing else is in the wheel."""
    wanted = {file for file in files if file.startswith("src/")}
    with tarfile.open(sdist) as archive:
        there = {name.partition("/")[2] for name in archive.getnames()}
    extra = {"README.md", "LICENSE", "pyproject.toml"}
    if missing := sorted((wanted | extra) - there):
        sys.exit(f"{sdist.name} lacks {', '.join(missing)}")
    with zipfile.ZipFile(wheel) as archive:
        there = {f"src/{name}" for name in archive.namelist() if ".dist-info/" not in name}
    if missing := sorted(wanted - there):
        sys.exit(f"{wheel.name} lacks {', '.join(missing)}: see package-data in pyproject.toml")
    if surplus := sorted(there - wanted):
        sys.exit(f"{wheel.name} has what is not in src: {', '.join(surplus)}")
    print(f"  all {len(wanted)} files of src are in both")


def _try(place: Path, wheel: Path) -> None:
    """Install the wheel and what it needs, and nothing else; run a suite on raw and on the fake Slurm."""
    print("Installing the wheel into an empty environment (about 10 seconds)...", flush=True)
    home = place / "home"
    home.mkdir()
    programs = place / "venv" / "bin"
    env = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("PAV_", "SLURM_", "PYTHON", "VIRTUAL_ENV"))
    }
    _run([sys.executable, "-m", "venv", str(place / "venv")], place, env)
    python = str(programs / "python")
    pip = [python, "-m", "pip", "--disable-pip-version-check", "--no-input"]
    _run([*pip, "install", "--quiet", str(wheel)], place, env)
    _run([*pip, "check"], place, env)
    env.update(
        HOME=str(home), PAV_RAW_QUEUE_DIR=str(home / "queue"), PATH=f"{programs}:{env['PATH']}"
    )
    found = _run([python, "-c", "import pavilion; print(pavilion.__file__)"], home, env)
    if not found.startswith(str(place / "venv")):
        sys.exit(f"It is not the wheel that is used, but {found}")
    version = _run(["pav-sched", "--version"], home, env)
    (wanted,) = re.findall(r'^version = "(.*)"$', (ROOT / "pyproject.toml").read_text(), re.M)
    if wanted not in version.split():
        sys.exit(f"'pav-sched --version' says {version!r}, and pyproject.toml {wanted}")
    (home / "raw.yaml").write_text(SUITE.format(scheduler="raw", nodes=1))
    (home / "slurm.yaml").write_text(SUITE.format(scheduler="slurm", nodes=2))
    run = ["pav-sched", "--working-dir", str(home / "wd"), "run"]
    fake = [python, "-m", "pavilion.testkit", "fake-slurm", "--nodes", "6", "--"]
    for words in ([*run, "raw.yaml"], [*fake, *run, "slurm.yaml"]):
        said = _run(words, home, env)
        if "1 test: 1 passed" not in said:
            sys.exit(f"{' '.join(words)} printed:\n{said}")
    print(f"  {version.strip()} runs suites on raw and on the fake Slurm")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "dist")
