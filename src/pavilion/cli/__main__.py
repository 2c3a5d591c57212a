"""``python -m pavilion.cli`` is ``pav-sched``."""

from __future__ import annotations

from pavilion.cli.main import entry_point

entry_point()
