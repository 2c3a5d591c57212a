"""The made-up host against a real one: nothing of ``host26`` is kinder, or other, than it.

``PAVILION_CHECKOUT`` names a checkout of Pavilion 2.6, and ``PAVILION_PYTHON`` a Python that runs
it (this one when left out).  Without a checkout the comparison is skipped.  It runs the checkout's
own modules, in a process of its own, and changes nothing.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from contract.alone_runner import HERE

SCRIPT = HERE / "alone" / "host_facts.py"


def facts(lib: Path, python: str = sys.executable) -> Any:
    """What host_facts.py finds out about the host in a directory."""
    done = subprocess.run(
        [python, "-I", "-B", str(SCRIPT), str(lib)], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert Path(found["file"]).is_relative_to(lib.resolve()), found["file"]
    return found


@pytest.fixture(scope="module")
def made_up(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the made-up host, and no more of schedulers than makes it start."""
    lib = tmp_path_factory.mktemp("made_up")
    shutil.copytree(HERE / "host26", lib / "pavilion", ignore=shutil.ignore_patterns("__pycache__"))
    (lib / "pavilion" / "schedulers").mkdir()
    (lib / "pavilion" / "schedulers" / "__init__.py").touch()
    (lib / "pavilion" / "schedulers" / "config.py").write_text("ScheduleConfig = None\n")
    return lib


@pytest.fixture(scope="module")
def both(made_up: Path) -> tuple[Any, Any]:
    """The facts of host26 and of a real host, found by the same Python."""
    checkout = os.environ.get("PAVILION_CHECKOUT")
    if not checkout:
        pytest.skip("PAVILION_CHECKOUT does not name a checkout of Pavilion 2.6")
    python = os.environ.get("PAVILION_PYTHON", sys.executable)
    return facts(made_up, python), facts(Path(checkout) / "lib", python)


def differences(ours: Any, real: Any) -> Iterator[str]:
    """Where the made-up host is not as the real one.  It may have less, and nothing else."""
    for module, names in ours["names"].items():
        for name in sorted(set(names) - set(real["names"][module])):
            yield f"{module} has no {name}"
    for name, parameters in ours["functions"].items():
        if parameters != real["functions"][name]:
            yield f"{name}{parameters} is {real['functions'][name]}"
    for name, cls in ours["classes"].items():
        yield from class_differences(name, cls, real["classes"][name])
    for name, found in ours["probes"].items():
        expected = real["probes"][name]
        if isinstance(expected, str):
            yield f"the probe {name} failed: {expected}"
        if found != expected:
            yield f"{name}: {found} is really {expected}"


def class_differences(name: str, ours: Any, real: Any) -> Iterator[str]:
    for key in ("bases", "is_error_of", "hashable", "compared"):
        if ours[key] != real[key]:
            yield f"{name}: {key} {ours[key]} is {real[key]}"
    for member, what in ours["members"].items():
        if member not in real["members"]:
            yield f"{name} has no {member}"
        elif real["members"][member] != what:
            yield f"{name}.{member} {what} is {real['members'][member]}"
    extra = set(ours["assigned"]) - set(real["assigned"])
    if extra:
        yield f"{name} has no attributes {sorted(extra)}"


def test_the_made_up_host_is_as_a_real_one(both: tuple[Any, Any]) -> None:
    ours, real = both
    found = list(differences(ours, real))
    assert found == [], "\n".join(found)


def test_every_module_is_compared(made_up: Path) -> None:
    ours = facts(made_up)
    files = {path.stem for path in (HERE / "host26").glob("*.py")} - {"__init__"}
    assert set(ours["names"]) == files
    # A probe that fails says nothing.
    assert [name for name, found in ours["probes"].items() if isinstance(found, str)] == []


def test_that_comparison_finds_what_it_looks_for(made_up: Path, tmp_path: Path) -> None:
    """Against a host that is kinder in one thing at a time."""
    ours = facts(made_up)
    for number, (file, was, kinder) in enumerate(
        [
            (
                "errors.py",
                "class SchedConfigError(PavilionError)",
                "class SchedConfigError(PavilionError, ValueError)",
            ),
            ("jobs.py", "class JobError(RuntimeError)", "class JobError(OSError)"),
            (
                "var_dict.py",
                "    def keys(self):",
                "    def __iter__(self):\n        return iter(self._keys)\n\n    def keys(self):",
            ),
            ("deferred.py", "    def __len__(self):", "    def length(self):"),
            (
                "status_file.py",
                '            "SCHED_ERROR",\n        ]',
                '            "SCHED_ERROR",\n            "SKIPPED",\n        ]',
            ),
            ("test_run.py", "(self.path / self.CANCEL_FN).touch()", "self.set_run_complete()"),
            ("config.py", "set_attrs=None", "set_attrs=()"),
            ("__init__.py", "from .schedulers", "from .jobs import Job\nfrom .schedulers"),
        ]
    ):
        lib = tmp_path / str(number)
        shutil.copytree(made_up, lib)
        path = lib / "pavilion" / file
        text = path.read_text()
        assert text.count(was) == 1, (file, was)
        path.write_text(text.replace(was, kinder))
        assert list(differences(facts(lib), ours)), (file, kinder)
