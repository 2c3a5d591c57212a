"""--table: aligned columns where stdout is not a terminal."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import pytest
from cli_tools import Cli
from rich.cells import cell_len

from pavilion.cli.main import make_parser

SUITE = """
    wide:
      summary: 日本語の要約
      run: {cmds: ["true"]}
    colour:
      summary: "\\e[31mred\\e[0m\\ttab"
      run: {cmds: ["true"]}
    a_rather_long_name_of_a_test:
      summary: é e\u0301
      run: {cmds: ["true"]}
    """


def columns(text: str, title: str) -> list[str]:
    """What stands from the place of a title on, line by line; by places, not by characters."""
    lines = text.splitlines()
    place = cell_len(lines[0][: lines[0].index(title)])
    found = []
    for line in lines[1:]:
        width = end = 0
        while width < place:
            width += cell_len(line[end])
            end += 1
        assert width == place, line
        assert end == 0 or line[end - 1] == " ", line
        found.append(line[end:])
    return found


def test_columns_are_aligned_in_a_pipe(cli: Cli) -> None:
    file = cli.suite(SUITE)
    done = cli("show", "suites", "--table")
    assert done.code == 0
    assert "\t" not in done.out
    # FILE is behind SUMMARY, which has characters of two places and of none.
    assert columns(done.out, "FILE") == [str(file)] * 3
    assert columns(done.out, "SUMMARY")[0].startswith("日本語の要約  ")
    assert all(line == line.rstrip() for line in done.out.splitlines())


def test_control_characters_stay_escaped(cli: Cli) -> None:
    cli.suite(SUITE)
    done = cli("show", "suites", "--table")
    assert "\x1b" not in done.out
    assert r"\x1b[31mred\x1b[0m tab" in done.out


def test_without_it_a_pipe_gets_tabs(cli: Cli) -> None:
    cli.suite(SUITE)
    done = cli("show", "suites")
    assert [row[1] for row in done.rows] == ["wide", "colour", "a_rather_long_name_of_a_test"]


def test_what_stdout_cannot_encode_is_aligned_as_it_is_printed(cli: Cli) -> None:
    file = cli.suite(SUITE)
    done = cli("show", "suites", "--table", env={"PYTHONIOENCODING": "ascii"})
    assert done.out.isascii()
    assert columns(done.out, "FILE") == [str(file)] * 3


def test_columns_decides_where_it_is_cut(cli: Cli) -> None:
    cli.suite("""
        a_rather_long_name_of_a_test:
          run: {cmds: ["exit 3"]}
        """)
    whole = cli("run", "suite", "--table")
    assert whole.code == 1
    assert "suite.a_rather_long_name_of_a_test" in whole.out
    cut = cli("status", "--table", env={"COLUMNS": "60"})
    assert "suite.a_rather_long_name_of_a_test" not in cut.out
    assert "…" in cut.out
    table = [line for line in cut.out.splitlines() if line.startswith(("ID", "s1.1"))]
    assert len(table) == 2
    assert max(map(cell_len, table)) <= 60
    for useless in ("0", "", "wide", "-5"):
        assert "a_rather_long_name" in cli("status", "--table", env={"COLUMNS": useless}).out


def test_it_is_one_or_the_other(cli: Cli) -> None:
    done = cli("status", "--json", "--table")
    assert done.code == 2
    assert "not allowed with argument" in done.err


def leaves(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for sub in action.choices.values():
                yield from leaves(sub)
            return
    yield parser


@pytest.mark.parametrize(
    "parser", [pytest.param(item, id=item.prog) for item in leaves(make_parser())]
)
def test_each_command_with_json_has_it(parser: argparse.ArgumentParser) -> None:
    known = parser._option_string_actions
    assert ("--json" in known) == ("--table" in known)
