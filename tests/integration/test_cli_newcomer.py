"""The mistakes of a first hour: names that are nearly right, and files in the wrong place."""

from __future__ import annotations

from pathlib import Path

import pytest
from cli_tools import Cli
from grid import PLUGIN

PASSES = "test: {run: {cmds: ['true']}}\n"


# ---------------------------------------------------------------------- the command line


@pytest.mark.parametrize(
    ("words", "meant", "page"),
    [
        (["rn", "suite"], "'run'", "pav-sched --help"),
        (["show", "node"], "'nodes'", "pav-sched show --help"),
        (["run", "suite", "--jnit", "x"], "'--junit'", "pav-sched run --help"),
        (["show", "sched", "--confg", "raw"], "'--config'", "pav-sched show sched --help"),
        (["map", "s1", "--by", "results"], "'result'", "pav-sched map --help"),
    ],
)
def test_a_misspelt_command_or_option_is_recognised(
    cli: Cli, words: list[str], meant: str, page: str
) -> None:
    done = cli(*words)
    assert done.code == 2
    assert f"did you mean {meant}?" in done.err
    assert f"See '{page}'." in done.err


def test_commands_that_are_not_for_users_are_not_offered(cli: Cli) -> None:
    assert "_run" not in cli("nonsense").err


@pytest.mark.parametrize("option", ["--config-file", "--config-dir", "--working-dir"])
def test_an_empty_path_is_not_the_current_directory(cli: Cli, option: str) -> None:
    # As in --working-dir "$UNSET".
    done = cli("status", option, "")
    assert done.code == 2
    assert f"argument {option}: the path is empty" in done.err


@pytest.mark.parametrize(
    ("target", "meant"),
    [
        ("helo.yaml", "hello.yaml"),
        ("hello.yml", "hello.yaml"),
        ("helo.yaml.test", "hello.yaml.test"),
        ("./helo", "./hello.yaml"),
        ("./hello", "./hello.yaml"),
        ("sub/inner.yml", "sub/inner.yaml"),
        ("hello.test", "hello.yaml.test"),
        ("hello.yaml:test", "hello.yaml.test"),
        ("hello.yaml::test", "hello.yaml.test"),
        ("hello.yaml/test", "hello.yaml.test"),
        ("hello:test", "hello.yaml.test"),
        ("nightly/io", "nightly.io"),
        ("nightly:io", "nightly.io"),
        ("nightli.io", "nightly.io"),
        ("./nightly.yaml", "nightly"),
    ],
)
def test_a_target_that_is_nearly_right(cli: Cli, target: str, meant: str) -> None:
    (cli.root / "sub").mkdir()
    (cli.root / "hello.yaml").write_text(PASSES)
    (cli.root / "sub" / "inner.yaml").write_text(PASSES)
    cli.suite("io: {run: {cmds: ['true']}}", "nightly")
    done = cli("run", target)
    assert done.code == 2
    assert f"Did you mean '{meant}'?" in done.err
    # And that works.
    assert cli("plan", meant).code == 0


def test_what_is_like_nothing_is_not_guessed(cli: Cli) -> None:
    assert "Did you mean" not in cli("run", "quantum.yaml").err


def test_ids_without_their_letter_and_logs_without_their_test(cli: Cli) -> None:
    assert "Did you mean 's1'?" in cli("status", "1").err
    assert "'pav-sched log kickoff s1.1'" in cli("log", "kickoff").err
    map_without = cli("map").err
    assert "A TARGET is missing" in map_without
    assert "--failed" not in map_without


def test_a_suite_file_may_be_called_like_a_series(cli: Cli) -> None:
    (cli.root / "s1.yaml").write_text(PASSES)
    assert cli("run", "s1.yaml").code == 0
    again = cli("run", "s1.yaml")
    assert again.code == 0, again.err
    assert again.rows[0][1] == "s1.test"


# ------------------------------------------------------------------------- names of tests


def test_tests_that_share_a_name_are_pointed_out(cli: Cli) -> None:
    for name in ("one", "two"):
        (cli.root / name).mkdir()
        (cli.root / name / "io.yaml").write_text(PASSES)
    both = cli("plan", "one/io.yaml", "two/io.yaml")
    assert both.code == 0
    assert "have the same name, io.test: " in both.err
    assert str(cli.root / "one" / "io.yaml") in both.err
    assert str(cli.root / "two" / "io.yaml") in both.err
    twice = cli("plan", "one/io.yaml", "one/io.yaml.test")
    assert "1 test will run more than once" in twice.err
    assert "io.test" in twice.err
    assert not cli("plan", "one/io.yaml").err


def test_a_series_that_is_named_twice_runs_once(cli: Cli) -> None:
    cli.suite(PASSES)
    assert cli("run", "suite").code == 0
    assert len(cli("run", "s1", "s1").rows) == 1
    assert len(cli("run", "s1", "s1.1").rows) == 1


# ------------------------------------------------------------------------------- pictures


def test_a_picture_overwrites_pictures_only(cli: Cli, tmp_path: Path) -> None:
    file = cli.suite(PASSES)
    assert cli("run", "suite").code == 0
    done = cli("map", "s1", "--svg", str(file))
    assert done.code == 2
    assert f"{file} would replace a file that is not an SVG picture" in done.err
    assert file.read_text() == PASSES
    picture = tmp_path / "map.svg"
    picture.touch()
    for _ in range(2):
        assert cli("map", "s1", "--svg", str(picture)).code == 0
    assert "<svg" in picture.read_text()
    printed = cli("map", "s1", "--svg", "/dev/stdout")
    assert printed.code == 0
    assert "<svg" in printed.out


# ------------------------------------------------------------------------------- settings


@pytest.mark.parametrize("path", ["$HOME/runs", "${HOME}/runs", "{{home}}/runs"])
def test_a_variable_in_working_dir_is_not_the_name_of_a_directory(
    cli: Cli, tmp_path: Path, path: str
) -> None:
    settings = tmp_path / "site.yaml"
    settings.write_text(f"working_dir: '{path}'\nconfig_dirs: [nowhere]\n")
    done = cli("--config-file", str(settings), "show", "config", bare=True)
    assert done.code == 2
    assert f"{settings}:1: working_dir: '{path}' does not exist, and variables are not" in done.err
    assert f"{settings}:2: config_dirs[0]: {tmp_path / 'nowhere'} does not exist\n" in done.err


# ------------------------------------------------------------------------------ variables


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        (
            "  variables: {v: [1, 2]}\n  permute_on: '{{v}}'",
            "permute_on: '{{v}}': names of variables are written without braces here, and several "
            "as a list: 'permute_on: v'",
        ),
        ("  variables: {v: [1, 2], w: 1}\n  permute_on: 'v, w'", "'permute_on: [v, w]'"),
        ("  variables: {v: [1, 2]}\n  permute_on: [v, threads]", "This test has 'v'. "),
        (
            "  variables: {v: []}\n  permute_on: v\n  subtitle: '{{v}}'",
            "permute_on: 'v': the list is empty",
        ),
        (
            "  permute_on: chunk_ids\n  chunk: '{{chunk_ids}}'",
            "permute_on: 'chunk_ids': there are no chunks to permute over",
        ),
        (
            "  schedule: {nodes: '{{test_nodes}}'}",
            "What the scheduler knows (the set 'sched') cannot be used in 'scheduler' and 'schedule'",
        ),
        (
            "  schedule: {nodes: '{{sched.test_nodes}}'}",
            "What the scheduler knows (the set 'sched') cannot be used in 'scheduler' and 'schedule'",
        ),
    ],
)
def test_one_mistake_with_variables_is_one_problem(cli: Cli, keys: str, words: str) -> None:
    cli.suite(f"test:\n{keys}\n  run: {{cmds: ['echo']}}\n")
    done = cli("plan", "suite")
    assert done.code == 2
    assert words in done.err
    assert "problems were found" not in done.err


def test_a_list_of_commands_that_is_empty_names_its_line(cli: Cli) -> None:
    file = cli.suite("test:\n  summary: x\n  run:\n    cmds: []\n")
    assert f"{file}:4: test.run.cmds: it is empty" in cli("run", "suite").err


# ------------------------------------------------------------------------ names of nodes


@pytest.mark.parametrize(
    ("key", "names", "shown", "hint"),
    [
        ("exclude_nodes", "'m[01-02],n03'", "m[01-02]", "; did you mean 'n"),
        ("across_nodes", "'xyz,n[01-04]'", "xyz", ""),
    ],
)
def test_nodes_that_do_not_exist_are_pointed_out(
    cli: Cli, key: str, names: str, shown: str, hint: str
) -> None:
    cli.plugin("grid", PLUGIN)
    keys = f"  scheduler: grid\n  schedule: {{nodes: 2, {key}: {names}}}\n"
    cli.suite(f"one:\n{keys}  run: {{cmds: ['true']}}\ntwo:\n{keys}  run: {{cmds: ['true']}}\n")
    done = cli("plan", "suite")
    assert done.code == 0, done.err
    assert done.err.count("warning") == 1
    assert (
        f"test suite.one (and 1 other test): schedule.{key} names nodes that grid does" in done.err
    )
    assert f": {shown}{hint}" in done.err
