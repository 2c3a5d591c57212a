"""Running code in a checkout, without leaving anything behind."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from . import inside_smoke
from .checkout import SOURCE, Checkout, DropinError, Interpreter, module_path, outer_path
from .disk import Files, add_files
from .kept import Kept, files_of

# Seconds.  Each of these runs usually takes a few.
TIMEOUT = 120.0
MARK = inside_smoke.MARK
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


class Step(NamedTuple):
    """A step of the smoke test."""

    name: str
    passed: bool
    found: str


class Smoke(NamedTuple):
    """The result of the smoke test.

    :param steps: The steps, up to the first that failed.
    :param broken: The checkout's own schedulers -> the steps at which they fail -> why.
    """

    steps: list[Step]
    broken: dict[str, dict[str, str]]


class Scheduler(NamedTuple):
    """A scheduler of a Pavilion.

    :param module: The name of its module or package.
    :param file: Its file or directory; None if there is none.
    :param broken: The steps at which it fails (as in Smoke) -> why.
    """

    name: str
    module: str
    file: Path | None
    broken: dict[str, str]


class Start(NamedTuple):
    """The result of starting a Pavilion.

    :param error: Why it does not start; '' when it does.
    :param schedulers: The schedulers that it has then.
    :param lacking: What our directory uses of its host, but the host does not have.
    """

    error: str
    schedulers: list[Scheduler]
    lacking: list[str]


class PavResult(NamedTuple):
    """The result of a call of the checkout's own ``pav``.

    :param code: Its exit code; None when it could not be run, or took too long.
    :param text: What it printed on stdout and stderr, or why there is no exit code.
    """

    code: int | None
    text: str

    def shows(self, *names: str) -> bool:
        """Whether it succeeded and printed these words."""
        words = set(self.plain.replace("|", " ").split())
        return self.code == 0 and words.issuperset(names)

    @property
    def plain(self) -> str:
        """The text without colours."""
        return _COLOURS.sub("", self.text).strip()


def probe(checkout: Checkout, python: Interpreter) -> dict[str, Any]:
    """The version and modules of the checkout's Python.

    :returns: 'python' (three numbers) and 'modules' (name -> 'file' and 'version', or 'error').
    :raises DropinError: When it does not run.
    """
    found = _run_python("inside_probe.py", [], python, module_path(checkout))
    assert isinstance(found, dict)
    return found


def start(checkout: Checkout, python: Interpreter, folder: Path) -> Start:
    """Start Pavilion with a schedulers directory, and see which schedulers it has.

    :raises DropinError: When Python does not run.
    :raises OSError: When a copy of the checkout with that directory cannot be made.
    """
    if folder == checkout.active:
        return _start(python, module_path(checkout))
    with _in_place(checkout, folder, {}) as (place, path):
        found = _start(python, path)

        def original(text: str) -> str:
            return text.replace(str(place), str(folder))

        schedulers = [
            item._replace(
                file=item.file and Path(original(str(item.file))).resolve(),
                broken={step: original(reason) for step, reason in item.broken.items()},
            )
            for item in found.schedulers
        ]
        return found._replace(schedulers=schedulers, error=original(found.error))


def _start(python: Interpreter, path: Sequence[Path]) -> Start:
    found = _run_python("inside_start.py", [], python, path)
    schedulers = [
        Scheduler(
            item["name"],
            item["module"],
            Path(item["file"]) if item["file"] else None,
            item["broken"],
        )
        for item in found["schedulers"]
    ]
    return Start(found["error"], schedulers, found["lacking"])


def smoke(checkout: Checkout, python: Interpreter, kept: Iterable[Kept] = ()) -> Smoke:
    """Test the schedulers directory that is in place.

    :param kept: The checkout's own schedulers that must be found.
    :raises DropinError: When Python does not run.
    """
    return _smoke(checkout.active, module_path(checkout), python, kept)


def rehearse(
    checkout: Checkout, python: Interpreter, kept: Sequence[Kept] = (), folder: Path = SOURCE
) -> Smoke:
    """Test a directory as if it were in place, in a copy of the checkout that is made of links.

    :param kept: The checkout's own schedulers to be kept.
    :raises DropinError: When Python does not run.
    :raises OSError: When the copy cannot be made.
    """
    with _in_place(checkout, folder, files_of(kept)) as (place, path):
        found = _smoke(place, path, python, kept)
        copy = Checkout(place.parents[2])

        def original(text: str) -> str:
            # Paths in the temporary copy would mean nothing to the user.
            for plugin in kept:
                if plugin.module is not None:
                    text = text.replace(str(copy.kept / plugin.module.name), str(plugin.module))
            return text.replace(str(copy.root), str(checkout.root))

        return Smoke(
            [step._replace(found=original(step.found)) for step in found.steps],
            {
                name: {step: original(reason) for step, reason in reasons.items()}
                for name, reasons in found.broken.items()
            },
        )


@contextmanager
def _in_place(checkout: Checkout, folder: Path, kept: Files) -> Iterator[tuple[Path, list[Path]]]:
    """A copy of the checkout that is made of links, with another schedulers directory.

    :returns: The path of that directory; the module search path.
    """
    with _empty_folder() as name:
        # With links resolved, so that Python reports the same paths.
        copy = Checkout(name.resolve())
        copy.package.mkdir(parents=True)
        for entry in checkout.lib.iterdir():
            if entry.name != copy.package.name:
                (copy.lib / entry.name).symlink_to(entry)
        ours = checkout.hidden("").name
        for entry in checkout.package.iterdir():
            if entry.name != copy.active.name and not entry.name.startswith(ours):
                (copy.package / entry.name).symlink_to(entry)
        copy.active.symlink_to(folder)
        if kept:
            copy.kept.mkdir()
            add_files(copy.kept, kept)
        yield (
            copy.active,
            [copy.lib if item == checkout.lib else item for item in module_path(checkout)],
        )


def _smoke(folder: Path, path: Sequence[Path], python: Interpreter, kept: Iterable[Kept]) -> Smoke:
    argv = [str(folder), *(plugin.name for plugin in kept)]
    found = _run_python("inside_smoke.py", argv, python, path)
    return Smoke(
        [Step(item["step"], item["passed"], item["found"]) for item in found["steps"]],
        found["kept"],
    )


def show_sched(checkout: Checkout, python: Interpreter) -> PavResult | None:
    """Call ``bin/pav show sched`` of the checkout; None if there is no such command."""
    if not os.access(checkout.pav, os.X_OK):
        return None
    with _empty_folder() as folder:
        settings = folder / "pavilion.yaml"
        settings.write_text(
            f"working_dir: {json.dumps(str(folder / 'working_dir'))}\n", encoding="utf-8"
        )
        path = outer_path()
        if python.how.startswith("given"):
            path = os.pathsep.join([str(python.path.parent), path])
        env = dict(
            _environment(),
            PATH=path,
            PAV_CONFIG_FILE=str(settings),
            PAV_CONFIG_DIR=str(folder),
            TERM="dumb",
            COLUMNS="200",
        )
        env.pop("VIRTUAL_ENV", None)
        try:
            done = subprocess.run(
                [checkout.pav, "show", "sched"],
                cwd=folder,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=TIMEOUT,
            )
        except subprocess.TimeoutExpired:
            return PavResult(None, f"It did not end within {TIMEOUT:.0f} seconds.")
        except OSError as exc:
            return PavResult(None, f"It cannot be run: {exc.strerror}.")
        return PavResult(done.returncode, done.stdout.decode("utf-8", "replace").strip())


def _run_python(script: str, argv: Sequence[str], python: Interpreter, path: Sequence[Path]) -> Any:
    """Run one of the inside_* scripts, and return the JSON data that it printed.

    :raises DropinError: When Python does not run, or the script printed no data.
    """
    # Passed as an argument: Python must not find the modules in the directory of the script.
    source = Path(__file__).with_name(script).read_text(encoding="utf-8")
    env = dict(_environment(), PYTHONPATH=os.pathsep.join(map(str, path)))
    with _empty_folder() as folder:
        try:
            done = subprocess.run(
                [python.path, "-c", source, *argv],
                cwd=folder,
                env=env,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=TIMEOUT,
            )
        except (OSError, subprocess.TimeoutExpired) as exc:
            reason = (
                exc.strerror
                if isinstance(exc, OSError)
                else f"it did not end within {TIMEOUT:.0f} s"
            )
            raise DropinError(
                f"{python.path} ({python.how}) cannot be run: {reason}. Name the "
                "Python of this Pavilion with --python."
            ) from exc
    for line in reversed(done.stdout.decode("utf-8", "replace").splitlines()):
        if line.startswith(MARK):
            return json.loads(line[len(MARK) :])
    tail = done.stderr.decode("utf-8", "replace").strip().splitlines()[-3:]
    raise DropinError(
        f"{shlex.quote(str(python.path))} ({python.how}) ended with exit code "
        f"{done.returncode} and printed no result. {' '.join(tail)}"
    )


def _environment() -> dict[str, str]:
    """The environment without variables that lead Python or Pavilion elsewhere; no caches are
    written."""
    env = {
        name: value for name, value in os.environ.items() if not name.startswith(("PAV_", "PYTHON"))
    }
    return dict(env, PYTHONDONTWRITEBYTECODE="1")


@contextmanager
def _empty_folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="pav-sched-") as name:
        yield Path(name)
