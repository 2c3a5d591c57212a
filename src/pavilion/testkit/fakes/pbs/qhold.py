"""``qhold``: hold jobs that wait."""

from __future__ import annotations

from . import holding
from .context import Context, guarded


@guarded
def run(context: Context) -> int:
    """Run ``qhold``; its exit code."""
    return holding.change(context, True)
