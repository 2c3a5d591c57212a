"""Inside: the host of ``host26`` at work.  It makes tests and loads plugins as Pavilion 2.6 does.

The same names as in ``contract/fakes.py`` and in test_existing_plugins.py, so that checks of
plugins can be run on both.
"""

from __future__ import annotations

import json
import os
import sys
import time
from contextlib import contextmanager
from pathlib import Path

from pavilion import sys_vars
from pavilion.config import PavConfig
from pavilion.schedulers import SchedulerPlugin, get_plugin
from pavilion.test_run import TestRun

HERE = Path(__file__).resolve().parent


def load_pav_cfg(file):
    """The settings that a file tells of."""
    record = json.loads(Path(file).read_text())
    return PavConfig(
        {
            "pav_root": Path(record["pav_root"]),
            "pav_cfg_file": Path(file),
            "working_dir": Path(record["working_dir"]),
            "env_setup": record["env_setup"],
            "configs": {label: {"path": Path(path)} for label, path in record["configs"].items()},
        }
    )


def load_plugins(pav_cfg):
    """The bundled plugins, and those of each config folder through plain yapsy."""
    # Not at the top: what newer Pythons lack for yapsy is there once the folder was imported.
    from yapsy.PluginManager import PluginManager

    sys_vars.host_register()
    SchedulerPlugin.register_core_plugins()
    manager = PluginManager(categories_filter={"sched": SchedulerPlugin})
    manager.setPluginPlaces([str(item["path"] / "plugins") for item in pav_cfg.configs.values()])
    manager.locatePlugins()
    manager.collectPlugins()
    for info in manager.getPluginsOfCategory("sched"):
        info.plugin_object.activate()


class Site:
    """Settings, a folder and tests."""

    is_host26 = True

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("pav_root/bin", "working_dir/jobs", "config/plugins"):
            (folder / name).mkdir(parents=True)
        file = folder / "pavilion.json"
        file.write_text(
            json.dumps(
                {
                    "pav_root": str(folder / "pav_root"),
                    "working_dir": str(folder / "working_dir"),
                    "env_setup": ["export FROM_ENV_SETUP=yes"],
                    "configs": {"main": str(folder / "config")},
                }
            )
        )
        self.pav_cfg = load_pav_cfg(file)
        self._count = 0
        self.pav(f'exec "{sys.executable}" "{HERE / "pav.py"}" "$@"')

    def pav(self, script):
        """What the command ``pav`` does."""
        path = self.pav_cfg.pav_root / "bin" / "pav"
        path.write_text(f"#!/bin/bash\n{script}\n")
        path.chmod(0o755)

    def load(self, name, *files):
        """Put plugin files into the config folder and load them; the plugin of this name."""
        for file in files:
            path = self.folder / "config" / "plugins" / Path(file).name
            path.write_bytes(Path(file).read_bytes())
        load_plugins(self.pav_cfg)
        return get_plugin(name)

    def test(self, schedule=None, name=None, scheduler="fake", cmds=("true",), chunk="any"):
        """A new test."""
        self._count += 1
        config = {"schedule": dict(schedule or {}), "chunk": chunk, "run": {"cmds": list(cmds)}}
        return TestRun.host_new(
            self.pav_cfg, self._count, config, name or f"suite.test{self._count}", scheduler
        )

    def final(self, test):
        """The variables that a test had on its allocation."""
        return json.loads((test.path / "vars.json").read_text())


@contextmanager
def slurm_plugin(site):
    """The Slurm plugin, on the fake Slurm of the copied folder."""
    from testkit import FakeSlurm

    with FakeSlurm(site.folder / "cluster", nodes=4, min_job_age=10) as cluster:
        os.environ.update(cluster.env())
        load_plugins(site.pav_cfg)
        plugin = get_plugin("slurm")
        plugin.JOB_TABLE_AGE = plugin.JOB_END_GRACE = 0.2
        yield plugin


def states_of(test):
    """The states it went through, but for that of its status file, and for the line that its job
    was accepted, which is no new state."""
    infos = test.status.history()[1:]
    return [info.state for info in infos if not info.note.startswith("Accepted by ")]


def until(condition, what, seconds=20.0):
    """Wait until a condition holds, and give its value; fail after a while."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"not within {seconds:g} seconds: {what}"
        time.sleep(0.02)


def run_scenario(functions):
    """Call the function that the first argument names, with a new site."""
    name = sys.argv[1]
    functions[name](Site(Path.cwd() / f"site-{name}-{time.time_ns()}"))


def run_tests(ids):
    """What ``pav _run`` does on an allocation."""
    import subprocess

    from pavilion.deferred import DeferredVariable

    pav_cfg = load_pav_cfg(os.environ["PAV_CONFIG_FILE"])
    load_plugins(pav_cfg)
    for text in ids:
        test = TestRun.host_load(pav_cfg, text)
        values = get_plugin(test.scheduler).get_final_vars(test)
        found = {key: values[key] for key in values.keys()}  # noqa: SIM118  (iterating gives none)
        assert not any(isinstance(value, DeferredVariable) for value in found.values()), found
        found["errors"] = values["errors"]
        (test.path / "vars.json").write_text(json.dumps(found))
        test.status.set("RUNNING", "It runs.")
        for command in test.config["run"]["cmds"]:
            subprocess.run(["bash", "-c", command], check=True)
        test.status.set("COMPLETE", "It is over.")
        test.set_run_complete()
