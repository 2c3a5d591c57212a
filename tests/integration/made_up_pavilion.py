"""A made-up Pavilion checkout: the strict host of the contract tests, and old schedulers.

What tripped us in a real one is here, too: packages that import each other and only load in one
order, built-in schedulers without info files, jobs whose paths are set when they are made, a
version that VERSION.txt does not tell.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Mapping
from pathlib import Path

from pavilion.dropin.kept import bundled

ROOT = Path(__file__).resolve().parents[2]
SRC = ROOT / "src"
HOST = ROOT / "tests" / "contract" / "host26"
_NO_CACHES = shutil.ignore_patterns("__pycache__")

# ------------------------------------------------------------------ the directory before

# Built-in schedulers are imported here by name.
OLD = """
    '''The old schedulers.'''
    from .scheduler import SchedulerPlugin, get_plugin, list_plugins, validate_config
    from .plugins.raw import Raw
    from .plugins.slurm import Slurm
    {imports}
    from pavilion import test_run

    AGE = "old"
    """

OLD_SCHEDULER = """
    _SCHEDULER_PLUGINS = {}


    class KickoffScriptHeader:
        def __init__(self, job_name, sched_config, sched_vars, nodes=None, node_range=None,
                     shebang=None):
            self._config, self._shebang = sched_config, shebang

        def get_lines(self):
            return [self._shebang, *self._kickoff_lines()]

        def _kickoff_lines(self):
            return []


    class SchedulerVariables(dict):
        def __init__(self, sched_config):
            super().__init__(partition=sched_config["partition"])

        def info(self, key):
            return {"help": key}


    class SchedulerPlugin:
        KICKOFF_SCRIPT_HEADER_CLASS = KickoffScriptHeader
        VAR_CLASS = SchedulerVariables

        def __init__(self, name, description):
            self.name = name

        @classmethod
        def register_core_plugins(cls):
            from pavilion import schedulers
            for item in list(vars(schedulers).values()):
                if isinstance(item, type) and item.__module__.startswith(
                        "pavilion.schedulers.plugins."):
                    plugin = item()
                    _SCHEDULER_PLUGINS[plugin.name] = plugin


    def list_plugins():
        return sorted(_SCHEDULER_PLUGINS)


    def get_plugin(name):
        return _SCHEDULER_PLUGINS.get(name)


    def validate_config(config):
        return dict(config, nodes=int(config["nodes"]))


    def old_helper():
        '''Nothing that ours has.'''
    """
OLD_MODULES = {
    "scheduler": OLD_SCHEDULER,
    "basic": "from .scheduler import SchedulerPlugin as SchedulerPluginBasic, old_helper\n",
    "config": "class ScheduleConfig:\n    pass\n",
    "plugins/__init__": "",
    "plugins/raw": """
        from ..basic import SchedulerPluginBasic


        class Raw(SchedulerPluginBasic):
            def __init__(self):
                super().__init__("raw", "The old one.")
        """,
    "plugins/slurm": """
        from ..basic import SchedulerPluginBasic


        class Slurm(SchedulerPluginBasic):
            def __init__(self):
                super().__init__("slurm", "The old one.")
        """,
}

# Schedulers that we do not bundle.
LSF = """
    from ...errors import SchedulerPluginError
    from ..basic import SchedulerPluginBasic
    from ..scheduler import KickoffScriptHeader


    class Header(KickoffScriptHeader):
        def _kickoff_lines(self):
            return ["# lsf"]


    class Lsf(SchedulerPluginBasic):
        KICKOFF_SCRIPT_HEADER_CLASS = Header

        def __init__(self):
            super().__init__("lsf", "Not one of ours.")

        def _available(self):
            return False
    """
# It works with the old directory only.
COBALT = """
    from ..basic import SchedulerPluginBasic, old_helper


    class Cobalt(SchedulerPluginBasic):
        def __init__(self):
            super().__init__("cobalt", "Not one of ours.")
    """
# Its header works with neither, and that is not our doing.
BROKEN_LSF = LSF.replace('return ["# lsf"]', "return [self._no_such_thing]")

# ------------------------------------------------------------------------------ the host

HOST_FILES = {
    # The schedulers come before all else.
    "__init__.py": """
        from .schedulers.config import ScheduleConfig as _ScheduleConfig
        from .config import PavConfig
        """,
    # These two import each other, and load when 'result' comes first.
    "result/__init__.py": """
        KEYS = ("result",)
        from pavilion import result_parsers
        BASE = result_parsers.ResultParser
        """,
    "result_parsers/__init__.py": """
        from pavilion.result import KEYS


        class ResultParser:
            keys = KEYS
        """,
    "plugins/__init__.py": """
        from pavilion.result_parsers import ResultParser
        from pavilion.schedulers import SchedulerPlugin

        PLUGIN_CATEGORIES = {"result": ResultParser, "sched": SchedulerPlugin}
        """,
    # Its paths are no attributes of the class.
    "jobs.py": """
        import json
        import uuid

        NODES = "nodes.json"


        class JobError(RuntimeError):
            pass


        JobInfo = dict


        class Job:
            NODE_INFO_FN = NODES

            @classmethod
            def new(cls, pav_cfg, tests, kickoff_fn=None):
                path = pav_cfg["working_dir"] / "jobs" / uuid.uuid4().hex
                path.mkdir()
                for test in tests:
                    (path / str(test.id)).symlink_to(test.path)
                return cls(path)

            def __init__(self, path):
                self.path, self.name = path, path.name
                self.kickoff_path = path / "kickoff"
                self.tests_path = path / "tests"
                self.sched_log = path / "sched.log"
                self.kickoff_log = path / "kickoff.log"

            @property
            def info(self):
                return json.loads((self.path / "info").read_text())

            @info.setter
            def info(self, info):
                (self.path / "info").write_text(json.dumps(info))

            def save_node_data(self, nodes):
                (self.path / NODES).write_text(json.dumps(nodes))

            def load_sched_data(self):
                return json.loads((self.path / NODES).read_text())

            def get_test_id_pairs(self):
                return []
        """,
}

PAV = """\
    #!{python}
    import os, sys, time
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    sys.path.insert(0, os.path.join(root, "lib"))
    import pavilion.plugins
    from pavilion import schedulers
    ours = not hasattr(schedulers, "AGE")
    # The first call hangs, when that is asked for.
    if ours and os.path.exists(os.path.join(root, "hang")) and not os.path.exists(
            os.path.join(root, "hanging")):
        open(os.path.join(root, "hanging"), "w").close()
        time.sleep(60)
    if ours and os.path.exists(os.path.join(root, "break")):
        sys.exit("no, thanks\\x1b[0m\\n\\x1b[0m")
    assert sys.argv[1:] == ["show", "sched"]
    schedulers.SchedulerPlugin.register_core_plugins()
    for name in schedulers.list_plugins():
        print("|", name, "|")
    """

RELEASE = """\
    # This number tells the release, and is independent of VERSION.
    RELEASE={version}

    # Release History

    ## 2.7 Pre-Release Notes

    - Python 3.11 works.

    ## 2.3
    """


def write(path: Path, text: str) -> Path:
    """Write a text that is indented here."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(textwrap.dedent(text).lstrip("\n"), encoding="utf-8")
    return path


def make_checkout(
    root: Path, version: str = "2.6", plugins: Mapping[str, str] | None = None
) -> Path:
    """Make a checkout in a directory.

    :param version: With '2.5', the host lacks what that one lacked.
    :param plugins: As of make_old_folder.
    """
    package = root / "lib" / "pavilion"
    shutil.copytree(HOST, package, ignore=_NO_CACHES)
    for name, text in HOST_FILES.items():
        write(package / name, text)
    with (package / "test_run.py").open("a", encoding="utf-8") as file:
        file.write("\nfrom pavilion import result\n")
    if version == "2.5":
        replace(package / "errors.py", "class SchedConfigError", "class _NotYet")
        replace(package / "status_file.py", '"SCHED_WARNING",', "")
    shutil.copytree(SRC / "yaml_config", root / "lib" / "yaml_config", ignore=_NO_CACHES)
    make_old_folder(package / "schedulers", plugins)
    write(root / "RELEASE.txt", RELEASE.format(version=version))
    write(root / "VERSION.txt", "# The version stays what it is; see RELEASE.txt.\n2.0\n")
    pav = write(root / "bin" / "pav", PAV.format(python=sys.executable))
    pav.chmod(0o755)
    return root


def replace(file: Path, old: str, new: str) -> None:
    """Replace a text that is in a file."""
    text = file.read_text(encoding="utf-8")
    assert old in text, (file, old)
    file.write_text(text.replace(old, new), encoding="utf-8")


def make_old_folder(folder: Path, plugins: Mapping[str, str] | None = None) -> None:
    """Make the schedulers directory of before.

    :param plugins: The schedulers that we do not bundle: name -> module.  Default: lsf.
    """
    plugins = {"lsf": LSF} if plugins is None else plugins
    for name, text in OLD_MODULES.items():
        write(folder / f"{name}.py", text)
    imports = [f"from .plugins.{name} import {name.title()}" for name in plugins]
    write(folder / "__init__.py", textwrap.dedent(OLD).format(imports="\n".join(imports)))
    for name, text in plugins.items():
        write(folder / "plugins" / f"{name}.py", text)


def tree(folder: Path) -> dict[str, str]:
    """All below a directory: links with their text, files with their content.  No caches."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_symlink():
            found[name] = f"-> {path.readlink()}"
        elif path.is_file() and "__pycache__" not in path.parts:
            found[name] = path.read_bytes().decode("latin-1")
    return found


def schedulers_names(root: Path) -> list[str]:
    """What is in lib/pavilion that has to do with the schedulers directory."""
    return sorted(
        path.name for path in (root / "lib" / "pavilion").iterdir() if "schedulers" in path.name
    )


def with_ours(*names: str) -> list[str]:
    """The bundled schedulers, and these."""
    return sorted({*bundled(), *names})


def show_sched(root: Path) -> list[str]:
    """The schedulers that the checkout's own pav lists."""
    done = subprocess.run(
        [root / "bin" / "pav", "show", "sched"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=dict(os.environ, PYTHONDONTWRITEBYTECODE="1"),
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.replace("|", " ").split()
