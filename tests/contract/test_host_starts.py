"""A host that imports our schedulers before anything else, and packages that import each other.

A real Pavilion does so (see ``host26``), and only starts when the folder imports the host's
``test_run``.  Each of these runs in a process of its own: what is imported first decides.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from contract.alone_runner import FOLDER, HERE, SRC, Alone

# As small as it gets: two packages, one of which can be imported first, and what does so.
SMALLEST = {
    "__init__.py": "from .schedulers.config import ScheduleConfig\n",
    "a/__init__.py": "from .core import A\n",
    "a/core.py": """
        import pavilion.b


        class A:
            pass
        """,
    "b/__init__.py": "from pavilion.a import A\n",
    "test_run.py": "import pavilion.b\n",
}
# What the folder needs besides; nothing of it imports anything but these.
NEEDED = (
    "errors.py",
    "types.py",
    "status_file.py",
    "jobs.py",
    "test_ids.py",
    "deferred.py",
    "var_dict.py",
    "scriptcomposer.py",
    "sys_vars.py",
)
# A folder that does not import test_run.
BARE = {"schedulers/__init__.py": "", "schedulers/config.py": "ScheduleConfig = None\n"}
NO_CACHES = shutil.ignore_patterns("__pycache__")


def write(package: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = package / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text).lstrip())


def python(root: Path, code: str) -> subprocess.CompletedProcess[str]:
    """Run code where ``root`` alone has a ``pavilion``."""
    return subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(root)!r}); {code}"],
        cwd=root,
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Alone:
    return Alone(tmp_path_factory.mktemp("alone"))


@pytest.mark.parametrize(
    "first",
    [
        "pavilion",
        "pavilion.result",
        "pavilion.result_parsers",
        "pavilion.test_run",
        "pavilion.schedulers",
        "pavilion.schedulers.config",
        "pavilion.schedulers.plugins.raw",
        "pavilion.jobs",
        "pavilion.config",
    ],
)
def test_a_host_starts_whatever_is_imported_first(alone: Alone, first: str) -> None:
    alone.check(
        "-c",
        f"import {first}; import pavilion.result_parsers, pavilion.result; "
        "assert pavilion.result_parsers.ResultParser",
    )


def test_that_host_does_not_start_with_a_folder_that_leaves_test_run_out(tmp_path: Path) -> None:
    shutil.copytree(HERE / "host26", tmp_path / "pavilion", ignore=NO_CACHES)
    write(tmp_path / "pavilion", BARE)
    assert python(tmp_path, "import pavilion.result").returncode == 0
    done = python(tmp_path, "import pavilion.result_parsers")
    assert "ImportError: cannot import name 'ResultParser'" in done.stderr


@pytest.fixture(scope="module")
def smallest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a host that has just what it takes to fail."""
    root = tmp_path_factory.mktemp("smallest")
    package = root / "pavilion"
    write(package, SMALLEST)
    for name in NEEDED:
        shutil.copy(HERE / "host26" / name, package)
    shutil.copytree(SRC / "yaml_config", root / "yaml_config", ignore=NO_CACHES)
    return root


def test_the_smallest_host_starts(smallest: Path, tmp_path: Path) -> None:
    root = tmp_path / "ours"
    shutil.copytree(smallest, root)
    shutil.copytree(FOLDER, root / "pavilion" / "schedulers", ignore=NO_CACHES)
    done = python(
        root,
        "import pavilion.a; assert pavilion.a.A is pavilion.b.A; "
        f"assert pavilion.__file__.startswith({str(root)!r}), pavilion.__file__",
    )
    assert done.returncode == 0, done.stderr


def test_the_smallest_host_does_not_start_by_itself(smallest: Path, tmp_path: Path) -> None:
    root = tmp_path / "bare"
    shutil.copytree(smallest, root)
    write(root / "pavilion", BARE)
    done = python(root, "import pavilion.a")
    assert "ImportError: cannot import name 'A'" in done.stderr
