"""``--json``: the frame that is the same for all commands, and how it is written.

22.05 and 25.11 are known. A field is given when what it says is true of the fake; those that it
knows nothing of (flags, cores of a job, Slurm's own counters) are left out.
"""

from __future__ import annotations

import json
from typing import Any

from ..engine.options import Unsupported
from . import releases
from .context import Context

Value = Any  # what json.dumps takes


def number(value: float | None) -> Value:
    """A number of the newer layout; None: not set."""
    return {"set": value is not None, "infinite": False, "number": value or 0}


INFINITE = {"set": False, "infinite": True, "number": 0}


def is_modern(context: Context) -> bool:
    """Whether the layout is that of 25.11, rather than that of 22.05."""
    if context.release >= releases.MODERN:
        return True
    if context.release >= (23, 2):
        raise Unsupported(f"--json of Slurm {context.release[0]}.{context.release[1]:02d}")
    return False


def write(context: Context, key: str, items: list[Value], error: Value = None) -> None:
    """Print the whole document, with the items under this key."""
    errors = [] if error is None else [error]
    year, month = context.release
    full = releases.full(context.release)
    patch = full.split("-")[0].split(".")[2]
    if is_modern(context):
        user, _, group, _ = context.user
        document: Value = {
            key: items,
            "meta": {
                "plugin": {
                    "type": "",
                    "name": "",
                    "data_parser": "data_parser/v0.0.44",
                    "accounting_storage": "",
                },
                "client": {"source": "", "user": user, "group": group},
                "slurm": {
                    "version": {"major": str(year), "micro": patch, "minor": str(month)},
                    "release": full,
                    "cluster": context.description["name"],
                },
            },
            "errors": errors,
            "warnings": [],
        }
        context.line(_text(document, ""))
        return
    document = {
        "meta": {
            "plugin": {"type": "openapi/v0.0.38", "name": "Slurm OpenAPI v0.0.38"},
            "Slurm": {
                "version": {"major": year, "micro": int(patch), "minor": month},
                "release": full,
            },
        },
        "errors": errors,
        key: items,
    }
    context.out(_text(document, ""))


def _text(value: Value, indent: str) -> str:
    """As json-c writes it: slashes escaped, an empty list on two lines."""
    deeper = indent + "  "
    if isinstance(value, dict):
        inner = [f"{deeper}{_text(key, '')}: {_text(item, deeper)}" for key, item in value.items()]
        return "{\n" + "".join(",\n".join(inner)) + ("\n" if inner else "") + indent + "}"
    if isinstance(value, (list, tuple)):
        inner = [deeper + _text(item, deeper) for item in value]
        return "[\n" + ",\n".join(inner) + ("\n" if inner else "") + indent + "]"
    return json.dumps(value, ensure_ascii=False).replace("/", "\\/")
