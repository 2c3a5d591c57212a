"""The machine as an SVG picture."""

from __future__ import annotations

import math
from typing import NamedTuple
from xml.sax.saxutils import escape

from pavilion.machine_map import COLORS, Cell, Color, MachineMap, ink_on

from .output import one_line, plural

MARGIN = 16
LINE = 16
# The average width of a character for each pixel of font size; rather too large.
CHARACTER = 0.6
FONT, SMALL_FONT = 11, 10
LEGEND_ITEMS = 64
# Up to this many nodes, each cell has the node's name in it, and is as wide as that requires.
NAMED_CELLS = 64
NAMED_WIDTHS = (84, 210)
NAMED_HEIGHT = 34
# Up to this many nodes -> the width and height of a cell in pixels.
SIZES = ((400, 30), (2500, 14), (20_000, 8))
SMALLEST = 5
MARKED_SIZE = 30
# Lines of the grid that are labelled are at least this many pixels apart.
LABEL_DISTANCE = 11

FREE: Color = (232, 232, 232)
OUT: Color = (112, 112, 112)


class _Layout(NamedTuple):
    """Where things are, in pixels."""

    width: int
    height: int
    columns: int
    # Where the first cell is.
    left: int
    top: int

    def corner(self, number: int) -> tuple[int, int]:
        """The upper left corner of a cell."""
        return (
            self.left + number % self.columns * self.width,
            self.top + number // self.columns * self.height,
        )

    @property
    def named(self) -> bool:
        """Whether cells have the names of their nodes in them."""
        return self.height == NAMED_HEIGHT

    @property
    def marked(self) -> bool:
        """Whether cells have the characters of their groups in them."""
        return self.height == MARKED_SIZE


def render(drawn: MachineMap) -> str:
    """The picture as SVG text.  Pointing at a node shows its name, states and groups."""
    count = len(drawn.cells)
    layout = _layout(drawn)
    rows = math.ceil(count / layout.columns)
    title = one_line(f"{drawn.title} ({plural(count, 'node')})")
    legend = _legend(drawn, layout)
    grid_width = layout.left + layout.columns * layout.width + MARGIN
    column = max((_text_width(text) for *_, text in legend), default=0) + 40
    width = max(grid_width, 2 * MARGIN + column, 2 * MARGIN + _text_width(title, 14))
    legend_columns = max(1, (width - 2 * MARGIN) // column)
    legend_rows = math.ceil(len(legend) / legend_columns)
    legend_top = layout.top + rows * layout.height + 12
    height = legend_top + LINE * legend_rows + MARGIN
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="{FONT}">',
        '<rect width="100%" height="100%" fill="white"/>',
        f'<text x="{MARGIN}" y="{MARGIN + 10}" font-size="14">{escape(title)}</text>',
        *_row_labels(drawn, layout, rows),
        *(_cell(drawn, cell, layout, number) for number, cell in enumerate(drawn.cells)),
    ]
    for number, (color, mark, text) in enumerate(legend):
        lines.append(
            _legend_item(
                MARGIN + number // legend_rows * column,
                legend_top + number % legend_rows * LINE,
                color,
                mark,
                text,
            )
        )
    return "\n".join([*lines, "</svg>"]) + "\n"


def _text_width(text: str, size: int = FONT) -> int:
    return math.ceil(len(text) * size * CHARACTER)


def _layout(drawn: MachineMap) -> _Layout:
    count = len(drawn.cells)
    top = MARGIN + LINE + 8
    if count <= NAMED_CELLS:
        texts = [text for cell in drawn.cells for text in (cell.name, _label(drawn, cell))]
        longest = max((_text_width(text, SMALL_FONT) for text in texts), default=0) + 10
        width, height = min(max(longest, NAMED_WIDTHS[0]), NAMED_WIDTHS[1]), NAMED_HEIGHT
        left = MARGIN
    else:
        width = height = next((size for limit, size in SIZES if count <= limit), SMALLEST)
        left = (
            MARGIN + 6 + max(_text_width(one_line(cell.name), SMALL_FONT) for cell in drawn.cells)
        )
    return _Layout(width, height, _columns(count, width, height), left, top)


def _columns(count: int, width: int, height: int) -> int:
    """About 8 by 5, in round numbers."""
    wanted = math.ceil(math.sqrt(count * 1.6 * height / width)) if count else 1
    for step in (50, 20, 10, 4):
        if wanted >= 2 * step:
            return math.ceil(wanted / step) * step
    return max(1, wanted)


def _row_labels(drawn: MachineMap, layout: _Layout, rows: int) -> list[str]:
    """The names of the nodes that lines begin with, where cells have no names in them."""
    if layout.named:
        return []
    labels = []
    for row in range(0, rows, math.ceil(LABEL_DISTANCE / layout.height)):
        number = row * layout.columns
        _, y = layout.corner(number)
        labels.append(
            f'<text x="{layout.left - 6}" y="{y + layout.height / 2 + 3:g}" '
            f'text-anchor="end" font-size="{SMALL_FONT}" fill="#606060">'
            f"{escape(one_line(drawn.cells[number].name))}</text>"
        )
    return labels


def _cell(drawn: MachineMap, cell: Cell, layout: _Layout, number: int) -> str:
    title = cell.title
    if cell.groups:
        title += ": " + ", ".join(drawn.groups[group].label for group in cell.groups[:6])
    if cell.detail:
        title += f"; {cell.detail}"
    x, y = layout.corner(number)
    gap = 2 if layout.width >= 14 else 1
    color = _color(drawn, cell)
    text = (
        f'<g><title>{escape(one_line(title))}</title><rect x="{x}" y="{y}" '
        f'width="{layout.width - gap}" height="{layout.height - gap}" '
        f'fill="{_hex(color)}"/>'
    )
    if layout.named:
        room = int((layout.width - 8) / (SMALL_FONT * CHARACTER))
        for line, words in enumerate((cell.name, _label(drawn, cell))):
            shown = escape(_fitting(one_line(words), room))
            text += (
                f'<text x="{x + 4}" y="{y + 13 + 13 * line}" font-size="{SMALL_FONT}" '
                f'fill="{_hex(ink_on(color))}">{shown}</text>'
            )
    elif layout.marked:
        text += _mark(x, y, layout.width - gap, color, drawn.mark(cell))
    return text + "</g>"


def _mark(x: int, y: int, size: int, color: Color, mark: str) -> str:
    return (
        f'<text x="{x + size / 2:g}" y="{y + size / 2 + 4:g}" text-anchor="middle" '
        f'fill="{_hex(ink_on(color))}">{mark}</text>'
    )


def _fitting(text: str, room: int) -> str:
    """The text with something left out of its middle, if it is too long."""
    if len(text) <= room:
        return text
    half = (room - 1) // 2
    return f"{text[:half]}\N{HORIZONTAL ELLIPSIS}{text[-half:]}"


def _label(drawn: MachineMap, cell: Cell) -> str:
    if cell.groups:
        more = "+" if len(cell.groups) > 1 else ""
        return drawn.groups[cell.groups[0]].label + more
    return "" if cell.usable else "left out"


def _color(drawn: MachineMap, cell: Cell) -> Color:
    if cell.groups:
        return drawn.groups[cell.groups[0]].color
    return FREE if cell.usable else OUT


def _hex(color: Color) -> str:
    return "#{:02x}{:02x}{:02x}".format(*color)


def _legend(drawn: MachineMap, layout: _Layout) -> list[tuple[Color | None, str, str]]:
    """(colour, character in it, text) of each item."""
    items: list[tuple[Color | None, str, str]] = []
    for group in drawn.groups[:LEGEND_ITEMS]:
        detail = f"; {_fitting(group.detail, 80)}" if group.detail else ""
        items.append(
            (
                group.color,
                group.mark if layout.marked else "",
                f"{group.label}: {group.node_list}{detail}",
            )
        )
    if len(drawn.groups) > LEGEND_ITEMS:
        items.append((None, "", f"... and {len(drawn.groups) - LEGEND_ITEMS} more"))
    if any(not cell.groups and cell.usable for cell in drawn.cells):
        items.append((FREE, "", "usable, and in none of these"))
    if any(not cell.groups and not cell.usable for cell in drawn.cells):
        items.append((OUT, "", "left out"))
    if len({group.color for group in drawn.groups}) < len(drawn.groups):
        items.append((None, "", f"The colours repeat after {len(COLORS)}."))
    items += [(None, "", text) for text in (*drawn.remarks, *drawn.errors)]
    return [(color, mark, one_line(text)) for color, mark, text in items]


def _legend_item(x: int, y: int, color: Color | None, mark: str, text: str) -> str:
    drawn = ""
    if color is not None:
        drawn = f'<rect x="{x}" y="{y}" width="12" height="12" fill="{_hex(color)}"/>'
        drawn += _mark(x, y, 12, color, mark) if mark else ""
        x += 18
    return drawn + f'<text x="{x}" y="{y + 10}">{escape(text)}</text>'
