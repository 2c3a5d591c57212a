"""``pav-sched map``: the machine as a picture, on a terminal, in a pipe and as SVG."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from cli_tools import PATIENCE, Cli
from grid import BROKEN, QuickCli, add_grid, untouched

SVG = "{http://www.w3.org/2000/svg}"
SGR = re.compile(r"\x1b\[[0-9;]*m")
# Foreground and background, in true colour.
COLORED = re.compile(r"\x1b\[38;2;(\d+);(\d+);(\d+);48;2;(\d+);(\d+);(\d+)m([^\x1b]*)")


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Iterator[QuickCli]:
    """The suite, for tests that only look at it."""
    made = add_grid(QuickCli(tmp_path_factory.mktemp("drawn")))
    yield made
    made.kill_all()


def on_terminal(cli: Cli, *args: Any, width: int = 100) -> str:
    """What a command draws on a terminal of that many columns."""
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 40, width, 0, 0))
    env = {key: value for key, value in cli.env.items() if key not in ("COLUMNS", "NO_COLOR")}
    process = subprocess.Popen(
        cli.argv(*args),
        stdin=subprocess.DEVNULL,
        stdout=follower,
        stderr=subprocess.DEVNULL,
        cwd=cli.root,
        env=dict(env, TERM="xterm-256color", COLORTERM="truecolor"),
    )
    os.close(follower)
    output = b""
    with os.fdopen(leader, "rb", buffering=0) as terminal:
        while True:
            try:
                block = terminal.read(1 << 16)
            except OSError:
                # So a terminal ends on Linux.
                break
            if not block:
                break
            output += block
    assert process.wait(PATIENCE) == 0
    return output.decode().replace("\r\n", "\n")


def marks_of(text: str) -> dict[str, str]:
    """Node -> mark, in a picture with names in it."""
    return dict(re.findall(r"(?<!\S)(n\d+) (\S)(?!\S)", text))


def cells_of(file: Path) -> list[tuple[str, str]]:
    """(what is said of the node, its colour) of each cell of an SVG picture."""
    root = ElementTree.parse(file).getroot()
    assert root.tag == f"{SVG}svg"
    found = []
    for group in root.iter(f"{SVG}g"):
        title, rect = group.find(f"{SVG}title"), group.find(f"{SVG}rect")
        assert title is not None and rect is not None
        found.append((title.text or "", rect.get("fill", "")))
    return found


def texts_of(file: Path) -> list[str]:
    return [element.text or "" for element in ElementTree.parse(file).getroot().iter(f"{SVG}text")]


@pytest.fixture
def quick(tmp_path: Path) -> QuickCli:
    return QuickCli(tmp_path / "quick")


def test_chunks_in_a_pipe(drawn: QuickCli) -> None:
    done = drawn.process("map", "suite.chunked", "--seed", 5)
    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()
    assert lines[0] == "grid: chunks of suite.chunked (16 nodes)"
    assert lines[-1] == "Seed 5. Nothing was started."
    assert "\x1b" not in done.out
    # Every node once, and in the chunk that the plan gives to its test.
    marks = marks_of(done.out)
    assert list(marks) == [f"n{number:02}" for number in range(1, 17)]
    assert {name for name, mark in marks.items() if mark == "x"} == {"n05", "n13"}
    for job in drawn("plan", "suite.chunked", "--seed", 5, "--json").json["jobs"]:
        first = {name for name in job["nodes"] if marks[name] == str(job["chunk"])}
        others = {name for name in job["nodes"] if int(marks[name]) < job["chunk"]}
        assert first and first | others == set(job["nodes"])
        assert f"  {job['chunk']}  chunk {job['chunk']}: {job['node_list']}" in lines
    # The last chunk of 14 nodes in fours is filled up with two of the others.
    assert "     2 nodes are in several chunks and shown in the first." in lines
    assert "  x  left out; 'pav-sched show nodes grid --test TEST' says why" in lines
    assert untouched(drawn)


def test_jobs_have_the_numbers_of_the_plan(drawn: QuickCli) -> None:
    """Several pictures: one for each way to see the machine."""
    done = drawn("map", "suite", "--by", "job", "--seed", 5)
    assert (done.code, done.err) == (0, "")
    *pictures, last = done.out.split("\n\n")
    assert last == "Seed 5. Nothing was started.\n"
    assert [picture.splitlines()[0] for picture in pictures] == [
        "grid: jobs of suite.chunked (16 nodes)",
        "grid: jobs of suite.shared (16 nodes)",
    ]
    for job in drawn("plan", "suite", "--seed", 5, "--json").json["jobs"]:
        if job["nodes"] is None:
            continue
        picture = pictures[0 if job["chunk"] is not None else 1]
        assert f"job {job['job']}: {job['node_list']}; {', '.join(job['tests'])}" in picture
    marks = marks_of(pictures[1])
    assert [marks[f"n{number:02}"] for number in range(1, 6)] == ["0", "0", "1", "1", "x"]
    assert marks["n16"] == "x"


def test_usable_nodes_that_nobody_uses(drawn: QuickCli) -> None:
    done = drawn(
        "map", "suite.shared", "-c", "schedule.nodes=1", "-c", "variables.letter=[a]", "--by", "job"
    )
    assert list(marks_of(done.out).values())[:5] == ["0", ".", ".", ".", "x"]
    assert "  .  usable, and in none of these" in done.out


def test_nodes_that_the_scheduler_picks(drawn: QuickCli) -> None:
    done = drawn("map", "suite.own")
    assert done.code == 0
    assert set(marks_of(done.out).values()) == {".", "x"}
    assert "1 job runs on nodes that the scheduler picks." in done.out


def test_states(drawn: QuickCli) -> None:
    done = drawn("map", "suite.own", "--by", "state")
    assert done.code == 0
    marks = marks_of(done.out)
    assert [marks[name] for name in ("n01", "n05", "n07", "n13", "n14")] == [
        "0",
        "2",
        "1",
        "0",
        "1",
    ]
    assert [line.split(": ")[0] for line in done.out.splitlines() if "(" in line][1:] == [
        "  0  available (IDLE)",
        "  1  up (BUSY)",
        "  2  not up (DOWN)",
    ]
    assert "  1  up (BUSY): n[07,14]" in done.out
    # The filters of tests do not matter: one picture for all.
    done = drawn("map", "suite", "--by", "state")
    assert done.out.count("grid: states of") == 1
    assert "grid: states of suite.chunked, suite.shared, suite.own (16 nodes)" in done.out
    assert marks_of(done.out) == marks


def test_terminal(drawn: QuickCli) -> None:
    args = ("map", "suite.chunked", "--seed", 5)
    out = on_terminal(drawn, *args)
    picture, legend = out.split(" 0 \x1b[0m chunk 0", 1)
    # The same characters as in a pipe,
    plain = SGR.sub("", picture)
    assert marks_of(plain) == marks_of(drawn(*args).out)
    assert max(map(len, SGR.sub("", out).splitlines())) <= 100
    # a colour for each chunk, in the picture and in its legend,
    colors: dict[str, set[tuple[str, ...]]] = {}
    for *color, text in COLORED.findall(out):
        colors.setdefault(text.split()[-1], set()).add(tuple(color[3:]))
    assert set(colors) == set("0123")
    assert all(len(found) == 1 for found in colors.values())
    assert len({next(iter(found)) for found in colors.values()}) == 4
    # and black or white on it, whichever can be read.
    assert {tuple(color[:3]) for *color, _ in COLORED.findall(out)} <= {
        ("0", "0", "0"),
        ("255", "255", "255"),
    }
    assert "Nothing was started." in legend


def test_terminal_that_cannot_draw(drawn: QuickCli) -> None:
    done = drawn("map", "suite.chunked", env={"COLUMNS": "30"})
    assert max(len(line) for line in done.out.splitlines() if marks_of(line)) <= 30


@pytest.mark.parametrize("width", [80, 200])
def test_large_machine(drawn: QuickCli, width: int) -> None:
    """A character per node, the same number in each line, which begins with a node's name."""
    done = drawn(
        "map",
        "suite.chunked",
        "-c",
        "permute_on=[]",
        "-c",
        "chunk=any",
        "-c",
        "schedule.chunking.size=250",
        "-c",
        "schedule.chunking.node_selection=contiguous",
        env={"GRID_NODES": "10000", "COLUMNS": str(width)},
    )
    assert done.code == 0
    rows = re.findall(r"^(n\d{5})  (\S+)$", done.out, re.MULTILINE)
    per_row = len(rows[0][1])
    assert per_row in (50, 100)
    assert [name for name, _ in rows] == [f"n{number:05}" for number in range(1, 10001, per_row)]
    assert all(len(line) <= width for line in done.out.splitlines() if line.startswith("n"))
    cells = "".join(marks for _, marks in rows)
    assert len(cells) == 10000
    # Node 5, and those whose names end in 13.
    assert [number for number, mark in enumerate(cells, 1) if mark == "x"] == sorted(
        [5, *range(13, 10001, 100)]
    )
    # 40 chunks: nobody reads 40 lines, and no chunk looks like a node that is left out.
    assert "  ... and 16 more" in done.out
    assert Counter(cells)["x"] == 101


def test_more_chunks_than_characters(drawn: QuickCli) -> None:
    done = drawn(
        "map",
        "suite.chunked",
        "-c",
        "permute_on=[]",
        "-c",
        "chunk=any",
        "-c",
        "schedule.chunking.size=1",
        env={"GRID_NODES": "100"},
    )
    assert re.search(r"\.\.\. and \d+ more; the characters repeat", done.out)


def test_svg(drawn: QuickCli, tmp_path: Path) -> None:
    file = tmp_path / "a picture.svg"
    done = drawn("map", "suite.chunked", "--seed", 5, "--svg", file)
    assert (done.code, done.out) == (0, "")
    assert done.err == f"Wrote {file}: grid: chunks of suite.chunked.\n"
    cells = cells_of(file)
    assert [title.split(",")[0] for title, _ in cells] == [
        f"n{number:02}" for number in range(1, 17)
    ]
    by_name = {title.split(",")[0]: (title, color) for title, color in cells}
    assert by_name["n05"][0] == "n05, DOWN, left out: not up"
    assert by_name["n13"][0] == "n13, IDLE, left out: smells <&> funny"
    assert by_name["n05"][1] == by_name["n13"][1]
    # Four chunks and what is left out: five colours, and a legend for each.
    assert len({color for _, color in cells}) == 5
    texts = texts_of(file)
    assert texts[0] == "grid: chunks of suite.chunked (16 nodes)"
    for job in drawn("plan", "suite.chunked", "--seed", 5, "--json").json["jobs"]:
        assert f"chunk {job['chunk']}: {job['node_list']}" in texts
        for name in job["nodes"]:
            assert f"chunk {job['chunk']}" in by_name[name][0]
    # The names are in the cells.
    assert set(by_name) <= set(texts)
    assert untouched(drawn)


def test_svg_of_a_large_machine(drawn: QuickCli, tmp_path: Path) -> None:
    file = tmp_path / "large.svg"
    done = drawn("map", "suite.own", "--by", "state", "--svg", file, env={"GRID_NODES": "10000"})
    assert done.code == 0
    cells = cells_of(file)
    assert len(cells) == 10000
    assert len({color for _, color in cells}) == 3
    root = ElementTree.parse(file).getroot()
    width, height = int(root.get("width", "")), int(root.get("height", ""))
    # It fits a screen.
    assert width < 1600 and height < 1000
    for rect in root.iter(f"{SVG}rect"):
        if rect.get("x"):
            assert float(rect.get("x", "")) + float(rect.get("width", "")) <= width
            assert float(rect.get("y", "")) + float(rect.get("height", "")) <= height


def test_svg_of_several_pictures(drawn: QuickCli, tmp_path: Path) -> None:
    done = drawn("map", "suite", "--svg", tmp_path / "map.svg")
    assert done.code == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["map-1.svg", "map-2.svg"]
    assert texts_of(tmp_path / "map-1.svg")[0].startswith("grid: chunks of suite.chunked ")
    assert texts_of(tmp_path / "map-2.svg")[0].startswith("grid: jobs of suite.shared ")


def test_svg_of_odd_names(quick: QuickCli, tmp_path: Path) -> None:
    """Nothing that a test may be called breaks the file, or a terminal."""
    add_grid(
        quick,
        """
        test:
          scheduler: grid
          subtitle: "<b>&\\e[31m"
          schedule: {nodes: 2, across_nodes: 'n[01-04]'}
          run: {cmds: ["true"]}
        """,
    )
    assert quick("map", "suite", "--svg", tmp_path / "odd.svg").code == 0
    assert "job 1: n[01-02]; suite.test.<b>&\\x1b[31m" in texts_of(tmp_path / "odd.svg")
    assert "\x1b" not in quick("map", "suite").out


def test_svg_that_cannot_be_written(drawn: QuickCli, tmp_path: Path) -> None:
    for file in (tmp_path, tmp_path / "none" / "map.svg"):
        done = drawn("map", "suite.chunked", "--svg", file)
        assert (done.code, done.out) == (2, "")
        assert f"The picture cannot be written to {file}" in done.err


def test_single_tests_that_cannot_be_placed(quick: QuickCli, tmp_path: Path) -> None:
    """The others are drawn."""
    add_grid(quick, BROKEN)
    done = quick("map", "suite", "--by", "job")
    assert done.code == 1
    assert "job 1: n[01-02]; suite.good" in done.out
    assert "suite.no_such_chunk: Chunk 99 was requested" in done.err
    assert "suite.too_many: Insufficient nodes." in done.err
    assert "Chunks of 2 nodes have no room for other nodes" in done.err
    # The chunks are there, whoever misses them; but not those without room.
    done = quick("map", "suite.good", "suite.no_such_chunk", "--by", "chunk")
    assert (done.code, done.err) == (0, "")
    done = quick("map", "suite", "--by", "chunk", "--svg", tmp_path / "map.svg")
    assert done.code == 1
    assert "suite.too_large: " in done.err.split("error: ")[-1]
    assert "chunk 3" in (tmp_path / "map-1.svg").read_text()


@pytest.mark.parametrize("kind", ["job", "chunk", "state"])
def test_single_tests_whose_nodes_cannot_be_told(quick: QuickCli, kind: str) -> None:
    add_grid(
        quick,
        """
        bad: {scheduler: grid, schedule: {reservation: nosuch}, run: {cmds: ['true']}}
        good: {scheduler: grid, schedule: {nodes: '2', across_nodes: 'n[01-02]',
                                           chunking: {size: '2'}}, run: {cmds: ['true']}}
        """,
    )
    done = quick("map", "suite", "--by", kind)
    assert (done.code, done.err) == (
        1,
        "pav-sched: error: suite.bad: There is no reservation 'nosuch'.\n",
    )
    assert "of suite.good (16 nodes)" in done.out
    done = quick("map", "suite.bad", "--by", kind)
    assert done.code != 0 and done.out == ""
    assert "suite.bad: There is no reservation 'nosuch'." in done.err


def test_machine_without_nodes(drawn: QuickCli, tmp_path: Path) -> None:
    env = {"GRID_NODES": "0"}
    done = drawn("map", "suite.own", "--by", "state", env=env)
    assert done.code == 0
    assert "(0 nodes)" in done.out
    assert (
        drawn("map", "suite.own", "--by", "state", "--svg", tmp_path / "no.svg", env=env).code == 0
    )
    assert cells_of(tmp_path / "no.svg") == []


def test_nothing_to_draw(drawn: QuickCli) -> None:
    done = drawn("map", "suite.local")
    assert (done.code, done.out) == (2, "")
    assert "none of the schedulers of these tests can list its nodes" in done.err


def test_scheduler_out_of_reach(drawn: QuickCli) -> None:
    done = drawn("map", "suite.own", env={"GRID_FAILS": "1"})
    assert (done.code, done.out) == (2, "")
    assert "The grid is out of reach." in done.err


@pytest.mark.parametrize(
    "args",
    [[], ["none_such"], ["suite", "--by", "colour"], ["suite", "--json"], ["suite", "--svg"]],
)
def test_usage_errors(drawn: QuickCli, args: list[str]) -> None:
    done = drawn("map", *args)
    assert (done.code, done.out) == (2, "")
    assert "pav-sched: error: " in done.err
    assert untouched(drawn)
