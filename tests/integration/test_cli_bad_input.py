"""Bad input: a clear error that names the place, exit code 2, and nothing half-made."""

from __future__ import annotations

import pytest
from cli_tools import Cli, Done

CASES = [
    pytest.param(
        "test: {scheduler: rav, run: {cmds: ['true']}}",
        ["suite.yaml:1: test.scheduler", "'rav'", "Did you mean 'raw'?"],
        id="unknown scheduler",
    ),
    pytest.param(
        "test: {schedule: {nodez: 2}, run: {cmds: ['true']}}",
        ["suite.yaml:1", "nodez", "did you mean", "'nodes'"],
        id="unknown key",
    ),
    pytest.param(
        "test: {rum: {cmds: ['true']}}", ["suite.yaml:1", "rum", "'run'"], id="unknown section"
    ),
    pytest.param(
        "test: {schedule: {nodes: 0}, run: {cmds: ['true']}}",
        ["suite.yaml:1", "test.schedule.nodes", "at least 1", "'0'"],
        id="nodes 0",
    ),
    pytest.param(
        "test: {schedule: {nodes: '101%'}, run: {cmds: ['true']}}",
        ["suite.yaml", "nodes", "101%", "100%"],
        id="percent over 100",
    ),
    pytest.param(
        "test: {schedule: {include_nodes: 'node[01-'}, run: {cmds: ['true']}}",
        ["suite.yaml", "include_nodes", "node[01-"],
        id="host list",
    ),
    pytest.param(
        "test: {schedule: {tasks: many}, run: {cmds: ['true']}}",
        ["suite.yaml", "tasks", "whole number", "'many'"],
        id="wrong type",
    ),
    pytest.param(
        "test: {schedule: [1], run: {cmds: ['true']}}",
        ["suite.yaml:1", "schedule"],
        id="list for a section",
    ),
    pytest.param(
        "test: {schedule: {raw: {concurrent: 0}}, run: {cmds: ['true']}}",
        ["suite.yaml", "schedule.raw.concurrent", "at least 1"],
        id="raw.concurrent 0",
    ),
    pytest.param(
        "test: {run: {cmds: ['echo {{mesage}}']}, variables: {message: hi}}",
        ["suite.yaml:1", "test.run.cmds.0", "mesage", "message"],
        id="unknown variable",
    ),
    pytest.param(
        "test: {run: {cmds: ['true'], timeout: soon}}",
        ["suite.yaml", "run.timeout", "'soon'"],
        id="timeout",
    ),
    pytest.param("test: {run: {cmds: []}}", ["suite.yaml", "run.cmds"], id="no commands"),
    pytest.param("test: {run: {cmds: [true]}\n", ["suite.yaml:"], id="no YAML"),
    pytest.param(
        "test: {run: {cmds: ['true']}}\ntest: {run: {cmds: ['false']}}",
        ["suite.yaml:2", "test"],
        id="duplicate key",
    ),
    pytest.param("", ["suite.yaml", "empty"], id="empty suite"),
    pytest.param(
        b"test: {summary: \xff, run: {cmds: ['true']}}", ["suite.yaml", "UTF-8"], id="not UTF-8"
    ),
]


def test_all_that_is_wrong_with_all_files_is_reported_at_once(cli: Cli) -> None:
    one = cli.suite("""\
a: {build: {cmds: [make]}, run: {cmds: [x]}}
b:
  schedule:
    nodes: many
  run: {cmds: ['{{mesage}}']}
""")
    two = one.with_name("two.yaml")
    two.write_text("c: {run: {}}\nd: {run: {cmds: [x]}, run: {cmds: [x]}}\ne: {concurrent: 0}\n")
    done = cli("plan", one, two, "-c", "chunk=first")
    check(cli, done)
    headline, *lines = done.err.splitlines()
    assert headline == "pav-sched: error: 2 suites cannot be used; 7 problems were found"
    starts = [
        f"{one}:1: a.build: Pavilion has this key",
        f"{one}:4: b.schedule.nodes: ",
        f"{one}:5: b.run.cmds.0: ",
        f"{two}:1: c.run.cmds: ",
        f"{two}:2: column ",
        f"{two}:3: e.concurrent: ",
        "the override 'chunk=first': chunk: ",
    ]
    assert len(lines) == len(starts), done.err
    for start in starts:
        assert any(line.startswith(f"  {start}") for line in lines), start
    # The same mistake of several tests is one.
    assert any(
        "c.run.cmds" in line and line.endswith("(Also in test e: line 3.)") for line in lines
    )


def check(cli: Cli, done: Done, *words: str) -> None:
    """An error of one paragraph with these words, and nothing made."""
    assert done.code == 2, done.err
    assert done.out == ""
    assert done.err.startswith("pav-sched: error: "), done.err
    assert "Traceback" not in done.err
    assert "bug" not in done.err
    assert "\n\n" not in done.err
    for word in words:
        assert word in done.err
    assert not list(cli.work.glob("series/*")) if cli.work.is_dir() else True


@pytest.mark.parametrize(("text", "words"), CASES)
def test_bad_suite(cli: Cli, text: str | bytes, words: list[str]) -> None:
    path = cli.suite("")
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    check(cli, cli("run", path), *words)


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["no_such.yaml"], ["no_such.yaml", "does not exist"]),
        (["suit"], ["'suit'", "Did you mean 'suite'?"]),
        (["suite.tset"], ["'tset'", "Did you mean 'test'?"]),
        (["suite", "-c", "schedule.nodez=1"], ["schedule.nodez=1", "nodes"]),
        (["suite", "-c", "schedule.nodes"], ["'schedule.nodes'", "schedule.nodes=4"]),
        (["suite", "-c", "schedule.nodes=-1"], ["-1", "at least 1"]),
        (["suite", "--scheduler", "slrum"], ["'slrum'"]),
        (["suite", "--timeout", "soon"], ["'soon'", "--timeout"]),
        (["suite", "--timeot", "3"], ["--timeot"]),
        ([], ["TARGET"]),
    ],
)
def test_bad_command_line(cli: Cli, args: list[str], words: list[str]) -> None:
    cli.suite("test: {run: {cmds: ['true']}}")
    check(cli, cli("run", *args), *words)


def test_folder_for_a_suite(cli: Cli) -> None:
    folder = cli.root / "folder.yaml"
    folder.mkdir()
    check(cli, cli("run", folder), str(folder))


def test_one_bad_test_stops_the_others(cli: Cli) -> None:
    cli.suite("test: {run: {cmds: ['true']}}")
    cli.suite("test: {schedule: {nodes: 0}, run: {cmds: ['true']}}", name="other")
    check(cli, cli("run", "suite", "other"), "other.yaml")


def test_scheduler_that_is_not_available(cli: Cli) -> None:
    cli.plugin(
        "away",
        """
        from pavilion.schedulers import Raw

        class Away(Raw):
            def __init__(self):
                super().__init__()
                self.name = "away"

            def _available(self):
                raise RuntimeError("the command 'awaysub' was not found")
        """,
    )
    cli.suite("test: {scheduler: away, run: {cmds: ['true']}}")
    check(cli, cli("run", "suite"), "'away'", "not available", "awaysub")


def test_file_in_place_of_the_working_folder(cli: Cli) -> None:
    cli.suite("test: {run: {cmds: ['true']}}")
    cli.work.write_text("")
    check(cli, cli("run", "suite"), str(cli.work))
    # Nor do the commands that read take it for a place without series.
    for args in (["wait"], ["status"], ["status", "s1"], ["cancel", "s1"]):
        check(cli, cli(*args), "is not a directory", str(cli.work))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("working_dirr: x\n", ["site.yaml:1", "working_dirr", "'working_dir'"]),
        ("- a\n", ["site.yaml"]),
        (None, ["site.yaml", "--config-file"]),
    ],
)
def test_bad_config_file(cli: Cli, text: str | None, words: list[str]) -> None:
    path = cli.root / "site.yaml"
    if text is not None:
        path.write_text(text)
    check(cli, cli("status", "--config-file", path), *words)


def test_a_settings_file_that_cannot_be_one(cli: Cli) -> None:
    loop = cli.root / "loop.yaml"
    loop.symlink_to(loop)
    check(cli, cli("status", "--config-file", loop), str(loop), "--config-file", "cannot be read")
    check(cli, cli("status", "--config-file", cli.root), str(cli.root), "is not a regular file")


@pytest.mark.parametrize("args", [["rnu"], [], ["show"], ["log", "rnu", "s1.1"], ["cancel"]])
def test_no_such_command(cli: Cli, args: list[str]) -> None:
    done = cli(*args)
    check(cli, done)
    assert "--help" in done.err


def test_debug_shows_where_an_error_comes_from(cli: Cli) -> None:
    done = cli("run", "no_such.yaml", "--debug")
    assert done.code == 2
    assert "Traceback" in done.err
    assert "pav-sched: error: " in done.err


def test_bug_of_ours(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], cli: Cli
) -> None:
    from pavilion.cli import main, status

    def broken(*args: object) -> None:
        raise RuntimeError("what nobody thought of")

    monkeypatch.setattr(status, "select", broken)
    for args in ([], ["--debug"]):
        code = main.main(["--working-dir", str(cli.work), "status", "s1", *args])
        err = capsys.readouterr().err
        assert code == 70
        assert "what nobody thought of" in err
        assert "a bug in pavilion-schedulers" in err
        assert ("Traceback" in err) == bool(args)
