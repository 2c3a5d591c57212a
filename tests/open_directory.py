"""A directory for a scheduler and its users."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def open_directory(prefix: str) -> Iterator[Path]:
    """A directory that any user may enter; not below pytest's own, which others may not.  Its path
    is short, as those of sockets must be."""
    made = Path(tempfile.mkdtemp(prefix=prefix))
    made.chmod(0o755)
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)
