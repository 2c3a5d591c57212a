"""Runs in the Python of a checkout, with our folder in it: does it work there?

Arguments: the folder that ``pavilion.schedulers`` must be.  Prints a line of JSON: the steps, each
with its name, whether it passed, and what was found.  Nothing is written to disk, and no scheduler
command is run.
"""

from __future__ import annotations

import importlib
import json
import logging
import sys
import traceback
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Callable

MARK = "@pavilion-schedulers "

# What the folder uses of its host (class.attribute, where that matters).
HOST = {
    "pavilion.errors": ["PavilionError", "SchedulerPluginError", "SchedConfigError"],
    "pavilion.types": ["NodeInfo", "Nodes", "NodeList", "NodeSet", "NodeRange", "PickedNodes"],
    "pavilion.status_file": ["STATES", "TestStatusInfo", "STATES.SCHEDULED", "STATES.SCHED_ERROR",
                             "STATES.SCHED_CANCELLED", "STATES.SCHED_STARTUP",
                             "STATES.SCHED_RUNNING", "STATES.SCHED_WARNING"],
    "pavilion.jobs": ["Job", "JobInfo", "JobError", "Job.new", "Job.info", "Job.kickoff_path",
                      "Job.kickoff_log", "Job.sched_log", "Job.save_node_data",
                      "Job.load_sched_data", "Job.get_test_id_pairs"],
    "pavilion.deferred": ["DeferredVariable"],
    "pavilion.var_dict": ["VarDict", "var_method", "dfr_var_method", "normalize_value"],
    "pavilion.scriptcomposer": ["ScriptHeader", "ScriptComposer"],
    "pavilion.sys_vars": ["get_vars"],
}
BUNDLED = {"raw", "slurm"}
# Every scheduler has these variables.
VARIABLES = {"account", "chunk_ids", "errors", "min_cpus", "node_list", "nodes", "partition",
             "tasks_per_node", "tasks_total", "test_cmd", "test_nodes"}
CONFIG = {"nodes": "2", "tasks_per_node": "4", "partition": "smoke", "time_limit": "1"}


class Failed(Exception):
    """A step found something wrong."""


def check_host() -> str:
    """The modules of Pavilion that the folder builds on have what it uses."""
    missing = []
    for name, wanted in HOST.items():
        try:
            module = importlib.import_module(name)
        except ImportError as exc:
            missing.append(f"{name} ({exc})")
            continue
        for path in wanted:
            item: Any = module
            for part in path.split("."):
                item = getattr(item, part, missing)
            if item is missing:
                missing.append(f"{name}.{path}")
    if missing:
        raise Failed(f"this Pavilion lacks {', '.join(missing)}")
    return f"{len(HOST)} modules"


def check_import() -> str:
    """The folder is imported, and it is ours."""
    from pavilion import schedulers
    folder = Path(schedulers.__file__).parent
    if folder != Path(sys.argv[1]):
        raise Failed(f"pavilion.schedulers is {folder} here, not {sys.argv[1]}")
    importlib.import_module("pavilion.schedulers.yapsy_compat")
    return str(folder)


def check_discovery() -> str:
    """The bundled plugins are found, and none beside them is broken."""
    from pavilion.schedulers import SchedulerPlugin, list_plugins
    refused: list[str] = []

    class Warnings(logging.Handler):
        """Keeps what is told about plugins that cannot be used."""

        def emit(self, record: logging.LogRecord) -> None:
            refused.append(record.getMessage())

    handler = Warnings(logging.WARNING)
    logger = logging.getLogger("pavilion.schedulers")
    logger.addHandler(handler)
    logger.propagate = False
    SchedulerPlugin.register_core_plugins()
    logger.removeHandler(handler)
    names = set(list_plugins())
    if refused or not names >= BUNDLED:
        raise Failed(" ".join(refused) or f"only {', '.join(sorted(names)) or 'none'} found")
    return ", ".join(sorted(names))


def check_config() -> str:
    """The schedule section is validated: what is right passes, what is wrong does not."""
    from pavilion.errors import SchedConfigError
    from pavilion.schedulers import validate_config
    config = validate_config(dict(CONFIG))
    if config["nodes"] != 2 or config["partition"] != "smoke":
        raise Failed(f"nodes and partition came out as {config['nodes']}, {config['partition']}")
    try:
        validate_config({"nodes": "many"})
    except (SchedConfigError, ValueError):
        return "valid and invalid ones told apart"
    raise Failed("'nodes: many' was taken for valid")


def check_scripts() -> str:
    """Each plugin makes the lines of a kickoff script."""
    from pavilion.schedulers import get_plugin, list_plugins, validate_config
    from pavilion.schedulers.kickoff import compose_stub, make_header
    pav_cfg: Any = _Settings(pav_root=Path("/pavilion"), pav_cfg_file=Path("/pavilion.yaml"),
                             working_dir=Path("/working_dir"), env_setup=["module load smoke"])
    count = 0
    for name in list_plugins():
        plugin: Any = get_plugin(name)
        config = validate_config(dict(CONFIG))
        # Not through the plugin, which may ask its scheduler about the configuration.
        header = make_header(plugin.KICKOFF_SCRIPT_HEADER_CLASS, "smoke", config,
                             plugin.VAR_CLASS(config), None, (2, 2), "#!/bin/bash")
        lines = header.get_lines()
        if not lines or not lines[0].startswith("#!"):
            raise Failed(f"{name}: the script starts with {lines[:1]}")
        if name == "slurm" and not any("-p" in line and "smoke" in line for line in lines):
            raise Failed(f"slurm: the partition is not in {lines}")
        compose_stub(pav_cfg, header, Path("/kickoff.log"))
        count += len(lines)
    return f"{count} header lines for {', '.join(list_plugins())}"


def check_variables() -> str:
    """Each plugin's variables can be made and asked."""
    from pavilion.schedulers import get_plugin, list_plugins, validate_config
    found = {}
    for name in list_plugins():
        plugin: Any = get_plugin(name)
        variables = plugin.VAR_CLASS(validate_config(dict(CONFIG)))
        # Not by iterating: a host's VarDict gives nothing then.
        keys = list(variables.keys())
        lacking = VARIABLES.difference(keys)
        if lacking:
            raise Failed(f"{name}: lacks the variables {', '.join(sorted(lacking))}")
        found[name] = len([variables.info(key)["help"] for key in keys])
        if not isinstance(variables["partition"], str):
            raise Failed(f"{name}: 'partition' is {variables['partition']!r}")
    return ", ".join(f"{name}: {count}" for name, count in found.items())


class _Settings(SimpleNamespace):
    """Settings as attributes and as items."""

    def __getitem__(self, key: str) -> Any:
        return getattr(self, key)


STEPS: list[tuple[str, Callable[[], str]]] = [
    ("host modules", check_host), ("import", check_import), ("discovery", check_discovery),
    ("config", check_config), ("kickoff scripts", check_scripts), ("variables", check_variables),
]


def main() -> None:
    """Go through the steps, up to the first that fails."""
    warnings.simplefilter("ignore")
    done = []
    for name, step in STEPS:
        try:
            done.append({"step": name, "passed": True, "found": step()})
        except BaseException as exc:
            text = str(exc) if isinstance(exc, Failed) else _where(exc)
            done.append({"step": name, "passed": False, "found": text})
            break
    print(MARK + json.dumps(done))


def _where(exc: BaseException) -> str:
    """The exception, and the line it comes from."""
    frames = traceback.extract_tb(exc.__traceback__)
    return f"{type(exc).__name__}: {exc} (line {frames[-1].lineno} of {frames[-1].filename})"


if __name__ == "__main__":
    main()
