"""Waiting for a scheduler: with pauses, as each look is a command."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import polling


def until(condition: Callable[[], Any], what: str, seconds: float = 90.0) -> Any:
    """Wait until a condition holds, and give its value; fail after a while."""
    return polling.until(lambda: condition() or time.sleep(0.1), what, seconds)
