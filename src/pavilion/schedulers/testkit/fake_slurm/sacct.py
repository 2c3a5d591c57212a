"""``sacct``: there is no accounting database."""

from __future__ import annotations

from .context import Context


def run(context: Context) -> int:
    context.err("Slurm accounting storage is disabled")
    return 1
