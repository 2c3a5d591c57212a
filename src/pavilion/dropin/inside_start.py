"""Runs in the Python of a checkout, with a schedulers directory in place: does Pavilion start, which
schedulers does it have, and does it have what our directory needs?

Prints a line of JSON: 'error' (why it does not start; '' when it does), 'schedulers' (each with
'name', 'module', 'file' and 'broken': the steps at which it fails -> why), 'lacking' (what ours uses
and this host does not have).  Files are only written to temporary directories, and no scheduler
command is run.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import sys
import tempfile
import traceback
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, Callable

MARK = "@pavilion-schedulers "
PLUGINS = "pavilion.schedulers.plugins."

# The same as in inside_smoke.
CONFIG = {"nodes": "2", "tasks_per_node": "4", "partition": "smoke", "time_limit": "1"}

# What the directory uses of the modules of its host (class.attribute, where a class has it).
HOST = {
    "pavilion.errors": ["PavilionError", "SchedulerPluginError", "SchedConfigError"],
    "pavilion.types": ["NodeInfo", "Nodes", "NodeList", "NodeSet", "NodeRange", "PickedNodes"],
    "pavilion.status_file": [
        "STATES",
        "TestStatusInfo",
        "STATES.SCHEDULED",
        "STATES.SCHED_ERROR",
        "STATES.SCHED_CANCELLED",
        "STATES.SCHED_STARTUP",
        "STATES.SCHED_RUNNING",
        "STATES.SCHED_WARNING",
    ],
    "pavilion.jobs": ["Job", "JobInfo", "JobError", "Job.new"],
    "pavilion.deferred": ["DeferredVariable"],
    "pavilion.var_dict": ["VarDict", "var_method", "dfr_var_method", "normalize_value"],
    "pavilion.scriptcomposer": ["ScriptHeader", "ScriptComposer"],
    "pavilion.sys_vars": ["get_vars"],
}


def _make_job(jobs: Any) -> Any:
    """A job with one test, in a temporary directory that is removed afterwards."""
    with tempfile.TemporaryDirectory() as name:
        working_dir = Path(name)
        (working_dir / "jobs").mkdir()
        # Pavilion 2.5 uses full_id for names.
        test = SimpleNamespace(id="s1.1", full_id="s1.1", path=working_dir)
        job = jobs.Job.new({"working_dir": working_dir}, [test], "kickoff.sh")
        job.info = jobs.JobInfo({"id": "1"})
        if dict(job.info) != {"id": "1"}:
            raise ValueError(f"its info is {job.info!r}")
        return job


def _make_error(errors: Any) -> Any:
    return errors.SchedulerPluginError("text", tests=[], prior_error=ValueError("why"))


# Attributes that are set when an object is created: the module, what to call the object, how to
# create it, and the attributes that it must have.
OBJECTS: list[tuple[str, str, Callable[[Any], Any], list[str]]] = [
    (
        "pavilion.jobs",
        "a Job",
        _make_job,
        [
            "name",
            "path",
            "kickoff_path",
            "kickoff_log",
            "sched_log",
            "tests_path",
            "save_node_data",
            "load_sched_data",
            "get_test_id_pairs",
        ],
    ),
    (
        "pavilion.status_file",
        "a TestStatusInfo",
        lambda status_file: status_file.TestStatusInfo("SCHEDULED", "note"),
        ["state", "note", "when"],
    ),
    (
        "pavilion.errors",
        "a SchedulerPluginError",
        _make_error,
        ["msg", "tests", "prior_error", "data", "pformat"],
    ),
]


def start() -> list[dict[str, Any]]:
    """Start as Pavilion's own commands do, and return the schedulers that it has.

    :raises Exception: Any exception that prevents it from starting.
    """
    importlib.import_module("pavilion.plugins")
    schedulers: Any = importlib.import_module("pavilion.schedulers")
    schedulers.SchedulerPlugin.register_core_plugins()
    found = []
    for name in sorted(schedulers.list_plugins()):
        plugin = schedulers.get_plugin(name)
        module = type(plugin).__module__
        if module.startswith(PLUGINS):
            # A plugin may be a package.
            module = PLUGINS + module[len(PLUGINS) :].partition(".")[0]
        found.append(
            {
                "name": name,
                "module": module,
                "file": _file(sys.modules.get(module)),
                "broken": dict(_find_broken(schedulers, plugin)),
            }
        )
    return found


def _find_broken(schedulers: Any, plugin: Any) -> Iterator[tuple[str, str]]:
    """The failures of a scheduler, as (step of inside_smoke, why)."""
    for step, use in (("kickoff scripts", _use_header), ("variables", _use_variables)):
        try:
            use(plugin, schedulers.validate_config(dict(CONFIG)))
        except Exception as exc:
            yield step, _describe(exc)


def _use_header(plugin: Any, config: Any) -> None:
    plugin.KICKOFF_SCRIPT_HEADER_CLASS(
        "smoke", config, plugin.VAR_CLASS(config), None, (2, 2), "#!/bin/bash"
    ).get_lines()


def _use_variables(plugin: Any, config: Any) -> None:
    variables = plugin.VAR_CLASS(config)
    # A host's VarDict yields nothing when it is iterated.
    for key in list(variables.keys()):
        variables.info(key)
    variables["partition"]


def _file(module: ModuleType | None) -> str:
    """The file of a module, or the directory of a package; '' when there is none."""
    path = Path(getattr(module, "__file__", None) or "")
    return str(path.parent if path.name == "__init__.py" else path) if path.name else ""


def find_lacking() -> Iterator[str]:
    """What this host does not have.  A module that cannot be imported is reported as such."""
    for name, wanted in HOST.items():
        try:
            module: Any = importlib.import_module(name)
        except Exception as exc:
            yield f"{name} ({_describe(exc)})"
            continue
        lacking = [path for path in wanted if not _has(module, path)]
        yield from (f"{name}.{path}" for path in lacking)
        if lacking:
            continue
        for owner, what, make, attributes in OBJECTS:
            if owner == name:
                yield from _lacking_in_object(module, what, make, attributes)


def _has(item: Any, path: str) -> bool:
    for part in path.split("."):
        if not hasattr(item, part):
            return False
        item = getattr(item, part)
    return True


def _lacking_in_object(
    module: Any, what: str, make: Callable[[Any], Any], attributes: list[str]
) -> Iterator[str]:
    try:
        item = make(module)
    except Exception as exc:
        yield f"{module.__name__}: {what} cannot be created ({_describe(exc)})"
        return
    yield from (
        f"{module.__name__}: {what} without {name!r}"
        for name in attributes
        if not hasattr(item, name)
    )


def _forget() -> bool:
    """Replace ``pavilion`` by a package without its ``__init__``, which cannot be run.

    :returns: False when there is no such package.
    """
    for name in [name for name in sys.modules if name.partition(".")[0] == "pavilion"]:
        del sys.modules[name]
    spec = importlib.util.find_spec("pavilion")
    if spec is None or spec.submodule_search_locations is None:
        return False
    package = ModuleType("pavilion")
    package.__path__ = list(spec.submodule_search_locations)
    sys.modules["pavilion"] = package
    return True


def _describe(exc: BaseException) -> str:
    """The exception, and the line it comes from."""
    frame = traceback.extract_tb(exc.__traceback__)[-1]
    where = "" if "importlib" in frame.filename else f" (line {frame.lineno} of {frame.filename})"
    return f"{type(exc).__name__}: {exc}{where}"


def main() -> None:
    """Start, and check the host's modules; if it does not start, those that can be imported."""
    warnings.simplefilter("ignore")
    found: dict[str, Any] = {"error": "", "schedulers": [], "lacking": []}
    try:
        found["schedulers"] = start()
        found["lacking"] = list(find_lacking())
    except BaseException as exc:
        found["error"] = _describe(exc)
        if _forget():
            # Modules that cannot be imported are left out: it is already known that it does not
            # start.
            found["lacking"] = [text for text in find_lacking() if not text.endswith(")")]
    print(MARK + json.dumps(found))


if __name__ == "__main__":
    main()
