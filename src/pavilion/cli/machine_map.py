"""``pav-sched map``: the machine as a picture."""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from pavilion.errors import ConfigError
from pavilion.machine_map import (
    FREE_MARK,
    KINDS,
    MARKS,
    OUT_MARK,
    Cell,
    MachineMap,
    draw_maps,
    ink_on,
)
from pavilion.series_map import SERIES_KINDS, draw_series

from . import base
from .base import PROGRAM, Command, Session
from .nodes import collect
from .output import one_line, plural, tell, terminal
from .selection import select
from .targets import add_targets, is_series, resolve_targets, show_warnings

# Up to this many nodes, each cell shows the node's name.
NAMED_CELLS = 64
LEGEND_LINES = 24
OUT_STYLE = "white on grey23"
# Bytes of a file in which a picture says what it is.
_LOOK = 1024


def _arguments(parser: argparse.ArgumentParser) -> None:
    add_targets(parser, ids=" Or series that were run (s1), and tests of them (s1.3)", again=False)
    parser.add_argument(
        "--by",
        choices=(*KINDS, "result"),
        help=(
            "what to colour nodes by. Default: for suites chunk where tests use chunking, otherwise "
            "job; for series result"
        ),
    )
    parser.add_argument(
        "--svg",
        type=Path,
        metavar="FILE",
        help="write the picture to a file; several pictures get numbers in their names",
    )


def _run(session: Session) -> int:
    args = session.args
    ids = [target for target in args.targets if is_series(session, target)]
    if ids:
        return _run_series(session, ids)
    if args.by == "result":
        raise ConfigError(
            "'--by result' draws series that were run, by their ids ('s1'), but these are suites: "
            f"{', '.join(args.targets)}."
        )
    resolved, seed, _ = resolve_targets(session)
    maps = draw_maps(resolved, args.by)
    _show(args.svg, maps)
    if args.svg is None:
        print(f"Seed {seed}. Nothing was started.")
    errors = [error for drawn in maps for error in drawn.errors]
    for error in errors:
        tell(f"{PROGRAM}: error: {error}")
    show_warnings(resolved, set().union(*(drawn.refused for drawn in maps)))
    return base.FAILED if errors else base.OK


def _run_series(session: Session, ids: Sequence[str]) -> int:
    """Draw series that were run."""
    args = session.args
    others = [target for target in args.targets if target not in ids]
    if others:
        raise ConfigError(
            f"Series ({', '.join(ids)}) and suites ({', '.join(others)}) cannot be on the same map."
        )
    given = [
        option
        for option, value in (("-c", args.overrides), ("--scheduler", args.scheduler))
        if value
    ]
    given += ["--seed"] if args.seed is not None else []
    if given:
        raise ConfigError(
            f"{' and '.join(given)} cannot change series that were run: {', '.join(ids)}."
        )
    if args.by == "state":
        raise ConfigError(
            "'--by state' draws the machine as it is now, for the tests of suites. For series "
            f"({', '.join(ids)}), --by can be {', '.join(SERIES_KINDS)}."
        )
    selection = select(session, ids)
    if not selection.tests:
        return selection.report()
    _show(args.svg, draw_series(collect(session, selection), args.by or "result"))
    return selection.report()


def _show(svg: Path | None, maps: list[MachineMap]) -> None:
    if svg is not None:
        _write(svg, maps)
        return
    for drawn in maps:
        _print(drawn)
        print()


def _write(path: Path, maps: list[MachineMap]) -> None:
    from .map_svg import render

    targets = [
        path if len(maps) == 1 else path.with_name(f"{path.stem}-{number}{path.suffix}")
        for number in range(1, len(maps) + 1)
    ]
    for target in targets:
        _check_replaceable(target)
    for target, drawn in zip(targets, maps):
        try:
            target.write_text(render(drawn), encoding="utf-8")
        except OSError as exc:
            raise ConfigError(
                f"The picture cannot be written to {target}", prior_error=exc
            ) from exc
        tell(f"Wrote {target}: {drawn.title}.")


def _check_replaceable(target: Path) -> None:
    """Refuse to overwrite a file that is not a picture, such as a suite.

    :raises ConfigError: When there is such a file.
    """
    try:
        # A device or a pipe, and /dev/stdout whatever that is, can be written to at any time.
        if str(target).startswith("/dev/") or not target.is_file() or not target.stat().st_size:
            return
        with target.open("rb") as file:
            is_picture = b"<svg" in file.read(_LOOK)
    except OSError:
        # Writing says what is wrong.
        return
    if not is_picture:
        raise ConfigError(
            f"The picture {target} would replace a file that is not an SVG picture. Name another "
            "file, or remove that one."
        )


def _print(drawn: MachineMap) -> None:
    """Draw on the terminal; plain characters when stdout is not a terminal."""
    console = terminal(sys.stdout)
    width = shutil.get_terminal_size().columns if console is None else console.width
    rows = _rows(drawn, width)
    print(one_line(f"{drawn.title} ({plural(len(drawn.cells), 'node')})"))
    if console is None:
        for label, cells in rows:
            print((label + "".join(text for text, _ in cells)).rstrip())
        for mark, _, text in _legend(drawn):
            print(f"  {mark:1}  {text}")
        return
    from rich.text import Text

    for label, cells in rows:
        drawing = Text(label, style="dim")
        for text, cell in cells:
            drawing.append(text, style=_style(drawn, cell))
        console.print(drawing, soft_wrap=True)
    for mark, style, text in _legend(drawn):
        console.print(Text.assemble(" ", (f" {mark:1} ", style), f" {text}"), soft_wrap=True)


def _rows(drawn: MachineMap, width: int) -> list[tuple[str, list[tuple[str, Cell]]]]:
    """The lines of the picture: a label, and the cells with their characters."""
    cells = drawn.cells
    names = [one_line(cell.name) for cell in cells]
    longest = max(map(len, names), default=1)
    if len(cells) <= NAMED_CELLS:
        each, label_width = longest + 4, 0
        texts = [f" {name:<{longest}} {drawn.mark(cell)} " for name, cell in zip(names, cells)]
    else:
        each, label_width = (2 if len(cells) <= 2000 else 1), longest + 2
        texts = [drawn.mark(cell) * each for cell in cells]
    per_row = max(1, (width - label_width) // each)
    # Counting is easier in rows of a round number of nodes.
    for step in (100, 50, 20, 10, 8, 4, 2):
        if per_row >= step:
            per_row -= per_row % step
            break
    rows = []
    for start in range(0, len(cells), per_row):
        label = f"{names[start]:<{label_width}}" if label_width else ""
        rows.append(
            (label, list(zip(texts[start : start + per_row], cells[start : start + per_row])))
        )
    return rows


def _style(drawn: MachineMap, cell: Cell) -> str:
    if cell.groups:
        return _group_style(drawn, cell.groups[0])
    return "dim" if cell.usable else OUT_STYLE


def _group_style(drawn: MachineMap, number: int) -> str:
    color = drawn.groups[number].color
    # Not rich's 'black': what that looks like depends on the terminal's theme.
    return "rgb({},{},{}) on rgb({},{},{})".format(*ink_on(color), *color)


def _legend(drawn: MachineMap) -> list[tuple[str, str, str]]:
    """(character, its style, text) of each line."""
    lines = []
    for number, group in enumerate(drawn.groups[:LEGEND_LINES]):
        detail = f"; {group.detail}" if group.detail else ""
        lines.append(
            (
                group.mark,
                _group_style(drawn, number),
                f"{group.label}: {group.node_list}{detail}",
            )
        )
    if len(drawn.groups) > LEGEND_LINES:
        again = "; the characters repeat" if len(drawn.groups) > len(MARKS) else ""
        lines.append(("", "", f"... and {len(drawn.groups) - LEGEND_LINES} more{again}"))
    marks = {drawn.mark(cell) for cell in drawn.cells if not cell.groups}
    if FREE_MARK in marks:
        lines.append((FREE_MARK, "dim", "usable, and in none of these"))
    if OUT_MARK in marks:
        lines.append(
            (
                OUT_MARK,
                OUT_STYLE,
                f"left out; '{PROGRAM} {drawn.says_why}' says why",
            )
        )
    lines += [("", "", remark) for remark in drawn.remarks]
    return [(mark, style, one_line(text)) for mark, style, text in lines]


COMMANDS = [
    Command(
        name="map",
        summary="draw the machine: nodes by chunk, job or state; or by the results of series",
        description=(
            "Draw the machine that tests would run on, a cell for each node, coloured by chunk, job\n"
            "or state. Jobs have the numbers that 'plan' gives them with the same arguments. Nothing\n"
            "is started.\n\n"
            "Or draw what came of series: each node by its results, or by the jobs or chunks that\n"
            "its tests had. '+' passed, 'F' is suspect (it failed and never passed), 'M' did both,\n"
            "'?' was not reached, 'x' was left out; 'nodes' says more."
        ),
        examples=[
            "map nightly",
            "map nightly --by state",
            "map nightly --seed 7 --svg chunks.svg",
            "map s3 s4 --by result --svg results.svg",
        ],
        run=_run,
        arguments=_arguments,
    )
]
