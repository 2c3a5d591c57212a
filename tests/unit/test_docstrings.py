"""What the specification says that docstrings describe, they describe; and the guide and the examples
use public names only."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path
from typing import Any

import pytest

from pavilion import schedulers
from pavilion.schedulers import SchedulerPlugin, SchedulerPluginAdvanced, SchedulerVariables
from pavilion.schedulers.config import DERIVED_KEYS, ScheduleConfig
from pavilion.schedulers.placement import inventory
from pavilion.schedulers.plugins.raw import Raw

ROOT = Path(__file__).resolve().parents[2]
GUIDE = (ROOT / "docs" / "writing-plugins.md").read_text()
PUBLIC = {
    "pavilion.schedulers",
    "pavilion.jobs",
    "pavilion.status_file",
    "pavilion.errors",
    "pavilion.sys_vars",
    "yaml_config",
}
KEYS = [elem.name for elem in ScheduleConfig().ELEMENTS if elem.name != "slurm"]


def words(thing: Any) -> set[str]:
    """What a docstring writes as code."""
    doc = inspect.getdoc(thing) or ""
    return {word for code in re.findall(r"``(.+?)``", doc) for word in re.findall(r"\w+", code)}


# -------------------------------------------------------------------------------- docstrings


@pytest.mark.parametrize("key", [*KEYS, *DERIVED_KEYS])
def test_kickoff_says_of_each_key_whether_it_must_reach_the_scheduler(key: str) -> None:
    assert key in words(SchedulerPlugin._kickoff)


def test_kickoff_lists_its_parameters_and_the_keys_that_are_passed_on() -> None:
    parameters = set(inspect.signature(SchedulerPlugin._kickoff).parameters)
    assert parameters - {"self", "pav_cfg"} <= words(SchedulerPlugin._kickoff) | {"job"}
    assert {"kickoff_path", "sched_log"} <= words(SchedulerPlugin._kickoff)
    doc = inspect.getdoc(SchedulerPlugin._kickoff) or ""
    must, _, done = doc.partition("What has been applied already")
    named = {word for code in re.findall(r"``(.+?)``", must) for word in re.findall(r"\w+", code)}
    # Those that change what a job of the scheduler is, and no others.
    passed_on = set(SchedulerPlugin.JOB_SHARE_KEY_ATTRS) | {"time_limit"}
    applied = {"share_allocation", "node_state", "across_nodes", "min_tasks_per_node"}
    assert {key for key in passed_on - applied if "." not in key} <= named
    assert {"chunking", "wrapper", "mpirun_opts", "cluster_info"} <= set(
        re.findall(r"``(\w+)``", done)
    )


def test_config_elems_describes_its_three_results() -> None:
    doc = " ".join((inspect.getdoc(SchedulerPlugin._get_config_elems) or "").split())
    for part in (
        *("*elements*", "*validators*", "*defaults*"),
        *("StrElem", "ListElem", "KeyedElem", "CategoryElem"),
        *("a function", "a tuple or list", "a dictionary", "None, or no entry"),
        *("ValueError", "(elements, validators, defaults)"),
    ):
        assert part in doc, part


NODE_KEYS = [*inventory._REQUIRED, *inventory._NUMBERS, *inventory._LISTS, "cause"]


@pytest.mark.parametrize("key", NODE_KEYS)
def test_both_methods_of_the_nodes_describe_their_keys(key: str) -> None:
    assert key in words(SchedulerPluginAdvanced._get_raw_node_data)
    assert key in words(SchedulerPluginAdvanced._transform_raw_node_data)


def test_no_method_of_a_plugin_refers_to_another_docstring_for_its_keys() -> None:
    for method in (
        SchedulerPlugin._kickoff,
        SchedulerPlugin._get_config_elems,
        SchedulerPluginAdvanced._get_raw_node_data,
        SchedulerPluginAdvanced._transform_raw_node_data,
        SchedulerVariables.test_cmd,
    ):
        assert "See the class docstring" not in (inspect.getdoc(method) or "")


def test_variables_explain_the_decorators_and_test_cmd() -> None:
    assert {"var_method", "dfr_var_method", "VAR_CLASS", "run"} <= words(SchedulerVariables)
    assert {"_test_cmd", "_with_wrapper", "tasks_total"} <= set(
        re.findall(r"\w+", inspect.getdoc(SchedulerVariables.test_cmd) or "")
    )


def test_the_sample_of_test_cmd_works() -> None:
    doc = inspect.getdoc(SchedulerVariables.test_cmd) or ""
    sample = doc.partition("::\n\n")[2].partition("\n\nUse ")[0]
    names: dict[str, Any] = {"dfr_var_method": schedulers.dfr_var_method}
    exec("\n".join(inspect.cleandoc("\n" + sample).splitlines()), names)
    cls = type("Mine", (SchedulerVariables,), {"test_cmd": names["test_cmd"]})
    config = schedulers.validate_config({"tasks": "6", "wrapper": "gdb"})
    assert cls(config, deferred=False)["test_cmd"] == "mpirun -n 6 gdb"


def test_users_see_the_first_part_of_it_only() -> None:
    """As the help of the variable."""
    shown = Raw.VAR_CLASS(schedulers.validate_config({})).info("test_cmd")["help"]
    assert (
        shown
        == "The command that starts the test's tasks, to be put before the test's own command."
    )


# ------------------------------------------------------------------------------ public names


def imports(code: str) -> set[tuple[str, str]]:
    """What a piece of code imports of this project: (module, name)."""
    found = set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            found |= {(alias.name, "") for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {(node.module or "", alias.name) for alias in node.names}
    ours = ("pavilion", "yaml_config")
    return {(module, name) for module, name in found if module.partition(".")[0] in ours}


def pieces() -> dict[str, str]:
    """All code of the guide and the examples that imports something."""
    found = {
        f"writing-plugins.md, line {GUIDE[: match.start()].count(chr(10)) + 1}": match[1]
        for match in re.finditer(r"^```python\n(.*?)^```$", GUIDE, re.DOTALL | re.MULTILINE)
        if re.search(r"^(from|import) ", match[1], re.MULTILINE)
    }
    for file in sorted((ROOT / "examples").rglob("*.py")):
        found[str(file.relative_to(ROOT))] = file.read_text()
    return found


PIECES = pieces()


@pytest.mark.parametrize("where", PIECES)
def test_the_guide_and_the_examples_import_public_names_only(where: str) -> None:
    for module, name in imports(PIECES[where]):
        inner = f"{module}.{name}" if module == "pavilion" else module
        assert inner in PUBLIC, f"{where} imports {name or 'nothing'} from {module}"
        if inner == "pavilion.schedulers" and module != "pavilion":
            assert name in schedulers.__all__, f"{name} is not public"


def test_these_are_looked_at() -> None:
    assert len(PIECES) >= 6
    assert "examples/plugins/minibatch.py" in PIECES


def test_the_guide_names_no_inner_module() -> None:
    named = re.findall(r"pavilion\.schedulers\.(\w+)", GUIDE)
    assert named == []


@pytest.mark.parametrize("name", schedulers.__all__)
def test_public_names_are_there_and_in_the_guide(name: str) -> None:
    assert getattr(schedulers, name) is not None
    table = GUIDE.partition("## Names to import\n")[2].partition("\n## ")[0]
    assert re.search(rf"`{name}\b", table), f"{name} is not in the table of the guide"


@pytest.mark.parametrize(
    ("name", "example"),
    [
        ("min_int", lambda: schedulers.min_int("x.depth", 1)("3") == 3),
        ("validate_list", lambda: schedulers.validate_list("a") == ["a"]),
        ("seconds_of", lambda: schedulers.seconds_of(2) == 7200),
        ("clock_text", lambda: schedulers.clock_text(2) == "2:0:0"),
        ("expand_nodes", lambda: schedulers.expand_nodes("n[1-3]") == ["n1", "n2", "n3"]),
        ("fold_nodes", lambda: schedulers.fold_nodes(["n2", "n1"]) == "n[1-2]"),
    ],
)
def test_public_helpers_do_as_the_guide_says(name: str, example: Any) -> None:
    assert name in schedulers.__all__
    assert example()
