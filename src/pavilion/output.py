"""Printing, as Pavilion's plugins do it; only what schedulers use of Pavilion's module."""

from __future__ import annotations

import sys
from typing import Any, TextIO


def dbg_print(*args: Any, color: Any = None, file: TextIO | None = None, end: str = "\n") -> None:
    """Print something for the author of a plugin.

    :param color: Not used here.
    :param file: Where to print it; default: stderr.
    """
    print(*args, file=file or sys.stderr, end=end, flush=True)
