"""``qrls``: release jobs that are held."""

from __future__ import annotations

from . import holding
from .context import Context, guarded


@guarded
def run(context: Context) -> int:
    """Run ``qrls``; its exit code."""
    return holding.change(context, False)
