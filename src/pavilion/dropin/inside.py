"""Running things in a checkout, without leaving anything behind."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from . import inside_smoke
from .checkout import SOURCE, Checkout, DropinError, Interpreter, module_path, outer_path

# Seconds.  None of these takes more than a few.
TIMEOUT = 120.0
MARK = inside_smoke.MARK
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


class Step(NamedTuple):
    """A step of the smoke test."""

    name: str
    passed: bool
    found: str


class PavResult(NamedTuple):
    """What came of a call of the checkout's own ``pav``.

    :param code: Its exit code; None when it could not be run, or took too long.
    :param text: What it printed.
    """

    code: int | None
    text: str

    def shows(self, *names: str) -> bool:
        """Whether it went well and printed these words."""
        words = set(_COLOURS.sub("", self.text).replace("|", " ").split())
        return self.code == 0 and words.issuperset(names)


def probe(checkout: Checkout, python: Interpreter) -> dict[str, Any]:
    """What the checkout's Python has.

    :returns: 'python' (three numbers) and 'modules' (name -> 'file', 'version', or 'error').
    :raises DropinError: When it does not run.
    """
    found = _run_python("inside_probe.py", [], python, module_path(checkout))
    assert isinstance(found, dict)
    return found


def smoke(checkout: Checkout, python: Interpreter) -> list[Step]:
    """Test the folder that is in its place.  :raises DropinError: When Python does not run."""
    return _smoke(checkout.active, module_path(checkout), python)


def rehearse(checkout: Checkout, python: Interpreter, folder: Path = SOURCE) -> list[Step]:
    """Test a folder as if it were in its place, in a copy of the checkout made of links.

    :raises DropinError: When Python does not run.
    :raises OSError: When the copy cannot be made.
    """
    with tempfile.TemporaryDirectory(prefix="pav-sched-") as name:
        lib = Path(name, "lib")
        package = lib / "pavilion"
        package.mkdir(parents=True)
        for entry in checkout.lib.iterdir():
            if entry.name != "pavilion":
                (lib / entry.name).symlink_to(entry)
        for entry in checkout.package.iterdir():
            if entry.name != "schedulers":
                (package / entry.name).symlink_to(entry)
        (package / "schedulers").symlink_to(folder)
        path = [lib if item == checkout.lib else item for item in module_path(checkout)]
        return _smoke(package / "schedulers", path, python)


def _smoke(folder: Path, path: Sequence[Path], python: Interpreter) -> list[Step]:
    found = _run_python("inside_smoke.py", [str(folder)], python, path)
    return [Step(item["step"], item["passed"], item["found"]) for item in found]


def show_sched(checkout: Checkout, python: Interpreter) -> PavResult | None:
    """Call ``bin/pav show sched`` of the checkout; None where there is none."""
    if not os.access(checkout.pav, os.X_OK):
        return None
    with _empty_folder() as folder:
        settings = folder / "pavilion.yaml"
        settings.write_text(f"working_dir: {json.dumps(str(folder / 'working_dir'))}\n",
                            encoding="utf-8")
        path = outer_path()
        if python.how.startswith("given"):
            path = os.pathsep.join([str(python.path.parent), path])
        env = dict(_environment(), PATH=path, PAV_CONFIG_FILE=str(settings),
                   PAV_CONFIG_DIR=str(folder), TERM="dumb", COLUMNS="200")
        env.pop("VIRTUAL_ENV", None)
        try:
            done = subprocess.run([checkout.pav, "show", "sched"], cwd=folder, env=env,
                                  stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, timeout=TIMEOUT)
        except subprocess.TimeoutExpired:
            return PavResult(None, f"It did not end in {TIMEOUT:.0f} seconds.")
        except OSError as exc:
            return PavResult(None, f"It cannot be run: {exc.strerror}.")
        return PavResult(done.returncode, done.stdout.decode("utf-8", "replace").strip())


def _run_python(script: str, argv: Sequence[str], python: Interpreter, path: Sequence[Path]
                ) -> Any:
    """Run one of the inside_* scripts, and give what it printed as JSON."""
    # As text: beside the script there are modules that must not be found.
    source = Path(__file__).with_name(script).read_text(encoding="utf-8")
    env = dict(_environment(), PYTHONPATH=os.pathsep.join(map(str, path)))
    with _empty_folder() as folder:
        try:
            done = subprocess.run([python.path, "-c", source, *argv], cwd=folder, env=env,
                                  stdin=subprocess.DEVNULL, capture_output=True,
                                  timeout=TIMEOUT)
        except (OSError, subprocess.TimeoutExpired) as exc:
            reason = exc.strerror if isinstance(exc, OSError) else f"no end in {TIMEOUT:.0f} s"
            raise DropinError(f"{python.path} ({python.how}) cannot be run: {reason}. Name the "
                              "Python of this Pavilion with --python.") from exc
    for line in reversed(done.stdout.decode("utf-8", "replace").splitlines()):
        if line.startswith(MARK):
            return json.loads(line[len(MARK):])
    tail = done.stderr.decode("utf-8", "replace").strip().splitlines()[-3:]
    raise DropinError(f"{shlex.quote(str(python.path))} ({python.how}) ended with code "
                      f"{done.returncode} and told nothing. {' '.join(tail)}")


def _environment() -> dict[str, str]:
    """The environment without what leads Python or Pavilion elsewhere, or has caches written."""
    env = {name: value for name, value in os.environ.items()
           if not name.startswith(("PAV_", "PYTHON"))}
    return dict(env, PYTHONDONTWRITEBYTECODE="1")


@contextmanager
def _empty_folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="pav-sched-") as name:
        yield Path(name)
