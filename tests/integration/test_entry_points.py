"""Plugins that are really installed with pip, together with this project, into an empty environment.

The first is made from the ``pyproject.toml`` that the guide shows.  The others are wheels with one
fault each.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import textwrap
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from installed import info_file, plugin_code

ROOT = Path(__file__).resolve().parents[2]
GUIDE = (ROOT / "docs" / "writing-plugins.md").read_text()
PATIENCE = 300.0
# A plugin that is complete, with a section whose keys have neither validators nor defaults.
COMPLETE = """
    import os
    import subprocess

    import yaml_config as yc
    from pavilion.jobs import JobInfo
    from pavilion.schedulers import SchedulerPluginBasic
    from pavilion.status_file import STATES, TestStatusInfo

    from .names import NAME


    class MySched(SchedulerPluginBasic):
        def __init__(self):
            super().__init__(NAME, "Runs each job while it is started.")

        def _available(self):
            return True

        def _get_config_elems(self):
            return [yc.StrElem("queue"), yc.ListElem("flags", sub_elem=yc.StrElem())], None, None

        def _kickoff(self, pav_cfg, job, sched_config, job_name, nodes=None, node_range=None):
            env = dict(os.environ, MYSCHED=json_of(sched_config[NAME]))
            with job.sched_log.open("wb") as log:
                subprocess.run([job.kickoff_path], stdin=subprocess.DEVNULL, stdout=log,
                               stderr=subprocess.STDOUT, env=env, timeout=100, check=True)
            return JobInfo({"id": "1"})

        def _job_status(self, pav_cfg, job_info):
            return TestStatusInfo(STATES.SCHED_ERROR, "It has ended.")

        def cancel(self, job_info):
            return None

        def _get_alloc_nodes(self, job):
            return ["here"]


    def json_of(section):
        return "|".join(f"{key}={value}" for key, value in sorted(section.items()))
"""
SUITE = """
    hello:
      scheduler: mysched
      schedule:
        mysched: {queue: night, flags: [a, b]}
      run:
        cmds: ['echo "section: $MYSCHED"', 'echo "nodes: {{test_node_list.0}}"']
    """


class Environment:
    """An empty virtual environment with this project in it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.home = root / "home"
        self.home.mkdir(parents=True)
        self.env = {
            key: value
            for key, value in os.environ.items()
            if not key.startswith(("PAV_", "SLURM_", "PYTHON", "VIRTUAL_ENV", "COVERAGE"))
            and key != "COLUMNS"
        }
        self.run([sys.executable, "-m", "venv", root / "venv"])
        self.programs = root / "venv" / "bin"
        self.env.update(
            HOME=str(self.home),
            PAV_RAW_QUEUE_DIR=str(self.home / "queue"),
            PATH=f"{self.programs}:{os.environ['PATH']}",
        )

    def run(self, words: list[Any]) -> str:
        """Run a command that must succeed; its standard output."""
        done = subprocess.run(
            list(map(str, words)),
            cwd=self.home,
            env=self.env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        assert done.returncode == 0, f"{words}:\n{done.stdout[-3000:]}{done.stderr[-3000:]}"
        return done.stdout

    def pip(self, *words: Any) -> str:
        pip = [self.programs / "python", "-m", "pip", "--disable-pip-version-check", "--no-input"]
        return self.run([*pip, *words])

    def pav_sched(self, *words: Any) -> str:
        return self.run(["pav-sched", "--working-dir", self.home / "wd", *words])

    def refused(self) -> list[dict[str, Any]]:
        found = json.loads(self.pav_sched("show", "plugins", "--json"))["plugins"]
        return [item for item in found if item["state"] == "refused"]

    @property
    def site(self) -> Path:
        (found,) = (self.root / "venv" / "lib").glob("python*/site-packages")
        return found


def section() -> str:
    """The section of the guide that these tests are about."""
    return GUIDE.partition("## Plugins that are installed with pip\n")[2].partition("\n## ")[0]


def block(kind: str) -> str:
    """The one block of code of a kind."""
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", section(), re.DOTALL | re.MULTILINE)
    (found,) = (code for its_kind, code in blocks if its_kind == kind)
    return str(found)


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Environment]:
    """With the plugin of the guide, installed as the guide says."""
    made = Environment(tmp_path_factory.mktemp("environment"))
    # As a user has it: a copy, because building leaves files in it.
    project = made.root / "project"
    ignored = shutil.ignore_patterns("*.egg-info", "__pycache__", "build", "dist")
    shutil.copytree(ROOT / "src", project / "src", ignore=ignored)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, project)
    source = made.home / "mysched-plugin"
    for line in block("").splitlines():
        if line.startswith("  "):
            path = source / line.strip()
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    assert (source / "mysched_plugin" / "__init__.py").is_file()
    (source / "pyproject.toml").write_text(block("toml"))
    (source / "mysched_plugin" / "mysched.yapsy-plugin").write_text(info_file("mysched"))
    (source / "mysched_plugin" / "mysched.py").write_text(textwrap.dedent(COMPLETE))
    (source / "mysched_plugin" / "names.py").write_text('NAME = "mysched"\n')
    made.pip("install", "--quiet", project)
    install, *_ = re.findall(r"^\$ pip (.*)$", block("console"), re.MULTILINE)
    made.pip(*install.split())
    yield made


def test_it_is_installed_and_shown(environment: Environment) -> None:
    environment.pip("check")
    shown = json.loads(environment.pav_sched("show", "sched", "--json"))["schedulers"]
    assert {item["name"]: item["origin"] for item in shown} == {
        "mysched": "package mysched-plugin 1.0",
        "flux": "bundled",
        "gridengine": "bundled",
        "pbs": "bundled",
        "raw": "bundled",
        "slurm": "bundled",
    }
    (mine,) = (item for item in shown if item["name"] == "mysched")
    assert mine["file"] == str(environment.site / "mysched_plugin" / "mysched.py")
    assert mine["available"] is True
    assert mine["priority"] == 10
    assert "package mysched-plugin 1.0" in environment.pav_sched("show", "sched")
    assert environment.refused() == []


def test_doctor_lists_it_beside_the_config_directories(environment: Environment) -> None:
    words = ["pav-sched", "--working-dir", str(environment.home / "wd"), "doctor"]
    done = subprocess.run(
        words, env=environment.env, capture_output=True, text=True, timeout=PATIENCE
    )
    dirs = done.stdout.partition("\nConfig directories\n")[2].partition("\n\n")[0]
    (line,) = (line for line in dirs.splitlines() if "mysched" in line)
    assert str(environment.site / "mysched_plugin") in line
    assert "1 plugin; distribution mysched-plugin 1.0, entry point 'mysched'" in line


def test_a_suite_runs_with_it(environment: Environment) -> None:
    """Its jobs load it, too; its section needs no validators."""
    (environment.home / "first.yaml").write_text(textwrap.dedent(SUITE))
    said = environment.pav_sched("run", "first.yaml")
    assert "1 test: 1 passed" in said
    (series,) = set(re.findall(r"\bs\d+\b", said))
    log = environment.pav_sched("log", f"{series}.1")
    assert "section: flags=['a', 'b']|queue=night" in log
    assert "nodes: here" in log


def wheel(folder: Path, name: str, files: dict[str, str], points: dict[str, str]) -> Path:
    """A wheel, as a build would make it."""
    package = name.replace("-", "_")
    info = f"{package}-1.0.dist-info"
    listed = [f"{key} = {value}" for key, value in points.items()]
    files = {
        **files,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\n"
        "Tag: py3-none-any\n",
        f"{info}/entry_points.txt": "\n".join(["[pavilion.schedulers]", *listed, ""]),
    }
    path = folder / f"{package}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        record = ""
        for file, text in files.items():
            archive.writestr(file, text)
            digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest())
            record += f"{file},sha256={digest.decode().rstrip('=')},{len(text.encode())}\n"
        archive.writestr(f"{info}/RECORD", f"{record}{info}/RECORD,,\n")
    return path


GOOD = {
    "other_plugin/__init__.py": "",
    "other_plugin/other.py": plugin_code("other"),
    "other_plugin/other.yapsy-plugin": info_file("other"),
}
# Name of the distribution -> (its files, the value of its entry point, what is said).
FAULTS: dict[str, tuple[dict[str, str], str, str]] = {
    "broken-plugin": (
        {**GOOD, "other_plugin/__init__.py": "raise RuntimeError('boom')\n"},
        "other_plugin",
        "Running {site}/other_plugin/__init__.py failed: RuntimeError: boom.",
    ),
    "needy-plugin": (
        {**GOOD, "other_plugin/other.py": "import no_such_library\n"},
        "other_plugin",
        "Importing {site}/other_plugin/other.py failed: No module named 'no_such_library'.",
    ),
    "lost-plugin": (GOOD, "other_plugins", "There is no package 'other_plugins'. Did you mean"),
    "bare-plugin": (
        {name: text for name, text in GOOD.items() if name.endswith(".py")},
        "other_plugin",
        "The package 'other_plugin' has no .yapsy-plugin file.",
    ),
    "twice-plugin": (
        {
            "other_plugin/__init__.py": "",
            "other_plugin/mine.py": plugin_code("mysched"),
            "other_plugin/mine.yapsy-plugin": info_file("mine"),
        },
        "other_plugin",
        "Two scheduler plugins are called 'mysched' and have the same priority (10): "
        "{site}/mysched_plugin/mysched.py and {site}/other_plugin/mine.py.",
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_one_that_cannot_be_used_stops_no_other(name: str, environment: Environment) -> None:
    files, value, reason = FAULTS[name]
    path = wheel(environment.home, name, files, {"the_point": value})
    environment.pip("install", "--quiet", "--no-index", "--no-deps", path)
    try:
        (refused,) = environment.refused()
        assert refused["reason"].startswith(
            f"In distribution {name} 1.0, entry point 'the_point': "
            + reason.format(site=environment.site)
        )
        assert refused["file"].startswith(str(environment.site))
        shown = json.loads(environment.pav_sched("show", "sched", "--json"))["schedulers"]
        assert [item["name"] for item in shown] == [
            "flux",
            "gridengine",
            "mysched",
            "pbs",
            "raw",
            "slurm",
        ]
        (environment.home / "again.yaml").write_text(textwrap.dedent(SUITE))
        assert "1 test: 1 passed" in environment.pav_sched("run", "again.yaml")
    finally:
        environment.pip("uninstall", "--quiet", "--yes", name)
    assert environment.refused() == []


def test_a_source_tree_may_be_installed_too(environment: Environment) -> None:
    """pip install -e, for development: Python finds the package where its source is."""
    environment.pip("install", "--quiet", "-e", environment.home / "mysched-plugin")
    shown = json.loads(environment.pav_sched("show", "sched", "--json"))["schedulers"]
    (mine,) = (item for item in shown if item["name"] == "mysched")
    source = environment.home / "mysched-plugin" / "mysched_plugin" / "mysched.py"
    assert mine["file"] == str(source)
    source.chmod(0o666)
    (refused,) = environment.refused()
    assert f"Everyone may write to {source.resolve()}" in refused["reason"]
