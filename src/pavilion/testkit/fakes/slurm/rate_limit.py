"""The fault 'rate_limit': a bucket of calls per user, shared by all processes."""

# A command starts in less time without pathlib.
# ruff: noqa: PTH118, PTH123

from __future__ import annotations

import fcntl
import json
import os
import time
from typing import Any


def take(folder: str, user: str, fault: dict[str, Any]) -> bool:
    """Take one call out of the user's bucket; waits, as long as its patience lasts, for one."""
    deadline = time.monotonic() + fault["patience"]
    while True:
        missing = _try(folder, user, fault)
        if missing <= 0:
            return True
        wait = missing / fault["per_second"] if fault["per_second"] > 0 else fault["patience"]
        left = deadline - time.monotonic()
        if left <= 0:
            return False
        time.sleep(min(wait, left))


def _try(folder: str, user: str, fault: dict[str, Any]) -> float:
    """Take a call if there is one (0.0); otherwise how much of a call is missing."""
    with open(os.path.join(folder, "buckets.json"), "a+", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        buckets = json.loads(file.read() or "{}")
        level, since = buckets.get(user, (float(fault["bucket"]), time.time()))
        level = min(float(fault["bucket"]), level + (time.time() - since) * fault["per_second"])
        missing: float = max(0.0, 1.0 - level)
        buckets[user] = (level if missing else level - 1.0, time.time())
        file.seek(0)
        file.truncate()
        file.write(json.dumps(buckets))
    return missing
