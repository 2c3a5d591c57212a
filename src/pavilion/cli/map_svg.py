"""The machine as an SVG picture."""

from __future__ import annotations

import math
from xml.sax.saxutils import escape

from pavilion.machine_map import Cell, MachineMap, color

MARGIN = 16
LINE = 16
LEGEND_LINES = 40
# Nodes, up to so many -> the width and height of a cell in pixels.
SIZES = ((64, 84, 34), (400, 30, 30), (2500, 14, 14), (20_000, 8, 8))
SMALLEST = (5, 5)


def render(drawn: MachineMap) -> str:
    """The picture as SVG text.  Pointing at a node shows its name, states and groups."""
    count = len(drawn.cells)
    width, height = next(((wide, high) for limit, wide, high in SIZES if count <= limit),
                         SMALLEST)
    columns = _columns(count, width, height)
    rows = math.ceil(count / columns) if count else 0
    legend = _legend(drawn)
    top = MARGIN + LINE + 8
    total_height = top + rows * height + 12 + LINE * len(legend) + MARGIN
    total_width = max(560, 2 * MARGIN + columns * width)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{total_width}" height="{total_height}" '
        f'viewBox="0 0 {total_width} {total_height}" font-family="sans-serif" font-size="11">',
        '<rect width="100%" height="100%" fill="white"/>',
        f'<text x="{MARGIN}" y="{MARGIN + 10}" font-size="14">{escape(drawn.title)} '
        f'({count} nodes)</text>',
    ]
    for number, cell in enumerate(drawn.cells):
        x = MARGIN + number % columns * width
        y = top + number // columns * height
        lines.append(_cell(drawn, cell, x, y, width, height))
    y = top + rows * height + 12
    for fill, text in legend:
        if fill:
            lines.append(f'<rect x="{MARGIN}" y="{y}" width="12" height="12" fill="{fill}"/>')
        lines.append(f'<text x="{MARGIN + 18}" y="{y + 10}">{escape(text)}</text>')
        y += LINE
    lines.append("</svg>")
    return "\n".join(lines) + "\n"


def _columns(count: int, width: int, height: int) -> int:
    """About 8 by 5, in round numbers."""
    wanted = math.ceil(math.sqrt(count * 1.6 * height / width)) if count else 1
    for step in (50, 20, 10, 4):
        if wanted >= 2 * step:
            return math.ceil(wanted / step) * step
    return max(1, wanted)


def _cell(drawn: MachineMap, cell: Cell, x: int, y: int, width: int, height: int) -> str:
    title = cell.title
    if cell.groups:
        title += ": " + ", ".join(drawn.groups[number].label for number in cell.groups[:6])
    gap = 2 if width >= 14 else 1
    text = (f'<g><title>{escape(title)}</title><rect x="{x}" y="{y}" width="{width - gap}" '
            f'height="{height - gap}" fill="{_fill(cell)}"/>')
    if width >= 60:
        text += (f'<text x="{x + 4}" y="{y + 13}" font-size="10">{escape(cell.name)}</text>'
                 f'<text x="{x + 4}" y="{y + 26}" font-size="10">{escape(_label(drawn, cell))}'
                 "</text>")
    elif width >= 30:
        text += (f'<text x="{x + width / 2 - 1}" y="{y + height / 2 + 4}" text-anchor="middle">'
                 f"{cell.mark}</text>")
    return text + "</g>"


def _label(drawn: MachineMap, cell: Cell) -> str:
    if cell.groups:
        more = "+" if len(cell.groups) > 1 else ""
        return drawn.groups[cell.groups[0]].label + more
    return "" if cell.usable else "left out"


def _fill(cell: Cell) -> str:
    if cell.groups:
        return "#{:02x}{:02x}{:02x}".format(*color(cell.groups[0]))
    return "#e8e8e8" if cell.usable else "#707070"


def _legend(drawn: MachineMap) -> list[tuple[str, str]]:
    """(colour, text) of each line."""
    lines = []
    for number, group in enumerate(drawn.groups[:LEGEND_LINES]):
        detail = f"  {group.detail[:60]}" if group.detail else ""
        lines.append((_fill(Cell("", True, "", [number])),
                      f"{group.label}: {group.node_list}{detail}"))
    if len(drawn.groups) > LEGEND_LINES:
        lines.append(("", f"... and {len(drawn.groups) - LEGEND_LINES} more"))
    if any(not cell.groups and cell.usable for cell in drawn.cells):
        lines.append((_fill(Cell("", True, "")), "usable, and in none of these"))
    if any(not cell.groups and not cell.usable for cell in drawn.cells):
        lines.append((_fill(Cell("", False, "")), "left out"))
    return lines + [("", remark) for remark in drawn.remarks]
