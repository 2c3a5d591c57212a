"""What used to pass, or to be taken for something else, without a word."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from cli_tools import Cli
from grid import PLUGIN

PASSES = "test: {run: {cmds: ['true']}}"

# ---------------------------------------------------------------------------------- chunks


@pytest.fixture
def grid(cli: Cli) -> Cli:
    cli.plugin("grid", PLUGIN)
    return cli


def grid_suite(cli: Cli, keys: str, cmds: str = "['true']") -> Path:
    return cli.suite(f"test:\n  scheduler: grid\n{keys}\n  run: {{cmds: {cmds}}}\n")


@pytest.mark.parametrize(
    ("keys", "line", "words"),
    [
        (
            "  schedule: {nodes: all, chunking: {size: 4}}\n  chunk: '{{chunk_ids}}'",
            4,
            ["test.chunk: {{chunk_ids}} is one chunk only", "'permute_on: chunk_ids'"],
        ),
        (
            "  schedule: {nodes: all, chunking: {size: 4}}\n  variables: {c: '{{sched.chunk_ids}}'}\n"
            "  chunk: '{{c}}'",
            5,
            ["test.chunk: ", "'permute_on: chunk_ids'"],
        ),
        (
            "  schedule: {nodes: all, chunking: {size: 4}}\n  variables: {c: [1, 2]}\n"
            "  chunk: '{{c}}'",
            5,
            ["{{c}} is the first item of a list", "'permute_on: c'", "'{{c.0}}'"],
        ),
        ("  chunk: 1", 3, ["there is no chunk 1", "chunking.size is 0"]),
        (
            "  schedule:\n    nodes: 2\n    min_nodes: 3",
            5,
            ["min_nodes (3) is more than nodes (2)"],
        ),
        (
            "  schedule:\n    min_nodes: 75%\n    nodes: 50%",
            4,
            ["min_nodes (75%) is more than nodes (50%)"],
        ),
        (
            "  schedule:\n    chunking: {size: 4}\n    nodes: 8",
            5,
            ["nodes (8) is more than chunking.size (4)"],
        ),
        (
            "  schedule:\n    nodes: 1\n    include_nodes: n[01-02]",
            5,
            ["include_nodes names 2 nodes, but nodes is only 1"],
        ),
        ("  schedule: {share_allocation: no}", 3, ["'no'", "Allowed: true, false, max"]),
        ("  schedule: {share_allocation: flase}", 3, ["Did you mean 'false'?"]),
        ("  schedule: {core_spec: two}", 3, ["core_spec must be a whole number", "'two'"]),
    ],
)
def test_what_cannot_work_is_refused_before_a_series_is_made(
    grid: Cli, keys: str, line: int, words: list[str]
) -> None:
    file = grid_suite(grid, keys)
    done = grid("run", "suite")
    assert done.code == 2, done.err
    assert f"{file}:{line}: test." in done.err
    for word in words:
        assert word in done.err
    assert not list(grid.work.glob("series/*"))


@pytest.mark.parametrize(
    ("keys", "cmds", "words"),
    [
        (
            "  schedule: {nodes: all, chunking: {size: 4}}",
            "['true']",
            "'nodes: all' is one of the 4 chunks, the one that is used least",
        ),
        (
            "  schedule: {nodes: all, chunking: {size: 4}}\n  permute_on: chunk_ids",
            "['true']",
            "whatever the number in its name",
        ),
        ("  permute_on: chunk_ids", "['true']", "makes one test run only"),
        (
            "  schedule: {nodes: 2, chunking: {size: 4}}",
            "['echo {{chunk_ids}}']",
            "{{chunk_ids}} is 0, whichever chunk the test runs on",
        ),
    ],
)
def test_what_may_not_be_meant_is_told(grid: Cli, keys: str, cmds: str, words: str) -> None:
    grid_suite(grid, keys, cmds)
    done = grid("plan", "suite")
    assert done.code == 0, done.err
    assert "pav-sched: warning: test suite.test: " in done.err
    assert words in done.err
    assert done.err.count("warning") == 1


@pytest.mark.parametrize(
    ("keys", "cmds"),
    [
        (
            "  schedule: {nodes: all, chunking: {size: 4}}\n  permute_on: chunk_ids\n"
            "  chunk: '{{chunk_ids}}'",
            "['echo {{chunk_ids}}']",
        ),
        ("  schedule: {nodes: all, chunking: {size: 4}}\n  chunk: '{{chunk_ids.1}}'", "['true']"),
        ("  schedule: {nodes: all, chunking: {size: 4}}\n  chunk: 3", "['true']"),
        ("  schedule: {nodes: 50%, chunking: {size: 4}}", "['echo {{chunk_ids.*}}']"),
        ("  schedule: {nodes: all}\n  chunk: 0", "['true']"),
        ("  schedule: {nodes: 4, min_nodes: 50%}", "['true']"),
    ],
)
def test_what_is_meant_is_not_doubted(grid: Cli, keys: str, cmds: str) -> None:
    grid_suite(grid, keys, cmds)
    done = grid("plan", "suite")
    assert (done.code, done.err) == (0, "")


def test_an_error_that_all_tests_have_is_told_once(cli: Cli) -> None:
    file = cli.suite(
        "\n".join(f"t{n}: {{schedule: {{nodes: two}}, run: {{cmds: [x]}}}}" for n in range(9))
    )
    done = cli("run", "suite")
    assert done.code == 2
    headline, line = done.err.splitlines()
    assert headline.endswith("cannot be used")
    assert line.startswith(f"  {file}:1: t0.schedule.nodes: ")
    assert line.endswith("(Also in tests t1, t2, t3, t4 and 4 more: lines 2, 3, 4, 5 and 4 more.)")


# --------------------------------------------------------------------------- directories, targets


def test_config_directories_that_are_none(cli: Cli) -> None:
    cli.suite(PASSES)
    file = cli.root / "file"
    file.write_text("")
    for path, words in (
        (cli.root / "my confg", ["does not exist", f"did you mean '{cli.config}'?"]),
        (file, ["is not a directory"]),
    ):
        done = cli("run", "suite", "--config-dir", path)
        assert done.code == 2
        assert f"--config-dir names {path}, which" in done.err
        done_too = cli("status", env={"PAV_CONFIG_DIR": str(path)})
        assert done_too.code == 2
        assert f"$PAV_CONFIG_DIR names {path}, which" in done_too.err
        settings = cli.root / "site.yaml"
        settings.write_text(f"working_dir: runs\nconfig_dirs:\n  - my config\n  - {path}\n")
        listed = cli("status", "--config-file", settings)
        assert listed.code == 2
        assert f"{settings}:4: config_dirs[1]: {path} " in listed.err
        for word in words:
            assert all(word in found.err for found in (done, done_too, listed))
    assert not cli.work.exists()


def test_a_config_directory_with_nothing_in_it(cli: Cli) -> None:
    cli.suite(PASSES)
    suites = cli.config / "suites"
    done = cli("--config-dir", suites, "plan", "suite")
    assert done.code == 0
    assert f"warning: The config directory {suites} has neither suites/ nor plugins/." in done.err
    assert f"Did you mean {cli.config}?" in done.err


def test_a_working_directory_that_cannot_be_read(cli: Cli) -> None:
    cli.work.symlink_to(cli.root / "gone")
    for args in (["status"], ["wait"], ["status", "s1"]):
        done = cli(*args)
        assert done.code == 2
        assert f"{cli.work} is a link to something that does not exist" in done.err
    cli.work.unlink()
    assert (cli("status").code, cli("status").err.count("There is no series yet")) == (0, 1)
    cli.work.mkdir()
    assert cli("status").code == 0
    (cli.work / "series").write_text("")
    done = cli("status")
    assert done.code == 2
    assert f"{cli.work / 'series'} is not a directory" in done.err


def test_directories_of_suites_that_cannot_be_read(cli: Cli) -> None:
    (cli.config / "suites").rmdir()
    (cli.config / "suites").symlink_to("gone")
    for args in (["run", "suite"], ["show", "suites"]):
        done = cli(*args)
        assert done.code == 2
        assert f"The directory of suites {cli.config / 'suites'} is a link to" in done.err


def test_a_program_of_the_name_of_a_suite_hides_nothing(cli: Cli) -> None:
    cli.suite(PASSES, name="stream")
    program = cli.root / "stream"
    program.write_bytes(b"\x7fELF\0\0\0")
    program.chmod(0o755)
    for target in ("stream", "stream.test"):
        done = cli("run", target)
        assert (done.code, [row[1] for row in done.rows]) == (0, ["stream.test"]), done.err
    named = cli("run", "./stream")
    assert named.code == 2
    assert "stream: this is a binary file, not text" in named.err
    program.write_text("#!/bin/sh\necho\n")
    named = cli("run", program)
    assert named.code == 2
    assert f"{program}:1: this is a script, not a suite" in named.err


def test_a_suite_in_the_current_directory_needs_its_suffix(cli: Cli) -> None:
    (cli.root / "mine.yaml").write_text(PASSES)
    done = cli("run", "mine")
    assert done.code == 2
    assert "Did you mean 'mine.yaml'?" in done.err
    for target in ("mine.yaml", "mine.yaml.test", "./mine.yaml"):
        assert cli("plan", target).code == 0


def test_what_disables_nothing_is_told(cli: Cli) -> None:
    cli.suite(PASSES)
    settings = cli.root / "site.yaml"
    settings.write_text("disable_plugins: [sched.slrum, commands.x]\n")
    done = cli("plan", "suite", "--config-file", settings)
    assert done.code == 0
    assert done.err == (
        "pav-sched: warning: disable_plugins names sched.slrum, but there is no such plugin\n"
    )


def test_an_override_without_effect_is_refused(cli: Cli) -> None:
    cli.suite(PASSES)
    done = cli("plan", "suite", "-c", "inherits_from=nosuch")
    assert done.code == 2
    assert "'inherits_from=nosuch' cannot be used" in done.err


# ---------------------------------------------------------------------------------- jobs


def test_a_line_of_env_setup_that_fails_is_an_error_of_the_tests(cli: Cli) -> None:
    settings = cli.root / "site.yaml"
    settings.write_text("env_setup:\n  - export FOO=bar\n  - no_such_module load gcc\n")
    cli.suite("a: {run: {cmds: ['touch ran']}}\nb: {run: {cmds: ['true']}}\n")
    done = cli("run", "suite", "--config-file", settings, "--json")
    assert done.code == 1
    for test in done.json["tests"]:
        assert test["result"] == "ERROR"
        assert "'no_such_module load gcc' ended with exit code 127 and printed: " in test["note"]
        assert "no_such_module: command not found" in test["note"]
        assert not (Path(test["path"]) / "work").exists()
    history = cli("status", "s1.1", "--verbose", "--json").json["tests"][0]["history"]
    assert "ENV_FAILED" in [info["state"] for info in history]
    log = cli("log", "s1.1")
    assert "'no_such_module load gcc' ended with exit code 127" in log.out

    settings.write_text("env_setup:\n  - export FOO=bar\n  - no_such_module load gcc || true\n")
    cli.suite("a: {run: {cmds: ['[ $FOO = bar ]', '[ -z \"${PAV_ENV_SETUP_FAILED+x}\" ]']}}\n")
    assert cli("run", "suite", "--config-file", settings).code == 0


@pytest.mark.parametrize("shebang", ["#!/bin/sh", "#!/usr/bin/env python3"])
def test_lines_of_env_setup_are_watched_whatever_runs_the_test(cli: Cli, shebang: str) -> None:
    """Only a bash can note what fails; a kickoff script in Python is none."""
    settings = cli.root / "site.yaml"
    cli.suite(f"a: {{run: {{shebang: '{shebang}', cmds: ['exit(0)']}}}}\n")
    if shebang.endswith("sh"):
        cli.suite(f"a: {{run: {{shebang: '{shebang}', cmds: ['[ -z \"$BASH_VERSION\" ]']}}}}\n")
    settings.write_text("env_setup: [no_such_module load gcc]\n")
    (test,) = cli("run", "suite", "--config-file", settings, "--json").json["tests"]
    assert (test["result"], test["state"]) == ("ERROR", "COMPLETE")
    assert "'no_such_module load gcc' ended with exit code 127" in test["note"]
    # It may be the fault of the node.
    assert test["nodes"] == [os.uname().nodename]
    settings.write_text("env_setup: ['true']\n")
    assert cli("run", "suite", "--config-file", settings).code == 0


def test_a_log_has_a_limit_and_the_test_its_result(cli: Cli) -> None:
    settings = cli.root / "site.yaml"
    settings.write_text("log_limit: 64k\n")
    cli.suite(
        """\
        pass: {run: {cmds: ['echo begin', 'seq 1000000', 'echo end']}}
        fail: {run: {cmds: ['seq 1000000', 'exit 3']}}
        short: {run: {cmds: ['echo short']}}
        """
    )
    done = cli("run", "suite", "--config-file", settings, "--json")
    results = {test["name"]: test for test in done.json["tests"]}
    assert [test["result"] for test in results.values()] == ["PASS", "FAIL", "PASS"]
    for name in ("suite.pass", "suite.fail"):
        assert "in the middle of its log were left out (log_limit)" in results[name]["note"]
        assert (Path(results[name]["path"]) / "run.log").stat().st_size <= 64 * 1024
    assert "Exit code 3. 6." in results["suite.fail"]["note"]
    assert "log_limit" not in results["suite.short"]["note"]
    log = cli("log", "s1.1").out
    assert log.startswith("begin\n1\n2\n")
    assert log.endswith("\n1000000\nend\n")
    assert "[pav-sched: the log reached its limit of 64 KiB (setting log_limit); 6." in log
    assert cli("log", "s1.3").out == "short\n"
    # The settings of the series have it.
    assert "log_limit: 64k" in (cli.work / "series" / "s1" / "pavilion.yaml").read_text()


@pytest.mark.skipif(os.geteuid() != 0, reason="root alone can become another user")
def test_directories_of_others_that_cannot_be_read(tmp_path: Path) -> None:
    """Not 'There is no series yet'."""
    import subprocess
    import sys

    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    tmp_path.chmod(0o755)
    code = (
        "import os, sys; from pathlib import Path\n"
        "from pavilion.config import load_config\n"
        "from pavilion.errors import ConfigError\n"
        "from pavilion.series import latest_series\n"
        "from pavilion.suites import list_suites\n"
        "os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "private = Path(sys.argv[1])\n"
        "plain = load_config(environ={'HOME': '/nonexistent'}, working_dir=private)\n"
        "def tell(call):\n"
        "    try: call()\n"
        "    except ConfigError as exc: print(exc)\n"
        "tell(lambda: latest_series(plain))\n"
        "tell(lambda: load_config(config_dirs=[private], environ={'HOME': '/nonexistent'}))\n"
        "plain.configs = {'x': {'label': 'x', 'path': private}}\n"
        "tell(lambda: list_suites(plain))\n"
    )
    # pytest's own directories are private as well.
    for parent in tmp_path.parents:
        if parent.stat().st_uid == 0 and "pytest" in parent.name:
            parent.chmod(0o755)
    done = subprocess.run(
        [sys.executable, "-c", code, str(private)], capture_output=True, text=True, check=True
    )
    lines = done.stdout.splitlines()
    assert len(lines) == 3, done
    assert all("cannot be read: " in line and str(private) in line for line in lines)
