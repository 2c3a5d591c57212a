"""A wrong value of any key is reported with the file and the line in which it stands."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pavilion.config import PavConfig, load_config
from pavilion.diagnosis import check_sections
from pavilion.errors import ConfigError
from pavilion.plugins import load_plugins, reset_plugins
from pavilion.problems import Problems
from pavilion.resolve import resolve_test
from pavilion.suite_file import TestElem
from pavilion.suites import select_tests

WRONG = {
    "inherits_from": "nosuch",
    "scheduler": "rwa",
    "permute_on": "nosuch",
    "chunk": "first",
    "concurrent": "0",
    "run.timeout": "soon",
    "run.shebang": "bash",
    "schedule.nodes": "two",
    "schedule.min_nodes": "-1",
    "schedule.tasks": "0",
    "schedule.tasks_per_node": "many",
    "schedule.min_tasks_per_node": "x",
    "schedule.node_state": "upp",
    "schedule.share_allocation": "maybe",
    "schedule.core_spec": "x",
    "schedule.time_limit": "30:00",
    "schedule.across_nodes": "n[1-",
    "schedule.include_nodes": "n[1-",
    "schedule.exclude_nodes": "n[1-",
    "schedule.chunking.size": "x",
    "schedule.chunking.node_selection": "randm",
    "schedule.chunking.extra": "bckfill",
    "schedule.cluster_info.node_count": "0",
    "schedule.cluster_info.mem": "x",
    "schedule.cluster_info.cpus": "x",
    "schedule.mpirun_opts.bind_to": "cor",
    "schedule.mpirun_opts.rank_by": "cor",
    "schedule.raw.concurrent": "x",
}
# Any text is good; what the scheduler makes of it, it says.
ANY = {
    "summary",
    "doc",
    "subtitle",
    "run.cmds",
    "run.env",
    "variables",
    "schedule.partition",
    "schedule.qos",
    "schedule.account",
    "schedule.reservation",
    "schedule.wrapper",
    "schedule.mpirun_opts.mca",
    "schedule.mpirun_opts.extra",
}
# The values of these cannot hold variables.
PLAIN = {"inherits_from", "permute_on"}


@pytest.fixture
def cfg(tmp_path: Path) -> Iterator[PavConfig]:
    found = load_config(environ={"HOME": str(tmp_path)}, working_dir=tmp_path / "work")
    load_plugins(found)
    yield found
    reset_plugins()


def error_of(cfg: PavConfig, file: Path, *overrides: str) -> str:
    problems = Problems()
    try:
        tests = select_tests(cfg, f"{file}.a", overrides, problems)
        resolved = [run for test in tests for run in resolve_test(test, problems)]
        check_sections(resolved, problems)
        problems.raise_any()
    except ConfigError as exc:
        return exc.pformat()
    raise AssertionError("nothing is wrong")


def nested(key: str, value: str) -> str:
    """A key of a test, and its sections, a line each."""
    parts = key.split(".")
    lines = [f"{'  ' * depth}  {part}:" for depth, part in enumerate(parts)]
    lines[-1] += f" '{value}'"
    if parts[0] == "run":
        lines.append("    cmds: [x]")
    else:
        lines.append("  run: {cmds: [x]}")
    return "\n".join(lines) + "\n"


# Sections of schedulers have tests of their own.
OWN = ("schedule.slurm", "schedule.gridengine", "schedule.pbs", "schedule.flux")


def test_every_key_is_in_here(cfg: PavConfig) -> None:
    def keys(elem: object, path: str = "") -> Iterator[str]:
        for name, sub in getattr(elem, "config_elems", {}).items():
            where = f"{path}.{name}" if path else name
            below = list(keys(sub, where))
            yield from below or [where]

    found = {key for key in keys(TestElem()) if not key.startswith(OWN)}
    assert found == {*WRONG, *ANY}


@pytest.mark.parametrize("key", WRONG)
def test_a_wrong_value_has_its_line(cfg: PavConfig, tmp_path: Path, key: str) -> None:
    file, value = tmp_path / "suite.yaml", WRONG[key]
    depth = key.count(".")
    file.write_text(f"a:\n{nested(key, value)}")
    assert f"{file}:{2 + depth}: a.{key}" in error_of(cfg, file)
    # In a test that it inherits from.
    file.write_text(f"_b:\n{nested(key, value)}a:\n  inherits_from: _b\n")
    assert f"{file}:{2 + depth}: _b.{key}" in error_of(cfg, file)
    if key not in PLAIN:
        file.write_text(f"a:\n  variables:\n    v: '{value}'\n{nested(key, '{{v}}')}")
        message = error_of(cfg, file)
        assert f"{file}:{4 + depth}: a.{key}" in message
        assert f"{{{{v}}}} is from {file}:3 (variables.v)." in message
    file.write_text("a: {run: {cmds: [x]}}\n")
    message = error_of(cfg, file, f"{key}={value}")
    assert f"override '{key}={value}'" in message


def test_a_variable_that_bash_does_not_set(cfg: PavConfig, tmp_path: Path) -> None:
    file = tmp_path / "suite.yaml"
    file.write_text("a:\n  run:\n    cmds: [x]\n    env:\n      HOME: x\n      UID: 5\n")
    message = error_of(cfg, file)
    assert f"{file}:6: a.run.env.UID: bash does not let a script set UID" in message
    assert message.count("\n") == 1


def test_all_that_is_wrong_with_several_tests_is_told_at_once(
    cfg: PavConfig, tmp_path: Path
) -> None:
    """Keys, values, variables, the schedule section and what only shows when it is complete."""
    file = tmp_path / "suite.yaml"
    file.write_text(
        """\
_b:
  run: {cmds: ['{{nosuch}}'], tmeout: 3}
a:
  inherits_from: _b
  schedule:
    nodes: 2
    min_nodes: 4
  run:
    timeout: soon
  run: {}
""",
    )
    message = error_of(cfg, file)
    for start in (
        "2: _b.run.tmeout: unknown key",
        "2: _b.run.cmds.0: {{nosuch}}: no variable",
        "7: a.schedule.min_nodes: min_nodes (4) is more than nodes (2)",
        "9: a.run.timeout: ",
        "10: column 3: the key 'run' is given twice",
    ):
        assert f"{file}:{start}" in message
    assert "5 problems were found" in message
