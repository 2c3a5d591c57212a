"""``flux``: the one command of Flux, with words for what it is to do."""

from __future__ import annotations

import importlib

from ..engine.options import Unsupported
from .context import Context, FluxError

_MODULES = {
    **{"batch": "batch", "jobs": "jobs", "cancel": "cancel", "run": "tasks"},
    **{"resource": "resource", "queue": "queue"},
    **dict.fromkeys(("uptime", "getattr", "kvs", "job"), "instance"),
}


def run(context: Context) -> int:
    """Run a command; its exit code."""
    module = _MODULES.get(context.name)
    if module is None:
        raise Unsupported(f"the command 'flux {context.name}'".rstrip())
    made = importlib.import_module(f"{__package__}.{module}")
    try:
        code: int = made.run(context)
    except FluxError as error:
        context.err(str(error))
        return 1
    return code
