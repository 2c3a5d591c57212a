"""Runs in the Python of a checkout, with our directory in it: does it work there?

Arguments: the directory of ``pavilion.schedulers``; then the names of the checkout's own schedulers
that must also be found.  Prints a line of JSON with 'steps', each with its name, whether it passed,
and what was found, and 'kept', the failures of the checkout's own schedulers: name -> step -> why.
Nothing is written to disk, and no scheduler command is run.
"""

from __future__ import annotations

import importlib
import json
import logging
import sys
import traceback
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Callable

MARK = "@pavilion-schedulers "

BUNDLED = {"flux", "gridengine", "pbs", "raw", "slurm"}
# Every scheduler has these variables.
VARIABLES = {
    "account",
    "chunk_ids",
    "errors",
    "min_cpus",
    "node_list",
    "nodes",
    "partition",
    "tasks_per_node",
    "tasks_total",
    "test_cmd",
    "test_nodes",
}
CONFIG = {"nodes": "2", "tasks_per_node": "4", "partition": "smoke", "time_limit": "1"}

# The checkout's own schedulers -> the steps at which they fail -> why.
broken: dict[str, dict[str, str]] = {}


class Failed(Exception):
    """A step found something wrong."""


def check_start() -> str:
    """Pavilion starts: its packages are imported in the same way as by its commands."""
    importlib.import_module("pavilion.plugins")
    return "import pavilion.plugins"


def check_import() -> str:
    """The directory is imported, and it is ours."""
    from pavilion import schedulers

    folder = Path(schedulers.__file__).parent
    if folder != Path(sys.argv[1]):
        raise Failed(f"pavilion.schedulers is {folder}, not {sys.argv[1]}")
    importlib.import_module("pavilion.schedulers.finding.yapsy_compat")
    return str(folder)


class _Warnings(logging.Handler):
    """Collects the warnings about plugins that cannot be used: file and reason."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.refused: list[tuple[str, str]] = []

    def emit(self, record: logging.LogRecord) -> None:
        args = record.args if isinstance(record.args, tuple) else ()
        file = str(args[0]) if args else ""
        reason = str(args[1]) if len(args) > 1 else record.getMessage()
        self.refused.append((file, reason))


def check_discovery() -> str:
    """The bundled plugins are found, and no other plugin is broken."""
    from pavilion.schedulers import SchedulerPlugin, list_plugins

    handler = _Warnings()
    logger = logging.getLogger("pavilion.schedulers")
    logger.addHandler(handler)
    logger.propagate = False
    SchedulerPlugin.register_core_plugins()
    logger.removeHandler(handler)
    names = set(list_plugins())
    others = []
    for file, reason in handler.refused:
        if Path(file).stem in sys.argv[2:]:
            broken[Path(file).stem] = {"discovery": reason}
        else:
            others.append(f"{file}: {reason}")
    for name in sys.argv[2:]:
        if name not in names:
            broken.setdefault(name, {"discovery": "It was not found."})
    if others or not names >= BUNDLED:
        raise Failed(" ".join(others) or f"found only: {', '.join(sorted(names)) or 'none'}")
    return ", ".join(sorted(names))


def check_config() -> str:
    """The schedule section is validated: a valid one is accepted, an invalid one is not."""
    from pavilion.errors import SchedConfigError
    from pavilion.schedulers import validate_config

    config = validate_config(dict(CONFIG))
    if config["nodes"] != 2 or config["partition"] != "smoke":
        raise Failed(f"nodes and partition became {config['nodes']}, {config['partition']}")
    try:
        validate_config({"nodes": "many"})
    except (SchedConfigError, ValueError):
        return "valid and invalid sections are told apart"
    raise Failed("'nodes: many' was accepted as valid")


def check_scripts() -> str:
    """Each plugin creates the lines of a kickoff script."""
    counts = dict(_of_each("kickoff scripts", _header_lines))
    return "header lines: " + ", ".join(f"{name} {count}" for name, count in counts.items())


def check_variables() -> str:
    """Each plugin's variables can be created and read."""
    counts = dict(_of_each("variables", _variables))
    return ", ".join(f"{name} {count}" for name, count in counts.items())


def _of_each(step: str, check: Callable[[str, Any], int]) -> Iterator[tuple[str, int]]:
    """The result of a check for each scheduler.

    :raises Failed: When a bundled scheduler fails; failures of others are added to ``broken``.
    """
    from pavilion.schedulers import get_plugin, list_plugins

    for name in list_plugins():
        try:
            yield name, check(name, get_plugin(name))
        except (Exception, SystemExit) as exc:
            reason = str(exc) if isinstance(exc, Failed) else _where(exc)
            if name not in sys.argv[2:]:
                raise Failed(f"{name}: {reason}") from exc
            broken.setdefault(name, {})[step] = reason


def _header_lines(name: str, plugin: Any) -> int:
    from pavilion.schedulers import validate_config
    from pavilion.schedulers.kickoff import compose_stub, make_header

    pav_cfg: Any = _Settings(
        pav_root=Path("/pavilion"),
        pav_cfg_file=Path("/pavilion.yaml"),
        working_dir=Path("/working_dir"),
        env_setup=["module load smoke"],
    )
    config = validate_config(dict(CONFIG))
    # Not through the plugin, which may query its scheduler for this configuration.
    header: Any = make_header(
        plugin.KICKOFF_SCRIPT_HEADER_CLASS,
        "smoke",
        config,
        plugin.VAR_CLASS(config),
        None,
        (2, 2),
        "#!/bin/bash",
    )
    if hasattr(header, "directives"):
        # Of the batch family, whose plugins set these.
        header.prefix, header.directives = plugin.DIRECTIVE_PREFIX, plugin.DIRECTIVES
    lines = header.get_lines()
    if not lines or not lines[0].startswith("#!"):
        raise Failed(f"the script starts with {lines[:1]}")
    if name == "slurm" and not any("-p" in line and "smoke" in line for line in lines):
        raise Failed(f"the partition is not in {lines}")
    compose_stub(pav_cfg, header, Path("/kickoff.log"))
    return len(lines)


def _variables(name: str, plugin: Any) -> int:
    from pavilion.schedulers import validate_config

    variables = plugin.VAR_CLASS(validate_config(dict(CONFIG)))
    # Not by iterating: a host's VarDict yields nothing then.
    keys = list(variables.keys())
    lacking = VARIABLES.difference(keys)
    if lacking:
        raise Failed(f"these variables are missing: {', '.join(sorted(lacking))}")
    if variables["partition"] != "smoke":
        raise Failed(f"'partition' is {variables['partition']!r}, not 'smoke'")
    without_help = [key for key in keys if not variables.info(key)["help"]]
    if without_help and name in BUNDLED:
        raise Failed(f"there is no help for {', '.join(without_help)}")
    return len(keys)


class _Settings(SimpleNamespace):
    """Settings that can be read as attributes and as items."""

    def __getitem__(self, key: str) -> Any:
        return getattr(self, key)


STEPS: list[tuple[str, Callable[[], str]]] = [
    ("start", check_start),
    ("import", check_import),
    ("discovery", check_discovery),
    ("config", check_config),
    ("kickoff scripts", check_scripts),
    ("variables", check_variables),
]


def main() -> None:
    """Run the steps, up to the first that fails."""
    warnings.simplefilter("ignore")
    done = []
    for name, step in STEPS:
        try:
            done.append({"step": name, "passed": True, "found": step()})
        except BaseException as exc:
            text = str(exc) if isinstance(exc, Failed) else _where(exc)
            done.append({"step": name, "passed": False, "found": text})
            break
    print(MARK + json.dumps({"steps": done, "kept": broken}))


def _where(exc: BaseException) -> str:
    """The exception, and the line it comes from."""
    frame = traceback.extract_tb(exc.__traceback__)[-1]
    where = "" if "importlib" in frame.filename else f" (line {frame.lineno} of {frame.filename})"
    return f"{type(exc).__name__}: {exc}{where}"


if __name__ == "__main__":
    main()
