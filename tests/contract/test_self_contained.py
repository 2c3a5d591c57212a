"""The schedulers folder alone, with a host that has what it may use and nothing more.

The static tests read every import of the folder.  The others run it in a process of its own,
where our own host cannot be imported (see ``alone_runner.py`` and ``host26/``).
"""

from __future__ import annotations

import ast
import importlib.util
import re
import runpy
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from contract.alone_runner import FOLDER, HERE, Alone

# What the folder may import from outside of itself: the names of the host's modules, and others.
HOST = {
    "pavilion.errors": {"PavilionError", "SchedulerPluginError", "SchedConfigError"},
    "pavilion.types": {"NodeInfo", "Nodes", "NodeList", "NodeSet", "NodeRange", "PickedNodes"},
    "pavilion.status_file": {"STATES", "TestStatusInfo"},
    "pavilion.jobs": {"Job", "JobInfo", "JobError"},
    "pavilion.deferred": {"DeferredVariable"},
    "pavilion.var_dict": {"VarDict", "var_method", "dfr_var_method", "normalize_value"},
    "pavilion.scriptcomposer": {"ScriptHeader", "ScriptComposer"},
    "pavilion.sys_vars": {"get_vars"},
    "pavilion.test_run": {"TestRun"},
    "pavilion.config": {"PavConfig"},
    "pavilion": {
        "sys_vars",
        "errors",
        "types",
        "status_file",
        "jobs",
        "deferred",
        "var_dict",
        "scriptcomposer",
        "test_run",
        "config",
    },
}
OTHERS = {"yaml_config", "yapsy", "hostlist"}
FILES = sorted(FOLDER.rglob("*.py"))


class Import(NamedTuple):
    """An import statement: of a module, or of a name of a module."""

    file: str
    line: int
    module: str
    name: str | None

    def __str__(self) -> str:
        what = self.module if self.name is None else f"{self.name} of {self.module}"
        return f"{self.file}:{self.line} imports {what}"


def imports_of(path: Path, code: str | None = None) -> Iterator[Import]:
    """All imports of a file, relative ones as full names."""
    file = path.relative_to(FOLDER).as_posix()
    package = ["pavilion", "schedulers", *path.relative_to(FOLDER).parent.parts]
    for node in ast.walk(ast.parse(path.read_text() if code is None else code)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(file, node.lineno, alias.name, None)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) + 1 - node.level] if node.level else []
            module = ".".join([*base, node.module] if node.module else base)
            for alias in node.names:
                yield Import(file, node.lineno, module, alias.name)


def is_allowed(found: Import) -> bool:
    top = found.module.partition(".")[0]
    if (found.module + ".").startswith("pavilion.schedulers."):
        return is_in_the_folder(found)
    if top == "pavilion":
        # 'import pavilion.x' would give all of x.
        return found.name in HOST.get(found.module, ())
    return top in OTHERS or is_standard(top)


def is_in_the_folder(found: Import) -> bool:
    path = FOLDER.joinpath(*found.module.split(".")[2:])
    return path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()


def is_standard(name: str) -> bool:
    if name in sys.builtin_module_names:
        return True
    if name in ("imp", "distutils"):
        return True
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        return False
    libraries = [sysconfig.get_path(key) for key in ("purelib", "platlib")]
    return spec.origin == "frozen" or (
        spec.origin.startswith(
            (sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib"), sys.base_prefix)
        )
        and not spec.origin.startswith(tuple(libraries))
    )


def test_the_folder_imports_what_it_may_and_nothing_else() -> None:
    assert len(FILES) > 20
    wrong = [str(found) for path in FILES for found in imports_of(path) if not is_allowed(found)]
    assert wrong == []


@pytest.mark.parametrize(
    "code",
    [
        "import rich",
        "from pavilion.files import read_json",
        "from pavilion.jobs import no_such",
        "import pavilion.jobs",
        "from pavilion import series",
        "from ...files import read_json",
        "from .no_such_module import x",
        "def f():\n    from pavilion.cli import main",
        "import pytest",
        "from pavilion.errors import JobError",
    ],
)
def test_that_check_finds_what_it_looks_for(code: str) -> None:
    path = FOLDER / "plugins" / "new.py"
    assert [found for found in imports_of(path, code) if not is_allowed(found)]


def test_host_errors_get_their_prior_error_by_keyword() -> None:
    """The second position is another thing in the host than in the guide for authors."""
    wrong = []
    calls = 0
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call):
                continue
            name = getattr(node.func, "id", getattr(node.func, "attr", ""))
            if name in HOST["pavilion.errors"]:
                calls += 1
                if len(node.args) > 1 or any(isinstance(arg, ast.Starred) for arg in node.args):
                    wrong.append(f"{path.relative_to(FOLDER)}:{node.lineno} {name}")
    assert calls > 20
    assert wrong == []


def test_no_error_of_the_host_is_taken_for_a_value_error_around_validators() -> None:
    """Whoever catches ValueError around a validator catches SchedConfigError too (see
    test_a_validator_may_raise_either_error, which runs on a host where they are one)."""
    # By its path: the package cannot be imported where it stands.
    found = runpy.run_path(str(HERE / "host26" / "errors.py"))
    assert not issubclass(found["SchedConfigError"], ValueError)


# What the host's modules need of each other, and the folder must not import.
HOSTS_OWN = {
    "pavilion.errors": {"VariableError"},
    "pavilion.status_file": {"TestStatusFile"},
    "pavilion.sys_vars": {"host_register"},
}


def test_the_host_has_the_listed_names_and_no_others() -> None:
    """Otherwise a test that passes says nothing."""
    for module, names in HOST.items():
        if module == "pavilion":
            continue
        tree = ast.parse((HERE / "host26" / f"{module.split('.')[1]}.py").read_text())
        defined = {
            node.name for node in tree.body if isinstance(node, (ast.ClassDef, ast.FunctionDef))
        }
        defined |= {
            target.id
            for node in tree.body
            if isinstance(node, ast.Assign)
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        public = {name for name in defined if not name.startswith("_")}
        assert public == names | HOSTS_OWN.get(module, set()), module


def test_no_metadata_ties_the_folder_to_this_project() -> None:
    for path in FILES:
        assert not re.search(r"""["']pavilion[-_]schedulers["']""", path.read_text()), path
        # That reads what any distribution says of plugins.
        if path.name != "installed.py":
            assert not re.search(r"importlib.metadata", path.read_text()), path


# ----------------------------------------------------------------------------------- it runs alone


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Alone:
    return Alone(tmp_path_factory.mktemp("alone"))


def test_our_own_host_cannot_be_imported_there(alone: Alone, tmp_path: Path) -> None:
    for name in ("pavilion.series", "pavilion.files", "rich", "pytest", "pavilion.cli.main"):
        done = alone.python("-c", f"import {name}", ALONE_LOG=str(tmp_path / "log"))
        assert done.returncode == 1
        assert f"the schedulers folder must not import {name.removesuffix('.main')}" in done.stderr
    done = alone.python(
        "-c",
        "try:\n    import rich\nexcept ImportError:\n    pass",
        ALONE_LOG=str(tmp_path / "hidden"),
    )
    assert done.returncode == 0
    assert (tmp_path / "hidden").read_text() == "rich\n"
    printed = alone.check("-c", "import pavilion; print(pavilion.__file__)")
    assert Path(printed.strip()).is_relative_to(alone.lib)


def test_every_module_of_the_folder_can_be_imported(alone: Alone) -> None:
    alone.check(str(alone.lib / "scenarios.py"), "imported")


@pytest.mark.parametrize(
    "scenario",
    [
        "discovery",
        "config",
        "show_nodes",
        "scripts",
        "raw",
        "raw_queue",
        "raw_cancel",
        "raw_refused",
        "unstarted",
        "dummy",
        "dummy_cancel",
        "slurm",
    ],
)
def test_it_works_alone(alone: Alone, scenario: str) -> None:
    alone.check(str(alone.lib / "scenarios.py"), scenario)


@pytest.mark.parametrize(
    "scenario",
    [
        "accepted_by_the_scheduler",
        "cancelled_by_the_user",
        "cancelled_while_it_waits",
        "states_of_their_own",
        "cancelled_twice",
        "job_is_gone_without_a_word",
    ],
)
def test_how_tests_end(alone: Alone, scenario: str) -> None:
    alone.check(str(alone.lib / "endings.py"), scenario)


@pytest.mark.parametrize(
    "scenario",
    [
        "shown_of_raw",
        "shown_of_slurm",
        "shown_of_plugins",
        "earlier_records_of_raw",
        "earlier_records_of_slurm",
        "identity_that_is_damaged",
        "no_record",
        "damaged_record",
        "unreadable_record",
        "files_of_a_job",
    ],
)
def test_records_of_jobs(alone: Alone, scenario: str) -> None:
    alone.check(str(alone.lib / "records.py"), scenario)


@pytest.mark.parametrize(
    "scenario",
    [
        "unset_keys",
        "host_lists",
        "unknown_schedulers",
        "numbers_of_tasks",
        "large_chunks",
        "without_chunks",
        "without_nodes",
        "examples",
        "isolated_scripts",
        "shared_by_default",
        "initial_variables_of_their_own",
        "bad_sections",
        "failing_variables",
        "a_scheduler_is_down",
    ],
)
def test_values_that_hosts_rely_on(alone: Alone, scenario: str) -> None:
    alone.check(str(alone.lib / "values.py"), scenario)


def test_loading_all_of_it_is_quick_and_runs_no_commands(alone: Alone) -> None:
    """An audit hook sees every process that is started."""
    code = (
        "import sys\nstarted = []\n"
        "sys.addaudithook(lambda event, args: started.append(event)\n"
        "                 if event in ('subprocess.Popen', 'os.system', 'os.exec') else None)\n"
        "from pavilion.schedulers import SchedulerPlugin\n"
        "SchedulerPlugin.register_core_plugins()\n"
        "assert started == [], started\n"
    )
    alone.check("-c", code)
