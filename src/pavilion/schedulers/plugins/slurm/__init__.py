"""The Slurm scheduler plugin.

- ``plugin``: the plugin class
- ``vars``: its variables
- ``client``: the conversation with Slurm; the only module here that runs commands
- ``submit``: submitting a job exactly once
- ``output``: where a job's output goes; ``requested``: drained nodes that a job waits for
- ``header``, ``queries``: what Slurm is given; ``parsing``, ``states``, ``notes``, ``errors``:
  what its output means.  All of these are pure functions.
"""

from __future__ import annotations

from .plugin import Slurm

__all__ = ["Slurm"]
