"""What the user reads: tables, JSON, messages.

A terminal gets tables that fit its width.  Pipes and files get every row as one line with tabs
between its columns, or with ``--table`` aligned columns; nothing is cut there, unless $COLUMNS sets
a width.  rich is loaded when it is needed, not before.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TextIO

from pavilion.errors import PavilionError

if TYPE_CHECKING:
    from rich.console import Console

PROGRAM = "pav-sched"

# How words of results and states stand out on a terminal.
STYLES = {
    "PASS": "green",
    "FAIL": "red",
    "ERROR": "bold red",
    "CANCELLED": "yellow",
    "SCHED_CANCELLED": "yellow",
    "SCHED_ERROR": "bold red",
    "RUN_ERROR": "bold red",
    "SCHED_WARNING": "yellow",
    "RUNNING": "cyan",
    "refused": "bold red",
    "suspect": "bold red",
    "mixed": "yellow",
    "passed": "green",
}

# Blanks between columns, and the least width of a column that may be narrower.
GAP = 2
NARROWEST = 10
# How much of each must be visible before there is room for optional columns.
READABLE = 24


@dataclass(frozen=True)
class Column:
    """A column of a table.

    :param title: Its heading.
    :param cut: Whether its text is cut when the terminal is too narrow.
    :param wrap: Whether its text is wrapped instead.
    :param right: Whether it is aligned to the right.
    :param optional: Whether it is left out where the terminal has no room for it.
    """

    title: str
    cut: bool = False
    wrap: bool = False
    right: bool = False
    optional: bool = False


def prepare_streams() -> None:
    """Make sure that no character of a test's output stops us: what cannot be encoded is escaped.
    The same for a missing stream: Python has none where the descriptor is closed."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: PTH123, SIM115
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")


def terminal(stream: TextIO) -> Console | None:
    """A rich console when this is a terminal that can do more than print lines."""
    if not stream.isatty() or os.environ.get("TERM") == "dumb":
        return None
    from rich.console import Console

    return Console(file=stream, highlight=False, markup=False, emoji=False)


# Whether tables are aligned in a pipe, too.
_aligned = False


def align_tables(wanted: bool) -> None:
    """Align the columns of tables wherever these are printed, for ``--table``."""
    global _aligned
    _aligned = wanted


def print_table(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> None:
    """Print a table to stdout."""
    cells = [[one_line(cell) for cell in row] for row in rows]
    console = terminal(sys.stdout)
    if console is not None:
        _draw(console, columns, cells)
    elif not _aligned:
        print("\t".join(column.title for column in columns))
        for row in cells:
            print("\t".join(row))
    else:
        print("\n".join(_aligned_lines(columns, cells)))


def _aligned_lines(columns: Sequence[Column], cells: Sequence[Sequence[str]]) -> list[str]:
    """The lines of a table for a pipe: as wide as its content, or as $COLUMNS says."""
    # A character that is printed as an escape is as wide as the escape.
    cells = [[_encodable(cell) for cell in row] for row in cells]
    width = _asked_width()
    if width:
        from rich.console import Console

        drawn = io.StringIO()
        _draw(Console(file=drawn, width=width, color_system=None), columns, cells)
        return [_encodable(line.rstrip()) for line in drawn.getvalue().splitlines()]
    from rich.cells import cell_len

    lines = [[column.title for column in columns], *cells]
    widths = [max(map(cell_len, column)) for column in zip(*lines)]
    return [
        (" " * GAP)
        .join(
            # Not ljust() and rjust(): wide characters take two places.
            blanks + cell if column.right else cell + blanks
            for column, cell, blanks in (
                (column, cell, " " * (width - cell_len(cell)))
                for column, cell, width in zip(columns, line, widths)
            )
        )
        .rstrip()
        for line in lines
    ]


def _asked_width() -> int:
    """The width that $COLUMNS sets; 0 for none."""
    text = os.environ.get("COLUMNS", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 6 else 0


def _encodable(text: str) -> str:
    """The text as stdout prints it: what its encoding cannot represent is escaped."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)


def _draw(console: Console, columns: Sequence[Column], cells: Sequence[Sequence[str]]) -> None:
    """Print a table that fits the console's width, as far as its columns may be narrower."""
    from rich.cells import cell_len
    from rich.table import Table
    from rich.text import Text

    widths = [
        max(map(cell_len, (column.title, *(row[number] for row in cells))))
        for number, column in enumerate(columns)
    ]
    kept = _with_room(columns, widths, console.width)
    columns = [columns[number] for number in kept]
    cells = [[row[number] for number in kept] for row in cells]
    widths = _fit(columns, [widths[number] for number in kept], console.width)
    # What does not fit at all is wrapped by the terminal; no further column is dropped.
    console.width = max(console.width, sum(widths) + GAP * len(widths))
    table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="bold")
    for column, width in zip(columns, widths):
        table.add_column(
            column.title,
            width=width,
            no_wrap=not column.wrap,
            overflow="fold" if column.wrap else "ellipsis",
            justify="right" if column.right else "left",
        )
    for row in cells:
        table.add_row(*(Text(cell, style=STYLES.get(cell, "")) for cell in row))
    console.print(table)


def _with_room(columns: Sequence[Column], widths: Sequence[int], total: int) -> list[int]:
    """The indices of the columns that there is room for: optional ones are left out, the last
    first, as long as the columns that may be narrower would be too narrow to read."""
    kept = list(range(len(columns)))
    while True:
        needed = sum(
            min(widths[number], READABLE) if columns[number].cut or columns[number].wrap else width
            for number, width in enumerate(widths)
            if number in kept
        )
        spare = [number for number in kept if columns[number].optional]
        if not spare or needed + GAP * (len(kept) - 1) <= total:
            return kept
        kept.remove(spare[-1])


def _fit(columns: Sequence[Column], widths: list[int], total: int) -> list[int]:
    """Make those columns narrower that may be, the widest first, until all fit."""
    widths = [min(width, total) for width in widths]
    flexible = [number for number, column in enumerate(columns) if column.cut or column.wrap]
    while sum(widths) + GAP * (len(widths) - 1) > total:
        widest = max(flexible, key=lambda number: widths[number], default=None)
        if widest is None or widths[widest] <= NARROWEST:
            break
        widths[widest] -= 1
    return widths


# Where results go.  None: to stdout, like everything else.
_results: TextIO | None = None


@contextlib.contextmanager
def stdout_for_results() -> Iterator[None]:
    """Keep stdout for print_json: what a plugin prints, or a command that it runs, goes to stderr.
    A program that reads our JSON must not stumble over it."""
    global _results
    before, copy = sys.stdout, -1
    before.flush()
    _results = before
    if before is sys.__stdout__:
        # Commands inherit the descriptor, and not what Python calls stdout.
        with contextlib.suppress(OSError):
            other = sys.stderr.fileno()
            copy = os.dup(before.fileno())
            os.dup2(other, before.fileno())
            _results = os.fdopen(copy, "w", encoding=before.encoding, errors=before.errors)
    sys.stdout = sys.stderr
    try:
        yield
    finally:
        results, sys.stdout, _results = _results, before, None
        if copy >= 0:
            with contextlib.suppress(OSError):
                # What was printed to sys.__stdout__.
                before.flush()
            os.dup2(copy, before.fileno())
            try:
                results.flush()
            except OSError:
                # It was reported when it was written.  What is left would be reported once more.
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, copy)
                os.close(nowhere)
            results.close()


def print_json(data: Any) -> None:
    """Print data as JSON to stdout."""
    print(json.dumps(data, indent=2), file=_results, flush=True)


def tell(text: str) -> None:
    """Print a message that is not a result, on stderr."""
    # What was printed before comes first, even if both go to the same file.
    sys.stdout.flush()
    print(printable(text), file=sys.stderr, flush=True)


def warn(text: str) -> None:
    """Print a warning of one line."""
    tell(f"{PROGRAM}: warning: {one_line(text)}")


def show_error(error: BaseException) -> None:
    """Print an error as a paragraph."""
    text = error.pformat() if isinstance(error, PavilionError) else str(error)
    tell(f"{PROGRAM}: error: {text}")


def printable(text: str) -> str:
    """The text without what could make a terminal do things; lines and tabs stay."""
    return "".join(
        char
        if char.isprintable() or char in "\n\t"
        else char.encode("unicode_escape", "surrogatepass").decode("ascii")
        for char in text
    )


def one_line(text: str) -> str:
    """The text on one line, for tables and for grep."""
    return printable(" ".join(text.split()))


def first_line(text: str) -> str:
    """The first line of a note."""
    lines: list[str] = text.strip().splitlines()
    return lines[0].rstrip() if lines else ""


def plural(number: int, noun: str) -> str:
    """'1 test', '2 tests'."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def age(when: float) -> str:
    """How long ago a time (seconds since the epoch) was: '5s', '12m', '3h', '2d'."""
    if not when:
        return ""
    seconds = max(0, int(time.time() - when))
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= 2 * size:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def clock(when: float) -> str:
    """A time as the local date and time."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(when))
