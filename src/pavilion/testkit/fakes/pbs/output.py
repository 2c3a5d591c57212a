"""Attributes as text and as JSON, with the defects of the JSON of this release."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Mapping
from typing import Union

from .context import VERSION

Value = Union[str, int, list[str], Mapping[str, Union[str, int]]]
Attributes = Mapping[str, Value]

# In columns, a tab being eight of them.
_WIDTH = 78
# It is written without quotes.
_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?|-?inf|nan")


def clock(seconds: float) -> str:
    """A time as 'HH:MM:SS'."""
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes // 60:02}:{minutes % 60:02}:{rest:02}"


def as_text(
    head: str, attributes: Attributes, *, indent: int = 4, wide: bool = False, wrap: bool = True
) -> str:
    """A head, lines of attributes, and a blank line."""
    lines = [head]
    for name, value in attributes.items():
        if isinstance(value, Mapping) and name != "Variable_List":
            rows = [(f"{name}.{key}", str(each)) for key, each in value.items()]
        elif isinstance(value, Mapping):
            pairs = [f"{key}={_escaped(str(each))}" for key, each in value.items()]
            rows = [(name, ",".join(pairs))]
        elif isinstance(value, list):
            rows = [(name, ", ".join(value))]
        else:
            rows = [(name, str(value))]
        for key, text in rows:
            start = f"{' ' * indent}{key} = "
            if wide:
                lines.append(start + text.replace("\n", "\\n"))
            else:
                lines.append(_wrapped(start, text) if wrap else start + text)
    return "\n".join([*lines, "", ""])


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace(",", "\\,")


def _wrapped(start: str, text: str) -> str:
    """A long value goes on in further lines: after a comma where there is one, otherwise anywhere."""
    made, column = start, len(start)
    parts = re.split(r"(?<=,)", text)
    for number, part in enumerate(part for part in parts if part):
        if column + len(part) > _WIDTH + 1 and number:
            # As if the tab was one column more.
            made, column = f"{made}\n\t", 9
        for char in part:
            if column > _WIDTH:
                made, column = f"{made}\n\t", 8
            made, column = made + char, column + 1
    return made


def as_json(key: str, things: Iterable[tuple[str, Attributes]], server: str, now: float) -> str:
    """An answer in JSON."""
    lines = [f'    "timestamp":{int(now)},', f'    "pbs_version":"{VERSION}",']
    lines.append(f'    "pbs_server":"{server}"')
    rows = list(things)
    if rows:
        lines[-1] += ","
        lines.append(f'    "{key}":{{')
        for number, (name, attributes) in enumerate(rows):
            lines.append(f'        "{name}":{{')
            lines += _lines(attributes, 12)
            lines.append("        }" + ("," if number + 1 < len(rows) else ""))
        lines.append("    }")
    return "\n".join(["{", *lines, "}"]) + "\n"


def _lines(attributes: Mapping[str, Value], indent: int) -> list[str]:
    blanks, lines = " " * indent, []
    rows = list(attributes.items())
    for number, (name, value) in enumerate(rows):
        comma = "," if number + 1 < len(rows) else ""
        if isinstance(value, Mapping):
            pairs = _swallowed(value) if name == "Variable_List" else dict(value)
            lines += [f'{blanks}"{name}":{{', *_lines(pairs, indent + 4), f"{blanks}}}{comma}"]
        elif isinstance(value, list):
            inner = ",\n".join(f'{blanks}    "{each}"' for each in value)
            lines += [f'{blanks}"{name}":[', inner, f"{blanks}]{comma}"]
        else:
            quoted = _quoted(str(value), escape=name != "Submit_arguments")
            lines.append(f'{blanks}"{name}":{quoted}{comma}')
    return lines


def _swallowed(variables: Mapping[str, str | int]) -> dict[str, str | int]:
    """A variable that is empty has the next one as its value."""
    found: dict[str, str | int] = {}
    empty = ""
    for name, value in variables.items():
        if empty:
            found[empty], empty = f",{name}={value}", ""
        elif value == "":
            empty = name
        else:
            found[name] = value
    if empty:
        found[empty] = ""
    return found


def _quoted(text: str, *, escape: bool) -> str:
    if _NUMBER.fullmatch(text):
        return text
    if escape:
        text = text.replace("\\", "\\\\").replace("\n", "\\n").replace("\t", "\\t")
    return '"' + text.replace('"', '\\"') + '"'


def ctime(when: float) -> str:
    """A time as text."""
    return time.ctime(when)
